//! Mappings of payloads that are no JSON.

use super::*;

fn read(mapping: &str, payload: &str) -> Vec<Value> {
    let inbound = compile(mapping);
    let node = inbound.read(payload.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let mapped = inbound.run(&node, &Context::default());
    assert_eq!(mapped.errors, []);
    mapped.facts.iter().map(MappedFact::to_json).collect()
}

const X12: &str = "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *231014*1831*U*00401*000000001*0*P*>~\
    GS*PO*S*R*20231014*1831*1*X*004010~";

#[test]
fn an_x12_order() {
    let mapping = "[mapping]\nformat = \"x12\"\ncurrency = \"USD\"\nunit = \"major\"\nzone = \"America/New_York\"\n\
        [loops]\nPO1 = [\"PID\"]\nN1 = [\"N3\", \"N4\"]\n\
        [fact.placed]\nis = \"order.placed\"\nwhen = { ST.01 = \"850\" }\norder = \"BEG.03\"\n\
        at = { path = \"BEG.05\", formats = [\"YYYYMMDD\"] }\nextra.sender = \"ISA.06\"\n\
        [fact.placed.ship_to]\nfrom = \"N1[01=ST]\"\nname = \"02\"\nstreet = { list = [\"N3.01\", \"N3.02\"] }\n\
        [fact.placed.lines]\neach = \"PO1\"\nref = \"01\"\nsku = { path = \"*\", after = [\"VN\", \"UP\"] }\nquantity = \"02\"\n\
        unit_price = \"04\"\ntitle = \"PID.05\"\n[nothing]\nwhen = { ST.01 = \"997\" }\n";
    let payload = format!(
        "{X12}ST*850*1~BEG*00*SA*PO-7**20231014~N1*BY*Buyer~N1*ST*Shop*92*1~N3*1 Road*Hall~N4*Bern~PO1*1*2*EA*9.5*PE*UP**VN*A-1~\
         PID*F****Red~PO1*2*1*EA*1.25**UP*123~CTT*2~SE*11*1~ST*997*2~SE*2*2~GE*2*1~IEA*1*1~"
    );
    let found = read(mapping, &payload);
    assert_eq!(
        found,
        [
            json!({"fact":"placed","is":"order.placed","order":"PO-7","at":"2023-10-14T00:00:00-04:00","extra":{"sender":"SENDER"},
            "ship_to":{"name":"Shop","street":["1 Road","Hall"]},
            "lines":[{"ref":"1","sku":"A-1","quantity":2,"unit_price":"9.50 USD","title":"Red"},
                     {"ref":"2","sku":"123","quantity":1,"unit_price":"1.25 USD"}]})
        ]
    );
    let inbound = compile(mapping);
    let wrong = payload.replace("PO1*2*1*EA", "PO1*2*x*EA").replace("SE*2*2", "SE*3*2");
    let node = inbound.read(wrong.as_bytes()).unwrap();
    let told: Vec<String> =
        inbound.run(&node, &Context::default()).errors.iter().map(|error| error.message.clone()).collect();
    assert!(
        told[0].contains("placed.lines.quantity: `x` is no number such as 12.50 (at message 1, PO1 item 2)"),
        "{told:?}"
    );
    assert!(
        told[1].contains("SE counts 3 segments, and there are 2") && told[1].contains("message 2"),
        "{told:?}"
    );
}

#[test]
fn levels_of_an_advance_ship_notice() {
    let mapping = "[mapping]\nformat = \"x12\"\nzone = \"UTC\"\n[loops]\nHL = [\"*\"]\n\
        [fact.shipped]\nis = \"fulfilment.shipped\"\neach = \"HL[03=S].HL[03=O]\"\norder = \"PRF.01\"\nref = \"$record.BSN.02\"\n\
        at = { join = [\"$record.BSN.03\", \"$record.BSN.04\"], by = \"\", formats = [\"YYYYMMDDHHmm\"] }\n\
        [fact.shipped.lines]\neach = \"**.HL[03=I]\"\nsku = { path = \"LIN.*\", after = \"UP\" }\nquantity = \"SN1.02\"\n\
        [fact.shipped.packages]\neach = \"**.HL[03=P]\"\ntracking = \"MAN.02\"\n";
    let payload = format!(
        "{X12}ST*856*1~BSN*00*S1*20231014*1831~HL*1**S~TD5*B~HL*2*1*O~PRF*PO1~HL*3*2*P~MAN*GM*1Z~HL*4*3*I~LIN**UP*11~SN1**4*EA~\
         HL*5*3*I~LIN**UP*12~SN1**1*EA~HL*6*1*O~PRF*PO2~HL*7*6*I~LIN**UP*13~SN1**2*EA~CTT*7~SE*21*1~GE*1*1~IEA*1*1~"
    );
    let found = read(mapping, &payload);
    assert_eq!((found.len(), &found[0]["order"], &found[1]["order"]), (2, &json!("PO1"), &json!("PO2")));
    assert_eq!(found[0]["lines"], json!([{"sku":"11","quantity":4},{"sku":"12","quantity":1}]));
    assert_eq!(found[0]["packages"], json!([{"tracking":"1Z"}]));
    assert_eq!(
        (&found[1]["lines"], &found[1]["at"]),
        (&json!([{"sku":"13","quantity":2}]), &json!("2023-10-14T18:31:00Z"))
    );
}

#[test]
fn an_edifact_order() {
    let mapping = "[mapping]\nformat = \"edifact\"\nzone = \"UTC\"\nunit = \"major\"\ncurrency_from = [\"CUX.01.2\"]\n\
        [loops]\nLIN = [\"PIA\", \"QTY\", \"PRI\"]\nNAD = [\"CTA\", \"COM\"]\n\
        [fact.placed]\nis = \"order.placed\"\nwhen = { UNH.02.1 = \"ORDERS\" }\norder = \"BGM.02.1\"\nat = \"DTM[01.1=137].01\"\n\
        [fact.placed.ship_to]\nfrom = \"NAD[01=DP]\"\nname = \"04.1\"\n\
        [fact.placed.lines]\neach = \"LIN\"\nref = \"01\"\nsku = { first = [\"PIA.*[2=SA].1\", \"03.1\"] }\nquantity = \"QTY[01.1=21].01.2\"\n\
        unit_price = \"PRI[01.1=AAA].01.2\"\n";
    let payload = "UNA:+,? 'UNB+UNOC:3+S+R+060515:1434+778'UNH+117+ORDERS:D:96A:UN'BGM+220+12?+8+9'DTM+137:20020830:102'\
        DTM+2:200209011200:203'NAD+BY+541::9'NAD+DP+542::9++MyShop'CUX+2:EUR:9'LIN+1++4711:EN'PIA+5+X:BP+A-1:SA'QTY+21:3'PRI+AAA:9,5'\
        LIN+2++4712:EN'QTY+21:1'UNT+14+117'UNZ+1+778'";
    let found = read(mapping, payload);
    assert_eq!(
        found[0],
        json!({"fact":"placed","is":"order.placed","order":"12+8","at":"2002-08-30T00:00:00Z","ship_to":{"name":"MyShop"},
            "lines":[{"ref":"1","sku":"A-1","quantity":3,"unit_price":"9.50 EUR"},{"ref":"2","sku":"4712","quantity":1}]})
    );
}

#[test]
fn an_xml_order_and_a_form() {
    let mapping = "[mapping]\nformat = \"xml\"\nrecords = [\"shop.order\", \"order\"]\n[fact.placed]\nis = \"order.placed\"\n\
        order = \"id\"\ntotal = \"total\"\n[fact.placed.lines]\neach = \"rows.row\"\nref = \"n\"\nquantity = \".\"\n\
        weight = { path = \"^.weight\", unit_from = \"^.weight.unit\" }\n";
    let payload = "<s:shop xmlns:s='u'><order href='x'><id href='y'><![CDATA[7]]></id><total currency='EUR'>12.50</total>\
        <weight unit='kg'>1.5</weight><rows><row n='a'>2</row></rows></order></s:shop>";
    assert_eq!(
        read(mapping, payload)[0],
        json!({"fact":"placed","is":"order.placed","order":"7","total":"12.50 EUR","lines":[{"ref":"a","quantity":2,"weight":"1500"}]})
    );
    let form =
        "[mapping]\nformat = \"form\"\n[fact.closed]\nis = \"order.closed\"\norder = \"order[0].id\"\n";
    assert_eq!(read(form, "order[0][id]=9&order[1][id]=8")[0]["order"], "9");
}

#[test]
fn what_a_format_does_not_have_is_refused() {
    let fact = "[fact.a]\nis = \"order.closed\"\norder = \"id\"\n";
    for (mapping, said) in [
        (
            "[mapping]\nformat = \"yaml\"\n",
            "2:10: the format `yaml` is not known; known: json, form, xml, csv, x12, edifact",
        ),
        (
            "[mapping]\ndelimiter = \";\"\n",
            "2:1: `delimiter` is for the formats csv; this mapping's format is json",
        ),
        ("[mapping]\nformat = \"csv\"\ndelimiter = \"ab\"\n", "3:13: `ab` cannot stand between cells"),
        (
            "[mapping]\nformat = \"csv\"\ncolumns = [\"a\"]\n",
            "`columns` names the columns of a payload without a header row",
        ),
        ("[loops]\nPO1 = [\"PID\"]\n", "[loops] nests segments, and this format has none"),
        (
            "[mapping]\nformat = \"x12\"\n[loops]\nPO1 = 5\n",
            "the loop `PO1` is a number; expected the segments",
        ),
        ("[mapping]\nformat = \"csv\"\nencoding = \"ebcdic\"\n", "the encoding `ebcdic` is not known"),
    ] {
        let found = problems(&format!("{mapping}{fact}"));
        assert!(found.iter().any(|found| found.contains(said)), "{mapping}: {found:?}");
    }
}

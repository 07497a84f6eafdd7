//! Each syntax, on texts small enough to read.

use super::*;

fn with(kind: SyntaxKind, text: &str, loops: &[(&str, &[&str])]) -> Result<String, String> {
    let loops = loops.iter().map(|(opens, members)| Loop {
        opens: (*opens).to_owned(),
        members: members.iter().map(|tag| (*tag).to_owned()).collect(),
    });
    let syntax = Syntax { loops: Loops(loops.collect()), ..Syntax::of(kind) };
    syntax.read(text.as_bytes()).map(|node| node.to_json()).map_err(|error| error.to_string())
}

fn read(kind: SyntaxKind, text: &str) -> String {
    with(kind, text, &[]).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn refused(kind: SyntaxKind, text: &str) -> String {
    with(kind, text, &[]).unwrap_err()
}

#[test]
fn xml_is_a_tree_of_steps() {
    let text = "<?xml version=\"1.0\"?><!-- c --><s:order xmlns:s=\"urn:x\" s:id=\"7\"><row n=\"1\">a &amp; b</row><row>\n</row>\
                <weight unit=\"kg\"> 1.5 </weight><t><![CDATA[<5>]]>&#233;</t><none xsi:nil=\"true\"/><empty/>\
                <data name=\"x\"><name>y</name></data></s:order>";
    assert_eq!(
        read(SyntaxKind::Xml, text),
        r#"{"order":{"id":"7","row":[{"$text":"a & b","n":"1"},""],"weight":{"$text":"1.5","unit":"kg"},"t":"<5>é","none":null,"empty":"","data":{"@name":"x","name":"y"}}}"#
    );
    let kept = Syntax { prefixes: true, ..Syntax::of(SyntaxKind::Xml) };
    assert_eq!(kept.read(b"<a:b c:d='1' xmlns:a='u'/>").unwrap().to_json(), r#"{"a:b":{"c:d":"1"}}"#);
}

#[test]
fn xml_that_is_none_is_refused_with_its_place() {
    for (text, said) in [
        ("<a>\n<b></a>", "line 2, column"),
        ("<a>\n&eacute;</a>", "line 2, column 1: the entity `&eacute;` is not known"),
        (
            "<!DOCTYPE a [<!ENTITY b \"c\">]><a>&b;</a>",
            "a document type with definitions of its own is not read",
        ),
        ("<a>", "`<a>` does not end"),
        ("<a/><b/>", "more than one root element"),
        ("<a/>x", "text outside of the root element"),
        ("", "expected XML, found no element"),
        ("<a b='1' b='2'/>", "no XML"),
    ] {
        let found = refused(SyntaxKind::Xml, text);
        assert!(found.contains(said), "{text}: {found}");
    }
    assert!(refused(SyntaxKind::Xml, &"<a>".repeat(200)).contains("nested deeper than 128 levels"));
    assert_eq!(read(SyntaxKind::Xml, "<!DOCTYPE a SYSTEM \"a.dtd\"><a/>"), r#"{"a":""}"#);
}

#[test]
fn encodings_are_declared_or_said() {
    let node = Syntax::of(SyntaxKind::Xml);
    assert_eq!(
        node.read(b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xe9</a>").unwrap().to_json(),
        r#"{"a":"é"}"#
    );
    assert!(
        node.read(b"<?xml version=\"1.0\" encoding=\"EBCDIC\"?><a/>").unwrap_err().message.contains("EBCDIC")
    );
    let csv = Syntax { encoding: Some(Encoding::Windows1252), ..Syntax::of(SyntaxKind::Csv) };
    assert_eq!(csv.read(b"a\n\x80\n").unwrap().to_json(), r#"{"rows":[{"$line":2,"a":"€"}]}"#);
    assert!(Syntax::of(SyntaxKind::Csv).read(b"a\n\x80\n").unwrap_err().message.contains("encoding = "));
    assert_eq!(node.read(b"\xff\xfe<\0a\0/\0>\0").unwrap().to_json(), r#"{"a":""}"#);
}

#[test]
fn rows_by_the_names_of_their_columns() {
    for text in [
        "\u{feff}sku;qty;note\r\nA;1;\"x; \"\"y\"\"\"\r\n\r\nB;2;\"two\nlines\"\r\nC;3;\r\n",
        "sku\tqty\tnote\nA\t1\t\"x; \"\"y\"\"\"\n\nB\t2\t\"two\nlines\"\nC\t3\t\n",
    ] {
        assert_eq!(
            read(SyntaxKind::Csv, text),
            r#"{"rows":[{"$line":2,"sku":"A","qty":"1","note":"x; \"y\""},{"$line":4,"sku":"B","qty":"2","note":"two\nlines"},{"$line":6,"sku":"C","qty":"3","note":""}]}"#
        );
    }
    assert_eq!(
        read(SyntaxKind::Csv, "a,b,a\n1,2,3\n1,2\n"),
        r#"{"rows":[{"$line":2,"a":["1","3"],"b":"2"},{"$line":3,"$error":"the row has 2 cells, and the header 3: a quote or a delimiter is amiss"}]}"#
    );
    assert!(refused(SyntaxKind::Csv, "").contains("expected a row of column names"));
}

#[test]
fn rows_without_a_header_may_nest() {
    let loops = Loops(vec![Loop { opens: "H".to_owned(), members: vec!["D".to_owned()] }]);
    let syntax = Syntax { header: false, loops, ..Syntax::of(SyntaxKind::Csv) };
    assert_eq!(
        syntax.read(b"H,1\nD,a\nD,b\nH,2\n").unwrap().to_json(),
        r#"{"H":[{"$line":1,"01":"H","02":"1","D":[{"$line":2,"01":"D","02":"a"},{"$line":3,"01":"D","02":"b"}]},{"$line":4,"01":"H","02":"2"}]}"#
    );
    let named =
        Syntax { header: false, columns: vec!["k".into(), "v".into()], ..Syntax::of(SyntaxKind::Csv) };
    assert_eq!(named.read(b"a,1\n").unwrap().to_json(), r#"{"rows":[{"$line":1,"k":"a","v":"1"}]}"#);
}

const ISA: &str = "ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       *231014*1831*U*00401*000000001*0*P*>~";

#[test]
fn an_interchange_gives_its_messages() {
    let text = format!(
        "{ISA}\r\nGS*PO*S*R*20231014*1831*1*X*004010~\nST*850*0001~BEG*00*SA*PO-7**20231014~\n  PO1*1*2*EA*9.5**VN*A>1*UP*~PID*F****Red~\
         PO1*2*1~\nCTT*2~SE*7*0001~GE*1*1~IEA*1*000000001~\n"
    );
    let loops: &[(&str, &[&str])] = &[("PO1", &["PID"])];
    let found = with(SyntaxKind::X12, &text, loops).unwrap();
    let message = found.split_once("\"ST\":").unwrap().1;
    assert_eq!(
        message,
        r#"{"01":"850","02":"0001"},"BEG":{"01":"00","02":"SA","03":"PO-7","04":"","05":"20231014"},"PO1":[{"01":"1","02":"2","03":"EA","04":"9.5","05":"","06":"VN","07":{"1":"A","2":"1"},"08":"UP","PID":{"01":"F","02":"","03":"","04":"","05":"Red"}},{"01":"2","02":"1"}],"CTT":{"01":"2"},"SE":{"01":"7","02":"0001"}}]}"#
    );
    assert!(found.starts_with(r#"{"messages":[{"ISA":{"01":"00","02":"","03":"00""#), "{found}");
}

#[test]
fn segments_as_they_really_come() {
    let body = "GS|PO|S|R|20231014|1831|1|X|004010#ST|850|1#BEG|00#SE|3|1#GE|1|1#IEA|1|1#";
    let collapsed = format!("\u{feff}ISA|00| |00| |ZZ|S|ZZ|R|231014|1831|U|00401|1|0|P|>#{body}");
    assert!(read(SyntaxKind::X12, &collapsed).contains(r#""BEG":{"01":"00"}"#));
    let by_line = collapsed.replace('#', "\r\n");
    assert!(read(SyntaxKind::X12, &by_line).contains(r#""BEG":{"01":"00"}"#));
    let wrapped: String = collapsed
        .chars()
        .enumerate()
        .flat_map(|(at, c)| if at % 80 == 79 { vec!['\n', c] } else { vec![c] })
        .collect();
    assert!(read(SyntaxKind::X12, &wrapped).contains(r#""BEG":{"01":"00"}"#));
    let without_sixteenth = collapsed.replace("|P|>#", "|P|#");
    assert!(read(SyntaxKind::X12, &without_sixteenth).contains(r#""BEG":{"01":"00"}"#));
    let twice = format!("{collapsed}\n{collapsed}");
    assert_eq!(read(SyntaxKind::X12, &twice).matches("\"BEG\"").count(), 2);
    let repeated = collapsed.replace("|U|00401|", "|^|00501|").replace("BEG|00", "BEG|00^01>2");
    assert!(read(SyntaxKind::X12, &repeated).contains(r#""BEG":{"01":["00",{"1":"01","2":"2"}]}"#));
}

#[test]
fn what_may_be_lost_is_told_and_the_rest_is_read() {
    let good = "ST*850*1~BEG*00~SE*3*1~";
    let text = format!(
        "{ISA}GS*PO*S*R*20231014*1831*1*X*004010~{good}ST*850*2~BEG*01~SE*9*2~GE*3*1~IEA*1*000000001~"
    );
    let found = read(SyntaxKind::X12, &text);
    assert!(found.contains("segment 8: SE counts 9 segments, and there are 3: some may be lost"), "{found}");
    assert!(found.contains("segment 9: GE counts 3 messages, and there are 2"), "{found}");
    assert_eq!(found.matches("$error").count(), 2);
    let lax = Syntax { counts: false, ..Syntax::of(SyntaxKind::X12) };
    assert!(!lax.read(text.as_bytes()).unwrap().to_json().contains("$error"));
    let cut = text.split("GE*").next().unwrap();
    assert!(read(SyntaxKind::X12, cut).contains("the interchange 000000001 is cut off: it has no IEA"));
    let mixed = text.replace("SE*3*1", "SE*3*4");
    assert!(read(SyntaxKind::X12, &mixed).contains("SE has the control number `4`, and ST has `1`"));
}

#[test]
fn segments_that_are_none_are_refused_with_their_place() {
    for (text, said) in [
        ("", "the payload is empty"),
        ("SA*00*~", "line 1, column 1: expected an interchange, which begins with ISA, found `SA*00*~`"),
        ("ISA*00*x~", "the ISA has 2 elements; expected 16"),
        ("ISAx", "ISA is followed by no separator"),
        (
            &format!("{ISA}\nhello~"),
            "line 2, column 1: segment 2: expected a tag such as N1 or PO1, found `hello~`",
        ),
        (
            &format!("{ISA}\nGS*PO~\nBEG*00~"),
            "line 3, column 1: segment 3: BEG stands in no message: expected ST before it",
        ),
    ] {
        let found = refused(SyntaxKind::X12, text);
        assert!(found.contains(said), "{text}: {found}");
    }
}

#[test]
fn levels_stand_below_their_parents() {
    let text = format!(
        "{ISA}GS*SH*S*R*20231014*1831*1*X*004010~ST*856*1~BSN*00*S1~HL*1**S~TD5*B~HL*2*1*O~PRF*PO1~HL*3*2*P~HL*4*3*I~LIN**UP*1~\
         HL*5*3*I~HL*6*1*O~PRF*PO2~CTT*6~SE*14*1~GE*1*1~IEA*1*1~"
    );
    let loops: &[(&str, &[&str])] = &[("HL", &["*"])];
    let found = with(SyntaxKind::X12, &text, loops).unwrap();
    assert!(
        found.contains(
            r#""HL":[{"01":"1","02":"","03":"S","TD5":{"01":"B"},"HL":[{"01":"2","02":"1","03":"O","PRF":{"01":"PO1"},"HL":[{"01":"3","02":"2","03":"P","HL":[{"01":"4","02":"3","03":"I","LIN":{"01":"","02":"UP","03":"1"}},{"01":"5","02":"3","03":"I"}]}]},{"01":"6","02":"1","03":"O","PRF":{"01":"PO2"}}]}],"CTT":{"01":"6"}"#
        ),
        "{found}"
    );
    let orphan = text.replace("HL*6*1*O", "HL*6*9*O");
    assert!(with(SyntaxKind::X12, &orphan, loops).unwrap().contains("HL 6 names the parent 9"));
}

#[test]
fn edifact_has_components_and_a_release_character() {
    let text = "UNA:+.? '\r\nUNB+UNOC:3+S+R+060515:1434+778'\nUNH+117+ORDERS:D:96A:UN'BGM+220::9+A?+1?'+9'DTM+137:20020830:102'\
                NAD+BY+5412::9+++'LIN+1++?:x:SA'UNT+6+117'UNZ+1+778'";
    let found = read(SyntaxKind::Edifact, text);
    assert!(
        found.ends_with(
            r#""UNH":{"01":"117","02":{"1":"ORDERS","2":"D","3":"96A","4":"UN"}},"BGM":{"01":{"1":"220","2":"","3":"9"},"02":"A+1'","03":"9"},"DTM":{"01":{"1":"137","2":"20020830","3":"102"}},"NAD":{"01":"BY","02":{"1":"5412","2":"","3":"9"}},"LIN":{"01":"1","02":"","03":{"1":":x","2":"SA"}},"UNT":{"01":"6","02":"117"}}]}"#
        ),
        "{found}"
    );
    let custom =
        "UNA=*,? ~UNB*UNOA=3*S*R*060515=1434*1~UNH*1*INVOIC=D=97B=UN~MOA*77=12,5~QTY*a,b~UNT*4*1~UNZ*1*1~";
    let found = read(SyntaxKind::Edifact, custom);
    assert!(found.contains(r#""MOA":{"01":{"1":"77","2":"12.5"}},"QTY":{"01":"a,b"}"#), "{found}");
}

#[test]
fn edifact_that_is_none_is_refused_or_told() {
    for (text, said) in [
        ("", "the payload is empty"),
        ("UNA:+", "UNA is cut off"),
        ("UNAxx.? '", "expected three different signs"),
        ("UNH+1'", "expected an interchange, which begins with UNA or UNB, found UNH"),
        (
            "UNB+UNOC:3+S+R+060515:1434+778'\nUNH+1",
            "line 2, column 1: segment 2: it has no end: expected `'`",
        ),
        (
            "UNB+UNOC:3+S+R+060515:1434+778'LIN+1'",
            "segment 2: LIN stands in no message: expected UNH before it",
        ),
    ] {
        let found = refused(SyntaxKind::Edifact, text);
        assert!(found.contains(said), "{text}: {found}");
    }
    let lost = "UNB+UNOC:3+S+R+060515:1434+778'UNH+1+ORDERS'UNT+3+2'UNZ+2+778'";
    let found = read(SyntaxKind::Edifact, lost);
    assert!(
        found.contains("UNT counts 3 segments, and there are 2")
            && found.contains("UNZ counts 2 messages, and there are 1"),
        "{found}"
    );
}

#[test]
fn forms_nest_and_number() {
    assert_eq!(
        read(SyntaxKind::Form, "a=1&b[c]=x+y&d[]=1&d[]=2&e[0][f]=3&e[1][f]=4&g[1]=5"),
        r#"{"a":"1","b":{"c":"x y"},"d":["1","2"],"e":[{"f":"3"},{"f":"4"}],"g":{"1":"5"}}"#
    );
    let long = "a=1&".repeat(6_000);
    assert!(refused(SyntaxKind::Form, &long).contains("a form may have 5000"));
    assert!(refused(SyntaxKind::Form, &format!("a{}=1", "[b]".repeat(200))).contains("deeper than 128"));
}

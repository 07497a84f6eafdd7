//! Bodies that are no JSON.

use super::super::Outbound;
use super::*;

fn bytes(mapping: &str, source: &Value) -> Result<String, super::super::RecordError> {
    let mut sources = Sources::default();
    sources.insert("mappings/shop/send.out.toml", mapping);
    let outbound = Outbound::compile(&sources, "shop", "send", &[]).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    });
    outbound.bytes(source, &Context::default()).map(|bytes| String::from_utf8(bytes).unwrap())
}

fn source() -> Value {
    json!({"ref":"ord_1","at":"2025-01-02T23:30:00-05:00","total":"12.50 EUR","to":{"name":"A & B <c>","city":"Z*~'+:?x"},
        "lines":[{"sku":"A","quantity":2,"note":"one, \"two\""},{"sku":"B","quantity":1}]})
}

#[test]
fn xml() {
    let mapping = "[mapping]\nformat = \"xml\"\n[body.Order]\n\"@xmlns\" = { const = \"urn:x\" }\n\"@id\" = \"ref\"\n\
                   Total = { \"@currency\" = { path = \"total\", as = \"currency\" }, \"$text\" = { path = \"total\", as = \"amount\" } }\n\
                   Name = \"to.name\"\nNone = \"none\"\n[body.Order.Lines]\n[body.Order.Lines.Line]\neach = \"lines\"\n\"@n\" = \"quantity\"\nSku = \"sku\"\n";
    assert_eq!(
        bytes(mapping, &source()).unwrap(),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Order xmlns=\"urn:x\" id=\"ord_1\"><Total currency=\"EUR\">12.50</Total>\
         <Name>A &amp; B &lt;c&gt;</Name><Lines><Line n=\"2\"><Sku>A</Sku></Line><Line n=\"1\"><Sku>B</Sku></Line></Lines></Order>\n"
    );
    let error =
        bytes("[mapping]\nformat = \"xml\"\n[body]\na = \"ref\"\nb = \"ref\"\n", &source()).unwrap_err();
    assert!(error.message.contains("the body has 2 root elements"), "{error}");
    let error = bytes("[mapping]\nformat = \"xml\"\n[body]\n\"a b\" = \"ref\"\n", &source()).unwrap_err();
    assert!(error.message.contains("`a b` is no name of an XML element"), "{error}");
}

#[test]
fn csv_and_form() {
    let mapping = "[mapping]\nformat = \"csv\"\ndelimiter = \";\"\n[body]\neach = \"lines\"\norder = \"$record.ref\"\nsku = \"sku\"\nnote = \"note\"\nquantity = \"quantity\"\n";
    assert_eq!(
        bytes(mapping, &source()).unwrap(),
        "order;sku;note;quantity\r\nord_1;A;\"one, \"\"two\"\"\";2\r\nord_1;B;;1\r\n"
    );
    let mapping = "[mapping]\nformat = \"form\"\n[body]\nz = \"ref\"\na = \"to.name\"\nlines = { each = \"lines\", sku = \"sku\" }\n";
    assert_eq!(
        bytes(mapping, &source()).unwrap(),
        "z=ord_1&a=A+%26+B+%3Cc%3E&lines%5B0%5D%5Bsku%5D=A&lines%5B1%5D%5Bsku%5D=B"
    );
}

const X12_OUT: &str = "[mapping]\nformat = \"x12\"\n[body.ISA]\n06 = { const = \"ME\" }\n08 = { const = \"THEM\" }\n\
    09 = { path = \"at\", as = \"YYMMDD\" }\n10 = { path = \"at\", as = \"HHmm\" }\n13 = { path = \"ref\", as = \"control\" }\n\
    [body.GS]\n01 = { const = \"OW\" }\n06 = { path = \"ref\", as = \"control\" }\n[body.ST]\n01 = { const = \"940\" }\n\
    [body.W05]\n01 = { const = \"N\" }\n02 = \"ref\"\n[[body.N1]]\npart = \"to\"\n01 = { const = \"ST\" }\n02 = \"to.name\"\nN4 = { 01 = \"to.city\" }\n\
    [body.LX]\neach = \"lines\"\n01 = { const = \"1\" }\n[body.LX.W01]\n01 = \"quantity\"\n02 = { const = \"EA\" }\n05 = \"sku\"\n";

#[test]
fn x12() {
    let written = bytes(X12_OUT, &source()).unwrap();
    let (isa, rest) = written.split_once("~\n").unwrap();
    assert_eq!(isa.len(), 105);
    assert!(
        isa.starts_with(
            "ISA*00*          *00*          *ZZ*ME             *ZZ*THEM           *250103*0430*U*00401*"
        ),
        "{isa}"
    );
    let control = &isa[90..99];
    assert_eq!(
        rest,
        format!(
            "GS*OW*****{control}~\nST*940*0001~\nW05*N*ord_1~\nN1*ST*A & B <c ~\nN4*Z  '+:?x~\nLX*1~\nW01*2*EA***A~\nLX*1~\nW01*1*EA***B~\n\
             SE*9*0001~\nGE*1*{control}~\nIEA*1*{control}~\n"
        )
    );
    let read = super::super::Syntax::of(super::super::SyntaxKind::X12);
    assert!(!read.read(written.as_bytes()).unwrap().to_json().contains("$error"));
    let error = bytes(&X12_OUT.replace("08 = { const = \"THEM\" }\n", ""), &source()).unwrap_err();
    assert!(error.message.contains("ISA08 is missing"), "{error}");
    let error = bytes("[mapping]\nformat = \"x12\"\n[body.beg]\n01 = \"ref\"\n", &source()).unwrap_err();
    assert!(error.message.contains("`beg` is no segment"), "{error}");
}

#[test]
fn edifact() {
    let mapping = "[mapping]\nformat = \"edifact\"\n[body.UNB]\n01 = { 1 = { const = \"UNOC\" }, 2 = { const = \"3\" } }\n02 = { const = \"ME\" }\n\
        03 = { const = \"THEM\" }\n05 = { path = \"ref\", as = \"control\" }\n[body.UNH]\n01 = { const = \"1\" }\n\
        02 = { 1 = { const = \"ORDERS\" }, 2 = { const = \"D\" }, 3 = { const = \"96A\" }, 4 = { const = \"UN\" } }\n\
        [body.BGM]\n01 = { const = \"220\" }\n02 = \"ref\"\n[body.NAD]\n01 = { const = \"DP\" }\n04 = \"to.name\"\n06 = \"to.city\"\n\
        [body.LIN]\neach = \"lines\"\n03 = { 1 = \"sku\", 2 = { const = \"EN\" } }\nQTY = { 01 = { 1 = { const = \"21\" }, 2 = \"quantity\" } }\n";
    let written = bytes(mapping, &source()).unwrap();
    let (head, rest) = written.split_once("UNH+").unwrap();
    assert!(head.starts_with("UNA:+.? '\nUNB+UNOC:3+ME+THEM++"), "{head}");
    assert!(
        rest.starts_with("1+ORDERS:D:96A:UN'\nBGM+220+ord_1'\nNAD+DP+++A & B <c>++Z*~?'?+?:??x'\nLIN+++A:EN'\nQTY+21:2'\nLIN+++B:EN'\nQTY+21:1'\nUNT+8+1'\nUNZ+1+"),
        "{rest}"
    );
    let read = super::super::Syntax::of(super::super::SyntaxKind::Edifact);
    let node = read.read(written.as_bytes()).unwrap();
    assert!(
        node.to_json().contains(r#""06":"Z*~'+:?x""#) && !node.to_json().contains("$error"),
        "{}",
        node.to_json()
    );
}

#[test]
fn tests_of_bodies_compare_their_lines() {
    let mapping = format!("{X12_OUT}[[test]]\nbody = '''{}'''\nexpect = '''\nISA*00\n'''\n", source());
    let mut sources = Sources::default();
    sources.insert("mappings/shop/send.out.toml", mapping);
    let outcomes = super::super::test::run_tests(&sources, "shop", "send");
    assert!(
        outcomes[0].differences[0].starts_with("line 1: expected `ISA*00`, found `ISA*00*  "),
        "{outcomes:?}"
    );
}

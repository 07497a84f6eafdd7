//! The language as a whole, on texts small enough to read.

use serde_json::{Value, json};

use crate::config::sources::Sources;

use super::{Context, Inbound, Mapped, MappedFact, Node};

mod docs;
mod formats;
mod mistakes;
mod outbound;
mod overlay;
mod property;
mod traps;

fn sources(mapping: &str) -> Sources {
    let mut sources = Sources::default();
    sources.insert("mappings/shop/order.in.toml", mapping);
    sources.insert("lists/gateways.csv", "shopify,crossdock\nshopify_payments,stripe\nbogus,never\n");
    sources
}

fn compile(mapping: &str) -> Inbound {
    Inbound::compile(&sources(mapping), "shop", "order", &[]).unwrap_or_else(|problems| {
        panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

fn problems(mapping: &str) -> Vec<String> {
    match Inbound::compile(&sources(mapping), "shop", "order", &[]) {
        Ok(inbound) => inbound.warnings().iter().map(ToString::to_string).collect(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    }
}

fn run(mapping: &str, payload: &str) -> Mapped {
    let node = Node::parse_json(payload.as_bytes()).unwrap();
    compile(mapping).run(&node, &Context::default())
}

fn facts(mapping: &str, payload: &str) -> Vec<Value> {
    let mapped = run(mapping, payload);
    assert_eq!(mapped.errors, []);
    mapped.facts.iter().map(MappedFact::to_json).collect()
}

fn errors(mapping: &str, payload: &str) -> Vec<(String, String, String)> {
    let mapped = run(mapping, payload);
    mapped.errors.into_iter().map(|e| (e.cause, e.message, e.help.unwrap_or_default())).collect()
}

/// Compiles examples of all that there is.
pub(super) fn compile_everything() {
    docs::compile_all();
    overlay::compile_all();
    let everything = "[mapping]\nrecords = \"$\"\n[fact.a]\nis = \"order.placed\"\ntotal = { path = \"t\", unit = \"major\" }\n\
                      note = { join = [\"a\"], by = \"-\" }\nnumber = { expr = \"a\", with = { a = \"a\" } }\n\
                      tags = { list = \"a[*]\" }\n[fact.a.lines]\neach = \"rows\"\nref = \"id\"\nquantity = { count = true }\n\
                      weight = { path = \"w\", unit = \"g\" }\n[lookup.words]\nfile = \"lists/gateways.csv\"\n\
                      [[test]]\nbody = '{}'\nothers = true\n";
    let sources = sources(everything);
    let _ = super::test::run_tests(&sources, "shop", "order");
    let out = "[mapping]\nempty = [\"\"]\n[body]\na = \"b\"\n[[test]]\nbody = '{}'\nerror = \"x\"\n";
    let mut sources = Sources::default();
    sources.insert("mappings/shop/send.out.toml", out);
    let _ = super::test::run_tests(&sources, "shop", "send");
}

/// The example of the language, whole.
const EXAMPLE: &str = include_str!("testdata/order.in.toml");
const ORDER: &str = include_str!("testdata/order.json");

#[test]
fn the_example_maps_an_order() {
    insta::assert_json_snapshot!(facts(EXAMPLE, ORDER));
}

#[test]
fn records_are_the_first_path_that_exists() {
    let mapping = "[mapping]\nrecords = [\"orders[*]\", \"order\", \"$\"]\n[fact.a]\nis = \"order.closed\"\norder = \"id\"\n";
    let ids = |payload: &str| -> Vec<Value> {
        facts(mapping, payload).into_iter().map(|fact| fact["order"].clone()).collect()
    };
    assert_eq!(ids(r#"{"orders":[{"id":1},{"id":2}]}"#), [json!("1"), json!("2")]);
    assert_eq!(ids(r#"{"order":{"id":3}}"#), [json!("3")]);
    assert_eq!(ids(r#"{"id":4}"#), [json!("4")]);
    assert!(run(mapping, r#"{"orders":[]}"#).nothing);
}

#[test]
fn ids_past_two_to_the_53_stay_whole() {
    let mapping = "[fact.a]\nis = \"order.closed\"\norder = \"id\"\n";
    assert_eq!(facts(mapping, r#"{"id":12345678901234567890123}"#)[0]["order"], "12345678901234567890123");
}

#[test]
fn no_fact_is_an_error_unless_nothing_says_so() {
    let mapping = "[fact.a]\nis = \"order.closed\"\nwhen = { closed = true }\norder = \"id\"\n\
                   [nothing]\nwhen = { source_name = \"draft\" }\n";
    let found = errors(mapping, r#"{"id":1}"#);
    assert_eq!(found[0].0, "no_fact:shop/order");
    assert!(run(mapping, r#"{"id":1,"source_name":"draft"}"#).nothing);
}

#[test]
fn an_error_dressed_as_a_payload_is_rejected() {
    let mapping =
        "[mapping]\nreject = { successful = false }\n[fact.a]\nis = \"order.closed\"\norder = \"id\"\n";
    let found = errors(mapping, r#"{"successful":false,"message":"Not found"}"#);
    assert_eq!(found[0].0, "rejected:shop/order");
    assert!(found[0].1.contains("Not found"), "{found:?}");
    let mapping = mapping.replace("[fact.a]", "reason = [\"why[0].text\"]\n[fact.a]");
    let found = errors(&mapping, r#"{"successful":false,"message":"x","why":[{"text":"No such parcel"}]}"#);
    assert!(found[0].1.ends_with(": No such parcel"), "{found:?}");
}

#[test]
fn a_fact_without_a_required_field_fails_alone() {
    let mapping = "[fact.refund]\nis = \"payment.refunded\"\norder = \"id\"\neach = \"refunds\"\namount = \"amount\"\n\
                   currency_from = \"$record.currency\"\n[fact.closed]\nis = \"order.closed\"\norder = \"id\"\n";
    let mapped = run(mapping, r#"{"id":1,"currency":"EUR","refunds":[{"amount":"1.00"},{"amuont":"2.00"}]}"#);
    assert_eq!(mapped.facts.len(), 2);
    assert_eq!(mapped.errors.len(), 1);
    let error = &mapped.errors[0];
    assert_eq!((error.kind.as_str(), error.cause.as_str()), ("missing", "missing:shop/order:refund.amount"));
    assert_eq!(
        error.message,
        "mappings/shop/order.in.toml:5:1: refund.amount: `amount` is missing: `amount` is not there; did you mean \
         `amuont`? (at refunds item 2)"
    );
}

#[test]
fn all_mistakes_of_a_fact_are_told() {
    let mapping = "[fact.a]\nis = \"payment.captured\"\norder = \"id\"\nat = \"when\"\namount = \"amount\"\n";
    let found = errors(mapping, r#"{"id":1,"when":"yesterday","amount":"5.00"}"#);
    let causes: Vec<&str> = found.iter().map(|(cause, ..)| cause.as_str()).collect();
    assert_eq!(causes, ["no_currency:shop/order:a.amount", "bad_value:shop/order:a.at"]);
}

#[test]
fn unknown_words_are_errors_with_their_own_cause() {
    let mapping = "[fact.a]\nis = \"tracking.event\"\ntracking = \"code\"\n\
                   status = { path = \"status\", lookup = \"words\" }\n[lookup.words.rows]\nTRANSIT = \"in_transit\"\n";
    let found = errors(mapping, r#"{"code":"1Z","status":"TRANSITT"}"#);
    assert_eq!(found[0].0, "unknown_word:shop/order:status:TRANSITT");
    assert_eq!(
        found[0].2,
        "add to `[lookup.words.rows]` (mappings/shop/order.in.toml:5:9): \"TRANSITT\" = \"…\" (there is `TRANSIT`)"
    );
    let plain = "[fact.a]\nis = \"tracking.event\"\nstatus = \"status\"\n";
    assert_eq!(errors(plain, r#"{"status":"lost"}"#)[0].0, "unknown_word:shop/order:status:lost");
    assert_eq!(facts(plain, r#"{"status":"delivered"}"#)[0]["status"], "delivered");
}

#[test]
fn groups_sum_count_and_list() {
    let mapping = "[fact.a]\nis = \"fulfilment.shipped\"\norder = \"id\"\n\
                   [fact.a.lines]\neach = \"units\"\ngroup = [\"sku\"]\nsku = \"sku\"\nquantity = { count = true }\n\
                   reason = { list = \"serial\" }\n\
                   [fact.a.packages]\neach = \"boxes\"\nsort = \"-n\"\nref = \"n\"\nweight = { path = \"w\", unit_from = \"u\" }\n";
    let payload = r#"{"id":1,"units":[{"sku":"A","serial":"s1"},{"sku":"B","serial":"s2"},{"sku":"A","serial":"s3"}],
        "boxes":[{"n":9,"w":1,"u":"kg"},{"n":10,"w":16,"u":"oz"}]}"#;
    let fact = &facts(mapping, payload)[0];
    assert_eq!(
        fact["lines"],
        json!([{"sku":"A","quantity":2,"reason":"s1, s3"},{"sku":"B","quantity":1,"reason":"s2"}])
    );
    assert_eq!(fact["packages"], json!([{"ref":"10","weight":"453.59237"},{"ref":"9","weight":"1000"}]));
}

#[test]
fn lists_side_by_side_and_rows_of_plain_texts() {
    let mapping = "[fact.a]\nis = \"fulfilment.shipped\"\n[fact.a.packages]\neach = \"numbers\"\ntracking = \".\"\n\
                   url = \"^.urls[#]\"\n";
    let fact = &facts(mapping, r#"{"numbers":["a","b"],"urls":["u/a","u/b"]}"#)[0];
    assert_eq!(fact["packages"], json!([{"tracking":"a","url":"u/a"},{"tracking":"b","url":"u/b"}]));
}

#[test]
fn text_treatments() {
    let mapping = "[fact.a]\nis = \"order.placed\"\norder = { path = \"gid\", split = \"/\", take = -1 }\n\
                   number = { path = \"n\", prefix = \"#\", suffix = \"!\" }\nchannel = { path = \"c\", lower = true }\n\
                   email = { path = \"none\", default = \"\" }\nphone = { path = \"p\", empty = [\"0\"] }\n\
                   note = { join = [\"a\", { const = \"-\" }, \"b\"], by = \" \" }\n\
                   tags = { path = \"tags\", split = \",\" }\ntest = \"t\"\n";
    let payload =
        r#"{"gid":"gid://shop/Order/77","n":5,"c":"WEB","p":"0","a":"x","b":"y","tags":"a, b,,c","t":"yes"}"#;
    assert_eq!(
        facts(mapping, payload)[0],
        json!({"fact":"a","is":"order.placed","order":"77","number":"#5!","channel":"web","email":"","note":"x - y",
               "tags":["a","b","c"],"test":true})
    );
}

#[test]
fn signs_and_units_of_money() {
    let mapping = "[mapping]\ncurrency_from = \"cur\"\nunit = \"minor\"\n[fact.a]\nis = \"payment.refunded\"\n\
                   amount = { path = \"amount\", abs = true }\n";
    assert_eq!(facts(mapping, r#"{"cur":"eur","amount":-1250}"#)[0]["amount"], "12.50 EUR");
    assert_eq!(facts(mapping, r#"{"cur":"jpy","amount":"-1250"}"#)[0]["amount"], "1250 JPY");
    let node = Node::parse_json(br#"{"cur":"isk","amount":1250}"#).unwrap();
    let ctx = Context { exponents: [("ISK".to_owned(), 2)].into(), ..Context::default() };
    let mapped = compile(mapping).run(&node, &ctx);
    assert_eq!(mapped.facts[0].to_json()["amount"], "12.5 ISK");
}

#[test]
fn sums_over_chosen_rows() {
    let mapping = "[mapping]\ncurrency_from = \"currency\"\n[fact.a]\nis = \"refund.asked\"\n\
                   amount = { sum = \"amount\", each = \"transactions\", where = { kind = \"refund\" } }\n";
    let payload = r#"{"currency":"USD","transactions":[{"kind":"refund","amount":"0.10"},
        {"kind":"void","amount":"9.00"},{"kind":"refund","amount":"0.20"}]}"#;
    assert_eq!(facts(mapping, payload)[0]["amount"], "0.30 USD");
}

#[test]
fn fragments_use_fragments_and_rows_use_them_too() {
    let mapping = "[fact.a]\nis = \"order.placed\"\nship_to = { use = \"address\", from = \"to\", city = \"town\" }\n\
                   [fact.a.lines]\nuse = \"line\"\neach = \"items\"\n\
                   [fragment.address]\nuse = \"person\"\ncountry = \"country\"\ncity = \"city\"\n\
                   [fragment.person]\nname = { join = [\"first\", \"last\"] }\nphone = \"^.phone\"\n\
                   [fragment.line]\nref = \"id\"\nquantity = \"n\"\n";
    let payload = r#"{"phone":"1","to":{"first":"A","last":"B","country":"Germany","town":"X"},"items":[{"id":1,"n":2}]}"#;
    let fact = &facts(mapping, payload)[0];
    assert_eq!(fact["ship_to"], json!({"name":"A B","city":"X","country":"DE","phone":"1"}));
    assert_eq!(fact["lines"], json!([{"ref":"1","quantity":2}]));
}

#[test]
fn currency_paths_start_where_they_are_written() {
    let mapping = "[mapping]\ncurrency_from = \"cur\"\n[fact.a]\nis = \"order.placed\"\neach = \"orders\"\ntotal = \"total\"\n\
                   [fact.a.lines]\neach = \"groups[*].lines[*]\"\nref = \"id\"\nquantity = \"n\"\nunit_price = \"price\"\n\
                   discount = { path = \"off\", currency_from = [\"cur\", \"^.cur\"] }\n\
                   [fact.b]\nis = \"order.placed\"\neach = \"orders\"\ncurrency_from = \"cur\"\n\
                   [fact.b.lines]\neach = \"groups[*].lines[*]\"\nref = \"id\"\nquantity = \"n\"\nunit_price = \"price\"\n";
    let payload = r#"{"cur":"EUR","orders":[{"cur":"USD","total":"5.0",
        "groups":[{"cur":"GBP","lines":[{"id":1,"n":1,"price":"1.5","off":"0.5"}]}]}]}"#;
    let found = facts(mapping, payload);
    assert_eq!(found[0]["total"], "5.00 EUR");
    assert_eq!(found[0]["lines"][0]["unit_price"], "1.50 EUR");
    assert_eq!(found[0]["lines"][0]["discount"], "0.50 GBP");
    assert_eq!(found[1]["lines"][0]["unit_price"], "1.50 USD");
}

#[test]
fn expressions_see_what_with_names_and_nothing_else() {
    let mapping = "[mapping]\ncurrency_from = \"c\"\n[fact.a]\nis = \"payment.balance\"\n\
                   captured = { expr = \"total - owed\", with = { total = \"t\", owed = \"o\" } }\n\
                   status = { expr = '''\nif owed > 0 { \"pending\" }\nelse { \"paid\" }''', with = { owed = \"o\" } }\n";
    let fact = &facts(mapping, r#"{"c":"USD","t":"598.94","o":98.94}"#)[0];
    assert_eq!((&fact["captured"], &fact["status"]), (&json!("500.00 USD"), &json!("pending")));
    let found = errors(mapping, r#"{"c":"USD","t":"598.94"}"#);
    assert!(found[0].2.starts_with("owed is absent: give it a default"), "{found:?}");
    let wrong =
        "[fact.a]\nis = \"payment.balance\"\nstatus = { expr = \"owd == 1\", with = { owed = \"o\" } }\n";
    assert_eq!(
        problems(wrong),
        ["mappings/shop/order.in.toml:3:20: in `expr`: Undefined variable: owd; did you mean `owed`?"]
    );
}

#[test]
fn a_message_cannot_run_without_bounds() {
    let mapping = "[fact.a]\nis = \"order.placed\"\n[fact.a.lines]\neach = \"rows\"\nref = { count = \"^.rows[*].x\" }\nquantity = \"x\"\n";
    let payload = format!("{{\"rows\":[{}{{\"x\":1}}]}}", "{\"x\":1},".repeat(5000));
    let mapped = run(mapping, &payload);
    assert_eq!(mapped.errors[0].kind, "too_large");
    assert!(mapped.errors.len() <= 50);
}

fn encode(mapping: &str, source: &Value) -> Result<Value, super::RecordError> {
    let mut sources = Sources::default();
    sources.insert("mappings/shop/send.out.toml", mapping);
    super::Outbound::compile(&sources, "shop", "send", &[])
        .unwrap_or_else(|problems| {
            panic!("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
        })
        .encode(source)
}

#[test]
fn a_body_is_made_of_our_document() {
    let mapping = r#"
[mapping]
exponents = { ISK = 2 }
[body]
id = { path = "ref", required = true }
note = "order.note"
amount = { path = "amount", as = "minor" }
krona = { path = "krona", as = "minor" }
price = { path = "amount", as = "amount", default = "0.00" }
free = { path = "none", as = "major", default = "0.00" }
code = { path = "amount", as = "currency" }
day = { path = "at", as = "YYYY-MM-DD" }
stamp = { path = "at", as = "unix" }
ounces = { path = "grams", as = "weight", unit = "oz" }
rate = { path = "rate", as = "number" }
yes = { const = true }
yes_text = { const = "true" }
count = 'count'
tags = { list = "tags[*]" }
country = { path = "country", as = "alpha3" }
first = { first = [{ path = "name", as = "first_name" }] }
raw = "lines[0]"
set.from = "ref"
[body.nothing]
a = "none"
[body.to]
from = "address"
use = "address"
[body.to.set]
path = "^.ref"
[body.lines]
each = "lines"
where = { quantity = { gt = 0 } }
sku = { path = "sku", required = true }
quantity = { path = "quantity", as = "integer" }
[fragment.address]
first_name = { path = "name", as = "first_name" }
last_name = { path = "name", as = "last_name" }
"#;
    let mapping = mapping.replace("{ first = [{ path = \"name\", as = \"first_name\" }] }", "\"ref\"");
    let source = json!({"ref":"ord_1","amount":"12.5 EUR","krona":"5 ISK","at":"2025-01-02T23:30:00-05:00","grams":"56.69904625",
        "rate":"0.19","count":3,"tags":["a","b"],"country":"DE","address":{"name":"Ann B. Cole"},
        "lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":0}]});
    assert_eq!(
        encode(&mapping, &source).unwrap(),
        json!({"id":"ord_1","amount":1250,"krona":500,"price":"12.50","free":"0.00","code":"EUR","day":"2025-01-03",
            "stamp":1_735_878_600,"ounces":2,"rate":0.19,"yes":true,"yes_text":"true","count":3,"tags":["a","b"],
            "country":"DEU","first":"ord_1","raw":{"sku":"A","quantity":2},"from":"ord_1",
            "to":{"first_name":"Ann B.","last_name":"Cole","path":"ord_1"},"lines":[{"sku":"A","quantity":2}]})
    );
    let error = encode(&mapping, &json!({"order":{}})).unwrap_err();
    assert_eq!((error.kind.as_str(), error.cause.as_str()), ("missing", "missing:shop/send:body.id"));
    let error = encode(&mapping, &json!({"ref":"1","amount":"12.505 EUR"})).unwrap_err();
    assert!(error.message.contains("body.amount: 12.505 EUR is no whole number of minor units"), "{error}");
}

#[test]
fn regions_and_phones_look_for_the_country_beside_them() {
    let mapping = r#"
[body]
state = { path = "to.region", as = "region" }
phone = { first = ["to.phone", "phone"], as = "phone", country_from = "to.country" }
alone = { path = "region", as = "region", default = "CA" }
[body.to]
from = "to"
state = { path = "region", as = "region" }
phone = { path = "phone", as = "phone" }
"#;
    let source = json!({"phone":"(207) 555-0100","region":"Maine","to":{"region":"Maine","country":"US"}});
    assert_eq!(
        encode(mapping, &source).unwrap(),
        json!({"state":"ME","phone":"+12075550100","alone":"Maine","to":{"state":"ME"}})
    );
    // Neither is ever a reason to send nothing.
    let source = json!({"to":{"region":"Atlantis","phone":"ask Ann","country":"Atlantis"}});
    let to = json!({"state":"Atlantis","phone":"ask Ann"});
    assert_eq!(
        encode(mapping, &source).unwrap(),
        json!({"state":"Atlantis","phone":"ask Ann","alone":"CA","to":to})
    );
    let wrong = |rule: &str| {
        let mut sources = Sources::default();
        sources.insert("mappings/shop/send.out.toml", format!("[body]\na = {rule}\n"));
        super::Outbound::compile(&sources, "shop", "send", &[]).unwrap_err()[0].to_string()
    };
    let found = wrong("{ path = \"a\", as = \"weight\", unit = \"g\", country_from = \"b\" }");
    assert!(found.contains("2:61: `country_from` is for regions and telephone numbers"), "{found}");
    let found = wrong("{ path = \"a\", as = \"region\", country_from = 7 }");
    assert!(found.contains("2:49: `country_from` is a number"), "{found}");
    let found = wrong("{ path = \"a\", as = \"regoin\" }");
    assert!(found.contains("did you mean `region`?"), "{found}");
}

#[test]
fn a_list_that_must_have_a_row() {
    let mapping = "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\n[fact.placed.lines]\nrequired = true\n\
                   each = \"lines\"\nref = \"id\"\nquantity = \"q\"\n";
    assert_eq!(facts(mapping, r#"{"id":1,"lines":[{"id":2,"q":3}]}"#).len(), 1);
    for none in [r#"{"id":1}"#, r#"{"id":1,"lines":[]}"#] {
        let found = errors(mapping, none);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, "missing:shop/order:placed.lines");
        assert_eq!(
            found[0].1,
            "mappings/shop/order.in.toml:4:14: placed.lines: `lines` has no row, and must have one"
        );
    }
}

//! What trips naive mappers, one by one.

use super::*;

#[test]
fn numbers_as_a_continent_writes_them() {
    let mapping = "[mapping]\ncurrency_from = \"cur\"\ndecimal = \",\"\n[fact.a]\nis = \"order.placed\"\ntotal = \"total\"\n\
                   [fact.a.lines]\neach = \"rows\"\nref = \"id\"\nquantity = \"n\"\nunit_price = { path = \"p\", decimal = \".\" }\n\
                   tax = { sum = \"t\", each = \"taxes\" }\n";
    let payload = r#"{"cur":"EUR","total":"1.234","rows":[{"id":1,"n":"1.000","p":"2.500","taxes":[{"t":"1,5"},{"t":"2"}]}]}"#;
    let found = facts(&mapping.replace("\"total\"\n", "{ path = \"total\", unit = \"major\" }\n"), payload);
    assert_eq!(found[0]["total"], "1234.00 EUR");
    assert_eq!(
        found[0]["lines"],
        json!([{"ref":"1","quantity":1000,"unit_price":"2.50 EUR","tax":"3.50 EUR"}])
    );
    let found = errors(
        "[fact.a]\nis = \"order.placed\"\nlines = { each = \"r\", ref = \"i\", quantity = \"n\" }\n",
        r#"{"r":[{"i":1,"n":"1,234"}]}"#,
    );
    assert_eq!(found[0].0, "ambiguous:shop/order:a.lines.quantity");
    assert_eq!(
        problems("[mapping]\ndecimal = \";\"\n[fact.a]\nis = \"order.closed\"\norder = \"id\"\n"),
        [
            "mappings/shop/order.in.toml:2:11: the sign before decimals is a comma or a point; expected \",\" or \".\""
        ]
    );
}

#[test]
fn the_account_says_currency_and_what_was_asked() {
    let mapping = "[mapping]\nunit = \"major\"\ncurrency_from = \"cur\"\n[fact.a]\nis = \"order.placed\"\norder = { first = [\"id\", \"$asked.id\"] }\n\
                   total = \"total\"\n";
    let run = |payload: &str| {
        let node = Node::parse_json(payload.as_bytes()).unwrap();
        let asked = [("id".to_owned(), "77".to_owned())].into();
        let ctx = Context { currency: Some("CAD".to_owned()), asked, ..Context::default() };
        compile(mapping).run(&node, &ctx).facts[0].to_json()
    };
    assert_eq!(
        run(r#"{"total":5}"#),
        json!({"fact":"a","is":"order.placed","order":"77","total":"5.00 CAD"})
    );
    assert_eq!(run(r#"{"id":1,"total":5,"cur":"USD"}"#)["total"], "5.00 USD");
}

#[test]
fn what_is_named_elsewhere_is_found() {
    let mapping = "[fact.a]\nis = \"order.placed\"\nship_to = { from = \"addresses[id=$record.order.to]\", name = \"name\" }\n\
                   [fact.a.lines]\neach = \"rows\"\nref = \"id\"\nquantity = \"n\"\ntitle = \"$record.titles[sku=^.of][0].text\"\n";
    let mapping = mapping.replace("[sku=^.of][0]", "[row=$record.first][0]");
    let payload = r#"{"order":{"to":2},"first":"1","addresses":[{"id":1,"name":"A"},{"id":2,"name":"B"}],
        "rows":[{"id":1,"n":1}],"titles":[{"row":"1","text":"T"}]}"#;
    let found = facts(&mapping, payload);
    assert_eq!(found[0]["ship_to"], json!({"name":"B"}));
    assert_eq!(found[0]["lines"][0]["title"], "T");
}

#[test]
fn one_row_a_unit() {
    let mapping = "[mapping]\ncurrency = \"INR\"\n[fact.a]\nis = \"order.placed\"\n[fact.a.lines]\neach = \"items\"\ngroup = [\"sku\"]\n\
                   ref = \"sku\"\nsku = \"sku\"\nquantity = { count = true, where = { status = { not = \"CANCELLED\" } } }\n\
                   tax = { sum = \"tax\", where = { status = { not = \"CANCELLED\" } } }\n";
    let payload = r#"{"items":[{"sku":"A","tax":"1.10","status":"NEW"},{"sku":"A","tax":"1.15","status":"CANCELLED"},
        {"sku":"A","tax":"1.10","status":"NEW"},{"sku":"B","tax":"2.00","status":"CANCELLED"}]}"#;
    assert_eq!(
        facts(mapping, payload)[0]["lines"],
        json!([{"ref":"A","sku":"A","quantity":2,"tax":"2.20 INR"},{"ref":"B","sku":"B","quantity":0}])
    );
}

#[test]
fn a_list_may_be_required_and_records_may_have_a_condition() {
    let mapping = "[mapping]\nrecords = [{ path = \"items[*]\", when = { search.exists = { exists = true } } }, \"$\"]\n\
                   [fact.a]\nis = \"order.placed\"\norder = \"id\"\n[fact.a.lines]\nrequired = true\neach = \"items\"\nref = \"id\"\nquantity = \"n\"\n";
    let mapping = mapping.replace("search.exists", "search");
    let found = errors(&mapping, r#"{"id":1,"items":[]}"#);
    assert_eq!(found[0].0, "missing:shop/order:a.lines");
    let found = facts(&mapping, r#"{"id":1,"items":[{"id":5,"n":2}]}"#);
    assert_eq!(found[0]["order"], "1");
    let found = facts(
        &mapping,
        r#"{"search":{},"items":[{"id":5,"items":[{"id":6,"n":1}]}]}"#.replace("{}", "{\"a\":1}").as_str(),
    );
    assert_eq!(found[0]["order"], "5");
    assert!(
        problems("[mapping]\nrecords = [{ when = { a = 1 } }]\n[fact.a]\nis = \"order.closed\"\n")[0]
            .contains("the entry has no `path`")
    );
}

#[test]
fn zones_by_the_words_of_the_partner() {
    let mapping = "[mapping]\nzones = { EST = \"-05:00\", CT = \"America/Chicago\" }\n[fact.a]\nis = \"order.closed\"\nat = \"at\"\n\
                   [fact.b]\nis = \"order.closed\"\nat = { join = [\"d\", \"t\"], by = \"\", formats = [\"YYYYMMDDHHmm\"], zone_from = \"z\" }\n";
    let found = facts(mapping, r#"{"at":"2015-01-29 08:46:27 EST","d":20150629,"t":"0846","z":"CT"}"#);
    assert_eq!(
        (&found[0]["at"], &found[1]["at"]),
        (&json!("2015-01-29T08:46:27-05:00"), &json!("2015-06-29T08:46:00-05:00"))
    );
    let found = errors(mapping, r#"{"at":"2015-01-29 08:46:27 EST","d":20150629,"t":"0846","z":"XT"}"#);
    assert!(found[0].1.contains("`XT` is no time zone") && found[0].2.contains("zones = {"), "{found:?}");
}

#[test]
fn errors_in_expressions_name_their_place_in_the_file() {
    let mapping = "[mapping]\ncurrency = \"EUR\"\n[fact.a]\nis = \"payment.balance\"\ncaptured = { expr = '''\nlet x = total;\n  x / owed\n''', \
                   with = { total = \"t\", owed = \"o\" } }\n";
    let found = errors(mapping, r#"{"t":"5.00","o":"0"}"#);
    assert_eq!(found[0].0, "expr:shop/order:a.captured");
    assert!(found[0].1.contains("in `expr` at mappings/shop/order.in.toml:7:5: "), "{found:?}");
    for (expr, said) in [("while true { }", "5:"), ("total +", "5:"), ("eval(\\\"1\\\")", "5:")] {
        let wrong = format!(
            "[mapping]\ncurrency = \"EUR\"\n[fact.a]\nis = \"payment.balance\"\ncaptured = {{ expr = \"{expr}\", with = {{ total = \"t\" }} }}\n"
        );
        let found = problems(&wrong);
        assert!(
            found.iter().any(|found| found.starts_with(&format!("mappings/shop/order.in.toml:{said}"))),
            "{expr}: {found:?}"
        );
    }
}

#[test]
fn expressions_end_whatever_they_ask_for() {
    for expr in ["t + t + t", "\\\"x\\\".pad(100000000, \\\"y\\\")", "t * 79228162514264337593543950335 * 2"]
    {
        let mapping = format!(
            "[fact.a]\nis = \"order.placed\"\nnote = {{ expr = \"{expr}\", with = {{ t = \"t\" }} }}\n"
        );
        if let Ok(inbound) = Inbound::compile(&sources(&mapping), "shop", "order", &[]) {
            let text = "y".repeat(60_000);
            let payload = json!({ "t": text });
            let mapped = inbound.run(&Node::from_value(&payload), &Context::default());
            assert!(mapped.errors.iter().all(|error| error.kind == "expr"), "{expr}: {:?}", mapped.errors);
            assert_eq!(mapped.errors.len(), 1, "{expr}");
        }
    }
}

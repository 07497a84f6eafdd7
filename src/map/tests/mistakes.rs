//! The mistakes that people make, and what they are told: always with file, line and column.

use super::super::lint;
use super::*;

const FACT: &str = "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\n";

/// What `map lint` says of a mapping with one test.
fn lint(mapping: &str, payload: &str) -> Vec<String> {
    let test = format!("[[test]]\nbody = '''{payload}'''\nothers = true\n");
    let sources = sources(&format!("{mapping}{test}"));
    let found = lint::lint(&sources, "shop", "order").unwrap();
    found.iter().filter(|one| one.name == "untested").map(|one| one.found.to_string()).collect()
}

#[test]
fn one_a_word_that_is_read_as_a_path() {
    assert_eq!(
        lint(&format!("{FACT}channel = \"web\"\n"), r#"{"id":1}"#),
        [
            "mappings/shop/order.in.toml:4:1: warning: `channel` is empty in every test: `web` is not there; `web` is read \
          as a path; for the text itself: { const = \"web\" }"
        ]
    );
    assert_eq!(
        problems("[fact.a]\nis = \"tracking.event\"\nstatus = \"delivered\"\n"),
        ["mappings/shop/order.in.toml:3:10: warning: `delivered` is read as a path; for the word itself: \
             { const = \"delivered\" }"]
    );
}

#[test]
fn two_a_field_below_a_sub_header() {
    let mapping = format!(
        "{FACT}\n[fact.placed.lines]\neach = \"items\"\nref = \"id\"\nquantity = \"n\"\nnote = \"note\"\n"
    );
    assert_eq!(
        problems(&mapping),
        [
            "mappings/shop/order.in.toml:9:1: `note` is no field of lines but of order.placed; move it above line 5"
        ]
    );
}

#[test]
fn three_a_path_of_the_record_in_a_row() {
    let mapping = format!(
        "[mapping]\nunit = \"major\"\n{FACT}[fact.placed.charges]\neach = \"shipping\"\namount = {{ path = \"price\", currency_from = \"currency\" }}\n"
    );
    let found = errors(&mapping, r#"{"id":1,"currency":"USD","shipping":[{"price":"1.00"}]}"#);
    assert_eq!(found[0].0, "no_currency:shop/order:placed.charges.amount");
    assert_eq!(found[0].2, "`currency` is not in the row; paths start at the row: `$record.currency` exists");
    let required = "[fact.r]\nis = \"payment.refunded\"\neach = \"refunds\"\namount = \"total\"\n";
    let found = errors(required, r#"{"total":"1.00 USD","refunds":[{"id":1}]}"#);
    assert!(found[0].1.contains("paths start at the row: `$record.total` exists"), "{found:?}");
}

#[test]
fn four_a_step_through_a_list() {
    let found = errors(
        "[fact.a]\nis = \"order.closed\"\norder = \"refunds.id\"\n",
        r#"{"refunds":[{"id":1},{"id":2}]}"#,
    );
    assert_eq!(
        found[0].1,
        "mappings/shop/order.in.toml:3:9: a.order: `refunds.id`: `refunds` is a list of 2"
    );
    assert_eq!(
        found[0].2,
        "write `refunds[0]` for the first, `refunds[-1]` for the last, or `refunds[*]` with each, list or sum"
    );
    assert_eq!(
        problems("[fact.a]\nis = \"order.closed\"\norder = \"refunds[*].id\"\n"),
        [
            "mappings/shop/order.in.toml:3:9: `refunds[*].id` gives several values, and `order` takes one; write [0] or \
             [-1] for one of them, or { sum = … }, { join = … }, { list = … }"
        ]
    );
}

#[test]
fn five_a_header_twice() {
    let mapping = format!("{FACT}[fact.closed]\nis = \"order.closed\"\n[fact.placed]\nnumber = \"name\"\n");
    assert_eq!(
        problems(&mapping),
        [
            "mappings/shop/order.in.toml:6:7: not TOML: `[fact.placed]` stands here twice; `[fact.placed]` began at line 1: continue there"
        ]
    );
}

#[test]
fn six_signs_that_toml_does_not_know() {
    for (line, said) in [
        (
            "order = “id”",
            "mappings/shop/order.in.toml:3:9: not TOML: the sign “; write the straight quote \" instead",
        ),
        ("order: \"id\"", "write `key = \"value\"`, with an equals sign"),
        ("order = \"\\d\"", "write a backslash twice (\\\\), or use '…' for the text"),
    ] {
        let found = problems(&format!("[fact.a]\nis = \"order.closed\"\n{line}\n"));
        assert!(found[0].contains(said), "{line}: {found:?}");
        assert!(found[0].starts_with("mappings/shop/order.in.toml:3:"), "{found:?}");
    }
}

#[test]
fn seven_bare_integers_as_money() {
    let mapping = "[mapping]\ncurrency_from = \"cur\"\n[fact.a]\nis = \"payment.captured\"\namount = \"amount.value\"\n";
    let found = errors(mapping, r#"{"cur":"USD","amount":{"value":1000}}"#);
    assert_eq!(found[0].0, "ambiguous:shop/order:a.amount");
    assert_eq!(found[0].1, "mappings/shop/order.in.toml:5:10: a.amount: 1000: 10.00 USD or 1000.00 USD?");
    assert_eq!(found[0].2, "write `unit = \"minor\"` or `unit = \"major\"` in [mapping] or in the rule");
}

#[test]
fn eight_a_time_without_a_zone() {
    let mapping = "[fact.a]\nis = \"order.closed\"\nat = \"at\"\n";
    let payload = r#"{"at":"2015-06-29T08:46:27"}"#;
    let found = errors(mapping, payload);
    assert_eq!(found[0].0, "no_zone:shop/order:a.at");
    assert_eq!(found[0].1, "mappings/shop/order.in.toml:3:6: a.at: 2015-06-29T08:46:27 has no zone");
    assert_eq!(found[0].2, "set `zone` in the rule or in [mapping], or `zone` on the account");
    let node = Node::parse_json(payload.as_bytes()).unwrap();
    let ctx = Context { account: Some("depot".to_owned()), ..Context::default() };
    assert_eq!(
        compile(mapping).run(&node, &ctx).errors[0].help.as_deref(),
        Some("set `zone` in the rule or in [mapping], or on the account: `zone` in [account.depot]")
    );
    let ctx = Context { zone: Some("+08:00".to_owned()), ..Context::default() };
    assert_eq!(compile(mapping).run(&node, &ctx).facts[0].to_json()["at"], "2015-06-29T08:46:27+08:00");
}

#[test]
fn nine_an_unknown_word() {
    let mapping = "[fact.a]\nis = \"order.cancelled\"\nreason = { path = \"r\", lookup = \"reason\" }\n\
                   [lookup.reason.rows]\ncustomer = \"buyer\"\n";
    let found = errors(mapping, r#"{"r":"chargeback"}"#);
    assert_eq!(found[0].0, "unknown_word:shop/order:reason:chargeback");
    assert_eq!(
        found[0].1,
        "mappings/shop/order.in.toml:3:10: a.reason: the word `chargeback` is not known in [lookup.reason]"
    );
    assert_eq!(
        found[0].2,
        "add to `[lookup.reason.rows]` (mappings/shop/order.in.toml:4:9): \"chargeback\" = \"…\""
    );
}

#[test]
fn ten_a_list_saved_by_a_spreadsheet() {
    let mapping = "[fact.a]\nis = \"inventory.level\"\nsku = { path = \"sku\", lookup = \"skus\" }\n\
                   [lookup.skus]\nfile = \"lists/skus.csv\"\nkey = \"theirs\"\nvalue = \"ours\"\n";
    let mut sources = sources(mapping);
    sources.insert("lists/skus.csv", "\u{feff}theirs;ours\r\nA;1\r\nB;2\r\n123;3\r\n");
    let inbound = Inbound::compile(&sources, "shop", "order", &[]).unwrap();
    let node = Node::parse_json(br#"{"sku":"00123"}"#).unwrap();
    let error = inbound.run(&node, &Context::default()).errors.remove(0);
    let help = error.help.unwrap();
    assert!(
        help.starts_with("lists/skus.csv row 4 has `123`; messages say `00123`: leading zeros lost?"),
        "{help}"
    );
}

#[test]
fn names_that_are_nearly_right() {
    for (mapping, said) in [
        (
            "[fact.a]\nis = \"order.plced\"\n",
            "2:6: there is no kind of fact `order.plced`; did you mean `order.placed`?",
        ),
        ("[fact.a]\norder = \"id\"\n", "1:7: [fact.a] does not say what kind of fact it is; add `is = "),
        (
            "[fact.a]\nis = \"order.placed\"\nemial = \"e\"\n",
            "3:1: `emial` is no field of order.placed; did you mean `email`?",
        ),
        ("[fact.a]\nis = \"order.placed\"\npo = \"p\"\n", "to carry it along write extra.po"),
        (
            "[fact.a]\nis = \"order.placed\"\ntotal = { pth = \"t\" }\n",
            "3:11: unknown key `pth` in the rule of `total`; did you mean `path`?",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nship_to = { use = \"adress\" }\n[fragment.address]\n",
            "3:19: there is no fragment `adress`; did you mean `address`?",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nnote = { path = \"n\", lookup = \"wrods\" }\n[lookup.words.rows]\na = \"b\"\n",
            "did you mean `words`?",
        ),
        (
            "[fcat.a]\nis = \"order.placed\"\n[fact.b]\nis = \"order.closed\"\n",
            "1:2: unknown key `fcat` in a mapping; did you mean `fact`?",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\ntags = 5\n",
            "3:8: `tags` is a number, and a rule is a path or a table; for the value itself: { const = 5 }",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nnote = { path = \"a\", const = \"b\" }\n",
            "3:8: `note`: it has 2 sources: path, const; keep one of them",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nat = { path = \"a\", formats = [\"yyyy\"] }\n",
            "`y` means nothing in the pattern `yyyy`",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nat = { path = \"a\", zone = \"Mars\" }\n",
            "3:27: `Mars` is no time zone",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nnote = { path = \"a\", unit = \"g\" }\n",
            "3:22: `unit` is for money and weights; take it out",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\ntotal = { path = \"a\", unit = \"cents\" }\n",
            "`cents` is no unit of money; expected \"major\" or \"minor\"",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nlines = { path = \"items\" }\n",
            "`lines` is a list of rows: `path` gives one value; write `each",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nship_to = \"address\"\n",
            "`ship_to` has fields of its own, and this is a text; write ship_to = { use",
        ),
        ("[fact.a]\nis = \"order.placed\"\nwhere = { a = 1 }\n", "3:1: `where` without `each`"),
        ("[fact.a]\nis = \"order.placed\"\nnote = \"a..b\"\n", "3:8: `a..b` is no path: a step has no name"),
        (
            "[fact.a]\nis = \"order.placed\"\nuse = \"x\"\n[fragment.x]\nuse = \"y\"\n[fragment.y]\nuse = \"x\"\n",
            "the fragment `x` uses itself; the circle is x → y → x",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\nnote = { first = [] }\n",
            "3:18: `first` is an empty list; name the paths or rules",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\ntotal = { path = \"t\", as = \"money\" }\n",
            "3:23: `as` in the rule of `total`: it is for outbound mappings; the field on the left fixes the type",
        ),
        (
            "[fact.a]\nis = \"order.placed\"\ntotal = { sum = \"rows[*].p\", where = { id = 1 } }\n",
            "3:30: `where` chooses rows, and `rows[*].p` names values; write { sum = \"p\", each = \"rows\", where = … }",
        ),
        ("[fact.a]\nis = \"stock.ask\"\n", "there is no kind of fact `stock.ask`"),
        (
            "[fact.a]\nis = \"payment.captured\"\namount = { path = \"a\", currency = \"cur\" }\n",
            "a path goes into `currency_from`, a code such as USD into `currency`",
        ),
    ] {
        let found = problems(mapping);
        assert!(
            found.iter().any(|found| found.contains(said)),
            "{mapping}\nexpected: {said}\nfound: {found:#?}"
        );
        assert!(found.iter().all(|found| found.starts_with("mappings/shop/order.in.toml:")), "{found:#?}");
    }
}

#[test]
fn every_mistake_is_told_at_once() {
    let mapping =
        "[mapping]\nrecrods = \"x\"\n[fact.a]\nis = \"order.placed\"\nemial = \"a\"\n[fact.b]\nis = \"x\"\n";
    assert_eq!(problems(mapping).len(), 3);
}

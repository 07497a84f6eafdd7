//! `crossdock map` as people and scripts meet it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn crossdock(args: &[&str], input: &str) -> Output {
    beside(&[], args, input)
}

/// The same, with files beside the config.
fn beside(files: &[(&str, &str)], args: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_crossdock"))
        .args(args)
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

const ORDER: &str = r#"{"id":12345678901234567890,"name":"7","created_at":"2025-01-02T03:04:05Z",
    "updated_at":"2025-01-02T03:04:05Z","currency":"USD","total_price":"12.50","financial_status":"paid",
    "line_items":[{"id":1,"quantity":2,"price":"6.25","sku":"A"}]}"#;

#[test]
fn a_topic_or_a_mapping_gives_facts_as_json() {
    for topic in ["orders/create", "order"] {
        let output = crossdock(&["map", "run", "shopify", topic, "-"], ORDER);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(facts[0]["is"], "order.placed");
        assert_eq!(facts[0]["order"], "12345678901234567890");
        assert_eq!(facts[0]["total"], "12.50 USD");
    }
}

#[test]
fn a_payload_that_cannot_be_mapped_names_the_cause() {
    let output = crossdock(&["map", "run", "shopify", "orders/create", "-"], r#"{"id":1}"#);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "[]");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("missing:shopify/order:placed."), "{said}");
    let output = crossdock(&["map", "run", "shopify", "orders/create", "-"], "{");
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("no JSON: line 1, column 2"));
}

#[test]
fn what_is_unknown_is_told_with_what_is_near() {
    for (args, said) in [
        (["shopfy", "order"], "there is no connector `shopfy`; did you mean `shopify`?"),
        (["shopify", "ordr"], "there is no topic or mapping `ordr`; did you mean `order`?"),
    ] {
        let output = crossdock(&["map", "run", args[0], args[1], "-"], "{}");
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stderr).unwrap().contains(said), "{said}");
    }
}

#[test]
fn shipped_mappings_pass_their_tests() {
    let output = crossdock(&["map", "test"], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn explain_tells_where_a_value_came_from() {
    let output = crossdock(&["map", "explain", "shopify", "orders/create", "-", "--field", "total"], ORDER);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("total = 12.50 USD  ← `total_price` = \"12.50\""), "{said}");
    let output = crossdock(&["map", "explain", "shopify", "orders/create", "-", "--json"], ORDER);
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(told["facts"][0]["fields"].as_array().unwrap().len() > 10);
}

#[test]
fn mappings_need_no_connector() {
    let send = include_str!("../docs/recipes/26-send-xml/send.out.toml");
    let input = include_str!("../docs/recipes/26-send-xml/sample.json");
    let files = [("mappings/erp/send.out.toml", send)];
    let output = beside(&files, &["map", "run", "erp", "send", "-"], input);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let expected = include_str!("../docs/recipes/26-send-xml/expected.xml");
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), expected.trim_end());

    // With the overlay of a client.
    let mapping = "[fact.placed]\nis = \"order.closed\"\norder = \"id\"\nat = \"at\"\n";
    let overlay = "[overlay]\nof = \"erp/order\"\n[fact.placed]\norder = \"ref\"\n";
    let files = [("mappings/erp/order.in.toml", mapping), ("mappings/clients/acme/erp/order.toml", overlay)];
    let order = r#"{"id":1,"ref":2,"at":"2026-01-02T03:04:05Z"}"#;
    for (client, id) in [(None, "1"), (Some("acme"), "2")] {
        let mut args = vec!["map", "run", "erp", "order", "-"];
        args.extend(client.iter().flat_map(|client| ["--client", client]));
        let output = beside(&files, &args, order);
        let facts: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(facts[0]["order"], id);
    }

    // What is wrong is told with its place.
    let broken = [("mappings/erp/send.out.toml", "[body]\na = { path = \"x\", as = \"wrod\" }\n")];
    let output = beside(&broken, &["map", "run", "erp", "send", "-"], "{}");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("mappings/erp/send.out.toml:2:"), "{said}");
}

#[test]
fn one_field_is_explained_alone() {
    let output = crossdock(&["map", "explain", "shopify", "order", "-", "--field", "total"], ORDER);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("total = 12.50 USD") && !said.contains("current_total"), "{said}");
}

//! `crossdock map` as people and scripts meet it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

fn crossdock(args: &[&str], input: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
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

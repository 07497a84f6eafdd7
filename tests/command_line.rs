//! The commands that need no daemon, through the binary.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crossdock::config::embedded;
use crossdock::connector;
use crossdock::connector::signature::sign;
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};

fn crossdock(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossdock"));
    command
        .args(arguments)
        .current_dir(folder)
        .env_remove("CROSSDOCK_CONFIG")
        .env("TOKEN", "x")
        .output()
        .unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn the_reference_config_is_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let found = crossdock(root, &["check"]);
    assert!(found.status.success(), "{}", err(&found));
    assert!(out(&found).starts_with("config.toml: in order: 0 accounts, 0 flows, "), "{}", out(&found));
}

#[test]
fn the_configs_of_the_guide_are_in_order() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for config in ["deploy/debian/config.toml", "deploy/compose/config.toml"] {
        let found = Command::new(env!("CARGO_BIN_EXE_crossdock"))
            .args(["check", "--config", config])
            .current_dir(root)
            .env("CROSSDOCK_TOKEN", "t")
            .env("CROSSDOCK_DATABASE", "postgres://crossdock:p@database:5432/crossdock?sslmode=disable")
            .env("CROSSDOCK_BUS", "amqp://crossdock:p@broker:5672/crossdock")
            .output()
            .unwrap();
        assert!(found.status.success(), "{config}: {}", err(&found));
        assert_eq!(err(&found), "", "{config}: no warnings either");
    }
}

#[test]
fn check_tells_every_problem_and_exits_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    fs::write(
        &config,
        "[sever]\n[account.shop]\nconnector = \"shopfy\"\n[flow.acme]\nstorefronts = [\"shp\"]\n",
    )
    .unwrap();
    let found = crossdock(folder.path(), &["check"]);
    assert_eq!(found.status.code(), Some(1));
    let text = err(&found);
    for expected in [
        "config.toml:1:2: unknown key `sever`; did you mean `server`?",
        "config.toml:3:13: `account.shop.connector`: there is no connector `shopfy`; did you mean `shopify`?",
        "config.toml:4:1: `client` is missing in [flow.acme]; expected the merchant's name",
        "config.toml:5:15: `flow.acme.storefronts`: there is no [account.shp]; did you mean `shop`?",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected}\nnot in\n{text}");
    }
    let found = crossdock(folder.path(), &["check", "--json"]);
    assert_eq!(found.status.code(), Some(1));
    let problems: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!(problems.as_array().unwrap().len(), 4);
    assert_eq!(
        problems[0],
        json!({ "severity": "error", "file": "config.toml", "line": 1, "column": 2,
                "message": "unknown key `sever`", "help": "did you mean `server`?" })
    );
    let found = crossdock(folder.path(), &["check", "--config", "none.toml"]);
    assert_eq!((found.status.code(), err(&found).contains("none.toml: cannot be read")), (Some(1), true));
}

#[test]
fn files_beside_the_config_override_shipped_ones_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), "[paths]\nconnectors = \"mine\"\n").unwrap();
    let mine = folder.path().join("mine/stripe");
    fs::create_dir_all(&mine).unwrap();
    let shipped = embedded().get("connectors/stripe/connector.toml").unwrap().to_owned();
    let title = shipped.lines().find(|line| line.starts_with("title")).unwrap();
    fs::write(mine.join("connector.toml"), shipped.replace(title, "title = \"Ours\"")).unwrap();
    let found = crossdock(folder.path(), &["connector", "show", "stripe", "--json"]);
    let shown: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&shown["title"], &shown["origin"]), (&json!("Ours"), &json!("local")));
    fs::write(mine.join("connector.toml"), "[connector]\n").unwrap();
    let found = crossdock(folder.path(), &["check"]);
    assert_eq!(found.status.code(), Some(1), "a broken manifest fails the check");
    assert!(err(&found).contains("connectors/stripe/connector.toml:"), "{}", err(&found));
}

#[test]
fn connectors_are_listed_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let list = crossdock(folder.path(), &["connector", "list", "--json"]);
    let list: Value = serde_json::from_slice(&list.stdout).unwrap();
    let (connectors, mapped): (Vec<&Value>, Vec<&Value>) =
        list.as_array().unwrap().iter().partition(|one| one["mappings"].is_null());
    let names: Vec<&str> = connectors.iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(names, ["easypost", "shiphero", "shopify", "stripe"]);
    assert!(mapped.iter().any(|one| one["name"] == "adyen"), "partners with mappings only come after them");
    let plain = crossdock(folder.path(), &["connector", "list"]);
    assert!(out(&plain).lines().count() == 4 + mapped.len() && plain.status.success());
    let shown = crossdock(folder.path(), &["connector", "show", "shopify"]);
    assert!(out(&shown).contains("fulfilment.create"), "{}", out(&shown));
    let missing = crossdock(folder.path(), &["connector", "show", "shopfy"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(err(&missing), "crossdock: there is no connector `shopfy`; did you mean `shopify`?\n");
}

#[test]
fn webhook_verify_exits_with_0_or_1() {
    let folder = tempfile::tempdir().unwrap();
    let (registry, _) = connector::load(&embedded());
    let scheme = registry.get("stripe").unwrap().manifest.webhook.clone().unwrap().signature;
    let body = b"{\"id\":\"evt_1\"}\n";
    let now = Timestamp::from_second(1_700_000_000).unwrap();
    let headers = sign(&scheme, &SecretString::from("old".to_owned()), body, "", now);
    let headers: serde_json::Map<String, Value> =
        headers.into_iter().map(|(name, value)| (name, json!(value))).collect();
    fs::write(folder.path().join("headers.json"), serde_json::to_vec(&headers).unwrap()).unwrap();
    fs::write(folder.path().join("body.json"), body).unwrap();
    let verify = |more: &[&str]| {
        let mut arguments =
            vec!["webhook", "verify", "stripe", "--headers", "headers.json", "--body", "body.json"];
        arguments.extend(more);
        let found = crossdock(folder.path(), &arguments);
        (found.status.code(), out(&found))
    };
    let at = ["--now", "1700000000"];
    assert_eq!(
        verify(&[&at[..], &["--secret", "new", "--secret", "old"]].concat()),
        (Some(0), "valid\n".to_owned())
    );
    let (code, text) = verify(&[&at[..], &["--secret", "new"]].concat());
    assert_eq!((code, text.starts_with("not valid: ")), (Some(1), true), "{text}");
    let (code, text) = verify(&["--secret", "old"]);
    assert_eq!((code, text.starts_with("not valid: ")), (Some(1), true), "too old by now: {text}");
    assert_eq!(verify(&[]).0, Some(2), "a secret is needed");
    fs::write(folder.path().join("body.json"), &body[..body.len() - 1]).unwrap();
    assert_eq!(verify(&[&at[..], &["--secret", "old"]].concat()).0, Some(1), "the raw bytes count");
    let none = crossdock(
        folder.path(),
        &["webhook", "verify", "nobody", "--secret", "s", "--headers", "x", "--body", "y"],
    );
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn usage_errors_exit_with_2_and_help_with_0() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(crossdock(folder.path(), &["chek"]).status.code(), Some(2));
    let help = crossdock(folder.path(), &["--help"]);
    assert!(help.status.success() && out(&help).contains("check"));
    assert!(crossdock(folder.path(), &["--version"]).status.success());
}

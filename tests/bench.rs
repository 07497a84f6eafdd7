//! `crossdock bench`, through the binary: what it counts and what its report looks like. Times are whatever they are.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn bench(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_crossdock"));
    command.arg("bench").args(arguments).current_dir(folder);
    for name in [
        "CROSSDOCK_CONFIG",
        "CROSSDOCK_URL",
        "CROSSDOCK_TOKEN",
        "CROSSDOCK_BENCH_STORE",
        "CROSSDOCK_BENCH_BUS",
    ] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn two_hundred_orders_go_all_the_way_and_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    // Patience stands for a machine that is busy with other things.
    let found = bench(
        folder.path(),
        &["--orders", "200", "--connections", "8", "--payload", "8 KiB", "--json", "--patience", "10m"],
    );
    assert!(found.status.success(), "{}", text(&found.stderr));
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    let load = &report["load"];
    assert_eq!((load["orders"].as_u64(), load["payload"].as_u64()), (Some(200), Some(8192)));
    assert_eq!(
        (load["updates"].as_u64(), load["duplicates"].as_u64()),
        (Some(25), Some(25)),
        "shares 8:1:1, whole rounds"
    );
    assert_eq!(report["accepted"]["count"], 250);
    assert_eq!((&report["applied"]["count"], &report["delivered"]["count"]), (&200.into(), &200.into()));
    assert_eq!((&report["missing"], &report["doubled"]), (&0.into(), &0.into()));
    for times in ["accept_ms", "warehouse_ms"] {
        let spread = &report[times];
        let at = |name: &str| spread[name].as_f64().unwrap();
        assert!(at("p50") <= at("p95") && at("p95") <= at("p99") && at("p99") <= at("max"), "{spread}");
    }
    assert_eq!((&report["accept_ms"]["of"], &report["warehouse_ms"]["of"]), (&250.into(), &200.into()));
    assert!(
        report["cost"]["peak_mib"].as_f64().unwrap() > 1.0,
        "the daemon was measured: {}",
        report["cost"]
    );
    assert_eq!(
        (&report["daemon"]["store"], &report["daemon"]["bus"]),
        (&"sqlite".into(), &"embedded".into())
    );
}

#[test]
fn flows_that_are_not_live_end_with_the_event() {
    let folder = tempfile::tempdir().unwrap();
    let found =
        bench(folder.path(), &["--orders", "50", "--not-live", "--listen", "--json", "--patience", "10m"]);
    assert!(found.status.success(), "{}", text(&found.stderr));
    let report: Value = serde_json::from_slice(&found.stdout).unwrap();
    assert_eq!((&report["applied"]["count"], &report["delivered"]), (&50.into(), &Value::Null));
    assert_eq!((&report["missing"], &report["warehouse_ms"]), (&0.into(), &Value::Null));
    assert_eq!(report["told"]["count"], 50);
}

#[test]
fn what_is_wrong_is_said_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let found = bench(folder.path(), arguments);
        assert!(!found.status.success(), "{}", text(&found.stdout));
        text(&found.stderr)
    };
    assert!(run(&["--mix", "change=1"]).contains("create, update, duplicate"));
    assert!(run(&["--rate", "fast"]).contains("webhooks a second"));
    assert!(run(&["--nodes", "3"]).contains("--store and --bus"));
    assert!(run(&["--payload", "100", "--orders", "1"]).contains("bytes at least"));
    assert!(run(&["--url", "http://127.0.0.1:9"]).contains("the daemon's own config"));
    fs::write(folder.path().join("config.toml"), "").unwrap();
    assert!(run(&["--url", "http://127.0.0.1:9"]).contains("no enabled account of the connector shopify"));
    let shop = "[account.shop]\nconnector = \"shopify\"\nclient = \"acme\"\nsettings = { shop = \"a.myshopify.com\" }\n\
        secrets = { token = { file = \"secret\" }, webhook = { file = \"secret\" } }\n";
    fs::write(folder.path().join("config.toml"), shop).unwrap();
    fs::write(folder.path().join("secret"), "s").unwrap();
    assert!(run(&["--url", "http://127.0.0.1:9", "--account", "shp"]).contains("did you mean `shop`?"));
    assert!(run(&["--url", "http://127.0.0.1:9"]).contains("no daemon at http://127.0.0.1:9"));
}

//! A grown installation moves from its file to PostgreSQL without loss, goes on there, and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crossdock::canonical::EntityKind;
use crossdock::io::store::postgres::{Options, PostgresStore};
use crossdock::io::store::sqlite::{self, SqliteStore};
use crossdock::ports::{ExceptionQuery, OrderQuery, Reserved, Store};
use serde_json::{Value, json};

use crate::daemon::{Daemon, Town, free_port, get};
use crate::server::Server;

/// Everything that the trait tells of a store.
async fn all(store: &dyn Store) -> Value {
    let mut entities = Vec::new();
    for kind in [EntityKind::Order, EntityKind::Stock] {
        let ids = store.entities(kind, None, 10_000).await.unwrap();
        for record in store.load(&ids).await.unwrap() {
            let attempts = store.attempts(&record.id).await.unwrap();
            let all = Reserved { stock: record.id.clone(), orders: None };
            let reserved = store.reservations(&[all]).await.unwrap().remove(0);
            entities.push(json!({
                "id": record.id, "version": record.version, "client": record.client, "state": record.state.value(),
                "facts": record.facts, "intents": record.intents, "exceptions": record.exceptions,
                "attempts": attempts, "reserved": reserved,
            }));
        }
    }
    let orders = store.orders(&OrderQuery { limit: Some(500), ..OrderQuery::default() }).await.unwrap();
    let mut found = Vec::new();
    for order in &orders {
        found.push(json!([order, store.find_order(&order.label).await.unwrap()]));
    }
    let everything = ExceptionQuery { resolved: true, limit: Some(1000), ..ExceptionQuery::default() };
    let mut pending = Vec::new();
    for shard in 0..crossdock::ports::INBOUND_SHARDS {
        for message in store.pending(shard, 10_000).await.unwrap() {
            let body = String::from_utf8_lossy(&message.content.body).into_owned();
            pending.push(json!([
                message.id,
                message.content.topic,
                message.content.event_id,
                body,
                message.attempts
            ]));
        }
    }
    let mut messages = Vec::new();
    for id in 1..2000 {
        if let Some(message) = store.message(crossdock::canonical::MessageId(id)).await.unwrap() {
            messages.push(format!("{message:?}"));
        }
    }
    let mut cursors = Vec::new();
    for (account, poll) in [
        ("shop", "orders"),
        ("shop", "order_events"),
        ("east", "orders"),
        ("east", "shipments"),
        ("pay", "events"),
    ] {
        cursors.push(store.cursor(&account.into(), poll).await.unwrap());
    }
    json!({
        "entities": entities,
        "orders": found,
        "exceptions": store.exceptions(&everything).await.unwrap(),
        "causes": store.causes(&ExceptionQuery::default()).await.unwrap(),
        "counts": store.counts().await.unwrap(),
        "counted": store.counted().await.unwrap(),
        "backlog": store.backlog().await.unwrap(),
        "pending": pending,
        "messages": messages,
        "events": store.events(10_000).await.unwrap(),
        "cursors": cursors,
        "next_due": store.next_due().await.unwrap(),
        "config": store.all("config").await.unwrap(),
        "lanes": store.all(crossdock::ports::LANES).await.unwrap(),
        "tokens": store.all("token").await.unwrap(),
    })
}

fn crossdock(config: &Path, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_crossdock"))
        .args(arguments)
        .arg("--config")
        .arg(config)
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &*String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_grown_installation_moves_and_goes_on() {
    let server = Server::start("fsync=off").await;
    let url = server.database().await;
    let mut town = Town::new(7).await;
    let port = free_port();
    let path = town.config("node", port, None);
    let file = path.with_file_name("crossdock.db");
    let daemon = Daemon::start(&path, port);
    town.deliver_to(&daemon.address);
    town.place(8);
    town.live(Duration::from_secs(12)).await;
    town.place(2);
    town.live(Duration::from_secs(1)).await;
    // In the middle of its work.
    daemon.kill();

    town.config("node", port, Some(&url));
    crossdock(&path, &["store", "import", file.to_str().unwrap()]);
    let old = SqliteStore::open(&file, sqlite::Options::default()).unwrap();
    let new = PostgresStore::open(Options::new(url.as_str().into())).await.unwrap();
    let (before, after) = (all(&*old).await, all(&*new).await);
    let entities = before["entities"].as_array().unwrap().len();
    assert!(entities >= 8, "{entities} entities");
    same(&before, &after);
    old.close().await.unwrap();
    new.close().await.unwrap();
    let again = Command::new(env!("CARGO_BIN_EXE_crossdock"))
        .args(["store", "import", file.to_str().unwrap(), "--config"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(!again.status.success(), "what is there is not written over");
    assert!(String::from_utf8_lossy(&again.stderr).contains("not empty"), "{again:?}");

    let daemon = Daemon::start(&path, port);
    town.place(5);
    town.live(Duration::from_secs(5)).await;
    daemon.kill();
    let daemon = Daemon::start(&path, port);
    town.place(3);
    town.agree(&daemon.address).await;
    let told = crossdock(&path, &["store", "status"]);
    assert!(told.contains("postgres://") && told.contains("the newest"), "{told}");

    // And back, as of the moment at which the daemon ended.
    daemon.kill();
    let copy = path.with_file_name("copy.db");
    crossdock(&path, &["store", "export", copy.to_str().unwrap()]);
    let old = PostgresStore::open(Options::new(url.as_str().into())).await.unwrap();
    let new = SqliteStore::open(&copy, sqlite::Options::default()).unwrap();
    let before = all(&*old).await;
    same(&before, &all(&*new).await);
    old.close().await.unwrap();
    new.close().await.unwrap();
    let back = town.config("node", port, None);
    std::fs::rename(&file, path.with_file_name("first.db")).unwrap();
    for left in ["crossdock.db-wal", "crossdock.db-shm"] {
        let _ = std::fs::remove_file(path.with_file_name(left));
    }
    std::fs::rename(&copy, &file).unwrap();
    let daemon = Daemon::start(&back, port);
    town.place(2);
    town.agree(&daemon.address).await;
}

/// Part by part, so that a difference can be read.
fn same(before: &Value, after: &Value) {
    for (part, value) in before.as_object().unwrap() {
        assert!(value == &after[part], "`{part}` differs:\nbefore {value}\nafter  {}", after[part]);
    }
}

/// Two nodes on one database: when one dies, its leases and its work go to the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_and_one_dies() {
    let server = Server::start("fsync=off").await;
    let url = server.database().await;
    let mut town = Town::new(11).await;
    let ports = [free_port(), free_port()];
    let first = town.config("one", ports[0], Some(&url));
    let second = town.config("two", ports[1], Some(&url));
    let one = Daemon::start(&first, ports[0]);
    wait_for(&one.address).await;
    // A node with another key is refused; with the same one it joins.
    let stranger = Command::new(env!("CARGO_BIN_EXE_crossdock"))
        .args(["run", "--config"])
        .arg(&second)
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&stranger.stderr).contains("not the key"), "{stranger:?}");
    std::fs::copy(first.with_file_name("crossdock.key"), second.with_file_name("crossdock.key")).unwrap();
    let two = Daemon::start(&second, ports[1]);
    wait_for(&two.address).await;
    town.deliver_to(&one.address);
    town.place(6);
    town.live(Duration::from_secs(6)).await;
    let listed = nodes(&first);
    assert_eq!(listed["nodes"].as_array().unwrap().len(), 2, "{listed}");
    let owners = owners(&listed);
    assert_eq!(owners.len(), 4, "each account is held by one node: {listed}");
    one.kill();
    town.deliver_to(&two.address);
    town.place(4);
    town.live(Duration::from_secs(8)).await;
    let listed = nodes(&second);
    let survivor = listed["nodes"]
        .as_array()
        .unwrap()
        .iter()
        .find(|node| node["address"].as_str().unwrap().ends_with(&ports[1].to_string()));
    let survivor = survivor.unwrap()["name"].as_str().unwrap();
    let moved = self::owners(&listed);
    assert!(moved.values().all(|owner| owner.starts_with(survivor)), "all leases have moved: {listed}");
    assert_eq!(moved.len(), 4, "{listed}");
    let one = Daemon::start(&first, ports[0]);
    town.place(2);
    town.agree(&two.address).await;
    wait_for(&one.address).await;
}

fn nodes(config: &Path) -> Value {
    serde_json::from_str(&crossdock(config, &["nodes", "--json"])).unwrap()
}

/// Who holds which account.
fn owners(listed: &Value) -> BTreeMap<String, String> {
    let leases = listed["leases"].as_array().unwrap().iter();
    leases
        .map(|lease| {
            (lease["account"].as_str().unwrap().to_owned(), lease["owner"].as_str().unwrap().to_owned())
        })
        .collect()
}

async fn wait_for(address: &str) {
    let begun = std::time::Instant::now();
    while get::<Value>(&format!("{address}/api/v1/counts")).await.is_none() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{address} does not answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

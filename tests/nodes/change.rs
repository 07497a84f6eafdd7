//! A person changes a mapping at one node: the others, which have files of their own, take it over from the store.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::app;
use crossdock::ports::HttpRequest;
use serde_json::{Value, json};

use crate::cluster::{Cluster, PATIENCE, up};
use crate::daemon::{Daemon, free_port, get};

const OVERLAY: &str = "mappings/clients/acme/shopify/order.toml";

/// The files of `from`, again below `to`; what the node itself writes is left out.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else if !path.file_name().unwrap().to_string_lossy().starts_with("log-") {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}

async fn propose(node: &Daemon, text: &str) -> Value {
    let change = json!({ "files": { OVERLAY: text }, "by": "maria" });
    let request = HttpRequest {
        method: "POST".into(),
        url: format!("{}/api/v1/generations", node.address),
        headers: vec![("content-type".into(), "application/json".into())],
        body: Bytes::from(change.to_string()),
    };
    let answer = app::http().unwrap().send(request, Duration::from_mins(1)).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

/// Waits until the file stands so beside the node's config.
async fn written(config: &Path, text: &str) {
    let (path, begun) = (config.with_file_name(OVERLAY), Instant::now());
    while std::fs::read_to_string(&path).ok().as_deref() != Some(text) {
        assert!(begun.elapsed() < PATIENCE, "{} does not become\n{text}", path.display());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What the node says that it has in force.
async fn in_force(node: &Daemon) -> Value {
    let answer: Value = get(&format!("{}/api/v1/generations", node.address)).await.unwrap();
    answer["active"].clone()
}

async fn agree(one: &Daemon, other: &Daemon) -> Value {
    let begun = Instant::now();
    loop {
        let (a, b) = (in_force(one).await, in_force(other).await);
        if a == b && !a.is_null() {
            return a;
        }
        assert!(begun.elapsed() < PATIENCE, "one node has {a} in force, the other {b}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn overlay(field: &str) -> String {
    format!("[overlay]\nof = \"shopify/order\"\n\n[fact.placed]\nextra.desk = {field}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_at_one_node_is_in_force_at_all() {
    let mut cluster = Cluster::start(1, 23).await;
    let (first, second): (PathBuf, PathBuf) =
        (cluster.config.clone(), cluster.town.folder.path().join("second/config.toml"));
    copy(first.parent().unwrap(), second.parent().unwrap());
    let other = Daemon::start(&second, free_port());
    up(&other.address).await;
    let before = agree(cluster.any(), &other).await;

    // What is wrong is refused with its place, and changes nothing anywhere.
    let answer = propose(cluster.any(), &overlay("{ pth = \"note\" }")).await;
    assert_eq!(answer["outcome"], "refused", "{answer}");
    let found = answer["problems"].as_array().unwrap().last().unwrap();
    assert_eq!((&found["file"], &found["line"]), (&json!(OVERLAY), &json!(5)), "{answer}");
    assert_eq!(found["help"], "did you mean `path`?", "{answer}");
    assert_eq!(agree(cluster.any(), &other).await, before);

    // What is right is in force at the other node too, and stands beside its config.
    let text = overlay("{ const = \"seven\" }");
    let answer = propose(cluster.any(), &text).await;
    assert_eq!(answer["outcome"], "activated", "{answer}");
    written(&second, &text).await;
    let after = agree(cluster.any(), &other).await;
    assert_ne!(after, before);

    // And the other way round; an order that comes then is mapped so, whichever node maps it.
    let text = overlay("{ const = \"eight\" }");
    let answer = propose(&other, &text).await;
    assert_eq!(answer["outcome"], "activated", "{answer}");
    written(&first, &text).await;
    assert_ne!(agree(cluster.any(), &other).await, after);
    let order = cluster.town.place_plain();
    cluster.shipped(order).await;
    assert_eq!(desk(cluster.any(), order).await, "eight");
    assert_eq!(desk(&other, order).await, "eight");
}

/// What the overlay carries along of the order that the storefront calls `id`.
async fn desk(node: &Daemon, id: u64) -> Value {
    let listed: Value = get(&format!("{}/api/v1/orders", node.address)).await.unwrap();
    for order in listed["orders"].as_array().unwrap() {
        let url = format!("{}/api/v1/orders/{}", node.address, order["id"].as_str().unwrap());
        let found: Value = get(&url).await.unwrap();
        if found["state"]["ref"] == json!(id.to_string()) {
            return found["state"]["extra"]["desk"].clone();
        }
    }
    Value::Null
}

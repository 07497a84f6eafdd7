//! A warehouse that takes messages: its orders are published to the broker, each once, under a key by which a copy is known.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crossdock::io::bus::rabbitmq::{Address, Options, open};
use futures::StreamExt as _;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use secrecy::SecretString;
use serde_json::Value;

use crate::cluster::{Cluster, PATIENCE};

const CONNECTOR: &str = r#"
[connector]
title  = "A warehouse in the house"
serves = ["warehouse"]

[http]
base = "amqp://commands"

[command.order.create]
method = "POST"
path   = "/order.create"
out    = "order.create"
once   = { key = "Message-Id", ttl = "30d" }
"#;

const MAPPING: &str = r#"
[body]
reference = { path = "ref", required = true }
number    = "order.number"
"#;

/// The client's warehouse is the one that takes messages.
fn hall(config: &Path) {
    let root = config.parent().unwrap();
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("connectors/hall/connector.toml", CONNECTOR);
    write("mappings/hall/order.create.out.toml", MAPPING);
    let skus = std::fs::read_to_string(root.join("lists/acme-skus.csv")).unwrap();
    write("lists/acme-skus.csv", &skus.replace("east,", "hall,"));
    let text = std::fs::read_to_string(config).unwrap();
    let text = text.replace("warehouses  = [\"east\"]", "warehouses  = [\"hall\"]");
    let account = "\n[account.hall]\nconnector = \"hall\"\nclient    = \"acme\"\n";
    std::fs::write(config, text + account).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warehouse_that_takes_messages_gets_each_order_once() {
    let mut cluster = Cluster::start_with(1, 17, hall).await;
    let options = Options {
        url: SecretString::from(cluster.broker.url()),
        hosts: Vec::new(),
        ca: None,
        name: "hall".to_owned(),
    };
    let (connection, _) = open(&Address::read(&options).unwrap(), 0, "test").await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), queue, FieldTable::default()).await.unwrap();
    let name = queue.name().as_str().to_owned();
    // The node declares the exchange as soon as it reaches the broker.
    let topology = crossdock::app::bus::topology();
    while !topology.compare(&connection).await.unwrap().is_empty() {
        cluster.town.live(Duration::from_millis(50)).await;
    }
    channel
        .queue_bind(
            name.as_str().into(),
            "crossdock.commands".into(),
            "hall.#".into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await
        .unwrap();
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut messages =
        channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default()).await.unwrap();

    let orders: Vec<u64> = (0..3).map(|_| cluster.town.place_plain()).collect();
    let mut heard: BTreeMap<String, Value> = BTreeMap::new();
    while heard.len() < orders.len() {
        let message =
            tokio::time::timeout(PATIENCE, messages.next()).await.expect("an order").unwrap().unwrap();
        assert_eq!(message.routing_key.as_str(), "hall.order.create");
        let id = message.properties.message_id().clone().expect("a key").to_string();
        let body: Value = serde_json::from_slice(&message.data).unwrap();
        // A copy is a copy: the same under the same key.
        assert!(heard.insert(id, body.clone()).is_none_or(|before| before == body));
    }
    let mut numbers: Vec<&str> = heard.values().map(|body| body["number"].as_str().unwrap()).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), orders.len(), "each order once: {heard:?}");
    // Each is done with the broker's confirm.
    let done =
        "SELECT count(*) FROM intent WHERE account = 'hall' AND command = 'order.create' AND state = 4";
    let begun = std::time::Instant::now();
    while cluster.sql.query_one(done, &[]).await.unwrap().get::<_, i64>(0) < 3 {
        assert!(begun.elapsed() < PATIENCE, "a confirmed command is not done");
        cluster.town.live(Duration::from_millis(50)).await;
    }
}

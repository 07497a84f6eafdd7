//! Several nodes on one broker.

use std::collections::HashSet;
use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use crossdock::canonical::{AccountId, EntityId};
use crossdock::io::bus::rabbitmq::topology::{self, Topology};
use crossdock::io::bus::rabbitmq::{Address, Options, RabbitBus, open};
use crossdock::ports::{Bus, Command, Event, Hint, Verdict};
use futures::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection};
use secrecy::SecretString;
use serde_json::json;
use tokio::time::timeout;

use crate::listen::listen;
use crate::node::{PATIENCE, node};
use crate::support::broker::Broker;

fn event(ordinal: i64) -> Event {
    Event {
        ordinal,
        client: "acme.eu".into(),
        entity: EntityId::from("ord_x"),
        version: 3,
        name: "order.placed".into(),
        data: json!({ "number": "1001" }).into(),
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// Another system's connection.
pub async fn outsider(url: &str) -> (Connection, Channel) {
    let options =
        Options { url: SecretString::from(url), hosts: Vec::new(), ca: None, name: "outsider".to_owned() };
    let (connection, _) = open(&Address::read(&options).unwrap(), 0, "test").await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    (connection, channel)
}

async fn publish(channel: &Channel, exchange: &str, key: &str, id: &str, body: &[u8]) {
    let properties = BasicProperties::default().with_message_id(id.into()).with_delivery_mode(2);
    channel
        .basic_publish(exchange.into(), key.into(), BasicPublishOptions::default(), body, properties)
        .await
        .unwrap()
        .await
        .unwrap();
}

/// All inbound shards' hints reach one of the nodes; when a node goes, the other gets what it had.
async fn shards_move(url: &str) {
    let (one, two) = (node(url).await, node(url).await);
    let every: HashSet<Hint> = (0..16).map(|shard| Hint::Inbound { shard }).collect();
    for hint in &every {
        one.hint(hint.clone()).await;
    }
    let mut seen = HashSet::new();
    while seen != every {
        let next = async {
            tokio::select! { hint = one.next() => hint, hint = two.next() => hint }
        };
        seen.insert(
            timeout(PATIENCE, next).await.unwrap_or_else(|_| panic!("missing from {seen:?}")).unwrap(),
        );
    }
    one.close().await;
    drop(one);
    // The broker notices that the consumers are gone and makes the other node's active.
    let mut seen = HashSet::new();
    while seen != every {
        for hint in &every {
            two.hint(hint.clone()).await;
        }
        while let Ok(hint) = timeout(Duration::from_millis(300), two.next()).await {
            seen.insert(hint.unwrap());
        }
    }
    two.close().await;
}

/// A hint for everyone reaches every node, and every node hears the events of all.
async fn everyone_hears(url: &str) {
    let nodes = [node(url).await, node(url).await, node(url).await];
    let everyone = Hint::Everyone { account: AccountId::from("east") };
    let mut listeners = futures::future::join_all(nodes.iter().map(|node| node.listen())).await;
    nodes[0].hint(everyone.clone()).await;
    for node in &nodes {
        assert_eq!(timeout(PATIENCE, node.next()).await.unwrap(), Some(everyone.clone()));
    }
    nodes[1].publish(&event(7)).await.unwrap();
    for listener in &mut listeners {
        assert_eq!(timeout(PATIENCE, listener.next()).await.unwrap(), Some(event(7)));
    }
    for node in &nodes {
        node.close().await;
    }
}

/// The broker carries events only to nodes where somebody listens.
async fn events_come_where_somebody_listens(broker: &Broker) {
    let nodes = [node(&broker.url()).await, node(&broker.url()).await];
    let bound = || {
        let list = broker.control(&["list_bindings", "--quiet", "source_name"]);
        list.lines().filter(|source| source.trim() == topology::EVENTS).count()
    };
    let comes_to = |many: usize| {
        let begun = std::time::Instant::now();
        while bound() != many {
            assert!(begun.elapsed() < Duration::from_mins(2), "{} queues, not {many}", bound());
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    // Those of nodes that have gone go too.
    comes_to(0);
    for ordinal in 1..3 {
        let mut listener = nodes[0].listen().await;
        assert_eq!(bound(), 1);
        nodes[1].publish(&event(ordinal)).await.unwrap();
        assert_eq!(timeout(PATIENCE, listener.next()).await.unwrap(), Some(event(ordinal)));
        drop(listener);
        comes_to(0);
    }
    for node in &nodes {
        node.close().await;
    }
}

/// What others see of an event and of a command.
async fn others_subscribe(url: &str) {
    let bus = node(url).await;
    let (_connection, channel) = outsider(url).await;
    let queue = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), queue, FieldTable::default()).await.unwrap();
    let name = queue.name().as_str().to_owned();
    for (exchange, key) in [(topology::EVENTS, "acme-eu.order.#"), (topology::COMMANDS, "erp.#")] {
        channel
            .queue_bind(
                name.as_str().into(),
                exchange.into(),
                key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await
            .unwrap();
    }
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut consumer =
        channel.basic_consume(name.as_str().into(), "".into(), options, FieldTable::default()).await.unwrap();
    bus.publish(&event(7)).await.unwrap();
    let delivery = timeout(PATIENCE, consumer.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(delivery.routing_key.as_str(), "acme-eu.order.order.placed");
    assert_eq!(delivery.properties.message_id().as_ref().unwrap().as_str(), "ord_x/7");
    let headers = delivery.properties.headers().clone().unwrap();
    let header =
        |name: &str| headers.inner().get(name).and_then(|value| value.as_long_string()).unwrap().to_string();
    assert_eq!(header("cloudEvents:type"), "crossdock.order.placed.v1");
    assert_eq!(header("cloudEvents:specversion"), "1.0");
    assert_eq!(header("cloudEvents:subject"), "ord_x");
    let body: serde_json::Value = serde_json::from_slice(&delivery.data).unwrap();
    assert_eq!(
        body,
        json!({
            "v": 1, "ordinal": 7, "client": "acme.eu", "entity": "ord_x", "kind": "order", "version": 3,
            "name": "order.placed", "at": "1970-01-01T00:00:00Z", "data": { "number": "1001" },
        })
    );
    let command = Command {
        key: "erp.order.create".to_owned(),
        id: "k1".to_owned(),
        content_type: "application/json".to_owned(),
        body: Bytes::from_static(b"{}"),
    };
    bus.command(&command).await.unwrap();
    let delivery = timeout(PATIENCE, consumer.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(delivery.routing_key.as_str(), "erp.order.create");
    assert_eq!(delivery.properties.message_id().as_ref().unwrap().as_str(), "k1");
    bus.close().await;
}

/// What in-house systems publish arrives; what is not acknowledged comes again to another node; what is refused and what
/// no queue wants comes back as a dead letter.
async fn inbound_and_dead_letters(url: &str) {
    let bus = node(url).await;
    let (_connection, channel) = outsider(url).await;
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
    publish(&channel, topology::INBOUND, "shop.orders/create", "m1", br#"{"id":1}"#).await;
    let first = timeout(PATIENCE, bus.received()).await.unwrap().unwrap();
    assert_eq!((first.key.as_str(), first.id.as_deref()), ("shop.orders/create", Some("m1")));
    assert_eq!(&first.body[..], br#"{"id":1}"#);
    assert_eq!(first.dead, None);
    // The node goes before it could say anything.
    drop(first);
    bus.close().await;
    let bus = node(url).await;
    let again = timeout(PATIENCE, bus.received()).await.unwrap().unwrap();
    assert_eq!(again.id.as_deref(), Some("m1"));
    again.verdict.send(Verdict::Refused).unwrap();
    let dead = timeout(PATIENCE, bus.received()).await.unwrap().unwrap();
    assert_eq!(dead.id.as_deref(), Some("m1"));
    let why = dead.dead.clone().unwrap();
    assert_eq!((why.origin.as_str(), why.reason.as_str()), ("crossdock.inbound.v1", "rejected"));
    dead.verdict.send(Verdict::Kept).unwrap();
    publish(&channel, topology::COMMANDS, "nobody.listens", "m2", b"x").await;
    let unrouted = timeout(PATIENCE, bus.received()).await.unwrap().unwrap();
    let why = unrouted.dead.clone().unwrap();
    assert_eq!((why.origin.as_str(), why.reason.as_str()), ("crossdock.commands", "unrouted"));
    unrouted.verdict.send(Verdict::Kept).unwrap();
    bus.close().await;
}

/// `compare` finds nothing on a broker that the daemon declared, and names a queue that stands otherwise.
async fn the_topology_is_compared(broker: &Broker) {
    let (connection, channel) = outsider(&broker.url()).await;
    assert_eq!(Topology::new().compare(&connection).await.unwrap(), []);
    channel
        .queue_delete("crossdock.in.s03.v1".into(), lapin::options::QueueDeleteOptions::default())
        .await
        .unwrap();
    channel
        .queue_declare(
            "crossdock.in.s03.v1".into(),
            QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() },
            FieldTable::default(),
        )
        .await
        .unwrap();
    channel
        .exchange_delete("crossdock.commands".into(), lapin::options::ExchangeDeleteOptions::default())
        .await
        .unwrap();
    let differences = Topology::new().compare(&connection).await.unwrap();
    let what: Vec<&str> = differences.iter().map(|difference| difference.what.as_str()).collect();
    assert_eq!(what, ["exchange crossdock.commands", "queue crossdock.in.s03.v1"], "{differences:?}");
}

/// The example of a subscriber: each event once, although one of them is published twice.
async fn the_example_listens(url: &str) {
    let bus = node(url).await;
    let (sender, mut heard) = tokio::sync::mpsc::unbounded_channel();
    let listening = tokio::spawn({
        let url = url.to_owned();
        async move {
            let act = |event: &serde_json::Value| {
                let ordinal = event["ordinal"].as_i64().unwrap();
                sender.send(ordinal).unwrap();
                ordinal == 9
            };
            listen(&url, "test.events", "acme-eu.order.#", act).await
        }
    });
    // Until its queue is bound, nothing reaches it.
    let mut first = None;
    while first.is_none() {
        bus.publish(&event(7)).await.unwrap();
        first = timeout(Duration::from_millis(200), heard.recv()).await.ok().flatten();
    }
    for ordinal in [7, 8, 8, 9] {
        bus.publish(&event(ordinal)).await.unwrap();
    }
    let mut ordinals = vec![first.unwrap()];
    while let Some(ordinal) = timeout(PATIENCE, heard.recv()).await.unwrap() {
        ordinals.push(ordinal);
    }
    assert_eq!(ordinals, [7, 8, 9]);
    listening.await.unwrap().unwrap();
    bus.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_share_one_broker() {
    let broker = Broker::start();
    let url = broker.url();
    shards_move(&url).await;
    everyone_hears(&url).await;
    events_come_where_somebody_listens(&broker).await;
    others_subscribe(&url).await;
    inbound_and_dead_letters(&url).await;
    the_example_listens(&url).await;
    the_topology_is_compared(&broker).await;
}

#[tokio::test]
async fn an_address_that_cannot_be_read_is_refused_without_showing_it() {
    let refused = |url: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        let options = Options { url: SecretString::from(url), hosts, ca: None, name: "test".to_owned() };
        RabbitBus::start(&options).unwrap_err().to_string()
    };
    let error = refused("http://user:secret@rabbit-1/", &[]);
    assert!(error.contains("expected such as amqp://") && !error.contains("secret@"), "{error}");
    let error = refused("amqp://user:secret@rabbit-1/", &["rabbit-2:port"]);
    assert!(error.contains("rabbit-2:port") && error.contains("rabbit-2:5672"), "{error}");
}

/// Publishes so many hints, to all shards in turn.
async fn pile_up(url: &str, many: usize) {
    let (connection, channel) = outsider(url).await;
    channel.confirm_select(lapin::options::ConfirmSelectOptions::default()).await.unwrap();
    for number in 0..many {
        let shard = u16::try_from(number % 16).unwrap();
        let body = serde_json::to_vec(&Hint::Inbound { shard }).unwrap();
        let (key, options) = (format!("in.s{shard:02}"), BasicPublishOptions::default());
        let properties = BasicProperties::default();
        let sent = channel
            .basic_publish("crossdock.work".into(), key.as_str().into(), options, &body, properties)
            .await
            .unwrap();
        if number + 1 == many {
            sent.await.unwrap();
        }
    }
    connection.close(200, "the end".into()).await.unwrap();
}

/// A node that stood still finds a pile of hints of many queues, whose numbers are mixed by then: none is acknowledged twice,
/// for which the broker would close the channel.
#[test]
fn a_node_that_stood_still_keeps_its_connection() {
    let broker = Broker::start();
    let connections = || {
        let list = broker.control(&["list_connections", "--quiet", "pid"]);
        let mut ours: Vec<String> =
            list.lines().filter(|line| line.starts_with('<')).map(str::to_owned).collect();
        ours.sort();
        ours
    };
    // The node has one thread, which stands still as long as it is told to.
    let (started, is_started) = mpsc::channel();
    let (stand_still, told_to_stand_still) = tokio::sync::oneshot::channel::<()>();
    let (stands, standing) = mpsc::channel();
    let (go_on, told_to_go_on) = mpsc::channel::<()>();
    let (saw, seen) = mpsc::channel();
    let (stop, told_to_stop) = tokio::sync::oneshot::channel::<()>();
    let url = broker.url();
    let living = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let bus = node(&url).await;
            started.send(()).unwrap();
            told_to_stand_still.await.unwrap();
            stands.send(()).unwrap();
            told_to_go_on.recv().unwrap();
            let every: HashSet<Hint> = (0..16).map(|shard| Hint::Inbound { shard }).collect();
            let mut came = HashSet::new();
            while came != every {
                came.insert(timeout(PATIENCE, bus.next()).await.unwrap().unwrap());
            }
            saw.send(()).unwrap();
            told_to_stop.await.unwrap();
            bus.close().await;
        });
    });
    is_started.recv().unwrap();
    let before = connections();
    assert_eq!(before.len(), 2, "{before:?}");
    stand_still.send(()).unwrap();
    standing.recv().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(pile_up(&broker.url(), 3000));
    go_on.send(()).unwrap();
    seen.recv().unwrap();
    let begun = std::time::Instant::now();
    loop {
        let left = broker.control(&["list_queues", "--quiet", "messages"]);
        if left.lines().all(|many| matches!(many.trim(), "0" | "messages")) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "hints are left: {left}");
    }
    assert_eq!(connections(), before, "the connection was lost");
    stop.send(()).unwrap();
    living.join().unwrap();
}

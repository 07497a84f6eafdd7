//! A broker that is killed, stopped, halted, out of memory, or behind a bad line. After each the bus recovers by itself,
//! and an event is either confirmed or refused in good time: none hangs.

use std::time::{Duration, Instant};

use crossdock::canonical::EntityId;
use crossdock::io::bus::rabbitmq::RabbitBus;
use crossdock::ports::{Bus, Event, Hint};
use lapin::options::{QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions, QueuePurgeOptions};
use lapin::types::{AMQPValue, FieldTable};
use serde_json::json;
use tokio::time::timeout;

use crate::node::{PATIENCE, connected, node};
use crate::nodes::outsider;
use crate::support::broker::Broker;
use crate::support::faults::Table;
use crate::support::proxy::Proxy;

fn event(ordinal: i64) -> Event {
    Event {
        ordinal,
        client: "acme".into(),
        entity: EntityId::from("ord_x"),
        version: 1,
        name: "order.placed".into(),
        data: json!({}).into(),
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// Publishes until it is confirmed; gives how long that took.
pub async fn confirmed(bus: &dyn Bus) -> Duration {
    let started = Instant::now();
    loop {
        match timeout(PATIENCE, bus.publish(&event(1))).await {
            Ok(Ok(())) => return started.elapsed(),
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(elapsed) => panic!("a publish hangs: {elapsed}"),
        }
        assert!(started.elapsed() < PATIENCE, "nothing is confirmed any more");
    }
}

/// A hint comes out at this node, whatever the broker does.
async fn hinted(bus: &dyn Bus) {
    let hint = Hint::Inbound { shard: 5 };
    let started = Instant::now();
    loop {
        bus.hint(hint.clone()).await;
        if let Ok(found) = timeout(Duration::from_secs(1), bus.next()).await {
            assert_eq!(found, Some(hint));
            return;
        }
        assert!(started.elapsed() < PATIENCE, "no hint arrives any more");
    }
}

/// While the broker is away: refused soon, and hints stay on the node.
async fn refused_in_time(bus: &dyn Bus) {
    let answer = timeout(PATIENCE, bus.publish(&event(2))).await;
    assert!(answer.unwrap_or_else(|_| panic!("a publish hangs")).is_err());
    hinted(bus).await;
}

async fn recovered(bus: &RabbitBus, table: &mut Table, fault: &str) {
    let started = Instant::now();
    connected(bus).await;
    confirmed(bus).await;
    hinted(bus).await;
    table.add(fault, started.elapsed());
}

/// A subscriber's queue is full and refuses: the event is refused to us, and confirmed once there is room.
async fn refused_by_a_full_queue(bus: &RabbitBus, url: &str, table: &mut Table) {
    let (connection, channel) = outsider(url).await;
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let queue = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("full".into(), queue, arguments).await.unwrap();
    let bind = QueueBindOptions::default();
    channel
        .queue_bind("full".into(), "crossdock.events".into(), "#".into(), bind, FieldTable::default())
        .await
        .unwrap();
    let started = Instant::now();
    while timeout(PATIENCE, bus.publish(&event(3))).await.unwrap().is_ok() {
        assert!(started.elapsed() < PATIENCE, "a full queue does not refuse");
    }
    assert!(bus.connected(), "a refusal is no reason to leave");
    channel.queue_purge("full".into(), QueuePurgeOptions::default()).await.unwrap();
    let took = confirmed(bus).await;
    table.add("message refused by a full queue (max length)", took);
    connection.close(200, "the end".into()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_fails() {
    let mut broker = Broker::start();
    let proxy = Proxy::start(broker.port()).await;
    let bus = node(&Broker::url_at(proxy.port())).await;
    let mut table = Table::new("bus", "confirms, and hints that arrive");
    confirmed(&*bus).await;
    hinted(&*bus).await;

    for _ in 0..3 {
        proxy.cut();
        recovered(&bus, &mut table, "connection cut").await;
    }

    proxy.refuse();
    while bus.connected() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused_in_time(&*bus).await;
    proxy.pass();
    recovered(&bus, &mut table, "connection refused").await;

    proxy.stall();
    refused_in_time(&*bus).await;
    proxy.pass();
    recovered(&bus, &mut table, "connection stalled").await;

    // A queue is deleted under us: declared again.
    let (_connection, channel) = outsider(&broker.url()).await;
    channel.queue_delete("crossdock.in.s05.v1".into(), QueueDeleteOptions::default()).await.unwrap();
    recovered(&bus, &mut table, "queue deleted").await;
    let started = Instant::now();
    while !broker.control(&["list_queues", "--quiet", "name"]).contains("crossdock.in.s05.v1") {
        assert!(started.elapsed() < PATIENCE, "the queue was not declared again");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // Out of memory: publishes are refused in time, hints stay here, nothing has to be started anew.
    broker.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    refused_in_time(&*bus).await;
    broker.control(&["set_vm_memory_high_watermark", "0.4"]);
    recovered(&bus, &mut table, "memory alarm").await;

    refused_by_a_full_queue(&bus, &broker.url(), &mut table).await;

    broker.kill();
    refused_in_time(&*bus).await;
    broker.begin();
    recovered(&bus, &mut table, "broker killed").await;

    broker.stop();
    refused_in_time(&*bus).await;
    broker.begin();
    recovered(&bus, &mut table, "broker stopped").await;
    bus.close().await;
    table.print();
}

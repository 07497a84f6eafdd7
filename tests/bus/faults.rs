//! A broker that is killed, stopped, halted, out of memory, or behind a bad line. After each the bus recovers by itself,
//! and an event is either confirmed or refused in good time: none hangs.

use std::time::{Duration, Instant};

use crossdock::canonical::EntityId;
use crossdock::ports::{Bus, Event, Hint};
use lapin::options::QueueDeleteOptions;
use serde_json::json;
use tokio::time::timeout;

use crate::node::{PATIENCE, connected, node};
use crate::nodes::outsider;
use crate::support::broker::Broker;
use crate::support::proxy::Proxy;

fn event(ordinal: i64) -> Event {
    Event {
        ordinal,
        client: "acme".into(),
        entity: EntityId::from("ord_x"),
        version: 1,
        name: "order.placed".into(),
        data: json!({}),
        at: jiff::Timestamp::UNIX_EPOCH,
    }
}

/// Publishes until it is confirmed; gives how long that took.
pub async fn confirmed(bus: &dyn Bus) -> Duration {
    let started = Instant::now();
    loop {
        match timeout(Duration::from_secs(15), bus.publish(&event(1))).await {
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
    let answer = timeout(Duration::from_secs(15), bus.publish(&event(2))).await;
    assert!(answer.unwrap_or_else(|_| panic!("a publish hangs")).is_err());
    hinted(bus).await;
}

async fn recovered(bus: &crossdock::io::bus::rabbitmq::RabbitBus, fault: &str) {
    let started = Instant::now();
    connected(bus).await;
    confirmed(bus).await;
    hinted(bus).await;
    eprintln!("{fault}: recovered in {:.1} s", started.elapsed().as_secs_f64());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_fails() {
    let mut broker = Broker::start();
    let proxy = Proxy::start(broker.port()).await;
    let bus = node(&Broker::url_at(proxy.port())).await;
    confirmed(&*bus).await;
    hinted(&*bus).await;

    for _ in 0..3 {
        proxy.cut();
        recovered(&bus, "connection cut").await;
    }

    proxy.refuse();
    while bus.connected() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    refused_in_time(&*bus).await;
    proxy.pass();
    recovered(&bus, "connection refused").await;

    proxy.stall();
    refused_in_time(&*bus).await;
    proxy.pass();
    recovered(&bus, "connection stalled").await;

    // A queue is deleted under us: declared again.
    let (_connection, channel) = outsider(&broker.url()).await;
    channel.queue_delete("crossdock.in.s05.v1".into(), QueueDeleteOptions::default()).await.unwrap();
    recovered(&bus, "queue deleted").await;
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
    recovered(&bus, "memory alarm").await;

    broker.kill();
    refused_in_time(&*bus).await;
    broker.begin();
    recovered(&bus, "broker killed").await;

    broker.stop();
    refused_in_time(&*bus).await;
    broker.begin();
    recovered(&bus, "broker stopped").await;
    bus.close().await;
}

//! What every bus must do. The suite takes a factory, so that each implementation runs all of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::sync::Arc;
use std::time::Duration;

use crossdock::canonical::{AccountId, EntityId};
use crossdock::io::bus::embedded::EmbeddedBus;
use crossdock::ports::{Bus, Event, Hint};
use serde_json::json;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(5);

fn outbound(account: &str) -> Hint {
    Hint::Outbound { account: AccountId::from(account) }
}

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

async fn next(bus: &dyn Bus) -> Option<Hint> {
    timeout(SOON, bus.next()).await.unwrap_or_else(|_| panic!("no hint came"))
}

async fn hints_arrive(bus: Arc<dyn Bus>) {
    let hints = [Hint::Inbound { shard: 3 }, outbound("east"), outbound("west")];
    for hint in &hints {
        bus.hint(hint.clone()).await;
    }
    let mut seen = Vec::new();
    for _ in 0..hints.len() {
        seen.push(next(&*bus).await.unwrap());
    }
    for hint in &hints {
        assert!(seen.contains(hint), "{hint:?} is missing");
    }
}

async fn a_waiting_caller_is_woken(bus: Arc<dyn Bus>) {
    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.next().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    bus.hint(outbound("east")).await;
    let got = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!(got, Some(outbound("east")));
}

async fn several_callers_share_the_hints(bus: Arc<dyn Bus>) {
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let bus = bus.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Some(hint) = bus.next().await {
                    seen.push(hint);
                }
                seen
            })
        })
        .collect();
    for shard in 0..16 {
        bus.hint(Hint::Inbound { shard }).await;
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    bus.close().await;
    let mut seen = Vec::new();
    for caller in callers {
        seen.extend(timeout(SOON, caller).await.unwrap().unwrap());
    }
    for shard in 0..16 {
        assert!(seen.contains(&Hint::Inbound { shard }), "shard {shard} was lost");
    }
}

async fn close_ends_next(bus: Arc<dyn Bus>) {
    let waiting = tokio::spawn({
        let bus = bus.clone();
        async move { bus.next().await }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    bus.close().await;
    assert_eq!(timeout(SOON, waiting).await.unwrap().unwrap(), None);
    assert_eq!(next(&*bus).await, None);
    bus.hint(outbound("east")).await;
    assert_eq!(next(&*bus).await, None);
}

async fn publishing_is_confirmed(bus: Arc<dyn Bus>) {
    for ordinal in 0..2000 {
        timeout(SOON, bus.publish(&event(ordinal))).await.unwrap().unwrap();
    }
}

async fn suite(make: impl Fn() -> Arc<dyn Bus>) {
    hints_arrive(make()).await;
    a_waiting_caller_is_woken(make()).await;
    several_callers_share_the_hints(make()).await;
    close_ends_next(make()).await;
    publishing_is_confirmed(make()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_bus_conforms() {
    suite(|| Arc::new(EmbeddedBus::new())).await;
}

#[tokio::test]
async fn embedded_hints_coalesce() {
    let bus = EmbeddedBus::new();
    for _ in 0..1000 {
        bus.hint(outbound("east")).await;
        bus.hint(outbound("west")).await;
    }
    assert_eq!(bus.try_next(), Some(outbound("east")));
    bus.hint(outbound("east")).await;
    assert_eq!(bus.try_next(), Some(outbound("west")));
    assert_eq!(bus.try_next(), Some(outbound("east")));
    assert_eq!(bus.try_next(), None);
}

#[tokio::test]
async fn embedded_events_reach_listeners() {
    let bus = EmbeddedBus::new();
    let mut listener = bus.subscribe();
    bus.publish(&event(7)).await.unwrap();
    assert_eq!(listener.recv().await.unwrap().ordinal, 7);
}

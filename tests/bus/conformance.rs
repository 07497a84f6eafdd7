//! What every bus must do. The suite takes a factory, so that each implementation runs all of it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use crossdock::canonical::{AccountId, EntityId};
use crossdock::io::bus::embedded::EmbeddedBus;
use crossdock::ports::{Bus, Event, Hint};
use futures::StreamExt as _;
use serde_json::json;
use tokio::time::timeout;

use crate::node::node;
use crate::support::broker::Broker;

const SOON: Duration = Duration::from_mins(1);

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
        data: json!({}).into(),
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
    let (sender, mut seen) = tokio::sync::mpsc::unbounded_channel();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (bus, sender) = (bus.clone(), sender.clone());
            tokio::spawn(async move {
                while let Some(hint) = bus.next().await {
                    sender.send(hint).unwrap();
                }
            })
        })
        .collect();
    for shard in 0..16 {
        bus.hint(Hint::Inbound { shard }).await;
        tokio::task::yield_now().await;
    }
    let mut missing: HashSet<Hint> = (0..16).map(|shard| Hint::Inbound { shard }).collect();
    while !missing.is_empty() {
        let hint = timeout(SOON, seen.recv()).await.unwrap_or_else(|_| panic!("lost: {missing:?}"));
        missing.remove(&hint.unwrap());
    }
    bus.close().await;
    for caller in callers {
        timeout(SOON, caller).await.unwrap().unwrap();
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
    assert!(timeout(SOON, bus.received()).await.unwrap().is_none());
}

async fn publishing_is_confirmed(bus: Arc<dyn Bus>) {
    let events: Vec<Event> = (0..2000).map(event).collect();
    let publishing: Vec<_> = events.iter().map(|event| bus.publish(event)).collect();
    let mut outcomes = futures::stream::iter(publishing).buffered(256);
    while let Some(outcome) = timeout(SOON, outcomes.next()).await.unwrap() {
        outcome.unwrap();
    }
}

async fn events_reach_listeners(bus: Arc<dyn Bus>) {
    let mut listener = bus.listen().await;
    bus.publish(&event(7)).await.unwrap();
    let heard = timeout(SOON, listener.next()).await.unwrap().unwrap();
    assert_eq!(heard, event(7));
}

async fn suite<F: Future<Output = Arc<dyn Bus>>>(make: impl Fn() -> F) {
    macro_rules! each {
        ($($part:ident),*) => {$(
            let bus = make().await;
            $part(bus.clone()).await;
            bus.close().await;
        )*};
    }
    each!(
        hints_arrive,
        a_waiting_caller_is_woken,
        several_callers_share_the_hints,
        close_ends_next,
        publishing_is_confirmed,
        events_reach_listeners
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_bus_conforms() {
    suite(|| async {
        let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::new());
        bus
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rabbitmq_bus_conforms() {
    let broker = Broker::start();
    suite(|| async {
        let bus: Arc<dyn Bus> = node(&broker.url()).await;
        bus
    })
    .await;
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

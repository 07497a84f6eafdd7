//! Ends and beginnings.

use crossdock::canonical::Class;
use crossdock::ports::{Accepted, Committed, EntityWrite, MessageState, StoreError, Timer, Unit};
use serde_json::json;

use crate::Place;
use crate::make::{
    accept, at, attempt, commit, east, exception, fact, intent, lease, message, name, order_id, shop, unit,
    write,
};

pub async fn everything_is_there_after_a_restart(place: Place) {
    let store = place.open();
    let id = accept(&*store, message(Some("e1"), "raw")).await;
    store.accept(vec![message(None, "2")], Some((shop(), "orders".into(), json!("c")))).await.unwrap();
    let work = Unit {
        messages: vec![(id, MessageState::Done)],
        exceptions: vec![exception("x")],
        ..unit(vec![EntityWrite {
            facts: vec![fact("1", 1, id)],
            refs: vec![name("order", "1")],
            intents: vec![intent("1", "release/east", Class::Order)],
            timers: vec![Timer { entity: order_id("1"), kind: "t".into(), generation: 1, due: at(50) }],
            events: vec![("order.placed".into(), json!({}).into())],
            personal: json!({ "contact": { "email": "1@example.com" } }),
            ..write("1", 0)
        }])
    };
    commit(&*store, work).await;
    let held = lease(&*store, "a", 0).await.unwrap();
    let before = store.load(&[order_id("1")]).await.unwrap();
    let counts = store.counts().await.unwrap();
    let events = store.events(10).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let store = place.open();
    assert_eq!(store.load(&[order_id("1")]).await.unwrap(), before);
    assert_eq!(store.counts().await.unwrap(), counts);
    assert_eq!(store.events(10).await.unwrap(), events);
    assert_eq!(store.cursor(&shop(), "orders").await.unwrap(), Some(json!("c")));
    assert_eq!(store.resolve(&[name("order", "1")]).await.unwrap(), [Some(order_id("1"))]);
    assert_eq!(
        store.accept(vec![message(Some("e1"), "raw")], None).await.unwrap(),
        [Accepted::Duplicate(id)]
    );
    assert_eq!(store.due(&east(), at(1), 10).await.unwrap().len(), 1);
    assert_eq!(store.next_due().await.unwrap(), Some(at(0)));
    assert!(lease(&*store, "b", 1).await.is_none());
    assert_eq!(lease(&*store, "b", 30).await.unwrap().epoch, held.epoch + 1);
}

pub async fn many_writers_lose_nothing(place: Place) {
    let store = place.open();
    commit(&*store, unit(vec![write("1", 0)])).await;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0..25 {
                accept(&*store, message(Some(&format!("{writer}/{n}")), "raw")).await;
                // Everybody counts the same entity up: no step is lost.
                loop {
                    let version = store.load(&[order_id("1")]).await.unwrap()[0].version;
                    match attempt(&*store, unit(vec![write("1", version)])).await {
                        Committed::Done { .. } => break,
                        Committed::Conflict => tokio::task::yield_now().await,
                        other @ Committed::LinkConflict { .. } => panic!("{other:?}"),
                    }
                }
            }
        });
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    assert_eq!(store.load(&[order_id("1")]).await.unwrap()[0].version, 201);
    assert_eq!(store.backlog().await.unwrap(), [(shop(), 200)]);
    assert_eq!(store.pending(3, 1000).await.unwrap().len(), 200);
}

pub async fn a_closed_store_says_so(place: Place) {
    let store = place.open();
    store.close().await.unwrap();
    assert!(matches!(store.accept(vec![message(None, "x")], None).await, Err(StoreError::Unavailable(_))));
    assert!(matches!(store.counts().await, Err(StoreError::Unavailable(_))));
    store.close().await.unwrap();
}

//! Facts without a subject, timers, the sweep.

use crossdock::canonical::{Body, Fact, MessageId};
use crossdock::ports::{
    Committed, EntityWrite, Hint, Message, MessageState, Origin, Store, Timer, Unit, Waiting,
};

use crate::Place;
use crate::make::{accept, at, attempt, commit, fact, message, name, order_id, unit, write};

fn waiting(fact: Fact, names: &[&str]) -> Waiting {
    let refs = names.iter().map(|id| name("payment", id)).collect();
    Waiting { fact, refs, deadline: at(100) }
}

async fn own(store: &dyn Store) -> Vec<Message> {
    let mut out = Vec::new();
    for shard in 0..crossdock::ports::INBOUND_SHARDS {
        out.extend(store.pending(shard, 100).await.unwrap());
    }
    out.retain(|message| message.content.origin == Origin::Fact);
    out
}

fn fact_of(message: &Message) -> Fact {
    serde_json::from_slice(&message.content.body).unwrap()
}

pub async fn a_name_wakes_what_waits_for_it(place: Place) {
    let store = place.open();
    let id = accept(&*store, message(None, "raw")).await;
    let (one, two) = (fact("1", 1, id), fact("2", 1, id));
    let parked = Unit {
        messages: vec![(id, MessageState::Done)],
        waiting: vec![
            waiting(one.clone(), &["p1", "p2"]),
            waiting(one.clone(), &["p1", "p2"]),
            waiting(two, &["p3"]),
        ],
        ..unit(vec![])
    };
    commit(&*store, parked).await;
    assert_eq!(store.counts().await.unwrap().waiting, 2);
    assert!(own(&*store).await.is_empty());
    let linking = EntityWrite { refs: vec![name("payment", "p2"), name("payment", "p1")], ..write("1", 0) };
    let hints = commit(&*store, unit(vec![linking])).await;
    let woken = own(&*store).await;
    assert_eq!(woken.len(), 1);
    assert_eq!(fact_of(&woken[0]), one);
    assert_eq!((woken[0].content.topic.as_str(), &woken[0].content.context), ("order.placed", &None));
    assert_eq!(hints, [Hint::Inbound { shard: woken[0].content.shard }]);
    assert_eq!(store.counts().await.unwrap().waiting, 1);
    // Once done, it leaves no body: the fact itself is stored.
    let done = Unit { messages: vec![(woken[0].id, MessageState::Done)], ..unit(vec![]) };
    commit(&*store, done).await;
    assert!(store.message(woken[0].id).await.unwrap().unwrap().content.body.is_empty());
}

pub async fn waiting_for_a_known_name_is_a_conflict(place: Place) {
    let store = place.open();
    commit(&*store, unit(vec![EntityWrite { refs: vec![name("payment", "p1")], ..write("1", 0) }])).await;
    let late = waiting(fact("1", 1, MessageId(0)), &["p9", "p1"]);
    let outcome = attempt(&*store, Unit { waiting: vec![late], ..unit(vec![write("2", 0)]) }).await;
    assert_eq!(outcome, Committed::Conflict);
    assert_eq!(store.counts().await.unwrap().waiting, 0);
    assert_eq!(store.load(&[order_id("2")]).await.unwrap()[0].version, 0);
}

pub async fn a_unit_wakes_its_own_facts(place: Place) {
    let store = place.open();
    let linking = EntityWrite { refs: vec![name("payment", "p1")], ..write("1", 0) };
    let parked = waiting(fact("1", 1, MessageId(0)), &["p1"]);
    commit(&*store, Unit { waiting: vec![parked], ..unit(vec![linking]) }).await;
    assert_eq!(own(&*store).await.len(), 1);
    assert_eq!(store.counts().await.unwrap().waiting, 0);
}

pub async fn overdue_facts_become_exceptions_and_still_wait(place: Place) {
    let store = place.open();
    let id = accept(&*store, message(None, "raw")).await;
    let parked = Unit {
        messages: vec![(id, MessageState::Done)],
        waiting: vec![waiting(fact("1", 1, id), &["p1"])],
        ..unit(vec![])
    };
    commit(&*store, parked).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(100)));
    store.sweep(at(99), 10).await.unwrap();
    assert!(store.counts().await.unwrap().exceptions.is_empty());
    for _ in 0..2 {
        store.sweep(at(100), 10).await.unwrap();
        assert_eq!(store.counts().await.unwrap().exceptions, [("no_subject".into(), 1)]);
    }
    let raised = store.exceptions(&crossdock::ports::ExceptionQuery::default()).await.unwrap();
    assert_eq!((raised[0].message_id, raised[0].raised), (Some(id), at(100)));
    assert_eq!(store.next_due().await.unwrap(), None);
    // The subject comes after all.
    commit(&*store, unit(vec![EntityWrite { refs: vec![name("payment", "p1")], ..write("1", 0) }])).await;
    assert_eq!(own(&*store).await.len(), 1);
    assert!(store.counts().await.unwrap().exceptions.is_empty());
}

pub async fn timers_fire_once_a_generation(place: Place) {
    let store = place.open();
    let timer =
        |generation, due| Timer { entity: order_id("1"), kind: "release".into(), generation, due: at(due) };
    let set = async |expected, timer| {
        commit(&*store, unit(vec![EntityWrite { timers: vec![timer], ..write("1", expected) }])).await;
    };
    set(0, timer(1, 10)).await;
    set(1, timer(2, 20)).await;
    set(2, timer(1, 5)).await;
    assert_eq!(store.next_due().await.unwrap(), Some(at(20)), "the newest generation wins");
    store.sweep(at(19), 10).await.unwrap();
    assert!(own(&*store).await.is_empty());
    let hints = store.sweep(at(20), 10).await.unwrap();
    let fired = own(&*store).await;
    assert_eq!(fired.len(), 1);
    assert_eq!(hints, [Hint::Inbound { shard: fired[0].content.shard }]);
    assert_eq!(fired[0].content.context, Some(order_id("1").0));
    let Body::Due(due) = fact_of(&fired[0]).body else { panic!() };
    assert_eq!((due.timer.as_str(), due.generation), ("release", 2));
    // Planning sets the same timer again: it has fired already.
    set(3, timer(2, 20)).await;
    store.sweep(at(30), 10).await.unwrap();
    assert_eq!(own(&*store).await.len(), 1);
    set(4, timer(3, 25)).await;
    store.sweep(at(30), 10).await.unwrap();
    let all = own(&*store).await;
    assert_eq!(all.len(), 2);
    assert_ne!(fact_of(&all[0]).id, fact_of(&all[1]).id);
}

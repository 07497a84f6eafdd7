//! The suite over a private PostgreSQL, and what only many nodes can do wrong.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crossdock::canonical::{Class, IntentState};
use crossdock::io::store::postgres::{LeaseClock, Options, PostgresStore};
use crossdock::ports::{
    Accepted, Committed, EntityWrite, Frozen, MessageState, Settled, Store, Unit, Waiting,
};
use serde_json::json;
use tokio::runtime::Handle;
use tokio::task::{JoinSet, block_in_place};

use crate::Place;
use crate::make::{
    accept, at, attempt, commit, east, exception, fact, frozen, intent, lease, message, name, order_id,
    order_with, settled, unit, write,
};
use crate::server::Server;

fn options(url: &str) -> Options {
    // The suite says what time it is.
    let lease_clock = LeaseClock::Caller;
    Options { pool: 6, statement_timeout: Duration::from_secs(30), lease_clock, ..Options::new(url.into()) }
}

async fn open(url: &str) -> Arc<PostgresStore> {
    PostgresStore::open(options(url)).await.unwrap()
}

/// A server with a database of the newest form, to be copied.
async fn prepared() -> (Rc<Server>, String) {
    let server = Server::start("fsync=off").await;
    let url = server.database().await;
    open(&url).await.close().await.unwrap();
    (Rc::new(server), url)
}

fn place(server: &Rc<Server>, of: &str) -> Place {
    let url = block_in_place(|| Handle::current().block_on(server.copy(of)));
    let open = move || -> Arc<dyn Store> { block_in_place(|| Handle::current().block_on(open(&url))) };
    Place { open: Box::new(open), _keep: Box::new(server.clone()) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    let (server, newest) = prepared().await;
    crate::suite(|| place(&server, &newest)).await;
}

/// Two nodes on one database.
async fn two() -> (Rc<Server>, Arc<PostgresStore>, Arc<PostgresStore>) {
    let (server, newest) = prepared().await;
    let (one, other) = (open(&newest).await, open(&newest).await);
    (server, one, other)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_accept_an_event_once() {
    let (_server, one, other) = two().await;
    let mut offers = JoinSet::new();
    for n in 0..200 {
        for store in [one.clone(), other.clone()] {
            offers.spawn(async move {
                let key = format!("e{}", n / 2);
                store.accept(vec![message(Some(&key), "raw"), message(Some("all"), "x")], None).await.unwrap()
            });
        }
    }
    let accepted = offers.join_all().await.concat();
    let new = accepted.iter().filter(|one| matches!(one, Accepted::New(_))).count();
    assert_eq!(new, 101, "each event once");
    assert_eq!(one.pending(3, 1000).await.unwrap().len(), 101);
    assert_eq!(one.backlog().await.unwrap(), [(crate::make::shop(), 101)]);
    assert_eq!(other.counts().await.unwrap().messages, [("pending".into(), 101)]);
}

/// A fact waits for a name on one node while the other links it: whoever is first, the fact is not forgotten.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_forget_no_waiting_fact() {
    let (_server, one, other) = two().await;
    let mut conflicts = 0;
    for round in 0..60 {
        let (order, payment) = (format!("o{round}"), format!("p{round}"));
        let told = fact(&order, 1, crossdock::canonical::MessageId(0));
        let wait = Unit {
            waiting: vec![Waiting { fact: told, refs: vec![name("payment", &payment)], deadline: at(100) }],
            ..unit(vec![])
        };
        let link = unit(vec![EntityWrite { refs: vec![name("payment", &payment)], ..write(&order, 0) }]);
        let (waited, linked) = tokio::join!(attempt(&*one, wait), attempt(&*other, link));
        assert!(matches!(linked, Committed::Done { .. }), "{linked:?}");
        let waiting = one.counts().await.unwrap().waiting;
        assert_eq!(waiting, 0, "round {round}: {waited:?}");
        if waited == Committed::Conflict {
            conflicts += 1;
        }
    }
    let woken: usize = {
        let mut sum = 0;
        for shard in 0..crossdock::ports::INBOUND_SHARDS {
            sum += one.pending(shard, 1000).await.unwrap().len();
        }
        sum
    };
    assert_eq!(woken + conflicts, 60, "woken, or told that the name is known");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_count_one_entity_up() {
    let (_server, one, other) = two().await;
    commit(&*one, unit(vec![write("1", 0)])).await;
    let mut writers = JoinSet::new();
    for store in [one.clone(), other.clone(), one.clone(), other.clone()] {
        writers.spawn(async move {
            for n in 0..25 {
                let key = format!("{n}");
                loop {
                    let version = store.load(&[order_id("1")]).await.unwrap()[0].version;
                    // An exception and a name that all of them write too.
                    let both = Unit {
                        exceptions: vec![exception("auth:shop")],
                        ..unit(vec![EntityWrite { refs: vec![name("number", &key)], ..write("1", version) }])
                    };
                    match attempt(&*store, both).await {
                        Committed::Done { .. } => break,
                        Committed::Conflict => tokio::task::yield_now().await,
                        other @ Committed::LinkConflict { .. } => panic!("{other:?}"),
                    }
                }
            }
        });
    }
    writers.join_all().await;
    assert_eq!(one.load(&[order_id("1")]).await.unwrap()[0].version, 101);
    assert_eq!(one.counts().await.unwrap().exceptions, [("unmapped".into(), 1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_publish_an_event_once_and_fire_a_timer_once() {
    let (_server, one, other) = two().await;
    let timers = (0..50)
        .map(|n| crossdock::ports::Timer {
            entity: order_id("1"),
            kind: format!("t{n}"),
            generation: 1,
            due: at(5),
        })
        .collect();
    commit(&*one, unit(vec![EntityWrite { timers, ..write("1", 0) }])).await;
    for part in 0..10 {
        let events =
            (0..5).map(|n| ("order.placed".to_owned(), json!({ "n": 5 * part + n }).into())).collect();
        commit(&*one, unit(vec![EntityWrite { events, ..write("1", part + 1) }])).await;
    }
    let (mine, others) = tokio::join!(one.events(30), other.events(30));
    let (mine, others) = (mine.unwrap(), others.unwrap());
    assert!(mine.iter().all(|event| !others.contains(event)), "claimed twice");
    assert_eq!(one.events(30).await.unwrap(), mine, "a claim is its owner's until it is published");
    let rest = other.events(100).await.unwrap();
    assert_eq!(mine.len() + rest.len(), 50);
    let mut all = [mine.clone(), rest.clone()].concat();
    all.sort_by_key(|event| event.ordinal);
    let told: Vec<_> = all.iter().map(|event| event.data.value()["n"].as_i64().unwrap()).collect();
    assert_eq!(told, (0..50).collect::<Vec<_>>(), "a later event has a larger ordinal");
    one.close().await.unwrap();
    assert_eq!(other.events(100).await.unwrap().len(), 50, "left by the one that has gone");
    let third = other.clone();
    let (a, b) = tokio::join!(other.sweep(at(6), 100), third.sweep(at(6), 100));
    let (_, _) = (a.unwrap(), b.unwrap());
    let messages = other.counts().await.unwrap().messages;
    assert_eq!(messages, [("pending".into(), 50)]);
}

/// A lease that ended belongs to one of those who want it, and the old owner can do nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_hold_a_lease_one_at_a_time() {
    let (_server, one, other) = two().await;
    let release = intent("1", "release/east", Class::Order);
    order_with(&*one, "1", vec![release.clone()]).await;
    let old = lease(&*one, "one", 0).await.unwrap();
    for round in 1..20 {
        let now = round * 30;
        let (a, b) = tokio::join!(lease(&*one, "one", now), lease(&*other, "other", now));
        // The holder of before may renew; if the other took it, it may not.
        assert!(a.is_some() != b.is_some() || a.as_ref().map(|l| l.epoch) != b.as_ref().map(|l| l.epoch));
    }
    let now = 20 * 30 + 60;
    let new = lease(&*other, "other", now).await.unwrap();
    assert!(new.epoch > old.epoch);
    assert!(!one.freeze(frozen(&release, old.epoch, now)).await.unwrap());
    assert!(other.freeze(frozen(&release, new.epoch, now)).await.unwrap());
}

/// The clocks of two nodes are a day apart: a lease lasts as long as it was asked for, by the database's clock.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_other_clocks_hold_a_lease_one_at_a_time() {
    let (_server, newest) = prepared().await;
    let by_database = || Options { lease_clock: LeaseClock::Database, ..options(&newest) };
    let one = PostgresStore::open(by_database()).await.unwrap();
    let other = PostgresStore::open(by_database()).await.unwrap();
    let release = intent("1", "release/east", Class::Order);
    order_with(&*one, "1", vec![release.clone()]).await;
    let (early, late, east) = (at(0), at(86_400), east());
    let held = one.lease(&east, "one", early, early + Duration::from_mins(10), None).await.unwrap().unwrap();
    assert_eq!(held.until, early + Duration::from_mins(10), "by the clock of who asked");
    let ask = || other.lease(&east, "other", late, late + Duration::from_secs(1), None);
    assert!(ask().await.unwrap().is_none(), "long over by the other's clock, and not by the database's");
    let frozen = |epoch, now| Frozen { at: now, ..frozen(&release, epoch, 0) };
    assert!(one.freeze(frozen(held.epoch, early)).await.unwrap());
    let back = Settled { due: early, ..settled(release.id, held.epoch, IntentState::Retry, 0) };
    one.settle(vec![back]).await.unwrap();

    // Renewed for a moment, which passes.
    one.lease(&east, "one", early, early + Duration::from_millis(1), None).await.unwrap().unwrap();
    while one.refly(release.id, held.epoch, early).await.unwrap() {
        let back = Settled { due: early, ..settled(release.id, held.epoch, IntentState::Retry, 0) };
        one.settle(vec![back]).await.unwrap();
    }
    let taken = ask().await.unwrap().unwrap();
    assert_eq!((taken.epoch, taken.until), (held.epoch + 1, late + Duration::from_secs(1)));
    assert!(!one.refly(release.id, held.epoch, early).await.unwrap(), "an old owner");
}

/// Texts that an index or the database cannot hold as they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_texts_are_stored() {
    let (_server, one, _other) = two().await;
    let long = "x".repeat(9000);
    let odd = format!("a\0b{long}");
    let id = accept(&*one, message(Some(&odd), "raw\0")).await;
    let again = one.accept(vec![message(Some(&odd), "raw\0")], None).await.unwrap();
    assert_eq!(again, [Accepted::Duplicate(id)]);
    let mut written = EntityWrite { refs: vec![name("order", &odd), name("order", &long)], ..write("1", 0) };
    written.index.words = format!("{odd} {long} TEA\0");
    written.index.label.clone_from(&odd);
    let work = Unit {
        messages: vec![(id, MessageState::Excepted)],
        exceptions: vec![exception(&odd), exception(&long)],
        ..unit(vec![written])
    };
    commit(&*one, work).await;
    assert_eq!(one.resolve(&[name("order", &odd)]).await.unwrap(), [Some(order_id("1"))]);
    assert_eq!(one.counts().await.unwrap().exceptions, [("unmapped".into(), 2)]);
    let query = crossdock::ports::ExceptionQuery { cause: Some(long.clone()), ..Default::default() };
    assert_eq!(one.exceptions(&query).await.unwrap().len(), 1);
}

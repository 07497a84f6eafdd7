//! The database is stopped, killed, cut off, slow, full, or its transactions collide: what was answered is there, nothing
//! is there twice, what cannot be stored is refused at once, and all goes on by itself afterwards.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::canonical::{AccountId, EntityId, ExternalRef};
use crossdock::io::store::postgres::{Options, PostgresStore};
use crossdock::ports::{
    Accepted, Committed, EntityIndex, EntityWrite, MessageState, NewMessage, Origin, Store, StoreError, Unit,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::proxy::Proxy;
use crate::server::Server;
use crate::table::Table;

const JUDGE: &str = "what the store has answered for";

fn message(key: &str) -> NewMessage {
    NewMessage {
        account: "shop".into(),
        origin: Origin::Webhook,
        topic: "orders/create".into(),
        mapping: "order".into(),
        event_id: Some(key.into()),
        headers: Vec::new(),
        body: Bytes::from(key.repeat(50)),
        received: Timestamp::UNIX_EPOCH,
        priority: 0,
        shard: 0,
        context: None,
    }
}

fn name(key: &str) -> ExternalRef {
    ExternalRef::of_account(&AccountId::from("shop"), "order", key)
}

fn order(key: &str) -> EntityId {
    EntityId::order(&"acme".into(), &"shop".into(), key)
}

fn write(key: &str, expected: i64) -> EntityWrite {
    EntityWrite {
        id: order(key),
        expected,
        client: "acme".into(),
        index: EntityIndex {
            account: "shop".into(),
            label: key.into(),
            phase: "received".into(),
            ..EntityIndex::default()
        },
        state: json!({ "key": key }).into(),
        reservations: Vec::new(),
        personal: Value::Null,
        facts: Vec::new(),
        heard: None,
        superseded: Vec::new(),
        refs: vec![name(key)],
        intents: Vec::new(),
        exceptions: None,
        timers: Vec::new(),
        events: vec![("order.placed".into(), json!({ "key": key }).into())],
    }
}

/// Writers that note what the store has answered for.
struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<Mutex<Vec<String>>>,
    refused: Arc<AtomicU32>,
    slowest_refusal: Arc<Mutex<Duration>>,
    writers: JoinSet<()>,
}

impl Load {
    fn on(store: &Arc<PostgresStore>) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            answered: Arc::default(),
            refused: Arc::default(),
            slowest_refusal: Arc::default(),
            writers: JoinSet::new(),
        };
        for writer in 0..6 {
            let (store, stop, answered) = (store.clone(), load.stop.clone(), load.answered.clone());
            let (refused, slowest) = (load.refused.clone(), load.slowest_refusal.clone());
            load.writers.spawn(async move {
                for n in 0.. {
                    let key = format!("{writer}/{n}");
                    let begun = Instant::now();
                    let one = accept_and_commit(&store, &key).await;
                    match one {
                        Ok(()) => answered.lock().unwrap().push(key),
                        Err(StoreError::Unavailable(_) | StoreError::Full) => {
                            refused.fetch_add(1, Ordering::Relaxed);
                            longest(&slowest, begun.elapsed());
                            tokio::time::sleep(Duration::from_millis(20)).await;
                        }
                        Err(error @ StoreError::Corrupt(_)) => panic!("{error}"),
                    }
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            });
        }
        load
    }

    fn answers(&self) -> usize {
        self.answered.lock().unwrap().len()
    }

    /// Waits until so many more are answered; gives how long it took.
    async fn goes_on(&self, more: usize) -> Duration {
        let (begun, before) = (Instant::now(), self.answers());
        while self.answers() < before + more {
            assert!(begun.elapsed() < Duration::from_mins(1), "it does not go on by itself");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        begun.elapsed()
    }

    /// Ends the writers; everything that was answered must be there, once.
    async fn check(mut self, store: &PostgresStore) -> (usize, u32) {
        println!("the slowest refusal took {:?}", self.slowest_refusal.lock().unwrap());
        self.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.writers.join_next().await {
            ended.unwrap();
        }
        let answered = std::mem::take(&mut *self.answered.lock().unwrap());
        for key in &answered {
            let known = store.accept(vec![message(key)], None).await.unwrap();
            assert!(matches!(known[..], [Accepted::Duplicate(_)]), "{key} was answered and is lost");
            assert_eq!(
                store.resolve(&[name(key)]).await.unwrap(),
                [Some(order(key))],
                "{key} was answered and is lost"
            );
            assert_eq!(store.load(&[order(key)]).await.unwrap()[0].version, 1, "{key} is there twice");
        }
        let mut events = BTreeSet::new();
        loop {
            let page = store.events(1000).await.unwrap();
            if page.is_empty() {
                break;
            }
            for event in &page {
                assert!(events.insert(event.entity.clone()), "{} was told twice", event.entity);
            }
            store.published(&page.iter().map(|event| event.ordinal).collect::<Vec<_>>()).await.unwrap();
        }
        assert!(events.len() >= answered.len());
        (answered.len(), self.refused.load(Ordering::Relaxed))
    }
}

fn longest(known: &Mutex<Duration>, time: Duration) {
    let mut known = known.lock().unwrap();
    *known = (*known).max(time);
}

async fn accept_and_commit(store: &PostgresStore, key: &str) -> Result<(), StoreError> {
    let id = match store.accept(vec![message(key)], None).await?[..] {
        [Accepted::New(id) | Accepted::Duplicate(id)] => id,
        ref other => panic!("{other:?}"),
    };
    let unit =
        Unit { messages: vec![(id, MessageState::Done)], entities: vec![write(key, 0)], ..Unit::default() };
    loop {
        match store.commit(vec![unit.clone()]).await {
            Ok(outcome) => {
                assert!(matches!(outcome[..], [Committed::Done { .. }]), "{key}: {outcome:?}");
                return Ok(());
            }
            Err(StoreError::Corrupt(why)) => panic!("{why}"),
            // Accepted is accepted: as the worker does, try again until it is done.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// The shortest of the time-outs.
const CONNECT: Duration = Duration::from_secs(1);

fn options(url: &str) -> Options {
    Options {
        pool: 6,
        connect_timeout: CONNECT,
        statement_timeout: Duration::from_secs(2),
        ..Options::new(url.into())
    }
}

/// While the database is away nobody waits for a time-out: most calls are over long before one could be.
async fn refused_at_once(store: &PostgresStore) {
    let mut waited = Vec::new();
    for _ in 0..20 {
        let begun = Instant::now();
        let refused = store.accept(vec![message("while it is away")], None).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
        waited.push(begun.elapsed());
    }
    waited.sort();
    assert!(waited[10] < CONNECT, "{waited:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_killed_and_restarted() {
    let mut server = Server::start("").await;
    let url = server.database().await;
    let store = PostgresStore::open(options(&url)).await.unwrap();
    let load = Load::on(&store);
    let mut table = Table::new("postgres-away", JUDGE);
    load.goes_on(50).await;
    for round in 0..4 {
        let how = if round % 2 == 0 {
            server.stop();
            "database stopped and started again"
        } else {
            server.kill();
            "database killed (SIGKILL) and started again"
        };
        // Refused at once, not after a time-out.
        tokio::time::sleep(Duration::from_millis(300)).await;
        refused_at_once(&store).await;
        server.go_on().await;
        let took = load.goes_on(20).await;
        table.add(how, took);
    }
    let (answered, refused) = load.check(&store).await;
    println!("{answered} answered, {refused} refused, none lost, none twice");
    assert!(answered > 50 && refused > 0);
    table.print();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_off_and_slow() {
    let server = Server::start("fsync=off").await;
    let url = server.database().await;
    let proxy = Proxy::start(server.port).await;
    let through = url.replace(&format!(":{}/", server.port), &format!(":{}/", proxy.port()));
    let store = PostgresStore::open(options(&through)).await.unwrap();
    let load = Load::on(&store);
    let mut table = Table::new("postgres-line", JUDGE);
    for _ in 0..3 {
        load.goes_on(30).await;
        proxy.refuse();
        tokio::time::sleep(Duration::from_millis(400)).await;
        proxy.pass();
        let took = load.goes_on(20).await;
        table.add("line to the database cut", took);
        // Everything hangs: after the time-out it counts as away, and then work is refused at once.
        proxy.stall();
        let begun = Instant::now();
        while store.counts().await.is_ok() {
            assert!(begun.elapsed() < Duration::from_mins(1), "a database that hangs is not noticed");
        }
        refused_at_once(&store).await;
        proxy.pass();
        let took = load.goes_on(20).await;
        table.add("line to the database stalls", took);
        // Slow is not away: all goes on, only later.
        proxy.slow();
        table.add("database slow (0.1 s a packet)", load.goes_on(10).await);
        proxy.pass();
    }
    let (answered, refused) = load.check(&store).await;
    println!("{answered} answered, {refused} refused, none lost, none twice");
    assert!(refused > 0);
    table.print();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_connections() {
    let server = Server::start("fsync=off\nmax_connections=12\nsuperuser_reserved_connections=0").await;
    let url = server.database().await;
    let database = url.rsplit('/').next().unwrap().to_owned();
    let store = PostgresStore::open(Options { pool: 30, ..options(&url) }).await.unwrap();
    let mut others = Vec::new();
    while others.len() < 9 {
        match server.connect(&database).await {
            Ok(client) => others.push(client),
            Err(_) => break,
        }
    }
    // Fewer are left than the pool would like: work goes on over those that it gets.
    let load = Load::on(&store);
    let mut reads = JoinSet::new();
    for _ in 0..40 {
        let store = store.clone();
        reads.spawn(async move { store.counts().await.is_ok() });
    }
    let went_well = reads.join_all().await.into_iter().filter(|ok| *ok).count();
    println!("{went_well} of 40 reads over the few connections that were left");
    load.goes_on(30).await;
    // None is left at all, and those that it had are ended.
    for client in &others {
        let _ = client
            .execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'crossdock %'",
                &[],
            )
            .await;
    }
    let begun = Instant::now();
    while others.len() < 12 && begun.elapsed() < Duration::from_secs(2) {
        if let Ok(client) = server.connect(&database).await {
            others.push(client);
        }
    }
    drop(others);
    let took = load.goes_on(30).await;
    load.check(&store).await;
    let mut table = Table::new("postgres-room", JUDGE);
    table.add("database out of connections", took);
    table.print();
}

/// Transactions that collide with those of others are done again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transactions_collide() {
    let server = Server::start("fsync=off").await;
    let url = server.database().await;
    let database = url.rsplit('/').next().unwrap().to_owned();
    let store = PostgresStore::open(options(&url)).await.unwrap();
    let other = server.connect(&database).await.unwrap();
    // A trigger that fails every fifth write as a serialisation failure, every seventh as a deadlock.
    other
        .batch_execute(
            "CREATE SEQUENCE turns;
             CREATE FUNCTION collide() RETURNS trigger LANGUAGE plpgsql AS $$
             DECLARE turn bigint := nextval('turns');
             BEGIN
                IF turn % 5 = 0 THEN RAISE EXCEPTION 'collided' USING ERRCODE = '40001'; END IF;
                IF turn % 7 = 0 THEN RAISE EXCEPTION 'locked' USING ERRCODE = '40P01'; END IF;
                RETURN NEW;
             END $$;
             CREATE TRIGGER collide BEFORE INSERT ON message FOR EACH STATEMENT EXECUTE FUNCTION collide();
             CREATE TRIGGER collide BEFORE INSERT ON entity FOR EACH STATEMENT EXECUTE FUNCTION collide();",
        )
        .await
        .unwrap();
    let load = Load::on(&store);
    let mut table = Table::new("postgres-collisions", JUDGE);
    load.goes_on(300).await;
    let collided: i64 = other.query_one("SELECT last_value FROM turns", &[]).await.unwrap().get(0);
    let (answered, refused) = load.check(&store).await;
    println!("{answered} answered although transactions collided, {refused} refused");
    assert_eq!(refused, 0, "a collision is not the caller's matter");
    // Every fifth was refused as a serialisation failure, and of the others every seventh as a deadlock.
    let serial = collided / 5;
    let dead = collided / 7 - collided / 35;
    println!("{serial} serialisation failures, {dead} deadlocks");
    for _ in 0..serial {
        table.note("serialisation failure", Duration::ZERO);
    }
    for _ in 0..dead {
        table.note("deadlock", Duration::ZERO);
    }
    table.print();
}

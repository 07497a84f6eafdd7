//! Power loss: the store on a disk in memory that forgets what was not synced. What the store has answered is there
//! after the power comes back, whatever was being written when it went.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use crossdock::canonical::{AccountId, EntityId, ExternalRef};
use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::{Accepted, Committed, EntityIndex, EntityWrite, NewMessage, Origin, Store, Unit};
use jiff::Timestamp;
use lossy_vfs::{Disk, FORGET_ALL, Image, KEEP_ALL};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};

const FILE: &str = "store.db";

fn open(disk: &Disk, inline: bool) -> Result<Arc<SqliteStore>, crossdock::ports::StoreError> {
    SqliteStore::open(
        disk.path(FILE),
        Options { inline, vfs: Some(lossy_vfs::NAME.into()), ..Options::default() },
    )
}

fn raw(disk: &Disk) -> Connection {
    Connection::open_with_flags_and_vfs(disk.path(FILE), OpenFlags::default(), lossy_vfs::NAME).unwrap()
}

/// A database that was brought to its form once.
async fn image() -> Image {
    let disk = Disk::new();
    open(&disk, true).unwrap().close().await.unwrap();
    disk.image()
}

/// What the store has answered for.
#[derive(Debug, Clone)]
enum Promise {
    Message(String),
    Order(String),
    Value(String),
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn message(key: &str) -> NewMessage {
    NewMessage {
        account: "shop".into(),
        origin: Origin::Webhook,
        topic: "orders/create".into(),
        mapping: "order".into(),
        event_id: Some(key.into()),
        headers: Vec::new(),
        // Something that neither compresses to nothing nor fits in one page.
        body: Bytes::from(key.repeat(key.len() % 9 * 100)),
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

fn write(key: &str) -> Unit {
    let write = EntityWrite {
        id: order(key),
        expected: 0,
        client: "acme".into(),
        index: EntityIndex { words: key.replace('/', " "), ..EntityIndex::default() },
        state: json!({ "key": key.repeat(50) }).into(),
        reservations: Vec::new(),
        personal: json!({ "email": "x@example.com" }),
        facts: Vec::new(),
        heard: None,
        superseded: Vec::new(),
        refs: vec![name(key)],
        intents: Vec::new(),
        exceptions: None,
        timers: Vec::new(),
        events: vec![("order.placed".into(), Value::Null.into())],
    };
    Unit { entities: vec![write], ..Unit::default() }
}

/// One random piece of work. The promise, when the store has made it.
async fn work(store: &dyn Store, chance: &mut Chance, key: String) -> Option<Promise> {
    match chance.below(4) {
        0 => {
            let done = store.put("kept", &key, json!(key), None).await.ok()?;
            done.then_some(Promise::Value(key))
        }
        1 => {
            let done = store.commit(vec![write(&key)]).await.ok()?;
            matches!(done[..], [Committed::Done { .. }]).then_some(Promise::Order(key))
        }
        _ => {
            store.accept(vec![message(&key)], None).await.ok()?;
            Some(Promise::Message(key))
        }
    }
}

async fn kept(store: &dyn Store, promise: &Promise) -> bool {
    match promise {
        Promise::Message(key) => {
            matches!(store.accept(vec![message(key)], None).await.unwrap()[..], [Accepted::Duplicate(_)])
        }
        Promise::Order(key) => {
            store.resolve(&[name(key)]).await.unwrap() == [Some(order(key))]
                && store.load(&[order(key)]).await.unwrap()[0].state.value()["email"] == "x@example.com"
        }
        Promise::Value(key) => store.get("kept", key).await.unwrap() == Some(json!(key)),
    }
}

async fn check(disk: &Disk, store: &dyn Store, promises: &[Promise], what: &str) {
    for promise in promises {
        assert!(kept(store, promise).await, "{what}: {promise:?} was answered and is lost");
    }
    store.close().await.unwrap();
    let sound: String = raw(disk).query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(sound, "ok", "{what}");
}

/// Rounds of work that the power ends, each followed by a look at what is left. Gives promises and cuts.
async fn rounds(disk: &Disk, seed: u64) -> (usize, usize) {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let mut promises = Vec::new();
    let mut cuts = 0;
    for round in 0..3 {
        disk.cut_after(1 + chance.below(250));
        let opened = open(disk, true).ok();
        if let Some(store) = &opened {
            for n in 0..60 {
                promises.extend(work(&**store, &mut chance, format!("{round}/{n}")).await);
                if disk.is_off() {
                    cuts += 1;
                    break;
                }
            }
        }
        // Sometimes the dead store is closed before the power comes back, sometimes after.
        let late = opened.filter(|_| chance.below(2) == 0);
        disk.power_loss(chance.below(1000));
        drop(late);
        let store = open(disk, true).unwrap();
        check(disk, &*store, &promises, &format!("seed {seed}, round {round}")).await;
    }
    (promises.len(), cuts)
}

#[tokio::test]
async fn what_was_answered_survives_power_loss() {
    let image = image().await;
    let (mut total, mut cut) = (0, 0);
    for seed in 1..=400 {
        let (promises, cuts) = rounds(&Disk::from_image(&image), seed).await;
        total += promises;
        cut += cuts;
    }
    assert!(total > 5_000 && cut > 500, "{total} promises, {cut} cuts: the test does not test");
}

/// The power goes while the file is made and brought to its form, or soon after.
#[tokio::test]
async fn a_new_file_survives_power_loss() {
    for seed in 1..=60 {
        rounds(&Disk::new(), seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_to_many_survives_power_loss() {
    let image = image().await;
    let mut total = 0;
    for seed in 1..=60_u64 {
        let disk = Disk::from_image(&image);
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        disk.cut_after(50 + chance.below(800));
        let mut promises = Vec::new();
        if let Ok(store) = open(&disk, false) {
            let mut writers = tokio::task::JoinSet::new();
            for writer in 0..6 {
                let store = store.clone();
                let mut chance = Chance(seed * 100 + writer + 1);
                let disk = disk.clone();
                writers.spawn(async move {
                    let mut promises = Vec::new();
                    for n in 0..100 {
                        promises.extend(work(&*store, &mut chance, format!("{writer}/{n}")).await);
                        if disk.is_off() {
                            break;
                        }
                    }
                    promises
                });
            }
            promises = writers.join_all().await.concat();
            disk.power_loss(chance.below(1000));
        } else {
            disk.power_loss(chance.below(1000));
        }
        let store = open(&disk, false).unwrap();
        check(&disk, &*store, &promises, &format!("seed {seed}")).await;
        total += promises.len();
    }
    assert!(total > 2_000, "{total} promises: the test does not test");
}

#[tokio::test]
async fn an_ended_process_loses_nothing() {
    let image = image().await;
    for seed in 1..=50 {
        let disk = Disk::from_image(&image);
        let mut chance = Chance(seed);
        let store = open(&disk, true).unwrap();
        let mut promises = Vec::new();
        for n in 0..40 {
            promises.extend(work(&*store, &mut chance, n.to_string()).await);
        }
        assert_eq!(promises.len(), 40);
        disk.crash();
        assert!(store.counts().await.is_err(), "the old process is dead");
        let again = open(&disk, true).unwrap();
        drop(store);
        check(&disk, &*again, &promises, &format!("seed {seed}")).await;
    }
}

/// The harness itself: it catches a store that answers before the disk has it.
#[test]
fn a_store_that_does_not_sync_is_caught() {
    static ROWS: AtomicU64 = AtomicU64::new(0);
    let survivors = |synchronous: &str, seed: u64| {
        let disk = Disk::new();
        let db = raw(&disk);
        db.execute_batch("PRAGMA synchronous = EXTRA; PRAGMA journal_mode = WAL; CREATE TABLE t (x)")
            .unwrap();
        db.execute_batch(&format!("PRAGMA synchronous = {synchronous}")).unwrap();
        for _ in 0..10 {
            db.execute("INSERT INTO t VALUES (?1)", [ROWS.fetch_add(1, Ordering::Relaxed).cast_signed()])
                .unwrap();
        }
        disk.power_loss(seed);
        drop(db);
        raw(&disk).query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    assert_eq!(survivors("FULL", FORGET_ALL), 10);
    assert_eq!(survivors("NORMAL", FORGET_ALL), 0, "NORMAL syncs at checkpoints alone");
    assert_eq!(survivors("OFF", FORGET_ALL), 0);
    assert_eq!(survivors("OFF", KEEP_ALL), 10);
    assert!((2..50).all(|seed| survivors("FULL", seed) == 10));
    assert!((2..50).any(|seed| survivors("OFF", seed) < 10));
}

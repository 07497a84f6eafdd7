//! How fast it is; run by hand: `cargo test --release --test store_conformance speed -- --ignored --nocapture`.

#![expect(clippy::print_stdout, reason = "figures for whoever runs it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::canonical::Class;
use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::{Accepted, EntityWrite, MessageState, NewMessage, Store, Unit};
use serde_json::json;

use crate::make::{commit, fact, intent, message, name, write};

const TASKS: usize = 64;
const EACH: usize = 150;

/// A 6 KB order that compresses like a real one.
fn order(key: &str) -> NewMessage {
    let lines: Vec<_> = (0..20)
        .map(|n| json!({ "id": format!("{key}{n}"), "sku": format!("TEA-{n:03}"), "title": "Assam, second flush", "quantity": n,
            "price": "12.50", "vendor": "Tea & Co", "requires_shipping": true, "tax_lines": [{ "rate": 0.07, "title": "VAT" }] }))
        .collect();
    let body = json!({ "id": key, "email": "someone@example.com", "line_items": lines }).to_string();
    NewMessage { body: Bytes::from(body), ..message(Some(key), "") }
}

/// Runs `work` in 64 tasks and prints how many a second, and how long one took.
async fn measure<F, W>(what: &str, store: &Arc<SqliteStore>, work: W)
where
    F: Future<Output = ()> + Send,
    W: Fn(Arc<SqliteStore>, String) -> F + Clone + Send + 'static,
{
    let started = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..TASKS {
        let (store, work) = (store.clone(), work.clone());
        tasks.spawn(async move {
            let mut times = Vec::with_capacity(EACH);
            for n in 0..EACH {
                let begun = Instant::now();
                work(store.clone(), format!("{task}/{n}")).await;
                times.push(begun.elapsed());
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.concat();
    times.sort_unstable();
    let rate = f64::from(u32::try_from(times.len()).unwrap()) / started.elapsed().as_secs_f64();
    println!(
        "{what}: {rate:.0}/s, p50 {:?}, p99 {:?}",
        times[times.len() / 2],
        times[times.len() * 99 / 100]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "measures"]
async fn how_fast() {
    println!("{} bytes a message, {TASKS} tasks", order("1/1").body.len());
    let disk = tempfile::tempdir().unwrap();
    for (place, folder) in [("disk", &disk), ("memory", &crate::folder())] {
        let store = SqliteStore::open(folder.path().join("store.db"), Options::default()).unwrap();
        measure(&format!("{place}: accept"), &store, |store, key| async move {
            store.accept(vec![order(&key)], None).await.unwrap();
        })
        .await;
        measure(&format!("{place}: commit"), &store, |store, key| async move {
            let accepted = store.accept(vec![order(&key)], None).await.unwrap();
            let [Accepted::Duplicate(id)] = accepted[..] else { panic!() };
            let written = EntityWrite {
                state: serde_json::from_slice::<serde_json::Value>(&order(&key).body).unwrap().into(),
                facts: vec![fact(&key, 1, id)],
                refs: vec![name("order", &key), name("number", &key)],
                intents: vec![intent(&key, "release/east", Class::Order)],
                ..write(&key, 0)
            };
            let unit = Unit { messages: vec![(id, MessageState::Done)], ..crate::make::unit(vec![written]) };
            commit(&*store, unit).await;
        })
        .await;
        measure(&format!("{place}: load"), &store, |store, key| async move {
            assert_eq!(store.load(&[crate::make::order_id(&key)]).await.unwrap()[0].version, 1);
        })
        .await;
        store.close().await.unwrap();
        let size = std::fs::metadata(folder.path().join("store.db")).unwrap().len();
        println!("{place}: {} bytes an order", size / u64::try_from(TASKS * EACH).unwrap());
    }
}

//! The embedded path under load: webhooks of 6 KB orders over 64 connections into a daemon with its SQLite store, and out
//! to a warehouse that answers at once. All orders want the same five SKUs, and all stay open: what one costs must not
//! grow with how many there are.
//!
//! `cargo bench --bench embedded` prints a table and one JSON object. Passes: a bare HTTP handler and one that writes
//! three rows, for comparison; floods of the daemon up to each of the numbers of open orders, until each order is mapped,
//! has its stock reserved and its warehouse command stands in the outbox, while the warehouse lets nobody in yet; then the
//! delivery of all; then a steady rate (time from a webhook's arrival to the warehouse command that it causes). Client,
//! warehouse and daemon share the machine and its cores: figures of one run compare, those of different machines and times
//! do not. CPU is that of the whole process; it does not depend much on what else the machine does, as rates do.
//!
//! `CROSSDOCK_BENCH_ORDERS` (`1000,5000,20000`), `CROSSDOCK_BENCH_RATE` (a second) and `CROSSDOCK_BENCH_SECONDS` set how
//! much.

#![recursion_limit = "512"]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring programme: it may stop at the first surprise"
)]

mod bare;
mod client;
mod order;
mod warehouse;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossdock::app::Prepared;
use crossdock::cli::files;
use crossdock::ports::Store;
use serde_json::{Value, json};

use client::Client;
use warehouse::Seen;

/// The one of the daemon.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const CONNECTIONS: usize = 64;
const SECRET: &str = "bench";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
    runtime.shutdown_background();
}

async fn measure() {
    let levels = std::env::var("CROSSDOCK_BENCH_ORDERS").unwrap_or_else(|_| "1000,5000,20000".to_owned());
    let levels: Vec<usize> = levels.split(',').map(|number| number.trim().parse().unwrap()).collect();
    let most = levels.iter().copied().max().unwrap();
    let rate: usize = setting("CROSSDOCK_BENCH_RATE", 200);
    let seconds: usize = setting("CROSSDOCK_BENCH_SECONDS", 10);
    let folder = tempfile::tempdir().unwrap();
    let requests: Arc<Vec<Vec<u8>>> = Arc::new((0..most).map(order::request).collect());

    let address = bare::handler().await;
    let (handler, _) = timed(most, client::flood(&address, CONNECTIONS, &requests)).await;
    let address = bare::with_store(folder.path()).await;
    let (stored, _) = timed(most, client::flood(&address, CONNECTIONS, &requests)).await;
    let mut passes =
        vec![("bare handler".to_owned(), handler), ("bare handler, three rows".to_owned(), stored)];

    let seen = Seen::default();
    let (open, closed) = tokio::sync::watch::channel(false);
    let address = warehouse::serve(seen.clone(), closed).await;
    let loaded = files::load(&warehouse::write_config(folder.path(), &address));
    loaded.problems.iter().for_each(|problem| println!("{problem}"));
    let running = Prepared::of(loaded).unwrap().start().await.unwrap();
    let address = running.address.to_string();

    // Floods: all connections post as fast as they are answered.
    let mut answers = Vec::new();
    let mut present = 0;
    for level in levels {
        let more = Arc::new(requests[present..level].to_vec());
        let clock = Stopwatch::new();
        answers.extend(client::flood(&address, CONNECTIONS, &more).await);
        passes.push((format!("webhooks accepted, to {level}"), clock.lap(more.len())));
        wait_planned(running.store.as_ref(), level).await;
        passes.push((format!("command in outbox, to {level}"), clock.lap(more.len())));
        present = level;
    }
    let clock = Stopwatch::new();
    open.send(true).unwrap();
    wait_heard(&seen, present).await;
    passes.push(("commands delivered".to_owned(), clock.lap(present)));

    let mut heard = steady(&address, &seen, present, rate, seconds).await;
    running.stop().await;

    let stored = &passes[1].1;
    for (name, pass) in &passes {
        println!(
            "{name:<32} {:>7.0}/s {:>7.0} µs of CPU each  {:>6.2} × three rows",
            pass.rate(),
            pass.cpu_each(),
            pass.cpu_each() / stored.cpu_each()
        );
    }
    let told: serde_json::Map<String, Value> =
        passes.iter().map(|(name, pass)| (name.clone(), pass.told(stored))).collect();
    let table = json!({
        "connections": CONNECTIONS,
        "body_bytes": order::body(0).len(),
        "passes": told,
        "answer_ms": { "p50": percentile(&mut answers, 50), "p99": percentile(&mut answers, 99) },
        "steady_rate_per_s": rate,
        "webhook_to_warehouse_ms": { "p50": percentile(&mut heard, 50), "p95": percentile(&mut heard, 95), "p99": percentile(&mut heard, 99) },
    });
    let answer = &table["answer_ms"];
    println!("{:<32} p50 {} ms, p99 {} ms", "answer in the floods", answer["p50"], answer["p99"]);
    let hop = &table["webhook_to_warehouse_ms"];
    println!(
        "{:<32} p50 {} ms, p95 {} ms, p99 {} ms at {rate}/s",
        "webhook to warehouse", hop["p50"], hop["p95"], hop["p99"]
    );
    println!("{table}");
}

/// Posts `rate` orders a second for so many seconds. Gives how long each took until the warehouse heard of it.
async fn steady(address: &str, seen: &Seen, first: usize, rate: usize, seconds: usize) -> Vec<Duration> {
    let mut idle = Vec::new();
    for _ in 0..CONNECTIONS {
        idle.push(Client::connect(address).await);
    }
    let idle = Arc::new(tokio::sync::Mutex::new(idle));
    let mut starts = HashMap::new();
    let mut ticks =
        tokio::time::interval(Duration::from_secs_f64(1.0 / f64::from(u32::try_from(rate).unwrap())));
    for number in first..first + rate * seconds {
        let request = order::request(number);
        ticks.tick().await;
        starts.insert(order::name(number), Instant::now());
        let idle = idle.clone();
        let address = address.to_owned();
        tokio::spawn(async move {
            let taken = idle.lock().await.pop();
            let mut client = match taken {
                Some(client) => client,
                None => Client::connect(&address).await,
            };
            client.post(&request).await;
            idle.lock().await.push(client);
        });
    }
    wait_heard(seen, first + rate * seconds).await;
    let seen = seen.lock().unwrap();
    starts.iter().filter_map(|(name, start)| Some(*seen.get(name)? - *start)).collect()
}

/// How long something took, for how many, and what CPU time this process spent meanwhile.
struct Pass {
    count: usize,
    time: Duration,
    cpu: Duration,
}

impl Pass {
    fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.count).unwrap()) / self.time.as_secs_f64()
    }
    fn cpu_each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / f64::from(u32::try_from(self.count).unwrap())
    }
    fn told(&self, base: &Self) -> Value {
        let ratio = (self.cpu_each() / base.cpu_each() * 100.0).round() / 100.0;
        json!({ "per_s": self.rate().round(), "cpu_us": self.cpu_each().round(), "cpu_ratio": ratio })
    }
}

struct Stopwatch {
    begun: Instant,
    cpu: Duration,
}

impl Stopwatch {
    fn new() -> Self {
        Self { begun: Instant::now(), cpu: cpu_time() }
    }
    /// From the beginning until now.
    fn lap(&self, count: usize) -> Pass {
        Pass { count, time: self.begun.elapsed(), cpu: cpu_time().saturating_sub(self.cpu) }
    }
}

async fn timed<T>(count: usize, work: impl Future<Output = T>) -> (Pass, T) {
    let clock = Stopwatch::new();
    let out = work.await;
    (clock.lap(count), out)
}

/// CPU time that this process has spent, where the system tells (hundredths of a second, in `/proc`).
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

fn setting(name: &str, default: usize) -> usize {
    std::env::vars().find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
}

fn percentile(times: &mut [Duration], percent: usize) -> Value {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(Value::Null, |time| json!((time.as_secs_f64() * 10_000.0).round() / 10.0))
}

/// Waits until so many orders have their warehouse command in the outbox and nothing is left to work on. It looks rarely:
/// its own looking is counted, too.
async fn wait_planned(store: &dyn Store, count: usize) {
    let begun = Instant::now();
    loop {
        let left: u64 = store.backlog().await.unwrap().iter().map(|(_, count)| count).sum();
        if left == 0 {
            let counts = store.counts().await.unwrap();
            let commands: u64 = counts
                .intents
                .iter()
                .filter(|(command, ..)| command == "order.create")
                .map(|row| row.2)
                .sum();
            if commands >= u64::try_from(count).unwrap() {
                return;
            }
            assert!(begun.elapsed() < Duration::from_mins(20), "{commands} commands of {count}: {counts:?}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn wait_heard(seen: &Seen, count: usize) {
    let begun = Instant::now();
    while seen.lock().unwrap().len() < count {
        assert!(
            begun.elapsed() < Duration::from_mins(10),
            "the warehouse has heard of {} of {count}",
            seen.lock().unwrap().len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

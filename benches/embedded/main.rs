//! The embedded path under load: webhooks of 6 KB orders over 64 connections into a daemon with its SQLite store, and out
//! to a warehouse that answers at once.
//!
//! `cargo bench --bench embedded` prints a table and one JSON object. Passes: a bare HTTP handler and one that writes
//! three rows, for comparison; a flood of the daemon (how many webhooks are accepted, orders mapped and applied, and
//! warehouse commands delivered a second); a steady rate (time from a webhook's arrival to the warehouse command that it
//! causes). Client, warehouse and daemon share the machine and its cores: rates of one run compare, those of different
//! machines and times do not. CPU is that of the whole process.
//!
//! `CROSSDOCK_BENCH_ORDERS`, `CROSSDOCK_BENCH_RATE` (a second) and `CROSSDOCK_BENCH_SECONDS` set how much.

#![recursion_limit = "512"]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
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

const CONNECTIONS: usize = 64;
const SECRET: &str = "bench";

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
    runtime.shutdown_background();
}

async fn measure() {
    let flood: usize = setting("CROSSDOCK_BENCH_ORDERS", 20_000);
    let rate: usize = setting("CROSSDOCK_BENCH_RATE", 200);
    let seconds: usize = setting("CROSSDOCK_BENCH_SECONDS", 10);
    let folder = tempfile::tempdir().unwrap();
    let requests: Arc<Vec<Vec<u8>>> = Arc::new((0..flood).map(order::request).collect());

    let address = bare::handler().await;
    let (handler, _) = timed(flood, client::flood(&address, CONNECTIONS, &requests)).await;
    let address = bare::with_store(folder.path()).await;
    let (stored, _) = timed(flood, client::flood(&address, CONNECTIONS, &requests)).await;

    let seen = Seen::default();
    let address = warehouse::serve(seen.clone()).await;
    let loaded = files::load(&warehouse::write_config(folder.path(), &address));
    loaded.problems.iter().for_each(|problem| println!("{problem}"));
    let running = Prepared::of(loaded).unwrap().start().await.unwrap();
    let address = running.address.to_string();

    // A flood: all connections post as fast as they are answered.
    let clock = Stopwatch::new();
    let mut answers = client::flood(&address, CONNECTIONS, &requests).await;
    let accepted = clock.lap(flood);
    wait_applied(running.store.as_ref(), flood).await;
    let applied = clock.lap(flood);
    wait_heard(&seen, flood).await;
    let delivered = clock.lap(flood);

    let mut heard = steady(&address, &seen, flood, rate, seconds).await;
    running.stop().await;

    let table = json!({
        "connections": CONNECTIONS,
        "body_bytes": order::body(0).len(),
        "orders": flood,
        "bare_handler": handler.told(&handler),
        "bare_three_rows": stored.told(&stored),
        "accepted": accepted.told(&stored),
        "applied": applied.told(&stored),
        "delivered": delivered.told(&stored),
        "answer_ms": { "p50": percentile(&mut answers, 50), "p99": percentile(&mut answers, 99) },
        "steady_rate_per_s": rate,
        "webhook_to_warehouse_ms": { "p50": percentile(&mut heard, 50), "p95": percentile(&mut heard, 95), "p99": percentile(&mut heard, 99) },
    });
    let passes = [
        ("bare handler", &handler),
        ("bare handler, three rows", &stored),
        ("webhooks accepted", &accepted),
        ("mapped and applied", &applied),
        ("warehouse commands", &delivered),
    ];
    for (name, pass) in passes {
        println!(
            "{name:<26} {:>7.0}/s {:>6.0} µs of CPU each  {:>5.2} × three rows",
            pass.rate(),
            pass.cpu_each(),
            pass.rate() / stored.rate()
        );
    }
    let answer = &table["answer_ms"];
    println!("{:<26} p50 {} ms, p99 {} ms", "answer in the flood", answer["p50"], answer["p99"]);
    let hop = &table["webhook_to_warehouse_ms"];
    println!(
        "{:<26} p50 {} ms, p95 {} ms, p99 {} ms at {rate}/s",
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
        let ratio = (self.rate() / base.rate() * 1000.0).round() / 1000.0;
        json!({ "per_s": self.rate().round(), "cpu_us": self.cpu_each().round(), "ratio": ratio })
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

async fn wait_applied(store: &dyn Store, count: usize) {
    loop {
        let counts = store.counts().await.unwrap();
        let orders: u64 = counts.phases.iter().map(|(_, count)| count).sum();
        let pending =
            counts.messages.iter().find(|(state, _)| state == "pending").map_or(0, |(_, count)| *count);
        if orders >= u64::try_from(count).unwrap() && pending == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
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

//! One run with all sides: the daemon on its embedded parts, one node and three nodes on `RabbitMQ` and PostgreSQL, beside
//! the least that such nodes could do: a bare publisher with confirms to a quorum queue, and bare batched inserts.
//!
//! Each side goes its way twice: to the event alone (taken in, mapped, applied, the event published), which is what bare
//! forwarders do, and with flows that are live, to the warehouse. On the way to the event somebody hears them all: a listener
//! at the daemon and, where there is a broker, a subscriber through a quorum queue.
//!
//! `cargo bench --bench cluster` prints a table with ratios and one JSON object. It starts a broker and a database of its
//! own, on the disk and not in memory, and ends them. Everything shares the machine and its cores with what posts the
//! webhooks: figures of one run compare, those of different machines and times do not.
//!
//! `CROSSDOCK_BENCH_ORDERS` sets how many orders each side gets, `CROSSDOCK` names another program than the one just built.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a measuring programme: it may stop at the first surprise"
)]

#[path = "../../tests/support/broker.rs"]
mod broker;
#[path = "../../tests/support/postgres.rs"]
#[expect(dead_code, reason = "this bench needs only a part")]
mod postgres;

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crossdock::cli::bench::orders::{Kind, Orders, Post, Shop};
use futures::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use serde_json::{Value, json};
use tokio_postgres::Client;

/// Publishes in flight.
const WINDOW: u64 = 256;
/// Rows of one insert.
const GROUP: u64 = 256;
/// Events that the subscriber acknowledges at a time.
const ACKNOWLEDGED: u16 = 250;
/// Connections that insert.
const WRITERS: u64 = 4;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(measure());
    runtime.shutdown_background();
}

async fn measure() {
    let orders: u64 = given("CROSSDOCK_BENCH_ORDERS").and_then(|value| value.parse().ok()).unwrap_or(10_000);
    let body = Arc::new(body());
    println!("{orders} orders of {} bytes each way", body.len());

    let broker = broker::Broker::start();
    let published = publish(&broker.url(), orders, &body).await;
    row("bare publisher, quorum queue, confirmed", published, published, None);
    let database = postgres::Server::start_in(&std::env::temp_dir(), "").await;
    let inserted = insert(&database, orders, &body).await;
    row("bare inserts, groups of 256", inserted, published, None);

    let mut sides = Vec::new();
    for (name, nodes, servers) in [
        ("one node, embedded", 1, false),
        ("one node, RabbitMQ and PostgreSQL", 1, true),
        ("three nodes, RabbitMQ and PostgreSQL", 3, true),
    ] {
        for (way, live) in [("to the event", false), ("to the warehouse", true)] {
            let (store, bus) = (database.database().await, broker.url());
            let subscriber = if servers && !live { Some(Subscriber::at(&bus).await) } else { None };
            let given = servers.then(|| (store.clone(), bus.clone()));
            let run = tokio::task::spawn_blocking(move || daemon(orders, nodes, live, given));
            let mut report = run.await.unwrap();
            if let Some(subscriber) = subscriber {
                report["told"] = subscriber.told(orders).await;
            }
            println!("{name}, {way}");
            for stage in ["accepted", "applied", "told", "delivered"] {
                if let Some(rate) = report[stage]["per_s"].as_f64() {
                    let count = report[stage]["count"].as_u64();
                    if count.is_some_and(|count| count < orders) {
                        println!("    {stage}: only {count:?} of {orders}");
                    }
                    row(&format!("    {stage}"), rate, published, Some(inserted));
                }
            }
            println!(
                "    {} µs of CPU a webhook, {} MiB, answer p50 {} ms, p99 {} ms",
                report["cost"]["cpu_us"],
                report["cost"]["peak_mib"],
                report["accept_ms"]["p50"],
                report["accept_ms"]["p99"]
            );
            sides.push(json!({ "side": name, "way": way, "report": report }));
        }
    }
    println!(
        "{}",
        json!({ "orders": orders, "bare_publish_per_s": published.round(), "bare_insert_per_s": inserted.round(), "sides": sides })
    );
}

fn given(name: &str) -> Option<String> {
    std::env::vars().find(|(known, _)| known == name).map(|(_, value)| value)
}

fn row(name: &str, rate: f64, published: f64, inserted: Option<f64>) {
    let beside =
        inserted.map_or_else(String::new, |inserted| format!("  {:>5.2} × bare inserts", rate / inserted));
    println!("{name:<42} {rate:>8.0}/s  {:>5.2} × bare publisher{beside}", rate / published);
}

/// The body that the daemons get too.
fn body() -> Vec<u8> {
    let shop = Shop { account: "shop".into(), domain: "bench.myshopify.com".into(), secret: "bench".into() };
    let skus: Vec<String> = (0..5).map(|number| format!("TEA-{number:02}")).collect();
    let orders = Orders::new(vec![shop], &skus, 4, 6900, jiff::Timestamp::now()).unwrap();
    orders.webhook(Post { kind: Kind::Create, order: 0, index: 0 }).2
}

/// Rate of one publisher with so many confirms outstanding.
async fn publish(url: &str, count: u64, body: &Arc<Vec<u8>>) -> f64 {
    let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare("bare".into(), durable, arguments).await.unwrap();
    channel.confirm_select(ConfirmSelectOptions::default()).await.unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..WINDOW {
        let (channel, next, body) = (channel.clone(), next.clone(), body.clone());
        tasks.push(tokio::spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < count {
                let properties = BasicProperties::default().with_delivery_mode(2);
                let options = BasicPublishOptions::default();
                let sent = channel.basic_publish("".into(), "bare".into(), options, &body, properties).await;
                assert!(matches!(sent.unwrap().await.unwrap(), Confirmation::Ack(_)));
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let rate = per_second(count, begun);
    channel.queue_delete("bare".into(), QueueDeleteOptions::default()).await.unwrap();
    connection.close(200, "the end".into()).await.unwrap();
    rate
}

/// Hears all events, as a subscriber that must lose none does: through a durable quorum queue, with acknowledgements.
struct Subscriber {
    connection: Connection,
    placed: Arc<Mutex<Placed>>,
}

/// Of how many new orders it has heard, of the first and of the last when.
#[derive(Clone, Copy, Default)]
struct Placed {
    orders: u64,
    first: Option<Instant>,
    last: Option<Instant>,
}

impl Subscriber {
    async fn at(url: &str) -> Self {
        let connection = Connection::connect(url, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let (exchange, queue) = ("crossdock.events", "subscriber");
        channel
            .exchange_declare(exchange.into(), ExchangeKind::Topic, durable, FieldTable::default())
            .await
            .unwrap();
        let mut arguments = FieldTable::default();
        arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(queue.into(), durable, arguments).await.unwrap();
        let bind = QueueBindOptions::default();
        channel
            .queue_bind(queue.into(), exchange.into(), "#".into(), bind, FieldTable::default())
            .await
            .unwrap();
        channel.basic_qos(4 * ACKNOWLEDGED, BasicQosOptions::default()).await.unwrap();
        let consume = BasicConsumeOptions::default();
        let mut events =
            channel.basic_consume(queue.into(), "".into(), consume, FieldTable::default()).await.unwrap();
        let placed = Arc::new(Mutex::new(Placed::default()));
        let note = placed.clone();
        tokio::spawn(async move {
            let mut open = 0;
            while let Some(Ok(event)) = events.next().await {
                if event.routing_key.as_str().ends_with(".order.placed") {
                    let mut placed = note.lock().unwrap();
                    placed.orders += 1;
                    placed.first.get_or_insert_with(Instant::now);
                    placed.last = Some(Instant::now());
                }
                open += 1;
                if open == ACKNOWLEDGED {
                    event.ack(BasicAckOptions { multiple: true }).await.unwrap();
                    open = 0;
                }
            }
        });
        Self { connection, placed }
    }

    /// Of how many new orders it has heard, and how many a second from the first to the last.
    async fn told(self, orders: u64) -> Value {
        let begun = Instant::now();
        loop {
            let placed = *self.placed.lock().unwrap();
            // The listener has heard of them all by now, or what it was too slow for is on its way.
            if placed.orders >= orders || begun.elapsed() > Duration::from_secs(5) {
                let channel = self.connection.create_channel().await.unwrap();
                channel.queue_delete("subscriber".into(), QueueDeleteOptions::default()).await.unwrap();
                self.connection.close(200, "the end".into()).await.unwrap();
                let took =
                    placed.last.zip(placed.first).map_or(0.0, |(last, first)| (last - first).as_secs_f64());
                let heard = f64::from(u32::try_from(placed.orders).unwrap());
                return json!({ "count": placed.orders, "per_s": (heard / took).round() });
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Rate of rows with that body, many to a statement, each statement its own commit.
async fn insert(server: &postgres::Server, count: u64, body: &Arc<Vec<u8>>) -> f64 {
    let url = server.database().await;
    let name = url.rsplit('/').next().unwrap().to_owned();
    let client = server.connect(&name).await.unwrap();
    client.batch_execute("CREATE TABLE bare (id bigint PRIMARY KEY, body bytea NOT NULL)").await.unwrap();
    let next = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..WRITERS {
        let client: Client = server.connect(&name).await.unwrap();
        let (next, body) = (next.clone(), lz4_flex::compress_prepend_size(body));
        tasks.push(tokio::spawn(async move {
            let sql = "INSERT INTO bare SELECT * FROM unnest($1::bigint[], $2::bytea[])";
            let statement = client.prepare(sql).await.unwrap();
            loop {
                let first = next.fetch_add(GROUP, Ordering::Relaxed);
                let ids: Vec<i64> =
                    (first..count.min(first + GROUP)).map(|id| i64::try_from(id).unwrap()).collect();
                if ids.is_empty() {
                    return;
                }
                let bodies = vec![body.as_slice(); ids.len()];
                client.execute(&statement, &[&ids, &bodies]).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    per_second(count, begun)
}

fn per_second(count: u64, begun: Instant) -> f64 {
    f64::from(u32::try_from(count).unwrap()) / begun.elapsed().max(Duration::from_millis(1)).as_secs_f64()
}

/// What `crossdock bench` reports of daemons of its own.
fn daemon(orders: u64, nodes: u32, live: bool, servers: Option<(String, String)>) -> Value {
    let program = given("CROSSDOCK").unwrap_or_else(|| env!("CARGO_BIN_EXE_crossdock").to_owned());
    let mut command = Command::new(program);
    command.args([
        "bench",
        "--json",
        "--mix",
        "create=1",
        "--lines",
        "4",
        "--payload",
        "6900",
        "--orders",
        &orders.to_string(),
    ]);
    command.args(["--nodes", &nodes.to_string()]);
    if !live {
        // Without a listener the daemons would be ended before they have told all.
        command.args(["--not-live", "--listen"]);
    }
    if let Some((store, bus)) = servers {
        command.args(["--store", &store, "--bus", &bus]);
    }
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    serde_json::from_slice(&output.stdout).expect("a report")
}

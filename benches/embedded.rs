//! The embedded path under load: webhooks of 6 KB orders over 64 connections into a daemon with its SQLite store, and out
//! to a warehouse that answers at once.
//!
//! `cargo bench --bench embedded` prints a table and one JSON object. Two passes: a flood (how many webhooks are accepted
//! and how many orders mapped and applied a second) and a steady rate (time from a webhook's arrival to the warehouse
//! command that it causes). Client, warehouse and daemon share the machine, and so its cores.

#![recursion_limit = "512"]
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measuring programme: it may stop at the first surprise"
)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use base64::Engine as _;
use crossdock::app::Prepared;
use crossdock::cli::files;
use crossdock::ports::Store;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use tokio::net::TcpListener;

const CONNECTIONS: usize = 64;
const SECRET: &str = "bench";

/// What the warehouse has seen: reference of the order to the moment at which its command came.
type Seen = Arc<Mutex<HashMap<String, Instant>>>;

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
    let seen = Seen::default();
    let warehouse = serve_warehouse(seen.clone()).await;
    let config = write_config(folder.path(), &warehouse);
    let loaded = files::load(&config);
    loaded.problems.iter().for_each(|problem| println!("{problem}"));
    let world = loaded.world.unwrap();
    let running = Prepared { world }.start().await.unwrap();
    let url = format!("http://{}/hooks/shop", running.address);
    let client = reqwest::Client::builder().pool_max_idle_per_host(CONNECTIONS).build().unwrap();

    // A flood: all connections post as fast as they are answered.
    let sent = Arc::new(AtomicUsize::new(0));
    let answers: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let (client, url, sent, answers) = (client.clone(), url.clone(), sent.clone(), answers.clone());
        tasks.push(tokio::spawn(async move {
            let mut mine = Vec::new();
            loop {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                if number >= flood {
                    break;
                }
                let (body, signature) = order(number);
                let begun = Instant::now();
                post_order(&client, &url, body, &signature, number).await;
                mine.push(begun.elapsed());
            }
            answers.lock().unwrap().extend(mine);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let accepted = begun.elapsed();
    wait_applied(running.store.as_ref(), flood).await;
    let applied = begun.elapsed();
    let mut answers = std::mem::take(&mut *answers.lock().unwrap());

    // A steady rate: how long until the warehouse hears.
    let known = seen.lock().unwrap().len();
    println!("after the flood the warehouse has heard of {known} orders; waiting for the rest");
    wait_heard(&seen, flood).await;
    let mut starts = HashMap::new();
    let mut ticks =
        tokio::time::interval(Duration::from_secs_f64(1.0 / f64::from(u32::try_from(rate).unwrap())));
    for number in flood..flood + rate * seconds {
        ticks.tick().await;
        let (body, signature) = order(number);
        starts.insert(order_name(number), Instant::now());
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move { post_order(&client, &url, body, &signature, number).await });
    }
    wait_heard(&seen, flood + rate * seconds).await;
    let seen = std::mem::take(&mut *seen.lock().unwrap());
    let mut heard: Vec<Duration> =
        starts.iter().filter_map(|(name, start)| Some(*seen.get(name)? - *start)).collect();

    let per_second =
        |count: usize, time: Duration| f64::from(u32::try_from(count).unwrap()) / time.as_secs_f64();
    let (body, _) = order(0);
    let table = json!({
        "connections": CONNECTIONS,
        "body_bytes": body.len(),
        "orders": flood,
        "accepted_per_s": per_second(flood, accepted).round(),
        "applied_per_s": per_second(flood, applied).round(),
        "answer_ms": { "p50": percentile(&mut answers, 50), "p99": percentile(&mut answers, 99) },
        "steady_rate_per_s": rate,
        "webhook_to_warehouse_ms": { "p50": percentile(&mut heard, 50), "p95": percentile(&mut heard, 95), "p99": percentile(&mut heard, 99) },
    });
    println!("webhooks accepted       {:>10}/s", table["accepted_per_s"]);
    println!("mapped and applied      {:>10}/s", table["applied_per_s"]);
    println!(
        "answer                  p50 {} ms, p99 {} ms",
        table["answer_ms"]["p50"], table["answer_ms"]["p99"]
    );
    let hop = &table["webhook_to_warehouse_ms"];
    println!(
        "webhook to warehouse    p50 {} ms, p95 {} ms, p99 {} ms at {rate}/s",
        hop["p50"], hop["p95"], hop["p99"]
    );
    println!("{table}");
    running.stop().await;
}

fn setting(name: &str, default: usize) -> usize {
    std::env::vars().find(|(key, _)| key == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(default)
}

fn percentile(times: &mut [Duration], percent: usize) -> Value {
    times.sort_unstable();
    let at = (times.len() * percent / 100).min(times.len().saturating_sub(1));
    times.get(at).map_or(Value::Null, |time| json!((time.as_secs_f64() * 10_000.0).round() / 10.0))
}

async fn post_order(client: &reqwest::Client, url: &str, body: Vec<u8>, signature: &str, number: usize) {
    loop {
        let sent = client
            .post(url)
            .header("X-Shopify-Topic", "orders/create")
            .header("X-Shopify-Shop-Domain", "bench.myshopify.com")
            .header("X-Shopify-Webhook-Id", format!("bench-{number}"))
            .header("X-Shopify-Hmac-Sha256", signature)
            .body(body.clone())
            .send()
            .await
            .unwrap();
        match sent.status().as_u16() {
            200 => {
                sent.bytes().await.unwrap();
                return;
            }
            503 => tokio::time::sleep(Duration::from_millis(20)).await,
            other => panic!("the webhook was answered {other}: {}", sent.text().await.unwrap()),
        }
    }
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

fn order_name(number: usize) -> String {
    format!("#B{number}")
}

/// An order of about 6 KB with five lines, and its signature.
fn order(number: usize) -> (Vec<u8>, String) {
    let money = |amount: &str| json!({ "shop_money": { "amount": amount, "currency_code": "USD" }, "presentment_money": { "amount": amount, "currency_code": "USD" } });
    let address = json!({ "first_name": "Ada", "last_name": "Reed", "name": "Ada Reed", "company": null, "address1": "12 Mill Lane", "address2": "", "city": "Bath", "province": "Somerset", "province_code": null, "zip": "BA1 1AA", "country": "United Kingdom", "country_code": "GB", "phone": "+44 1225 000000", "latitude": 51.38, "longitude": -2.36 });
    let lines: Vec<Value> = (0..5)
        .map(|line| {
            json!({
                "id": 9_000_000_000_u64 + u64::try_from(number * 5 + line).unwrap(), "variant_id": 1000 + line, "title": "Tea of the day", "name": "Tea of the day - 250 g",
                "sku": format!("TEA-{line:02}"), "quantity": 2, "current_quantity": 2, "fulfillable_quantity": 2, "price": "12.50", "price_set": money("12.50"),
                "total_discount": "0.00", "total_discount_set": money("0.00"), "grams": 270, "requires_shipping": true, "taxable": true, "gift_card": false,
                "fulfillment_service": "manual", "fulfillment_status": null, "vendor": "Bench", "product_exists": true, "product_id": 77, "properties": [], "discount_allocations": [],
                "tax_lines": [{ "title": "VAT", "price": "4.17", "rate": 0.2, "price_set": money("4.17"), "channel_liable": false }]
            })
        })
        .collect();
    let id = 5_000_000_000_u64 + u64::try_from(number).unwrap();
    let body = json!({
        "id": id, "admin_graphql_api_id": format!("gid://shopify/Order/{id}"), "name": order_name(number), "order_number": number, "number": number,
        "created_at": "2026-03-01T10:00:00-05:00", "updated_at": "2026-03-01T10:00:01-05:00", "processed_at": "2026-03-01T10:00:00-05:00",
        "currency": "USD", "presentment_currency": "USD", "financial_status": "paid", "fulfillment_status": null, "test": false, "tags": "", "note": null, "note_attributes": [],
        "total_price": "130.00", "total_price_set": money("130.00"), "current_total_price": "130.00", "subtotal_price": "125.00", "subtotal_price_set": money("125.00"),
        "total_tax": "20.85", "total_tax_set": money("20.85"), "total_discounts": "0.00", "total_outstanding": "0.00", "total_line_items_price": "125.00", "source_name": "web",
        "email": "ada@example.com", "contact_email": "ada@example.com", "phone": null, "confirmed": true, "cancelled_at": null, "closed_at": null, "gateway": "bench", "payment_gateway_names": ["bench"],
        "customer": { "id": 42, "email": "ada@example.com", "first_name": "Ada", "last_name": "Reed", "tags": "", "default_address": address },
        "billing_address": address, "shipping_address": address, "line_items": lines, "fulfillments": [], "refunds": [], "discount_codes": [], "discount_applications": [],
        "shipping_lines": [{ "id": 1, "title": "Standard", "code": "Standard", "price": "5.00", "price_set": money("5.00"), "discounted_price": "5.00", "source": "shopify", "tax_lines": [] }],
        "tax_lines": [{ "title": "VAT", "price": "20.85", "rate": 0.2, "price_set": money("20.85") }]
    });
    let body = serde_json::to_vec(&body).unwrap();
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(&body);
    let signature = base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes());
    (body, signature)
}

/// A warehouse that takes every order at once.
async fn serve_warehouse(seen: Seen) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route(
            "/auth/refresh",
            post(|| async {
                Json(json!({ "access_token": "bench", "expires_in": 2_419_200, "token_type": "Bearer" }))
            }),
        )
        .route("/graphql", post(answer))
        .with_state(seen);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("http://{address}")
}

async fn answer(State(seen): State<Seen>, Json(request): Json<Value>) -> Json<Value> {
    let query = request["query"].as_str().unwrap_or_default();
    if !query.contains("order_create") {
        return Json(
            json!({ "data": { "orders": { "data": { "edges": [], "pageInfo": { "hasNextPage": false } } }, "shipments": { "data": { "edges": [], "pageInfo": { "hasNextPage": false } } }, "returns": { "data": { "edges": [], "pageInfo": { "hasNextPage": false } } } } }),
        );
    }
    let data = &request["variables"]["data"];
    let name = data["order_number"].as_str().unwrap_or_default().to_owned();
    let id = format!("wh-{name}");
    seen.lock().unwrap().entry(name).or_insert_with(Instant::now);
    Json(json!({ "data": { "order_create": { "request_id": id, "complexity": 10, "order": {
        "id": id, "legacy_id": 1, "order_number": data["order_number"], "partner_order_id": data["partner_order_id"], "fulfillment_status": "pending",
        "order_date": "2026-03-01T15:00:00", "updated_at": "2026-03-01T15:00:02", "line_items": { "edges": [] }, "shipments": [], "tags": [], "holds": {}
    } } } }))
}

fn write_config(folder: &Path, warehouse: &str) -> std::path::PathBuf {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
    // The real warehouse's credits would make this a measure of its limit: here it has none to speak of.
    let shipped = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("connectors/shiphero/connector.toml"),
    )
    .unwrap();
    let lifted = shipped
        .replace("4004", "1000000000")
        .replace("60/s", "1000000000/s")
        .replace("= 7000", "= 1000000000")
        .replace("7000/300s", "1000000000/s")
        .replace("in_flight = 4", "in_flight = 32");
    std::fs::create_dir_all(folder.join("connectors/shiphero")).unwrap();
    std::fs::write(folder.join("connectors/shiphero/connector.toml"), lifted).unwrap();
    let config = folder.join("config.toml");
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[log]
filter = "error"
[delivery]
in_flight = 32
[account.shop]
connector = "shopify"
client = "bench"
settings = {{ shop = "bench.myshopify.com", base_url = "{warehouse}/none" }}
secrets = {{ token = {{ file = "secret" }}, webhook = {{ file = "secret" }} }}
[account.shop.poll.orders]
enabled = false
[account.shop.poll.order_events]
enabled = false
[account.shop.poll.fulfilment_orders]
enabled = false
[account.east]
connector = "shiphero"
client = "bench"
zone = "UTC"
settings = {{ base_url = "{warehouse}" }}
secrets = {{ refresh_token = {{ file = "secret" }}, webhook = {{ file = "secret" }} }}
[account.east.poll.orders]
enabled = false
[account.east.poll.shipments]
enabled = false
[account.east.poll.returns]
enabled = false
[flow.bench]
client = "bench"
live = true
storefronts = ["shop"]
warehouses = ["east"]
"#
    );
    std::fs::write(&config, text).unwrap();
    config
}

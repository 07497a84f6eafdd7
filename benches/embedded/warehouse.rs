//! A warehouse that takes every order at once, and the config of a daemon in front of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::SECRET;

/// What it has seen: number of the order to the moment at which its command came.
pub type Seen = Arc<Mutex<HashMap<String, Instant>>>;

/// Serves it on loopback; gives its address. It lets nobody in before `open` says so.
pub async fn serve(seen: Seen, open: watch::Receiver<bool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let token = move || {
        let mut open = open.clone();
        async move {
            open.wait_for(|open| *open).await.unwrap();
            Json(json!({ "access_token": "bench", "expires_in": 2_419_200, "token_type": "Bearer" }))
        }
    };
    let router =
        Router::new().route("/auth/refresh", post(token)).route("/graphql", post(answer)).with_state(seen);
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

/// Writes the daemon's config into `folder`; gives its path.
pub fn write_config(folder: &Path, warehouse: &str) -> std::path::PathBuf {
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
[account.shop.poll.returns]
enabled = false
[account.shop.poll.inventory]
enabled = false
[account.shop.poll.disputes]
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

//! A daemon whose files a person edits: a storefront that posts webhooks, and a warehouse that counts what it is asked.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::app::{self, Prepared, Running};
use crossdock::cli::files;
use crossdock::ports::{ExceptionQuery, HttpRequest, HttpResponse, Store};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The storefront.
pub const SHOP: &str = r#"
[connector]
serves = ["storefront"]
[setting.at]
[http]
base = "{setting.at}"
[webhook]
topic = "topic"
[webhook.signature]
scheme = "none"
why    = "a test"
[webhook.topics]
"order" = "order"
[poll.orders]
path    = "/orders"
items   = "orders"
every   = "1h"
mapping = "order"
"#;

/// The warehouse.
pub const DEPOT: &str = r#"
[connector]
serves = ["warehouse"]
[setting.at]
[http]
base = "{setting.at}"
[command.order.create]
method = "POST"
path   = "/orders"
out    = "order"
once   = { repeat = true }
"#;

/// Inbound mapping of the storefront.
pub const ORDER: &str = r#"[mapping]
currency_from = "currency"

[fact.placed]
is      = "order.placed"
order   = "id"
version = "rev"
at      = "at"
number  = "number"
terms   = { path = "pays", lookup = "terms" }
total   = "total"
ship_to = { name = "to.name", street = { list = ["to.street"] }, city = "to.city", postal_code = "to.zip", country = "to.country" }

[fact.placed.lines]
each     = "lines"
ref      = "id"
sku      = "sku"
quantity = "quantity"

[lookup.terms.rows]
later = "unpaid"

[[test]]
body = """
{"topic":"order","id":"1","rev":"1","at":"2026-02-03T10:00:00Z","number":"1","currency":"USD","pays":"later","total":"10.00",
 "to":{"name":"Ada","street":"1 Main St","city":"Boston","zip":"02101","country":"US"},"lines":[{"id":"l1","sku":"TEA","quantity":1}]}
"""
expect = [{ fact = "placed", terms = "unpaid", total = "10.00 USD" }]
"#;

/// The files that people edit.
const FILES: [&str; 6] = [
    "config.toml",
    "connectors/shop/connector.toml",
    "connectors/depot/connector.toml",
    "mappings/shop/order.in.toml",
    "mappings/depot/order.out.toml",
    "lists/skus.csv",
];

const SEND: &str = r#"[body]
reference = "ref"

[body.items]
each     = "lines"
sku      = "sku"
quantity = "quantity"
"#;

/// The list of SKUs.
pub const SKUS: &str = "account,theirs,ours,each\nshop,TEA,TEA,1\n";

/// The flow, and accounts at `partner`.
pub fn config(partner: &str) -> String {
    format!(
        r#"[server]
listen = "127.0.0.1:0"
[log]
filter = "off"
[delivery]
sweep = "200ms"
[account.shop]
connector = "shop"
client    = "acme"
settings  = {{ at = "{partner}" }}
[account.east]
connector = "depot"
client    = "acme"
settings  = {{ at = "{partner}" }}
[flow.acme]
client      = "acme"
live        = true
storefronts = ["shop"]
warehouses  = ["east"]
skus        = "lists/skus.csv"
[flow.acme.stock]
reserve = false
push    = false
"#
    )
}

/// What the partner was asked.
#[derive(Default)]
pub struct Asked {
    /// `GET`s: reads.
    pub reads: AtomicUsize,
    /// `POST`s: orders that the warehouse was sent.
    pub orders: AtomicUsize,
}

/// The folder, the daemon and the partner.
pub struct Workshop {
    pub folder: tempfile::TempDir,
    pub running: Running,
    pub asked: Arc<Asked>,
    pub partner: String,
}

impl Workshop {
    pub async fn open() -> Self {
        let asked = Arc::new(Asked::default());
        let partner = serve(asked.clone()).await;
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("connectors/shop/connector.toml", SHOP),
            ("connectors/depot/connector.toml", DEPOT),
            ("mappings/shop/order.in.toml", ORDER),
            ("mappings/depot/order.out.toml", SEND),
            ("lists/skus.csv", SKUS),
        ] {
            put(folder.path(), path, text);
        }
        put(folder.path(), "config.toml", &config(&partner));
        let running = start(&folder.path().join("config.toml")).await;
        Self { folder, running, asked, partner }
    }

    /// Ends the daemon and starts another on the same files.
    pub async fn restart(self) -> Self {
        let Self { folder, running, asked, partner } = self;
        running.stop().await;
        Self::start(folder, asked, partner).await
    }

    /// Starts a daemon on files that are there.
    pub async fn start(folder: tempfile::TempDir, asked: Arc<Asked>, partner: String) -> Self {
        let running = start(&folder.path().join("config.toml")).await;
        Self { folder, running, asked, partner }
    }

    /// Writes a file as an editor does.
    pub fn edit(&self, path: &str, text: &str) {
        put(self.folder.path(), path, text);
    }

    /// A copy of the folder, without what the daemon keeps in it.
    pub fn copy(&self) -> tempfile::TempDir {
        let copy = tempfile::tempdir().unwrap();
        for path in FILES {
            put(copy.path(), path, &std::fs::read_to_string(self.file(path)).unwrap());
        }
        copy
    }

    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub async fn call(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer = self.send(method, path, body.to_string()).await;
        (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
    }

    async fn send(&self, method: &str, path: &str, body: String) -> HttpResponse {
        let request = HttpRequest {
            method: method.to_owned(),
            url: format!("http://{}{path}", self.running.address),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: Bytes::from(body),
        };
        app::http().unwrap().send(request, Duration::from_secs(30)).await.unwrap()
    }

    /// The storefront tells of an order.
    pub async fn order(&self, id: &str, pays: &str, sku: &str) {
        let order = json!({
            "topic": "order", "id": id, "rev": "1", "at": "2026-02-03T10:00:00Z", "number": id, "currency": "USD",
            "pays": pays, "total": "10.00",
            "to": { "name": "Ada", "street": "1 Main St", "city": "Boston", "zip": "02101", "country": "US" },
            "lines": [{ "id": "l1", "sku": sku, "quantity": 1 }],
        });
        let (status, said) = self.call("POST", "/hooks/shop", &order).await;
        assert_eq!(status, 200, "{said}");
    }

    pub fn store(&self) -> &dyn Store {
        self.running.store.as_ref()
    }

    /// Open exceptions: kind, cause and how many.
    pub async fn causes(&self) -> Vec<(String, String, u64)> {
        let causes = self.store().causes(&ExceptionQuery::default()).await.unwrap();
        causes.into_iter().map(|row| (row.kind, row.cause, row.count)).collect()
    }

    /// Waits until `done` holds.
    pub async fn until(&self, what: &str, done: impl AsyncFnMut(&Self) -> bool) {
        self.within(Duration::from_secs(90), what, done).await;
    }

    /// Waits until `done` holds, at most so long.
    pub async fn within(&self, most: Duration, what: &str, mut done: impl AsyncFnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self).await {
            assert!(
                begun.elapsed() < most,
                "waited in vain: {what}; {:?}; {:?}",
                self.causes().await,
                self.store().counts().await
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn orders_sent(&self) -> usize {
        self.asked.orders.load(Ordering::SeqCst)
    }

    pub fn reads(&self) -> usize {
        self.asked.reads.load(Ordering::SeqCst)
    }
}

async fn start(config: &Path) -> Running {
    let loaded = files::load(config);
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    Prepared::of(loaded).unwrap().start().await.unwrap()
}

fn put(folder: &Path, path: &str, text: &str) {
    let path = folder.join(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// A partner that takes every order and lists none.
async fn serve(asked: Arc<Asked>) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let asked = asked.clone();
            tokio::spawn(async move {
                let mut heard = Vec::new();
                let mut part = [0; 4096];
                loop {
                    let Ok(many) = socket.read(&mut part).await else { return };
                    if many == 0 {
                        return;
                    }
                    heard.extend_from_slice(&part[..many]);
                    let text = String::from_utf8_lossy(&heard).into_owned();
                    let Some((start, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = start.lines().find_map(|line| {
                        let (name, value) = line.split_once(':')?;
                        name.eq_ignore_ascii_case("content-length")
                            .then(|| value.trim().parse::<usize>().unwrap())
                    });
                    if body.len() < length.unwrap_or(0) {
                        continue;
                    }
                    let count = if start.starts_with("POST") { &asked.orders } else { &asked.reads };
                    count.fetch_add(1, Ordering::SeqCst);
                    let said = r#"{"orders":[]}"#;
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}",
                        said.len()
                    );
                    socket.write_all(answer.as_bytes()).await.unwrap();
                    heard.clear();
                }
            });
        }
    });
    format!("http://{address}")
}

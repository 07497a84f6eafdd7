//! Real payloads through the running daemon: every Shopify order, refund, fulfilment and webhook body of the fixtures is
//! posted to its webhook with a right signature, twice and in random order. Each ends as applied or as a named
//! exception, once.

#![expect(clippy::unwrap_used, reason = "a test: it stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use crossdock::app::{self, Prepared};
use crossdock::canonical::MessageId;
use crossdock::cli::files;
use crossdock::ports::{Accepted, ExceptionQuery, HttpRequest, MessageState, NewMessage, Origin, Store};
use hmac::{Hmac, KeyInit as _, Mac as _};

const SECRET: &str = "real-input";
const SHOP: &str = "real-input.myshopify.com";

#[expect(clippy::disallowed_methods, reason = "where the fixtures lie is told by the environment")]
fn fixtures() -> Option<PathBuf> {
    let beside = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures"));
    let folder = std::env::var("CROSSDOCK_FIXTURES").map_or(beside, PathBuf::from);
    folder.join("shopify").is_dir().then_some(folder)
}

/// The bodies, each with its topic.
fn bodies(folder: &std::path::Path) -> Vec<(String, String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(stem) = name.strip_suffix(".json") else { continue };
        let topic = match stem.split('-').next().unwrap() {
            _ if stem.ends_with(".headers") => continue,
            "order" => "orders/updated".to_owned(),
            "refund" => "refunds/create".to_owned(),
            "fulfillment" => "fulfillments/update".to_owned(),
            "webhook" => {
                let headers =
                    std::fs::read_to_string(folder.join(format!("{stem}.headers.json"))).unwrap_or_default();
                let headers: BTreeMap<String, serde_json::Value> =
                    serde_json::from_str(&headers).unwrap_or_default();
                let topic = headers.iter().find(|(key, _)| key.eq_ignore_ascii_case("x-shopify-topic"));
                topic
                    .and_then(|(_, value)| value.as_str().map(str::to_owned))
                    .unwrap_or_else(|| "orders/create".to_owned())
            }
            _ => continue,
        };
        found.push((name, topic, std::fs::read(&path).unwrap()));
    }
    found
}

fn sign(body: &[u8]) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    STANDARD.encode(mac.finalize().into_bytes())
}

fn config(folder: &std::path::Path) -> PathBuf {
    std::fs::write(folder.join("secret"), SECRET).unwrap();
    let path = folder.join("config.toml");
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[log]
filter = "off"
[account.shop]
connector = "shopify"
client = "acme"
zone = "America/New_York"
settings = {{ shop = "{SHOP}", base_url = "http://127.0.0.1:9" }}
secrets = {{ token = {{ file = "secret" }}, webhook = {{ file = "secret" }} }}
poll.orders.enabled = false
poll.order_events.enabled = false
poll.fulfilment_orders.enabled = false
[account.east]
connector = "shiphero"
client = "acme"
zone = "UTC"
settings = {{ base_url = "http://127.0.0.1:9" }}
secrets = {{ refresh_token = {{ file = "secret" }}, webhook = {{ file = "secret" }} }}
poll.orders.enabled = false
poll.shipments.enabled = false
poll.returns.enabled = false
[flow.acme]
client = "acme"
live = false
storefronts = ["shop"]
warehouses = ["east"]
"#
    );
    std::fs::write(&path, text).unwrap();
    path
}

/// Waits until no message is pending.
async fn settle(store: &dyn Store) {
    let begun = Instant::now();
    while store.counts().await.unwrap().messages.iter().any(|(state, count)| state == "pending" && *count > 0)
    {
        assert!(begun.elapsed() < Duration::from_mins(1), "messages stay pending");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_body_ends_as_applied_or_as_a_named_exception_once() {
    let Some(folder) = fixtures() else {
        println!("the fixtures are not here: about 50 cases could not run");
        return;
    };
    let bodies = bodies(&folder.join("shopify"));
    assert!(bodies.len() >= 40, "only {} bodies", bodies.len());
    let temporary = tempfile::tempdir().unwrap();
    let loaded = files::load(&config(temporary.path()));
    let running = Prepared::of(loaded).unwrap().start().await.unwrap();
    let url = format!("http://{}/hooks/shop", running.address);
    let http = app::http().unwrap();

    // Twice, in random order.
    let mut posts: Vec<usize> = (0..bodies.len()).chain(0..bodies.len()).collect();
    let mut chance: u64 = 7;
    for at in (1..posts.len()).rev() {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        posts.swap(at, usize::try_from((chance >> 33) % u64::try_from(at + 1).unwrap()).unwrap());
    }
    for index in posts {
        let (name, topic, body) = &bodies[index];
        let headers = [
            ("X-Shopify-Topic", topic.as_str()),
            ("X-Shopify-Shop-Domain", SHOP),
            ("X-Shopify-Webhook-Id", name.as_str()),
            ("X-Shopify-Hmac-Sha256", &sign(body)),
        ];
        let headers = headers.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let request =
            HttpRequest { method: "POST".into(), url: url.clone(), headers, body: Bytes::from(body.clone()) };
        let answer = http.send(request, Duration::from_secs(10)).await.unwrap();
        assert_eq!(answer.status, 200, "{name} ({topic}): {}", String::from_utf8_lossy(&answer.body));
    }
    settle(running.store.as_ref()).await;

    let query = ExceptionQuery { limit: Some(1000), ..ExceptionQuery::default() };
    let exceptions = running.store.exceptions(&query).await.unwrap();
    let mut outcome: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for number in 1.. {
        let Some(message) = running.store.message(MessageId(number)).await.unwrap() else { break };
        if message.content.origin != Origin::Webhook {
            continue;
        }
        let name = message.content.event_id.clone().unwrap();
        let said = match message.state {
            MessageState::Done => "applied".to_owned(),
            MessageState::Excepted => {
                let causes: Vec<&str> = exceptions
                    .iter()
                    .filter(|exception| exception.message_id == Some(message.id))
                    .map(|exception| exception.cause.as_str())
                    .collect();
                assert!(!causes.is_empty(), "{name} is an exception without a name");
                causes.join(", ")
            }
            MessageState::Pending => "pending".to_owned(),
        };
        assert_ne!(said, "pending", "{name}");
        outcome.entry(name).or_default().push(said);
    }
    let mut applied = 0;
    for (name, topic, _) in &bodies {
        match outcome.get(name).map(Vec::as_slice) {
            Some([once]) => {
                applied += usize::from(once == "applied");
                println!("{name:<24} {topic:<28} {once}");
            }
            Some(several) => panic!("{name} was accepted {} times", several.len()),
            // Topics that mean nothing to us are answered and not stored.
            None => println!("{name:<24} {topic:<28} ignored"),
        }
    }
    println!("{} bodies, {applied} applied", bodies.len());
    assert!(applied >= 15, "only {applied} were applied");

    // The same bodies once more under other event ids state the same facts: nothing changes.
    let before = running.store.counts().await.unwrap();
    let again: Vec<NewMessage> = bodies
        .iter()
        .filter(|(name, ..)| outcome.get(name).is_some_and(|said| said == &["applied".to_owned()]))
        .map(|(name, topic, body)| NewMessage {
            account: "shop".into(),
            origin: Origin::Webhook,
            topic: topic.clone(),
            mapping: String::new(),
            event_id: Some(format!("again-{name}")),
            headers: Vec::new(),
            body: Bytes::from(body.clone()),
            received: app::clock().now(),
            priority: 0,
            shard: 0,
            context: None,
        })
        .collect();
    let count = again.len();
    let accepted = running.store.accept(again, None).await.unwrap();
    assert!(accepted.iter().all(|one| matches!(one, Accepted::New(_))) && accepted.len() == count);
    settle(running.store.as_ref()).await;
    let after = running.store.counts().await.unwrap();
    assert_eq!((before.phases, before.facts, before.intents), (after.phases, after.facts, after.intents));
    running.stop().await;
}

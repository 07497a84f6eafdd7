//! A payment of a real gateway server is captured once by the running daemon, also when the answer gets lost.
//!
//! The gateway is localstripe, which speaks Stripe's forms and ignores `Idempotency-Key`: what is done twice is done
//! twice, or refused without a word that it was done before. Store and warehouse are the simulated ones.
#![expect(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test fails by panicking")]

#[path = "live/gateway.rs"]
mod gateway;
#[path = "live/line.rs"]
mod line;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use crossdock::app::{self, Prepared, Running};
use crossdock::canonical::{AccountId, Body, ClientId, EntityId, IntentState, Order};
use crossdock::cli::files;
use crossdock::connector::manifest::Signature;
use crossdock::connector::signature;
use crossdock::ports::{EntityRecord, ExceptionQuery, HttpRequest};
use crossdock::sandbox::{LineSpec, OrderSpec, Server, Settings, World};
use gateway::Gateway;
use line::{Cut, Heard, Line};
use secrecy::SecretString;
use serde_json::{Value, json};

const SECRET: &str = "whsec_live";
const PATIENCE: Duration = Duration::from_mins(2);

/// localstripe does not tell `amount_capturable` and `amount_received`, which Stripe always does.
const OVERLAY: &str = r#"
[overlay]
of = "stripe/event"
[fact.authorised]
amount = { first = ["amount_capturable", "amount"], required = true }
[fact.captured]
amount = { first = ["amount_received", "amount"], required = true }
"#;

fn config(folder: &Path, settings: &Settings, partners: &str, pay: &str) -> Prepared {
    let given = &settings.secrets;
    let text = format!(
        r#"
[server]
listen = "127.0.0.1:0"
[store]
kind = "sqlite"
path = "crossdock.db"
[delivery]
attempt_timeout = "10s"
backoff_first   = "250ms"
backoff_max     = "5s"
sweep           = "250ms"

[account.shop]
connector = "shopify"
client    = "acme"
settings  = {{ shop = "{shop}", base_url = "{partners}/shopify/admin/api/2026-07" }}
secrets   = {{ token = {{ file = "token" }}, webhook = {{ file = "shop-hook" }} }}
[account.shop.poll]
orders            = {{ enabled = false }}
order_events      = {{ enabled = false }}
fulfilment_orders = {{ enabled = false }}

[account.east]
connector = "shiphero"
client    = "acme"
zone      = "UTC"
settings  = {{ base_url = "{partners}/shiphero" }}
secrets   = {{ refresh_token = {{ file = "refresh" }}, webhook = {{ file = "east-hook" }} }}
[account.east.poll]
orders    = {{ enabled = false }}
shipments = {{ enabled = false }}
returns   = {{ enabled = false }}

[account.pay]
connector = "stripe"
client    = "acme"
settings  = {{ base_url = "{pay}/v1" }}
secrets   = {{ key = {{ file = "key" }}, webhook = {{ file = "pay-hook" }} }}
[account.pay.poll]
events = {{ enabled = false }} # localstripe refuses to list by `types`

[flow.acme]
client      = "acme"
live        = true
storefronts = ["shop"]
warehouses  = ["east"]
gateway     = "pay"
capture     = "first_shipment"
release     = {{ payment = ["authorised", "paid"] }}
"#,
        shop = settings.shop,
    );
    for (name, value) in [
        ("config.toml", text.as_str()),
        ("token", &given.shopify_token),
        ("shop-hook", &given.shopify_webhook),
        ("refresh", &given.shiphero_refresh),
        ("east-hook", &given.shiphero_webhook),
        ("key", gateway::KEY),
        ("pay-hook", SECRET),
    ] {
        fs::write(folder.join(name), value).unwrap();
    }
    let mappings = folder.join("mappings/accounts/pay/stripe");
    fs::create_dir_all(&mappings).unwrap();
    fs::write(mappings.join("event.toml"), OVERLAY).unwrap();
    let loaded = files::load(&folder.join("config.toml"));
    assert!(loaded.problems.is_empty(), "{:#?}", loaded.problems);
    Prepared::of(loaded).unwrap()
}

/// What came of one order.
struct Outcome {
    captures: Vec<Heard>,
    look_ups: Vec<Heard>,
    /// What was sent under the intent, and what came of it.
    key: String,
    attempts: Vec<String>,
    payment: Value,
}

/// An order goes round, with its payment at the gateway.
async fn goes_round(cut: Cut, hooks: bool) -> Outcome {
    let http = app::http().unwrap();
    let gateway = Gateway::start(http.clone());
    let line = Line::to(gateway.port, cut).await;
    let settings = Settings::default();
    let world = World::new(1, settings.clone()).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let partners = Server::start(world, listen, BTreeMap::new(), http.clone(), app::clock()).await.unwrap();

    let folder = tempfile::tempdir().unwrap();
    let base = format!("http://{}", partners.address());
    let prepared = config(folder.path(), &settings, &base, &format!("http://{}", line.address));
    let scheme = prepared.world.registry.get("stripe").unwrap().manifest.webhook.clone().unwrap().signature;
    let running = prepared.start().await.unwrap();
    let hook = |account: &str| format!("http://{}/hooks/{account}", running.address);
    partners.deliver_to("shopify", &hook("shop"));
    partners.deliver_to("shiphero", &hook("east"));
    if hooks {
        gateway.deliver_to(&hook("pay"), SECRET).await;
    }

    // The store's webhook is under way when the payment is authorised: either may be heard first.
    let line_item = LineSpec { sku: "TEA-01".to_owned(), quantity: 2 };
    let spec = OrderSpec { lines: vec![line_item], ship_after: Some(700), ..OrderSpec::default() };
    let placed = partners.with(|world| world.place_order(spec));
    let bought = partners.with(|world| world.ledger().orders[0].clone());
    let currency = bought.currency.to_lowercase();
    let authorised = gateway.authorise(bought.total, &currency, &placed.id.to_string()).await;
    let payment = authorised["id"].as_str().unwrap().to_owned();
    tell(&authorised, &scheme, &hook("pay")).await;

    let order = EntityId::order(&ClientId::from("acme"), &AccountId::from("shop"), &placed.id.to_string());
    let record = at_rest(&running, &order, &format!("capture/{payment}"), hooks).await;
    let told = running.store.exceptions(&ExceptionQuery::default()).await.unwrap();
    assert!(told.is_empty(), "no exception is open: {told:#?}");
    let capture = record.intents.iter().find(|intent| intent.command == "payment.capture").unwrap();
    let captures = record.intents.iter().filter(|intent| intent.command == "payment.capture").count();
    assert_eq!((captures, capture.state), (1, IntentState::Done));

    // Our side: captured once, whoever told of it.
    let state: Order = record.state.read().unwrap();
    let ours: Vec<_> = state.payments.iter().filter(|it| it.account.as_str() == "pay").collect();
    assert_eq!(ours.len(), 1, "{:#?}", state.payments);
    let minor = ours[0].captured.unwrap().minor(2).unwrap().to_string();
    assert_eq!((ours[0].r#ref.as_str(), minor), (payment.as_str(), bought.total.to_string()));
    let moved = ours[0].movements.iter().filter(|it| it.kind == "captured").count();
    assert_eq!(moved, 1, "{:#?}", ours[0].movements);

    let attempts = running.store.attempts(&order).await.unwrap();
    let attempts: Vec<String> = attempts
        .into_iter()
        .filter(|attempt| attempt.intent == capture.id)
        .map(|attempt| format!("{}. {}", attempt.number, attempt.note))
        .collect();
    let key = capture.id.to_string();
    let heard = line.heard();
    running.stop().await;

    // The gateway's side: all of it is taken, and there is nothing left to capture.
    let now = gateway.payment(&payment).await;
    assert_eq!(now["status"], "succeeded", "{now:#}");
    let charges = now["charges"]["data"].as_array().unwrap();
    assert_eq!(charges.len(), 1, "{now:#}");
    let charge = &charges[0];
    assert_eq!(
        (charge["captured"].as_bool(), charge["amount"].as_i64(), charge["amount_refunded"].as_i64()),
        (Some(true), Some(bought.total), Some(0)),
        "{now:#}"
    );
    assert_eq!(gateway.capture(&payment).await.0, 400);

    println!("{cut:?}: {payment} of order {} ({} {currency})", bought.name, bought.total);
    for it in &heard {
        println!("  line: {} -> {}{}", it.what, it.status, if it.lost { ", answer lost" } else { "" });
    }
    for attempt in &attempts {
        println!("  attempt {attempt}");
    }
    let (captures, look_ups): (Vec<Heard>, Vec<Heard>) =
        heard.into_iter().partition(|it| it.what.ends_with("/capture"));
    assert!(captures.iter().all(|it| it.what == format!("POST /v1/payment_intents/{payment}/capture")));
    assert!(look_ups.iter().all(|it| it.what == format!("GET /v1/payment_intents/{payment}")));
    assert!(captures.iter().all(|it| it.body == format!("amount_to_capture={}", bought.total)));
    Outcome { captures, look_ups, key, attempts, payment: now }
}

/// Tells of the authorisation as Stripe would; localstripe has no webhook of it.
async fn tell(payment: &Value, scheme: &Signature, url: &str) {
    let now = app::clock().now();
    let event = json!({
        "id": "evt_authorised", "object": "event", "type": "payment_intent.amount_capturable_updated",
        "created": now.as_second(), "data": { "object": payment },
    });
    let body = event.to_string();
    let headers = signature::sign(scheme, &SecretString::from(SECRET), body.as_bytes(), url, now);
    let request =
        HttpRequest { method: "POST".to_owned(), url: url.to_owned(), headers, body: Bytes::from(body) };
    let answer = app::http().unwrap().send(request, Duration::from_secs(20)).await.unwrap();
    assert_eq!(answer.status, 200, "{:?}", answer.body);
}

/// Waits until the order was captured, all commands are settled and all messages worked on.
async fn at_rest(running: &Running, order: &EntityId, slot: &str, hooks: bool) -> EntityRecord {
    let begun = Instant::now();
    loop {
        let record = running.store.load(std::slice::from_ref(order)).await.unwrap().pop().unwrap();
        let counts = running.store.counts().await.unwrap();
        let captured = record.intents.iter().any(|intent| intent.slot == slot && intent.state.settled());
        let settled = record.intents.iter().all(|intent| intent.state.settled());
        let worked = counts.messages.iter().all(|(state, count)| state != "pending" || *count == 0);
        // The command's own answer, and the gateway's webhook of the same thing.
        let heard = record
            .facts
            .iter()
            .filter(|fact| fact.account.as_str() == "pay" && matches!(fact.body, Body::Captured(_)))
            .count();
        if captured && settled && worked && heard > usize::from(hooks) {
            return record;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "not at rest: {counts:#?}\n{:#?}\n{:#?}",
            record.intents,
            running.store.exceptions(&ExceptionQuery::default()).await
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_captured_once() {
    let outcome = goes_round(Cut::Nothing, true).await;
    assert_eq!(outcome.captures.len(), 1);
    assert_eq!(outcome.captures[0].status, 200);
    assert_eq!(outcome.captures[0].key.as_deref(), Some(outcome.key.as_str()));
    assert_eq!(outcome.look_ups, []);
    assert_eq!(outcome.attempts.len(), 1);
    assert_eq!(outcome.payment["capture_method"], "manual");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_is_captured_once_when_the_first_answer_is_lost() {
    for cut in [Cut::Whole, Cut::Half] {
        let outcome = goes_round(cut, false).await;
        let said: Vec<(u16, bool)> = outcome.captures.iter().map(|it| (it.status, it.lost)).collect();
        // Done, and the answer lost; then refused under the same key; so it is looked up, and was done.
        assert_eq!(said, [(200, true), (400, false)]);
        assert!(outcome.captures.iter().all(|it| it.key.as_deref() == Some(outcome.key.as_str())));
        assert_eq!(outcome.look_ups.len(), 1);
        assert_eq!(outcome.attempts.len(), 2, "{:?}", outcome.attempts);
        assert!(outcome.attempts[1].contains("looked up: it was done"), "{:?}", outcome.attempts);
    }
}

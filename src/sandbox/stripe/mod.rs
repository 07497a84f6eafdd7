//! Stripe: payment intents, refunds, disputes and events; idempotency keys; 100 requests a second.

mod payload;
mod requests;

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::bucket::Bucket;
use super::http::{self, Request};
use super::settings::{Fault, Settings};
use super::world::World;
use crate::ports::HttpResponse;

/// A payment intent.
#[derive(Debug, Clone)]
pub(crate) struct Intent {
    pub id: String,
    pub charge: String,
    pub amount: i64,
    pub currency: String,
    pub status: Status,
    pub created: Timestamp,
    pub cancelled: Option<(Timestamp, Option<String>)>,
    pub metadata: BTreeMap<String, String>,
    pub captures: Vec<Capture>,
}

/// Where a payment intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    RequiresPaymentMethod,
    RequiresCapture,
    Succeeded,
    Canceled,
}

impl Status {
    pub fn word(self) -> &'static str {
        match self {
            Self::RequiresPaymentMethod => "requires_payment_method",
            Self::RequiresCapture => "requires_capture",
            Self::Succeeded => "succeeded",
            Self::Canceled => "canceled",
        }
    }
}

/// Money taken.
#[derive(Debug, Clone)]
pub(crate) struct Capture {
    pub amount: i64,
    /// False when the checkout itself took it.
    pub by_request: bool,
}

/// Money given back.
#[derive(Debug, Clone)]
pub(crate) struct Refund {
    pub id: String,
    pub intent: String,
    pub charge: String,
    pub amount: i64,
    pub currency: String,
    pub reason: Option<String>,
    pub metadata: BTreeMap<String, String>,
    pub created: Timestamp,
}

/// A disputed charge.
#[derive(Debug, Clone)]
pub(crate) struct Dispute {
    pub id: String,
    pub intent: String,
    pub charge: String,
    pub amount: i64,
    pub currency: String,
    pub reason: String,
    pub status: String,
    pub created: Timestamp,
}

#[derive(Debug, Clone)]
struct Key {
    method: String,
    path: String,
    body: Vec<u8>,
    at: Timestamp,
    answer: HttpResponse,
}

/// The gateway.
#[derive(Debug, Clone)]
pub(crate) struct Gateway {
    pub intents: Vec<Intent>,
    pub refunds: Vec<Refund>,
    pub disputes: Vec<Dispute>,
    events: Vec<Value>,
    keys: BTreeMap<String, Key>,
    bucket: Bucket,
    next: u64,
}

impl Gateway {
    pub fn new(settings: &Settings) -> Self {
        Self {
            intents: Vec::new(),
            refunds: Vec::new(),
            disputes: Vec::new(),
            events: Vec::new(),
            keys: BTreeMap::new(),
            bucket: Bucket::new(settings.limits.stripe_rate, settings.limits.stripe_rate),
            next: 1,
        }
    }

    fn id(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}_3Sandbox{:016}", self.next)
    }

    pub fn intent(&self, id: &str) -> Option<&Intent> {
        self.intents.iter().find(|intent| intent.id == id)
    }

    /// What of a payment intent was given back.
    pub fn refunded(&self, intent: &str) -> i64 {
        self.refunds.iter().filter(|refund| refund.intent == intent).map(|refund| refund.amount).sum()
    }
}

/// A buyer pays (or only promises to) at the checkout; with `authorised`, by hand to be captured.
pub(super) fn open(world: &mut World, amount: i64, currency: &str, order: u64, name: &str) -> String {
    let gateway = &mut world.gateway;
    let (id, charge) = (gateway.id("pi"), gateway.id("ch"));
    let metadata = [("order_id", order.to_string()), ("order_name", name.to_owned())];
    gateway.intents.push(Intent {
        id: id.clone(),
        charge,
        amount,
        currency: currency.to_lowercase(),
        status: Status::RequiresPaymentMethod,
        created: world.now,
        cancelled: None,
        metadata: metadata.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
        captures: Vec::new(),
    });
    emit_intent(world, &id, "payment_intent.created");
    id
}

/// The checkout asks for another amount, before it is paid.
pub(super) fn price(world: &mut World, id: &str, amount: i64) {
    if let Some(intent) = world.gateway.intents.iter_mut().find(|intent| intent.id == id) {
        intent.amount = amount;
    }
}

/// The buyer's bank promises the money.
pub(super) fn authorise(world: &mut World, id: &str) {
    if let Some(intent) = world.gateway.intents.iter_mut().find(|intent| intent.id == id) {
        intent.status = Status::RequiresCapture;
    }
    emit_intent(world, id, "payment_intent.amount_capturable_updated");
}

/// The checkout takes the money at once.
pub(super) fn take(world: &mut World, id: &str) {
    if let Some(intent) = world.gateway.intents.iter_mut().find(|intent| intent.id == id) {
        intent.status = Status::Succeeded;
        intent.captures.push(Capture { amount: intent.amount, by_request: false });
    }
    emit_intent(world, id, "payment_intent.succeeded");
    emit_charge(world, id, "charge.succeeded");
}

/// A buyer disputes the charge of a payment intent.
pub(super) fn dispute(world: &mut World, id: &str, reason: &str) -> Option<String> {
    let intent = world.gateway.intent(id)?.clone();
    let amount: i64 = intent.captures.iter().map(|capture| capture.amount).sum();
    let dispute = Dispute {
        id: world.gateway.id("dp"),
        intent: intent.id.clone(),
        charge: intent.charge.clone(),
        amount,
        currency: intent.currency,
        reason: reason.to_owned(),
        status: "needs_response".to_owned(),
        created: world.now,
    };
    let (name, object) = (dispute.id.clone(), payload::dispute(&dispute));
    world.gateway.disputes.push(dispute);
    emit(world, "charge.dispute.created", &object);
    Some(name)
}

fn emit_intent(world: &mut World, id: &str, topic: &str) {
    let Some(intent) = world.gateway.intent(id) else { return };
    let object = payload::intent(intent);
    emit(world, topic, &object);
}

fn emit_charge(world: &mut World, id: &str, topic: &str) {
    let Some(intent) = world.gateway.intent(id) else { return };
    let object = payload::charge(intent, world.gateway.refunded(id));
    emit(world, topic, &object);
}

fn emit(world: &mut World, topic: &str, object: &Value) {
    let id = world.gateway.id("evt");
    let event = json!({
        "id": id,
        "object": "event",
        "api_version": "2025-06-30.basil",
        "created": world.now.as_second(),
        "data": { "object": object },
        "livemode": false,
        "pending_webhooks": 1,
        "request": { "id": null, "idempotency_key": null },
        "type": topic,
    });
    let headers = vec![
        ("Content-Type".to_owned(), "application/json; charset=utf-8".to_owned()),
        ("User-Agent".to_owned(), "Stripe/1.0 (+https://stripe.com/docs/webhooks)".to_owned()),
    ];
    // The real one indents its webhooks by two spaces.
    let body = serde_json::to_string_pretty(&event).unwrap_or_default();
    world.gateway.events.push(event);
    world.webhook("stripe", topic, headers, body);
}

/// 429, as Stripe says it.
pub(super) fn limited() -> HttpResponse {
    let body = json!({ "error": {
        "code": "rate_limit",
        "doc_url": "https://stripe.com/docs/error-codes/rate-limit",
        "message": "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        "type": "invalid_request_error",
    } });
    http::with(
        http::with(http::json(429, &body), "retry-after", "1"),
        "stripe-rate-limited-reason",
        "global-rate",
    )
}

fn error(status: u16, kind: &str, code: Option<&str>, param: Option<&str>, message: &str) -> HttpResponse {
    let mut error = json!({ "message": message, "type": kind });
    if let Some(code) = code {
        error["code"] = json!(code);
        error["doc_url"] = json!(format!("https://stripe.com/docs/error-codes/{}", code.replace('_', "-")));
    }
    if let Some(param) = param {
        error["param"] = json!(param);
    }
    http::json(status, &json!({ "error": error }))
}

pub(super) fn handle(world: &mut World, request: &Request<'_>) -> HttpResponse {
    let key = world.settings.secrets.stripe_key.clone();
    let given = credential(request);
    if given.as_deref() != Some(key.as_str()) {
        let message = match given {
            Some(given) => format!("Invalid API Key provided: {}****", given.get(..8).unwrap_or("")),
            None => "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY').".to_owned(),
        };
        return error(401, "invalid_request_error", None, None, &message);
    }
    if world.gateway.bucket.take(1.0, request.now).is_err() {
        return limited();
    }
    let Some(key) = request.header("idempotency-key").filter(|_| request.method == "POST") else {
        return requests::run(world, request).0;
    };
    if key.len() > 255 {
        let message = "The idempotency key is too long: at most 255 characters are allowed.";
        return error(400, "idempotency_error", None, None, message);
    }
    let key = key.to_owned();
    if let Some(known) = world.gateway.keys.get(&key) {
        let old = request.now.duration_since(known.at)
            >= jiff::SignedDuration::try_from(world.settings.timing.key_life)
                .unwrap_or(jiff::SignedDuration::MAX);
        if old
            && (world.settings.rate(Fault::ExpiredKey) > 0.0
                && world.dice.chance(world.settings.rate(Fault::ExpiredKey)))
        {
            world.gateway.keys.remove(&key);
        }
    }
    if let Some(known) = world.gateway.keys.get(&key) {
        let same = known.method == request.method && known.path == request.path && known.body == request.body;
        if !same {
            let message = format!(
                "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a key other than '{key}' if you meant to execute a different request."
            );
            return error(400, "idempotency_error", None, None, &message);
        }
        let replay = http::with(known.answer.clone(), "original-request", "req_sandbox");
        return http::with(replay, "idempotent-replayed", "true");
    }
    let (answer, executed) = requests::run(world, request);
    let answer = http::with(answer, "idempotency-key", &key);
    if executed {
        let saved = Key {
            method: request.method.to_owned(),
            path: request.path.clone(),
            body: request.body.to_vec(),
            at: request.now,
            answer: answer.clone(),
        };
        world.gateway.keys.insert(key, saved);
    }
    answer
}

fn credential(request: &Request<'_>) -> Option<String> {
    use base64::Engine;
    let header = request.header("authorization")?;
    if let Some(token) = header.strip_prefix("Bearer ") {
        return Some(token.to_owned());
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(header.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    Some(text.split_once(':').map_or(text.as_str(), |(user, _)| user).to_owned())
}

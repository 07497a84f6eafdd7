//! EasyPost: trackers that move on by themselves, labels and their refunds.

mod payload;
mod shipments;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::bucket::Bucket;
use super::http::{self, Request};
use super::settings::Settings;
use super::world::{Event, World};
use crate::ports::HttpResponse;

/// What a carrier says of a parcel, in order.
pub(super) const STEPS: [(&str, &str, &str); 6] = [
    ("pre_transit", "label_created", "Shipping Label Created"),
    ("in_transit", "arrived_at_facility", "Accepted at carrier facility"),
    ("in_transit", "departed_facility", "Departed carrier facility"),
    ("in_transit", "arrived_at_destination_facility", "Arrived at destination facility"),
    ("out_for_delivery", "out_for_delivery", "Out for Delivery"),
    ("delivered", "arrived_at_destination", "Delivered"),
];

/// A tracker.
#[derive(Debug, Clone)]
pub(crate) struct Tracker {
    pub id: String,
    pub code: String,
    pub carrier: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    /// When each step was reached.
    pub reached: Vec<Timestamp>,
    pub known: bool,
    pub shipment: Option<String>,
}

impl Tracker {
    /// The word of its last step.
    pub fn status(&self) -> &'static str {
        match self.reached.len().checked_sub(1) {
            Some(last) if self.known => STEPS[last.min(STEPS.len() - 1)].0,
            _ => "unknown",
        }
    }
}

/// The aggregator.
#[derive(Debug, Clone)]
pub(crate) struct Carrier {
    pub trackers: Vec<Tracker>,
    pub labels: Vec<shipments::Label>,
    bucket: Bucket,
    next: u64,
}

impl Carrier {
    pub fn new(settings: &Settings) -> Self {
        Self {
            trackers: Vec::new(),
            labels: Vec::new(),
            bucket: Bucket::new(settings.limits.easypost_rate, settings.limits.easypost_rate),
            next: 0,
        }
    }

    fn id(&mut self, prefix: &str) -> String {
        self.next += 1;
        format!("{prefix}_{:032x}", 0x5a9d_b0c5_0000_0000_u64 + self.next)
    }
}

/// A tracker moves on by one step.
pub(super) fn step(world: &mut World, index: usize) {
    let now = world.now;
    let Some(tracker) = world.carrier.trackers.get_mut(index) else { return };
    if !tracker.known || tracker.reached.len() >= STEPS.len() {
        return;
    }
    let before = tracker.status();
    tracker.reached.push(now);
    tracker.updated = now;
    let more = tracker.reached.len() < STEPS.len();
    emit(world, index, "tracker.updated", &json!({ "status": before }));
    if more {
        let pause = world.settings.timing.track;
        world.later(pause, Event::Track(index));
    }
}

fn emit(world: &mut World, index: usize, topic: &str, previous: &Value) {
    let id = world.carrier.id("evt");
    let Some(tracker) = world.carrier.trackers.get(index) else { return };
    let event = json!({
        "description": topic,
        "mode": "test",
        "previous_attributes": previous,
        "created_at": payload::time(world.now),
        "pending_urls": ["https://example.com/easypost"],
        "completed_urls": [],
        "updated_at": payload::time(world.now),
        "id": id,
        "user_id": "user_sandbox",
        "status": "pending",
        "object": "Event",
        "result": payload::tracker(tracker),
    });
    let headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("User-Agent".to_owned(), "EasyPost/Webhook".to_owned()),
    ];
    world.webhook("easypost", topic, headers, event.to_string());
}

/// Makes a tracker, or gives the one that there is for the same code and carrier of the last three months.
fn create(world: &mut World, code: &str, carrier: Option<&str>, shipment: Option<String>) -> usize {
    let now = world.now;
    let sent = world.warehouse.parcel(code).map(|parcel| parcel.carrier.clone());
    let carrier =
        carrier.map(str::to_owned).or_else(|| sent.clone()).unwrap_or_else(|| guess(code).to_owned());
    let recent = jiff::SignedDuration::from_hours(24 * 90);
    let known = |tracker: &Tracker| {
        tracker.code == code && tracker.carrier == carrier && now.duration_since(tracker.created) < recent
    };
    if let Some(index) = world.carrier.trackers.iter().position(known) {
        return index;
    }
    let tracker = Tracker {
        id: world.carrier.id("trk"),
        code: code.to_owned(),
        carrier,
        created: now,
        updated: now,
        reached: vec![now],
        known: sent.is_some() || shipment.is_some() || code.starts_with("EZ"),
        shipment,
    };
    world.carrier.trackers.push(tracker);
    let index = world.carrier.trackers.len() - 1;
    emit(world, index, "tracker.created", &json!({}));
    let pause = world.settings.timing.track;
    world.later(pause, Event::Track(index));
    index
}

fn guess(code: &str) -> &'static str {
    if code.starts_with("1Z") { "UPS" } else { "USPS" }
}

/// 429, as EasyPost says it.
pub(super) fn limited() -> HttpResponse {
    let answer = error(429, "RATE_LIMITED", "You have been rate limited. Please try again later.", &[]);
    http::with(answer, "retry-after", "1")
}

fn error(status: u16, code: &str, message: &str, fields: &[(&str, &str)]) -> HttpResponse {
    let errors: Vec<Value> =
        fields.iter().map(|(field, message)| json!({ "field": field, "message": message })).collect();
    http::json(status, &json!({ "error": { "code": code, "message": message, "errors": errors } }))
}

fn authorised(world: &World, request: &Request<'_>) -> bool {
    let Some(header) = request.header("authorization") else { return false };
    let key = &world.settings.secrets.easypost_key;
    if let Some(token) = header.strip_prefix("Bearer ") {
        return token == key;
    }
    let decoded = header.strip_prefix("Basic ").and_then(|text| BASE64.decode(text).ok());
    decoded.and_then(|bytes| String::from_utf8(bytes).ok()).is_some_and(|text| text == format!("{key}:"))
}

pub(super) fn handle(world: &mut World, request: &Request<'_>) -> HttpResponse {
    if !authorised(world, request) {
        return error(
            401,
            "APIKEY.INACTIVE",
            "This api key is no longer active. Please use a different api key or reactivate this key.",
            &[],
        );
    }
    if world.carrier.bucket.take(1.0, request.now).is_err() {
        return limited();
    }
    let body: Value = if request.body.is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(request.body) {
            Ok(body) => body,
            Err(_) => return error(400, "BAD_REQUEST", "The request was not valid JSON.", &[]),
        }
    };
    let steps = request.steps("v2");
    match (request.method, steps.as_slice()) {
        ("POST", ["trackers"]) => post_tracker(world, &body),
        ("GET", ["trackers"]) => list_trackers(world, request),
        ("GET", ["trackers", id]) => {
            let found = world.carrier.trackers.iter().find(|tracker| tracker.id == *id);
            found.map_or_else(not_found, |tracker| http::json(200, &payload::tracker(tracker)))
        }
        ("POST", ["shipments"]) => shipments::create(world, &body),
        ("GET", ["shipments"]) => shipments::list(world, request),
        ("GET", ["shipments", id]) => shipments::show(world, id),
        ("POST", ["shipments", id, "buy"]) => shipments::buy(world, id, &body),
        ("POST", ["shipments", id, "refund"]) => shipments::refund(world, id),
        _ => not_found(),
    }
}

fn not_found() -> HttpResponse {
    error(404, "NOT_FOUND", "The requested resource could not be found.", &[])
}

fn post_tracker(world: &mut World, body: &Value) -> HttpResponse {
    let given = body.get("tracker").unwrap_or(&Value::Null);
    let Some(code) =
        given.get("tracking_code").and_then(Value::as_str).filter(|code| !code.trim().is_empty())
    else {
        let fields = [("tracking_code", "cannot be blank")];
        return error(422, "PARAMETER.REQUIRED", "Missing required parameter.", &fields);
    };
    let carrier = given.get("carrier").and_then(Value::as_str).map(str::to_owned);
    let index = create(world, code, carrier.as_deref(), None);
    http::json(201, &payload::tracker(&world.carrier.trackers[index]))
}

fn list_trackers(world: &World, request: &Request<'_>) -> HttpResponse {
    let fits = |tracker: &Tracker| {
        request.parameter("tracking_code").is_none_or(|code| tracker.code == code)
            && request
                .parameter("carrier")
                .is_none_or(|carrier| tracker.carrier.eq_ignore_ascii_case(carrier))
    };
    let all = world.carrier.trackers.iter().filter(|tracker| fits(tracker));
    let all = all.map(|tracker| (tracker.id.clone(), tracker.created, payload::tracker(tracker))).collect();
    page("trackers", all, request)
}

/// A page, newest first; `all` is oldest first.
fn page(name: &str, all: Vec<(String, Timestamp, Value)>, request: &Request<'_>) -> HttpResponse {
    let size = request.parameter("page_size").map_or(Some(20), |text| text.parse::<usize>().ok());
    let Some(size) = size.filter(|size| (1..=100).contains(size)) else {
        return error(422, "PARAMETER.INVALID", "page_size must be between 1 and 100.", &[]);
    };
    let bound = |name: &str| request.parameter(name).and_then(|text| text.parse::<Timestamp>().ok());
    let (from, to) = (bound("start_datetime"), bound("end_datetime"));
    let mut items: Vec<_> = all
        .into_iter()
        .filter(|(_, created, _)| {
            from.is_none_or(|from| *created >= from) && to.is_none_or(|to| *created <= to)
        })
        .collect();
    items.reverse();
    let place = |id: &str| items.iter().position(|(own, _, _)| own == id);
    let (items, more): (Vec<Value>, bool) = if let Some(before) = request.parameter("before_id") {
        let Some(at) = place(before) else { return not_found() };
        let rest: Vec<_> = items.into_iter().skip(at + 1).collect();
        (rest.iter().take(size).map(|(_, _, item)| item.clone()).collect(), rest.len() > size)
    } else if let Some(after) = request.parameter("after_id") {
        let Some(at) = place(after) else { return not_found() };
        let start = at.saturating_sub(size);
        (items[start..at].iter().map(|(_, _, item)| item.clone()).collect(), start > 0)
    } else {
        let more = items.len() > size;
        (items.into_iter().take(size).map(|(_, _, item)| item).collect(), more)
    };
    http::json(200, &json!({ name: items, "has_more": more }))
}

//! ShipHero: a warehouse behind a GraphQL API. Credits; errors inside HTTP 200; the same reference makes two orders.

mod mutate;
mod query;
mod view;
mod work;

pub(super) use work::{allocate, ship};

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, LazyLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::bucket::Bucket;
use super::dice::Dice;
use super::graphql::{self, FieldError, Problem, Schema, Selected};
use super::http::{self, Request};
use super::settings::Settings;
use super::world::World;
use crate::ports::HttpResponse;

/// A line of a warehouse order.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub id: u64,
    pub sku: String,
    pub partner: String,
    pub quantity: i64,
    pub allocated: i64,
    pub shipped: i64,
    pub price: String,
    pub name: String,
    pub created: Timestamp,
}

/// An order in the warehouse.
#[derive(Debug, Clone)]
pub(crate) struct Order {
    pub id: u64,
    pub number: String,
    pub reference: String,
    pub data: Value,
    pub lines: Vec<Line>,
    pub tags: Vec<String>,
    pub cancelled: Option<Timestamp>,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub allocated: Option<Timestamp>,
    /// Index of the store's order that it serves, as far as names tell.
    pub serves: Option<usize>,
    pub parcels_left: u32,
}

impl Order {
    pub fn status(&self) -> &'static str {
        if self.cancelled.is_some() {
            "canceled"
        } else if !self.lines.is_empty() && self.lines.iter().all(|line| line.shipped >= line.quantity) {
            "fulfilled"
        } else {
            "pending"
        }
    }
}

/// What left the warehouse.
#[derive(Debug, Clone)]
pub(crate) struct Shipment {
    pub id: u64,
    pub order: usize,
    pub created: Timestamp,
    pub carrier: String,
    pub method: String,
    pub tracking: String,
    /// Line id and units.
    pub lines: Vec<(u64, i64)>,
}

/// Units of a SKU.
#[derive(Debug, Clone)]
pub(crate) struct Stock {
    pub id: u64,
    pub on_hand: i64,
    pub allocated: i64,
    pub updated: Timestamp,
}

/// The warehouse.
#[derive(Debug, Clone)]
pub(crate) struct Warehouse {
    pub orders: Vec<Order>,
    pub shipments: Vec<Shipment>,
    pub stock: BTreeMap<String, Stock>,
    schema: Arc<Schema>,
    tokens: BTreeMap<String, Timestamp>,
    bucket: Bucket,
    calls: VecDeque<Timestamp>,
    dice: Dice,
    next: u64,
}

/// Number of the only warehouse.
const WAREHOUSE: u64 = 113_290;

/// `T3JkZXI6MTIz`: the kind and the number, in base64.
fn uuid(kind: &str, id: u64) -> String {
    BASE64.encode(format!("{kind}:{id}"))
}

/// The number in such a name; a bare number is taken too.
fn number(kind: &str, id: &str) -> Option<u64> {
    if let Ok(number) = id.parse() {
        return Some(number);
    }
    let text = String::from_utf8(BASE64.decode(id).ok()?).ok()?;
    text.strip_prefix(kind)?.strip_prefix(':')?.parse().ok()
}

/// Read once: worlds are made by the thousand.
static SCHEMA: LazyLock<Result<Arc<Schema>, String>> =
    LazyLock::new(|| Schema::read(include_str!("schema.graphql")).map(Arc::new));

impl Warehouse {
    pub fn new(seed: u64, settings: &Settings) -> Result<Self, String> {
        let known =
            settings.catalogue.iter().filter_map(|product| product.on_hand.map(|on_hand| (product, on_hand)));
        let stock = known.zip(1..).map(|((product, on_hand), id)| {
            let stock = Stock { id: 700_000 + id, on_hand, allocated: 0, updated: Timestamp::UNIX_EPOCH };
            (product.sku.clone(), stock)
        });
        Ok(Self {
            orders: Vec::new(),
            shipments: Vec::new(),
            stock: stock.collect(),
            schema: SCHEMA.clone()?,
            tokens: BTreeMap::new(),
            bucket: Bucket::new(settings.limits.shiphero_size, settings.limits.shiphero_refill),
            calls: VecDeque::new(),
            dice: Dice::new(seed, 5),
            next: 204_159_000,
        })
    }

    fn id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Access tokens end now.
    pub fn forget_tokens(&mut self) {
        self.tokens.clear();
    }

    /// No credits are left.
    pub fn drain(&mut self, now: Timestamp) {
        self.bucket.drain(now);
    }

    /// The shipment with this tracking number.
    pub fn parcel(&self, tracking: &str) -> Option<&Shipment> {
        self.shipments.iter().find(|shipment| shipment.tracking == tracking)
    }

    fn find(&self, id: &str) -> Option<usize> {
        let id = number("Order", id)?;
        self.orders.iter().position(|order| order.id == id)
    }
}

/// 429: more than 7,000 requests in five minutes.
pub(super) fn limited() -> HttpResponse {
    http::with(http::json(429, &json!({ "message": "Too Many Requests" })), "retry-after", "2")
}

fn refused(status: u16, code: &str, description: &str) -> HttpResponse {
    http::json(status, &json!({ "code": code, "description": description }))
}

pub(super) fn handle(world: &mut World, request: &Request<'_>) -> HttpResponse {
    match (request.method, request.steps("").as_slice()) {
        ("POST", ["auth", "refresh"]) => refresh(world, request),
        ("POST", ["graphql"]) => call(world, request),
        _ => http::json(404, &json!({ "message": "Not Found" })),
    }
}

fn refresh(world: &mut World, request: &Request<'_>) -> HttpResponse {
    let body: Value = serde_json::from_slice(request.body).unwrap_or(Value::Null);
    let given = body.get("refresh_token").and_then(Value::as_str);
    if given != Some(world.settings.secrets.shiphero_refresh.as_str()) {
        return http::json(
            401,
            &json!({ "error": "invalid_grant", "error_description": "Unknown or invalid refresh token." }),
        );
    }
    let life = world.settings.timing.token_life;
    let token = format!("eyJ0eXAiOiJKV1QifQ.{}.sandbox", world.warehouse.dice.word(24));
    world.warehouse.tokens.insert(token.clone(), request.now + life);
    http::json(
        200,
        &json!({
            "access_token": token,
            "expires_in": life.as_secs(),
            "scope": "openid profile offline_access",
            "token_type": "Bearer",
        }),
    )
}

fn call(world: &mut World, request: &Request<'_>) -> HttpResponse {
    let Some(header) = request.header("authorization") else {
        return refused(401, "authorization_header_missing", "Authorization header is expected");
    };
    let token = header.strip_prefix("Bearer ").unwrap_or("");
    match world.warehouse.tokens.get(token) {
        None => return refused(401, "invalid_header", "Unable to parse authentication token."),
        Some(end) if *end <= request.now => return refused(401, "token_expired", "token is expired"),
        Some(_) => {}
    }
    let start = request.now.checked_sub(SignedDuration::from_mins(5)).unwrap_or(Timestamp::MIN);
    while world.warehouse.calls.front().is_some_and(|at| *at < start) {
        world.warehouse.calls.pop_front();
    }
    if world.warehouse.calls.len() >= world.settings.limits.shiphero_requests {
        return limited();
    }
    world.warehouse.calls.push_back(request.now);
    let Ok(body) = serde_json::from_slice::<Value>(request.body) else {
        return http::json(400, &json!({ "errors": [{ "message": "POST body sent invalid JSON." }] }));
    };
    let text = body.get("query").and_then(Value::as_str).unwrap_or("");
    let name = body.get("operationName").and_then(Value::as_str);
    let variables = body.get("variables").cloned().unwrap_or(Value::Null);
    let operation = match graphql::prepare(&world.warehouse.schema, text, name, &variables) {
        Ok(operation) => operation,
        Err(problems) => {
            return http::json(400, &json!({ "errors": problems.iter().map(problem).collect::<Vec<_>>() }));
        }
    };
    let request_id = format!("{:024x}", world.warehouse.dice.next());
    let wanted: f64 = operation.fields.iter().map(cost).sum();
    if let Err(missing) = world.warehouse.bucket.take(wanted, request.now) {
        let left = world.warehouse.bucket.level(request.now);
        let field = operation.fields.first().map_or("", |field| field.name.as_str());
        return http::json(200, &broke(field, &request_id, wanted, left, missing));
    }
    let schema = Arc::clone(&world.warehouse.schema);
    let mut resolver = Calls { world, request_id: &request_id, complexity: wanted };
    let (data, errors) = graphql::execute(&schema, &operation, &mut resolver);
    let spent = wanted.min((wanted / 4.0).ceil() + 1.0);
    world.warehouse.bucket.give(wanted - spent);
    let left = world.warehouse.bucket.level(request.now);
    let mut answer = json!({
        "data": data,
        "extensions": { "throttling": {
            "estimated_cost": wanted,
            "cost": spent,
            "user_quota": {
                "credits_remaining": left.floor(),
                "max_available": world.warehouse.bucket.size(),
                "increment_rate": world.warehouse.bucket.refill(),
            },
        } },
    });
    if !errors.is_empty() {
        answer["errors"] = errors
            .iter()
            .map(|error| {
                json!({
                    "message": error.message,
                    "operation": error.field,
                    "field": error.field,
                    "request_id": request_id,
                    "code": error.code,
                })
            })
            .collect();
    }
    http::json(200, &answer)
}

/// What an operation costs: one credit each thing that may come back.
fn cost(field: &Selected) -> f64 {
    let below: f64 = field.fields.iter().map(cost).sum();
    let times = match field.name.as_str() {
        "data" | "line_items" | "products" if !field.ty.name().ends_with("Connection") => 1,
        _ if field.ty.name().ends_with("Connection") => {
            field.number("first").or(field.number("last")).unwrap_or(100).clamp(1, 1000)
        }
        _ => 1,
    };
    let own = if field.fields.is_empty() { 0.0 } else { 1.0 };
    let times = f64::from(u32::try_from(times).unwrap_or(1));
    if times > 1.0 { times * below.max(1.0) / 2.0 } else { own + below }
}

fn broke(field: &str, request_id: &str, wanted: f64, left: f64, missing: f64) -> Value {
    let (left, seconds) = (left.floor(), missing.ceil().max(1.0));
    json!({
        "errors": [{
            "code": 30,
            "message": format!("There are not enough credits to perform the requested operation, which requires {wanted} credits, but there are only {left} left. In {seconds} seconds you will have enough credits to perform the operation"),
            "operation": field,
            "request_id": request_id,
            "required_credits": wanted,
            "remaining_credits": left,
            "time_remaining": format!("{seconds} seconds"),
        }],
        "data": { field: null },
    })
}

fn problem(it: &Problem) -> Value {
    json!({ "message": it.message, "locations": [{ "line": it.line, "column": it.column }] })
}

struct Calls<'a> {
    world: &'a mut World,
    request_id: &'a str,
    complexity: f64,
}

impl graphql::Resolver for Calls<'_> {
    fn root(&mut self, field: &Selected) -> Result<Value, FieldError> {
        let complexity = self.complexity.ceil();
        if field.flag("analyze") == Some(true) {
            return Ok(json!({ "request_id": self.request_id, "complexity": complexity }));
        }
        let value = if field.name.starts_with("order_") {
            mutate::run(self.world, field).map(
                |index| json!({ "order": view::order(&self.world.warehouse, &self.world.settings, index) }),
            )
        } else {
            query::run(self.world, field).map(|data| json!({ "data": data }))
        };
        match value {
            Ok(mut value) => {
                if field.name == "node" {
                    return Ok(value["data"].take());
                }
                value["request_id"] = json!(self.request_id);
                value["complexity"] = json!(complexity);
                Ok(value)
            }
            Err((code, message)) => Err(FieldError { message, code: json!(code), field: field.name.clone() }),
        }
    }
}

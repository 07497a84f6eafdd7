//! Shopify: a store with webhooks in the old REST form and a GraphQL Admin API with a bucket of points.

mod mutate;
mod payload;
mod query;
mod store;
mod view;

pub use store::Placed;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use jiff::Timestamp;
use serde_json::{Value, json};

use super::bucket::Bucket;
use super::graphql::{self, FieldError, OperationKind, Problem, Schema, Selected};
use super::http::{self, Request};
use super::settings::Settings;
use super::spec::OrderSpec;
use super::world::World;
use crate::ports::HttpResponse;

/// A line of the store's order.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub id: u64,
    pub sku: String,
    pub title: String,
    pub price: i64,
    pub grams: u64,
    pub variant: u64,
    /// Units ordered, and units wanted now.
    pub quantity: i64,
    pub current: i64,
    pub fulfilled: i64,
}

/// What the store records as sent.
#[derive(Debug, Clone)]
pub(crate) struct Fulfilment {
    pub id: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub company: Option<String>,
    pub numbers: Vec<String>,
    pub urls: Vec<String>,
    /// Line id and units.
    pub lines: Vec<(u64, i64)>,
}

/// What the store gives back.
#[derive(Debug, Clone)]
pub(crate) struct StoreRefund {
    pub id: u64,
    pub created: Timestamp,
    pub note: Option<String>,
    pub amount: i64,
    /// Line id and units.
    pub lines: Vec<(u64, i64)>,
}

/// What a buyer sends back.
#[derive(Debug, Clone)]
pub(crate) struct StoreReturn {
    pub id: u64,
    pub created: Timestamp,
    /// In the words of the API.
    pub status: &'static str,
    /// Line id and units.
    pub lines: Vec<(u64, i64)>,
}

/// A charge on Shopify Payments that a buyer disputes.
#[derive(Debug, Clone)]
pub(crate) struct StoreDispute {
    pub id: u64,
    /// The order's id.
    pub order: u64,
    pub initiated: Timestamp,
    /// In the words of the API.
    pub status: &'static str,
}

/// A money movement as the store records it.
#[derive(Debug, Clone)]
pub(crate) struct Transaction {
    pub id: u64,
    pub kind: &'static str,
    pub amount: i64,
    pub at: Timestamp,
    pub parent: Option<u64>,
}

/// A person's address.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub first: String,
    pub last: String,
    pub street: Option<String>,
    pub city: Option<String>,
    pub province: (&'static str, &'static str),
    pub zip: &'static str,
    pub phone: &'static str,
}

/// An order of the store.
#[derive(Debug, Clone)]
pub(crate) struct StoreOrder {
    pub id: u64,
    pub number: u64,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub cancelled: Option<(Timestamp, &'static str)>,
    pub currency: String,
    pub lines: Vec<Line>,
    pub shipping: i64,
    pub method: String,
    pub place: Option<Place>,
    pub email: String,
    pub tags: Vec<String>,
    pub note: Option<String>,
    pub financial: &'static str,
    pub payment: Option<String>,
    pub transactions: Vec<Transaction>,
    pub fulfilments: Vec<Fulfilment>,
    pub refunds: Vec<StoreRefund>,
    pub returns: Vec<StoreReturn>,
    pub edited: bool,
    pub spec: OrderSpec,
}

impl StoreOrder {
    pub fn name(&self) -> String {
        format!("#{}", self.number)
    }
    pub fn gid(&self) -> String {
        format!("gid://shopify/Order/{}", self.id)
    }
    /// Lines as ordered, or as wanted now, with shipping.
    pub fn total(&self, current: bool) -> i64 {
        self.goods(current) + self.shipping
    }
    pub fn goods(&self, current: bool) -> i64 {
        self.lines.iter().map(|line| line.price * if current { line.current } else { line.quantity }).sum()
    }
    pub fn refunded(&self) -> i64 {
        self.refunds.iter().map(|refund| refund.amount).sum()
    }
    /// Number of its only fulfilment order.
    pub fn fulfilment_order(&self) -> u64 {
        5_000_000_000_000 + self.number
    }
    pub fn open_status(&self) -> &'static str {
        let left: i64 = self.lines.iter().map(|line| line.current - line.fulfilled).sum();
        match (self.cancelled.is_some(), left > 0, self.fulfilments.is_empty()) {
            (true, ..) => "CANCELLED",
            (_, false, _) => "CLOSED",
            (_, true, true) => "OPEN",
            (_, true, false) => "IN_PROGRESS",
        }
    }
    /// What the returns come to, in the words of the API.
    pub fn return_status(&self) -> &'static str {
        let any = |status: &str| self.returns.iter().any(|it| it.status == status);
        match (any("REQUESTED"), any("OPEN"), any("CLOSED")) {
            (true, ..) => "RETURN_REQUESTED",
            (_, true, _) => "IN_PROGRESS",
            (.., true) => "RETURNED",
            _ => "NO_RETURN",
        }
    }
    fn line(&self, id: u64) -> Option<&Line> {
        self.lines.iter().find(|line| line.id == id)
    }
}

/// Something that the store stocks.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub id: u64,
    pub sku: String,
    pub title: String,
    pub price: i64,
    pub grams: u64,
    pub available: i64,
    pub updated: Timestamp,
    /// How often its level was set by the API.
    pub sets: u64,
}

/// The store.
#[derive(Debug, Clone)]
pub(crate) struct Shop {
    pub orders: Vec<StoreOrder>,
    pub items: Vec<Item>,
    pub disputes: Vec<StoreDispute>,
    schema: Arc<Schema>,
    bucket: Bucket,
    keys: BTreeMap<String, (Value, Value)>,
    next: u64,
    webhooks: u64,
}

/// Read once: worlds are made by the thousand.
static SCHEMA: LazyLock<Result<Arc<Schema>, String>> =
    LazyLock::new(|| Schema::read(include_str!("schema.graphql")).map(Arc::new));

impl Shop {
    pub fn new(_: u64, settings: &Settings) -> Result<Self, String> {
        let items = settings.catalogue.iter().zip(1..).map(|(product, index)| Item {
            id: 808_950_800 + index,
            sku: product.sku.clone(),
            title: product.title.clone(),
            price: product.price,
            grams: product.grams,
            available: product.on_hand.unwrap_or(0),
            updated: Timestamp::UNIX_EPOCH,
            sets: 0,
        });
        Ok(Self {
            orders: Vec::new(),
            items: items.collect(),
            disputes: Vec::new(),
            schema: SCHEMA.clone()?,
            bucket: Bucket::new(settings.limits.shopify_size, settings.limits.shopify_refill),
            keys: BTreeMap::new(),
            next: 0,
            webhooks: 0,
        })
    }

    fn id(&mut self, base: u64) -> u64 {
        self.next += 1;
        base + self.next
    }

    /// No points are left.
    pub fn drain(&mut self, now: Timestamp) {
        self.bucket.drain(now);
    }

    /// The order that a warehouse's names mean: its number, its id, or the id of one of its lines.
    pub fn find_by_names(&self, number: &str, reference: &str, lines: &[&str]) -> Option<usize> {
        let is = |order: &StoreOrder, text: &str| {
            let bare = text.trim_start_matches('#');
            bare == order.number.to_string() || bare == order.id.to_string() || text == order.gid()
        };
        self.orders.iter().position(|order| is(order, number) || is(order, reference)).or_else(|| {
            self.orders.iter().position(|order| {
                order.lines.iter().any(|line| {
                    let id = line.id.to_string();
                    lines.iter().any(|given| given.split([':', '-', '/', '.']).any(|part| part == id))
                })
            })
        })
    }

    pub fn find(&self, id: u64) -> Option<usize> {
        self.orders.iter().position(|order| order.id == id)
    }

    /// The order with this `gid://shopify/Order/…`.
    fn by_gid(&self, gid: &str) -> Option<usize> {
        self.find(number(gid, "Order")?)
    }
}

/// The number in a global id of this kind.
fn number(gid: &str, kind: &str) -> Option<u64> {
    let rest = gid.strip_prefix("gid://shopify/")?.strip_prefix(kind)?.strip_prefix('/')?;
    rest.split('?').next()?.parse().ok()
}

/// 429, as the gateway before the API says it.
pub(super) fn limited() -> HttpResponse {
    let body = json!({ "errors": "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service." });
    http::with(http::json(429, &body), "retry-after", "2.0")
}

pub(super) fn handle(world: &mut World, request: &Request<'_>) -> HttpResponse {
    let steps: Vec<_> = request.path.split('/').filter(|step| !step.is_empty()).collect();
    let known = match steps.as_slice() {
        ["graphql.json"] => true,
        ["admin", "api", version, "graphql.json"] => {
            version.len() == 7 && version.starts_with("20") && version.as_bytes()[4] == b'-'
        }
        _ => false,
    };
    if !known || request.method != "POST" {
        return http::json(404, &json!({ "errors": "Not Found" }));
    }
    if request.header("x-shopify-access-token") != Some(world.settings.secrets.shopify_token.as_str()) {
        let message = "[API] Invalid API key or access token (unrecognized login or wrong password)";
        return http::json(401, &json!({ "errors": message }));
    }
    let Ok(body) = serde_json::from_slice::<Value>(request.body) else {
        return http::json(400, &json!({ "errors": { "query": "Required parameter missing or invalid" } }));
    };
    let Some(text) = body.get("query").and_then(Value::as_str) else {
        return http::json(400, &json!({ "errors": { "query": "Required parameter missing or invalid" } }));
    };
    let variables = body.get("variables").cloned().unwrap_or(Value::Null);
    let schema = Arc::clone(&world.shop.schema);
    let name = body.get("operationName").and_then(Value::as_str);
    let operation = match graphql::prepare(&schema, text, name, &variables) {
        Ok(operation) => operation,
        Err(problems) => {
            return http::json(200, &json!({ "errors": problems.iter().map(problem).collect::<Vec<_>>() }));
        }
    };
    let wanted = match operation.kind {
        OperationKind::Mutation => 10.0,
        OperationKind::Query => operation.fields.iter().map(cost).sum::<f64>().ceil(),
    };
    if wanted > 1000.0 {
        let message =
            format!("Query cost is {wanted}, which exceeds the single query max cost limit (1000).");
        return http::json(
            200,
            &json!({ "errors": [{
            "message": message,
            "extensions": { "code": "MAX_COST_EXCEEDED", "cost": wanted, "maxCost": 1000, "documentation": "https://shopify.dev/api/usage/rate-limits" },
        }] }),
        );
    }
    if world.shop.bucket.take(wanted, request.now).is_err() {
        return http::json(
            200,
            &json!({
                "errors": [{
                    "message": "Throttled",
                    "extensions": { "code": "THROTTLED", "documentation": "https://shopify.dev/api/usage/rate-limits" },
                }],
                "extensions": { "cost": status(world, wanted, None, request.now) },
            }),
        );
    }
    let (data, errors) = graphql::execute(&schema, &operation, &mut Calls { world });
    let actual = match operation.kind {
        OperationKind::Mutation => 10.0,
        OperationKind::Query => {
            wanted.min(f64::from(u32::try_from(objects(&data)).unwrap_or(u32::MAX)) + 1.0)
        }
    };
    world.shop.bucket.give(wanted - actual);
    let mut answer =
        json!({ "data": data, "extensions": { "cost": status(world, wanted, Some(actual), request.now) } });
    if !errors.is_empty() {
        answer["errors"] = errors
            .iter()
            .map(|error| json!({ "message": error.message, "path": [error.field], "extensions": { "code": error.code } }))
            .collect();
    }
    http::json(200, &answer)
}

fn status(world: &mut World, wanted: f64, actual: Option<f64>, now: Timestamp) -> Value {
    let bucket = &mut world.shop.bucket;
    json!({
        "requestedQueryCost": wanted,
        "actualQueryCost": actual,
        "throttleStatus": {
            "maximumAvailable": bucket.size(),
            "currentlyAvailable": bucket.level(now).floor(),
            "restoreRate": bucket.refill(),
        },
    })
}

/// One point an object, two and a share of its items for a connection. The real formula is not published; this one is
/// near what the API reports.
fn cost(field: &Selected) -> f64 {
    if field.fields.is_empty() {
        return 0.0;
    }
    let below: f64 = field.fields.iter().map(cost).sum();
    if field.ty.name().ends_with("Connection") {
        let items = field.number("first").or(field.number("last")).unwrap_or(50).clamp(1, 250);
        return 2.0 + f64::from(u32::try_from(items).unwrap_or(250)) * below.max(1.0) / 2.0;
    }
    match field.name.as_str() {
        "nodes" | "edges" | "pageInfo" => below,
        _ => 1.0 + below,
    }
}

fn objects(data: &Value) -> usize {
    match data {
        Value::Object(fields) => 1 + fields.values().map(objects).sum::<usize>(),
        Value::Array(items) => items.iter().map(objects).sum(),
        _ => 0,
    }
}

fn problem(it: &Problem) -> Value {
    let mut extensions = it.more.clone();
    extensions["code"] = json!(it.code);
    json!({ "message": it.message, "locations": [{ "line": it.line, "column": it.column }], "extensions": extensions })
}

struct Calls<'a> {
    world: &'a mut World,
}

impl graphql::Resolver for Calls<'_> {
    fn root(&mut self, field: &Selected) -> Result<Value, FieldError> {
        let refuse = |(code, message): (&str, String)| FieldError {
            message,
            code: json!(code),
            field: field.key.clone(),
        };
        if let Some(outcome) = mutate::run(self.world, field) {
            return outcome.map_err(refuse);
        }
        query::run(self.world, field).map_err(refuse)
    }
}

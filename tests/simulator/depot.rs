//! A warehouse of another make than the sandbox's: a small REST service with webhooks of its own, and its connector.

use bytes::Bytes;
use crossdock::ports::{HttpRequest, HttpResponse};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// Its connector and mappings.
pub const FILES: &[(&str, &str)] = &[
    (
        "connectors/depot/connector.toml",
        r#"
[connector]
title  = "Depot"
serves = ["warehouse"]
[http]
base   = "http://sandbox/depot"
[webhook]
topic    = "topic"
event_id = "event"
[webhook.signature]
scheme = "none"
why    = "It calls within the house"
[webhook.topics]
"parcel" = "parcel"
[read.order_by_reference]
path  = "/orders"
query = { reference = "{ref}" }
items = "orders"
mapping = "order"
[command.order.create]
path   = "/orders"
out    = "order.create"
ok     = { id = { exists = true } }
answer = "order"
once   = { find = "order_by_reference", same = { reference = "{ref}" }, settle = "10s", complete = true }
[command.order.cancel]
path   = "/orders/{warehouse_order}/cancel"
method = "POST"
answer = "order"
once   = { repeat = true }
"#,
    ),
    (
        "mappings/depot/order.create.out.toml",
        r#"
[body]
reference = { path = "ref", required = true }
number    = "order.number"
name      = "ship_to.name"
[body.lines]
each     = "lines"
line     = "ref"
sku      = { path = "sku", required = true }
quantity = { path = "quantity", as = "integer", required = true }
"#,
    ),
    (
        "mappings/depot/order.in.toml",
        r#"
[mapping]
records = ["$"]
[fact.accepted]
is              = "fulfilment.accepted"
when            = { status = { not = "cancelled" } }
our             = "reference"
warehouse_order = { path = "id", required = true }
[fact.cancelled]
is              = "fulfilment.cancelled"
when            = { status = "cancelled" }
our             = "reference"
warehouse_order = { path = "id", required = true }
"#,
    ),
    (
        "mappings/depot/parcel.in.toml",
        r#"
[mapping]
records = ["$"]
[fact.shipped]
is              = "fulfilment.shipped"
our             = "reference"
warehouse_order = "order"
shipment        = { path = "parcel", required = true }
at              = "at"
carrier         = { const = "UPS" }
[fact.shipped.lines]
each     = "lines"
line     = "line"
sku      = "sku"
quantity = { path = "quantity", required = true }
[[fact.shipped.packages]]
part     = "only"
each     = "$"
tracking = "tracking"
"#,
    ),
];

/// How long it takes to pack.
const PACKS: SignedDuration = SignedDuration::from_secs(25);
/// When it tells again what nobody took.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// An order in its book.
#[derive(Debug, Clone)]
pub struct Entry {
    pub reference: String,
    pub number: String,
    /// As they were ordered.
    pub lines: Value,
    pub cancelled: bool,
    /// The parcel's tracking number, once it left.
    pub tracking: Option<String>,
    /// When it leaves, or is told of (again); none when all is said.
    due: Option<Timestamp>,
}

/// A webhook on its way.
#[derive(Debug, Clone)]
pub struct Parcel {
    order: usize,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

/// The warehouse.
#[derive(Debug, Default)]
pub struct Depot {
    pub orders: Vec<Entry>,
}

impl Depot {
    fn shown(&self, index: usize) -> Value {
        let entry = &self.orders[index];
        let status = if entry.cancelled { "cancelled" } else { "open" };
        json!({ "id": format!("D-{index}"), "reference": entry.reference, "status": status })
    }

    pub fn handle(&mut self, request: &HttpRequest, now: Timestamp) -> HttpResponse {
        let rest = request.url.strip_prefix("http://sandbox/depot/orders").unwrap_or_default();
        let answer = if let Some(id) = rest.strip_prefix("/D-").and_then(|rest| rest.strip_suffix("/cancel"))
        {
            let index: usize = id.parse().unwrap();
            if self.orders[index].tracking.is_none() {
                (self.orders[index].cancelled, self.orders[index].due) = (true, None);
            }
            self.shown(index)
        } else if let Some(reference) = rest.strip_prefix("?reference=") {
            let own = (0..self.orders.len()).filter(|index| self.orders[*index].reference == reference);
            json!({ "orders": own.map(|index| self.shown(index)).collect::<Vec<_>>() })
        } else {
            let told: Value = serde_json::from_slice(&request.body).unwrap();
            self.orders.push(Entry {
                reference: told["reference"].as_str().unwrap().to_owned(),
                number: told["number"].as_str().unwrap_or_default().to_owned(),
                lines: told["lines"].clone(),
                cancelled: false,
                tracking: None,
                due: Some(now + PACKS),
            });
            self.shown(self.orders.len() - 1)
        };
        HttpResponse { status: 200, headers: Vec::new(), body: Bytes::from(answer.to_string()) }
    }

    /// What it tells now: goods that left.
    pub fn due(&mut self, now: Timestamp) -> Vec<Parcel> {
        let mut parcels = Vec::new();
        for (index, entry) in self.orders.iter_mut().enumerate() {
            if entry.due.is_none_or(|due| due > now) {
                continue;
            }
            entry.due = None;
            let tracking = entry.tracking.get_or_insert_with(|| format!("1ZDEPOT{index:04}"));
            let body = json!({
                "topic": "parcel", "event": format!("e{index}"), "reference": entry.reference, "order": format!("D-{index}"),
                "parcel": format!("P-{index}"), "at": now, "tracking": tracking, "lines": entry.lines,
            });
            let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
            parcels.push(Parcel { order: index, headers, body: Bytes::from(body.to_string()) });
        }
        parcels
    }

    /// What was not taken is told again.
    pub fn delivered(&mut self, parcel: &Parcel, status: u16, now: Timestamp) {
        if !(200..300).contains(&status) {
            self.orders[parcel.order].due = Some(now + AGAIN);
        }
    }

    pub fn next_due(&self) -> Option<Timestamp> {
        self.orders.iter().filter_map(|entry| entry.due).min()
    }
}

//! A caller of the partners, and a small merchant's clerk who does by hand what the daemon is to do.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use crossdock::config::embedded::embedded;
use crossdock::connector::manifest::BodySpec;
use crossdock::connector::{Registry, load};
use crossdock::ports::{HttpRequest, HttpResponse};
use crossdock::sandbox::{Delivery, LineSpec, OrderSpec, Reply, Settings, World};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub struct Client {
    pub world: World,
    pub now: Timestamp,
    pub token: Option<String>,
    pub heard: Vec<Delivery>,
}

impl Client {
    pub fn new(seed: u64) -> Self {
        Self::with(seed, Settings::default())
    }

    pub fn with(seed: u64, settings: Settings) -> Self {
        let now: Timestamp = "2026-11-02T09:00:00Z".parse().unwrap();
        let mut world = World::new(seed, settings).unwrap();
        world.advance(now);
        Self { world, now, token: None, heard: Vec::new() }
    }

    /// Lets time pass, and takes the webhooks that come.
    pub fn pass(&mut self, seconds: i64) {
        let end = self.now + SignedDuration::from_secs(seconds);
        while let Some(due) = self.world.next_due().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            for delivery in self.world.due_webhooks(self.now) {
                self.world.delivered(delivery.id, Some(200), self.now);
                self.heard.push(delivery);
            }
        }
        self.now = end;
        self.world.advance(end);
    }

    pub fn reply(
        &mut self,
        partner: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let request = HttpRequest {
            method: method.to_owned(),
            url: format!("http://127.0.0.1:9/{partner}{path}"),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            body: body.to_owned().into(),
        };
        self.now += SignedDuration::from_millis(20);
        self.world.handle(partner, &request, self.now)
    }

    pub fn send(
        &mut self,
        partner: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> HttpResponse {
        match self.reply(partner, method, path, headers, body) {
            Reply::Answer(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub fn shopify(&mut self, document: &str, variables: &Value) -> Value {
        let body = json!({ "query": document, "variables": variables }).to_string();
        let headers = [("X-Shopify-Access-Token", "shpat_sandbox"), ("Content-Type", "application/json")];
        let response = self.send("shopify", "POST", "/admin/api/2026-07/graphql.json", &headers, &body);
        assert_eq!(response.status, 200);
        value(&response)
    }

    pub fn shiphero(&mut self, document: &str, variables: &Value) -> Value {
        if self.token.is_none() {
            let body = json!({ "refresh_token": "sandbox-shiphero-refresh" }).to_string();
            let response = self.send("shiphero", "POST", "/auth/refresh", &[], &body);
            self.token = value(&response)["access_token"].as_str().map(str::to_owned);
        }
        let body = json!({ "query": document, "variables": variables }).to_string();
        let bearer = format!("Bearer {}", self.token.clone().unwrap());
        value(&self.send("shiphero", "POST", "/graphql", &[("Authorization", &bearer)], &body))
    }

    pub fn stripe(&mut self, method: &str, path: &str, key: Option<&str>, form: &str) -> HttpResponse {
        let mut headers = vec![
            ("Authorization", "Bearer sk_test_sandbox"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        self.send("stripe", method, path, &headers, form)
    }

    pub fn easypost(&mut self, method: &str, path: &str, body: &Value) -> HttpResponse {
        // The key and a colon, in base64.
        let headers = [("Authorization", "Basic RVpUS3NhbmRib3g6"), ("Content-Type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send("easypost", method, path, &headers, &body)
    }

    /// Topics heard from a partner, in order.
    pub fn topics(&self, partner: &str) -> Vec<&str> {
        self.heard.iter().filter(|it| it.partner == partner).map(|it| it.topic.as_str()).collect()
    }

    /// The last webhook with this topic.
    pub fn last(&self, topic: &str) -> Value {
        let found =
            self.heard.iter().rev().find(|it| it.topic == topic).unwrap_or_else(|| panic!("no {topic}"));
        serde_json::from_slice(&found.body).unwrap()
    }

    /// Does for one order what the daemon is to do, from its first webhook to the captured payment.
    pub fn serve(&mut self, id: u64) {
        let found = self.heard.iter().rev().find(|it| it.topic == "orders/create" && body(it)["id"] == id);
        let order = body(found.unwrap());
        let created =
            self.shiphero(&document("shiphero/order-create"), &json!({ "data": warehouse_order(&order) }));
        assert!(created["data"]["order_create"]["order"]["id"].is_string(), "{created}");
        self.pass(20);
        let mut done = BTreeSet::new();
        for hook in self.heard.clone().iter().filter(|it| it.topic == "Shipment Update") {
            let shipment = body(hook)["fulfillment"].clone();
            if shipment["order_number"] != order["name"] || !done.insert(shipment["shipment_id"].to_string())
            {
                continue;
            }
            self.fulfil(id, &shipment);
            let tracking = shipment["tracking_number"].as_str().unwrap();
            let tracker =
                self.easypost("POST", "/v2/trackers", &json!({ "tracker": { "tracking_code": tracking } }));
            assert_eq!(tracker.status, 201);
        }
        let intent =
            self.world.ledger().orders.iter().find(|it| it.id == id).unwrap().gateway.clone().unwrap();
        let captured =
            self.stripe("POST", &format!("/v1/payment_intents/{}/capture", intent.id), Some(&intent.id), "");
        assert_eq!(captured.status, 200);
    }

    pub fn fulfil(&mut self, id: u64, shipment: &Value) {
        let open = self.shopify(
            &document("shopify/order-fulfilment-orders"),
            &json!({ "id": format!("gid://shopify/Order/{id}") }),
        );
        let order = &open["data"]["order"]["fulfillmentOrders"]["nodes"][0];
        let lines: Vec<Value> = shipment["line_items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|line| {
                let rows = order["lineItems"]["nodes"].as_array().unwrap();
                let row = rows.iter().find(|row| row["sku"] == line["sku"]).unwrap();
                json!({ "id": row["id"], "quantity": line["quantity"] })
            })
            .collect();
        let made = self.shopify(
            &document("shopify/fulfilment-create"),
            &json!({ "fulfillment": {
                "lineItemsByFulfillmentOrder": [{ "fulfillmentOrderId": order["id"], "fulfillmentOrderLineItems": lines }],
                "trackingInfo": { "number": shipment["tracking_number"], "company": shipment["shipping_carrier"] },
            } }),
        );
        assert_eq!(made["data"]["fulfillmentCreate"]["userErrors"], json!([]), "{made}");
    }
}

pub fn warehouse_order(order: &Value) -> Value {
    let address = &order["shipping_address"];
    let lines: Vec<Value> = order["line_items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            json!({
                "sku": line["sku"], "partner_line_item_id": line["id"].to_string(), "quantity": line["quantity"], "price": line["price"],
            })
        })
        .collect();
    json!({
        "order_number": order["name"],
        "partner_order_id": format!("ord_{}", order["id"]),
        "shop_name": "Crossdock",
        "shipping_address": {
            "first_name": address["first_name"], "last_name": address["last_name"], "address1": address["address1"],
            "city": address["city"], "zip": address["zip"], "state": address["province_code"], "country": address["country_code"],
        },
        "line_items": lines,
    })
}

pub fn value(response: &HttpResponse) -> Value {
    serde_json::from_slice(&response.body).unwrap()
}

pub fn body(delivery: &Delivery) -> Value {
    serde_json::from_slice(&delivery.body).unwrap()
}

pub fn order(lines: &[(&str, u64)]) -> OrderSpec {
    OrderSpec {
        lines: lines
            .iter()
            .map(|(sku, quantity)| LineSpec { sku: (*sku).to_owned(), quantity: *quantity })
            .collect(),
        ..OrderSpec::default()
    }
}

/// The GraphQL documents of a shipped connector: what the daemon really sends.
pub fn documents(connector: &str) -> Vec<String> {
    static SHIPPED: LazyLock<Registry> = LazyLock::new(|| load(&embedded()).0);
    let manifest = &SHIPPED.get(connector).unwrap().manifest;
    let reads = manifest.polls.values().chain(manifest.reads.values()).map(|read| &read.request);
    let requests = reads.chain(manifest.commands.values().map(|command| &command.request));
    let documents = requests.filter_map(|request| match &request.body {
        BodySpec::GraphQl { document, .. } => Some(document.clone()),
        _ => None,
    });
    documents.collect()
}

/// The one of them that stands in the file `name`, such as `shopify/orders`.
pub fn document(name: &str) -> String {
    let written = embedded().get(&format!("connectors/{name}.graphql")).unwrap().to_owned();
    let (connector, _) = name.split_once('/').unwrap();
    documents(connector).into_iter().find(|document| document.starts_with(&written)).unwrap()
}

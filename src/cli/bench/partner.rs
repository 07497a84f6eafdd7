//! The warehouse at the end of the way: it speaks the wire format of the shipped connector, takes every order at once and
//! notes when. The sandbox's own warehouse keeps books and a rate limit, and would be what is measured.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::orders::Orders;

/// What it heard.
#[derive(Debug, Default)]
pub struct Heard {
    /// When the command for each order came first.
    pub orders: HashMap<u64, Instant>,
    /// Commands for an order that was there already.
    pub doubles: u64,
    /// When the last new one came.
    pub last: Option<Instant>,
    /// What it answers to a look-up by our reference: the order as it was taken.
    by_reference: HashMap<String, Value>,
}

/// The warehouse.
#[derive(Debug, Clone)]
pub struct Partner {
    heard: Arc<Mutex<Heard>>,
    orders: Arc<Orders>,
}

impl Partner {
    /// Serves it; gives its address too.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn serve(listen: SocketAddr, orders: Arc<Orders>) -> std::io::Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let partner = Self { heard: Arc::default(), orders };
        let token = || async {
            Json(json!({ "access_token": "bench", "expires_in": 2_419_200, "token_type": "Bearer" }))
        };
        let router = Router::new()
            .route("/auth/refresh", post(token))
            .route("/graphql", post(answer))
            .with_state(partner.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::warn!(%error, "the warehouse stopped listening");
            }
        });
        Ok((partner, address))
    }

    /// What it heard so far.
    pub fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an order, or takes it once more: this warehouse knows no copies, as the real one.
    fn take(&self, data: &Value) -> Value {
        let text = |key: &str| data[key].as_str().unwrap_or_default();
        let (name, reference) = (text("order_number"), text("partner_order_id"));
        let order = json!({
            "id": format!("wh-{name}"), "legacy_id": 1, "account_id": "1", "order_number": name, "partner_order_id": reference,
            "fulfillment_status": "pending", "order_date": "2026-03-01T15:00:00", "created_at": "2026-03-01T15:00:00",
            "updated_at": "2026-03-01T15:00:02", "line_items": { "edges": [] }, "shipments": [], "tags": [], "holds": {}
        });
        if let Some(number) = self.orders.number(name) {
            let now = Instant::now();
            let mut heard = self.heard();
            heard.by_reference.insert(reference.to_owned(), order.clone());
            if let Entry::Vacant(first) = heard.orders.entry(number) {
                first.insert(now);
                heard.last = Some(now);
            } else {
                heard.doubles += 1;
            }
        }
        order
    }

    /// What stands under a reference, as the look-up finds it.
    fn find(&self, reference: &str) -> Vec<Value> {
        let heard = self.heard();
        heard.by_reference.get(reference).map(|order| json!({ "node": order })).into_iter().collect()
    }
}

async fn answer(State(partner): State<Partner>, Json(request): Json<Value>) -> Json<Value> {
    let query = request["query"].as_str().unwrap_or_default();
    let variables = &request["variables"];
    if query.contains("order_create") {
        let order = partner.take(&variables["data"]);
        return Json(
            json!({ "data": { "order_create": { "request_id": "bench", "complexity": 10, "order": order } } }),
        );
    }
    // Look-ups by our reference; polls have nothing to find.
    let page = json!({ "hasNextPage": false });
    let found =
        variables["partner_order_id"].as_str().map(|reference| partner.find(reference)).unwrap_or_default();
    let orders = json!({ "data": { "edges": found, "pageInfo": page } });
    let none = json!({ "data": { "edges": [], "pageInfo": page } });
    Json(json!({ "data": { "orders": orders, "shipments": none, "returns": none } }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::orders::Shop;

    #[tokio::test]
    async fn what_it_took_is_found_by_our_reference_and_a_second_time_is_noticed() {
        let shop = Shop { account: "shop".into(), domain: "d".into(), secret: "s".into() };
        let orders = Orders::new(vec![shop], &["A".to_owned()], 1, 0, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let partner = Partner { heard: Arc::default(), orders: Arc::new(orders) };
        let ask = |query: &str, variables: Value| {
            answer(State(partner.clone()), Json(json!({ "query": query, "variables": variables })))
        };
        let look = || ask("query { orders }", json!({ "partner_order_id": "r1" }));
        assert_eq!(look().await.0["data"]["orders"]["data"]["edges"], json!([]));
        let create = json!({ "data": { "order_number": partner.orders.name(3), "partner_order_id": "r1" } });
        let _first = ask("mutation { order_create }", create.clone()).await;
        assert_eq!(look().await.0["data"]["orders"]["data"]["edges"][0]["node"]["partner_order_id"], "r1");
        assert_eq!(partner.heard().doubles, 0);
        let _second = ask("mutation { order_create }", create).await;
        assert_eq!(partner.heard().doubles, 1);
        assert_eq!(partner.heard().orders.len(), 1);
    }
}

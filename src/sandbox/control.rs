//! `/_sandbox/…`: look at the world, or move it.
//!
//! | | |
//! |---|---|
//! | `GET ledger` | what all partners hold |
//! | `GET check` | what is wrong with it: `{"wrong": [...], "never": [...]}` |
//! | `GET requests` | the last requests |
//! | `POST orders` | places an order: an [`OrderSpec`] |
//! | `POST orders/{id or number}/cancel`, `/pay`, `/dispute` | |
//! | `POST orders/{id or number}/edit` | `{"lines": {"TEA-01": 2}}`: units wanted now |
//! | `POST orders/{id or number}/refund` | `{"amount": 500, "lines": {"TEA-01": 1}}`, minor units |
//! | `POST faults` | `{"on": false}`: faults by chance, off or on |

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::server::Shared;
use super::spec::OrderSpec;
use super::world::World;

pub(super) fn routes(shared: Shared) -> Router {
    Router::new()
        .route("/_sandbox/ledger", get(ledger))
        .route("/_sandbox/check", get(check))
        .route("/_sandbox/requests", get(requests))
        .route("/_sandbox/orders", post(place))
        .route("/_sandbox/orders/{order}/{action}", post(act))
        .route("/_sandbox/faults", post(faults))
        .with_state(shared)
}

/// Indented, for people.
fn pretty(value: &impl Serialize) -> Response {
    match serde_json::to_string_pretty(value) {
        Ok(text) => ([(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn ledger(State(shared): State<Shared>) -> Response {
    let ledger = shared.world().ledger();
    pretty(&ledger)
}

async fn check(State(shared): State<Shared>) -> Response {
    let ledger = shared.world().ledger();
    pretty(&json!({ "wrong": ledger.check(), "never": ledger.never() }))
}

async fn requests(State(shared): State<Shared>) -> Response {
    let seen: Vec<_> = shared.world().requests().cloned().collect();
    pretty(&seen)
}

async fn place(State(shared): State<Shared>, Json(spec): Json<OrderSpec>) -> Response {
    if spec.lines.is_empty() {
        return (StatusCode::UNPROCESSABLE_ENTITY, "an order needs lines\n").into_response();
    }
    let placed = shared.world().place_order(spec);
    shared.moved();
    (StatusCode::CREATED, Json(placed)).into_response()
}

/// What an action needs to know.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Action {
    lines: BTreeMap<String, u64>,
    amount: i64,
}

async fn act(
    State(shared): State<Shared>,
    Path((order, action)): Path<(String, String)>,
    body: String,
) -> Response {
    let given: Action = match serde_json::from_str(if body.trim().is_empty() { "{}" } else { &body }) {
        Ok(given) => given,
        Err(error) => return (StatusCode::UNPROCESSABLE_ENTITY, format!("{error}\n")).into_response(),
    };
    let outcome = {
        let mut world = shared.world();
        find(&world, &order).and_then(|id| {
            let lines: Vec<(String, u64)> = given.lines.into_iter().collect();
            match action.as_str() {
                "cancel" => world.cancel_order(id),
                "pay" => world.pay_order(id),
                "edit" => world.edit_order(id, &lines),
                "refund" => world.refund_order(id, given.amount, &lines),
                "dispute" => world.dispute_order(id).map(|_| ()),
                other => Err(format!("there is no action {other}: cancel, pay, edit, refund, dispute")),
            }
        })
    };
    shared.moved();
    match outcome {
        Ok(()) => Json(json!({ "ok": true })).into_response(),
        Err(error) => (StatusCode::UNPROCESSABLE_ENTITY, error + "\n").into_response(),
    }
}

/// The id of an order called by its id or its number (`1001`, `#1001`).
fn find(world: &World, order: &str) -> Result<u64, String> {
    world.order_id(order).ok_or_else(|| format!("there is no order {order}"))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    on: bool,
}

async fn faults(State(shared): State<Shared>, Json(switch): Json<Switch>) -> Response {
    shared.world().set_faulty(switch.on);
    Json(json!({ "on": switch.on })).into_response()
}

//! Orders: list, one with its timeline, decisions.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::Body;
use crate::canonical::{AccountId, Phase};
use crate::ports::{OrderQuery, OrderRow};
use crate::web::decide::{self, Asked};
use crate::web::error::ApiError;
use crate::web::query::Params;
use crate::web::view::order::{OrderView, view};
use crate::web::{Shared, Web};

const KNOWN: [&str; 6] = ["search", "phase", "client", "account", "limit", "after"];

/// Reads the query of a list of orders; names must be known to the config.
///
/// # Errors
/// When a parameter is unknown or says something that there is not.
pub fn query(web: &Shared, raw: &str) -> Result<OrderQuery, ApiError> {
    let params = Params::parse(raw, &KNOWN)?;
    let world = web.world.load();
    let clients = world.config.flows.values().map(|flow| flow.client.as_str());
    let owners = world.config.accounts.values().filter_map(|account| Some(account.client.as_ref()?.as_str()));
    Ok(OrderQuery {
        search: params.text("search"),
        phase: params.word("phase", Phase::ALL.into_iter().map(Phase::word))?,
        client: params.word("client", clients.chain(owners))?,
        account: params.word("account", world.config.accounts.keys().map(AccountId::as_str))?,
        limit: params.number("limit", 1, 500)?,
        after: params.text("after"),
    })
}

/// A page of orders and the cursor of the next.
///
/// # Errors
/// When the store cannot be read.
pub async fn page(web: &Shared, query: &OrderQuery) -> Result<(Vec<OrderRow>, Option<String>), ApiError> {
    let limit = query.limit.unwrap_or(50).clamp(1, 500);
    let rows = web.store.orders(&OrderQuery { limit: Some(limit), ..query.clone() }).await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|row| row.cursor.clone());
    Ok((rows, next))
}

pub(super) async fn list(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let query = query(&web, raw.as_deref().unwrap_or_default())?;
    let (orders, next) = page(&web, &query).await?;
    Ok(Json(json!({ "orders": orders, "next": next })))
}

pub(super) async fn show(
    State(web): State<Web>,
    Path(name): Path<String>,
) -> Result<Json<OrderView>, ApiError> {
    let world = web.world.load_full();
    Ok(Json(view(&*web.store, &world.config, &name).await?))
}

pub(super) async fn decide(
    State(web): State<Web>,
    Path(name): Path<String>,
    Body(asked): Body<Asked>,
) -> Result<Response, ApiError> {
    let decided = decide::order(&web, &name, asked).await?;
    let answer = json!({ "order": decided.entity, "message": decided.message });
    Ok((StatusCode::ACCEPTED, Json(answer)).into_response())
}

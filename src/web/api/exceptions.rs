//! Exceptions: by cause, one by one, and back to work.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Body;
use crate::canonical::AccountId;
use crate::ports::{Exception, ExceptionQuery};
use crate::web::error::ApiError;
use crate::web::query::Params;
use crate::web::{Shared, Web, decide};

const KNOWN: [&str; 7] = ["cause", "kind", "client", "account", "resolved", "limit", "before"];

/// Reads the query of a list of exceptions.
///
/// # Errors
/// When a parameter is unknown or ill-formed.
pub fn query(web: &Shared, raw: &str) -> Result<ExceptionQuery, ApiError> {
    let params = Params::parse(raw, &KNOWN)?;
    let world = web.world.load();
    Ok(ExceptionQuery {
        cause: params.text("cause"),
        kind: params.text("kind"),
        client: params.text("client"),
        account: params.word("account", world.config.accounts.keys().map(AccountId::as_str))?,
        resolved: params.flag("resolved")?,
        limit: params.number("limit", 1, 1000)?,
        before: params.number("before", 1, i64::MAX)?,
    })
}

/// A page of exceptions and the number before which the next begins.
///
/// # Errors
/// When the store cannot be read.
pub async fn page(web: &Shared, query: &ExceptionQuery) -> Result<(Vec<Exception>, Option<i64>), ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let rows = web.store.exceptions(&ExceptionQuery { limit: Some(limit), ..query.clone() }).await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|exception| exception.id);
    Ok((rows, next))
}

/// The exception with this number, resolved or not.
///
/// # Errors
/// When there is none.
pub async fn one(web: &Shared, id: i64) -> Result<Exception, ApiError> {
    let query = ExceptionQuery {
        resolved: true,
        limit: Some(1),
        before: id.checked_add(1),
        ..ExceptionQuery::default()
    };
    let found = web.store.exceptions(&query).await?.into_iter().next();
    found
        .filter(|exception| exception.id == id)
        .ok_or_else(|| ApiError::missing(format!("there is no exception {id}")))
}

pub(super) async fn list(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let query = query(&web, raw.as_deref().unwrap_or_default())?;
    let causes = web.store.causes(&query).await?;
    let (exceptions, next) = page(&web, &query).await?;
    Ok(Json(json!({ "causes": causes, "exceptions": exceptions, "next": next })))
}

pub(super) async fn show(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<Exception>, ApiError> {
    let id = id.parse().map_err(|_| {
        ApiError::bad(format!("`{id}` is no exception's number")).help("a whole number was expected")
    })?;
    Ok(Json(one(&web, id).await?))
}

/// Which exceptions to try again.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Retry {
    ids: Vec<i64>,
    cause: Option<String>,
}

pub(super) async fn retry(State(web): State<Web>, Body(which): Body<Retry>) -> Result<Json<Value>, ApiError> {
    if which.ids.is_empty() && which.cause.is_none() {
        return Err(
            ApiError::bad("nothing to try again").help("give `ids` (exception numbers), `cause`, or both")
        );
    }
    let retried = decide::retry(&web, &which.ids, which.cause.as_deref()).await?;
    Ok(Json(json!({ "retried": retried })))
}

/// Which exceptions need nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Dismiss {
    ids: Vec<i64>,
}

pub(super) async fn dismiss(
    State(web): State<Web>,
    Body(which): Body<Dismiss>,
) -> Result<Json<Value>, ApiError> {
    if which.ids.is_empty() {
        return Err(ApiError::bad("nothing to dismiss").help("give `ids` (exception numbers)"));
    }
    let dismissed = web.store.dismiss_exceptions(&which.ids, web.clock.now()).await?;
    Ok(Json(json!({ "dismissed": dismissed })))
}

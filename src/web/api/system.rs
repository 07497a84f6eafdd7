//! Counts, health, metrics and the API's own description.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::{OPENAPI, json_text};
use crate::ports::Counts;
use crate::web::Web;
use crate::web::error::ApiError;

/// How long the store may take before the daemon counts as not ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

pub(super) async fn counts(State(web): State<Web>) -> Result<Json<Counts>, ApiError> {
    Ok(Json(web.store.counts().await?))
}

pub(super) async fn openapi() -> Response {
    json_text(OPENAPI)
}

pub(super) async fn metrics(State(web): State<Web>) -> Result<Response, ApiError> {
    let handle = web.metrics.as_ref().ok_or_else(|| ApiError::missing("metrics are off"))?;
    let text = handle.render();
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// The process runs.
pub(super) async fn healthz() -> Json<serde_json::Value> {
    Json(json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// The store answers, a config is in force, and the daemon is not stopping.
pub(super) async fn readyz(State(web): State<Web>) -> Response {
    let asked = tokio::time::timeout(READY_WITHIN, web.store.get("ready", "ready")).await;
    let store = match asked {
        Ok(Ok(_)) => "ok".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "the store does not answer".to_owned(),
    };
    let stopping = web.shutdown.is_cancelled();
    let ready = store == "ok" && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let generation = web.world.load().config.generation.clone();
    let answer = json!({ "ready": ready, "store": store, "config": generation, "stopping": stopping });
    (status, Json(answer)).into_response()
}

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
    let mut text = handle.render();
    levels(&mut text, &web.store.counts().await?);
    for (account, what, count) in web.store.counted().await? {
        sample(&mut text, "counted", &[("account", account.as_str()), ("what", &what)], count);
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

/// What the store holds now, as gauges: they need no upkeep and survive a restart.
fn levels(text: &mut String, counts: &Counts) {
    for (phase, count) in &counts.phases {
        sample(text, "orders", &[("phase", phase)], *count);
    }
    for (state, count) in &counts.messages {
        sample(text, "messages", &[("state", state)], *count);
    }
    for (kind, count) in &counts.facts {
        sample(text, "facts", &[("kind", kind)], *count);
    }
    for (command, state, count) in &counts.intents {
        sample(text, "intents", &[("command", command), ("state", state)], *count);
    }
    for (kind, count) in &counts.exceptions {
        sample(text, "exceptions_open", &[("kind", kind)], *count);
    }
    sample(text, "facts_waiting", &[], counts.waiting);
}

/// One line of the exposition format; the first of a name is led by its type.
fn sample(text: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let head = format!("# TYPE crossdock_{name} gauge\n");
    if !text.contains(&head) {
        text.push_str(&head);
    }
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
    text.push_str(&format_args!("crossdock_{name}{labels} {value}\n").to_string());
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
    let stopping = web.leaving.is_cancelled();
    let ready = store == "ok" && !stopping;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let generation = web.world.load().config.generation.clone();
    let answer = json!({ "ready": ready, "store": store, "config": generation, "stopping": stopping });
    (status, Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_gauges_with_labels() {
        let counts = Counts {
            phases: vec![("shipped".into(), 2), ("odd \"word\"".into(), 1)],
            waiting: 3,
            ..Counts::default()
        };
        let mut text = String::new();
        levels(&mut text, &counts);
        assert_eq!(
            text,
            "# TYPE crossdock_orders gauge\ncrossdock_orders{phase=\"shipped\"} 2\n\
             crossdock_orders{phase=\"odd \\\"word\\\"\"} 1\n\
             # TYPE crossdock_facts_waiting gauge\ncrossdock_facts_waiting 3\n"
        );
    }
}

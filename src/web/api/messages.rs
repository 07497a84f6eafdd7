//! The raw message behind a fact.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Body;
use crate::canonical::MessageId;
use crate::ports::Message;
use crate::process;
use crate::web::error::ApiError;
use crate::web::{Shared, Web};

/// The message with this number.
///
/// # Errors
/// When there is none.
pub async fn one(web: &Shared, id: &str) -> Result<Message, ApiError> {
    let number: i64 = id.parse().map_err(|_| {
        ApiError::bad(format!("`{id}` is no message's number")).help("a whole number was expected")
    })?;
    let found = web.store.message(MessageId(number)).await?;
    found.ok_or_else(|| ApiError::missing(format!("there is no message {number}")))
}

pub(super) async fn show(State(web): State<Web>, Path(id): Path<String>) -> Result<Json<Value>, ApiError> {
    let message = one(&web, &id).await?;
    let mut shown = row(&message);
    shown["headers"] = json!(message.content.headers);
    shown["body"] = json!(std::str::from_utf8(&message.content.body).ok());
    Ok(Json(shown))
}

/// A message without headers and body.
pub(super) fn row(message: &Message) -> Value {
    let content = &message.content;
    json!({
        "id": message.id,
        "account": content.account,
        "origin": content.origin,
        "topic": content.topic,
        "mapping": content.mapping,
        "event_id": content.event_id,
        "received": content.received,
        "context": content.context,
        "state": message.state,
        "attempts": message.attempts,
        "generation": message.generation,
        "size": content.body.len(),
        "body_url": format!("/api/v1/messages/{}/body", message.id),
    })
}

/// Which messages to map anew.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Remap {
    ids: Vec<i64>,
    dry_run: bool,
    force: bool,
}

/// Maps messages anew under the generation in force, or tells what would come of it.
pub(super) async fn remap(State(web): State<Web>, Body(asked): Body<Remap>) -> Result<Json<Value>, ApiError> {
    if asked.ids.is_empty() || asked.ids.len() > 1000 {
        return Err(ApiError::bad("`ids`: from 1 to 1000 numbers of messages were expected"));
    }
    let ids: Vec<MessageId> = asked.ids.into_iter().map(MessageId).collect();
    let world = web.world.load_full();
    let now = web.clock.now();
    let mut told = Vec::new();
    for id in &ids {
        let message = web.store.message(*id).await?;
        let message = message.ok_or_else(|| ApiError::missing(format!("there is no message {id}")))?;
        if message.content.body.is_empty() {
            return Err(ApiError::conflict(format!("the body of message {id} is not kept any more"))
                .help("`intake.keep_raw` says how long bodies are kept"));
        }
        if asked.dry_run {
            told.push(process::remapped(&world, web.store.as_ref(), &message, now).await?);
        }
    }
    if asked.dry_run {
        return Ok(Json(json!({ "remapped": 0, "would": told })));
    }
    if asked.force {
        for id in &ids {
            web.store.put(process::FORCED, &id.to_string(), json!(true), None).await?;
        }
    }
    for hint in web.store.reopen(&ids).await? {
        web.bus.hint(hint).await;
    }
    tracing::info!(count = ids.len(), force = asked.force, "messages are mapped anew");
    Ok(Json(json!({ "remapped": ids.len() })))
}

/// The bytes as they came, never shown as a page.
pub(super) async fn body(State(web): State<Web>, Path(id): Path<String>) -> Result<Response, ApiError> {
    let message = one(&web, &id).await?;
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"message-{}\"", message.id)),
    ];
    Ok((headers, message.content.body).into_response())
}

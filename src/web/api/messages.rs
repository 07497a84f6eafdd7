//! The raw message behind a fact.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::canonical::MessageId;
use crate::ports::Message;
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
        "size": content.body.len(),
        "body_url": format!("/api/v1/messages/{}/body", message.id),
    })
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

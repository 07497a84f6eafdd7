//! Server-sent events: what changes, as it changes. Streams end when the daemon stops.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::sse::{Event as Sent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::stream::once;

use super::Web;
use super::error::ApiError;
use super::query::Params;

/// Listeners at one time; more are told to come back.
pub const LISTENERS: usize = 256;

/// `GET /api/v1/events?client=&entity=`.
///
/// # Errors
/// When a parameter is unknown, or too many listen.
pub async fn stream(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Response, ApiError> {
    let params = Params::parse(raw.as_deref().unwrap_or_default(), &["client", "entity"])?;
    let (client, entity) = (params.text("client"), params.text("entity"));
    let place = web.listeners.clone().try_acquire_owned().map_err(|_| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many listeners").help("close some pages")
    })?;
    let hello = Sent::default().event("hello").retry(Duration::from_secs(2)).data("{}");
    let changes = web.bus.listen().await.filter_map(move |event| {
        let _held = &place;
        let wanted = client.as_ref().is_none_or(|client| *client == event.client.0)
            && entity.as_ref().is_none_or(|entity| *entity == event.entity.0);
        let sent = wanted.then(|| Sent::default().event("change").id(event.ordinal.to_string()));
        let sent = sent.and_then(|sent| sent.json_data(&event).ok());
        async move { sent }
    });
    let stream = once(async move { hello })
        .chain(changes)
        .map(Ok::<_, Infallible>)
        .take_until(web.shutdown.clone().cancelled_owned());
    let keep = KeepAlive::new().interval(Duration::from_secs(15)).text("here");
    Ok(Sse::new(stream).keep_alive(keep).into_response())
}

//! `POST /hooks/<account>`: the way in for partners.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use axum::routing::post;

use crate::ingest::webhook::{HookAnswer, Intake};

/// The webhook routes. Bodies over `max_body` bytes are refused with 413 before they are read whole.
pub fn routes(intake: Intake, max_body: usize) -> Router {
    Router::new()
        .route("/hooks/{account}", post(take).get(present))
        .layer(axum::extract::DefaultBodyLimit::max(max_body))
        .with_state(intake)
}

async fn take(
    State(intake): State<Intake>,
    Path(account): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    answer(intake.accept(&account, &headers, body).await)
}

/// Partners and people who look whether the address is right.
async fn present(State(intake): State<Intake>, Path(account): Path<String>) -> Response {
    let known = intake.world.load().config.accounts.contains_key(&account.as_str().into());
    let (status, body) =
        if known { (200, "ready for POST\n") } else { (404, "{\"error\":\"there is no such account\"}\n") };
    answer(HookAnswer { status, retry_after: None, body: body.to_owned() })
}

fn answer(answer: HookAnswer) -> Response {
    let mut response = Response::new(Body::from(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(seconds) = answer.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

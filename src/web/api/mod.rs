//! `/api/v1`: JSON in, JSON out. [`routes`] is the one list of it; a test holds the `OpenAPI` document against that list.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use serde::de::DeserializeOwned;

use super::Web;
use super::error::ApiError;

mod accounts;
mod exceptions;
mod mappings;
mod generations;
mod messages;
mod nodes;
mod orders;
mod system;

pub use exceptions::{Titled, one as exception, page as exceptions_page};
pub use generations::generations;
pub use mappings::{messages as recorded, report as mapping_report};
pub use messages::one as message;
pub use orders::{page as orders_page, query as orders_query};

/// The `OpenAPI` document, kept by hand.
pub const OPENAPI: &str = include_str!("openapi.json");

/// Method, path and handler of every route that a log-in guards.
pub fn routes() -> Vec<(&'static str, &'static str, MethodRouter<Web>)> {
    vec![
        ("get", "/api/v1/orders", get(orders::list)),
        ("get", "/api/v1/orders/{name}", get(orders::show)),
        ("post", "/api/v1/orders/{name}/decisions", post(orders::decide)),
        ("get", "/api/v1/messages", get(mappings::recorded)),
        ("post", "/api/v1/messages/remap", post(messages::remap)),
        ("get", "/api/v1/messages/{id}", get(messages::show)),
        ("get", "/api/v1/messages/{id}/body", get(messages::body)),
        ("get", "/api/v1/exceptions", get(exceptions::list)),
        ("get", "/api/v1/exceptions/export", get(exceptions::export)),
        ("get", "/api/v1/exceptions/{id}", get(exceptions::show)),
        ("post", "/api/v1/exceptions/retry", post(exceptions::retry)),
        ("post", "/api/v1/exceptions/dismiss", post(exceptions::dismiss)),
        ("get", "/api/v1/accounts", get(accounts::list)),
        ("get", "/api/v1/nodes", get(nodes::list)),
        ("get", "/api/v1/mappings", get(mappings::list)),
        ("post", "/api/v1/mappings/diff", post(mappings::compare)),
        ("get", "/api/v1/mappings/{connector}/{name}", get(mappings::show)),
        ("post", "/api/v1/mappings/{connector}/{name}/try", post(mappings::attempt)),
        ("get", "/api/v1/generations", get(generations::list)),
        ("post", "/api/v1/generations", post(generations::propose)),
        ("post", "/api/v1/generations/reload", post(generations::reload)),
        ("get", "/api/v1/generations/{generation}", get(generations::show)),
        ("get", "/api/v1/generations/{generation}/file", get(generations::file)),
        ("get", "/api/v1/counts", get(system::counts)),
        ("get", "/api/v1/events", get(super::events::stream)),
        ("get", "/api/v1/openapi.json", get(system::openapi)),
        ("get", "/metrics", get(system::metrics)),
    ]
}

/// Method, path and handler of the routes that anyone may ask.
pub fn open_routes() -> Vec<(&'static str, &'static str, MethodRouter<Web>)> {
    vec![("get", "/healthz", get(system::healthz)), ("get", "/readyz", get(system::readyz))]
}

/// What no other route answers.
pub fn unknown(request: &Request) -> ApiError {
    ApiError::missing(format!("there is no {} {}", request.method(), request.uri().path()))
        .help("GET /api/v1/openapi.json lists what there is")
}

/// A JSON body, with errors of the form that all errors here have.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;
    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(JsonRejection::MissingJsonContentType(_)) => {
                Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not marked as JSON")
                    .help("send `Content-Type: application/json`"))
            }
            Err(rejection) => Err(ApiError::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// An answer that is JSON text already.
fn json_text(text: impl Into<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text.into()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_stands_in_the_openapi_document_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let mut described: Vec<(String, String)> = Vec::new();
        for (path, methods) in document["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                described.push((method.clone(), path.clone()));
            }
        }
        let mut served: Vec<(String, String)> = routes()
            .into_iter()
            .chain(open_routes())
            .map(|(method, path, _)| (method.to_owned(), path.to_owned()))
            .collect();
        described.sort();
        served.sort();
        assert_eq!(described, served);
    }

    #[test]
    fn references_in_the_openapi_document_lead_somewhere() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        for part in OPENAPI.split("\"$ref\": \"#").skip(1) {
            let pointer = part.split('"').next().unwrap();
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}

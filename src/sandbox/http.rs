//! Requests taken apart, answers put together.

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::Value;

use crate::ports::{HttpRequest, HttpResponse};

/// A request, taken apart.
#[derive(Debug, Clone)]
pub(crate) struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// Path below the partner's base, without a slash at the end.
    pub path: String,
    /// Query parameters, decoded.
    pub query: Vec<(String, String)>,
    /// As received.
    pub headers: &'a [(String, String)],
    /// As received.
    pub body: &'a [u8],
    /// When.
    pub now: Timestamp,
}

impl<'a> Request<'a> {
    /// Takes `request` apart; a leading `/<partner>` of the path falls away.
    pub fn read(partner: &str, request: &'a HttpRequest, now: Timestamp) -> Self {
        let rest = request.url.split_once("://").map_or(request.url.as_str(), |(_, rest)| rest);
        let from = rest.find(['/', '?']).unwrap_or(rest.len());
        let (path, query) = rest[from..].split_once('?').unwrap_or((&rest[from..], ""));
        let path = path.trim_end_matches('/');
        let path = match path.strip_prefix('/').and_then(|path| path.strip_prefix(partner)) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
            _ => path,
        };
        Self {
            method: &request.method,
            path: path.to_owned(),
            query: serde_urlencoded::from_str(query).unwrap_or_default(),
            headers: &request.headers,
            body: &request.body,
            now,
        }
    }

    /// The header with this name, in any letter case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first query parameter with this name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The steps of the path, without a leading version such as `v2`.
    pub fn steps(&self, version: &str) -> Vec<&str> {
        let mut steps: Vec<_> = self.path.split('/').filter(|step| !step.is_empty()).collect();
        if steps.first() == Some(&version) {
            steps.remove(0);
        }
        steps
    }
}

/// An answer with a JSON body.
pub(crate) fn json(status: u16, body: &Value) -> HttpResponse {
    HttpResponse {
        status,
        headers: vec![("content-type".to_owned(), "application/json; charset=utf-8".to_owned())],
        body: Bytes::from(body.to_string()),
    }
}

/// The same with one header more.
pub(crate) fn with(mut response: HttpResponse, name: &str, value: &str) -> HttpResponse {
    response.headers.push((name.to_owned(), value.to_owned()));
    response
}

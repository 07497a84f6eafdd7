//! Calls to partners.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A request to a partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(with = "bytes_as_text")]
    pub body: Bytes,
}

/// A partner's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Header names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl HttpResponse {
    /// The first header with this name, in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HttpError {
    /// The request surely did not reach the partner (no connection, bad URL).
    #[error("not sent: {0}")]
    NotSent(String),
    /// The request may have reached the partner (time-out, cut connection).
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// Calls partners.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends `request` and reads the whole answer within `timeout`; answers over 16 MiB are an error.
    ///
    /// # Errors
    /// See [`HttpError`]: the two kinds differ in whether the partner may have acted.
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpError>;
}

/// Bytes in JSON: as text where they are UTF-8, else as `base64:…`.
mod bytes_as_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.starts_with("base64:") => serializer.serialize_str(text),
            _ => serializer.serialize_str(&format!("base64:{}", STANDARD.encode(bytes))),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("base64:") {
            Some(coded) => STANDARD.decode(coded).map(Bytes::from).map_err(serde::de::Error::custom),
            None => Ok(Bytes::from(text)),
        }
    }
}

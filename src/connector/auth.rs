//! How requests show who sends them, and how an OAuth 2 access token is got.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value};

use super::answer;
use super::manifest::{Auth, Manifest};
use super::request::{self, Fill, RequestError};
use crate::ports::{HttpRequest, HttpResponse};

/// An access token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token.
    pub access: SecretString,
    /// How long it lives, if the partner tells.
    pub expires: Option<Duration>,
    /// A new refresh token, which replaces the old one at once.
    pub refresh: Option<SecretString>,
}

/// The header that shows who sends a request.
pub(super) fn header(auth: &Auth, fill: &Fill) -> Option<(String, String)> {
    let credential = |name: &str| fill.credential(name);
    let value = match auth {
        Auth::None => return None,
        Auth::Bearer { secret } => format!("Bearer {}", credential(&format!("secret.{secret}"))?),
        Auth::Basic { user, password } => {
            let (user, password) = (user.fill(&credential).ok()?, password.fill(&credential).ok()?);
            format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
        }
        Auth::OAuth2 { .. } => format!("Bearer {}", fill.token.as_ref()?.expose_secret()),
    };
    Some(("Authorization".to_owned(), value))
}

/// The request for a new access token; `None` when the connector needs none. It carries secrets: never store it.
///
/// # Errors
/// When a hole has no value.
pub fn token_request(manifest: &Manifest, fill: &Fill) -> Result<Option<HttpRequest>, RequestError> {
    let Auth::OAuth2 { url, fields, json, .. } = &manifest.auth else { return Ok(None) };
    let credential = |name: &str| fill.credential(name);
    let url = request::absolute(&request::base(manifest, fill)?, &url.fill(&|name| fill.value(name))?)?;
    let mut body = Map::new();
    for (name, template) in fields {
        body.insert(name.clone(), Value::String(template.fill(&credential)?));
    }
    let body = Value::Object(body);
    let (kind, body) = if *json {
        ("application/json", body.to_string())
    } else {
        ("application/x-www-form-urlencoded", request::form(&body))
    };
    let headers = [("Accept", "application/json"), ("Content-Type", kind)];
    Ok(Some(HttpRequest {
        method: "POST".to_owned(),
        url: url.to_string(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        body: Bytes::from(body),
    }))
}

/// The token in the answer to [`token_request`].
///
/// # Errors
/// In words, when the answer carries none.
pub fn read_token(auth: &Auth, response: &HttpResponse) -> Result<Token, String> {
    let Auth::OAuth2 { token, expires, rotates, .. } = auth else {
        return Err("the connector uses no access tokens".to_owned());
    };
    let node = answer::body(response)
        .map_err(|error| format!("HTTP {}: the answer cannot be read: {error}", response.status))?;
    let access = answer::text(&node, token).filter(|_| (200..300).contains(&response.status));
    let Some(access) = access else {
        let said = answer::text(&node, "error_description").or_else(|| answer::text(&node, "error"));
        let said =
            said.or_else(|| answer::text(&node, "message")).unwrap_or_else(|| "no access token".to_owned());
        return Err(format!("HTTP {}: {said}", response.status));
    };
    let seconds = answer::text(&node, expires).and_then(|text| text.trim().parse::<Decimal>().ok()?.to_u64());
    Ok(Token {
        access: SecretString::from(access),
        expires: seconds.map(Duration::from_secs),
        refresh: rotates.as_deref().and_then(|path| answer::text(&node, path)).map(SecretString::from),
    })
}

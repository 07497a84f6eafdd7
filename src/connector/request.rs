//! Requests: templates filled, bodies encoded, credentials added at the last moment.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use bytes::Bytes;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};
use thiserror::Error;
use url::Url;

use super::auth;
use super::manifest::{BodySpec, Manifest, Page, Read, RequestSpec};
use super::template::{Template, Unfilled};
use crate::config::model::Account;
use crate::map::node::Node;
use crate::map::path::Path;
use crate::ports::HttpRequest;

/// What fills the holes of a request.
#[derive(Debug, Clone, Default)]
pub struct Fill {
    /// The account's settings: `{setting.…}`.
    pub settings: BTreeMap<String, String>,
    /// The account's secrets, newest value first: `{secret.…}`.
    pub secrets: BTreeMap<String, Vec<SecretString>>,
    /// `page`, `since`, `id`, `ref`, `key`. A `page` or `since` that is not there is empty.
    pub values: BTreeMap<String, String>,
    /// The source document of the outbound mapping: holes such as `{order.number}` are paths into it.
    pub source: Value,
    /// The access token, for OAuth 2.
    pub token: Option<SecretString>,
}

/// A request without credentials: it may be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The request.
    pub request: HttpRequest,
}

/// Why a request cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RequestError {
    /// A hole has no value.
    #[error(transparent)]
    Unfilled(#[from] Unfilled),
    /// The address is none.
    #[error("`{0}` is no address: {1}")]
    Url(String, String),
    /// A value would lead to another path.
    #[error("`{0}` leads elsewhere: a step of a path must not be empty, `.` or `..`")]
    Step(String),
    /// The next page lies elsewhere, and credentials must not go there.
    #[error("the next page `{0}` is not at the partner's own address")]
    ForeignPage(String),
    /// A value cannot stand in a header.
    #[error("the header {0} cannot hold its value: it has signs that a header must not have")]
    Header(String),
    /// What the outbound mapping made is no object.
    #[error("the outbound mapping must make an object, and made {0}")]
    Body(&'static str),
}

impl Fill {
    /// What `account` itself brings.
    #[must_use]
    pub fn of(account: &Account) -> Self {
        Self { settings: account.settings.clone(), secrets: account.secrets.clone(), ..Self::default() }
    }

    /// The same with the value of one hole.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// The same with the source document.
    pub fn about(mut self, source: Value) -> Self {
        self.source = source;
        self
    }

    /// What fills the hole `name`; never a secret.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        if let Some(setting) = name.strip_prefix("setting.") {
            return self.settings.get(setting).cloned();
        }
        if let Some(value) = self.values.get(name) {
            return Some(value.clone());
        }
        if matches!(name, "page" | "since") {
            return Some(String::new());
        }
        let path = Path::parse(name).ok()?;
        let node = Node::from_value(&self.source);
        path.first(&node).and_then(|found| found.text().map(std::borrow::Cow::into_owned))
    }

    /// What fills the hole `name`, secrets included.
    pub(super) fn credential(&self, name: &str) -> Option<String> {
        match name.strip_prefix("secret.") {
            Some(secret) => Some(self.secrets.get(secret)?.first()?.expose_secret().to_owned()),
            None => self.value(name),
        }
    }
}

/// Whether `template` has a hole for a secret.
pub(super) fn has_secret(template: &Template) -> bool {
    template.holes().any(|hole| hole.starts_with("secret."))
}

/// Makes a request; `out` is what the outbound mapping made.
///
/// # Errors
/// When a hole has no value or the outcome is no valid request; see [`RequestError`].
pub fn build(
    manifest: &Manifest,
    spec: &RequestSpec,
    out: Option<Value>,
    fill: &Fill,
) -> Result<Prepared, RequestError> {
    let value = |name: &str| fill.value(name);
    // An empty id would turn one thing into the list of all.
    let path =
        spec.path.fill(&|name| value(name).filter(|text| !text.is_empty()).map(|text| escaped(&text)))?;
    let steps = path.split('?').next().unwrap_or_default().split('/');
    if steps.into_iter().any(|step| matches!(step, "." | "..")) {
        return Err(RequestError::Step(path));
    }
    let mut url = absolute(&base(manifest, fill)?, &path)?;
    for (name, template) in &spec.query {
        let text = template.fill(&value)?;
        if !text.is_empty() {
            url.query_pairs_mut().append_pair(name, &text);
        }
    }
    finish(manifest, spec, out, fill, &url)
}

/// Makes the request of a poll or a re-read, `{page}` of which stands in `fill`.
///
/// # Errors
/// As [`build`], and when the next page is not at the partner's own address.
pub fn build_read(manifest: &Manifest, read: &Read, fill: &Fill) -> Result<Prepared, RequestError> {
    if let (Some(Page::LinkHeader), Some(page)) = (&read.page, fill.values.get("page"))
        && !page.is_empty()
    {
        let base = base(manifest, fill)?;
        let next = base.join(page).map_err(|error| RequestError::Url(page.clone(), error.to_string()))?;
        if next.origin() != base.origin() {
            return Err(RequestError::ForeignPage(page.clone()));
        }
        return finish(manifest, &read.request, None, fill, &next);
    }
    build(manifest, &read.request, None, fill)
}

/// Adds the credentials. A secret that the account does not have is left out, and the partner will say so.
#[must_use]
pub fn authorise(manifest: &Manifest, mut request: HttpRequest, fill: &Fill) -> HttpRequest {
    let credential = |name: &str| fill.credential(name);
    let headers = manifest.http.headers.iter().filter(|(_, template)| has_secret(template));
    let headers =
        headers.filter_map(|(name, template)| Some((name.clone(), template.fill(&credential).ok()?)));
    let all: Vec<(String, String)> = headers.chain(auth::header(&manifest.auth, fill)).collect();
    for (name, value) in all {
        if header_value(&value) {
            request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            request.headers.push((name, value));
        }
    }
    request
}

fn finish(
    manifest: &Manifest,
    spec: &RequestSpec,
    out: Option<Value>,
    fill: &Fill,
    url: &Url,
) -> Result<Prepared, RequestError> {
    let value = |name: &str| fill.value(name);
    let (kind, body) = body(&spec.body, out, fill)?;
    let mut headers = vec![("Accept".to_owned(), "application/json".to_owned())];
    headers.extend(kind.map(|kind| ("Content-Type".to_owned(), kind.to_owned())));
    let common = manifest.http.headers.iter().filter(|(_, template)| !has_secret(template));
    for (name, template) in common.chain(&spec.headers) {
        let text = template.fill(&value)?;
        if !header_value(&text) {
            return Err(RequestError::Header(name.clone()));
        }
        if !text.is_empty() {
            headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
            headers.push((name.clone(), text));
        }
    }
    Ok(Prepared { request: HttpRequest { method: spec.method.clone(), url: url.to_string(), headers, body } })
}

fn header_value(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// The base URL of the account.
pub(super) fn base(manifest: &Manifest, fill: &Fill) -> Result<Url, RequestError> {
    let text = match fill.settings.get("base_url").filter(|text| !text.is_empty()) {
        Some(text) => text.clone(),
        None => manifest.http.base.fill(&|name| fill.value(name))?,
    };
    match Url::parse(&text) {
        Ok(url) if url.has_host() && matches!(url.scheme(), "http" | "https" | "amqp") => Ok(url),
        Ok(_) => Err(RequestError::Url(text, "expected http://, https:// or amqp:// and a host".to_owned())),
        Err(error) => Err(RequestError::Url(text, error.to_string())),
    }
}

/// `path` below `base`, or `path` itself where it is absolute.
pub(super) fn absolute(base: &Url, path: &str) -> Result<Url, RequestError> {
    let text = if path.starts_with("https://") || path.starts_with("http://") {
        path.to_owned()
    } else {
        let slash = if path.is_empty() || path.starts_with(['/', '?']) { "" } else { "/" };
        format!("{}{slash}{path}", base.as_str().trim_end_matches('/'))
    };
    Url::parse(&text).map_err(|error| RequestError::Url(text, error.to_string()))
}

/// `text` as one step of a path: everything but letters, digits and `-._~` escaped.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn body(
    spec: &BodySpec,
    out: Option<Value>,
    fill: &Fill,
) -> Result<(Option<&'static str>, Bytes), RequestError> {
    let object = |out: Option<Value>| match out {
        None | Some(Value::Null) => Ok(Map::new()),
        Some(Value::Object(fields)) => Ok(fields),
        Some(other) => Err(RequestError::Body(kind(&other))),
    };
    match spec {
        BodySpec::Empty => Ok((None, Bytes::new())),
        BodySpec::Json => {
            let value = out.unwrap_or_else(|| json!({}));
            Ok((Some("application/json"), Bytes::from(value.to_string())))
        }
        BodySpec::Form => {
            let fields = Value::Object(object(out)?);
            Ok((Some("application/x-www-form-urlencoded"), Bytes::from(form(&fields))))
        }
        BodySpec::GraphQl { document, variables } => {
            let mut all = object(filled(variables, fill)?)?;
            all.extend(object(out)?);
            let body = json!({ "query": document, "variables": all });
            Ok((Some("application/json"), Bytes::from(body.to_string())))
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// `value` with its texts filled as templates. A text that is one hole and comes out empty is left out.
fn filled(value: &Value, fill: &Fill) -> Result<Option<Value>, RequestError> {
    Ok(Some(match value {
        Value::String(text) => {
            let Ok(template) = Template::parse(text) else { return Ok(Some(value.clone())) };
            let text = template.fill(&|name| fill.value(name))?;
            if text.is_empty() && template.only_hole().is_some() {
                return Ok(None);
            }
            Value::String(text)
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| filled(item, fill)).collect::<Result<Vec<_>, _>>()?;
            Value::Array(items.into_iter().flatten().collect())
        }
        Value::Object(fields) => {
            let mut out = Map::new();
            for (name, value) in fields {
                if let Some(value) = filled(value, fill)? {
                    out.insert(name.clone(), value);
                }
            }
            Value::Object(out)
        }
        other => other.clone(),
    }))
}

/// A form in which nested values are `a[b][0]=c`; nulls are left out.
#[must_use]
pub fn form(value: &Value) -> String {
    let mut pairs = Vec::new();
    flatten("", value, &mut pairs);
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    out.extend_pairs(pairs);
    out.finish()
}

fn flatten(name: &str, value: &Value, pairs: &mut Vec<(String, String)>) {
    let below = |step: &str| if name.is_empty() { step.to_owned() } else { format!("{name}[{step}]") };
    match value {
        Value::Null => {}
        Value::Bool(yes) => pairs.push((name.to_owned(), yes.to_string())),
        Value::Number(number) => pairs.push((name.to_owned(), number.to_string())),
        Value::String(text) => pairs.push((name.to_owned(), text.clone())),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&below(&index.to_string()), item, pairs);
            }
        }
        Value::Object(fields) => {
            for (step, field) in fields {
                flatten(&below(step), field, pairs);
            }
        }
    }
}

//! What an answer means: done, or which class of error.

use std::time::Duration;

use super::answer;
use super::limits;
use super::manifest::{Auth, ErrorClass, ErrorRule, Manifest, Test};
use crate::map::node::Node;
use crate::ports::{HttpError, HttpResponse};

/// Done, or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not, or nobody knows.
    Failed(ErrorClass),
}

/// What an answer means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Done, or not.
    pub class: Outcome,
    /// Status and the partner's words, for people.
    pub message: String,
    /// How long the partner asks us to wait.
    pub retry_after: Option<Duration>,
}

impl Verdict {
    /// Whether it counts as done: now, or before.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.class, Outcome::Done | Outcome::Failed(ErrorClass::Duplicate))
    }
}

/// Judges the answer to `what` (`order.create`, `poll.orders`, `read.order`). `ok` are the conditions besides a 2xx
/// status.
///
/// [`ErrorClass::Unknown`] means that it may have been done: for what may be repeated freely that is the same as
/// [`ErrorClass::Retry`], for a create it is not; the caller knows which it is.
#[must_use]
pub fn classify(
    manifest: &Manifest,
    what: &str,
    ok: &[(String, Test)],
    answer: &Result<HttpResponse, HttpError>,
) -> Verdict {
    let response = match answer {
        Ok(response) => response,
        Err(error) => {
            let class = match error {
                HttpError::NotSent(_) => ErrorClass::Retry,
                HttpError::NoAnswer(_) => ErrorClass::Unknown,
            };
            return Verdict { class: Outcome::Failed(class), message: error.to_string(), retry_after: None };
        }
    };
    let node = answer::body(response).unwrap_or(Node::Null);
    let rule = manifest.errors.iter().find(|rule| fits(rule, what, response.status, &node));
    let class = match rule {
        Some(rule) => Outcome::Failed(rule.class),
        None => built_in(manifest, response.status, ok, &node),
    };
    if class == Outcome::Done {
        return Verdict { class, message: format!("HTTP {}", response.status), retry_after: None };
    }
    let said = rule.and_then(|rule| rule.message.as_deref()).and_then(|path| all(&node, path));
    let said = said.or_else(|| in_words(&node)).or_else(|| plain(&response.body));
    let message = match said {
        Some(said) => format!("HTTP {}: {}", response.status, shortened(&said)),
        None => format!("HTTP {}", response.status),
    };
    let learned = manifest
        .limits
        .values()
        .filter(|limit| limit.applies.is_empty() || limit.applies.iter().any(|name| name == what))
        .filter_map(|limit| limits::learn(limit, response).wait)
        .max();
    Verdict { class, message, retry_after: learned.or_else(|| limits::retry_after(response)) }
}

fn fits(rule: &ErrorRule, what: &str, status: u16, node: &Node<'_>) -> bool {
    rule.status.is_none_or(|expected| expected == status)
        && rule.command.as_deref().is_none_or(|command| command == what)
        && rule.when.iter().all(|(path, test)| answer::holds(node, path, test))
}

fn built_in(manifest: &Manifest, status: u16, ok: &[(String, Test)], node: &Node<'_>) -> Outcome {
    let class = match status {
        200..=299 if ok.iter().all(|(path, test)| answer::holds(node, path, test)) => return Outcome::Done,
        // A GraphQL server that answers with errors instead of what was asked for did not do it.
        200..=299
            if manifest.http.graphql.is_some()
                && answer::holds(node, "errors[*].message", &Test::Exists(true)) =>
        {
            ErrorClass::Rejected
        }
        200..=299 | 408 | 425 | 500..=599 => ErrorClass::Unknown,
        429 => ErrorClass::RateLimited,
        401 if matches!(manifest.auth, Auth::OAuth2 { .. }) => ErrorClass::RefreshToken,
        300..=399 | 401 | 403 | 407 => ErrorClass::Config,
        _ => ErrorClass::Rejected,
    };
    Outcome::Failed(class)
}

fn all(node: &Node<'_>, path: &str) -> Option<String> {
    let mut found = answer::texts(node, path);
    found.dedup();
    found.retain(|text| !text.trim().is_empty());
    (!found.is_empty()).then(|| found.join("; "))
}

/// The partner's words, at the usual places.
fn in_words(node: &Node<'_>) -> Option<String> {
    const PLACES: &[&str] = &[
        "errors[*].message",
        "error.message",
        "error_description",
        "message",
        "error",
        "errors",
        "errors[*]",
        "data.*.userErrors[*].message",
    ];
    PLACES.iter().find_map(|path| all(node, path))
}

fn plain(body: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(body);
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.char_indices().nth(MOST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

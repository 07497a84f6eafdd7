//! What a webhook is about: its topic, its event id, and what is to be done with it.

use thiserror::Error;

use jiff::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::answer;
use super::glance::glance;
use super::manifest::{Source, TopicAction, Webhook};
use crate::canonical::When;
use crate::map::node::Node;

/// A webhook, understood as far as its envelope goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// The partner's topic.
    pub topic: String,
    /// The partner's id of the event, if it gives one.
    pub event_id: Option<String>,
    /// What is done with it.
    pub action: TopicAction,
}

/// Why a webhook is not understood. Its signature has been verified before, so all but [`HookError::NotOurs`] are kept
/// and shown to a person.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HookError {
    /// The body is not what the manifest needs to find the topic.
    #[error("the body cannot be read: {0}")]
    Unreadable(String),
    /// There is no topic where the manifest says.
    #[error("there is no topic at {0}")]
    NoTopic(String),
    /// It is meant for another account.
    #[error("it belongs to `{found}`, and this account is `{expected}`")]
    NotOurs {
        /// What this account is.
        expected: String,
        /// What the message says.
        found: String,
    },
    /// No pattern of `[webhook.topics]` fits.
    #[error("no pattern of [webhook.topics] fits the topic `{0}`")]
    UnknownTopic(String),
}

impl HookError {
    /// The topic, where it was found.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        match self {
            Self::UnknownTopic(topic) => Some(topic),
            _ => None,
        }
    }
}

/// Reads the envelope of a webhook whose signature verified. `fill` gives the account's `setting.…`.
///
/// # Errors
/// When it is not understood, or not for this account; see [`HookError`].
pub fn read(
    webhook: &Webhook,
    headers: &[(String, String)],
    body: &[u8],
    fill: &dyn Fn(&str) -> Option<String>,
) -> Result<Hook, HookError> {
    let sources =
        [Some(&webhook.topic), webhook.event_id.as_ref(), webhook.belongs.as_ref().map(|(from, _)| from)];
    let in_body = sources.into_iter().flatten().any(|source| matches!(source, Source::Path(_)));
    let parsed = if in_body { Some(Node::parse_json(body)) } else { None };
    let node = match parsed {
        Some(Err(error)) => return Err(HookError::Unreadable(error.to_string())),
        Some(Ok(node)) => Some(node),
        None => None,
    };
    if let Some((source, template)) = &webhook.belongs {
        let expected = template.fill(fill).unwrap_or_default();
        let found = answer::value(source, headers, node.as_ref()).unwrap_or_default();
        if !expected.is_empty() && !found.eq_ignore_ascii_case(&expected) {
            return Err(HookError::NotOurs { expected, found });
        }
    }
    let topic = answer::value(&webhook.topic, headers, node.as_ref())
        .ok_or_else(|| HookError::NoTopic(webhook.topic.to_string()))?;
    let event_id = webhook.event_id.as_ref().and_then(|source| answer::value(source, headers, node.as_ref()));
    let action = action(webhook, &topic).ok_or_else(|| HookError::UnknownTopic(topic.clone()))?;
    Ok(Hook { topic, event_id, action })
}

/// When the partner told it, by its finer clock: RFC 3339, or seconds since 1970 with a fraction.
#[must_use]
pub fn told(webhook: &Webhook, headers: &[(String, String)], body: &Node<'_>) -> Option<When> {
    let text = answer::value(webhook.told.as_ref()?, headers, Some(body))?;
    if let Ok(when) = text.parse::<When>() {
        return Some(when);
    }
    let micros = text.parse::<Decimal>().ok()?.checked_mul(Decimal::from(1_000_000))?;
    Timestamp::from_microsecond(micros.trunc().to_i64()?).ok().map(When::utc)
}

/// What the message calls the thing that it is about, without the path before an id (`gid://shop/Order/7` is `7`).
/// `about` names the places in order; the first that is there counts.
#[must_use]
pub fn about(about: &[Source], headers: &[(String, String)], body: &[u8]) -> Option<String> {
    let paths: Vec<&str> = about
        .iter()
        .filter_map(|source| match source {
            Source::Path(path) => Some(path.as_str()),
            Source::Header(_) => None,
        })
        .collect();
    let mut found = glance(body, &paths).into_iter();
    let name = about.iter().find_map(|source| match source {
        Source::Header(name) => answer::header(headers, name).map(ToOwned::to_owned),
        Source::Path(_) => found.next().flatten(),
    })?;
    name.rsplit('/').next().map(ToOwned::to_owned)
}

/// What the manifest says is done with `topic`.
#[must_use]
pub fn action(webhook: &Webhook, topic: &str) -> Option<TopicAction> {
    webhook.topics.iter().find(|(pattern, _)| fits(pattern, topic)).map(|(_, action)| action.clone())
}

/// Whether `pattern`, in which `*` stands for any text, fits `topic`.
fn fits(pattern: &str, topic: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == topic };
    let Some(mut topic) = topic.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = rest.split('*').collect();
    let tail = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = topic.find(piece) else { return false };
        topic = &topic[at + piece.len()..];
    }
    topic.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_that_is_there_tells_what_it_is_about() {
        let places = [
            Source::Header("X-Order".to_owned()),
            Source::Path("order_id".to_owned()),
            Source::Path("order_edit.order_id".to_owned()),
            Source::Path("id".to_owned()),
        ];
        let header = [("x-order".to_owned(), "9".to_owned())];
        for (headers, body, expected) in [
            (&header[..], r#"{"id": 1}"#, Some("9")),
            (&[], r#"{"id": 1, "order_id": 2, "lines": [{"id": 3}]}"#, Some("2")),
            (&[], r#"{"id": 1, "order_edit": {"id": 4, "order_id": "gid://shop/Order/5"}}"#, Some("5")),
            (&[], r#"{"order_id": null, "id": 9007199254740993}"#, Some("9007199254740993")),
            (&[], r#"{"id": {"id": 7}}"#, None),
            (&[], r#"[{"id": 7}]"#, None),
            (&[], r#"{"id": "6", "broken"#, Some("6")),
            (&[], "no json", None),
        ] {
            assert_eq!(about(&places, headers, body.as_bytes()).as_deref(), expected, "{body}");
        }
    }

    #[test]
    fn patterns_fit_from_end_to_end() {
        for (pattern, topic, expected) in [
            ("orders/*", "orders/create", true),
            ("orders/*", "orders", false),
            ("orders/create", "orders/created", false),
            ("*", "", true),
            ("charge.*.updated", "charge.dispute.updated", true),
            ("charge.*.updated", "charge.updated", false),
            ("*.updated", "tracker.updated", true),
            ("a*a", "a", false),
            ("a*b*c", "abc", true),
        ] {
            assert_eq!(fits(pattern, topic), expected, "{pattern} {topic}");
        }
    }
}

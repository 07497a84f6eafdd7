//! Pages of a poll or a re-read: the items, the next page, and how far the cursor moves.

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use thiserror::Error;

use super::answer;
use super::manifest::{Page, Read, Since, Test};
use crate::map::node::Node;
use crate::map::path::Path;
use crate::ports::HttpResponse;

/// Which page was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageState {
    /// What filled `{page}`; none for the first page.
    pub page: Option<String>,
}

/// What a page holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PageResult {
    /// Each item as JSON, also of an answer in XML.
    pub items: Vec<Bytes>,
    /// What fills `{page}` for the next page; none when this was the last.
    pub next: Option<String>,
    /// The largest `since.from` of the items.
    pub newest: Option<Timestamp>,
}

/// Why an answer is no page. The cursor must not move.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AnswerError {
    /// It is neither JSON nor XML.
    #[error("the answer is neither JSON nor XML: {0}")]
    Unreadable(String),
    /// There are no items where the manifest says.
    #[error("the answer has nothing at `{0}`, where the items are expected")]
    NoItems(String),
    /// An item has no time where the manifest says.
    #[error("item {0} has no time at `{1}`: found `{2}`")]
    NoTime(usize, String, String),
    /// The next page is this page again.
    #[error("the partner gives the page `{0}` as the one after itself")]
    SamePage(String),
    /// There is another page, and nothing says which.
    #[error("there is another page, and nothing at `{0}` says which")]
    NoNext(String),
}

/// What fills `{page}` for the first page.
#[must_use]
pub fn first(read: &Read) -> Option<String> {
    match &read.page {
        Some(Page::Number { first }) => Some(first.to_string()),
        _ => None,
    }
}

/// Reads a page that was answered with success.
///
/// # Errors
/// When the answer is none; see [`AnswerError`].
pub fn read(read: &Read, response: &HttpResponse, state: &PageState) -> Result<PageResult, AnswerError> {
    let node = answer::body(response).map_err(|error| AnswerError::Unreadable(error.to_string()))?;
    let items = items(&node, &read.items)?;
    let mut newest = None;
    if let Some(since) = &read.since {
        for (index, item) in items.iter().enumerate() {
            let text = answer::text(item, &since.from).unwrap_or_default();
            let time = time(&text).ok_or_else(|| AnswerError::NoTime(index + 1, since.from.clone(), text))?;
            newest = newest.max(Some(time));
        }
    }
    let next = match &read.page {
        // Nothing came, so nothing follows.
        Some(Page::Number { .. } | Page::LastItem { .. }) if items.is_empty() => None,
        None => None,
        Some(Page::Number { first }) => {
            let present: u64 =
                state.page.as_deref().and_then(|text| text.parse().ok()).unwrap_or(u64::from(*first));
            Some((present + 1).to_string())
        }
        Some(Page::Cursor { next, more }) => {
            following(&node, next, answer::text(&node, next), more.as_ref())?
        }
        Some(Page::LastItem { id, more }) => {
            let last = items.last().and_then(|item| answer::text(item, id));
            following(&node, id, last, more.as_ref())?
        }
        Some(Page::LinkHeader) => link(response),
    };
    if next.is_some() && next == state.page {
        return Err(AnswerError::SamePage(next.unwrap_or_default()));
    }
    let items = items.into_iter().map(|item| Bytes::from(item.to_json())).collect();
    Ok(PageResult { items, next, newest })
}

fn items<'n>(node: &'n Node<'n>, place: &str) -> Result<Vec<&'n Node<'n>>, AnswerError> {
    let nothing = || AnswerError::NoItems(place.to_owned());
    let found = Path::parse(place).map_err(|_| nothing())?.all(node);
    match found.as_slice() {
        // A list with `[*]` may be empty; anything else must be there.
        [] if place.contains("[*]") => Ok(Vec::new()),
        [] => Err(nothing()),
        [Node::List(items)] => Ok(items.iter().collect()),
        [Node::Null] if place != "$" => Ok(Vec::new()),
        _ => Ok(found),
    }
}

fn following(
    node: &Node<'_>,
    place: &str,
    next: Option<String>,
    more: Option<&(String, String)>,
) -> Result<Option<String>, AnswerError> {
    match more {
        Some((path, word)) if !answer::holds(node, path, &Test::AnyOf(vec![word.clone()])) => Ok(None),
        Some(_) => next.map(Some).ok_or_else(|| AnswerError::NoNext(place.to_owned())),
        None => Ok(next),
    }
}

/// The address with `rel="next"` of the header `Link`.
fn link(response: &HttpResponse) -> Option<String> {
    let header = response.header("link")?;
    header.split(',').find_map(|entry| {
        let (address, parameters) = entry.trim().strip_prefix('<')?.split_once('>')?;
        let next = parameters.split(';').any(|parameter| {
            parameter.split_once('=').is_some_and(|(key, value)| {
                key.trim().eq_ignore_ascii_case("rel")
                    && value.trim().trim_matches('"').eq_ignore_ascii_case("next")
            })
        });
        next.then(|| address.to_owned())
    })
}

/// A time as partners write it: RFC 3339, without zone (then UTC), or Unix seconds.
fn time(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<Decimal>() {
        return Timestamp::from_second(seconds.trunc().to_i64()?).ok();
    }
    text.parse::<Timestamp>().ok().or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    })
}

/// What fills `{since}`: the newest time seen so far less the overlap, or the first look-back.
#[must_use]
pub fn since_text(since: &Since, newest: Option<Timestamp>, now: Timestamp) -> String {
    let back = if newest.is_some() { since.overlap } else { since.first };
    // A partner's clock that runs ahead must not skip what it has yet to write.
    let from = newest.unwrap_or(now).min(now);
    let back = SignedDuration::try_from(back).unwrap_or(SignedDuration::ZERO);
    let from = from.checked_sub(back).unwrap_or(Timestamp::UNIX_EPOCH);
    let from = Timestamp::from_second(from.as_second()).unwrap_or(from);
    match since.format.as_str() {
        "unix" => from.as_second().to_string(),
        _ => from.to_string(),
    }
}

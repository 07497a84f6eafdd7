//! What an answer tells of the partner's limits.

use std::time::Duration;

use jiff::Timestamp;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;

use super::answer;
use super::manifest::{Limit, Source};
use crate::ports::HttpResponse;

/// What was learned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Learned {
    /// What the call did cost.
    pub cost: Option<u32>,
    /// What is left in the bucket.
    pub left: Option<u32>,
    /// How long to wait before the next call.
    pub wait: Option<Duration>,
}

/// Reads what `response` tells of `limit`.
#[must_use]
pub fn learn(limit: &Limit, response: &HttpResponse) -> Learned {
    let sources = [&limit.cost_from, &limit.left_from, &limit.retry_after];
    let in_body = sources.into_iter().flatten().any(|source| matches!(source, Source::Path(_)));
    let node = if in_body { answer::body(response).ok() } else { None };
    let read = |source: &Option<Source>| answer::value(source.as_ref()?, &response.headers, node.as_ref());
    let used_of = limit.used_of.as_deref().and_then(|name| response.header(name)).and_then(|text| {
        let (used, all) = text.split_once('/')?;
        Some(whole(all)?.saturating_sub(whole(used)?))
    });
    Learned {
        cost: read(&limit.cost_from).as_deref().and_then(whole),
        left: read(&limit.left_from).as_deref().and_then(whole).or(used_of),
        wait: read(&limit.retry_after).as_deref().and_then(wait).or_else(|| retry_after(response)),
    }
}

/// The header `Retry-After`: seconds, or an instant, which is compared with the partner's own `Date`.
#[must_use]
pub fn retry_after(response: &HttpResponse) -> Option<Duration> {
    let text = response.header("retry-after")?.trim();
    wait(text).or_else(|| {
        let then = http_date(text)?;
        let now = http_date(response.header("date")?)?;
        Duration::try_from(then.duration_since(now)).ok()
    })
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|zoned| zoned.timestamp())
}

/// A whole number, of a text that may have a fraction; rounded down.
fn whole(text: &str) -> Option<u32> {
    text.trim().parse::<Decimal>().ok()?.max(Decimal::ZERO).trunc().to_u32()
}

/// `5`, `0.5`, `5 seconds`, `250 ms`.
fn wait(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|sign: char| !sign.is_ascii_digit() && sign != '.').unwrap_or(text.len());
    let number: Decimal = text[..digits].parse().ok()?;
    let millis = match text[digits..].trim().to_ascii_lowercase().as_str() {
        "" | "s" | "sec" | "second" | "seconds" => 1000,
        "ms" | "millisecond" | "milliseconds" => 1,
        "m" | "min" | "minute" | "minutes" => 60_000,
        _ => return None,
    };
    number.checked_mul(Decimal::from(millis))?.ceil().to_u64().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn answer(headers: &[(&str, &str)], body: &str) -> HttpResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        HttpResponse { status: 200, headers, body: Bytes::from(body.to_owned()) }
    }

    fn limit() -> Limit {
        Limit {
            size: 10,
            refill: 1,
            per: Duration::from_secs(1),
            cost: 1,
            costs: std::collections::BTreeMap::new(),
            cost_from: None,
            left_from: None,
            used_of: None,
            retry_after: None,
            applies: Vec::new(),
        }
    }

    #[test]
    fn reads_cost_and_rest_from_body_and_headers() {
        let body = r#"{"extensions":{"cost":{"actual":12,"throttle":{"left":987.5}}}}"#;
        let graphql = Limit {
            cost_from: Some(Source::Path("extensions.cost.actual".to_owned())),
            left_from: Some(Source::Path("extensions.cost.throttle.left".to_owned())),
            ..limit()
        };
        let learned = learn(&graphql, &answer(&[], body));
        assert_eq!(learned, Learned { cost: Some(12), left: Some(987), wait: None });
        let rest = Limit { used_of: Some("X-Call-Limit".to_owned()), ..limit() };
        assert_eq!(learn(&rest, &answer(&[("x-call-limit", "32/40")], "")).left, Some(8));
        assert_eq!(learn(&rest, &answer(&[("x-call-limit", "42/40")], "no json")).left, Some(0));
        let credits =
            Limit { retry_after: Some(Source::Path("errors[0].time_remaining".to_owned())), ..limit() };
        let learned = learn(&credits, &answer(&[], r#"{"errors":[{"time_remaining":"5 seconds"}]}"#));
        assert_eq!(learned.wait, Some(Duration::from_secs(5)));
    }

    #[test]
    fn reads_retry_after_as_seconds_or_instant() {
        assert_eq!(retry_after(&answer(&[("retry-after", "2.0")], "")), Some(Duration::from_secs(2)));
        let date =
            [("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT"), ("date", "Fri, 31 Dec 1999 23:59:29 GMT")];
        assert_eq!(retry_after(&answer(&date, "")), Some(Duration::from_secs(30)));
        assert_eq!(retry_after(&answer(&[("retry-after", "soon")], "")), None);
        assert_eq!(retry_after(&answer(&[], "")), None);
    }
}

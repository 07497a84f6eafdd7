//! Pieces of HTML that every page uses.

use std::fmt;

use askama::filters::HtmlSafe;
use jiff::Timestamp;

use crate::canonical::order::OrderLine;
use crate::web::{assets, say};

/// Text that is HTML already.
pub struct Markup(String);

impl fmt::Display for Markup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
impl HtmlSafe for Markup {}

/// `text` with the five letters that mean something in HTML written as references.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// An instant, to the second, in UTC; the script shows it in the reader's zone at the same width.
pub fn time(at: &Timestamp) -> Markup {
    let shown = at.strftime("%Y-%m-%d %H:%M:%S");
    Markup(format!("<time datetime=\"{at}\">{shown}</time>"))
}

/// The same, or a dash.
pub fn time_or(at: Option<&Timestamp>) -> Markup {
    at.map_or_else(|| Markup("<span class=\"none\">–</span>".to_owned()), time)
}

/// How long ago; the script keeps it true.
pub fn ago(at: &Timestamp, now: &Timestamp) -> Markup {
    let seconds = now.as_second().saturating_sub(at.as_second()).max(0);
    let shown = match seconds {
        0..60 => format!("{seconds} s ago"),
        60..3600 => format!("{} min ago", seconds / 60),
        3600..86400 => format!("{} h ago", seconds / 3600),
        _ => format!("{} d ago", seconds / 86400),
    };
    Markup(format!("<time data-ago datetime=\"{at}\" title=\"{at}\">{shown}</time>"))
}

/// A word of state as a chip in its tone.
pub fn chip(word: &str) -> Markup {
    let tone = say::tone(word);
    Markup(format!("<span class=\"chip {tone}\">{}</span>", escape(&say::words(word))))
}

/// An account in the colour of its part.
pub fn account(id: &str, part: &str) -> Markup {
    Markup(format!("<span class=\"who {part}\">{}</span>", escape(id)))
}

/// The address of an asset.
pub fn asset(file: &str) -> String {
    assets::url(file)
}

/// A query string of the pairs that have a value, with `?` before it.
pub fn query(pairs: &[(&str, Option<&str>)]) -> String {
    let given: Vec<(&str, &str)> = pairs
        .iter()
        .filter_map(|(name, value)| Some((*name, (*value)?)))
        .filter(|(_, v)| !v.is_empty())
        .collect();
    let text = serde_urlencoded::to_string(given).unwrap_or_default();
    if text.is_empty() { text } else { format!("?{text}") }
}

/// The numbers of a line, in the order in which units pass them.
pub fn steps(line: &OrderLine) -> [(&'static str, u64); 10] {
    [
        ("Ordered", line.ordered),
        ("Cancelled", line.cancelled),
        ("Allocated", line.allocated),
        ("Released", line.released),
        ("Picked", line.picked),
        ("Packed", line.packed),
        ("Shipped", line.shipped),
        ("Delivered", line.delivered),
        ("Returned", line.returned),
        ("Refunded", line.refunded),
    ]
}

/// A web address that a link may have.
pub fn web_address(url: Option<&str>) -> Option<&str> {
    url.filter(|url| url.starts_with("https://") || url.starts_with("http://"))
}

/// `value` as JSON, laid out.
pub fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_means_something_in_html() {
        assert_eq!(chip("<b>").to_string(), "<span class=\"chip off\">&lt;b&gt;</span>");
        assert_eq!(query(&[("a", Some("x y&z")), ("b", None), ("c", Some(""))]), "?a=x+y%26z");
    }

    #[test]
    fn says_how_long_ago() {
        let now: Timestamp = "2026-01-15T12:00:00Z".parse().unwrap();
        let then: Timestamp = "2026-01-15T11:57:10Z".parse().unwrap();
        assert!(ago(&then, &now).to_string().contains(">2 min ago<"));
        assert!(ago(&now, &then).to_string().contains(">0 s ago<"));
    }
}

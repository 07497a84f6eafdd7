//! X12 and EDIFACT: keys are segments in the order of the mapping, `01`, `02` … their elements, `1`, `2` … of an element
//! its components. Trailers are added with their counts.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Written, text};
use crate::map::convert::Trouble;
use crate::map::syntax::segment::is_tag;

/// Elements that a segment may have.
const MAX_ELEMENTS: usize = 99;

struct Segment {
    tag: String,
    /// Elements of components.
    elements: Vec<Vec<String>>,
}

impl Segment {
    fn new(tag: &str, elements: &[&str]) -> Self {
        let elements = elements.iter().map(|text| vec![(*text).to_owned()]).collect();
        Self { tag: tag.to_owned(), elements }
    }

    fn text(&self, number: usize) -> &str {
        self.elements.get(number - 1).and_then(|parts| parts.first()).map_or("", String::as_str)
    }

    fn set(&mut self, number: usize, text: String) {
        if self.elements.len() < number {
            self.elements.resize(number, Vec::new());
        }
        self.elements[number - 1] = vec![text];
    }
}

fn wrong(message: String) -> Trouble {
    Trouble::new("bad_value", message)
}

/// The number of `01`, `2`; none for what is no number.
fn number(key: &str) -> Option<usize> {
    let digits = key.bytes().all(|byte| byte.is_ascii_digit());
    key.parse().ok().filter(|number| digits && (1..=MAX_ELEMENTS).contains(number))
}

fn collect(body: &Written, out: &mut Vec<Segment>) -> Result<(), Trouble> {
    let Written::Object(fields) = body else {
        return Err(wrong("a body of segments is an object".to_owned())
            .help("write [body.BEG] and its elements below"));
    };
    for (tag, body) in fields {
        match body {
            Written::List(items) => items.iter().try_for_each(|item| segment(tag, item, out))?,
            one => segment(tag, one, out)?,
        }
    }
    Ok(())
}

fn segment(tag: &str, body: &Written, out: &mut Vec<Segment>) -> Result<(), Trouble> {
    if !is_tag(tag) {
        return Err(wrong(format!("`{tag}` is no segment"))
            .help("expected a tag such as N1 or LIN, or an element such as 01"));
    }
    let body = match body {
        Written::Value(value @ Value::Object(_)) => &Written::of(value),
        body => body,
    };
    let Written::Object(fields) = body else {
        return Err(wrong(format!("the segment {tag} has no elements"))
            .help(format!("write [body.{tag}] and \"01\" = … below")));
    };
    let mut own = Segment { tag: tag.to_owned(), elements: Vec::new() };
    for (key, value) in fields {
        let Some(at) = number(key) else { continue };
        let components = components(tag, key, value)?;
        if own.elements.len() < at {
            own.elements.resize(at, Vec::new());
        }
        own.elements[at - 1] = components;
    }
    out.push(own);
    let inner: Vec<_> = fields.iter().filter(|(key, _)| number(key).is_none()).cloned().collect();
    if inner.is_empty() { Ok(()) } else { collect(&Written::Object(inner), out) }
}

fn components(tag: &str, key: &str, value: &Written) -> Result<Vec<String>, Trouble> {
    let many = || wrong(format!("the element {tag}.{key} is no single value"));
    match value {
        Written::Value(value) if !value.is_array() && !value.is_object() => {
            Ok(text(value).into_iter().collect())
        }
        Written::Object(parts) => {
            let mut all = Vec::new();
            for (name, part) in parts {
                let at = number(name).ok_or_else(many)?;
                let Written::Value(value) = part else { return Err(many()) };
                if all.len() < at {
                    all.resize(at, String::new());
                }
                all[at - 1] = text(value).unwrap_or_default();
            }
            Ok(all)
        }
        _ => Err(many()),
    }
}

/// Adds the segments as text.
fn print(
    segments: &[Segment],
    (element, component, end): (&str, &str, &str),
    clean: &dyn Fn(&str) -> String,
    out: &mut String,
) {
    for segment in segments {
        let mut elements: Vec<String> = segment
            .elements
            .iter()
            .map(|parts| {
                let filled = parts.iter().rposition(|part| !part.is_empty()).map_or(0, |last| last + 1);
                let parts: Vec<String> = parts.iter().take(filled).map(|part| clean(part)).collect();
                parts.join(component)
            })
            .collect();
        while segment.tag != "ISA" && elements.last().is_some_and(String::is_empty) {
            elements.pop();
        }
        out.push_str(&segment.tag);
        for text in elements {
            out.push_str(element);
            out.push_str(&text);
        }
        out.push_str(end);
    }
}

/// X12 with `*`, `>` and `~`. It has no release character: separators inside of values become blanks.
pub(super) fn x12(body: &Written) -> Result<String, Trouble> {
    let mut segments = Vec::new();
    collect(body, &mut segments)?;
    let position = |segments: &[Segment], tag: &str| segments.iter().position(|known| known.tag == tag);
    if let Some(at) = position(&segments, "ST")
        && position(&segments, "SE").is_none()
    {
        if segments[at].text(2).is_empty() {
            segments[at].set(2, "0001".to_owned());
        }
        let count = (segments.len() - at + 1).to_string();
        let trailer = Segment::new("SE", &[&count, segments[at].text(2)]);
        segments.push(trailer);
    }
    if let Some(at) = position(&segments, "GS")
        && position(&segments, "GE").is_none()
    {
        let trailer = Segment::new("GE", &["1", segments[at].text(6)]);
        segments.push(trailer);
    }
    let mut header = String::new();
    if let Some(at) = position(&segments, "ISA") {
        let groups = if position(&segments, "GS").is_some() { "1" } else { "0" };
        let mut isa = segments.remove(at);
        header = interchange(&mut isa)?;
        if position(&segments, "IEA").is_none() {
            segments.push(Segment::new("IEA", &[groups, isa.text(13)]));
        }
    }
    let clean = |text: &str| text.replace(['*', '>', '~', '\n', '\r'], " ");
    print(&segments, ("*", ">", "~\n"), &clean, &mut header);
    Ok(header)
}

/// The ISA, padded, with what is usual where nothing is said.
fn interchange(isa: &mut Segment) -> Result<String, Trouble> {
    const USUAL: [(&str, usize); 16] = [
        ("00", 2),
        ("", 10),
        ("00", 2),
        ("", 10),
        ("ZZ", 2),
        ("", 15),
        ("ZZ", 2),
        ("", 15),
        ("", 6),
        ("", 4),
        ("U", 1),
        ("00401", 5),
        ("", 9),
        ("0", 1),
        ("P", 1),
        (">", 1),
    ];
    let mut out = "ISA".to_owned();
    for (at, (usual, width)) in USUAL.iter().enumerate() {
        let number = at + 1;
        if isa.text(number).is_empty() {
            isa.set(number, (*usual).to_owned());
        }
        if number == 13 {
            let digits = format!("{:0>9}", isa.text(13));
            isa.set(13, digits);
        }
        let text = isa.text(number).replace(['*', '~', '\n', '\r'], " ");
        if text.chars().count() > *width {
            return Err(wrong(format!("ISA{number:02} is `{text}`, and has room for {width}")));
        }
        if matches!(number, 6 | 8 | 9 | 10 | 13) && text.trim().is_empty() {
            return Err(Trouble::new("missing", format!("ISA{number:02} is missing"))
                .help(format!("write [body.ISA] and \"{number:02}\" = … below")));
        }
        // Writing to a text cannot fail.
        let _ = write!(out, "*{text:<width$}");
    }
    out.push_str("~\n");
    Ok(out)
}

/// EDIFACT with the usual separators.
pub(super) fn edifact(body: &Written) -> Result<String, Trouble> {
    let mut segments = Vec::new();
    collect(body, &mut segments)?;
    let position = |segments: &[Segment], tag: &str| segments.iter().position(|known| known.tag == tag);
    if let Some(at) = position(&segments, "UNH")
        && position(&segments, "UNT").is_none()
    {
        let count = (segments.len() - at + 1).to_string();
        let trailer = Segment::new("UNT", &[&count, segments[at].text(1)]);
        segments.push(trailer);
    }
    if let Some(at) = position(&segments, "UNB")
        && position(&segments, "UNZ").is_none()
    {
        let trailer = Segment::new("UNZ", &["1", segments[at].text(5)]);
        segments.push(trailer);
    }
    let clean = |text: &str| {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '?' | '+' | ':' | '\'' => out.extend(['?', c]),
                '\n' | '\r' => out.push(' '),
                c => out.push(c),
            }
        }
        out
    };
    let mut out = "UNA:+.? '\n".to_owned();
    print(&segments, ("+", ":", "'\n"), &clean, &mut out);
    Ok(out)
}

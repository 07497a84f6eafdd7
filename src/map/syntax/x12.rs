//! ASC X12. The separators stand in the ISA: its fourth sign, what follows its sixteenth separator, and what ends it.
//! Real files have collapsed padding, a newline as the terminator, or lines broken after 80 signs: all are read.

use std::borrow::Cow;

use super::Syntax;
use super::segment::{Cursor, Messages, Segment, element, is_tag, named};
use crate::map::convert::short;
use crate::map::node::{Node, ParseError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Separators {
    element: char,
    component: Option<char>,
    repetition: Option<char>,
    terminator: char,
}

pub(super) fn parse<'a>(text: &'a str, syntax: &Syntax) -> Result<Node<'a>, ParseError> {
    let mut reader = Reader { cursor: Cursor::new(text) };
    let mut messages = Messages::new(&syntax.loops);
    reader.cursor.blank();
    if reader.cursor.rest().is_empty() {
        return Err(reader
            .cursor
            .fail(0, "expected an interchange, which begins with ISA, and the payload is empty"));
    }
    while !reader.cursor.rest().is_empty() {
        let separators = reader.separators()?;
        reader.interchange(separators, &mut messages, syntax.counts)?;
        reader.cursor.blank();
    }
    Ok(messages.finish())
}

struct Reader<'a> {
    cursor: Cursor<'a>,
}

/// What the open envelopes said, and how much came.
#[derive(Default)]
struct Envelope {
    interchange: String,
    group: Option<String>,
    groups: usize,
    messages: usize,
}

impl<'a> Reader<'a> {
    /// The separators of the interchange that begins here.
    fn separators(&self) -> Result<Separators, ParseError> {
        let rest = self.cursor.rest();
        let Some(after) = rest.strip_prefix("ISA") else {
            let found: String = rest.chars().take(12).collect();
            return Err(self.cursor.fail(
                self.cursor.at,
                format!("expected an interchange, which begins with ISA, found `{found}`"),
            ));
        };
        let separator = after.chars().next().filter(|c| !c.is_alphanumeric() && !c.is_whitespace());
        let Some(separator) = separator else {
            return Err(self.cursor.fail(self.cursor.at, "ISA is followed by no separator such as `*`"));
        };
        let mut seen = 0;
        let mut tail = None;
        for (at, c) in after.char_indices().take(400) {
            if c == separator {
                seen += 1;
                if seen == 16 {
                    tail = after.get(at + c.len_utf8()..);
                    break;
                }
            }
        }
        let Some(tail) = tail else {
            return Err(self
                .cursor
                .fail(self.cursor.at, format!("the ISA has {seen} elements; expected 16")));
        };
        let mut signs = tail.chars();
        let (first, second) = (signs.next(), signs.next());
        let (component, terminator) = match (first, second) {
            (Some(component), Some('\r')) if signs.next() == Some('\n') => (Some(component), '\n'),
            (Some(component), Some(end)) if !end.is_alphanumeric() => (Some(component), end),
            // Without a sixteenth element its place holds the terminator.
            (Some(end), _) if !end.is_alphanumeric() => (None, end),
            _ => {
                return Err(self.cursor.fail(
                    self.cursor.at,
                    "the ISA does not end: expected a component separator and a terminator",
                ));
            }
        };
        let component = component.filter(|c| *c != separator && !c.is_alphanumeric() && !c.is_whitespace());
        let elements: Vec<&str> = after.split(separator).take(13).collect();
        let repetition = match (elements.get(11), elements.get(12)) {
            (Some(sign), Some(version)) if *version >= "00402" => {
                let mut signs = sign.chars();
                signs.next().filter(|c| {
                    signs.next().is_none()
                        && !c.is_alphanumeric()
                        && !" -._/,".contains(*c)
                        && *c != separator
                        && Some(*c) != component
                })
            }
            _ => None,
        };
        Ok(Separators { element: separator, component, repetition, terminator })
    }

    fn segment(&mut self, by: Separators) -> Result<Option<Segment<'a>>, ParseError> {
        loop {
            self.cursor.blank();
            let rest = self.cursor.rest();
            if rest.is_empty() {
                return Ok(None);
            }
            let start = self.cursor.at;
            let end = rest.find(by.terminator);
            self.cursor.at += end.map_or(rest.len(), |end| end + by.terminator.len_utf8());
            let raw = &rest[..end.unwrap_or(rest.len())];
            let raw = if by.terminator == '\n' {
                Cow::Borrowed(raw.trim_end_matches('\r'))
            } else if raw.contains(['\n', '\r']) {
                Cow::Owned(raw.replace(['\n', '\r'], ""))
            } else {
                Cow::Borrowed(raw)
            };
            if raw.trim().is_empty() {
                continue;
            }
            self.cursor.number += 1;
            let segment = match raw {
                Cow::Borrowed(raw) => split(raw, by, self.cursor.number, start),
                Cow::Owned(raw) => split(&raw, by, self.cursor.number, start).map(owned),
            };
            return match segment {
                Some(segment) => Ok(Some(segment)),
                None => Err(self.cursor.fail(
                    start,
                    format!(
                        "segment {}: expected a tag such as N1 or PO1, found `{}`",
                        self.cursor.number,
                        short(rest.get(..20).unwrap_or(rest).trim())
                    ),
                )),
            };
        }
    }

    fn interchange(
        &mut self,
        by: Separators,
        messages: &mut Messages<'a, '_>,
        counts: bool,
    ) -> Result<(), ParseError> {
        let mut envelope = Envelope::default();
        let begins = self.cursor.at;
        let Some(header) = self.segment(by)? else { return Ok(()) };
        header.text("13").clone_into(&mut envelope.interchange);
        messages.around(trimmed(header), true);
        loop {
            self.cursor.blank();
            if self.cursor.rest().is_empty() || self.cursor.rest().starts_with("ISA") {
                let why = format!("the interchange {} is cut off: it has no IEA", envelope.interchange);
                messages.spoil(format!("the message has no SE; {why}"));
                messages.end().map_err(|error| self.cursor.fail(begins, error))?;
                messages.lost(why);
                return Ok(());
            }
            let Some(segment) = self.segment(by)? else { continue };
            let at = segment.byte;
            let wrong = |messages: &mut Messages<'_, '_>, why: Option<String>| {
                if let (Some(why), true) = (why, counts) {
                    messages.lost(format!("segment {}: {why}", segment.number));
                }
            };
            match segment.tag.as_ref() {
                "GS" => {
                    envelope.group = Some(segment.text("06").to_owned());
                    envelope.groups += 1;
                    envelope.messages = 0;
                    messages.around(segment, false);
                }
                "ST" => {
                    messages
                        .spoil(format!("segment {}: ST, and the message before has no SE", segment.number));
                    messages.end().map_err(|error| self.cursor.fail(at, error))?;
                    envelope.messages += 1;
                    messages.begin(segment);
                }
                "SE" if messages.is_open() => {
                    if let (Some(why), true) = (trailer(messages, &segment), counts) {
                        messages.spoil(format!("segment {}: {why}", segment.number));
                    }
                    messages.add(segment);
                    messages.end().map_err(|error| self.cursor.fail(at, error))?;
                }
                "GE" => {
                    messages
                        .spoil(format!("segment {}: GE, and the message before has no SE", segment.number));
                    messages.end().map_err(|error| self.cursor.fail(at, error))?;
                    let begun = envelope.group.take().unwrap_or_default();
                    let why = closing("GE", &segment, envelope.messages, "messages", &begun);
                    wrong(messages, why);
                    messages.forget("GS");
                }
                "IEA" => {
                    messages
                        .spoil(format!("segment {}: IEA, and the message before has no SE", segment.number));
                    messages.end().map_err(|error| self.cursor.fail(at, error))?;
                    let why = closing("IEA", &segment, envelope.groups, "groups", &envelope.interchange);
                    wrong(messages, why);
                    return Ok(());
                }
                "TA1" => {
                    messages.begin(segment);
                    messages.end().map_err(|error| self.cursor.fail(at, error))?;
                }
                _ if messages.is_open() => messages.add(segment),
                tag => {
                    let message = format!(
                        "segment {}: {tag} stands in no message: expected ST before it",
                        segment.number
                    );
                    return Err(self.cursor.fail(at, message));
                }
            }
        }
    }
}

/// What does not fit between a message and its trailer.
fn trailer(messages: &Messages<'_, '_>, end: &Segment<'_>) -> Option<String> {
    let (count, begin) = messages.so_far()?;
    let (said, number) = (end.text("01"), end.text("02"));
    if said.trim().parse() != Ok(count + 1) {
        return Some(format!(
            "SE counts {said} segments, and there are {}: some may be lost (`counts = false` in [mapping] if this partner's \
             counts are wrong)",
            count + 1
        ));
    }
    let opened = begin.text("02");
    same(opened, number).then_some(()).map_or_else(
        || Some(format!("SE has the control number `{number}`, and ST has `{opened}`")),
        |()| None,
    )
}

fn closing(tag: &str, end: &Segment<'_>, count: usize, of: &str, opened: &str) -> Option<String> {
    let (said, number) = (end.text("01"), end.text("02"));
    if said.trim().parse() != Ok(count) {
        return Some(format!(
            "{tag} counts {said} {of}, and there are {count}: some may be lost (`counts = false` in [mapping] if this \
             partner's counts are wrong)"
        ));
    }
    (!same(opened, number))
        .then(|| format!("{tag} has the control number `{number}`, and it began with `{opened}`"))
}

/// Control numbers are numbers: `0001` is `1`.
fn same(a: &str, b: &str) -> bool {
    a.trim().trim_start_matches('0') == b.trim().trim_start_matches('0')
}

/// Without the padding of the ISA.
fn trimmed(mut segment: Segment<'_>) -> Segment<'_> {
    for (_, node) in &mut segment.elements {
        if let Node::Str(text) = node
            && text.trim().len() < text.len()
        {
            *text = Cow::Owned(text.trim().to_owned());
        }
    }
    segment
}

fn owned(segment: Segment<'_>) -> Segment<'static> {
    let elements = segment.elements.into_iter();
    Segment {
        tag: Cow::Owned(segment.tag.into_owned()),
        elements: elements.map(|(key, node)| (Cow::Owned(key.into_owned()), node.into_owned())).collect(),
        number: segment.number,
        byte: segment.byte,
    }
}

fn split(raw: &str, by: Separators, number: usize, byte: usize) -> Option<Segment<'_>> {
    let mut parts = raw.split(by.element);
    let tag = parts.next().unwrap_or_default().trim();
    if !is_tag(tag) {
        return None;
    }
    // The sixteenth element of the ISA is the component separator itself.
    let plain = tag == "ISA";
    let components = |text| match by.component.filter(|_| !plain) {
        Some(sign) => element(str::split(text, sign).map(Cow::Borrowed).collect()),
        None => Node::Str(Cow::Borrowed(text)),
    };
    let elements = parts
        .map(|text| match by.repetition.filter(|sign| !plain && text.contains(*sign)) {
            Some(sign) => Node::List(text.split(sign).map(components).collect()),
            None => components(text),
        })
        .collect();
    Some(Segment { tag: Cow::Borrowed(tag), elements: named(elements), number, byte })
}

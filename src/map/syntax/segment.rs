//! Segments: a tag and elements, which may have components. Shared by X12 and EDIFACT.

use std::borrow::Cow;
use std::collections::HashMap;

use super::loops::{Loops, nest};
use super::{FAULT, put};
use crate::map::json::problem;
use crate::map::node::{Node, ParseError};

/// Messages that one file may have: each repeats the segments of its envelope.
const MAX_MESSAGES: usize = 10_000;

/// Where a reader of segments stands.
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub at: usize,
    /// Of the segment read last, from 1.
    pub number: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0, number: 0 }
    }

    pub fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub fn fail(&self, byte: usize, message: impl Into<String>) -> ParseError {
        problem(self.text.as_bytes(), byte, message.into())
    }

    pub fn blank(&mut self) {
        let rest = self.rest();
        self.at += rest.len()
            - rest
                .trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{1a}' | '\0'))
                .len();
    }
}

/// One segment.
#[derive(Debug, Clone)]
pub(super) struct Segment<'a> {
    pub tag: Cow<'a, str>,
    /// `01`, `02` …; those in between that are empty as empty texts.
    pub elements: Vec<(Cow<'a, str>, Node<'a>)>,
    /// Its number in the file, from 1, and where it starts.
    pub number: usize,
    pub byte: usize,
}

impl Segment<'_> {
    /// The text of an element without components.
    pub fn text(&self, key: &str) -> &str {
        match self.elements.iter().find(|(name, _)| name == key) {
            Some((_, Node::Str(text))) => text,
            _ => "",
        }
    }
}

/// `01` for 1.
pub(super) fn element_name(number: usize) -> Cow<'static, str> {
    const NAMES: [&str; 40] = [
        "00", "01", "02", "03", "04", "05", "06", "07", "08", "09", "10", "11", "12", "13", "14", "15", "16",
        "17", "18", "19", "20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "30", "31", "32", "33",
        "34", "35", "36", "37", "38", "39",
    ];
    NAMES.get(number).map_or_else(|| Cow::Owned(format!("{number:02}")), |name| Cow::Borrowed(*name))
}

/// `1` for 1.
pub(super) fn component_name(number: usize) -> Cow<'static, str> {
    const NAMES: [&str; 10] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    NAMES.get(number).map_or_else(|| Cow::Owned(number.to_string()), |name| Cow::Borrowed(*name))
}

/// An element of these components; empty ones at the end are left out, and one alone is a text.
pub(super) fn element(mut components: Vec<Cow<'_, str>>) -> Node<'_> {
    while components.len() > 1 && components.last().is_some_and(|last| last.is_empty()) {
        components.pop();
    }
    if components.len() > 1 {
        let named = components.into_iter().enumerate();
        return Node::Map(named.map(|(at, text)| (component_name(at + 1), Node::Str(text))).collect());
    }
    Node::Str(components.pop().unwrap_or_default())
}

/// Drops what is empty at the end, and names the rest.
pub(super) fn named(mut elements: Vec<Node<'_>>) -> Vec<(Cow<'_, str>, Node<'_>)> {
    while matches!(elements.last(), Some(Node::Str(text)) if text.is_empty()) {
        elements.pop();
    }
    elements.into_iter().enumerate().map(|(at, node)| (element_name(at + 1), node)).collect()
}

/// Whether a text can be a segment's tag.
pub(super) fn is_tag(text: &str) -> bool {
    (2..=3).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// The message that is being read.
struct Open<'a> {
    segments: Vec<Segment<'a>>,
    fault: Option<String>,
}

/// Collects the messages of a file, each with the segments of its envelope before it.
pub(super) struct Messages<'a, 'l> {
    loops: &'l Loops,
    done: Vec<Node<'a>>,
    /// Segments of the interchange and the group.
    envelope: Vec<Segment<'a>>,
    open: Option<Open<'a>>,
}

impl<'a, 'l> Messages<'a, 'l> {
    pub fn new(loops: &'l Loops) -> Self {
        Self { loops, done: Vec::new(), envelope: Vec::new(), open: None }
    }

    /// Takes a segment of the envelope; those of the same kind and inside it are over.
    pub fn around(&mut self, segment: Segment<'a>, outermost: bool) {
        if outermost {
            self.envelope.clear();
        }
        self.envelope.retain(|known| known.tag != segment.tag);
        self.envelope.push(segment);
    }

    /// The group is over.
    pub fn forget(&mut self, tag: &str) {
        self.envelope.retain(|known| known.tag != tag);
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    pub fn begin(&mut self, segment: Segment<'a>) {
        self.open = Some(Open { segments: vec![segment], fault: None });
    }

    pub fn add(&mut self, segment: Segment<'a>) {
        if let Some(open) = &mut self.open {
            open.segments.push(segment);
        }
    }

    /// How many segments the open message has so far, and its first.
    pub fn so_far(&self) -> Option<(usize, &Segment<'a>)> {
        let open = self.open.as_ref()?;
        Some((open.segments.len(), open.segments.first()?))
    }

    /// The open message cannot be used.
    pub fn spoil(&mut self, why: String) {
        if let Some(open) = &mut self.open {
            open.fault.get_or_insert(why);
        }
    }

    /// Ends the open message.
    pub fn end(&mut self) -> Result<(), String> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if self.done.len() >= MAX_MESSAGES {
            return Err(format!("more than {MAX_MESSAGES} messages in one file"));
        }
        let mut entries = Vec::new();
        let mut places = HashMap::new();
        for segment in &self.envelope {
            put(&mut entries, &mut places, segment.tag.clone(), Node::Map(segment.elements.clone()));
        }
        match nest(open.segments, self.loops) {
            Ok(own) => entries.extend(own),
            Err(why) => entries.push((Cow::Borrowed(FAULT), Node::Str(Cow::Owned(why)))),
        }
        if let Some(why) = open.fault {
            entries.push((Cow::Borrowed(FAULT), Node::Str(Cow::Owned(why))));
        }
        self.done.push(Node::Map(entries));
        Ok(())
    }

    /// Notes that a message may be lost; the others can be used.
    pub fn lost(&mut self, why: String) {
        if self.done.len() < MAX_MESSAGES {
            let fault = (Cow::Borrowed(FAULT), Node::Str(Cow::Owned(why)));
            self.done.push(Node::Map(vec![fault]));
        }
    }

    pub fn finish(self) -> Node<'a> {
        Node::Map(vec![(Cow::Borrowed("messages"), Node::List(self.done))])
    }
}

//! How payloads are written: JSON, form, XML, CSV and the segments of X12 and EDIFACT. All become one tree of
//! [`Node`]s, so that a mapping reads them in the same way.
//!
//! Limits: [`MAX_BYTES`] a payload, [`MAX_DEPTH`](super::node::MAX_DEPTH) levels. Beyond them reading fails with the place.

mod csv;
mod edifact;
mod encoding;
mod form;
mod loops;
mod segment;
mod x12;
pub(super) mod write;
mod xml;

use std::borrow::Cow;

pub use encoding::Encoding;
pub use loops::{Loop, Loops};

use super::json::{self, problem};
use super::node::{Node, ParseError};
use super::wanted::Keys;

/// Bytes that a payload may have.
pub const MAX_BYTES: usize = 32 * 1024 * 1024;

/// A key of the tree that says why a message or row of the payload cannot be used; the others can.
pub(super) const FAULT: &str = "$error";
/// A key that holds the line of a row.
pub(super) const LINE: &str = "$line";

/// Why a row or message cannot be used, where the reader said so: of a row after its line, of a message at its end.
pub(super) fn fault<'n>(node: &'n Node<'_>) -> Option<&'n str> {
    let Node::Map(entries) = node else { return None };
    match entries.get(1).filter(|(key, _)| key == FAULT).or(entries.last().filter(|(key, _)| key == FAULT)) {
        Some((_, Node::Str(why))) => Some(why),
        _ => None,
    }
}

/// Which syntax.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyntaxKind {
    /// RFC 8259.
    #[default]
    Json,
    /// `application/x-www-form-urlencoded`.
    Form,
    /// XML 1.0, without definitions of its own.
    Xml,
    /// Rows of cells, RFC 4180 and its relatives.
    Csv,
    /// ASC X12: interchanges of segments.
    X12,
    /// UN/EDIFACT: the same with composite elements and a release character.
    Edifact,
}

impl SyntaxKind {
    /// All, with the names that mappings use.
    pub const ALL: [(&'static str, Self); 6] = [
        ("json", Self::Json),
        ("form", Self::Form),
        ("xml", Self::Xml),
        ("csv", Self::Csv),
        ("x12", Self::X12),
        ("edifact", Self::Edifact),
    ];

    /// Reads a name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind)
    }

    /// `json`, `xml` …
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// `JSON`, `XML` …, for messages.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Form => "form",
            Self::Xml => "XML",
            Self::Csv => "CSV",
            Self::X12 => "X12",
            Self::Edifact => "EDIFACT",
        }
    }

    /// The media type of such a body.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Form => "application/x-www-form-urlencoded",
            Self::Xml => "application/xml",
            Self::Csv => "text/csv; charset=utf-8",
            Self::X12 => "application/edi-x12",
            Self::Edifact => "application/edifact",
        }
    }

    /// Where its records stand unless a mapping says so.
    pub(super) fn records(self) -> &'static str {
        match self {
            Self::Json | Self::Form | Self::Xml => "$",
            Self::Csv => "rows[*]",
            Self::X12 | Self::Edifact => "messages[*]",
        }
    }
}

/// A syntax and what a mapping says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// Which.
    pub kind: SyntaxKind,
    /// How the bytes stand for signs, if not UTF-8.
    pub encoding: Option<Encoding>,
    /// CSV: what stands between cells; otherwise the first line shows it.
    pub delimiter: Option<u8>,
    /// CSV: whether the first row names the columns.
    pub header: bool,
    /// CSV: names of the columns, where no row names them.
    pub columns: Vec<String>,
    /// XML: whether names keep their prefix.
    pub prefixes: bool,
    /// X12, EDIFACT: whether the counts and control numbers of trailers must fit.
    pub counts: bool,
    /// Which segments, or rows of a CSV without header, belong below which.
    pub loops: Loops,
}

impl Default for Syntax {
    fn default() -> Self {
        Self {
            kind: SyntaxKind::Json,
            encoding: None,
            delimiter: None,
            header: true,
            columns: Vec::new(),
            prefixes: false,
            counts: true,
            loops: Loops::default(),
        }
    }
}

impl Syntax {
    /// The syntax of this kind, without further settings.
    #[must_use]
    pub fn of(kind: SyntaxKind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// When the bytes are no such payload, are nested too deep or are too many, with the place.
    pub fn read<'a>(&self, bytes: &'a [u8]) -> Result<Node<'a>, ParseError> {
        if bytes.len() > MAX_BYTES {
            let message = format!("the payload has {} bytes; at most {MAX_BYTES} are read", bytes.len());
            return Err(problem(&[], 0, message));
        }
        match self.kind {
            SyntaxKind::Json if self.encoding.is_none() => return json::parse(bytes),
            SyntaxKind::Form => return form::parse(bytes),
            _ => {}
        }
        match encoding::decode(bytes, self.kind, self.encoding)? {
            Cow::Borrowed(text) => self.read_text(text),
            Cow::Owned(text) => self.read_text(&text).map(Node::into_owned),
        }
    }

    /// Reads what is wanted of a payload. `None` where the whole must be read, or cannot be.
    pub(super) fn read_wanted<'a>(&self, bytes: &'a [u8], keys: &Keys) -> Option<Node<'a>> {
        if self.kind != SyntaxKind::Json || self.encoding.is_some() || bytes.len() > MAX_BYTES {
            return None;
        }
        json::parse_wanted(bytes, keys)
    }

    fn read_text<'a>(&self, text: &'a str) -> Result<Node<'a>, ParseError> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        match self.kind {
            SyntaxKind::Json => json::parse(text.as_bytes()),
            SyntaxKind::Form => form::parse(text.as_bytes()).map(Node::into_owned),
            SyntaxKind::Xml => xml::parse(text, self.prefixes),
            SyntaxKind::Csv => csv::parse(text, self),
            SyntaxKind::X12 => x12::parse(text, self),
            SyntaxKind::Edifact => edifact::parse(text, self),
        }
    }
}

/// Puts `node` below `name`: what comes again makes a list.
fn put<'a>(
    entries: &mut Vec<(Cow<'a, str>, Node<'a>)>,
    places: &mut std::collections::HashMap<Cow<'a, str>, usize>,
    name: Cow<'a, str>,
    node: Node<'a>,
) {
    match places.get(&name).and_then(|at| entries.get_mut(*at)) {
        Some((_, Node::List(items))) => items.push(node),
        Some((_, known)) => {
            let first = std::mem::replace(known, Node::Null);
            *known = Node::List(vec![first, node]);
        }
        None => {
            places.insert(name.clone(), entries.len());
            entries.push((name, node));
        }
    }
}

#[cfg(test)]
mod tests;

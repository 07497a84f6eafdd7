//! UN/EDIFACT. A UNA may name the separators; what the release character stands before is no separator.

use std::borrow::Cow;

use super::Syntax;
use super::segment::{Cursor, Messages, Segment, element, is_tag, named};
use crate::map::convert::short;
use crate::map::node::{Node, ParseError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Separators {
    component: char,
    element: char,
    decimal: char,
    release: Option<char>,
    repetition: Option<char>,
    terminator: char,
}

const USUAL: Separators = Separators {
    component: ':',
    element: '+',
    decimal: '.',
    release: Some('?'),
    repetition: None,
    terminator: '\'',
};

pub(super) fn parse<'a>(text: &'a str, syntax: &Syntax) -> Result<Node<'a>, ParseError> {
    let mut reader = Reader { cursor: Cursor::new(text), by: USUAL };
    let mut messages = Messages::new(&syntax.loops);
    reader.cursor.blank();
    if reader.cursor.rest().is_empty() {
        return Err(reader
            .cursor
            .fail(0, "expected an interchange, which begins with UNA or UNB, and the payload is empty"));
    }
    while !reader.cursor.rest().is_empty() {
        reader.advice()?;
        reader.interchange(&mut messages, syntax.counts)?;
        reader.cursor.blank();
    }
    Ok(messages.finish())
}

struct Reader<'a> {
    cursor: Cursor<'a>,
    by: Separators,
}

impl<'a> Reader<'a> {
    /// `UNA:+.? '`.
    fn advice(&mut self) -> Result<(), ParseError> {
        self.cursor.blank();
        let Some(after) = self.cursor.rest().strip_prefix("UNA") else {
            self.by = USUAL;
            return Ok(());
        };
        let signs: Vec<char> = after.chars().take(6).collect();
        let [component, element, decimal, release, reserved, terminator] = signs[..] else {
            return Err(self.cursor.fail(self.cursor.at, "UNA is cut off: six signs follow it"));
        };
        let own = [component, element, terminator];
        if own.iter().any(|c| c.is_alphanumeric() || c.is_whitespace())
            || component == element
            || element == terminator
        {
            return Err(self.cursor.fail(self.cursor.at, format!("UNA names `{component}`, `{element}` and `{terminator}` as separators; expected three different signs")));
        }
        let unless_blank = |sign: char| (sign != ' ').then_some(sign);
        self.by = Separators {
            component,
            element,
            decimal,
            release: unless_blank(release),
            repetition: unless_blank(reserved).filter(|sign| !own.contains(sign) && *sign == '*'),
            terminator,
        };
        self.cursor.at += 3 + signs.iter().map(|c| c.len_utf8()).sum::<usize>();
        Ok(())
    }

    fn segment(&mut self) -> Result<Option<Segment<'a>>, ParseError> {
        self.cursor.blank();
        let rest = self.cursor.rest();
        if rest.is_empty() {
            return Ok(None);
        }
        let start = self.cursor.at;
        let mut end = None;
        let mut escaped = false;
        for (at, c) in rest.char_indices() {
            if escaped {
                escaped = false;
            } else if Some(c) == self.by.release {
                escaped = true;
            } else if c == self.by.terminator {
                end = Some(at);
                break;
            }
        }
        self.cursor.number += 1;
        let Some(end) = end else {
            let message =
                format!("segment {}: it has no end: expected `{}`", self.cursor.number, self.by.terminator);
            return Err(self.cursor.fail(start, message));
        };
        self.cursor.at += end + self.by.terminator.len_utf8();
        let segment = self.split(&rest[..end], start);
        if segment.is_none() {
            let found = short(rest[..end].trim());
            let message =
                format!("segment {}: expected a tag such as NAD or LIN, found `{found}`", self.cursor.number);
            return Err(self.cursor.fail(start, message));
        }
        Ok(segment)
    }

    fn split(&self, raw: &'a str, byte: usize) -> Option<Segment<'a>> {
        let by = self.by;
        let mut elements: Vec<Node<'a>> = Vec::new();
        let mut tag: Option<Cow<'a, str>> = None;
        let mut repeated: Vec<Node<'a>> = Vec::new();
        let mut components: Vec<Cow<'a, str>> = Vec::new();
        let mut piece = Piece { raw, start: 0, owned: None };
        let mut escaped = false;
        let end = raw.len();
        let mut finish = |node: Node<'a>, repeated: &mut Vec<Node<'a>>| match tag {
            None => {
                tag = Some(node.text().map(|text| Cow::Owned(text.trim().to_owned())).unwrap_or_default());
            }
            Some(_) if repeated.is_empty() => elements.push(node),
            Some(_) => {
                let mut all = std::mem::take(repeated);
                all.push(node);
                elements.push(Node::List(all));
            }
        };
        for (at, c) in raw.char_indices() {
            let next = at + c.len_utf8();
            if escaped {
                piece.push(c);
                escaped = false;
            } else if Some(c) == by.release {
                piece.break_at(at);
                escaped = true;
            } else if c == by.component || c == by.element || Some(c) == by.repetition {
                components.push(piece.take(at, next, by.decimal));
                if c != by.component {
                    let node = element(std::mem::take(&mut components));
                    if c == by.element {
                        finish(node, &mut repeated);
                    } else {
                        repeated.push(node);
                    }
                }
            } else if matches!(c, '\n' | '\r') {
                piece.break_at(at);
            } else {
                piece.keep(c);
            }
        }
        components.push(piece.take(end, end, by.decimal));
        finish(element(components), &mut repeated);
        let tag = tag.filter(|tag| is_tag(tag))?;
        Some(Segment { tag, elements: named(elements), number: self.cursor.number, byte })
    }

    fn interchange(&mut self, messages: &mut Messages<'a, '_>, counts: bool) -> Result<(), ParseError> {
        let begins = self.cursor.at;
        let Some(header) = self.segment()? else { return Ok(()) };
        if header.tag != "UNB" {
            let message =
                format!("expected an interchange, which begins with UNA or UNB, found {}", header.tag);
            return Err(self.cursor.fail(begins, message));
        }
        let reference = header.text("05").to_owned();
        messages.around(header, true);
        let (mut groups, mut count) = (0_usize, 0_usize);
        loop {
            self.cursor.blank();
            if self.cursor.rest().is_empty()
                || self.cursor.rest().starts_with("UNB")
                || self.cursor.rest().starts_with("UNA")
            {
                let why = format!("the interchange {reference} is cut off: it has no UNZ");
                messages.spoil(format!("the message has no UNT; {why}"));
                messages.end().map_err(|error| self.cursor.fail(begins, error))?;
                messages.lost(why);
                return Ok(());
            }
            let Some(segment) = self.segment()? else { continue };
            let at = segment.byte;
            match segment.tag.as_ref() {
                "UNG" => {
                    groups += 1;
                    messages.around(segment, false);
                }
                "UNE" => messages.forget("UNG"),
                "UNH" => {
                    messages
                        .spoil(format!("segment {}: UNH, and the message before has no UNT", segment.number));
                    messages.end().map_err(|error| self.cursor.fail(at, error))?;
                    count += 1;
                    messages.begin(segment);
                }
                "UNT" if messages.is_open() => {
                    if let (Some(why), true) = (trailer(messages, &segment), counts) {
                        messages.spoil(format!("segment {}: {why}", segment.number));
                    }
                    messages.add(segment);
                    messages.end().map_err(|error| self.cursor.fail(at, error))?;
                }
                "UNZ" => {
                    messages
                        .spoil(format!("segment {}: UNZ, and the message before has no UNT", segment.number));
                    messages.end().map_err(|error| self.cursor.fail(at, error))?;
                    let expected = if groups > 0 { groups } else { count };
                    let said = segment.text("01");
                    if counts && said.trim().parse() != Ok(expected) {
                        messages.lost(format!(
                            "segment {}: UNZ counts {said} messages, and there are {expected}: some may be lost (`counts = \
                             false` in [mapping] if this partner's counts are wrong)",
                            segment.number
                        ));
                    }
                    return Ok(());
                }
                _ if messages.is_open() => messages.add(segment),
                tag => {
                    let message = format!(
                        "segment {}: {tag} stands in no message: expected UNH before it",
                        segment.number
                    );
                    return Err(self.cursor.fail(at, message));
                }
            }
        }
    }
}

/// A component on its way: borrowed as long as nothing in it is taken out.
struct Piece<'a> {
    raw: &'a str,
    start: usize,
    owned: Option<String>,
}

impl<'a> Piece<'a> {
    /// What comes at `at` is left out.
    fn break_at(&mut self, at: usize) {
        if self.owned.is_none() {
            self.owned = Some(self.raw.get(self.start..at).unwrap_or_default().to_owned());
        }
    }

    fn push(&mut self, c: char) {
        self.keep(c);
    }

    fn keep(&mut self, c: char) {
        if let Some(text) = &mut self.owned {
            text.push(c);
        }
    }

    fn take(&mut self, end: usize, next: usize, decimal: char) -> Cow<'a, str> {
        let text = match self.owned.take() {
            Some(text) => Cow::Owned(text),
            None => Cow::Borrowed(self.raw.get(self.start..end).unwrap_or_default()),
        };
        self.start = next;
        if decimal == ',' && is_number_with_comma(&text) { Cow::Owned(text.replace(',', ".")) } else { text }
    }
}

fn is_number_with_comma(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.split_once(',').is_some_and(|(whole, part)| {
        let all = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        all(whole) && all(part)
    })
}

/// What does not fit between a message and its trailer.
fn trailer(messages: &Messages<'_, '_>, end: &Segment<'_>) -> Option<String> {
    let (count, begin) = messages.so_far()?;
    let (said, number) = (end.text("01"), end.text("02"));
    if said.trim().parse() != Ok(count + 1) {
        return Some(format!(
            "UNT counts {said} segments, and there are {}: some may be lost (`counts = false` in [mapping] if this partner's \
             counts are wrong)",
            count + 1
        ));
    }
    let opened = begin.text("01");
    (opened.trim() != number.trim())
        .then(|| format!("UNT has the reference `{number}`, and UNH has `{opened}`"))
}

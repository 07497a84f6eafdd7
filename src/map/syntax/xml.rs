//! XML: elements and attributes are steps, repeated elements are lists, prefixes are dropped unless kept.
//! An element with text only is the text; with attributes besides, the text stands at `$text`, and reading the element
//! itself gives it. No document type definitions: the five entities of XML and numeric references are all there is.

use std::borrow::Cow;
use std::collections::HashMap;

use quick_xml::Reader;
use quick_xml::XmlVersion;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};

use super::put;
use crate::map::json::problem;
use crate::map::node::{MAX_DEPTH, Node, ParseError, TEXT};

/// Attributes that one element may have.
const MAX_ATTRIBUTES: usize = 1_000;

/// An element that is open.
struct Open<'a> {
    name: Cow<'a, str>,
    attributes: Vec<(Cow<'a, str>, Node<'a>)>,
    children: Vec<(Cow<'a, str>, Node<'a>)>,
    places: HashMap<Cow<'a, str>, usize>,
    text: Cow<'a, str>,
    nil: bool,
}

impl<'a> Open<'a> {
    fn new(name: Cow<'a, str>) -> Self {
        Self {
            name,
            attributes: Vec::new(),
            children: Vec::new(),
            places: HashMap::new(),
            text: Cow::Borrowed(""),
            nil: false,
        }
    }

    fn add_text(&mut self, more: Cow<'a, str>) {
        if self.text.is_empty() {
            self.text = more;
        } else {
            self.text.to_mut().push_str(&more);
        }
    }

    fn node(self) -> Node<'a> {
        let text = trimmed(self.text);
        if self.nil {
            return Node::Null;
        }
        if self.attributes.is_empty() && self.children.is_empty() {
            return Node::Str(text);
        }
        let mut entries = Vec::with_capacity(self.attributes.len() + self.children.len() + 1);
        if !text.is_empty() {
            entries.push((Cow::Borrowed(TEXT), Node::Str(text)));
        }
        for (name, value) in self.attributes {
            // An element of the same name keeps it.
            let name = if self.places.contains_key(&name) { Cow::Owned(format!("@{name}")) } else { name };
            entries.push((name, value));
        }
        entries.extend(self.children);
        Node::Map(entries)
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

pub(super) fn parse(text: &str, prefixes: bool) -> Result<Node<'_>, ParseError> {
    let fail =
        |byte: u64, message: String| problem(text.as_bytes(), usize::try_from(byte).unwrap_or(0), message);
    let mut reader = Reader::from_str(text);
    let mut open = vec![Open::new(Cow::Borrowed(""))];
    loop {
        let at = reader.buffer_position();
        let event = reader
            .read_event()
            .map_err(|error| fail(reader.error_position().max(at), format!("no XML: {error}")))?;
        match event {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH {
                    return Err(fail(at, format!("nested deeper than {MAX_DEPTH} levels")));
                }
                open.push(element(&start, prefixes).map_err(|message| fail(at, message))?);
            }
            Event::Empty(start) => {
                let element = element(&start, prefixes).map_err(|message| fail(at, message))?;
                close(&mut open, element);
            }
            Event::End(_) => {
                if open.len() > 1
                    && let Some(element) = open.pop()
                {
                    close(&mut open, element);
                }
            }
            Event::Text(part) => {
                let part = part.into_inner();
                if let [_, .., element] = open.as_mut_slice() {
                    element.add_text(part);
                } else if !part.trim().is_empty() {
                    return Err(fail(at, "text outside of the root element".to_owned()));
                }
            }
            Event::CData(part) => {
                if let [_, .., element] = open.as_mut_slice() {
                    element.add_text(part.into_inner());
                }
            }
            Event::GeneralRef(name) => {
                let resolved = if name.is_char_ref() {
                    name.resolve_char_ref().ok().flatten().map(|c| Cow::Owned(c.to_string()))
                } else {
                    resolve_xml_entity(&name).map(Cow::Borrowed)
                };
                let Some(resolved) = resolved else {
                    return Err(fail(
                        at,
                        format!(
                            "the entity `&{};` is not known; expected &amp; &lt; &gt; &quot; &apos; or a number",
                            &*name
                        ),
                    ));
                };
                if let [_, .., element] = open.as_mut_slice() {
                    element.add_text(resolved);
                }
            }
            Event::DocType(doctype) => {
                if doctype.contains('[') {
                    return Err(fail(
                        at,
                        "a document type with definitions of its own is not read".to_owned(),
                    ));
                }
            }
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    if let [_, .., last] = open.as_slice() {
        let name = last.name.clone();
        return Err(fail(text.len().try_into().unwrap_or(0), format!("`<{name}>` does not end")));
    }
    let root = open.pop().map(|root| root.children).unwrap_or_default();
    match root.as_slice() {
        [(_, Node::List(_))] | [_, _, ..] => Err(fail(0, "more than one root element".to_owned())),
        [] => Err(fail(0, "expected XML, found no element".to_owned())),
        _ => Ok(Node::Map(root)),
    }
}

fn close<'a>(open: &mut [Open<'a>], mut element: Open<'a>) {
    if let Some(around) = open.last_mut() {
        let name = std::mem::take(&mut element.name);
        put(&mut around.children, &mut around.places, name, element.node());
    }
}

/// The name without its prefix.
fn local(name: &str, prefixes: bool) -> String {
    match name.split_once(':') {
        Some((_, local)) if !prefixes => local.to_owned(),
        _ => name.to_owned(),
    }
}

fn element<'a>(start: &BytesStart<'_>, prefixes: bool) -> Result<Open<'a>, String> {
    let mut element = Open::new(Cow::Owned(local(start.name().as_ref(), prefixes)));
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|error| format!("no XML: {error}"))?;
        let name: &str = attribute.key.as_ref();
        if name == "xmlns" || name.starts_with("xmlns:") {
            continue;
        }
        if element.attributes.len() >= MAX_ATTRIBUTES {
            return Err(format!("an element of more than {MAX_ATTRIBUTES} attributes"));
        }
        let value = attribute
            .normalized_value(XmlVersion::Implicit1_0)
            .map_err(|error| format!("the attribute `{name}`: {error}"))?;
        if (name == "nil" || name.ends_with(":nil")) && matches!(value.as_ref(), "true" | "1") {
            element.nil = true;
            continue;
        }
        let name = Cow::Owned(local(name, prefixes));
        if !element.attributes.iter().any(|(known, _)| *known == name) {
            element.attributes.push((name, Node::Str(Cow::Owned(value.into_owned()))));
        }
    }
    Ok(element)
}

//! A parsed payload. Texts are borrowed from the bytes where they have no escapes, numbers keep the text in which they
//! were written (so that money never goes through a float), and objects keep the order of their keys.

use std::borrow::Cow;
use std::fmt::Write as _;

use thiserror::Error;

use super::json;
use super::syntax;

/// How deep a payload may be nested.
pub const MAX_DEPTH: usize = 128;

/// The key of the text of an XML element that has attributes or elements besides. Reading the element gives it.
pub(super) const TEXT: &str = "$text";

/// One value of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Node<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it was written.
    Num(Cow<'a, str>),
    /// A text.
    Str(Cow<'a, str>),
    /// A list.
    List(Vec<Node<'a>>),
    /// An object; of a key that comes twice, the last value.
    Map(Vec<(Cow<'a, str>, Node<'a>)>),
}

/// Why bytes are no payload.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// Byte from 0.
    pub byte: usize,
    /// Line from 1.
    pub line: usize,
    /// Column in bytes, from 1.
    pub column: usize,
    /// What was expected.
    pub message: String,
}

impl<'a> Node<'a> {
    /// Reads JSON (RFC 8259). A byte-order mark at the start is skipped.
    ///
    /// # Errors
    /// When the bytes are no JSON or are nested deeper than [`MAX_DEPTH`], with the place.
    pub fn parse_json(bytes: &'a [u8]) -> Result<Self, ParseError> {
        json::parse(bytes)
    }

    /// Reads `application/x-www-form-urlencoded`; `a[b]=1` gives an object in `a`, `a[]=1` a list.
    ///
    /// # Errors
    /// When the bytes are no such form.
    pub fn from_form(bytes: &[u8]) -> Result<Node<'static>, ParseError> {
        syntax::Syntax::of(syntax::SyntaxKind::Form).read(bytes).map(Node::into_owned)
    }

    /// The same value as a payload that borrows from it.
    #[must_use]
    pub fn from_value(value: &'a serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(yes) => Self::Bool(*yes),
            Value::Number(number) => Self::Num(Cow::Owned(number.to_string())),
            Value::String(text) => Self::Str(Cow::Borrowed(text)),
            Value::Array(items) => Self::List(items.iter().map(Self::from_value).collect()),
            Value::Object(entries) => Self::Map(
                entries
                    .iter()
                    .map(|(key, value)| (Cow::Borrowed(key.as_str()), Self::from_value(value)))
                    .collect(),
            ),
        }
    }

    /// The same, borrowing nothing.
    #[must_use]
    pub fn into_owned(self) -> Node<'static> {
        match self {
            Self::Null => Node::Null,
            Self::Bool(yes) => Node::Bool(yes),
            Self::Num(text) => Node::Num(Cow::Owned(text.into_owned())),
            Self::Str(text) => Node::Str(Cow::Owned(text.into_owned())),
            Self::List(items) => Node::List(items.into_iter().map(Node::into_owned).collect()),
            Self::Map(entries) => Node::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned()))
                    .collect(),
            ),
        }
    }

    /// The value of `key`, if this is an object that has it.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Node<'a>> {
        match self {
            Self::Map(entries) => entries.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The items, if this is a list.
    #[must_use]
    pub fn items(&self) -> Option<&[Node<'a>]> {
        match self {
            Self::List(items) => Some(items),
            _ => None,
        }
    }

    /// The text of a scalar: a number as it was written, `true` or `false`; of an XML element its text. `None` for null,
    /// lists and other objects.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Bool(true) => Some(Cow::Borrowed("true")),
            Self::Bool(false) => Some(Cow::Borrowed("false")),
            Self::Num(text) | Self::Str(text) => Some(Cow::Borrowed(text)),
            Self::Map(entries) => match entries.first() {
                Some((key, Self::Str(text))) if key == TEXT => Some(Cow::Borrowed(text)),
                _ => None,
            },
            Self::Null | Self::List(_) => None,
        }
    }

    /// Whether it says nothing: null, a blank text, `{}`, `[]` or `[""]`.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Str(text) => text.trim().is_empty(),
            Self::Map(entries) => entries.is_empty(),
            Self::List(items) => match items.as_slice() {
                [] | [Self::Null] => true,
                [Self::Str(text)] => text.trim().is_empty(),
                _ => false,
            },
            Self::Bool(_) | Self::Num(_) => false,
        }
    }

    /// What kind of value it is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a yes-or-no value",
            Self::Num(_) => "a number",
            Self::Str(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }

    /// Compact JSON; numbers as they were written.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
            Self::Num(text) => out.push_str(text),
            Self::Str(text) => write_text(text, out),
            Self::List(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    item.write_json(out);
                }
                out.push(']');
            }
            Self::Map(entries) => {
                out.push('{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    write_text(key, out);
                    out.push(':');
                    value.write_json(out);
                }
                out.push('}');
            }
        }
    }
}

fn write_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Node<'_> {
        Node::parse_json(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn numbers_keep_their_text_and_keys_their_order() {
        let text = r#"{"b":12345678901234567890123.10,"a":[1e2,-0.50],"c":{"z":null,"y":true}}"#;
        assert_eq!(parse(text).to_json(), text);
    }

    #[test]
    fn texts_are_borrowed_unless_they_have_escapes() {
        let node = parse(r#"["plain","a\n\u00e9\ud83d\ude00\"","\ud83d"]"#);
        let Node::List(items) = &node else { panic!() };
        assert!(matches!(&items[0], Node::Str(Cow::Borrowed("plain"))));
        assert_eq!(items[1], Node::Str("a\né😀\"".into()));
        assert_eq!(items[2], Node::Str("\u{fffd}".into()));
        assert_eq!(parse(&node.to_json()), node);
    }

    #[test]
    fn the_last_of_doubled_keys_wins() {
        assert_eq!(parse(r#"{"a":1,"b":2,"a":3}"#).to_json(), r#"{"a":3,"b":2}"#);
    }

    #[test]
    fn errors_tell_the_place() {
        let error = Node::parse_json(b"{\n  \"a\": 01\n}").unwrap_err();
        assert_eq!((error.line, error.column), (2, 9));
        assert_eq!(error.to_string(), "line 2, column 9: expected `,` or `}`, found `1`");
        for bad in
            ["", "{", "[1,]", "{\"a\" 1}", "nul", "\"\\x\"", "\"\\u12\"", "\"\u{1}\"", "1 2", "-", "1.", "+1"]
        {
            assert!(Node::parse_json(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Node::parse_json(b"\"\xff\"").unwrap_err().message.contains("UTF-8"));
        assert!(
            Node::parse_json("[".repeat(MAX_DEPTH + 1).as_bytes()).unwrap_err().message.contains("deeper")
        );
        let deep = format!("{}{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(Node::parse_json(deep.as_bytes()).is_ok());
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(parse("\u{feff} 1 "), Node::Num("1".into()));
    }

    #[test]
    fn blank_values_are_absent_and_zero_is_not() {
        for text in ["null", "\"\"", "\"  \"", "{}", "[]", "[\"\"]"] {
            assert!(parse(text).is_absent(), "{text}");
        }
        for text in ["0", "false", "[0]", "\"0\""] {
            assert!(!parse(text).is_absent(), "{text}");
        }
    }

    #[test]
    fn forms_nest() {
        let form = Node::from_form(b"a=1&b[c]=x+y&d[]=1&d[]=2").unwrap();
        assert_eq!(form.to_json(), r#"{"a":"1","b":{"c":"x y"},"d":["1","2"]}"#);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_parse_or_fail_quietly(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            let _ = Node::parse_json(&bytes);
            let _ = Node::from_form(&bytes);
        }

        #[test]
        fn what_serde_reads_we_read(text in "[\\[\\]{}:,\"a0-9.eE\\\\un -]{0,40}") {
            let ours = Node::parse_json(text.as_bytes()).is_ok();
            if serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok() {
                proptest::prop_assert!(ours, "{text}");
            }
        }
    }
}

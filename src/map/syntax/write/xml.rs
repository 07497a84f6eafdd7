//! XML: keys are elements, `@` before a key makes an attribute, `$text` is the text besides, lists repeat their element.

use std::fmt::Write as _;

use serde_json::Value;

use super::{Written, text};
use crate::map::convert::Trouble;
use crate::map::node::TEXT;

pub(super) fn write(body: &Written) -> Result<String, Trouble> {
    let root = match body {
        Written::Object(fields) => fields.as_slice(),
        _ => &[],
    };
    let [(name, root)] = root else {
        return Err(Trouble::new(
            "bad_value",
            format!("the body has {} root elements; XML has one", root.len()),
        )
        .help("write [body.Order] and its elements below"));
    };
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    element(name, root, &mut out)?;
    out.push('\n');
    Ok(out)
}

fn element(name: &str, body: &Written, out: &mut String) -> Result<(), Trouble> {
    match body {
        Written::List(items) => items.iter().try_for_each(|item| element(name, item, out)),
        Written::Value(value @ (Value::Array(_) | Value::Object(_))) => {
            element(name, &Written::of(value), out)
        }
        Written::Value(value) => {
            if let Some(text) = text(value) {
                named(name)?;
                // Writing to a text cannot fail.
                let _ = write!(out, "<{name}>{}</{name}>", escaped(&text));
            }
            Ok(())
        }
        Written::Object(fields) => {
            named(name)?;
            let _ = write!(out, "<{name}");
            let mut content = String::new();
            for (key, value) in fields {
                if let Some(attribute) = key.strip_prefix('@') {
                    named(attribute)?;
                    let Written::Value(value) = value else {
                        return Err(Trouble::new(
                            "bad_value",
                            format!("the attribute `{attribute}` is no single value"),
                        ));
                    };
                    if let Some(text) = text(value) {
                        let _ = write!(out, " {attribute}=\"{}\"", escaped(&text));
                    }
                } else if key == TEXT {
                    if let Written::Value(value) = value {
                        content.push_str(&escaped(&text(value).unwrap_or_default()));
                    }
                } else {
                    element(key, value, &mut content)?;
                }
            }
            if content.is_empty() {
                out.push_str("/>");
            } else {
                let _ = write!(out, ">{content}</{name}>");
            }
            Ok(())
        }
    }
}

fn named(name: &str) -> Result<(), Trouble> {
    let first = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let rest = name.chars().all(|c| c.is_alphanumeric() || "-_.:".contains(c));
    if first && rest {
        return Ok(());
    }
    Err(Trouble::new("bad_value", format!("`{name}` is no name of an XML element")))
}

/// What XML cannot say at all becomes a blank.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\r' => out.push_str("&#13;"),
            '\n' | '\t' => out.push(c),
            c if u32::from(c) < 0x20 || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

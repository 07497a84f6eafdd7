//! Writes what an outbound mapping made in the partner's syntax.

mod csv;
mod segments;
mod xml;

use serde_json::{Map, Value};

use super::{Syntax, SyntaxKind};
use crate::map::convert::Trouble;

/// What an outbound mapping makes: JSON whose objects keep the order of the mapping.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::map) enum Written {
    Value(Value),
    List(Vec<Written>),
    Object(Vec<(String, Written)>),
}

impl Written {
    pub fn into_value(self) -> Value {
        match self {
            Self::Value(value) => value,
            Self::List(items) => Value::Array(items.into_iter().map(Self::into_value).collect()),
            Self::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| (name, value.into_value()));
                Value::Object(fields.collect::<Map<_, _>>())
            }
        }
    }

    /// The same, of a value that was passed on whole.
    fn of(value: &Value) -> Self {
        match value {
            Value::Array(items) => Self::List(items.iter().map(Self::of).collect()),
            Value::Object(fields) => {
                Self::Object(fields.iter().map(|(name, value)| (name.clone(), Self::of(value))).collect())
            }
            scalar => Self::Value(scalar.clone()),
        }
    }
}

/// The text of a scalar; none for null.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        scalar => Some(scalar.to_string()),
    }
}

impl Syntax {
    /// The bytes of `body`; `columns` are those of a CSV, in order.
    pub(in crate::map) fn write(&self, body: Written, columns: &[String]) -> Result<Vec<u8>, Trouble> {
        let text = match self.kind {
            SyntaxKind::Json => body.into_value().to_string(),
            SyntaxKind::Form => form(&body),
            SyntaxKind::Xml => xml::write(&body)?,
            SyntaxKind::Csv => return csv::write(&body, columns, self),
            SyntaxKind::X12 => segments::x12(&body)?,
            SyntaxKind::Edifact => segments::edifact(&body)?,
        };
        Ok(text.into_bytes())
    }
}

/// Nested values as `a[b][0]=c`; nulls are left out.
fn form(body: &Written) -> String {
    let mut pairs = Vec::new();
    flatten(String::new(), body, &mut pairs);
    let mut out = url::form_urlencoded::Serializer::new(String::new());
    out.extend_pairs(pairs);
    out.finish()
}

fn flatten(name: String, body: &Written, pairs: &mut Vec<(String, String)>) {
    let below = |step: &str| if name.is_empty() { step.to_owned() } else { format!("{name}[{step}]") };
    match body {
        Written::Value(Value::Array(_) | Value::Object(_)) => {
            if let Written::Value(value) = body {
                flatten(name, &Written::of(value), pairs);
            }
        }
        Written::Value(value) => pairs.extend(text(value).map(|text| (name.clone(), text))),
        Written::List(items) => {
            for (at, item) in items.iter().enumerate() {
                flatten(below(&at.to_string()), item, pairs);
            }
        }
        Written::Object(fields) => {
            for (step, field) in fields {
                flatten(below(step), field, pairs);
            }
        }
    }
}

//! Runs a checked operation over JSON values.
//!
//! A resolver gives plain JSON objects that may hold more than was asked for; only what was selected goes out. A field
//! whose type is called `…Connection` may be given as a plain list: it is then cut into pages here. Items may carry
//! `__sort`, the value by which the list is ordered; cursors point behind an item, so a page stays right while the list
//! changes.

use std::cmp::Ordering;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::prepare::{Operation, Selected};
use super::schema::{Schema, Ty};

/// Why a field could not be resolved: the message, and more for the partner's form of it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldError {
    /// In words.
    pub message: String,
    /// The partner's code, a number or a word.
    pub code: Value,
    /// Key of the root field.
    pub field: String,
}

/// Gives the values of root fields.
pub(crate) trait Resolver {
    /// The value of a field of the root.
    fn root(&mut self, field: &Selected) -> Result<Value, FieldError>;
}

/// Runs `operation`: the data, and the errors of fields that came out null.
pub(crate) fn execute(
    schema: &Schema,
    operation: &Operation,
    resolver: &mut dyn Resolver,
) -> (Value, Vec<FieldError>) {
    let mut data = Map::new();
    let mut errors = Vec::new();
    for field in &operation.fields {
        if field.name == "__typename" {
            data.insert(field.key.clone(), json!(operation.kind.root()));
            continue;
        }
        let outcome = resolver.root(field).and_then(|value| {
            complete(schema, &field.ty, &value, field).map_err(|message| FieldError {
                message,
                code: json!("INTERNAL_SERVER_ERROR"),
                field: field.key.clone(),
            })
        });
        match outcome {
            Ok(value) => {
                data.insert(field.key.clone(), value);
            }
            Err(error) => {
                data.insert(field.key.clone(), Value::Null);
                errors.push(error);
            }
        }
    }
    (Value::Object(data), errors)
}

fn complete(schema: &Schema, ty: &Ty, value: &Value, field: &Selected) -> Result<Value, String> {
    match ty {
        Ty::NonNull(inner) => {
            let value = complete(schema, inner, value, field)?;
            if value.is_null() {
                Err(format!("Cannot return null for non-nullable field {}", field.name))
            } else {
                Ok(value)
            }
        }
        _ if value.is_null() => Ok(Value::Null),
        Ty::List(inner) => match value {
            Value::Array(items) => items
                .iter()
                .map(|item| complete(schema, inner, item, field))
                .collect::<Result<_, _>>()
                .map(Value::Array),
            _ => Err(format!("field {} is no list", field.name)),
        },
        Ty::Named(name) => {
            if schema.fields(name).is_none() {
                return Ok(value.clone());
            }
            if let (true, Value::Array(items)) = (name.ends_with("Connection"), value) {
                return object(schema, name, &page(items, field)?, field);
            }
            let actual = value.get("__typename").and_then(Value::as_str).unwrap_or(name);
            object(schema, actual, value, field)
        }
    }
}

fn object(schema: &Schema, actual: &str, value: &Value, field: &Selected) -> Result<Value, String> {
    let mut out = Map::new();
    for below in &field.fields {
        if below.on.as_deref().is_some_and(|condition| !schema.fits(actual, condition)) {
            continue;
        }
        let given = if below.name == "__typename" {
            json!(actual)
        } else {
            let raw = value.get(&below.name).unwrap_or(&Value::Null);
            match raw {
                Value::Array(items) if !below.ty.name().ends_with("Connection") => {
                    let first = below.number("first").and_then(|first| usize::try_from(first).ok());
                    match first.and_then(|first| items.get(..first)) {
                        Some(cut) => complete(schema, &below.ty, &Value::Array(cut.to_vec()), below)?,
                        None => complete(schema, &below.ty, raw, below)?,
                    }
                }
                _ => complete(schema, &below.ty, raw, below)?,
            }
        };
        out.insert(below.key.clone(), given);
    }
    Ok(Value::Object(out))
}

/// A page of `items`, which are in ascending order of `__sort` unless `reverse` is set: of its parts those that `field`
/// selects.
fn page(items: &[Value], field: &Selected) -> Result<Value, String> {
    let mut all: Vec<(usize, &Value)> = items.iter().enumerate().collect();
    let reverse = field.flag("reverse") == Some(true);
    if reverse {
        all.reverse();
    }
    let own = |(index, item): &(usize, &Value)| cursor(item, *index);
    let total = all.len();
    let mut start = 0;
    if let Some(after) = field.text("after") {
        let mark = decode(after)?;
        start = all.iter().position(|item| behind(&own(item), &mark, reverse)).unwrap_or(total);
    }
    let mut end = total;
    if let Some(before) = field.text("before") {
        let mark = decode(before)?;
        end = all.iter().position(|item| !ahead(&own(item), &mark, reverse)).unwrap_or(total);
    }
    let limit = |name: &str| field.number(name).and_then(|number| usize::try_from(number).ok());
    let (mut from, mut to) = (start.min(end), end);
    if let Some(first) = limit("first") {
        to = to.min(from + first);
    } else if let Some(last) = limit("last") {
        from = from.max(to.saturating_sub(last));
    } else {
        to = to.min(from + 100);
    }
    let shown = &all[from..to];
    let mut out = Map::new();
    for part in &field.fields {
        let value = match part.name.as_str() {
            "nodes" => shown.iter().map(|(_, item)| (*item).clone()).collect(),
            "edges" => shown.iter().map(|it| json!({ "node": it.1, "cursor": own(it) })).collect(),
            "pageInfo" => json!({
                "hasNextPage": to < end,
                "hasPreviousPage": from > 0,
                "startCursor": shown.first().map(own),
                "endCursor": shown.last().map(own),
            }),
            _ => continue,
        };
        out.insert(part.name.clone(), value);
    }
    Ok(Value::Object(out))
}

fn cursor(item: &Value, index: usize) -> String {
    let last_value = item.get("__sort").cloned().unwrap_or_else(|| json!(format!("{index:09}")));
    BASE64.encode(json!({ "last_id": item.get("id"), "last_value": last_value }).to_string())
}

fn decode(cursor: &str) -> Result<(String, String), String> {
    let wrong = || format!("Invalid cursor for current pagination sort: {cursor}");
    let bytes = BASE64.decode(cursor).map_err(|_| wrong())?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|_| wrong())?;
    let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok((text("last_value"), text("last_id")))
}

fn compare(own: &str, mark: &(String, String), reverse: bool) -> Ordering {
    let own = decode(own).unwrap_or_default();
    let order =
        (own.0.as_str(), own.1.len(), own.1.as_str()).cmp(&(mark.0.as_str(), mark.1.len(), mark.1.as_str()));
    if reverse { order.reverse() } else { order }
}

fn behind(own: &str, mark: &(String, String), reverse: bool) -> bool {
    compare(own, mark, reverse) == Ordering::Greater
}

fn ahead(own: &str, mark: &(String, String), reverse: bool) -> bool {
    compare(own, mark, reverse) == Ordering::Less
}

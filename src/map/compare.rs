//! Compares what a mapping gave with what a test expects, in lines that people read.

use serde_json::Value;

use crate::canonical::{Money, When};

use super::tree::{Kind, Table, Tree};

/// Compares what is found with the fields that a test names; `exact`: and no others.
pub(super) fn compare_table(
    path: &str,
    expected: &Table,
    found: &Value,
    exact: bool,
    differences: &mut Vec<String>,
) {
    let Value::Object(fields) = found else {
        differences.push(format!("{path}: expected a table, found {}", shown(found)));
        return;
    };
    let join = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    for (key, tree) in &expected.entries {
        compare(&join(&key.name), tree, fields.get(&key.name), exact, differences);
    }
    if exact {
        for (name, value) in fields.iter().filter(|(name, _)| !matches!(name.as_str(), "fact" | "is")) {
            if expected.get(name).is_none() {
                differences.push(format!("{}: not expected: {}", join(name), shown(value)));
            }
        }
    }
}

/// Compares one value.
pub(super) fn compare(
    path: &str,
    expected: &Tree,
    found: Option<&Value>,
    exact: bool,
    differences: &mut Vec<String>,
) {
    if let Some(exists) =
        expected.table().filter(|table| table.entries.len() == 1).and_then(|t| t.get("exists"))
        && let Kind::Bool(exists) = exists.kind
    {
        if exists != found.is_some() {
            let word = if exists { "expected a value, found none" } else { "expected none" };
            let found = found.map(|value| format!(", found {}", shown(value))).unwrap_or_default();
            differences.push(format!("{path}: {word}{found}"));
        }
        return;
    }
    let Some(found) = found else {
        differences.push(format!("{path}: expected {}, found nothing", expected.plain()));
        return;
    };
    match (&expected.kind, found) {
        (Kind::Table(table), found) => compare_table(path, table, found, exact, differences),
        (Kind::List(items), Value::Array(values)) => {
            if items.len() != values.len() {
                differences.push(format!("{path}: expected {} items, found {}", items.len(), values.len()));
            }
            for (number, (item, value)) in items.iter().zip(values).enumerate() {
                compare(&format!("{path}[{number}]"), item, Some(value), exact, differences);
            }
        }
        (_, found) => {
            if !same(&expected.scalar().unwrap_or_default(), &expected.kind, found) {
                differences.push(format!("{path}: expected {}, found {}", expected.plain(), shown(found)));
            }
        }
    }
}

fn shown(value: &Value) -> String {
    super::convert::short(&value.to_string())
}

fn same(expected: &str, kind: &Kind, found: &Value) -> bool {
    match (kind, found) {
        (Kind::List(_), _)
        | (_, Value::Array(_) | Value::Object(_) | Value::Null)
        | (Kind::Text(_), Value::Bool(_) | Value::Number(_)) => false,
        (Kind::Bool(yes), Value::Bool(found)) => yes == found,
        (_, Value::Bool(found)) => expected == found.to_string(),
        (_, Value::Number(found)) => {
            let found = found.to_string();
            expected == found
                || super::condition::number(expected)
                    .is_some_and(|n| super::condition::number(&found) == Some(n))
        }
        (Kind::Number(_), Value::String(found)) => {
            super::condition::number(expected).is_some_and(|n| super::condition::number(found) == Some(n))
        }
        (_, Value::String(found)) => {
            expected == found
                || matches!((expected.parse::<Money>(), found.parse::<Money>()), (Ok(a), Ok(b)) if a == b)
                || (matches!(kind, Kind::Time(_)) || found.contains('T'))
                    && matches!((expected.parse::<When>(), found.parse::<When>()), (Ok(a), Ok(b)) if a == b)
        }
    }
}

//! Checks values of variables and literals against input types.

use std::collections::BTreeMap;

use graphql_parser::query::Value as Literal;
use serde_json::{Map, Value};

use super::schema::{Kind, Schema, Ty};

/// What is wrong with a value: the path in it, and why.
pub(super) type Wrong = (Vec<String>, String);

/// The variables of a request: their types, and the values of those that have one.
#[derive(Default)]
pub(super) struct Variables<'a> {
    /// Declared types.
    pub declared: BTreeMap<&'a str, Ty>,
    /// Checked values.
    pub values: BTreeMap<String, Value>,
}

/// The JSON form of a literal without variables.
pub(super) fn constant(literal: &Literal<'_, String>) -> Option<Value> {
    Some(match literal {
        Literal::Variable(_) => return None,
        Literal::Int(number) => Value::from(number.as_i64()?),
        Literal::Float(number) => serde_json::Number::from_f64(*number).map(Value::Number)?,
        Literal::String(text) | Literal::Enum(text) => Value::from(text.clone()),
        Literal::Boolean(yes) => Value::from(*yes),
        Literal::Null => Value::Null,
        Literal::List(items) => Value::Array(items.iter().map(constant).collect::<Option<_>>()?),
        Literal::Object(fields) => Value::Object(
            fields.iter().map(|(key, value)| Some((key.clone(), constant(value)?))).collect::<Option<_>>()?,
        ),
    })
}

/// A literal as a value of `ty`, with the variables' values in it. `None`: absent (a variable without a value).
pub(super) fn literal(
    schema: &Schema,
    ty: &Ty,
    from: &Literal<'_, String>,
    variables: &Variables<'_>,
) -> Result<Option<Value>, Wrong> {
    if let Literal::Variable(name) = from {
        return match variables.declared.get(name.as_str()) {
            Some(declared) if !compatible(declared, ty, true) => {
                Err((vec![], format!("has a variable ${name} of type {declared}. Expected type '{ty}'.")))
            }
            _ => Ok(variables.values.get(name).cloned()),
        };
    }
    match (ty, from) {
        (Ty::NonNull(inner), Literal::Null) => {
            Err((vec![], format!("has an invalid value (null). Expected type '{inner}!'.")))
        }
        (Ty::NonNull(inner), _) => literal(schema, inner, from, variables),
        (_, Literal::Null) => Ok(Some(Value::Null)),
        (Ty::List(inner), Literal::List(items)) => {
            let mut list = Vec::new();
            for (index, item) in items.iter().enumerate() {
                list.push(
                    literal(schema, inner, item, variables)
                        .map_err(|wrong| under(&index.to_string(), wrong))?
                        .unwrap_or(Value::Null),
                );
            }
            Ok(Some(Value::Array(list)))
        }
        (Ty::List(inner), single) => {
            Ok(literal(schema, inner, single, variables)?.map(|value| Value::Array(vec![value])))
        }
        (Ty::Named(name), Literal::Object(given)) if matches!(schema.get(name), Some(Kind::Input(_))) => {
            let Some(Kind::Input(fields)) = schema.get(name) else { return Ok(None) };
            let mut map = Map::new();
            for key in given.keys() {
                if !fields.contains_key(key) {
                    return Err((
                        vec![key.clone()],
                        format!("InputObject '{name}' doesn't accept argument '{key}'"),
                    ));
                }
            }
            for (key, input) in fields {
                let value = match given.get(key) {
                    Some(value) => {
                        literal(schema, &input.ty, value, variables).map_err(|wrong| under(key, wrong))?
                    }
                    None => None,
                };
                if value.is_none() && matches!(given.get(key), Some(Literal::Variable(_))) {
                    continue;
                }
                put(&mut map, key, value, input)?;
            }
            Ok(Some(Value::Object(map)))
        }
        (Ty::Named(name), Literal::Enum(word)) => match schema.get(name) {
            Some(Kind::Enum(words)) if words.contains(word) => Ok(Some(Value::from(word.clone()))),
            _ => Err((vec![], format!("has an invalid value ({word}). Expected type '{name}'."))),
        },
        (Ty::Named(name), Literal::String(text)) if matches!(schema.get(name), Some(Kind::Enum(_))) => {
            Err((vec![], format!("has an invalid value (\"{text}\"). Expected type '{name}'.")))
        }
        (Ty::Named(_), _) => {
            let plain = constant(from)
                .ok_or_else(|| (vec![], format!("has an invalid value. Expected type '{ty}'.")))?;
            value(schema, ty, &plain).map(Some)
        }
    }
}

/// A JSON value (of a variable) as a value of `ty`.
pub(super) fn value(schema: &Schema, ty: &Ty, from: &Value) -> Result<Value, Wrong> {
    match ty {
        Ty::NonNull(inner) => {
            if from.is_null() {
                return Err((vec![], "Expected value to not be null".to_owned()));
            }
            value(schema, inner, from)
        }
        _ if from.is_null() => Ok(Value::Null),
        Ty::List(inner) => match from {
            Value::Array(items) => {
                let mut list = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    list.push(value(schema, inner, item).map_err(|wrong| under(&index.to_string(), wrong))?);
                }
                Ok(Value::Array(list))
            }
            single => Ok(Value::Array(vec![value(schema, inner, single)?])),
        },
        Ty::Named(name) => match schema.get(name) {
            Some(Kind::Input(fields)) => {
                let Value::Object(given) = from else {
                    return Err((vec![], format!("Expected \"{from}\" to be a key-value object.")));
                };
                for key in given.keys() {
                    if !fields.contains_key(key) {
                        return Err((vec![key.clone()], format!("Field is not defined on {name}")));
                    }
                }
                let mut map = Map::new();
                for (key, input) in fields {
                    let found = match given.get(key) {
                        Some(found) => {
                            Some(value(schema, &input.ty, found).map_err(|wrong| under(key, wrong))?)
                        }
                        None => None,
                    };
                    put(&mut map, key, found, input)?;
                }
                Ok(Value::Object(map))
            }
            Some(Kind::Enum(words)) => match from.as_str() {
                Some(word) if words.contains(word) => Ok(from.clone()),
                _ => Err((
                    vec![],
                    format!(
                        "Expected {from} to be one of: {}",
                        words.iter().cloned().collect::<Vec<_>>().join(", ")
                    ),
                )),
            },
            _ => scalar(name, from),
        },
    }
}

/// Whether a variable of type `declared` may stand where `wanted` is; `strict`: no default stands in for null.
pub(super) fn compatible(declared: &Ty, wanted: &Ty, strict: bool) -> bool {
    match (declared, wanted) {
        (Ty::NonNull(declared), Ty::NonNull(wanted)) | (Ty::List(declared), Ty::List(wanted)) => {
            compatible(declared, wanted, true)
        }
        (declared, Ty::NonNull(wanted)) => !strict && compatible(declared, wanted, true),
        (Ty::NonNull(declared), wanted) => compatible(declared, wanted, true),
        (Ty::Named(declared), Ty::Named(wanted)) => declared == wanted,
        _ => false,
    }
}

fn put(
    map: &mut Map<String, Value>,
    key: &str,
    found: Option<Value>,
    input: &super::schema::Input,
) -> Result<(), Wrong> {
    match (found, &input.default) {
        (Some(found), _) => {
            map.insert(key.to_owned(), found);
        }
        (None, Some(default)) => {
            map.insert(key.to_owned(), default.clone());
        }
        (None, None) if input.ty.required() => {
            return Err((vec![key.to_owned()], "Expected value to not be null".to_owned()));
        }
        (None, None) => {}
    }
    Ok(())
}

fn scalar(name: &str, from: &Value) -> Result<Value, Wrong> {
    let fits = match name {
        "String" | "URL" | "DateTime" | "ISODateTime" => from.is_string(),
        "Int" => from.as_i64().is_some_and(|number| i32::try_from(number).is_ok()),
        "Float" => from.is_number(),
        "Boolean" => from.is_boolean(),
        "ID" | "UnsignedInt64" => from.is_string() || from.is_u64(),
        "Decimal" | "Money" => {
            from.is_number()
                || from.as_str().is_some_and(|text| text.parse::<rust_decimal::Decimal>().is_ok())
        }
        _ => true,
    };
    if !fits {
        return Err((vec![], format!("Could not coerce value {from} to {name}")));
    }
    Ok(match (name, from) {
        ("ID", Value::Number(number)) => Value::from(number.to_string()),
        _ => from.clone(),
    })
}

fn under(step: &str, (mut path, why): Wrong) -> Wrong {
    path.insert(0, step.to_owned());
    (path, why)
}

//! Schemas of `config.toml` and `connector.toml`, asked of their readers: a key that nothing knows is put into each table
//! of documents that are right, and what the reader says that it knows there becomes the schema.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use toml::Value as Toml;

use super::PROBE;
use crate::config::sources::Sources;
use crate::config::{self, embedded};
use crate::connector;
use crate::diagnostic::Diagnostic;

/// The commented reference of all settings.
const REFERENCE: &str = include_str!("../../../config.toml");

/// What is known of a table.
#[derive(Debug, Default)]
struct Shape {
    keys: BTreeSet<String>,
    inner: BTreeMap<String, Shape>,
    /// It takes names that people choose; what stands under each.
    names: Option<Box<Shape>>,
}

/// The schema of `config.toml`.
pub(super) fn config() -> Value {
    let registry = connector::load(&embedded()).0;
    let told = |text: &str| {
        let mut sources = Sources::default();
        sources.insert("config.toml", text);
        let secret = |_: &str| Ok(String::from("x"));
        config::load(&sources, "config.toml", &registry, &|_| Some("x".to_owned()), &secret)
            .err()
            .unwrap_or_default()
    };
    let mut shape = Shape::default();
    for text in variants(&uncommented(REFERENCE)) {
        if let Ok(document) = toml::from_str::<Toml>(&text) {
            learn(&mut shape, &document, &mut Vec::new(), &told);
        }
    }
    shape.schema()
}

/// The schema of `connector.toml`.
pub(super) fn manifest() -> Value {
    let all = embedded();
    let mut shape = Shape::default();
    for (path, text) in all.under("connectors/") {
        let Some(folder) = path.strip_suffix("connector.toml") else { continue };
        let Ok(document) = toml::from_str::<Toml>(text) else { continue };
        let mut beside = Sources::default();
        all.under(folder).for_each(|(path, text)| beside.insert(path, text));
        let told = |text: &str| {
            let mut sources = beside.clone();
            sources.insert(path, text);
            connector::load(&sources).1
        };
        learn(&mut shape, &document, &mut Vec::new(), &told);
    }
    shape.schema()
}

/// The reference with its examples no longer commented out.
fn uncommented(text: &str) -> String {
    let setting = |line: &str| {
        let name = line.split('=').next().unwrap_or_default().trim();
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '"' | ' ' | '-' | '.');
        line.starts_with('[')
            || (line.contains('=') && !name.is_empty() && !name.contains(' ') && name.chars().all(word))
    };
    let line = |line: &str| match line.strip_prefix("# ") {
        Some(rest) if setting(rest) => rest.to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Where a table stands twice, for two kinds of the same thing: the text with the first of each, and with the last.
fn variants(text: &str) -> [String; 2] {
    let mut tables: Vec<(&str, Vec<&str>)> = vec![("", Vec::new())];
    for line in text.lines() {
        let header = line.strip_prefix('[').and_then(|rest| rest.split(']').next());
        match header.filter(|header| !header.starts_with('[')) {
            Some(header) => tables.push((header, vec![line])),
            None => {
                if let Some((_, lines)) = tables.last_mut() {
                    lines.push(line);
                }
            }
        }
    }
    let join = |kept: &dyn Fn(usize, &str) -> bool| {
        let of = tables.iter().enumerate().filter(|(number, (header, _))| kept(*number, header));
        of.flat_map(|(_, (_, lines))| lines.iter().copied()).collect::<Vec<_>>().join("\n")
    };
    let first =
        |number: usize, header: &str| tables.iter().position(|(known, _)| *known == header) == Some(number);
    let last =
        |number: usize, header: &str| tables.iter().rposition(|(known, _)| *known == header) == Some(number);
    [join(&first), join(&last)]
}

/// Learns from each table of `document`, at `path` and below it.
fn learn(shape: &mut Shape, document: &Toml, path: &mut Vec<String>, told: &dyn Fn(&str) -> Vec<Diagnostic>) {
    let Some(table) = at(document, path).and_then(Toml::as_table) else { return };
    let new = table.keys().any(|key| !shape.keys.contains(key)) || table.is_empty();
    if shape.names.is_none() && (new || shape.keys.is_empty()) {
        match known(document, path, told) {
            Some(keys) => shape.keys.extend(keys),
            None => shape.names = Some(Box::default()),
        }
    }
    for (key, value) in table {
        let steps: Vec<String> = match value {
            Toml::Table(_) => vec![key.clone()],
            Toml::Array(items) => {
                let tables = items.iter().enumerate().filter(|(_, item)| item.is_table());
                tables.map(|(number, _)| format!("{key}\u{0}{number}")).collect()
            }
            _ => continue,
        };
        for step in steps {
            path.push(step);
            let inner = match &mut shape.names {
                Some(names) => names.as_mut(),
                None => shape.inner.entry(key.clone()).or_default(),
            };
            learn(inner, document, path, told);
            path.pop();
        }
    }
}

/// The value at a path; an item of a list is named by its key and its number.
fn at<'d>(document: &'d Toml, path: &[String]) -> Option<&'d Toml> {
    path.iter().try_fold(document, |value, step| match step.split_once('\u{0}') {
        Some((key, number)) => value.get(key)?.as_array()?.get(number.parse::<usize>().ok()?),
        None => value.get(step),
    })
}

/// What the reader knows in the table at `path`; none when it takes any name.
fn known(document: &Toml, path: &[String], told: &dyn Fn(&str) -> Vec<Diagnostic>) -> Option<Vec<String>> {
    let mut probed = document.clone();
    let mut place = &mut probed;
    for step in path {
        place = match step.split_once('\u{0}') {
            Some((key, number)) => {
                place.get_mut(key)?.as_array_mut()?.get_mut(number.parse::<usize>().ok()?)?
            }
            None => place.get_mut(step)?,
        };
    }
    place.as_table_mut()?.insert(PROBE.to_owned(), Toml::Integer(1));
    let text = toml::to_string(&probed).ok()?;
    let unknown = format!("unknown key `{PROBE}`");
    let found = told(&text).into_iter().find(|found| found.message.contains(&unknown))?;
    let help = found.help.unwrap_or_default();
    let names = help.strip_prefix("known here: ").unwrap_or_default();
    Some(names.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect())
}

impl Shape {
    fn schema(&self) -> Value {
        if let Some(names) = &self.names {
            let any = names.keys.is_empty() && names.names.is_none();
            let each = if any { json!(true) } else { names.value() };
            return json!({ "type": "object", "additionalProperties": each });
        }
        let property = |key: &String| match self.inner.get(key) {
            Some(inner) => (key.clone(), inner.value()),
            None => (key.clone(), json!({})),
        };
        let properties: Map<String, Value> = self.keys.iter().map(property).collect();
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    }

    /// The table, a list of such tables, or a value written short.
    fn value(&self) -> Value {
        let table = self.schema();
        let short = json!({ "type": ["string", "number", "boolean"] });
        let items = json!({ "anyOf": [table, short] });
        json!({ "anyOf": [table, short, { "type": "array", "items": items }] })
    }
}

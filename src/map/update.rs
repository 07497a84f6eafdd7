//! `map test --update`: writes what the tests found into their `expect`, as a person would have written it.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::config::sources::Sources;
use crate::diagnostic::Diagnostic;

use super::Mapped;
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::test::{Run, context, overlay_sets};
use super::tree::{Kind, Place, Reader, Table, Tree};

/// A file with the expectations of its tests brought up to date.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Updated {
    /// Its path.
    pub path: String,
    /// Its new text.
    pub text: String,
    /// How many tests were changed.
    pub tests: usize,
}

/// Brings the expectations of the mapping's tests up to date, and those of its overlays: the fields that a test names
/// get the values that are found, facts that it does not expect are added whole.
///
/// # Errors
/// What keeps the mapping from being compiled.
pub fn update(sources: &Sources, connector: &str, name: &str) -> Result<Vec<Updated>, Vec<Diagnostic>> {
    let mut updated = Vec::new();
    for suffix in [".in.toml", ".out.toml"] {
        if sources.get(&format!("mappings/{connector}/{name}{suffix}")).is_none() {
            continue;
        }
        for overlays in overlay_sets(sources, connector, name, suffix) {
            let run = Run { sources, connector, name, suffix, overlays: &overlays };
            updated.extend(one(&run)?);
        }
    }
    updated.dedup_by(|a, b| a.path == b.path);
    Ok(updated)
}

fn one(run: &Run<'_>) -> Result<Option<Updated>, Vec<Diagnostic>> {
    let loaded = run.load()?;
    // The mapping's own tests say what comes without the overlay.
    if run.inherits(&loaded) {
        return Ok(None);
    }
    let inbound = run.suffix == ".in.toml";
    let mut edits: Vec<(Place, String)> = Vec::new();
    for (_, tree) in &loaded.tests {
        let Some(table) = tree.table() else { continue };
        let reader = Reader::new(&loaded.files, table);
        let Ok((_, text)) = run.input(&reader) else { continue };
        let wanted = if inbound {
            let mapping = Inbound::compile(run.sources, run.connector, run.name, run.overlays)?;
            let Ok(node) = mapping.read(text.as_bytes()) else { continue };
            facts(table, &mapping.run(&node, &context(&reader)))
        } else {
            let mapping = Outbound::compile(run.sources, run.connector, run.name, run.overlays)?;
            let Ok(source) = serde_json::from_str(&text) else { continue };
            if table.get("expect").is_some_and(|tree| tree.text().is_some()) {
                // A body that is no JSON is compared line by line, and is a person's to write.
                continue;
            }
            body(table, mapping.encode_with(&source, &context(&reader)).map_err(|error| error.cause))
        };
        for (key, value) in wanted {
            match (table.entry(key), value) {
                (Some((_, tree)), Some(value)) => edits.push((tree.place, value)),
                (Some((key, tree)), None) => {
                    edits.push((
                        Place { start: key.place.start, end: tree.place.end, ..tree.place },
                        String::new(),
                    ));
                }
                (None, Some(value)) => {
                    if let Some((_, last)) = table.entries.last() {
                        let at = Place { start: last.place.end, ..last.place };
                        edits.push((at, format!("\n{key} = {value}")));
                    }
                }
                (None, None) => {}
            }
        }
    }
    let Some((path, _)) = loaded.tests.first() else { return Ok(None) };
    let text = run.sources.get(path).unwrap_or_default();
    let mut changed = text.to_owned();
    edits.sort_by_key(|(place, _)| std::cmp::Reverse(place.start));
    for (place, value) in &edits {
        changed.replace_range(place.start..place.end, value);
    }
    let tests = edits.len();
    Ok((tests > 0 && changed != text).then(|| Updated { path: path.clone(), text: changed, tests }))
}

type Wanted = Vec<(&'static str, Option<String>)>;

/// What a test of an inbound mapping should say, where it says something else.
fn facts(table: &Table, mapped: &Mapped) -> Wanted {
    let mut wanted: Wanted = Vec::new();
    let mut left: Vec<(String, Value)> =
        mapped.facts.iter().map(|fact| (fact.rule.clone(), fact.to_json())).collect();
    let expected = table.get("expect").and_then(Tree::list).unwrap_or_default();
    let mut rows = Vec::new();
    let mut differs = table.get("expect").is_some_and(|tree| tree.list().is_none());
    for tree in expected {
        let Some(shape) = tree.table() else { continue };
        let rule = shape.get("fact").and_then(Tree::text).unwrap_or_default();
        let Some(at) = left.iter().position(|(name, _)| name == rule) else {
            differs = true;
            continue;
        };
        let (_, fact) = left.remove(at);
        let mut differences = Vec::new();
        super::compare::compare_table(rule, shape, &fact, false, &mut differences);
        differs |= !differences.is_empty();
        rows.push(like(tree, &fact));
    }
    if !table.get("others").is_some_and(Tree::is_true) {
        differs |= !left.is_empty();
        rows.extend(left.iter().map(|(_, fact)| toml(&without_kind(fact))));
    }
    if differs || (table.get("expect").is_none() && !rows.is_empty()) {
        let list = if rows.is_empty() { None } else { Some(format!("[\n    {},\n]", rows.join(",\n    "))) };
        wanted.push(("expect", list));
    }
    let causes: Vec<&str> = mapped.errors.iter().map(|error| error.cause.as_str()).collect();
    let known: Vec<&str> = match table.get("errors").map(|tree| &tree.kind) {
        Some(Kind::Text(text)) => vec![text.as_str()],
        Some(Kind::List(items)) => items.iter().filter_map(Tree::text).collect(),
        _ => Vec::new(),
    };
    let mut unexpected = causes.clone();
    let mut unfound = false;
    for prefix in &known {
        match unexpected.iter().position(|cause| cause.starts_with(prefix)) {
            Some(at) => drop(unexpected.remove(at)),
            None => unfound = true,
        }
    }
    if unfound || !unexpected.is_empty() {
        let list: Vec<String> = causes.iter().map(|cause| quoted(cause)).collect();
        wanted.push(("errors", (!list.is_empty()).then(|| format!("[{}]", list.join(", ")))));
    }
    let says_nothing = table.get("nothing").is_some_and(Tree::is_true);
    if says_nothing && !mapped.nothing {
        wanted.push(("nothing", None));
    } else if mapped.nothing && !says_nothing && !expected.is_empty() {
        wanted.push(("nothing", Some("true".to_owned())));
    }
    wanted
}

/// What a test of an outbound mapping should say.
fn body(table: &Table, outcome: Result<Value, String>) -> Wanted {
    match outcome {
        Ok(body) => {
            let mut differences = Vec::new();
            let expected = table.get("expect");
            match expected.and_then(Tree::table) {
                Some(shape) => super::compare::compare_table("", shape, &body, false, &mut differences),
                None => differences.push("no expectation".to_owned()),
            }
            let mut wanted: Wanted = Vec::new();
            if !differences.is_empty() {
                wanted.push(("expect", Some(expected.map_or_else(|| toml(&body), |tree| like(tree, &body)))));
            }
            if table.get("error").is_some() {
                wanted.push(("error", None));
            }
            wanted
        }
        Err(cause) => {
            let known = table.get("error").and_then(Tree::text).unwrap_or_default();
            if !known.is_empty() && cause.starts_with(known) {
                return Vec::new();
            }
            vec![("expect", None), ("error", Some(quoted(&cause)))]
        }
    }
}

fn without_kind(fact: &Value) -> Value {
    let Value::Object(fields) = fact else { return fact.clone() };
    Value::Object(
        fields.iter().filter(|(name, _)| *name != "is").map(|(k, v)| (k.clone(), v.clone())).collect(),
    )
}

/// The value in the shape of what was expected: of tables only the fields that stood there.
fn like(shape: &Tree, value: &Value) -> String {
    match (&shape.kind, value) {
        (Kind::Table(table), Value::Object(fields)) => {
            let mut out = Vec::new();
            for (key, tree) in &table.entries {
                let name = bare(&key.name);
                match fields.get(&key.name) {
                    Some(found) if is_exists(tree) => {
                        let text =
                            if tells_existing(tree) { "{ exists = true }".to_owned() } else { toml(found) };
                        out.push(format!("{name} = {text}"));
                    }
                    Some(found) => out.push(format!("{name} = {}", like(tree, found))),
                    None => out.push(format!("{name} = {{ exists = false }}")),
                }
            }
            format!("{{ {} }}", out.join(", "))
        }
        (Kind::List(shapes), Value::Array(values)) => {
            let item = |(number, value): (usize, &Value)| match shapes.get(number).or(shapes.last()) {
                Some(shape) => like(shape, value),
                None => toml(value),
            };
            format!("[{}]", values.iter().enumerate().map(item).collect::<Vec<_>>().join(", "))
        }
        (_, value) => toml(value),
    }
}

fn is_exists(tree: &Tree) -> bool {
    tree.table().is_some_and(|table| table.entries.len() == 1 && table.get("exists").is_some())
}

fn tells_existing(tree: &Tree) -> bool {
    tree.table().and_then(|table| table.get("exists")).is_some_and(Tree::is_true)
}

/// The text of the overlay at `path`, with `[overlay] was` brought up to date: the rules that it replaces. None when it
/// is no overlay, is wrong, or needs no change.
#[must_use]
pub fn remember(sources: &Sources, path: &str) -> Option<String> {
    let steps: Vec<&str> = path.strip_suffix(".toml")?.split('/').collect();
    let ["mappings", "clients" | "accounts", _, connector, name] = steps.as_slice() else { return None };
    let replaced = super::replaced_by(sources, connector, name, path).ok()?;
    let text = sources.get(path)?;
    let mut files = super::tree::Files::default();
    let table = files.parse(path, text)?;
    let header = table.get("overlay")?.table()?;
    let rules: Vec<String> =
        replaced.iter().map(|(rule, digest)| format!("{} = {}", quoted(rule), quoted(digest))).collect();
    let was = format!("{{ {} }}", rules.join(", "));
    let mut changed = text.to_owned();
    match header.entry("was") {
        // A table of its own is left to its author.
        Some((_, tree)) if !files.raw(tree.place).starts_with('{') => return None,
        Some((_, tree)) => changed.replace_range(tree.place.start..tree.place.end, &was),
        None if rules.is_empty() => return None,
        None => changed.insert_str(header.get("of")?.place.end, &format!("\nwas = {was}")),
    }
    (changed != text).then_some(changed)
}

/// A JSON value as TOML on one line; what is null is left out.
pub(super) fn toml(value: &Value) -> String {
    match value {
        Value::Null => "\"\"".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) => quoted(text),
        Value::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        Value::Object(fields) => entries(fields),
    }
}

fn entries(fields: &Map<String, Value>) -> String {
    let given = fields.iter().filter(|(_, value)| !value.is_null());
    let inner: Vec<String> = given.map(|(name, value)| format!("{} = {}", bare(name), toml(value))).collect();
    if inner.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", inner.join(", ")) }
}

/// A key, in quotes where it needs them.
pub(super) fn bare(name: &str) -> String {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if plain { name.to_owned() } else { quoted(name) }
}

/// A text in quotes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::test::run_tests;

    const MAPPING: &str = "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\nnote = \"note\"\n\
        total = { path = \"total\", currency = \"USD\" }\n\
        [fact.placed.lines]\neach = \"items\"\nref = \"id\"\nquantity = \"n\"\n\
        [fact.closed]\nis = \"order.closed\"\nwhen = { closed = true }\norder = \"id\"\n\n";

    fn updated(test: &str) -> String {
        let mut sources = Sources::default();
        let path = "mappings/shop/order.in.toml";
        sources.insert(path, format!("{MAPPING}{test}"));
        for one in update(&sources, "shop", "order").unwrap() {
            sources.insert(one.path, one.text);
        }
        let failed: Vec<_> =
            run_tests(&sources, "shop", "order").into_iter().filter(|one| !one.passed()).collect();
        assert!(failed.is_empty(), "{failed:?}\n{}", sources.get(path).unwrap());
        // What is right stays as it is.
        assert_eq!(update(&sources, "shop", "order").unwrap(), []);
        sources.get(path).unwrap().strip_prefix(MAPPING).unwrap().to_owned()
    }

    const BODY: &str = "body = '{\"id\":1,\"total\":\"5.00\",\"note\":\"a \\\\\"b\\\\\"\",\"items\":[{\"id\":7,\"n\":2},{\"id\":8,\"n\":3}]}'\n";

    #[test]
    fn a_test_without_expectation_gets_all_that_is_found() {
        let body = BODY.replace("\\\\", "\\");
        let text = updated(&format!("[[test]]\n{body}"));
        let expected = r#"{ fact = "placed", lines = [{ quantity = 2, ref = "7" }, { quantity = 3, ref = "8" }], note = "a \"b\"", order = "1", total = "5.00 USD" }"#;
        assert_eq!(text, format!("[[test]]\n{}\nexpect = [\n    {expected},\n]\n", body.trim_end()));
    }

    #[test]
    fn fields_that_a_test_names_get_their_new_values_and_no_others_come() {
        let body = BODY.replace("\\\\", "\\");
        let text = updated(&format!(
            "[[test]]\n{body}expect = [{{ fact = \"placed\", total = \"6 USD\", email = \"x\", lines = [{{ quantity = 1 }}] }}, {{ fact = \"closed\" }}]  # seen\n"
        ));
        assert!(
            text.ends_with(
                "expect = [\n    { fact = \"placed\", total = \"5.00 USD\", email = { exists = false }, lines = [{ quantity = 2 }, { quantity = 3 }] },\n]  # seen\n"
            ),
            "{text}"
        );
    }

    #[test]
    fn errors_are_updated_too() {
        let text =
            updated("[[test]]\nbody = '{\"id\":1,\"total\":\"x\"}'\nexpect = [{ fact = \"placed\" }]\n");
        assert!(text.contains("errors = [\"bad_value:shop/order:placed.total\"]"), "{text}");
        assert!(!text.contains("expect"), "{text}");
    }

    #[test]
    fn overlays_remember_what_they_replace() {
        let mut sources = Sources::default();
        sources.insert("mappings/shop/order.in.toml", MAPPING);
        let path = "mappings/clients/acme/shop/order.toml";
        sources.insert(path, "[overlay]\nof = \"shop/order\" # a\n[fact.placed]\nnote = \"remark\"\n");
        let text = remember(&sources, path).unwrap();
        assert!(
            text.starts_with("[overlay]\nof = \"shop/order\"\nwas = { \"fact.placed.note\" = \""),
            "{text}"
        );
        sources.insert(path, text);
        assert_eq!(remember(&sources, path), None);
        // The mapping's rule changes: the overlay warns, and is brought up to date when it is looked at again.
        sources.insert("mappings/shop/order.in.toml", MAPPING.replace("\"note\"", "\"notes\""));
        assert!(remember(&sources, path).is_some());
    }
}

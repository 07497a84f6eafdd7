//! `map schema`: JSON Schemas (draft 2020-12) of the files that people edit, for editors. Facts and fields come from the
//! tables of the canonical model; the keys of tables and rules are asked of the compiler itself: it tells what it knows
//! wherever it meets a key that it does not know.

mod probe;

use serde_json::{Map, Value, json};

use crate::canonical::fact::{Header, KINDS, KindInfo};
use crate::canonical::schema::{Field, Ty};
use crate::config::sources::Sources;

use super::compile::CONTROL;
use super::{Inbound, Outbound};

/// The kinds of files for which there is a schema, with what they are.
pub const FILES: [(&str, &str); 5] = [
    ("in", "mappings/<connector>/<name>.in.toml: what a partner says becomes facts"),
    ("out", "mappings/<connector>/<name>.out.toml: our document becomes what a partner wants"),
    ("overlay", "mappings/clients/<client>/… and mappings/accounts/<account>/…: changes to single fields"),
    ("manifest", "connectors/<connector>/connector.toml: what a partner's API is like"),
    ("config", "config.toml: accounts and flows"),
];

/// A key that nothing knows.
const PROBE: &str = "zzzzqqqq";

/// The schema of one of [`FILES`].
#[must_use]
pub fn schema(file: &str) -> Option<Value> {
    let (title, properties) = match file {
        "in" => ("A mapping of what a partner says", inbound(true)),
        "out" => ("A mapping of what a partner is told", outbound()),
        "overlay" => ("An overlay: changes to a mapping for one client or account", overlay()),
        "manifest" => return Some(titled("A connector's manifest", probe::manifest())),
        "config" => return Some(titled("The config", probe::config())),
        _ => return None,
    };
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
        "$defs": defs(),
    });
    if file == "overlay" {
        schema["required"] = json!(["overlay"]);
    }
    Some(schema)
}

fn titled(title: &str, mut schema: Value) -> Value {
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!(title);
    schema
}

/// What the compiler knows where the probe stands in `text`.
fn known(text: &str, inbound: bool) -> Vec<String> {
    let mut sources = Sources::default();
    let problems = if inbound {
        sources.insert("mappings/x/x.in.toml", text);
        Inbound::compile(&sources, "x", "x", &[]).map(|_| ()).err()
    } else {
        sources.insert("mappings/x/x.out.toml", text);
        Outbound::compile(&sources, "x", "x", &[]).map(|_| ()).err()
    };
    let told = problems.unwrap_or_default().into_iter().find(|found| found.message.contains(PROBE));
    let help = told.and_then(|found| found.help).unwrap_or_default();
    let list = help.split(';').next().unwrap_or_default();
    let names = list.strip_prefix("known here: ").unwrap_or_default();
    names.split(", ").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn known_of(texts: &[String], inbound: bool) -> Vec<String> {
    let mut all: Vec<String> = texts.iter().flat_map(|text| known(text, inbound)).collect();
    all.sort();
    all.dedup();
    all
}

/// The keys of a rule, whatever its source.
fn rule_keys(inbound: bool) -> Vec<String> {
    let sources = [
        "path = \"a\"",
        "first = [\"a\"]",
        "const = \"a\"",
        "join = [\"a\"]",
        "list = [\"a\"]",
        "sum = \"a\"",
        "count = true",
        "expr = \"a\", with = { a = \"a\" }",
    ];
    let fields: &[&str] = if inbound { &["note", "total", "at"] } else { &["note"] };
    let texts: Vec<String> = fields
        .iter()
        .flat_map(|field| {
            sources.iter().map(move |source| {
                if inbound {
                    format!("[fact.a]\nis = \"order.placed\"\n{field} = {{ {source}, {PROBE} = 1 }}\n")
                } else {
                    format!("[body]\n{field} = {{ {source}, {PROBE} = 1 }}\n")
                }
            })
        })
        .collect();
    known_of(&texts, inbound)
}

/// What may stand at a key of a rule or a table.
fn value_of(key: &str) -> Value {
    let refer = |name: &str| json!({ "$ref": format!("#/$defs/{name}") });
    match key {
        "required" | "abs" | "negate" | "lower" | "upper" | "keep" | "unset" | "header" | "prefixes"
        | "counts" | "nothing" | "others" | "exact" => json!({ "type": "boolean" }),
        "take" => json!({ "type": "integer" }),
        "when" | "where" | "reject" => refer("condition"),
        "where_also" => {
            json!({ "anyOf": [refer("condition"), { "type": "array", "items": refer("condition") }] })
        }
        "path" | "expr" | "by" | "prefix" | "suffix" | "split" | "each" | "sort" | "use" | "doc" | "unit"
        | "zone" | "zone_from" | "unit_from" | "country_from" | "part" | "is" | "format" | "input"
        | "error" | "delimiter" | "encoding" => {
            json!({ "type": "string" })
        }
        "records" => {
            let entry = json!({
                "type": "object",
                "properties": { "path": { "type": "string" }, "when": refer("condition") },
                "required": ["path"],
                "additionalProperties": false,
            });
            json!({ "anyOf": [refer("texts"), { "type": "array", "items": { "anyOf": [{ "type": "string" }, entry] } }] })
        }
        "from" | "group" | "formats" | "empty" | "errors" | "columns" | "after" => refer("texts"),
        "first" | "join" => json!({ "type": "array", "items": refer("rule") }),
        "list" | "sum" => json!({ "anyOf": [refer("rule"), { "type": "array", "items": refer("rule") }] }),
        "count" => {
            json!({ "anyOf": [{ "const": true }, refer("rule"), { "type": "array", "items": refer("rule") }] })
        }
        "with" => json!({ "type": "object", "additionalProperties": refer("rule") }),
        "lookup" => json!({ "type": ["string", "object"] }),
        "const" | "default" => json!({ "type": ["string", "number", "boolean"] }),
        _ => json!({}),
    }
}

fn object(keys: &[String]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.clone(), value_of(key))).collect();
    json!({ "type": "object", "properties": properties, "additionalProperties": false })
}

fn defs() -> Value {
    let mut keys = rule_keys(true);
    keys.extend(rule_keys(false));
    // What the compiler reads apart from the rule itself.
    keys.extend(["unset", "as", "country_from"].map(str::to_owned));
    keys.sort();
    keys.dedup();
    let mut defs = json!({
        "texts": { "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }] },
        "condition": { "type": "object", "description": "path = value, [any of], or { not, exists, gt, ge, lt, le, contains }; any = [ … ], all = [ … ]" },
        "rule": { "anyOf": [{ "type": "string", "description": "A path into the payload" }, object(&keys)] },
    });
    for info in partners() {
        defs[info.kind.0] = fact(info);
    }
    defs
}

fn partners() -> impl Iterator<Item = &'static KindInfo> {
    KINDS.iter().filter(|info| !info.ours())
}

fn fact(info: &KindInfo) -> Value {
    let mut properties = fields(info.fields);
    properties.extend(fields(Header::FIELDS));
    controls(&mut properties);
    json!({
        "description": info.doc.trim(),
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// The words that steer a table.
fn controls(properties: &mut Map<String, Value>) {
    for key in CONTROL {
        properties.insert(key.to_owned(), value_of(key));
    }
    properties.insert("currency_from".to_owned(), json!({}));
}

fn fields(fields: &[Field]) -> Map<String, Value> {
    fields.iter().map(|field| (field.name.to_owned(), field_schema(field))).collect()
}

fn field_schema(field: &Field) -> Value {
    let record = |inner: &[Field]| {
        let mut properties = fields(inner);
        controls(&mut properties);
        json!({ "type": "object", "properties": properties, "additionalProperties": false })
    };
    let mut schema = match field.ty {
        Ty::Record(inner) => record(inner),
        Ty::List(Ty::Record(inner)) => {
            json!({ "anyOf": [record(inner), { "type": "array", "items": record(inner) }] })
        }
        Ty::Extra => json!({ "type": "object", "additionalProperties": { "$ref": "#/$defs/rule" } }),
        _ => json!({ "$ref": "#/$defs/rule" }),
    };
    let words = match field.ty {
        Ty::Word(words) => format!(" One of {}.", words.join(", ")),
        _ => String::new(),
    };
    schema["description"] = json!(format!("{}{words}", field.doc.trim()));
    schema
}

/// Tables that mappings of both sides have.
fn shared(inbound: bool) -> Map<String, Value> {
    let end = if inbound { "[fact.a]\nis = \"order.closed\"\n" } else { "[body]\na = \"a\"\n" };
    let mapping = known(&format!("[mapping]\n{PROBE} = 1\n{end}"), inbound);
    let lookup = known(&format!("[lookup.a]\nrows = {{ a = \"b\" }}\n{PROBE} = 1\n{end}"), inbound);
    let mut lookup = object(&lookup);
    lookup["properties"]["rows"] =
        json!({ "type": "object", "additionalProperties": { "type": ["string", "number", "boolean"] } });
    lookup["properties"]["missing"] = json!({ "enum": ["report", "keep", "drop"] });
    let tests = super::test::KEYS.map(str::to_owned);
    let mut properties = Map::new();
    for name in known(&format!("{PROBE} = 1\n{end}"), inbound) {
        if name != "overlay" {
            properties.insert(name, json!({}));
        }
    }
    properties.insert("mapping".to_owned(), object(&mapping));
    properties.insert(
        "fragment".to_owned(),
        json!({ "type": "object", "additionalProperties": { "type": "object" } }),
    );
    properties.insert("lookup".to_owned(), json!({ "type": "object", "additionalProperties": lookup }));
    properties.insert("test".to_owned(), json!({ "type": "array", "items": object(&tests) }));
    properties
}

fn inbound(whole: bool) -> Map<String, Value> {
    let mut properties = shared(true);
    properties.insert(
        "nothing".to_owned(),
        json!({ "type": "object", "properties": { "when": value_of("when"), "doc": value_of("doc") }, "additionalProperties": false }),
    );
    properties.insert("loops".to_owned(), json!({ "type": "object" }));
    let kinds: Vec<&str> = partners().map(|info| info.kind.0).collect();
    let choose: Vec<Value> = kinds
        .iter()
        .map(|kind| {
            json!({
                "if": { "properties": { "is": { "const": kind } }, "required": ["is"] },
                "then": { "$ref": format!("#/$defs/{kind}") },
            })
        })
        .collect();
    let mut fact = json!({
        "type": "object",
        "properties": { "is": { "enum": kinds } },
        "allOf": choose,
    });
    if whole {
        fact["required"] = json!(["is"]);
    }
    properties.insert("fact".to_owned(), json!({ "type": "object", "additionalProperties": fact }));
    properties
}

fn outbound() -> Map<String, Value> {
    let mut properties = shared(false);
    properties.insert("body".to_owned(), json!({ "type": ["object", "array"] }));
    properties
}

fn overlay() -> Map<String, Value> {
    let mut properties = inbound(false);
    properties.extend(outbound());
    properties.insert(
        "overlay".to_owned(),
        json!({
            "type": "object",
            "properties": {
                "of": { "type": "string", "description": "The mapping that is changed: `shopify/order`" },
                "was": { "type": "object", "additionalProperties": { "type": "string" } },
                "doc": { "type": "string" },
            },
            "required": ["of"],
            "additionalProperties": false,
        }),
    );
    properties
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_tells_what_it_knows() {
        let keys = rule_keys(true);
        for key in [
            "path",
            "first",
            "expr",
            "with",
            "split",
            "take",
            "lookup",
            "currency_from",
            "formats",
            "zone",
            "by",
        ] {
            assert!(keys.iter().any(|known| known == key), "{key} is missing in {keys:?}");
        }
        assert!(rule_keys(false).iter().any(|key| key == "sum"));
        let schema = schema("in").unwrap();
        let mapping = &schema["properties"]["mapping"]["properties"];
        for key in ["records", "currency_from", "unit", "format", "reject"] {
            assert!(mapping.get(key).is_some(), "{key} is missing in {mapping}");
        }
        assert!(schema["$defs"]["order.placed"]["properties"]["lines"].is_object());
        assert_eq!(
            schema["properties"]["lookup"]["additionalProperties"]["properties"]["missing"]["enum"][0],
            "report"
        );
        assert!(super::schema("mapping").is_none());
    }
}

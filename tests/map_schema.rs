//! The schemas for editors fit every shipped mapping, and refuse what the compiler refuses.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test: it stops at the first surprise")]

use crossdock::config::embedded;
use crossdock::map::schema::{FILES, schema};
use serde_json::{Value, json};

/// What of draft 2020-12 the schemas use.
fn check(schema: &Value, root: &Value, value: &Value, at: &str, wrong: &mut Vec<String>) {
    let Some(rules) = schema.as_object() else {
        assert_eq!(*schema, json!(true));
        return;
    };
    for (word, rule) in rules {
        let fits = |rule: &Value| {
            let mut inner = Vec::new();
            check(rule, root, value, at, &mut inner);
            inner.is_empty()
        };
        match word.as_str() {
            "$ref" => {
                let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                check(root.pointer(pointer).unwrap(), root, value, at, wrong);
            }
            "type" => {
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_i64() || value.is_u64(),
                    "number" => value.is_number(),
                    other => panic!("the type {other} is not looked at"),
                };
                let fits = rule.as_array().map_or_else(|| is(rule), |names| names.iter().any(is));
                if !fits {
                    wrong.push(format!("{at}: expected {rule}, found {value}"));
                }
            }
            "properties" => {
                for (name, rule) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(name) {
                        check(rule, root, value, &format!("{at}.{name}"), wrong);
                    }
                }
            }
            "additionalProperties" => {
                let known = rules.get("properties").and_then(Value::as_object);
                for (name, value) in value.as_object().into_iter().flatten() {
                    if known.is_some_and(|known| known.contains_key(name)) {
                        continue;
                    }
                    if *rule == json!(false) {
                        wrong.push(format!("{at}: unknown key `{name}`"));
                    } else {
                        check(rule, root, value, &format!("{at}.{name}"), wrong);
                    }
                }
            }
            "items" => {
                for (number, value) in value.as_array().into_iter().flatten().enumerate() {
                    check(rule, root, value, &format!("{at}[{number}]"), wrong);
                }
            }
            "anyOf" => {
                if !rule.as_array().unwrap().iter().any(fits) {
                    wrong.push(format!("{at}: {value} fits no alternative"));
                }
            }
            "allOf" => rule.as_array().unwrap().iter().for_each(|rule| check(rule, root, value, at, wrong)),
            "if" => {
                if fits(rule) {
                    check(&rules["then"], root, value, at, wrong);
                }
            }
            "enum" => {
                if !rule.as_array().unwrap().contains(value) {
                    wrong.push(format!("{at}: {value} is none of {rule}"));
                }
            }
            "const" => {
                if rule != value {
                    wrong.push(format!("{at}: {value} is not {rule}"));
                }
            }
            "required" => {
                for name in rule.as_array().unwrap() {
                    if value.get(name.as_str().unwrap()).is_none() {
                        wrong.push(format!("{at}: {name} is missing"));
                    }
                }
            }
            "$schema" | "$defs" | "title" | "description" | "then" => {}
            other => panic!("the word {other} is not looked at"),
        }
    }
}

fn problems(kind: &str, text: &str) -> Vec<String> {
    let schema = schema(kind).unwrap();
    let value: toml::Value = toml::from_str(text).unwrap();
    let mut wrong = Vec::new();
    check(&schema, &schema, &serde_json::to_value(value).unwrap(), "", &mut wrong);
    wrong
}

#[test]
fn every_shipped_mapping_fits_its_schema() {
    let sources = embedded();
    let mut looked = 0;
    let mut wrong = Vec::new();
    for (path, text) in sources.under("mappings/") {
        let kind = match path {
            path if path.ends_with(".in.toml") => "in",
            path if path.ends_with(".out.toml") => "out",
            _ => continue,
        };
        looked += 1;
        wrong.extend(problems(kind, text).into_iter().map(|found| format!("{path}{found}")));
    }
    assert!(looked > 50, "{looked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn manifests_and_the_reference_config_fit_theirs() {
    let sources = embedded();
    let schema = schema("manifest").unwrap();
    let mut wrong = Vec::new();
    for (path, text) in sources.under("connectors/").filter(|(path, _)| path.ends_with("connector.toml")) {
        let value: toml::Value = toml::from_str(text).unwrap();
        let mut found = Vec::new();
        check(&schema, &schema, &serde_json::to_value(value).unwrap(), "", &mut found);
        wrong.extend(found.into_iter().map(|found| format!("{path}{found}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let typo = json!({ "connector": { "serves": ["storefront"] }, "webhook": { "topik": "x" } });
    check(&schema, &schema, &typo, "", &mut wrong);
    assert!(!wrong.is_empty());
    let reference = include_str!("../config.toml");
    assert_eq!(problems("config", reference), Vec::<String>::new());
    let account = "[account.a]\nconnector = \"shopify\"\nclient = \"b\"\nsettings = { shop = \"c\" }\n[account.a.poll.orders]\nevery = \"5m\"\n";
    assert_eq!(problems("config", account), Vec::<String>::new());
    assert!(!problems("config", &account.replace("client =", "cleint =")).is_empty());
    assert!(!problems("config", "[server]\nlisten = \"127.0.0.1:1\"\ndrian = \"1s\"\n").is_empty());
}

#[test]
fn what_the_compiler_refuses_the_schema_refuses_too() {
    assert_eq!(problems("in", "[fact.a]\nis = \"order.placed\"\norder = \"id\"\n"), Vec::<String>::new());
    assert!(!problems("in", "[fact.a]\nis = \"order.placed\"\nordr = \"id\"\n").is_empty());
    assert!(!problems("in", "[fact.a]\nis = \"order.plced\"\n").is_empty());
    assert!(
        !problems("in", "[fact.a]\nis = \"order.placed\"\nnote = { path = \"a\", reqired = true }\n")
            .is_empty()
    );
    assert!(!problems("in", "[mappng]\nunit = \"major\"\n").is_empty());
    let overlay = "[overlay]\nof = \"shopify/order\"\n[fact.placed]\nnote = { unset = true }\n[fact.placed.lines]\nwhere_also = { a = 1 }\n";
    assert_eq!(problems("overlay", overlay), Vec::<String>::new());
    assert!(!problems("overlay", "[fact.placed]\nnote = \"a\"\n").is_empty());
    assert!(FILES.iter().all(|(name, _)| schema(name).is_some()));
}

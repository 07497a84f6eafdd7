//! Real payloads of many partners, and the facts that must come of each: `tests/golden/<system>/<file>.json`, a file a
//! case. The payloads lie outside of the repository: in `../shared/fixtures`, or where `CROSSDOCK_FIXTURES` says; without
//! them the cases cannot run, and the test says how many.
//!
//! A case names the `mapping` that the payload goes through, or the `topic` under which it comes (then the manifest of
//! the connector finds the mapping), perhaps the account's `zone` and `currency` and what was `asked`, and then what must
//! come of it: `facts`, the causes of the `exceptions`, or what else the manifest says. With `CROSSDOCK_GOLDEN=write` the
//! expectations are written anew: look at every difference before it is kept. A new case needs only its `mapping` or
//! `topic` before that.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test; the environment says where the payloads are"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crossdock::config::Sources;
use crossdock::config::embedded::embedded;
use crossdock::connector::manifest::TopicAction;
use crossdock::connector::{self, Registry, webhook};
use crossdock::map::node::Node;
use crossdock::map::path::Path as PayloadPath;
use crossdock::map::{Context, Inbound, Mapped, MappedFact};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A case as its file says it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Case {
    /// The mapping, where no topic finds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping: Option<String>,
    /// The topic under which the payload comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    topic: Option<String>,
    /// The account's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// The account's currency.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// What was asked, where the payload is an answer that does not say.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    asked: BTreeMap<String, String>,
    /// Why this is right, where it is not plain to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(flatten)]
    outcome: Outcome,
}

/// What comes of a payload.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Outcome {
    /// The manifest ignores the topic.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ignored: bool,
    /// The message means nothing, by a rule of the mapping.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    nothing: bool,
    /// The message only names what to read in its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_again: Option<String>,
    /// Causes of what could not be mapped.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    exceptions: Vec<String>,
    facts: Vec<Value>,
}

/// A case with its place and its payload.
struct Golden {
    system: String,
    file: PathBuf,
    payload: String,
    case: Case,
}

impl Golden {
    fn name(&self) -> String {
        format!("{}/{}", self.system, self.payload)
    }
}

fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures");
    let named = std::env::var("CROSSDOCK_FIXTURES").unwrap_or_else(|_| beside.to_owned());
    Some(PathBuf::from(named)).filter(|path| path.is_dir())
}

fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// All cases. `order-1.json` is of the payload `order-1.json`, `order-1.xml.json` of `order-1.xml`.
fn goldens() -> Vec<Golden> {
    let mut all = Vec::new();
    for system in below(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")) {
        for file in below(&system) {
            let name = file.file_name().unwrap().to_str().unwrap();
            let stem = name.strip_suffix(".json").unwrap();
            let payload = if Path::new(stem).extension().is_some() { stem } else { name };
            let text = std::fs::read_to_string(&file).unwrap();
            let case = serde_json::from_str(&text)
                .unwrap_or_else(|error| unreachable!("{}: {error}", file.display()));
            let system = system.file_name().unwrap().to_str().unwrap().to_owned();
            all.push(Golden { system, payload: payload.to_owned(), file, case });
        }
    }
    all
}

/// What a case runs through, compiled once for all of its cases.
struct Mappings {
    registry: Registry,
    sources: Sources,
    /// Mappings of systems that have no connector.
    alone: BTreeMap<(String, String), Inbound>,
}

impl Mappings {
    fn load(goldens: &[Golden]) -> Self {
        let sources = embedded();
        let (registry, _) = connector::load(&sources);
        let mut mappings = Self { registry, sources, alone: BTreeMap::new() };
        for golden in goldens {
            let Some(name) = &golden.case.mapping else { continue };
            let key = (golden.system.clone(), name.clone());
            if mappings.registry.get(&golden.system).is_none() && !mappings.alone.contains_key(&key) {
                let inbound = Inbound::compile(&mappings.sources, &golden.system, name, &[]).unwrap();
                mappings.alone.insert(key, inbound);
            }
        }
        mappings
    }

    fn run(&self, golden: &Golden, bytes: &[u8]) -> Outcome {
        let Case { mapping, topic, zone, currency, asked, .. } = &golden.case;
        let connector = self.registry.get(&golden.system);
        let mut context = Context {
            zone: zone.clone(),
            currency: currency.clone(),
            asked: asked.clone(),
            ..Context::default()
        };
        if let Some(connector) = connector {
            context.exponents.clone_from(&connector.manifest.exponents);
        }
        let mut outcome = Outcome::default();
        let mapping = match (mapping, topic, connector) {
            (Some(mapping), None, _) => mapping.clone(),
            (None, Some(topic), Some(connector)) => {
                let hooks = connector.manifest.webhook.as_ref().unwrap();
                match webhook::action(hooks, topic) {
                    Some(TopicAction::Map(mapping)) => mapping,
                    Some(TopicAction::Ignore) => return Outcome { ignored: true, ..outcome },
                    None => {
                        outcome.exceptions.push(format!("unknown_topic:{topic}"));
                        return outcome;
                    }
                    Some(TopicAction::Reread { read, id }) => {
                        let body = Node::parse_json(bytes).unwrap_or(Node::Null);
                        let id = PayloadPath::parse(&id).unwrap().first(&body).and_then(Node::text);
                        match id {
                            Some(id) => outcome.read_again = Some(format!("{read} {id}")),
                            None => outcome.exceptions.push(format!("no_id:{topic}")),
                        }
                        return outcome;
                    }
                }
            }
            _ => unreachable!("{}: either a mapping, or a topic of a connector", golden.name()),
        };
        let inbound: &Inbound = match connector {
            Some(connector) => &connector.inbound[&mapping],
            None => &self.alone[&(golden.system.clone(), mapping)],
        };
        let Ok(body) = inbound.read(bytes) else {
            return Outcome { exceptions: vec!["unreadable".to_owned()], ..outcome };
        };
        let mapped = inbound.run(&body, &context);
        // What no rule reads makes no difference.
        assert_eq!(inbound.run_bytes(bytes, &context), mapped, "{}", golden.name());
        let Mapped { facts, errors, nothing } = mapped;
        outcome.nothing = nothing;
        outcome.facts = facts.iter().map(MappedFact::to_json).collect();
        for error in errors {
            assert!(error.message.contains(&golden.system) && !error.kind.is_empty(), "{error:?}");
            if !outcome.exceptions.contains(&error.cause) {
                outcome.exceptions.push(error.cause);
            }
        }
        outcome
    }
}

/// Of one system: cases that gave facts, that mean nothing, and the causes of exceptions.
#[derive(Default)]
struct Row {
    payloads: usize,
    mapped: usize,
    nothing: usize,
    read_again: usize,
    excepted: usize,
    causes: BTreeMap<String, usize>,
}

fn table(rows: &BTreeMap<String, Row>) -> String {
    let mut lines = vec![
        "| system | payloads | give facts | mean nothing | read again | exceptions | causes |".to_owned(),
        "|---|---|---|---|---|---|---|".to_owned(),
    ];
    for (system, row) in rows {
        let causes: Vec<String> =
            row.causes.iter().map(|(cause, count)| format!("{cause} ({count})")).collect();
        let causes = causes.join(", ");
        let Row { payloads, mapped, nothing, read_again, excepted, .. } = row;
        lines.push(format!(
            "| {system} | {payloads} | {mapped} | {nothing} | {read_again} | {excepted} | {causes} |"
        ));
    }
    let sum = |of: fn(&Row) -> usize| rows.values().map(of).sum::<usize>();
    let (payloads, mapped, nothing) =
        (sum(|row| row.payloads), sum(|row| row.mapped), sum(|row| row.nothing));
    let (read_again, excepted) = (sum(|row| row.read_again), sum(|row| row.excepted));
    lines.push(format!(
        "| {} systems | {payloads} | {mapped} | {nothing} | {read_again} | {excepted} | |",
        rows.len()
    ));
    lines.join("\n")
}

#[test]
fn every_payload_gives_the_facts_that_it_should() {
    let goldens = goldens();
    let Some(folder) = folder() else {
        println!("no payloads here: {} cases could not run", goldens.len());
        return;
    };
    let write = std::env::var("CROSSDOCK_GOLDEN").is_ok_and(|what| what == "write");
    let mappings = Mappings::load(&goldens);
    let mut wrong = Vec::new();
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    let mut absent = 0_usize;
    for golden in &goldens {
        let Ok(bytes) = std::fs::read(folder.join(golden.name())) else {
            absent += 1;
            continue;
        };
        let outcome = mappings.run(golden, &bytes);
        let row = rows.entry(golden.system.clone()).or_default();
        row.payloads += 1;
        row.mapped += usize::from(!outcome.facts.is_empty());
        row.nothing += usize::from(outcome.nothing || outcome.ignored);
        row.read_again += usize::from(outcome.read_again.is_some());
        row.excepted += usize::from(!outcome.exceptions.is_empty());
        for cause in &outcome.exceptions {
            *row.causes.entry(cause.clone()).or_default() += 1;
        }
        let says_something = outcome.nothing
            || outcome.ignored
            || outcome.read_again.is_some()
            || !outcome.facts.is_empty()
            || !outcome.exceptions.is_empty();
        if !says_something {
            wrong.push(format!("{}: neither facts nor an exception", golden.name()));
        }
        if outcome == golden.case.outcome {
            continue;
        }
        let case = Case { outcome, ..golden.case.clone() };
        let text = serde_json::to_string_pretty(&case).unwrap() + "\n";
        if write {
            std::fs::write(&golden.file, text).unwrap();
        } else {
            wrong.push(format!("{} gives, other than {}:\n{text}", golden.name(), golden.file.display()));
        }
    }
    println!("{}", table(&rows));
    if absent > 0 {
        println!("{absent} cases could not run: their payloads are not in {}", folder.display());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Bytes that are cut or changed anywhere give facts or exceptions, never a panic.
#[test]
fn damaged_payloads_do_not_panic() {
    let goldens = goldens();
    let Some(folder) = folder() else { return };
    let mappings = Mappings::load(&goldens);
    for golden in &goldens {
        let Ok(bytes) = std::fs::read(folder.join(golden.name())) else { continue };
        let run = |bytes: &[u8]| drop(mappings.run(golden, bytes));
        let text = String::from_utf8_lossy(&bytes);
        run(text.replace("null", "{}").replace("[]", "\"\"").as_bytes());
        for step in 1..8 {
            run(&bytes[..bytes.len() * step / 8]);
            for (from, to) in
                [(":", ": null,"), ("\"", ""), ("[", "{"), ("1", "9999999999999999999"), ("null", "[]")]
            {
                run(text.replacen(from, to, step * 3).as_bytes());
            }
        }
    }
}

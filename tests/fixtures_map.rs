//! Real payloads of the four shipped partners through the mapping that their topic says: each gives facts, means nothing
//! by a rule, or is an exception with a name; none panics. What good ones give is compared with `tests/golden/`.
//!
//! The payloads lie outside of the repository: in `../shared/fixtures`, or where `CROSSDOCK_FIXTURES` says. With
//! `CROSSDOCK_GOLDEN=write` the golden files are written anew; look at the difference before it is kept.
#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test; the environment says where the payloads are"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crossdock::config::embedded::embedded;
use crossdock::connector::manifest::TopicAction;
use crossdock::connector::{self, Connector, Registry, webhook};
use crossdock::map::node::Node;
use crossdock::map::path::Path as PayloadPath;
use crossdock::map::{Context, Mapped};
use serde_json::Value;

/// A file without a topic of its own (a REST answer, a fragment), and the topic under which it could come.
const TOPICS: &[(&str, &str)] = &[
    ("shopify/order-11", "draft_orders/update"),
    ("shopify/order-14", "draft_orders/update"),
    ("shopify/order-16", "draft_orders/update"),
    ("shopify/order-17", "checkouts/update"),
    ("shopify/order-", "orders/updated"),
    ("shopify/refund-", "refunds/create"),
    ("shopify/fulfillment-13", "fulfillment_events/create"),
    ("shopify/fulfillment-10", "fulfillment_orders/fulfillment_request_submitted"),
    ("shopify/fulfillment-11", "fulfillment_orders/cancellation_request_submitted"),
    ("shopify/fulfillment-16", "fulfillment_orders/moved"),
    ("shopify/fulfillment-17", "fulfillment_orders/fulfillment_request_submitted"),
    ("shopify/fulfillment-4", "fulfillment_orders/cancelled"),
    ("shopify/fulfillment-5", "fulfillment_orders/moved"),
    ("shopify/fulfillment-8", "fulfillment_orders/placed_on_hold"),
    ("shopify/fulfillment-", "fulfillments/create"),
    ("shopify/payment-4", "payouts"),
    ("shopify/payment-5", "disputes/update"),
    ("shopify/payment-7", "balance_transactions"),
    ("shopify/payment-", "order_transactions/create"),
    ("shopify/inventory-2", "inventory_items/update"),
    ("shopify/inventory-", "inventory_levels/update"),
    ("shopify/product-", "products/update"),
    ("stripe/payment-4", "balance.available"),
    ("stripe/payment-7", "invoice.created"),
    ("stripe/refund-2", "credit_note.created"),
    ("stripe/refund-", "refund.created"),
    ("easypost/tracker-", "tracker.updated"),
    ("easypost/refund-1", "refund.successful"),
    ("easypost/refund-2", "read:label"),
    ("easypost/shipment-5", "scan_form.created"),
    ("easypost/shipment-7", "insurance.purchased"),
    ("easypost/shipment-11", "batch.created"),
    ("easypost/return-2", "claim.submitted"),
    ("easypost/return-1", "read:label"),
    ("easypost/shipment-", "read:label"),
];

const SYSTEMS: [&str; 4] = ["shopify", "shiphero", "easypost", "stripe"];

/// What came of a file.
enum Outcome {
    /// A topic or an object that the manifest ignores.
    Ignored,
    /// No topic of the manifest.
    UnknownTopic,
    /// No JSON.
    NotJson(String),
    /// Through a mapping; with what a thin webhook is read again for.
    Mapped { mapping: String, reread: Option<String>, mapped: Mapped },
}

fn folder() -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures");
    let named = std::env::var("CROSSDOCK_FIXTURES").unwrap_or_else(|_| beside.to_owned());
    Some(PathBuf::from(named)).filter(|path| path.is_dir())
}

fn files(folder: &Path, system: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.join(system))
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
        .filter_map(|name| Some(name.strip_suffix(".json")?.to_owned()))
        .filter(|name| Path::new(name).extension().is_none())
        .collect();
    names.sort_by_key(|name| {
        let (kind, number) = name.rsplit_once('-').unwrap_or((name, "0"));
        (kind.to_owned(), number.parse::<u32>().unwrap_or(0))
    });
    names
}

/// The topic: from the headers that were captured with it, from the body, or from [`TOPICS`].
fn topic(folder: &Path, system: &str, name: &str, body: Option<&Node<'_>>) -> String {
    let headers = std::fs::read(folder.join(system).join(format!("{name}.headers.json"))).ok();
    let headers: Option<Value> = headers.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if let Some(topic) = headers.as_ref().and_then(|headers| headers.get("x-shopify-topic")) {
        return topic.as_str().unwrap().to_owned();
    }
    let path = match system {
        "shiphero" => "webhook_type",
        "stripe" => "type",
        _ => "description",
    };
    let told = |place: &str| {
        PayloadPath::parse(place).unwrap().first(body?).and_then(|node| Some(node.text()?.into_owned()))
    };
    let is_hook = name.starts_with("webhook") || system == "shiphero";
    if is_hook && let Some(topic) = told(path) {
        return topic;
    }
    let full = format!("{system}/{name}");
    TOPICS
        .iter()
        .find(|(start, _)| full.starts_with(start))
        .map_or_else(String::new, |(_, topic)| (*topic).to_owned())
}

fn run(connector: &Connector, topic: &str, bytes: &[u8]) -> Outcome {
    let body = match Node::parse_json(bytes) {
        Ok(body) => body,
        Err(error) => return Outcome::NotJson(error.to_string()),
    };
    let hooks = connector.manifest.webhook.as_ref().unwrap();
    let (mapping, reread) = match (topic.strip_prefix("read:"), webhook::action(hooks, topic)) {
        (Some(mapping), _) => (mapping.to_owned(), None),
        (None, Some(TopicAction::Map(mapping))) => (mapping, None),
        (None, Some(TopicAction::Ignore)) => return Outcome::Ignored,
        (None, None) => return Outcome::UnknownTopic,
        (None, Some(TopicAction::Reread { read, id })) => {
            let id = PayloadPath::parse(&id)
                .unwrap()
                .first(&body)
                .and_then(|node| Some(node.text()?.into_owned()));
            let mapping = connector.manifest.reads[&read].mapping.clone().unwrap();
            (mapping, Some(format!("{read} {}", id.unwrap_or_else(|| "(no id here)".to_owned()))))
        }
    };
    let context = Context { zone: None, exponents: connector.manifest.exponents.clone() };
    let mapped = connector.inbound[&mapping].run(&body, &context);
    Outcome::Mapped { mapping, reread, mapped }
}

fn outcome_in_words(outcome: &Outcome) -> (String, String) {
    match outcome {
        Outcome::Ignored => ("ignored by the manifest".to_owned(), String::new()),
        Outcome::UnknownTopic => (String::new(), "unknown_topic".to_owned()),
        Outcome::NotJson(error) => (String::new(), format!("not_json: {error}")),
        Outcome::Mapped { reread, mapped, .. } => {
            let mut kinds: Vec<(&str, usize)> = Vec::new();
            for fact in &mapped.facts {
                let kind = fact.body.kind().0;
                match kinds.iter_mut().find(|(known, _)| *known == kind) {
                    Some((_, count)) => *count += 1,
                    None => kinds.push((kind, 1)),
                }
            }
            let mut facts: Vec<String> =
                kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            if mapped.nothing {
                facts.push("nothing, by rule".to_owned());
            }
            if let Some(what) = reread {
                facts.insert(0, format!("read again: {what}"));
            }
            let mut causes: Vec<&str> = mapped.errors.iter().map(|error| error.cause.as_str()).collect();
            causes.dedup();
            (facts.join(", "), causes.join(", "))
        }
    }
}

fn golden(system: &str, name: &str, mapped: &Mapped) -> Result<(), String> {
    let facts: Vec<Value> = mapped.facts.iter().map(crossdock::map::MappedFact::to_json).collect();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{system}/{name}.json"));
    if std::env::var("CROSSDOCK_GOLDEN").is_ok_and(|what| what == "write") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, serde_json::to_string_pretty(&facts).unwrap() + "\n").unwrap();
        return Ok(());
    }
    let text = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let expected: Vec<Value> = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    if expected == facts {
        return Ok(());
    }
    let now = serde_json::to_string_pretty(&facts).unwrap();
    Err(format!("{system}/{name} gives other facts than {}:\n{now}", path.display()))
}

fn all(registry: &Registry, folder: &Path) -> Vec<(String, String, String, Outcome)> {
    let mut rows = Vec::new();
    for system in SYSTEMS {
        let connector = registry.get(system).unwrap();
        for name in files(folder, system) {
            let bytes = std::fs::read(folder.join(system).join(format!("{name}.json"))).unwrap();
            let body = Node::parse_json(&bytes).ok();
            let topic = topic(folder, system, &name, body.as_ref());
            let outcome = run(connector, &topic, &bytes);
            rows.push((system.to_owned(), name, topic, outcome));
        }
    }
    rows
}

#[test]
fn every_payload_gives_facts_or_a_named_exception() {
    let (registry, _) = connector::load(&embedded());
    let Some(folder) = folder() else {
        println!("no payloads here: 98 cases could not run");
        return;
    };
    let rows = all(&registry, &folder);
    let mut table = String::from("| file | topic | facts | exceptions |\n|---|---|---|---|\n");
    let mut wrong = Vec::new();
    for (system, name, topic, outcome) in &rows {
        let (facts, causes) = outcome_in_words(outcome);
        writeln!(table, "| {system}/{name} | {topic} | {facts} | {causes} |").unwrap();
        if facts.is_empty() && causes.is_empty() {
            wrong.push(format!("{system}/{name}: neither facts nor an exception"));
        }
        if let Outcome::Mapped { mapping, mapped, .. } = outcome {
            for error in &mapped.errors {
                if error.kind.is_empty()
                    || error.cause.is_empty()
                    || !error.message.contains(mapping.as_str())
                {
                    wrong.push(format!("{system}/{name}: an exception without a name or a place: {error:?}"));
                }
            }
            if !mapped.facts.is_empty() {
                wrong.extend(golden(system, name, mapped).err());
            }
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// Bytes that are cut or changed anywhere give facts or exceptions, never a panic.
#[test]
fn damaged_payloads_do_not_panic() {
    let (registry, _) = connector::load(&embedded());
    let Some(folder) = folder() else { return };
    for (system, name, topic, _) in all(&registry, &folder) {
        let connector = registry.get(&system).unwrap();
        let bytes = std::fs::read(folder.join(&system).join(format!("{name}.json"))).unwrap();
        for step in 1..8 {
            let cut = bytes.len() * step / 8;
            let _ = run(connector, &topic, &bytes[..cut]);
            let text = String::from_utf8_lossy(&bytes);
            for (from, to) in
                [(":", ": null,"), ("\"", ""), ("[", "{"), ("1", "9999999999999999999"), ("null", "[]")]
            {
                let _ = run(connector, &topic, text.replacen(from, to, step * 3).as_bytes());
                let _ = run(connector, &topic, text.replace("null", "{}").replace("[]", "\"\"").as_bytes());
            }
        }
    }
}

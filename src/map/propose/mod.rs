//! `map new`: from sample payloads a first mapping that compiles and runs, with a word wherever a person must decide.

mod look;
mod names;
mod settle;
mod sketch;

use crate::canonical::fact::FactKind;
use crate::config::sources::Sources;

use self::look::{Spot, find, fits};
use self::names::NAMES;
use self::sketch::Sketch;
use super::Inbound;
use super::node::Node;
use super::update::quoted;

/// A proposed mapping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// The file.
    pub text: String,
    /// The kind of fact that it makes.
    pub kind: &'static str,
    /// What a person must decide, in words.
    pub decide: Vec<String>,
}

/// Proposes `mappings/<connector>/<topic>.in.toml` for payloads: what they are called, and their bytes.
///
/// # Errors
/// In words, when the payloads are none that can be looked at.
pub fn propose(connector: &str, topic: &str, samples: &[(String, Vec<u8>)]) -> Result<Proposal, String> {
    let format = format_of(samples)?;
    let reader = reader(format)?;
    let mut nodes = Vec::new();
    for (name, bytes) in samples {
        nodes.push(reader.read(bytes).map_err(|error| format!("{name}: {error}"))?);
    }
    let kind = kind_of(topic);
    let mut best: Option<(i64, String, Vec<Node<'_>>)> = None;
    for (path, records) in nodes.first().map(look::records).unwrap_or_default() {
        let Some(first) = records.first() else { continue };
        let score = score(first, kind.kind.0) - depth(&path);
        if best.as_ref().is_none_or(|(known, _, _)| score > *known) {
            best = Some((score, path, records.into_owned()));
        }
    }
    let Some((_, records, mut found)) = best else {
        return Err("there is no object in the payload".to_owned());
    };
    for node in nodes.iter().skip(1) {
        let same = look::records(node).into_iter().find(|(path, _)| *path == records);
        found.extend(same.map(|(_, found)| found.into_owned()).unwrap_or_default());
    }
    let mut sketch = Sketch::of(kind.kind.0, kind.fields, &records, &found, format);
    sketch.settle(connector, topic, &nodes)
}

/// How the payloads are written.
fn format_of(samples: &[(String, Vec<u8>)]) -> Result<Option<&'static str>, String> {
    let Some((name, bytes)) = samples.first() else { return Err("there is no payload".to_owned()) };
    let first = bytes.iter().copied().find(|byte| !byte.is_ascii_whitespace() && *byte < 0x80);
    match first {
        Some(b'{' | b'[') => Ok(None),
        Some(b'<') => Ok(Some("xml")),
        _ if name.to_lowercase().ends_with(".csv") => Ok(Some("csv")),
        _ => Err(format!(
            "{name} is neither JSON nor XML nor a .csv file: see docs/mappings.md for other formats"
        )),
    }
}

/// A mapping that makes nothing and reads the format.
fn reader(format: Option<&str>) -> Result<Inbound, String> {
    let mut sources = Sources::default();
    let format = format.map(|format| format!("[mapping]\nformat = {}\n", quoted(format))).unwrap_or_default();
    sources
        .insert("mappings/new/new.in.toml", format!("{format}[nothing]\nwhen = {{ any_key = \"any\" }}\n"));
    let compiled = Inbound::compile(&sources, "new", "new", &[]);
    compiled.map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

fn depth(path: &str) -> i64 {
    i64::try_from(path.matches('.').count()).unwrap_or_default()
}

/// The kind of fact of which a topic tells.
fn kind_of(topic: &str) -> &'static crate::canonical::fact::KindInfo {
    let topic = topic.to_lowercase();
    let words: [(&[&str], &str); 9] = [
        (&["cancel"], "order.cancelled"),
        (&["refund"], "payment.refunded"),
        (&["return", "rma"], "return.updated"),
        (&["order", "purchase", "sale"], "order.placed"),
        (&["inventory", "stock", "level"], "inventory.level"),
        (&["track", "scan", "event"], "tracking.event"),
        (&["label"], "label.bought"),
        (&["ship", "fulfil", "fulfill", "deliver"], "fulfilment.shipped"),
        (&["pay", "capture", "charge", "transaction"], "payment.captured"),
    ];
    let name = words.iter().find(|(words, _)| words.iter().any(|word| topic.contains(word)));
    let name = name.map_or("order.placed", |(_, name)| name);
    FactKind::parse(name).unwrap_or(&crate::canonical::fact::KINDS[0])
}

/// How much a record looks like one of the kind.
fn score(record: &Node<'_>, kind: &str) -> i64 {
    let spots = look::spots(record);
    let near: Vec<Spot<'_>> = spots.iter().filter(|spot| spot.depth == 0).cloned().collect();
    let mut score = 0;
    for (field, names) in NAMES {
        let Some(field) = FactKind::parse(kind).and_then(|info| info.field(field)) else { continue };
        if find(&near, names, |node| fits(node, field.ty)).is_some() {
            score += 2;
        }
    }
    if kind == "order.placed" {
        score += if look::lines(&near).is_some() { 6 } else { 0 };
        score += if near.iter().any(|spot| look::is_address(spot.node)) { 2 } else { 0 };
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Context;
    use crate::map::propose::names::LINE;

    fn run(topic: &str, payload: &str) -> (Proposal, Vec<serde_json::Value>) {
        let samples = [("a.json".to_owned(), payload.as_bytes().to_vec())];
        let proposal = propose("shop", topic, &samples).unwrap();
        let mut sources = Sources::default();
        sources.insert(format!("mappings/shop/{topic}.in.toml"), proposal.text.clone());
        let inbound = Inbound::compile(&sources, "shop", topic, &[])
            .unwrap_or_else(|problems| panic!("{problems:?}\n{}", proposal.text));
        let mapped = inbound.run_bytes(payload.as_bytes(), &Context::default());
        assert_eq!(mapped.errors, [], "{}", proposal.text);
        (proposal, mapped.facts.iter().map(crate::map::MappedFact::to_json).collect())
    }

    #[test]
    fn an_order_is_found_in_its_envelope() {
        let (proposal, facts) = run(
            "order",
            r#"{"event":"created","data":{"order":{"orderId":9007199254740993,"orderNumber":"A-7","createdAt":"2025-01-02T03:04:05",
            "currency":"EUR","grandTotal":1250,"customer":{"email":"a@example.com"},"shipping_address":{"firstName":"Ada","lastName":"L",
            "address1":"Main 1","city":"X","zip":"1","countryCode":"DE"},"orderItems":[{"id":1,"sku":"T","qty":2,"unitPrice":625}],
            "weird key":{"x":1}}}}"#,
        );
        let fact = &facts[0];
        assert_eq!(fact["is"], "order.placed");
        assert_eq!(fact["order"], "9007199254740993");
        assert_eq!(fact["number"], "A-7");
        assert_eq!(fact["total"], "12.50 EUR");
        assert_eq!(fact["at"], "2025-01-02T03:04:05Z");
        assert_eq!(fact["ship_to"]["name"], "Ada L");
        assert_eq!(fact["ship_to"]["country"], "DE");
        assert_eq!(fact["lines"][0]["quantity"], 2);
        assert_eq!(fact["lines"][0]["unit_price"], "6.25 EUR");
        assert_eq!(fact["email"], "a@example.com");
        let text = &proposal.text;
        assert!(text.contains("records       = [\"data.order\"]"), "{text}");
        assert!(text.contains("# decide: unit: all amounts are whole numbers"), "{text}");
        assert!(text.contains("# decide: some times have no offset"), "{text}");
        assert!(text.contains("weird key.x (1)"), "{text}");
    }

    #[test]
    fn other_topics_give_other_facts() {
        let (_, facts) = run(
            "refund",
            r#"{"id":"re_1","amount":"5.00","currency":"USD","order_id":"7","created":1735787045}"#,
        );
        assert_eq!(facts[0]["is"], "payment.refunded");
        assert_eq!((&facts[0]["amount"], &facts[0]["order"]), (&"5.00 USD".into(), &"7".into()));
        let (proposal, facts) = run(
            "tracking",
            r#"{"tracking_number":"1Z","status":"DL","carrier":"UPS","event_date":"02/01/2025 03:04"}"#,
        );
        assert_eq!(facts[0]["tracking"], "1Z");
        assert!(proposal.text.contains("lookup = { DL = "), "{}", proposal.text);
        assert!(proposal.decide.iter().any(|decide| decide.contains("is the day or the month first?")));
        let (_, facts) =
            run("inventory", r#"[{"sku":"A","available":3,"location_id":7},{"sku":"B","available":0}]"#);
        assert_eq!((facts.len(), &facts[1]["sku"]), (2, &"B".into()));
    }

    #[test]
    fn what_does_not_fit_is_taken_out_and_told() {
        let (proposal, facts) = run(
            "order",
            r#"{"orders":[{"id":1,"created_at":"2025-01-02T03:04:05Z","total":"1.00","currency":"USD","lines":[{"id":1,"quantity":1,"price":"1.00"},{"id":2,"quantity":"many","price":"x"}]}]}"#,
        );
        assert_eq!(facts[0]["order"], "1");
        assert!(proposal.text.contains("# decide: "), "{}", proposal.text);
        assert!(propose("shop", "order", &[("x.bin".to_owned(), b"\x00\x01".to_vec())]).is_err());
    }

    #[test]
    fn names_are_in_the_form_in_which_they_are_compared() {
        for name in NAMES.iter().chain(&LINE).flat_map(|(_, names)| names.iter()) {
            assert_eq!(*name, look::plain(name));
        }
    }
}

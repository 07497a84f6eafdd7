//! `map sample`: a recorded payload without the persons in it, so that it can be kept as a test.

use std::collections::HashSet;

use super::node::Node;
use super::trace::{Trace, shown};
use super::{Context, Inbound};
use crate::canonical::fact::PERSONAL;

/// The payload in which what `inbound` reads for something that is not personal stays as it is, and so do `true`, `false`,
/// `null` and all keys; of every other text and number only the shape is left: letters become `x` and `X`, digits `1`.
#[must_use]
pub fn sample<'n>(inbound: &Inbound, root: &Node<'n>, ctx: &Context) -> Node<'n> {
    let trace = Trace::default();
    let _facts = inbound.run_traced(root, ctx, Some(&trace));
    let facts = trace.facts.borrow();
    let personal: HashSet<&str> = facts
        .iter()
        .flat_map(|fact| &fact.fields)
        .filter(|field| is_personal(&field.name))
        .flat_map(|field| field.sources.iter().map(|(_, text)| text.as_str()))
        .collect();
    Kept { trace: &trace, personal }.without_persons(root)
}

/// Whether the field tells who or where somebody is; a country or a region alone does not.
fn is_personal(field: &str) -> bool {
    let first = field.split(['.', '[']).next().unwrap_or_default();
    PERSONAL.contains(&first) && !field.ends_with(".country") && !field.ends_with(".region")
}

struct Kept<'t> {
    trace: &'t Trace,
    /// What gave personal fields, as the trace shows it; the same elsewhere in the payload is personal too.
    personal: HashSet<&'t str>,
}

impl Kept<'_> {
    fn keeps(&self, leaf: &Node<'_>, shown: &str) -> bool {
        self.trace.was_read(leaf) && !self.personal.contains(shown)
    }

    fn without_persons<'n>(&self, node: &Node<'n>) -> Node<'n> {
        match node {
            Node::Num(text) if !self.keeps(node, text) => Node::Num(shape(text).into()),
            Node::Str(text) if !self.keeps(node, &shown(text)) => Node::Str(shape(text).into()),
            Node::List(items) => Node::List(items.iter().map(|item| self.without_persons(item)).collect()),
            Node::Map(entries) => Node::Map(
                entries.iter().map(|(key, value)| (key.clone(), self.without_persons(value))).collect(),
            ),
            kept => kept.clone(),
        }
    }
}

/// The text with its letters and digits made alike. A number stays one: its exponent keeps its letter.
fn shape(text: &str) -> String {
    let number = text.starts_with(|sign: char| sign.is_ascii_digit() || sign == '-')
        && text.chars().all(|sign| sign.is_ascii_digit() || matches!(sign, '-' | '+' | '.' | 'e' | 'E'));
    let alike = |sign: char| match sign {
        'e' | 'E' if number => sign,
        _ if sign.is_numeric() => '1',
        _ if sign.is_uppercase() => 'X',
        _ if sign.is_alphabetic() => 'x',
        _ => sign,
    };
    text.chars().map(alike).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::config::sources::Sources;

    const MAPPING: &str = r#"
[mapping]

[fact.placed]
is    = "order.placed"
when  = { state = "open" }
order = "id"
at    = "created"
note  = "remark"
email = "buyer.mail"

[fact.placed.ship_to]
name    = "buyer.name"
city    = "buyer.city"
country = "buyer.country"

[fact.placed.lines]
each     = "lines"
ref      = "id"
sku      = "sku"
quantity = "qty"
"#;

    const PAYLOAD: &str = r#"{"id": 4711, "created": "2026-01-15T10:00:00Z", "state": "open", "remark": "ring Ann, 2nd floor",
        "buyer": {"mail": "ann@example.com", "name": "Ann Lee", "city": "Ödby", "country": "SE", "born": "1970-02-03", "vip": true},
        "greeting": "Ann Lee", "score": -1.25e3, "lines": [{"id": 1, "sku": "TEA-01", "qty": 2, "engraving": "For Ann"}], "empty": []}"#;

    #[test]
    fn what_is_read_stays_and_what_is_personal_goes() {
        let mut sources = Sources::default();
        sources.insert("mappings/x/order.in.toml", MAPPING);
        let inbound = Inbound::compile(&sources, "x", "order", &[]).unwrap();
        let root = Node::parse_json(PAYLOAD.as_bytes()).unwrap();
        let kept = sample(&inbound, &root, &Context::default());
        let text = crate::web::pretty::pretty(&kept.to_json(), false).unwrap();
        insta::assert_snapshot!(text);
        let facts = |root: &Node<'_>| {
            let mapped = inbound.run(root, &Context::default());
            assert_eq!(mapped.errors, []);
            let mut facts: Vec<Value> = mapped.facts.iter().map(crate::map::MappedFact::to_json).collect();
            for name in ["ship_to", "email", "note"] {
                facts[0].as_object_mut().unwrap().remove(name).unwrap();
            }
            facts
        };
        assert_eq!(facts(&kept), facts(&root), "it says the same of what is not personal");
    }
}

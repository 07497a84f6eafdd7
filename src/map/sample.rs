//! `map sample`: a recorded payload without the persons in it, so that it can be kept as a test.

use std::collections::HashSet;

use serde_json::Value;

use super::node::Node;
use super::trace::{Trace, shown};
use super::{Context, Inbound};
use crate::canonical::fact::PERSONAL;

/// The payload as JSON. What `inbound` reads for something that is not personal stays as it is, and so do `true`, `false`,
/// `null` and all keys; of every other text and number only the shape is left: letters become `x` and `X`, digits `1`.
#[must_use]
pub fn sample(inbound: &Inbound, root: &Node<'_>, ctx: &Context) -> String {
    let trace = Trace::default();
    let _facts = inbound.run_traced(root, ctx, Some(&trace));
    let facts = trace.facts.borrow();
    let personal: HashSet<&str> = facts
        .iter()
        .flat_map(|fact| &fact.fields)
        .filter(|field| is_personal(&field.name))
        .flat_map(|field| field.sources.iter().map(|(_, text)| text.as_str()))
        .collect();
    let mut text = String::new();
    write(root, &Kept { trace: &trace, personal }, 0, &mut text);
    text.push('\n');
    text
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
}

fn write(node: &Node<'_>, kept: &Kept<'_>, depth: usize, out: &mut String) {
    match node {
        Node::Null => out.push_str("null"),
        Node::Bool(yes) => out.push_str(if *yes { "true" } else { "false" }),
        Node::Num(text) if kept.keeps(node, text) => out.push_str(text),
        Node::Num(text) => out.push_str(&shape(text)),
        Node::Str(text) if kept.keeps(node, &shown(text)) => out.push_str(&quoted(text)),
        Node::Str(text) => out.push_str(&quoted(&shape(text))),
        Node::List(items) => {
            let items = items.iter().map(|item| (None, item));
            write_all(('[', ']'), items, kept, depth, out);
        }
        Node::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| (Some(key.as_ref()), value));
            write_all(('{', '}'), entries, kept, depth, out);
        }
    }
}

fn write_all<'i, 'n: 'i>(
    (open, close): (char, char),
    items: impl ExactSizeIterator<Item = (Option<&'i str>, &'i Node<'n>)>,
    kept: &Kept<'_>,
    depth: usize,
    out: &mut String,
) {
    out.push(open);
    let many = items.len();
    for (index, (key, value)) in items.enumerate() {
        line(depth + 1, out);
        if let Some(key) = key {
            out.push_str(&quoted(key));
            out.push_str(": ");
        }
        write(value, kept, depth + 1, out);
        if index + 1 < many {
            out.push(',');
        }
    }
    if many > 0 {
        line(depth, out);
    }
    out.push(close);
}

fn line(depth: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

fn quoted(text: &str) -> String {
    Value::String(text.to_owned()).to_string()
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
        let text = sample(&inbound, &root, &Context::default());
        insta::assert_snapshot!(text);
        let kept = Node::parse_json(text.as_bytes()).unwrap();
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

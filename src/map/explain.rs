//! `map explain`: for every canonical field which rule and which path gave its value, or why it is empty; and what of
//! the payload nobody read.

use serde::Serialize;
use serde_json::Value;

use super::convert::short;
use super::node::Node;
use super::show::Shown;
use super::trace::Trace;
use super::{Context, Inbound, RecordError};

/// What became of one payload.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// The mapping and its version.
    pub mapping: String,
    /// Every fact that was tried, in order.
    pub facts: Vec<ExplainedFact>,
    /// What could not be mapped.
    pub errors: Vec<RecordError>,
    /// Parts of the payload that no rule read.
    pub unread: Vec<Unread>,
}

/// One fact.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedFact {
    /// The mapping's rule.
    pub rule: String,
    /// Where it stands: file, line, column.
    pub place: String,
    /// Why it did not fire; none when it did.
    pub silent: Option<String>,
    /// Its fields.
    pub fields: Vec<ExplainedField>,
}

/// One field of a fact.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedField {
    /// `lines[1].sku`.
    pub field: String,
    /// Where its rule stands; none when the mapping has no rule for it.
    pub place: Option<String>,
    /// The rule as it is written, after [`Explanation::add_rules`].
    pub rule: Option<String>,
    /// The paths that gave something, with what they gave.
    pub sources: Vec<(String, String)>,
    /// The canonical value.
    pub value: Option<Value>,
    /// Why it is empty.
    pub why: Option<String>,
}

/// A part of the payload that no rule read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Its path, with `[*]` for the items of lists.
    pub path: String,
    /// The first value there.
    pub example: String,
}

impl Explanation {
    /// Adds to each field its rule as it is written.
    pub fn add_rules(&mut self, shown: &Shown) {
        for fact in &mut self.facts {
            let table = format!("fact.{}", fact.rule);
            for field in &mut fact.fields {
                let own = |rule: &&super::show::ShownRule| {
                    rule.table == table && field.place.as_ref() == Some(&rule.place)
                };
                field.rule = shown.rules.iter().find(own).and_then(|rule| rule.rule.clone());
            }
        }
    }

    /// Keeps the fields that are called `part` (`sku` and `lines.sku` are `lines[1].sku`, `placed.sku` that of one fact);
    /// where there is none, those whose name contains it; and of the rest of the payload nothing.
    pub fn only(&mut self, part: &str) {
        let called = |rule: &str, name: &str| {
            let bare = unnumbered(name);
            let own = part.strip_prefix(rule).and_then(|rest| rest.strip_prefix('.')).unwrap_or(part);
            [part, own]
                .iter()
                .any(|part| name == *part || bare == *part || bare.rsplit('.').next() == Some(*part))
        };
        let exact =
            self.facts.iter().any(|fact| fact.fields.iter().any(|field| called(&fact.rule, &field.field)));
        for fact in &mut self.facts {
            let fits = |name: &str| if exact { called(&fact.rule, name) } else { name.contains(part) };
            fact.fields.retain(|field| fits(&field.field) || fact.rule == part);
        }
        self.facts.retain(|fact| !fact.fields.is_empty());
        self.unread.clear();
    }
}

/// `lines[1].sku` without its numbers.
fn unnumbered(name: &str) -> String {
    let mut pieces = name.split('[');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| text + piece.split_once(']').map_or(piece, |(_, rest)| rest))
}

/// Runs `inbound` over `root` and tells what happened.
#[must_use]
pub fn explain(inbound: &Inbound, root: &Node<'_>, ctx: &Context) -> Explanation {
    let trace = Trace::default();
    let mapped = inbound.run_traced(root, ctx, Some(&trace));
    let facts = trace.facts.take().into_iter().map(|fact| ExplainedFact {
        rule: fact.rule,
        place: fact.loc.to_string(),
        silent: fact.silent,
        fields: fact
            .fields
            .into_iter()
            .map(|field| ExplainedField {
                field: field.name,
                place: field.loc.map(|loc| loc.to_string()),
                rule: None,
                sources: field.sources,
                value: field.value,
                why: field.why,
            })
            .collect(),
    });
    let mut unread = Vec::new();
    collect(root, &trace, String::new(), &mut unread);
    Explanation {
        mapping: inbound.version().to_owned(),
        facts: facts.collect(),
        errors: mapped.errors,
        unread,
    }
}

fn collect(node: &Node<'_>, trace: &Trace, path: String, unread: &mut Vec<Unread>) {
    match node {
        Node::Map(entries) => {
            for (key, value) in entries {
                // The text of an element was read with the element; the line of a row is not the partner's.
                if key == super::syntax::LINE || (key == super::node::TEXT && trace.was_read(node)) {
                    continue;
                }
                let plain = !key.contains(['.', '[', ']']);
                let next = match (path.is_empty(), plain) {
                    (true, true) => key.to_string(),
                    (_, false) => format!("{path}['{key}']"),
                    (false, true) => format!("{path}.{key}"),
                };
                collect(value, trace, next, unread);
            }
        }
        Node::List(items) => {
            if trace.was_read(node) && items.iter().all(|item| item.text().is_some()) {
                return;
            }
            for item in items {
                collect(item, trace, format!("{path}[*]"), unread);
            }
        }
        leaf => {
            if !leaf.is_absent() && !trace.was_read(leaf) && !unread.iter().any(|known| known.path == path) {
                unread.push(Unread { path, example: short(&leaf.text().unwrap_or_default()) });
            }
        }
    }
}

impl std::fmt::Display for ExplainedField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "  {}", self.field)?;
        match &self.value {
            Some(Value::String(text)) => write!(f, " = {text}")?,
            Some(value) => write!(f, " = {value}")?,
            None => f.write_str(": empty")?,
        }
        let sources: Vec<String> =
            self.sources.iter().map(|(path, before)| format!("{path} = {before}")).collect();
        if !sources.is_empty() {
            write!(f, "  ← {}", sources.join(", "))?;
        }
        if let (None, Some(why)) = (&self.value, &self.why) {
            write!(f, "  ({why})")?;
        }
        if let Some(place) = &self.place {
            write!(f, "  [{place}]")?;
        }
        // A bare path says no more than what stands there already.
        if let Some(rule) = self.rule.as_deref().filter(|rule| rule.starts_with(['{', '['])) {
            write!(f, "\n      {rule}")?;
        }
        Ok(())
    }
}

//! Mappings: TOML compiled to a program that turns a partner's payload into canonical facts, and back. Pure.
//!
//! [`Inbound`] is a `.in.toml` with its overlays: payload in, facts out. [`Outbound`] is a `.out.toml`: our document
//! in, the partner's body out. The grammar stands in `docs/mappings.md`.

pub mod diff;
pub mod explain;
pub mod lint;
pub mod node;
pub mod path;
pub mod propose;
pub mod reference;
pub mod sample;
pub mod schema;
pub mod show;
pub mod syntax;
pub mod test;
pub mod update;

mod amount;
mod inbound;
mod compare;
mod compile;
mod condition;
mod convert;
mod eval;
mod expr;
mod json;
mod lookup;
mod outbound;
mod path_text;
mod places;
mod program;
#[cfg(test)]
mod tests;
mod time;
mod trace;
mod tree;
mod typed;
mod values;
mod wanted;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::canonical::Body;
use crate::canonical::fact::Header;
use crate::config::sources::Sources;
use crate::diagnostic::{Diagnostic, Severity};

pub use inbound::Inbound;
pub use node::Node;
pub use outbound::Outbound;
pub use path::Path;
pub use syntax::{Syntax, SyntaxKind};

/// What a mapping may know besides the payload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context {
    /// The account's time zone (`America/New_York`, `+08:00`), for times that have none.
    pub zone: Option<String>,
    /// Minor-unit exponents of the partner that differ from ISO 4217, by currency code.
    pub exponents: BTreeMap<String, u32>,
    /// The account's currency, for money that has none.
    pub currency: Option<String>,
    /// What was asked, where the message is an answer: `id` of a re-read.
    pub asked: BTreeMap<String, String>,
    /// What the account is called, for messages.
    pub account: Option<String>,
}

impl Context {
    /// What was asked, as paths from `$asked` find it.
    fn asked(&self) -> Node<'_> {
        let pairs = self.asked.iter();
        Node::Map(pairs.map(|(name, text)| (name.as_str().into(), Node::Str(text.as_str().into()))).collect())
    }
}

/// What a message says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mapped {
    /// The facts, in the order of the records and of the rules.
    pub facts: Vec<MappedFact>,
    /// What could not be mapped; the facts that could be are there all the same.
    pub errors: Vec<RecordError>,
    /// The message means nothing, and that is in order.
    pub nothing: bool,
}

/// A fact as a mapping gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MappedFact {
    /// The mapping's rule that made it: `placed`.
    pub rule: String,
    /// Subject and origin.
    pub header: Header,
    /// What it says.
    pub body: Body,
}

impl MappedFact {
    /// One flat object: `fact` (the rule), `is` (the kind), the header's fields, then those of the kind.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let mut out = Map::new();
        out.insert("fact".to_owned(), Value::String(self.rule.clone()));
        out.insert("is".to_owned(), Value::String(self.body.kind().0.to_owned()));
        for part in [serde_json::to_value(&self.header), serde_json::to_value(&self.body)] {
            if let Ok(Value::Object(fields)) = part {
                out.extend(fields);
            }
        }
        Value::Object(out)
    }
}

/// Why a record, or one fact of it, could not be mapped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct RecordError {
    /// What kind of trouble: `missing`, `unknown_word`, `bad_value`, `no_fact`, …
    pub kind: String,
    /// The same trouble has the same cause, whichever message shows it: `missing:shopify/order:placed.total`.
    pub cause: String,
    /// What is wrong: the mapping's file, line and column, the path in the payload.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

/// The rules that the overlay at `overlay` replaces, each with the digest to remember it by in `[overlay] was`.
///
/// # Errors
/// Everything that is wrong with the files.
pub fn replaced_by(
    sources: &Sources,
    connector: &str,
    name: &str,
    overlay: &str,
) -> Result<Vec<(String, String)>, Vec<Diagnostic>> {
    let suffix = match sources.get(&format!("mappings/{connector}/{name}.in.toml")) {
        Some(_) => ".in.toml",
        None => ".out.toml",
    };
    let loaded = compile::load(sources, connector, name, suffix, &[overlay.to_owned()])?;
    let problems = loaded.files.take();
    if problems.iter().any(|found| found.severity == Severity::Error) {
        Err(problems)
    } else {
        Ok(loaded.replaced)
    }
}

/// Whether the payload has, for each path, this text: how a message of a shared account finds its client.
#[must_use]
pub fn matches<'a>(root: &Node<'_>, conditions: impl IntoIterator<Item = (&'a str, &'a str)>) -> bool {
    conditions.into_iter().all(|(path, text)| {
        Path::parse(path).is_ok_and(|path| {
            path.all(root).iter().any(|node| node.text().is_some_and(|found| found == text))
        })
    })
}

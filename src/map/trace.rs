//! What a run did: which rule gave which field from which path, and what of the payload nobody read. Filled for
//! `map explain` and `map test` only.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::canonical::Canon;

use super::convert::short;
use super::eval::{Eval, Failed, Here};
use super::node::Node;
use super::path::Path;
use super::program::{FieldPlan, Plan};
use super::tree::Loc;

/// Filled while a mapping runs.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Addresses of the nodes that were read.
    read: RefCell<HashSet<usize>>,
    /// Names of the rows and records around the present field: `lines[1]`.
    around: RefCell<Vec<String>>,
    /// Paths that gave something for the present field, and what.
    sources: RefCell<Vec<(String, String)>>,
    /// Addresses of the paths that led somewhere.
    paths: RefCell<HashSet<usize>>,
    pub facts: RefCell<Vec<FactTrace>>,
    /// Addresses of the field rules that gave a value; and why others gave none.
    pub filled: RefCell<HashSet<usize>>,
    pub empty: RefCell<HashMap<usize, String>>,
}

/// One fact that was tried.
#[derive(Debug)]
pub(super) struct FactTrace {
    pub rule: String,
    pub loc: Loc,
    /// Why it did not fire.
    pub silent: Option<String>,
    pub fields: Vec<FieldTrace>,
}

/// One field that was tried.
#[derive(Debug)]
pub(super) struct FieldTrace {
    /// `lines[1].sku`.
    pub name: String,
    pub loc: Option<Loc>,
    pub sources: Vec<(String, String)>,
    pub value: Option<Value>,
    pub why: Option<String>,
}

/// A text as the trace shows it.
pub(super) fn shown(text: &str) -> String {
    format!("{:?}", short(text))
}

/// The address by which a part of a compiled mapping is known while it lives.
pub(super) fn address<T>(part: &T) -> usize {
    std::ptr::from_ref(part).addr()
}

impl Trace {
    pub fn read(&self, node: &Node<'_>) {
        self.read.borrow_mut().insert(address(node));
    }

    /// The path led somewhere.
    pub fn follow(&self, path: &Path) {
        self.paths.borrow_mut().insert(address(path));
    }

    /// Whether the path ever led somewhere.
    pub fn found(&self, path: &Path) -> bool {
        self.paths.borrow().contains(&address(path))
    }

    /// Marks a value and everything in it as read.
    pub fn read_whole(&self, node: &Node<'_>) {
        self.read(node);
        match node {
            Node::List(items) => items.iter().for_each(|item| self.read_whole(item)),
            Node::Map(entries) => entries.iter().for_each(|(_, value)| self.read_whole(value)),
            _ => {}
        }
    }

    pub fn was_read(&self, node: &Node<'_>) -> bool {
        self.read.borrow().contains(&address(node))
    }

    pub fn enter(&self, name: String) {
        self.around.borrow_mut().push(name);
    }

    pub fn leave(&self) {
        self.around.borrow_mut().pop();
    }

    pub fn fact(&self, rule: &str, loc: &Loc, silent: Option<String>) {
        let fact = FactTrace { rule: rule.to_owned(), loc: loc.clone(), silent, fields: Vec::new() };
        self.facts.borrow_mut().push(fact);
    }

    pub fn source(&self, path: String, text: String) {
        self.sources.borrow_mut().push((path, text));
    }

    pub fn begin_field(&self) {
        self.sources.borrow_mut().clear();
    }

    pub fn field<'n>(
        &self,
        eval: &Eval<'_, 'n>,
        field: &FieldPlan,
        here: &Here<'_, 'n>,
        outcome: &Result<Option<Canon<'_>>, Failed>,
    ) {
        let value = outcome.as_ref().ok().and_then(Option::as_ref);
        let key = address(field);
        if value.is_some() {
            self.filled.borrow_mut().insert(key);
        }
        let refused = outcome.is_err().then(|| match &field.plan {
            Plan::Rows(_) | Plan::Record(_) | Plan::Extra(_) => "one of its fields is refused".to_owned(),
            _ => eval.errors.borrow().last().map(|error| error.message.clone()).unwrap_or_default(),
        });
        let why = refused.or_else(|| match (&field.plan, value) {
            (Plan::Scalar(rule) | Plan::Texts(rule), None) => Some(eval.why_empty(rule, here).join("; ")),
            (Plan::Rows(_), None) => Some("there is no row".to_owned()),
            (Plan::Record(_), None) => {
                Some("there is nothing at `from`, or all its fields are empty".to_owned())
            }
            (Plan::Extra(_), None) => Some("all are empty".to_owned()),
            (Plan::Unset, _) => Some("the mapping has no rule for it".to_owned()),
            (_, Some(_)) => None,
        });
        if let Some(why) = &why {
            self.empty.borrow_mut().insert(key, why.clone());
        }
        // Rows and records show their own fields.
        if value.is_some() && matches!(field.plan, Plan::Rows(_) | Plan::Record(_)) {
            return;
        }
        let around = self.around.borrow();
        let name = around.iter().map(String::as_str).chain([field.name]).collect::<Vec<_>>().join(".");
        let loc = (!matches!(field.plan, Plan::Unset)).then(|| field.loc.clone());
        if let Some(fact) = self.facts.borrow_mut().last_mut() {
            let sources = self.sources.take();
            fact.fields.push(FieldTrace { name, loc, sources, value: value.map(Canon::to_json), why });
        }
    }
}

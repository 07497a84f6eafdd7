//! What a run did, for `explain`: which rule gave which field, and what of the payload nobody read.

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::Value;

use super::eval::{Eval, Here};
use super::node::Node;
use super::program::FieldPlan;

/// Filled while a mapping runs.
#[derive(Debug, Default)]
pub(super) struct Trace {
    /// Addresses of the nodes that were read.
    read: RefCell<HashSet<usize>>,
}

impl Trace {
    pub fn read(&self, node: &Node<'_>) {
        self.read.borrow_mut().insert(std::ptr::from_ref(node).addr());
    }

    pub fn was_read(&self, node: &Node<'_>) -> bool {
        self.read.borrow().contains(&std::ptr::from_ref(node).addr())
    }

    pub fn enter(&self, row: String) {
        let _ = (row, self);
    }

    pub fn field(&self, eval: &Eval<'_, '_>, field: &FieldPlan, here: &Here<'_, '_>, value: Option<&Value>) {
        let _ = (self, eval, field, here.number, value);
    }
}

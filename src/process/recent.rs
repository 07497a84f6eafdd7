//! Orders as they were when they were last written here: an order's next message comes soon after, and its facts and state
//! need neither be read nor be parsed again.
//!
//! What is kept belongs to one version of the order, and the store is asked whether that version still stands: another
//! node's write, or the erasure of personal data, makes another. So it may be lost at any time and is never wrong. What is
//! taken is gone until it is put back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::canonical::{EntityId, Fact, Order};

/// How much is kept, in bytes, roughly: what was put in lately, and as much again of what was put in before.
const ROOM: usize = 16 << 20;

/// An order at one version.
#[derive(Debug)]
pub(super) struct Known {
    /// The version.
    pub(super) version: i64,
    /// Its facts in force.
    pub(super) facts: Vec<Fact>,
    /// Its state, with what is personal.
    pub(super) order: Order,
    /// Roughly what it takes to keep it, in bytes.
    pub(super) weight: usize,
}

/// Orders that were written lately.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Shelves>);

#[derive(Debug, Default)]
struct Shelves {
    young: HashMap<EntityId, Known>,
    old: HashMap<EntityId, Known>,
    weight: usize,
}

impl Recent {
    /// Takes what is known of an order.
    pub(super) fn take(&self, id: &EntityId) -> Option<Known> {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = shelves.young.remove(id) {
            shelves.weight -= known.weight;
            return Some(known);
        }
        shelves.old.remove(id)
    }

    /// Keeps what was written.
    pub(super) fn put(&self, id: EntityId, known: Known) {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.weight += known.weight;
        if let Some(before) = shelves.young.insert(id, known) {
            shelves.weight -= before.weight;
        }
        let full = (shelves.weight > ROOM).then(|| std::mem::take(&mut *shelves));
        if let Some(Shelves { young, old, .. }) = full {
            shelves.old = young;
            // Much is let go at once: nobody has to wait for that.
            drop(shelves);
            drop(old);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known(version: i64, weight: usize) -> Known {
        let order = json!({ "id": "ord_1", "client": "acme", "storefront": "shop", "ref": "1" });
        Known { version, facts: Vec::new(), order: serde_json::from_value(order).unwrap(), weight }
    }

    #[test]
    fn what_was_put_in_long_ago_is_let_go() {
        let recent = Recent::default();
        let id = |number: usize| EntityId::from(format!("ord_{number}").as_str());
        for number in 0..10 {
            recent.put(id(number), known(1, ROOM / 4 + 1));
        }
        let kept: Vec<usize> = (0..10).filter(|number| recent.take(&id(*number)).is_some()).collect();
        assert_eq!(kept, [4, 5, 6, 7, 8, 9]);
        assert_eq!(recent.0.lock().unwrap().weight, 0);
    }

    #[test]
    fn the_last_that_was_put_in_counts_and_is_taken_once() {
        let recent = Recent::default();
        let id = EntityId::from("ord_1");
        recent.put(id.clone(), known(1, 10));
        recent.put(id.clone(), known(2, 20));
        assert_eq!(recent.0.lock().unwrap().weight, 20);
        assert_eq!(recent.take(&id).map(|known| known.version), Some(2));
        assert!(recent.take(&id).is_none());
    }
}

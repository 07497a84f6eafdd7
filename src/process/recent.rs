//! Orders as they were when they were last written here: an order's next message comes soon after, and its facts and state
//! need neither be read nor be parsed again.
//!
//! What is kept belongs to one version of the order, and the store is asked whether that version still stands: another
//! node's write, or the erasure of personal data, makes another. So it may be lost at any time and is never wrong. What is
//! taken is gone until it is put back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::canonical::{EntityId, Fact, Order};

/// How much is kept, in bytes, roughly. What does not fit is read again: in a flood those that came first are wanted first.
const ROOM: usize = 48 << 20;
/// What was not taken for so long, or twice that, makes room.
const SOON: Duration = Duration::from_secs(10);

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
    young: Shelf,
    old: Shelf,
    /// Since when the young ones come.
    since: Option<Instant>,
}

#[derive(Debug, Default)]
struct Shelf {
    known: HashMap<EntityId, Known>,
    weight: usize,
}

impl Shelf {
    fn take(&mut self, id: &EntityId) -> Option<Known> {
        let known = self.known.remove(id)?;
        self.weight -= known.weight;
        Some(known)
    }
}

impl Recent {
    /// Takes what is known of an order.
    pub(super) fn take(&self, id: &EntityId) -> Option<Known> {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.young.take(id).or_else(|| shelves.old.take(id))
    }

    /// Keeps what was written, if there is room.
    pub(super) fn put(&self, id: EntityId, known: Known) {
        self.put_at(id, known, Instant::now());
    }

    fn put_at(&self, id: EntityId, known: Known, now: Instant) {
        let mut shelves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shelves = &mut *shelves;
        if now.duration_since(*shelves.since.get_or_insert(now)) > SOON {
            shelves.old = std::mem::take(&mut shelves.young);
            shelves.since = Some(now);
        }
        let _before = shelves.young.take(&id).or_else(|| shelves.old.take(&id));
        if shelves.young.weight + shelves.old.weight + known.weight <= ROOM {
            shelves.young.weight += known.weight;
            shelves.young.known.insert(id, known);
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

    fn id(number: usize) -> EntityId {
        EntityId::from(format!("ord_{number}").as_str())
    }

    #[test]
    fn what_comes_first_is_kept_and_what_nobody_takes_makes_room() {
        let recent = Recent::default();
        let start = Instant::now();
        let put = |number, seconds| {
            recent.put_at(id(number), known(1, ROOM / 4), start + Duration::from_secs(seconds));
        };
        let kept = |numbers: [usize; 3]| numbers.map(|number| recent.take(&id(number)).is_some());
        (0..6).for_each(|number| put(number, 0));
        assert_eq!(kept([0, 3, 4]), [true, true, false]);
        // 1 and 2 are left. They stay for another while, and are gone after that.
        put(6, 11);
        put(7, 22);
        assert_eq!(kept([1, 6, 7]), [false, true, true]);
        let shelves = recent.0.lock().unwrap();
        assert_eq!((shelves.young.weight, shelves.old.weight), (0, 0));
    }

    #[test]
    fn the_last_that_was_put_in_counts_and_is_taken_once() {
        let recent = Recent::default();
        recent.put(id(1), known(1, 10));
        recent.put(id(1), known(2, 20));
        assert_eq!(recent.0.lock().unwrap().young.weight, 20);
        // A newer version that does not fit leaves none.
        recent.put(id(2), known(1, 10));
        recent.put(id(2), known(2, ROOM));
        assert!(recent.take(&id(2)).is_none());
        assert_eq!(recent.take(&id(1)).map(|known| known.version), Some(2));
        assert!(recent.take(&id(1)).is_none());
    }
}

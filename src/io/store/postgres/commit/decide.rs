//! Whether a unit is refused.

use std::collections::HashMap;

use super::known::Known;
use super::{Due, our_name};
use crate::canonical::{EntityId, ExternalRef, Intent, IntentState};
use crate::io::store::postgres::codec::key;
use crate::ports::{Committed, EntityWrite, MessageState, Unit};

/// Why the unit is not done, if it is not.
pub(super) fn refusal(unit: &Unit, known: &Known) -> Option<Committed> {
    let pending =
        |id: i64| known.messages.get(&id).filter(|standing| standing.state == MessageState::Pending);
    if unit.messages.iter().any(|(id, _)| pending(id.0).is_none()) {
        let mut due = Due::default();
        due.shards
            .extend(unit.messages.iter().filter_map(|(id, _)| pending(id.0)).map(|standing| standing.shard));
        return Some(Committed::Done { hints: due.hints() });
    }
    let writes = in_order(unit);
    let version =
        |write: &EntityWrite| known.entities.get(&key(&write.id.0)).map_or(0, |stored| stored.version);
    if writes.iter().any(|write| version(write) != write.expected) {
        return Some(Committed::Conflict);
    }
    // Two writes of one entity: the second has read what the first changes.
    if writes.windows(2).any(|pair| matches!(pair, [one, other] if one.id == other.id)) {
        return Some(Committed::Conflict);
    }
    if unit.waiting.iter().flat_map(|waiting| &waiting.refs).any(|name| known.holders.contains_key(name)) {
        return Some(Committed::Conflict);
    }
    let mut linked: HashMap<ExternalRef, &EntityId> = HashMap::new();
    for write in writes {
        for name in &write.refs {
            if let Some(refusal) = link(write, name.clone(), known, &mut linked) {
                return Some(refusal);
            }
        }
        for intent in &write.intents {
            if !may_change(intent, known) {
                return Some(Committed::Conflict);
            }
            if let Some(refusal) = link(write, our_name(write, intent), known, &mut linked) {
                return Some(refusal);
            }
        }
    }
    None
}

/// The entities of a unit in the order of their ids.
pub(super) fn in_order(unit: &Unit) -> Vec<&EntityWrite> {
    let mut writes: Vec<&EntityWrite> = unit.entities.iter().collect();
    writes.sort_by(|one, other| one.id.cmp(&other.id));
    writes
}

fn link<'u>(
    write: &'u EntityWrite,
    name: ExternalRef,
    known: &Known,
    linked: &mut HashMap<ExternalRef, &'u EntityId>,
) -> Option<Committed> {
    let holder = known.holders.get(&name).or_else(|| linked.get(&name).copied());
    match holder {
        Some(holder) if key(&holder.0) == key(&write.id.0) => None,
        Some(holder) => Some(Committed::LinkConflict { holder: holder.clone(), name }),
        None => {
            linked.insert(name, &write.id);
            None
        }
    }
}

/// What becomes of an intent that is stored already, or not yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// It is new.
    Insert,
    /// It is changed while it waits.
    Alter,
    /// It comes back, behind what was intended in the meantime.
    Revive,
    /// Nothing has happened there, or nothing that lasts: it is taken back.
    Withdraw,
    /// It stands as it is wanted.
    Nothing,
    /// It has gone on: the plan is of yesterday.
    TooLate,
}

/// What becomes of an intent.
pub(super) fn change(intent: &Intent, known: &Known) -> Change {
    use IntentState::{Pending, Rejected, Retry, Withdrawn};
    let Some(stored) = known.intents.get(&intent.id.0) else { return Change::Insert };
    match (stored.state, intent.state) {
        (Withdrawn, Pending) => Change::Revive,
        (Pending | Withdrawn, Pending | Withdrawn) => Change::Alter,
        (Retry | Rejected, Withdrawn) => Change::Withdraw,
        (was, wanted) if was == wanted => Change::Nothing,
        _ => Change::TooLate,
    }
}

fn may_change(intent: &Intent, known: &Known) -> bool {
    change(intent, known) != Change::TooLate
}

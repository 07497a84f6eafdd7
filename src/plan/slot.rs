//! What should be, less what was intended: slots against intents.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::canonical::{AccountId, Class, EntityId, Intent, IntentId, IntentState};

/// A slot that should be filled, whether it is filled already or not.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Want {
    pub(super) slot: String,
    pub(super) account: AccountId,
    pub(super) command: &'static str,
    pub(super) class: Class,
    pub(super) args: Map<String, Value>,
    /// Fill it anew although its newest filling was told: what should be said has changed.
    pub(super) again: bool,
}

impl Want {
    pub(super) fn new(slot: String, account: &AccountId, command: &'static str, class: Class) -> Self {
        Self { slot, account: account.clone(), command, class, args: Map::new(), again: false }
    }

    pub(super) fn arg(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.args.insert(name.to_owned(), value.into());
        self
    }
}

/// The part of a slot behind its kind: the warehouse of `release/east`.
pub(super) fn behind<'s>(slot: &'s str, kind: &str) -> Option<&'s str> {
    slot.strip_prefix(kind)?.strip_prefix('/')
}

/// The newest filling of a slot that was not taken back.
pub(super) fn newest<'i>(intents: &'i [Intent], slot: &str) -> Option<&'i Intent> {
    intents
        .iter()
        .filter(|intent| intent.slot == slot && intent.state != IntentState::Withdrawn)
        .max_by_key(|intent| intent.generation)
}

/// Whether the partner may have heard of it and may act on it. What waits for a retry was surely not done.
pub(super) fn heard(state: IntentState) -> bool {
    matches!(state, IntentState::InFlight | IntentState::Unknown | IntentState::Stuck | IntentState::Done)
}

/// Whether nothing was done and nothing is under way, so that it may be taken back.
fn may_withdraw(state: IntentState) -> bool {
    matches!(state, IntentState::Pending | IntentState::Retry | IntentState::Rejected)
}

/// Intents while they are planned.
#[derive(Debug)]
pub(super) struct Slots<'i> {
    entity: EntityId,
    now: Timestamp,
    /// As they are after planning.
    pub(super) intents: Vec<Intent>,
    changed: BTreeSet<IntentId>,
    before: BTreeMap<IntentId, &'i Intent>,
}

impl<'i> Slots<'i> {
    pub(super) fn new(entity: &EntityId, stored: &'i [Intent], now: Timestamp) -> Self {
        let mut intents = stored.to_vec();
        intents.sort_by(|one, two| (&one.slot, one.generation).cmp(&(&two.slot, two.generation)));
        intents.dedup_by_key(|intent| intent.id);
        let before = stored.iter().rev().map(|intent| (intent.id, intent)).collect();
        Self { entity: entity.clone(), now, intents, changed: BTreeSet::new(), before }
    }

    /// Makes the intents what they should be. Whether that changed anything.
    pub(super) fn settle(&mut self, wants: &[Want]) -> bool {
        let mut changed = false;
        for want in wants {
            changed |= self.fill(want);
        }
        let last: BTreeMap<String, u32> =
            self.intents.iter().map(|intent| (intent.slot.clone(), intent.generation)).collect();
        for intent in &mut self.intents {
            let wanted = wants.iter().any(|want| want.slot == intent.slot);
            // What was refused and is said anew in other words is no trouble any more.
            let outdone = intent.state == IntentState::Rejected
                && last.get(&intent.slot).is_some_and(|last| *last > intent.generation);
            if may_withdraw(intent.state) && (!wanted || outdone) {
                intent.state = IntentState::Withdrawn;
                self.changed.insert(intent.id);
                changed = true;
            }
        }
        changed
    }

    fn fill(&mut self, want: &Want) -> bool {
        let now = self.now;
        match newest(&self.intents, &want.slot) {
            Some(intent) if intent.state != IntentState::Pending && !want.again => return false,
            _ => {}
        }
        // A filling that was taken back before it was sent may be used again; one that was sent may not.
        let spent = |intent: &Intent| {
            intent.state.told() || (intent.state == IntentState::Withdrawn && intent.attempts > 0)
        };
        let generation = self
            .intents
            .iter()
            .filter(|intent| intent.slot == want.slot && spent(intent))
            .map(|intent| intent.generation + 1)
            .max()
            .unwrap_or(0);
        let id = Intent::id_of(&self.entity, &want.slot, generation);
        let fresh = Intent {
            id,
            entity: self.entity.clone(),
            slot: want.slot.clone(),
            generation,
            account: want.account.clone(),
            command: want.command.to_owned(),
            class: want.class,
            args: want.args.clone(),
            state: IntentState::Pending,
            attempts: 0,
            due: now,
            created: now,
            sent_digest: String::new(),
            sent_content: None,
            error: None,
        };
        match self.intents.iter_mut().find(|intent| intent.id == id) {
            None => self.intents.push(fresh),
            // One that was taken back before it was sent is wanted again: the same filling.
            Some(known) if known.state == IntentState::Withdrawn => *known = fresh,
            Some(known)
                if known.account != fresh.account
                    || known.command != fresh.command
                    || known.args != fresh.args =>
            {
                known.account = fresh.account;
                known.command = fresh.command;
                known.args = fresh.args;
            }
            Some(_) => return false,
        }
        self.changed.insert(id);
        self.intents.sort_by(|one, two| (&one.slot, one.generation).cmp(&(&two.slot, two.generation)));
        true
    }

    /// What is to be written: new and changed intents, and pending ones to take back.
    pub(super) fn outcome(self) -> (Vec<Intent>, Vec<IntentId>) {
        let (mut write, mut withdraw) = (Vec::new(), Vec::new());
        for intent in self.intents.into_iter().filter(|intent| self.changed.contains(&intent.id)) {
            let before = self.before.get(&intent.id).copied();
            match (intent.state, before.map(|before| before.state)) {
                (IntentState::Withdrawn, Some(before)) if may_withdraw(before) => withdraw.push(intent.id),
                // Made and taken back within this plan, or taken back before.
                (IntentState::Withdrawn, _) => {}
                _ if before == Some(&intent) => {}
                _ => write.push(intent),
            }
        }
        (write, withdraw)
    }
}

//! The store.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use thiserror::Error;

use super::{
    Accepted, Attempt, CauseRow, Committed, Counts, DueIntent, EntityRecord, Event, ExceptionQuery, Frozen,
    Hint, Holder, Lease, Message, MessageQuery, NewMessage, OrderQuery, OrderRow, Remedy, Reserved, Settled,
    Unit,
};
use crate::canonical::stock::Reservation;
use crate::canonical::{AccountId, EntityId, EntityKind, Exception, ExternalRef, IntentId, MessageId};

/// Why the store did not do it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// It cannot be reached or written now; repeat later.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// Its queue is full; shed load.
    #[error("the store's queue is full")]
    Full,
    /// What it holds cannot be read: a bug or damage.
    #[error("the store holds something unreadable: {0}")]
    Corrupt(String),
}

/// What [`Store::turn`] gives: while it lives, others wait.
pub type Turn = Box<dyn std::any::Any + Send>;

/// Holds truth, order and retry state.
#[async_trait]
pub trait Store: Send + Sync {
    // --- intake

    /// Accepts messages, all of them or none, and moves a poll's cursor with them.
    async fn accept(
        &self,
        messages: Vec<NewMessage>,
        cursor: Option<(AccountId, String, Value)>,
    ) -> Result<Vec<Accepted>, StoreError>;
    /// The cursor of a poll.
    async fn cursor(&self, account: &AccountId, poll: &str) -> Result<Option<Value>, StoreError>;
    /// Counts something about an account that is not stored otherwise (`bad_signature`).
    async fn count(&self, account: &AccountId, what: &str) -> Result<(), StoreError>;
    /// What was counted: account, what, how often.
    async fn counted(&self) -> Result<Vec<(AccountId, String, u64)>, StoreError>;
    /// Pending messages by account.
    async fn backlog(&self) -> Result<Vec<(AccountId, u64)>, StoreError>;

    // --- work

    /// The oldest pending messages of a shard, by priority, then number.
    async fn pending(&self, shard: u16, limit: usize) -> Result<Vec<Message>, StoreError>;
    /// One message, with its body while that is kept.
    async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError>;
    /// Recorded messages with their bodies, newest first.
    async fn messages(&self, query: &MessageQuery) -> Result<Vec<Message>, StoreError>;
    /// Whose these names are, in the order given.
    async fn resolve(&self, refs: &[ExternalRef]) -> Result<Vec<Option<EntityId>>, StoreError>;
    /// Entities whole; new ones come with version 0.
    async fn load(&self, ids: &[EntityId]) -> Result<Vec<EntityRecord>, StoreError>;
    /// An entity as far as commands are made of it: without its facts and exceptions, where the store can tell them apart.
    async fn load_state(&self, id: &EntityId) -> Result<Option<EntityRecord>, StoreError> {
        Ok(self.load(std::slice::from_ref(id)).await?.pop())
    }
    /// Reservations by order, for each stock that is asked for. Read behind [`Store::load`], they are at least as new as the
    /// version that was read there: should they be newer, a write of that version is a conflict.
    async fn reservations(
        &self,
        wanted: &[Reserved],
    ) -> Result<Vec<BTreeMap<EntityId, Reservation>>, StoreError>;
    /// Commits units; each by itself is all or nothing. After an error some may be committed and others not; repeating
    /// all of them is safe: those that settled their messages are answered as done.
    async fn commit(&self, units: Vec<Unit>) -> Result<Vec<Committed>, StoreError>;
    /// Keeps others who ask for one of the same names, in this process or another, until what is given is dropped. It
    /// spares lost races and makes nothing safe: it may be taken away, and a store that only one process works on gives
    /// none.
    ///
    /// # Errors
    /// When it is not this one's turn in good time: go on without.
    async fn turn(&self, names: &[String]) -> Result<Option<Turn>, StoreError> {
        let _names = names;
        Ok(None)
    }

    // --- sweeping

    /// Turns due timers into messages, overdue waiting facts into exceptions, and tells which shards and accounts have
    /// pending work.
    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Hint>, StoreError>;
    /// The next instant at which [`Store::sweep`] or a lane will have something to do.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Events not yet published, oldest first: `limit` of them, or a few more where a store keeps several together.
    async fn events(&self, limit: usize) -> Result<Vec<Event>, StoreError>;
    /// Forgets published events.
    async fn published(&self, ordinals: &[i64]) -> Result<(), StoreError>;
    /// Deletes raw bodies received before `before`, whose identities stay, and exceptions resolved before it; at most
    /// `limit` of each. Gives how many.
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError>;

    // --- delivery

    /// Takes or renews the account's lease for `owner`; `None` when another holds it. The epoch grows when the owner
    /// changes, so `owner` must differ from one start of a process to the next. `level` replaces what is kept.
    async fn lease(
        &self,
        account: &AccountId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
        level: Option<Value>,
    ) -> Result<Option<Lease>, StoreError>;
    /// Gives the lease back.
    async fn release_lease(&self, account: &AccountId, owner: &str, epoch: i64) -> Result<(), StoreError>;
    /// Who holds which account, by account.
    async fn leases(&self) -> Result<Vec<Holder>, StoreError>;
    /// Treats what an earlier epoch of the lease had in flight as unknown, due at `due`. Gives how many.
    async fn recover(&self, account: &AccountId, epoch: i64, due: Timestamp) -> Result<u64, StoreError>;
    /// Intents of the account that may go at `now`: due, and the oldest unsettled one of their entity at this account;
    /// by class, then due, then number.
    async fn due(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueIntent>, StoreError>;
    /// Freezes an attempt and marks it in flight. False when the intent changed, was withdrawn, its entity moved on, or
    /// the epoch is old: look again.
    async fn freeze(&self, frozen: Frozen) -> Result<bool, StoreError>;
    /// Marks an intent with a frozen request in flight again (a repeat of the same bytes, or a look-up). False as above.
    async fn refly(&self, intent: IntentId, epoch: i64, at: Timestamp) -> Result<bool, StoreError>;
    /// Settles attempts; also ends intents that were never sent (content that cannot be made). The answer goes to the
    /// inbox; done, rejected and stuck wake the entity by a `timer.due` fact named `settled/<intent>`, unless the answer
    /// does ([`Settled::answer_wakes`]). Hints tell which shards got work.
    async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<Hint>, StoreError>;
    /// Withdraws an intent that no partner has or may have acted on (pending, to be retried, or rejected) and whose
    /// content is no longer wanted. False when it stands otherwise.
    async fn withdraw(&self, intent: IntentId, note: &str, at: Timestamp) -> Result<bool, StoreError>;

    // --- people

    /// Puts settled messages back to pending, if their bodies are still kept, behind everything else of their shard
    /// (priority 2). What stands about them stays until they are settled again. Hints tell which shards got work.
    async fn reopen(&self, messages: &[MessageId]) -> Result<Vec<Hint>, StoreError>;
    /// Which entities each of these messages may have told something, in the order given; more than did is no harm.
    async fn heard(&self, messages: &[MessageId]) -> Result<Vec<Vec<EntityId>>, StoreError>;
    /// Puts messages of exceptions back to pending as [`Store::reopen`] does, and wakes entities of exceptions, also at
    /// priority 2; by exception number. Exceptions about messages and of plans stay until the outcome is known; those of
    /// refused intents are resolved.
    async fn retry_exceptions(&self, ids: &[i64], now: Timestamp) -> Result<Vec<Hint>, StoreError>;
    /// Resolves exceptions on messages, accounts and facts without a subject without doing anything else: a person says
    /// that nothing is to be done. Those of plans and intents stay. Gives how many were resolved.
    async fn dismiss_exceptions(&self, ids: &[i64], at: Timestamp) -> Result<u64, StoreError>;
    /// Carries out what a person decided about a stuck or rejected intent, resolves its exceptions and wakes its entity.
    /// No hints when the intent is neither (any more).
    async fn decide(
        &self,
        intent: IntentId,
        remedy: Remedy,
        note: &str,
        at: Timestamp,
    ) -> Result<Vec<Hint>, StoreError>;
    /// Orders, newest first.
    async fn orders(&self, query: &OrderQuery) -> Result<Vec<OrderRow>, StoreError>;
    /// The order with this id, number or reference.
    async fn find_order(&self, name: &str) -> Result<Vec<EntityId>, StoreError>;
    /// Exceptions, newest first.
    async fn exceptions(&self, query: &ExceptionQuery) -> Result<Vec<Exception>, StoreError>;
    /// Open exceptions by cause, most first.
    async fn causes(&self, query: &ExceptionQuery) -> Result<Vec<CauseRow>, StoreError>;
    /// Attempts of an entity's intents, in order.
    async fn attempts(&self, entity: &EntityId) -> Result<Vec<Attempt>, StoreError>;
    /// Entities of a kind, by id, in pages: for plans after a change of config.
    async fn entities(
        &self,
        kind: EntityKind,
        after: Option<&EntityId>,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError>;
    /// Counts.
    async fn counts(&self) -> Result<Counts, StoreError>;
    /// Erases the personal data of an order (its state, facts and raw messages); identities and amounts stay.
    async fn erase_personal(&self, entity: &EntityId) -> Result<(), StoreError>;

    // --- keeping

    /// A small value by name: tokens (encrypted by the caller), config generations, poll states.
    async fn get(&self, space: &str, key: &str) -> Result<Option<Value>, StoreError>;
    /// Sets it (`Null` removes it); with `expected`, only when the present value is that one. False when it was another.
    async fn put(
        &self,
        space: &str,
        key: &str,
        value: Value,
        expected: Option<Option<Value>>,
    ) -> Result<bool, StoreError>;
    /// All of a space.
    async fn all(&self, space: &str) -> Result<Vec<(String, Value)>, StoreError>;
    /// Writes what is pending and closes.
    async fn close(&self) -> Result<(), StoreError>;
}

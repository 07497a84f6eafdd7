//! The traits of the edges: store, bus, HTTP, clock. Stages talk to the world through these alone.
//!
//! A caller of [`Store`] may rely on this: what a call has answered with `Ok` is durable (it survives `kill -9` and
//! power loss); a call that failed with [`StoreError::Unavailable`] may or may not have happened and is safe to repeat;
//! [`Store::commit`] is all or nothing for each unit.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::canonical::{
    AccountId, ClientId, EntityId, EntityKind, ExternalRef, Fact, FactId, Intent, IntentId, IntentState,
    MessageId, ids::digest,
};
pub use crate::canonical::{Exception, Timer};

// ---------------------------------------------------------------------------------------------------------- clock

/// Time and chance. The simulator has its own.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
    /// Sixty-four random bits.
    fn random(&self) -> u64;
}

// ----------------------------------------------------------------------------------------------------------- http

/// A request to a partner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// Absolute URL.
    pub url: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    #[serde(with = "bytes_as_text")]
    pub body: Bytes,
}

/// A partner's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpResponse {
    /// Status code.
    pub status: u16,
    /// Header names (lower case) and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

impl HttpResponse {
    /// The first header with this name, in any letter case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HttpError {
    /// The request surely did not reach the partner (no connection, bad URL).
    #[error("not sent: {0}")]
    NotSent(String),
    /// The request may have reached the partner (time-out, cut connection).
    #[error("no answer: {0}")]
    NoAnswer(String),
}

/// Calls partners.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends `request` and reads the whole answer within `timeout`; answers over 16 MiB are an error.
    ///
    /// # Errors
    /// See [`HttpError`]: the two kinds differ in whether the partner may have acted.
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpError>;
}

// ------------------------------------------------------------------------------------------------------------ bus

/// What travels between nodes: ids only, so that a hint may be lost, doubled or reordered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hint {
    /// The inbox shard has pending messages.
    Inbound {
        /// 0 to [`INBOUND_SHARDS`].
        shard: u16,
    },
    /// The account has due deliveries.
    Outbound {
        /// Whose lane.
        account: AccountId,
    },
}

/// How many shards the inbox has.
pub const INBOUND_SHARDS: u16 = 16;

/// The shard of a message of `account` about `reference`: see `inbox::shard`.
#[must_use]
pub fn shard(account: &AccountId, reference: &str) -> u16 {
    let digest = digest(&["shard", account.as_str(), reference]);
    u16::from_be_bytes([digest[0], digest[1]]) % INBOUND_SHARDS
}

/// A canonical event for anyone who listens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows within the store.
    pub ordinal: i64,
    /// Whose.
    pub client: ClientId,
    /// What it is about.
    pub entity: EntityId,
    /// Version of the entity after it.
    pub version: i64,
    /// `order.placed`, `order.phase`, …
    pub name: String,
    /// Its content; no personal data.
    pub data: Value,
    /// When.
    pub at: Timestamp,
}

/// The bus cannot take or give messages now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the bus is unavailable: {0}")]
pub struct BusError(pub String);

/// Carries hints between nodes and events to others.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Sends a hint. Never blocks for long and never fails the caller: a lost hint is found by the sweeper.
    async fn hint(&self, hint: Hint);
    /// The next hint for this node; `None` after the bus was closed. Several callers share the hints.
    async fn next(&self) -> Option<Hint>;
    /// Publishes an event and waits until it is confirmed.
    ///
    /// # Errors
    /// When it was not confirmed; the caller keeps it and tries again.
    async fn publish(&self, event: &Event) -> Result<(), BusError>;
    /// Ends [`Bus::next`] for all callers.
    async fn close(&self);
}

// ---------------------------------------------------------------------------------------------------------- store

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

/// How a message came to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// A webhook.
    Webhook,
    /// An item of a poll's page, or of a re-read.
    Poll,
    /// A partner's answer to a command, or what a look-up found.
    Answer,
    /// A dropped file.
    File,
    /// A fact of our own (JSON of [`Fact`]), or one that waited for its subject.
    Fact,
}

/// A message to accept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewMessage {
    /// Which account said it.
    pub account: AccountId,
    /// How it came.
    pub origin: Origin,
    /// The partner's topic (`orders/create`), the poll's name, or the command's name.
    pub topic: String,
    /// The inbound mapping that reads it (`order`, `order-graphql`); for [`Origin::Fact`] empty.
    pub mapping: String,
    /// The partner's event id. The inbox de-duplicates on it and the body's hash together; without one, not at all.
    pub event_id: Option<String>,
    /// Request headers worth keeping; never credentials.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
    /// When it arrived.
    pub received: Timestamp,
    /// Queue: 0 before 1 before 2 (webhooks and answers, polls, backfills).
    pub priority: u8,
    /// 0 to [`INBOUND_SHARDS`]; see `inbox::shard`.
    pub shard: u16,
    /// For answers: the intent. For facts: the entity.
    pub context: Option<String>,
}

/// What became of an offered message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Stored under this number.
    New(MessageId),
    /// Known already, under this number.
    Duplicate(MessageId),
}

/// Where a message stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    /// Accepted, not worked on.
    Pending,
    /// Each of its records is a fact, or means nothing.
    Done,
    /// An exception says why not.
    Excepted,
}

/// An accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number.
    pub id: MessageId,
    /// As accepted.
    pub content: NewMessage,
    /// Where it stands.
    pub state: MessageState,
    /// How often it was worked on.
    pub attempts: u32,
}

/// An entity as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityRecord {
    /// Its id.
    pub id: EntityId,
    /// Grows by one with each commit; 0 for one that does not exist yet.
    pub version: i64,
    /// The merchant.
    pub client: ClientId,
    /// The state with personal data merged in (JSON of `Order` or `Stock`); `Null` when new.
    pub state: Value,
    /// All facts in force (orders only; stock keeps its state alone), in the order of their numbers.
    pub facts: Vec<Fact>,
    /// All intents.
    pub intents: Vec<Intent>,
    /// Exceptions that are open on it.
    pub exceptions: Vec<Exception>,
}

/// Columns by which entities are found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityIndex {
    /// The storefront (orders) or warehouse (stock).
    pub account: AccountId,
    /// What people read: the order's number, the SKU.
    pub label: String,
    /// The phase's word (orders).
    pub phase: String,
    /// When it was placed there.
    pub placed: Option<Timestamp>,
    /// Words for the search: numbers, references, SKUs, tracking numbers. No personal data.
    pub words: String,
}

/// A fact whose subject is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The fact.
    pub fact: Fact,
    /// Any of these names wakes it.
    pub refs: Vec<ExternalRef>,
    /// When waiting becomes an exception.
    pub deadline: Timestamp,
}

/// An entity's new state in a unit.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityWrite {
    /// Its id.
    pub id: EntityId,
    /// The version that was read; the commit fails with a conflict when the store has another.
    pub expected: i64,
    /// The merchant.
    pub client: ClientId,
    /// Search columns.
    pub index: EntityIndex,
    /// The state without personal data.
    pub state: Value,
    /// The personal data, kept apart (`Null` for none).
    pub personal: Value,
    /// New facts.
    pub facts: Vec<Fact>,
    /// Facts that these supersede (a message mapped anew).
    pub superseded: Vec<FactId>,
    /// Names to link to it. A name that is linked to another entity makes a conflict of links.
    pub refs: Vec<ExternalRef>,
    /// New intents and changed ones, by id: each is stored in the state that it has here (`pending`, or `withdrawn` for
    /// a pending one that is no longer wanted). One that was stored as `withdrawn` may come back as `pending`. An intent
    /// that is by now neither pending nor withdrawn is not touched: conflict.
    pub intents: Vec<Intent>,
    /// Exceptions that should be open on it, whole: others that a plan raised are resolved (those of a refused or stuck
    /// intent stay until the intent goes on). `None` leaves them.
    pub exceptions: Option<Vec<Exception>>,
    /// Timers to set.
    pub timers: Vec<Timer>,
    /// Events to publish: name and content.
    pub events: Vec<(String, Value)>,
}

/// One piece of work, all or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unit {
    /// When it was worked: stands on what it changes, raises and resolves.
    pub at: Timestamp,
    /// Messages settled by it: their new states. When one of them is not pending any more, another commit did this work
    /// before: nothing of the unit is done, and it is answered as done without hints.
    pub messages: Vec<(MessageId, MessageState)>,
    /// Entities written. The store locks and checks them in the order of their ids.
    pub entities: Vec<EntityWrite>,
    /// Facts that wait. If one of their names is linked by now, the unit conflicts and is worked again.
    pub waiting: Vec<Waiting>,
    /// Exceptions on messages or accounts (those of entities stand in [`EntityWrite`]). An open one with the same
    /// cause, entity, message and intent is not raised twice.
    pub exceptions: Vec<Exception>,
    /// Exceptions of these messages are resolved.
    pub resolve_messages: Vec<MessageId>,
    /// Open exceptions with these causes that stand on no entity and no message (those of accounts) are resolved.
    pub resolve_causes: Vec<String>,
    /// Messages to ourselves: facts for other entities.
    pub mail: Vec<NewMessage>,
}

/// What became of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    /// Done. Hints tell what has become due because of it.
    Done {
        /// Lanes and shards with new work.
        hints: Vec<Hint>,
    },
    /// Another commit came first; load again and work again.
    Conflict,
    /// A name is linked to another entity already.
    LinkConflict {
        /// The name.
        name: ExternalRef,
        /// Whose it is.
        holder: EntityId,
    },
}

/// An account's lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The account.
    pub account: AccountId,
    /// Grows with each change of owner.
    pub epoch: i64,
    /// Held until.
    pub until: Timestamp,
    /// What the last owner knew of the limits (JSON), for the next.
    pub level: Value,
}

/// A frozen attempt: committed before the bytes leave.
#[derive(Debug, Clone, PartialEq)]
pub struct Frozen {
    /// The intent.
    pub intent: IntentId,
    /// The version of the entity from which the content was made; a newer one makes the claim fail.
    pub entity_version: i64,
    /// Under this epoch of the account's lease.
    pub epoch: i64,
    /// The request's bytes without credentials, to be repeated exactly.
    pub request: Value,
    /// Digest of the canonical content.
    pub digest: String,
    /// The canonical content.
    pub content: Value,
    /// When.
    pub at: Timestamp,
}

/// An intent that may go now, with all that sending needs.
#[derive(Debug, Clone, PartialEq)]
pub struct DueIntent {
    /// The intent.
    pub intent: Intent,
    /// The frozen request of an earlier attempt.
    pub frozen: Option<Value>,
    /// When it was first frozen (a partner's key lives from then).
    pub frozen_at: Option<Timestamp>,
}

/// How an attempt ended, or why there was none: an intent that was never frozen (its content cannot be said now, its flow
/// is not live) may be put off (`Pending` with a later `due`) or refused (`Rejected`) the same way. Putting off resets
/// nothing and wakes nobody.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// The intent.
    pub intent: IntentId,
    /// Under this epoch of the account's lease; an older one changes nothing.
    pub epoch: i64,
    /// Its new state.
    pub state: IntentState,
    /// Not before (retry, unknown).
    pub due: Timestamp,
    /// One line for the history: status and outcome.
    pub note: String,
    /// The answer, as a message to ourselves.
    pub answer: Option<NewMessage>,
    /// An exception to raise (rejected, stuck).
    pub exception: Option<Exception>,
    /// When.
    pub at: Timestamp,
}

/// What a person decided about an intent that is stuck or was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// It exists at the partner: the intent is done.
    Exists,
    /// Send again, under the same key and with the same bytes.
    SendAgain,
}

/// One attempt, for the timeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// The intent.
    pub intent: IntentId,
    /// From 1.
    pub number: u32,
    /// When.
    pub at: Timestamp,
    /// Status and outcome.
    pub note: String,
}

/// Which orders to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderQuery {
    /// Words that all must be found in number, references, SKUs or tracking numbers.
    pub search: Option<String>,
    /// The phase's word.
    pub phase: Option<String>,
    /// The merchant.
    pub client: Option<String>,
    /// The storefront.
    pub account: Option<String>,
    /// At most this many (default 50, at most 500).
    pub limit: Option<u32>,
    /// Continue after this id (see [`OrderRow::cursor`]).
    pub after: Option<String>,
}

/// A row of the list of orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Our id.
    pub id: EntityId,
    /// The merchant.
    pub client: ClientId,
    /// The storefront.
    pub account: AccountId,
    /// The number.
    pub label: String,
    /// The phase's word.
    pub phase: String,
    /// When it was placed there.
    pub placed: Option<Timestamp>,
    /// When it last changed here.
    pub changed: Timestamp,
    /// Exceptions open on it.
    pub exceptions: u32,
    /// Pass as [`OrderQuery::after`] for what follows.
    pub cursor: String,
}

/// Which exceptions to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ExceptionQuery {
    /// Only this cause.
    pub cause: Option<String>,
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this merchant.
    pub client: Option<String>,
    /// Only this account.
    pub account: Option<String>,
    /// Resolved ones too.
    pub resolved: bool,
    /// At most this many (default 100, at most 1000).
    pub limit: Option<u32>,
    /// Only with larger numbers than this... older pages: numbers below this.
    pub before: Option<i64>,
}

/// Open exceptions of one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CauseRow {
    /// The cause.
    pub cause: String,
    /// The kind.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The message of the newest.
    pub message: String,
    /// What to do.
    pub help: Option<String>,
    /// The first.
    pub since: Timestamp,
}

/// Counts for the console, the demo's table and the metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Orders by phase.
    pub phases: Vec<(String, u64)>,
    /// Facts in force by kind.
    pub facts: Vec<(String, u64)>,
    /// Intents by command and state.
    pub intents: Vec<(String, String, u64)>,
    /// Messages by state.
    pub messages: Vec<(String, u64)>,
    /// Attempts in all.
    pub attempts: u64,
    /// Open exceptions by kind.
    pub exceptions: Vec<(String, u64)>,
    /// Facts that wait for their subject.
    pub waiting: u64,
}

/// The space of [`Store::put`] in which lanes tell of themselves: the account's name to [`LaneState`].
pub const LANES: &str = "lane";

/// What a lane tells of itself, for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LaneState {
    /// `idle`, `busy`, `limited` (waits for its limit), `paused` (its breaker is open), `off`.
    pub state: String,
    /// Why it is limited, paused or off, in words.
    pub reason: Option<String>,
    /// Until when.
    pub until: Option<Timestamp>,
    /// When the partner last answered anything.
    pub last_contact: Option<Timestamp>,
    /// When a call last went well.
    pub last_success: Option<Timestamp>,
    /// The last error, in words.
    pub last_error: Option<String>,
    /// Errors of the account itself in a row.
    pub failures: u32,
    /// Commands that are due or wait for a retry.
    pub waiting: u64,
    /// The limits that it keeps.
    pub limits: Vec<LimitState>,
    /// The polls that it runs.
    pub polls: Vec<PollState>,
}

/// How much is left of a limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LimitState {
    /// Its name in the manifest.
    pub name: String,
    /// What fits in the bucket.
    pub size: u64,
    /// What is left.
    pub left: u64,
    /// How fast it fills again: `100/s`.
    pub refill: String,
}

/// How a poll goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PollState {
    /// Its name in the manifest.
    pub name: String,
    /// When it last ran to the end.
    pub last: Option<Timestamp>,
    /// When it runs next.
    pub next: Option<Timestamp>,
    /// Items that the last run brought.
    pub items: u64,
    /// Why the last run failed, in words.
    pub error: Option<String>,
}

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
    /// Whose these names are, in the order given.
    async fn resolve(&self, refs: &[ExternalRef]) -> Result<Vec<Option<EntityId>>, StoreError>;
    /// Entities whole; new ones come with version 0.
    async fn load(&self, ids: &[EntityId]) -> Result<Vec<EntityRecord>, StoreError>;
    /// Commits units; each by itself is all or nothing. After an error some may be committed and others not; repeating
    /// all of them is safe: those that settled their messages are answered as done.
    async fn commit(&self, units: Vec<Unit>) -> Result<Vec<Committed>, StoreError>;

    // --- sweeping

    /// Turns due timers into messages, overdue waiting facts into exceptions, and tells which shards and accounts have
    /// pending work.
    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Hint>, StoreError>;
    /// The next instant at which [`Store::sweep`] or a lane will have something to do.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;
    /// Events not yet published, oldest first.
    async fn events(&self, limit: usize) -> Result<Vec<Event>, StoreError>;
    /// Forgets published events.
    async fn published(&self, ordinals: &[i64]) -> Result<(), StoreError>;
    /// Deletes raw bodies received before `before`; identities stay. Gives how many.
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
    /// inbox; done, rejected and stuck wake the entity by a `timer.due` fact named `settled/<intent>`. Hints tell
    /// which shards got work.
    async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<Hint>, StoreError>;
    /// Withdraws an intent that no partner has or may have acted on (pending, to be retried, or rejected) and whose
    /// content is no longer wanted. False when it stands otherwise.
    async fn withdraw(&self, intent: IntentId, note: &str, at: Timestamp) -> Result<bool, StoreError>;

    // --- people

    /// Puts messages of exceptions back to pending, and wakes entities of exceptions; by exception number.
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

/// Bytes in JSON: as text where they are UTF-8, else as `base64:…`.
mod bytes_as_text {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use bytes::Bytes;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) if !text.starts_with("base64:") => serializer.serialize_str(text),
            _ => serializer.serialize_str(&format!("base64:{}", STANDARD.encode(bytes))),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.strip_prefix("base64:") {
            Some(coded) => STANDARD.decode(coded).map(Bytes::from).map_err(serde::de::Error::custom),
            None => Ok(Bytes::from(text)),
        }
    }
}

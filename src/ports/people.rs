//! What people ask of the store, and what lanes tell of themselves.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::canonical::{AccountId, ClientId, EntityId, MessageId};

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
    /// For older pages: only numbers below this.
    pub before: Option<i64>,
}

/// Which recorded messages to list: those that partners sent and whose bodies are still kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageQuery {
    /// Only of these accounts; empty for all.
    pub accounts: Vec<AccountId>,
    /// Only those that this inbound mapping reads.
    pub mapping: Option<String>,
    /// Only those received then or later.
    pub since: Timestamp,
    /// Only those before this one, by when they were received and then by number.
    pub before: Option<(Timestamp, MessageId)>,
    /// At most this many.
    pub limit: usize,
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

/// The space of [`Store::put`] in which nodes tell of themselves: the beginning of the names under which a node takes leases to
/// [`NodeState`].
pub const NODES: &str = "node";

/// What a node tells of itself, every few seconds as long as it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeState {
    /// Where it listens.
    pub address: String,
    /// Of the program.
    pub version: String,
    /// Of the config that is in force there.
    pub generation: String,
    /// When it started.
    pub started: Timestamp,
    /// When it last told of itself.
    pub seen: Timestamp,
    /// The inbound shards of which hints came to it, and when the last one did.
    #[serde(default)]
    pub heard: BTreeMap<u16, Timestamp>,
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

//! Hints between nodes and events for others.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::oneshot;

use crate::canonical::ids::digest;
use crate::canonical::{AccountId, ClientId, EntityId, Json};

/// What travels between nodes: ids only, so that a hint may be lost, doubled or reordered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
    /// The same, said to every node: the first that heard of it does not hold the account's lease.
    Everyone {
        /// Whose lane.
        account: AccountId,
    },
}

/// How many shards the inbox has.
pub const INBOUND_SHARDS: u16 = 16;

/// The shard of what `account` says about `reference`.
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
    pub data: Json,
    /// When.
    pub at: Timestamp,
}

/// The bus cannot take or give messages now.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the bus is unavailable: {0}")]
pub struct BusError(pub String);

/// A message that came over the bus instead of as a webhook, or one that the bus gave up on.
#[derive(Debug)]
pub struct Received {
    /// What it was addressed to: `<account>.<topic>` for inbound messages.
    pub key: String,
    /// The publisher's id of the message: the same for each copy.
    pub id: Option<String>,
    /// Its headers, in words.
    pub headers: Vec<(String, String)>,
    /// Its content.
    pub body: Bytes,
    /// For one that the bus gave up on: where it lay and why.
    pub dead: Option<Dead>,
    /// Tells the bus what became of it. Dropped without a word, it is delivered again.
    pub verdict: oneshot::Sender<Verdict>,
}

/// Where a dead letter comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dead {
    /// The queue or exchange that gave it up.
    pub origin: String,
    /// `rejected`, `maxlen`, `delivery_limit`, `expired`, `unrouted`.
    pub reason: String,
}

/// What became of a [`Received`] message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is kept: the bus may forget it.
    Kept,
    /// It can never be taken: it goes to the dead letters.
    Refused,
}

/// A message to whoever listens, with a name by which the receiver knows a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What it is addressed to: `<account>.<command>`.
    pub key: String,
    /// The same for each copy of it.
    pub id: String,
    /// The media type of its content.
    pub content_type: String,
    /// Its content.
    pub body: Bytes,
}

/// Carries hints between nodes, events and commands to others, and what others say to us.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Sends a hint. Never blocks for long and never fails the caller: a lost hint is found by the sweeper.
    async fn hint(&self, hint: Hint);
    /// The next hint for this node; `None` after the bus was closed. Several callers share the hints.
    async fn next(&self) -> Option<Hint>;
    /// Publishes an event and waits until it is confirmed. Many may be under way at a time.
    ///
    /// # Errors
    /// When it was not confirmed; the caller keeps it and tries again.
    async fn publish(&self, event: &Event) -> Result<(), BusError>;
    /// Publishes a command and waits until it is confirmed.
    ///
    /// # Errors
    /// When it was not confirmed, or this bus reaches nobody; it may have gone out all the same.
    async fn command(&self, command: &Command) -> Result<(), BusError>;
    /// The next message that somebody sent to us over the bus; `None` after the bus was closed.
    async fn received(&self) -> Option<Received>;
    /// Whether anybody may hear events that are published now.
    fn heard(&self) -> bool {
        true
    }
    /// The events of all nodes, from when it is given. While the bus is away there are none; a listener that falls far
    /// behind misses some.
    async fn listen(&self) -> BoxStream<'static, Event>;
    /// Ends [`Bus::next`] and [`Bus::received`] for all callers.
    async fn close(&self);
}

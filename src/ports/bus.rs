//! Hints between nodes and events for others.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::canonical::ids::digest;
use crate::canonical::{AccountId, ClientId, EntityId};

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

//! What the pure stages ask of the store besides facts and intents: exceptions for people, timers for later.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{AccountId, ClientId, EntityId, IntentId, MessageId};

/// Something that a person must see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exception {
    /// Number in the store; 0 for one not stored yet.
    pub id: i64,
    /// Groups what one remedy solves: `sku:acme-shop:TEA-01`.
    pub cause: String,
    /// The kind of trouble: `unknown_sku`, `bad_address`, `unmapped`, `rejected`, `outcome_unknown`, `over_shipped`, …
    pub kind: String,
    /// What happened, in words, with the place.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// The account concerned.
    pub account: Option<AccountId>,
    /// The merchant concerned.
    pub client: Option<ClientId>,
    /// The entity concerned.
    pub entity: Option<EntityId>,
    /// The message concerned.
    pub message_id: Option<MessageId>,
    /// The intent concerned.
    pub intent: Option<IntentId>,
    /// When it was raised.
    pub raised: Timestamp,
    /// When it was resolved.
    pub resolved: Option<Timestamp>,
    /// Who or what resolved it: `generation 1a2b3c4d5e6f`, what a person said, `dismissed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<String>,
}

/// A timer that planning wrote. Due ones become messages to ourselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timer {
    /// Whose.
    pub entity: EntityId,
    /// Which.
    pub kind: String,
    /// Newer generations replace older ones.
    pub generation: u64,
    /// When.
    pub due: Timestamp,
}

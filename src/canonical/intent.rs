//! Intents: what Crossdock means to have done at a partner. An intent fills a business slot of its entity
//! (`capture/<shipment>`, `release/<warehouse>`), so planning twice intends once.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{AccountId, EntityId, IntentId};

/// Which share of an account's limit a command draws on, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Cancels: late is too late.
    Cancel,
    /// Captures, voids, refunds.
    Money,
    /// Shipments and tracking.
    Tracking,
    /// Everything else about orders.
    Order,
    /// Stock levels; only the newest is kept.
    Stock,
}

/// Where an intent stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntentState {
    /// Waits for its turn; may still be withdrawn.
    Pending,
    /// Frozen and being sent, or sent by a process that died.
    InFlight,
    /// Was not done, surely; goes again when due.
    Retry,
    /// May have been done; is looked up or repeated under its key when due.
    Unknown,
    /// Done; the partner said so.
    Done,
    /// The partner refuses it; a person decides.
    Rejected,
    /// Outcome unknown and not to be found out; a person decides.
    Stuck,
    /// Taken back before it was sent.
    Withdrawn,
}

impl IntentState {
    /// Whether nothing more happens by itself.
    #[must_use]
    pub fn settled(self) -> bool {
        matches!(self, Self::Done | Self::Rejected | Self::Stuck | Self::Withdrawn)
    }
    /// Whether the partner may have heard of it.
    #[must_use]
    pub fn told(self) -> bool {
        !matches!(self, Self::Pending | Self::Withdrawn)
    }
    /// The word in stored and shown forms.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Retry => "retry",
            Self::Unknown => "unknown",
            Self::Done => "done",
            Self::Rejected => "rejected",
            Self::Stuck => "stuck",
            Self::Withdrawn => "withdrawn",
        }
    }
    /// The state with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::InFlight,
            Self::Retry,
            Self::Unknown,
            Self::Done,
            Self::Rejected,
            Self::Stuck,
            Self::Withdrawn,
        ]
        .into_iter()
        .find(|state| state.word() == word)
    }
}

/// One intent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// Derived from entity, slot and generation.
    pub id: IntentId,
    /// Whose it is.
    pub entity: EntityId,
    /// The business slot.
    pub slot: String,
    /// Which filling of the slot this is, from 0: `change` may be intended again after a later edit.
    pub generation: u32,
    /// Who shall do it.
    pub account: AccountId,
    /// The command of the account's connector: `order.create`, `payment.capture`, …
    pub command: String,
    /// Share of the limit.
    pub class: Class,
    /// What the command concerns, for the outbound mapping: `{"shipment": "…"}`, `{"amount": "12.50 EUR"}`.
    pub args: Map<String, Value>,
    /// Where it stands.
    pub state: IntentState,
    /// Attempts so far.
    pub attempts: u32,
    /// Not before.
    pub due: Timestamp,
    /// When it was intended.
    pub created: Timestamp,
    /// Digest of the canonical content that was frozen for sending; empty before.
    #[serde(default)]
    pub sent_digest: String,
    /// The canonical content that was frozen (what the partner has been told), for comparison with what should be.
    #[serde(default)]
    pub sent_content: Option<Value>,
    /// The last error, in words.
    #[serde(default)]
    pub error: Option<String>,
}

impl Intent {
    /// The id of filling `generation` of `slot` of `entity`. Also the idempotency key and, as text, the reference
    /// that partners see where they take one.
    #[must_use]
    pub fn id_of(entity: &EntityId, slot: &str, generation: u32) -> IntentId {
        IntentId::derive(&["intent", entity.as_str(), slot, &generation.to_string()])
    }
}

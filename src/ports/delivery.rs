//! What the store holds of deliveries: leases, intents that may go, attempts.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::NewMessage;
use crate::canonical::{AccountId, Exception, Intent, IntentId, IntentState};

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

/// Who holds an account's lease, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The account.
    pub account: AccountId,
    /// Under which name: a node's (see [`super::NODES`]), a hyphen and a word of the lane's own. Empty when it was given back.
    pub owner: String,
    /// Grows with each change of owner.
    pub epoch: i64,
    /// Held until.
    pub until: Timestamp,
}

impl Holder {
    /// Whether a lane of the node called `node` holds it.
    #[must_use]
    pub fn is_of(&self, node: &str) -> bool {
        self.owner.strip_prefix(node).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }
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
    /// Under this epoch of the account's lease. An older one changes nothing, unless the last attempt was made under it
    /// and this says what became of that ([`Settled::is_of_attempt`]).
    pub epoch: i64,
    /// Its new state.
    pub state: IntentState,
    /// Not before (retry, unknown).
    pub due: Timestamp,
    /// One line for the history: status and outcome.
    pub note: String,
    /// The answer, as a message to ourselves. With the header [`OF`](super::OF) it wakes the entity, and no other message
    /// does.
    pub answer: Option<NewMessage>,
    /// An exception to raise (rejected, stuck).
    pub exception: Option<Exception>,
    /// When.
    pub at: Timestamp,
}

impl Settled {
    /// Whether this tells the outcome of the last attempt of an intent, which is in `state` and flew under `epoch` last.
    /// Whoever made an attempt knows best what became of it, also when its lease has passed on: until a successor has
    /// begun another attempt, or a look-up, that is news and no contradiction.
    #[must_use]
    pub fn is_of_attempt(&self, state: IntentState, epoch: i64) -> bool {
        self.epoch == epoch
            && matches!(state, IntentState::InFlight | IntentState::Unknown)
            && self.state != IntentState::Unknown
    }

    /// Whether the entity is planned again because of the answer, so that it need not be woken besides.
    #[must_use]
    pub fn answer_wakes(&self) -> bool {
        self.answer.iter().flat_map(|answer| &answer.headers).any(|(name, _)| name == super::OF)
    }
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

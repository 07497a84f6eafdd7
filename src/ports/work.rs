//! What the store holds of work: messages, entities, and units that change them.

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Hint;
use crate::canonical::stock::Reservation;
use crate::canonical::{
    AccountId, ClientId, EntityId, Exception, ExternalRef, Fact, FactId, Intent, Json, MessageId, Timer,
};

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

/// What the headers begin with that say what was asked, where a message is the answer: `crossdock-asked-id`.
pub const ASKED: &str = "crossdock-asked-";
/// The header of an [`Origin::Answer`] that names the entity whose command was answered: it is planned again when the answer
/// is worked on, whatever that says.
pub const OF: &str = "crossdock-of";

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
    /// 0 to [`INBOUND_SHARDS`]: for a partner's message by `inbox::shard`, for one of our own by the entity.
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
    /// How often it was worked on. One that is pending and was worked on before is mapped anew: what it states now
    /// takes the place of what it stated.
    pub attempts: u32,
    /// The generation under which it was last worked on.
    pub generation: Option<String>,
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
    /// The state with personal data merged in (JSON of `Order`, or of `Stock` without its reservations); `Null` when new.
    pub state: Json,
    /// All facts in force (orders only; stock is worked with by its state alone), in the order of their numbers.
    pub facts: Vec<Fact>,
    /// All intents.
    pub intents: Vec<Intent>,
    /// Exceptions that are open on it.
    pub exceptions: Vec<Exception>,
}

/// Reservations of stock to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    /// The stock.
    pub stock: EntityId,
    /// Of these orders; `None`: of all.
    pub orders: Option<Vec<EntityId>>,
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
    pub state: Json,
    /// Reservations that are to be stored (stock), or to be forgotten, by order.
    pub reservations: Vec<(EntityId, Option<Reservation>)>,
    /// The personal data, kept apart (`Null` for none).
    pub personal: Value,
    /// Which messages of the unit it heard from, so that their raw bodies go with its personal data; `None`: all.
    pub heard: Option<Vec<MessageId>>,
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
    pub events: Vec<(String, Json)>,
}

impl EntityWrite {
    /// Whether it heard from this message of its unit.
    #[must_use]
    pub fn heard_from(&self, message: MessageId) -> bool {
        self.heard.as_ref().is_none_or(|heard| heard.contains(&message))
    }
}

/// One piece of work, all or nothing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Unit {
    /// When it was worked: stands on what it changes, raises and resolves.
    pub at: Timestamp,
    /// The generation under which it was worked: stands on its messages. Empty for none.
    pub generation: String,
    /// Who or what resolves the exceptions that it resolves, in words.
    pub by: String,
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
    /// Exceptions about these messages are resolved, but for those that `exceptions` raises again: these stay as they are,
    /// with their number and since when they stand.
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

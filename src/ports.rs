//! The traits of the edges: store, bus, HTTP, clock. Stages talk to the world through these alone.
//!
//! A caller of [`Store`] may rely on this: what a call has answered with `Ok` is durable (it survives `kill -9` and
//! power loss); a call that failed with [`StoreError::Unavailable`] may or may not have happened and is safe to repeat;
//! [`Store::commit`] is all or nothing for each unit.

mod bus;
mod delivery;
mod http;
mod people;
mod store;
mod work;

use jiff::Timestamp;

pub use self::bus::{Bus, BusError, Command, Dead, Event, Hint, INBOUND_SHARDS, Received, Verdict, shard};
pub use self::delivery::{Attempt, DueIntent, Frozen, Holder, Lease, Remedy, Settled};
pub use self::http::{Http, HttpError, HttpRequest, HttpResponse};
pub use self::people::{
    CauseRow, Counts, ExceptionQuery, LANES, LaneState, LimitState, MessageQuery, NODES, NodeState,
    OrderQuery, OrderRow, PollState,
};
pub use self::store::{Store, StoreError, Turn};
pub use self::work::{
    ASKED, Accepted, Committed, EntityIndex, EntityRecord, EntityWrite, Message, MessageState, NewMessage,
    OF, Origin, Reserved, Unit, Waiting,
};
pub use crate::canonical::{Exception, Timer};

/// Time and chance. The simulator has its own.
pub trait Clock: Send + Sync {
    /// The present instant.
    fn now(&self) -> Timestamp;
    /// Sixty-four random bits.
    fn random(&self) -> u64;
}

//! What should be, less what was intended: state and flows to intents, exceptions, timers and mail. Pure.

mod ask;
mod choice;
mod content;
mod document;
mod events;
mod hold;
mod late;
mod money;
mod order;
mod parcel;
mod release;
mod route;
mod sku;
mod slot;
mod split;
mod stock;
mod trouble;

use jiff::Timestamp;

use crate::canonical::fact::Header;
use crate::canonical::{
    AccountId, Body, EntityId, Exception, Fact, Intent, IntentId, Json, Order, Stock, Timer,
};
use crate::config::model::{Config, Flow};

pub use content::{NoContent, content, stock_content};
pub use order::{order_asks, plan_order};
pub use stock::{plan_stock, plan_stock_in_part};

/// Whether the flow has a name of ours for what the storefront calls `theirs`.
#[must_use]
pub fn knows_sku(flow: &Flow, storefront: &AccountId, theirs: &str) -> bool {
    sku::ours(flow, storefront, theirs).is_some()
}

/// What came of planning.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan<S> {
    /// The state to store: what was projected, with what the flow's rules say of it and with the plan's own intents.
    pub state: S,
    /// Intents to write, all `pending`: new ones, and withdrawn ones that are wanted again (same id).
    pub intents: Vec<Intent>,
    /// Pending intents that are no longer wanted.
    pub withdraw: Vec<IntentId>,
    /// All exceptions that should be open on the entity.
    pub exceptions: Vec<Exception>,
    /// Timers to set.
    pub timers: Vec<Timer>,
    /// Facts of ours for other entities (stock for an order, an order for stock), to be sent as [`Fact::ours`].
    pub mails: Vec<(EntityId, Header, Body)>,
    /// Events to publish: name and content, no personal data.
    pub events: Vec<(String, Json)>,
}

/// All that planning for an order looks at.
#[derive(Debug, Clone, Copy)]
pub struct OrderCase<'a> {
    /// The order, projected from `facts` and `intents`.
    pub order: &'a Order,
    /// The stored state ([`Plan::state`] of last time), if any.
    pub before: Option<&'a Order>,
    /// All facts in force.
    pub facts: &'a [Fact],
    /// Those of `facts` that are new since `before`; they become events.
    pub new: &'a [Fact],
    /// All intents.
    pub intents: &'a [Intent],
    /// All settings (accounts and what they call things).
    pub config: &'a Config,
    /// The client's flow.
    pub flow: &'a Flow,
    /// The present instant. Stamps what is made, and decides only what waits for a moment (`release.after`).
    pub now: Timestamp,
}

/// All that planning for stock looks at.
#[derive(Debug, Clone, Copy)]
pub struct StockCase<'a> {
    /// The stock, with all facts applied.
    pub stock: &'a Stock,
    /// The stored state ([`Plan::state`] of last time), if any.
    pub before: Option<&'a Stock>,
    /// All intents.
    pub intents: &'a [Intent],
    /// The client's flow.
    pub flow: &'a Flow,
    /// The present instant; stamps what is made.
    pub now: Timestamp,
}

impl<S> Plan<S> {
    /// A plan that changes nothing but stores `state`.
    #[must_use]
    pub fn nothing(state: S) -> Self {
        Self {
            state,
            intents: Vec::new(),
            withdraw: Vec::new(),
            exceptions: Vec::new(),
            timers: Vec::new(),
            mails: Vec::new(),
            events: Vec::new(),
        }
    }
}

//! The canonical model: what every partner's words are mapped to.
//!
//! Pure data, independent of every other module of Crossdock. Stored and published forms are versioned
//! ([`FORM_VERSION`]); unknown status words stay visible as words, never as guesses.

pub mod address;
pub mod canon;
pub mod exception;
pub mod fact;
pub mod ids;
pub mod intent;
pub mod json;
pub mod money;
pub mod order;
pub mod schema;
pub mod stock;
pub mod time;

pub use address::Address;
pub use canon::Canon;
pub use exception::{Exception, Timer};
pub use fact::{Body, Fact, FactKind};
pub use ids::{AccountId, ClientId, EntityId, EntityKind, ExternalRef, FactId, IntentId, MessageId};
pub use intent::{Class, Intent, IntentState};
pub use json::Json;
pub use money::{Currency, Money, MoneyError};
pub use order::{Order, Phase};
pub use stock::Stock;
pub use time::When;

/// The version of the JSON form in which facts and entities are stored and published.
pub const FORM_VERSION: u32 = 1;

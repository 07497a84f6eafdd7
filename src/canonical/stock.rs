//! The state of one SKU of one client at one warehouse: the last level heard, and who has units reserved.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{AccountId, ClientId, EntityId, When};

/// Units of one order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reservation {
    /// Units wanted; 0 once given back.
    pub wanted: u64,
    /// Units that have left the warehouse.
    pub shipped: u64,
    /// When they left, as we heard.
    pub shipped_at: Option<When>,
    /// Newest generation of the question.
    pub generation: u64,
    /// Units answered as reserved.
    pub reserved: u64,
    /// When the order first asked: first come, first served.
    pub asked: Option<When>,
}

/// Stock of one SKU at one warehouse.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stock {
    /// Our id.
    pub id: EntityId,
    /// The merchant.
    pub client: ClientId,
    /// The warehouse account.
    pub warehouse: AccountId,
    /// The SKU, our name.
    pub sku: String,
    /// Units on hand at the last level; `None` before any was heard.
    #[serde(default)]
    pub level: Option<i64>,
    /// The moment for which the level was told.
    #[serde(default)]
    pub as_of: Option<When>,
    /// Reservations by order.
    #[serde(default)]
    pub orders: BTreeMap<EntityId, Reservation>,
}

//! What an order of the simulated store is to be, and what must have become of it at the end.

use serde::{Deserialize, Serialize};

/// An order to place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OrderSpec {
    /// What is bought.
    pub lines: Vec<LineSpec>,
    /// How it is paid.
    pub payment: Payment,
    /// Where it goes.
    pub address: AddressSpec,
    /// In how many parcels the warehouse sends it; 0 counts as 1.
    pub parcels: u32,
    /// Milliseconds from its arrival in the warehouse to the first parcel; absent: the world's timing.
    pub ship_after: Option<u64>,
    /// What must have become of it at the end.
    pub expect: Expect,
    /// The buyer's note.
    pub note: Option<String>,
    /// Labels of the store.
    pub tags: Vec<String>,
    /// A test order.
    pub test: bool,
    /// ISO 4217; default `USD`.
    pub currency: Option<String>,
    /// Title of the shipping method; default `Standard`.
    pub ship_method: Option<String>,
    /// Shipping price in minor units; default 499.
    pub shipping: Option<i64>,
}

/// A line of an order to place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineSpec {
    /// The store's SKU; one that the catalogue does not have costs 9.99.
    pub sku: String,
    /// Units.
    pub quantity: u64,
}

/// How an order is paid.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payment {
    /// Authorised at the gateway, to be captured by hand.
    #[default]
    Authorised,
    /// Captured at once.
    Paid,
    /// Not yet; see [`super::World::pay_order`].
    Pending,
}

/// Where an order goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AddressSpec {
    /// A complete one.
    #[default]
    Good,
    /// One without a street.
    NoStreet,
    /// One without a city.
    NoCity,
    /// None at all.
    None,
}

/// What must have become of an order at the end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expect {
    /// Sent whole, known to the store, captured once.
    #[default]
    Ships,
    /// Cancelled before anything left: nothing sent, nothing captured, the authorisation let go.
    CancelledInTime,
    /// Cancelled after it left: sent all the same, and captured once.
    CancelledLate,
    /// Cannot be released (unknown SKU, bad address): not in the warehouse, nothing captured.
    Refused,
    /// Waits for its payment: not in the warehouse.
    Waits,
    /// Only the rules that always hold: never twice, never too much.
    Safe,
}

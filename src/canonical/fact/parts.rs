//! What the kinds of facts are made of: lines, charges, parcels, and the words of their states.

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::canonical::schema::{Ty, Typed, Weight, record, typed};
use crate::canonical::{Canon, Money};

record! {
    /// One line of an order. `quantity` is what was ordered at first; `current` what is wanted now, after edits.
    Line {
        required {
            /// The storefront's id of the line.
            r#ref: String,
            /// Units ordered.
            quantity: u64,
        }
        optional {
            /// The storefront's SKU.
            sku: Option<String>,
            /// What the buyer reads.
            title: Option<String>,
            /// Units wanted now, where the partner tells (after edits and removals).
            current: Option<u64>,
            /// Price of one unit, before discounts.
            unit_price: Option<Money>,
            /// All discounts on the line.
            discount: Option<Money>,
            /// All taxes on the line.
            tax: Option<Money>,
            /// Weight of one unit.
            weight: Option<Weight>,
            /// False for a line that needs no parcel (gift card, download).
            ships: Option<bool>,
            /// The bundle's line, for a component.
            parent: Option<String>,
        }
    }
}

record! {
    /// Units of one line or SKU, in a shipment, a return or an edit.
    Part {
        required {
            /// Units.
            quantity: u64,
        }
        optional {
            /// The order's line, as the storefront names it.
            line: Option<String>,
            /// The SKU, as the account that speaks names it.
            sku: Option<String>,
            /// Why (returns).
            reason: Option<String>,
            /// Condition in which it came back.
            condition: Option<String>,
        }
    }
}

record! {
    /// A discount on the order.
    Discount {
        optional {
            /// The code or the title.
            code: Option<String>,
            /// How much, positive.
            amount: Option<Money>,
        }
    }
}

record! {
    /// A charge besides the lines: shipping, a fee, gift wrap.
    Charge {
        optional {
            /// `shipping`, `fee`, `duty`, …
            kind: Option<String>,
            /// What the buyer reads.
            title: Option<String>,
            /// The method's code (shipping).
            code: Option<String>,
            /// How much.
            amount: Option<Money>,
        }
    }
}

record! {
    /// A tax on the order.
    Tax {
        optional {
            /// Name of the tax.
            title: Option<String>,
            /// Rate as a fraction: 0.19.
            rate: Option<Decimal>,
            /// How much.
            amount: Option<Money>,
        }
    }
}

record! {
    /// A parcel.
    Package {
        optional {
            /// The warehouse's or aggregator's id of the parcel.
            r#ref: Option<String>,
            /// Tracking number.
            tracking: Option<String>,
            /// Where the buyer may follow it.
            url: Option<String>,
            /// The carrier, as told.
            carrier: Option<String>,
            /// The carrier's service, as told.
            service: Option<String>,
            /// Weight of the parcel.
            weight: Option<Weight>,
        }
    }
}

/// Words for the state of a parcel on its way. `unknown` facts carry the partner's word in `said`.
pub const TRACKING_STATUS: &[&str] = &[
    "pre_transit",
    "in_transit",
    "out_for_delivery",
    "available_for_pickup",
    "delivered",
    "return_to_sender",
    "failure",
    "cancelled",
    "unknown",
];

/// A tracking status, one of [`TRACKING_STATUS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TrackingStatus(pub String);
typed! { TrackingStatus => Ty::Word(TRACKING_STATUS), Canon::Text(word) => Self(word.into_owned()); }

/// Words for the state of a dispute.
pub const DISPUTE_STATUS: &[&str] = &["needs_response", "under_review", "won", "lost", "closed"];
/// A dispute's status, one of [`DISPUTE_STATUS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DisputeStatus(pub String);
typed! { DisputeStatus => Ty::Word(DISPUTE_STATUS), Canon::Text(word) => Self(word.into_owned()); }

/// Words for the state of a return.
pub const RETURN_STATUS: &[&str] =
    &["requested", "approved", "declined", "in_transit", "received", "closed", "cancelled"];
/// A return's status, one of [`RETURN_STATUS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReturnStatus(pub String);
typed! { ReturnStatus => Ty::Word(RETURN_STATUS), Canon::Text(word) => Self(word.into_owned()); }

//! The kinds of facts, each a record of what only it says.

use std::collections::BTreeMap;

use super::parts::{Charge, Discount, DisputeStatus, Line, Package, Part, ReturnStatus, Tax, TrackingStatus};
use crate::canonical::schema::record;
use crate::canonical::{Address, Currency, Money, When};

record! {
    /// The whole order as the storefront shows it at one version. The only kind that creates an order.
    Placed {
        optional {
            /// Where it was sold: `web`, `pos`, the marketplace's name.
            channel: Option<String>,
            /// The buyer's electronic mail address (personal).
            email: Option<String>,
            /// The buyer's telephone number (personal).
            phone: Option<String>,
            /// What the buyer pays, all in. Some storefronts keep it at its peak when an order is edited.
            total: Option<Money>,
            /// What the buyer pays now, after edits and refunds, where the storefront tells it besides `total`.
            current_total: Option<Money>,
            /// Lines before shipping and tax.
            subtotal: Option<Money>,
            /// All taxes.
            tax: Option<Money>,
            /// All discounts, positive.
            discount: Option<Money>,
            /// What the buyer pays in the buyer's own currency.
            presentment_total: Option<Money>,
            /// `current_total` in the buyer's own currency.
            current_presentment_total: Option<Money>,
            /// Currency of the shop.
            currency: Option<Currency>,
            /// `paid`: released once money is authorised or captured; `unpaid`: pays later (invoice, cash on delivery).
            terms: Option<String>,
            /// Where goods go (personal).
            ship_to: Option<Address>,
            /// Where bills go (personal).
            bill_to: Option<Address>,
            /// The lines.
            lines: Vec<Line>,
            /// Discounts, each.
            discounts: Vec<Discount>,
            /// Shipping and other charges.
            charges: Vec<Charge>,
            /// Taxes, each.
            taxes: Vec<Tax>,
            /// The shipping method's code or title that the buyer chose.
            ship_method: Option<String>,
            /// The buyer's note.
            note: Option<String>,
            /// Text for the gift card.
            gift_note: Option<String>,
            /// Labels of the storefront.
            tags: Vec<String>,
            /// A test order: never released.
            test: bool,
            /// Fields carried along, not in the model.
            extra: BTreeMap<String, String>,
        }
    }
}

record! {
    /// The order, or the warehouse's copy of it, was cancelled.
    Cancelled {
        optional {
            /// Why, as told.
            reason: Option<String>,
        }
    }
}

record! {
    /// The storefront changed an order by a difference: lines with the units added or removed.
    Edited {
        optional {
            /// Units added.
            added: Vec<Part>,
            /// Units removed.
            removed: Vec<Part>,
        }
    }
}

record! {
    /// Somebody holds the order, or lets it go.
    Held {
        required {
            /// The hold's name; a later fact with the same name lets it go.
            hold: String,
        }
        optional {
            /// Why, as told.
            reason: Option<String>,
            /// True when this fact lets the order go.
            released: bool,
        }
    }
}

record! {
    /// Money moved, or was promised, at the gateway: one transaction.
    Movement {
        required {
            /// How much, positive.
            amount: Money,
        }
        optional {
            /// The gateway's name, as told.
            gateway: Option<String>,
            /// The transaction that this one follows (a capture's authorisation).
            parent: Option<String>,
            /// Why, as told.
            reason: Option<String>,
            /// A note by a person.
            note: Option<String>,
            /// When an authorisation ends.
            until: Option<When>,
        }
    }
}

record! {
    /// A level of payment as the storefront sees it; does not add to movements.
    Balance {
        optional {
            /// Promised and not yet captured.
            authorised: Option<Money>,
            /// Captured in all.
            captured: Option<Money>,
            /// Refunded in all.
            refunded: Option<Money>,
            /// Still owed.
            owed: Option<Money>,
            /// The storefront's word: `paid`, `pending`, …
            status: Option<String>,
        }
    }
}

record! {
    /// A payment was tried and failed.
    Failed {
        optional {
            /// How much was tried.
            amount: Option<Money>,
            /// The gateway's name.
            gateway: Option<String>,
            /// Why, as told.
            reason: Option<String>,
        }
    }
}

record! {
    /// A buyer disputes a charge.
    Disputed {
        required {
            /// Where it stands.
            status: DisputeStatus,
        }
        optional {
            /// How much.
            amount: Option<Money>,
            /// Why, as told.
            reason: Option<String>,
        }
    }
}

record! {
    /// The storefront asks for money to go back to the buyer (its refund object).
    RefundAsked {
        optional {
            /// How much, where the storefront tells: the sum of its transactions.
            amount: Option<Money>,
            /// What comes back or was not sent.
            lines: Vec<Part>,
            /// A note by a person.
            note: Option<String>,
            /// True when the units go back to stock.
            restock: bool,
        }
    }
}

record! {
    /// Where the warehouse stands with the order.
    Progress {
        optional {
            /// What it concerns; all, when empty.
            lines: Vec<Part>,
            /// Why (rejected, cancelled).
            reason: Option<String>,
        }
    }
}

record! {
    /// Goods left the warehouse.
    Shipped {
        optional {
            /// What left.
            lines: Vec<Part>,
            /// In which parcels.
            packages: Vec<Package>,
            /// The carrier, for all parcels.
            carrier: Option<String>,
            /// The service, for all parcels.
            service: Option<String>,
            /// Where it went from.
            location: Option<String>,
        }
    }
}

record! {
    /// The storefront's own record of a fulfilment.
    Recorded {
        optional {
            /// What it says left.
            lines: Vec<Part>,
            /// Tracking numbers.
            packages: Vec<Package>,
            /// `success`, `failure`, `cancelled`, …
            status: Option<String>,
        }
    }
}

record! {
    /// The carrier said something of a parcel.
    Scan {
        required {
            /// Where the parcel is.
            status: TrackingStatus,
        }
        optional {
            /// The carrier's own word.
            said: Option<String>,
            /// The carrier's text.
            description: Option<String>,
            /// The carrier.
            carrier: Option<String>,
            /// Where, as one text.
            place: Option<String>,
            /// When the carrier means to deliver.
            expected: Option<When>,
        }
    }
}

record! {
    /// A label was bought, or its refund went on.
    Label {
        optional {
            /// What it cost.
            cost: Option<Money>,
            /// The carrier.
            carrier: Option<String>,
            /// The service.
            service: Option<String>,
            /// Where the label's image is.
            url: Option<String>,
            /// `submitted`, `refunded`, `rejected` (refunds).
            status: Option<String>,
        }
    }
}

record! {
    /// Stock of one SKU at one place, at one moment. A missing number is not 0.
    Level {
        optional {
            /// The SKU, as the account that speaks names it.
            sku: Option<String>,
            /// The storefront's inventory item, where it gives no SKU.
            item: Option<String>,
            /// The place, as the account names it.
            location: Option<String>,
            /// Units there.
            on_hand: Option<i64>,
            /// Units that may be sold, as the account reckons.
            available: Option<i64>,
            /// Units promised.
            reserved: Option<i64>,
            /// Units on the way there.
            incoming: Option<i64>,
        }
    }
}

record! {
    /// Where a return stands.
    Returned {
        required {
            /// Where it stands.
            status: ReturnStatus,
        }
        optional {
            /// What comes back.
            lines: Vec<Part>,
            /// Why, as told.
            reason: Option<String>,
            /// True when the units go back to stock.
            restock: bool,
        }
    }
}

record! {
    /// Units of one SKU that left a warehouse at one moment.
    Departure {
        required {
            /// Units.
            quantity: u64,
            /// When.
            at: When,
        }
        optional {
            /// Where they went from, as the warehouse names the place.
            location: Option<String>,
        }
    }
}

record! {
    /// An order asks the stock for units, or gives them back (`quantity` 0). Ours, never a partner's. The header's `at`
    /// is when the order was first heard of: first come, first served.
    StockAsk {
        required {
            /// The order that asks.
            by: String,
            /// The warehouse account.
            warehouse: String,
            /// The SKU, our name.
            sku: String,
            /// Units wanted in all, those that have left included.
            quantity: u64,
            /// Grows with each change of mind; the newest counts.
            generation: u64,
        }
        optional {
            /// Units that have left the warehouse.
            left: Vec<Departure>,
        }
    }
}

record! {
    /// The stock's answer to an order. Ours.
    StockAnswer {
        required {
            /// The SKU, our name.
            sku: String,
            /// The warehouse account.
            warehouse: String,
            /// Units reserved.
            reserved: u64,
            /// Units short.
            short: u64,
            /// The generation of the question.
            generation: u64,
            /// Grows with each change of the stock; among answers to one question the newest counts.
            turn: u64,
        }
    }
}

record! {
    /// A timer came due. Ours.
    Due {
        required {
            /// Which timer.
            timer: String,
            /// An old generation does nothing.
            generation: u64,
        }
    }
}

record! {
    /// A person decided something about the order in the console or on the command line.
    Decision {
        required {
            /// `release_hold`, `exists`, `send_again`, `cancel`, `close`.
            what: String,
        }
        optional {
            /// What it concerns: the hold's name, the intent.
            target: Option<String>,
            /// Who.
            by: Option<String>,
            /// Why.
            note: Option<String>,
        }
    }
}

//! Facts: what partners tell us, append-only. A fact has one subject, an identity, the account that said it, when it
//! happened there, the partner's version if any, and when we heard it.
//!
//! The JSON form of a fact as mappings give it is one flat object: `is` (the kind), `fact` (the mapping's rule), the
//! [`Header`] fields, then the fields of its kind.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use super::schema::{Field, Ty, Typed, Weight, record};
use super::{AccountId, Address, Currency, FactId, MessageId, Money, When};

record! {
    /// What every fact may say of its subject and its origin. All names are the partner's unless said otherwise.
    #[derive(Default, Hash)]
    Header {
        optional {
            /// The order, as the account that speaks names it. For a storefront it is what creates our order.
            order: Option<String>,
            /// The order's number as people read it (`#1001`).
            number: Option<String>,
            /// A name that we gave: our order id, or the reference that we sent with a command.
            our: Option<String>,
            /// The storefront's id or number of the order, told by another system (a gateway's metadata, a warehouse).
            store_order: Option<String>,
            /// The order, as the warehouse names it.
            warehouse_order: Option<String>,
            /// The payment (intent, order of the gateway).
            payment: Option<String>,
            /// The shipment.
            shipment: Option<String>,
            /// A tracking number; all accounts of a client share it.
            tracking: Option<String>,
            /// The carrier aggregator's tracker.
            tracker: Option<String>,
            /// The return (RMA).
            rma: Option<String>,
            /// The event object itself: the transaction, the refund, the scan.
            r#ref: Option<String>,
            /// When it happened there.
            at: Option<When>,
            /// The partner's version of the subject: a number, a time or a text that sorts.
            version: Option<String>,
            /// When it was told, by a clock finer than the version: decides among snapshots of one version. Where the
            /// mapping does not tell, the daemon does: `told` of `[webhook]`; for what it reads itself, when it read.
            told: Option<When>,
        }
    }
}

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
impl Typed for TrackingStatus {
    const TY: Ty = Ty::Word(TRACKING_STATUS);
}

/// Words for the state of a dispute.
pub const DISPUTE_STATUS: &[&str] = &["needs_response", "under_review", "won", "lost", "closed"];
/// A dispute's status, one of [`DISPUTE_STATUS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DisputeStatus(pub String);
impl Typed for DisputeStatus {
    const TY: Ty = Ty::Word(DISPUTE_STATUS);
}

/// Words for the state of a return.
pub const RETURN_STATUS: &[&str] =
    &["requested", "approved", "declined", "in_transit", "received", "closed", "cancelled"];
/// A return's status, one of [`RETURN_STATUS`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReturnStatus(pub String);
impl Typed for ReturnStatus {
    const TY: Ty = Ty::Word(RETURN_STATUS);
}

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

macro_rules! facts {
    ($( $(#[doc = $doc:literal])* $variant:ident($record:ident) = $name:literal ),* $(,)?) => {
        /// What a fact says, by kind.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "is")]
        #[expect(clippy::large_enum_variant, reason = "orders are by far the commonest body; a box would cost more than it saves")]
        pub enum Body {
            $( $(#[doc = $doc])* #[serde(rename = $name)] $variant($record), )*
        }
        impl Body {
            /// The kind's name.
            #[must_use]
            pub fn kind(&self) -> FactKind {
                match self { $( Self::$variant(_) => FactKind($name), )* }
            }

            /// Whether it shows a thing as it is at one moment, so that a later one stands in its place; others are
            /// events that stay true.
            #[must_use]
            pub fn is_snapshot(&self) -> bool {
                matches!(
                    self,
                    Self::Placed(_) | Self::Held(_) | Self::Balance(_) | Self::Disputed(_) | Self::Shipped(_)
                        | Self::Recorded(_) | Self::LabelBought(_) | Self::LabelRefunded(_) | Self::Returned(_)
                )
            }
        }
        /// All kinds: name, meaning and fields.
        pub const KINDS: &[KindInfo] = &[
            $( KindInfo { kind: FactKind($name), doc: concat!($($doc),*), fields: $record::FIELDS }, )*
        ];
    };
}

facts! {
    /// The order as the storefront shows it.
    Placed(Placed) = "order.placed",
    /// The storefront changed the order by a difference.
    Edited(Edited) = "order.edited",
    /// The storefront cancelled the order.
    Cancelled(Cancelled) = "order.cancelled",
    /// The storefront closed (archived) the order.
    Closed(Cancelled) = "order.closed",
    /// Somebody holds the order.
    Held(Held) = "order.held",
    /// Money was promised.
    Authorised(Movement) = "payment.authorised",
    /// Money was taken.
    Captured(Movement) = "payment.captured",
    /// Money went back.
    Refunded(Movement) = "payment.refunded",
    /// A promise was dropped.
    Voided(Movement) = "payment.voided",
    /// A payment failed.
    PaymentFailed(Failed) = "payment.failed",
    /// A level of payment.
    Balance(Balance) = "payment.balance",
    /// A buyer disputes a charge.
    Disputed(Disputed) = "payment.disputed",
    /// The storefront refunds.
    RefundAsked(RefundAsked) = "refund.asked",
    /// The warehouse has the order.
    Accepted(Progress) = "fulfilment.accepted",
    /// The warehouse has set units aside.
    Allocated(Progress) = "fulfilment.allocated",
    /// The warehouse is short of units.
    Backordered(Progress) = "fulfilment.backordered",
    /// Units were picked.
    Picked(Progress) = "fulfilment.picked",
    /// Units were packed.
    Packed(Progress) = "fulfilment.packed",
    /// Goods left.
    Shipped(Shipped) = "fulfilment.shipped",
    /// A shipment was taken back before it left.
    ShipmentVoided(Progress) = "fulfilment.shipment_voided",
    /// The warehouse cancelled its copy.
    WarehouseCancelled(Progress) = "fulfilment.cancelled",
    /// The warehouse will not do it.
    Rejected(Progress) = "fulfilment.rejected",
    /// The storefront's record of a fulfilment.
    Recorded(Recorded) = "fulfilment.recorded",
    /// The aggregator follows a parcel.
    Registered(Label) = "tracking.registered",
    /// The carrier said something.
    Scan(Scan) = "tracking.event",
    /// A label was bought.
    LabelBought(Label) = "label.bought",
    /// A label's refund went on.
    LabelRefunded(Label) = "label.refunded",
    /// Stock at one place.
    Level(Level) = "inventory.level",
    /// A return went on.
    Returned(Returned) = "return.updated",
    /// An order asks the stock. Ours.
    StockAsk(StockAsk) = "stock.ask",
    /// The stock answers. Ours.
    StockAnswer(StockAnswer) = "stock.answer",
    /// A timer came due. Ours.
    Due(Due) = "timer.due",
    /// A person decided. Ours.
    Decision(Decision) = "person.decided",
}

/// Name of a kind of fact: `order.placed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FactKind(pub &'static str);

impl FactKind {
    /// The kind with this name.
    #[must_use]
    pub fn parse(name: &str) -> Option<&'static KindInfo> {
        KINDS.iter().find(|info| info.kind.0 == name)
    }
}

/// A kind of fact, for the mapping compiler and the documentation.
#[derive(Debug, Clone, Copy)]
pub struct KindInfo {
    /// The name.
    pub kind: FactKind,
    /// What it means.
    pub doc: &'static str,
    /// Its own fields; those of [`Header`] come besides.
    pub fields: &'static [Field],
}

impl KindInfo {
    /// The field of this kind or of the header with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().chain(Header::FIELDS).find(|field| field.name == name)
    }
    /// Whether only the daemon itself makes facts of this kind.
    #[must_use]
    pub fn ours(&self) -> bool {
        matches!(self.kind.0, "stock.ask" | "stock.answer" | "timer.due" | "person.decided")
    }
}

/// Names of the fields that hold personal data, at the top of a fact; kept apart in the store.
pub const PERSONAL: &[&str] = &["email", "phone", "ship_to", "bill_to", "note", "gift_note"];

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// Derived: see [`Fact::identity`].
    pub id: FactId,
    /// The mapping's rule that made it (`placed`); the kind's name for facts of our own.
    pub rule: String,
    /// Who said it.
    pub account: AccountId,
    /// Subject and origin.
    pub header: Header,
    /// What it says.
    pub body: Body,
    /// When we heard it.
    pub heard: Timestamp,
    /// The message that it came in.
    pub message: MessageId,
    /// Which version of which mapping made it: `shopify/order@3f2a91c0`.
    pub mapping: String,
}

/// The account under which the daemon itself speaks.
pub const OURS: &str = "crossdock";

impl Fact {
    /// A fact of our own: a person's decision, a question to the stock or its answer, a timer.
    #[must_use]
    pub fn ours(header: Header, body: Body, heard: Timestamp, message: MessageId) -> Self {
        let account = AccountId::from(OURS);
        Self {
            id: Self::identity(&account, &header, &body),
            rule: body.kind().0.to_owned(),
            account,
            header,
            body,
            heard,
            message,
            mapping: OURS.to_owned(),
        }
    }

    /// The identity of a fact: account, kind, subject and origin, version and content, but not when or how we heard
    /// it. The same fact told twice has one identity; A, B, A of a snapshot with versions are three.
    #[must_use]
    pub fn identity(account: &AccountId, header: &Header, body: &Body) -> FactId {
        let header = serde_json::to_string(header).unwrap_or_default();
        let content = serde_json::to_string(body).unwrap_or_default();
        FactId::derive(&["fact", account.as_str(), body.kind().0, &header, &content])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_distinct_names_and_meanings() {
        let mut names: Vec<_> = KINDS.iter().map(|info| info.kind.0).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), KINDS.len());
        assert!(KINDS.iter().all(|info| !info.doc.is_empty()));
        assert!(KINDS.iter().flat_map(|info| info.fields).all(|field| !field.doc.is_empty()));
    }

    #[test]
    fn a_header_field_never_hides_a_field_of_a_kind() {
        for info in KINDS {
            for field in info.fields {
                assert!(
                    Header::FIELDS.iter().all(|head| head.name != field.name),
                    "{}: {}",
                    info.kind.0,
                    field.name
                );
            }
        }
    }

    #[test]
    fn bodies_round_trip_and_identity_ignores_when_we_heard() {
        let body: Body = serde_json::from_value(serde_json::json!({
            "is": "payment.captured", "amount": "12.50 EUR", "gateway": "stripe"
        }))
        .unwrap();
        assert_eq!(body.kind().0, "payment.captured");
        let header = Header { payment: Some("pi_1".into()), r#ref: Some("ch_1".into()), ..Header::default() };
        let one = Fact::identity(&"pay".into(), &header, &body);
        let text = serde_json::to_string(&body).unwrap();
        let again: Body = serde_json::from_str(&text).unwrap();
        assert_eq!(one, Fact::identity(&"pay".into(), &header, &again));
        assert_ne!(one, Fact::identity(&"other".into(), &header, &body));
    }
}

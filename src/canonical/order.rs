//! The state of an order: a projection of its facts and intents, never written by hand.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::fact::{Charge, Discount, Package, Part, StockAsk, Tax};
use super::schema::Weight;
use super::{AccountId, Address, ClientId, Currency, EntityId, ExternalRef, Money, When};

/// Personal data of an order; stored apart so that it can be erased.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Contact {
    /// The buyer's electronic mail address.
    pub email: Option<String>,
    /// The buyer's telephone number.
    pub phone: Option<String>,
    /// Where goods go.
    pub ship_to: Option<Address>,
    /// Where bills go.
    pub bill_to: Option<Address>,
    /// The buyer's note.
    pub note: Option<String>,
    /// Text for the gift card.
    pub gift_note: Option<String>,
}

/// A line and how far its units are. Quantities never go negative; what contradicts is in [`Order::problems`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OrderLine {
    /// The storefront's id of the line.
    pub r#ref: String,
    /// The storefront's SKU.
    pub sku: Option<String>,
    /// What the buyer reads.
    pub title: Option<String>,
    /// False for a line that needs no parcel.
    pub ships: bool,
    /// The bundle's line, for a component.
    pub parent: Option<String>,
    /// Price of one unit.
    pub unit_price: Option<Money>,
    /// All discounts on the line.
    pub discount: Option<Money>,
    /// All taxes on the line.
    pub tax: Option<Money>,
    /// Weight of one unit.
    pub weight: Option<Weight>,
    /// Units ordered.
    pub ordered: u64,
    /// Units taken off again by edits, refunds without return, or cancellation.
    pub cancelled: u64,
    /// Units that the warehouse set aside.
    pub allocated: u64,
    /// Units that a warehouse was told to send.
    pub released: u64,
    /// Units picked.
    pub picked: u64,
    /// Units packed.
    pub packed: u64,
    /// Units that left.
    pub shipped: u64,
    /// Units that arrived.
    pub delivered: u64,
    /// Units that came back.
    pub returned: u64,
    /// Units refunded.
    pub refunded: u64,
}

impl OrderLine {
    /// Units that should still reach the buyer or have: ordered less cancelled.
    #[must_use]
    pub fn wanted(&self) -> u64 {
        self.ordered.saturating_sub(self.cancelled)
    }
    /// Units wanted that have not left.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.wanted().saturating_sub(self.shipped)
    }
}

/// One payment at one gateway account: an authorisation with what followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// The account that spoke of it.
    pub account: AccountId,
    /// The gateway's id of the payment.
    pub r#ref: String,
    /// The gateway's name, as told.
    #[serde(default)]
    pub gateway: Option<String>,
    /// Promised in all.
    #[serde(default)]
    pub authorised: Option<Money>,
    /// Taken in all.
    #[serde(default)]
    pub captured: Option<Money>,
    /// Given back in all.
    #[serde(default)]
    pub refunded: Option<Money>,
    /// Whether the promise was dropped.
    #[serde(default)]
    pub voided: bool,
    /// When the promise ends.
    #[serde(default)]
    pub until: Option<When>,
    /// Single movements in the order of their instants: kind, reference, amount.
    #[serde(default)]
    pub movements: Vec<PaymentMovement>,
    /// Disputes, newest word of each.
    #[serde(default)]
    pub disputes: Vec<DisputeState>,
}

/// One transaction of a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentMovement {
    /// `authorised`, `captured`, `refunded`, `voided`.
    pub kind: String,
    /// The transaction's id.
    pub r#ref: String,
    /// How much.
    pub amount: Money,
    /// When.
    #[serde(default)]
    pub at: Option<When>,
}

/// A dispute as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisputeState {
    /// The gateway's id.
    pub r#ref: String,
    /// Where it stands.
    pub status: String,
    /// How much.
    #[serde(default)]
    pub amount: Option<Money>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// What one warehouse was told and said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The warehouse account.
    pub warehouse: AccountId,
    /// The warehouse's id of its order.
    #[serde(default)]
    pub r#ref: Option<String>,
    /// Whether the warehouse itself has spoken of the order, so that what it calls it is known as far as it ever tells.
    #[serde(default)]
    pub heard: bool,
    /// `intended`, `sent`, `accepted`, `allocated`, `backordered`, `picked`, `packed`, `shipped`, `cancelled`, `rejected`.
    pub state: String,
    /// Why (rejected, cancelled).
    #[serde(default)]
    pub reason: Option<String>,
    /// Its part of an order that may be split, the units by line: as planned. Empty: the warehouse has the whole order.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lines: BTreeMap<String, u64>,
    /// The part of which it was told.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub told: BTreeMap<String, u64>,
    /// Why it sends that part; set by planning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Until when the goods should have left, by the warehouse's calendar; set by planning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ship_by: Option<When>,
}

impl Release {
    /// Whether the warehouse sends a part of its own, not the order as a whole.
    #[must_use]
    pub fn in_part(&self) -> bool {
        !self.lines.is_empty() || !self.told.is_empty()
    }
    /// Whether the warehouse was told of a part, so that what the order waits for concerns the rest.
    #[must_use]
    pub fn told_of_part(&self) -> bool {
        !self.told.is_empty() && !self.over()
    }
    /// Whether it is with the warehouse: it was told, and has neither refused nor cancelled it.
    #[must_use]
    pub fn is_there(&self) -> bool {
        self.state != "intended" && !self.over()
    }
    /// Whether the warehouse will not send (any more of) what it was told.
    #[must_use]
    pub fn over(&self) -> bool {
        ["cancelled", "rejected"].contains(&self.state.as_str())
    }
}

/// Goods that left together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shipment {
    /// The warehouse account that said so.
    pub account: AccountId,
    /// The warehouse's id of the shipment.
    pub r#ref: String,
    /// What left, by the storefront's line where known.
    #[serde(default)]
    pub lines: Vec<Part>,
    /// In which parcels.
    #[serde(default)]
    pub packages: Vec<Package>,
    /// The carrier.
    #[serde(default)]
    pub carrier: Option<String>,
    /// The service.
    #[serde(default)]
    pub service: Option<String>,
    /// Where it went from, as the warehouse names the place.
    #[serde(default)]
    pub location: Option<String>,
    /// When.
    #[serde(default)]
    pub at: Option<When>,
    /// Taken back before it left.
    #[serde(default)]
    pub voided: bool,
    /// The storefront's id of its record of it.
    #[serde(default)]
    pub recorded: Option<String>,
    /// The newest tracking status over its parcels' events.
    #[serde(default)]
    pub status: Option<String>,
    /// The carrier's events, in the order of their instants.
    #[serde(default)]
    pub events: Vec<TrackingPoint>,
    /// Its name in slots, where another warehouse of the order calls a shipment of its own the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Shipment {
    /// Its name in slots: `fulfilment/<name>`.
    #[must_use]
    pub fn slot(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.r#ref)
    }
}

/// One event of a parcel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackingPoint {
    /// The parcel.
    pub tracking: String,
    /// The status.
    pub status: String,
    /// When.
    #[serde(default)]
    pub at: Option<When>,
    /// The carrier's text.
    #[serde(default)]
    pub description: Option<String>,
    /// Where.
    #[serde(default)]
    pub place: Option<String>,
}

/// A label that was bought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelState {
    /// The aggregator account.
    pub account: AccountId,
    /// The aggregator's id of its shipment.
    pub r#ref: String,
    /// For what it was bought: the slot's name behind `label/`.
    #[serde(default)]
    pub shipment: Option<String>,
    /// Tracking number.
    #[serde(default)]
    pub tracking: Option<String>,
    /// What it cost.
    #[serde(default)]
    pub cost: Option<Money>,
    /// Where its image is.
    #[serde(default)]
    pub url: Option<String>,
    /// `bought`, or how its refund stands.
    pub status: String,
}

/// A return as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReturnState {
    /// The account that told of it.
    pub account: AccountId,
    /// Its id there.
    pub r#ref: String,
    /// Where it stands.
    pub status: String,
    /// What comes back.
    #[serde(default)]
    pub lines: Vec<Part>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether units go back to stock.
    #[serde(default)]
    pub restock: bool,
}

/// A refund that the storefront asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefundState {
    /// The storefront's id of the refund.
    pub r#ref: String,
    /// How much, where told.
    #[serde(default)]
    pub amount: Option<Money>,
    /// What comes back or was not sent.
    #[serde(default)]
    pub lines: Vec<Part>,
    /// When.
    #[serde(default)]
    pub at: Option<When>,
}

/// A hold on the order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldState {
    /// Its name.
    pub hold: String,
    /// Who holds: an account, or `flow` for a rule of `config.toml`.
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// The storefront's wish to cancel, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelState {
    /// When the storefront cancelled.
    #[serde(default)]
    pub at: Option<When>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Whether the storefront itself cancelled; false when only a person here did.
    #[serde(default)]
    pub by_storefront: bool,
    /// `asked`: a warehouse is being told; `in_time`: nothing left; `too_late`: goods had left or the warehouse refused.
    pub outcome: String,
}

/// What stock answered for one SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StockState {
    /// The SKU, ours.
    pub sku: String,
    /// The warehouse.
    pub warehouse: AccountId,
    /// Units reserved.
    pub reserved: u64,
    /// Units short.
    pub short: u64,
    /// Which question was answered.
    pub generation: u64,
}

/// A contradiction among the facts, or a word nobody knows: becomes an exception.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Problem {
    /// Groups exceptions that one remedy solves: `over_shipped`, `unknown_word:shopify:status:foo`, …
    pub cause: String,
    /// In words.
    pub message: String,
}

/// The five axes on which an order moves. The phase is a function of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Axes {
    /// `none` (no storefront has told of it yet), `open`, `cancelled`, `closed`.
    pub sale: String,
    /// `none`, `due_later` (unpaid terms), `pending`, `failed`, `voided`, `authorised`, `partly_paid`, `paid`,
    /// `partly_refunded`, `refunded`, `disputed`.
    pub payment: String,
    /// `none`, `nothing` (no line needs a parcel), `held`, `unpaid`, `short` (of stock), `intended`, `released`,
    /// `accepted`, `allocated`, `backordered`, `picking`, `packed`, `partly_shipped`, `shipped`, `cancelled`, `rejected`.
    pub fulfilment: String,
    /// `none`, one of the tracking statuses, `partly_delivered`.
    pub delivery: String,
    /// `none`, one of the return statuses, `partly_received` (some units that left are still out).
    pub returns: String,
}

/// What a person sees of an order at a glance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Known and waiting to be released.
    #[default]
    Received,
    /// A hold keeps it.
    OnHold,
    /// Money is missing.
    AwaitingPayment,
    /// Stock is missing.
    Backordered,
    /// A warehouse was told.
    Released,
    /// The warehouse works on it.
    Picking,
    /// Packed.
    Packed,
    /// Some units left.
    PartlyShipped,
    /// All units left.
    Shipped,
    /// The carrier has it.
    InTransit,
    /// It arrived.
    Delivered,
    /// The storefront cancelled; the warehouse has not answered.
    CancelRequested,
    /// Cancelled, and nothing left.
    Cancelled,
    /// Cancelled after goods had left.
    CancelledAfterShipped,
    /// It came back.
    Returned,
    /// Done and put away; nothing to ship, or closed.
    Closed,
}

impl Phase {
    /// All phases, in the order in which an order passes them.
    pub const ALL: [Self; 16] = [
        Self::Received,
        Self::OnHold,
        Self::AwaitingPayment,
        Self::Backordered,
        Self::Released,
        Self::Picking,
        Self::Packed,
        Self::PartlyShipped,
        Self::Shipped,
        Self::InTransit,
        Self::Delivered,
        Self::CancelRequested,
        Self::Cancelled,
        Self::CancelledAfterShipped,
        Self::Returned,
        Self::Closed,
    ];
    /// The word in stored forms and queries.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::OnHold => "on_hold",
            Self::AwaitingPayment => "awaiting_payment",
            Self::Backordered => "backordered",
            Self::Released => "released",
            Self::Picking => "picking",
            Self::Packed => "packed",
            Self::PartlyShipped => "partly_shipped",
            Self::Shipped => "shipped",
            Self::InTransit => "in_transit",
            Self::Delivered => "delivered",
            Self::CancelRequested => "cancel_requested",
            Self::Cancelled => "cancelled",
            Self::CancelledAfterShipped => "cancelled_after_shipped",
            Self::Returned => "returned",
            Self::Closed => "closed",
        }
    }
    /// The phase with this word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|phase| phase.word() == word)
    }
}

/// An order as all its systems together tell it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Our id.
    pub id: EntityId,
    /// The merchant.
    pub client: ClientId,
    /// The storefront that sold it.
    pub storefront: AccountId,
    /// The storefront's id.
    pub r#ref: String,
    /// The number that people read.
    #[serde(default)]
    pub number: Option<String>,
    /// Other names of it and of its parts.
    #[serde(default)]
    pub refs: Vec<ExternalRef>,
    /// When it was placed there.
    #[serde(default)]
    pub placed_at: Option<When>,
    /// Newest version of the storefront's snapshot.
    #[serde(default)]
    pub version: Option<String>,
    /// Where it was sold.
    #[serde(default)]
    pub channel: Option<String>,
    /// Currency of the shop.
    #[serde(default)]
    pub currency: Option<Currency>,
    /// What the buyer pays; at its peak, where the storefront keeps it there.
    #[serde(default)]
    pub total: Option<Money>,
    /// What the buyer pays now, after edits and refunds, where the storefront tells it besides. Of a cancelled order:
    /// what it was before.
    #[serde(default)]
    pub current_total: Option<Money>,
    /// What the buyer pays in the buyer's own currency.
    #[serde(default)]
    pub presentment_total: Option<Money>,
    /// `current_total` in the buyer's own currency.
    #[serde(default)]
    pub current_presentment_total: Option<Money>,
    /// Lines before shipping and tax.
    #[serde(default)]
    pub subtotal: Option<Money>,
    /// All taxes.
    #[serde(default)]
    pub tax: Option<Money>,
    /// All discounts.
    #[serde(default)]
    pub discount: Option<Money>,
    /// `paid` or `unpaid`.
    #[serde(default)]
    pub terms: Option<String>,
    /// A test order.
    #[serde(default)]
    pub test: bool,
    /// Personal data; empty once erased.
    #[serde(default)]
    pub contact: Contact,
    /// The lines.
    #[serde(default)]
    pub lines: Vec<OrderLine>,
    /// Discounts.
    #[serde(default)]
    pub discounts: Vec<Discount>,
    /// Charges.
    #[serde(default)]
    pub charges: Vec<Charge>,
    /// Taxes.
    #[serde(default)]
    pub taxes: Vec<Tax>,
    /// The shipping method that the buyer chose.
    #[serde(default)]
    pub ship_method: Option<String>,
    /// Labels of the storefront.
    #[serde(default)]
    pub tags: Vec<String>,
    /// Fields carried along.
    #[serde(default)]
    pub extra: BTreeMap<String, String>,
    /// Payments at gateways.
    #[serde(default)]
    pub payments: Vec<Payment>,
    /// The storefront's own word on payment: `paid`, `pending`, …
    #[serde(default)]
    pub paid_word: Option<String>,
    /// The storefront's level of captured money.
    #[serde(default)]
    pub captured_level: Option<Money>,
    /// Warehouses that were told.
    #[serde(default)]
    pub releases: Vec<Release>,
    /// Shipments.
    #[serde(default)]
    pub shipments: Vec<Shipment>,
    /// Labels.
    #[serde(default)]
    pub labels: Vec<LabelState>,
    /// Returns.
    #[serde(default)]
    pub returns: Vec<ReturnState>,
    /// Refunds that the storefront asked for.
    #[serde(default)]
    pub refunds: Vec<RefundState>,
    /// Holds in force that partners or people set.
    #[serde(default)]
    pub holds: Vec<HoldState>,
    /// Holds that a person let go, by name.
    #[serde(default)]
    pub released_holds: Vec<String>,
    /// Answers of the stock.
    #[serde(default)]
    pub stock: Vec<StockState>,
    /// What the stock was asked last; set by planning.
    #[serde(default)]
    pub asks: Vec<StockAsk>,
    /// What keeps it from being released: `payment`, `hold:high_value`, `stock:TEA-01`, …; set by planning.
    #[serde(default)]
    pub waits: Vec<String>,
    /// What would be done if the flow were live: slots; set by planning.
    #[serde(default)]
    pub would: Vec<String>,
    /// Whether and how it was cancelled.
    #[serde(default)]
    pub cancel: Option<CancelState>,
    /// Contradictions and unknown words.
    #[serde(default)]
    pub problems: Vec<Problem>,
    /// The axes.
    #[serde(default)]
    pub axes: Axes,
    /// What a person sees.
    #[serde(default)]
    pub phase: Phase,
}

/// A word of [`Order::waits`] as people read it, behind `Waits for`.
#[must_use]
pub fn wait_in_words(word: &str) -> String {
    let (kind, of) = word.split_once(':').unwrap_or((word, ""));
    // Of names that stand behind an account's the last is meant.
    let named = of.split_once(':').map_or(of, |(_, name)| name);
    match kind {
        "payment" if of.is_empty() => "the payment".to_owned(),
        "address" if of.is_empty() => "a complete address".to_owned(),
        "time" if of.is_empty() => "the time at which it may go".to_owned(),
        "order" if of.is_empty() => "the storefront to tell of it".to_owned(),
        "start" if of.is_empty() => "nothing: it was placed before the flow began".to_owned(),
        "test" if of.is_empty() => "nothing: it is a test order".to_owned(),
        "split" => "warehouses to share it (the flow allows too few, or none carries all of it)".to_owned(),
        "warehouse" => "a warehouse (those that may send it will not)".to_owned(),
        "stock" => format!("stock of {of}"),
        "stock?" => format!("the stock's answer for {of}"),
        "sku" => format!("a row for {named} in the list of SKUs"),
        "sku_missing" => format!("a SKU for “{named}”"),
        "sku_pack" => format!("whole packs of {named}"),
        _ => word.replace([':', '_'], " "),
    }
}

impl Order {
    /// An order of which nothing was heard.
    #[must_use]
    pub fn empty(id: EntityId, client: ClientId, storefront: AccountId) -> Self {
        Self {
            id,
            client,
            storefront,
            r#ref: String::new(),
            number: None,
            refs: Vec::new(),
            placed_at: None,
            version: None,
            channel: None,
            currency: None,
            total: None,
            current_total: None,
            presentment_total: None,
            current_presentment_total: None,
            subtotal: None,
            tax: None,
            discount: None,
            terms: None,
            test: false,
            contact: Contact::default(),
            lines: Vec::new(),
            discounts: Vec::new(),
            charges: Vec::new(),
            taxes: Vec::new(),
            ship_method: None,
            tags: Vec::new(),
            extra: BTreeMap::new(),
            payments: Vec::new(),
            paid_word: None,
            captured_level: None,
            releases: Vec::new(),
            shipments: Vec::new(),
            labels: Vec::new(),
            returns: Vec::new(),
            refunds: Vec::new(),
            holds: Vec::new(),
            released_holds: Vec::new(),
            stock: Vec::new(),
            asks: Vec::new(),
            waits: Vec::new(),
            would: Vec::new(),
            cancel: None,
            problems: Vec::new(),
            axes: Axes::default(),
            phase: Phase::default(),
        }
    }
}

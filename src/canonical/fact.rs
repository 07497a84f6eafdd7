//! Facts: what partners tell us, append-only. A fact has one subject, an identity, the account that said it, when it
//! happened there, the partner's version if any, and when we heard it.
//!
//! The JSON form of a fact as mappings give it is one flat object: `is` (the kind), `fact` (the mapping's rule), the
//! [`Header`] fields, then the fields of its kind.

mod kinds;
mod parts;

use std::fmt;

use jiff::Timestamp;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::canon::Slots;
use super::schema::{Field, record};
use super::{AccountId, FactId, MessageId, When};

pub use kinds::{
    Balance, Cancelled, Decision, Departure, Disputed, Due, Edited, Failed, Held, Label, Level, Movement,
    Placed, Progress, Recorded, RefundAsked, Returned, Scan, Shipped, StockAnswer, StockAsk,
};
pub use parts::{
    Charge, DISPUTE_STATUS, Discount, DisputeStatus, Line, Package, Part, RETURN_STATUS, ReturnStatus,
    TRACKING_STATUS, Tax, TrackingStatus,
};

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

macro_rules! facts {
    ($( $(#[doc = $doc:literal])* $variant:ident($record:ident) = $name:literal ),* $(,)?) => {
        /// What a fact says, by kind.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
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

            /// The body of this kind with these values, one for each of the kind's own fields.
            ///
            /// # Errors
            /// The name of the first field that is required and missing, or whose value is of another type.
            pub fn assemble(kind: FactKind, slots: &mut Slots<'_>) -> Result<Self, &'static str> {
                match kind.0 {
                    $( $name => $record::assemble(slots).map(Self::$variant), )*
                    _ => Err("is"),
                }
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
        impl Body {
            /// The body of the kind `is` with these fields.
            fn of<'de, D: Deserializer<'de>>(is: &str, fields: D) -> Result<Self, D::Error> {
                match is {
                    $( $name => $record::deserialize(fields).map(Self::$variant), )*
                    other => Err(D::Error::unknown_variant(other, &[$($name),*])),
                }
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

/// The field that tells the kind.
const IS: &str = "is";

/// As the derived form does it, but a kind that comes first, as we write it, is not looked for: the fields that follow need
/// not be kept until it is found.
impl<'de> Deserialize<'de> for Body {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(BodyVisitor)
    }
}

struct BodyVisitor;

impl<'de> Visitor<'de> for BodyVisitor {
    type Value = Body;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body of a fact, with its kind as `is`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Body, A::Error> {
        let mut before = serde_json::Map::new();
        while let Some(name) = fields.next_key::<String>()? {
            if name != IS {
                before.insert(name, fields.next_value()?);
                continue;
            }
            let is: String = fields.next_value()?;
            if before.is_empty() {
                return Body::of(&is, MapAccessDeserializer::new(fields));
            }
            while let Some((name, value)) = fields.next_entry()? {
                before.insert(name, value);
            }
            return Body::of(&is, serde_json::Value::Object(before)).map_err(A::Error::custom);
        }
        Err(A::Error::missing_field(IS))
    }
}

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
    fn the_kind_may_stand_anywhere() {
        for text in [
            r#"{"is":"payment.captured","amount":"12.50 EUR","gateway":"stripe"}"#,
            r#"{"amount":"12.50 EUR","is":"payment.captured","gateway":"stripe"}"#,
            r#"{"amount":"12.50 EUR","gateway":"stripe","is":"payment.captured"}"#,
        ] {
            let body: Body = serde_json::from_str(text).unwrap();
            assert_eq!((body.kind().0, &body), ("payment.captured", &serde_json::from_str(text).unwrap()));
            let Body::Captured(captured) = &body else { panic!("{body:?}") };
            assert_eq!(captured.amount.to_string(), "12.50 EUR");
        }
        for (text, why) in [
            (r#"{"is":"payment.capturd"}"#, "unknown variant `payment.capturd`"),
            (r#"{"amount":"12.50 EUR"}"#, "missing field `is`"),
            (r#"{"is":"timer.due","timer":"x","generation":1,"colour":2}"#, "unknown field `colour`"),
            (r#"{"colour":2,"is":"timer.due","timer":"x","generation":1}"#, "unknown field `colour`"),
            (r#"{"is":"timer.due","timer":"x"}"#, "missing field `generation`"),
            (r#"["is"]"#, "expected the body of a fact"),
        ] {
            let error = serde_json::from_str::<Body>(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
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

//! The same mapping as structs for serde: what a person would write who needs this one partner and nothing else. Texts
//! are borrowed, amounts are exact, times are read and written again.

use std::borrow::Cow;
use std::fmt;

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::Offset;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize, Serializer};

type Text<'a> = Option<Cow<'a, str>>;

#[derive(Deserialize)]
struct Order<'a> {
    id: u64,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    updated_at: Text<'a>,
    #[serde(borrow)]
    created_at: Cow<'a, str>,
    #[serde(borrow)]
    source_name: Text<'a>,
    #[serde(borrow)]
    email: Text<'a>,
    #[serde(borrow)]
    contact_email: Text<'a>,
    #[serde(borrow)]
    phone: Text<'a>,
    #[serde(borrow)]
    currency: Cow<'a, str>,
    total_price: Decimal,
    subtotal_price: Decimal,
    total_tax: Decimal,
    total_discounts: Decimal,
    #[serde(borrow)]
    note: Text<'a>,
    #[serde(borrow)]
    tags: Cow<'a, str>,
    #[serde(borrow)]
    shipping_address: Option<Address<'a>>,
    #[serde(borrow)]
    billing_address: Option<Address<'a>>,
    #[serde(borrow)]
    line_items: Vec<Line<'a>>,
    #[serde(borrow)]
    shipping_lines: Vec<ShippingLine<'a>>,
}

#[derive(Deserialize)]
struct Address<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    company: Text<'a>,
    #[serde(borrow)]
    address1: Text<'a>,
    #[serde(borrow)]
    address2: Text<'a>,
    #[serde(borrow)]
    city: Text<'a>,
    #[serde(borrow)]
    province_code: Text<'a>,
    #[serde(borrow)]
    province: Text<'a>,
    #[serde(borrow)]
    zip: Text<'a>,
    #[serde(borrow)]
    country_code: Text<'a>,
    #[serde(borrow)]
    phone: Text<'a>,
}

#[derive(Deserialize)]
struct Line<'a> {
    id: u64,
    #[serde(borrow)]
    sku: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    quantity: u64,
    price: Decimal,
    grams: u64,
    gift_card: bool,
}

#[derive(Deserialize)]
struct ShippingLine<'a> {
    #[serde(borrow)]
    title: Text<'a>,
    #[serde(borrow)]
    code: Text<'a>,
    price: Decimal,
}

#[derive(Serialize)]
struct Fact<'a> {
    rule: &'static str,
    header: Header<'a>,
    body: Body<'a>,
}

#[derive(Serialize)]
struct Header<'a> {
    #[serde(serialize_with = "as_text")]
    order: u64,
    #[serde(skip_serializing_if = "is_blank")]
    number: &'a Text<'a>,
    at: Time,
    #[serde(skip_serializing_if = "is_blank")]
    version: &'a Text<'a>,
}

#[derive(Serialize)]
struct Body<'a> {
    is: &'static str,
    #[serde(skip_serializing_if = "is_blank")]
    channel: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    email: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    phone: &'a Text<'a>,
    total: Amount<'a>,
    subtotal: Amount<'a>,
    tax: Amount<'a>,
    discount: Amount<'a>,
    currency: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    ship_to: Option<Place<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bill_to: Option<Place<'a>>,
    lines: Vec<Row<'a>>,
    charges: Vec<Charge<'a>>,
    #[serde(skip_serializing_if = "is_blank")]
    ship_method: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    note: &'a Text<'a>,
    tags: Vec<&'a str>,
}

#[derive(Serialize)]
struct Place<'a> {
    #[serde(skip_serializing_if = "is_blank")]
    name: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    company: &'a Text<'a>,
    street: Vec<&'a str>,
    #[serde(skip_serializing_if = "is_blank")]
    city: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    region: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    postal_code: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    country: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    phone: &'a Text<'a>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(serialize_with = "as_text")]
    r#ref: u64,
    quantity: u64,
    #[serde(skip_serializing_if = "is_blank")]
    sku: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    title: &'a Text<'a>,
    unit_price: Amount<'a>,
    #[serde(serialize_with = "as_text")]
    weight: u64,
}

#[derive(Serialize)]
struct Charge<'a> {
    #[serde(skip_serializing_if = "is_blank")]
    title: &'a Text<'a>,
    #[serde(skip_serializing_if = "is_blank")]
    code: &'a Text<'a>,
    amount: Amount<'a>,
}

struct Amount<'a>(Decimal, &'a str);

impl fmt::Display for Amount<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} {}", self.0, self.1)
    }
}

impl Serialize for Amount<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

struct Time(Timestamp, Offset);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0.display_with_offset(self.1))
    }
}

fn as_text<S: Serializer>(value: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn is_blank(text: &Text<'_>) -> bool {
    text.as_deref().is_none_or(|text| text.trim().is_empty())
}

fn first<'a>(one: &'a Text<'a>, other: &'a Text<'a>) -> &'a Text<'a> {
    if is_blank(one) { other } else { one }
}

fn place<'a>(address: &'a Address<'a>) -> Place<'a> {
    let street = [&address.address1, &address.address2];
    Place {
        name: &address.name,
        company: &address.company,
        street: street
            .into_iter()
            .filter(|line| !is_blank(line))
            .filter_map(|line| line.as_deref())
            .collect(),
        city: &address.city,
        region: first(&address.province_code, &address.province),
        postal_code: &address.zip,
        country: &address.country_code,
        phone: &address.phone,
    }
}

/// The canonical bytes of an order's bytes.
pub fn map(bytes: &[u8]) -> Result<Vec<u8>, Box<dyn std::error::Error>> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let order: Order = serde_json::from_slice(bytes)?;
    let pieces = PARSER.parse_pieces(order.created_at.as_ref())?;
    let (time, offset) = (pieces.time().ok_or("no time")?, pieces.to_numeric_offset().ok_or("no offset")?);
    let at = Time(offset.to_timestamp(pieces.date().to_datetime(time))?, offset);
    let money = |amount| Amount(amount, order.currency.as_ref());
    let none = None;
    let fact = Fact {
        rule: "placed",
        header: Header { order: order.id, number: &order.name, at, version: &order.updated_at },
        body: Body {
            is: "order.placed",
            channel: &order.source_name,
            email: first(&order.email, &order.contact_email),
            phone: first(
                &order.phone,
                order.shipping_address.as_ref().map_or(&none, |address| &address.phone),
            ),
            total: money(order.total_price),
            subtotal: money(order.subtotal_price),
            tax: money(order.total_tax),
            discount: money(order.total_discounts),
            currency: order.currency.as_ref(),
            ship_to: order.shipping_address.as_ref().map(place),
            bill_to: order.billing_address.as_ref().map(place),
            lines: order
                .line_items
                .iter()
                .filter(|line| !line.gift_card)
                .map(|line| Row {
                    r#ref: line.id,
                    quantity: line.quantity,
                    sku: &line.sku,
                    title: &line.name,
                    unit_price: money(line.price),
                    weight: line.grams,
                })
                .collect(),
            charges: order
                .shipping_lines
                .iter()
                .map(|line| Charge { title: &line.title, code: &line.code, amount: money(line.price) })
                .collect(),
            ship_method: order.shipping_lines.first().map_or(&none, |line| first(&line.code, &line.title)),
            note: &order.note,
            tags: order.tags.split(',').map(str::trim).filter(|tag| !tag.is_empty()).collect(),
        },
    };
    Ok(serde_json::to_vec(&[fact])?)
}

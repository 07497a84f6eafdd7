//! The parts of which canonical documents for partners are made.

use serde_json::{Map, Value, json};

use super::sku::{self, Goods, NoSku};
use crate::canonical::fact::Package;
use crate::canonical::order::{OrderLine, Shipment};
use crate::canonical::{AccountId, EntityId, Exception, Order};
use crate::config::model::Flow;

/// Drops what says nothing, so that a document and its digest hold only what is told.
pub(super) fn slim(value: Value) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| (name, slim(value)))
                .filter(|(_, value)| !value.is_null())
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(slim).collect()),
        other => other,
    }
}

/// The head of the order.
pub(super) fn head(order: &Order) -> Value {
    json!({
        "id": order.id,
        "ref": order.r#ref,
        "number": order.number,
        "storefront": order.storefront,
        "placed_at": order.placed_at,
        "channel": order.channel,
        "currency": order.currency,
        "total": order.current_total.or(order.total),
        "subtotal": order.subtotal,
        "tax": order.tax,
        "discount": order.discount,
        "shipping": shipping(order),
        "terms": order.terms,
        "ship_method": order.ship_method,
        "tags": order.tags,
        "extra": order.extra,
    })
}

/// What the buyer pays for shipping: the sum of such charges.
fn shipping(order: &Order) -> Option<String> {
    let mut amounts = order
        .charges
        .iter()
        .filter(|charge| charge.kind.as_deref() == Some("shipping"))
        .filter_map(|charge| charge.amount);
    let first = amounts.next()?;
    amounts.try_fold(first, |sum, amount| sum.plus(amount).ok()).map(|sum| sum.to_string())
}

/// Lines as a warehouse is told them. Errors are the lines without a name.
pub(super) fn lines(order: &Order, flow: &Flow, warehouse: &AccountId) -> Result<Vec<Value>, Vec<NoName>> {
    let (mut lines, mut errors) = (Vec::new(), Vec::new());
    for line in order.lines.iter().filter(|line| line.ships && line.wanted() > 0) {
        match sku::goods(flow, &order.storefront, warehouse, line) {
            Ok(goods) => match goods.units(line.wanted()) {
                Some(quantity) => lines.push(told_line(line, &goods, quantity)),
                None => errors.push(NoName::Pack(goods, line.wanted())),
            },
            Err(error) => errors.push(NoName::Sku(error)),
        }
    }
    if errors.is_empty() { Ok(lines) } else { Err(errors) }
}

fn told_line(line: &OrderLine, goods: &Goods, quantity: u64) -> Value {
    json!({
        "ref": line.r#ref,
        "sku": goods.theirs,
        "our_sku": goods.ours,
        "store_sku": line.sku,
        "quantity": quantity,
        "units": line.wanted(),
        "title": line.title,
        "unit_price": line.unit_price,
        "weight": line.weight,
    })
}

/// Why a line cannot be told to a warehouse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoName {
    /// Its SKU is missing or unknown.
    Sku(NoSku),
    /// The warehouse's packs do not come out whole.
    Pack(Goods, u64),
}

impl NoName {
    /// The exception, grouped by what one remedy solves.
    pub(super) fn exception(&self, order: &Order, flow: &Flow, warehouse: &AccountId) -> Exception {
        let store = &order.storefront;
        let file = flow.skus.file.as_deref().unwrap_or("the flow's list of SKUs");
        match self {
            Self::Sku(NoSku::Unknown(sku)) => trouble(
                order,
                "unknown_sku",
                format!("sku:{store}:{sku}"),
                format!("{store} sells `{sku}`, which {file} does not know"),
            )
            .with(
                store,
                format!("add a row to {file}: {store},{sku},<our SKU>,1; all orders that wait for it go on"),
            ),
            Self::Sku(NoSku::Missing(title)) => trouble(
                order,
                "unknown_sku",
                format!("sku_missing:{store}:{title}"),
                format!("{store} sells `{title}` without a SKU"),
            )
            .with(store, "give the product a SKU in the storefront, and update the order there".to_owned()),
            Self::Pack(goods, units) => trouble(
                order,
                "unknown_sku",
                format!("sku_pack:{warehouse}:{}", goods.theirs),
                format!(
                    "{units} × {} of our `{}` are no whole number of {warehouse}'s `{}` ({} a pack)",
                    goods.each, goods.ours, goods.theirs, goods.pack
                ),
            )
            .with(warehouse, format!("add the single unit's name at {warehouse} to {file}")),
        }
        .0
    }
}

/// An exception on the order while its optional parts are filled in.
pub(super) struct Trouble(pub(super) Exception);

pub(super) fn trouble(order: &Order, kind: &str, cause: String, message: String) -> Trouble {
    Trouble(Exception {
        id: 0,
        cause,
        kind: kind.to_owned(),
        message,
        help: None,
        account: Some(order.storefront.clone()),
        client: Some(order.client.clone()),
        entity: Some(order.id.clone()),
        message_id: None,
        intent: None,
        raised: jiff::Timestamp::UNIX_EPOCH,
        resolved: None,
        resolution: None,
    })
}

impl Trouble {
    pub(super) fn with(mut self, account: &AccountId, help: String) -> Self {
        self.0.account = Some(account.clone());
        self.0.help = Some(help);
        self
    }
}

/// Whom and how to reach, and how to ship.
pub(super) fn delivery(order: &Order, flow: &Flow) -> Map<String, Value> {
    let method = order.ship_method.as_deref();
    let ship_method = match method.and_then(|method| flow.ship_methods.get(method)) {
        Some(known) => json!({ "carrier": known.carrier, "service": known.service }),
        None => json!({ "service": method }),
    };
    let contact = &order.contact;
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| {
        let value = slim(value);
        if !value.is_null() {
            fields.insert(name.to_owned(), value);
        }
    };
    put("ship_to", json!(contact.ship_to));
    put("bill_to", json!(contact.bill_to));
    put("email", json!(contact.email));
    put("phone", json!(contact.phone.as_ref().or(contact.ship_to.as_ref().and_then(|to| to.phone.as_ref()))));
    put("ship_method", ship_method);
    put("note", json!(contact.note));
    put("gift_note", json!(contact.gift_note));
    fields
}

/// What a warehouse would notice: lines, where to and how. A change of anything else is not worth a command.
pub(super) fn core(document: &Value) -> Value {
    let told = |name: &str| document.get(name).cloned().unwrap_or_default();
    let lines: Vec<Value> = told("lines")
        .as_array()
        .into_iter()
        .flatten()
        .map(|line| json!([line.get("ref"), line.get("sku"), line.get("quantity")]))
        .filter(|line| line.get(2).and_then(Value::as_u64) != Some(0))
        .collect();
    json!([
        lines,
        told("ship_to"),
        told("email"),
        told("phone"),
        told("ship_method"),
        told("note"),
        told("gift_note")
    ])
}

/// A shipment as a storefront is told it.
pub(super) fn shipment(shipment: &Shipment) -> Value {
    let carrier = shipment
        .carrier
        .clone()
        .or_else(|| shipment.packages.iter().find_map(|package| package.carrier.clone()));
    json!({
        "ref": shipment.r#ref,
        "warehouse": shipment.account,
        "at": shipment.at,
        "carrier": carrier,
        "service": shipment.service,
        "location": shipment.location,
        "lines": shipment.lines,
        "tracking": tracking(&shipment.packages),
        "urls": shipment.packages.iter().filter_map(|package| package.url.as_ref()).collect::<Vec<_>>(),
        "packages": shipment.packages,
        "recorded": shipment.recorded,
    })
}

/// Tracking numbers, each once, in the order of the parcels.
pub(super) fn tracking(packages: &[Package]) -> Vec<String> {
    let mut numbers: Vec<String> = Vec::new();
    for number in packages.iter().filter_map(|package| package.tracking.as_ref()) {
        if !number.is_empty() && !numbers.contains(number) {
            numbers.push(number.clone());
        }
    }
    numbers
}

/// The stock entity of an SKU.
pub(super) fn stock_id(order: &Order, warehouse: &AccountId, ours: &str) -> EntityId {
    EntityId::stock(&order.client, warehouse, ours)
}

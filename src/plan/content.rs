//! What is sent: the canonical document that an outbound mapping turns into a partner's words.
//!
//! Every document carries `ref` (our id of the order or stock, sent to partners as our reference), `key` (the intent's id,
//! sent as idempotency key) and, for orders, `order`: `id`, `ref` (the storefront's id), `number`, `storefront`,
//! `placed_at`, `channel`, `currency`, `total`, `subtotal`, `tax`, `discount`, `shipping`, `terms`, `ship_method`, `tags`,
//! `extra`. Besides:
//!
//! | command | fields |
//! |---|---|
//! | `order.create`, `order.change` at a warehouse | `lines[*]`: `ref`, `sku`, `our_sku`, `store_sku`, `quantity`, `units`, `title`, `unit_price`, `weight`; `ship_to`, `bill_to`, `email`, `phone`, `ship_method.carrier`, `ship_method.service`, `note`, `gift_note`. A change has `warehouse_order` besides, and lines that are no longer wanted with quantity 0. |
//! | `order.cancel` at a warehouse | `warehouse_order`, `reason` |
//! | `order.cancel` at a storefront | `reason` |
//! | `order.tag` | `tag`, `note`, `tags`: those that the order has, and the new one |
//! | `fulfilment.create`, `fulfilment.update` | `shipment`: `ref`, `warehouse`, `at`, `carrier`, `service`, `location`, `lines[*]` (`line`, `sku`, `quantity`), `tracking` (numbers), `urls`, `packages`, `recorded` (the storefront's id of it) |
//! | `payment.capture`, `payment.void` | `payment`, `amount` (capture) |
//! | `payment.refund` | `payment`, `amount`, `reference` (the storefront's id of the refund) |
//! | `tracker.create` | `tracking`, `carrier`, `shipment` (its reference) |
//! | `label.buy` | as `order.create`, and `weight` (grams in all), `warehouse` |
//! | `label.refund` | `label` |
//! | `inventory.set` | `sku` (the storefront's), `our_sku`, `quantity` (never below 0), `location` |
//!
//! `quantity` and `sku` of a line are the warehouse's; `units` are the storefront's.

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::document::{delivery, head, lines, shipment, slim, trouble};
use super::slot::behind;
use super::{release, split};
use crate::canonical::order::{OrderLine, Shipment};
use crate::canonical::{AccountId, Exception, Intent, Order, Stock};
use crate::config::model::Flow;

/// Why nothing is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum NoContent {
    /// It is no longer wanted, and why: withdraw the intent.
    Unwanted(String),
    /// It cannot be said: raise this exception and try again later.
    Trouble(Box<Exception>),
}

fn unwanted(why: &str) -> NoContent {
    NoContent::Unwanted(why.to_owned())
}

/// The document that `intent` sends, made from the order as it is now (contact details merged in).
///
/// # Errors
/// When it is no longer wanted, or when something that it needs is missing.
pub fn content(intent: &Intent, order: &Order, flow: &Flow) -> Result<Value, NoContent> {
    let warehouse = match intent.command.as_str() {
        "order.create" | "order.change" => Some(intent.account.clone()),
        "label.buy" => intent.args.get("warehouse").and_then(Value::as_str).map(AccountId::from),
        _ => None,
    };
    let part = warehouse.and_then(|warehouse| split::part(order, &warehouse));
    let ours = split::ours(order);
    let own = part.as_ref().unwrap_or(&ours);
    let mut document = match intent.command.as_str() {
        "order.create" => whole(intent, own, flow)?,
        "order.change" => change(intent, own, flow)?,
        "order.cancel" => cancel(intent, order),
        "order.tag" => tag(intent, order),
        "fulfilment.create" | "fulfilment.update" => parcel(intent, order)?,
        "payment.capture" | "payment.void" | "payment.refund" => payment(intent, order)?,
        "label.buy" => label(intent, own, flow)?,
        // All that it says stands in the arguments.
        _ => intent.args.clone(),
    };
    document.insert("order".to_owned(), head(order));
    document.insert("ref".to_owned(), json!(order.id));
    document.insert("key".to_owned(), json!(intent.id));
    Ok(slim(Value::Object(document)))
}

/// The order as its warehouse shall have it, which may be a part of it.
fn whole(intent: &Intent, order: &Order, flow: &Flow) -> Result<Map<String, Value>, NoContent> {
    if order.cancel.is_some() {
        return Err(unwanted("the order was cancelled"));
    }
    let more = |line: &OrderLine| line.open() > 0 || line.released > line.shipped;
    if !order.lines.iter().any(|line| line.ships && more(line)) {
        return Err(unwanted("nothing is left to send"));
    }
    match release::document(order, flow, &intent.account) {
        Ok(Value::Object(document)) => Ok(document),
        Ok(_) => Err(unwanted("there is nothing to say")),
        Err(exceptions) => Err(match exceptions.into_iter().next() {
            Some(mut exception) => {
                exception.intent = Some(intent.id);
                NoContent::Trouble(Box::new(exception))
            }
            None => unwanted("there is nothing to say"),
        }),
    }
}

/// The whole order again; what was told before and is no longer wanted has quantity 0.
fn change(intent: &Intent, order: &Order, flow: &Flow) -> Result<Map<String, Value>, NoContent> {
    let mut document = whole(intent, order, flow)?;
    let name = order
        .releases
        .iter()
        .find(|release| release.warehouse == intent.account)
        .and_then(|release| release.r#ref.clone());
    document.insert("warehouse_order".to_owned(), json!(name));
    for gone in order.lines.iter().filter(|line| line.ships && line.wanted() == 0 && line.released > 0) {
        let mut last = gone.clone();
        // As if one unit were wanted, to find its name.
        (last.ordered, last.cancelled) = (1, 0);
        let one = Order { lines: vec![last], ..order.clone() };
        let Ok(named) = lines(&one, flow, &intent.account) else { continue };
        if let Some(Value::Array(list)) = document.get_mut("lines") {
            list.extend(named.into_iter().map(|mut line| {
                line["quantity"] = json!(0);
                line["units"] = json!(0);
                line
            }));
        }
    }
    Ok(document)
}

fn cancel(intent: &Intent, order: &Order) -> Map<String, Value> {
    let mut document = intent.args.clone();
    let name = order
        .releases
        .iter()
        .find(|release| release.warehouse == intent.account)
        .and_then(|release| release.r#ref.clone());
    document.insert("warehouse_order".to_owned(), json!(name));
    document
}

fn tag(intent: &Intent, order: &Order) -> Map<String, Value> {
    let mut document = intent.args.clone();
    let mut tags = order.tags.clone();
    if let Some(tag) = intent.args.get("tag").and_then(Value::as_str)
        && !tags.iter().any(|known| known == tag)
    {
        tags.push(tag.to_owned());
    }
    document.insert("tags".to_owned(), json!(tags));
    document
}

fn parcel(intent: &Intent, order: &Order) -> Result<Map<String, Value>, NoContent> {
    let named = |shipment: &&Shipment| {
        behind(&intent.slot, "fulfilment").or_else(|| behind(&intent.slot, "tracking"))
            == Some(shipment.slot())
            && shipment.account != order.storefront
    };
    let Some(told) = order.shipments.iter().find(named) else {
        return Err(unwanted("the shipment is not known any more"));
    };
    if told.voided {
        return Err(unwanted("the shipment was taken back"));
    }
    if intent.command == "fulfilment.create" && told.recorded.is_some() {
        return Err(unwanted("the storefront has recorded the shipment already"));
    }
    Ok(Map::from_iter([("shipment".to_owned(), shipment(told))]))
}

fn payment(intent: &Intent, order: &Order) -> Result<Map<String, Value>, NoContent> {
    let too_late = order.cancel.as_ref().is_some_and(|cancel| cancel.outcome != "too_late");
    if intent.command == "payment.capture" && too_late {
        return Err(unwanted("the order was cancelled"));
    }
    let mut document = intent.args.clone();
    if let Some(refund) = document.remove("refund") {
        document.insert("reference".to_owned(), refund);
    }
    Ok(document)
}

fn label(intent: &Intent, order: &Order, flow: &Flow) -> Result<Map<String, Value>, NoContent> {
    let mut document = delivery(order, flow);
    let warehouse = intent.args.get("warehouse").and_then(Value::as_str).unwrap_or_default();
    match lines(order, flow, &AccountId::from(warehouse)) {
        Ok(lines) => document.insert("lines".to_owned(), Value::Array(lines)),
        Err(_) => None,
    };
    let grams: Option<Decimal> = order
        .lines
        .iter()
        .filter(|line| line.ships && line.wanted() > 0)
        .map(|line| line.weight.and_then(|weight| weight.0.checked_mul(Decimal::from(line.wanted()))))
        .sum();
    let Some(grams) = grams.filter(|grams| !grams.is_zero()) else {
        let message = "a label cannot be bought: the weight of the goods is not known".to_owned();
        let mut found = trouble(order, "no_weight", format!("weight:{}", order.id), message)
            .with(&order.storefront, "give the products a weight in the storefront".to_owned())
            .0;
        found.intent = Some(intent.id);
        return Err(NoContent::Trouble(Box::new(found)));
    };
    document.insert("weight".to_owned(), json!(grams.normalize().to_string()));
    document.insert("warehouse".to_owned(), json!(warehouse));
    Ok(document)
}

/// The document that `intent` sends, made from the stock as it is now.
///
/// # Errors
/// When it is no longer wanted.
pub fn stock_content(intent: &Intent, stock: &Stock, flow: &Flow) -> Result<Value, NoContent> {
    let (Some(sku), Some(location)) =
        (intent.args.get("sku").and_then(Value::as_str), intent.args.get("location"))
    else {
        return Err(unwanted("nobody knows what to set where"));
    };
    let Some(quantity) = super::stock::quantity(stock, flow, &intent.account, sku) else {
        return Err(unwanted("no level is known"));
    };
    Ok(json!({
        "ref": stock.id,
        "key": intent.id,
        "sku": sku,
        "our_sku": stock.sku,
        "quantity": quantity,
        "location": location,
    }))
}

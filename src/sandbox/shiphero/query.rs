//! ShipHero's queries.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::{Selected, WAREHOUSE, number, uuid, view};
use crate::sandbox::world::World;

/// A code and a message.
pub(super) type Refusal = (u32, String);

/// A time with a zone, or without one: then UTC. Sub-seconds and a space instead of `T` are fine.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let text = text.replace(' ', "T");
        let text = if text.len() == 10 { format!("{text}T00:00:00") } else { text };
        let civil: DateTime = text.parse().ok()?;
        TimeZone::UTC.to_timestamp(civil).ok()
    })
}

pub(super) fn run(world: &World, field: &Selected) -> Result<Value, Refusal> {
    let (warehouse, settings) = (&world.warehouse, &world.settings);
    let text = |name: &str| field.text(name).filter(|text| !text.is_empty());
    let bound = |name: &str| match text(name) {
        None => Ok(None),
        Some(given) => time(given).map(Some).ok_or_else(|| (2, format!("Invalid date: {given}"))),
    };
    match field.name.as_str() {
        "order" => {
            let id = text("id").unwrap_or("");
            let index = warehouse.find(id).ok_or_else(|| (5, "Order not found".to_owned()))?;
            Ok(view::order(warehouse, settings, index))
        }
        "orders" => {
            let (from, to) = (bound("updated_from")?, bound("updated_to")?);
            let (made_from, made_to) = (bound("created_from")?, bound("created_to")?);
            let (placed_from, placed_to) = (bound("order_date_from")?, bound("order_date_to")?);
            let fits = |order: &super::Order| {
                let placed = order
                    .data
                    .get("order_date")
                    .and_then(Value::as_str)
                    .and_then(time)
                    .unwrap_or(order.created);
                text("partner_order_id").is_none_or(|wanted| order.reference == wanted)
                    && text("order_number").is_none_or(|wanted| order.number == wanted)
                    && text("fulfillment_status").is_none_or(|wanted| order.status() == wanted)
                    && text("shop_name").is_none_or(|wanted| {
                        order.data.get("shop_name").and_then(Value::as_str) == Some(wanted)
                    })
                    && text("sku").is_none_or(|wanted| order.lines.iter().any(|line| line.sku == wanted))
                    && text("tag").is_none_or(|wanted| order.tags.iter().any(|tag| tag == wanted))
                    && within(order.updated, from, to)
                    && within(order.created, made_from, made_to)
                    && within(placed, placed_from, placed_to)
            };
            let found = (0..warehouse.orders.len()).filter(|index| fits(&warehouse.orders[*index]));
            Ok(sorted(found.map(|index| view::order(warehouse, settings, index)).collect()))
        }
        "shipment" => {
            let id = text("id").and_then(|id| number("Shipment", id));
            let found = warehouse.shipments.iter().find(|shipment| Some(shipment.id) == id);
            found
                .map(|shipment| view::shipment(warehouse, settings, shipment))
                .ok_or_else(|| (5, "Shipment not found".to_owned()))
        }
        "shipments" => {
            let (from, to) = (bound("date_from")?, bound("date_to")?);
            let order = text("order_id").map(|id| warehouse.find(id));
            let found = warehouse.shipments.iter().filter(|shipment| {
                within(shipment.created, from, to)
                    && order.is_none_or(|order| order == Some(shipment.order))
                    && text("tracking_number").is_none_or(|wanted| shipment.tracking == wanted)
                    && text("shipment_id")
                        .is_none_or(|wanted| number("Shipment", wanted) == Some(shipment.id))
            });
            Ok(sorted(found.map(|shipment| view::shipment(warehouse, settings, shipment)).collect()))
        }
        "warehouse_products" => {
            let (from, to) = (bound("updated_from")?, bound("updated_to")?);
            let found = warehouse.stock.iter().filter(|(sku, stock)| {
                text("sku").is_none_or(|wanted| wanted == sku.as_str()) && within(stock.updated, from, to)
            });
            Ok(sorted(found.map(|(sku, stock)| view::stock(settings, sku, stock)).collect()))
        }
        "returns" => Ok(json!([])),
        "account" => Ok(json!({
            "id": uuid("Account", settings.warehouse_account),
            "legacy_id": settings.warehouse_account,
            "email": "warehouse@example.com",
            "status": "active",
            "is_3pl": false,
            "warehouses": [{ "id": uuid("Warehouse", WAREHOUSE), "legacy_id": WAREHOUSE, "identifier": "Primary", "profile": "Primary" }],
        })),
        "user_quota" => {
            let mut bucket = warehouse.bucket.clone();
            let left = bucket.level(world.now).floor();
            Ok(
                json!({ "is_expired": false, "time_remaining": "", "credits_remaining": left, "max_available": bucket.size(), "increment_rate": bucket.refill() }),
            )
        }
        "uuid" => {
            let (kind, id) = (field.text("entity").unwrap_or(""), field.number("legacy_id").unwrap_or(0));
            Ok(json!({ "legacy_id": id, "id": uuid(kind, u64::try_from(id).unwrap_or(0)) }))
        }
        "node" => {
            let index = field.text("id").and_then(|id| warehouse.find(id));
            Ok(index.map_or(Value::Null, |index| view::order(warehouse, settings, index)))
        }
        other => Err((1, format!("{other} is not simulated"))),
    }
}

fn within(at: Timestamp, from: Option<Timestamp>, to: Option<Timestamp>) -> bool {
    // Times there have whole seconds.
    from.is_none_or(|from| at.as_second() >= from.as_second()) && to.is_none_or(|to| at <= to)
}

fn sorted(mut items: Vec<Value>) -> Value {
    items.sort_by(|a, b| a["__sort"].as_str().cmp(&b["__sort"].as_str()));
    Value::Array(items)
}

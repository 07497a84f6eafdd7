//! ShipHero's objects, as its GraphQL API shows them.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Line, Order, Shipment, Stock, WAREHOUSE, Warehouse, uuid};
use crate::sandbox::settings::Settings;

/// `2021-07-24T02:03:01`: UTC without saying so.
pub(super) fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S").to_string()
}

/// The number of an item for sorting, by a time and then by id.
fn sort(at: Timestamp, id: u64) -> String {
    format!("{:020}-{id:012}", at.as_nanosecond())
}

fn line(order: &Order, it: &Line) -> Value {
    let done = it.shipped >= it.quantity;
    json!({
        "__typename": "LineItem",
        "id": uuid("LineItem", it.id),
        "legacy_id": it.id,
        "sku": it.sku,
        "partner_line_item_id": it.partner,
        "quantity": it.quantity,
        "price": it.price,
        "product_name": it.name,
        "fulfillment_status": if order.cancelled.is_some() { "canceled" } else if done { "fulfilled" } else { "pending" },
        "quantity_pending_fulfillment": if order.cancelled.is_some() { 0 } else { it.quantity - it.shipped },
        "quantity_shipped": it.shipped,
        "quantity_allocated": it.allocated,
        "backorder_quantity": if order.allocated.is_some() { it.quantity - it.shipped - it.allocated } else { 0 },
        "warehouse_id": uuid("Warehouse", WAREHOUSE),
        "warehouse": "Primary",
        "eligible_for_return": true,
        "created_at": time(it.created),
        "updated_at": time(order.updated),
        "order_id": uuid("Order", order.id),
    })
}

/// The order without its shipments.
fn head(settings: &Settings, order: &Order) -> Value {
    let given = |key: &str| order.data.get(key).cloned().unwrap_or(Value::Null);
    let allocations = order.allocated.filter(|_| order.cancelled.is_none()).map(|at| {
        json!([{
            "allocation_reference": order.id.to_string(),
            "warehouse_id": uuid("Warehouse", WAREHOUSE),
            "order_id": uuid("Order", order.id),
            "allocated_at": time(at),
            "ready_to_ship": true,
            "line_items": order.lines.iter().map(|line| json!({
                "line_item_id": uuid("LineItem", line.id),
                "sku": line.sku,
                "quantity_allocated": line.allocated,
                "is_kit_component": false,
                "allocated_at": time(at),
                "allocation_reference": order.id.to_string(),
            })).collect::<Vec<_>>(),
        }])
    });
    json!({
        "__typename": "Order",
        "__sort": sort(order.updated, order.id),
        "id": uuid("Order", order.id),
        "legacy_id": order.id,
        "order_number": order.number,
        "partner_order_id": order.reference,
        "shop_name": order.data.get("shop_name").and_then(Value::as_str).unwrap_or("public-api"),
        "fulfillment_status": order.status(),
        "order_date": order.data.get("order_date").cloned().unwrap_or_else(|| json!(time(order.created))),
        "total_tax": given("total_tax"),
        "subtotal": given("subtotal"),
        "total_discounts": given("total_discounts"),
        "total_price": given("total_price"),
        "ready_to_ship": order.allocated.is_some() && order.status() == "pending",
        "account_id": uuid("Account", settings.warehouse_account),
        "updated_at": time(order.updated),
        "created_at": time(order.created),
        "email": given("email"),
        "profile": order.data.get("profile").cloned().unwrap_or_else(|| json!("default")),
        "packing_note": given("packing_note"),
        "gift_note": given("gift_note"),
        "required_ship_date": given("required_ship_date"),
        "currency": given("currency"),
        "priority_flag": given("priority_flag"),
        "tags": order.tags,
        "flagged": false,
        "shipping_lines": given("shipping_lines"),
        "shipping_address": given("shipping_address"),
        "billing_address": given("billing_address"),
        "holds": {
            "fraud_hold": false, "payment_hold": false, "operator_hold": false, "address_hold": false,
            "shipping_method_hold": false, "client_hold": false,
        },
        "allocations": allocations.unwrap_or_else(|| json!([])),
        "line_items": order.lines.iter().map(|it| line(order, it)).collect::<Vec<_>>(),
    })
}

pub(super) fn order(warehouse: &Warehouse, settings: &Settings, index: usize) -> Value {
    let it = &warehouse.orders[index];
    let mut value = head(settings, it);
    let shipments = warehouse.shipments.iter().filter(|shipment| shipment.order == index);
    value["shipments"] = shipments.map(|shipment| bare(it, shipment)).collect();
    value
}

/// A shipment without its order.
fn bare(order: &Order, it: &Shipment) -> Value {
    let address = order.data.get("shipping_address").cloned().unwrap_or(Value::Null);
    let text = |key: &str| address.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let lines: Vec<Value> = it
        .lines
        .iter()
        .filter_map(|(id, quantity)| {
            let own = order.lines.iter().find(|line| line.id == *id)?;
            Some(json!({
                "__typename": "ShipmentLineItem",
                "id": uuid("ShipmentLineItem", id + it.id),
                "legacy_id": id + it.id,
                "line_item_id": uuid("LineItem", *id),
                "shipment_id": uuid("Shipment", it.id),
                "shipping_label_id": uuid("ShippingLabel", it.id),
                "quantity": quantity,
                "line_item": line(order, own),
            }))
        })
        .collect();
    let label = json!({
        "__typename": "ShippingLabel",
        "id": uuid("ShippingLabel", it.id),
        "legacy_id": it.id,
        "shipment_id": uuid("Shipment", it.id),
        "order_id": uuid("Order", order.id),
        "box_name": "Box 1",
        "status": "valid",
        "tracking_number": it.tracking,
        "order_number": order.number,
        "carrier": it.carrier,
        "shipping_name": it.method,
        "shipping_method": it.method,
        "cost": "6.41",
        "profile": "default",
        "warehouse": "Primary",
        "created_date": time(it.created),
        "tracking_url": tracking_url(&it.tracking),
        "package_number": 1,
        "delivered": false,
        "picked_up": false,
        "refunded": false,
        "needs_refund": false,
        "dimensions": { "weight": "12.0", "height": "4", "width": "6", "length": "8" },
    });
    json!({
        "__typename": "Shipment",
        "__sort": sort(it.created, it.id),
        "id": uuid("Shipment", it.id),
        "legacy_id": it.id,
        "order_id": uuid("Order", order.id),
        "warehouse_id": uuid("Warehouse", WAREHOUSE),
        "profile": "default",
        "picked_up": false,
        "needs_refund": false,
        "refunded": false,
        "delivered": false,
        "completed": true,
        "shipped_off_shiphero": false,
        "dropshipment": false,
        "created_date": time(it.created),
        "total_packages": 1,
        "warehouse": { "id": uuid("Warehouse", WAREHOUSE), "legacy_id": WAREHOUSE, "identifier": "Primary", "profile": "Primary" },
        "address": {
            "name": format!("{} {}", text("first_name"), text("last_name")).trim(),
            "address1": text("address1"), "address2": text("address2"), "city": text("city"), "state": text("state"),
            "country": text("country"), "zip": text("zip"), "phone": text("phone"),
        },
        "line_items": lines,
        "shipping_labels": [label],
    })
}

pub(super) fn tracking_url(tracking: &str) -> String {
    format!("https://tools.usps.com/go/TrackConfirmAction?tLabels={tracking}")
}

pub(super) fn shipment(warehouse: &Warehouse, settings: &Settings, it: &Shipment) -> Value {
    let order = &warehouse.orders[it.order];
    let mut value = bare(order, it);
    value["order"] = head(settings, order);
    value
}

pub(super) fn stock(settings: &Settings, sku: &str, it: &Stock) -> Value {
    json!({
        "__typename": "WarehouseProduct",
        "__sort": sort(it.updated, it.id),
        "id": uuid("WarehouseProduct", it.id),
        "legacy_id": it.id,
        "account_id": uuid("Account", settings.warehouse_account),
        "sku": sku,
        "warehouse_id": uuid("Warehouse", WAREHOUSE),
        "warehouse_identifier": "Primary",
        "on_hand": it.on_hand,
        "allocated": it.allocated,
        "available": it.on_hand - it.allocated,
        "backorder": 0,
        "reserve_inventory": 0,
        "non_sellable_quantity": 0,
        "sell_ahead": 0,
        "active": true,
        "created_at": "2020-01-01T00:00:00",
        "updated_at": time(it.updated),
        "warehouse": { "id": uuid("Warehouse", WAREHOUSE), "legacy_id": WAREHOUSE, "identifier": "Primary" },
    })
}

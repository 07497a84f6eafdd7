//! What the warehouse does by itself: allocates, packs, sends, and tells.

use serde_json::{Value, json};

use super::view::{self, time};
use super::{Shipment, WAREHOUSE, uuid};
use crate::sandbox::world::{Event, World};

fn tell(world: &mut World, topic: &str, body: &Value) {
    let id = world.warehouse.dice.uuid();
    let headers = vec![
        ("Content-Type".to_owned(), "application/json".to_owned()),
        ("X-Shiphero-Message-ID".to_owned(), id),
    ];
    world.webhook("shiphero", topic, headers, body.to_string());
}

/// Puts units of the order's open lines aside, as far as there are any.
pub(super) fn reserve(world: &mut World, index: usize) {
    let warehouse = &mut world.warehouse;
    let order = &mut warehouse.orders[index];
    if order.allocated.is_none() || order.cancelled.is_some() {
        return;
    }
    for line in &mut order.lines {
        let Some(stock) = warehouse.stock.get_mut(&line.sku) else { continue };
        let free = (stock.on_hand - stock.allocated).max(0);
        let more = (line.quantity - line.shipped - line.allocated).clamp(0, free);
        line.allocated += more;
        stock.allocated += more;
    }
}

/// Gives the units back that were put aside.
pub(super) fn release(world: &mut World, index: usize) {
    let warehouse = &mut world.warehouse;
    for line in &mut warehouse.orders[index].lines {
        if let Some(stock) = warehouse.stock.get_mut(&line.sku) {
            stock.allocated -= line.allocated;
        }
        line.allocated = 0;
    }
}

pub(crate) fn allocate(world: &mut World, index: usize) {
    let now = world.now;
    let order = &mut world.warehouse.orders[index];
    if order.cancelled.is_some() || order.allocated.is_some() {
        return;
    }
    order.allocated = Some(now);
    order.updated = now;
    reserve(world, index);
    let account = world.settings.warehouse_account;
    let order = &world.warehouse.orders[index];
    let body = json!({
        "webhook_type": "Order Allocated",
        "allocation_reference": order.id + 500_000_000,
        "account_id": account,
        "account_uuid": uuid("Account", account),
        "warehouse_id": WAREHOUSE,
        "warehouse_uuid": uuid("Warehouse", WAREHOUSE),
        "allocated_at": time(now),
        "order_number": order.number,
        "order_id": order.id,
        "order_uuid": uuid("Order", order.id),
        "partner_order_id": order.reference,
        "line_items": order.lines.iter().map(|line| json!({
            "id": line.id,
            "item_uuid": uuid("LineItem", line.id),
            "partner_line_item_id": line.partner,
            "quantity": line.allocated,
            "sku": line.sku,
            "is_kit_component": false,
            "created_at": time(line.created),
        })).collect::<Vec<_>>(),
        "ready_to_ship": 1,
    });
    tell(world, "Order Allocated", &body);
}

/// The next parcel leaves: an equal share of what is left of each line, at least one unit of the first.
pub(crate) fn ship(world: &mut World, index: usize) {
    let now = world.now;
    if world.warehouse.orders[index].allocated.is_none() {
        allocate(world, index);
    }
    let order = &mut world.warehouse.orders[index];
    if order.status() != "pending" {
        return;
    }
    let parcels = i64::from(order.parcels_left.max(1));
    let mut lines = Vec::new();
    for line in &mut order.lines {
        let share = if parcels == 1 { line.allocated } else { line.allocated / parcels };
        if share > 0 {
            lines.push((line.id, share));
        }
    }
    if lines.is_empty() {
        // Too few units to share: one line goes alone.
        let first = order.lines.iter().find(|line| line.allocated > 0);
        lines.extend(first.map(|line| (line.id, 1)));
    }
    if lines.is_empty() {
        return;
    }
    let mut skus = Vec::new();
    for (id, quantity) in &lines {
        let Some(line) = order.lines.iter_mut().find(|line| line.id == *id) else { continue };
        line.allocated -= quantity;
        line.shipped += quantity;
        if let Some(stock) = world.warehouse.stock.get_mut(&line.sku) {
            stock.allocated -= quantity;
            stock.on_hand -= quantity;
            stock.updated = now;
        }
        skus.push(line.sku.clone());
    }
    order.parcels_left = order.parcels_left.saturating_sub(1);
    order.updated = now;
    let id = world.warehouse.id();
    let ups = world.warehouse.dice.chance(0.4);
    let tracking = if ups { format!("1Z999AA1{id:010}") } else { format!("9400111899{id:012}") };
    let shipment = Shipment {
        id,
        order: index,
        created: now,
        carrier: if ups { "UPS" } else { "USPS" }.to_owned(),
        method: if ups { "Ground" } else { "GroundAdvantage" }.to_owned(),
        tracking,
        lines,
    };
    let body = shipment_body(world, &shipment);
    world.warehouse.shipments.push(shipment);
    tell(world, "Shipment Update", &body);
    skus.dedup();
    tell_stock(world, &skus);
    if world.warehouse.orders[index].lines.iter().any(|line| line.allocated > 0) {
        let pause = world.settings.timing.next_parcel;
        world.later(pause, Event::Ship(index));
    }
}

fn shipment_body(world: &World, shipment: &Shipment) -> Value {
    let order = &world.warehouse.orders[shipment.order];
    let address = order.data.get("shipping_address").cloned().unwrap_or(Value::Null);
    let text = |key: &str| address.get(key).and_then(Value::as_str).unwrap_or("").to_owned();
    let lines: Vec<Value> = shipment
        .lines
        .iter()
        .filter_map(|(id, quantity)| {
            let line = order.lines.iter().find(|line| line.id == *id)?;
            Some(json!({
                "id": line.partner,
                "shiphero_id": line.id,
                "quantity": quantity,
                "sku": line.sku,
                "serial_numbers": [],
                "customs_description": "",
                "package": "Package #1",
                "lot_id": null,
                "lot_name": null,
                "lot_expiration": null,
            }))
        })
        .collect();
    json!({
        "test": "0",
        "webhook_type": "Shipment Update",
        "fulfillment": {
            "shipment_id": shipment.id,
            "shipment_uuid": uuid("Shipment", shipment.id),
            "warehouse": "Primary",
            "warehouse_id": WAREHOUSE,
            "warehouse_uuid": uuid("Warehouse", WAREHOUSE),
            "webhook_type": "Shipment Update",
            "partner_order_id": order.reference,
            "order_number": order.number,
            "tracking_number": shipment.tracking,
            "line_items": lines,
            "custom_tracking_url": null,
            "shipping_method": shipment.method,
            "shipping_carrier": shipment.carrier,
            "shipping_address": {
                "name": format!("{} {}", text("first_name"), text("last_name")).trim(),
                "address1": text("address1"),
                "address2": text("address2"),
                "address_city": text("city"),
                "address_zip": text("zip"),
                "address_state": text("state"),
                "address_country": text("country"),
            },
            "package": { "length": 8, "width": 6, "height": 4, "weight": 12 },
            "completed": true,
            "created_at": shipment.created.strftime("%Y-%m-%d %H:%M:%S").to_string(),
            "order_uuid": uuid("Order", order.id),
            "order_gift_note": "",
        },
        "total_packages": 1,
        "packages": [{
            "name": "Package #1",
            "line_items": lines,
            "tracking_number": shipment.tracking,
            "shipping_method": shipment.method,
            "shipping_carrier": shipment.carrier,
            "shipping_label": {
                "tracking_number": shipment.tracking,
                "tracking_url": view::tracking_url(&shipment.tracking),
                "carrier": shipment.carrier,
                "shipping_method": shipment.method,
                "cost": "6.41",
            },
        }],
    })
}

/// Tells the levels of these SKUs.
fn tell_stock(world: &mut World, skus: &[String]) {
    let account = world.settings.warehouse_account;
    let rows: Vec<Value> = skus
        .iter()
        .filter_map(|sku| {
            let stock = world.warehouse.stock.get(sku)?;
            let (free, on_hand) = ((stock.on_hand - stock.allocated).to_string(), stock.on_hand.to_string());
            Some(json!({
                "sku": sku,
                "inventory": free,
                "backorder_quantity": "0",
                "on_hand": on_hand,
                "virtual": false,
                "sell_ahead": 0,
                "qty_in_totes": 0,
                "reserve": 0,
                "updated_warehouse": {
                    "warehouse_id": WAREHOUSE,
                    "warehouse_uuid": uuid("Warehouse", WAREHOUSE),
                    "identifier": "Primary",
                    "inventory": free,
                    "backorder_quantity": "0",
                    "on_hand": on_hand,
                    "sell_ahead": 0,
                    "qty_in_totes": 0,
                    "reserve": 0,
                    "non_sellable": 0,
                },
                "non_sellable": 0,
            }))
        })
        .collect();
    let body = json!({
        "account_id": account,
        "account_uuid": uuid("Account", account),
        "webhook_type": "Inventory Update",
        "inventory": rows,
    });
    tell(world, "Inventory Update", &body);
}

pub(super) fn tell_cancelled(world: &mut World, index: usize) {
    let order = &world.warehouse.orders[index];
    let body = json!({
        "order_number": order.number,
        "partner_order_id": order.reference,
        "fulfillment-status": "canceled",
        "order_id": order.id,
        "order_uuid": uuid("Order", order.id),
        "shop_name": order.data.get("shop_name").and_then(Value::as_str).unwrap_or("public-api"),
        "shop_order_number": order.number,
        "webhook_type": "Order Canceled",
    });
    tell(world, "Order Canceled", &body);
}

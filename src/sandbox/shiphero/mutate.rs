//! ShipHero's mutations. An outcome is the index of the order.

use serde_json::{Map, Value};

use super::query::Refusal;
use super::{Line, Order, Selected, number, work};
use crate::sandbox::world::{Event, World};

pub(super) fn run(world: &mut World, field: &Selected) -> Result<usize, Refusal> {
    let data = field.args.get("data").cloned().unwrap_or(Value::Null);
    if field.name == "order_create" {
        return create(world, data);
    }
    let id = data.get("order_id").and_then(Value::as_str).unwrap_or("");
    let index = world.warehouse.find(id).ok_or_else(|| (5, "Order not found".to_owned()))?;
    match field.name.as_str() {
        "order_update" => update(world, index, &data)?,
        "order_cancel" => cancel(world, index, &data)?,
        "order_add_line_items" => {
            open(world, index)?;
            let lines = lines(world, &data, Some(index))?;
            world.warehouse.orders[index].lines.extend(lines);
            work::reserve(world, index);
        }
        "order_update_line_items" => update_lines(world, index, &data)?,
        "order_remove_line_items" => remove_lines(world, index, &data)?,
        "order_add_tags" => {
            let order = &mut world.warehouse.orders[index];
            for tag in
                data.get("tags").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
            {
                if !order.tags.iter().any(|own| own == tag) {
                    order.tags.push(tag.to_owned());
                }
            }
        }
        other => return Err((1, format!("{other} is not simulated"))),
    }
    world.warehouse.orders[index].updated = world.now;
    Ok(index)
}

fn text(data: &Value, key: &str) -> String {
    data.get(key).and_then(Value::as_str).unwrap_or("").trim().to_owned()
}

/// The lines of an input: SKUs that the warehouse knows, line ids that occur once.
fn lines(world: &mut World, data: &Value, order: Option<usize>) -> Result<Vec<Line>, Refusal> {
    let given = data.get("line_items").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut lines: Vec<Line> = Vec::new();
    for item in given.iter().filter(|item| !item.is_null()) {
        let (sku, partner) = (text(item, "sku"), text(item, "partner_line_item_id"));
        if !world.warehouse.stock.contains_key(&sku) {
            return Err((5, format!("Product with sku {sku} not found")));
        }
        let taken = order.is_some_and(|index| {
            world.warehouse.orders[index].lines.iter().any(|line| line.partner == partner)
        });
        if taken || lines.iter().any(|line| line.partner == partner) {
            return Err((3, format!("Duplicate partner_line_item_id {partner}")));
        }
        let quantity = item.get("quantity").and_then(Value::as_i64).unwrap_or(0);
        if quantity < 1 {
            return Err((3, format!("Invalid quantity for sku {sku}")));
        }
        if text(item, "price").parse::<rust_decimal::Decimal>().is_err() {
            return Err((3, format!("Invalid price for sku {sku}")));
        }
        lines.push(Line {
            id: world.warehouse.id(),
            sku,
            partner,
            quantity,
            allocated: 0,
            shipped: 0,
            price: text(item, "price"),
            name: text(item, "product_name"),
            created: world.now,
        });
    }
    if lines.is_empty() {
        return Err((3, "line_items can not be empty".to_owned()));
    }
    Ok(lines)
}

fn complete(address: &Value) -> Result<(), Refusal> {
    let has = |key: &str| !text(address, key).is_empty();
    let name = has("first_name") || has("last_name") || has("company");
    let country = has("country") || has("country_code");
    for (there, what) in
        [(name, "first_name"), (has("address1"), "address1"), (has("city"), "city"), (country, "country")]
    {
        if !there {
            return Err((3, format!("shipping_address: {what} is required")));
        }
    }
    Ok(())
}

fn create(world: &mut World, data: Value) -> Result<usize, Refusal> {
    let number = text(&data, "order_number");
    if number.is_empty() {
        return Err((3, "order_number is required".to_owned()));
    }
    complete(data.get("shipping_address").unwrap_or(&Value::Null))?;
    let lines = lines(world, &data, None)?;
    let reference = Some(text(&data, "partner_order_id"))
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| number.clone());
    let names: Vec<&str> = lines.iter().map(|line| line.partner.as_str()).collect();
    let store_order = world.shop.find_by_names(&number, &reference, &names);
    let parcels = store_order
        .and_then(|index| world.shop.orders.get(index))
        .map_or(1, |order| order.spec.parcels.max(1));
    let tags = data
        .get("tags")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect();
    let id = world.warehouse.id();
    world.warehouse.orders.push(Order {
        id,
        number,
        reference,
        data,
        lines,
        tags,
        cancelled: None,
        created: world.now,
        updated: world.now,
        allocated: None,
        serves: store_order,
        parcels_left: parcels,
    });
    let index = world.warehouse.orders.len() - 1;
    let timing = world.settings.timing.clone();
    world.later(timing.allocate, Event::Allocate(index));
    let after =
        store_order.and_then(|order| world.shop.orders.get(order)).and_then(|order| order.spec.ship_after);
    world.later(after.map_or(timing.ship, std::time::Duration::from_millis), Event::Ship(index));
    Ok(index)
}

/// Nothing changes in an order that is gone or cancelled.
fn open(world: &World, index: usize) -> Result<(), Refusal> {
    match world.warehouse.orders[index].status() {
        "canceled" => Err((3, "Order is already canceled".to_owned())),
        "fulfilled" => Err((3, "Order is already fulfilled".to_owned())),
        _ => Ok(()),
    }
}

fn update(world: &mut World, index: usize, data: &Value) -> Result<(), Refusal> {
    open(world, index)?;
    if let Some(address) = data.get("shipping_address").filter(|address| !address.is_null()) {
        complete(address)?;
    }
    let order = &mut world.warehouse.orders[index];
    let (Some(own), Some(given)) = (order.data.as_object_mut(), data.as_object()) else { return Ok(()) };
    merge(own, given);
    for (key, field) in [("order_number", &mut order.number), ("partner_order_id", &mut order.reference)] {
        if let Some(value) = given.get(key).and_then(Value::as_str) {
            value.clone_into(field);
        }
    }
    Ok(())
}

fn merge(own: &mut Map<String, Value>, given: &Map<String, Value>) {
    for (key, value) in given {
        match (own.get_mut(key), value) {
            (Some(Value::Object(own)), Value::Object(given)) => merge(own, given),
            _ => {
                own.insert(key.clone(), value.clone());
            }
        }
    }
}

fn cancel(world: &mut World, index: usize, data: &Value) -> Result<(), Refusal> {
    let order = &world.warehouse.orders[index];
    let force = data.get("force").and_then(Value::as_bool) == Some(true);
    if order.cancelled.is_some() {
        return Err((3, "Order is already canceled".to_owned()));
    }
    if order.lines.iter().any(|line| line.shipped > 0) && !force {
        return Err((3, "Order can't be canceled because it has already been shipped".to_owned()));
    }
    work::release(world, index);
    world.warehouse.orders[index].cancelled = Some(world.now);
    work::tell_cancelled(world, index);
    Ok(())
}

fn update_lines(world: &mut World, index: usize, data: &Value) -> Result<(), Refusal> {
    open(world, index)?;
    let given = data.get("line_items").and_then(Value::as_array).cloned().unwrap_or_default();
    for item in given.iter().filter(|item| !item.is_null()) {
        let id = number("LineItem", &text(item, "id"));
        let Some(line) = world.warehouse.orders[index].lines.iter().find(|line| Some(line.id) == id) else {
            return Err((5, "Line item not found".to_owned()));
        };
        if let Some(quantity) = item.get("quantity").and_then(Value::as_i64)
            && (quantity < 0 || quantity < line.shipped)
        {
            return Err((3, format!("Quantity can't be less than the shipped quantity ({})", line.shipped)));
        }
    }
    work::release(world, index);
    for item in given.iter().filter(|item| !item.is_null()) {
        let id = number("LineItem", &text(item, "id"));
        let lines = &mut world.warehouse.orders[index].lines;
        if let (Some(line), Some(quantity)) =
            (lines.iter_mut().find(|line| Some(line.id) == id), item.get("quantity").and_then(Value::as_i64))
        {
            line.quantity = quantity;
        }
    }
    work::reserve(world, index);
    Ok(())
}

fn remove_lines(world: &mut World, index: usize, data: &Value) -> Result<(), Refusal> {
    open(world, index)?;
    let ids: Vec<u64> = data
        .get("line_item_ids")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|id| number("LineItem", id.as_str()?))
        .collect();
    for id in &ids {
        match world.warehouse.orders[index].lines.iter().find(|line| line.id == *id) {
            None => return Err((5, "Line item not found".to_owned())),
            Some(line) if line.shipped > 0 => {
                return Err((3, "Line item has already been shipped".to_owned()));
            }
            Some(_) => {}
        }
    }
    work::release(world, index);
    world.warehouse.orders[index].lines.retain(|line| !ids.contains(&line.id));
    work::reserve(world, index);
    Ok(())
}

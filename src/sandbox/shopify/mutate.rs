//! Shopify's mutations.

use serde_json::{Value, json};

use super::query::{self, Refusal};
use super::{Selected, number, payload, view};
use crate::sandbox::world::World;

type Outcome = Result<Value, Refusal>;

/// Runs a mutation; `None` for what is none.
pub(super) fn run(world: &mut World, field: &Selected) -> Option<Outcome> {
    Some(match field.name.as_str() {
        "fulfillmentCreate" => Ok(fulfil(world, field)),
        "fulfillmentTrackingInfoUpdate" => Ok(track(world, field)),
        "orderCancel" => Ok(cancel(world, field)),
        "orderUpdate" => Ok(update(world, field)),
        "tagsAdd" | "tagsRemove" => tags(world, field),
        "inventorySetQuantities" => set_levels(world, field),
        _ => return None,
    })
}

fn wrong(name: &str, path: &[&str], message: &str) -> Value {
    json!({ name: null, "userErrors": [{ "field": path, "message": message }] })
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Company, numbers and links of a `FulfillmentTrackingInput`.
fn tracking(info: &Value) -> (Option<String>, Vec<String>, Vec<String>) {
    let one = |key: &str| info.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut numbers = texts(info.get("numbers"));
    let mut urls = texts(info.get("urls"));
    if numbers.is_empty() {
        numbers.extend(one("number"));
    }
    if urls.is_empty() {
        urls.extend(one("url"));
    }
    (one("company"), numbers, urls)
}

fn fulfil(world: &mut World, field: &Selected) -> Value {
    let name = "fulfillment";
    let input = field.args.get("fulfillment").cloned().unwrap_or(Value::Null);
    let groups =
        input.get("lineItemsByFulfillmentOrder").and_then(Value::as_array).cloned().unwrap_or_default();
    if groups.is_empty() {
        return wrong(name, &["fulfillment"], "Line items by fulfillment order can't be blank");
    }
    let mut order = None;
    let mut lines: Vec<(u64, i64)> = Vec::new();
    for group in &groups {
        let id = group
            .get("fulfillmentOrderId")
            .and_then(Value::as_str)
            .and_then(|id| number(id, "FulfillmentOrder"));
        let Some(index) = world.shop.orders.iter().position(|order| Some(order.fulfilment_order()) == id)
        else {
            return wrong(name, &["fulfillment"], "Fulfillment order does not exist.");
        };
        if order.is_some_and(|other| other != index) {
            return wrong(name, &["fulfillment"], "All fulfillment orders must belong to the same order.");
        }
        order = Some(index);
        let store_order = &world.shop.orders[index];
        let status = store_order.open_status();
        if status != "OPEN" && status != "IN_PROGRESS" {
            let message = format!(
                "Fulfillment order {} has an unfulfillable status= {}.",
                id.unwrap_or(0),
                status.to_lowercase()
            );
            return wrong(name, &["fulfillment"], &message);
        }
        let items =
            group.get("fulfillmentOrderLineItems").and_then(Value::as_array).cloned().unwrap_or_default();
        if items.is_empty() {
            lines.extend(store_order.lines.iter().map(|line| (line.id, line.current - line.fulfilled)));
        }
        for item in &items {
            let id =
                item.get("id").and_then(Value::as_str).and_then(|id| number(id, "FulfillmentOrderLineItem"));
            let quantity = item.get("quantity").and_then(Value::as_i64).unwrap_or(0);
            let found =
                store_order.lines.iter().find(|line| Some(view::fulfilment_order_line(line.id)) == id);
            let Some(line) = found else {
                return wrong(name, &["fulfillment"], "Fulfillment order line item does not exist.");
            };
            let before: i64 =
                lines.iter().filter(|(own, _)| *own == line.id).map(|(_, quantity)| quantity).sum();
            if quantity < 1 || before + quantity > line.current - line.fulfilled {
                return wrong(
                    name,
                    &["fulfillment"],
                    "Invalid fulfillment order line item quantity requested.",
                );
            }
            lines.push((line.id, quantity));
        }
    }
    lines.retain(|(_, quantity)| *quantity > 0);
    let Some(index) = order.filter(|_| !lines.is_empty()) else {
        return wrong(name, &["fulfillment"], "There is nothing to fulfill.");
    };
    let id =
        world.record_fulfilment(index, lines, tracking(input.get("trackingInfo").unwrap_or(&Value::Null)));
    shown(world, index, id)
}

fn shown(world: &World, index: usize, id: u64) -> Value {
    let order = &world.shop.orders[index];
    let found = order.fulfilments.iter().find(|it| it.id == id);
    json!({
        "fulfillment": found.map(|it| view::fulfilment(&world.settings, order, it, true)),
        "userErrors": [],
    })
}

fn track(world: &mut World, field: &Selected) -> Value {
    let id = field.text("fulfillmentId").and_then(|id| number(id, "Fulfillment"));
    let place = world.shop.orders.iter().enumerate().find_map(|(index, order)| {
        order.fulfilments.iter().position(|it| Some(it.id) == id).map(|at| (index, at))
    });
    let Some((index, at)) = place else {
        return wrong("fulfillment", &["fulfillmentId"], "Fulfillment does not exist.");
    };
    let (company, numbers, urls) = tracking(field.args.get("trackingInfoInput").unwrap_or(&Value::Null));
    let now = world.now;
    let it = &mut world.shop.orders[index].fulfilments[at];
    let id = it.id;
    (it.company, it.numbers, it.urls, it.updated) = (company, numbers, urls, now);
    world.touch(index);
    payload::tell_fulfilment(world, index, id, "fulfillments/update");
    shown(world, index, id)
}

fn cancel(world: &mut World, field: &Selected) -> Value {
    let refuse = |code: &str, path: &str, message: &str| json!({ "job": null, "orderCancelUserErrors": [{ "field": [path], "message": message, "code": code }], "userErrors": [] });
    let Some(index) = field.text("orderId").and_then(|id| world.shop.by_gid(id)) else {
        return refuse("NOT_FOUND", "orderId", "Order does not exist");
    };
    if world.shop.orders[index].cancelled.is_some() {
        return refuse("INVALID", "orderId", "Order has already been cancelled");
    }
    let reason = match field.text("reason") {
        Some("CUSTOMER") => "customer",
        Some("FRAUD") => "fraud",
        Some("INVENTORY") => "inventory",
        Some("DECLINED") => "declined",
        _ => "other",
    };
    world.cancel_in_store(index, reason);
    let id = world.dice.uuid();
    json!({ "job": { "id": format!("gid://shopify/Job/{id}"), "done": false }, "orderCancelUserErrors": [], "userErrors": [] })
}

fn update(world: &mut World, field: &Selected) -> Value {
    let input = field.args.get("input").cloned().unwrap_or(Value::Null);
    let Some(index) = input.get("id").and_then(Value::as_str).and_then(|id| world.shop.by_gid(id)) else {
        return wrong("order", &["id"], "Order does not exist");
    };
    let order = &mut world.shop.orders[index];
    if let Some(note) = input.get("note") {
        order.note = note.as_str().map(str::to_owned);
    }
    if input.get("tags").is_some() {
        order.tags = texts(input.get("tags"));
    }
    world.touch(index);
    payload::tell_order(world, index, "orders/updated");
    json!({ "order": view::order(&world.settings, &world.shop.orders[index]), "userErrors": [] })
}

fn tags(world: &mut World, field: &Selected) -> Outcome {
    let id = field.text("id").unwrap_or("");
    let Some(index) = world.shop.by_gid(id) else {
        return Err(("RESOURCE_NOT_FOUND", format!("Invalid id: {id}")));
    };
    let given = texts(field.args.get("tags"));
    if given.iter().any(|tag| tag.chars().count() > 40) {
        return Ok(wrong("node", &["tags"], "Tags exceed the maximum length of 40 characters"));
    }
    let order = &mut world.shop.orders[index];
    let before = order.tags.clone();
    if field.name == "tagsAdd" {
        for tag in given {
            if !order.tags.iter().any(|own| own.eq_ignore_ascii_case(&tag)) {
                order.tags.push(tag);
            }
        }
    } else {
        order.tags.retain(|own| !given.contains(own));
    }
    if order.tags != before {
        world.touch(index);
        payload::tell_order(world, index, "orders/updated");
    }
    Ok(json!({ "node": query::node(world, id), "userErrors": [] }))
}

/// Why a level changes.
const REASONS: [&str; 11] = [
    "correction",
    "cycle_count_available",
    "damaged",
    "movement_created",
    "other",
    "promotion",
    "received",
    "reservation_created",
    "restock",
    "safety_stock",
    "shrinkage",
];

fn set_levels(world: &mut World, field: &Selected) -> Outcome {
    let refuse = |code: &str, path: &[&str], message: &str| {
        Ok(
            json!({ "inventoryAdjustmentGroup": null, "userErrors": [{ "field": path, "message": message, "code": code }] }),
        )
    };
    let Some(key) = field.idempotent.clone() else {
        return Err((
            "BAD_REQUEST",
            "The @idempotent directive is required for this mutation but was not provided.".to_owned(),
        ));
    };
    let input = field.args.get("input").cloned().unwrap_or(Value::Null);
    if let Some((known, answer)) = world.shop.keys.get(&key) {
        if *known != input {
            return refuse(
                "IDEMPOTENCY_KEY_PARAMETER_MISMATCH",
                &["input"],
                "The idempotency key was used with other parameters.",
            );
        }
        return Ok(answer.clone());
    }
    let text = |key: &str| input.get(key).and_then(Value::as_str).unwrap_or("");
    if !["available", "on_hand"].contains(&text("name")) {
        return refuse("INVALID_NAME", &["input", "name"], "The specified quantity name is invalid.");
    }
    if !REASONS.contains(&text("reason")) {
        return refuse("INVALID_REASON", &["input", "reason"], "The specified reason is invalid.");
    }
    let found = match levels(world, &input) {
        Ok(found) => found,
        Err((code, message)) => return refuse(code, &["input", "quantities"], message),
    };
    let now = world.now;
    let mut changed = false;
    for (index, quantity) in found {
        let it = &mut world.shop.items[index];
        it.sets += 1;
        if it.available != quantity {
            (it.available, it.updated, changed) = (quantity, now, true);
            payload::tell_level(world, index);
        }
    }
    let id = world.shop.id(90_000_000_000);
    // Setting what is already there changes nothing, and then there is no group.
    let group = changed.then(|| {
        json!({ "__typename": "InventoryAdjustmentGroup", "id": format!("gid://shopify/InventoryAdjustmentGroup/{id}"), "createdAt": view::time(now), "reason": text("reason"), "changes": [] })
    });
    let answer = json!({ "inventoryAdjustmentGroup": group, "userErrors": [] });
    world.shop.keys.insert(key, (input.clone(), answer.clone()));
    Ok(answer)
}

/// The items of an input and their new levels, or a code and why not.
fn levels(world: &World, input: &Value) -> Result<Vec<(usize, i64)>, (&'static str, &'static str)> {
    let rows = input.get("quantities").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut found = Vec::new();
    for row in &rows {
        let item =
            row.get("inventoryItemId").and_then(Value::as_str).and_then(|id| number(id, "InventoryItem"));
        let Some(index) = world.shop.items.iter().position(|it| Some(it.id) == item) else {
            return Err(("INVALID_INVENTORY_ITEM", "The specified inventory item could not be found."));
        };
        let location = row.get("locationId").and_then(Value::as_str).and_then(|id| number(id, "Location"));
        if location != Some(world.settings.location) {
            return Err(("INVALID_LOCATION", "The specified location could not be found."));
        }
        if row.get("changeFromQuantity").is_none() {
            return Err((
                "COMPARE_QUANTITY_REQUIRED",
                "The changeFromQuantity argument must be given to each quantity; null means that it is not compared.",
            ));
        }
        let expected = row.get("changeFromQuantity").and_then(Value::as_i64);
        if expected.is_some_and(|expected| expected != world.shop.items[index].available) {
            return Err((
                "CHANGE_FROM_QUANTITY_STALE",
                "The changeFromQuantity argument no longer matches the persisted quantity.",
            ));
        }
        let quantity = row.get("quantity").and_then(Value::as_i64).unwrap_or(0);
        if quantity > 1_000_000_000 {
            return Err(("INVALID_QUANTITY_TOO_HIGH", "The quantity can't be higher than 1,000,000,000."));
        }
        if quantity < -1_000_000_000 {
            return Err(("INVALID_QUANTITY_TOO_LOW", "The quantity can't be lower than -1,000,000,000."));
        }
        found.push((index, quantity));
    }
    Ok(found)
}

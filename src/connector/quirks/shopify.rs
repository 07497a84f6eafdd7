//! Shopify fulfils fulfilment orders, not orders: the units of one shipment may stand in several of them (one a location
//! or delivery method), each with its own line ids and its own units still to send. Which of them to name, and with how
//! many units, is an allocation over what was read just before; a path cannot say it.
//!
//! Reads `needs.open` (items with `id`, `status`, `supportedActions[].action` if asked for,
//! `assignedLocation.location.id`, `lineItems.nodes[].{id, remainingQuantity, sku, lineItem.id}`) and `shipment.lines`
//! (`line`, `sku`, `quantity`). Writes `fulfilment_orders`: a list of `{ id, lines: [{ id, quantity }] }`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A line of an open fulfilment order.
struct Open<'n> {
    order: &'n str,
    location: &'n str,
    id: &'n str,
    line: &'n str,
    sku: Option<&'n str>,
    left: u64,
}

/// Units of the shipment.
struct Wanted<'s> {
    line: Option<&'s str>,
    sku: Option<&'s str>,
    quantity: u64,
}

/// Units of a shipment, spread over the lines of open fulfilment orders: place in the list of open lines to units.
type Spread = BTreeMap<usize, u64>;

/// See the module.
pub(super) fn split_fulfilment_orders(source: &mut Value, needs: &Map<String, Value>) -> Result<(), String> {
    let open = needs.get("open").and_then(Value::as_array).map(|items| open_lines(items)).unwrap_or_default();
    let wanted = wanted_lines(source);
    if wanted.is_empty() {
        return Err("the shipment names no lines, so nothing can be fulfilled".to_owned());
    }
    if open.is_empty() {
        return Err(
            "the order has no open fulfilment order: it was fulfilled, cancelled or put on hold there"
                .to_owned(),
        );
    }
    // One fulfilment may only name fulfilment orders of one location.
    let mut locations: Vec<&str> = open.iter().map(|line| line.location).collect();
    locations.sort_unstable();
    locations.dedup();
    let spread = locations.iter().map(|location| spread(&open, &wanted, Some(location))).find_map(Result::ok);
    let Some(spread) = spread else {
        spread_or_why(&open, &wanted)?;
        return Err(
            "the units of this shipment stand in fulfilment orders of several locations, and Shopify takes \
                        one location in a fulfilment: move them to one location there, then retry"
                .to_owned(),
        );
    };
    let mut orders: Vec<(&str, Vec<Value>)> = Vec::new();
    for (at, quantity) in &spread {
        let line = &open[*at];
        let row = json!({ "id": line.id, "quantity": quantity });
        match orders.iter_mut().find(|(id, _)| *id == line.order) {
            Some((_, rows)) => rows.push(row),
            None => orders.push((line.order, vec![row])),
        }
    }
    let orders = orders.into_iter().map(|(id, lines)| json!({ "id": id, "lines": lines })).collect();
    if let Value::Object(fields) = source {
        fields.insert("fulfilment_orders".to_owned(), Value::Array(orders));
    }
    Ok(())
}

fn spread_or_why(open: &[Open<'_>], wanted: &[Wanted<'_>]) -> Result<(), String> {
    spread(open, wanted, None).map(|_| ())
}

/// Takes the wanted units from open lines in their order; only those at `location`, if one is given.
fn spread(open: &[Open<'_>], wanted: &[Wanted<'_>], location: Option<&str>) -> Result<Spread, String> {
    let mut taken = Spread::new();
    for part in wanted {
        let mut missing = part.quantity;
        for (at, line) in open.iter().enumerate() {
            let here = location.is_none_or(|location| location == line.location);
            let same = match (part.line, part.sku) {
                (Some(wanted), _) => tail(wanted) == tail(line.line),
                (None, Some(sku)) => line.sku == Some(sku),
                (None, None) => false,
            };
            if here && same && missing > 0 {
                let used = taken.get(&at).copied().unwrap_or(0);
                let now = missing.min(line.left.saturating_sub(used));
                if now > 0 {
                    taken.insert(at, used + now);
                    missing -= now;
                }
            }
        }
        if missing > 0 {
            let name = part.sku.or(part.line).unwrap_or("?");
            return Err(format!(
                "{missing} of {} units of `{name}` have no open fulfilment order",
                part.quantity
            ));
        }
    }
    Ok(taken)
}

fn wanted_lines(source: &Value) -> Vec<Wanted<'_>> {
    let lines = source.pointer("/shipment/lines").and_then(Value::as_array);
    lines
        .into_iter()
        .flatten()
        .map(|line| Wanted {
            line: line.get("line").and_then(Value::as_str),
            sku: line.get("sku").and_then(Value::as_str),
            quantity: units(line.get("quantity")),
        })
        .filter(|wanted| wanted.quantity > 0)
        .collect()
}

fn open_lines(items: &[Value]) -> Vec<Open<'_>> {
    let text =
        |value: &'_ Value, place: &str| value.pointer(place).and_then(Value::as_str).map(str::to_owned);
    let takes = |item: &Value| match item.get("supportedActions").and_then(Value::as_array) {
        Some(actions) => {
            actions.iter().any(|action| text(action, "/action").as_deref() == Some("CREATE_FULFILLMENT"))
        }
        None => matches!(text(item, "/status").as_deref(), Some("OPEN" | "IN_PROGRESS")),
    };
    let mut found = Vec::new();
    for item in items.iter().filter(|item| takes(item)) {
        let order = item.get("id").and_then(Value::as_str).unwrap_or_default();
        let location =
            item.pointer("/assignedLocation/location/id").and_then(Value::as_str).unwrap_or_default();
        let lines = item.pointer("/lineItems/nodes").and_then(Value::as_array);
        for line in lines.into_iter().flatten() {
            found.push(Open {
                order,
                location,
                id: line.get("id").and_then(Value::as_str).unwrap_or_default(),
                line: line.pointer("/lineItem/id").and_then(Value::as_str).unwrap_or_default(),
                sku: line.get("sku").and_then(Value::as_str),
                left: units(line.get("remainingQuantity")),
            });
        }
    }
    found
}

fn units(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

/// `123` of `gid://shopify/LineItem/123` and of `123`.
fn tail(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(id: &str, location: &str, lines: &[(&str, &str, u64)]) -> Value {
        let nodes: Vec<Value> = lines
            .iter()
            .map(|(id, line, left)| {
                json!({ "id": id, "remainingQuantity": left, "sku": format!("S{line}"),
                        "lineItem": { "id": format!("gid://shopify/LineItem/{line}") } })
            })
            .collect();
        json!({ "id": id, "status": "OPEN", "lineItems": { "nodes": nodes },
                "assignedLocation": { "location": { "id": location } } })
    }

    fn split(open: &[Value], lines: &Value) -> Result<Value, String> {
        let mut source = json!({ "shipment": { "lines": lines } });
        let needs = Map::from_iter([("open".to_owned(), Value::from(open))]);
        split_fulfilment_orders(&mut source, &needs)?;
        Ok(source["fulfilment_orders"].clone())
    }

    #[test]
    fn takes_units_from_several_fulfilment_orders_of_one_location() {
        let open = [order("F1", "L1", &[("a", "1", 1), ("b", "2", 5)]), order("F2", "L1", &[("c", "1", 2)])];
        let found = split(&open, &json!([{ "line": "1", "quantity": 2 }, { "sku": "S2", "quantity": 1 }]));
        let expected = json!([
            { "id": "F1", "lines": [{ "id": "a", "quantity": 1 }, { "id": "b", "quantity": 1 }] },
            { "id": "F2", "lines": [{ "id": "c", "quantity": 1 }] },
        ]);
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn the_same_line_twice_is_not_taken_twice() {
        let open = [order("F1", "L1", &[("a", "1", 2)])];
        let lines = json!([{ "line": "1", "quantity": 1 }, { "line": "1", "quantity": 2 }]);
        assert_eq!(split(&open, &lines), Err("1 of 2 units of `1` have no open fulfilment order".to_owned()));
    }

    #[test]
    fn prefers_the_location_that_has_all() {
        let open = [order("F1", "L1", &[("a", "1", 1)]), order("F2", "L2", &[("b", "1", 3)])];
        let found = split(&open, &json!([{ "line": "1", "quantity": 3 }]));
        assert_eq!(found, Ok(json!([{ "id": "F2", "lines": [{ "id": "b", "quantity": 3 }] }])));
        let both = split(&open, &json!([{ "line": "1", "quantity": 4 }]));
        assert!(both.is_err_and(|text| text.contains("several locations")));
    }

    #[test]
    fn closed_orders_take_nothing() {
        let mut closed = order("F1", "L1", &[("a", "1", 1)]);
        closed["status"] = json!("CLOSED");
        assert!(split(&[closed], &json!([{ "line": "1", "quantity": 1 }])).is_err());
        assert!(split(&[], &json!([])).is_err());
    }
}

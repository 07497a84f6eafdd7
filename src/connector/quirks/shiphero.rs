//! ShipHero changes the lines of an order by its own line ids, with one call for lines that it has and another for those
//! that it has not; what we know are the storefront's lines. Which of them to change, and from which quantity to which,
//! is a comparison with what was read just before; a path cannot say it.
//!
//! Reads `needs.current` (one order with `line_items.edges[].node.{id, partner_line_item_id, quantity,
//! quantity_shipped}`) and `lines` (`ref`, `quantity`: units wanted in all). Writes `changes`: `updates` (`id`,
//! `quantity` in all, `pending`), `adds` (our lines as they are), `has_updates`, `has_adds`. A line that is no longer
//! wanted keeps what was shipped of it.

use serde_json::{Map, Value, json};

/// A line as ShipHero has it.
struct Has<'n> {
    id: &'n str,
    line: &'n str,
    quantity: u64,
    shipped: u64,
}

/// See the module.
pub(super) fn change(source: &mut Value, needs: &Map<String, Value>) -> Result<(), String> {
    let current = needs.get("current").and_then(Value::as_array).and_then(|items| items.first());
    let current = current.ok_or("ShipHero does not know the order that is to be changed")?;
    let has = lines_of(current);
    let wanted = source.get("lines").and_then(Value::as_array).cloned().unwrap_or_default();
    let units_of = |line: &str| {
        wanted
            .iter()
            .filter(|row| text(row, "ref") == line)
            .map(|row| units(row.get("quantity")))
            .sum::<u64>()
    };
    let mut updates = Vec::new();
    for line in &has {
        let quantity = units_of(line.line).max(line.shipped);
        if quantity != line.quantity {
            updates.push(json!({ "id": line.id, "quantity": quantity, "pending": quantity - line.shipped }));
        }
    }
    let new = |row: &&Value| has.iter().all(|line| line.line != text(row, "ref"));
    let adds: Vec<Value> =
        wanted.iter().filter(new).filter(|row| units(row.get("quantity")) > 0).cloned().collect();
    let changes = json!({
        "has_updates": !updates.is_empty(),
        "has_adds": !adds.is_empty(),
        "updates": updates,
        "adds": adds,
    });
    if let Value::Object(fields) = source {
        fields.insert("changes".to_owned(), changes);
    }
    Ok(())
}

fn lines_of(order: &Value) -> Vec<Has<'_>> {
    let edges = order.pointer("/line_items/edges").and_then(Value::as_array);
    edges
        .into_iter()
        .flatten()
        .filter_map(|edge| edge.get("node"))
        .map(|node| Has {
            id: text(node, "id"),
            line: text(node, "partner_line_item_id"),
            quantity: units(node.get("quantity")),
            shipped: units(node.get("quantity_shipped")),
        })
        .collect()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn units(value: Option<&Value>) -> u64 {
    match value {
        Some(Value::Number(number)) => number.as_u64().unwrap_or(0),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(id: &str, line: &str, quantity: u64, shipped: u64) -> Value {
        json!({ "node": { "id": id, "partner_line_item_id": line, "quantity": quantity, "quantity_shipped": shipped } })
    }

    fn changes(has: &[Value], lines: &Value) -> Result<Value, String> {
        let mut source = json!({ "lines": lines });
        let order = json!({ "id": "O1", "line_items": { "edges": has } });
        let needs = Map::from_iter([("current".to_owned(), json!([order]))]);
        change(&mut source, &needs)?;
        Ok(source["changes"].clone())
    }

    #[test]
    fn tells_what_differs() {
        let has = [node("L1", "a", 2, 0), node("L2", "b", 3, 1), node("L3", "c", 1, 0)];
        let found = changes(
            &has,
            &json!([{ "ref": "a", "quantity": 2 }, { "ref": "b", "quantity": 4 }, { "ref": "d", "quantity": 1 }]),
        );
        let expected = json!({
            "has_updates": true,
            "has_adds": true,
            "updates": [{ "id": "L2", "quantity": 4, "pending": 3 }, { "id": "L3", "quantity": 0, "pending": 0 }],
            "adds": [{ "ref": "d", "quantity": 1 }],
        });
        assert_eq!(found, Ok(expected));
    }

    #[test]
    fn keeps_what_was_shipped_of_a_line_that_is_not_wanted_any_more() {
        let found = changes(&[node("L1", "a", 3, 2)], &json!([])).unwrap();
        assert_eq!(found["updates"], json!([{ "id": "L1", "quantity": 2, "pending": 0 }]));
        assert_eq!(found["has_adds"], json!(false));
    }

    #[test]
    fn says_when_there_is_no_such_order() {
        assert!(change(&mut json!({ "lines": [] }), &Map::new()).is_err());
    }
}

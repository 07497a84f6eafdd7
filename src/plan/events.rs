//! What others may hear: changes of phase and facts of note, without personal data.

use serde_json::{Map, Value, json};

use super::OrderCase;
use crate::canonical::fact::Header;
use crate::canonical::{Body, Fact, Order};

/// Events of an order that has become `order`.
pub(super) fn events(case: &OrderCase<'_>, order: &Order) -> Vec<(String, Value)> {
    let mut new: Vec<&Fact> = case.new.iter().collect();
    new.sort_by_key(|fact| (fact.header.at.map(|at| at.instant()), fact.id));
    let known = case.before.is_some_and(|before| before.axes.sale != "none" && !before.axes.sale.is_empty());
    let mut placed = known;
    let mut events = Vec::new();
    for fact in new {
        let mut name = fact.body.kind().0;
        match fact.body {
            Body::Due(_) | Body::StockAsk(_) | Body::StockAnswer(_) => continue,
            Body::Placed(_) if placed => name = "order.updated",
            Body::Placed(_) => placed = true,
            _ => {}
        }
        events.push((name.to_owned(), said(order, fact)));
    }
    let before = case.before.map(|before| before.phase);
    if before != Some(order.phase) {
        let data = json!({
            "number": order.number,
            "storefront": order.storefront,
            "phase": order.phase,
            "before": before,
            "axes": order.axes,
        });
        events.push(("order.phase".to_owned(), data));
    }
    if case.before.map_or(&[][..], |before| &before.would) != order.would {
        events.push(("flow.would".to_owned(), json!({ "number": order.number, "would": order.would })));
    }
    events
}

/// What a fact says, as far as it is nobody's personal affair: names of things, amounts, units, states.
fn said(order: &Order, fact: &Fact) -> Value {
    let header = Header { our: None, ..fact.header.clone() };
    let mut data = match serde_json::to_value(&header) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    };
    let body = serde_json::to_value(&fact.body).unwrap_or_default();
    for name in
        ["amount", "captured", "refunded", "owed", "total", "status", "lines", "carrier", "service", "hold"]
    {
        if let Some(value) = body.get(name).filter(|value| !value.is_null()) {
            data.insert(name.to_owned(), value.clone());
        }
    }
    data.insert("number".to_owned(), json!(order.number));
    data.insert("account".to_owned(), json!(fact.account));
    data.insert("fact".to_owned(), json!(fact.id));
    Value::Object(data)
}

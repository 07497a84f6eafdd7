//! What others may hear: changes of phase and facts of note, without personal data.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

use super::OrderCase;
use crate::canonical::fact::Header;
use crate::canonical::{Body, Fact, Json, Order};

/// What is told of a fact's body.
const TOLD: &[&str] =
    &["amount", "captured", "refunded", "owed", "total", "status", "lines", "carrier", "service", "hold"];

/// Events of an order that has become `order`.
pub(super) fn events(case: &OrderCase<'_>, order: &Order) -> Vec<(String, Json)> {
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
        events.push(("order.phase".to_owned(), data.into()));
    }
    if case.before.map_or(&[][..], |before| &before.would) != order.would {
        let data = json!({ "number": order.number, "would": order.would });
        events.push(("flow.would".to_owned(), data.into()));
    }
    events
}

/// What a fact says, as far as it is nobody's personal affair: names of things, amounts, units, states.
fn said(order: &Order, fact: &Fact) -> Json {
    let header = Json::of(&Header { our: None, ..fact.header.clone() });
    let body = Json::of(&fact.body);
    let ours = [("number", raw(&order.number)), ("account", raw(&fact.account)), ("fact", raw(&fact.id))];
    let mut data: BTreeMap<&str, &RawValue> = header.fields();
    data.extend(
        body.fields().into_iter().filter(|(name, value)| TOLD.contains(name) && value.get() != "null"),
    );
    data.extend(ours.iter().filter_map(|(name, value)| Some((*name, value.as_deref()?))));
    Json::of(&data)
}

fn raw(value: &impl Serialize) -> Option<Box<RawValue>> {
    to_raw_value(value).ok()
}

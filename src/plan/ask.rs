//! Questions to the stock: what an order wants of each SKU, and what it was answered.

use std::collections::BTreeMap;

use super::{OrderCase, document, sku};
use crate::canonical::fact::{Departure, Header, StockAsk};
use crate::canonical::{AccountId, Body, EntityId, Order, When};

/// Where a question stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// All units are reserved.
    Reserved,
    /// Some are short.
    Short,
    /// Not answered yet.
    Unanswered,
}

/// Where the question stands by the answers in the order. An older answer that reserved enough is still good.
pub(super) fn standing(order: &Order, ask: &StockAsk) -> Standing {
    let answer =
        order.stock.iter().find(|answer| answer.sku == ask.sku && answer.warehouse.as_str() == ask.warehouse);
    match answer {
        Some(answer) if answer.reserved >= ask.quantity => Standing::Reserved,
        Some(answer) if answer.generation >= ask.generation => Standing::Short,
        _ => Standing::Unanswered,
    }
}

/// Units that the newest answer reserves.
pub(super) fn reserved(order: &Order, ask: &StockAsk) -> u64 {
    let mut answers = order.stock.iter();
    let own = answers.find(|answer| answer.sku == ask.sku && answer.warehouse.as_str() == ask.warehouse);
    own.map_or(0, |answer| answer.reserved)
}

/// What the order asks of each warehouse that may have it, with the generations to use. A SKU that it asked for before and needs no more is given back with
/// quantity 0; so is all when the flow does not ask (any more).
/// `needs`: what it needs of each. `age`: of the facts, by [`crate::apply::quantity_age`]: the same in whatever order they came, and growing with each that matters.
pub(super) fn asks(
    case: &OrderCase<'_>,
    order: &Order,
    warehouses: &[AccountId],
    needs: &dyn Fn(&AccountId) -> Vec<(String, u64)>,
    asking: bool,
    age: u64,
) -> Vec<StockAsk> {
    let before: &[StockAsk] = case.before.map_or(&[], |before| &before.asks);
    let mut wanted: BTreeMap<(String, String), (u64, Vec<Departure>)> =
        before.iter().map(|ask| ((ask.warehouse.clone(), ask.sku.clone()), (0, Vec::new()))).collect();
    for warehouse in warehouses.iter().filter(|_| asking) {
        let left = departures(case, order, warehouse);
        for (ours, units) in needs(warehouse) {
            let gone = left.get(&ours).cloned().unwrap_or_default();
            let key = (warehouse.0.clone(), ours);
            if units > 0 || !gone.is_empty() || wanted.contains_key(&key) {
                wanted.insert(key, (units, gone));
            }
        }
    }
    wanted
        .into_iter()
        .map(|((warehouse, sku), (quantity, left))| {
            let last = before.iter().find(|ask| ask.warehouse == warehouse && ask.sku == sku);
            let same = last.is_some_and(|ask| ask.quantity == quantity && ask.left == left);
            let generation = match last {
                Some(last) if same => last.generation.max(age),
                Some(last) => age.max(last.generation + 1),
                None => age,
            };
            StockAsk { by: order.id.0.clone(), warehouse, sku, quantity, generation, left }
        })
        .collect()
}

/// Our units that left `warehouse`, by SKU.
fn departures(
    case: &OrderCase<'_>,
    order: &Order,
    warehouse: &AccountId,
) -> BTreeMap<String, Vec<Departure>> {
    let mut left: BTreeMap<String, Vec<Departure>> = BTreeMap::new();
    for shipment in order.shipments.iter().filter(|one| one.account == *warehouse && !one.voided) {
        for part in &shipment.lines {
            let line = order.lines.iter().find(|line| Some(&line.r#ref) == part.line.as_ref());
            let Some(Ok(goods)) = line.map(|line| sku::goods(case.flow, &order.storefront, warehouse, line))
            else {
                continue;
            };
            left.entry(goods.ours).or_default().push(Departure {
                quantity: part.quantity.saturating_mul(goods.each),
                at: shipment.at.or(order.placed_at).unwrap_or_default(),
                location: shipment.location.clone(),
            });
        }
    }
    left
}

/// The questions to remember in the state. What was given back may be forgotten, since the facts that make the order ask
/// again also make its questions newer; if the facts are the same and the flow changed its mind, it is remembered.
pub(super) fn remembered(asks: &[StockAsk], age: u64) -> Vec<StockAsk> {
    let matters = |ask: &&StockAsk| ask.quantity > 0 || !ask.left.is_empty() || ask.generation > age;
    asks.iter().filter(matters).cloned().collect()
}

/// The questions that differ from those asked before, as mail.
pub(super) fn mails(case: &OrderCase<'_>, order: &Order, asks: &[StockAsk]) -> Vec<(EntityId, Header, Body)> {
    let before: &[StockAsk] = case.before.map_or(&[], |before| &before.asks);
    let first = case
        .facts
        .iter()
        .filter(|fact| matches!(fact.body, Body::Placed(_)))
        .map(|fact| fact.heard)
        .min()
        .unwrap_or(case.now);
    asks.iter()
        .filter(|ask| !before.contains(ask))
        .map(|ask| {
            let to = document::stock_id(order, &AccountId(ask.warehouse.clone()), &ask.sku);
            let header = Header { at: Some(When::utc(first)), ..Header::default() };
            (to, header, Body::StockAsk(ask.clone()))
        })
        .collect()
}

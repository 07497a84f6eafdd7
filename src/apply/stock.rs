//! The stock of one SKU at one warehouse: a join of levels and of what orders ask.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::ledger::{Age, Ledger};
use crate::canonical::fact::{Departure, Level, StockAsk};
use crate::canonical::order::StockState;
use crate::canonical::stock::PlaceLevel;
use crate::canonical::{AccountId, Body, ClientId, EntityId, Fact, Stock, When};
use crate::config::model::Config;

/// What makes a stock entity: whose, where, which.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StockKey {
    /// The merchant.
    pub client: ClientId,
    /// The warehouse account.
    pub warehouse: AccountId,
    /// The SKU, our name.
    pub sku: String,
}

impl StockKey {
    /// The entity.
    #[must_use]
    pub fn id(&self) -> EntityId {
        EntityId::stock(&self.client, &self.warehouse, &self.sku)
    }
}

/// Which stock of `client` the fact is about: an `inventory.level` of a warehouse, or a question of an order.
#[must_use]
pub fn stock_key(account: &AccountId, body: &Body, client: &ClientId, config: &Config) -> Option<StockKey> {
    let (warehouse, sku) = match body {
        Body::StockAsk(ask) => (AccountId(ask.warehouse.clone()), ask.sku.clone()),
        Body::Level(level) => {
            // A storefront may name its inventory item alone.
            let theirs =
                level.sku.clone().or_else(|| level.item.as_ref().map(|item| format!("item:{item}")))?;
            let ours = config.flow_of(client).and_then(|flow| {
                flow.skus.rows.get(&(account.clone(), theirs.clone())).map(|(ours, _)| ours.clone())
            });
            (account.clone(), ours.unwrap_or(theirs))
        }
        _ => return None,
    };
    Some(StockKey { client: client.clone(), warehouse, sku })
}

/// How many of our units one of the account's units of the SKU is that an `inventory.level` tells of.
#[must_use]
pub fn stock_each(account: &AccountId, body: &Body, client: &ClientId, config: &Config) -> u64 {
    let Body::Level(level) = body else { return 1 };
    let row = level.sku.as_ref().and_then(|sku| {
        config.flow_of(client)?.skus.rows.get(&(account.clone(), sku.clone())).map(|(_, each)| *each)
    });
    row.unwrap_or(1)
}

/// `state` with `fact` in it, whose units are `each` of ours. A join: neither order nor duplicates of facts matter.
///
/// Of each place the newest level counts; of each order the newest question. What was settled long before the newest
/// level is forgotten, so that the state does not grow with every order ever sold.
#[must_use]
pub fn apply_stock(state: Option<Stock>, key: &StockKey, each: u64, fact: &Fact) -> Stock {
    let mut stock =
        state.unwrap_or_else(|| Stock::empty(key.client.clone(), key.warehouse.clone(), key.sku.clone()));
    match &fact.body {
        Body::Level(level) => hear(&mut stock, level, each, fact),
        Body::StockAsk(ask) => ask_for(&mut stock, ask, fact),
        _ => {}
    }
    forget(&mut stock);
    stock
}

/// A level: units on hand; where only what is available is told, that, which promises less.
fn hear(stock: &mut Stock, level: &Level, each: u64, fact: &Fact) {
    let Some(units) = level.on_hand.or(level.available) else { return };
    let units = units.saturating_mul(i64::try_from(each).unwrap_or(i64::MAX));
    let as_of = fact.header.at.unwrap_or(When::utc(fact.heard));
    let place = level.location.clone().unwrap_or_default();
    let new = PlaceLevel { units, as_of };
    match stock.places.get_mut(&place) {
        // Two levels of one moment: the smaller, which promises less.
        Some(known) if (known.as_of, -known.units) < (new.as_of, -new.units) => *known = new,
        Some(_) => {}
        None => {
            stock.places.insert(place, new);
        }
    }
}

fn ask_for(stock: &mut Stock, ask: &StockAsk, fact: &Fact) {
    let known = stock.orders.entry(EntityId(ask.by.clone())).or_default();
    let asked = fact.header.at.or(Some(When::utc(fact.heard)));
    known.asked = if known.asked.is_none() { asked } else { known.asked.min(asked) };
    let rank = |generation: u64, quantity: u64, left: &[Departure]| {
        (generation, quantity, serde_json::to_string(left).unwrap_or_default())
    };
    let mut left = ask.left.clone();
    left.sort_by(|one, two| {
        (one.at, &one.location, one.quantity).cmp(&(two.at, &two.location, two.quantity))
    });
    if rank(known.generation, known.wanted, &known.left) < rank(ask.generation, ask.quantity, &left) {
        known.generation = ask.generation;
        known.wanted = ask.quantity;
        known.left = left;
    }
}

/// How long before the newest level an order must have been settled to be forgotten.
const REMEMBER: SignedDuration = SignedDuration::from_hours(30 * 24);

fn forget(stock: &mut Stock) {
    let Some(oldest) = stock.places.values().map(|place| place.as_of.instant()).min() else { return };
    let Ok(horizon) = oldest.checked_sub(REMEMBER) else { return };
    stock.orders.retain(|_, known| {
        let last = known.left.iter().map(|left| left.at).chain(known.asked).max();
        known.open() > 0 || last.is_none_or(|last| last.instant() >= horizon)
    });
}

/// How often the facts changed what an order wants of the stock, counted over their set: the same in whatever order they
/// came, and growing with each fact that matters.
#[must_use]
pub fn quantity_age(facts: &[Fact], storefront: &AccountId) -> u64 {
    let ledger = Ledger::new(facts);
    let mut snapshots: Vec<(Age, Vec<_>)> = ledger
        .pick(|body| if let Body::Placed(placed) = body { Some(placed) } else { None })
        .filter(|(fact, _)| fact.account == *storefront)
        .map(|(fact, placed)| {
            let lines = placed.lines.iter();
            let lines = lines
                .map(|line| (&line.r#ref, &line.sku, line.quantity, line.current, line.ships, &line.parent));
            (Age::of(fact), lines.collect())
        })
        .collect();
    snapshots.sort_by(|one, two| one.0.cmp(&two.0));
    let lines: Vec<_> = snapshots.into_iter().map(|(_, lines)| lines).collect();
    let differ = |pair: &&[Vec<_>]| pair[0] != pair[1];
    let mut changes = lines.windows(2).filter(differ).count() + usize::from(!lines.is_empty());
    // Edits and refunds count until a snapshot holds them, so then every snapshot matters.
    if ledger.all().any(|fact| matches!(fact.body, Body::Edited(_) | Body::RefundAsked(_))) {
        changes += lines.len();
    }
    let others = ledger
        .all()
        .filter(|fact| match &fact.body {
            Body::Edited(_) | Body::Shipped(_) | Body::ShipmentVoided(_) | Body::Recorded(_) => true,
            Body::Cancelled(_) => fact.account == *storefront,
            Body::RefundAsked(refund) => !refund.lines.is_empty(),
            Body::Decision(decision) => decision.what == "cancel",
            _ => false,
        })
        .count();
    u64::try_from(changes + others).unwrap_or(u64::MAX)
}

/// What stock answered last to an order, for each SKU and warehouse: to the newest question, the newest answer.
pub(super) fn answers(ledger: &Ledger<'_>) -> Vec<StockState> {
    let mut newest = BTreeMap::new();
    for (fact, told) in ledger.pick(|body| if let Body::StockAnswer(told) = body { Some(told) } else { None })
    {
        let key = (told.warehouse.clone(), told.sku.clone());
        let age = (told.generation, told.turn, fact.id);
        if newest.get(&key).is_none_or(|(known, _)| *known < age) {
            newest.insert(key, (age, told));
        }
    }
    newest
        .into_values()
        .map(|(_, told)| StockState {
            sku: told.sku.clone(),
            warehouse: AccountId(told.warehouse.clone()),
            reserved: told.reserved,
            short: told.short,
            generation: told.generation,
        })
        .collect()
}

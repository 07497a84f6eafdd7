//! The stock of one SKU at one warehouse: a join of levels and of what orders ask.

use std::collections::BTreeMap;

use super::ledger::Ledger;
use crate::canonical::order::StockState;
use crate::canonical::{AccountId, Body, ClientId, EntityId, Fact, Stock};
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
            let theirs = level.sku.clone()?;
            let flow = config.flow_of(client)?;
            let ours = flow.skus.rows.get(&(account.clone(), theirs.clone())).map(|(ours, _)| ours.clone());
            (account.clone(), ours.unwrap_or(theirs))
        }
        _ => return None,
    };
    Some(StockKey { client: client.clone(), warehouse, sku })
}

/// `state` with `fact` in it. A join: neither order nor duplicates of facts matter.
#[must_use]
pub fn apply_stock(state: Option<Stock>, key: &StockKey, fact: &Fact) -> Stock {
    let _ = fact;
    state.unwrap_or_else(|| Stock::empty(key.client.clone(), key.warehouse.clone(), key.sku.clone()))
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

//! What a warehouse could send of what no warehouse has yet, and which of them could send it together.

use std::collections::BTreeMap;

use super::ask::{self, Standing};
use super::sku;
use super::split::Units;
use crate::canonical::fact::StockAsk;
use crate::canonical::{AccountId, Order};
use crate::config::model::Flow;

/// Whether `warehouse` keeps the goods, as far as the flow says.
pub(super) fn carried(flow: &Flow, warehouse: &AccountId, ours: &str) -> bool {
    flow.split.as_ref().is_none_or(|rule| rule.carried(warehouse, ours))
}

/// How many warehouses are looked at in all.
pub(super) const CHOICES: usize = 8;

/// A warehouse that may send some of the rest.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) warehouse: AccountId,
    /// By line: what it calls the goods. Lines that it cannot send are missing.
    pub(super) goods: BTreeMap<usize, sku::Goods>,
    /// By our SKU: units for the rest; `None` until the stock has answered.
    stock: BTreeMap<String, Option<u64>>,
}

impl Choice {
    /// What `warehouse` may send of `rest`, by the answers to `asks`; without any, everything counts as in stock.
    pub(super) fn of(
        flow: &Flow,
        rest: &Units,
        order: &Order,
        warehouse: &AccountId,
        asks: &[StockAsk],
    ) -> Self {
        let (mut goods, mut stock) = (BTreeMap::new(), BTreeMap::new());
        let mut more: BTreeMap<String, u64> = BTreeMap::new();
        for (index, wanted) in rest {
            let line = order.lines.get(*index);
            let named = line.map(|line| sku::goods(flow, &order.storefront, warehouse, line));
            let Some(Ok(found)) = named else { continue };
            if carried(flow, warehouse, &found.ours) {
                let units: &mut u64 = more.entry(found.ours.clone()).or_default();
                *units = units.saturating_add(wanted.saturating_mul(found.each));
                goods.insert(*index, found);
            }
        }
        for (ours, more) in more {
            let mut own = asks.iter().filter(|ask| ask.warehouse == warehouse.as_str() && ask.sku == ours);
            let free = own.next().map_or(Some(u64::MAX), |ask| match ask::standing(order, ask) {
                Standing::Reserved => Some(more),
                Standing::Unanswered => None,
                Standing::Short => {
                    let reserved = ask::reserved(order, ask);
                    Some(reserved.saturating_sub(ask.quantity.saturating_sub(more)))
                }
            });
            stock.insert(ours, free);
        }
        Self { warehouse: warehouse.clone(), goods, stock }
    }

    /// Whether it has a name and whole packs for all of these.
    pub(super) fn able(&self, units: &Units) -> bool {
        let whole = |(line, units): (&usize, &u64)| {
            self.goods.get(line).is_some_and(|goods| goods.units(*units).is_some())
        };
        units.iter().all(whole)
    }

    /// Whether it is known to have less than these.
    pub(super) fn short(&self, units: &Units) -> bool {
        let mut needed: BTreeMap<&str, u64> = BTreeMap::new();
        for (line, units) in units {
            if let Some(goods) = self.goods.get(line) {
                let known = needed.entry(&goods.ours).or_default();
                *known = known.saturating_add(units.saturating_mul(goods.each));
            }
        }
        needed
            .iter()
            .any(|(ours, units)| self.stock.get(*ours).copied().flatten().is_some_and(|free| free < *units))
    }

    /// Words for the answers that are still out.
    pub(super) fn unanswered(&self) -> Vec<String> {
        let open = self.stock.iter().filter(|(_, free)| free.is_none());
        open.map(|(ours, _)| format!("stock?:{ours}")).collect()
    }

    /// Units for the rest, by our SKU.
    pub(super) fn free(&self) -> BTreeMap<&str, u64> {
        self.stock.iter().map(|(ours, free)| (ours.as_str(), free.unwrap_or(0))).collect()
    }

    /// How many of `units` of the line it can send, in whole packs.
    pub(super) fn can_take(&self, line: usize, units: u64, free: &BTreeMap<&str, u64>) -> u64 {
        let Some(goods) = self.goods.get(&line) else { return 0 };
        let each = goods.each.max(1);
        let mut units = units.min(free.get(goods.ours.as_str()).copied().unwrap_or(0) / each);
        while units > 0 && goods.units(units).is_none() {
            units -= 1;
        }
        units
    }

    /// Puts so many of the line on its part.
    pub(super) fn take(&self, line: usize, units: u64, free: &mut BTreeMap<&str, u64>, part: &mut Units) {
        let Some(goods) = self.goods.get(&line).filter(|_| units > 0) else { return };
        if let Some(free) = free.get_mut(goods.ours.as_str()) {
            *free = free.saturating_sub(units.saturating_mul(goods.each));
        }
        *part.entry(line).or_default() += units;
    }
}

/// Sets of several choices, those with the fewest that were told of nothing before, then the smallest, then the first
/// choices; at most `room` of them `new`.
pub(super) fn sets(choices: &[Choice], new: impl Fn(&Choice) -> bool, room: usize) -> Vec<Vec<&Choice>> {
    let mut all: Vec<(usize, Vec<usize>)> = (1_u32..1 << choices.len())
        .map(|mask| {
            let own: Vec<usize> = (0..choices.len()).filter(|at| mask & (1 << at) != 0).collect();
            (own.iter().filter(|at| new(&choices[**at])).count(), own)
        })
        .filter(|(new, own)| *new <= room && own.len() > 1)
        .collect();
    all.sort_by(|one, two| (one.0, one.1.len(), &one.1).cmp(&(two.0, two.1.len(), &two.1)));
    all.into_iter().map(|(_, own)| own.into_iter().map(|at| &choices[at]).collect()).collect()
}

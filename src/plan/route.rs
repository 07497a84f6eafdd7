//! Which warehouse an order goes to: those that its route names, first choice first, and of them the first that can take
//! all of it. How several share an order is said in `split`.

use super::ask;
use super::document::lines;
use super::hold::{all_fit, document};
use super::release::is_told;
use crate::canonical::fact::StockAsk;
use crate::canonical::{AccountId, Intent, Order};
use crate::config::model::Flow;

/// The warehouses that may have the order, first choice first: the one that was told of it; else those of the first
/// route that fits, or all of the flow.
pub(super) fn candidates(order: &Order, flow: &Flow, intents: &[Intent]) -> Vec<AccountId> {
    if let Some(told) = order.releases.iter().find(|release| is_told(release, intents)) {
        return vec![told.warehouse.clone()];
    }
    routed(order, flow).clone()
}

/// The warehouses of the first route that fits, or all of the flow, first choice first.
pub(super) fn routed<'f>(order: &Order, flow: &'f Flow) -> &'f Vec<AccountId> {
    let route = || {
        let document = document(order);
        flow.routes.iter().find(|route| all_fit(&document, &route.when)).map(|route| &route.warehouses)
    };
    let found = if flow.routes.is_empty() { None } else { route() };
    found.unwrap_or(&flow.warehouses)
}

/// The first of the candidates that can take all of the order: it has a name and whole packs for each line, and by the
/// answers to `asks` the stock. One whose answer is still out is waited for before a later choice; where none can take
/// all, the first that knows the goods is waited for.
pub(super) fn choose<'c>(
    order: &Order,
    flow: &Flow,
    candidates: &'c [AccountId],
    asks: &[StockAsk],
) -> Option<&'c AccountId> {
    let able: Vec<&AccountId> =
        candidates.iter().filter(|warehouse| lines(order, flow, warehouse).is_ok()).collect();
    let short = |warehouse: &AccountId| {
        asks.iter()
            .filter(|ask| ask.quantity > 0 && ask.warehouse == warehouse.as_str())
            .any(|ask| ask::standing(order, ask) == ask::Standing::Short)
    };
    let stocked = able.iter().find(|warehouse| !short(warehouse));
    stocked.or(able.first()).copied().or_else(|| candidates.first())
}

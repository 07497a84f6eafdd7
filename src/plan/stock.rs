//! What stock answers to orders and tells storefronts.

use super::{Plan, StockCase};
use crate::canonical::Stock;

/// Plans for stock. Planning again over [`Plan::state`] and its intents plans nothing more.
#[must_use]
pub fn plan_stock(case: &StockCase<'_>) -> Plan<Stock> {
    Plan::nothing(case.stock.clone())
}

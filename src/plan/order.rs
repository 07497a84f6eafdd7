//! What an order needs its partners to do.

use super::{OrderCase, Plan};
use crate::canonical::Order;

/// Plans for an order. Planning again over [`Plan::state`] and its intents plans nothing more.
#[must_use]
pub fn plan_order(case: &OrderCase<'_>) -> Plan<Order> {
    Plan::nothing(case.order.clone())
}

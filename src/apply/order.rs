//! An order as all its systems together tell it.

use crate::canonical::{AccountId, ClientId, EntityId, Fact, Intent, Order};

/// The order `id` of `client`, sold by `storefront`, as its facts tell it and its intents have carried it.
///
/// Neither the order of `facts` and `intents` nor duplicates among them matter. Works without `order.placed` too: the
/// sale axis is then `none`.
#[must_use]
pub fn project_order(
    id: &EntityId,
    client: &ClientId,
    storefront: &AccountId,
    facts: &[Fact],
    intents: &[Intent],
) -> Order {
    let _ = (facts, intents);
    Order::empty(id.clone(), client.clone(), storefront.clone())
}

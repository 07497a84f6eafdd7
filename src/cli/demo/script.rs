//! What happens in the demo: which orders are placed, and what people do with them afterwards.

use std::time::Duration;

use crate::sandbox::{AddressSpec, Expect, LineSpec, OrderSpec, Payment, World};

/// What a person does with an order after it was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// The buyer cancels after this time.
    Cancel(Duration),
    /// The merchant gives back so many minor units, once the order was sent.
    Refund(i64),
    /// The buyer pays after this time.
    Pay(Duration),
}

/// One order of the demo.
#[derive(Debug, Clone)]
pub struct Scene {
    /// What it shows, for the table.
    pub title: &'static str,
    /// The order.
    pub order: OrderSpec,
    /// What follows.
    pub then: Then,
}

fn line(sku: &str, quantity: u64) -> LineSpec {
    LineSpec { sku: sku.to_owned(), quantity }
}

/// The scene of the `index`-th order: ten kinds, over and over.
#[must_use]
pub fn scene(index: usize) -> Scene {
    let plain = OrderSpec { lines: vec![line("TEA-01", 1)], ..OrderSpec::default() };
    let scene = |title, order, then| Scene { title, order, then };
    match index % 10 {
        1 => {
            let lines = vec![line("TEA-01", 2), line("POT-01", 1), line("CUP-04", 1)];
            scene("several lines", OrderSpec { lines, ..plain }, Then::Nothing)
        }
        2 => {
            let lines = vec![line("TEA-02", 3), line("CUP-04", 2), line("0012345", 1)];
            scene("partial shipments", OrderSpec { lines, parcels: 2, ..plain }, Then::Nothing)
        }
        3 => {
            // However late the store's word comes (a lost webhook, a node that is down), the warehouse has not packed yet.
            let order = OrderSpec { expect: Expect::CancelledInTime, ship_after: Some(600_000), ..plain };
            scene("cancelled in time", order, Then::Cancel(Duration::from_secs(2)))
        }
        4 => {
            let order = OrderSpec { expect: Expect::CancelledLate, ship_after: Some(500), ..plain };
            scene("cancelled too late", order, Then::Cancel(Duration::from_secs(8)))
        }
        5 => scene("refund", plain, Then::Refund(500)),
        6 => {
            let order = OrderSpec { lines: vec![line("GHOST-01", 1)], expect: Expect::Refused, ..plain };
            scene("unknown SKU", order, Then::Nothing)
        }
        7 => {
            let order = OrderSpec { address: AddressSpec::NoStreet, expect: Expect::Refused, ..plain };
            scene("bad address", order, Then::Nothing)
        }
        8 => {
            let order = OrderSpec { payment: Payment::Pending, ..plain };
            scene("paid later", order, Then::Pay(Duration::from_secs(3)))
        }
        _ => scene("one line", plain, Then::Nothing),
    }
}

/// Lets the person of `then` act on order `id`, if it is time: `age` after it was placed. True when nothing is left to do.
pub fn act(world: &mut World, id: u64, then: &Then, age: Duration) -> bool {
    let sent = || {
        let ledger = world.ledger();
        let order = ledger.orders.iter().find(|order| order.id == id);
        order.is_some_and(|order| order.warehouse.iter().any(|entry| !entry.shipments.is_empty()))
    };
    match then {
        Then::Nothing => true,
        // Too late is too late: only once it has left.
        Then::Cancel(after) if age >= *after => {
            let late = scene_is_late(world, id);
            (!late || sent()) && world.cancel_order(id).is_ok()
        }
        Then::Pay(after) if age >= *after => world.pay_order(id).is_ok(),
        Then::Refund(amount) if sent() => world.refund_order(id, *amount, &[]).is_ok(),
        _ => false,
    }
}

fn scene_is_late(world: &World, id: u64) -> bool {
    world.ledger().orders.iter().any(|order| order.id == id && order.expect == Expect::CancelledLate)
}

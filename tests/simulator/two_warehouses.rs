//! Two warehouses of different connectors share orders, over the partners' real wire forms, with crashes, cut answers and
//! lost webhooks: each is told its part once, each parcel is in the store once, and the money is taken once.

use std::collections::BTreeMap;
use std::time::Duration;

use crossdock::sandbox::{Expect, Fault, LineSpec, OrderSpec};

use crate::clock::Dice;
use crate::depot::Entry;
use crate::histories::{ready, unsettled};
use crate::stage::{Crash, Stage};
use crate::town;

type Units = BTreeMap<String, i64>;

fn units(entry: &Entry) -> Units {
    let lines = entry.lines.as_array().unwrap().iter();
    lines.map(|line| (line["sku"].as_str().unwrap().to_owned(), line["quantity"].as_i64().unwrap())).collect()
}

/// What is not as it should be.
fn wrong(stage: &Stage) -> Vec<String> {
    let mut wrong = unsettled(&ready(stage.store().counts()));
    let ledger = stage.partners.lock().unwrap().ledger();
    let depot = stage.depot.lock().unwrap();
    for order in &ledger.orders {
        let name = &order.name;
        let own: Vec<&Entry> = depot.orders.iter().filter(|entry| entry.number == *name).collect();
        let mut say = |text: String| wrong.push(format!("{name}: {text}"));
        if order.warehouse.len() > 1 || own.len() > 1 {
            say(format!("{} and {} times in the warehouses", order.warehouse.len(), own.len()));
        }
        let mut sent: BTreeMap<String, Units> = BTreeMap::new();
        for shipment in order.warehouse.iter().flat_map(|entry| &entry.shipments) {
            sent.insert(shipment.tracking.clone(), shipment.units.clone());
        }
        for entry in &own {
            sent.extend(entry.tracking.iter().map(|tracking| (tracking.clone(), units(entry))));
        }
        let mut all = Units::new();
        for (sku, units) in sent.values().flatten() {
            *all.entry(sku.clone()).or_default() += units;
        }
        let wanted: Units = order.wanted.clone();
        if all != wanted {
            say(format!("wanted {wanted:?}, sent {all:?}"));
        }
        for (tracking, units) in &sent {
            let told: Vec<Units> = order
                .fulfilments
                .iter()
                .filter(|entry| entry.tracking.contains(tracking))
                .map(|entry| entry.units.clone())
                .collect();
            if told != [units.clone()] {
                say(format!("parcel {tracking} has {units:?}, the store says {told:?}"));
            }
        }
        if order.fulfilments.len() != sent.len() {
            say(format!("{} parcels, {} in the store", sent.len(), order.fulfilments.len()));
        }
        let captures = order.gateway.as_ref().map(|it| it.captures.clone()).unwrap_or_default();
        if captures != [order.total] {
            say(format!("{captures:?} was captured of {}", order.total));
        }
    }
    wrong
}

fn live(seed: u64) {
    let mut dice = Dice::new(seed ^ 0x2_0a5e);
    let mut settings = town::settings();
    for fault in [Fault::CutBefore, Fault::CutAfter, Fault::ServerError, Fault::WebhookTwice] {
        settings.faults.insert(fault, 0.05);
    }
    let crashes = (0..dice.below(3))
        .map(|_| Crash { at: i64::try_from(dice.below(300)).unwrap(), power: dice.below(2) == 0 })
        .collect();
    let mut stage = Stage::new(town::two_warehouses(), town::partners(seed, settings), seed, crashes, 20);
    stage.run(Duration::from_millis(50), &mut |_| false);
    let line = |sku: &str, quantity| LineSpec { sku: sku.to_owned(), quantity };
    for lines in [
        vec![line("TEA-01", 2), line("POT-01", 1), line("CUP-04", 3)],
        vec![line("CUP-04", 1)],
        vec![line("TEA-01", 1)],
    ] {
        let spec = OrderSpec { lines, expect: Expect::Safe, ..OrderSpec::default() };
        let now = crossdock::ports::Clock::now(stage.clock.as_ref());
        let mut partners = stage.partners.lock().unwrap();
        partners.advance(now);
        partners.place_order(spec);
    }
    stage.run(Duration::from_mins(2), &mut |_| false);
    let done = stage.rest(Duration::from_hours(4), wrong);
    assert!(done, "history {seed} ends wrong:\n  {}", wrong(&stage).join("\n  "));
    let ledger = stage.partners.lock().unwrap().ledger();
    let parts: Vec<(usize, usize)> = ledger
        .orders
        .iter()
        .map(|order| {
            let depot = stage.depot.lock().unwrap();
            (order.warehouse.len(), depot.orders.iter().filter(|entry| entry.number == order.name).count())
        })
        .collect();
    assert_eq!(parts, [(1, 1), (0, 1), (1, 0)], "who was told of what");
}

#[test]
fn two_warehouses_share_orders_and_each_part_is_sent_once() {
    for seed in 0..8 {
        live(seed);
    }
}

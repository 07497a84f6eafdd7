//! A warehouse that works by a calendar and sends too late: told at the close of its day, over crashes and lost hints, and
//! over when the goods leave.

use std::time::Duration;

use crossdock::ports::{Clock as _, ExceptionQuery};
use crossdock::sandbox::{LineSpec, OrderSpec};
use jiff::Timestamp;

use crate::clock::Dice;
use crate::histories::ready;
use crate::stage::{Crash, Stage};
use crate::town;

/// The causes of open exceptions, and when they were raised.
fn open(stage: &Stage) -> Vec<(String, Timestamp)> {
    let query = ExceptionQuery { limit: Some(100), ..ExceptionQuery::default() };
    let found = ready(stage.store().exceptions(&query));
    found.into_iter().map(|one| (one.cause, one.raised)).collect()
}

fn live(seed: u64) {
    let mut dice = Dice::new(seed ^ 0x1a7e);
    // Time begins at noon, UTC: the day's orders should leave by ten past.
    let calendar = "[account.east.calendar]\ncut_off = \"12:05\"\nclose = \"12:10\"\ndays = [\"sun\"]\n";
    let mut settings = town::settings();
    settings.timing.ship = Duration::from_mins(20);
    let crashes = (0..3)
        .map(|_| Crash { at: i64::try_from(dice.below(300)).unwrap(), power: dice.below(2) == 0 })
        .collect();
    let generation = town::with(&settings, calendar);
    let mut stage = Stage::new(generation, town::partners(seed, settings), seed, crashes, 20);
    stage.run(Duration::from_millis(50), &mut |_| false);
    let lines = vec![LineSpec { sku: "TEA-01".to_owned(), quantity: 1 }];
    {
        let now = stage.clock.now();
        let mut partners = stage.partners.lock().unwrap();
        partners.advance(now);
        partners.place_order(OrderSpec { lines, ..OrderSpec::default() });
    }
    let close: Timestamp = "2026-03-01T12:10:00Z".parse().unwrap();
    let late = stage.run(Duration::from_mins(15), &mut |stage| {
        assert!(stage.clock.now() >= close || open(stage).is_empty(), "history {seed}: {:?}", open(stage));
        !open(stage).is_empty()
    });
    let found = open(&stage);
    assert!(late && found.len() == 1 && found[0].0 == "late_shipment:east", "history {seed}: {found:?}");
    assert!(found[0].1 >= close, "history {seed}: {found:?}");
    let left = stage.run(Duration::from_hours(2), &mut |stage| open(stage).is_empty());
    assert!(left, "history {seed}: {:?}", open(&stage));
    let ledger = stage.partners.lock().unwrap().ledger();
    let shipments = ledger.orders[0].warehouse.iter().map(|entry| entry.shipments.len());
    assert_eq!(shipments.sum::<usize>(), 1, "history {seed}: it went by itself when the goods had left");
}

#[test]
fn what_leaves_too_late_is_told_once_it_is_late_and_until_it_has_left() {
    for seed in 0..6 {
        live(seed);
    }
}

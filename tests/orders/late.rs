//! When goods should leave a warehouse that has a calendar, and what is told of those that have not.

use crossdock::canonical::IntentState::Done;
use crossdock::canonical::order::Release;
use serde_json::json;

use crate::bench::{Bench, FLOW, at, authorised, placed, shipped};
use crate::split;

/// The bench's day is Monday, 2 February 2026, and begins at 08:00 UTC, which is 09:00 in Berlin.
const DAY: i64 = 24 * 3600;
const CALENDAR: &str = r#"
[account.east.calendar]
zone     = "Europe/Berlin"
cut_off  = "10:00"
close    = "17:00"
holidays = ["2026-02-03"]
"#;

fn release<'b>(bench: &'b Bench, warehouse: &str) -> &'b Release {
    bench.order().releases.iter().find(|one| one.warehouse.as_str() == warehouse).unwrap()
}

/// Orders 3 of A at `second` of the bench's day.
fn released(flow: &str, second: i64) -> Bench {
    let mut bench = Bench::with(flow, &[]);
    bench.now = second;
    bench.tell("shop", placed(0, &[("l1", "A", 3)])).tell("pay", authorised("30.00 USD"));
    bench
}

fn timers(bench: &Bench) -> Vec<(String, String)> {
    let timers = bench.last.as_ref().unwrap().timers.iter();
    timers.map(|timer| (timer.kind.clone(), timer.due.to_string())).collect()
}

/// A timer of the warehouse comes due at the bench's time.
fn due(bench: &mut Bench, warehouse: &str, second: i64) {
    bench.now = second;
    bench.ours(json!({ "is": "timer.due", "timer": format!("ship_by/{warehouse}"), "generation": second }));
}

#[test]
fn what_has_not_left_by_the_close_is_late_until_it_leaves() {
    let flow = format!("{CALENDAR}{FLOW}");
    let mut bench = released(&flow, 600);
    assert_eq!(release(&bench, "east").ship_by.unwrap().to_string(), "2026-02-02T17:00:00+01:00");
    assert_eq!(timers(&bench), [("ship_by/east".to_owned(), "2026-02-02T16:00:00Z".to_owned())]);
    bench.send("release/east", Done);
    assert!(timers(&bench).is_empty(), "the time is set already");
    bench.tell("east", json!({ "is": "fulfilment.accepted", "warehouse_order": "w1", "at": at(700) }));

    due(&mut bench, "east", 8 * 3600 - 2);
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
    due(&mut bench, "east", 8 * 3600);
    assert_eq!(bench.kinds(), ["late_shipment"]);
    let late = bench.last.as_ref().unwrap().exceptions[0].clone();
    assert_eq!(late.cause, "late_shipment:east");
    assert_eq!(late.message, "should have left east by 2026-02-02 17:00 +01:00");
    assert_eq!(late.account.unwrap().as_str(), "east");
    // Some of it is not all of it.
    bench.tell("east", shipped("s1", 8 * 3600 + 60, Some("1Z1"), &[("A", 2)]));
    assert_eq!(bench.kinds(), ["late_shipment"]);
    bench.tell("east", shipped("s2", 8 * 3600 + 90, Some("1Z2"), &[("A", 1)]));
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

#[test]
fn after_the_cut_off_it_counts_for_the_next_working_day() {
    let flow = format!("{CALENDAR}{FLOW}");
    // 10:30 in Berlin; Tuesday is a holiday.
    let mut bench = released(&flow, 5400);
    assert_eq!(release(&bench, "east").ship_by.unwrap().to_string(), "2026-02-04T17:00:00+01:00");
    due(&mut bench, "east", 2 * DAY);
    assert!(bench.kinds().is_empty(), "neither the night nor the holiday makes it late");
    due(&mut bench, "east", 2 * DAY + 8 * 3600);
    assert_eq!(bench.kinds(), ["late_shipment"]);
    // What is no longer wanted is not late.
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(2 * DAY + 9 * 3600) }));
    assert!(!bench.kinds().contains(&"late_shipment".to_owned()), "{:?}", bench.troubles());
}

#[test]
fn without_a_calendar_nothing_is_late() {
    let mut bench = released(FLOW, 600);
    assert_eq!(release(&bench, "east").ship_by, None);
    assert!(timers(&bench).is_empty());
    due(&mut bench, "east", 90 * DAY);
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

#[test]
fn each_of_two_that_share_an_order_is_late_for_its_own_part() {
    let west = CALENDAR.replace("account.east", "account.west").replace("17:00", "19:00");
    let flow = format!("{CALENDAR}{west}{}", split::flow());
    let mut bench = Bench::with(&flow, &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 2), ("l2", "B", 1)])).tell("pay", authorised("30.00 USD"));
    split::answer(&mut bench, &[("east", "A", 9), ("west", "B", 9)]);
    for warehouse in ["east", "west"] {
        bench.send(&format!("release/{warehouse}"), Done);
        let name = format!("of-{warehouse}");
        bench.tell(warehouse, json!({ "is": "fulfilment.accepted", "warehouse_order": name, "at": at(60) }));
        split::answer(&mut bench, &[("east", "A", 9), ("west", "B", 9)]);
    }
    bench.tell("east", shipped("s1", 3600, Some("1ZE"), &[("A", 2)]));
    due(&mut bench, "east", 8 * 3600);
    assert!(bench.kinds().is_empty(), "its part has left: {:?}", bench.troubles());
    due(&mut bench, "west", 10 * 3600);
    assert_eq!(bench.troubles().len(), 1);
    assert_eq!(bench.last.as_ref().unwrap().exceptions[0].cause, "late_shipment:west");
    bench.tell("west", shipped("s2", 10 * 3600 + 60, Some("1ZW"), &[("B", 1)]));
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

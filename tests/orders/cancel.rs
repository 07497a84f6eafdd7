//! Cancelled: in time, too late, by whom.

use crossdock::canonical::IntentState::{Done, InFlight, Pending, Rejected, Unknown, Withdrawn};
use serde_json::json;

use crate::bench::{Bench, at, authorised, placed, shipped};
use crate::{accepted, released};

#[test]
fn cancelled_before_release_nothing_is_told_and_the_promise_is_dropped() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 1)])).tell("pay", authorised("10.00 USD"));
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50), "reason": "customer" }));
    assert_eq!(bench.slots(Withdrawn), ["release/east"]);
    assert_eq!(bench.pending(), ["void/pi_1"]);
    assert_eq!(bench.phase(), "cancelled");
    bench.send("void/pi_1", Done);
    bench.tell(
        "pay",
        json!({ "is": "payment.voided", "payment": "pi_1", "ref": "pi_1", "amount": "10.00 USD" }),
    );
    assert_eq!(bench.order().axes.payment, "voided");
}

#[test]
fn cancelled_after_release_in_time_is_never_captured() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50) }));
    assert_eq!((bench.phase(), bench.pending()), ("cancel_requested", vec!["cancel/east".to_owned()]));
    bench.send("cancel/east", Done);
    assert_eq!((bench.phase(), bench.pending()), ("cancelled", vec!["void/pi_1".to_owned()]));
    let cancel = bench.order().cancel.clone().unwrap();
    assert_eq!(cancel.outcome, "in_time");
    bench.tell("east", json!({ "is": "fulfilment.cancelled", "warehouse_order": "w1" }));
    assert_eq!(bench.phase(), "cancelled");
    assert!(bench.kinds().is_empty());
}

#[test]
fn cancelled_too_late_is_captured_told_to_the_store_and_seen_by_a_person() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50) }));
    bench.tell("east", shipped("s1", 60, Some("1Z"), &[("A", 1)]));
    assert_eq!(bench.phase(), "cancelled_after_shipped");
    assert_eq!(bench.kinds(), ["cancel_too_late"]);
    // No fulfilment: a storefront takes none for an order that it has cancelled.
    assert_eq!(bench.pending(), ["capture/pi_1", "note/cancel_too_late", "tracker/1Z"]);
    assert_eq!(bench.order().lines[0].cancelled, 0, "what left is not taken off");
}

#[test]
fn a_warehouse_that_refuses_to_cancel_is_too_late() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50) }));
    bench.send("cancel/east", Rejected);
    assert_eq!(bench.kinds(), ["cancel_too_late"]);
    assert_eq!(bench.pending(), ["note/cancel_too_late"]);
    assert_eq!(bench.slots(Rejected), ["cancel/east"]);
}

#[test]
fn a_cancel_waits_for_a_release_whose_outcome_is_unknown() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 1)])).tell("pay", authorised("10.00 USD"));
    bench.send("release/east", Unknown);
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50) }));
    assert_eq!((bench.phase(), bench.pending().len()), ("cancel_requested", 0));
    // It was done: the answer tells what the warehouse calls the order, and the cancel follows.
    bench.intents[0].state = Done;
    bench.tell("east", accepted());
    assert_eq!(bench.pending(), ["cancel/east"]);
    assert_eq!(bench.send("cancel/east", Done)["warehouse_order"], "w1");
    assert_eq!(bench.order().cancel.as_ref().unwrap().outcome, "in_time");
}

#[test]
fn a_person_here_cancels_at_the_storefront_too() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.ours(json!({ "is": "person.decided", "what": "cancel", "note": "fraud" }));
    assert_eq!(bench.pending(), ["cancel/east"]);
    bench.send("cancel/east", Done);
    assert_eq!(bench.pending(), ["store_cancel/person", "void/pi_1"]);
    assert_eq!(bench.content("store_cancel/person").unwrap()["reason"], "fraud");
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(90) }));
    assert_eq!(bench.pending(), ["void/pi_1"]);
}

#[test]
fn nothing_is_taken_back_that_a_partner_may_have_heard() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 1)])).tell("pay", authorised("10.00 USD"));
    bench.send("release/east", InFlight);
    bench.tell("shop", json!({ "is": "order.held", "order": "1", "hold": "fraud", "at": at(10) }));
    assert_eq!(bench.slots(InFlight), ["release/east"]);
    assert!(bench.slots(Pending).is_empty());
}

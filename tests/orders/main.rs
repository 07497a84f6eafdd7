//! The rules by which orders go round: one test a rule, on a bench of facts, a flow and partners that obey.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "../support/orders.rs"]
mod bench;
mod cancel;
mod late;
mod money;
mod release;
mod shipments;
mod split;
mod split_any;

use bench::{Bench, at, authorised, placed, shipped};
use crossdock::canonical::IntentState::Done;
use crossdock::canonical::Money;
use crossdock::canonical::order::OrderLine;
use serde_json::{Value, json};

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

/// An order that its warehouse has.
fn released(lines: &[(&str, &str, u64)], amount: &str) -> Bench {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, lines)).tell("pay", authorised(amount));
    bench.send("release/east", Done);
    bench.tell("east", accepted());
    bench
}

/// The warehouse's answer.
fn accepted() -> Value {
    json!({ "is": "fulfilment.accepted", "warehouse_order": "w1", "at": at(2) })
}

#[test]
fn an_order_goes_all_the_way_round() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 2), ("l2", "B", 1)]));
    assert_eq!(bench.phase(), "awaiting_payment");
    assert_eq!(bench.order().waits, ["payment"]);
    assert!(bench.pending().is_empty());

    bench.tell("pay", authorised("30.00 USD"));
    assert_eq!(bench.order().axes.payment, "authorised");
    assert_eq!(bench.pending(), ["release/east"]);
    let told = bench.send("release/east", Done);
    assert_eq!(told["ref"], Bench::id().as_str());
    assert_eq!(told["lines"][0]["sku"], "A");
    assert_eq!(told["lines"][0]["quantity"], 2);
    assert_eq!(told["ship_to"]["city"], "Boston");
    assert_eq!(told["order"]["number"], "#1001");
    assert_eq!(bench.phase(), "released");
    assert!(bench.pending().is_empty(), "nothing is captured before goods leave");

    bench.tell("east", shipped("s1", 100, Some("1Z 999"), &[("A", 2)]));
    assert_eq!(bench.phase(), "partly_shipped");
    assert_eq!(bench.pending(), ["capture/pi_1", "fulfilment/s1", "tracker/1Z999"]);
    let capture = bench.send("capture/pi_1", Done);
    assert_eq!((&capture["amount"], &capture["payment"]), (&json!("30.00 USD"), &json!("pi_1")));
    let fulfilment = bench.send("fulfilment/s1", Done);
    assert_eq!(fulfilment["shipment"]["tracking"], json!(["1Z 999"]));
    assert_eq!(fulfilment["shipment"]["lines"], json!([{ "quantity": 2, "line": "l1", "sku": "A" }]));
    assert_eq!(bench.send("tracker/1Z999", Done)["carrier"], "UPS");

    // Our own doings come back as news and change nothing.
    bench
        .tell(
            "pay",
            json!({ "is": "payment.captured", "payment": "pi_1", "ref": "ch_1", "amount": "30.00 USD" }),
        )
        .tell(
            "shop",
            json!({ "is": "fulfilment.recorded", "order": "1", "ref": "f1", "status": "success",
                    "packages": [{ "tracking": "1Z999" }] }),
        );
    assert_eq!(bench.order().shipments[0].recorded.as_deref(), Some("f1"));
    assert_eq!(bench.order().axes.payment, "paid");
    assert!(bench.pending().is_empty());

    bench.tell("east", shipped("s2", 200, Some("1Z888"), &[("B", 1)])).send_all();
    assert_eq!(bench.phase(), "shipped");
    for (number, when) in [("1Z999", 300), ("1Z888", 400)] {
        bench.tell(
            "parcels",
            json!({ "is": "tracking.event", "tracking": number, "at": at(when), "status": "delivered" }),
        );
    }
    assert_eq!(bench.phase(), "delivered");
    assert_eq!(bench.order().lines.iter().map(|line| line.delivered).collect::<Vec<_>>(), [2, 1]);
    assert!(bench.pending().is_empty() && bench.kinds().is_empty());
    assert_eq!(bench.slots(Done).len(), 6);
}

#[test]
fn edits_count_until_a_snapshot_holds_them() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(10, &[("l1", "A", 2)]));
    bench.tell(
        "shop",
        json!({ "is": "order.edited", "order": "1", "at": at(20), "removed": [{ "line": "l1", "quantity": 1 }],
                "added": [{ "line": "l2", "sku": "B", "quantity": 3 }] }),
    );
    let wanted = |bench: &Bench| bench.order().lines.iter().map(OrderLine::wanted).collect::<Vec<_>>();
    assert_eq!(wanted(&bench), [1, 3]);
    bench.tell("shop", placed(20, &[("l1", "A", 1), ("l2", "B", 3)]));
    assert_eq!(wanted(&bench), [1, 3]);
}

#[test]
fn events_tell_phases_and_facts_without_personal_data() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 1)]));
    let events = bench.last.as_ref().unwrap().events.clone();
    assert_eq!(
        events.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
        ["order.placed", "order.phase"]
    );
    let text = serde_json::to_string(&events).unwrap();
    assert!(!text.contains("Ada") && !text.contains("Boston") && !text.contains("example.com"), "{text}");
    bench.tell("shop", placed(5, &[("l1", "A", 1)]));
    assert_eq!(bench.last.as_ref().unwrap().events[0].0, "order.updated");
}

//! What leaves, arrives and comes back.

use crossdock::canonical::IntentState::Done;
use serde_json::json;

use crate::bench::{Bench, FLOW, at, authorised, placed, shipped};
use crate::released;

#[test]
fn more_shipped_than_ordered_is_said() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("east", shipped("s1", 60, None, &[("A", 1)]));
    bench.tell("east", shipped("s2", 70, None, &[("A", 1)]));
    assert_eq!(bench.order().lines[0].shipped, 2);
    assert!(bench.kinds().contains(&"over_shipped".to_owned()));
}

#[test]
fn a_voided_shipment_has_not_left() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("east", shipped("s1", 60, Some("1Z"), &[("A", 1)]));
    assert_eq!(bench.pending().len(), 3);
    bench.tell(
        "east",
        json!({ "is": "fulfilment.shipment_voided", "shipment": "s1", "warehouse_order": "w1" }),
    );
    assert_eq!((bench.order().lines[0].shipped, bench.pending().len()), (0, 0));
    assert_eq!(bench.phase(), "released");
}

#[test]
fn tracking_that_comes_later_is_told_when_the_storefronts_record_is_known() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("east", shipped("s1", 60, None, &[("A", 1)])).send_all();
    let mut again = shipped("s1", 60, Some("1Z"), &[("A", 1)]);
    again["version"] = json!("2");
    bench.tell("east", again);
    assert_eq!(bench.pending(), ["tracker/1Z"]);
    bench.tell(
        "shop",
        json!({ "is": "fulfilment.recorded", "order": "1", "ref": "f1", "lines": [{ "line": "l1", "quantity": 1 }] }),
    );
    assert_eq!(bench.pending(), ["tracker/1Z", "tracking/s1"]);
    let told = bench.send("tracking/s1", Done);
    assert_eq!(
        (&told["shipment"]["recorded"], &told["shipment"]["tracking"]),
        (&json!("f1"), &json!(["1Z"]))
    );
    assert_eq!(bench.pending(), ["tracker/1Z"]);
}

#[test]
fn a_shipment_that_the_storefront_has_recorded_already_is_not_told_again() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell(
        "shop",
        json!({ "is": "fulfilment.recorded", "order": "1", "ref": "f1", "packages": [{ "tracking": "1z-999" }] }),
    );
    assert_eq!(bench.order().lines[0].shipped, 0, "the warehouse has the order: this is an observation");
    bench.tell("east", shipped("s1", 60, Some("1Z999"), &[("A", 1)]));
    assert_eq!(bench.pending(), ["capture/pi_1", "tracker/1Z999"]);
}

#[test]
fn what_the_storefront_fulfils_by_other_ways_is_not_sent() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 1), ("l2", "B", 1)]));
    bench.tell(
        "shop",
        json!({ "is": "fulfilment.recorded", "order": "1", "ref": "f1", "lines": [{ "line": "l1", "quantity": 1 }] }),
    );
    assert_eq!(bench.phase(), "partly_shipped");
    bench.tell("pay", authorised("20.00 USD"));
    assert!(bench.pending().contains(&"release/east".to_owned()), "{:?}", bench.pending());
    let told = bench.send("release/east", Done);
    assert_eq!(told["lines"].as_array().unwrap().len(), 1, "{told}");
    assert_eq!(told["lines"][0]["ref"], "l2");
    // It stays as it is once the warehouse has the order, and nothing of it is sent later.
    bench
        .tell("east", json!({ "is": "fulfilment.accepted", "warehouse_order": "w1", "at": at(2) }))
        .send_all();
    assert_eq!(bench.phase(), "partly_shipped");
    bench.tell("east", shipped("s1", 60, Some("1Z"), &[("B", 1)])).send_all();
    assert_eq!(bench.phase(), "shipped");
    assert!(bench.slots(Done).iter().all(|slot| !slot.starts_with("change/")), "{:?}", bench.slots(Done));
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

#[test]
fn of_one_line_only_what_has_not_left_by_other_ways_is_sent() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 3)]));
    let by_hand = json!({ "is": "fulfilment.recorded", "order": "1", "ref": "f1", "at": at(1),
                          "lines": [{ "line": "l1", "quantity": 1 }] });
    bench.tell("shop", by_hand).tell("pay", authorised("30.00 USD"));
    assert_eq!(bench.send("release/east", Done)["lines"][0]["quantity"], 2);
    bench
        .tell("east", json!({ "is": "fulfilment.accepted", "warehouse_order": "w1", "at": at(2) }))
        .send_all();
    assert_eq!(bench.order().lines[0].shipped, 1);
    // One more is wanted, and one more is sent.
    bench.tell("shop", placed(30, &[("l1", "A", 4)]));
    assert_eq!(bench.send("change/east", Done)["lines"][0]["quantity"], 3);
    bench.tell("east", shipped("s1", 60, Some("1Z"), &[("A", 3)])).send_all();
    assert_eq!((bench.phase(), bench.order().lines[0].shipped), ("shipped", 4));
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

#[test]
fn a_warehouse_that_would_send_more_than_is_still_wanted_is_told() {
    let mut bench = released(&[("l1", "A", 3)], "30.00 USD");
    bench.tell("east", shipped("s1", 60, Some("1Z"), &[("A", 2)])).send_all();
    // Edited down to just what has left.
    bench.tell("shop", placed(70, &[("l1", "A", 2)]));
    assert_eq!(bench.pending(), ["change/east"]);
    assert_eq!(bench.send("change/east", Done)["lines"][0]["quantity"], 2);
    assert!(bench.pending().is_empty(), "{:?}", bench.pending());
    assert_eq!(bench.phase(), "shipped");
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

#[test]
fn unknown_words_are_for_a_person() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("east", shipped("s1", 60, Some("1Z"), &[("A", 1)]));
    bench.tell(
        "parcels",
        json!({ "is": "tracking.event", "tracking": "1Z", "at": at(70), "status": "delivered" }),
    );
    bench.tell(
        "parcels",
        json!({ "is": "tracking.event", "tracking": "1Z", "at": at(80), "status": "unknown", "said": "beamed up" }),
    );
    assert_eq!(bench.phase(), "delivered");
    assert_eq!(bench.troubles()[0].1, "unknown_word:parcels:tracking:beamed up");
}

#[test]
fn scans_are_sorted_by_instant_and_what_arrived_stays_arrived() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("east", shipped("s1", 60, Some("1Z"), &[("A", 1)]));
    for (when, status) in [(90, "delivered"), (70, "in_transit"), (95, "in_transit")] {
        bench.tell(
            "parcels",
            json!({ "is": "tracking.event", "tracking": "1Z", "at": at(when), "status": status }),
        );
    }
    assert_eq!(bench.phase(), "delivered");
    bench.tell(
        "parcels",
        json!({ "is": "tracking.event", "tracking": "1Z", "at": at(99), "status": "return_to_sender" }),
    );
    assert_eq!((bench.phase(), bench.kinds()), ("in_transit", vec!["delivery_failed".to_owned()]));
}

#[test]
fn what_a_storefront_says_of_a_whole_fulfilment_counts_for_its_only_parcel() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell("east", shipped("s1", 60, Some("1Z"), &[("A", 1)]));
    let record = json!({ "is": "fulfilment.recorded", "order": "1", "shipment": "f1", "packages": [{ "tracking": "1Z" }] });
    bench.tell("shop", record);
    bench.tell(
        "shop",
        json!({ "is": "tracking.event", "order": "1", "shipment": "f1", "at": at(90), "status": "delivered" }),
    );
    assert_eq!(bench.phase(), "delivered");
}

#[test]
fn what_came_back_whole_is_returned() {
    let mut bench = released(&[("l1", "A", 2)], "20.00 USD");
    bench.tell("east", shipped("s1", 60, None, &[("A", 2)]));
    let back = |name: &str, quantity: u64| {
        json!({ "is": "return.updated", "rma": name, "status": "received", "at": at(90),
                "lines": [{ "sku": "A", "quantity": quantity }] })
    };
    bench.tell("east", back("rma1", 1));
    assert_eq!((bench.phase(), bench.order().axes.returns.as_str()), ("shipped", "partly_received"));
    bench.tell("east", back("rma2", 1));
    assert_eq!(bench.phase(), "returned");
}

#[test]
fn a_label_is_bought_for_what_is_packed_without_one_and_given_back_unused() {
    let mut bench = Bench::with(&FLOW.replace("gateway ", "labels = \"parcels\"\ngateway "), &[]);
    let mut told = placed(0, &[("l1", "A", 2)]);
    told["lines"][0]["weight"] = json!("250");
    bench.tell("shop", told).tell("pay", authorised("20.00 USD"));
    bench.send("release/east", Done);
    bench.tell("east", json!({ "is": "fulfilment.packed", "warehouse_order": "w1" }));
    assert_eq!((bench.phase(), bench.pending()), ("packed", vec!["label/east".to_owned()]));
    let bought = bench.send("label/east", Done);
    assert_eq!(bought["weight"], "500");
    bench.tell(
        "parcels",
        json!({ "is": "label.bought", "shipment": "shp_1", "our": bought["key"], "tracking": "9400" }),
    );
    assert!(bench.pending().is_empty());
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50) }));
    bench.send("cancel/east", Done);
    assert_eq!(bench.pending(), ["label_refund/shp_1", "void/pi_1"]);
}

#[test]
fn a_warehouse_that_cancels_by_itself_is_for_a_person() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench
        .tell("east", json!({ "is": "fulfilment.cancelled", "warehouse_order": "w1", "reason": "no stock" }));
    assert_eq!((bench.phase(), bench.kinds()), ("on_hold", vec!["warehouse_cancelled".to_owned()]));
    bench.ours(json!({ "is": "person.decided", "what": "close" }));
    assert!(bench.kinds().is_empty());
}

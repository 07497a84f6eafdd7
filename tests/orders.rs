//! The rules by which orders go round: one test a rule, on a bench of facts, a flow and partners that obey.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/orders.rs"]
mod bench;

use bench::{Bench, FLOW, address, at, authorised, placed, shipped};
use crossdock::canonical::IntentState::{Done, InFlight, Pending, Rejected, Unknown, Withdrawn};
use crossdock::canonical::order::OrderLine;
use crossdock::canonical::{Body, Money};
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
fn orders_on_unpaid_terms_go_before_money_comes() {
    let mut bench = Bench::new();
    let mut told = placed(0, &[("l1", "A", 1)]);
    told["terms"] = json!("unpaid");
    bench.tell("shop", told);
    assert_eq!(bench.order().axes.payment, "due_later");
    assert_eq!(bench.pending(), ["release/east"]);
}

#[test]
fn neither_tests_nor_old_orders_are_released() {
    let mut bench = Bench::new();
    let mut told = placed(0, &[("l1", "A", 1)]);
    told["test"] = json!(true);
    bench.tell("shop", told).tell("pay", authorised("10.00 USD"));
    assert!(bench.pending().is_empty());
    assert_eq!(bench.order().waits, ["test"]);

    let flow = FLOW.replace("live        = true", "live = true\nstart = 2026-02-03T00:00:00Z");
    let mut bench = Bench::with(&flow, &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 1)])).tell("pay", authorised("10.00 USD"));
    bench.tell("east", shipped("s1", 5, Some("1Z"), &[("A", 1)]));
    assert!(bench.pending().is_empty());
    assert_eq!(bench.order().waits, ["start"]);
}

#[test]
fn a_flow_that_is_not_live_shows_what_it_would_do() {
    let mut bench = Bench::with(&FLOW.replace("live        = true", "live = false"), &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 1)])).tell("pay", authorised("10.00 USD"));
    assert!(bench.intents.is_empty());
    assert_eq!(bench.order().would, ["release/east order.create at east"]);
    let events = &bench.last.as_ref().unwrap().events;
    assert!(events.iter().any(|(name, _)| name == "flow.would"), "{events:?}");
}

#[test]
fn a_hold_keeps_the_order_until_a_person_lets_it_go() {
    let flow = format!(
        "{FLOW}[flow.acme.hold.high_value]\nwhen = {{ total = {{ ge = \"20 USD\" }} }}\nsay = \"Maria checks\"\n"
    );
    let mut bench = Bench::with(&flow, &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 2)])).tell("pay", authorised("20.00 USD"));
    assert_eq!(bench.phase(), "on_hold");
    assert_eq!(bench.order().waits, ["hold:high_value"]);
    assert_eq!(bench.order().holds[0].reason.as_deref(), Some("Maria checks"));
    bench.ours(json!({ "is": "person.decided", "what": "release_hold", "target": "high_value" }));
    assert_eq!(bench.pending(), ["release/east"]);
}

#[test]
fn a_partners_hold_takes_a_pending_release_back_and_the_same_release_goes_later() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 1)])).tell("pay", authorised("10.00 USD"));
    assert_eq!(bench.pending(), ["release/east"]);
    let before = bench.intents[0].id;
    bench.tell("shop", json!({ "is": "order.held", "order": "1", "hold": "fraud", "at": at(10) }));
    assert_eq!((bench.pending().len(), bench.slots(Withdrawn).len()), (0, 1));
    assert_eq!(bench.phase(), "on_hold");
    bench.tell(
        "shop",
        json!({ "is": "order.held", "order": "1", "hold": "fraud", "at": at(20), "released": true }),
    );
    assert_eq!(bench.pending(), ["release/east"]);
    assert_eq!(bench.intents[0].id, before, "it was never sent, so it is the same intent");
}

#[test]
fn a_bad_address_waits_for_the_storefront() {
    let mut bench = Bench::new();
    let mut told = placed(0, &[("l1", "A", 1)]);
    told["ship_to"] = json!({ "name": "Ada", "country": "US" });
    bench.tell("shop", told).tell("pay", authorised("10.00 USD"));
    assert_eq!(bench.troubles(), [("bad_address".to_owned(), format!("address:{}", Bench::id()))]);
    assert!(bench.last.as_ref().unwrap().exceptions[0].message.contains("street"));
    assert!(bench.pending().is_empty());
    bench.tell("shop", placed(5, &[("l1", "A", 1)]));
    assert_eq!((bench.pending(), bench.kinds().len()), (vec!["release/east".to_owned()], 0));
}

#[test]
fn an_unknown_sku_waits_for_one_row_for_all_orders() {
    let flow = FLOW.replace("gateway ", "skus = \"lists/acme.csv\"\ngateway ");
    let mut bench =
        Bench::with(&flow, &[("lists/acme.csv", "account,theirs,ours,each\nshop,SIX-A,A,6\neast,E-A,A,1\n")]);
    bench
        .tell("shop", placed(0, &[("l1", "SIX-A", 2), ("l2", "NEW", 1)]))
        .tell("pay", authorised("30.00 USD"));
    assert_eq!(bench.troubles(), [("unknown_sku".to_owned(), "sku:shop:NEW".to_owned())]);
    assert!(bench.pending().is_empty());

    // The row is added: a new generation of the config, nothing fetched again.
    let more = "account,theirs,ours,each\nshop,SIX-A,A,6\neast,E-A,A,1\nshop,NEW,N,1\n";
    bench.config = bench::config(&flow, &[("lists/acme.csv", more)]);
    bench.plan(&[]);
    let told = bench.send("release/east", Done);
    assert_eq!((&told["lines"][0]["sku"], &told["lines"][0]["quantity"]), (&json!("E-A"), &json!(12)));
    assert_eq!((&told["lines"][1]["sku"], &told["lines"][1]["quantity"]), (&json!("N"), &json!(1)));

    // What the warehouse ships counts in its own units: nine of a dozen are one pack of six.
    bench.tell("east", shipped("s1", 50, None, &[("E-A", 9)]));
    assert_eq!(bench.order().lines[0].shipped, 1);
    bench.tell("east", shipped("s2", 60, None, &[("E-A", 3), ("N", 1)]));
    assert_eq!((bench.order().lines[0].shipped, bench.phase()), (2, "shipped"));
    assert!(bench.kinds().is_empty());
}

#[test]
fn a_line_without_a_sku_is_named_by_its_title() {
    let mut bench = Bench::new();
    let mut told = placed(0, &[("l1", "A", 1)]);
    told["lines"][0].as_object_mut().unwrap().remove("sku");
    bench.tell("shop", told).tell("pay", authorised("10.00 USD"));
    assert_eq!(bench.troubles(), [("unknown_sku".to_owned(), "sku_missing:shop:Goods A".to_owned())]);
}

#[test]
fn the_release_waits_for_stock() {
    let flow = FLOW.replace("reserve     = false", "reserve = true");
    let mut bench = Bench::with(&flow, &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 3)])).tell("pay", authorised("30.00 USD"));
    assert_eq!(bench.order().waits, ["stock?:A"]);
    let ask = bench.order().asks[0].clone();
    assert_eq!((ask.sku.as_str(), ask.quantity), ("A", 3));
    let answer = |reserved: u64, turn: u64| {
        json!({ "is": "stock.answer", "sku": "A", "warehouse": "east", "reserved": reserved,
                "short": 3 - reserved, "generation": ask.generation, "turn": turn })
    };
    bench.ours(answer(1, 5));
    assert_eq!((bench.phase(), bench.order().waits.clone()), ("backordered", vec!["stock:A".to_owned()]));
    bench.ours(answer(3, 9));
    assert_eq!(bench.pending(), ["release/east"]);
    // A late older answer changes nothing.
    bench.ours(answer(0, 7));
    assert_eq!(bench.pending(), ["release/east"]);

    // What was asked for is given back when the order is cancelled.
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50) }));
    let mails = &bench.last.as_ref().unwrap().mails;
    assert!(matches!(&mails[0].2, Body::StockAsk(ask) if ask.quantity == 0), "{mails:?}");
    assert_eq!((mails.len(), bench.order().asks.len()), (1, 0));
    assert_eq!(bench.phase(), "cancelled");
}

#[test]
fn time_for_a_change_of_mind_is_kept_by_a_timer() {
    let flow = FLOW.replace("gateway ", "release = { after = \"1h\" }\ngateway ");
    let mut bench = Bench::with(&flow, &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 1)]));
    let timers = bench.last.as_ref().unwrap().timers.clone();
    assert_eq!((timers[0].kind.as_str(), timers[0].due), ("release", at(3600)));
    bench.tell("pay", authorised("10.00 USD"));
    assert!(bench.pending().is_empty());
    bench.now = 3600;
    bench.plan(&[]);
    assert_eq!(bench.pending(), ["release/east"]);
}

#[test]
fn an_edit_after_release_is_told_once_for_each_content() {
    let mut bench = released(&[("l1", "A", 2), ("l2", "B", 1)], "30.00 USD");
    // A snapshot that changes nothing for the warehouse is no change.
    let mut told = placed(10, &[("l1", "A", 2), ("l2", "B", 1)]);
    told["tags"] = json!(["vip"]);
    bench.tell("shop", told);
    assert!(bench.pending().is_empty());

    bench.tell("shop", placed(20, &[("l1", "A", 1), ("l2", "B", 1)]));
    assert_eq!(bench.pending(), ["change/east"]);
    // Edited again before it was sent: still one change, with what is wanted at last.
    let mut edited = placed(30, &[("l1", "A", 1)]);
    edited["lines"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "ref": "l2", "sku": "B", "quantity": 1, "current": 0 }));
    bench.tell("shop", edited);
    let told = bench.send("change/east", Done);
    assert_eq!(told["lines"][0]["quantity"], 1);
    assert_eq!((&told["lines"][1]["ref"], &told["lines"][1]["quantity"]), (&json!("l2"), &json!(0)));
    assert!(bench.pending().is_empty());

    // Back to what was sent at first is a change of its own.
    bench.tell("shop", placed(40, &[("l1", "A", 2), ("l2", "B", 1)]));
    assert_eq!(bench.pending(), ["change/east#1"]);
    // And back again before it was sent is none.
    bench.tell("shop", placed(50, &[("l1", "A", 1)]));
    assert!(bench.pending().is_empty());
}

#[test]
fn a_refused_release_goes_again_when_the_order_was_mended() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 1)])).tell("pay", authorised("10.00 USD"));
    bench.send("release/east", Rejected);
    assert_eq!(bench.phase(), "on_hold");
    assert!(bench.pending().is_empty());
    let mut told = placed(10, &[("l1", "A", 1)]);
    told["ship_to"] = address();
    told["ship_to"]["postal_code"] = json!("02111");
    bench.tell("shop", told);
    assert_eq!(bench.pending(), ["release/east#1"]);
    assert_eq!(bench.slots(Withdrawn), ["release/east"], "so its exception goes");
}

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
fn a_capture_never_exceeds_the_promise_or_the_total() {
    let mut bench = released(&[("l1", "A", 2)], "50.00 USD");
    bench.tell("east", shipped("s1", 60, None, &[("A", 2)]));
    assert_eq!(bench.content("capture/pi_1").unwrap()["amount"], "20.00 USD");

    let flow =
        FLOW.replace("gateway ", "release = { payment = [\"authorised\", \"paid\", \"pending\"] }\ngateway ");
    let mut bench = Bench::with(&flow, &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 2)])).tell("pay", authorised("15.00 USD"));
    bench.send_all();
    bench.tell("east", shipped("s1", 60, None, &[("A", 2)]));
    assert_eq!(bench.content("capture/pi_1").unwrap()["amount"], "15.00 USD");
}

/// A snapshot whose total stays at its peak, as some storefronts keep it, with what it comes to now beside it.
fn edited(version: i64, now: u64, peak: u64) -> Value {
    let mut told = placed(version, &[("l1", "A", peak)]);
    told["lines"][0]["current"] = json!(now);
    told["current_total"] = json!(format!("{}.00 USD", now * 10));
    told
}

#[test]
fn an_order_edited_up_and_back_down_needs_only_what_it_comes_to_now() {
    let mut bench = Bench::new();
    bench.tell("shop", edited(0, 2, 2)).tell("shop", edited(5, 5, 5)).tell("shop", edited(9, 2, 5));
    bench.tell("pay", authorised("20.00 USD"));
    assert_eq!(bench.order().axes.payment, "authorised");
    assert_eq!(bench.order().waits, Vec::<String>::new());
    bench.send_all().tell("east", accepted());
    bench.tell("east", shipped("s1", 60, None, &[("A", 2)]));
    assert_eq!(bench.content("capture/pi_1").unwrap()["amount"], "20.00 USD");

    // Still at its peak: the promise does not cover it.
    let mut bench = Bench::new();
    bench.tell("shop", edited(5, 5, 5)).tell("pay", authorised("20.00 USD"));
    assert_eq!(bench.order().axes.payment, "pending");
}

#[test]
fn the_storefronts_own_word_is_of_what_the_order_comes_to_now() {
    let mut bench = Bench::new();
    bench.tell("shop", edited(9, 2, 5)).tell(
        "shop",
        json!({ "is": "payment.balance", "order": "1", "version": at(9), "status": "authorized" }),
    );
    assert_eq!(bench.order().axes.payment, "authorised");
    let mut bench = Bench::new();
    bench.tell("shop", edited(9, 2, 5)).tell(
        "shop",
        json!({ "is": "payment.balance", "order": "1", "version": at(9), "status": "authorized",
                "authorised": "20.00 USD" }),
    );
    assert_eq!(bench.order().axes.payment, "authorised");
}

#[test]
fn what_is_captured_follows_edits_and_refunds_and_never_exceeds_the_peak() {
    // Edited down after the promise: only the rest is taken.
    let mut bench = released(&[("l1", "A", 3)], "30.00 USD");
    bench.tell("shop", edited(40, 2, 3)).tell("east", shipped("s1", 60, None, &[("A", 2)]));
    assert_eq!(bench.content("capture/pi_1").unwrap()["amount"], "20.00 USD");

    // A cancellation takes the lines off that have left already; what was agreed before counts.
    let mut bench = released(&[("l1", "A", 3)], "30.00 USD");
    bench.tell("east", shipped("s1", 60, None, &[("A", 3)]));
    bench.tell("shop", edited(70, 0, 3));
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(70) }));
    assert_eq!(bench.order().axes.sale, "cancelled");
    assert_eq!(bench.content("capture/pi_1").unwrap()["amount"], "30.00 USD");
}

#[test]
fn an_order_edited_down_to_nothing_has_nothing_to_pay() {
    let mut bench = Bench::new();
    bench.tell("shop", edited(9, 0, 2));
    assert_eq!(bench.order().axes.payment, "paid");
}

#[test]
fn snapshots_of_one_version_are_told_apart_by_when_they_were_told() {
    let told = |quantity: u64, millis: i64| {
        let mut told = placed(0, &[("l1", "A", quantity)]);
        let when = at(0) + jiff::SignedDuration::from_millis(millis);
        told["told"] = json!(when);
        told
    };
    // A, B, A within the second that the version knows, and a copy of each, in every order.
    let messages = [told(2, 100), told(5, 300), told(2, 700)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut bench = Bench::new();
        for index in order {
            bench.tell("shop", messages[index].clone()).tell("shop", messages[index].clone());
        }
        assert_eq!(bench.facts.len(), 3, "A, B, A stays three");
        assert_eq!(bench.order().lines[0].ordered, 2, "{order:?}");
        // What a poll read after them knows better than either.
        bench.tell("shop", told(4, 9000));
        assert_eq!(bench.order().lines[0].ordered, 4, "{order:?}");
    }
    // A version beats any clock.
    let mut bench = Bench::new();
    bench.tell("shop", placed(1, &[("l1", "A", 3)])).tell("shop", told(2, 9000));
    assert_eq!(bench.order().lines[0].ordered, 3);
}

#[test]
fn a_refund_waits_for_the_capture() {
    let mut bench = released(&[("l1", "A", 2)], "20.00 USD");
    bench.tell(
        "shop",
        json!({ "is": "refund.asked", "order": "1", "ref": "r1", "at": at(30), "amount": "10.00 USD",
                "lines": [{ "line": "l1", "quantity": 1 }] }),
    );
    // The unit is not sent any more, and nothing can be refunded yet.
    assert_eq!(bench.order().lines[0].wanted(), 1);
    assert_eq!(bench.pending(), ["change/east"]);
    bench.send("change/east", Done);
    bench.tell("east", shipped("s1", 60, None, &[("A", 1)]));
    assert_eq!(bench.phase(), "shipped");
    bench.send("capture/pi_1", Done);
    bench.tell(
        "pay",
        json!({ "is": "payment.captured", "payment": "pi_1", "ref": "ch_1", "amount": "20.00 USD" }),
    );
    let refund = bench.send("refund/r1", Done);
    assert_eq!((&refund["amount"], &refund["reference"]), (&json!("10.00 USD"), &json!("r1")));
    bench.tell(
        "pay",
        json!({ "is": "payment.refunded", "payment": "pi_1", "ref": "re_1", "amount": "10.00 USD" }),
    );
    assert_eq!(bench.order().axes.payment, "partly_refunded");
    assert_eq!(bench.order().lines[0].refunded, 1);
}

#[test]
fn a_refund_larger_than_the_capture_is_for_a_person() {
    let mut bench = released(&[("l1", "A", 1)], "10.00 USD");
    bench.tell(
        "pay",
        json!({ "is": "payment.captured", "payment": "pi_1", "ref": "ch_1", "amount": "10.00 USD" }),
    );
    bench.tell("shop", json!({ "is": "refund.asked", "order": "1", "ref": "r1", "amount": "11.00 USD" }));
    assert_eq!(bench.kinds(), ["refund_too_large"]);
}

#[test]
fn levels_and_movements_are_witnesses_of_the_same_money() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 2)]));
    for (account, told) in [
        ("shop", json!({ "is": "payment.captured", "ref": "t1", "amount": "20.00 USD" })),
        ("shop", json!({ "is": "payment.balance", "order": "1", "captured": "20.00 USD", "status": "paid" })),
        ("pay", json!({ "is": "payment.captured", "payment": "pi_1", "ref": "ch_1", "amount": "20.00 USD" })),
        ("shop", json!({ "is": "payment.refunded", "ref": "t2", "parent": "t1", "amount": "5.00 USD" })),
        ("pay", json!({ "is": "payment.refunded", "payment": "pi_1", "ref": "re_1", "amount": "5.00 USD" })),
    ] {
        bench.tell(account, told);
    }
    assert_eq!(bench.order().axes.payment, "partly_refunded");
    let shop = bench.order().payments.iter().find(|payment| payment.account.as_str() == "shop").unwrap();
    let (captured, refunded) = (shop.captured.unwrap(), shop.refunded.unwrap());
    assert_eq!((shop.r#ref.as_str(), captured, refunded), ("t1", money("20 USD"), money("5 USD")));
}

#[test]
fn two_currencies_are_a_problem_and_no_sum() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 2)])).tell("pay", authorised("20.00 EUR"));
    assert_eq!(bench.kinds(), ["mixed_currencies"]);
    assert!(bench.pending().is_empty());
}

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

#[test]
fn nothing_is_taken_back_that_a_partner_may_have_heard() {
    let mut bench = Bench::new();
    bench.tell("shop", placed(0, &[("l1", "A", 1)])).tell("pay", authorised("10.00 USD"));
    bench.send("release/east", InFlight);
    bench.tell("shop", json!({ "is": "order.held", "order": "1", "hold": "fraud", "at": at(10) }));
    assert_eq!(bench.slots(InFlight), ["release/east"]);
    assert!(bench.slots(Pending).is_empty());
}

/// Two warehouses, and a route to each.
fn routed(reserve: bool) -> Bench {
    let flow = FLOW
        .replace("[\"east\"]", "[\"east\", \"west\"]")
        .replace("reserve     = false", &format!("reserve     = {reserve}"))
        + "[flow.acme.route.coast]\nwhen = { \"ship_to.region\" = [\"CA\", \"OR\"] }\nwarehouses = [\"west\"]\n"
        + "[flow.acme.route.tea]\nwhen = { \"lines.sku\" = { contains = \"TEA\" } }\nwarehouses = [\"west\", \"east\"]\n";
    Bench::with(&flow, &[])
}

#[test]
fn the_first_route_that_fits_names_the_warehouse() {
    for (region, sku, expected) in
        [("MA", "A", "release/east"), ("CA", "A", "release/west"), ("MA", "TEA-01", "release/west")]
    {
        let mut bench = routed(false);
        let mut told = placed(0, &[("l1", sku, 2)]);
        told["ship_to"]["region"] = json!(region);
        bench.tell("shop", told).tell("pay", authorised("20.00 USD"));
        assert_eq!(bench.pending(), [expected], "{region} {sku}");
    }
    // Once a warehouse was told, it keeps the order, wherever that goes now.
    let mut bench = routed(false);
    bench.tell("shop", placed(0, &[("l1", "A", 2)])).tell("pay", authorised("20.00 USD"));
    bench.send("release/east", Done);
    bench.tell("east", accepted());
    let mut moved = placed(9, &[("l1", "A", 2)]);
    moved["ship_to"]["region"] = json!("CA");
    bench.tell("shop", moved);
    assert_eq!(bench.pending(), ["change/east"]);
}

#[test]
fn the_first_warehouse_that_has_all_in_stock_gets_the_order() {
    let answer = |warehouse: &str, reserved: u64, generation: u64, turn: u64| {
        json!({ "is": "stock.answer", "sku": "A", "warehouse": warehouse, "reserved": reserved,
                "short": 2 - reserved, "generation": generation, "turn": turn })
    };
    let mut bench = routed(true);
    bench.tell("shop", placed(0, &[("l1", "A", 2)])).tell("pay", authorised("20.00 USD"));
    let asks = bench.order().asks.clone();
    assert_eq!(asks.iter().map(|ask| ask.warehouse.as_str()).collect::<Vec<_>>(), ["east", "west"]);
    let generation = asks[0].generation;
    // The later choice has it; the first has not answered.
    bench.ours(answer("west", 2, generation, 1));
    assert_eq!((bench.pending(), bench.order().waits.clone()), (vec![], vec!["stock?:A".to_owned()]));
    // The first is short: the later choice gets it, and the first gets its units back.
    bench.ours(answer("east", 1, generation, 1));
    assert_eq!(bench.pending(), ["release/west"]);
    bench.send("release/west", Done);
    let given_back = bench.order().asks.iter().all(|ask| ask.warehouse == "west" || ask.quantity == 0);
    assert!(given_back, "{:?}", bench.order().asks);

    // None has all: it waits, and goes to whichever has it first.
    let mut bench = routed(true);
    bench.tell("shop", placed(0, &[("l1", "A", 2)])).tell("pay", authorised("20.00 USD"));
    bench.ours(answer("east", 1, generation, 1)).ours(answer("west", 0, generation, 1));
    assert_eq!((bench.pending(), bench.order().waits.clone()), (vec![], vec!["stock:A".to_owned()]));
    bench.ours(answer("west", 2, generation, 2));
    assert_eq!(bench.pending(), ["release/west"]);
}

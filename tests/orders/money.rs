//! What is captured and refunded.

use crossdock::canonical::IntentState::Done;
use serde_json::{Value, json};

use crate::bench::{Bench, FLOW, at, authorised, placed, shipped};
use crate::{accepted, money, released};

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

//! Facts are a set: whatever order they come in, and however often, the state, the plan and the intents are the same.
//! Money is summed exactly, quantities stay sane, and stock is a join.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/orders.rs"]
mod bench;

use std::collections::{BTreeMap, BTreeSet};

use bench::{Bench, FLOW, at, authorised, fact, placed, plan_stock, plan_stock_in_part, shipped};
use crossdock::apply::project_order;
use crossdock::canonical::fact::{Departure, Header, StockAsk};
use crossdock::canonical::{Body, EntityId, Fact, Intent, IntentState, MessageId, Money, Order, Stock, When};
use proptest::collection::vec;
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};

fn project(facts: &[Fact], intents: &[Intent]) -> Order {
    project_order(&Bench::id(), &"acme".into(), &"shop".into(), facts, intents)
}

/// Anything that one of four accounts may tell of order 1: right, contradictory, late, in two currencies.
fn anything() -> impl Strategy<Value = (&'static str, Value)> {
    let line = prop_oneof![Just("l1"), Just("l2"), Just("l9")];
    let sku = prop_oneof![Just("A"), Just("B"), Just("X")];
    let lines = vec(
        (prop_oneof![Just("l1"), Just("l2")], sku.clone(), 0_u64..4, proptest::option::of(0_u64..4)),
        0..3,
    );
    let amount = (0_u32..4000, prop_oneof![9 => Just("USD"), 1 => Just("EUR")])
        .prop_map(|(cents, code)| format!("{} {code}", Decimal::new(i64::from(cents), 2)));
    let when = 0_i64..50;
    let kind = prop_oneof![Just("authorised"), Just("captured"), Just("refunded"), Just("voided")];
    let stage = prop_oneof![
        Just("accepted"),
        Just("allocated"),
        Just("backordered"),
        Just("picked"),
        Just("packed"),
        Just("rejected"),
        Just("cancelled"),
        Just("shipment_voided"),
    ];
    let status = prop_oneof![Just("in_transit"), Just("delivered"), Just("failure"), Just("unknown")];
    let word = prop_oneof![Just("paid"), Just("pending"), Just("voided"), Just("martian")];
    prop_oneof![
        4 => (0_i64..5, lines, amount.clone()).prop_map(|(version, lines, total)| {
            let lines: BTreeMap<_, _> = lines.into_iter().map(|line| (line.0, line)).collect();
            let mut told = placed(version, &[]);
            told["total"] = json!(total);
            told["lines"] = lines.into_values().map(|(name, sku, quantity, current)| {
                json!({ "ref": name, "sku": sku, "quantity": quantity, "current": current })
            }).collect();
            ("shop", told)
        }),
        3 => (prop_oneof![Just("pay"), Just("shop")], kind, 0_u8..3, amount.clone(), when.clone()).prop_map(
            |(account, kind, name, amount, when)| (account, json!({
                "is": format!("payment.{kind}"), "payment": "pi_1", "ref": format!("m{name}"),
                "amount": amount, "at": at(when),
            }))),
        1 => (amount.clone(), word, 0_i64..4).prop_map(|(captured, status, version)| ("shop", json!({
            "is": "payment.balance", "order": "1", "captured": captured, "status": status, "version": at(version),
        }))),
        2 => (stage, when.clone()).prop_map(|(stage, when)| ("east", json!({
            "is": format!("fulfilment.{stage}"), "warehouse_order": "w1", "shipment": "s1", "at": at(when),
        }))),
        3 => (0_u8..3, when.clone(), vec((sku.clone(), 0_u64..4), 0..3)).prop_map(|(name, when, parts)| {
            let parts: Vec<(&str, u64)> = parts;
            ("east", shipped(&format!("s{name}"), when, Some(&format!("1Z{name}")), &parts))
        }),
        2 => (0_u8..3, proptest::option::of(0_u8..3), line.clone(), when.clone()).prop_map(
            |(name, tracking, line, when)| ("shop", json!({
                "is": "fulfilment.recorded", "order": "1", "ref": format!("f{name}"), "at": at(when),
                "lines": [{ "line": line, "quantity": 1 }],
                "packages": tracking.map(|number| json!({ "tracking": format!("1Z{number}") })).into_iter().collect::<Vec<_>>(),
            }))),
        2 => (0_u8..3, status, when.clone()).prop_map(|(name, status, when)| ("parcels", json!({
            "is": "tracking.event", "tracking": format!("1Z{name}"), "status": status, "at": at(when),
        }))),
        1 => (0_u8..2, line.clone(), 0_u64..3, amount, when.clone(), any::<bool>()).prop_map(
            |(name, line, quantity, amount, when, back)| ("shop", json!({
                "is": "refund.asked", "order": "1", "ref": format!("r{name}"), "amount": amount, "at": at(when),
                "lines": [{ "line": line, "quantity": quantity, "reason": if back { "return" } else { "cancel" } }],
            }))),
        1 => (line.clone(), 0_u64..3, when.clone()).prop_map(|(line, quantity, when)| ("shop", json!({
            "is": "order.edited", "order": "1", "at": at(when),
            "added": [{ "line": "l5", "sku": "B", "quantity": quantity }],
            "removed": [{ "line": line, "quantity": 1 }],
        }))),
        1 => (any::<bool>(), when.clone()).prop_map(|(released, when)| ("shop", json!({
            "is": "order.held", "order": "1", "hold": "fraud", "released": released, "at": at(when),
        }))),
        1 => when.clone().prop_map(|when| ("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(when) }))),
        1 => (line, 0_u64..4, when).prop_map(|(line, quantity, when)| ("east", json!({
            "is": "return.updated", "rma": "rma", "status": "received", "at": at(when),
            "lines": [{ "line": line, "quantity": quantity }],
        }))),
    ]
}

fn facts(told: Vec<(&'static str, Value)>) -> Vec<Fact> {
    told.into_iter().zip(1..).map(|((account, told), heard)| fact(account, heard, told)).collect()
}

/// A list, and the same in another order with some of it twice.
fn shuffled(at_most: usize) -> impl Strategy<Value = (Vec<Fact>, Vec<Fact>)> {
    vec(anything(), 0..at_most).prop_map(facts).prop_flat_map(|facts| {
        let count = facts.len();
        let twice = vec(0..count.max(1), 0..4);
        (Just(facts.clone()), Just(facts).prop_shuffle(), twice).prop_map(move |(first, mut other, twice)| {
            for index in twice.into_iter().filter(|_| count > 0) {
                let again = other[index].clone();
                other.insert((index * 7) % (other.len() + 1), again);
            }
            (first, other)
        })
    })
}

/// What may be compared between two histories: everything of an intent but when it was made.
fn wanted(intents: &[Intent]) -> BTreeSet<(String, u32, String, String)> {
    intents
        .iter()
        .filter(|intent| intent.state != IntentState::Withdrawn)
        .map(|intent| {
            let args = serde_json::to_string(&intent.args).unwrap();
            (intent.slot.clone(), intent.generation, format!("{:?}", intent.state), args)
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn any_order_and_any_duplicates_give_one_state((facts, other) in shuffled(14)) {
        prop_assert_eq!(project(&facts, &[]), project(&other, &[]));
    }

    #[test]
    fn facts_one_by_one_or_all_at_once_give_one_plan_and_one_set_of_intents((facts, other) in shuffled(10)) {
        let reserve = FLOW.replace("reserve     = false", "reserve = true");
        for flow in [FLOW, reserve.as_str()] {
            let mut at_once = Bench::with(flow, &[]);
            at_once.take(facts.clone());
            let mut one_by_one = Bench::with(flow, &[]);
            for fact in &other {
                one_by_one.take(vec![fact.clone()]);
            }
            prop_assert_eq!(at_once.state.is_some(), one_by_one.state.is_some() || facts.is_empty());
            prop_assert_eq!(wanted(&at_once.intents), wanted(&one_by_one.intents));
            if let (Some(first), Some(second)) = (&at_once.state, &one_by_one.state) {
                prop_assert_eq!(first, second);
                prop_assert_eq!(at_once.troubles(), one_by_one.troubles());
            }
        }
    }

    #[test]
    fn quantities_and_money_stay_sane((facts, _) in shuffled(16)) {
        let order = project(&facts, &[]);
        for line in &order.lines {
            prop_assert!(line.cancelled <= line.ordered);
            prop_assert!(line.returned <= line.shipped);
            for units in [line.allocated, line.picked, line.packed] {
                prop_assert!(units <= line.ordered);
            }
            if line.shipped > line.ordered {
                prop_assert!(order.problems.iter().any(|problem| problem.cause.starts_with("over_shipped")));
            }
        }
        // What is shown as a payment's sum is the exact sum of its movements in that currency.
        for payment in &order.payments {
            for (kind, shown) in [
                ("authorised", payment.authorised), ("captured", payment.captured), ("refunded", payment.refunded),
            ] {
                let Some(shown) = shown else { continue };
                let sum: Decimal = payment.movements.iter()
                    .filter(|one| one.kind == kind && one.amount.currency() == shown.currency())
                    .map(|one| one.amount.amount())
                    .sum();
                prop_assert_eq!(Money::new(sum, shown.currency()), shown);
                let mixed = payment.movements.iter()
                    .any(|one| one.kind == kind && one.amount.currency() != shown.currency());
                if mixed {
                    prop_assert!(order.problems.iter().any(|one| one.cause.starts_with("mixed_currencies")));
                }
            }
        }
    }

    #[test]
    fn stored_orders_are_read_back_as_they_were((facts, _) in shuffled(12)) {
        let order = project(&facts, &[]);
        let text = serde_json::to_string(&order).unwrap();
        prop_assert_eq!(serde_json::from_str::<Order>(&text).unwrap(), order);
    }

    /// With partners that obey at random moments, no payment is captured twice or above its promise, nothing that was
    /// cancelled in time is captured, and everything comes to rest.
    #[test]
    fn partners_that_obey_at_any_moment_are_asked_once(
        told in vec((anything(), any::<bool>()), 1..12),
    ) {
        let mut bench = Bench::new();
        for ((account, told), send) in told {
            bench.tell(account, told);
            if send {
                send_one(&mut bench);
            }
        }
        for _ in 0..60 {
            send_one(&mut bench);
        }
        prop_assert!(bench.pending().is_empty(), "{:?}", bench.pending());
        let mut filled = BTreeSet::new();
        for intent in bench.intents.iter().filter(|intent| intent.state == IntentState::Done) {
            prop_assert!(filled.insert((intent.slot.clone(), intent.generation)));
            let once = ["release/", "capture/", "refund/", "fulfilment/", "cancel/", "void/", "tracker/"];
            prop_assert!(intent.generation == 0 || !once.iter().any(|kind| intent.slot.starts_with(kind)));
        }
    }
}

/// Sends the first pending intent, or takes it back if the deliverer finds that it is not wanted.
fn send_one(bench: &mut Bench) {
    if let Some(slot) = bench.pending().first().map(|slot| slot.split('#').next().unwrap().to_owned()) {
        assert!(
            bench.content(&slot).is_ok(),
            "{slot} is pending and cannot be said: {:?}",
            bench.content(&slot)
        );
        bench.send(&slot, IntentState::Done);
    }
}

// ---------------------------------------------------------------------------------------------------------- stock

fn level(units: i64, when: i64) -> Fact {
    fact("east", when, json!({ "is": "inventory.level", "sku": "A", "on_hand": units, "at": at(when) }))
}

fn ask(order: u8, quantity: u64, generation: u64, asked: i64, left: &[(u64, i64)]) -> Fact {
    let left = left
        .iter()
        .map(|(quantity, when)| Departure { quantity: *quantity, at: When::utc(at(*when)), location: None })
        .collect();
    let body = Body::StockAsk(StockAsk {
        by: format!("ord_{order}"),
        warehouse: "east".to_owned(),
        sku: "A".to_owned(),
        quantity,
        generation,
        left,
    });
    let header = Header { at: Some(When::utc(at(asked))), ..Header::default() };
    Fact::ours(header, body, at(asked), MessageId(asked))
}

fn stock_fact() -> impl Strategy<Value = Fact> {
    prop_oneof![
        (-3_i64..20, 0_i64..30).prop_map(|(units, when)| level(units, when)),
        (0_u8..4, 0_u64..6, 1_u64..5, 0_i64..3, vec((1_u64..3, 0_i64..30), 0..2)).prop_map(
            |(order, quantity, generation, asked, left)| ask(order, quantity, generation, asked, &left)
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn stock_is_a_join(
        (facts, other) in vec(stock_fact(), 0..12).prop_flat_map(|facts| (Just(facts.clone()), Just(facts).prop_shuffle()))
    ) {
        let config = bench::config(FLOW, &[]);
        let at_once = plan_stock(&config, None, &facts, &[]).state;
        let mut one_by_one: Option<Stock> = None;
        for fact in other.iter().chain(&other) {
            one_by_one = Some(plan_stock(&config, one_by_one.as_ref(), std::slice::from_ref(fact), &[]).state);
        }
        prop_assert_eq!(one_by_one.unwrap_or_else(|| plan_stock(&config, None, &[], &[]).state), at_once.clone());
        // What is promised is never more than what is there.
        if let Some(available) = at_once.available {
            let promised: u64 = at_once.orders.values()
                .map(|known| known.answered.map_or(0, |answer| answer.reserved.saturating_sub(known.shipped().min(known.wanted))))
                .sum();
            let open: i64 = at_once.orders.values().map(|known| i64::try_from(known.open()).unwrap()).sum();
            prop_assert!(i64::try_from(promised).unwrap() <= (available + open).max(0));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// One fact after the other, each over the reservation that it is about alone, comes to the same as over all.
    #[test]
    fn stock_is_planned_in_part_as_in_whole(facts in vec(stock_fact(), 1..24)) {
        let config = bench::config(FLOW, &[]);
        let mut whole = plan_stock(&config, None, &facts[..1], &[]).state;
        for fact in &facts[1..] {
            let about = |id: &EntityId| matches!(&fact.body, Body::StockAsk(ask) if id.as_str() == ask.by);
            let mut part = whole.clone();
            part.orders.retain(|id, _| about(id));
            let planned = plan_stock_in_part(&config, &part, fact);
            let expected = plan_stock(&config, Some(&whole), std::slice::from_ref(fact), &[]);
            if let Some(planned) = planned {
                let mut state = planned.state;
                let rest = expected.state.orders.iter().filter(|(id, _)| !about(id));
                state.orders.extend(rest.map(|(id, known)| (id.clone(), known.clone())));
                // Who stands last may be remembered longer than needed.
                if let (Some(sums), Some(exact)) = (&mut state.sums, &expected.state.sums) {
                    prop_assert!(sums.last >= exact.last);
                    sums.last.clone_from(&exact.last);
                }
                prop_assert_eq!(&state, &expected.state);
                prop_assert_eq!((planned.mails, planned.events), (expected.mails, expected.events));
            } else {
                let level = matches!(fact.body, Body::Level(_));
                prop_assert!(level || whole.available.is_some_and(|units| units < 0) || expected.state.available.is_some_and(|units| units < 0));
            }
            whole = expected.state;
        }
    }
}

#[test]
fn an_order_behind_all_others_concerns_none_of_them_even_when_there_is_too_little() {
    let config = bench::config(FLOW, &[]);
    let first =
        plan_stock(&config, None, &[level(4, 1), ask(1, 3, 1, 5, &[]), ask(2, 3, 1, 6, &[])], &[]).state;
    assert_eq!(first.available, Some(-2));
    let none = Stock { orders: BTreeMap::new(), ..first.clone() };
    let behind = plan_stock_in_part(&config, &none, &ask(3, 2, 1, 9, &[])).unwrap();
    assert_eq!((answers(&behind), behind.state.available), (vec![("ord_3".to_owned(), 0, 2)], Some(-4)));
    assert!(plan_stock_in_part(&config, &none, &ask(3, 2, 1, 2, &[])).is_none(), "it goes before others");
    assert!(
        plan_stock_in_part(&config, &none, &level(9, 20)).is_none(),
        "there may be enough for others now"
    );
    assert!(plan_stock_in_part(&config, &none, &level(9, 0)).is_some(), "an older level tells nothing");
}

#[test]
fn states_of_earlier_versions_have_their_reservations_inside() {
    let config = bench::config(FLOW, &[]);
    let state = plan_stock(&config, None, &[level(4, 1), ask(1, 3, 1, 5, &[])], &[]).state;
    let mut stored = serde_json::to_value(&state).unwrap();
    assert_eq!(stored["orders"], Value::Null, "they are stored beside it");
    stored["orders"] = serde_json::to_value(&state.orders).unwrap();
    stored.as_object_mut().unwrap().remove("sums");
    let old: Stock = serde_json::from_value(stored).unwrap();
    assert_eq!(Stock { sums: state.sums.clone(), ..old.clone() }, state);
    assert!(plan_stock_in_part(&config, &old, &ask(2, 1, 1, 9, &[])).is_none());
    assert_eq!(plan_stock(&config, Some(&old), &[], &[]).state, state);
}

fn answers(plan: &crossdock::plan::Plan<Stock>) -> Vec<(String, u64, u64)> {
    plan.mails
        .iter()
        .map(|(to, _, body)| match body {
            Body::StockAnswer(answer) => (to.0.clone(), answer.reserved, answer.short),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn first_come_first_served_and_told_when_it_changes() {
    let config = bench::config(FLOW, &[]);
    let asks = [ask(1, 3, 1, 10, &[]), ask(2, 3, 1, 5, &[])];
    let first = plan_stock(&config, None, &asks, &[]);
    assert_eq!(answers(&first).len(), 2, "before any level is known everything counts as in stock");
    let short = plan_stock(&config, Some(&first.state), &[level(4, 20)], &[]);
    assert_eq!(answers(&short), [("ord_1".to_owned(), 1, 2)], "order 2 asked first");
    assert_eq!(short.state.available, Some(-2));
    let old = plan_stock(&config, Some(&short.state), &[level(50, 15)], &[]);
    assert_eq!((answers(&old).len(), old.state.available), (0, Some(-2)), "an older level is ignored");
    let enough = plan_stock(&config, Some(&short.state), &[level(9, 30)], &[]);
    assert_eq!(answers(&enough), [("ord_1".to_owned(), 3, 0)]);
    // What leaves after the level is no longer there, and what the next level has seen leave is not taken off twice.
    let gone = plan_stock(&config, Some(&enough.state), &[ask(2, 3, 2, 5, &[(3, 40)])], &[]);
    assert_eq!(gone.state.available, Some(3));
    let seen = plan_stock(&config, Some(&gone.state), &[level(6, 50)], &[]);
    assert_eq!(seen.state.available, Some(3));
}

#[test]
fn storefronts_are_told_the_newest_level_only_and_never_below_zero() {
    let flow = FLOW.replace("reserve     = false", "buffer = 2\nlocations = { shop = \"loc-1\" }");
    let config = bench::config(&flow, &[]);
    let first = plan_stock(&config, None, &[level(10, 1)], &[]);
    assert_eq!((first.intents.len(), &first.intents[0].args["quantity"]), (1, &json!(8)));
    assert_eq!(first.intents[0].slot, "stock/shop/A");
    // Not sent yet: the same intent says the newer level.
    let second = plan_stock(&config, Some(&first.state), &[level(1, 2)], &first.intents);
    assert_eq!((second.intents[0].id, &second.intents[0].args["quantity"]), (first.intents[0].id, &json!(0)));
    assert_eq!(second.state.available, Some(-1));
    // Sent: a new one, and none for what is the same.
    let mut sent = second.intents.clone();
    sent[0].state = IntentState::Done;
    sent[0].attempts = 1;
    assert!(plan_stock(&config, Some(&second.state), &[level(2, 3)], &sent).intents.is_empty());
    let third = plan_stock(&config, Some(&second.state), &[level(5, 4)], &sent);
    assert_eq!((third.intents[0].generation, &third.intents[0].args["quantity"]), (1, &json!(3)));
    let content = crossdock::plan::stock_content(
        &third.intents[0],
        &third.state,
        config.flow_of(&"acme".into()).unwrap(),
    );
    assert_eq!(content.unwrap()["location"], "loc-1");
}

#[test]
fn a_refused_level_goes_again_with_a_newer_one_or_after_a_while() {
    let flow = FLOW.replace("reserve     = false", "locations = { shop = \"loc-1\" }");
    let config = bench::config(&flow, &[]);
    let first = plan_stock(&config, None, &[level(10, -60)], &[]);
    assert!(first.timers.is_empty());
    let mut refused = first.intents.clone();
    refused[0].state = IntentState::Rejected;
    refused[0].attempts = 1;
    // Nothing new: it waits, and a timer will tell when it goes again.
    let waits = plan_stock(&config, Some(&first.state), &[], &refused);
    assert!(waits.intents.is_empty() && waits.withdraw.is_empty());
    let due = at(6 * 3600);
    assert_eq!(waits.timers.iter().map(|timer| timer.due).collect::<Vec<_>>(), [due]);
    // Its time has come, counted from when it was last due.
    refused[0].due = at(-6 * 3600);
    refused[0].created = at(-6 * 3600);
    let again = plan_stock(&config, Some(&first.state), &[], &refused);
    assert_eq!(again.intents.iter().map(|intent| intent.generation).collect::<Vec<_>>(), [1]);
    assert_eq!(again.withdraw, [refused[0].id], "the refusal is no trouble any more");
    assert!(again.timers.is_empty());
    // A newer level of as many units: the storefront may know the goods by now.
    refused[0].due = at(-30);
    refused[0].created = at(-30);
    let newer = plan_stock(&config, Some(&first.state), &[level(10, -5)], &refused);
    assert_eq!(newer.intents.iter().map(|intent| intent.generation).collect::<Vec<_>>(), [1]);
    // Done is done: as many units again are no news.
    refused[0].state = IntentState::Done;
    assert!(plan_stock(&config, Some(&first.state), &[level(10, -5)], &refused).intents.is_empty());
}

#[test]
fn the_promise_of_a_gateway_beats_what_the_storefront_believes() {
    let facts = [
        fact("shop", 1, placed(0, &[("l1", "A", 1)])),
        fact("shop", 2, json!({ "is": "payment.authorised", "ref": "t1", "amount": "10.00 USD" })),
        fact("pay", 3, authorised("10.00 USD")),
        fact(
            "pay",
            4,
            json!({ "is": "payment.voided", "payment": "pi_1", "ref": "pi_1", "amount": "10.00 USD" }),
        ),
    ];
    assert_eq!(project(&facts, &[]).axes.payment, "voided");
}

//! Whatever happens to an order that may be split: its parts are what is wanted, no more and no less, whoever says what
//! and in whatever order.

use std::collections::BTreeSet;

use crossdock::canonical::IntentState::{Done, InFlight, Retry};
use crossdock::canonical::order::Release;
use crossdock::canonical::{Fact, Intent, IntentState};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::bench::{Bench, at, authorised, fact, placed, shipped};
use crate::split::{answer, flow};

const WAREHOUSES: [&str; 3] = ["east", "west", "mall"];
const SKUS: [&str; 3] = ["A", "B", "C"];

type Stock = Vec<(&'static str, &'static str, u64)>;

/// What each warehouse has of each SKU.
fn stock() -> impl Strategy<Value = Stock> {
    vec(0_u64..6, 9).prop_map(|units| {
        let places = WAREHOUSES.iter().flat_map(|warehouse| SKUS.iter().map(move |sku| (*warehouse, *sku)));
        places.zip(units).map(|((warehouse, sku), units)| (warehouse, sku, units)).collect()
    })
}

/// A snapshot of the store: the same three lines, of which more or less is wanted.
fn snapshot() -> impl Strategy<Value = (&'static str, Value)> {
    (0_i64..4, vec(0_u64..4, 3), vec(proptest::option::of(0_u64..4), 3)).prop_map(|(version, units, current)| {
        let mut told = placed(version, &[]);
        told["total"] = json!("10.00 USD");
        told["lines"] = SKUS
            .iter()
            .zip(units.iter().zip(current))
            .map(|(sku, (units, current))| {
                json!({ "ref": format!("l{sku}"), "sku": sku, "quantity": units, "current": current.map(|now| now.min(*units)) })
            })
            .collect();
        ("shop", told)
    })
}

/// What else may be told: by warehouses, right or wrong, and by the store.
fn anything() -> impl Strategy<Value = (&'static str, Value)> {
    let stage = proptest::sample::select(vec![
        "accepted",
        "backordered",
        "picked",
        "packed",
        "rejected",
        "cancelled",
    ]);
    let warehouse = || proptest::sample::select(WAREHOUSES.to_vec());
    let sku = proptest::sample::select(SKUS.to_vec());
    prop_oneof![
        3 => snapshot(),
        3 => (warehouse(), stage, 0_i64..50).prop_map(|(warehouse, stage, when)| (warehouse, json!({
            "is": format!("fulfilment.{stage}"), "warehouse_order": format!("of-{warehouse}"), "at": at(when),
        }))),
        2 => (warehouse(), 0_u8..2, 0_i64..50, vec((sku, 1_u64..3), 0..3)).prop_map(|(warehouse, name, when, parts)| {
            let parts: Vec<(&str, u64)> = parts;
            (warehouse, shipped(&format!("s{name}"), when, Some(&format!("1Z{warehouse}{name}")), &parts))
        }),
        1 => (any::<bool>(), 0_i64..50).prop_map(|(released, when)| ("shop", json!({
            "is": "order.held", "order": "1", "hold": "fraud", "released": released, "at": at(when),
        }))),
        1 => (0_i64..50).prop_map(|when| ("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(when) }))),
    ]
}

fn facts(told: Vec<(&'static str, Value)>) -> Vec<Fact> {
    let first = [
        ("shop", placed(0, &[("lA", "A", 2), ("lB", "B", 1), ("lC", "C", 1)])),
        ("pay", authorised("99.00 USD")),
    ];
    first
        .into_iter()
        .chain(told)
        .zip(1..)
        .map(|((account, told), heard)| fact(account, heard, told))
        .collect()
}

/// Whether the parts are what is wanted; units of which no warehouse was told must be waited for.
fn sound(bench: &Bench) -> Result<(), TestCaseError> {
    let order = bench.order();
    let shared = order.releases.iter().any(Release::in_part);
    for line in order.lines.iter().filter(|_| shared) {
        let sum = |units: u64, more: u64| units + more;
        let parts =
            order.releases.iter().filter_map(|release| release.lines.get(&line.r#ref).copied()).fold(0, sum);
        let left = order.shipments.iter().filter(|one| !one.voided).flat_map(|one| &one.lines);
        let left = left
            .filter(|part| part.line.as_ref() == Some(&line.r#ref))
            .map(|part| part.quantity)
            .fold(0, sum);
        let most = line.wanted().max(left);
        prop_assert!(
            parts <= most,
            "{} of {} are {parts} of {most}: {:?}",
            line.r#ref,
            line.wanted(),
            order.releases
        );
        if order.waits.is_empty() && order.axes.sale == "open" {
            prop_assert_eq!(parts, most, "{}: {:?}", line.r#ref, order.releases);
        }
    }
    Ok(())
}

/// What may be compared between two histories of one order.
fn shown(bench: &Bench) -> Value {
    let intents: BTreeSet<String> = bench
        .intents
        .iter()
        .filter(|intent| intent.state != IntentState::Withdrawn)
        .map(|intent| json!([intent.slot, intent.generation, intent.state, intent.args]).to_string())
        .collect();
    let order = bench.order();
    let mut axes = order.axes.clone();
    if axes.sale != "open" {
        // What the stock answered before somebody cancelled is another fact.
        axes.fulfilment = String::new();
    }
    let asks: Vec<_> = order
        .asks
        .iter()
        .filter(|ask| ask.quantity > 0)
        .map(|ask| (&ask.warehouse, &ask.sku, ask.quantity))
        .collect();
    json!({ "intents": intents, "releases": order.releases, "waits": order.waits, "axes": axes, "asks": asks,
            "lines": order.lines, "troubles": bench.troubles() })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn facts_in_any_order_and_twice_give_the_same_parts(
        (stock, facts, other) in (stock(), vec(anything(), 0..8).prop_map(facts)).prop_flat_map(|(stock, facts)| {
            (Just(stock), Just(facts.clone()), Just(facts).prop_shuffle())
        }),
    ) {
        let mut at_once = Bench::with(&flow(), &[]);
        at_once.take(facts);
        answer(&mut at_once, &stock);
        let mut one_by_one = Bench::with(&flow(), &[]);
        for (index, fact) in other.iter().chain(&other).enumerate() {
            one_by_one.take(vec![fact.clone()]);
            if index % 2 == 0 {
                answer(&mut one_by_one, &stock);
            }
        }
        answer(&mut one_by_one, &stock);
        prop_assert_eq!(shown(&at_once), shown(&one_by_one));
        sound(&at_once)?;
    }

    /// Warehouses that are told at any moment, by attempts that end well, are cut or must be made again, while stock
    /// comes and goes: each is told once, of what is wanted.
    #[test]
    fn parts_are_told_once_and_together_are_the_order(
        first in stock(),
        told in vec((anything(), vec(0_usize..4, 0..4), proptest::option::of(stock())), 1..10),
    ) {
        let mut stock = first;
        let mut bench = Bench::with(&flow(), &[]);
        bench.take(facts(Vec::new()));
        answer(&mut bench, &stock);
        for ((account, told), sends, other) in told {
            bench.tell(account, told);
            sound(&bench)?;
            if let Some(other) = other {
                stock = other;
            }
            answer(&mut bench, &stock);
            sound(&bench)?;
            for outcome in sends {
                send(&mut bench, &stock, [Done, Done, InFlight, Retry][outcome])?;
            }
            // What was under way is found to be done.
            let cut: Vec<usize> = (0..bench.intents.len()).filter(|at| bench.intents[*at].state == InFlight).collect();
            for index in cut.into_iter().skip(1) {
                bench.intents[index].state = Done;
            }
            bench.plan(&[]);
            answer(&mut bench, &stock);
            sound(&bench)?;
        }
        for intent in bench.intents.iter_mut().filter(|intent| intent.state == InFlight) {
            intent.state = Done;
        }
        bench.plan(&[]);
        answer(&mut bench, &stock);
        for _ in 0..60 {
            send(&mut bench, &stock, Done)?;
        }
        prop_assert!(bench.pending().is_empty() && bench.slots(Retry).is_empty(), "{:?}", bench.pending());
        let mut filled = BTreeSet::new();
        for intent in bench.intents.iter().filter(|intent| intent.state == Done) {
            let once = ["release/", "capture/", "fulfilment/", "tracker/"];
            let more = if once.iter().any(|kind| intent.slot.starts_with(kind)) { 0 } else { intent.generation };
            prop_assert!(filled.insert((intent.slot.clone(), more)), "{} is done twice", intent.slot);
        }
        // Each parcel that left is in the store once.
        let order = bench.order();
        for shipment in order.shipments.iter().filter(|one| !one.voided && order.cancel.is_none() && one.account.as_str() != "shop") {
            let slot = format!("fulfilment/{}", shipment.slot());
            prop_assert_eq!(bench.intents.iter().filter(|intent| intent.slot == slot && intent.state == Done).count(), 1, "{}", slot);
        }
    }
}

/// Sends the first intent that waits, which comes to `outcome`, and the stock answers. A warehouse is told its part.
fn send(bench: &mut Bench, stock: &Stock, outcome: IntentState) -> Result<(), TestCaseError> {
    let waits = |intent: &&Intent| matches!(intent.state, IntentState::Pending | Retry);
    let Some(slot) = bench.intents.iter().filter(waits).map(|intent| intent.slot.clone()).min() else {
        return Ok(());
    };
    prop_assert!(bench.content(&slot).is_ok(), "{slot} waits and cannot be said: {:?}", bench.content(&slot));
    let warehouse = slot.strip_prefix("release/").or(slot.strip_prefix("change/")).map(ToOwned::to_owned);
    let planned =
        bench.order().releases.iter().find(|one| Some(one.warehouse.as_str()) == warehouse.as_deref());
    let planned = planned.filter(|one| one.in_part()).map(|one| one.lines.clone());
    let told = bench.send(&slot, outcome);
    if let Some(planned) = planned {
        let units = |line: &Value| line["units"].as_u64().filter(|units| *units > 0);
        let lines = told["lines"].as_array().into_iter().flatten();
        let said: std::collections::BTreeMap<String, u64> =
            lines.filter_map(|line| Some((line["ref"].as_str()?.to_owned(), units(line)?))).collect();
        prop_assert_eq!(&planned, &said, "{}", slot);
    }
    sound(bench)?;
    answer(bench, stock);
    sound(bench)
}

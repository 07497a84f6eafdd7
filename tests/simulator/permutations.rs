//! The messages of one order from four accounts, in every order and with duplicates: the same state, the same intents
//! and, where what is intended is then delivered, the same books at the partners (P4).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossdock::canonical::{EntityKind, Intent, IntentState};
use crossdock::ports::{Clock as _, ExceptionQuery};
use crossdock::sandbox::{Delivery, LineSpec, OrderSpec, Payment, World};
use serde_json::{Value, json};

use crate::histories::ready;
use crate::stage::Stage;
use crate::town;

const SEED: u64 = 41;

fn fresh() -> (Stage, u64) {
    let mut stage = Stage::new(town::shared(), town::partners(SEED, town::settings()), SEED, Vec::new(), 0);
    stage.run(Duration::from_millis(10), &mut |_| false);
    let line = LineSpec { sku: "TEA-01".to_owned(), quantity: 3 };
    let spec = OrderSpec { lines: vec![line], payment: Payment::Pending, ..OrderSpec::default() };
    let id = act(&stage, |world| world.place_order(spec).id);
    (stage, id)
}

fn act<T>(stage: &Stage, work: impl FnOnce(&mut World) -> T) -> T {
    let mut partners = stage.partners.lock().unwrap();
    partners.advance(stage.clock.now());
    work(&mut partners)
}

/// What a whole life of one order made the partners send: placed, changed to five units and back again within seconds,
/// paid, sent, under way.
fn record() -> Vec<Delivery> {
    let (mut stage, id) = fresh();
    stage.run(Duration::from_millis(400), &mut |_| false);
    act(&stage, |world| world.edit_order(id, &[("TEA-01".to_owned(), 5)])).unwrap();
    stage.run(Duration::from_millis(1100), &mut |_| false);
    act(&stage, |world| world.edit_order(id, &[("TEA-01".to_owned(), 3)])).unwrap();
    stage.run(Duration::from_millis(1100), &mut |_| false);
    act(&stage, |world| world.pay_order(id)).unwrap();
    stage.run(Duration::from_mins(2), &mut |_| false);
    stage.heard
}

/// The first of `partner`'s messages whose topic contains `topic`, after `skip` of them.
fn pick(heard: &[Delivery], partner: &str, topic: &str, skip: usize) -> Delivery {
    let known: Vec<String> = heard.iter().map(|hook| format!("{}: {}", hook.partner, hook.topic)).collect();
    let mut found =
        heard.iter().filter(|hook| hook.partner == partner && hook.topic.contains(topic)).skip(skip);
    found.next().unwrap_or_else(|| panic!("{partner} sent no {topic} (after {skip}): {known:?}")).clone()
}

/// All orders of `count` things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for item in 0..count {
        all = all
            .into_iter()
            .flat_map(|order| {
                (0..=order.len()).map(move |at| {
                    let mut longer: Vec<usize> = order.clone();
                    longer.insert(at, item);
                    longer
                })
            })
            .collect();
    }
    all
}

/// State and intents at rest, without what counts how often we changed our mind.
fn at_rest(stage: &Stage) -> Value {
    let store = stage.store();
    let ids = ready(store.entities(EntityKind::Order, None, 10));
    let records = ready(store.load(&ids));
    let shown: Vec<Value> = records
        .iter()
        .map(|record| {
            let live = |intent: &&Intent| intent.state != IntentState::Withdrawn;
            let intents: BTreeMap<String, Value> = record
                .intents
                .iter()
                .filter(live)
                .map(|intent| {
                    (intent.slot.clone(), json!([intent.command, intent.account, intent.args, intent.state]))
                })
                .collect();
            let mut state = record.state.clone();
            forget(&mut state);
            json!({ "id": record.id, "state": state, "intents": intents })
        })
        .collect();
    let exceptions = ready(store.exceptions(&ExceptionQuery::default()));
    let mut causes: Vec<String> = exceptions.into_iter().map(|exception| exception.cause).collect();
    causes.sort();
    json!({ "orders": shown, "exceptions": causes })
}

fn forget(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.remove("generation");
            fields.remove("turn");
            fields.values_mut().for_each(forget);
        }
        Value::Array(items) => items.iter_mut().for_each(forget),
        _ => {}
    }
}

fn settle(stage: &mut Stage) {
    stage.run(Duration::from_secs(3), &mut |_| false);
}

#[test]
fn every_order_of_seven_messages_gives_the_same_state_and_intents() {
    let heard = record();
    let messages = [
        pick(&heard, "shopify", "orders/create", 0),
        pick(&heard, "shopify", "orders/updated", 0),
        pick(&heard, "shopify", "orders/updated", 1),
        pick(&heard, "stripe", "payment_intent.amount_capturable_updated", 0),
        pick(&heard, "shiphero", "Shipment Update", 0),
        pick(&heard, "easypost", "tracker.updated", 0),
        pick(&heard, "stripe", "payment_intent.succeeded", 0),
    ];
    let orders = orders(messages.len());
    assert_eq!(orders.len(), 5040);
    let live = |order: &[usize], index: usize| {
        let mut stage =
            Stage::new(town::shared(), town::partners(SEED, town::settings()), SEED, Vec::new(), 0);
        stage.deliver = false;
        for at in order {
            assert_eq!(stage.hand(&messages[*at]), 200);
        }
        // Every third time, one of them once more at the end; every fifth, with work between them.
        if index.is_multiple_of(3) {
            assert_eq!(stage.hand(&messages[index % messages.len()]), 200);
        }
        if index.is_multiple_of(5) {
            settle(&mut stage);
            assert_eq!(stage.hand(&messages[(index / 5) % messages.len()]), 200);
        }
        settle(&mut stage);
        at_rest(&stage)
    };
    let expected = live(&orders[0], 1);
    assert_eq!(expected["orders"].as_array().map(Vec::len), Some(1), "{expected:#}");
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(order) = orders.get(index) else { return };
                    let found = live(order, index);
                    assert!(found == expected, "order {order:?} gives\n{found:#}\ninstead of\n{expected:#}");
                }
            });
        }
    });
}

#[test]
fn every_order_of_what_comes_before_the_release_gives_the_same_books() {
    let heard = record();
    let messages = [
        pick(&heard, "shopify", "orders/create", 0),
        pick(&heard, "shopify", "orders/updated", 0),
        pick(&heard, "shopify", "orders/updated", 1),
        pick(&heard, "stripe", "payment_intent.amount_capturable_updated", 0),
    ];
    let mut expected: Option<Value> = None;
    for order in orders(messages.len()) {
        // The same world, without a word of it to the daemon but what is handed over here.
        let (mut stage, id) = fresh();
        stage.deliver = false;
        stage.run(Duration::from_millis(400), &mut |_| false);
        act(&stage, |world| world.pay_order(id)).unwrap();
        for at in &order {
            assert_eq!(stage.hand(&messages[*at]), 200);
            assert_eq!(stage.hand(&messages[*at]), 200);
        }
        settle(&mut stage);
        stage.deliver = true;
        stage.run(Duration::from_mins(20), &mut |stage| {
            let ledger = stage.partners.lock().unwrap().ledger();
            ledger.check().is_empty() && ledger.orders.iter().all(|order| !order.trackers.is_empty())
        });
        let ledger = stage.partners.lock().unwrap().ledger();
        assert_eq!(ledger.check(), Vec::<String>::new(), "order {order:?}");
        let books: Vec<Value> = ledger
            .orders
            .iter()
            .map(|order| {
                json!({
                    "warehouse": order.warehouse.iter().map(|entry| json!([entry.ordered, entry.shipments.len()])).collect::<Vec<_>>(),
                    "store": order.fulfilments.iter().map(|entry| json!(entry.units)).collect::<Vec<_>>(),
                    "gateway": order.gateway.as_ref().map(|entry| json!([entry.captures, entry.refunds])),
                })
            })
            .collect();
        let books = json!(books);
        assert_eq!(expected.get_or_insert_with(|| books.clone()), &books, "order {order:?}");
    }
}

//! The messages of one order from four accounts, in every order and with duplicates: the same state, the same intents
//! and the same books at the partners (P4). Created, changed to five units and back to three (A, B, A), all within the
//! one second that the store's versions know; the payment may come before the order, the parcel before both.
//!
//! State and intents are compared for each of the 5,040 orders of the seven messages, while nothing is delivered.
//!
//! Books need deliveries, and then four of the messages are answers to what the daemon itself did: no warehouse sends a
//! parcel before it was told of the order, and no gateway takes money that nobody captured, so these cannot come first
//! to a daemon that still has to act. They can to one that has acted and forgotten it: a daemon restored from an empty
//! backup, whose partners have it all in their books. So the books are compared in two ways: all seven messages in
//! orders drawn by seed (one of eight; all with `CROSSDOCK_PERMUTATIONS=all`) to such a daemon, after which the books
//! must be, to the letter, what they were; and every order of the messages that come before the release to a daemon
//! that has yet to act.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossdock::canonical::{EntityKind, Intent, IntentState};
use crossdock::ports::{Clock as _, ExceptionQuery};
use crossdock::sandbox::{Delivery, LineSpec, OrderSpec, Payment, World};
use serde_json::{Value, json};

use crate::clock::Dice;
use crate::histories::{ready, unsettled};
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

/// A whole life of one order: placed, changed to five units and back again, and paid, all within one second; sent, under
/// way. Gives what the partners said, and the partners.
fn record() -> (Vec<Delivery>, Stage) {
    let (mut stage, id) = fresh();
    for quantity in [5, 3] {
        stage.run(Duration::from_millis(300), &mut |_| false);
        act(&stage, |world| world.edit_order(id, &[("TEA-01".to_owned(), quantity)])).unwrap();
    }
    stage.run(Duration::from_millis(300), &mut |_| false);
    act(&stage, |world| world.pay_order(id)).unwrap();
    stage.run(Duration::from_mins(5), &mut |_| false);
    (stage.heard.clone(), stage)
}

/// Seven of the messages, from four accounts.
fn seven(heard: &[Delivery]) -> [Delivery; 7] {
    let messages = [
        pick(heard, "shopify", "orders/create", 0),
        pick(heard, "shopify", "orders/updated", 0),
        pick(heard, "shopify", "orders/updated", 1),
        pick(heard, "stripe", "payment_intent.amount_capturable_updated", 0),
        pick(heard, "shiphero", "Shipment Update", 0),
        pick(heard, "easypost", "tracker.updated", 0),
        pick(heard, "stripe", "payment_intent.succeeded", 0),
    ];
    let told = |hook: &Delivery| {
        let body: Value = serde_json::from_slice(&hook.body).unwrap();
        let units = body["line_items"][0]["current_quantity"].clone();
        (body["updated_at"].clone(), units)
    };
    let [(one, a), (two, b), (three, c)] = [0, 1, 2].map(|index| told(&messages[index]));
    assert!(one == two && two == three, "several in one second: {one} {two} {three}");
    assert_eq!((a, b, c), (json!(3), json!(5), json!(3)), "A, B, A");
    messages
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
            let mut state = record.state.value();
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

/// Hands the messages over in this order: every third time one of them once more, every fifth time with the work on each
/// between them.
fn hand(stage: &mut Stage, messages: &[Delivery], order: &[usize], index: usize) {
    for at in order {
        assert_eq!(stage.hand(&messages[*at]), 200);
        if index.is_multiple_of(5) {
            stage.run(Duration::ZERO, &mut |_| false);
        }
    }
    if index.is_multiple_of(3) {
        assert_eq!(stage.hand(&messages[index % messages.len()]), 200);
    }
    settle(stage);
}

/// Does `work` with all numbers below `count`, on all processors.
fn each(count: usize, work: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    if index >= count {
                        return;
                    }
                    work(index);
                }
            });
        }
    });
}

#[test]
fn every_order_of_seven_messages_gives_the_same_state_and_intents() {
    let (heard, _) = record();
    let messages = seven(&heard);
    let orders = orders(messages.len());
    assert_eq!(orders.len(), 5040);
    let live = |order: &[usize], index: usize| {
        let mut stage =
            Stage::new(town::shared(), town::partners(SEED, town::settings()), SEED, Vec::new(), 0);
        stage.deliver = false;
        // Whether what follows for stock is worked out at once or goes out as messages makes no difference.
        stage.alone = index.is_multiple_of(2);
        hand(&mut stage, &messages, order, index);
        at_rest(&stage)
    };
    let expected = live(&orders[0], 1);
    let line = &expected["orders"][0]["state"]["lines"][0];
    let wanted = line["ordered"].as_u64().zip(line["cancelled"].as_u64()).map(|(all, off)| all - off);
    assert_eq!(wanted, Some(3), "the last of A, B, A: {expected:#}");
    assert_eq!(expected["orders"].as_array().map(Vec::len), Some(1), "{expected:#}");
    each(orders.len(), |index| {
        let order = &orders[index];
        let found = live(order, index);
        assert!(found == expected, "order {order:?} gives\n{found:#}\ninstead of\n{expected:#}");
    });
}

/// What the partners have, without how far its parcels are: they travel on.
fn whole_books(stage: &Stage) -> Value {
    let mut books = serde_json::to_value(&stage.partners.lock().unwrap().ledger().orders).unwrap();
    for tracker in books[0]["trackers"].as_array_mut().into_iter().flatten() {
        *tracker = tracker[0].clone();
    }
    books
}

#[test]
fn any_order_of_seven_messages_to_a_daemon_that_forgot_all_leaves_the_books_as_they_are() {
    let (heard, lived) = record();
    let messages = seven(&heard);
    let books = whole_books(&lived);
    assert_eq!(lived.partners.lock().unwrap().ledger().check(), Vec::<String>::new());
    let after = lived.partners.lock().unwrap().clone();
    let mut dice = Dice::new(SEED);
    let all = std::env::vars().any(|(name, value)| name == "CROSSDOCK_PERMUTATIONS" && value == "all");
    let orders: Vec<Vec<usize>> =
        orders(messages.len()).into_iter().filter(|_| dice.below(8) == 0 || all).collect();
    assert!(orders.len() > 500);
    println!("{} of 5040 orders", orders.len());
    each(orders.len(), |index| {
        let order = &orders[index];
        let mut stage = Stage::new(town::shared(), after.clone(), SEED, Vec::new(), 0);
        stage.clock.reach(lived.clock.now());
        stage.careful = true;
        stage.alone = index.is_multiple_of(2);
        stage.deliver = false;
        hand(&mut stage, &messages, order, index);
        stage.deliver = true;
        stage.run(Duration::from_mins(2), &mut |_| false);
        assert_eq!(unsettled(&ready(stage.store().counts())), Vec::<String>::new(), "order {order:?}");
        let found = whole_books(&stage);
        assert!(found == books, "order {order:?} gives\n{found:#}\ninstead of\n{books:#}");
    });
}

#[test]
fn every_order_of_what_comes_before_the_release_gives_the_same_books() {
    let (heard, _) = record();
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

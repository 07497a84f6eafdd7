//! How several warehouses share an order.

use crossdock::canonical::Body;
use crossdock::canonical::IntentState::{Done, InFlight, Rejected, Withdrawn};
use crossdock::canonical::order::Release;
use serde_json::{Value, json};

use crate::bench::{Bench, FLOW, at, authorised, placed, shipped};

/// A flow of three warehouses of which two may share an order.
pub fn flow() -> String {
    FLOW.replace("[\"east\"]", "[\"east\", \"west\", \"mall\"]")
        .replace("storefronts = [\"shop\", \"mall\"]", "storefronts = [\"shop\"]")
        .replace("gateway ", "split = { by = \"stock\" }\ngateway ")
        .replace("reserve     = false", "reserve = true")
}

/// What the stock of each warehouse answers to what it is asked: (warehouse, SKU, units that are there). What is not
/// named is not there.
pub fn answer(bench: &mut Bench, stock: &[(&str, &str, u64)]) {
    for turn in 1..20 {
        let asks = bench.order().asks.clone();
        let mut news = Vec::new();
        for ask in asks.iter().filter(|ask| ask.quantity > 0) {
            let there = stock.iter().find(|(at, sku, _)| *at == ask.warehouse && *sku == ask.sku);
            let reserved = there.map_or(0, |(.., units)| *units).min(ask.quantity);
            let known = bench.order().stock.iter().any(|known| {
                known.warehouse.as_str() == ask.warehouse
                    && known.sku == ask.sku
                    && (known.reserved, known.generation) == (reserved, ask.generation)
            });
            if !known {
                news.push(json!({ "is": "stock.answer", "sku": ask.sku, "warehouse": ask.warehouse,
                    "reserved": reserved, "short": ask.quantity - reserved, "generation": ask.generation,
                    "turn": bench.now + turn }));
            }
        }
        if news.is_empty() {
            return;
        }
        for told in news {
            bench.ours(told);
        }
    }
    panic!("the stock is asked for ever");
}

fn begun(lines: &[(&str, &str, u64)], stock: &[(&str, &str, u64)]) -> Bench {
    let mut bench = Bench::with(&flow(), &[]);
    let total: u64 = lines.iter().map(|(.., units)| units * 10).sum();
    bench.tell("shop", placed(0, lines)).tell("pay", authorised(&format!("{total}.00 USD")));
    answer(&mut bench, stock);
    bench
}

fn accepted(name: &str) -> Value {
    json!({ "is": "fulfilment.accepted", "warehouse_order": name, "at": at(2) })
}

/// Sends the part of a warehouse, which answers that it has it.
fn take(bench: &mut Bench, warehouse: &str) -> Vec<(String, u64)> {
    let told = bench.send(&format!("release/{warehouse}"), Done);
    bench.tell(warehouse, accepted(&format!("of-{warehouse}")));
    lines(&told)
}

fn lines(told: &Value) -> Vec<(String, u64)> {
    let lines = told["lines"].as_array().unwrap().iter();
    lines.map(|line| (line["ref"].as_str().unwrap().to_owned(), line["quantity"].as_u64().unwrap())).collect()
}

fn part(units: &[(&str, u64)]) -> Vec<(String, u64)> {
    units.iter().map(|(line, units)| ((*line).to_owned(), *units)).collect()
}

fn release<'b>(bench: &'b Bench, warehouse: &str) -> &'b Release {
    bench.order().releases.iter().find(|one| one.warehouse.as_str() == warehouse).unwrap()
}

#[test]
fn one_that_has_all_sends_all_though_an_earlier_choice_has_some() {
    let mut bench =
        begun(&[("l1", "A", 2), ("l2", "B", 1)], &[("east", "A", 2), ("west", "A", 9), ("west", "B", 9)]);
    assert_eq!(bench.pending(), ["release/west"]);
    assert_eq!(release(&bench, "west").why.as_deref(), Some("it could send the whole order"));
    assert_eq!(take(&mut bench, "west"), part(&[("l1", 2), ("l2", 1)]));
    let given_back = bench.order().asks.iter().all(|ask| ask.warehouse == "west" || ask.quantity == 0);
    assert!(given_back, "{:?}", bench.order().asks);
}

#[test]
fn two_share_what_none_has_and_each_is_told_its_part_once() {
    let stock = [("east", "A", 9), ("west", "B", 9), ("mall", "B", 9)];
    let mut bench = begun(&[("l1", "A", 2), ("l2", "B", 1)], &stock);
    assert_eq!(bench.pending(), ["release/east", "release/west"]);
    assert_eq!(take(&mut bench, "east"), part(&[("l1", 2)]));
    answer(&mut bench, &stock);
    assert_eq!(bench.pending(), ["release/west"]);
    assert_eq!(take(&mut bench, "west"), part(&[("l2", 1)]));
    answer(&mut bench, &stock);
    assert!(bench.pending().is_empty());
    let asked: Vec<(&str, &str, u64)> = bench
        .order()
        .asks
        .iter()
        .filter(|ask| ask.quantity > 0)
        .map(|ask| (ask.warehouse.as_str(), ask.sku.as_str(), ask.quantity))
        .collect();
    assert_eq!(asked, [("east", "A", 2), ("west", "B", 1)]);
    assert_eq!(bench.order().lines.iter().map(|line| line.released).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(release(&bench, "west").why.as_deref(), Some("no warehouse could send the whole order"));

    // Both ship, under a name that both use; the store is told of each, the gateway once.
    bench.tell("east", shipped("77", 50, Some("1ZE"), &[("A", 2)]));
    assert_eq!(bench.phase(), "partly_shipped");
    assert_eq!(bench.pending(), ["capture/pi_1", "fulfilment/77", "tracker/1ZE"]);
    bench.send("fulfilment/77", Done);
    bench.send("capture/pi_1", Done);
    bench.tell("west", shipped("77", 40, Some("1ZW"), &[("B", 1)]));
    assert_eq!(bench.pending(), ["fulfilment/77@west", "tracker/1ZE", "tracker/1ZW"]);
    let told = bench.send("fulfilment/77@west", Done);
    assert_eq!(
        (&told["shipment"]["tracking"], &told["shipment"]["warehouse"]),
        (&json!(["1ZW"]), &json!("west"))
    );
    assert_eq!(told["shipment"]["lines"], json!([{ "line": "l2", "sku": "B", "quantity": 1 }]));
    assert_eq!(bench.phase(), "shipped");
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

#[test]
fn one_line_is_shared_unit_by_unit_where_nobody_has_all_of_it() {
    let stock = [("east", "A", 2), ("west", "A", 3)];
    let mut bench = begun(&[("l1", "A", 4)], &stock);
    assert_eq!(take(&mut bench, "east"), part(&[("l1", 2)]));
    answer(&mut bench, &stock);
    assert_eq!(take(&mut bench, "west"), part(&[("l1", 2)]));
    // What a warehouse says without naming lines is about its own part.
    bench.tell("east", json!({ "is": "fulfilment.packed", "warehouse_order": "of-east", "at": at(30) }));
    assert_eq!(bench.order().lines[0].packed, 2);
    let whole = json!({ "is": "fulfilment.shipped", "shipment": "s1", "warehouse_order": "of-east", "at": at(40),
        "packages": [{ "tracking": "1ZE" }] });
    bench.tell("east", whole);
    assert_eq!((bench.order().lines[0].shipped, bench.phase()), (2, "partly_shipped"));
    bench.tell("west", shipped("s2", 41, Some("1ZW"), &[("A", 2)]));
    assert_eq!((bench.order().lines[0].shipped, bench.phase()), (4, "shipped"));
}

#[test]
fn it_waits_and_says_for_what_where_no_two_have_it() {
    let stock = [("east", "A", 1), ("west", "B", 1), ("mall", "C", 1)];
    let bench = begun(&[("l1", "A", 1), ("l2", "B", 1), ("l3", "C", 1)], &stock);
    assert_eq!((bench.pending(), bench.order().waits.clone()), (vec![], vec!["split".to_owned()]));
    let mut bench = begun(&[("l1", "A", 1), ("l2", "B", 2)], &[("east", "A", 1), ("west", "B", 1)]);
    assert_eq!((bench.pending(), bench.order().waits.clone()), (vec![], vec!["stock:B".to_owned()]));
    assert_eq!(bench.phase(), "backordered");
    answer(&mut bench, &[("east", "A", 1), ("west", "B", 2)]);
    assert_eq!(bench.pending(), ["release/east", "release/west"]);
}

#[test]
fn what_a_warehouse_carries_says_who_sends_what_without_stock() {
    let flow = flow().replace("reserve = true", "reserve = false")
        + "[flow.acme.carries]\neast = [\"TEA-*\"]\nwest = [\"CUP-01\"]\nmall = []\n";
    let mut bench = Bench::with(&flow, &[]);
    bench
        .tell("shop", placed(0, &[("l1", "CUP-01", 1), ("l2", "TEA-02", 2)]))
        .tell("pay", authorised("30.00 USD"));
    assert_eq!(lines(&bench.content("release/east").unwrap()), part(&[("l2", 2)]));
    assert_eq!(lines(&bench.content("release/west").unwrap()), part(&[("l1", 1)]));
    let mut bench = Bench::with(&flow, &[]);
    bench.tell("shop", placed(0, &[("l1", "POT-01", 1)])).tell("pay", authorised("10.00 USD"));
    assert_eq!((bench.pending(), bench.order().waits.clone()), (vec![], vec!["split".to_owned()]));
}

#[test]
fn what_was_told_stays_where_it_is_when_the_stock_changes() {
    let stock = [("east", "A", 2), ("west", "B", 1)];
    let mut bench = begun(&[("l1", "A", 2), ("l2", "B", 1)], &stock);
    bench.send("release/east", InFlight);
    // West has lost its unit, mall has everything: only what nobody was told of goes there.
    let now = [("east", "A", 2), ("mall", "A", 5), ("mall", "B", 5)];
    answer(&mut bench, &now);
    assert_eq!(bench.pending(), ["release/mall"]);
    assert_eq!(bench.slots(Withdrawn), ["release/west"]);
    assert_eq!(take(&mut bench, "mall"), part(&[("l2", 1)]));
    assert_eq!(bench.slots(InFlight), ["release/east"]);
}

#[test]
fn an_edit_is_told_to_the_warehouse_that_it_concerns() {
    let stock = [("east", "A", 9), ("west", "B", 9)];
    let mut bench = begun(&[("l1", "A", 2), ("l2", "B", 2)], &stock);
    take(&mut bench, "east");
    answer(&mut bench, &stock);
    take(&mut bench, "west");
    bench.tell("shop", placed(20, &[("l1", "A", 2), ("l2", "B", 1)]));
    answer(&mut bench, &stock);
    assert_eq!(bench.pending(), ["change/west"]);
    assert_eq!(lines(&bench.send("change/west", Done)), part(&[("l2", 1)]));
    // More of it goes to who has it.
    bench.tell("shop", placed(30, &[("l1", "A", 3), ("l2", "B", 1)]));
    answer(&mut bench, &stock);
    assert_eq!(bench.pending(), ["change/east"]);
    assert_eq!(lines(&bench.send("change/east", Done)), part(&[("l1", 3)]));
    // A line that is gone is called back there alone.
    let mut gone = placed(40, &[("l1", "A", 3), ("l2", "B", 1)]);
    gone["lines"][1]["current"] = json!(0);
    bench.tell("shop", gone);
    answer(&mut bench, &stock);
    assert_eq!(bench.pending(), ["cancel/west"]);
    bench.send("cancel/west", Done);
    assert!(bench.pending().is_empty());
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

#[test]
fn what_was_called_back_is_not_counted_on_though_some_of_it_left() {
    let stock = [("east", "A", 9), ("west", "B", 9), ("mall", "B", 9)];
    let mut bench = begun(&[("l1", "A", 1), ("l2", "B", 2)], &stock);
    take(&mut bench, "east");
    answer(&mut bench, &stock);
    take(&mut bench, "west");
    bench.tell("west", shipped("s1", 30, Some("1Z"), &[("B", 1)]));
    bench.tell("shop", placed(40, &[("l1", "A", 1), ("l2", "B", 1)]));
    assert!(bench.pending().contains(&"cancel/west".to_owned()), "{:?}", bench.pending());
    bench.send("cancel/west", Done);
    bench.tell("shop", placed(50, &[("l1", "A", 1), ("l2", "B", 2)]));
    answer(&mut bench, &stock);
    assert_eq!(bench.order().waits, ["split"], "two warehouses have sent or send already");
    bench.config = crate::bench::config(&flow().replace("\"stock\" }", "\"stock\", warehouses = 3 }"), &[]);
    bench.plan(&[]);
    answer(&mut bench, &stock);
    assert_eq!(lines(&bench.content("release/mall").unwrap()), part(&[("l2", 1)]));
}

#[test]
fn what_a_warehouse_refuses_another_one_sends() {
    let stock = [("east", "A", 9), ("west", "B", 9), ("mall", "B", 9)];
    let mut bench = begun(&[("l1", "A", 1), ("l2", "B", 1)], &stock);
    take(&mut bench, "east");
    answer(&mut bench, &stock);
    take(&mut bench, "west");
    let no = json!({ "is": "fulfilment.cancelled", "warehouse_order": "of-west", "at": at(60), "reason": "broken" });
    bench.tell("west", no.clone());
    answer(&mut bench, &stock);
    assert_eq!(bench.pending(), ["release/mall"]);
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
    assert_eq!(take(&mut bench, "mall"), part(&[("l2", 1)]));
    assert_eq!(bench.order().lines[1].released, 1);
    // The last one refuses, too: a person must see to it.
    bench.tell("mall", json!({ "is": "fulfilment.rejected", "warehouse_order": "of-mall", "at": at(70) }));
    answer(&mut bench, &stock);
    assert!(bench.pending().is_empty());
    assert_eq!(bench.order().waits, ["stock:B"], "east, which sends the rest of the order, has none");
    assert!(bench.kinds().contains(&"warehouse_cancelled".to_owned()), "{:?}", bench.troubles());
}

#[test]
fn a_refused_part_waits_until_it_is_mended_while_the_other_goes() {
    let stock = [("east", "A", 9), ("west", "B", 9)];
    let mut bench = begun(&[("l1", "A", 1), ("l2", "B", 1)], &stock);
    bench.send("release/west", Rejected);
    answer(&mut bench, &stock);
    assert_eq!(take(&mut bench, "east"), part(&[("l1", 1)]));
    answer(&mut bench, &stock);
    assert_eq!((bench.pending(), bench.slots(Rejected)), (vec![], vec!["release/west".to_owned()]));
    let mut told = placed(10, &[("l1", "A", 1), ("l2", "B", 1)]);
    told["ship_to"]["postal_code"] = json!("02111");
    bench.tell("shop", told);
    assert_eq!(bench.pending(), ["change/east", "release/west#1"]);
}

#[test]
fn a_cancellation_goes_to_each_that_has_not_sent() {
    let stock = [("east", "A", 9), ("west", "B", 9)];
    let mut bench = begun(&[("l1", "A", 1), ("l2", "B", 1)], &stock);
    take(&mut bench, "east");
    answer(&mut bench, &stock);
    take(&mut bench, "west");
    bench.tell("east", shipped("s1", 30, Some("1Z"), &[("A", 1)]));
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50) }));
    let pending = bench.pending();
    assert!(
        pending.contains(&"cancel/west".to_owned()) && !pending.contains(&"cancel/east".to_owned()),
        "{pending:?}"
    );
    bench.send("cancel/west", Done);
    assert_eq!(bench.phase(), "cancelled_after_shipped");
    let asks = bench.order().asks.clone();
    assert!(asks.iter().all(|ask| ask.warehouse == "east" || ask.quantity == 0), "{asks:?}");
}

#[test]
fn a_hold_between_the_parts_keeps_the_second() {
    let stock = [("east", "A", 9), ("west", "B", 9)];
    let mut bench = begun(&[("l1", "A", 1), ("l2", "B", 1)], &stock);
    take(&mut bench, "east");
    answer(&mut bench, &stock);
    bench.tell("shop", json!({ "is": "order.held", "order": "1", "hold": "fraud", "at": at(10) }));
    assert_eq!((bench.pending(), bench.order().waits.clone()), (vec![], vec!["hold:fraud".to_owned()]));
    bench.tell(
        "shop",
        json!({ "is": "order.held", "order": "1", "hold": "fraud", "at": at(20), "released": true }),
    );
    answer(&mut bench, &stock);
    assert_eq!(bench.pending(), ["release/west"]);
}

#[test]
fn parts_stand_when_the_flow_stops_splitting_and_whole_orders_stay_whole_when_it_begins() {
    let stock = [("east", "A", 9), ("west", "B", 9)];
    let mut bench = begun(&[("l1", "A", 1), ("l2", "B", 1)], &stock);
    take(&mut bench, "east");
    answer(&mut bench, &stock);
    take(&mut bench, "west");
    bench.config = crate::bench::config(&flow().replace("split = { by = \"stock\" }\n", ""), &[]);
    bench.plan(&[]);
    answer(&mut bench, &stock);
    assert!(bench.pending().is_empty(), "{:?}", bench.pending());

    let never = flow().replace("split = { by = \"stock\" }\n", "");
    let mut bench = Bench::with(&never, &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 1), ("l2", "B", 1)])).tell("pay", authorised("20.00 USD"));
    answer(&mut bench, &[("east", "A", 9), ("east", "B", 9)]);
    let args = bench.intents[0].args.clone();
    assert!(args.is_empty(), "nothing more is said of an order that is never split: {args:?}");
    take(&mut bench, "east");
    bench.config = crate::bench::config(&flow(), &[]);
    bench.plan(&[]);
    answer(&mut bench, &stock);
    assert!(bench.pending().is_empty(), "{:?}", bench.pending());
    assert!(!release(&bench, "east").in_part());
}

#[test]
fn units_are_given_back_when_the_order_is_cancelled_before_anything_went() {
    let mut bench = begun(&[("l1", "A", 1), ("l2", "B", 2)], &[("east", "A", 1), ("west", "B", 1)]);
    bench.tell("shop", json!({ "is": "order.cancelled", "order": "1", "at": at(50) }));
    let mails = &bench.last.as_ref().unwrap().mails;
    assert!(
        mails.iter().all(|(.., body)| matches!(body, Body::StockAsk(ask) if ask.quantity == 0)),
        "{mails:?}"
    );
    assert_eq!((bench.order().asks.len(), bench.phase()), (0, "cancelled"));
}

#[test]
fn what_left_by_other_ways_is_nobodys_part() {
    let mut bench = Bench::with(&flow(), &[]);
    bench.tell("shop", placed(0, &[("l1", "A", 2), ("l2", "B", 1)]));
    let by_hand = json!({ "is": "fulfilment.recorded", "order": "1", "ref": "f1", "at": at(1),
                          "lines": [{ "line": "l1", "quantity": 1 }] });
    bench.tell("shop", by_hand).tell("pay", authorised("30.00 USD"));
    let stock = [("east", "A", 1), ("west", "B", 9)];
    answer(&mut bench, &stock);
    assert_eq!(take(&mut bench, "east"), part(&[("l1", 1)]));
    answer(&mut bench, &stock);
    assert_eq!(take(&mut bench, "west"), part(&[("l2", 1)]));
    answer(&mut bench, &stock);
    assert_eq!(bench.phase(), "partly_shipped");
    assert_eq!(bench.order().lines.iter().map(|line| line.shipped).collect::<Vec<_>>(), [1, 0]);
    bench.tell("east", shipped("s1", 50, Some("1ZE"), &[("A", 1)])).send_all();
    bench.tell("west", shipped("s2", 60, Some("1ZW"), &[("B", 1)])).send_all();
    assert_eq!(bench.phase(), "shipped");
    assert!(bench.kinds().is_empty(), "{:?}", bench.troubles());
}

//! When an order goes to its warehouse, to which, and what holds it back.

use crossdock::canonical::Body;
use crossdock::canonical::IntentState::{Done, Rejected, Withdrawn};
use serde_json::json;

use crate::bench::{Bench, FLOW, address, at, authorised, placed, shipped};
use crate::{accepted, released};

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
    bench.config = crate::bench::config(&flow, &[("lists/acme.csv", more)]);
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

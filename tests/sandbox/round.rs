//! An order goes all the way round, by hand.

use crossdock::sandbox::{Expect, OrderSpec};

use crate::client::{Client, order};

#[test]
fn goes_round_and_both_sides_agree() {
    let mut client = Client::new(1);
    let mut placed = Vec::new();
    for parcels in 1..=5 {
        let spec = OrderSpec { parcels, ..order(&[("TEA-01", 3), ("POT-01", 1), ("0012345", 2)]) };
        placed.push(client.world.place_order(spec));
        client.pass(1);
    }
    assert!(placed[3].id > 1 << 53 && placed[3].id % 2 == 1, "an id that no float holds");
    let before = client.world.ledger().check();
    assert_eq!(before.len(), 5, "{before:?}");
    for it in &placed {
        client.serve(it.id);
    }
    client.pass(60);
    let ledger = client.world.ledger();
    assert_eq!(ledger.check(), Vec::<String>::new());
    let entry = &ledger.orders[2];
    assert_eq!(entry.warehouse[0].shipments.len(), 3);
    assert_eq!(entry.fulfilments.len(), 3);
    assert_eq!(entry.gateway.as_ref().unwrap().captures, [entry.total]);
    assert!(entry.trackers.iter().all(|(_, status)| status == "delivered"), "{:?}", entry.trackers);
    let stock = ledger.stock.iter().find(|it| it.sku == "TEA-01").unwrap();
    assert_eq!((stock.on_hand, stock.available), (Some(99_985), Some(99_985)));
}

#[test]
fn is_the_same_for_the_same_seed() {
    let run = |seed| {
        let mut settings = crossdock::sandbox::Settings::default();
        settings.faults.insert(crossdock::sandbox::Fault::WebhookTwice, 0.5);
        settings.faults.insert(crossdock::sandbox::Fault::WebhookLate, 0.3);
        let mut client = Client::with(seed, settings);
        let placed = client.world.place_order(order(&[("TEA-01", 2)]));
        client.pass(60);
        client.serve(placed.id);
        client.pass(60);
        let heard: Vec<_> = client.heard.iter().map(|it| (it.headers.clone(), it.body.clone())).collect();
        (client.world.ledger(), heard)
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).1, run(6).1);
}

#[test]
fn the_ledger_sees_what_is_wrong() {
    let mut client = Client::new(2);
    let twice = client.world.place_order(order(&[("TEA-01", 1)]));
    let late =
        client.world.place_order(OrderSpec { expect: Expect::CancelledInTime, ..order(&[("TEA-02", 1)]) });
    client.pass(1);
    client.serve(twice.id);
    client.serve(late.id);
    client.world.cancel_order(late.id).unwrap();
    let first = client.heard.iter().find(|it| it.topic == "orders/create").unwrap();
    let data = crate::client::warehouse_order(&crate::client::body(first));
    client.shiphero(&crate::client::document("shiphero/order-create"), &serde_json::json!({ "data": data }));
    let wrong = client.world.ledger().check();
    for part in [
        "#1001: is 2 times in the warehouse",
        "#1002: cancelled in time, but it was sent",
        "#1002: cancelled in time, but the money",
    ] {
        assert!(wrong.iter().any(|it| it.starts_with(part)), "{part}: {wrong:?}");
    }
}

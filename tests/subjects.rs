//! Whose fact it is: which names find an order, and which are linked to it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/orders.rs"]
mod bench;

use bench::{FLOW, config, fact, placed};
use crossdock::apply::{Subject, stock_key, subject};
use crossdock::canonical::{ClientId, EntityId};
use serde_json::{Value, json};

fn of(account: &str, told: Value) -> Subject {
    let config = config(FLOW, &[]);
    let fact = fact(account, 1, told);
    subject(&fact.account, &fact.header, &config, Some(&ClientId::from("acme")), &fact.body)
}

fn names(list: &[crossdock::canonical::ExternalRef]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

#[test]
fn a_snapshot_of_a_storefront_creates_the_order_and_links_its_names() {
    let found = of("shop", placed(0, &[]));
    let id = EntityId::order(&"acme".into(), &"shop".into(), "1");
    assert_eq!((found.creates.as_ref(), found.direct.as_ref()), (Some(&id), Some(&id)));
    let links = names(&found.links);
    assert_eq!(
        links,
        ["shop/order/1".to_owned(), "shop/number/1001".to_owned(), format!("client:acme/our/{id}")]
    );
    assert_eq!(of("east", placed(0, &[])).creates, None, "a warehouse places no orders");
}

#[test]
fn a_gateway_finds_the_order_by_the_storefronts_id_or_number_in_any_storefront() {
    let found = of(
        "pay",
        json!({ "is": "payment.captured", "payment": "pi_1", "store_order": "#1001", "amount": "1.00 USD" }),
    );
    assert_eq!(
        names(&found.candidates),
        ["pay/payment/pi_1", "shop/order/#1001", "shop/number/1001", "mall/order/#1001", "mall/number/1001"]
    );
    assert_eq!(names(&found.links), ["pay/payment/pi_1"], "a name that is only looked for is not linked");
}

#[test]
fn what_a_storefront_calls_the_gateways_payment_is_linked_for_the_gateway() {
    let found = of(
        "shop",
        json!({ "is": "payment.authorised", "order": "1", "payment": "pi_1", "amount": "1.00 USD" }),
    );
    assert_eq!(names(&found.links), ["shop/order/1", "shop/payment/pi_1", "pay/payment/pi_1"]);
}

#[test]
fn a_warehouse_finds_the_order_by_our_reference_and_links_parcels_for_the_client() {
    let found = of(
        "east",
        json!({ "is": "fulfilment.shipped", "our": "ord_x", "warehouse_order": "w1", "shipment": "s1",
                "number": "#1001", "packages": [{ "tracking": "1z 99-9" }] }),
    );
    let candidates = names(&found.candidates);
    for name in
        ["client:acme/our/ord_x", "east/warehouse_order/w1", "shop/number/1001", "client:acme/tracking/1Z999"]
    {
        assert!(candidates.iter().any(|known| known == name), "{name} in {candidates:?}");
    }
    assert_eq!(
        names(&found.links),
        ["east/warehouse_order/w1", "east/shipment/s1", "client:acme/tracking/1Z999"]
    );
    let scan = of("parcels", json!({ "is": "tracking.event", "tracking": "1Z999", "status": "delivered" }));
    assert_eq!(names(&scan.candidates), ["client:acme/tracking/1Z999"]);
}

#[test]
fn levels_go_to_the_stock_of_our_sku() {
    let flow = FLOW.replace("gateway ", "skus = \"lists/acme.csv\"\ngateway ");
    let config = config(&flow, &[("lists/acme.csv", "account,theirs,ours,each\neast,CASE-A,A,6\n")]);
    let told = fact("east", 1, json!({ "is": "inventory.level", "sku": "CASE-A", "on_hand": 2 }));
    let client = ClientId::from("acme");
    let found = subject(&told.account, &told.header, &config, Some(&client), &told.body);
    assert_eq!(found.direct, Some(EntityId::stock(&client, &"east".into(), "A")));
    let key = stock_key(&told.account, &told.body, &client, &config).unwrap();
    assert_eq!((key.sku.as_str(), key.id()), ("A", found.direct.unwrap()));
}

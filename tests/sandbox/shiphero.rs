use crossdock::sandbox::{OrderSpec, Settings};
use serde_json::json;

use crate::client::{Client, body, document, documents, order, warehouse_order};

fn placed(client: &mut Client, spec: OrderSpec) -> serde_json::Value {
    client.world.place_order(spec);
    client.pass(1);
    let hook = client.heard.iter().rev().find(|it| it.topic == "orders/create").unwrap();
    warehouse_order(&body(hook))
}

#[test]
fn tokens_are_checked_and_end() {
    let mut settings = Settings::default();
    settings.timing.token_life = std::time::Duration::from_mins(1);
    let mut client = Client::with(1, settings);
    assert_eq!(client.send("shiphero", "POST", "/auth/refresh", &[], r#"{"refresh_token":"x"}"#).status, 401);
    assert_eq!(client.send("shiphero", "POST", "/graphql", &[], "{}").status, 401);
    assert_eq!(
        client.send("shiphero", "POST", "/graphql", &[("Authorization", "Bearer x")], "{}").status,
        401
    );
    assert!(
        client.shiphero("{ account { data { id } } }", &json!({}))["data"]["account"]["data"]["id"]
            .is_string()
    );
    client.pass(61);
    let bearer = format!("Bearer {}", client.token.clone().unwrap());
    assert_eq!(client.send("shiphero", "POST", "/graphql", &[("Authorization", &bearer)], "{}").status, 401);
}

#[test]
fn every_document_of_the_connector_is_accepted() {
    let mut client = Client::new(1);
    let documents = documents("shiphero");
    assert!(documents.len() > 5);
    for text in documents {
        let answer = client.shiphero(&text, &json!({}));
        for error in answer["errors"].as_array().into_iter().flatten() {
            let message = error["message"].as_str().unwrap();
            assert!(message.contains("was provided invalid value"), "{text}: {error}");
        }
    }
}

#[test]
fn takes_the_same_reference_twice() {
    let mut client = Client::new(1);
    let data = placed(&mut client, order(&[("TEA-01", 1)]));
    for _ in 0..2 {
        let made = client.shiphero(&document("shiphero/order-create"), &json!({ "data": data }));
        assert_eq!(made["data"]["order_create"]["order"]["partner_order_id"], data["partner_order_id"]);
    }
    let found = client.shiphero(
        &document("shiphero/order-by-reference"),
        &json!({ "partner_order_id": data["partner_order_id"], "customer_account_id": "" }),
    );
    assert_eq!(found["data"]["orders"]["data"]["edges"].as_array().unwrap().len(), 2);
    assert_eq!(client.world.ledger().never(), ["#1001: is 2 times in the warehouse"]);
}

#[test]
fn refuses_unknown_skus_and_bad_addresses_in_http_200() {
    let mut client = Client::new(1);
    let data = placed(&mut client, order(&[("GHOST-01", 1)]));
    let refused = client.shiphero(&document("shiphero/order-create"), &json!({ "data": data }));
    assert_eq!(refused["errors"][0]["message"], "Product with sku GHOST-01 not found");
    assert_eq!(refused["errors"][0]["operation"], "order_create");
    assert!(refused["data"]["order_create"].is_null());
    let mut data = placed(&mut client, order(&[("TEA-01", 1)]));
    data["shipping_address"]["city"] = json!("");
    let refused = client.shiphero(&document("shiphero/order-create"), &json!({ "data": data }));
    assert_eq!(refused["errors"][0]["message"], "shipping_address: city is required");
    assert!(client.world.ledger().orders.iter().all(|it| it.warehouse.is_empty()));
}

#[test]
fn allocates_sends_and_tells() {
    let mut client = Client::new(1);
    let data = placed(&mut client, OrderSpec { parcels: 2, ..order(&[("TEA-01", 2), ("POT-01", 2)]) });
    client.shiphero(&document("shiphero/order-create"), &json!({ "data": data }));
    client.pass(30);
    assert_eq!(
        client.topics("shiphero"),
        ["Order Allocated", "Shipment Update", "Inventory Update", "Shipment Update", "Inventory Update"]
    );
    let allocated = client.last("Order Allocated");
    assert_eq!(
        (&allocated["ready_to_ship"], &allocated["partner_order_id"]),
        (&json!(1), &data["partner_order_id"])
    );
    let shipment = client.last("Shipment Update");
    assert_eq!(shipment["fulfillment"]["line_items"][0]["id"], data["line_items"][0]["partner_line_item_id"]);
    let level = client.last("Inventory Update");
    assert_eq!(level["inventory"][0]["on_hand"], "99998");
    let polled = client.shiphero(
        &document("shiphero/shipments"),
        &json!({ "first": 20, "date_from": "2026-11-02T08:00:00Z", "customer_account_id": "" }),
    );
    let edges = polled["data"]["shipments"]["data"]["edges"].as_array().unwrap();
    assert_eq!(edges.len(), 2);
    assert_eq!(edges[0]["node"]["order"]["order_number"], "#1001");
    let polled = client.shiphero(
        &document("shiphero/orders"),
        &json!({ "first": 20, "updated_from": "2026-11-02T08:00:00Z", "customer_account_id": "" }),
    );
    assert_eq!(polled["data"]["orders"]["data"]["edges"][0]["node"]["fulfillment_status"], "fulfilled");
}

#[test]
fn cancels_only_what_has_not_left() {
    let mut client = Client::new(1);
    let data = placed(&mut client, order(&[("TEA-01", 1)]));
    let create = |client: &mut Client, data: &serde_json::Value| {
        client.shiphero(&document("shiphero/order-create"), &json!({ "data": data }))["data"]["order_create"]
            ["order"]["id"]
            .clone()
    };
    let cancel = |client: &mut Client, id: &serde_json::Value| {
        client.shiphero(
            &document("shiphero/order-cancel"),
            &json!({ "data": { "order_id": id, "reason": "the buyer" } }),
        )
    };
    let id = create(&mut client, &data);
    assert_eq!(cancel(&mut client, &id)["data"]["order_cancel"]["order"]["fulfillment_status"], "canceled");
    assert!(cancel(&mut client, &id)["errors"][0]["message"].as_str().unwrap().contains("already cancel"));
    client.pass(30);
    assert_eq!(client.last("Order Canceled")["order_number"], "#1001");
    assert!(!client.topics("shiphero").contains(&"Shipment Update"));
    let data = placed(&mut client, order(&[("TEA-01", 1)]));
    let id = create(&mut client, &data);
    client.pass(30);
    assert!(
        cancel(&mut client, &id)["errors"][0]["message"].as_str().unwrap().contains("already been shipped")
    );
}

#[test]
fn lines_change_before_they_leave() {
    let mut client = Client::new(1);
    let data = placed(&mut client, order(&[("TEA-01", 1)]));
    let id =
        client.shiphero(&document("shiphero/order-create"), &json!({ "data": data }))["data"]["order_create"]
            ["order"]["id"]
            .clone();
    let current = client.shiphero(&document("shiphero/order"), &json!({ "id": id }));
    let line = &current["data"]["order"]["data"]["line_items"]["edges"][0]["node"]["id"];
    let changed = client.shiphero(
        &document("shiphero/order-change"),
        &json!({
            "order": { "order_id": id },
            "updates": { "order_id": id, "line_items": [{ "id": line, "quantity": 3 }] },
            "has_updates": true,
            "adds": { "order_id": id, "line_items": [] },
            "has_adds": false,
            "tags": { "order_id": id, "tags": ["crossdock-1"] },
        }),
    );
    assert_eq!(changed["data"]["order_add_tags"]["order"]["tags"], json!(["crossdock-1"]), "{changed}");
    assert!(changed["data"].get("order_add_line_items").is_none());
    assert_eq!(client.world.ledger().orders[0].warehouse[0].ordered["TEA-01"], 3);
}

#[test]
fn credits_run_out_inside_http_200() {
    let mut settings = Settings::default();
    (settings.limits.shiphero_size, settings.limits.shiphero_refill) = (1000.0, 1.0);
    let mut client = Client::with(1, settings);
    let ask = |client: &mut Client| {
        client.shiphero(&document("shiphero/orders"), &json!({ "first": 20, "customer_account_id": "" }))
    };
    let first = ask(&mut client);
    assert!(
        first["extensions"]["throttling"]["user_quota"]["credits_remaining"].as_f64().unwrap() < 1000.0,
        "{first}"
    );
    let mut last = first;
    for _ in 0..40 {
        last = ask(&mut client);
    }
    assert_eq!(last["errors"][0]["code"], 30, "{last}");
    assert!(last["errors"][0]["time_remaining"].as_str().unwrap().ends_with(" seconds"));
}

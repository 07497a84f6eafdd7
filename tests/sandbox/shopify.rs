use crossdock::sandbox::{OrderSpec, Payment, Settings};
use serde_json::{Value, json};

use crate::client::{Client, document, documents, order, value};

#[test]
fn refuses_a_wrong_token_and_unknown_paths() {
    let mut client = Client::new(1);
    let wrong = [("X-Shopify-Access-Token", "shpat_other")];
    let response = client.send("shopify", "POST", "/admin/api/2026-07/graphql.json", &wrong, "{}");
    assert_eq!(response.status, 401);
    assert!(value(&response)["errors"].as_str().unwrap().starts_with("[API] Invalid API key"));
    assert_eq!(client.send("shopify", "POST", "/admin/api/latest/orders.json", &wrong, "{}").status, 404);
}

#[test]
fn every_document_of_the_connector_is_accepted() {
    let mut client = Client::new(1);
    let documents = documents("shopify");
    assert!(documents.len() > 10);
    for text in documents {
        // Without variables the only trouble may be that they are missing.
        let answer = client.shopify(&text, &json!({}));
        for error in answer["errors"].as_array().into_iter().flatten() {
            assert_eq!(error["extensions"]["code"], "INVALID_VARIABLE", "{text}: {error}");
        }
    }
}

#[test]
fn polls_by_time_and_in_pages() {
    let mut client = Client::new(1);
    for _ in 0..5 {
        client.world.place_order(order(&[("TEA-01", 1)]));
        client.pass(10);
    }
    let mut names = Vec::new();
    let mut after = Value::Null;
    loop {
        let variables = json!({ "first": 2, "after": after, "query": "updated_at:>='2026-11-02T09:00:10Z'" });
        let page = client.shopify(&document("shopify/orders"), &variables);
        let orders = &page["data"]["orders"];
        names.extend(
            orders["nodes"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap().to_owned()),
        );
        if orders["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = orders["pageInfo"]["endCursor"].clone();
    }
    assert_eq!(names, ["#1002", "#1003", "#1004", "#1005"]);
}

#[test]
fn a_fulfilment_takes_no_more_than_is_open() {
    let mut client = Client::new(1);
    let placed = client.world.place_order(order(&[("TEA-01", 2)]));
    client.pass(1);
    let shipment = json!({ "tracking_number": "T1", "line_items": [{ "sku": "TEA-01", "quantity": 2 }] });
    client.fulfil(placed.id, &shipment);
    client.pass(1);
    assert_eq!(
        client.topics("shopify"),
        ["orders/create", "fulfillments/create", "orders/fulfilled", "orders/updated"]
    );
    assert_eq!(client.last("fulfillments/create")["tracking_numbers"], json!(["T1"]));
    let open = client.shopify(
        &document("shopify/order-fulfilment-orders"),
        &json!({ "id": format!("gid://shopify/Order/{}", placed.id) }),
    );
    let order = &open["data"]["order"]["fulfillmentOrders"]["nodes"][0];
    assert_eq!(
        (&order["status"], &order["lineItems"]["nodes"][0]["remainingQuantity"]),
        (&json!("CLOSED"), &json!(0))
    );
    let again =
        json!({ "fulfillment": { "lineItemsByFulfillmentOrder": [{ "fulfillmentOrderId": order["id"] }] } });
    let made = client.shopify(&document("shopify/fulfilment-create"), &again);
    let message = made["data"]["fulfillmentCreate"]["userErrors"][0]["message"].as_str().unwrap();
    assert!(message.contains("unfulfillable status= closed"), "{message}");
}

#[test]
fn points_are_counted_and_run_out() {
    let mut settings = Settings::default();
    (settings.limits.shopify_size, settings.limits.shopify_refill) = (40.0, 10.0);
    let mut client = Client::with(1, settings);
    let mut throttled = 0;
    for _ in 0..20 {
        let answer =
            client.shopify(&document("shopify/inventory-item-by-sku"), &json!({ "query": "sku:'TEA-01'" }));
        let cost = &answer["extensions"]["cost"];
        assert!(cost["requestedQueryCost"].as_f64().unwrap() > 1.0);
        if answer["errors"][0]["extensions"]["code"] == "THROTTLED" {
            throttled += 1;
            assert!(answer.get("data").is_none() && cost["actualQueryCost"].is_null());
        } else {
            assert_eq!(answer["data"]["inventoryItems"]["nodes"][0]["sku"], "TEA-01");
        }
    }
    assert!(throttled > 5, "{throttled}");
    let huge = client
        .shopify("{ orders(first: 250) { nodes { lineItems(first: 250) { nodes { id } } } } }", &json!({}));
    assert_eq!(huge["errors"][0]["extensions"]["code"], "MAX_COST_EXCEEDED");
}

#[test]
fn levels_need_a_key_and_say_when_they_change() {
    let mut client = Client::new(1);
    let set = document("shopify/inventory-set");
    let variables = |quantity: i64, key: &str| json!({ "item": "gid://shopify/InventoryItem/808950801", "location": "gid://shopify/Location/655441491", "quantity": quantity, "key": key });
    let answer = client.shopify(&set, &variables(7, "k1"));
    assert!(
        answer["data"]["inventorySetQuantities"]["inventoryAdjustmentGroup"]["id"].is_string(),
        "{answer}"
    );
    assert_eq!(client.shopify(&set, &variables(7, "k1"))["data"], answer["data"]);
    let other = client.shopify(&set, &variables(8, "k1"));
    assert_eq!(
        other["data"]["inventorySetQuantities"]["userErrors"][0]["code"],
        "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"
    );
    let bare = set.replace("@idempotent(key: $key)", "").replace(", $key: String!", "");
    let refused = client.shopify(&bare, &json!({ "item": "gid://shopify/InventoryItem/808950801", "location": "gid://shopify/Location/655441491", "quantity": 1 }));
    assert!(refused["errors"][0]["message"].as_str().unwrap().contains("@idempotent"), "{refused}");
    client.pass(1);
    assert_eq!(client.last("inventory_levels/update")["available"], 7);
    assert_eq!(client.world.ledger().stock[0].store, 7);
}

#[test]
fn edits_refunds_and_cancellations_are_told() {
    let mut client = Client::new(1);
    let placed = client.world.place_order(order(&[("TEA-01", 2), ("TEA-02", 1)]));
    client.world.edit_order(placed.id, &[("TEA-01".to_owned(), 1), ("POT-01".to_owned(), 1)]).unwrap();
    client.world.refund_order(placed.id, 500, &[("TEA-02".to_owned(), 1)]).unwrap();
    client.world.cancel_order(placed.id).unwrap();
    assert!(client.world.cancel_order(placed.id).is_err());
    client.pass(1);
    let edit = &client.last("orders/edited")["order_edit"]["line_items"];
    assert_eq!((edit["additions"].as_array().unwrap().len(), &edit["removals"][0]["delta"]), (1, &json!(1)));
    assert_eq!(client.last("refunds/create")["transactions"][0]["amount"], "5.00");
    let last = client.last("orders/cancelled");
    assert_eq!(last["cancel_reason"], "customer");
    assert_eq!(last["line_items"][0]["current_quantity"], 1);
    assert_eq!(last["id"].as_u64(), Some(placed.id));
    let again = json!({ "orderId": format!("gid://shopify/Order/{}", placed.id), "reason": "OTHER", "restock": false, "refundMethod": { "originalPaymentMethodsRefund": false } });
    let refused = client.shopify(&document("shopify/order-cancel"), &again);
    assert!(
        refused["data"]["orderCancel"]["orderCancelUserErrors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("already been cancelled")
    );
}

#[test]
fn a_pending_order_is_paid_later() {
    let mut client = Client::new(1);
    let placed = client.world.place_order(OrderSpec { payment: Payment::Pending, ..order(&[("TEA-01", 1)]) });
    client.pass(1);
    assert_eq!(client.last("orders/create")["financial_status"], "pending");
    client.world.pay_order(placed.id).unwrap();
    client.pass(1);
    assert_eq!(client.last("orders/updated")["financial_status"], "authorized");
    assert_eq!(
        client.last("payment_intent.amount_capturable_updated")["data"]["object"]["metadata"]["order_id"],
        placed.id.to_string()
    );
}

#[test]
fn tags_are_a_set() {
    let mut client = Client::new(1);
    let placed = client.world.place_order(order(&[("TEA-01", 1)]));
    let variables = json!({ "id": format!("gid://shopify/Order/{}", placed.id), "tags": ["held"] });
    for _ in 0..2 {
        let answer = client.shopify(&document("shopify/tags-add"), &variables);
        assert_eq!(answer["data"]["tagsAdd"]["node"]["id"], variables["id"]);
    }
    assert_eq!(client.world.ledger().orders[0].tags, ["held"]);
    let missing = client
        .shopify(&document("shopify/tags-add"), &json!({ "id": "gid://shopify/Order/1", "tags": ["held"] }));
    assert_eq!(missing["errors"][0]["extensions"]["code"], "RESOURCE_NOT_FOUND");
}

use serde_json::{Value, json};

use crate::client::{Client, value};

#[test]
fn refuses_a_wrong_key_and_a_missing_code() {
    let mut client = Client::new(1);
    assert_eq!(
        client.send("easypost", "GET", "/v2/trackers", &[("Authorization", "Basic eDo=")], "").status,
        401
    );
    let refused = client.easypost("POST", "/v2/trackers", &json!({ "tracker": {} }));
    assert_eq!(
        (refused.status, value(&refused)["error"]["code"].clone()),
        (422, json!("PARAMETER.REQUIRED"))
    );
    let missing = client.easypost("GET", "/v2/trackers/trk_none", &Value::Null);
    assert_eq!((missing.status, value(&missing)["error"]["code"].clone()), (404, json!("NOT_FOUND")));
}

#[test]
fn a_tracker_is_made_once_and_moves_on() {
    let mut client = Client::new(1);
    let make = json!({ "tracker": { "tracking_code": "EZ1000000001", "carrier": "USPS" } });
    let first = value(&client.easypost("POST", "/trackers", &make));
    let again = value(&client.easypost("POST", "/v2/trackers", &make));
    assert_eq!(first["id"], again["id"]);
    assert_eq!(first["status"], "pre_transit");
    client.pass(60);
    let topics = client.topics("easypost");
    assert_eq!(
        topics,
        [
            "tracker.created",
            "tracker.updated",
            "tracker.updated",
            "tracker.updated",
            "tracker.updated",
            "tracker.updated"
        ]
    );
    let event = client.last("tracker.updated");
    assert_eq!(
        (&event["result"]["status"], &event["previous_attributes"]["status"]),
        (&json!("delivered"), &json!("out_for_delivery"))
    );
    assert_eq!(event["result"]["tracking_details"].as_array().unwrap().len(), 6);
}

#[test]
fn trackers_are_listed_newest_first_in_pages() {
    let mut client = Client::new(1);
    for index in 0..5 {
        client.easypost(
            "POST",
            "/v2/trackers",
            &json!({ "tracker": { "tracking_code": format!("EZ{index}") } }),
        );
    }
    let first = value(&client.easypost("GET", "/v2/trackers?page_size=3", &Value::Null));
    assert_eq!(
        (first["trackers"][0]["tracking_code"].clone(), first["has_more"].clone()),
        (json!("EZ4"), json!(true))
    );
    let before = first["trackers"][2]["id"].as_str().unwrap();
    let second =
        value(&client.easypost("GET", &format!("/v2/trackers?page_size=3&before_id={before}"), &Value::Null));
    assert_eq!((second["trackers"].as_array().unwrap().len(), second["has_more"].clone()), (2, json!(false)));
    let found = value(&client.easypost("GET", "/v2/trackers?tracking_code=EZ2", &Value::Null));
    assert_eq!(found["trackers"].as_array().unwrap().len(), 1);
}

#[test]
fn a_label_is_bought_once_and_given_back() {
    let mut client = Client::new(1);
    let make = json!({ "shipment": { "to_address": { "id": "adr_1" }, "from_address": { "id": "adr_2" }, "parcel": { "weight": 10 }, "reference": "key-1" } });
    let shipment = value(&client.easypost("POST", "/v2/shipments", &make));
    let id = shipment["id"].as_str().unwrap();
    assert!(shipment["postage_label"].is_null() && shipment["rates"].as_array().unwrap().len() == 3);
    let buy = json!({ "rate": { "id": shipment["rates"][0]["id"] } });
    let bought = value(&client.easypost("POST", &format!("/v2/shipments/{id}/buy"), &buy));
    assert!(bought["tracking_code"].is_string() && bought["postage_label"]["label_url"].is_string());
    assert_eq!(client.easypost("POST", &format!("/v2/shipments/{id}/buy"), &buy).status, 422);
    let refunded = value(&client.easypost("POST", &format!("/v2/shipments/{id}/refund"), &Value::Null));
    assert_eq!(refunded["refund_status"], "submitted");
    let found = value(&client.easypost("GET", "/v2/shipments/key-1", &Value::Null));
    assert_eq!(found["id"], id);
    let mut once = make;
    once["shipment"]["service"] = json!("Priority");
    let bought = value(&client.easypost("POST", "/v2/shipments", &once));
    assert_eq!(bought["selected_rate"]["service"], "Priority");
}

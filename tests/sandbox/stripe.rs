use serde_json::{Value, json};

use crate::client::{Client, order, value};

fn paid(client: &mut Client) -> String {
    let placed = client.world.place_order(order(&[("TEA-01", 1)]));
    client.pass(1);
    placed.payment.unwrap()
}

fn message(body: &Value) -> &str {
    body["error"]["message"].as_str().unwrap()
}

#[test]
fn refuses_a_wrong_key_json_and_unknown_parameters() {
    let mut client = Client::new(1);
    let intent = paid(&mut client);
    assert_eq!(
        client.send("stripe", "GET", "/v1/events", &[("Authorization", "Bearer sk_other")], "").status,
        401
    );
    assert_eq!(client.send("stripe", "GET", "/v1/events", &[], "").status, 401);
    let path = format!("/v1/payment_intents/{intent}/capture");
    let unknown = client.stripe("POST", &path, Some("a"), "colour=red");
    assert_eq!((unknown.status, value(&unknown)["error"]["code"].clone()), (400, json!("parameter_unknown")));
    let headers = [("Authorization", "Bearer sk_test_sandbox"), ("Content-Type", "application/json")];
    assert_eq!(client.send("stripe", "POST", &path, &headers, "{}").status, 400);
    assert_eq!(client.stripe("GET", "/v1/payment_intents/pi_none", None, "").status, 404);
    // What was refused before it began is not kept under its key.
    assert_eq!(client.stripe("POST", &path, Some("a"), "").status, 200);
}

#[test]
fn captures_once_and_replays_under_the_key() {
    let mut client = Client::new(1);
    let intent = paid(&mut client);
    let path = format!("/v1/payment_intents/{intent}/capture");
    let first = client.stripe("POST", &path, Some("k"), "amount_to_capture=1500");
    assert_eq!(value(&first)["status"], "succeeded");
    let again = client.stripe("POST", &path, Some("k"), "amount_to_capture=1500");
    assert_eq!((again.header("idempotent-replayed"), again.body.clone()), (Some("true"), first.body.clone()));
    let other = client.stripe("POST", &path, Some("k"), "amount_to_capture=1501");
    assert_eq!((other.status, value(&other)["error"]["type"].clone()), (400, json!("idempotency_error")));
    let fresh = client.stripe("POST", &path, Some("l"), "amount_to_capture=1500");
    assert!(message(&value(&fresh)).contains("already been captured"));
    assert_eq!(value(&fresh)["error"]["payment_intent"]["status"], "succeeded");
    assert_eq!(client.world.ledger().orders[0].gateway.as_ref().unwrap().captures, [1500]);
    client.pass(1);
    assert!(client.topics("stripe").contains(&"payment_intent.succeeded"));
}

#[test]
fn takes_no_more_than_was_promised_and_gives_no_more_back_than_was_taken() {
    let mut client = Client::new(1);
    let intent = paid(&mut client);
    let path = format!("/v1/payment_intents/{intent}/capture");
    let large = value(&client.stripe("POST", &path, Some("1"), "amount_to_capture=99999"));
    assert_eq!(large["error"]["code"], "amount_too_large");
    let early = value(&client.stripe("POST", "/v1/refunds", Some("2"), &format!("payment_intent={intent}")));
    assert_eq!(early["error"]["code"], "payment_intent_unexpected_state");
    client.stripe("POST", &path, Some("3"), "");
    let form =
        format!("payment_intent={intent}&amount=1000&metadata[crossdock_key]=x&reason=requested_by_customer");
    let refund = value(&client.stripe("POST", "/v1/refunds", Some("4"), &form));
    assert_eq!((&refund["status"], &refund["metadata"]["crossdock_key"]), (&json!("succeeded"), &json!("x")));
    assert_eq!(client.stripe("POST", "/v1/refunds", Some("5"), &form).status, 400);
    let listed =
        value(&client.stripe("GET", &format!("/v1/refunds?payment_intent={intent}&limit=100"), None, ""));
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
}

#[test]
fn a_cancelled_intent_is_not_captured() {
    let mut client = Client::new(1);
    let intent = paid(&mut client);
    let void = client.stripe(
        "POST",
        &format!("/v1/payment_intents/{intent}/cancel"),
        Some("1"),
        "cancellation_reason=requested_by_customer",
    );
    assert_eq!(value(&void)["status"], "canceled");
    let capture = client.stripe("POST", &format!("/v1/payment_intents/{intent}/capture"), Some("2"), "");
    assert_eq!(capture.status, 400);
    let again = client.stripe("POST", &format!("/v1/payment_intents/{intent}/cancel"), Some("3"), "");
    assert_eq!(value(&again)["error"]["payment_intent"]["status"], "canceled");
}

#[test]
fn events_are_listed_newest_first_in_pages() {
    let mut client = Client::new(1);
    for _ in 0..4 {
        paid(&mut client);
    }
    let mut ids = Vec::new();
    let mut after = String::new();
    loop {
        let path = format!(
            "/v1/events?limit=3&types[0]=payment_intent.amount_capturable_updated&created[gte]=1700000000{after}"
        );
        let page = value(&client.stripe("GET", &path, None, ""));
        let items = page["data"].as_array().unwrap().clone();
        ids.extend(items.iter().map(|it| it["id"].as_str().unwrap().to_owned()));
        if page["has_more"] == false {
            break;
        }
        after = format!("&starting_after={}", ids.last().unwrap());
    }
    assert_eq!(ids.len(), 4);
    assert!(ids.windows(2).all(|pair| pair[0] > pair[1]));
}

#[test]
fn a_hundred_a_second() {
    let mut client = Client::new(1);
    client.now += jiff::SignedDuration::from_secs(1);
    let request = crossdock::ports::HttpRequest {
        method: "GET".to_owned(),
        url: "http://x/stripe/v1/events".to_owned(),
        headers: vec![("Authorization".to_owned(), "Bearer sk_test_sandbox".to_owned())],
        body: bytes::Bytes::new(),
    };
    let mut limited = 0;
    for _ in 0..120 {
        let crossdock::sandbox::Reply::Answer(answer) = client.world.handle("stripe", &request, client.now)
        else {
            panic!()
        };
        limited += u32::from(answer.status == 429);
    }
    assert_eq!(limited, 20);
}

#[test]
fn disputes_are_told() {
    let mut client = Client::new(1);
    let intent = paid(&mut client);
    client.stripe("POST", &format!("/v1/payment_intents/{intent}/capture"), Some("1"), "");
    let id = client.world.ledger().orders[0].id;
    client.world.dispute_order(id).unwrap();
    client.pass(1);
    assert_eq!(client.last("charge.dispute.created")["data"]["object"]["payment_intent"], intent);
}

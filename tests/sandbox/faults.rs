//! Faults: what is cut, late, doubled or lost, and signatures that verify.

use crossdock::sandbox::{Fault, Injection, OrderSpec, Reply, Settings};
use serde_json::json;

use crate::client::{Client, document, order};

fn inject(fault: Fault, contains: &str) -> Injection {
    Injection { partner: "stripe".to_owned(), contains: contains.to_owned(), fault, skip: 0, times: 1 }
}

#[test]
fn a_cut_answer_was_or_was_not_done() {
    for (fault, captures) in [(Fault::CutBefore, 0), (Fault::CutAfter, 1)] {
        let mut client = Client::new(1);
        let intent = client.world.place_order(order(&[("TEA-01", 1)])).payment.unwrap();
        client.world.inject(inject(fault, "/capture"));
        let headers = [("Authorization", "Bearer sk_test_sandbox"), ("Idempotency-Key", "k")];
        let path = format!("/v1/payment_intents/{intent}/capture");
        let reply = client.reply("stripe", "POST", &path, &headers, "");
        assert!(
            matches!(
                (fault, &reply),
                (Fault::CutBefore, Reply::CutBefore) | (Fault::CutAfter, Reply::CutAfter)
            ),
            "{reply:?}"
        );
        let done = |client: &Client| client.world.ledger().orders[0].gateway.as_ref().unwrap().captures.len();
        assert_eq!(done(&client), captures);
        assert_eq!(client.stripe("POST", &path, Some("k"), "").status, 200);
        assert_eq!(done(&client), 1);
    }
}

#[test]
fn faults_by_chance_can_be_switched_off() {
    let mut settings = Settings::default();
    settings.all_faults(0.4);
    let mut client = Client::with(3, settings);
    let headers = [("X-Shopify-Access-Token", "shpat_sandbox")];
    let body = json!({ "query": "{ shop { name } }" }).to_string();
    let mut kinds = std::collections::BTreeSet::new();
    for _ in 0..200 {
        kinds.insert(match client.reply("shopify", "POST", "/graphql.json", &headers, &body) {
            Reply::Answer(answer)
                if answer.status == 200 && answer.body.windows(9).any(|it| it == b"THROTTLED") =>
            {
                "throttled".to_owned()
            }
            Reply::Answer(answer) => answer.status.to_string(),
            Reply::CutBefore => "cut before".to_owned(),
            Reply::CutAfter => "cut after".to_owned(),
            Reply::Delay(..) => "delay".to_owned(),
        });
    }
    let wanted = ["200", "429", "500", "503", "cut after", "cut before", "delay", "throttled"];
    assert!(wanted.iter().all(|it| kinds.contains(*it)), "{kinds:?}");
    client.world.set_faulty(false);
    client.pass(60);
    for _ in 0..50 {
        assert!(client.shopify("{ shop { name } }", &json!({}))["data"]["shop"]["name"].is_string());
    }
}

#[test]
fn webhooks_are_lost_doubled_and_tried_again() {
    let mut settings = Settings::default();
    settings.faults.insert(Fault::WebhookLost, 0.3);
    settings.faults.insert(Fault::WebhookTwice, 0.3);
    settings.faults.insert(Fault::WebhookDisorder, 0.5);
    let mut client = Client::with(9, settings);
    for _ in 0..40 {
        client.world.place_order(order(&[("TEA-01", 1)]));
    }
    client.pass(120);
    let counts = client.world.ledger().webhooks;
    assert!(counts.lost > 20 && counts.pending == 0, "{counts:?}");
    let copies: Vec<_> =
        client.heard.iter().filter(|it| it.partner == "shopify").map(|it| it.body.clone()).collect();
    let mut unique = copies.clone();
    unique.sort();
    unique.dedup();
    assert!(unique.len() < copies.len(), "some came twice");

    let mut client = Client::new(1);
    client.world.place_order(order(&[("TEA-01", 1)]));
    client.now += jiff::SignedDuration::from_secs(1);
    let first = client.world.due_webhooks(client.now);
    for delivery in &first {
        client.world.delivered(delivery.id, Some(503), client.now);
    }
    client.pass(5);
    assert_eq!(client.heard.len(), first.len());
    assert!(client.heard.iter().all(|it| it.attempt == 2));
    let again = client.heard.iter().find(|it| it.topic == "orders/create").unwrap();
    let before = first.iter().find(|it| it.topic == "orders/create").unwrap();
    assert_eq!(
        (&again.body, &again.headers),
        (&before.body, &before.headers),
        "a retry carries the old payload and id"
    );
}

#[test]
fn a_key_may_be_forgotten_after_its_time() {
    let mut settings = Settings::default();
    settings.faults.insert(Fault::ExpiredKey, 1.0);
    settings.timing.key_life = std::time::Duration::from_hours(1);
    let mut client = Client::with(1, settings);
    let intent = client.world.place_order(order(&[("TEA-01", 1)])).payment.unwrap();
    client.stripe("POST", &format!("/v1/payment_intents/{intent}/capture"), Some("c"), "");
    let form = format!("payment_intent={intent}&amount=100");
    for (wait, refunds) in [(0, 1), (3000, 1), (1000, 2)] {
        client.pass(wait);
        client.stripe("POST", "/v1/refunds", Some("r"), &form);
        assert_eq!(client.world.ledger().orders[0].gateway.as_ref().unwrap().refunds.len(), refunds);
    }
}

#[test]
fn signatures_verify_as_the_connectors_read_them() {
    use crossdock::connector;
    let sources = crossdock::config::embedded::embedded();
    let (registry, _) = connector::load(&sources);
    let mut client = Client::new(1);
    let placed = client.world.place_order(OrderSpec { parcels: 1, ..order(&[("TEA-01", 1)]) });
    client.pass(1);
    client.serve(placed.id);
    client.pass(5);
    let secrets = [
        ("shopify", "sandbox-shopify-webhook"),
        ("shiphero", "sandbox-shiphero-webhook"),
        ("easypost", "sandbox-easypost-webhook"),
        ("stripe", "whsec_sandbox"),
    ];
    for (name, secret) in secrets {
        let Some(found) = registry.get(name) else {
            println!("connector {name} is not there yet: its signatures could not be checked");
            continue;
        };
        let webhook = found.manifest.webhook.as_ref().unwrap();
        let secret = [secrecy::SecretString::from(secret.to_owned())];
        let hooks: Vec<_> = client.heard.iter().filter(|it| it.partner == name).collect();
        assert!(!hooks.is_empty(), "{name}");
        for hook in hooks {
            let verify = |body: &[u8], now| {
                connector::signature::verify(&webhook.signature, &secret, &hook.headers, body, "", now)
            };
            // Signed when it went out, which is before now.
            assert_eq!(
                verify(&hook.body, client.now).map_err(|it| it.to_string()),
                Ok(()),
                "{name} {}",
                hook.topic
            );
            let mut other = hook.body.to_vec();
            other[0] = b' ';
            assert!(verify(&other, client.now).is_err());
        }
    }
    assert!(!document("shopify/orders").is_empty());
}

//! What the partners say is understood: every webhook and every page of every poll by the shipped manifests and mappings.

use std::collections::{BTreeMap, BTreeSet};

use crossdock::connector::classify::Outcome;
use crossdock::connector::manifest::{ErrorClass, TopicAction};
use crossdock::connector::page::PageState;
use crossdock::connector::request::Fill;
use crossdock::connector::{self, Registry};
use crossdock::map::{Context, Node};
use crossdock::ports::{HttpRequest, HttpResponse};
use crossdock::sandbox::{AddressSpec, OrderSpec, Payment, Reply};
use secrecy::SecretString;

use crate::client::{Client, document, order};

/// A busy week: everything happens once.
fn week() -> Client {
    let mut client = Client::new(4);
    let mut placed = Vec::new();
    for index in 0..6 {
        let spec = match index {
            1 => OrderSpec { payment: Payment::Paid, ..order(&[("TEA-02", 1)]) },
            2 => OrderSpec { payment: Payment::Pending, ..order(&[("POT-01", 1)]) },
            3 => OrderSpec { address: AddressSpec::NoCity, ..order(&[("CUP-04", 2)]) },
            4 => OrderSpec {
                address: AddressSpec::None,
                note: Some("Gift".to_owned()),
                ..order(&[("0012345", 1)])
            },
            _ => OrderSpec {
                parcels: 2,
                tags: vec!["vip".to_owned()],
                ..order(&[("TEA-01", 2), ("POT-01", 1)])
            },
        };
        placed.push(client.world.place_order(spec));
        client.pass(1);
    }
    client.world.pay_order(placed[2].id).unwrap();
    client.world.cancel_order(placed[3].id).unwrap();
    client.world.edit_order(placed[5].id, &[("TEA-01".to_owned(), 1), ("CUP-04".to_owned(), 1)]).unwrap();
    client.serve(placed[0].id);
    client.world.refund_order(placed[0].id, 1290, &[("TEA-01".to_owned(), 1)]).unwrap();
    let intent = placed[0].payment.clone().unwrap();
    client.stripe("POST", "/v1/refunds", Some("r"), &format!("payment_intent={intent}&amount=1290"));
    let void = format!("/v1/payment_intents/{}/cancel", placed[3].payment.clone().unwrap());
    client.stripe("POST", &void, Some("v"), "");
    client.world.dispute_order(placed[0].id).unwrap();
    let asked = client.world.ask_return(placed[0].id, &[("TEA-01".to_owned(), 1)]).unwrap();
    client.world.move_return(asked, "OPEN").unwrap();
    client.world.move_return(asked, "CLOSED").unwrap();
    let disputed = client.world.dispute_in_store(placed[1].id).unwrap();
    client.world.end_dispute(disputed, true).unwrap();
    client.pass(60);
    client
}

fn context(registry: &Registry, name: &str) -> Context {
    let exponents = registry.get(name).map(|it| it.manifest.exponents.clone()).unwrap_or_default();
    Context { zone: Some("UTC".to_owned()), exponents, ..Context::default() }
}

/// Runs a mapping: the kinds of the facts, and what went wrong.
fn map(registry: &Registry, name: &str, mapping: &str, body: &[u8]) -> (BTreeSet<String>, Vec<String>) {
    let found = registry
        .get(name)
        .and_then(|it| it.inbound.get(mapping))
        .unwrap_or_else(|| panic!("no {name}/{mapping}"));
    let node = Node::parse_json(body).unwrap();
    let mapped = found.run(&node, &context(registry, name));
    let kinds = mapped.facts.iter().map(|it| it.to_json()["is"].as_str().unwrap().to_owned()).collect();
    (kinds, mapped.errors.iter().map(|it| format!("{}: {}", it.kind, it.message)).collect())
}

#[test]
fn every_webhook_is_understood() {
    let (registry, problems) = connector::load(&crossdock::config::embedded::embedded());
    assert!(problems.is_empty(), "{problems:?}");
    let client = week();
    let mut kinds: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for hook in &client.heard {
        let manifest = &registry.get(&hook.partner).unwrap().manifest;
        let fill = |name: &str| (name == "setting.shop").then(|| client.world.settings().shop.clone());
        let read =
            connector::webhook::read(manifest.webhook.as_ref().unwrap(), &hook.headers, &hook.body, &fill);
        let read = read.unwrap_or_else(|error| panic!("{} {}: {error}", hook.partner, hook.topic));
        assert!(read.event_id.is_some() || hook.partner == "shiphero", "{} {}", hook.partner, hook.topic);
        let TopicAction::Map(mapping) = read.action else { continue };
        let (found, errors) = map(&registry, &hook.partner, &mapping, &hook.body);
        assert_eq!(
            errors,
            Vec::<String>::new(),
            "{} {}: {}",
            hook.partner,
            hook.topic,
            String::from_utf8_lossy(&hook.body)
        );
        kinds.entry(hook.partner.clone()).or_default().extend(found);
    }
    for (partner, wanted) in [
        (
            "shopify",
            ["order.placed", "order.cancelled", "refund.asked", "return.updated", "payment.disputed"]
                .as_slice(),
        ),
        ("shiphero", &["fulfilment.shipped", "inventory.level"]),
        ("easypost", &["tracking.event"]),
        ("stripe", &["payment.authorised", "payment.captured", "payment.voided", "payment.refunded"]),
    ] {
        for kind in wanted {
            assert!(kinds[partner].contains(*kind), "{partner} never said {kind}: {:?}", kinds[partner]);
        }
    }
}

#[test]
fn every_poll_is_answered_and_understood() {
    let (registry, _) = connector::load(&crossdock::config::embedded::embedded());
    let mut client = week();
    client.shiphero("{ account { complexity } }", &serde_json::json!({}));
    let mut told: BTreeMap<(String, String), BTreeSet<String>> = BTreeMap::new();
    for connector in registry.all() {
        let manifest = &connector.manifest;
        let name = manifest.name.clone();
        let base = format!("http://sandbox/{name}");
        let secret = |text: &str| vec![SecretString::from(text.to_owned())];
        let mut fill = Fill {
            settings: [
                ("base_url", base.as_str()),
                ("shop", "x"),
                ("customer_account_id", ""),
                ("api_version", "2024-06-20"),
            ]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
            secrets: [
                ("token", secret("shpat_sandbox")),
                ("key", secret(if name == "stripe" { "sk_test_sandbox" } else { "EZTKsandbox" })),
            ]
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect(),
            token: client.token.clone().map(SecretString::from),
            ..Fill::default()
        };
        for (poll, read) in &manifest.polls {
            if let Some(since) = &read.since {
                let start = client.now - jiff::SignedDuration::from_hours(1);
                let since = connector::page::since_text(since, Some(start), client.now);
                fill.values.insert("since".to_owned(), since);
            }
            let (mut page, mut items) = (connector::page::first(read), 0);
            for _ in 0..50 {
                client.pass(2);
                fill.values.insert("page".to_owned(), page.clone().unwrap_or_default());
                let prepared = connector::request::build_read(manifest, read, &fill).unwrap();
                let request: HttpRequest = connector::request::authorise(manifest, prepared.request, &fill);
                let Reply::Answer(answer) = client.world.handle(&name, &request, client.now) else {
                    panic!()
                };
                let verdict = connector::classify::classify(
                    manifest,
                    &format!("poll.{poll}"),
                    &[],
                    &Ok(answer.clone()),
                );
                assert!(
                    verdict.is_done(),
                    "{name} {poll}: {verdict:?} {}",
                    String::from_utf8_lossy(&answer.body)
                );
                let result = connector::page::read(read, &answer, &PageState { page: page.clone() });
                let result = result.unwrap_or_else(|error| panic!("{name} {poll}: {error}"));
                for item in &result.items {
                    let mapping = read.mapping.as_deref().unwrap();
                    let (kinds, errors) = map(&registry, &name, mapping, item);
                    told.entry((name.clone(), poll.clone())).or_default().extend(kinds);
                    assert_eq!(
                        errors,
                        Vec::<String>::new(),
                        "{name} {poll}: {}",
                        String::from_utf8_lossy(item)
                    );
                }
                items += result.items.len();
                page = result.next;
                if page.is_none() {
                    break;
                }
            }
            assert!(page.is_none(), "{name} {poll} never ends");
            assert!(items > 0 || (name == "shiphero" && poll == "returns"), "{name} {poll} has nothing");
        }
    }
    for (poll, kind) in
        [("returns", "return.updated"), ("inventory", "inventory.level"), ("disputes", "payment.disputed")]
    {
        let kinds = &told[&("shopify".to_owned(), poll.to_owned())];
        assert!(kinds.contains(kind), "{poll}: {kinds:?}");
    }
}

/// A dispute whose webhooks are lost says the same when the poll lists it; a scope that the app lacks fails that poll
/// alone.
#[test]
fn a_dispute_says_the_same_by_webhook_and_by_poll() {
    let (registry, _) = connector::load(&crossdock::config::embedded::embedded());
    let mut client = Client::new(4);
    let placed = client.world.place_order(OrderSpec { payment: Payment::Paid, ..order(&[("TEA-02", 1)]) });
    client.world.dispute_in_store(placed.id).unwrap();
    client.pass(60);
    let variables = serde_json::json!({ "first": 25, "query": "initiated_at:>='2020-01-01T00:00:00Z'" });
    let listed = client.shopify(&document("shopify/disputes"), &variables);
    let facts = |body: &[u8]| {
        let node = Node::parse_json(body).unwrap();
        let mapped =
            registry.get("shopify").unwrap().inbound["dispute"].run(&node, &context(&registry, "shopify"));
        assert!(mapped.errors.is_empty());
        let mut facts: Vec<serde_json::Value> =
            mapped.facts.iter().map(crossdock::map::MappedFact::to_json).collect();
        for fact in &mut facts {
            // The webhook has the shop's offset, the API none.
            let at: jiff::Timestamp = fact["at"].as_str().unwrap().parse().unwrap();
            fact["at"] = serde_json::json!(at.to_string());
        }
        facts
    };
    let hook = client.heard.iter().find(|hook| hook.topic == "disputes/create").unwrap();
    let polled = facts(listed["data"]["disputes"]["nodes"][0].to_string().as_bytes());
    assert_eq!(polled.len(), 1);
    assert_eq!(facts(&hook.body), polled);

    let body = r#"{"data":null,"errors":[{"message":"Access denied for disputes field.","path":["disputes"],"extensions":{"code":"ACCESS_DENIED"}}]}"#;
    let answer = HttpResponse { status: 200, headers: Vec::new(), body: body.into() };
    let class = |what: &str| {
        connector::classify::classify(
            &registry.get("shopify").unwrap().manifest,
            what,
            &[],
            &Ok(answer.clone()),
        )
        .class
    };
    assert_eq!(class("poll.disputes"), Outcome::Failed(ErrorClass::Rejected));
    assert_eq!(class("poll.orders"), Outcome::Failed(ErrorClass::Config));
}

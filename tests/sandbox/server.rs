//! The world behind HTTP, with webhooks that really go out and connections that are really cut.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use crossdock::ports::{HttpError, HttpRequest};
use crossdock::sandbox::{Fault, Injection, Server, Settings, World, targets};
use serde_json::{Value, json};

use crate::client::value;

type Heard = Arc<Mutex<Vec<String>>>;

async fn hook(State(heard): State<Heard>, headers: HeaderMap, _: Bytes) -> StatusCode {
    let topic = headers.get("x-shopify-topic").map(|it| it.to_str().unwrap().to_owned());
    let mut heard = heard.lock().unwrap();
    heard.push(topic.unwrap_or_else(|| "other".to_owned()));
    // The first is not taken, and comes again.
    if heard.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

fn request(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> HttpRequest {
    HttpRequest {
        method: method.to_owned(),
        url: url.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: body.to_owned().into(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serves_delivers_and_cuts() {
    let heard = Heard::default();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let daemon = format!("http://{}", listener.local_addr().unwrap());
    let routes = Router::new().route("/hooks/{account}", post(hook)).with_state(Arc::clone(&heard));
    tokio::spawn(async move { axum::serve(listener, routes).await });

    let mut settings = Settings::default();
    settings.timing.retries = vec![Duration::from_millis(50)];
    let world = World::new(1, settings).unwrap();
    let (http, clock) = (crossdock::app::http().unwrap(), crossdock::app::clock());
    let targets = targets(&[daemon]).unwrap();
    let server = Server::start(world, "127.0.0.1:0".parse().unwrap(), targets, Arc::clone(&http), clock)
        .await
        .unwrap();
    let base = format!("http://{}/_sandbox", server.address());
    let send = |request| http.send(request, Duration::from_secs(5));

    let json_type = [("Content-Type", "application/json")];
    let spec = json!({ "lines": [{ "sku": "TEA-01", "quantity": 1 }] }).to_string();
    let placed = send(request("POST", &format!("{base}/orders"), &json_type, &spec)).await.unwrap();
    assert_eq!(placed.status, 201, "{placed:?}");
    let placed: Value = value(&placed);
    for _ in 0..100 {
        if heard.lock().unwrap().len() >= 4 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let topics = heard.lock().unwrap().clone();
    assert!(
        topics.contains(&"orders/create".to_owned()) && topics.len() == 4,
        "three webhooks, one twice: {topics:?}"
    );

    server.with(|world| {
        for fault in [Fault::CutAfter, Fault::CutBefore] {
            world.inject(Injection {
                partner: "stripe".to_owned(),
                contains: "/capture".to_owned(),
                fault,
                skip: 0,
                times: 1,
            });
        }
    });
    let capture = format!(
        "{}/v1/payment_intents/{}/capture",
        server.base("stripe"),
        placed["payment"].as_str().unwrap()
    );
    let headers = [("Authorization", "Bearer sk_test_sandbox"), ("Idempotency-Key", "k")];
    for _ in 0..2 {
        let cut = send(request("POST", &capture, &headers, "")).await;
        assert!(matches!(cut, Err(HttpError::NoAnswer(_))), "{cut:?}");
    }
    let replayed = send(request("POST", &capture, &headers, "")).await.unwrap();
    assert_eq!(replayed.header("idempotent-replayed"), Some("true"));

    let cancel = send(request("POST", &format!("{base}/orders/1001/cancel"), &json_type, "")).await.unwrap();
    assert_eq!(cancel.status, 200);
    let ledger = value(&send(request("GET", &format!("{base}/ledger"), &[], "")).await.unwrap());
    assert_eq!(
        (&ledger["orders"][0]["cancelled"], &ledger["orders"][0]["gateway"]["captures"]),
        (&json!(true), &json!([1789]))
    );
    let seen = value(&send(request("GET", &format!("{base}/requests"), &[], "")).await.unwrap());
    assert_eq!(seen.as_array().unwrap().len(), 3);
    assert_eq!(
        send(request("GET", &format!("http://{}/nobody/x", server.address()), &[], "")).await.unwrap().status,
        404
    );
}

#[test]
fn addresses_are_read() {
    let mut wanted = BTreeMap::new();
    for partner in ["shiphero", "easypost", "stripe"] {
        wanted.insert(partner.to_owned(), format!("http://h/hooks/{partner}"));
    }
    wanted.insert("shopify".to_owned(), "http://h/hooks/acme-shop".to_owned());
    assert_eq!(targets(&["http://h/".to_owned(), "shopify=http://h/hooks/acme-shop".to_owned()]), Ok(wanted));
    assert!(targets(&["amazon=http://h".to_owned()]).is_err());
}

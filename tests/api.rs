//! The API over HTTP, and the command line that asks it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

#[path = "support/orders.rs"]
mod bench;
#[path = "support/house.rs"]
mod house;
#[path = "support/seeds.rs"]
mod seeds;
#[path = "support/shared.rs"]
mod shared;

use std::process::{Command, Output};
use std::time::Duration;

use bytes::Bytes;
use crossdock::canonical::{Fact, IntentState, Phase};
use crossdock::io::http::ReqwestHttp;
use crossdock::ports::{Bus, Hint, Http, HttpRequest, HttpResponse, Store};
use house::House;
use seeds::{busy, intent, order};
use serde_json::{Value, json};

async fn ask(house: &House, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> HttpResponse {
    let request = HttpRequest {
        method: method.to_owned(),
        url: house.url(path),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Bytes::from(body.to_owned()),
    };
    ReqwestHttp::new().unwrap().send(request, Duration::from_secs(10)).await.unwrap()
}

async fn get(house: &House, path: &str) -> (u16, Value) {
    let answer = ask(house, "GET", path, &[], "").await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

async fn post(house: &House, path: &str, body: &Value) -> (u16, Value) {
    let answer = ask(house, "POST", path, &[("content-type", "application/json")], &body.to_string()).await;
    (answer.status, serde_json::from_slice(&answer.body).unwrap_or_default())
}

#[tokio::test]
async fn orders_are_listed_in_pages_and_found_by_what_people_know() {
    let house = House::open(None).await;
    let rich = busy(&house).await;

    let mut seen = Vec::new();
    let mut path = "/api/v1/orders?limit=20".to_owned();
    loop {
        let (status, page) = get(&house, &path).await;
        assert_eq!(status, 200);
        seen.extend(page["orders"].as_array().unwrap().iter().map(|row| row["id"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/orders?limit=20&after={}", next.replace('#', "%23"));
    }
    assert_eq!(seen.len(), 63);
    seen.sort_by_key(Value::to_string);
    seen.dedup();
    assert_eq!(seen.len(), 63);

    let (_, page) = get(&house, "/api/v1/orders?phase=partly_shipped&client=acme&search=mug-blue").await;
    assert!(page["orders"].as_array().unwrap().iter().any(|row| row["label"] == "#1001"));
    for name in [rich.as_str(), "%231001", "1001"] {
        let (status, view) = get(&house, &format!("/api/v1/orders/{name}")).await;
        assert_eq!(status, 200, "{name}: {view}");
        assert_eq!(view["state"]["id"], rich.as_str());
    }
    let (status, error) = get(&house, "/api/v1/orders/nobody").await;
    assert_eq!((status, error["error"].as_str().unwrap()), (404, "there is no order `nobody`"));
}

#[tokio::test]
async fn an_order_shows_who_said_what_when_and_the_message_behind_it() {
    let house = House::open(None).await;
    let id = busy(&house).await;
    let (_, view) = get(&house, &format!("/api/v1/orders/{id}")).await;
    let timeline = view["timeline"].as_array().unwrap();
    let times: Vec<&str> = timeline.iter().map(|entry| entry["at"].as_str().unwrap()).collect();
    assert!(times.is_sorted());
    let shipped = timeline.iter().find(|entry| entry["title"] == "Shipped").unwrap();
    assert_eq!((&shipped["account"], &shipped["part"]), (&json!("east"), &json!("warehouse")));
    let (status, message) = get(&house, shipped["message_url"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    assert!(message["body"].as_str().unwrap().contains("1Z999AA10123456784"));
    let raw = ask(&house, "GET", message["body_url"].as_str().unwrap(), &[], "").await;
    assert_eq!(raw.header("content-type"), Some("application/octet-stream"));
    assert!(raw.header("content-disposition").unwrap().starts_with("attachment"));
    let stuck = view["intents"].as_array().unwrap().iter().find(|one| one["state"] == "stuck").unwrap();
    assert_eq!(stuck["history"][0]["note"], "no answer within 10 s");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_named_with_what_was_meant() {
    let house = House::open(None).await;
    for (path, error, help) in [
        ("/api/v1/orders?phse=shipped", "unknown parameter `phse`", "did you mean `phase`?"),
        ("/api/v1/orders?phase=shiped", "parameter `phase`: there is no `shiped`", "did you mean `shipped`?"),
        (
            "/api/v1/orders?account=acme-shp",
            "parameter `account`: there is no `acme-shp`",
            "did you mean `acme-shop`?",
        ),
        (
            "/api/v1/orders?limit=many",
            "parameter `limit`: `many`",
            "a whole number from 1 to 500 was expected",
        ),
        ("/api/v1/exceptions?resolved=yes", "parameter `resolved`: `yes`", "`true` or `false` was expected"),
        ("/api/v1/messages/x", "`x` is no message's number", "a whole number was expected"),
    ] {
        let (status, answer) = get(&house, path).await;
        assert_eq!(status, 400, "{path}");
        assert_eq!(answer, json!({ "error": error, "help": help }), "{path}");
    }
    assert_eq!(get(&house, "/api/v1/nothing").await.0, 404);
    let (status, answer) = post(&house, "/api/v1/exceptions/retry", &json!({ "id": [1] })).await;
    assert_eq!(status, 422);
    assert!(answer["error"].as_str().unwrap().contains("unknown field `id`"), "{answer}");
    let answer = ask(&house, "POST", "/api/v1/exceptions/retry", &[], "{}").await;
    assert_eq!(answer.status, 415);
}

#[tokio::test]
async fn a_decision_becomes_a_fact_for_its_order_once() {
    let house = House::open(None).await;
    let id = busy(&house).await;
    let path = format!("/api/v1/orders/{id}/decisions");
    let decision = json!({ "what": "release_hold", "target": "address_check", "by": "maria", "key": "k1" });
    let (status, first) = post(&house, &path, &decision).await;
    assert_eq!(status, 202, "{first}");
    let number = first["message"].as_i64().unwrap();
    let stored = house.store.message(crossdock::canonical::MessageId(number)).await.unwrap().unwrap();
    assert_eq!(stored.content.context.as_deref(), Some(id.as_str()));
    let fact: Fact = serde_json::from_slice(&stored.content.body).unwrap();
    assert_eq!(fact.body.kind().0, "person.decided");
    let (_, second) = post(&house, &path, &decision).await;
    let again =
        house.store.message(crossdock::canonical::MessageId(second["message"].as_i64().unwrap())).await;
    let again: Fact = serde_json::from_slice(&again.unwrap().unwrap().content.body).unwrap();
    assert_eq!(again.id, fact.id, "the same decision is one fact");
    let hint = house.bus.next().await.unwrap();
    assert!(matches!(hint, Hint::Inbound { shard } if shard == stored.content.shard));

    let (status, answer) =
        post(&house, &path, &json!({ "what": "release_hold", "target": "addres_check" })).await;
    assert_eq!((status, answer["help"].as_str().unwrap()), (409, "did you mean `address_check`?"));
    let (status, answer) = post(&house, &path, &json!({ "what": "cancle" })).await;
    assert_eq!((status, answer["help"].as_str().unwrap()), (400, "did you mean `cancel`?"));
}

#[tokio::test]
async fn an_unknown_outcome_is_decided_once() {
    let house = House::open(None).await;
    let mut seed = order(&house, "acme", "acme-shop", 1001, Phase::Shipped);
    let id = seed.order.id.clone();
    let record = intent(&house, &id, "fulfilment/991", "acme-shop", "fulfilment.create", 60);
    seed.intents = vec![record.clone()];
    house.put(seed).await;
    let path = format!("/api/v1/orders/{id}/decisions");
    let exists = json!({ "what": "exists", "target": record.id.to_string(), "by": "maria" });
    let (status, answer) = post(&house, &path, &exists).await;
    assert_eq!(status, 409, "{answer}");
    house.settle(&id, &record, IntentState::Stuck, "no answer").await;
    assert_eq!(get(&house, "/api/v1/exceptions").await.1["causes"][0]["count"], 1);
    let (status, answer) = post(&house, &path, &exists).await;
    assert_eq!(status, 202, "{answer}");
    let (_, view) = get(&house, &format!("/api/v1/orders/{id}")).await;
    assert_eq!(view["intents"][0]["state"], "done");
    assert_eq!(view["exceptions"], json!([]));
    assert_eq!(post(&house, &path, &exists).await.0, 409);
}

#[tokio::test]
async fn exceptions_go_back_to_work_by_cause() {
    let house = House::open(None).await;
    busy(&house).await;
    let (_, all) = get(&house, "/api/v1/exceptions").await;
    assert_eq!(all["causes"][0]["cause"], "sku:acme-shop:TEA-99");
    let number = all["exceptions"][0]["id"].as_i64().unwrap();
    assert_eq!(get(&house, &format!("/api/v1/exceptions/{number}")).await.1["id"], number);
    assert_eq!(get(&house, "/api/v1/exceptions/99999").await.0, 404);
    let (status, answer) =
        post(&house, "/api/v1/exceptions/retry", &json!({ "cause": "sku:acme-shop:TEA-99" })).await;
    assert_eq!((status, &answer["retried"]), (200, &json!(7)));
    let hint = tokio::time::timeout(Duration::from_mins(1), house.bus.next()).await.unwrap();
    assert!(matches!(hint, Some(Hint::Inbound { .. })));
    let (_, accounts) = get(&house, "/api/v1/accounts").await;
    let east = accounts["accounts"].as_array().unwrap().iter().find(|one| one["id"] == "east").unwrap();
    assert_eq!((&east["lane"]["state"], &east["lane"]["waiting"]), (&json!("paused"), &json!(14)));
}

#[tokio::test]
async fn a_token_guards_everything_but_health_and_log_in() {
    let house = House::open(Some("s3cret")).await;
    house.put(order(&house, "acme", "acme-shop", 1001, Phase::Received)).await;
    for path in ["/healthz", "/readyz", "/login"] {
        assert_eq!(get(&house, path).await.0, 200, "{path}");
    }
    let refused = ask(&house, "GET", "/api/v1/orders", &[], "").await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, Some("Bearer")));
    let page = ask(&house, "GET", "/orders?phase=shipped", &[], "").await;
    assert_eq!(
        (page.status, page.header("location")),
        (303, Some("/login?next=%2Forders%3Fphase%3Dshipped"))
    );
    let wrong = ask(&house, "GET", "/api/v1/orders", &[("authorization", "Bearer nope")], "").await;
    assert_eq!(wrong.status, 401);
    let right = ask(&house, "GET", "/api/v1/orders", &[("authorization", "Bearer s3cret")], "").await;
    assert_eq!(right.status, 200);

    let form = ("content-type", "application/x-www-form-urlencoded");
    let wrong = ask(&house, "POST", "/login", &[form], "token=nope&next=/").await;
    assert_eq!(wrong.status, 401);
    let away = ask(&house, "POST", "/login", &[form], "token=s3cret&next=//evil.example.com").await;
    assert_eq!((away.status, away.header("location")), (303, Some("/")));
    let cookie = away.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
    let cookie = cookie.split(';').next().unwrap();
    let page = ask(&house, "GET", "/orders", &[("cookie", cookie)], "").await;
    assert_eq!(page.status, 200);

    let retry = [("cookie", cookie), ("content-type", "application/json")];
    let own = [&retry[..], &[("sec-fetch-site", "same-origin")]].concat();
    let strange = [&retry[..], &[("origin", "https://evil.example.com")]].concat();
    let cross = [&retry[..], &[("sec-fetch-site", "cross-site")]].concat();
    let body = "{\"ids\":[1]}";
    assert_eq!(ask(&house, "POST", "/api/v1/exceptions/retry", &own, body).await.status, 200);
    assert_eq!(ask(&house, "POST", "/api/v1/exceptions/retry", &strange, body).await.status, 403);
    assert_eq!(ask(&house, "POST", "/api/v1/exceptions/retry", &cross, body).await.status, 403);
}

#[tokio::test]
async fn without_a_token_only_names_of_this_machine_are_served() {
    let house = House::open(None).await;
    let named = ask(&house, "GET", "/api/v1/orders", &[("host", "evil.example.com")], "").await;
    assert_eq!(named.status, 403);
    let named = ask(&house, "GET", "/api/v1/orders", &[("host", "crossdock.example.com")], "").await;
    assert_eq!(named.status, 200);
    let page = ask(&house, "GET", "/orders", &[], "").await;
    assert!(page.header("content-security-policy").unwrap().contains("script-src 'self'"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn event_streams_end_when_the_daemon_stops() {
    let house = House::open(None).await;
    let url = house.url("/api/v1/events");
    let request = HttpRequest { method: "GET".to_owned(), url, headers: Vec::new(), body: Bytes::new() };
    let http = ReqwestHttp::new().unwrap();
    let reading = tokio::spawn(async move { http.send(request, Duration::from_secs(20)).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    house.put(order(&house, "acme", "acme-shop", 1001, Phase::Packed)).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    house.stop.cancel();
    let answer = tokio::time::timeout(Duration::from_mins(1), reading).await.unwrap().unwrap().unwrap();
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(text.starts_with("event: hello"), "{text}");
    assert!(text.contains("event: change") && text.contains("\"phase\":\"packed\""), "{text}");
}

fn crossdock(house: &House, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_crossdock"))
        .args(args)
        .args(["--url", &house.url("")])
        .env_remove("CROSSDOCK_TOKEN")
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_the_same() {
    let house = House::open(None).await;
    busy(&house).await;
    let text = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let list = crossdock(&house, &["orders", "list", "--limit", "3"]);
    assert!(list.status.success(), "{list:?}");
    assert_eq!(text(&list).lines().count(), 4);
    let all = crossdock(&house, &["orders", "list", "--limit", "1000", "--json"]);
    assert_eq!(serde_json::from_str::<Vec<Value>>(&text(&all)).unwrap().len(), 63);
    let show = text(&crossdock(&house, &["orders", "show", "#1001"]));
    for expected in
        ["#1001  partly_shipped  84.40 EUR", "Payment captured", "fulfilment.create", "unknown_sku"]
    {
        assert!(show.contains(expected), "{expected} is missing in\n{show}");
    }
    let none = crossdock(&house, &["orders", "show", "nobody"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("there is no order `nobody`"));
    assert!(text(&crossdock(&house, &["exceptions", "list"])).contains("sku:acme-shop:TEA-99"));
    let retry = crossdock(&house, &["exceptions", "retry", "--cause", "sku:acme-shop:TEA-99"]);
    assert_eq!(text(&retry), "7 being tried again\n");
    let number = text(&crossdock(&house, &["exceptions", "show", "1"]));
    assert!(number.starts_with("1  "), "{number}");
    let accounts = text(&crossdock(&house, &["accounts"]));
    assert!(accounts.contains("paused") && accounts.contains("breaker is open"), "{accounts}");
    house.stop.cancel();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_who_sends_what_of_a_shared_order() {
    let show = async |bench| {
        let house = shared::house(bench).await;
        let output = crossdock(&house, &["orders", "show", "#1001"]);
        house.stop.cancel();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let parts =
            text.split("\n\n").filter(|part| part.contains("aits for") || part.starts_with("Warehouses"));
        parts.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(
        show(shared::halfway()).await,
        "Warehouses\n\
         WAREHOUSE  STATE     SHIP BY                  SENDS                   WHY\n\
         east       shipped   2026-02-02 17:00 +01:00  2 × TEA-01              no warehouse could send the whole order\n\
         west       accepted  -                        1 × POT-01, 6 × CUP-04  no warehouse could send the whole order"
    );
    assert_eq!(
        show(shared::taken_over()).await,
        "Warehouses\n\
         WAREHOUSE  STATE     SHIP BY                  SENDS                   WHY\n\
         east       accepted  2026-02-02 17:00 +01:00  2 × TEA-01              no warehouse could send the whole order\n\
         mall       accepted  -                        1 × POT-01, 6 × CUP-04  no warehouse could send the whole order\n\
         west       rejected  -                        nothing                 No such pot"
    );
    assert_eq!(
        show(shared::waiting()).await,
        "The rest waits for the payment, warehouses to share it (the flow allows too few, or none carries all of it)\n\
         Warehouses\n\
         WAREHOUSE  STATE     SHIP BY                  SENDS       WHY\n\
         east       accepted  2026-02-02 17:00 +01:00  2 × TEA-01  it could send the whole order"
    );
}

#[test]
fn the_command_line_says_when_there_is_no_daemon() {
    let output = Command::new(env!("CARGO_BIN_EXE_crossdock"))
        .args(["accounts", "--url", "http://127.0.0.1:9"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("no daemon at http://127.0.0.1:9") && said.contains("crossdock run"), "{said}");
}

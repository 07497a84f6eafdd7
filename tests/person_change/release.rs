//! What waited for a change goes on by itself, once, and without asking a partner again.

use std::process::Command;

use crossdock::canonical::MessageId;
use crossdock::ports::{ExceptionQuery, MessageState};
use serde_json::{Value, json};

use crate::workshop::{DEPOT, ORDER, SHOP, SKUS, Workshop};

const MAPPING: &str = "mappings/shop/order.in.toml";

/// The mapping with a row for `net30`.
fn with_net30() -> String {
    ORDER.replace("[lookup.terms.rows]\n", "[lookup.terms.rows]\nnet30 = \"unpaid\"\n")
}

async fn resolved(shop: &Workshop, kind: &str) -> Vec<Value> {
    let (_, page) =
        shop.call("GET", &format!("/api/v1/exceptions?resolved=true&kind={kind}"), &json!(null)).await;
    page["exceptions"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_persons_change_goes_the_whole_way() {
    let shop = Workshop::open().await;
    for id in 1..=4 {
        shop.order(&id.to_string(), "net30", "TEA").await;
    }
    for id in 5..=7 {
        shop.order(&id.to_string(), "later", "MUG").await;
    }
    shop.order("8", "chargeback", "TEA").await;
    let wait = [
        ("unknown_word".to_owned(), "unknown_word:shop/order:terms:net30".to_owned(), 4),
        ("unknown_sku".to_owned(), "sku:shop:MUG".to_owned(), 3),
        ("unknown_word".to_owned(), "unknown_word:shop/order:terms:chargeback".to_owned(), 1),
    ];
    shop.until("eight orders wait", async |shop| shop.causes().await == wait).await;
    let (_, page) = shop.call("GET", "/api/v1/exceptions", &json!(null)).await;
    assert_eq!(page["causes"][0]["title"], "terms `net30`: 4 messages wait");
    let help = page["causes"][0]["help"].as_str().unwrap();
    assert!(help.starts_with("add to `[lookup.terms.rows]` (mappings/shop/order.in.toml:"), "{help}");
    assert_eq!(page["causes"][1]["title"], "SKU `MUG` of shop: 3 orders wait");
    let reads = shop.reads();
    let words = ExceptionQuery { kind: Some("unknown_word".into()), ..ExceptionQuery::default() };
    let first = shop.store().exceptions(&words).await.unwrap();
    let ids: Vec<i64> = first.iter().map(|one| one.id).collect();

    // A bad edit is refused with its place, and the old one runs on.
    shop.edit(MAPPING, &with_net30().replace("number  = ", "numbr   = "));
    shop.until("the bad edit is named", async |shop| {
        shop.causes().await.iter().any(|(kind, ..)| kind == "reload_refused")
    })
    .await;
    shop.order("9", "later", "TEA").await;
    shop.until("the old one runs on", async |shop| shop.orders_sent() == 1).await;

    // In a copy of the folder a person looks first at what it would have done.
    let url = format!("http://{}", shop.running.address);
    let copy = shop.copy();
    std::fs::write(copy.path().join(MAPPING), with_net30()).unwrap();
    let report = tokio::task::spawn_blocking(move || {
        let config = copy.path().join("config.toml");
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossdock"));
        command.arg("--config").arg(config).args(["map", "diff", "--json", "--url", &url]).output().unwrap()
    });
    let report = report.await.unwrap();
    assert_eq!(report.status.code(), Some(1), "{}", String::from_utf8_lossy(&report.stderr));
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert_eq!((&report["messages"], &report["different"]), (&json!(9), &json!(4)), "{report}");
    assert_eq!(
        (&report["exceptions_before"], &report["exceptions_after"]),
        (&json!(5), &json!(1)),
        "{report}"
    );

    // A good one: what it covers goes on, what it does not cover waits on under the same number.
    shop.edit(MAPPING, &with_net30());
    shop.until("four orders go on", async |shop| shop.orders_sent() == 5).await;
    shop.until("only the others wait", async |shop| shop.causes().await == wait[1..]).await;
    let left = shop.store().exceptions(&words).await.unwrap();
    assert_eq!(left[0].id, *ids.iter().max().unwrap());
    let fixed = resolved(&shop, "unknown_word").await;
    let fixed: Vec<&Value> = fixed.iter().filter(|one| one["resolved"].is_string()).collect();
    assert_eq!(fixed.len(), 4, "once each");
    for one in fixed {
        let by = one["resolution"].as_str().unwrap();
        assert!(
            by.starts_with("generation ") && by.ends_with("(mappings/shop/order.in.toml, by files)"),
            "{by}"
        );
    }

    // What is unmapped comes out as rows to fill in.
    let url = format!("http://{}", shop.running.address);
    let rows = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_crossdock"));
        command.args(["exceptions", "export", "--url", &url]).output().unwrap()
    });
    let rows = rows.await.unwrap();
    let rows = String::from_utf8_lossy(&rows.stdout).into_owned();
    assert_eq!(rows, "account,theirs,ours,each\nshop,MUG,,1\n");
    let row = rows.lines().nth(1).unwrap().replace(",,", ",CUP,");
    let change = json!({ "files": { "lists/skus.csv": format!("{SKUS}{row}\n") }, "by": "maria" });
    let (status, answer) = shop.call("POST", "/api/v1/generations", &change).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("activated")), "{answer}");
    shop.until("three orders go on", async |shop| shop.orders_sent() == 8).await;
    shop.until("one waits", async |shop| shop.causes().await == wait[2..]).await;
    let fixed = resolved(&shop, "unknown_sku").await;
    assert!(
        fixed.iter().all(|one| one["resolution"].as_str().unwrap().ends_with("(lists/skus.csv, by maria)")),
        "{fixed:?}"
    );
    assert_eq!(shop.reads(), reads, "nothing was asked of a partner again");
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_mended_while_the_daemon_was_down_goes_on_at_its_start() {
    let shop = Workshop::open().await;
    shop.order("1", "net30", "TEA").await;
    shop.order("2", "later", "MUG").await;
    shop.until("both wait", async |shop| shop.causes().await.len() == 2).await;
    let Workshop { folder, running, asked, partner } = shop;
    running.stop().await;
    std::fs::write(folder.path().join(MAPPING), with_net30()).unwrap();
    std::fs::write(folder.path().join("lists/skus.csv"), format!("{SKUS}shop,MUG,CUP,1\n")).unwrap();
    let shop = Workshop::start(folder, asked, partner).await;
    shop.until("both go on", async |shop| shop.orders_sent() == 2 && shop.causes().await.is_empty()).await;
    let (_, told) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
    assert_eq!(told["generations"][0]["by"], "start");
    assert_eq!(told["generations"][0]["changed"], json!(["lists/skus.csv", MAPPING]));
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_mapping_again_changes_nothing_and_another_takes_the_place_of_what_was_stated() {
    let shop = Workshop::open().await;
    shop.order("1", "later", "TEA").await;
    shop.until("it is sent", async |shop| shop.orders_sent() == 1).await;
    shop.until("all is at rest", async |shop| settled(shop).await).await;
    let (_, order) = shop.call("GET", "/api/v1/orders/1", &json!(null)).await;
    let id = order["state"]["id"].as_str().unwrap().to_owned();
    let before = shop.store().counts().await.unwrap();
    let state = async |shop: &Workshop| {
        let record = shop.store().load(&[id.as_str().into()]).await.unwrap().remove(0);
        (record.state.value(), record.facts, record.intents)
    };
    let was = state(&shop).await;
    let remap = async |shop: &Workshop, body: Value| {
        let (status, answer) = shop.call("POST", "/api/v1/messages/remap", &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let attempts = async |shop: &Workshop| {
        shop.store()
            .message(MessageId(1))
            .await
            .unwrap()
            .filter(|one| one.state != MessageState::Pending)
            .map(|one| one.attempts)
    };
    let would = remap(&shop, json!({ "ids": [1], "dry_run": true })).await;
    assert_eq!((&would["would"][0]["new"], &would["would"][0]["gone"]), (&json!([]), &json!([])));
    remap(&shop, json!({ "ids": [1] })).await;
    shop.until("it was mapped again", async |shop| attempts(shop).await == Some(2)).await;
    shop.until("all is at rest", async |shop| settled(shop).await).await;
    assert_eq!(state(&shop).await, was);
    let after = shop.store().counts().await.unwrap();
    assert_eq!((before.facts, before.intents, before.phases), (after.facts, after.intents, after.phases));

    // Another mapping: the old fact goes, the new one counts, and nothing is sent twice.
    shop.edit(
        MAPPING,
        &ORDER.replace("number  = \"number\"", "number  = { path = \"number\", prefix = \"A-\" }"),
    );
    shop.until("it is in force", async |shop| {
        shop.call("GET", "/api/v1/generations", &json!(null)).await.1["generations"].as_array().unwrap().len()
            == 2
    })
    .await;
    assert_eq!(state(&shop).await, was, "what is done stays as it is until a person asks");
    let would = remap(&shop, json!({ "ids": [1], "dry_run": true })).await;
    assert_eq!(would["would"][0]["new"].as_array().unwrap().len(), 1, "{would}");
    remap(&shop, json!({ "ids": [1] })).await;
    shop.until("the new number counts", async |shop| state(shop).await.0["number"] == "A-1").await;
    let (_, facts, intents) = state(&shop).await;
    assert_eq!(facts.iter().filter(|fact| fact.rule == "placed").count(), 1, "{facts:?}");
    assert_ne!(facts[0].mapping, was.1[0].mapping);
    assert_eq!(intents.len(), was.2.len());
    assert_eq!(shop.orders_sent(), 1);
    let message = shop.store().message(MessageId(1)).await.unwrap().unwrap();
    let (_, told) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
    assert_eq!(message.generation.as_deref(), told["active"].as_str());

    // A mapping that cannot read it keeps what it stated.
    let missing = ORDER.replace(
        "total   = \"total\"",
        "total   = \"total\"\ngift_note = { path = \"gift\", required = true }",
    );
    let missing = missing.replace("\"pays\":\"later\"", "\"gift\":\"x\",\"pays\":\"later\"");
    let change = json!({ "files": { MAPPING: missing } });
    let (status, answer) = shop.call("POST", "/api/v1/generations", &change).await;
    assert_eq!(status, 200, "{answer}");
    remap(&shop, json!({ "ids": [1] })).await;
    shop.until("it says what is missing", async |shop| {
        shop.causes().await.iter().any(|(_, cause, _)| cause == "missing:shop/order:placed.gift_note")
    })
    .await;
    assert_eq!(state(&shop).await.0["number"], "A-1");
    shop.running.stop().await;
}

async fn settled(shop: &Workshop) -> bool {
    let counts = shop.store().counts().await.unwrap();
    let pending = counts.messages.iter().any(|(state, count)| state == "pending" && *count > 0);
    !pending && counts.intents.iter().all(|(_, state, count)| state == "done" || *count == 0)
}

/// What was sent for something that the order would not have any more is for a person.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sent_commands_are_never_left_behind_silently() {
    let shop = Workshop::open().await;
    let change = json!({ "files": {
        "connectors/shop/connector.toml": SHOP.to_owned() + TELLS,
        "mappings/shop/fulfilment.out.toml": "[body]\nshipment = \"shipment.ref\"\n",
        "connectors/depot/connector.toml": DEPOT.to_owned() + HEARS,
        "mappings/depot/parcel.in.toml": PARCEL,
    } });
    let (status, answer) = shop.call("POST", "/api/v1/generations", &change).await;
    assert_eq!(status, 200, "{answer}");
    shop.order("1", "later", "TEA").await;
    shop.until("the warehouse has it", async |shop| shop.orders_sent() == 1).await;
    let (_, order) = shop.call("GET", "/api/v1/orders/1", &json!(null)).await;
    let parcel = json!({ "topic": "parcel", "parcel": "p1", "alias": "q1", "order": order["state"]["id"],
        "at": "2026-02-03T11:00:00Z", "lines": [{ "sku": "TEA", "quantity": 1 }] });
    assert_eq!(shop.call("POST", "/hooks/east", &parcel).await.0, 200);
    shop.until("the storefront is told of the parcel", async |shop| shop.orders_sent() == 2).await;
    shop.until("all is at rest", async |shop| settled(shop).await).await;
    let parcel = async |shop: &Workshop| {
        for number in 2..20 {
            let message = shop.store().message(MessageId(number)).await.unwrap();
            if message.is_some_and(|message| message.content.body.starts_with(b"{\"alias\"")) {
                return number;
            }
        }
        0
    };
    let number = parcel(&shop).await;
    let renamed =
        json!({ "files": { "mappings/depot/parcel.in.toml": PARCEL.replace("\"parcel\"", "\"alias\"") } });
    let (status, answer) = shop.call("POST", "/api/v1/generations", &renamed).await;
    assert_eq!(status, 200, "{answer}");
    let (_, would) =
        shop.call("POST", "/api/v1/messages/remap", &json!({ "ids": [number], "dry_run": true })).await;
    assert!(would["would"][0]["strays"][0].as_str().unwrap().contains("fulfilment/p1 at shop"), "{would}");
    shop.call("POST", "/api/v1/messages/remap", &json!({ "ids": [number] })).await;
    shop.until("a person is asked", async |shop| {
        shop.causes().await.iter().any(|(kind, ..)| kind == "remap_differs")
    })
    .await;
    assert_eq!(shop.orders_sent(), 2);
    shop.call("POST", "/api/v1/messages/remap", &json!({ "ids": [number], "force": true })).await;
    shop.until("it is as the person wants it", async |shop| shop.causes().await.is_empty()).await;
    shop.until("the new parcel is told", async |shop| shop.orders_sent() == 3).await;
    shop.running.stop().await;
}

/// The warehouse tells of parcels.
const HEARS: &str = r#"
[webhook]
topic = "topic"
[webhook.signature]
scheme = "none"
why    = "a test"
[webhook.topics]
"parcel" = "parcel"
"#;

/// A parcel that has left.
const PARCEL: &str = r#"
[fact.shipped]
is  = "fulfilment.shipped"
our = "order"
ref = "parcel"
at  = "at"

[fact.shipped.lines]
each     = "lines"
sku      = "sku"
quantity = "quantity"
"#;

/// The storefront is told of parcels.
const TELLS: &str = r#"
[command.fulfilment.create]
method = "POST"
path   = "/fulfilments"
out    = "fulfilment"
once   = { repeat = true }
"#;

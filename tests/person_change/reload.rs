//! Changed files: refused or in force.

use serde_json::json;

use crate::workshop::{ORDER, SKUS, Workshop, config};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_edit_is_refused_with_its_place_and_a_good_one_comes_into_force() {
    let shop = Workshop::open().await;
    let (_, first) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
    assert_eq!(first["generations"].as_array().unwrap().len(), 1);

    shop.edit("mappings/shop/order.in.toml", &ORDER.replace("number  = ", "numbr   = "));
    shop.until("the bad edit is named", async |shop| {
        shop.causes().await.iter().any(|(kind, ..)| kind == "reload_refused")
    })
    .await;
    let (_, told) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
    let message = told["refused"]["message"].as_str().unwrap();
    assert!(message.starts_with("mappings/shop/order.in.toml:9:1: "), "{message}");
    assert!(message.contains("did you mean `number`?"), "{message}");
    assert_eq!(told["active"], first["active"]);
    shop.order("1", "later", "TEA").await;
    shop.until("the old one works on", async |shop| shop.orders_sent() == 1).await;

    // A test that fails is an error as well.
    let broken =
        ORDER.replace("total   = \"total\"", "total   = { expr = \"t + t\", with = { t = \"total\" } }");
    shop.edit("mappings/shop/order.in.toml", &broken);
    shop.until("the failing test is named", async |shop| {
        let (_, told) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
        told["refused"]["message"].as_str().is_some_and(|message| message.contains("the test of shop/order"))
    })
    .await;

    let better = ORDER.replace("[lookup.terms.rows]\n", "[lookup.terms.rows]\nnet30 = \"unpaid\"\n");
    shop.edit("mappings/shop/order.in.toml", &better);
    shop.until("the good edit is in force", async |shop| shop.causes().await.is_empty()).await;
    let (_, told) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
    assert_ne!(told["active"], first["active"]);
    assert_eq!(told["generations"][0]["changed"], json!(["mappings/shop/order.in.toml"]));
    assert_eq!(told["generations"][0]["by"], "files");
    shop.order("2", "net30", "TEA").await;
    shop.until("the new rule works", async |shop| shop.orders_sent() == 2).await;

    // The old version can still be read.
    let old = format!("/api/v1/generations/{}", first["active"].as_str().unwrap());
    let (status, was) = shop.call("GET", &old, &json!(null)).await;
    assert_eq!(status, 200);
    assert!(was["files"].as_array().unwrap().iter().any(|file| file["path"] == "lists/skus.csv"));
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposed_files_are_checked_written_and_put_into_force_together() {
    let shop = Workshop::open().await;
    let (_, before) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
    let mapping = "mappings/shop/order.in.toml";
    let wrong = json!({ "files": { mapping: ORDER.replace("\"rev\"", "rev"), "lists/skus.csv": SKUS } });
    let (status, answer) = shop.call("POST", "/api/v1/generations", &wrong).await;
    assert_eq!((status, &answer["outcome"]), (422, &json!("refused")));
    assert_eq!(
        (&answer["problems"][0]["file"], &answer["problems"][0]["line"]),
        (&json!(mapping), &json!(7))
    );
    assert_eq!(std::fs::read_to_string(shop.file(mapping)).unwrap(), ORDER);
    assert!(shop.causes().await.is_empty(), "what a person is told at once is no exception");

    let better = ORDER.replace("later = ", "later = \"unpaid\"\nnet30 = ");
    let mut good = json!({ "files": { mapping: better, "lists/skus.csv": format!("{SKUS}shop,CUP,CUP,1\n") },
        "by": "maria", "note": "net 30", "dry_run": true });
    let (status, answer) = shop.call("POST", "/api/v1/generations", &good).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("checked")));
    good["dry_run"] = json!(false);
    good["base"] = json!("000000000000");
    let (status, answer) = shop.call("POST", "/api/v1/generations", &good).await;
    assert_eq!(status, 409, "{answer}");
    good["base"] = before["active"].clone();
    let (status, answer) = shop.call("POST", "/api/v1/generations", &good).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("activated")), "{answer}");
    assert_eq!(answer["changed"], json!(["lists/skus.csv", mapping]));
    assert_eq!(std::fs::read_to_string(shop.file(mapping)).unwrap(), better);
    shop.order("1", "net30", "CUP").await;
    shop.until("it works", async |shop| shop.orders_sent() == 1).await;
    let (_, told) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
    assert_eq!(
        (&told["generations"][0]["by"], &told["generations"][0]["note"]),
        (&json!("maria"), &json!("net 30"))
    );
    // It is what the disk holds: nothing changes at the next look or start.
    let (_, answer) = shop.call("POST", "/api/v1/generations/reload", &json!({})).await;
    assert_eq!(answer["outcome"], "unchanged");
    for path in ["../config.toml", "secrets/key", "mappings/.x", "/etc/passwd"] {
        let change = json!({ "files": { path: "" } });
        assert_eq!(shop.call("POST", "/api/v1/generations", &change).await.0, 400, "{path}");
    }
    let shop = shop.restart().await;
    let (_, after) = shop.call("GET", "/api/v1/generations", &json!(null)).await;
    assert_eq!((&after["active"], after["generations"].as_array().unwrap().len()), (&told["active"], 2));
    shop.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accounts_come_and_go_and_what_cannot_change_is_named() {
    let shop = Workshop::open().await;
    let plain = config(&shop.partner);
    let second = plain.replace("warehouses  = [\"east\"]", "warehouses  = [\"west\"]");
    let west =
        format!("connector = \"depot\"\nclient = \"acme\"\nsettings = {{ at = \"{}\" }}\n", shop.partner);
    let second = format!("{second}[account.west]\n{west}");
    // Over the API: of a file that is edited the watcher may hear before anybody asks for it.
    let change = async |config: &str| {
        shop.call("POST", "/api/v1/generations", &json!({ "files": { "config.toml": config } })).await
    };
    let (status, answer) = change(&second).await;
    assert_eq!((status, &answer["changed"]), (200, &json!(["config.toml"])), "{answer}");
    shop.order("1", "later", "TEA").await;
    shop.until("the new account has its lane", async |shop| shop.orders_sent() == 1).await;
    let orders = shop.store().counts().await.unwrap();
    assert!(orders.intents.iter().any(|(command, _, count)| command == "order.create" && *count == 1));

    let (_, answer) = change(&plain).await;
    assert_eq!(answer["outcome"], "activated");
    let lease = async |account: &str| {
        let now = crossdock::app::clock().now();
        let until = now + jiff::SignedDuration::from_secs(1);
        shop.store().lease(&account.into(), "test", now, until, None).await.unwrap().is_some()
    };
    shop.until("the lane of the account that is gone gives its lease back", async |_| lease("west").await)
        .await;
    assert!(!lease("east").await);

    let (status, answer) = change(&plain.replace("127.0.0.1:0", "127.0.0.1:9")).await;
    assert_eq!((status, &answer["problems"][0]["line"]), (422, &json!(2)), "{answer}");
    assert!(answer["problems"][0]["message"].as_str().unwrap().contains("`server.listen` cannot change"));
    let (status, answer) = change(&plain.replace("filter = \"off\"", "filter = \"error\"")).await;
    assert_eq!((status, &answer["outcome"]), (200, &json!("activated")));
    assert_eq!(answer["problems"][0]["severity"], "warning");
    shop.running.stop().await;
}

//! Access tokens: got once, renewed when old or refused, and never lost when they rotate.

use std::sync::{Arc, Mutex};

use crossdock::canonical::IntentState;
use crossdock::io::store::sqlite::{Options, SqliteStore};
use serde_json::json;

use crate::flaky::{Flaky, When};
use crate::lab::{self, Bench, Reply, ok, path, status};

const VOID: &str = "payment.void";

/// A partner with rotating refresh tokens, which honours only the newest of each.
struct Issuer {
    issued: u32,
    refused: bool,
}

fn world() -> crossdock::config::World {
    let auth = r#"[auth]
kind    = "oauth2"
url     = "/token"
fields  = { grant_type = "refresh_token", refresh_token = "{secret.refresh_token}" }
body    = "json"
rotates = "refresh_token"

[secret.refresh_token]
doc = "A refresh token"
"#;
    let manifest = lab::MANIFEST.replace("[auth]\nkind   = \"bearer\"\nsecret = \"key\"\n", auth);
    assert_ne!(manifest, lab::MANIFEST);
    let secrets = "{ key = { env = \"KEY\" }, refresh_token = { env = \"REFRESH\" } }";
    lab::world(&manifest, &lab::CONFIG.replace("{ key = { env = \"KEY\" } }", secrets))
}

fn serve(bench: &Bench) -> Arc<Mutex<Issuer>> {
    let issuer = Arc::new(Mutex::new(Issuer { issued: 0, refused: false }));
    let inner = issuer.clone();
    bench.partner.always(move |call| {
        let mut issuer = inner.lock().unwrap();
        let now = issuer.issued;
        if path(&call.url) == "/token" {
            let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
            let expected = if now == 0 { "the REFRESH".to_owned() } else { format!("refresh-{now}") };
            if body["refresh_token"] != expected {
                return Reply::Says(400, Vec::new(), json!({ "error": "invalid_grant" }).to_string());
            }
            issuer.issued += 1;
            issuer.refused = false;
            let next = issuer.issued;
            return ok(json!({
                "access_token": format!("access-{next}"), "refresh_token": format!("refresh-{next}"), "expires_in": 3600
            }));
        }
        let shown = call.headers.iter().find(|(name, _)| name == "Authorization").map(|(_, value)| value.clone());
        if issuer.refused || shown != Some(format!("Bearer access-{now}")) {
            return status(401);
        }
        ok(json!({}))
    });
    issuer
}

fn tokens(bench: &Bench) -> usize {
    bench.partner.heard().iter().filter(|call| call.as_str() == "POST /token").count()
}

#[tokio::test]
async fn a_token_is_got_once_and_renewed_when_it_is_old() {
    let mut bench = Bench::with(world());
    let _issuer = serve(&bench);
    for order in 0..10 {
        bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await;
    }
    bench.run(10).await;
    assert_eq!(tokens(&bench), 1);
    bench.pass(3600);
    let intent = bench.intend("late", VOID, json!({ "payment": "p" })).await;
    bench.run(10).await;
    assert_eq!(tokens(&bench), 2);
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    // Another process finds the token in the store, sealed.
    bench.dies();
    bench.intend("other", VOID, json!({ "payment": "p" })).await;
    bench.run(10).await;
    assert_eq!(tokens(&bench), 2);
    let kept = bench.store.get("token", "lab").await.unwrap().unwrap().to_string();
    assert!(!kept.contains("access-") && !kept.contains("refresh-"), "{kept}");
    let frozen = format!("{:?}", bench.store.all("token").await.unwrap());
    assert!(!frozen.contains("access-2"));
}

#[tokio::test]
async fn a_refused_token_is_renewed_and_the_call_goes_again_at_once() {
    let mut bench = Bench::with(world());
    let issuer = serve(&bench);
    bench.intend("1", VOID, json!({ "payment": "p" })).await;
    bench.run(10).await;
    issuer.lock().unwrap().refused = true;
    let intent = bench.intend("2", VOID, json!({ "payment": "q" })).await;
    bench.step().await;
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    assert_eq!(bench.partner.heard()[2..], ["POST /voids/q", "POST /token", "POST /voids/q"]);
    assert_eq!(bench.intent(&intent).await.attempts, 1);
}

#[tokio::test]
async fn a_new_refresh_token_is_kept_before_its_access_token_is_used() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { inline: true, ..Options::default() };
    let store = Flaky::over(SqliteStore::open(folder.path().join("lab.db"), options).unwrap());
    let mut bench = Bench::on(store.clone(), folder, world());
    let _issuer = serve(&bench);
    let intent = bench.intend("1", VOID, json!({ "payment": "p" })).await;
    store.fail("put", When::Before);
    bench.step().await;
    assert_eq!(bench.partner.heard(), ["POST /token"], "it is not used before it is kept");
    bench.run(30).await;
    assert_eq!(bench.partner.heard(), ["POST /token", "POST /voids/p"], "and it is not thrown away");
    assert_eq!(bench.state(&intent).await, IntentState::Done);
}

#[tokio::test]
async fn an_account_without_a_token_pauses() {
    let mut bench = Bench::with(world());
    bench.partner.always(|_| Reply::Says(400, Vec::new(), json!({ "error": "invalid_grant" }).to_string()));
    let mut intents = Vec::new();
    for order in 0..8 {
        intents.push(bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await);
    }
    bench.run(20).await;
    assert!(bench.partner.heard().iter().all(|call| call == "POST /token"));
    assert_eq!(bench.troubles().await, ["account_down"]);
    assert!(bench.exceptions().await[0].message.contains("invalid_grant"));
    serve(&bench);
    bench.run(300).await;
    for intent in &intents {
        assert_eq!(bench.state(intent).await, IntentState::Done);
    }
    assert_eq!(bench.troubles().await, [""; 0]);
}

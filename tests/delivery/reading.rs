//! Polls, re-reads and the comparison of both sides: nothing is skipped, nothing starves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use crossdock::canonical::{AccountId, EntityId, ExternalRef, IntentState};
use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::{Clock as _, EntityIndex, EntityWrite, LANES, LaneState, MessageState, Origin, Unit};
use crossdock::reconcile;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::flaky::{Flaky, When};
use crate::lab::{self, ACCOUNT, Bench, Reply, ok, status};

fn polling() -> crossdock::config::World {
    let off = "[account.lab.poll.orders]\nenabled   = false\n";
    let config = lab::CONFIG.replace(off, "");
    assert_ne!(config, lab::CONFIG);
    lab::world(lab::MANIFEST, &config)
}

async fn lane_state(bench: &Bench) -> LaneState {
    serde_json::from_value(bench.store.get(LANES, ACCOUNT).await.unwrap().unwrap()).unwrap()
}

fn ids(bodies: &[String]) -> Vec<String> {
    let id = |body: &String| serde_json::from_str::<Value>(body).unwrap()["id"].as_str().unwrap().to_owned();
    bodies.iter().map(id).collect()
}

async fn bodies(bench: &Bench) -> Vec<String> {
    let inbox = bench.inbox().await;
    inbox.iter().map(|message| String::from_utf8_lossy(&message.content.body).into_owned()).collect()
}

/// When polls were made, and since when they asked; not those of the comparison, which looks back for two days.
fn polls(bench: &Bench) -> Vec<(Timestamp, String)> {
    let calls = bench.partner.calls.lock().unwrap();
    let polls = calls.iter().filter_map(|(at, call)| Some((*at, query(&call.url, "since")?)));
    polls.filter(|(_, since)| since.starts_with("2026-03-01")).collect()
}

fn order(id: &str, at: &str) -> Value {
    json!({ "id": id, "at": at })
}

fn query(url: &str, name: &str) -> Option<String> {
    let url = url::Url::parse(url).unwrap();
    url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

// -------------------------------------------------------------------------------------------------------------- polls

#[tokio::test]
async fn a_poll_reads_page_by_page_and_moves_its_cursor_with_the_page() {
    let mut bench = Bench::with(polling());
    bench.partner.next(ok(json!({ "orders": [order("1", "2026-03-01T07:30:00Z")], "next": "p2" })));
    bench.partner.next(ok(
        json!({ "orders": [order("2", "2026-03-01T07:50:00Z"), order("3", "2026-03-01T07:40:00Z")] }),
    ));
    bench.partner.always(|_| ok(json!({ "orders": [] })));
    bench.step().await;
    let calls = bench.partner.calls.lock().unwrap().clone();
    assert_eq!(
        query(&calls[0].1.url, "since").as_deref(),
        Some("2026-03-01T07:00:00Z"),
        "an hour back at first"
    );
    assert_eq!(query(&calls[0].1.url, "page"), None);
    assert_eq!(query(&calls[1].1.url, "page").as_deref(), Some("p2"));
    assert_eq!(query(&calls[1].1.url, "since"), query(&calls[0].1.url, "since"), "one run, one since");
    assert_eq!(ids(&bodies(&bench).await), ["1", "2", "3"]);
    let inbox = bench.inbox().await;
    assert!(inbox.iter().all(|message| message.content.origin == Origin::Poll
        && message.content.mapping == "thing"
        && message.content.topic == "poll.orders"
        && message.content.priority == 1
        && message.content.event_id.is_none()
        && message.state == MessageState::Pending));
    bench.run(180).await;
    let since = query(&bench.partner.last().url, "since");
    assert_eq!(since.as_deref(), Some("2026-03-01T07:49:00Z"), "the newest less the overlap");
    let state = lane_state(&bench).await;
    assert_eq!(state.polls[0].name, "orders");
    assert!(state.polls[0].last.is_some() && state.polls[0].next > state.polls[0].last);
}

#[tokio::test]
async fn the_overlap_brings_nothing_twice_but_every_change() {
    let mut bench = Bench::with(polling());
    let (one, two) =
        (order("1", "2026-03-01T07:59:30Z"), json!({ "id": "1", "at": "2026-03-01T07:59:30Z", "x": 2 }));
    for items in [vec![one.clone()], vec![one.clone()], vec![two.clone()], vec![one.clone()]] {
        bench.partner.next(ok(json!({ "orders": items })));
        bench.run(130).await;
    }
    let bodies = bodies(&bench).await;
    assert_eq!(bodies, [one.to_string(), two.to_string(), one.to_string()], "A, A, B, A is three");
}

#[tokio::test]
async fn the_newest_instant_never_moves_back() {
    let mut bench = Bench::with(polling());
    bench.partner.next(ok(json!({ "orders": [order("1", "2026-03-01T07:59:00Z")] })));
    bench.partner.next(ok(json!({ "orders": [order("0", "2026-03-01T05:00:00Z")] })));
    bench.partner.always(|_| ok(json!({ "orders": [] })));
    bench.run(600).await;
    assert_eq!(polls(&bench).last().unwrap().1, "2026-03-01T07:58:00Z");
}

#[tokio::test]
async fn a_poll_that_fails_keeps_its_cursor_and_tells_after_a_while() {
    let mut bench = Bench::with(polling());
    bench.partner.next(ok(json!({ "orders": [order("1", "2026-03-01T07:59:00Z")] })));
    bench.step().await;
    bench.partner.always(|_| status(400));
    bench.run(900).await;
    assert_eq!(bench.troubles().await, ["poll_failed"]);
    assert!(lane_state(&bench).await.polls[0].error.as_ref().unwrap().contains("the lab says 400"));
    let page = ok(json!({ "orders": [order("2", "2026-03-01T08:10:00Z")] }));
    bench.partner.next(page);
    bench.partner.always(|_| ok(json!({ "orders": [] })));
    let before = bench.partner.heard().len();
    bench.run(700).await;
    let first = bench.partner.calls.lock().unwrap()[before].1.clone();
    assert_eq!(query(&first.url, "since").as_deref(), Some("2026-03-01T07:58:00Z"));
    assert_eq!(ids(&bodies(&bench).await), ["1", "2"]);
    assert_eq!(bench.troubles().await, [""; 0]);
}

#[tokio::test]
async fn an_answer_that_is_no_list_moves_nothing() {
    let mut bench = Bench::with(polling());
    bench.partner.next(ok(json!({ "oops": 1 })));
    bench.partner.next(Reply::Says(200, Vec::new(), "<html>".to_owned()));
    bench.partner.next(ok(json!({ "orders": [{ "id": "1" }] })));
    bench.partner.always(|_| ok(json!({ "orders": [order("1", "2026-03-01T07:59:00Z")] })));
    bench.run(60).await;
    let calls = bench.partner.calls.lock().unwrap().clone();
    assert!(calls.len() >= 4);
    let since: Vec<_> = calls.iter().map(|(_, call)| query(&call.url, "since").unwrap()).collect();
    assert!(since[..4].iter().all(|text| text.starts_with("2026-03-01T07:00")), "{since:?}");
    assert_eq!(ids(&bodies(&bench).await), ["1"]);
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_run_skips_nothing() {
    for when in [When::Before, When::After] {
        for at in 1..=3 {
            let folder = tempfile::tempdir().unwrap();
            let options = Options { inline: true, ..Options::default() };
            let store = Flaky::over(SqliteStore::open(folder.path().join("lab.db"), options).unwrap());
            let mut bench = Bench::on(store.clone(), folder, polling());
            let mut pages = 0;
            let inner = store.clone();
            bench.partner.always(move |call| {
                let page: usize = query(&call.url, "page").map_or(1, |page| page.parse().unwrap());
                pages += 1;
                if pages == at {
                    inner.fail("accept", when);
                }
                let next = (page < 3).then(|| (page + 1).to_string());
                ok(json!({ "orders": [order(&page.to_string(), &format!("2026-03-01T07:5{page}:00Z"))], "next": next }))
            });
            bench.step().await;
            bench.dies();
            bench.run(60).await;
            let mut seen = ids(&bodies(&bench).await);
            seen.dedup();
            assert_eq!(seen, ["1", "2", "3"], "{when:?} page {at}");
        }
    }
}

#[tokio::test]
async fn a_page_that_the_partner_has_forgotten_begins_the_run_again() {
    let mut bench = Bench::with(polling());
    bench.partner.next(ok(json!({ "orders": [order("1", "2026-03-01T07:10:00Z")], "next": "p2" })));
    bench.partner.next(status(400));
    bench.partner.next(ok(json!({ "orders": [order("1", "2026-03-01T07:10:00Z")], "next": "q2" })));
    bench.partner.next(ok(json!({ "orders": [order("2", "2026-03-01T07:20:00Z")] })));
    bench.partner.always(|_| ok(json!({ "orders": [] })));
    bench.run(30).await;
    let mut seen = ids(&bodies(&bench).await);
    seen.dedup();
    assert_eq!(seen, ["1", "2"]);
}

#[tokio::test]
async fn a_long_poll_does_not_starve_deliveries() {
    let manifest =
        lab::MANIFEST.replace("base = \"http://lab.test\"", "base = \"http://lab.test\"\nin_flight = 1");
    let off = "[account.lab.poll.orders]\nenabled   = false\n";
    let mut bench = Bench::with(lab::world(&manifest, &lab::CONFIG.replace(off, "")));
    let intent = bench.intend("1", "payment.capture", json!({ "payment": "p" })).await;
    let other = bench.intend("2", "payment.capture", json!({ "payment": "q" })).await;
    bench.partner.always(|call| {
        if call.method == "POST" {
            return ok(json!({}));
        }
        let page: usize = query(&call.url, "page").map_or(1, |page| page.parse().unwrap());
        let next = (page < 40).then(|| (page + 1).to_string());
        ok(json!({ "orders": [order(&page.to_string(), "2026-03-01T07:10:00Z")], "next": next }))
    });
    bench.run(20).await;
    let heard = bench.partner.heard();
    let first = heard.iter().position(|call| call == "POST /captures/p").unwrap();
    let second = heard.iter().position(|call| call == "POST /captures/q").unwrap();
    assert!(first <= 4 && second <= 9, "{first} {second}");
    assert_eq!(heard.len(), 42);
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    assert_eq!(bench.state(&other).await, IntentState::Done);
}

#[tokio::test]
async fn a_poll_can_be_off_or_slower() {
    let setting = "enabled   = false";
    let config = lab::CONFIG.replace(setting, "every = \"10m\"");
    let mut bench = Bench::with(lab::world(lab::MANIFEST, &config));
    bench.partner.always(|_| ok(json!({ "orders": [] })));
    bench.run(3000).await;
    let times = polls(&bench);
    assert!((5..=6).contains(&times.len()), "{times:?}");
    let pauses: Vec<i64> =
        times.windows(2).map(|pair| pair[1].0.duration_since(pair[0].0).as_secs()).collect();
    assert!(pauses.iter().all(|pause| (540..=660).contains(pause)), "{pauses:?}");
    bench.world.store(Arc::new(lab::world(lab::MANIFEST, lab::CONFIG)));
    let before = bench.partner.heard().len();
    bench.run(3000).await;
    assert_eq!(bench.partner.heard().len(), before);
}

#[tokio::test]
async fn a_dear_poll_is_not_overtaken_for_ever_by_a_cheap_one_that_always_has_something() {
    let manifest = lab::MANIFEST.replace("size   = 1000", "size   = 100").replace(
        "refill = \"500/s\"",
        "refill = \"10/s\"\ncosts = { \"poll.orders\" = 3, \"poll.dear\" = 30 }",
    ) + "[poll.dear]\npath = \"/dear\"\nquery = { page = \"{page}\" }\nitems = \"orders\"\npage = { next = \"next\" }\nevery = \"1s\"\nmapping = \"thing\"\n";
    let config = lab::CONFIG.replace("enabled   = false", "every = \"1s\"");
    let mut bench = Bench::with(lab::world(&manifest, &config));
    bench.partner.always(|call| {
        // The dear one has six pages; the cheap one is due again each second.
        let dear = call.url.contains("/dear");
        let page: usize = query(&call.url, "page").map_or(1, |page| page.parse().unwrap());
        ok(json!({ "orders": [], "next": (dear && page < 6).then(|| (page + 1).to_string()) }))
    });
    bench.run(400).await;
    let calls = bench.partner.calls.lock().unwrap().clone();
    let pages: Vec<String> = calls
        .iter()
        .filter(|(_, call)| call.url.contains("/dear"))
        .map(|(_, call)| query(&call.url, "page").unwrap_or_default())
        .collect();
    // Three tenths of 10 a second are 3: 400 seconds pay for 36 pages with a cheap one to each turn.
    assert!(pages.len() >= 30, "{pages:?}");
    assert!(pages.chunks_exact(6).all(|run| run == ["", "2", "3", "4", "5", "6"]), "{pages:?}");
    let cheap = calls.iter().filter(|(_, call)| call.url.contains("/orders")).count();
    assert!(cheap >= 10, "{cheap}");
    assert_eq!(bench.troubles().await, ["polls_over_share"]);
    let state = lane_state(&bench).await;
    assert!(state.polls.iter().all(|poll| poll.error.is_none()), "{:?}", state.polls);
}

#[tokio::test]
async fn a_poll_whose_cursor_is_refused_again_and_again_is_told_of() {
    let mut bench = Bench::with(polling());
    bench.partner.always(|call| {
        if query(&call.url, "page").is_some_and(|page| page == "p2") {
            return status(400);
        }
        ok(json!({ "orders": [], "next": "p2" }))
    });
    bench.run(900).await;
    assert_eq!(bench.troubles().await, ["poll_failed"]);
}

// ----------------------------------------------------------------------------------------------------------- re-reads

async fn ask(bench: &Bench, id: &str, message: i64) {
    let value = json!({ "account": ACCOUNT, "read": "thing", "id": id, "message": message });
    assert!(bench.store.put("reread", &format!("{ACCOUNT}/thing/{id}"), value, None).await.unwrap());
}

async fn asked(bench: &Bench) -> usize {
    bench.store.all("reread").await.unwrap().into_iter().filter(|(_, value)| !value.is_null()).count()
}

#[tokio::test]
async fn a_thin_webhooks_thing_is_read_again_once() {
    let mut bench = Bench::new();
    ask(&bench, "gid://lab/Thing/7", 1).await;
    bench.partner.next(ok(json!({ "id": "7", "state": "new" })));
    bench.run(60).await;
    assert_eq!(bench.partner.heard(), ["GET /things/gid%3A%2F%2Flab%2FThing%2F7"]);
    let inbox = bench.inbox().await;
    assert_eq!(inbox.len(), 1);
    let content = &inbox[0].content;
    assert_eq!(
        (content.origin, content.mapping.as_str(), content.topic.as_str()),
        (Origin::Poll, "thing", "read.thing")
    );
    assert_eq!(asked(&bench).await, 0);
}

#[tokio::test]
async fn one_that_is_asked_for_again_meanwhile_is_read_again_and_numbered() {
    let mut bench = Bench::new();
    ask(&bench, "7", 1).await;
    let gate = Arc::new(tokio::sync::Notify::new());
    bench.partner.next(Reply::Gate(gate.clone(), Box::new(ok(json!({ "id": "7", "v": 1 })))));
    bench.partner.next(ok(json!({ "id": "7", "v": 2 })));
    let store = bench.store.clone();
    {
        let mut step = std::pin::pin!(bench.lane.step());
        assert!(futures::poll!(step.as_mut()).is_pending());
        let value = json!({ "account": ACCOUNT, "read": "thing", "id": "7", "message": 2 });
        store.put("reread", "lab/thing/7", value, None).await.unwrap();
        gate.notify_one();
        step.await;
    }
    assert_eq!(bench.partner.heard().len(), 2);
    assert_eq!(asked(&bench).await, 0);
    let inbox = bench.inbox().await;
    let numbers: Vec<u64> = inbox
        .iter()
        .map(|message| {
            message
                .content
                .headers
                .iter()
                .find(|(name, _)| name == "crossdock-reread")
                .unwrap()
                .1
                .parse()
                .unwrap()
        })
        .collect();
    assert!(numbers.len() == 2 && numbers[0] < numbers[1], "{numbers:?}");
}

#[tokio::test]
async fn one_that_cannot_be_read_is_an_exception_and_one_that_may_is_tried_again() {
    let mut bench = Bench::new();
    ask(&bench, "gone", 5).await;
    ask(&bench, "later", 6).await;
    let mut failures = 0;
    bench.partner.always(move |call| {
        if call.url.ends_with("gone") {
            return status(404);
        }
        failures += 1;
        if failures < 4 { status(503) } else { ok(json!({ "id": "later" })) }
    });
    bench.run(120).await;
    assert_eq!(asked(&bench).await, 0);
    let open = bench.exceptions().await;
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].kind.as_str(), open[0].message_id.unwrap().0), ("reread_failed", 5));
    assert_eq!(ids(&bodies(&bench).await), ["later"]);
}

// ---------------------------------------------------------------------------------------------------- the comparison

async fn know(bench: &Bench, id: &str) {
    let account = AccountId::from(ACCOUNT);
    let write = EntityWrite {
        id: EntityId::order(&"acme".into(), &account, id),
        expected: 0,
        client: "acme".into(),
        index: EntityIndex { account: account.clone(), ..EntityIndex::default() },
        state: json!({}).into(),
        reservations: Vec::new(),
        personal: Value::Null,
        facts: Vec::new(),
        heard: None,
        superseded: Vec::new(),
        refs: vec![ExternalRef::of_account(&account, "order", id)],
        intents: Vec::new(),
        exceptions: None,
        timers: Vec::new(),
        events: Vec::new(),
    };
    let unit = Unit { at: bench.clock.now(), entities: vec![write], ..Unit::default() };
    bench.store.commit(vec![unit]).await.unwrap();
}

#[tokio::test]
async fn orders_that_never_came_are_found_and_read() {
    let mut bench = Bench::with(polling());
    let listed: Arc<Mutex<Vec<Value>>> = Arc::default();
    let list = listed.clone();
    bench.partner.always(move |call| {
        let since: Timestamp = query(&call.url, "since").unwrap().parse().unwrap();
        let at = |order: &Value| order["at"].as_str().unwrap().parse::<Timestamp>().unwrap();
        let orders: Vec<Value> =
            list.lock().unwrap().iter().filter(|order| at(order) >= since).cloned().collect();
        ok(json!({ "orders": orders }))
    });
    bench.run(400).await;
    know(&bench, "1").await;
    // The partner's list lagged behind: both carry times that the poll has passed long ago.
    listed.lock().unwrap().extend([order("1", "2026-03-01T01:00:00Z"), order("2", "2026-03-01T02:00:00Z")]);
    bench.run(600).await;
    assert_eq!(ids(&bodies(&bench).await), ["2"], "only what is missing");
    let gaps =
        reconcile::gaps(&*bench.store, &ACCOUNT.into(), bench.clock.now(), Duration::from_hours(48)).await;
    let gaps = gaps.unwrap();
    assert_eq!(gaps.iter().map(|gap| gap.id.as_str()).collect::<Vec<_>>(), ["2"]);
    // Once it is known, it is no gap; while it is not, it is not read into the inbox again and again.
    bench.run(7 * 3600).await;
    assert_eq!(ids(&bodies(&bench).await), ["2"]);
    know(&bench, "2").await;
    let gaps =
        reconcile::gaps(&*bench.store, &ACCOUNT.into(), bench.clock.now(), Duration::from_hours(48)).await;
    assert!(gaps.unwrap().is_empty());
}

#[tokio::test]
async fn many_re_reads_and_polls_take_turns() {
    let mut bench = Bench::with(polling());
    for id in 0..30 {
        ask(&bench, &id.to_string(), id).await;
    }
    bench.partner.always(|call| match query(&call.url, "since") {
        Some(_) => ok(json!({ "orders": [] })),
        None => ok(json!({ "id": "x" })),
    });
    bench.step().await;
    let heard = bench.partner.heard();
    assert_eq!(heard.len(), 31);
    assert!(heard[..2].iter().any(|call| call.starts_with("GET /orders")), "{heard:?}");
    assert_eq!(asked(&bench).await, 0);
}

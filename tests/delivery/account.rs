//! One caller an account, and what happens when the account, the lease or the store fails.

use std::sync::Arc;
use std::time::Duration;

use crossdock::canonical::{AccountId, IntentState};
use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::{Clock as _, LANES, LaneState};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Notify;

use crate::flaky::{Flaky, When};
use crate::lab::{self, ACCOUNT, Bench, Reply, ok, status};

const CAPTURE: &str = "payment.capture";
const VOID: &str = "payment.void";

fn flaky_bench() -> (Bench, Arc<Flaky>) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { inline: true, ..Options::default() };
    let store = Flaky::over(SqliteStore::open(folder.path().join("lab.db"), options).unwrap());
    (Bench::on(store.clone(), folder, lab::world(lab::MANIFEST, lab::CONFIG)), store)
}

async fn lane_state(bench: &Bench) -> LaneState {
    serde_json::from_value(bench.store.get(LANES, ACCOUNT).await.unwrap().unwrap()).unwrap()
}

async fn someone_else_may_call(bench: &Bench) -> bool {
    let now = bench.clock.now();
    let until = now + jiff::SignedDuration::from_millis(1);
    bench.store.lease(&AccountId::from(ACCOUNT), "probe", now, until, None).await.unwrap().is_some()
}

// ------------------------------------------------------------------------------------------------------------ leases

#[tokio::test]
async fn two_owners_on_one_store_never_both_call() {
    let mut bench = Bench::new();
    let other = bench.partner();
    let mut second = bench.another_with(&other);
    let mut done = 0;
    for order in 0..40 {
        bench.intend(&order.to_string(), CAPTURE, json!({ "payment": "p" })).await;
        bench.step().await;
        second.step().await;
        bench.pass(1);
        if order == 20 {
            // The first owner dies, and its lease runs out.
            done = bench.partner.heard().len();
            bench.pass(31);
            second.step().await;
        }
    }
    bench.step().await;
    assert_eq!(bench.partner.heard().len(), done, "the first never calls again");
    assert_eq!(done + other.heard().len(), 40, "each was sent once, by one of them");
    let last = bench.partner.times().into_iter().max().unwrap();
    let first = other.times().into_iter().min().unwrap();
    assert!(first.duration_since(last).as_secs() >= 30, "not before the lease had run out");
}

#[tokio::test]
async fn a_lease_that_was_given_back_is_taken_at_once() {
    let mut bench = Bench::new();
    bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    bench.step().await;
    bench.lane.stop();
    bench.step().await;
    bench.lane.close().await;
    let intent = bench.intend("2", CAPTURE, json!({ "payment": "q" })).await;
    let mut second = bench.another();
    second.step().await;
    assert_eq!(bench.state(&intent).await, IntentState::Done);
}

#[tokio::test]
async fn the_lease_outlives_every_call_of_a_long_step() {
    let manifest =
        lab::MANIFEST.replace("base = \"http://lab.test\"", "base = \"http://lab.test\"\nin_flight = 1");
    let mut bench = Bench::with(lab::world(&manifest, lab::CONFIG));
    let mut intents = Vec::new();
    for order in 0..20 {
        intents.push(bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await);
    }
    bench.partner.always(|_| Reply::After(Duration::from_secs(8), Box::new(ok(json!({})))));
    let before = bench.clock.now();
    bench.step().await;
    assert!(bench.clock.now().duration_since(before).as_secs() >= 160);
    for intent in &intents {
        let intent = bench.intent(intent).await;
        assert_eq!((intent.state, intent.attempts), (IntentState::Done, 1));
    }
    assert!(!someone_else_may_call(&bench).await);
}

#[tokio::test]
async fn a_lease_lost_in_mid_flight_makes_the_late_answer_void() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    let gate = Arc::new(Notify::new());
    bench.partner.next(Reply::Gate(gate.clone(), Box::new(ok(json!({ "from": "the first" })))));
    let other = bench.partner();
    let mut second = bench.another_with(&other);
    {
        let mut step = std::pin::pin!(bench.lane.step());
        assert!(futures::poll!(step.as_mut()).is_pending());
        // It hangs far beyond its deadline; another takes over and repeats the call under the same key.
        bench.clock.advance(Duration::from_secs(31));
        other.next(ok(json!({ "from": "the second" })));
        second.step().await;
        assert_eq!(other.heard(), [""; 0], "what flew may still arrive: not at once");
        bench.clock.advance(Duration::from_secs(10));
        second.step().await;
        gate.notify_one();
        step.await;
    }
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    assert_eq!(other.heard(), ["POST /captures/p"]);
    let inbox = bench.inbox().await;
    assert_eq!(inbox.len(), 1);
    assert_eq!(&inbox[0].content.body[..], br#"{"from":"the second"}"#);
    let keys = |calls: &[(Timestamp, crossdock::ports::HttpRequest)]| calls[0].1.clone();
    assert_eq!(keys(&bench.partner.calls.lock().unwrap()), keys(&other.calls.lock().unwrap()));
}

#[tokio::test]
async fn without_the_store_nothing_is_called() {
    let (mut bench, store) = flaky_bench();
    bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    store.fail("lease", When::Before);
    bench.step().await;
    assert_eq!(bench.partner.heard(), [""; 0]);
    bench.run(5).await;
    assert_eq!(bench.partner.heard().len(), 1);
}

#[tokio::test]
async fn a_lease_that_comes_when_it_has_almost_run_out_is_asked_for_again() {
    let (mut bench, store) = flaky_bench();
    bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    let late = {
        let clock = bench.clock.clone();
        move || clock.advance(Duration::from_secs(29))
    };
    store.slow("lease", late.clone());
    bench.step().await;
    assert_eq!(bench.partner.heard().len(), 1, "had at the second try");
    // One that always comes too late is none.
    bench.pass(3600);
    bench.intend("2", CAPTURE, json!({ "payment": "q" })).await;
    for _ in 0..3 {
        store.slow("lease", late.clone());
    }
    bench.step().await;
    assert_eq!(bench.partner.heard().len(), 1, "no call without a lease that outlives it");
    bench.run(10).await;
    assert_eq!(bench.partner.heard().len(), 2);
}

// ---------------------------------------------------------------------------------------------------------- the store

#[tokio::test]
async fn an_answer_that_the_store_does_not_take_is_not_lost() {
    for when in [When::Before, When::After] {
        let (mut bench, store) = flaky_bench();
        let intent = bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
        store.fail("settle", when);
        store.fail("settle", when);
        bench.run(30).await;
        assert!(store.spent());
        assert_eq!(bench.partner.heard().len(), 1, "{when:?}");
        assert_eq!(bench.state(&intent).await, IntentState::Done, "{when:?}");
        assert_eq!(bench.inbox().await.len(), 1, "{when:?}");
    }
}

#[tokio::test]
async fn what_was_not_surely_frozen_is_not_sent() {
    for when in [When::Before, When::After] {
        let (mut bench, store) = flaky_bench();
        let intent = bench.intend("1", "order.tag", json!({ "tag": "t" })).await;
        store.fail("freeze", when);
        bench.step().await;
        assert_eq!(bench.partner.heard(), [""; 0], "{when:?}");
        bench.run(30).await;
        assert_eq!(bench.partner.heard(), ["POST /tags/t"], "{when:?}");
        assert_eq!(bench.state(&intent).await, IntentState::Done, "{when:?}");
    }
}

#[tokio::test]
async fn every_call_of_the_store_may_fail_once() {
    for method in
        ["lease", "recover", "due", "load", "freeze", "refly", "settle", "cursor", "all", "put", "exceptions"]
    {
        for when in [When::Before, When::After] {
            let (mut bench, store) = flaky_bench();
            let intent = bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
            bench.partner.next(Reply::Silent);
            store.fail(method, when);
            bench.run(60).await;
            assert_eq!(bench.state(&intent).await, IntentState::Done, "{method} {when:?}");
            assert_eq!(bench.partner.heard().len(), 2, "{method} {when:?}");
        }
    }
}

// --------------------------------------------------------------------------------------------------------- the breaker

#[tokio::test]
async fn an_account_that_is_down_pauses_its_lane_and_is_probed() {
    let mut bench = Bench::new();
    let mut intents = Vec::new();
    for order in 0..12 {
        intents.push(bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await);
        bench.clock.advance(Duration::from_millis(10));
    }
    bench.partner.always(|_| Reply::Unreachable);
    bench.step().await;
    let first = bench.partner.heard().len();
    assert!((5..=12).contains(&first), "{first}");
    assert_eq!(bench.troubles().await, ["account_down"]);
    let open = bench.exceptions().await;
    assert_eq!(open[0].cause, "account:lab");
    let state = lane_state(&bench).await;
    assert_eq!(state.state, "paused");
    assert!(state.until.is_some() && state.last_error.is_some() && state.failures >= 5);

    bench.run(29).await;
    assert_eq!(bench.partner.heard().len(), first, "nothing is called while it pauses");
    bench.run(3).await;
    assert_eq!(bench.partner.heard().len(), first + 1, "one call probes");
    bench.run(20).await;
    assert_eq!(bench.partner.heard().len(), first + 1, "and pauses again");
    assert_eq!(bench.troubles().await, ["account_down"], "told once");

    bench.partner.always(|_| ok(json!({})));
    bench.run(120).await;
    for intent in &intents {
        assert_eq!(bench.state(intent).await, IntentState::Done);
    }
    assert_eq!(bench.troubles().await, [""; 0]);
    assert_eq!(lane_state(&bench).await.state, "idle");
}

#[tokio::test]
async fn what_the_partner_says_of_single_orders_never_pauses_the_lane() {
    let mut bench = Bench::new();
    for order in 0..20 {
        bench.intend(&order.to_string(), CAPTURE, json!({ "payment": "bad" })).await;
    }
    bench.partner.always(|_| status(422));
    bench.run(60).await;
    assert_eq!(bench.partner.heard().len(), 20);
    assert!(bench.troubles().await.iter().all(|kind| kind == "rejected"));
    assert_ne!(lane_state(&bench).await.state, "paused");
}

#[tokio::test]
async fn one_order_on_which_the_partner_stumbles_delays_no_other() {
    let mut bench = Bench::new();
    bench.intend("bad", VOID, json!({ "payment": "bad" })).await;
    bench.partner.always(|call| if call.url.ends_with("bad") { status(500) } else { ok(json!({})) });
    for order in 0..60 {
        let intent = bench.intend(&order.to_string(), VOID, json!({ "payment": "good" })).await;
        bench.run(1).await;
        assert_eq!(bench.state(&intent).await, IntentState::Done);
    }
}

#[tokio::test]
async fn missing_permission_counts_against_the_account_and_is_told() {
    let config = format!("[delivery]\ngive_up = \"20m\"\n{}", lab::CONFIG);
    let mut bench = Bench::with(lab::world(lab::MANIFEST, &config));
    let intent = bench.intend("1", VOID, json!({ "payment": "p" })).await;
    for order in 2..8 {
        bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await;
    }
    bench.partner.always(|_| status(403));
    bench.run(600).await;
    let troubles = bench.troubles().await;
    assert!(troubles.contains(&"account_down".to_owned()), "{troubles:?}");
    // Long after a command would have been given up it still only waits: the account is at fault.
    bench.run(1800).await;
    assert!(matches!(bench.state(&intent).await, IntentState::Retry | IntentState::InFlight));
    bench.partner.always(|_| ok(json!({})));
    bench.run(3600).await;
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    assert_eq!(bench.troubles().await, [""; 0]);
}

#[tokio::test]
async fn an_exception_left_open_by_a_former_process_is_resolved() {
    let mut bench = Bench::new();
    for order in 0..6 {
        bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await;
    }
    bench.partner.always(|_| Reply::Unreachable);
    bench.step().await;
    assert_eq!(bench.troubles().await, ["account_down"]);
    bench.dies();
    bench.partner.always(|_| ok(json!({})));
    bench.run(60).await;
    assert_eq!(bench.troubles().await, [""; 0]);
}

// -------------------------------------------------------------------------------------------------------- the daemon

#[tokio::test]
async fn the_daemons_loop_wakes_for_work_and_stops_in_order() {
    let bench = Bench::new();
    let stop = tokio_util::sync::CancellationToken::new();
    let lane = bench.another();
    let waker = lane.waker();
    let task = tokio::spawn(crossdock::deliver::run_lane(lane, stop.clone()));
    tokio::time::sleep(Duration::from_millis(20)).await;
    let intent = bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    waker.wake();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    stop.cancel();
    task.await.unwrap();
    assert!(someone_else_may_call(&bench).await, "the lease was given back");
    assert_eq!(lane_state(&bench).await.state, "off");
}

#[tokio::test]
async fn a_stop_lets_what_is_in_flight_come_to_its_end() {
    let bench = Bench::new();
    let intent = bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    let late = bench.intend("2", CAPTURE, json!({ "payment": "q" })).await;
    let gate = Arc::new(Notify::new());
    bench.partner.next(Reply::Gate(gate.clone(), Box::new(ok(json!({})))));
    bench.partner.always(|_| ok(json!({})));
    let stop = tokio_util::sync::CancellationToken::new();
    let task = tokio::spawn(crossdock::deliver::run_lane(bench.another(), stop.clone()));
    tokio::time::sleep(Duration::from_millis(50)).await;
    stop.cancel();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let after = bench.intend("3", CAPTURE, json!({ "payment": "r" })).await;
    assert!(!task.is_finished());
    gate.notify_one();
    task.await.unwrap();
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    assert_eq!(bench.state(&late).await, IntentState::Done);
    assert_eq!(bench.state(&after).await, IntentState::Pending);
}

//! What is done at a partner is done once, whatever becomes of the answer (P3).

use std::sync::{Arc, Mutex};

use crate::lab::{self, Bench, Reply, ok, status};
use crossdock::canonical::IntentState;
use crossdock::ports::{Clock as _, Origin, Remedy};
use jiff::SignedDuration;
use serde_json::json;

const CAPTURE: &str = "payment.capture";
const REFUND: &str = "payment.refund";
const TRACKER: &str = "tracker.create";
const LABEL: &str = "label.refund";
const TAG: &str = "order.tag";
const VOID: &str = "payment.void";

#[tokio::test]
async fn a_command_is_sent_once_and_its_answer_is_a_message() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", CAPTURE, json!({ "payment": "pi_1" })).await;
    bench.partner.next(ok(json!({ "id": "ch_1" })));
    bench.run(60).await;
    assert_eq!(bench.partner.heard(), ["POST /captures/pi_1"]);
    let request = bench.partner.last();
    let header =
        |name: &str| request.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    assert_eq!(header("Authorization"), Some("Bearer the KEY"));
    assert_eq!(header("Idempotency-Key"), Some(intent.id.to_string().as_str()));
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    let inbox = bench.inbox().await;
    assert_eq!(inbox.len(), 1);
    let answer = &inbox[0].content;
    assert_eq!(
        (answer.origin, answer.topic.as_str(), answer.mapping.as_str()),
        (Origin::Answer, CAPTURE, "thing")
    );
    assert_eq!(answer.context, Some(intent.id.to_string()));
    assert_eq!(&answer.body[..], br#"{"id":"ch_1"}"#);
    assert_eq!(bench.troubles().await, [""; 0]);
}

#[tokio::test]
async fn an_answer_has_its_order_planned_again_whatever_it_says() {
    let (good, bad) =
        (json!({ "id": "1", "at": "2026-03-01T08:00:00Z" }), json!({ "id": "1", "at": "soon" }));
    for (body, said, becomes) in [(good, 1, "done"), (bad, 0, "excepted")] {
        let mut bench = Bench::new();
        let intent = bench.intend("1", CAPTURE, json!({ "payment": "pi_1" })).await;
        bench.partner.next(ok(body));
        bench.run(60).await;
        let record = bench.store.load(std::slice::from_ref(&intent.entity)).await.unwrap().remove(0);
        bench.work().await;
        let planned = bench.store.load(std::slice::from_ref(&intent.entity)).await.unwrap().remove(0);
        assert_eq!((planned.version, planned.facts.len()), (record.version + 1, said));
        assert_eq!(bench.store.counts().await.unwrap().messages, [(becomes.to_owned(), 1)]);
    }
}

#[tokio::test]
async fn an_unknown_outcome_is_repeated_under_its_key_with_the_same_bytes() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", CAPTURE, json!({ "payment": "pi_1" })).await;
    bench.partner.next(Reply::Silent);
    bench.partner.next(status(503));
    bench.partner.next(ok(json!({ "id": "ch_1" })));
    bench.run(120).await;
    let calls = bench.partner.calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 3);
    assert!(calls.iter().all(|(_, call)| *call == calls[0].1), "{calls:#?}");
    assert_eq!(bench.state(&intent).await, IntentState::Done);
}

#[tokio::test]
async fn a_key_that_has_run_out_is_not_trusted() {
    let mut bench = Bench::new();
    let capture = bench.intend("1", CAPTURE, json!({ "payment": "pi_1" })).await;
    let refund = bench.intend("2", REFUND, json!({ "payment": "pi_2" })).await;
    let key = refund.id.to_string();
    bench.partner.always(|_| Reply::Silent);
    bench.step().await;
    assert_eq!(bench.state(&capture).await, IntentState::Unknown);
    bench.pass(3600);
    let before = bench.partner.heard().len();
    bench
        .partner
        .always(move |_| ok(json!({ "things": [{ "key": "other" }, { "key": key, "id": "re_1" }] })));
    bench.run(60).await;
    // The one without a look-up waits for a person, the other was looked up; none was sent again.
    assert_eq!(bench.partner.heard()[before..], ["GET /things"]);
    assert_eq!(bench.state(&capture).await, IntentState::Stuck);
    assert_eq!(bench.state(&refund).await, IntentState::Done);
    assert_eq!(bench.troubles().await, ["outcome_unknown"]);
    let inbox = bench.inbox().await;
    assert_eq!(inbox.len(), 1, "what was found is the answer");
    assert!(String::from_utf8_lossy(&inbox[0].content.body).contains("re_1"));
}

#[tokio::test]
async fn an_unknown_outcome_is_looked_up_and_found() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", TRACKER, json!({ "tracking": "1Z" })).await;
    bench.partner.next(Reply::Silent);
    bench.step().await;
    assert_eq!(bench.state(&intent).await, IntentState::Unknown);
    bench.pass(9);
    bench.step().await;
    assert_eq!(bench.partner.heard(), ["POST /trackers/1Z"], "a miss means nothing before `settle`");
    bench.partner.always(|_| ok(json!({ "things": [{ "code": "1Z", "id": "trk_1" }] })));
    bench.run(60).await;
    assert_eq!(bench.partner.heard(), ["POST /trackers/1Z", "GET /things"]);
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    assert_eq!(bench.inbox().await.len(), 1);
}

#[tokio::test]
async fn what_is_surely_not_there_is_sent_again() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", TRACKER, json!({ "tracking": "1Z" })).await;
    bench.partner.next(Reply::Silent);
    bench.partner.next(status(500));
    bench.partner.next(ok(json!({ "things": [] })));
    bench.partner.next(ok(json!({ "id": "trk_1" })));
    bench.run(120).await;
    assert_eq!(
        bench.partner.heard(),
        ["POST /trackers/1Z", "GET /things", "GET /things", "POST /trackers/1Z"]
    );
    let calls = bench.partner.calls.lock().unwrap().clone();
    assert_eq!(calls[0].1, calls[3].1, "the same bytes");
    assert_eq!(bench.state(&intent).await, IntentState::Done);
}

#[tokio::test]
async fn what_may_be_there_unseen_waits_for_a_person_who_decides() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", LABEL, json!({ "label": "L1" })).await;
    bench.partner.next(Reply::Silent);
    bench.partner.next(ok(json!({ "things": [] })));
    bench.run(60).await;
    assert_eq!(bench.partner.heard(), ["POST /labels/L1", "GET /things"]);
    assert_eq!(bench.state(&intent).await, IntentState::Stuck);
    assert_eq!(bench.troubles().await, ["outcome_unknown"]);
    bench.store.decide(intent.id, Remedy::SendAgain, "Maria looked", bench.clock.now()).await.unwrap();
    bench.partner.next(ok(json!({ "id": "L1" })));
    bench.run(60).await;
    assert_eq!(bench.partner.heard()[2..], ["POST /labels/L1"]);
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    assert_eq!(bench.troubles().await, [""; 0]);
}

#[tokio::test]
async fn without_key_or_look_up_it_is_sent_at_most_once() {
    let mut bench = Bench::new();
    let cut = bench.intend("1", TAG, json!({ "tag": "a" })).await;
    let unreachable = bench.intend("2", TAG, json!({ "tag": "b" })).await;
    bench.partner.next(Reply::Silent);
    bench.partner.next(Reply::Unreachable);
    bench.run(60).await;
    assert_eq!(bench.partner.heard(), ["POST /tags/a", "POST /tags/b", "POST /tags/b"]);
    assert_eq!(bench.state(&cut).await, IntentState::Stuck);
    assert_eq!(bench.state(&unreachable).await, IntentState::Done);
    assert_eq!(bench.troubles().await, ["outcome_unknown"]);
}

#[tokio::test]
async fn setting_a_value_is_repeated_freely() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", VOID, json!({ "payment": "p" })).await;
    bench.partner.next(Reply::Silent);
    bench.partner.next(ok(json!({})));
    bench.run(60).await;
    assert_eq!(bench.partner.heard().len(), 2);
    assert_eq!(bench.state(&intent).await, IntentState::Done);
}

#[tokio::test]
async fn a_process_that_dies_leaves_an_unknown_outcome() {
    for (command, args, calls, state) in [
        (CAPTURE, json!({ "payment": "p" }), 2, IntentState::Done),
        (TRACKER, json!({ "tracking": "p" }), 2, IntentState::Done),
        (TAG, json!({ "tag": "p" }), 1, IntentState::Stuck),
        (VOID, json!({ "payment": "p" }), 2, IntentState::Done),
    ] {
        let mut bench = Bench::new();
        let intent = bench.intend("1", command, args).await;
        let gate = Arc::new(tokio::sync::Notify::new());
        bench.partner.next(Reply::Gate(gate, Box::new(ok(json!({})))));
        {
            let mut step = std::pin::pin!(bench.lane.step());
            assert!(futures::poll!(step.as_mut()).is_pending());
        }
        assert_eq!(bench.partner.heard().len(), 1);
        assert_eq!(bench.state(&intent).await, IntentState::InFlight);
        bench.dies();
        bench.partner.always(|_| ok(json!({ "things": [{ "code": "p" }] })));
        bench.run(120).await;
        assert_eq!(bench.partner.heard().len(), calls, "{command}: {:?}", bench.partner.heard());
        assert_eq!(bench.state(&intent).await, state, "{command}");
    }
}

#[tokio::test]
async fn an_old_create_is_looked_up_before_it_is_first_sent() {
    let mut bench = Bench::new();
    let known = bench.intend("1", TRACKER, json!({ "tracking": "known" })).await;
    let new = bench.intend("2", TRACKER, json!({ "tracking": "new" })).await;
    bench.pass(120);
    // The store may be a backup: the process starts two minutes after the intents were made.
    bench.lane = bench.another();
    bench.partner.always(|call| match call.method.as_str() {
        "GET" => ok(json!({ "things": [{ "code": "known" }] })),
        _ => ok(json!({ "id": "x" })),
    });
    bench.run(60).await;
    let mut heard = bench.partner.heard();
    heard.sort_unstable();
    assert_eq!(heard, ["GET /things", "GET /things", "POST /trackers/new"]);
    assert_eq!(bench.state(&known).await, IntentState::Done);
    assert_eq!(bench.state(&new).await, IntentState::Done);
}

#[tokio::test]
async fn a_refusal_is_an_exception_and_stops_nothing_else() {
    let mut bench = Bench::new();
    let refused = bench.intend("1", CAPTURE, json!({ "payment": "bad" })).await;
    let good = bench.intend("2", CAPTURE, json!({ "payment": "good" })).await;
    bench.partner.always(|call| if call.url.ends_with("bad") { status(422) } else { ok(json!({})) });
    bench.run(60).await;
    assert_eq!(bench.state(&refused).await, IntentState::Rejected);
    assert_eq!(bench.state(&good).await, IntentState::Done);
    let open = bench.exceptions().await;
    assert_eq!(open.len(), 1);
    assert_eq!(open[0].kind, "rejected");
    assert_eq!(open[0].intent, Some(refused.id));
    assert!(open[0].message.contains("the lab says 422"), "{}", open[0].message);
    assert!(open[0].cause.starts_with("rejected:lab:payment.capture:"), "{}", open[0].cause);
    // Sent again with what may be other bytes: under another key.
    bench.store.decide(refused.id, Remedy::SendAgain, "mended", bench.clock.now()).await.unwrap();
    bench.partner.always(|_| ok(json!({})));
    bench.run(60).await;
    assert_eq!(bench.state(&refused).await, IntentState::Done);
    let keys: Vec<String> = bench
        .partner
        .calls
        .lock()
        .unwrap()
        .iter()
        .filter(|(_, call)| call.url.ends_with("bad"))
        .flat_map(|(_, call)| call.headers.clone())
        .filter(|(name, _)| name == "Idempotency-Key")
        .map(|(_, key)| key)
        .collect();
    assert_eq!(keys.len(), 2);
    assert_eq!(keys[0], refused.id.to_string());
    assert!(keys[1].starts_with(&format!("{}-", refused.id)), "{keys:?}");
}

#[tokio::test]
async fn a_refusal_after_an_unknown_outcome_is_looked_up_first() {
    let mut bench = Bench::new();
    let done = bench.intend("1", REFUND, json!({ "payment": "done" })).await;
    let refused = bench.intend("2", REFUND, json!({ "payment": "refused" })).await;
    let key = done.id.to_string();
    // The partner ignores the key: the repeat of what was done is refused, without a word that it was done.
    let mut heard = 0;
    bench.partner.always(move |call| {
        if call.method == "GET" {
            return ok(json!({ "things": [{ "key": key, "id": "re_1" }] }));
        }
        heard += 1;
        if heard <= 2 { Reply::Silent } else { status(400) }
    });
    bench.run(120).await;
    assert_eq!(bench.state(&done).await, IntentState::Done);
    assert_eq!(bench.state(&refused).await, IntentState::Rejected);
    assert_eq!(bench.troubles().await, ["rejected"]);
    let inbox = bench.inbox().await;
    assert_eq!(inbox.len(), 1, "what was found is the answer");
    assert!(String::from_utf8_lossy(&inbox[0].content.body).contains("re_1"));
    let sent = |what: &str| bench.partner.heard().iter().filter(|call| call.ends_with(what)).count();
    assert_eq!(sent("POST /refunds/done"), 2, "looked up once, and not sent again");
    // A first attempt that is refused is simply refused.
    let before = bench.partner.heard().len();
    let plain = bench.intend("3", REFUND, json!({ "payment": "plain" })).await;
    bench.run(60).await;
    assert_eq!(bench.partner.heard()[before..], ["POST /refunds/plain"]);
    assert_eq!(bench.state(&plain).await, IntentState::Rejected);
}

#[tokio::test]
async fn a_duplicate_counts_as_done() {
    let mut bench = Bench::new();
    let found = bench.intend("1", TRACKER, json!({ "tracking": "1Z" })).await;
    let plain = bench.intend("2", VOID, json!({ "payment": "p" })).await;
    bench.partner.always(|call| match call.method.as_str() {
        "GET" => ok(json!({ "things": [{ "code": "1Z", "id": "trk" }] })),
        _ => Reply::Says(400, Vec::new(), json!({ "error": "exists already" }).to_string()),
    });
    bench.run(60).await;
    assert_eq!(bench.state(&found).await, IntentState::Done);
    assert_eq!(bench.state(&plain).await, IntentState::Done);
    let inbox = bench.inbox().await;
    assert_eq!(inbox.len(), 1, "what is there is the answer, not the complaint");
    assert!(String::from_utf8_lossy(&inbox[0].content.body).contains("trk"));
}

#[tokio::test]
async fn pauses_grow_and_in_the_end_a_person_hears_of_it() {
    let mut bench = Bench::new();
    // Other traffic goes well, so that it is not the account that is out of order.
    let intent = bench.intend("1", VOID, json!({ "payment": "p" })).await;
    bench.partner.always(|_| Reply::Says(409, Vec::new(), json!({ "error": "come back later" }).to_string()));
    bench.run(25 * 3600).await;
    let times = bench.partner.times();
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1] + 1), "{pauses:?}");
    assert!((0..=1).contains(&pauses[0]) && pauses[3] >= 7 && pauses[3] <= 8, "{pauses:?}");
    assert!(pauses.iter().all(|pause| *pause <= 600), "{pauses:?}");
    assert_eq!(bench.state(&intent).await, IntentState::Rejected);
    assert_eq!(bench.troubles().await, ["gave_up"]);
    let day = times.last().unwrap().duration_since(times[0]);
    assert!(day <= SignedDuration::from_hours(24) && day > SignedDuration::from_hours(23), "{day:?}");
}

#[tokio::test]
async fn what_was_perhaps_done_stays_perhaps_done_when_a_repeat_surely_was_not() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    bench.partner.next(Reply::Silent);
    bench.partner.next(Reply::Unreachable);
    bench.step().await;
    bench.pass(2);
    bench.step().await;
    assert_eq!(bench.partner.heard().len(), 2);
    assert_eq!(bench.state(&intent).await, IntentState::Unknown);
}

#[tokio::test]
async fn what_is_not_wanted_any_more_is_withdrawn() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    let cancelled = json!({ "cancel": { "by": "storefront", "outcome": "cancelled" } });
    bench.write_with(&intent.entity, "1", cancelled, Vec::new()).await;
    bench.run(10).await;
    assert_eq!(bench.partner.heard(), [""; 0]);
    assert_eq!(bench.state(&intent).await, IntentState::Withdrawn);
    assert_eq!(bench.troubles().await, [""; 0]);
}

#[tokio::test]
async fn what_cannot_be_said_waits_and_is_seen() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", "fulfilment.update", json!({})).await;
    bench.run(10).await;
    assert_eq!(bench.partner.heard(), [""; 0]);
    // The lab has no such command: a person hears of it, and it is tried again by itself.
    assert_eq!(bench.state(&intent).await, IntentState::Pending);
    assert_eq!(bench.troubles().await, ["no_command"]);
}

#[tokio::test]
async fn a_flow_that_is_not_live_sends_nothing() {
    let config = lab::CONFIG.replace("live        = true", "live = false");
    let mut bench = Bench::with(lab::world(lab::MANIFEST, &config));
    let intent = bench.intend("1", VOID, json!({ "payment": "p" })).await;
    bench.run(600).await;
    assert_eq!(bench.partner.heard(), [""; 0]);
    assert_eq!(bench.state(&intent).await, IntentState::Pending);
    assert_eq!(bench.troubles().await, [""; 0]);
    assert!(bench.intent(&intent).await.error.unwrap().contains("not live"));
    bench.world.store(Arc::new(lab::world(lab::MANIFEST, lab::CONFIG)));
    bench.run(600).await;
    assert_eq!(bench.state(&intent).await, IntentState::Done);
}

#[tokio::test]
async fn what_a_command_needs_is_read_first() {
    let mut bench = Bench::new();
    let intent = bench.intend("1", "order.cancel", json!({})).await;
    bench.partner.next(status(500));
    bench.partner.next(ok(json!({ "things": [{ "id": "t7" }] })));
    bench.run(60).await;
    assert_eq!(bench.partner.heard(), ["GET /things", "GET /things", "POST /cancels/t7"]);
    assert_eq!(bench.state(&intent).await, IntentState::Done);
    // What was frozen is what our plan says, without what was only read for it.
    assert!(bench.intent(&intent).await.sent_content.unwrap().get("needs").is_none());
}

#[tokio::test]
async fn a_breakdown_in_one_delivery_takes_no_other_with_it() {
    let mut bench = Bench::new();
    let broken = bench.intend("1", CAPTURE, json!({ "payment": "breaks" })).await;
    let good = bench.intend("2", CAPTURE, json!({ "payment": "good" })).await;
    let breaks = Arc::new(Mutex::new(true));
    let switch = breaks.clone();
    bench.partner.always(move |call| {
        if call.url.ends_with("breaks") && *switch.lock().unwrap() { Reply::Panics } else { ok(json!({})) }
    });
    bench.run(30).await;
    assert_eq!(bench.state(&good).await, IntentState::Done);
    assert_eq!(bench.state(&broken).await, IntentState::Unknown, "it may have been sent");
    assert_eq!(bench.troubles().await, ["fault"]);
    *breaks.lock().unwrap() = false;
    bench.run(300).await;
    assert_eq!(bench.state(&broken).await, IntentState::Done);
    assert_eq!(bench.troubles().await, [""; 0]);
}

#[tokio::test]
async fn commands_of_one_order_keep_their_order() {
    let mut bench = Bench::new();
    let first = bench.intend("1", CAPTURE, json!({ "payment": "p" })).await;
    let second = bench.intend("1", REFUND, json!({ "payment": "p" })).await;
    let other = bench.intend("2", CAPTURE, json!({ "payment": "q" })).await;
    bench.partner.next(Reply::Silent);
    bench.step().await;
    assert_eq!(bench.partner.heard(), ["POST /captures/p", "POST /captures/q"]);
    assert_eq!(bench.state(&second).await, IntentState::Pending);
    assert_eq!(bench.state(&other).await, IntentState::Done);
    bench.run(60).await;
    assert_eq!(bench.partner.heard()[2..], ["POST /captures/p", "POST /refunds/p"]);
    assert_eq!(bench.state(&first).await, IntentState::Done);
}

//! Limits hold in any stretch of time, over all owners of the lease, and the urgent goes before the rest.

use std::collections::BTreeMap;
use std::time::Duration;

use crossdock::canonical::{AccountId, Class, IntentState};
use crossdock::connector::limits::Learned;
use crossdock::connector::manifest::Limit;
use crossdock::deliver::limiter::{Level, Limiter, Over, Share};
use crossdock::deliver::turns::{Waiting, choose};
use crossdock::ports::{Clock as _, HttpRequest, LANES, LaneState};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::json;

use crate::lab::{self, ACCOUNT, Bench, Reply, ok};

const CAPTURE: &str = "payment.capture";
const VOID: &str = "payment.void";

fn limit(size: u32, refill: u32, per: Duration) -> BTreeMap<String, Limit> {
    let limit = Limit {
        size,
        refill,
        per,
        cost: 1,
        costs: BTreeMap::new(),
        cost_from: None,
        left_from: None,
        used_of: None,
        retry_after: None,
        applies: Vec::new(),
    };
    BTreeMap::from([("calls".to_owned(), limit)])
}

fn start() -> Timestamp {
    "2026-03-01T08:00:00Z".parse().unwrap()
}

fn after(at: Timestamp, millis: u64) -> Timestamp {
    at.checked_add(SignedDuration::from_millis(i64::try_from(millis).unwrap())).unwrap()
}

/// The largest number of units within any half-open stretch of `window`.
fn densest(taken: &[(Timestamp, u32)], window: Duration) -> u32 {
    let window = SignedDuration::try_from(window).unwrap();
    let within = |from: Timestamp| {
        taken
            .iter()
            .filter(|(at, _)| *at >= from && *at < from.checked_add(window).unwrap())
            .map(|(_, cost)| cost)
            .sum()
    };
    taken.iter().map(|(at, _)| within(*at)).max().unwrap_or(0)
}

fn no_news(_: &Limit) -> Learned {
    Learned::default()
}

/// What a limiter lets pass when asked greedily at these pauses, changing its owner where told.
fn greedy(limits: &BTreeMap<String, Limit>, asks: &[(u64, u8, bool)]) -> Vec<(Timestamp, u32)> {
    let mut now = start();
    let mut limiter = Limiter::default();
    limiter.set(limits, now);
    let (mut epoch, mut written) = (1, limiter.level(1, false, now));
    let spent = limiter.spent();
    limiter.written(&written, &spent);
    let mut passed = Vec::new();
    for (pause, share, dies) in asks {
        now = after(now, *pause);
        if *dies {
            // The owner dies without a word; the next knows only what was written down.
            epoch += 1;
            let kept: Level = serde_json::from_value(serde_json::to_value(&written).unwrap()).unwrap();
            limiter = Limiter::default();
            limiter.set(limits, now);
            limiter.resume(&kept, epoch, now);
            written = limiter.level(epoch, false, now);
            let spent = limiter.spent();
            limiter.written(&written, &spent);
        }
        let share = [Share::Urgent, Share::Ordinary, Share::Poll][usize::from(share % 3)];
        while let Ok(taken) = limiter.take(&["call"], share, now) {
            if limiter.must_save() {
                written = limiter.level(epoch, false, now);
                let spent = limiter.spent();
                limiter.written(&written, &spent);
            }
            passed.push((now, 1));
            for one in taken {
                limiter.finish(one, Over::No, &no_news, now);
            }
        }
    }
    passed
}

proptest! {
    #[test]
    fn a_window_is_kept_in_any_stretch_of_time(
        size in 1_u32..60,
        asks in prop::collection::vec((0_u64..400, 0_u8..3, prop::bool::weighted(0.05)), 1..200),
    ) {
        let window = Duration::from_secs(2);
        let passed = greedy(&limit(size, size, window), &asks);
        prop_assert!(densest(&passed, window) <= size);
    }

    #[test]
    fn a_bucket_never_overflows_as_its_partner_counts(
        size in 1_u32..60,
        refill in 1_u32..20,
        asks in prop::collection::vec((0_u64..3000, 0_u8..3, prop::bool::weighted(0.05)), 1..200),
    ) {
        prop_assume!(refill < size);
        let passed = greedy(&limit(size, refill, Duration::from_secs(1)), &asks);
        // The partner's bucket, with a millisecond's grace for rounding.
        let (mut left, mut last) = (f64::from(size), start());
        for (at, cost) in passed {
            left = (left + at.duration_since(last).as_secs_f64() * f64::from(refill)).min(f64::from(size));
            left -= f64::from(cost);
            last = at;
            prop_assert!(left >= -0.01, "{left} left at {at}");
        }
    }

    #[test]
    fn polls_take_a_part_of_the_rate(asks in prop::collection::vec(1_u64..200, 50..300)) {
        let limits = limit(100, 50, Duration::from_secs(1));
        let asks: Vec<(u64, u8, bool)> = asks.into_iter().map(|pause| (pause, 2, false)).collect();
        let passed = greedy(&limits, &asks);
        prop_assert!(densest(&passed, Duration::from_secs(10)) <= 30 + 150 + 1);
    }
}

// ------------------------------------------------------------------------------------------------------- in the lane

fn bench_with(limit: &str) -> Bench {
    let manifest = lab::MANIFEST.replace("size   = 1000\nrefill = \"500/s\"\n", limit);
    assert_ne!(manifest, lab::MANIFEST);
    Bench::with(lab::world(&manifest, lab::CONFIG))
}

async fn lane_state(bench: &Bench) -> LaneState {
    serde_json::from_value(bench.store.get(LANES, ACCOUNT).await.unwrap().unwrap()).unwrap()
}

#[tokio::test]
async fn a_lane_keeps_the_limit_over_all_its_owners() {
    let mut bench = bench_with("size = 5\nrefill = \"5/s\"\n");
    for order in 0..40 {
        bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await;
    }
    bench.run(2).await;
    assert_eq!(lane_state(&bench).await.limits[0].refill, "5/s");
    bench.dies();
    bench.run(30).await;
    let calls: Vec<_> = bench.partner.times().into_iter().map(|at| (at, 1)).collect();
    assert_eq!(calls.len(), 40);
    assert!(densest(&calls, Duration::from_secs(1)) <= 5);
}

#[tokio::test]
async fn the_urgent_goes_before_what_waits_for_the_limit() {
    let mut bench = bench_with("size = 10\nrefill = \"1/s\"\n");
    for order in 0..30 {
        bench.intend_as(&order.to_string(), VOID, Class::Order, json!({ "payment": "p" })).await;
    }
    bench.step().await;
    assert_eq!(bench.partner.heard().len(), 7, "three tenths are reserved");
    let state = lane_state(&bench).await;
    assert_eq!((state.state.as_str(), state.limits[0].left), ("limited", 3));
    let urgent = bench.intend("u", CAPTURE, json!({ "payment": "u" })).await;
    bench.step().await;
    assert_eq!(bench.state(&urgent).await, IntentState::Done);
    bench.run(60).await;
    assert_eq!(bench.partner.heard().len(), 31);
}

#[tokio::test]
async fn what_the_answer_says_of_the_limit_is_believed() {
    let limit =
        "size = 100\nrefill = \"1/s\"\ncost = { default = 1, from = \"cost\" }\nleft_from = \"left\"\n";
    let mut bench = bench_with(limit);
    // Somebody else uses the account too: hardly anything is left.
    bench.partner.always(|_| ok(json!({ "left": 31, "cost": 1 })));
    bench.intend_as("1", VOID, Class::Order, json!({ "payment": "p" })).await;
    bench.step().await;
    assert_eq!(lane_state(&bench).await.limits[0].left, 31);
    bench.partner.always(|_| ok(json!({ "cost": 20 })));
    bench.intend_as("2", VOID, Class::Order, json!({ "payment": "p" })).await;
    bench.step().await;
    // It did cost 20, not 1: 11 are left. And now it is known what such a call costs: the next waits until it can be paid above the reserve.
    bench.intend_as("3", VOID, Class::Order, json!({ "payment": "p" })).await;
    let step = bench.step().await;
    assert_eq!(bench.partner.heard().len(), 2);
    assert_eq!(step.next.unwrap().duration_since(bench.clock.now()).as_secs(), 39);
}

#[tokio::test]
async fn over_the_limit_waits_as_long_as_the_partner_says_and_is_no_failure() {
    let mut bench = bench_with("size = 100\nrefill = \"50/s\"\n");
    let intent = bench.intend("1", VOID, json!({ "payment": "p" })).await;
    let other = bench.intend("2", VOID, json!({ "payment": "q" })).await;
    bench.partner.next(Reply::Says(429, vec![("retry-after", "90".to_owned())], String::new()));
    bench.partner.next(Reply::Says(429, vec![("retry-after", "90".to_owned())], String::new()));
    let before = bench.clock.now();
    bench.step().await;
    let urgent = bench.intend("3", CAPTURE, json!({ "payment": "r" })).await;
    bench.run(89).await;
    assert_eq!(bench.partner.heard().len(), 2, "nobody calls before");
    assert_eq!(lane_state(&bench).await.state, "limited");
    bench.run(10).await;
    for intent in [&intent, &other, &urgent] {
        assert_eq!(bench.state(intent).await, IntentState::Done);
    }
    assert!(bench.partner.times()[2].duration_since(before).as_secs() >= 90);
    assert_eq!(bench.troubles().await, [""; 0]);
}

#[tokio::test]
async fn over_the_limit_without_a_time_waits_longer_each_time() {
    let mut bench = bench_with("size = 100\nrefill = \"50/s\"\n");
    bench.intend("1", VOID, json!({ "payment": "p" })).await;
    for _ in 0..5 {
        bench.partner.next(lab::status(429));
    }
    bench.run(200).await;
    let times = bench.partner.times();
    let pauses: Vec<i64> = times.windows(2).map(|pair| pair[1].duration_since(pair[0]).as_secs()).collect();
    assert_eq!(pauses.len(), 5);
    assert!(pauses.windows(2).all(|pair| pair[0] <= pair[1]), "{pauses:?}");
    assert!(pauses[4] >= 15, "{pauses:?}");
}

#[tokio::test]
async fn the_level_goes_with_the_lease() {
    let mut bench = bench_with("size = 100\nrefill = \"1/s\"\n");
    for order in 0..40 {
        bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await;
    }
    bench.step().await;
    bench.lane.stop();
    bench.step().await;
    bench.lane.close().await;
    bench.lane = bench.another();
    bench.step().await;
    let left = lane_state(&bench).await.limits[0].left;
    assert_eq!(left, 60, "given back in order: to the unit");
    // One that dies leaves a level that is surely not too high.
    for order in 40..50 {
        bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await;
    }
    bench.step().await;
    bench.dies();
    bench.step().await;
    let left = lane_state(&bench).await.limits[0].left;
    assert!((60..=80).contains(&left), "50 were left, 30 came back, 20 may be unwritten: {left}");
}

#[tokio::test]
async fn calls_in_flight_are_counted() {
    let manifest =
        lab::MANIFEST.replace("base = \"http://lab.test\"", "base = \"http://lab.test\"\nin_flight = 3");
    let mut bench = Bench::with(lab::world(&manifest, lab::CONFIG));
    let gate = std::sync::Arc::new(tokio::sync::Notify::new());
    let held = gate.clone();
    bench.partner.always(move |_: &HttpRequest| Reply::Gate(held.clone(), Box::new(ok(json!({})))));
    for order in 0..9 {
        bench.intend(&order.to_string(), VOID, json!({ "payment": "p" })).await;
    }
    let partner = bench.partner.clone();
    let mut step = std::pin::pin!(bench.lane.step());
    for done in 0..9 {
        assert!(futures::poll!(step.as_mut()).is_pending());
        assert_eq!(partner.heard().len(), (3 + done).min(9));
        gate.notify_one();
    }
    step.await;
    let account = AccountId::from(ACCOUNT);
    assert!(bench.store.due(&account, bench.clock.now(), 10).await.unwrap().is_empty());
}

#[test]
fn a_dear_poll_that_waits_long_comes_to_its_share_among_many_small_deliveries() {
    let mut limits = limit(100, 10, Duration::from_secs(1));
    limits.get_mut("calls").unwrap().costs.insert("poll.dear".to_owned(), 60);
    let mut limiter = Limiter::default();
    limiter.set(&limits, start());
    let (mut small, mut dear) = (0, 0);
    for tenth in 0..3000 {
        let now = after(start(), tenth * 100);
        for _ in 0..3 {
            if let Ok(taken) = limiter.take(&[VOID], Share::Ordinary, now) {
                for taken in taken {
                    limiter.finish(taken, Over::No, &no_news, now);
                }
                small += 1;
            }
        }
        // It has waited since the beginning.
        let waiting = Waiting { operation: "poll.dear".to_owned(), share: Share::Poll, since: start() };
        if let (Some((_, taken)), _) = choose(&mut limiter, &[waiting], now) {
            limiter.finish(taken, Over::No, &no_news, now);
            dear += 1;
        }
    }
    // Of 3,000 units in five minutes three tenths are for polls: 15 of 60 each.
    assert!((10..=16).contains(&dear), "{dear}");
    assert!(small >= 2000, "{small}");
    // What is kept for a poll that never comes is given up, and the urgent never waits for it.
    limiter.keep("poll.dear", Share::Poll, after(start(), 310_000), after(start(), 305_000));
    assert!(limiter.take(&[CAPTURE], Share::Urgent, after(start(), 305_000)).is_ok());
    assert!(limiter.take(&[VOID], Share::Ordinary, after(start(), 330_000)).is_ok());
}

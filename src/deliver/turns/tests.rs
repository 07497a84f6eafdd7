//! Polls of any cost and interval on one limit, in simulated time.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use proptest::prelude::*;

use super::*;
use crate::connector::limits::Learned;
use crate::connector::manifest::Limit;
use crate::deliver::limiter::Over;

/// Of a limit of 2,000 and 100 a second, polls have 30 a second.
const SHARE: f64 = 30.0;
/// How long a call takes.
const CALL: f64 = 0.1;
/// How long the polls are watched, in seconds.
const HOURS: f64 = 10_800.0;
/// Pages of a turn.
const TURN: u32 = 4;

/// A poll: what a page may cost, what it does cost, how many pages a run has, and how often it is to run.
#[derive(Debug, Clone)]
struct Poll {
    asks: u32,
    costs: u32,
    pages: u32,
    every: f64,
}

impl Poll {
    /// Seconds that a run takes when nothing else goes on.
    fn alone(&self) -> f64 {
        f64::from(self.pages) * (f64::from(self.costs) / SHARE + CALL)
    }
}

#[derive(Debug, Default, Clone)]
struct Course {
    since: f64,
    due: f64,
    left: u32,
    turn: u32,
    runs: u32,
    /// The longest time from when a run was due to its end.
    latest: f64,
    /// Turns that each other one had since it waits.
    passed: BTreeMap<usize, u32>,
    most_passed: u32,
}

struct Day {
    courses: Vec<Course>,
    /// What was spent when.
    spent: Vec<(f64, u32)>,
    asked: u64,
    sure: bool,
}

fn at(seconds: f64) -> Timestamp {
    let start: Timestamp = "2026-03-01T08:00:00Z".parse().unwrap();
    start.checked_add(SignedDuration::from_secs_f64(seconds)).unwrap()
}

fn limiter(polls: &[Poll]) -> Limiter {
    let limit = Limit {
        size: 2000,
        refill: 100,
        per: Duration::from_secs(1),
        cost: 10,
        costs: polls.iter().enumerate().map(|(index, poll)| (format!("poll.{index}"), poll.asks)).collect(),
        cost_from: None,
        left_from: None,
        used_of: None,
        retry_after: None,
        applies: Vec::new(),
    };
    let mut limiter = Limiter::default();
    limiter.set(&BTreeMap::from([("points".to_owned(), limit)]), at(0.0));
    limiter
}

/// Runs the polls for so many seconds; `busy` takes all that ordinary calls may have besides.
fn run(polls: &[Poll], seconds: f64, busy: bool) -> Day {
    let mut limiter = limiter(polls);
    let mut courses: Vec<Course> =
        polls.iter().map(|poll| Course { left: poll.pages, ..Course::default() }).collect();
    let mut spent = Vec::new();
    let mut now = 0.0;
    while now < seconds {
        while busy && let Ok(taken) = limiter.take(&["order.create"], Share::Ordinary, at(now)) {
            for one in taken {
                limiter.finish(one, Over::No, &|_| Learned::default(), at(now));
            }
        }
        let mut due: Vec<usize> = (0..polls.len()).filter(|index| courses[*index].since <= now).collect();
        due.sort_by(|one, other| courses[*one].since.total_cmp(&courses[*other].since));
        let waiting: Vec<Waiting> = due
            .iter()
            .map(|index| Waiting {
                operation: format!("poll.{index}"),
                share: Share::Poll,
                since: at(courses[*index].since),
            })
            .collect();
        let (chosen, wait) = choose(&mut limiter, &waiting, at(now));
        let Some((place, taken)) = chosen else {
            let wait = wait.map(|wait| wait.duration_since(at(0.0)).as_secs_f64());
            let later = courses.iter().map(|course| course.since).filter(|since| *since > now);
            let next = later.chain(wait).fold(f64::MAX, f64::min);
            now = (now + 0.001).max(if busy { next.min(now + 0.25) } else { next });
            continue;
        };
        let index = due[place];
        if courses[index].turn == 0 {
            for other in due.iter().filter(|other| **other != index) {
                let other = &mut courses[*other];
                let passed = other.passed.entry(index).or_default();
                *passed += 1;
                other.most_passed = other.most_passed.max(*passed);
            }
            courses[index].passed.clear();
        }
        let (poll, course) = (&polls[index], &mut courses[index]);
        let operation = format!("poll.{index}");
        let mut taken = Some(taken);
        loop {
            let paid = match taken.take() {
                Some(taken) => taken,
                None => match limiter.take(&[&operation], Share::Poll, at(now)) {
                    Ok(mut taken) => taken.pop().unwrap(),
                    // It keeps its place.
                    Err(_) => break,
                },
            };
            spent.push((now, poll.costs));
            now += CALL;
            let learned = Learned { cost: Some(poll.costs), ..Learned::default() };
            limiter.finish(paid, Over::No, &|_| learned.clone(), at(now));
            course.left -= 1;
            course.turn += 1;
            if course.left == 0 {
                limiter.ran(&operation, Duration::from_secs_f64(poll.every));
                course.runs += 1;
                course.latest = course.latest.max(now - course.due);
                course.since = now + poll.every;
                (course.due, course.left, course.turn) = (course.since, poll.pages, 0);
                break;
            }
            if course.turn == TURN {
                (course.since, course.turn) = (now, 0);
                break;
            }
        }
    }
    let asked = limiter.asked(&|_| true).pop();
    let (asked, sure) = asked.map_or((0, false), |asked| (asked.whole(), asked.sure));
    Day { courses, spent, asked, sure }
}

/// The most that was spent within any stretch of that many seconds.
fn densest(spent: &[(f64, u32)], seconds: f64) -> u32 {
    let mut first = 0;
    let (mut within, mut most) = (0, 0);
    for (at, cost) in spent {
        within += cost;
        while spent[first].0 <= at - seconds {
            within -= spent[first].1;
            first += 1;
        }
        most = most.max(within);
    }
    most
}

fn a_poll() -> impl Strategy<Value = Poll> {
    (5_u32..1000, 1_u32..=100, 1_u32..7).prop_map(|(asks, part, pages)| {
        let costs = (asks * part / 100).max(1);
        Poll { asks, costs, pages, every: 1.0 }
    })
}

fn load(polls: &[Poll]) -> f64 {
    polls.iter().map(|poll| poll.alone() / poll.every).sum()
}

fn share_is_kept(polls: &[Poll], day: &Day) -> Result<(), TestCaseError> {
    let burst = polls.iter().map(|poll| poll.asks).max().unwrap().max(600);
    for seconds in [1.0, 60.0, 600.0] {
        let most = f64::from(burst) + SHARE * seconds + 1.0;
        let spent = densest(&day.spent, seconds);
        prop_assert!(f64::from(spent) <= most, "{spent} within {seconds} s, {most} at most");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn polls_that_fit_their_share_all_keep_up(
        polls in prop::collection::vec((a_poll(), 1_u32..10), 1..6),
        load_of in 0.1_f64..0.7,
    ) {
        let weights: u32 = polls.iter().map(|(_, weight)| weight).sum();
        let polls: Vec<Poll> = polls
            .into_iter()
            .map(|(poll, weight)| {
                let part = load_of * f64::from(weight) / f64::from(weights);
                Poll { every: (poll.alone() / part).max(1.0), ..poll }
            })
            .collect();
        let day = run(&polls, HOURS, false);
        share_is_kept(&polls, &day)?;
        prop_assert!(day.asked <= 1000, "{} thousandths", day.asked);
        // What may pile up, and what comes while it is worked off.
        let all: f64 = polls.iter().map(Poll::alone).sum::<f64>() + 2000.0 / SHARE;
        let bound = 2.0 * all / (1.0 - load(&polls));
        for (poll, course) in polls.iter().zip(&day.courses) {
            prop_assert!(course.latest <= bound, "{poll:?}: {} s after it was due, {bound} at most", course.latest);
            let runs = ((HOURS - bound) / (poll.every + bound)).floor();
            prop_assert!(f64::from(course.runs) >= runs, "{poll:?}: {} runs of {runs}", course.runs);
        }
    }

    #[test]
    fn polls_that_ask_for_too_much_take_turns(polls in prop::collection::vec((a_poll(), 1_u32..60), 2..6), busy: bool) {
        let polls: Vec<Poll> =
            polls.into_iter().map(|(poll, every)| Poll { every: f64::from(every), ..poll }).collect();
        let day = run(&polls, HOURS, busy);
        share_is_kept(&polls, &day)?;
        for (poll, course) in polls.iter().zip(&day.courses) {
            prop_assert!(course.runs >= 2, "{poll:?} ran {} times", course.runs);
            prop_assert!(course.most_passed <= 2, "{poll:?}: {} turns of another while it waited", course.most_passed);
        }
        // The load counts the time of calls too: the limits do not.
        let asks: f64 = polls.iter().map(|poll| f64::from(poll.pages * poll.costs) / SHARE / poll.every).sum();
        prop_assert!(day.sure);
        prop_assert_eq!(day.asked > 1000, asks > 1.0, "{} thousandths, {} asked", day.asked, asks);
    }
}

#[test]
fn a_cheap_frequent_poll_does_not_keep_a_dear_one_from_its_end() {
    let cheap = Poll { asks: 600, costs: 600, pages: 1, every: 7.0 };
    let dear = Poll { asks: 900, costs: 900, pages: 9, every: 120.0 };
    let day = run(&[cheap, dear], 3600.0, false);
    // A run of the dear one takes three turns, with one cheap page before each: 9,900 units, 330 seconds of the share.
    assert!(day.courses[1].latest <= 335.0, "{:?}", day.courses);
    assert!(day.courses[1].runs >= 7, "{:?}", day.courses);
    assert!(day.courses[0].runs >= 50, "{:?}", day.courses);
    assert!(day.asked > 1000);
}

#[test]
fn what_a_page_did_not_cost_is_given_back_to_the_share() {
    // A page may cost 900 and does cost 60, as an answer tells: the share pays for one each two seconds.
    let day = run(&[Poll { asks: 900, costs: 60, pages: 50, every: 600.0 }], 3600.0, false);
    assert!(day.courses[0].latest <= 110.0, "{:?}", day.courses);
    assert_eq!(day.asked, 50 * 60 * 1000 / (600 * 30));
}

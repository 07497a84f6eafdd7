//! The breaker of an account: pauses its lane while the account itself is out of order, and probes.
//!
//! Only errors of the account count: no connection, no answer, 5xx, no permission, no token, over the limit for long.
//! What a partner says about one order (refused, not found) shows that the account works. Failures of one and the same
//! order open it only after a long while, so that an order on which the partner stumbles does not stop the others.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use crate::retry::later;

/// Whether calls may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// They may.
    Open,
    /// One may, to see whether the account is back.
    Probe,
    /// None before this instant.
    Shut(Timestamp),
}

/// Whether something happened that others must hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// No.
    None,
    /// The lane pauses from now on.
    Paused,
    /// The account is back.
    Recovered,
}

/// How long the same order alone may fail, in pauses, before the account is held to be at fault.
const ALONE: u32 = 10;
/// How long an account may be over its limit without one success before that counts as a failure.
const LIMITED_LONG: Duration = Duration::from_mins(5);

/// Counts failures in a row.
#[derive(Debug, Clone)]
pub struct Breaker {
    after: u32,
    pause: Duration,
    failures: u32,
    subjects: BTreeSet<String>,
    first: Option<Timestamp>,
    counted: Option<Timestamp>,
    limited: Option<Timestamp>,
    until: Option<Timestamp>,
    probing: bool,
}

impl Breaker {
    /// A breaker that pauses for `pause` after `after` failures in a row.
    #[must_use]
    pub fn new(after: u32, pause: Duration) -> Self {
        Self {
            after: after.max(1),
            pause,
            failures: 0,
            subjects: BTreeSet::new(),
            first: None,
            counted: None,
            limited: None,
            until: None,
            probing: false,
        }
    }

    /// Takes over changed settings.
    pub fn set(&mut self, after: u32, pause: Duration) {
        self.after = after.max(1);
        self.pause = pause;
    }

    /// Whether a call may go at `now`.
    #[must_use]
    pub fn gate(&self, now: Timestamp) -> Gate {
        match self.until {
            None => Gate::Open,
            Some(until) if now < until => Gate::Shut(until),
            Some(_) if self.probing => Gate::Shut(later(now, self.pause)),
            Some(_) => Gate::Probe,
        }
    }

    /// Says that the probe was sent.
    pub fn probe(&mut self) {
        self.probing = true;
    }

    /// Says that the probe came to nothing: it was never sent.
    pub fn no_probe(&mut self) {
        self.probing = false;
    }

    /// Failures in a row.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Until when the lane pauses, if it does.
    #[must_use]
    pub fn paused(&self) -> Option<Timestamp> {
        self.until
    }

    /// A call about `subject` that was sent at `sent` failed for a reason of the account. Calls that were in the air
    /// together fail together: they count once.
    pub fn failed(&mut self, subject: &str, sent: Timestamp, now: Timestamp) -> Change {
        let together = self.counted.is_some_and(|counted| sent < counted);
        self.subjects.insert(subject.to_owned());
        let first = *self.first.get_or_insert(now);
        if !together {
            self.failures += 1;
            self.counted = Some(now);
        }
        let was_probe = std::mem::take(&mut self.probing);
        if self.until.is_some() {
            if was_probe {
                self.until = Some(later(now, self.pause));
            }
            return Change::None;
        }
        let alone = self.subjects.len() == 1 && now < later(first, self.pause * ALONE);
        if self.failures < self.after || alone {
            return Change::None;
        }
        self.until = Some(later(now, self.pause));
        Change::Paused
    }

    /// The account said that it is over its limit. That is not a failure until it lasts.
    pub fn limited(&mut self, sent: Timestamp, now: Timestamp) -> Change {
        let since = *self.limited.get_or_insert(now);
        if now < later(since, LIMITED_LONG) {
            self.probing = false;
            return Change::None;
        }
        // Nothing went well for that long: whichever orders were asked for, it is the account.
        self.subjects.insert("the limit".to_owned());
        self.failed("the limit, for long", sent, now)
    }

    /// The account answered like one that works.
    pub fn went_well(&mut self) -> Change {
        let change = if self.until.is_some() { Change::Recovered } else { Change::None };
        *self = Self::new(self.after, self.pause);
        change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn pauses_after_failures_in_a_row_probes_and_recovers() {
        let mut breaker = Breaker::new(3, Duration::from_secs(30));
        assert_eq!(breaker.failed("a", at(0), at(1)), Change::None);
        assert_eq!(breaker.failed("b", at(1), at(2)), Change::None);
        assert_eq!(breaker.gate(at(2)), Gate::Open);
        assert_eq!(breaker.failed("c", at(2), at(3)), Change::Paused);
        assert_eq!(breaker.gate(at(4)), Gate::Shut(at(33)));
        assert_eq!(breaker.gate(at(33)), Gate::Probe);
        breaker.probe();
        assert!(matches!(breaker.gate(at(33)), Gate::Shut(_)));
        assert_eq!(breaker.failed("d", at(33), at(34)), Change::None);
        assert_eq!(breaker.gate(at(35)), Gate::Shut(at(64)));
        breaker.probe();
        assert_eq!(breaker.went_well(), Change::Recovered);
        assert_eq!(breaker.gate(at(65)), Gate::Open);
    }

    #[test]
    fn a_success_in_between_starts_the_count_again() {
        let mut breaker = Breaker::new(2, Duration::from_secs(30));
        assert_eq!(breaker.failed("a", at(0), at(1)), Change::None);
        assert_eq!(breaker.went_well(), Change::None);
        assert_eq!(breaker.failed("b", at(1), at(2)), Change::None);
    }

    #[test]
    fn calls_that_were_in_the_air_together_count_once() {
        let mut breaker = Breaker::new(2, Duration::from_secs(30));
        assert_eq!(breaker.failed("a", at(0), at(10)), Change::None);
        assert_eq!(breaker.failed("b", at(0), at(10)), Change::None);
        assert_eq!(breaker.failed("c", at(9), at(11)), Change::None);
        assert_eq!(breaker.failed("d", at(10), at(12)), Change::Paused);
    }

    #[test]
    fn one_order_alone_stops_the_others_only_after_long() {
        let mut breaker = Breaker::new(2, Duration::from_secs(30));
        for second in 0..20 {
            assert_eq!(breaker.failed("same", at(second), at(second)), Change::None);
        }
        assert_eq!(breaker.failed("same", at(300), at(301)), Change::Paused);
    }

    #[test]
    fn being_over_the_limit_counts_only_when_it_lasts() {
        let mut breaker = Breaker::new(1, Duration::from_secs(30));
        assert_eq!(breaker.limited(at(0), at(0)), Change::None);
        assert_eq!(breaker.limited(at(200), at(200)), Change::None);
        assert_eq!(breaker.limited(at(301), at(301)), Change::Paused);
    }
}

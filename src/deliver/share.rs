//! The polls' share of one limit: three tenths of its rate, and what the polls ask of it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;

use super::bucket::Bucket;

/// A part of the burst or rate: three tenths.
pub(super) const fn part(whole: u32) -> u32 {
    whole / 10 * 3 + whole % 10 * 3 / 10
}

/// What the polls of an account ask of one limit, in thousandths of their share of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The limit.
    pub limit: String,
    /// By poll.
    pub polls: BTreeMap<String, u64>,
    /// Each poll has run often enough to be judged.
    pub sure: bool,
}

impl Asked {
    /// Of all polls together: above 1,000 they can never keep their intervals.
    #[must_use]
    pub fn whole(&self) -> u64 {
        self.polls.values().sum()
    }
}

/// What a poll did cost, run by run.
#[derive(Debug, Default)]
struct Runs {
    every: Duration,
    /// Of the run that is not at its end.
    now: u64,
    last: Option<u64>,
    before: Option<u64>,
}

/// The share. It is charged for what a page may cost, and given back what the page did not.
#[derive(Debug)]
pub(super) struct PollShare {
    bucket: Bucket,
    unit: Duration,
    runs: BTreeMap<String, Runs>,
}

impl PollShare {
    /// Of a limit of `burst` of which one unit comes back each `unit`; it holds the `dearest` page at least.
    pub fn new(burst: u32, unit: Duration, dearest: u32, now: Timestamp) -> Self {
        let unit = unit.saturating_mul(10) / 3;
        Self { bucket: Bucket::new(part(burst).max(dearest), unit, now), unit, runs: BTreeMap::new() }
    }

    /// Takes what a page may cost, or tells when there is enough.
    pub fn take(&self, cost: u32, now: Timestamp) -> Result<(), Timestamp> {
        self.bucket.take(cost, 0, now)
    }

    /// Whether it holds what a page may cost.
    pub fn holds(&self, cost: u32, now: Timestamp) -> bool {
        self.bucket.left(now) >= i64::from(self.charged(cost))
    }

    /// Takes without asking.
    pub fn force(&self, cost: u32, now: Timestamp) {
        self.bucket.charge(i64::from(self.charged(cost)), now);
    }

    /// Gives back what was taken for a page that was not read.
    pub fn give_back(&self, cost: u32, now: Timestamp) {
        self.bucket.charge(-i64::from(self.charged(cost)), now);
    }

    /// A page of `operation` was read for which `taken` was taken, and which did cost `cost`.
    pub fn paid(&mut self, operation: &str, taken: u32, cost: u32, now: Timestamp) {
        self.bucket.charge(i64::from(cost) - i64::from(self.charged(taken)), now);
        let runs = self.runs.entry(operation.to_owned()).or_default();
        runs.now = runs.now.saturating_add(u64::from(cost));
    }

    /// A run of `operation`, which is to be made each `every`, came to its end.
    pub fn ran(&mut self, operation: &str, every: Duration) {
        let Some(runs) = self.runs.get_mut(operation) else { return };
        runs.every = every;
        runs.before = runs.last.replace(std::mem::take(&mut runs.now));
    }

    /// Forgets the operations that `on` does not name.
    pub fn retain(&mut self, on: &dyn Fn(&str) -> bool) {
        self.runs.retain(|operation, _| on(operation));
    }

    /// What the polls ask for. Of two runs the cheaper one counts: what has piled up is no habit.
    pub fn asked(&self, limit: &str) -> Asked {
        let mut polls = BTreeMap::new();
        let mut sure = true;
        for (operation, runs) in &self.runs {
            let Some((last, before)) = runs.last.zip(runs.before) else {
                sure = false;
                continue;
            };
            let every = runs.every.as_nanos().max(1);
            let part = u128::from(last.min(before)) * self.unit.as_nanos() * 1000 / every;
            polls.insert(operation.clone(), u64::try_from(part).unwrap_or(u64::MAX));
        }
        Asked { limit: limit.to_owned(), polls, sure }
    }

    /// More than fits counts as what fits.
    fn charged(&self, cost: u32) -> u32 {
        cost.min(self.bucket.burst())
    }
}

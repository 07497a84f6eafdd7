//! The limits of an account: all that its manifest names, charged before a call and corrected by the answer.
//!
//! A limit whose `refill` is its whole `size` is a window ("150 a minute"): it is kept in *any* stretch of that length,
//! by holding the burst small and the rate down. Any other limit is a bucket that leaks, as the partner keeps it.
//!
//! The last three tenths of a bucket are for cancels, money and tracking. Polls share what is left with everything
//! else, and take at most three tenths of the rate: of what their pages did cost, not of what they might have.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::bucket::Bucket;
use super::share::{Asked, PollShare, part};
use crate::canonical::intent::Class;
use crate::connector::limits::Learned;
use crate::connector::manifest::Limit;
use crate::ports::LimitState;
use crate::retry::later;

/// Which part of a limit a call may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Share {
    /// All of it: late is too late.
    Urgent,
    /// All but what is reserved.
    Ordinary,
    /// As ordinary, but at a part of the rate.
    Poll,
}

impl From<Class> for Share {
    fn from(class: Class) -> Self {
        match class {
            Class::Cancel | Class::Money | Class::Tracking => Self::Urgent,
            Class::Order | Class::Stock => Self::Ordinary,
        }
    }
}

/// What an account may still do, as it passes from one owner of its lease to the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Level {
    /// The epoch that left it.
    pub epoch: i64,
    /// It was left in order: nothing was called since.
    pub clean: bool,
    /// When.
    pub at: Option<Timestamp>,
    /// By limit.
    pub limits: BTreeMap<String, Left>,
}

/// What is left of one limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Left {
    /// Units.
    pub left: i64,
    /// What its owner may have taken after it wrote this.
    pub unwritten: u32,
    /// The partner asked to wait until then.
    pub until: Option<Timestamp>,
}

/// Units taken for a call: given to [`Limiter::finish`] with what the answer says.
#[derive(Debug)]
#[must_use = "what was taken is settled by `finish`"]
pub struct Taken {
    operation: String,
    share: Share,
    parts: Vec<(String, u32)>,
}

impl Taken {
    /// Which part of the limits it was taken of.
    #[must_use]
    pub fn share(&self) -> Share {
        self.share
    }
}

/// There is not enough now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// The limit.
    pub limit: String,
    /// When there may be enough.
    pub until: Timestamp,
}

/// Whether the partner said that the call was over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// It was not.
    No,
    /// It was, and when to come again, if it said.
    Limit(Option<Duration>),
}

struct Gauge {
    limit: Limit,
    whole: Bucket,
    polls: PollShare,
    /// What is kept for a call that has waited long.
    kept: Option<Kept>,
    /// How long one unit takes to come back.
    unit: Duration,
    window: bool,
    until: Option<Timestamp>,
    /// Charged for calls whose answers have not come.
    pending: i64,
    /// What operations did cost last.
    known: BTreeMap<String, u32>,
    /// Answers in a row that said "over the limit".
    refused: u32,
    /// Taken since the level was last written down.
    spent: u32,
    /// What may be taken before it must be written again; none before it was at all.
    allowed: Option<u32>,
}

/// What is kept for a call of `operation` until it is made, or until that instant.
struct Kept {
    operation: String,
    cost: u32,
    until: Timestamp,
}

/// All limits of one account.
#[derive(Default)]
pub struct Limiter {
    gauges: BTreeMap<String, Gauge>,
}

impl Limiter {
    /// Takes over the limits of a manifest. What was used of a limit that stays is kept.
    pub fn set(&mut self, limits: &BTreeMap<String, Limit>, now: Timestamp) {
        self.gauges.retain(|name, _| limits.contains_key(name));
        for (name, limit) in limits {
            if self.gauges.get(name).is_some_and(|gauge| same(&gauge.limit, limit)) {
                continue;
            }
            let mut gauge = Gauge::new(limit.clone(), now);
            if let Some(old) = self.gauges.get(name) {
                let used = i64::from(old.whole.burst()) - old.whole.left(now);
                gauge.whole.charge(used, now);
                gauge.until = old.until;
                gauge.pending = old.pending;
            }
            self.gauges.insert(name.clone(), gauge);
        }
    }

    /// Begins with what a former owner left under the epoch before `epoch`. What it may have spent after it last wrote
    /// its level down counts as spent.
    pub fn resume(&mut self, level: &Level, epoch: i64, now: Timestamp) {
        let clean = level.clean && level.epoch + 1 == epoch;
        for (name, gauge) in &mut self.gauges {
            gauge.allowed = None;
            let Some((left, at)) = level.limits.get(name).zip(level.at) else { continue };
            gauge.until = left.until;
            let refilled = gauge.refilled(left.left, at.min(now), now);
            let unwritten = if clean { 0 } else { i64::from(left.unwritten) };
            // A partner's bucket is never emptier than empty: neither is ours, whatever may have been spent.
            gauge.whole.set(refilled.saturating_sub(unwritten).max(0), now);
        }
    }

    /// Whether more was taken than the level that is written down allows for: it must be written before the next call.
    #[must_use]
    pub fn must_save(&self) -> bool {
        self.gauges.values().any(|gauge| gauge.allowed.is_none_or(|allowed| gauge.spent > allowed))
    }

    /// What a successor is to know. What calls in the air may cost is charged already.
    #[must_use]
    pub fn level(&self, epoch: i64, clean: bool, now: Timestamp) -> Level {
        let limits = self.gauges.iter().map(|(name, gauge)| {
            let until = gauge.until.filter(|until| *until > now);
            let (left, unwritten) = (gauge.whole.left(now), gauge.budget());
            (name.clone(), Left { left, unwritten, until })
        });
        Level { epoch, clean, at: Some(now), limits: limits.collect() }
    }

    /// How much was taken since the level was written last: for [`Limiter::written`].
    #[must_use]
    pub fn spent(&self) -> BTreeMap<String, u32> {
        self.gauges.iter().map(|(name, gauge)| (name.clone(), gauge.spent)).collect()
    }

    /// `level`, made when [`Limiter::spent`] was `spent`, is written down.
    pub fn written(&mut self, level: &Level, spent: &BTreeMap<String, u32>) {
        for (name, gauge) in &mut self.gauges {
            if let (Some(left), Some(spent)) = (level.limits.get(name), spent.get(name)) {
                gauge.spent = gauge.spent.saturating_sub(*spent);
                gauge.allowed = Some(left.unwritten);
            }
        }
    }

    /// Takes what the calls of `operations` cost, of all limits or of none.
    ///
    /// # Errors
    /// When there is not enough, with the instant at which there may be.
    pub fn take(&mut self, operations: &[&str], share: Share, now: Timestamp) -> Result<Vec<Taken>, Wait> {
        let mut needs: Vec<(&String, u32)> = Vec::new();
        for (name, gauge) in &self.gauges {
            let cost = operations.iter().filter_map(|operation| gauge.cost(operation)).sum();
            if cost > 0 {
                needs.push((name, cost));
            }
        }
        let mut done: Vec<(&String, u32)> = Vec::new();
        for (name, cost) in &needs {
            let Some(gauge) = self.gauges.get(*name) else { continue };
            if let Err(until) = gauge.take(*cost, operations, share, now) {
                for (name, cost) in done {
                    if let Some(gauge) = self.gauges.get(name) {
                        gauge.undo(cost, share, now);
                    }
                }
                return Err(Wait { limit: (*name).clone(), until });
            }
            done.push((name, *cost));
        }
        let taken: Vec<Taken> = operations.iter().map(|operation| self.split(operation, share)).collect();
        for one in &taken {
            self.hold(one);
        }
        for gauge in self.gauges.values_mut() {
            gauge.kept.take_if(|kept| operations.contains(&kept.operation.as_str()));
        }
        Ok(taken)
    }

    /// The limits that `operation` draws on.
    #[must_use]
    pub fn limits_of(&self, operation: &str) -> Vec<String> {
        let drawn = self.gauges.iter().filter(|(_, gauge)| gauge.cost(operation).is_some());
        drawn.map(|(name, _)| name.clone()).collect()
    }

    /// Whether `operation` draws on `limit`.
    #[must_use]
    pub fn draws(&self, operation: &str, limit: &str) -> bool {
        self.gauges.get(limit).is_some_and(|gauge| gauge.cost(operation).is_some())
    }

    /// Keeps what a call of `operation` costs from all but the urgent, until it is made or until `until`: a steady
    /// stream of small calls would never let enough gather for it. A poll must have its share of the rate first, and
    /// what is kept for another already stays so.
    pub fn keep(&mut self, operation: &str, share: Share, until: Timestamp, now: Timestamp) {
        for gauge in self.gauges.values_mut() {
            let Some(cost) = gauge.cost(operation) else { continue };
            let has_share = share != Share::Poll || gauge.polls.holds(cost, now);
            let taken =
                gauge.kept.as_ref().is_some_and(|kept| kept.until > now && kept.operation != operation);
            if has_share && !taken {
                gauge.kept = Some(Kept { operation: operation.to_owned(), cost, until });
            }
        }
    }

    /// A run of a poll that is to be made each `every` came to its end.
    pub fn ran(&mut self, operation: &str, every: Duration) {
        for gauge in self.gauges.values_mut() {
            gauge.polls.ran(operation, every);
        }
    }

    /// What the polls that `on` names ask of each limit.
    pub fn asked(&mut self, on: &dyn Fn(&str) -> bool) -> Vec<Asked> {
        let each = self.gauges.iter_mut().map(|(name, gauge)| {
            gauge.polls.retain(on);
            gauge.polls.asked(name)
        });
        each.filter(|asked| !asked.polls.is_empty()).collect()
    }

    /// Takes what a call costs without asking: for a call that must be made now (the second half of one that began).
    pub fn force(&mut self, operation: &str, share: Share, now: Timestamp) -> Taken {
        let taken = self.split(operation, share);
        for (name, cost) in &taken.parts {
            if let Some(gauge) = self.gauges.get(name) {
                gauge.whole.charge(i64::from(*cost), now);
                if share == Share::Poll {
                    gauge.polls.force(*cost, now);
                }
            }
        }
        self.hold(&taken);
        taken
    }

    /// Gives back what was taken for a call that was not made.
    pub fn cancel(&mut self, taken: Taken, now: Timestamp) {
        for (name, cost) in taken.parts {
            if let Some(gauge) = self.gauges.get_mut(&name) {
                gauge.pending -= i64::from(cost);
                gauge.whole.charge(-i64::from(cost), now);
                if taken.share == Share::Poll {
                    gauge.polls.give_back(cost, now);
                }
            }
        }
    }

    /// Settles what was taken with what the answer says. `learned` tells for each limit; without an answer the cost
    /// stays as charged.
    pub fn finish(
        &mut self,
        taken: Taken,
        limited: Over,
        learned: &dyn Fn(&Limit) -> Learned,
        now: Timestamp,
    ) {
        for (name, cost) in taken.parts {
            let Some(gauge) = self.gauges.get_mut(&name) else { continue };
            gauge.pending -= i64::from(cost);
            let learned = learned(&gauge.limit);
            if taken.share == Share::Poll {
                gauge.polls.paid(&taken.operation, cost, learned.cost.unwrap_or(cost), now);
            }
            gauge.learn(&taken.operation, cost, limited, &learned, now);
        }
    }

    /// What is left of each, for people.
    #[must_use]
    pub fn states(&self, now: Timestamp) -> Vec<LimitState> {
        self.gauges.iter().map(|(name, gauge)| gauge.state(name, now)).collect()
    }

    /// Until when the partner asked to wait, at the latest.
    #[must_use]
    pub fn waiting(&self, now: Timestamp) -> Option<(String, Timestamp)> {
        self.gauges
            .iter()
            .filter_map(|(name, gauge)| Some((name.clone(), gauge.until.filter(|until| *until > now)?)))
            .max_by_key(|(_, until)| *until)
    }

    fn split(&self, operation: &str, share: Share) -> Taken {
        let parts = self
            .gauges
            .iter()
            .filter_map(|(name, gauge)| Some((name.clone(), gauge.cost(operation)?)))
            .collect();
        Taken { operation: operation.to_owned(), share, parts }
    }

    fn hold(&mut self, taken: &Taken) {
        for (name, cost) in &taken.parts {
            if let Some(gauge) = self.gauges.get_mut(name) {
                gauge.pending += i64::from(*cost);
                gauge.spent = gauge.spent.saturating_add(*cost);
            }
        }
    }
}

impl Gauge {
    fn new(limit: Limit, now: Timestamp) -> Self {
        let size = limit.size.max(1);
        let refill = limit.refill.max(1);
        let dearest = limit.costs.values().copied().chain([limit.cost, 1]).max().unwrap_or(1).min(size);
        let window = refill >= size;
        // In any half-open stretch of `per`, a bucket of `burst` at `rate` per `per` lets at most `burst + rate - 1` pass.
        let (burst, rate) = if window {
            let burst = (size / 10).max(dearest);
            (burst, size - burst + 1)
        } else {
            (size, refill)
        };
        let unit = unit_of(limit.per, rate);
        let whole = Bucket::new(burst, unit, now);
        let polls = PollShare::new(burst, unit, dearest, now);
        Self {
            limit,
            whole,
            polls,
            kept: None,
            unit,
            window,
            until: None,
            pending: 0,
            known: BTreeMap::new(),
            refused: 0,
            spent: 0,
            allowed: None,
        }
    }

    /// What a call of `operation` costs; none when it does not draw on this limit.
    fn cost(&self, operation: &str) -> Option<u32> {
        let applies = &self.limit.applies;
        if !applies.is_empty() && !applies.iter().any(|name| name == operation) {
            return None;
        }
        let said = self.limit.costs.get(operation).or_else(|| self.known.get(operation));
        Some(said.copied().unwrap_or(self.limit.cost))
    }

    /// What may be taken between two writings of the level.
    fn budget(&self) -> u32 {
        let dearest = self.limit.costs.values().chain(self.known.values()).copied().max().unwrap_or(1);
        (self.whole.burst() / 5).max(dearest).max(self.limit.cost).min(self.whole.burst())
    }

    fn take(&self, cost: u32, operations: &[&str], share: Share, now: Timestamp) -> Result<(), Timestamp> {
        if let Some(until) = self.until.filter(|until| *until > now) {
            return Err(until);
        }
        let kept = self.kept.as_ref().filter(|kept| kept.until > now);
        let kept =
            kept.filter(|kept| !operations.contains(&kept.operation.as_str())).map_or(0, |kept| kept.cost);
        let floor = if share == Share::Urgent { 0 } else { part(self.whole.burst()).saturating_add(kept) };
        if share == Share::Poll {
            self.polls.take(cost, now)?;
        }
        self.whole.take(cost, floor, now).inspect_err(|_| {
            if share == Share::Poll {
                self.polls.give_back(cost, now);
            }
        })
    }

    fn undo(&self, cost: u32, share: Share, now: Timestamp) {
        self.whole.charge(-i64::from(cost.min(self.whole.burst())), now);
        if share == Share::Poll {
            self.polls.give_back(cost, now);
        }
    }

    fn learn(&mut self, operation: &str, charged: u32, limited: Over, learned: &Learned, now: Timestamp) {
        if let Some(cost) = learned.cost {
            self.known.insert(operation.to_owned(), cost);
        }
        if let Some(left) = learned.left {
            let left = i64::from(left).saturating_sub(self.pending);
            // A window's burst is held below what the partner allows: only bad news is news.
            if !self.window || left < self.whole.left(now) {
                self.whole.set(left, now);
            }
        } else if let Some(cost) = learned.cost {
            self.whole.charge(i64::from(cost) - i64::from(charged), now);
        }
        let Over::Limit(told) = limited else {
            self.refused = 0;
            return;
        };
        let growing = Duration::from_secs(1) * 2_u32.saturating_pow(self.refused.min(6));
        let wait = learned.wait.or(told).unwrap_or(growing);
        self.refused = self.refused.saturating_add(1);
        let until = later(now, wait.min(crate::retry::RETRY_AFTER_MAX));
        self.until = self.until.max(Some(until));
        if learned.left.is_none() && self.whole.left(now) > 0 {
            self.whole.set(0, now);
        }
    }

    fn refilled(&self, left: i64, at: Timestamp, now: Timestamp) -> i64 {
        let probe = Bucket::new(self.whole.burst(), self.unit, at);
        probe.set(left, at);
        probe.left(now)
    }

    fn state(&self, name: &str, now: Timestamp) -> LimitState {
        let seconds = self.limit.per.as_secs_f64();
        let per = match self.limit.per.as_secs() {
            1 => "s".to_owned(),
            60 => "m".to_owned(),
            3600 => "h".to_owned(),
            86_400 => "d".to_owned(),
            _ => format!("{seconds}s"),
        };
        LimitState {
            name: name.to_owned(),
            size: u64::from(self.whole.burst()),
            left: u64::try_from(self.whole.left(now)).unwrap_or(0),
            refill: format!("{}/{per}", self.limit.refill),
        }
    }
}

/// How long one unit takes to come back, rounded up.
fn unit_of(per: Duration, rate: u32) -> Duration {
    per / rate.max(1) + Duration::from_nanos(1)
}

fn same(one: &Limit, other: &Limit) -> bool {
    one.size == other.size
        && one.refill == other.refill
        && one.per == other.per
        && one.cost == other.cost
        && one.costs == other.costs
        && one.cost_from == other.cost_from
        && one.left_from == other.left_from
        && one.used_of == other.used_of
        && one.retry_after == other.retry_after
        && one.applies == other.applies
}

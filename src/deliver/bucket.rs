//! One bucket: `governor`'s cell-rate algorithm on our clock, with a level that can be read, set and handed over.
//!
//! `governor` cannot change a quota or a level at run time, so its state stands here: a limiter is built anew when the
//! quota changes, and what the partner says of its own level is written into the state.

use std::num::NonZeroU32;
use std::ops::Add;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use governor::clock::{Clock as GovernorClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};
use jiff::Timestamp;

use crate::retry::later;

/// An instant, in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct At(u64);

impl Add<Nanos> for At {
    type Output = Self;
    fn add(self, other: Nanos) -> Self {
        Self(self.0.saturating_add(other.as_u64()))
    }
}

impl Reference for At {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::new(self.0.saturating_sub(earlier.0))
    }
    fn saturating_sub(&self, duration: Nanos) -> Self {
        Self(self.0.checked_sub(duration.as_u64()).unwrap_or(self.0))
    }
}

/// Shows `governor` the instant that the caller handed in. It never goes back.
#[derive(Debug, Clone, Default)]
struct Hand(Arc<AtomicU64>);

impl GovernorClock for Hand {
    type Instant = At;
    fn now(&self) -> At {
        At(self.0.load(Ordering::Relaxed))
    }
}

/// The instant at which the bucket is full again, in nanoseconds since the limiter was built.
#[derive(Debug, Clone, Default)]
struct Full(Arc<AtomicU64>);

impl StateStore for Full {
    type Key = NotKeyed;
    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (outcome, next) = f(Some(Nanos::new(self.0.load(Ordering::Relaxed))))?;
        self.0.store(next.as_u64(), Ordering::Relaxed);
        Ok(outcome)
    }
}

/// A bucket of `burst` units; one comes back each `unit`.
#[derive(Debug)]
pub struct Bucket {
    limiter: RateLimiter<NotKeyed, Full, Hand, NoOpMiddleware<At>>,
    hand: Hand,
    full: Full,
    start: u64,
    unit: u64,
    burst: u32,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(burst: u32, unit: Duration, now: Timestamp) -> Self {
        let unit = unit.clamp(Duration::from_nanos(1), Duration::from_hours(24 * 365));
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let start = nanos(now);
        let hand = Hand(Arc::new(AtomicU64::new(start)));
        let full = Full::default();
        let quota = Quota::with_period(unit).unwrap_or(Quota::per_second(NonZeroU32::MIN)).allow_burst(burst);
        let limiter = RateLimiter::new(quota, full.clone(), hand.clone());
        let unit = u64::try_from(unit.as_nanos()).unwrap_or(u64::MAX);
        Self { limiter, hand, full, start, unit, burst: burst.get() }
    }

    /// What fits in it.
    #[must_use]
    pub fn burst(&self) -> u32 {
        self.burst
    }

    /// Takes `cost` if then at least `floor` is left, and else tells when that may be so. More than fits in the
    /// bucket cannot be asked for: it counts as what fits.
    ///
    /// # Errors
    /// The instant at which there is enough, if nobody else takes any.
    pub fn take(&self, cost: u32, floor: u32, now: Timestamp) -> Result<(), Timestamp> {
        self.turn(now);
        let cost = cost.min(self.burst);
        let floor = floor.min(self.burst - cost);
        let Some(asked) = NonZeroU32::new(cost + floor) else { return Ok(()) };
        match self.limiter.check_n(asked) {
            Ok(Ok(())) => {
                self.give_back(i64::from(floor));
                Ok(())
            }
            Ok(Err(not_until)) => Err(timestamp(not_until.earliest_possible().0)),
            // Cannot be: what is asked for fits.
            Err(_) => Err(later(now, Duration::from_nanos(self.unit))),
        }
    }

    /// Takes `cost` without asking (below nothing, if need be), or gives back when negative.
    pub fn charge(&self, cost: i64, now: Timestamp) {
        self.turn(now);
        self.set(self.left(now).saturating_sub(cost), now);
    }

    /// What is left now; below zero after a charge that nobody asked for.
    #[must_use]
    pub fn left(&self, now: Timestamp) -> i64 {
        self.turn(now);
        let now = self.hand.now().0.saturating_sub(self.start);
        let wait = self.full.0.load(Ordering::Relaxed).saturating_sub(now);
        i64::from(self.burst).saturating_sub(i64::try_from(wait.div_ceil(self.unit)).unwrap_or(i64::MAX))
    }

    /// Says that `left` is left now.
    pub fn set(&self, left: i64, now: Timestamp) {
        self.turn(now);
        let missing = u64::try_from(i64::from(self.burst).saturating_sub(left)).unwrap_or(0);
        let now = self.hand.now().0.saturating_sub(self.start);
        self.full.0.store(now.saturating_add(missing.saturating_mul(self.unit)), Ordering::Relaxed);
    }

    fn give_back(&self, units: i64) {
        let units = u64::try_from(units).unwrap_or(0);
        let full = self.full.0.load(Ordering::Relaxed);
        self.full.0.store(full.saturating_sub(units.saturating_mul(self.unit)), Ordering::Relaxed);
    }

    fn turn(&self, now: Timestamp) {
        self.hand.0.fetch_max(nanos(now), Ordering::Relaxed);
    }
}

fn nanos(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or(0)
}

fn timestamp(nanos: u64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_700_000_000_000 + millis).unwrap()
    }

    #[test]
    fn gives_what_it_holds_and_tells_when_there_is_more() {
        let bucket = Bucket::new(3, Duration::from_secs(1), at(0));
        for _ in 0..3 {
            assert_eq!(bucket.take(1, 0, at(0)), Ok(()));
        }
        assert_eq!(bucket.take(1, 0, at(0)), Err(at(1000)));
        assert_eq!(bucket.take(2, 0, at(0)), Err(at(2000)));
        assert_eq!(bucket.take(1, 0, at(1000)), Ok(()));
        assert_eq!(bucket.left(at(1000)), 0);
        assert_eq!(bucket.left(at(99_000)), 3);
    }

    #[test]
    fn keeps_a_floor_for_those_who_may_go_below_it() {
        let bucket = Bucket::new(10, Duration::from_secs(1), at(0));
        assert_eq!(bucket.take(7, 3, at(0)), Ok(()));
        assert_eq!(bucket.left(at(0)), 3);
        assert_eq!(bucket.take(1, 3, at(0)), Err(at(1000)));
        assert_eq!(bucket.take(3, 0, at(0)), Ok(()));
    }

    #[test]
    fn a_level_can_be_set_and_overdrawn() {
        let bucket = Bucket::new(10, Duration::from_secs(1), at(0));
        bucket.set(2, at(0));
        assert_eq!(bucket.left(at(0)), 2);
        bucket.charge(5, at(0));
        assert_eq!(bucket.left(at(0)), -3);
        assert_eq!(bucket.take(1, 0, at(0)), Err(at(4000)));
        bucket.charge(-100, at(0));
        assert_eq!(bucket.left(at(0)), 10);
    }

    #[test]
    fn more_than_fits_counts_as_what_fits_and_time_never_goes_back() {
        let bucket = Bucket::new(2, Duration::from_secs(1), at(0));
        assert_eq!(bucket.take(50, 7, at(0)), Ok(()));
        assert_eq!(bucket.take(1, 0, at(-60_000)), Err(at(1000)));
    }
}

//! When to try again: a pure function of how often it failed, what the failure meant, the present instant, chance and
//! the settings. The only file that knows the crate `backoff`.
//!
//! `backoff` gives up after 15 minutes unless told not to and draws its own chance: here it is told not to, its own
//! chance is off, and full jitter comes from the number that the caller hands in.

use std::time::Duration;

use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;
use jiff::{SignedDuration, Timestamp};

/// How failures are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// The longest first pause.
    pub first: Duration,
    /// The longest pause at all; a partner's own `Retry-After` may be longer.
    pub max: Duration,
    /// Time from the first attempt after which to stop trying.
    pub give_up: Duration,
}

/// What a failed attempt asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// A passing failure: the pauses grow.
    Passing,
    /// The account was over its limit: not the command's fault, so it never leads to giving up.
    Limited,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Go again at this instant.
    At(Timestamp),
    /// Stop; a person decides.
    GiveUp,
}

/// The longest time for which a partner's `Retry-After` is believed: a day, for quotas that last until midnight.
pub const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);

/// No pause is shorter, so that chance cannot make a hot loop.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// When an attempt that failed goes again. `attempts` counts those made so far, this one included; `since` is the
/// instant of the first one; `chance` is any random number.
#[must_use]
pub fn next(
    failure: Failure,
    attempts: u32,
    since: Timestamp,
    now: Timestamp,
    retry_after: Option<Duration>,
    chance: u64,
    settings: &Settings,
) -> Next {
    let drawn = jitter(ceiling(attempts, settings), chance).max(PAUSE_MIN);
    // A partner that names a time is not asked earlier; chance comes on top, so that its clients do not return as one.
    let pause = match retry_after {
        Some(told) => told.min(RETRY_AFTER_MAX) + jitter(settings.first, chance),
        None => drawn,
    };
    let at = later(now, pause);
    match failure {
        Failure::Passing if at > later(since, settings.give_up) => Next::GiveUp,
        Failure::Passing | Failure::Limited => Next::At(at),
    }
}

/// The longest pause after `attempts` failures: `first`, doubled for each failure after the first, at most `max`.
#[must_use]
pub fn ceiling(attempts: u32, settings: &Settings) -> Duration {
    let mut exponential = ExponentialBackoffBuilder::new()
        .with_initial_interval(settings.first.min(settings.max))
        .with_max_interval(settings.max)
        .with_multiplier(2.0)
        .with_randomization_factor(0.0)
        .with_max_elapsed_time(None)
        .build();
    // Doubling from a millisecond reaches any possible `max` within 64 steps.
    let mut pause = settings.first.min(settings.max);
    for _ in 0..attempts.clamp(1, 64) {
        pause = exponential.next_backoff().unwrap_or(settings.max);
    }
    let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis).min(settings.max)
}

/// A part of `pause`, evenly between nothing and all of it.
#[must_use]
pub fn jitter(pause: Duration, chance: u64) -> Duration {
    let nanos = pause.as_nanos() * u128::from(chance) / u128::from(u64::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// `pause` after `at`, or the end of time.
#[must_use]
pub fn later(at: Timestamp, pause: Duration) -> Timestamp {
    SignedDuration::try_from(pause)
        .ok()
        .and_then(|pause| at.checked_add(pause).ok())
        .unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        first: Duration::from_secs(1),
        max: Duration::from_mins(10),
        give_up: Duration::from_hours(24),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let seconds: Vec<u64> = (1..=12).map(|n| ceiling(n, &SETTINGS).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600]);
        assert_eq!(ceiling(0, &SETTINGS).as_secs(), 1);
        assert_eq!(ceiling(u32::MAX, &SETTINGS).as_secs(), 600);
    }

    #[test]
    fn jitter_is_full_but_never_nothing() {
        let pause = |chance| next(Failure::Passing, 4, at(0), at(0), None, chance, &SETTINGS);
        assert_eq!(pause(u64::MAX), Next::At(at(8)));
        assert_eq!(pause(0), Next::At(later(at(0), PAUSE_MIN)));
        let Next::At(half) = pause(u64::MAX / 2) else { panic!("gave up") };
        assert!(half > at(3) && half < at(5));
    }

    #[test]
    fn a_time_that_the_partner_names_is_kept_and_capped() {
        let told = |seconds| {
            let told = Some(Duration::from_secs(seconds));
            next(Failure::Limited, 1, at(0), at(0), told, 0, &SETTINGS)
        };
        assert_eq!(told(90), Next::At(at(90)));
        assert_eq!(told(10_000_000), Next::At(later(at(0), RETRY_AFTER_MAX)));
    }

    #[test]
    fn gives_up_a_day_after_the_first_attempt_but_never_because_of_a_limit() {
        let day = 24 * 3600;
        assert_eq!(next(Failure::Passing, 99, at(0), at(day), None, u64::MAX, &SETTINGS), Next::GiveUp);
        assert_eq!(
            next(Failure::Passing, 99, at(0), at(day - 601), None, u64::MAX, &SETTINGS),
            Next::At(at(day - 1))
        );
        let limited = next(Failure::Limited, 99, at(0), at(3 * day), None, u64::MAX, &SETTINGS);
        assert_eq!(limited, Next::At(at(3 * day + 600)));
    }

    #[test]
    fn the_crate_does_not_give_up_after_its_quarter_of_an_hour() {
        let settings = Settings { max: Duration::from_hours(5), ..SETTINGS };
        assert_eq!(ceiling(15, &settings).as_secs(), 16_384);
    }
}

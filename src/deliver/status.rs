//! What a lane tells of itself: for the console, and as metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use metrics::{counter, gauge, histogram};

use super::shared::{Shared, lock};
use crate::connector::classify::{Outcome, Verdict};
use crate::connector::manifest::ErrorClass;
use crate::ports::{LANES, LaneState, PollState};
use crate::retry::later;

/// A lane's state is written no more often than this while nothing important changes.
const EVERY: Duration = Duration::from_secs(2);

/// What a lane knows of itself.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    pub(super) last_contact: Option<Timestamp>,
    pub(super) last_success: Option<Timestamp>,
    pub(super) last_error: Option<String>,
    /// Why the lane is off, if it is.
    pub(super) off: Option<String>,
    /// It waits for its limit until then.
    pub(super) limited: Option<(String, Timestamp)>,
    pub(super) busy: usize,
    pub(super) waiting: u64,
    pub(super) polls: BTreeMap<String, PollState>,
    /// Whether the account's exception should be open, and whether it is, as far as is known.
    pub(super) down: Option<String>,
    pub(super) told: Option<bool>,
    /// By limit: whether people know that the polls ask for more than their share.
    pub(super) over: BTreeMap<String, bool>,
    written: Option<(Timestamp, LaneState)>,
}

/// The outcome's word, for metrics and the history.
#[must_use]
pub(super) fn word(verdict: &Verdict) -> &'static str {
    match verdict.class {
        Outcome::Done => "done",
        Outcome::Failed(class) => match class {
            ErrorClass::Retry => "retry",
            ErrorClass::Unknown => "unknown",
            ErrorClass::RateLimited => "rate_limited",
            ErrorClass::RefreshToken => "refresh_token",
            ErrorClass::Rejected => "rejected",
            ErrorClass::Duplicate => "duplicate",
            ErrorClass::Config => "config",
        },
    }
}

/// Counts a call.
pub(super) fn count_call(account: &str, operation: &str, outcome: &'static str, took: Duration) {
    let labels = [("account", account.to_owned()), ("operation", operation.to_owned())];
    histogram!("crossdock_call_seconds", &labels).record(took.as_secs_f64());
    counter!(
        "crossdock_calls_total",
        "account" => account.to_owned(), "operation" => operation.to_owned(), "outcome" => outcome
    )
    .increment(1);
}

/// Counts a call that had to wait for a limit.
pub(super) fn count_wait(account: &str, limit: &str, wait: Duration) {
    let labels = [("account", account.to_owned()), ("limit", limit.to_owned())];
    counter!("crossdock_limiter_waits_total", &labels).increment(1);
    histogram!("crossdock_limiter_wait_seconds", &labels).record(wait.as_secs_f64());
}

impl Shared {
    /// The lane's state now.
    pub(super) fn lane_state(&self) -> LaneState {
        let now = self.now();
        let (failures, paused) = {
            let breaker = lock(&self.breaker);
            (breaker.failures(), breaker.paused())
        };
        let limits = lock(&self.limiter).states(now);
        let status = lock(&self.status);
        let limited = status.limited.clone().filter(|(_, until)| *until > now);
        let (state, reason, until) = match (&status.off, paused, limited) {
            (Some(reason), ..) => ("off", Some(reason.clone()), None),
            (None, Some(until), _) => ("paused", status.last_error.clone(), Some(until)),
            (None, None, _) if status.busy > 0 => ("busy", None, None),
            (None, None, Some((limit, until))) => ("limited", Some(format!("limit `{limit}`")), Some(until)),
            (None, None, None) => ("idle", None, None),
        };
        LaneState {
            state: state.to_owned(),
            reason,
            until,
            last_contact: status.last_contact,
            last_success: status.last_success,
            last_error: status.last_error.clone(),
            failures,
            waiting: status.waiting,
            limits,
            polls: status.polls.values().cloned().collect(),
        }
    }

    /// Writes the lane's state for people, unless it was written a moment ago and says much the same: then it tells when
    /// to write it.
    pub(super) async fn report(&self) -> Option<Timestamp> {
        let state = self.lane_state();
        let now = self.now();
        gauge!("crossdock_lane_paused", "account" => self.account.0.clone())
            .set(if state.state == "paused" { 1.0 } else { 0.0 });
        for limit in &state.limits {
            let labels = [("account", self.account.0.clone()), ("limit", limit.name.clone())];
            #[expect(
                clippy::cast_precision_loss,
                clippy::as_conversions,
                reason = "a gauge is a float; levels are small"
            )]
            gauge!("crossdock_limit_left", &labels).set(limit.left as f64);
        }
        {
            let mut status = lock(&self.status);
            if let Some((at, before)) = &status.written {
                if *before == state {
                    return None;
                }
                let then = later(*at, EVERY);
                if then > now && before.state == state.state {
                    return Some(then);
                }
            }
            status.written = Some((now, state.clone()));
        }
        let value = serde_json::to_value(&state).ok()?;
        // It is only for looking at: when the store does not take it, the next one comes soon.
        let _not_kept = self.deps.store.put(LANES, self.account.as_str(), value, None).await;
        None
    }
}

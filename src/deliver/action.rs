//! What to do with an intent that is due, and what became of it: pure decisions, so that they can be read in one place.
//!
//! | `once` | outcome unknown | then |
//! |---|---|---|
//! | `repeat` | goes again | |
//! | `key` | the same bytes under the same key while the partner honours it | after that as `find`, or a person |
//! | `find` | looked up once a miss means something | found: done; surely not there: sent again; else a person |
//! | `never` | a person decides | |
//!
//! A create that has never been sent is looked up first when it was intended more than a minute before this process
//! opened the store: the store may be a restored backup, and the partner may have heard of it (rule 2). An intent that
//! waits for a retry is not looked up again in the same life of the process: `retry` means that it was surely not done.
//!
//! A refusal of what an earlier attempt may have done proves nothing where a look-up can tell more: a partner that does
//! not honour the key refuses the second capture because the first was done. So it is looked up before it is rejected.

use std::time::Duration;

use jiff::Timestamp;

use crate::canonical::IntentState;
use crate::connector::classify::{Outcome, Verdict};
use crate::connector::manifest::{Command, ErrorClass, Find, Once};
use crate::ports::DueIntent;
use crate::retry::{self, Failure, Next, later};

/// What to do with an intent that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Make its request and send it.
    Send {
        /// Look it up before.
        look_up: bool,
    },
    /// Send the frozen bytes again.
    Repeat {
        /// Look it up before.
        look_up: bool,
    },
    /// Find out whether it was done.
    LookUp,
    /// Nothing can be found out: a person decides.
    GiveUp,
}

/// How far before the start of the process an intent must have been made to be looked up before it is first sent.
const BEFORE_START: Duration = Duration::from_mins(1);

/// The look-up of a command, if it has one.
#[must_use]
pub fn find_of(once: &Once) -> Option<&Find> {
    match once {
        Once::Find(find) | Once::Key { find: Some(find), .. } => Some(find),
        _ => None,
    }
}

/// What to do with `due`. `timeout` is that of an attempt: a key must outlive it.
#[must_use]
pub fn action(
    due: &DueIntent,
    once: &Once,
    now: Timestamp,
    started: Timestamp,
    careful: bool,
    timeout: Duration,
) -> Action {
    let intent = &due.intent;
    let old = careful || later(intent.created, BEFORE_START) < started;
    let look_up = old && matches!(once, Once::Find(_));
    let first = due.frozen_at.unwrap_or(intent.created);
    match (intent.state, &due.frozen) {
        (IntentState::Unknown, Some(_)) => match once {
            Once::Repeatable => Action::Repeat { look_up: false },
            Once::Key { ttl, .. } if later(now, timeout) < later(first, *ttl) => {
                Action::Repeat { look_up: false }
            }
            Once::Find(_) | Once::Key { find: Some(_), .. } => Action::LookUp,
            Once::Key { find: None, .. } | Once::Never => Action::GiveUp,
        },
        (IntentState::Unknown, None) => Action::GiveUp,
        (_, Some(_)) => Action::Repeat { look_up },
        (_, None) => Action::Send { look_up },
    }
}

/// Names of the calls that an action makes: reads and the command itself.
#[must_use]
pub fn operations(action: Action, command: &Command) -> Vec<String> {
    let find = find_of(&command.once).map(|find| format!("read.{}", find.read));
    let needs = command.needs.values().map(|read| format!("read.{read}"));
    let own = std::iter::once(command.name.clone());
    match action {
        Action::Send { look_up } => find.filter(|_| look_up).into_iter().chain(needs).chain(own).collect(),
        Action::Repeat { look_up } => find.filter(|_| look_up).into_iter().chain(own).collect(),
        Action::LookUp => find.into_iter().collect(),
        Action::GiveUp => Vec::new(),
    }
}

/// What a person must hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The partner refuses it.
    Rejected,
    /// It failed for too long.
    GaveUp,
    /// Nobody knows whether it was done.
    OutcomeUnknown,
    /// The account may not do this; it is tried again.
    NotAllowed,
}

/// How an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ending {
    /// The intent's new state.
    pub state: IntentState,
    /// Not before.
    pub due: Timestamp,
    /// What a person must hear of.
    pub trouble: Option<Trouble>,
}

/// An attempt, for [`ending`].
#[derive(Debug, Clone, Copy)]
pub struct Tried<'a> {
    /// How doing it twice is prevented.
    pub once: &'a Once,
    /// An earlier attempt may have done it.
    pub unknown: bool,
    /// Attempts, this one included.
    pub attempts: u32,
    /// When the first was made.
    pub first: Timestamp,
    /// The present instant.
    pub now: Timestamp,
    /// Any random number.
    pub chance: u64,
    /// How failures are spaced.
    pub settings: retry::Settings,
}

/// After this many refusals for lack of permission, a person hears of it.
const NOT_ALLOWED: u32 = 3;

/// How an attempt ends that had this verdict.
#[must_use]
pub fn ending(tried: &Tried<'_>, verdict: &Verdict) -> Ending {
    let class = match verdict.class {
        Outcome::Done | Outcome::Failed(ErrorClass::Duplicate) => {
            return Ending { state: IntentState::Done, due: tried.now, trouble: None };
        }
        Outcome::Failed(class) => class,
    };
    let again = |failure, state| go_again(tried, failure, state, verdict.retry_after);
    // What an earlier attempt may have done stays possible when this one surely did nothing.
    let waits = if tried.unknown { IntentState::Unknown } else { IntentState::Retry };
    match class {
        ErrorClass::Rejected | ErrorClass::Duplicate => {
            Ending { state: IntentState::Rejected, due: tried.now, trouble: Some(Trouble::Rejected) }
        }
        ErrorClass::Retry => again(Failure::Passing, waits),
        // The account's fault, not the command's: the account has an exception of its own.
        ErrorClass::RateLimited | ErrorClass::RefreshToken => again(Failure::Limited, waits),
        ErrorClass::Config => {
            let told = tried.attempts == NOT_ALLOWED;
            Ending { trouble: told.then_some(Trouble::NotAllowed), ..again(Failure::Limited, waits) }
        }
        ErrorClass::Unknown => match tried.once {
            Once::Repeatable => again(Failure::Passing, IntentState::Retry),
            Once::Key { .. } => again(Failure::Passing, IntentState::Unknown),
            Once::Find(find) => {
                let ending = again(Failure::Passing, IntentState::Unknown);
                Ending { due: ending.due.max(later(tried.now, find.settle)), ..ending }
            }
            Once::Never => stuck(tried.now),
        },
    }
}

/// Whether `verdict` is a refusal that proves nothing: an earlier attempt may have done it, and a look-up can tell.
#[must_use]
pub fn is_doubtful(tried: &Tried<'_>, verdict: &Verdict) -> bool {
    tried.unknown && verdict.class == Outcome::Failed(ErrorClass::Rejected) && find_of(tried.once).is_some()
}

/// How a doubtful refusal ends that was looked up and not found: it is one, once a miss means something.
#[must_use]
pub fn refused(tried: &Tried<'_>, verdict: &Verdict, surely: bool) -> Ending {
    let settled = find_of(tried.once).map_or(tried.first, |find| later(tried.first, find.settle));
    if tried.now < settled {
        Ending { state: IntentState::Unknown, due: settled, trouble: None }
    } else if surely {
        ending(tried, verdict)
    } else {
        stuck(tried.now)
    }
}

/// How a look-up that failed ends: nothing is known yet.
#[must_use]
pub fn unanswered(tried: &Tried<'_>, verdict: &Verdict) -> Ending {
    let failure = match verdict.class {
        Outcome::Failed(ErrorClass::RateLimited | ErrorClass::RefreshToken | ErrorClass::Config) => {
            Failure::Limited
        }
        _ => Failure::Passing,
    };
    go_again(tried, failure, IntentState::Unknown, verdict.retry_after)
}

/// Nobody knows whether it was done: a person decides.
#[must_use]
pub fn stuck(now: Timestamp) -> Ending {
    Ending { state: IntentState::Stuck, due: now, trouble: Some(Trouble::OutcomeUnknown) }
}

fn go_again(
    tried: &Tried<'_>,
    failure: Failure,
    state: IntentState,
    retry_after: Option<Duration>,
) -> Ending {
    let Tried { attempts, first, now, chance, settings, .. } = *tried;
    match retry::next(failure, attempts, first, now, retry_after, chance, &settings) {
        Next::At(due) => Ending { state, due, trouble: None },
        Next::GiveUp if state == IntentState::Unknown => stuck(now),
        Next::GiveUp => Ending { state: IntentState::Rejected, due: now, trouble: Some(Trouble::GaveUp) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find() -> Find {
        Find { read: "things".to_owned(), same: Vec::new(), settle: Duration::from_secs(5), complete: true }
    }

    fn key(find: Option<Find>) -> Once {
        let header = crate::connector::template::Template::parse("Idempotency-Key").unwrap();
        Once::Key { header, ttl: Duration::from_hours(24), find }
    }

    fn tried(once: &Once, unknown: bool, now: i64) -> Tried<'_> {
        Tried {
            once,
            unknown,
            attempts: 2,
            first: Timestamp::from_second(100).unwrap(),
            now: Timestamp::from_second(now).unwrap(),
            chance: 7,
            settings: retry::Settings {
                first: Duration::from_secs(1),
                max: Duration::from_mins(1),
                give_up: Duration::from_hours(1),
            },
        }
    }

    fn says(class: ErrorClass) -> Verdict {
        Verdict { class: Outcome::Failed(class), message: "Bad request".to_owned(), retry_after: None }
    }

    #[test]
    fn a_refusal_after_an_unknown_outcome_proves_nothing_where_a_look_up_can_tell() {
        let refusal = says(ErrorClass::Rejected);
        for once in [key(Some(find())), Once::Find(find())] {
            assert!(is_doubtful(&tried(&once, true, 200), &refusal));
            assert!(!is_doubtful(&tried(&once, false, 200), &refusal), "the first attempt is simply refused");
            assert!(!is_doubtful(&tried(&once, true, 200), &says(ErrorClass::Retry)));
        }
        for once in [key(None), Once::Never, Once::Repeatable] {
            assert!(!is_doubtful(&tried(&once, true, 200), &refusal), "nothing can be looked up");
        }
    }

    #[test]
    fn a_doubtful_refusal_that_is_not_found_is_a_refusal_once_a_miss_means_something() {
        let (once, refusal) = (key(Some(find())), says(ErrorClass::Rejected));
        let soon = refused(&tried(&once, true, 102), &refusal, true);
        assert_eq!((soon.state, soon.trouble), (IntentState::Unknown, None));
        assert_eq!(soon.due.as_second(), 105);
        let sure = refused(&tried(&once, true, 105), &refusal, true);
        assert_eq!((sure.state, sure.trouble), (IntentState::Rejected, Some(Trouble::Rejected)));
        let unsure = refused(&tried(&once, true, 105), &refusal, false);
        assert_eq!((unsure.state, unsure.trouble), (IntentState::Stuck, Some(Trouble::OutcomeUnknown)));
    }
}

//! How a delivery ends: settled, withdrawn or put off, with what a person must hear of.

use bytes::Bytes;
use jiff::Timestamp;
use tracing::{debug, error, info, warn};

use super::action::{Ending, Tried, Trouble};
use super::call::Unsent;
use super::send::{Delivery, Held, PUT_OFF, SOON, Stage};
use super::shared::{Shared, lock};
use crate::canonical::{Exception, IntentState};
use crate::connector::manifest::{Command, Once};
use crate::ports::{DueIntent, NewMessage, OF, Origin, Settled, shard};
use crate::retry::{Failure, Next, later, next};

/// When to go again, why, and what a person must hear of.
pub(super) type Off = (Timestamp, String, Option<Box<Exception>>);

impl Delivery {
    /// This attempt, for the decision how it ends.
    pub(super) fn tried<'a>(&self, once: &'a Once) -> Tried<'a> {
        let now = self.shared.now();
        Tried {
            once,
            unknown: self.due.intent.state == IntentState::Unknown,
            attempts: self.due.intent.attempts + 1,
            first: self.due.frozen_at.unwrap_or(now),
            now,
            chance: self.shared.deps.clock.random(),
            settings: self.view.retry(),
        }
    }

    /// Settles the attempt as decided.
    pub(super) async fn end(
        &self,
        command: &Command,
        ending: Ending,
        answer: Option<NewMessage>,
        note: &str,
    ) -> Option<Timestamp> {
        match ending.state {
            IntentState::Done => info!(state = ending.state.word(), "delivered"),
            IntentState::Rejected | IntentState::Stuck => {
                warn!(state = ending.state.word(), "a person must decide");
            }
            _ => debug!(state = ending.state.word(), due = %ending.due, "goes again"),
        }
        let exception = ending.trouble.map(|trouble| self.exception(&command.name, trouble, note));
        self.settle(ending, note, answer, exception).await;
        (!ending.state.settled()).then_some(ending.due)
    }

    pub(super) async fn settle(
        &self,
        ending: Ending,
        note: &str,
        answer: Option<NewMessage>,
        exception: Option<Exception>,
    ) {
        metrics::counter!(
            "crossdock_attempts_total",
            "account" => self.shared.account.0.clone(),
            "command" => self.due.intent.command.clone(),
            "state" => ending.state.word()
        )
        .increment(1);
        let settled = Settled {
            intent: self.due.intent.id,
            epoch: self.epoch,
            state: ending.state,
            due: ending.due,
            note: note.to_owned(),
            answer,
            exception,
            at: self.shared.now(),
        };
        self.shared.settle(settled).await;
    }

    /// Nothing was sent this time: it goes again, and what an earlier attempt may have done stays possible.
    pub(super) async fn not_sent(&self, unsent: &Unsent) -> Option<Timestamp> {
        let now = self.shared.now();
        let due = match unsent {
            Unsent::Limit(until) => *until,
            Unsent::Token(_) => {
                let tried = self.tried(&Once::Repeatable);
                let settings = tried.settings;
                match next(Failure::Limited, tried.attempts, tried.first, now, None, tried.chance, &settings)
                {
                    Next::At(due) => due,
                    Next::GiveUp => later(now, PUT_OFF),
                }
            }
            _ => later(now, SOON),
        };
        self.settle_unsent(&format!("not sent: {unsent}"), due).await;
        Some(due)
    }

    pub(super) async fn settle_unsent(&self, note: &str, due: Timestamp) {
        let unknown = self.due.intent.state == IntentState::Unknown;
        let state = if unknown { IntentState::Unknown } else { IntentState::Retry };
        self.settle(Ending { state, due, trouble: None }, note, None, None).await;
    }

    /// Takes the intent back: what it said is not wanted any more.
    pub(super) async fn withdraw(&self, why: &str) -> Option<Timestamp> {
        let now = self.shared.now();
        match self.shared.deps.store.withdraw(self.due.intent.id, why, now).await {
            Ok(true) => {
                info!(why, "withdrawn: not wanted any more");
                None
            }
            Ok(false) => None,
            Err(_) => Some(later(now, SOON)),
        }
    }

    /// Lets it wait for better times, in the state that it has.
    pub(super) async fn put_off(&self, (due, note, exception): Off) -> Option<Timestamp> {
        debug!(%due, "put off");
        let ending = Ending { state: self.due.intent.state, due, trouble: None };
        self.settle(ending, &note, None, exception.map(|exception| *exception)).await;
        Some(due)
    }

    pub(super) fn trouble(&self, kind: &str, message: String, help: Option<String>) -> Off {
        let intent = &self.due.intent;
        let cause = format!("{kind}:{}:{}", self.shared.account, intent.command);
        let mut exception = self.shared.exception(kind, cause, message.clone());
        exception.entity = Some(intent.entity.clone());
        exception.intent = Some(intent.id);
        exception.help = help;
        (later(self.shared.now(), PUT_OFF), message, Some(Box::new(exception)))
    }

    pub(super) fn held(&self, kind: &str, message: String, help: Option<String>) -> Held {
        let (due, note, exception) = self.trouble(kind, message, help);
        Held::Off(due, note, exception)
    }

    /// The answer, as a message to ourselves.
    pub(super) fn message(&self, command: &str, mapping: &str, body: Bytes) -> NewMessage {
        let account = self.shared.account.clone();
        NewMessage {
            shard: shard(&account, self.due.intent.entity.as_str()),
            account,
            origin: Origin::Answer,
            topic: command.to_owned(),
            mapping: mapping.to_owned(),
            event_id: None,
            headers: vec![(OF.to_owned(), self.due.intent.entity.0.clone())],
            body,
            received: self.shared.now(),
            priority: 0,
            context: Some(self.due.intent.id.to_string()),
        }
    }

    pub(super) fn outcome_unknown(&self, note: &str) -> Exception {
        self.exception(&self.due.intent.command, Trouble::OutcomeUnknown, note)
    }

    fn exception(&self, command: &str, trouble: Trouble, note: &str) -> Exception {
        let account = &self.shared.account;
        let (kind, what, help) = match trouble {
            Trouble::Rejected => (
                "rejected",
                format!("{account} refuses {command}: {note}"),
                "mend what it complains about, then send again",
            ),
            Trouble::GaveUp => (
                "gave_up",
                format!("{command} at {account} failed for too long; last: {note}"),
                "see whether the account works, then send again",
            ),
            Trouble::OutcomeUnknown => (
                "outcome_unknown",
                format!("nobody knows whether {account} has carried out {command}: {note}"),
                "look there: choose \"it exists\" if it was done, \"send again\" if it was not",
            ),
            Trouble::NotAllowed => (
                "not_allowed",
                format!("{account} does not let us do {command}: {note}"),
                "give the account the permission that is missing; it is tried again by itself",
            ),
        };
        let cause = match trouble {
            Trouble::Rejected => format!("{kind}:{account}:{command}:{}", slug(note)),
            _ => format!("{kind}:{account}:{command}"),
        };
        let mut exception = self.shared.exception(kind, cause, what);
        exception.help = Some(help.to_owned());
        exception.entity = Some(self.due.intent.entity.clone());
        exception.intent = Some(self.due.intent.id);
        exception
    }

    /// Gives back what was taken from the limits and not used.
    pub(super) fn give_back_rest(&mut self) {
        let now = self.shared.now();
        for taken in self.taken.drain(..) {
            lock(&self.shared.limiter).cancel(taken, now);
        }
    }
}

/// A delivery broke down on a fault of our own. How far it had come says what is known of it; other deliveries go on.
pub(super) async fn broken_down(
    shared: &Shared,
    due: &DueIntent,
    epoch: i64,
    stage: &Stage,
    words: &str,
) -> Option<Timestamp> {
    let intent = &due.intent;
    error!(
        account = %shared.account, intent = %intent.id, entity = %intent.entity, command = %intent.command,
        fault = words, "a delivery broke down: a fault of Crossdock itself"
    );
    let now = shared.now();
    let next = later(now, PUT_OFF);
    let becomes = match (stage.reached(), intent.state) {
        (Stage::SENT, _) | (_, IntentState::Unknown) => IntentState::Unknown,
        (Stage::FROZEN, _) => IntentState::Retry,
        (_, before) => before,
    };
    let note = format!("the delivery broke down: {words}");
    let cause = format!("fault:{}:{}", shared.account, intent.command);
    let mut exception = shared.exception("fault", cause, format!("{}: {note}", intent.command));
    exception.help = Some("a fault of Crossdock itself: report it; it is tried again by itself".to_owned());
    exception.entity = Some(intent.entity.clone());
    exception.intent = Some(intent.id);
    let settled = Settled {
        intent: intent.id,
        epoch,
        state: becomes,
        due: next,
        note,
        answer: None,
        exception: Some(exception),
        at: now,
    };
    shared.settle(settled).await;
    Some(next)
}

/// What refusals for the same reason have in common: words without digits, quoted parts and long tails.
fn slug(text: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    for sign in text.chars() {
        match (quote, sign) {
            (Some(open), _) if sign == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '`') => quote = Some(sign),
            (None, sign) if sign.is_alphabetic() => out.extend(sign.to_lowercase()),
            (None, _) if out.ends_with('-') || out.is_empty() => {}
            (None, _) => out.push('-'),
        }
        if out.chars().count() >= 48 {
            break;
        }
    }
    out.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_for_the_same_reason_share_a_cause() {
        let one = slug("HTTP 422: the SKU `TEA-01` is not known (request 8812)");
        assert_eq!(one, slug("HTTP 422: the SKU `CUP-7` is not known (request 13)"));
        assert_ne!(one, slug("HTTP 422: the address is not complete"));
        assert_eq!(slug("123"), "");
    }
}

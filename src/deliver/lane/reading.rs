//! What a lane reads: polls, re-reads and the comparison of both sides. One at a time, beside the deliveries.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt as _;
use jiff::Timestamp;
use tracing::{error, warn};

use super::{Ended, Job, Lane, Turn, Work, earliest, words};
use crate::deliver::limiter::Share;
use crate::deliver::send::SOON;
use crate::deliver::shared::{View, lock};
use crate::ingest::{poll, reread};
use crate::reconcile;
use crate::retry::later;

/// What may be started besides deliveries.
enum Reading {
    Reread(reread::Ask),
    Poll(String),
    Reconcile(String),
}

impl Lane {
    /// Starts reading what is due, unless something is being read; tells when there will be something.
    pub(super) async fn start_reading(
        &mut self,
        view: &View,
        epoch: i64,
        places: &mut usize,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.reading {
            return None;
        }
        let (what, mut next) = self.what_to_read(view, now).await;
        let Some(what) = what else { return next };
        let (operation, share) = match &what {
            Reading::Reread(ask) => (format!("read.{}", ask.read), Share::Ordinary),
            Reading::Poll(name) | Reading::Reconcile(name) => (format!("poll.{name}"), Share::Poll),
        };
        let taken = match lock(&self.shared.limiter).take(&[&operation], share, now) {
            Ok(mut taken) => taken.pop(),
            Err(wait) => {
                // What was taken from the list stands in the store still.
                self.look = true;
                next = earliest(next, Some(wait.until));
                return next;
            }
        };
        let Some(taken) = taken else { return next };
        let (shared, view) = (Arc::clone(&self.shared), view.clone());
        let job: Job = match what {
            Reading::Poll(name) => {
                let track = self.polls.get(&name).cloned().unwrap_or_default();
                Box::pin(async move {
                    let fallback = track.broken_down(later(shared.now(), Duration::from_mins(1)));
                    let run = poll::run_once(&shared, &view, epoch, &name, track, taken);
                    let track = AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
                        error!(account = %shared.account, poll = name, fault = words(&*panic), "a poll broke down");
                        fallback
                    });
                    Ended { next: Some(track.next), work: Work::Poll { name, track } }
                })
            }
            Reading::Reread(ask) => {
                let failures = self.rereads.get(&ask.key).map_or(0, |(_, failures)| *failures);
                Box::pin(async move {
                    let key = ask.key.clone();
                    let run = reread::run_once(&shared, &view, epoch, ask, failures, taken);
                    let next = AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
                        error!(account = %shared.account, key, fault = words(&*panic), "a re-read broke down");
                        Some(later(shared.now(), Duration::from_mins(1)))
                    });
                    let failures = if next.is_some() { failures + 1 } else { 0 };
                    Ended { next, work: Work::Reread { key, failures } }
                })
            }
            Reading::Reconcile(poll) => Box::pin(async move {
                let run = reconcile::run_once(&shared, &view, epoch, &poll, taken);
                let next = AssertUnwindSafe(run).catch_unwind().await.unwrap_or_else(|panic| {
                    error!(account = %shared.account, poll, fault = words(&*panic), "a comparison broke down");
                    later(shared.now(), reconcile::EVERY)
                });
                Ended { next: Some(next), work: Work::Reconcile { poll } }
            }),
        };
        self.jobs.push(job);
        self.reading = true;
        self.turn = Turn::Second;
        *places -= 1;
        next
    }

    /// The next thing to read, if any is due, and else when one will be.
    async fn what_to_read(&mut self, view: &View, now: Timestamp) -> (Option<Reading>, Option<Timestamp>) {
        let mut next = self.ask_again(view, now).await;
        for (name, track) in &mut self.polls {
            if !track.known {
                *track = poll::resume(&self.shared, name, track.clone(), now).await;
            }
        }
        let due =
            self.polls.iter().filter(|(_, track)| track.next <= now).min_by_key(|(_, track)| track.next);
        // By turns, so that neither starves.
        if self.read == Turn::Second
            && let Some(ask) = self.asks.pop_front()
        {
            self.read = Turn::First;
            return (Some(Reading::Reread(ask)), next);
        }
        self.read = Turn::Second;
        if let Some((name, _)) = due {
            return (Some(Reading::Poll(name.clone())), next);
        }
        if let Some(ask) = self.asks.pop_front() {
            self.read = Turn::First;
            return (Some(Reading::Reread(ask)), next);
        }
        if let Some((name, _)) = self.reconciles.iter().find(|(_, at)| **at <= now) {
            return (Some(Reading::Reconcile(name.clone())), next);
        }
        let polls = self.polls.values().map(|track| track.next).min();
        let reconciles = self.reconciles.values().min().copied();
        next = earliest(next, earliest(polls, reconciles));
        (None, next)
    }

    /// Looks what is to be read again, once what was known of is read and something may have come. Tells when what
    /// failed goes again.
    async fn ask_again(&mut self, view: &View, now: Timestamp) -> Option<Timestamp> {
        let due_again = self.rereads.values().any(|(at, _)| *at <= now);
        if self.asks.is_empty() && (self.look || due_again) {
            match reread::asked(&self.shared, view).await {
                Ok(asks) => {
                    self.look = false;
                    self.rereads.retain(|key, _| asks.iter().any(|ask| ask.key == *key));
                    let ready =
                        |ask: &reread::Ask| self.rereads.get(&ask.key).is_none_or(|(at, _)| *at <= now);
                    self.asks = asks.into_iter().filter(ready).collect();
                }
                Err(error) => {
                    warn!(account = %self.shared.account, %error, "the store does not tell what to read again");
                    return Some(later(now, SOON));
                }
            }
        }
        self.rereads.values().map(|(at, _)| *at).filter(|at| *at > now).min()
    }
}

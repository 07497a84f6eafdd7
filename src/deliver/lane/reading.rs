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
use crate::deliver::turns::{Waiting, choose};
use crate::ingest::{poll, reread};
use crate::reconcile;
use crate::retry::later;

/// What may be started besides deliveries.
enum Reading {
    Reread(reread::Ask),
    Poll(String),
    Reconcile(String),
}

impl Reading {
    /// What it draws on the limits, and on which part of them.
    fn waiting(&self, since: Timestamp) -> Waiting {
        let (operation, share) = match self {
            Self::Reread(ask) => (format!("read.{}", ask.read), Share::Ordinary),
            Self::Poll(name) | Self::Reconcile(name) => (format!("poll.{name}"), Share::Poll),
        };
        Waiting { operation, share, since }
    }
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
        let (mut due, mut next) = self.what_to_read(view, now).await;
        let waiting: Vec<Waiting> = due.iter().map(|(since, what)| what.waiting(*since)).collect();
        let (chosen, wait) = choose(&mut lock(&self.shared.limiter), &waiting, now);
        next = earliest(next, wait);
        let Some((place, taken)) = chosen else { return next };
        let (_, what) = due.swap_remove(place);
        self.read = Turn::Second;
        if let Reading::Reread(_) = &what {
            self.read = Turn::First;
            self.asks.pop_front();
            self.asking = None;
        }
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

    /// What is due to be read and since when, who waits longest first, and when more will be.
    async fn what_to_read(
        &mut self,
        view: &View,
        now: Timestamp,
    ) -> (Vec<(Timestamp, Reading)>, Option<Timestamp>) {
        let next = self.ask_again(view, now).await;
        for (name, track) in &mut self.polls {
            if !track.known {
                *track = poll::resume(&self.shared, name, track.clone(), now).await;
            }
        }
        let polls = self.polls.iter().map(|(name, track)| (track.next, Reading::Poll(name.clone())));
        let reconciles = self.reconciles.iter().map(|(name, at)| (*at, Reading::Reconcile(name.clone())));
        let (mut due, later): (Vec<_>, Vec<_>) = polls.chain(reconciles).partition(|(at, _)| *at <= now);
        due.sort_by_key(|(since, _)| *since);
        if let Some(ask) = self.asks.front() {
            // By turns, so that neither starves.
            let place = if self.read == Turn::Second { 0 } else { due.len() };
            let since = *self.asking.get_or_insert(now);
            due.insert(place, (since, Reading::Reread(ask.clone())));
        }
        (due, earliest(next, later.iter().map(|(at, _)| *at).min()))
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

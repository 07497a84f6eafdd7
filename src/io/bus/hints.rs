//! Hints that wait in memory. One that waits already is not queued again, so that the queue is never longer than there
//! are shards and accounts, and a hint never waits behind its own copies.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::ports::Hint;

/// A coalescing queue of hints with any number of callers at both ends.
#[derive(Debug, Default)]
pub(super) struct Hints {
    queue: Mutex<Queue>,
    arrived: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<Hint>,
    waiting: HashSet<Hint>,
    closed: bool,
}

impl Hints {
    /// Queues a hint, unless it waits already or the queue is closed.
    pub(super) fn push(&self, hint: Hint) {
        {
            let mut queue = self.lock();
            if queue.closed || !queue.waiting.insert(hint.clone()) {
                return;
            }
            queue.order.push_back(hint);
        }
        self.arrived.notify_one();
    }

    /// The next hint if one is waiting.
    pub(super) fn try_next(&self) -> Option<Hint> {
        let mut queue = self.lock();
        let hint = queue.order.pop_front()?;
        queue.waiting.remove(&hint);
        if !queue.order.is_empty() {
            self.arrived.notify_one();
        }
        Some(hint)
    }

    /// The next hint; `None` once the queue is closed.
    pub(super) async fn next(&self) -> Option<Hint> {
        loop {
            let arrived = self.arrived.notified();
            if self.lock().closed {
                return None;
            }
            if let Some(hint) = self.try_next() {
                return Some(hint);
            }
            arrived.await;
        }
    }

    /// Waits until something is queued, and takes all of it; empty once the queue is closed.
    pub(super) async fn drain(&self) -> Vec<Hint> {
        let Some(first) = self.next().await else { return Vec::new() };
        std::iter::once(first).chain(std::iter::from_fn(|| self.try_next())).collect()
    }

    /// Ends [`Hints::next`] for all callers.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

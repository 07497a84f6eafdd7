//! The bus of a single node: hints in memory, events to listeners in the same process.
//!
//! Hints coalesce: one that is waiting already is not queued again, so that the queue is never longer than there are
//! shards and accounts, and a hint never waits behind its own copies.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, broadcast};

use crate::ports::{Bus, BusError, Event, Hint};

/// Events that a slow listener may be behind before it loses the oldest.
const EVENTS_KEPT: usize = 1024;

/// In-memory [`Bus`].
#[derive(Debug)]
pub struct EmbeddedBus {
    queue: Mutex<Queue>,
    arrived: Notify,
    events: broadcast::Sender<Event>,
}

#[derive(Debug, Default)]
struct Queue {
    order: VecDeque<Hint>,
    waiting: HashSet<Hint>,
    closed: bool,
}

impl Default for EmbeddedBus {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedBus {
    /// An empty bus.
    #[must_use]
    pub fn new() -> Self {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Self { queue: Mutex::default(), arrived: Notify::new(), events }
    }

    /// The events published from now on. A listener that falls far behind is told how many it missed.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }

    /// The next hint if one is waiting; for callers that do not wait.
    pub fn try_next(&self) -> Option<Hint> {
        let mut queue = self.lock();
        let hint = queue.order.pop_front()?;
        queue.waiting.remove(&hint);
        if !queue.order.is_empty() {
            self.arrived.notify_one();
        }
        Some(hint)
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn hint(&self, hint: Hint) {
        {
            let mut queue = self.lock();
            if queue.closed || !queue.waiting.insert(hint.clone()) {
                return;
            }
            queue.order.push_back(hint);
        }
        self.arrived.notify_one();
    }

    async fn next(&self) -> Option<Hint> {
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

    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        // Nobody listening is no failure: whoever listens later reads the store.
        let _listeners = self.events.send(event.clone());
        Ok(())
    }

    async fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_waiters();
        self.arrived.notify_one();
    }
}

//! Finds what hints missed, relays events, and deletes raw bodies whose time is over.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::canonical::MessageId;
use crate::outbox;
use crate::ports::{Bus, Hint, Store};
use crate::process::Worker;

/// How often the count of what waits is taken from the store.
const BACKLOG_EVERY: SignedDuration = SignedDuration::from_secs(5);
/// Events that are taken from the store at a time, about: where there are fewer, there are no more for now.
const RELAYED: usize = 500;
/// How often raw bodies are looked at.
const PRUNE_EVERY: SignedDuration = SignedDuration::from_mins(10);
/// A shard whose oldest message waits for so long while hints go out has nobody who works on it: the node that gets its
/// hints stands still, and the broker does not know it yet.
const STALLED: SignedDuration = SignedDuration::from_secs(5);

/// Runs until `stop`. `bells` wake this node's own work on each shard.
pub(super) async fn run(worker: Worker, bells: Vec<Arc<Notify>>, stop: CancellationToken) {
    let Worker { store, bus, clock, world, backlog, .. } = worker;
    let mut count_at = clock.now();
    let mut prune_at = clock.now();
    let mut stalls = Stalls::default();
    while !stop.is_cancelled() {
        let now = clock.now();
        match store.sweep(now, 1000).await {
            Ok(hints) => {
                for shard in stalls.look(store.as_ref(), &hints, now).await {
                    if let Some(bell) = bells.get(usize::from(shard)) {
                        bell.notify_one();
                    }
                }
                for hint in hints {
                    bus.hint(hint).await;
                }
            }
            Err(error) => tracing::warn!(%error, "cannot sweep now"),
        }
        relay_all(store.as_ref(), bus.as_ref()).await;
        if now >= count_at {
            match store.backlog().await {
                Ok(counted) => backlog.set(counted),
                Err(error) => tracing::debug!(%error, "the backlog cannot be counted now"),
            }
            count_at = clock.now().checked_add(BACKLOG_EVERY).unwrap_or(now);
        }
        if now >= prune_at {
            let keep =
                SignedDuration::try_from(world.load().config.intake.keep_raw).unwrap_or(SignedDuration::MAX);
            if let Ok(before) = now.checked_sub(keep)
                && let Err(error) = store.prune(before, 1000).await
            {
                tracing::warn!(%error, "cannot prune now");
            }
            prune_at = now.checked_add(PRUNE_EVERY).unwrap_or(now);
        }
        let pause = world.load().config.delivery.sweep;
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    relay_all(store.as_ref(), bus.as_ref()).await;
}

/// The oldest message of each shard that has any, and since when it is that.
#[derive(Debug, Default)]
struct Stalls(HashMap<u16, (MessageId, Timestamp)>);

impl Stalls {
    /// Looks at the shards that have work. Gives those on which nobody works.
    async fn look(&mut self, store: &dyn Store, hints: &[Hint], now: Timestamp) -> Vec<u16> {
        let mut oldest = HashMap::new();
        for hint in hints {
            if let Hint::Inbound { shard } = hint
                && let Ok(pending) = store.pending(*shard, 1).await
                && let Some(first) = pending.first()
            {
                oldest.insert(*shard, first.id);
            }
        }
        self.note(&oldest, now)
    }

    fn note(&mut self, oldest: &HashMap<u16, MessageId>, now: Timestamp) -> Vec<u16> {
        self.0.retain(|shard, (id, _)| oldest.get(shard) == Some(id));
        let mut stalled = Vec::new();
        for (shard, id) in oldest {
            let (_, since) = self.0.entry(*shard).or_insert((*id, now));
            if now.duration_since(*since) >= STALLED {
                stalled.push(*shard);
            }
        }
        stalled.sort_unstable();
        stalled
    }
}

async fn relay_all(store: &dyn Store, bus: &dyn Bus) {
    loop {
        match outbox::relay(store, bus, RELAYED).await {
            Ok(RELAYED..) => {}
            Ok(_) => return,
            Err(error) => {
                tracing::warn!(%error, "cannot relay events now");
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_without_progress_is_worked_on_here() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let oldest =
            |shards: &[(u16, i64)]| shards.iter().map(|(shard, id)| (*shard, MessageId(*id))).collect();
        let mut stalls = Stalls::default();
        assert!(stalls.note(&oldest(&[(0, 1), (1, 2)]), at(0)).is_empty());
        assert!(stalls.note(&oldest(&[(0, 1), (1, 3)]), at(4)).is_empty());
        assert_eq!(stalls.note(&oldest(&[(0, 1), (1, 3)]), at(5)), [0]);
        assert_eq!(stalls.note(&oldest(&[(1, 3)]), at(9)), [1]);
        assert!(stalls.note(&oldest(&[(0, 1)]), at(10)).is_empty(), "it is new again");
    }
}

//! The working stage: map, apply and plan pending messages, and commit all that follows from them as one unit.
//!
//! Messages of one batch that touch the same entity share a unit; units of different entities share a group commit.
//! A unit that lost a race ([`Committed::Conflict`]) is made again from what is stored by then. The stage keeps no state
//! of its own: whatever is lost with the process is pending in the store.

mod assemble;
mod entity;
mod follow;
mod read;
mod remap;
mod turns;

pub use remap::{FORCED, Remapped, causes, remapped};
pub use turns::Turns;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::canonical::MessageId;
use crate::config::world::World;
use crate::ingest::backlog::Backlog;
use crate::ports::{Bus, Clock, Committed, Exception, Hint, Message, Store, StoreError};
use read::Reading;

/// How many messages one step takes on.
pub const BATCH: usize = 64;
/// How often a unit that loses races is made again before its messages are left to a later step.
const RACES: usize = 16;
/// How many of those tries work out what follows for stock at once.
const WHOLE: usize = 4;

/// Works on pending messages.
#[derive(Clone)]
pub struct Worker {
    /// Truth.
    pub store: Arc<dyn Store>,
    /// Where hints go.
    pub bus: Arc<dyn Bus>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The generation in force.
    pub world: Arc<ArcSwap<World>>,
    /// What waits, by account.
    pub backlog: Arc<Backlog>,
    /// Whose turn it is to work on stock: what follows for it belongs to the unit from which it follows. Without, it goes
    /// out as messages to ourselves.
    pub stocks: Option<Arc<Turns>>,
}

impl Worker {
    /// Works on one batch of `shard`. Gives how many messages were settled; 0 means that nothing is pending there.
    ///
    /// # Errors
    /// When the store cannot be read or written; everything stays pending.
    pub async fn step(&self, shard: u16) -> Result<usize, StoreError> {
        let started = std::time::Instant::now();
        let messages = self.store.pending(shard, BATCH).await?;
        if messages.is_empty() {
            return Ok(0);
        }
        let world = self.world.load_full();
        let taken: BTreeMap<MessageId, &Message> =
            messages.iter().map(|message| (message.id, message)).collect();
        let mut open: Vec<Reading> = Vec::with_capacity(messages.len());
        let mut outbound = Vec::new();
        for message in &messages {
            let reading = read::read(&world, message, self.clock.now());
            for (key, value) in &reading.rereads {
                self.store.put("reread", key, value.clone(), None).await?;
                outbound.push(Hint::Outbound { account: message.content.account.clone() });
            }
            open.push(reading);
        }
        remap::look_up(self.store.as_ref(), &messages, &mut open).await?;
        let mut settled = 0;
        let mut refused: HashMap<MessageId, Vec<Exception>> = HashMap::new();
        let mut forced = HashSet::new();
        // Where anything but a lost race comes in the way, small units are made that stand for themselves.
        let mut stocks = self.stocks.as_deref();
        for race in 0..RACES {
            if open.is_empty() {
                break;
            }
            let now = self.clock.now();
            let whole = stocks.filter(|_| race < WHOLE);
            let (assembled, turn) = assemble::assemble(
                &world,
                self.store.as_ref(),
                open,
                &refused,
                (now, self.bus.heard()),
                whole,
            )
            .await?;
            let mut again = Vec::new();
            let (mut units, mut readings) = (Vec::new(), Vec::new());
            for (assembled, group) in assembled {
                let strays = remap::unwanted(self.store.as_ref(), assembled.strays, &mut forced).await?;
                if strays.is_empty() {
                    units.push(assembled.unit);
                    readings.push(group);
                } else {
                    for (message, exception) in strays {
                        refused.entry(message).or_default().push(exception);
                    }
                    again.extend(group);
                }
            }
            let committed = match self.store.commit(units).await {
                Err(_) if whole.is_some() => {
                    stocks = None;
                    vec![Committed::Conflict; readings.len()]
                }
                committed => committed?,
            };
            drop(turn);
            for (outcome, group) in committed.into_iter().zip(readings) {
                match outcome {
                    Committed::Done { hints } => {
                        settled += group.len();
                        for reading in &group {
                            if let Some(message) = taken.get(&reading.message) {
                                self.backlog.remove(&message.content.account);
                            }
                        }
                        outbound.extend(hints);
                    }
                    Committed::Conflict => again.extend(group),
                    Committed::LinkConflict { .. } if whole.is_some() => {
                        stocks = None;
                        again.extend(group);
                    }
                    Committed::LinkConflict { name, holder } => {
                        assemble::refuse_link(&group, &name, &holder, now, &mut refused);
                        again.extend(group);
                    }
                }
            }
            open = again;
        }
        outbound.sort_unstable();
        outbound.dedup();
        for hint in outbound {
            self.bus.hint(hint).await;
        }
        metrics::counter!("crossdock_messages_settled_total")
            .increment(u64::try_from(settled).unwrap_or(u64::MAX));
        metrics::histogram!("crossdock_process_batch_seconds").record(started.elapsed().as_secs_f64());
        Ok(settled)
    }
}

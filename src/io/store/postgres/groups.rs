//! What goes to the database in groups: messages that come in, units, steps of attempts, and states that are read for one
//! attempt after the other.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use super::codec::Fault;
use super::connect::LeaseClock;
use super::flight::{Step, Stepped};
use super::gather::{Door, Queue, answer, answer_lists, ask, in_waves, together};
use super::link::{Link, Tx, closed, read_here, transact_here};
use super::{commit, entity, flight, intake};
use crate::canonical::{AccountId, EntityId, IntentId};
use crate::ports::{Accepted, Committed, EntityRecord, Frozen, Hint, NewMessage, Settled, StoreError, Unit};

/// Messages of one transaction, about.
const MESSAGES: usize = 512;
/// Bytes of bodies of one transaction, about.
const BYTES: usize = 8 << 20;
/// Units of one transaction, about.
const UNITS: usize = 128;
/// Steps of attempts of one transaction, about.
const STEPS: usize = 64;
/// Entities whose states are read at a time, at most.
const STATES: usize = 64;
/// Transactions of a kind at a time: while one is written to the disk, the next one is sent.
const AT_A_TIME: usize = 2;

/// Messages to accept, all or none.
struct Offer {
    messages: Vec<NewMessage>,
    cursor: Option<(AccountId, String, Value)>,
}

impl Offer {
    /// In bytes; a message of few counts for its part of a transaction.
    fn weight(&self) -> usize {
        self.messages.iter().map(|message| message.body.len().max(BYTES / MESSAGES)).sum()
    }
}

/// The ends at which callers stand.
struct Doors {
    offers: Door<Offer, Vec<Accepted>>,
    units: Door<Vec<Unit>, Vec<Committed>>,
    steps: Door<Vec<Step>, Vec<Stepped>>,
    looks: Door<EntityId, EntityRecord>,
}

/// The tasks that work, and the way to them.
pub(super) struct Groups {
    doors: Mutex<Option<Doors>>,
    tasks: TaskTracker,
}

impl Groups {
    /// Starts the tasks that work; at most `room` offers wait.
    pub(super) fn start(link: &Arc<Link>, room: usize, clock: LeaseClock) -> Self {
        let (offers, offered) = Queue::new(room.max(1), true);
        // No more of these than the daemon has tasks.
        let (units, working) = Queue::new(Semaphore::MAX_PERMITS, false);
        let (steps, flying) = Queue::new(Semaphore::MAX_PERMITS, true);
        let (looks, looking) = Queue::new(Semaphore::MAX_PERMITS, true);
        let (offered, working) = (Arc::new(offered), Arc::new(working));
        let (flying, looking) = (Arc::new(flying), Arc::new(looking));
        let tasks = TaskTracker::new();
        for _ in 0..AT_A_TIME {
            tasks.spawn(take_in(link.clone(), offered.clone()));
            tasks.spawn(work(link.clone(), working.clone()));
            tasks.spawn(fly(link.clone(), clock, flying.clone()));
            tasks.spawn(look(link.clone(), looking.clone()));
        }
        tasks.close();
        Self { doors: Mutex::new(Some(Doors { offers, units, steps, looks })), tasks }
    }

    fn door<Q, T>(&self, which: impl Fn(&Doors) -> &Door<Q, T>) -> Result<Door<Q, T>, StoreError> {
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors.as_ref().map(|doors| which(doors).clone()).ok_or_else(closed)
    }

    /// Offers messages; refused at once when too much waits already.
    pub(super) async fn offer(
        &self,
        messages: Vec<NewMessage>,
        cursor: Option<(AccountId, String, Value)>,
    ) -> Result<Vec<Accepted>, StoreError> {
        ask(self.door(|doors| &doors.offers)?, Offer { messages, cursor }).await
    }

    /// Has units committed.
    pub(super) async fn commit(&self, units: Vec<Unit>) -> Result<Vec<Committed>, StoreError> {
        ask(self.door(|doors| &doors.units)?, units).await
    }

    /// Begins an attempt with a frozen request.
    pub(super) async fn freeze(&self, frozen: Frozen) -> Result<bool, StoreError> {
        Ok(self.fly(vec![Step::Freeze(frozen)]).await?.iter().any(|stepped| stepped.flies))
    }

    /// Begins an attempt with the request that was frozen before.
    pub(super) async fn refly(
        &self,
        intent: IntentId,
        epoch: i64,
        at: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(self.fly(vec![Step::Refly { intent, epoch, at }]).await?.iter().any(|stepped| stepped.flies))
    }

    /// Ends attempts.
    pub(super) async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<Hint>, StoreError> {
        let stepped =
            self.fly(settled.into_iter().map(|settled| Step::Settle(Box::new(settled))).collect()).await?;
        let shards: BTreeSet<u16> = stepped.into_iter().flat_map(|stepped| stepped.shards).collect();
        Ok(shards.into_iter().map(|shard| Hint::Inbound { shard }).collect())
    }

    /// Reads an entity without its facts and exceptions.
    pub(super) async fn state(&self, entity: &EntityId) -> Result<EntityRecord, StoreError> {
        ask(self.door(|doors| &doors.looks)?, entity.clone()).await
    }

    async fn fly(&self, steps: Vec<Step>) -> Result<Vec<Stepped>, StoreError> {
        ask(self.door(|doors| &doors.steps)?, steps).await
    }

    /// Does what is queued and ends the tasks.
    pub(super) async fn finish(&self) {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.tasks.wait().await;
    }
}

// -------------------------------------------------------------------------------------------------------------- intake

async fn take_in(link: Arc<Link>, queue: Arc<Queue<Offer, Vec<Accepted>>>) {
    while let Some(group) = queue.group(BYTES, Offer::weight).await {
        let offers: Vec<&Offer> = group.asks.iter().collect();
        let answers = together(&link, &offers, |offers| accept(&link, offers)).await;
        answer(group.replies, answers);
    }
}

async fn accept(link: &Link, offers: Vec<&Offer>) -> Result<Vec<Vec<Accepted>>, StoreError> {
    transact_here!(*link, tx => accept_in(&tx, &offers))
}

async fn accept_in(tx: &Tx, offers: &[&Offer]) -> Result<Vec<Vec<Accepted>>, Fault> {
    let messages: Vec<&NewMessage> = offers.iter().flat_map(|offer| &offer.messages).collect();
    let mut accepted = intake::insert(tx, &messages).await?.into_iter();
    for cursor in offers.iter().filter_map(|offer| offer.cursor.as_ref()) {
        intake::set_cursor(tx, cursor).await?;
    }
    Ok(offers.iter().map(|offer| accepted.by_ref().take(offer.messages.len()).collect()).collect())
}

// ---------------------------------------------------------------------------------------------------------------- work

async fn work(link: Arc<Link>, queue: Arc<Queue<Vec<Unit>, Vec<Committed>>>) {
    while let Some(group) = queue.group(UNITS, Vec::len).await {
        let units: Vec<&Unit> = group.asks.iter().flatten().collect();
        let outcomes = in_waves(&link, &units, commit::touched, |units| commit(&link, units)).await;
        answer_lists(&group.asks, group.replies, outcomes);
    }
}

async fn commit(link: &Link, units: Vec<&Unit>) -> Result<Vec<Committed>, StoreError> {
    transact_here!(*link, tx => commit::commit(&tx, &units))
}

// ------------------------------------------------------------------------------------------------------------ attempts

async fn fly(link: Arc<Link>, clock: LeaseClock, queue: Arc<Queue<Vec<Step>, Vec<Stepped>>>) {
    while let Some(group) = queue.group(STEPS, Vec::len).await {
        let steps: Vec<&Step> = group.asks.iter().flatten().collect();
        let intent = |step: &Step| vec![step.intent()];
        let outcomes = in_waves(&link, &steps, intent, |steps| carry_out(&link, clock, steps)).await;
        answer_lists(&group.asks, group.replies, outcomes);
    }
}

async fn carry_out(link: &Link, clock: LeaseClock, steps: Vec<&Step>) -> Result<Vec<Stepped>, StoreError> {
    transact_here!(*link, tx => flight::carry_out(&tx, clock, &steps))
}

// -------------------------------------------------------------------------------------------------------------- states

async fn look(link: Arc<Link>, queue: Arc<Queue<EntityId, EntityRecord>>) {
    while let Some(group) = queue.group(STATES, |_| 1).await {
        let ids: Vec<&EntityId> = group.asks.iter().collect();
        let found = together(&link, &ids, |ids| states(&link, ids)).await;
        answer(group.replies, found);
    }
}

async fn states(link: &Link, ids: Vec<&EntityId>) -> Result<Vec<EntityRecord>, StoreError> {
    let ids: Vec<EntityId> = ids.into_iter().cloned().collect();
    read_here!(*link, tx => entity::load_states(&tx, &ids))
}

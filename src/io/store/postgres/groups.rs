//! Group commit: what queues up while one transaction runs goes into the next one together. What is read for one attempt
//! after the other goes together likewise.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::codec::Fault;
use super::connect::LeaseClock;
use super::flight::{Step, Stepped};
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

/// How long a group is gathered while another transaction of its kind runs: not for its whole length, as it may be held up.
const GATHER: Duration = Duration::from_millis(3);

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Messages to accept, all or none.
pub(super) struct Offer {
    messages: Vec<NewMessage>,
    cursor: Option<(AccountId, String, Value)>,
    reply: Reply<Vec<Accepted>>,
}

/// Units to commit, each by itself.
pub(super) struct Work {
    units: Vec<Unit>,
    reply: Reply<Vec<Committed>>,
}

/// Steps of attempts, each by itself.
pub(super) struct Flight {
    steps: Vec<Step>,
    reply: Reply<Vec<Stepped>>,
}

/// A state to read.
pub(super) struct Look {
    entity: EntityId,
    reply: Reply<Option<EntityRecord>>,
}

/// The ends at which callers stand.
#[derive(Clone)]
struct Doors {
    offers: mpsc::Sender<Offer>,
    works: mpsc::UnboundedSender<Work>,
    flights: mpsc::UnboundedSender<Flight>,
    looks: mpsc::UnboundedSender<Look>,
}

/// The tasks that work, and the way to them.
pub(super) struct Groups {
    doors: std::sync::Mutex<Option<Doors>>,
    tasks: TaskTracker,
}

impl Groups {
    /// Starts the tasks that work; at most `room` offers wait.
    pub(super) fn start(link: &Arc<Link>, room: usize, clock: LeaseClock) -> Self {
        let (offers, offered) = mpsc::channel(room.max(1));
        let (works, working) = mpsc::unbounded_channel();
        let (flights, flying) = mpsc::unbounded_channel();
        let (looks, looking) = mpsc::unbounded_channel();
        let (offered, working) = (Arc::new(Mutex::new(offered)), Arc::new(Mutex::new(working)));
        let (flying, looking) = (Arc::new(Mutex::new(flying)), Arc::new(Mutex::new(looking)));
        let tasks = TaskTracker::new();
        let [taking, carrying, reading] = [(); 3].map(|()| Arc::new(Mutex::new(())));
        for _ in 0..AT_A_TIME {
            tasks.spawn(take_in(link.clone(), offered.clone(), taking.clone()));
            tasks.spawn(work(link.clone(), working.clone()));
            tasks.spawn(fly(link.clone(), clock, flying.clone(), carrying.clone()));
            tasks.spawn(look(link.clone(), looking.clone(), reading.clone()));
        }
        tasks.close();
        Self { doors: std::sync::Mutex::new(Some(Doors { offers, works, flights, looks })), tasks }
    }

    fn doors(&self) -> Result<Doors, StoreError> {
        let doors = self.doors.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        doors.clone().ok_or_else(closed)
    }

    /// Offers messages; refused at once when too much waits already.
    pub(super) async fn offer(
        &self,
        messages: Vec<NewMessage>,
        cursor: Option<(AccountId, String, Value)>,
    ) -> Result<Vec<Accepted>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.doors()?.offers.try_send(Offer { messages, cursor, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Full,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Has units committed.
    pub(super) async fn commit(&self, units: Vec<Unit>) -> Result<Vec<Committed>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.doors()?.works.send(Work { units, reply }).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
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
    pub(super) async fn state(&self, entity: &EntityId) -> Result<Option<EntityRecord>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.doors()?.looks.send(Look { entity: entity.clone(), reply }).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn fly(&self, steps: Vec<Step>) -> Result<Vec<Stepped>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.doors()?.flights.send(Flight { steps, reply }).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Does what is queued and ends the tasks.
    pub(super) async fn finish(&self) {
        self.doors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        self.tasks.wait().await;
    }
}

/// Waits a little for its turn while another transaction of the kind runs: the group becomes larger meanwhile, and few
/// large transactions cost less than many small ones.
async fn gather(running: &Mutex<()>) -> Option<MutexGuard<'_, ()>> {
    tokio::time::timeout(GATHER, running.lock()).await.ok()
}

// -------------------------------------------------------------------------------------------------------------- intake

async fn take_in(link: Arc<Link>, queue: Arc<Mutex<mpsc::Receiver<Offer>>>, running: Arc<Mutex<()>>) {
    loop {
        let mut group = Vec::new();
        let _turn;
        {
            let mut queue = queue.lock().await;
            let Some(first) = queue.recv().await else { return };
            _turn = gather(&running).await;
            let size = |offer: &Offer| offer.messages.iter().map(|one| one.body.len()).sum::<usize>();
            let (mut messages, mut bytes) = (first.messages.len(), size(&first));
            group.push(first);
            while messages < MESSAGES
                && bytes < BYTES
                && let Ok(next) = queue.try_recv()
            {
                messages += next.messages.len();
                bytes += size(&next);
                group.push(next);
            }
        }
        let whole: Vec<&Offer> = group.iter().collect();
        let answers = match accept(&link, &whole).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            // It is there and does not take the group: one of it may be at fault.
            Err(_) if group.len() > 1 && link.check().is_ok() => {
                let mut answers = Vec::with_capacity(group.len());
                for offer in &group {
                    answers.push(accept(&link, &[offer]).await.map(|mut all| all.pop().unwrap_or_default()));
                }
                answers
            }
            Err(error) => vec![Err(error); group.len()],
        };
        for (offer, answer) in group.into_iter().zip(answers) {
            // A caller that went away does not want to know.
            let _gone = offer.reply.send(answer);
        }
    }
}

async fn accept(link: &Link, offers: &[&Offer]) -> Result<Vec<Vec<Accepted>>, StoreError> {
    transact_here!(*link, tx => accept_in(&tx, offers))
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

async fn work(link: Arc<Link>, queue: Arc<Mutex<mpsc::UnboundedReceiver<Work>>>) {
    loop {
        let mut group = Vec::new();
        {
            let mut queue = queue.lock().await;
            let Some(first) = queue.recv().await else { return };
            let mut units = first.units.len();
            group.push(first);
            while units < UNITS
                && let Ok(next) = queue.try_recv()
            {
                units += next.units.len();
                group.push(next);
            }
        }
        let units: Vec<&Unit> = group.iter().flat_map(|work| &work.units).collect();
        let mut outcomes = commit_all(&link, &units).await.into_iter();
        for Work { units, reply } in group {
            let own: Result<Vec<Committed>, StoreError> = outcomes.by_ref().take(units.len()).collect();
            let _gone = reply.send(own);
        }
    }
}

/// Commits units, those that touch the same things one after the other.
async fn commit_all(link: &Link, units: &[&Unit]) -> Vec<Result<Committed, StoreError>> {
    let mut outcomes: Vec<Result<Committed, StoreError>> = vec![Err(closed()); units.len()];
    for wave in commit::waves(units) {
        let members: Vec<&Unit> = wave.iter().filter_map(|index| units.get(*index).copied()).collect();
        let answers = match commit_wave(link, &members).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(_) if members.len() > 1 && link.check().is_ok() => {
                let mut answers = Vec::with_capacity(members.len());
                for unit in &members {
                    let alone = commit_wave(link, &[*unit]).await;
                    answers.push(alone.and_then(|mut all| all.pop().ok_or_else(closed)));
                }
                answers
            }
            Err(error) => vec![Err(error); members.len()],
        };
        for (index, answer) in wave.into_iter().zip(answers) {
            if let Some(slot) = outcomes.get_mut(index) {
                *slot = answer;
            }
        }
    }
    outcomes
}

async fn commit_wave(link: &Link, units: &[&Unit]) -> Result<Vec<Committed>, StoreError> {
    transact_here!(*link, tx => commit::commit(&tx, units))
}

// ------------------------------------------------------------------------------------------------------------ attempts

async fn fly(
    link: Arc<Link>,
    clock: LeaseClock,
    queue: Arc<Mutex<mpsc::UnboundedReceiver<Flight>>>,
    running: Arc<Mutex<()>>,
) {
    loop {
        let mut group = Vec::new();
        let _turn;
        {
            let mut queue = queue.lock().await;
            let Some(first) = queue.recv().await else { return };
            _turn = gather(&running).await;
            let mut steps = first.steps.len();
            group.push(first);
            while steps < STEPS
                && let Ok(next) = queue.try_recv()
            {
                steps += next.steps.len();
                group.push(next);
            }
        }
        let steps: Vec<&Step> = group.iter().flat_map(|flight| &flight.steps).collect();
        let mut outcomes = fly_all(&link, clock, &steps).await.into_iter();
        for Flight { steps, reply } in group {
            let own: Result<Vec<Stepped>, StoreError> = outcomes.by_ref().take(steps.len()).collect();
            let _gone = reply.send(own);
        }
    }
}

/// Carries out steps, those of one intent one after the other.
async fn fly_all(link: &Link, clock: LeaseClock, steps: &[&Step]) -> Vec<Result<Stepped, StoreError>> {
    let mut outcomes: Vec<Result<Stepped, StoreError>> = vec![Err(closed()); steps.len()];
    let mut waiting: Vec<(usize, &Step)> = steps.iter().copied().enumerate().collect();
    while !waiting.is_empty() {
        let mut seen = HashSet::new();
        let (wave, later): (Vec<_>, Vec<_>) =
            waiting.into_iter().partition(|(_, step)| seen.insert(step.intent()));
        let members: Vec<&Step> = wave.iter().map(|(_, step)| *step).collect();
        let answers = match fly_wave(link, clock, &members).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(_) if members.len() > 1 && link.check().is_ok() => {
                let mut answers = Vec::with_capacity(members.len());
                for step in &members {
                    let alone = fly_wave(link, clock, &[*step]).await;
                    answers.push(alone.and_then(|mut all| all.pop().ok_or_else(closed)));
                }
                answers
            }
            Err(error) => vec![Err(error); members.len()],
        };
        for ((index, _), answer) in wave.into_iter().zip(answers) {
            if let Some(slot) = outcomes.get_mut(index) {
                *slot = answer;
            }
        }
        waiting = later;
    }
    outcomes
}

async fn fly_wave(link: &Link, clock: LeaseClock, steps: &[&Step]) -> Result<Vec<Stepped>, StoreError> {
    transact_here!(*link, tx => flight::carry_out(&tx, clock, steps))
}

// -------------------------------------------------------------------------------------------------------------- states

async fn look(link: Arc<Link>, queue: Arc<Mutex<mpsc::UnboundedReceiver<Look>>>, running: Arc<Mutex<()>>) {
    loop {
        let mut group = Vec::new();
        let _turn;
        {
            let mut queue = queue.lock().await;
            let Some(first) = queue.recv().await else { return };
            _turn = gather(&running).await;
            group.push(first);
            while group.len() < STATES
                && let Ok(next) = queue.try_recv()
            {
                group.push(next);
            }
        }
        let ids: Vec<EntityId> = group.iter().map(|look| look.entity.clone()).collect();
        let states: Vec<Result<Option<EntityRecord>, StoreError>> = match states(&link, &ids).await {
            Ok(states) => states.into_iter().map(|state| Ok(Some(state))).collect(),
            Err(_) if ids.len() > 1 && link.check().is_ok() => {
                let mut answers = Vec::with_capacity(ids.len());
                for id in &ids {
                    answers.push(states(&link, std::slice::from_ref(id)).await.map(|mut all| all.pop()));
                }
                answers
            }
            Err(error) => vec![Err(error); ids.len()],
        };
        for (look, state) in group.into_iter().zip(states) {
            let _gone = look.reply.send(state);
        }
    }
}

async fn states(link: &Link, ids: &[EntityId]) -> Result<Vec<EntityRecord>, StoreError> {
    read_here!(*link, tx => entity::load_states(&tx, ids))
}

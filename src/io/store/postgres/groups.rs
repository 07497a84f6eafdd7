//! Group commit: what queues up while one transaction runs goes into the next one together.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio_util::task::TaskTracker;

use super::codec::Fault;
use super::link::{Link, Tx, closed, transact};
use super::{commit, intake};
use crate::canonical::AccountId;
use crate::ports::{Accepted, Committed, NewMessage, StoreError, Unit};

/// Messages of one transaction, about.
const MESSAGES: usize = 512;
/// Bytes of bodies of one transaction, about.
const BYTES: usize = 8 << 20;
/// Units of one transaction, about.
const UNITS: usize = 128;
/// Transactions of a kind at a time: while one is written to the disk, the next one is sent.
const AT_A_TIME: usize = 2;

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

/// The ends at which callers stand.
pub(super) struct Groups {
    doors: std::sync::Mutex<Option<(mpsc::Sender<Offer>, mpsc::UnboundedSender<Work>)>>,
    tasks: TaskTracker,
}

impl Groups {
    /// Starts the tasks that work; at most `room` offers wait.
    pub(super) fn start(link: &Arc<Link>, room: usize) -> Self {
        let (offers, offered) = mpsc::channel(room.max(1));
        let (works, working) = mpsc::unbounded_channel();
        let (offered, working) = (Arc::new(Mutex::new(offered)), Arc::new(Mutex::new(working)));
        let tasks = TaskTracker::new();
        for _ in 0..AT_A_TIME {
            tasks.spawn(take_in(link.clone(), offered.clone()));
            tasks.spawn(work(link.clone(), working.clone()));
        }
        tasks.close();
        Self { doors: std::sync::Mutex::new(Some((offers, works))), tasks }
    }

    fn doors(&self) -> Result<(mpsc::Sender<Offer>, mpsc::UnboundedSender<Work>), StoreError> {
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
        self.doors()?.0.try_send(Offer { messages, cursor, reply }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => StoreError::Full,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Has units committed.
    pub(super) async fn commit(&self, units: Vec<Unit>) -> Result<Vec<Committed>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.doors()?.1.send(Work { units, reply }).map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Does what is queued and ends the tasks.
    pub(super) async fn finish(&self) {
        self.doors.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        self.tasks.wait().await;
    }
}

// -------------------------------------------------------------------------------------------------------------- intake

async fn take_in(link: Arc<Link>, queue: Arc<Mutex<mpsc::Receiver<Offer>>>) {
    loop {
        let mut group = Vec::new();
        {
            let mut queue = queue.lock().await;
            let Some(first) = queue.recv().await else { return };
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
    transact!(*link, tx => accept_in(&tx, offers))
}

async fn accept_in(tx: &Tx<'_>, offers: &[&Offer]) -> Result<Vec<Vec<Accepted>>, Fault> {
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
    transact!(*link, tx => commit::commit(&tx, units))
}

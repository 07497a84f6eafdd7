//! Group commit: what queues up while one transaction runs goes into the next one together, and everyone who asked gets an
//! answer of their own.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, mpsc, oneshot};

use super::link::{Link, closed};
use crate::ports::StoreError;

/// How long a group is gathered while another transaction of its kind runs: not for its whole length, as it may be held up.
const GATHER: Duration = Duration::from_millis(3);

pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// What somebody asks for, and where the answer goes.
pub(super) struct Asked<Q, T> {
    pub(super) ask: Q,
    pub(super) reply: Reply<T>,
}

/// The end at which those stand who ask.
pub(super) type Door<Q, T> = mpsc::Sender<Asked<Q, T>>;

/// Asks at the door and waits for the answer; refused at once when too much waits already.
pub(super) async fn ask<Q, T>(door: Door<Q, T>, ask: Q) -> Result<T, StoreError> {
    let (reply, answer) = oneshot::channel();
    door.try_send(Asked { ask, reply }).map_err(|error| match error {
        mpsc::error::TrySendError::Full(_) => StoreError::Full,
        mpsc::error::TrySendError::Closed(_) => closed(),
    })?;
    // While it waits, nothing keeps the door open.
    drop(door);
    answer.await.unwrap_or_else(|_| Err(closed()))
}

/// What was asked for and is not begun.
pub(super) struct Queue<Q, T> {
    waiting: Mutex<mpsc::Receiver<Asked<Q, T>>>,
    /// Held while a transaction of the kind runs, where a group is gathered meanwhile.
    running: Option<Mutex<()>>,
}

/// What is carried out together. While it lives, the next group of its kind is gathered.
pub(super) struct Group<'q, Q, T> {
    pub(super) asks: Vec<Q>,
    pub(super) replies: Vec<Reply<T>>,
    _running: Option<MutexGuard<'q, ()>>,
}

impl<Q, T> Queue<Q, T> {
    /// A queue in which at most `room` wait. With `gathers`, a group waits a little for its turn while another one of the
    /// kind is carried out: it becomes larger meanwhile, and few large transactions cost less than many small ones.
    pub(super) fn new(room: usize, gathers: bool) -> (Door<Q, T>, Self) {
        let (door, waiting) = mpsc::channel(room);
        (door, Self { waiting: Mutex::new(waiting), running: gathers.then(Mutex::default) })
    }

    /// The next group, of a weight of about `most`; `None` once nobody can ask any more.
    pub(super) async fn group(&self, most: usize, weight: impl Fn(&Q) -> usize) -> Option<Group<'_, Q, T>> {
        let mut waiting = self.waiting.lock().await;
        let Asked { ask, reply } = waiting.recv().await?;
        let running = match &self.running {
            Some(running) => tokio::time::timeout(GATHER, running.lock()).await.ok(),
            None => None,
        };
        let mut gathered = weight(&ask);
        let (mut asks, mut replies) = (vec![ask], vec![reply]);
        while gathered < most
            && let Ok(Asked { ask, reply }) = waiting.try_recv()
        {
            gathered += weight(&ask);
            asks.push(ask);
            replies.push(reply);
        }
        Some(Group { asks, replies, _running: running })
    }
}

/// Gives everyone their answer. One who went away does not want to know.
pub(super) fn answer<T>(replies: Vec<Reply<T>>, answers: impl IntoIterator<Item = Result<T, StoreError>>) {
    for (reply, answer) in replies.into_iter().zip(answers) {
        let _gone = reply.send(answer);
    }
}

/// As [`answer`], where each asked for several things at once: `answers` are of one thing after the other.
pub(super) fn answer_lists<Q, T>(
    asks: &[Vec<Q>],
    replies: Vec<Reply<Vec<T>>>,
    answers: Vec<Result<T, StoreError>>,
) {
    let mut answers = answers.into_iter();
    answer(replies, asks.iter().map(|list| answers.by_ref().take(list.len()).collect()));
}

/// Carries all out in one go. Where the database is there and does not take that, each goes by itself: one of them may be at
/// fault.
pub(super) async fn together<A: Copy, T, F>(
    link: &Link,
    all: &[A],
    carry_out: impl Fn(Vec<A>) -> F,
) -> Vec<Result<T, StoreError>>
where
    F: Future<Output = Result<Vec<T>, StoreError>>,
{
    match carry_out(all.to_vec()).await {
        Ok(answers) => answers.into_iter().map(Ok).collect(),
        Err(_) if all.len() > 1 && link.check().is_ok() => {
            let mut answers = Vec::with_capacity(all.len());
            for one in all {
                let alone = carry_out(vec![*one]).await;
                answers.push(alone.and_then(|mut only| only.pop().ok_or_else(closed)));
            }
            answers
        }
        Err(error) => all.iter().map(|_| Err(error.clone())).collect(),
    }
}

/// As [`together`], those that touch the same things one after the other. Gives the answers in the order of `all`.
pub(super) async fn in_waves<A: Copy, T, F, K: Eq + Hash>(
    link: &Link,
    all: &[A],
    touched: impl Fn(A) -> Vec<K>,
    carry_out: impl Fn(Vec<A>) -> F,
) -> Vec<Result<T, StoreError>>
where
    F: Future<Output = Result<Vec<T>, StoreError>>,
{
    let mut answers: Vec<Option<Result<T, StoreError>>> = all.iter().map(|_| None).collect();
    for wave in waves(all.iter().map(|one| touched(*one))) {
        let members: Vec<A> = wave.iter().filter_map(|index| all.get(*index).copied()).collect();
        for (index, answer) in wave.into_iter().zip(together(link, &members, &carry_out).await) {
            if let Some(slot) = answers.get_mut(index) {
                *slot = Some(answer);
            }
        }
    }
    answers.into_iter().map(|answer| answer.unwrap_or_else(|| Err(closed()))).collect()
}

/// Puts things, by what they touch, into groups of which none touches the same twice; the order of those that do is kept.
pub(super) fn waves<K: Eq + Hash>(things: impl IntoIterator<Item = Vec<K>>) -> Vec<Vec<usize>> {
    let mut waves: Vec<(HashSet<K>, Vec<usize>)> = Vec::new();
    for (index, touched) in things.into_iter().enumerate() {
        // After the last wave that touches any of it.
        let after = waves
            .iter()
            .rposition(|(taken, _)| touched.iter().any(|thing| taken.contains(thing)))
            .map_or(0, |last| last + 1);
        if after == waves.len() {
            waves.push((HashSet::new(), Vec::new()));
        }
        if let Some((taken, members)) = waves.get_mut(after) {
            taken.extend(touched);
            members.push(index);
        }
    }
    waves.into_iter().map(|(_, members)| members).collect()
}

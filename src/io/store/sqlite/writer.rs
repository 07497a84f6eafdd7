//! One thread writes, in groups: it takes what has queued up, does all of it in one transaction, and answers after the
//! commit. One bad job does not fail its group: the group is done again then, each job in a savepoint of its own. (Not
//! at once, since under a savepoint SQLite keeps a copy of every page that is changed.)

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, params};
use tokio::sync::oneshot;

use super::codec::{Fault, run, statements};
use crate::ports::StoreError;

/// Jobs of one transaction at most.
const GROUP: usize = 256;

statements! {
    BEGIN = "BEGIN IMMEDIATE";
    COMMIT = "COMMIT";
    ROLLBACK = "ROLLBACK";
    SAVE = "SAVEPOINT item";
    RELEASE = "RELEASE item";
    BACK = "ROLLBACK TO item";
    TALLY = "INSERT INTO tally (area, a, b, n) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (area, a, b) DO UPDATE SET n = n + excluded.n";
}

// -------------------------------------------------------------------------------------------------------- transaction

/// A name under which things are counted: area and two words.
type Counted = (&'static str, String, &'static str);

/// A write transaction: the connection, and what has been counted in it.
pub(super) struct Tx<'a> {
    /// The connection, inside the transaction.
    pub(super) db: &'a Connection,
    counts: RefCell<Vec<(Counted, i64)>>,
    /// Savepoints are set. Without, the transaction is spoilt by work that fails after it has written.
    guarded: bool,
    spoilt: Cell<bool>,
}

impl<'a> Tx<'a> {
    fn new(db: &'a Connection, guarded: bool) -> Self {
        Self { db, counts: RefCell::default(), guarded, spoilt: Cell::new(false) }
    }

    /// Counts `n` more (or fewer) of something.
    pub(super) fn tally(&self, area: &'static str, a: &str, b: &'static str, n: i64) {
        self.counts.borrow_mut().push(((area, a.to_owned(), b), n));
    }

    /// Runs a statement that changes rows.
    pub(super) fn run(&self, sql: &str, params: impl rusqlite::Params) -> Result<usize, Fault> {
        run(self.db, sql, params)
    }

    /// Does `work` wholly or, when it fails or says so (`Err` inside), not at all; or spoils the transaction.
    pub(super) fn savepoint<T, E>(
        &self,
        work: impl FnOnce() -> Result<Result<T, E>, Fault>,
    ) -> Result<Result<T, E>, Fault> {
        let counted = self.counts.borrow().len();
        if !self.guarded {
            let changes = self.db.total_changes();
            let outcome = work();
            if !matches!(outcome, Ok(Ok(_))) {
                self.counts.borrow_mut().truncate(counted);
                self.spoilt.set(self.spoilt.get() || self.db.total_changes() != changes);
            }
            return outcome;
        }
        self.run(SAVE, [])?;
        let outcome = work();
        if !matches!(outcome, Ok(Ok(_))) {
            self.counts.borrow_mut().truncate(counted);
            if self.db.is_autocommit() {
                // SQLite has rolled the whole transaction back.
                return outcome;
            }
            self.run(BACK, [])?;
        }
        self.run(RELEASE, [])?;
        outcome
    }

    /// Writes what was counted.
    fn flush(&self) -> Result<(), Fault> {
        let mut sums: BTreeMap<Counted, i64> = BTreeMap::new();
        for (name, n) in self.counts.borrow_mut().drain(..) {
            *sums.entry(name).or_default() += n;
        }
        for ((area, a, b), n) in sums.into_iter().filter(|(_, n)| *n != 0) {
            self.run(TALLY, params![area, a, b, n])?;
        }
        Ok(())
    }
}

// --------------------------------------------------------------------------------------------------------------- jobs

/// A piece of work for the writer.
pub(super) trait Job: Send {
    /// Does it inside the group's transaction, once or again. False when it failed.
    fn work(&mut self, tx: &Tx<'_>) -> bool;
    /// Tells the caller how it ended, once the group's transaction has ended.
    fn answer(self: Box<Self>, group: Result<(), StoreError>);
}

struct Task<F, T> {
    work: F,
    outcome: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Task<F, T>
where
    F: Fn(&Tx<'_>) -> Result<T, Fault> + Send,
    T: Send,
{
    fn work(&mut self, tx: &Tx<'_>) -> bool {
        let outcome = (self.work)(tx).map_err(StoreError::from);
        let worked = outcome.is_ok();
        self.outcome = Some(outcome);
        worked
    }

    fn answer(self: Box<Self>, group: Result<(), StoreError>) {
        let outcome = match (self.outcome, group) {
            (Some(Err(own)), _) | (_, Err(own)) => Err(own),
            (Some(outcome), Ok(())) => outcome,
            (None, Ok(())) => Err(StoreError::Unavailable("the work was not done".to_owned())),
        };
        // A caller that went away does not want to know.
        let _gone = self.reply.send(outcome);
    }
}

/// A job that does `work`, and where its answer comes.
pub(super) fn job<F, T>(work: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T, StoreError>>)
where
    F: Fn(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    T: Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    (Box::new(Task { work, outcome: None, reply }), answer)
}

/// Does `work` in a transaction of its own, here and now.
pub(super) fn alone<T>(
    db: &Connection,
    work: impl FnOnce(&Tx<'_>) -> Result<T, Fault>,
) -> Result<T, StoreError> {
    let attempt = || {
        run(db, BEGIN, [])?;
        let tx = Tx::new(db, false);
        let out = work(&tx)?;
        if tx.spoilt.get() {
            run(db, ROLLBACK, [])?;
            return Ok(out);
        }
        tx.flush()?;
        run(db, COMMIT, [])?;
        Ok(out)
    };
    attempt().map_err(|fault: Fault| {
        if !db.is_autocommit() {
            // When even this fails, the next BEGIN will say so.
            let _failed = run(db, ROLLBACK, []);
        }
        fault.into()
    })
}

/// Does a group of jobs in one transaction and answers them.
fn group(db: &Connection, mut jobs: Vec<Box<dyn Job>>) {
    let outcome = transact(db, &mut jobs).map_err(|fault| {
        if !db.is_autocommit() {
            let _failed = run(db, ROLLBACK, []);
        }
        StoreError::from(fault)
    });
    for job in jobs {
        job.answer(outcome.clone());
    }
}

fn transact(db: &Connection, jobs: &mut [Box<dyn Job>]) -> Result<(), Fault> {
    if attempt(db, jobs, false)? || attempt(db, jobs, true)? {
        return Ok(());
    }
    Err(Fault::Unreadable("a guarded transaction is spoilt".to_owned()))
}

/// Does all jobs in one transaction. False when one of them spoilt it: nothing is done then.
fn attempt(db: &Connection, jobs: &mut [Box<dyn Job>], guarded: bool) -> Result<bool, Fault> {
    run(db, BEGIN, [])?;
    let tx = Tx::new(db, guarded);
    for job in jobs {
        let _undone = tx.savepoint(|| Ok(if job.work(&tx) { Ok(()) } else { Err(()) }))?;
        if db.is_autocommit() {
            return Err(Fault::Sql(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT),
                Some("the transaction was rolled back".to_owned()),
            )));
        }
        if tx.spoilt.get() {
            run(db, ROLLBACK, [])?;
            return Ok(false);
        }
    }
    tx.flush()?;
    run(db, COMMIT, [])?;
    Ok(true)
}

// -------------------------------------------------------------------------------------------------------------- queue

/// What the writer has still to do. Two lanes, taken in turn: offered messages cannot hold up the work on accepted ones.
#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<Lanes>,
    arrived: Condvar,
    room: usize,
}

#[derive(Default)]
struct Lanes {
    intake: VecDeque<Box<dyn Job>>,
    work: VecDeque<Box<dyn Job>>,
    closed: bool,
}

impl Queue {
    /// A queue that takes at most `room` offered messages at a time.
    pub(super) fn new(room: usize) -> Arc<Self> {
        Arc::new(Self { room, ..Self::default() })
    }

    /// Queues a job of intake; refused at once when there is no room.
    pub(super) fn offer(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let mut lanes = self.lock();
        if lanes.closed {
            return Err(closed());
        }
        if lanes.intake.len() >= self.room {
            return Err(StoreError::Full);
        }
        lanes.intake.push_back(job);
        drop(lanes);
        self.arrived.notify_one();
        Ok(())
    }

    /// Queues any other job; there are no more of these than the daemon has tasks.
    pub(super) fn push(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        let mut lanes = self.lock();
        if lanes.closed {
            return Err(closed());
        }
        lanes.work.push_back(job);
        drop(lanes);
        self.arrived.notify_one();
        Ok(())
    }

    /// No new jobs; what is queued is done still.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.arrived.notify_all();
    }

    /// The writer has ended: no new jobs, and those that are left are told so.
    pub(super) fn abandon(&self) {
        let left = {
            let mut lanes = self.lock();
            lanes.closed = true;
            (std::mem::take(&mut lanes.intake), std::mem::take(&mut lanes.work))
        };
        for job in left.0.into_iter().chain(left.1) {
            job.answer(Err(closed()));
        }
    }

    /// The next group, waited for; `None` when closed and empty.
    fn take(&self) -> Option<Vec<Box<dyn Job>>> {
        let mut lanes = self.lock();
        loop {
            if !lanes.intake.is_empty() || !lanes.work.is_empty() {
                let mut group = Vec::new();
                while group.len() < GROUP {
                    let (one, other) = (lanes.work.pop_front(), lanes.intake.pop_front());
                    if one.is_none() && other.is_none() {
                        break;
                    }
                    group.extend(one.into_iter().chain(other));
                }
                return Some(group);
            }
            if lanes.closed {
                return None;
            }
            lanes = self.arrived.wait(lanes).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lanes> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer to everything after the end.
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Works until the queue is closed and empty. `committed` is called after each group.
pub(super) fn serve(db: &Connection, queue: &Queue, mut committed: impl FnMut(&Connection)) {
    while let Some(jobs) = queue.take() {
        group(db, jobs);
        committed(db);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn database() -> Connection {
        let db = Connection::open_in_memory().unwrap();
        db.execute_batch(
            "CREATE TABLE t (x INTEGER PRIMARY KEY);
             CREATE TABLE tally (area, a, b, n, PRIMARY KEY (area, a, b)) WITHOUT ROWID;",
        )
        .unwrap();
        db
    }

    fn insert(x: i64) -> (Box<dyn Job>, oneshot::Receiver<Result<i64, StoreError>>) {
        job(move |tx| {
            tx.tally("t", "rows", "", 1);
            tx.run("INSERT INTO t VALUES (?1)", [x])?;
            Ok(x)
        })
    }

    fn number(db: &Connection, sql: &str) -> i64 {
        db.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn a_bad_job_does_not_fail_its_group() {
        let db = database();
        let (jobs, answers): (Vec<_>, Vec<_>) = [1, 2, 2, 3].map(insert).into_iter().unzip();
        group(&db, jobs);
        let answers: Vec<bool> =
            answers.into_iter().map(|answer| answer.blocking_recv().unwrap().is_ok()).collect();
        assert_eq!(answers, [true, true, false, true]);
        assert_eq!(number(&db, "SELECT count(*) FROM t"), 3);
        assert_eq!(number(&db, "SELECT n FROM tally"), 3, "what was rolled back is not counted");
    }

    #[test]
    fn what_a_bad_job_has_written_goes_and_the_rest_stays() {
        let db = database();
        let (bad, refusal) = job(|tx| {
            tx.tally("t", "rows", "", 5);
            tx.run("INSERT INTO t VALUES (?1)", [7])?;
            tx.run("INSERT INTO t VALUES (?1)", [1])?;
            Ok(7)
        });
        let (one, first) = insert(1);
        let (two, second) = insert(2);
        group(&db, vec![one, bad, two]);
        assert!(first.blocking_recv().unwrap().is_ok() && second.blocking_recv().unwrap().is_ok());
        assert!(refusal.blocking_recv().unwrap().is_err());
        assert_eq!(number(&db, "SELECT sum(x) FROM t"), 3);
        assert_eq!(number(&db, "SELECT n FROM tally"), 2);
    }

    #[test]
    fn a_group_that_is_not_committed_is_refused_whole() {
        let db = database();
        db.execute_batch("DROP TABLE tally").unwrap();
        let (jobs, answers): (Vec<_>, Vec<_>) = [1, 2].map(insert).into_iter().unzip();
        group(&db, jobs);
        for answer in answers {
            assert!(matches!(answer.blocking_recv().unwrap(), Err(StoreError::Unavailable(_))));
        }
        assert_eq!(number(&db, "SELECT count(*) FROM t"), 0);
        assert!(db.is_autocommit());
    }

    #[test]
    fn a_full_queue_sheds_intake_and_nothing_else() {
        let queue = Queue::new(1);
        assert!(queue.offer(insert(1).0).is_ok());
        assert_eq!(queue.offer(insert(2).0), Err(StoreError::Full));
        assert!(queue.push(insert(3).0).is_ok());
        assert_eq!(queue.take().map(|group| group.len()), Some(2));
        queue.close();
        assert!(matches!(queue.push(insert(4).0), Err(StoreError::Unavailable(_))));
        assert!(queue.take().is_none());
    }

    #[test]
    fn when_the_writer_ends_callers_are_told() {
        let queue = Queue::new(1);
        let (one, answer) = insert(1);
        queue.push(one).unwrap();
        queue.abandon();
        assert!(matches!(answer.blocking_recv().unwrap(), Err(StoreError::Unavailable(_))));
    }
}

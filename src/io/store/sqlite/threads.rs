//! The threads around a file: one writer, one that checkpoints on the side, and a few readers.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::codec::{Fault, snapshot};
use super::schema::{Role, connect};
use super::writer::{Queue, closed, serve};
use crate::ports::StoreError;

/// How often the log is moved to the file while there is work.
const CHECKPOINT: Duration = Duration::from_millis(200);
/// Pages of the log above which the writer itself waits until it can start the log anew (64 MiB).
const OVERGROWN: i64 = 16_384;

/// How often emptying the log is tried while somebody reads from it.
const TRIES: u32 = 20;

type Read = Box<dyn FnOnce(&Connection) + Send>;

/// The running threads.
pub(super) struct Threads {
    path: PathBuf,
    vfs: Option<String>,
    queue: Arc<Queue>,
    reads: Mutex<Option<Sender<Read>>>,
    running: Mutex<Vec<JoinHandle<()>>>,
}

impl Threads {
    /// Starts them on a file that has been migrated.
    pub(super) fn start(path: &Path, vfs: Option<&str>, room: usize, readers: usize) -> Result<Self, Fault> {
        let queue = Queue::new(room);
        let mut running = Vec::new();
        let signal = Arc::new(Signal::default());

        let keeper = connect(path, vfs, Role::Keeper)?;
        let writer = connect(path, vfs, Role::Writer)?;
        let readers: Vec<Connection> =
            (0..readers.max(1)).map(|_| connect(path, vfs, Role::Reader)).collect::<Result<_, _>>()?;

        running.push(spawn("store-writer", {
            let end = WriterEnd { queue: queue.clone(), signal: signal.clone() };
            move || serve(&writer, &end.queue, |db| after_commit(db, &end.signal))
        })?);
        running.push(spawn("store-keeper", move || keep(&keeper, &signal))?);
        let (reads, incoming) = mpsc::channel();
        let incoming = Arc::new(Mutex::new(incoming));
        for reader in readers {
            let incoming = incoming.clone();
            running.push(spawn("store-reader", move || read(&reader, &incoming))?);
        }
        let (path, vfs) = (path.to_owned(), vfs.map(str::to_owned));
        Ok(Self { path, vfs, queue, reads: Mutex::new(Some(reads)), running: Mutex::new(running) })
    }

    /// The writer's queue.
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Reads on one of the readers' connections, under one snapshot.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job: Read = Box::new(move |db| {
            // A caller that went away does not want to know.
            let _gone = reply.send(snapshot(db, work).map_err(StoreError::from));
        });
        {
            let reads = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
            let sender = reads.as_ref().ok_or_else(closed)?;
            sender.send(job).map_err(|_| closed())?;
        }
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Moves the whole log to the file, so that nothing of the past stays in it.
    pub(super) async fn empty_log(&self) -> Result<(), StoreError> {
        let (path, vfs) = (self.path.clone(), self.vfs.clone());
        let work = move || empty_log(&connect(&path, vfs.as_deref(), Role::Keeper)?);
        let done = tokio::task::spawn_blocking(work).await;
        Ok(done.map_err(|error| StoreError::Unavailable(error.to_string()))??)
    }

    /// Does what is queued and ends all threads.
    pub(super) fn stop(&self) {
        self.queue.close();
        self.reads.lock().unwrap_or_else(PoisonError::into_inner).take();
        let running: Vec<JoinHandle<()>> =
            self.running.lock().unwrap_or_else(PoisonError::into_inner).drain(..).collect();
        for thread in running {
            // One that panicked has ended too.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Fault> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(|error| Fault::Unreadable(format!("cannot start a thread: {error}")))
}

/// What the writer tells the keeper.
#[derive(Default)]
struct Signal {
    told: Mutex<Told>,
    changed: Condvar,
    /// The log is too long: the writer should start it anew.
    overgrown: AtomicBool,
}

#[derive(Default)]
struct Told {
    /// Something was committed.
    dirty: bool,
    /// The writer has ended.
    over: bool,
}

impl Signal {
    fn tell(&self, change: impl FnOnce(&mut Told)) {
        change(&mut self.told.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits for a commit and then for the pace of checkpoints. False when the writer has ended.
    fn wait(&self, unfinished: bool) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let told = self
            .changed
            .wait_while(told, |told| !unfinished && !told.dirty && !told.over)
            .unwrap_or_else(PoisonError::into_inner);
        let (mut told, _) = self
            .changed
            .wait_timeout_while(told, CHECKPOINT, |told| !told.over)
            .unwrap_or_else(PoisonError::into_inner);
        told.dirty = false;
        !told.over
    }
}

/// However the writer ends: nobody waits for it in vain.
struct WriterEnd {
    queue: Arc<Queue>,
    signal: Arc<Signal>,
}

impl Drop for WriterEnd {
    fn drop(&mut self) {
        self.queue.abandon();
        self.signal.tell(|told| told.over = true);
    }
}

fn after_commit(db: &Connection, signal: &Signal) {
    signal.tell(|told| told.dirty = true);
    if signal.overgrown.swap(false, Ordering::Relaxed)
        && let Err(fault) = checkpoint(db, "RESTART")
    {
        tracing::warn!(?fault, "the log of the store could not be started anew");
    }
}

/// Checkpoints on the side while there are commits, so that no commit pays for it. Ends with the writer.
fn keep(db: &Connection, signal: &Signal) {
    let mut unfinished = false;
    while signal.wait(unfinished) {
        match checkpoint(db, "PASSIVE") {
            Ok((log, moved)) => {
                unfinished = moved < log;
                if log > OVERGROWN {
                    signal.overgrown.store(true, Ordering::Relaxed);
                }
            }
            Err(fault) => tracing::warn!(?fault, "checkpoint of the store failed"),
        }
    }
}

/// Pages in the log, and how many of them have been moved.
fn checkpoint(db: &Connection, mode: &str) -> Result<(i64, i64), Fault> {
    Ok(db.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| Ok((row.get(1)?, row.get(2)?)))?)
}

/// Moves the whole log to the file and cuts it to nothing.
pub(super) fn empty_log(db: &Connection) -> Result<(), Fault> {
    for _ in 0..TRIES {
        let busy: bool = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
        if !busy {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Err(Fault::Sql(rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
        Some("the log could not be emptied: a reader holds it".to_owned()),
    )))
}

fn read(db: &Connection, incoming: &Mutex<Receiver<Read>>) {
    loop {
        let next = incoming.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match next {
            Ok(work) => work(db),
            Err(_closed) => return,
        }
    }
}

//! The embedded store: one SQLite file.
//!
//! One thread writes, in groups with one `fsync` a group; readers have connections of their own and see only what is
//! committed; a third kind of thread moves the log to the file on the side. What a call has answered is on the disk
//! (`synchronous=FULL`). For a simulator on virtual time everything can run on the caller's thread instead.
//!
//! | file | purpose |
//! |---|---|
//! | `schema` | opens a connection, brings the file to the newest form |
//! | `codec` | how values stand in columns |
//! | `writer`, `threads` | group commit, readers, checkpoints |
//! | `intake` | messages, cursors, counters |
//! | `commit`, `entity` | one piece of work, all or nothing; entities whole |
//! | `waiting` | facts without a subject, timers, the sweep |
//! | `delivery` | leases, due intents, frozen attempts |
//! | `exceptions`, `people` | what people see and decide |
//! | `keeping` | small values, events, erasing and pruning |

mod codec;
mod commit;
mod delivery;
mod entity;
mod exceptions;
mod intake;
mod keeping;
mod people;
mod schema;
mod threads;
mod waiting;
mod writer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

use self::codec::{Fault, snapshot};
use self::intake::Ready;
use self::schema::Role;
use self::threads::Threads;
use self::writer::{Tx, closed};
use crate::canonical::stock::Reservation;
use crate::canonical::{AccountId, EntityId, EntityKind, ExternalRef, IntentId, MessageId};
use crate::ports::{
    Accepted, Attempt, CauseRow, Committed, Counts, DueIntent, EntityRecord, Event, Exception,
    ExceptionQuery, Frozen, Hint, Holder, Lease, Message, MessageQuery, NewMessage, OrderQuery, OrderRow,
    Remedy, Reserved, Settled, Store, StoreError, Unit,
};

/// How a [`SqliteStore`] runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Run everything on the caller's thread, on one connection that nobody else shares.
    pub inline: bool,
    /// Name of the SQLite VFS; the system's own without.
    pub vfs: Option<String>,
    /// Offered messages that may wait for the writer before [`StoreError::Full`] is answered.
    pub queue: usize,
    /// Connections that read.
    pub readers: usize,
    /// The caller knows that no other process works on the file (it holds a lock on it): leases that an earlier process
    /// left behind end at once instead of running out.
    pub sole: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { inline: false, vfs: None, queue: 4096, readers: 3, sole: false }
    }
}

/// [`Store`] on an SQLite file.
pub struct SqliteStore {
    mode: Mode,
}

enum Mode {
    Inline(Mutex<Option<Connection>>),
    Threads(Arc<Threads>),
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("inline", &matches!(self.mode, Mode::Inline(_)))
            .finish_non_exhaustive()
    }
}

impl SqliteStore {
    /// Opens the file, makes it when there is none, and brings it to the newest form.
    ///
    /// # Errors
    /// When the file cannot be opened or written, is no store, or was written by a newer version.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Arc<Self>, StoreError> {
        let path: PathBuf = path.as_ref().to_owned();
        let Options { inline, vfs, queue, readers, sole } = options;
        let vfs = vfs.as_deref();
        if vfs.is_none() {
            make_private(&path)?;
        }
        let mode = if inline {
            let mut db = schema::connect(&path, vfs, Role::Only)?;
            schema::migrate(&mut db)?;
            schema::end_leases(&db, sole)?;
            Mode::Inline(Mutex::new(Some(db)))
        } else {
            let mut first = schema::connect(&path, vfs, Role::Keeper)?;
            schema::migrate(&mut first)?;
            schema::end_leases(&first, sole)?;
            Mode::Threads(Arc::new(Threads::start(&path, vfs, queue, readers)?))
        };
        Ok(Arc::new(Self { mode }))
    }

    /// What opening does for a new process, on the connection of an inline store that outlived the one before: for
    /// simulators, whose processes are many and short.
    ///
    /// # Errors
    /// As [`Self::open`]; also when the store has threads of its own.
    pub fn open_again(&self, sole: bool) -> Result<(), StoreError> {
        match &self.mode {
            Mode::Inline(shared) => {
                let mut held = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let db = held.as_mut().ok_or_else(closed)?;
                schema::migrate(db)?;
                Ok(schema::end_leases(db, sole)?)
            }
            Mode::Threads(_) => {
                Err(StoreError::Unavailable("a store with threads is opened once".to_owned()))
            }
        }
    }

    /// Does `work` on the connection of an inline store.
    fn here<T>(
        shared: &Mutex<Option<Connection>>,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let held = shared.lock().unwrap_or_else(PoisonError::into_inner);
        work(held.as_ref().ok_or_else(closed)?)
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.mode {
            Mode::Inline(shared) => Self::here(shared, |db| Ok(snapshot(db, work)?)),
            Mode::Threads(threads) => threads.read(work).await,
        }
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.mode {
            Mode::Inline(shared) => Self::here(shared, |db| writer::alone(db, work)),
            Mode::Threads(threads) => {
                let (job, answer) = writer::job(work);
                threads.queue().push(job)?;
                answer.await.unwrap_or_else(|_| Err(closed()))
            }
        }
    }

    /// Like [`Self::write`], but refused at once when too much waits already.
    async fn offer<T: Send + 'static>(
        &self,
        work: impl Fn(&Tx<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.mode {
            Mode::Inline(_) => self.write(work).await,
            Mode::Threads(threads) => {
                let (job, answer) = writer::job(work);
                threads.queue().offer(job)?;
                answer.await.unwrap_or_else(|_| Err(closed()))
            }
        }
    }
}

/// The newest form that this program knows.
pub(super) fn newest_form() -> i64 {
    schema::newest()
}

/// Makes the file, if there is none, so that only its owner can read it: it holds personal data.
pub(super) fn make_private(path: &Path) -> Result<(), StoreError> {
    let mut file = std::fs::OpenOptions::new();
    file.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut file, 0o600);
    match file.open(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Unavailable(format!("{}: {error}", path.display()))),
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn accept(
        &self,
        messages: Vec<NewMessage>,
        cursor: Option<(AccountId, String, Value)>,
    ) -> Result<Vec<Accepted>, StoreError> {
        let ready = messages.into_iter().map(Ready::of).collect::<Result<Vec<_>, _>>()?;
        self.offer(move |tx| intake::accept(tx, &ready, cursor.as_ref())).await
    }

    async fn cursor(&self, account: &AccountId, poll: &str) -> Result<Option<Value>, StoreError> {
        let (account, poll) = (account.clone(), poll.to_owned());
        self.read(move |db| intake::cursor(db, &account, &poll)).await
    }

    async fn count(&self, account: &AccountId, what: &str) -> Result<(), StoreError> {
        let (account, what) = (account.clone(), what.to_owned());
        self.offer(move |tx| intake::bump(tx, &account, &what)).await
    }

    async fn counted(&self) -> Result<Vec<(AccountId, String, u64)>, StoreError> {
        self.read(intake::counted).await
    }

    async fn backlog(&self) -> Result<Vec<(AccountId, u64)>, StoreError> {
        self.read(intake::backlog).await
    }

    async fn pending(&self, shard: u16, limit: usize) -> Result<Vec<Message>, StoreError> {
        self.read(move |db| intake::pending(db, shard, limit)).await
    }

    async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        self.read(move |db| intake::message(db, id)).await
    }

    async fn messages(&self, query: &MessageQuery) -> Result<Vec<Message>, StoreError> {
        let query = query.clone();
        self.read(move |db| intake::messages(db, &query)).await
    }

    async fn resolve(&self, refs: &[ExternalRef]) -> Result<Vec<Option<EntityId>>, StoreError> {
        let refs = refs.to_vec();
        self.read(move |db| entity::resolve(db, &refs)).await
    }

    async fn load(&self, ids: &[EntityId]) -> Result<Vec<EntityRecord>, StoreError> {
        let ids = ids.to_vec();
        self.read(move |db| entity::load(db, &ids)).await
    }

    async fn load_state(&self, id: &EntityId) -> Result<Option<EntityRecord>, StoreError> {
        let id = id.clone();
        self.read(move |db| entity::load_state(db, &id)).await.map(Some)
    }

    async fn reservations(
        &self,
        wanted: &[Reserved],
    ) -> Result<Vec<BTreeMap<EntityId, Reservation>>, StoreError> {
        let wanted = wanted.to_vec();
        self.read(move |db| entity::reservations(db, &wanted)).await
    }

    async fn commit(&self, units: Vec<Unit>) -> Result<Vec<Committed>, StoreError> {
        // A job each, so that a unit that fails does not take others with it; one group takes them all the same.
        match &self.mode {
            Mode::Inline(shared) => {
                let work = |unit: Unit| {
                    let ready = commit::Ready::of(unit)?;
                    Self::here(shared, |db| writer::alone(db, |tx| commit::commit(tx, &ready)))
                };
                let outcomes: Vec<_> = units.into_iter().map(work).collect();
                outcomes.into_iter().collect()
            }
            Mode::Threads(threads) => {
                let mut answers = Vec::with_capacity(units.len());
                for unit in units {
                    let ready = commit::Ready::of(unit)?;
                    let (job, answer) = writer::job(move |tx| commit::commit(tx, &ready));
                    threads.queue().push(job)?;
                    answers.push(answer);
                }
                let mut outcomes = Vec::with_capacity(answers.len());
                for answer in answers {
                    outcomes.push(answer.await.unwrap_or_else(|_| Err(closed())));
                }
                outcomes.into_iter().collect()
            }
        }
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Hint>, StoreError> {
        if self.read(move |db| waiting::anything_due(db, now)).await? {
            self.write(move |tx| waiting::fire(tx, now, limit)).await?;
        }
        self.read(move |db| waiting::hints(db, now)).await
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read(waiting::next_due).await
    }

    async fn events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.read(move |db| keeping::events(db, limit)).await
    }

    async fn published(&self, ordinals: &[i64]) -> Result<(), StoreError> {
        let ordinals = ordinals.to_vec();
        self.write(move |tx| keeping::published(tx, &ordinals)).await
    }

    async fn prune(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.write(move |tx| keeping::prune(tx, before, limit)).await
    }

    async fn lease(
        &self,
        account: &AccountId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
        level: Option<Value>,
    ) -> Result<Option<Lease>, StoreError> {
        let (account, owner) = (account.clone(), owner.to_owned());
        self.write(move |tx| delivery::lease(tx, &account, &owner, now, until, level.as_ref())).await
    }

    async fn release_lease(&self, account: &AccountId, owner: &str, epoch: i64) -> Result<(), StoreError> {
        let (account, owner) = (account.clone(), owner.to_owned());
        self.write(move |tx| delivery::release(tx, &account, &owner, epoch)).await
    }

    async fn leases(&self) -> Result<Vec<Holder>, StoreError> {
        self.read(delivery::holders).await
    }

    async fn recover(&self, account: &AccountId, epoch: i64, due: Timestamp) -> Result<u64, StoreError> {
        let account = account.clone();
        self.write(move |tx| delivery::recover(tx, &account, epoch, due)).await
    }

    async fn due(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueIntent>, StoreError> {
        let account = account.clone();
        self.read(move |db| delivery::due(db, &account, now, limit)).await
    }

    async fn freeze(&self, frozen: Frozen) -> Result<bool, StoreError> {
        self.write(move |tx| delivery::freeze(tx, &frozen)).await
    }

    async fn refly(&self, intent: IntentId, epoch: i64, at: Timestamp) -> Result<bool, StoreError> {
        self.write(move |tx| delivery::refly(tx, intent, epoch, at)).await
    }

    async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<Hint>, StoreError> {
        self.write(move |tx| delivery::settle(tx, &settled)).await
    }

    async fn withdraw(&self, intent: IntentId, note: &str, at: Timestamp) -> Result<bool, StoreError> {
        let note = note.to_owned();
        self.write(move |tx| delivery::withdraw(tx, intent, &note, at)).await
    }

    async fn reopen(&self, messages: &[MessageId]) -> Result<Vec<Hint>, StoreError> {
        let messages = messages.to_vec();
        self.write(move |tx| people::reopen(tx, &messages)).await
    }

    async fn heard(&self, messages: &[MessageId]) -> Result<Vec<Vec<EntityId>>, StoreError> {
        let messages = messages.to_vec();
        self.read(move |db| entity::heard(db, &messages)).await
    }

    async fn retry_exceptions(&self, ids: &[i64], now: Timestamp) -> Result<Vec<Hint>, StoreError> {
        let ids = ids.to_vec();
        self.write(move |tx| people::retry(tx, &ids, now)).await
    }

    async fn dismiss_exceptions(&self, ids: &[i64], at: Timestamp) -> Result<u64, StoreError> {
        let ids = ids.to_vec();
        self.write(move |tx| people::dismiss(tx, &ids, at)).await
    }

    async fn decide(
        &self,
        intent: IntentId,
        remedy: Remedy,
        note: &str,
        at: Timestamp,
    ) -> Result<Vec<Hint>, StoreError> {
        let note = note.to_owned();
        self.write(move |tx| people::decide(tx, intent, remedy, &note, at)).await
    }

    async fn orders(&self, query: &OrderQuery) -> Result<Vec<OrderRow>, StoreError> {
        let query = query.clone();
        self.read(move |db| people::orders(db, &query)).await
    }

    async fn find_order(&self, name: &str) -> Result<Vec<EntityId>, StoreError> {
        let name = name.to_owned();
        self.read(move |db| people::find_order(db, &name)).await
    }

    async fn exceptions(&self, query: &ExceptionQuery) -> Result<Vec<Exception>, StoreError> {
        let query = query.clone();
        self.read(move |db| exceptions::list(db, &query)).await
    }

    async fn causes(&self, query: &ExceptionQuery) -> Result<Vec<CauseRow>, StoreError> {
        let query = query.clone();
        self.read(move |db| exceptions::causes(db, &query)).await
    }

    async fn attempts(&self, entity: &EntityId) -> Result<Vec<Attempt>, StoreError> {
        let entity = entity.clone();
        self.read(move |db| delivery::attempts(db, &entity)).await
    }

    async fn entities(
        &self,
        kind: EntityKind,
        after: Option<&EntityId>,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        let after = after.cloned();
        self.read(move |db| entity::entities(db, kind, after.as_ref(), limit)).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.read(people::counts).await
    }

    async fn erase_personal(&self, entity: &EntityId) -> Result<(), StoreError> {
        let entity = entity.clone();
        self.write(move |tx| keeping::erase(tx, &entity)).await?;
        // The log still has what was erased: it must go too.
        match &self.mode {
            Mode::Inline(shared) => Self::here(shared, |db| Ok(threads::empty_log(db)?)),
            Mode::Threads(threads) => threads.empty_log().await,
        }
    }

    async fn get(&self, space: &str, key: &str) -> Result<Option<Value>, StoreError> {
        let (space, key) = (space.to_owned(), key.to_owned());
        self.read(move |db| keeping::get(db, &space, &key)).await
    }

    async fn put(
        &self,
        space: &str,
        key: &str,
        value: Value,
        expected: Option<Option<Value>>,
    ) -> Result<bool, StoreError> {
        let (space, key) = (space.to_owned(), key.to_owned());
        self.write(move |tx| keeping::put(tx, &space, &key, &value, expected.as_ref())).await
    }

    async fn all(&self, space: &str) -> Result<Vec<(String, Value)>, StoreError> {
        let space = space.to_owned();
        self.read(move |db| keeping::all(db, &space)).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        match &self.mode {
            Mode::Inline(shared) => {
                let open = shared.lock().unwrap_or_else(PoisonError::into_inner).take();
                open.map_or(Ok(()), |db| db.close().map_err(|(_, error)| Fault::from(error).into()))
            }
            Mode::Threads(threads) => {
                let threads = threads.clone();
                tokio::task::spawn_blocking(move || threads.stop())
                    .await
                    .map_err(|error| StoreError::Unavailable(format!("closing: {error}")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[(&str, &[&str])] = &[
        ("codec", codec::STATEMENTS),
        ("schema", schema::STATEMENTS),
        ("writer", writer::STATEMENTS),
        ("intake", intake::STATEMENTS),
        ("commit", commit::STATEMENTS),
        ("entity", entity::STATEMENTS),
        ("waiting", waiting::STATEMENTS),
        ("delivery", delivery::STATEMENTS),
        ("exceptions", exceptions::STATEMENTS),
        ("people", people::STATEMENTS),
        ("keeping", keeping::STATEMENTS),
    ];
    /// Tables that are read whole on purpose: small ones, those that are a queue, and `trouble`: all exceptions, the
    /// resolved ones too, on the rare day when a person is erased; of `oldest` only so many are read.
    const READ_WHOLE: &[&str] = &["counter", "lease", "l", "event", "known", "t", "g", "trouble", "oldest"];

    fn database(folder: &tempfile::TempDir) -> Connection {
        let mut db = schema::connect(&folder.path().join("x.db"), None, Role::Only).unwrap();
        schema::migrate(&mut db).unwrap();
        db
    }

    #[test]
    fn every_statement_can_be_prepared() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder);
        for (file, sql) in FILES.iter().flat_map(|(file, all)| all.iter().map(move |sql| (file, sql))) {
            if let Err(error) = db.prepare(sql) {
                panic!("{file}: {error}: {sql}");
            }
        }
    }

    #[test]
    fn no_statement_reads_a_growing_table_whole() {
        let folder = tempfile::tempdir().unwrap();
        let db = database(&folder);
        for (file, sql) in FILES.iter().flat_map(|(file, all)| all.iter().map(move |sql| (file, sql))) {
            if !sql.starts_with(|letter| "SWIUD".contains(letter)) {
                continue;
            }
            let Ok(mut plan) = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")) else { continue };
            let steps: Vec<String> =
                plan.raw_query().mapped(|row| row.get(3)).collect::<Result<_, _>>().unwrap();
            for step in steps {
                let scanned = step.strip_prefix("SCAN ").filter(|rest| !rest.contains("INDEX"));
                if let Some(table) = scanned.and_then(|rest| rest.split(' ').next()) {
                    assert!(READ_WHOLE.contains(&table), "{file}: {step}: {sql}");
                }
            }
        }
    }

    #[tokio::test]
    async fn files_of_every_earlier_form_are_upgraded() {
        for form in 1..=schema::newest() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("x.db");
            let mut db = schema::connect(&path, None, Role::Only).unwrap();
            schema::to_form(&mut db, form).unwrap();
            db.execute_batch(include_str!("../../../../tests/upgrade/sqlite.sql")).unwrap();
            db.close().unwrap();

            let store = SqliteStore::open(&path, Options::default()).unwrap();
            let record = store.load(&["order:old".into()]).await.unwrap().remove(0);
            assert_eq!(
                (record.version, record.client.as_str(), &record.state.value()["n"]),
                (3, "acme", &Value::from(7))
            );
            assert_eq!(record.intents.len(), 1);
            assert_eq!(store.pending(3, 10).await.unwrap()[0].content.body, "raw");
            assert_eq!(store.counts().await.unwrap().messages, [("pending".into(), 1)]);
            store.close().await.unwrap();
        }
    }

    #[test]
    fn a_file_of_a_newer_version_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        drop(SqliteStore::open(&path, Options::default()).unwrap());
        Connection::open(&path).unwrap().pragma_update(None, "user_version", 9999).unwrap();
        let outcome = SqliteStore::open(&path, Options::default());
        assert!(matches!(outcome, Err(StoreError::Corrupt(why)) if why.contains("newer")));
    }
}

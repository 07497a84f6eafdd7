//! The store on PostgreSQL, for many nodes.
//!
//! Transactions are READ COMMITTED; what they depend on is locked first, in the order of ids, and work that another
//! transaction overtook is done again. Queues are read by what is pending, never by "number greater than the last": numbers
//! are given out before they are committed.
//!
//! | file | purpose |
//! |---|---|
//! | `connect`, `tls` | where the database is, and how a connection comes about |
//! | `link` | transactions, time limits, and what happens while the database is away |
//! | `schema` | brings the database to the newest form |
//! | `codec` | how values stand in columns |
//! | `groups`, `gather` | group commit of intake, of work and of attempts; states read together |
//! | `intake` | messages, cursors, counters |
//! | `commit`, `entity` | units of work, many in one transaction; entities whole |
//! | `waiting` | facts without a subject, timers, the sweep |
//! | `delivery` | leases, due intents |
//! | `flight` | attempts that begin and end |
//! | `exceptions`, `people` | what people see and decide |
//! | `turn` | whose turn it is, over all nodes |
//! | `events` | events until they are published |
//! | `keeping` | small values, erasing and pruning |

mod codec;
mod commit;
mod connect;
mod delivery;
mod entity;
mod events;
mod exceptions;
mod flight;
mod gather;
mod groups;
mod intake;
mod keeping;
mod link;
mod people;
mod schema;
mod tls;
mod turn;
mod waiting;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Client;

use self::codec::Fault;
use self::connect::Target;
pub use self::connect::{LeaseClock, Options};
use self::events::Relay;
use self::groups::Groups;
use self::link::{Link, read, transact};
use self::turn::Turns;
use crate::canonical::stock::Reservation;
use crate::canonical::{AccountId, EntityId, EntityKind, ExternalRef, IntentId, MessageId};
use crate::ports::{
    Accepted, Attempt, CauseRow, Committed, Counts, DueIntent, EntityRecord, Event, Exception,
    ExceptionQuery, Frozen, Hint, Holder, Lease, Message, MessageQuery, NewMessage, OrderQuery, OrderRow,
    Remedy, Reserved, Settled, Store, StoreError, Turn, Unit,
};

/// [`Store`] on a PostgreSQL database.
pub struct PostgresStore {
    link: Arc<Link>,
    groups: Groups,
    turns: Turns,
    relay: Arc<Relay>,
    clock: LeaseClock,
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").finish_non_exhaustive()
    }
}

impl PostgresStore {
    /// Connects to the database and brings it to the newest form.
    ///
    /// # Errors
    /// When it cannot be reached, is not of a form that this program can work with, or the address is wrong.
    pub async fn open(options: Options) -> Result<Arc<Self>, StoreError> {
        let target = Target::new(&options)?;
        let patience = options.connect_timeout + options.statement_timeout;
        let pool = target.pool(&options)?;
        schema::prepare(&target, options.migrate, patience).await?;
        let link = Link::new(pool, target.place, options.statement_timeout);
        let groups = Groups::start(&link, options.queue, options.lease_clock);
        let turns = Turns::new(options.pool);
        let relay = Arc::new(Relay::new());
        Ok(Arc::new(Self { link, groups, turns, relay, clock: options.lease_clock }))
    }
}

pub(super) use self::codec::{clean, key, words};
pub(super) use self::link::as_sql;

/// A connection beside any pool, without a limit of time for its statements; and the address for people.
pub(super) async fn single(options: &Options) -> Result<(Client, String), StoreError> {
    let target = Target::new(options)?;
    let patience = options.connect_timeout + options.statement_timeout;
    let client = target.patiently(patience).await?;
    Ok((client, target.place))
}

/// The form that the database has; 0 when it is empty.
pub(super) async fn form(client: &Client) -> Result<i32, StoreError> {
    Ok(schema::form(client).await?)
}

/// The events of a row of `bundle` that are not published, from its columns `open` and `data`.
pub(super) fn bundled(row: &tokio_postgres::Row) -> Result<Vec<Event>, StoreError> {
    Ok(events::bundled(row)?)
}

/// The newest form that this program knows.
pub(super) fn newest_form() -> i32 {
    schema::newest()
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.link.close();
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn accept(
        &self,
        messages: Vec<NewMessage>,
        cursor: Option<(AccountId, String, Value)>,
    ) -> Result<Vec<Accepted>, StoreError> {
        self.link.check()?;
        self.groups.offer(messages, cursor).await
    }

    async fn commit(&self, units: Vec<Unit>) -> Result<Vec<Committed>, StoreError> {
        self.link.check()?;
        self.groups.commit(units).await
    }

    async fn turn(&self, names: &[String]) -> Result<Option<Turn>, StoreError> {
        self.link.check()?;
        self.turns.take(&self.link, names).await.map(Some)
    }

    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Hint>, StoreError> {
        if read!(self.link, tx => waiting::anything_due(&tx, now))? {
            transact!(self.link, tx => waiting::fire(&tx, now, limit))?;
        }
        if read!(self.link, tx => waiting::much_counted(&tx))? {
            transact!(self.link, tx => waiting::add_up(&tx))?;
        }
        read!(self.link, tx => waiting::hints(&tx, now))
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.groups.finish().await;
        if self.link.check().is_ok() {
            let (link, relay) = (&self.link, self.relay.clone());
            let left = async { transact!(link, tx => async { relay.unclaim(&tx); Ok::<_, Fault>(()) }) };
            if let Err(error) = left.await {
                tracing::debug!(%error, "events stay claimed until the claim runs out");
            }
        }
        self.link.close();
        Ok(())
    }

    async fn cursor(&self, account: &AccountId, poll: &str) -> Result<Option<Value>, StoreError> {
        let (account, poll) = (account.clone(), poll.to_owned());
        read!(self.link, tx => intake::cursor(&tx, &account, &poll))
    }

    async fn count(&self, account: &AccountId, what: &str) -> Result<(), StoreError> {
        let (account, what) = (account.clone(), what.to_owned());
        transact!(self.link, tx => intake::bump(&tx, &account, &what))
    }

    async fn counted(&self) -> Result<Vec<(AccountId, String, u64)>, StoreError> {
        read!(self.link, tx => intake::counted(&tx))
    }

    async fn backlog(&self) -> Result<Vec<(AccountId, u64)>, StoreError> {
        read!(self.link, tx => intake::backlog(&tx))
    }

    async fn pending(&self, shard: u16, limit: usize) -> Result<Vec<Message>, StoreError> {
        read!(self.link, tx => intake::pending(&tx, shard, limit))
    }

    async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        read!(self.link, tx => intake::message(&tx, id))
    }

    async fn messages(&self, query: &MessageQuery) -> Result<Vec<Message>, StoreError> {
        let query = query.clone();
        read!(self.link, tx => intake::messages(&tx, &query))
    }

    async fn resolve(&self, refs: &[ExternalRef]) -> Result<Vec<Option<EntityId>>, StoreError> {
        let refs = refs.to_vec();
        read!(self.link, tx => entity::resolve(&tx, &refs))
    }

    async fn load(&self, ids: &[EntityId]) -> Result<Vec<EntityRecord>, StoreError> {
        let ids = ids.to_vec();
        read!(self.link, tx => entity::load(&tx, &ids))
    }

    async fn load_state(&self, id: &EntityId) -> Result<Option<EntityRecord>, StoreError> {
        self.link.check()?;
        self.groups.state(id).await.map(Some)
    }

    async fn reservations(
        &self,
        wanted: &[Reserved],
    ) -> Result<Vec<BTreeMap<EntityId, Reservation>>, StoreError> {
        let wanted = wanted.to_vec();
        read!(self.link, tx => entity::reservations(&tx, &wanted))
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        read!(self.link, tx => waiting::next_due(&tx))
    }

    async fn events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        let relay = self.relay.clone();
        transact!(self.link, tx => relay.events(&tx, limit))
    }

    async fn published(&self, ordinals: &[i64]) -> Result<(), StoreError> {
        let (relay, done) = (self.relay.clone(), ordinals.to_vec());
        transact!(self.link, tx => async { relay.published(&tx, &done); Ok::<_, Fault>(()) })?;
        self.relay.forget(ordinals);
        Ok(())
    }

    async fn prune(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        transact!(self.link, tx => keeping::prune(&tx, before, limit))
    }

    async fn lease(
        &self,
        account: &AccountId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
        level: Option<Value>,
    ) -> Result<Option<Lease>, StoreError> {
        let (clock, account, owner) = (self.clock, account.clone(), owner.to_owned());
        transact!(self.link, tx => delivery::lease(&tx, clock, &account, &owner, now, until, level.as_ref()))
    }

    async fn release_lease(&self, account: &AccountId, owner: &str, epoch: i64) -> Result<(), StoreError> {
        let (account, owner) = (account.clone(), owner.to_owned());
        transact!(self.link, tx => delivery::release(&tx, &account, &owner, epoch))
    }

    async fn leases(&self) -> Result<Vec<Holder>, StoreError> {
        read!(self.link, tx => delivery::holders(&tx))
    }

    async fn recover(&self, account: &AccountId, epoch: i64, due: Timestamp) -> Result<u64, StoreError> {
        let account = account.clone();
        transact!(self.link, tx => delivery::recover(&tx, &account, epoch, due))
    }

    async fn due(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueIntent>, StoreError> {
        let account = account.clone();
        read!(self.link, tx => delivery::due(&tx, &account, now, limit))
    }

    async fn freeze(&self, frozen: Frozen) -> Result<bool, StoreError> {
        self.link.check()?;
        self.groups.freeze(frozen).await
    }

    async fn refly(&self, intent: IntentId, epoch: i64, at: Timestamp) -> Result<bool, StoreError> {
        self.link.check()?;
        self.groups.refly(intent, epoch, at).await
    }

    async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<Hint>, StoreError> {
        self.link.check()?;
        self.groups.settle(settled).await
    }

    async fn withdraw(&self, intent: IntentId, note: &str, at: Timestamp) -> Result<bool, StoreError> {
        let note = note.to_owned();
        transact!(self.link, tx => delivery::withdraw(&tx, intent, &note, at))
    }

    async fn reopen(&self, messages: &[MessageId]) -> Result<Vec<Hint>, StoreError> {
        let messages = messages.to_vec();
        transact!(self.link, tx => people::reopen(&tx, &messages))
    }

    async fn heard(&self, messages: &[MessageId]) -> Result<Vec<Vec<EntityId>>, StoreError> {
        let messages = messages.to_vec();
        transact!(self.link, tx => entity::heard(&tx, &messages))
    }

    async fn retry_exceptions(&self, ids: &[i64], now: Timestamp) -> Result<Vec<Hint>, StoreError> {
        let ids = ids.to_vec();
        transact!(self.link, tx => people::retry(&tx, &ids, now))
    }

    async fn dismiss_exceptions(&self, ids: &[i64], at: Timestamp) -> Result<u64, StoreError> {
        let ids = ids.to_vec();
        transact!(self.link, tx => exceptions::dismiss(&tx, &ids, at))
    }

    async fn decide(
        &self,
        intent: IntentId,
        remedy: Remedy,
        note: &str,
        at: Timestamp,
    ) -> Result<Vec<Hint>, StoreError> {
        let note = note.to_owned();
        transact!(self.link, tx => people::decide(&tx, intent, remedy, &note, at))
    }

    async fn orders(&self, query: &OrderQuery) -> Result<Vec<OrderRow>, StoreError> {
        let query = query.clone();
        read!(self.link, tx => people::orders(&tx, &query))
    }

    async fn find_order(&self, name: &str) -> Result<Vec<EntityId>, StoreError> {
        let name = name.to_owned();
        read!(self.link, tx => people::find_order(&tx, &name))
    }

    async fn exceptions(&self, query: &ExceptionQuery) -> Result<Vec<Exception>, StoreError> {
        let query = query.clone();
        read!(self.link, tx => exceptions::list(&tx, &query))
    }

    async fn causes(&self, query: &ExceptionQuery) -> Result<Vec<CauseRow>, StoreError> {
        let query = query.clone();
        read!(self.link, tx => exceptions::causes(&tx, &query))
    }

    async fn attempts(&self, entity: &EntityId) -> Result<Vec<Attempt>, StoreError> {
        let entity = entity.clone();
        read!(self.link, tx => delivery::attempts(&tx, &entity))
    }

    async fn entities(
        &self,
        kind: EntityKind,
        after: Option<&EntityId>,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        let after = after.cloned();
        read!(self.link, tx => entity::entities(&tx, kind, after.as_ref(), limit))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        read!(self.link, tx => people::counts(&tx))
    }

    async fn erase_personal(&self, entity: &EntityId) -> Result<(), StoreError> {
        let entity = entity.clone();
        transact!(self.link, tx => keeping::erase(&tx, &entity))
    }

    async fn get(&self, space: &str, key: &str) -> Result<Option<Value>, StoreError> {
        let (space, key) = (space.to_owned(), key.to_owned());
        read!(self.link, tx => keeping::value(&tx, &space, &key))
    }

    async fn put(
        &self,
        space: &str,
        key: &str,
        value: Value,
        expected: Option<Option<Value>>,
    ) -> Result<bool, StoreError> {
        let (space, key) = (space.to_owned(), key.to_owned());
        transact!(self.link, tx => keeping::put(&tx, &space, &key, &value, expected.as_ref()))
    }

    async fn all(&self, space: &str) -> Result<Vec<(String, Value)>, StoreError> {
        let space = space.to_owned();
        read!(self.link, tx => keeping::all(&tx, &space))
    }
}

#[cfg(test)]
mod tests;

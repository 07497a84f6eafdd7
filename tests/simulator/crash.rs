//! Ports that crash: before or after a chosen call nothing more happens in this life of the daemon.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use crossdock::canonical::stock::Reservation;
use crossdock::canonical::{AccountId, EntityId, EntityKind, ExternalRef, IntentId, MessageId};
use crossdock::ports::*;
use jiff::Timestamp;
use serde_json::Value;

/// Counts port calls down to the crash.
#[derive(Debug)]
pub struct Fuse {
    left: AtomicI64,
    burnt: AtomicBool,
}

impl Fuse {
    /// Burns at the `at`-th moment: each call of a port has one before and one after it. Never, when negative.
    pub fn new(at: i64) -> Arc<Self> {
        Arc::new(Self { left: AtomicI64::new(at), burnt: AtomicBool::new(false) })
    }

    /// Whether the daemon has crashed.
    pub fn burnt(&self) -> bool {
        self.burnt.load(Ordering::Relaxed)
    }

    async fn moment(&self) {
        if self.burnt() {
            futures::future::pending::<()>().await;
        }
        if self.left.load(Ordering::Relaxed) >= 0 && self.left.fetch_sub(1, Ordering::Relaxed) == 0 {
            self.burnt.store(true, Ordering::Relaxed);
            futures::future::pending::<()>().await;
        }
    }
}

/// A port behind a fuse.
pub struct Fused<P: ?Sized> {
    /// The fuse of this life.
    pub fuse: Arc<Fuse>,
    /// The port itself.
    pub port: Arc<P>,
}

macro_rules! fused {
    ($self:ident . $call:ident ( $($arg:expr),* )) => {{
        $self.fuse.moment().await;
        let outcome = $self.port.$call($($arg),*).await;
        $self.fuse.moment().await;
        outcome
    }};
}

#[async_trait]
impl Http for Fused<dyn Http> {
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpError> {
        fused!(self.send(request, timeout))
    }
}

#[async_trait]
impl Bus for Fused<dyn Bus> {
    async fn hint(&self, hint: Hint) {
        fused!(self.hint(hint));
    }
    async fn command(&self, command: &Command) -> Result<(), BusError> {
        fused!(self.command(command))
    }
    async fn received(&self) -> Option<Received> {
        fused!(self.received())
    }
    async fn listen(&self) -> futures::stream::BoxStream<'static, Event> {
        self.port.listen().await
    }
    async fn next(&self) -> Option<Hint> {
        fused!(self.next())
    }
    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        fused!(self.publish(event))
    }
    async fn close(&self) {
        fused!(self.close());
    }
}

#[async_trait]
impl Store for Fused<dyn Store> {
    async fn accept(
        &self,
        messages: Vec<NewMessage>,
        cursor: Option<(AccountId, String, Value)>,
    ) -> Result<Vec<Accepted>, StoreError> {
        fused!(self.accept(messages, cursor))
    }
    async fn cursor(&self, account: &AccountId, poll: &str) -> Result<Option<Value>, StoreError> {
        fused!(self.cursor(account, poll))
    }
    async fn count(&self, account: &AccountId, what: &str) -> Result<(), StoreError> {
        fused!(self.count(account, what))
    }
    async fn counted(&self) -> Result<Vec<(AccountId, String, u64)>, StoreError> {
        fused!(self.counted())
    }
    async fn backlog(&self) -> Result<Vec<(AccountId, u64)>, StoreError> {
        fused!(self.backlog())
    }
    async fn pending(&self, shard: u16, limit: usize) -> Result<Vec<Message>, StoreError> {
        fused!(self.pending(shard, limit))
    }
    async fn message(&self, id: MessageId) -> Result<Option<Message>, StoreError> {
        fused!(self.message(id))
    }
    async fn messages(&self, query: &MessageQuery) -> Result<Vec<Message>, StoreError> {
        fused!(self.messages(query))
    }
    async fn resolve(&self, refs: &[ExternalRef]) -> Result<Vec<Option<EntityId>>, StoreError> {
        fused!(self.resolve(refs))
    }
    async fn load(&self, ids: &[EntityId]) -> Result<Vec<EntityRecord>, StoreError> {
        fused!(self.load(ids))
    }
    async fn reservations(
        &self,
        wanted: &[Reserved],
    ) -> Result<Vec<BTreeMap<EntityId, Reservation>>, StoreError> {
        fused!(self.reservations(wanted))
    }
    async fn commit(&self, units: Vec<Unit>) -> Result<Vec<Committed>, StoreError> {
        fused!(self.commit(units))
    }
    async fn sweep(&self, now: Timestamp, limit: usize) -> Result<Vec<Hint>, StoreError> {
        fused!(self.sweep(now, limit))
    }
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        fused!(self.next_due())
    }
    async fn events(&self, limit: usize) -> Result<Vec<Event>, StoreError> {
        fused!(self.events(limit))
    }
    async fn published(&self, ordinals: &[i64]) -> Result<(), StoreError> {
        fused!(self.published(ordinals))
    }
    async fn prune(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        fused!(self.prune(before, limit))
    }
    async fn lease(
        &self,
        account: &AccountId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
        level: Option<Value>,
    ) -> Result<Option<Lease>, StoreError> {
        fused!(self.lease(account, owner, now, until, level))
    }
    async fn release_lease(&self, account: &AccountId, owner: &str, epoch: i64) -> Result<(), StoreError> {
        fused!(self.release_lease(account, owner, epoch))
    }
    async fn leases(&self) -> Result<Vec<Holder>, StoreError> {
        fused!(self.leases())
    }
    async fn recover(&self, account: &AccountId, epoch: i64, due: Timestamp) -> Result<u64, StoreError> {
        fused!(self.recover(account, epoch, due))
    }
    async fn due(
        &self,
        account: &AccountId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<DueIntent>, StoreError> {
        fused!(self.due(account, now, limit))
    }
    async fn freeze(&self, frozen: Frozen) -> Result<bool, StoreError> {
        fused!(self.freeze(frozen))
    }
    async fn refly(&self, intent: IntentId, epoch: i64, at: Timestamp) -> Result<bool, StoreError> {
        fused!(self.refly(intent, epoch, at))
    }
    async fn settle(&self, settled: Vec<Settled>) -> Result<Vec<Hint>, StoreError> {
        fused!(self.settle(settled))
    }
    async fn withdraw(&self, intent: IntentId, note: &str, at: Timestamp) -> Result<bool, StoreError> {
        fused!(self.withdraw(intent, note, at))
    }
    async fn reopen(&self, messages: &[MessageId]) -> Result<Vec<Hint>, StoreError> {
        fused!(self.reopen(messages))
    }
    async fn heard(&self, messages: &[MessageId]) -> Result<Vec<Vec<EntityId>>, StoreError> {
        fused!(self.heard(messages))
    }
    async fn retry_exceptions(&self, ids: &[i64], now: Timestamp) -> Result<Vec<Hint>, StoreError> {
        fused!(self.retry_exceptions(ids, now))
    }
    async fn dismiss_exceptions(&self, ids: &[i64], at: Timestamp) -> Result<u64, StoreError> {
        fused!(self.dismiss_exceptions(ids, at))
    }
    async fn decide(
        &self,
        intent: IntentId,
        remedy: Remedy,
        note: &str,
        at: Timestamp,
    ) -> Result<Vec<Hint>, StoreError> {
        fused!(self.decide(intent, remedy, note, at))
    }
    async fn orders(&self, query: &OrderQuery) -> Result<Vec<OrderRow>, StoreError> {
        fused!(self.orders(query))
    }
    async fn find_order(&self, name: &str) -> Result<Vec<EntityId>, StoreError> {
        fused!(self.find_order(name))
    }
    async fn exceptions(&self, query: &ExceptionQuery) -> Result<Vec<Exception>, StoreError> {
        fused!(self.exceptions(query))
    }
    async fn causes(&self, query: &ExceptionQuery) -> Result<Vec<CauseRow>, StoreError> {
        fused!(self.causes(query))
    }
    async fn attempts(&self, entity: &EntityId) -> Result<Vec<Attempt>, StoreError> {
        fused!(self.attempts(entity))
    }
    async fn entities(
        &self,
        kind: EntityKind,
        after: Option<&EntityId>,
        limit: usize,
    ) -> Result<Vec<EntityId>, StoreError> {
        fused!(self.entities(kind, after, limit))
    }
    async fn counts(&self) -> Result<Counts, StoreError> {
        fused!(self.counts())
    }
    async fn erase_personal(&self, entity: &EntityId) -> Result<(), StoreError> {
        fused!(self.erase_personal(entity))
    }
    async fn get(&self, space: &str, key: &str) -> Result<Option<Value>, StoreError> {
        fused!(self.get(space, key))
    }
    async fn put(
        &self,
        space: &str,
        key: &str,
        value: Value,
        expected: Option<Option<Value>>,
    ) -> Result<bool, StoreError> {
        fused!(self.put(space, key, value, expected))
    }
    async fn all(&self, space: &str) -> Result<Vec<(String, Value)>, StoreError> {
        fused!(self.all(space))
    }
    async fn close(&self) -> Result<(), StoreError> {
        fused!(self.close())
    }
}

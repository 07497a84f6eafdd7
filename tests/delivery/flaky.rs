//! A store that fails when told to: before it does a thing, or after it has done it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use crossdock::canonical::stock::Reservation;
use crossdock::canonical::{AccountId, EntityId, EntityKind, ExternalRef, IntentId, MessageId};
use crossdock::ports::*;
use jiff::Timestamp;
use serde_json::Value;

/// When it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

pub struct Flaky {
    inner: Arc<dyn Store>,
    faults: Mutex<Vec<(&'static str, When)>>,
    delays: Mutex<Vec<Delay>>,
}

/// A method, and what happens while it is carried out: time goes by.
type Delay = (&'static str, Box<dyn Fn() + Send>);

impl Flaky {
    pub fn over(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { inner, faults: Mutex::default(), delays: Mutex::default() })
    }

    /// The next call of `method` fails.
    pub fn fail(&self, method: &'static str, when: When) {
        self.faults.lock().unwrap().push((method, when));
    }

    /// The next call of `method` takes its time.
    pub fn slow(&self, method: &'static str, time: impl Fn() + Send + 'static) {
        self.delays.lock().unwrap().push((method, Box::new(time)));
    }

    fn delay(&self, method: &str) {
        let mut delays = self.delays.lock().unwrap();
        if let Some(at) = delays.iter().position(|(name, _)| *name == method) {
            let (_, time) = delays.remove(at);
            time();
        }
    }

    /// Whether all faults have happened.
    pub fn spent(&self) -> bool {
        self.faults.lock().unwrap().is_empty()
    }

    fn fails(&self, method: &str, when: When) -> bool {
        let mut faults = self.faults.lock().unwrap();
        let first = faults.iter().position(|(name, _)| *name == method);
        match first {
            Some(at) if faults[at].1 == when => {
                faults.remove(at);
                true
            }
            _ => false,
        }
    }
}

macro_rules! flaky {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        #[async_trait]
        impl Store for Flaky {
            $(async fn $name(&self, $($arg: $ty),*) -> Result<$out, StoreError> {
                let down = || StoreError::Unavailable("told to fail".to_owned());
                if self.fails(stringify!($name), When::Before) {
                    return Err(down());
                }
                let out = self.inner.$name($($arg),*).await;
                self.delay(stringify!($name));
                if self.fails(stringify!($name), When::After) {
                    return Err(down());
                }
                out
            })*
        }
    };
}

flaky! {
    fn accept(messages: Vec<NewMessage>, cursor: Option<(AccountId, String, Value)>) -> Vec<Accepted>;
    fn cursor(account: &AccountId, poll: &str) -> Option<Value>;
    fn count(account: &AccountId, what: &str) -> ();
    fn counted() -> Vec<(AccountId, String, u64)>;
    fn backlog() -> Vec<(AccountId, u64)>;
    fn pending(shard: u16, limit: usize) -> Vec<Message>;
    fn message(id: MessageId) -> Option<Message>;
    fn messages(query: &MessageQuery) -> Vec<Message>;
    fn resolve(refs: &[ExternalRef]) -> Vec<Option<EntityId>>;
    fn load(ids: &[EntityId]) -> Vec<EntityRecord>;
    fn reservations(wanted: &[Reserved]) -> Vec<BTreeMap<EntityId, Reservation>>;
    fn commit(units: Vec<Unit>) -> Vec<Committed>;
    fn sweep(now: Timestamp, limit: usize) -> Vec<Hint>;
    fn next_due() -> Option<Timestamp>;
    fn events(limit: usize) -> Vec<Event>;
    fn published(ordinals: &[i64]) -> ();
    fn prune(before: Timestamp, limit: usize) -> u64;
    fn lease(account: &AccountId, owner: &str, now: Timestamp, until: Timestamp, level: Option<Value>) -> Option<Lease>;
    fn release_lease(account: &AccountId, owner: &str, epoch: i64) -> ();
    fn leases() -> Vec<Holder>;
    fn recover(account: &AccountId, epoch: i64, due: Timestamp) -> u64;
    fn due(account: &AccountId, now: Timestamp, limit: usize) -> Vec<DueIntent>;
    fn freeze(frozen: Frozen) -> bool;
    fn refly(intent: IntentId, epoch: i64, at: Timestamp) -> bool;
    fn settle(settled: Vec<Settled>) -> Vec<Hint>;
    fn withdraw(intent: IntentId, note: &str, at: Timestamp) -> bool;
    fn reopen(messages: &[MessageId]) -> Vec<Hint>;
    fn heard(messages: &[MessageId]) -> Vec<Vec<EntityId>>;
    fn retry_exceptions(ids: &[i64], now: Timestamp) -> Vec<Hint>;
    fn dismiss_exceptions(ids: &[i64], at: Timestamp) -> u64;
    fn decide(intent: IntentId, remedy: Remedy, note: &str, at: Timestamp) -> Vec<Hint>;
    fn orders(query: &OrderQuery) -> Vec<OrderRow>;
    fn find_order(name: &str) -> Vec<EntityId>;
    fn exceptions(query: &ExceptionQuery) -> Vec<Exception>;
    fn causes(query: &ExceptionQuery) -> Vec<CauseRow>;
    fn attempts(entity: &EntityId) -> Vec<Attempt>;
    fn entities(kind: EntityKind, after: Option<&EntityId>, limit: usize) -> Vec<EntityId>;
    fn counts() -> Counts;
    fn erase_personal(entity: &EntityId) -> ();
    fn get(space: &str, key: &str) -> Option<Value>;
    fn put(space: &str, key: &str, value: Value, expected: Option<Option<Value>>) -> bool;
    fn all(space: &str) -> Vec<(String, Value)>;
    fn close() -> ();
}

//! What a lane and its jobs share.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::{debug, warn};

use super::breaker::Breaker;
use super::lease::Hold;
use super::limiter::{Limiter, Share, Taken};
use super::seal::Seal;
use super::status::Status;
use super::token::Tokens;
use crate::canonical::{AccountId, Exception};
use crate::config::World;
use crate::config::model::{Account, Delivery};
use crate::connector::Connector;
use crate::connector::manifest::Manifest;
use crate::ports::{Bus, Clock, Http, Settled, Store, StoreError, Unit};
use crate::retry;

/// The edges and settings of a lane.
#[derive(Clone)]
pub struct Deps {
    /// Holds truth and retry state.
    pub store: Arc<dyn Store>,
    /// Takes hints of what settling has brought.
    pub bus: Arc<dyn Bus>,
    /// Calls partners.
    pub http: Arc<dyn Http>,
    /// Time and chance.
    pub clock: Arc<dyn Clock>,
    /// Config and connectors of the present generation.
    pub world: Arc<ArcSwap<World>>,
    /// This process, for people; each lane adds chance to it, so that no two lanes ever share a lease.
    pub owner: String,
    /// Seals access and refresh tokens at rest; without it they are kept in memory alone.
    pub seal: Option<Arc<Seal>>,
    /// When this process opened the store. A create that was intended more than a minute before is looked up before it
    /// is first sent: the store may be a restored backup, and the partner may have it.
    pub started: Timestamp,
    /// Look up every create before it is first sent, whenever it was intended: for the days after a restore.
    pub careful: bool,
}

/// What a lane and its jobs share.
pub struct Shared {
    /// The edges.
    pub deps: Deps,
    /// Whose lane.
    pub account: AccountId,
    pub(super) hold: Hold,
    pub(super) limiter: Mutex<Limiter>,
    pub(super) breaker: Mutex<Breaker>,
    pub(super) status: Mutex<Status>,
    pub(super) tokens: Tokens,
    /// Settlements that the store has not taken yet.
    pub(super) unsettled: Mutex<Vec<Settled>>,
    /// The number of the newest re-read.
    pub(super) sequence: AtomicU64,
    /// Wakes the lane.
    pub(super) wake: Notify,
}

/// One generation of the account's settings.
#[derive(Clone)]
pub struct View {
    /// All settings.
    pub world: Arc<World>,
    /// The account's connector.
    pub connector: Arc<Connector>,
    /// The account.
    pub account: Arc<Account>,
}

impl View {
    /// The account as it is set up now; none when it is unknown, off, or its connector did not load.
    #[must_use]
    pub fn of(world: &Arc<World>, account: &AccountId) -> Option<Self> {
        let known = world.config.accounts.get(account).filter(|known| known.enabled)?;
        let connector = world.registry.get(&known.connector)?;
        Some(Self {
            world: Arc::clone(world),
            connector: Arc::clone(connector),
            account: Arc::new(known.clone()),
        })
    }

    /// The connector's manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.connector.manifest
    }

    /// `[delivery]`.
    #[must_use]
    pub fn delivery(&self) -> &Delivery {
        &self.world.config.delivery
    }

    /// How failures are spaced.
    #[must_use]
    pub fn retry(&self) -> retry::Settings {
        let delivery = self.delivery();
        retry::Settings {
            first: delivery.backoff_first,
            max: delivery.backoff_max,
            give_up: delivery.give_up,
        }
    }

    /// Calls in flight at most.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let most = self.delivery().in_flight;
        self.manifest().http.in_flight.map_or(most, |own| own.min(most)).max(1)
    }
}

/// The lock, whatever became of those who held it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The present instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.deps.clock.now()
    }

    /// Takes what one call of `operation` costs.
    ///
    /// # Errors
    /// When there is not enough, with the instant at which there may be.
    pub fn take(&self, operation: &str, share: Share) -> Result<Taken, Timestamp> {
        let now = self.now();
        let mut limiter = lock(&self.limiter);
        match limiter.take(&[operation], share, now) {
            Ok(mut taken) => Ok(taken.pop().unwrap_or_else(|| limiter.force(operation, share, now))),
            Err(wait) => Err(wait.until),
        }
    }

    /// Gives back what was taken for a call that is not made.
    pub fn untake(&self, taken: Taken) {
        lock(&self.limiter).cancel(taken, self.now());
    }

    /// The number of the newest re-read.
    pub fn rereads(&self) -> &AtomicU64 {
        &self.sequence
    }

    /// An exception on this account, for the caller to complete.
    #[must_use]
    pub fn exception(&self, kind: &str, cause: String, message: String) -> Exception {
        Exception {
            id: 0,
            cause,
            kind: kind.to_owned(),
            message,
            help: None,
            account: Some(self.account.clone()),
            client: None,
            entity: None,
            message_id: None,
            intent: None,
            raised: self.now(),
            resolved: None,
            resolution: None,
        }
    }

    /// Raises exceptions on the account, or resolves those with these causes.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn announce(&self, raise: Vec<Exception>, resolve: Vec<String>) -> Result<(), StoreError> {
        let unit = Unit { at: self.now(), exceptions: raise, resolve_causes: resolve, ..Unit::default() };
        self.deps.store.commit(vec![unit]).await.map(drop)
    }

    /// Settles an attempt. What the store does not take now is kept and offered again: an answer is never lost while
    /// the process lives, and when it dies, the attempt counts as one whose outcome is unknown.
    pub(super) async fn settle(&self, settled: Settled) {
        match self.deps.store.settle(vec![settled.clone()]).await {
            Ok(hints) => {
                for hint in hints {
                    self.deps.bus.hint(hint).await;
                }
            }
            Err(error) => {
                warn!(account = %self.account, intent = %settled.intent, %error, "an outcome waits for the store");
                lock(&self.unsettled).push(settled);
            }
        }
    }

    /// Offers again what the store did not take. False when it still does not.
    pub(super) async fn settle_again(&self) -> bool {
        let waiting = lock(&self.unsettled).clone();
        if waiting.is_empty() {
            return true;
        }
        match self.deps.store.settle(waiting.clone()).await {
            Ok(hints) => {
                debug!(account = %self.account, settled = waiting.len(), "the store took outcomes that waited");
                lock(&self.unsettled).drain(..waiting.len());
                for hint in hints {
                    self.deps.bus.hint(hint).await;
                }
                true
            }
            Err(error) => {
                warn!(account = %self.account, %error, waiting = waiting.len(), "outcomes still wait for the store");
                false
            }
        }
    }
}

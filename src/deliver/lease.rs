//! The account's lease: no call is made without one that outlives the call's deadline.

use std::sync::Mutex;
use std::time::Duration;

use jiff::Timestamp;
use tracing::{info, warn};

use super::limiter::Level;
use super::shared::{Shared, View, lock};
use crate::ports::{Lease, StoreError};
use crate::retry::later;

/// A lease must outlive a deadline by this much: clocks of nodes differ a little, and answers are read in the end.
const MARGIN: Duration = Duration::from_secs(1);

/// How often a lease is asked for that has almost run out when the store has given it at last.
const SLOW: usize = 3;

/// What is known of the lease.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pub(super) owner: String,
    present: Mutex<Option<Lease>>,
}

/// Why a call may not be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoLease {
    /// Another holds it.
    Theirs,
    /// The store does not say.
    Store(StoreError),
}

/// A lease, and whether it came with a new epoch.
pub(super) struct Held {
    pub(super) epoch: i64,
    /// What the former owner left; only with a new epoch.
    pub(super) fresh: Option<Level>,
}

impl Hold {
    pub(super) fn new(owner: String) -> Self {
        Self { owner, present: Mutex::default() }
    }

    /// Notes a lease that was taken or renewed; two renewals at a time may end in either order.
    fn keep(&self, lease: Lease) {
        let mut present = lock(&self.present);
        let older =
            present.as_ref().is_some_and(|known| known.epoch == lease.epoch && known.until >= lease.until);
        if !older {
            *present = Some(lease);
        }
    }
}

impl Shared {
    /// Makes sure of a lease that lasts for `needed` from now. It is renewed at a third of its life, and whenever more
    /// was spent than the level that stands in the store allows for.
    ///
    /// No lock is held while the store is asked: a job that waits for one is not polled while the lane itself waits.
    pub(super) async fn lease(&self, view: &View, needed: Duration) -> Result<Held, NoLease> {
        let length = view.delivery().lease;
        let now = self.now();
        let enough = |lease: &Lease| lease.until >= later(now, needed + MARGIN);
        let present = lock(&self.hold.present).clone();
        if let Some(lease) = &present {
            let young = lease.until >= later(now, length * 2 / 3);
            if enough(lease) && young && !lock(&self.limiter).must_save() {
                return Ok(Held { epoch: lease.epoch, fresh: None });
            }
        }
        // A lease that has run out may have had another owner since, whose level must not be overwritten unread.
        let mut ours = present.as_ref().filter(|lease| lease.until > now).map(|lease| lease.epoch);
        let mut known = present.as_ref().map(|lease| lease.epoch);
        let mut fresh = None;
        for tries in 0..SLOW {
            let now = self.now();
            let until = later(now, length.max(needed + MARGIN * 2));
            let noted = ours.is_some();
            let lease = match self.write_lease(ours, now, until).await {
                Ok(Some(lease)) => lease,
                Ok(None) => return Err(self.lost()),
                Err(error) if fresh.is_some() => {
                    // Forgotten, so that what the former owner left is read again with it.
                    lock(&self.hold.present).take();
                    return Err(NoLease::Store(error));
                }
                Err(error) => {
                    return match present.filter(|lease| lease.until >= later(self.now(), needed + MARGIN)) {
                        // It stays ours whatever the store says now; only what was spent must be written down first.
                        Some(lease) if !lock(&self.limiter).must_save() => {
                            Ok(Held { epoch: lease.epoch, fresh: None })
                        }
                        _ => Err(NoLease::Store(error)),
                    };
                }
            };
            let epoch = lease.epoch;
            if known != Some(epoch) {
                info!(account = %self.account, epoch, "took the account's lease");
                fresh = Some(serde_json::from_value::<Level>(lease.level.clone()).unwrap_or_default());
                known = Some(epoch);
            }
            // What the former owner left stays in the store until it is taken over.
            ours = fresh.is_none().then_some(epoch);
            let lasts = lease.until >= later(self.now(), needed + MARGIN);
            self.hold.keep(lease);
            let saved = || (noted && tries > 0) || !lock(&self.limiter).must_save();
            if lasts && (fresh.is_some() || saved()) {
                return Ok(Held { epoch, fresh });
            }
        }
        if fresh.is_some() {
            lock(&self.hold.present).take();
        }
        let slow = "it takes so long to give a lease that this has almost run out".to_owned();
        Err(NoLease::Store(StoreError::Unavailable(slow)))
    }

    /// Whether the lease is ours, as far as is known here.
    pub(super) fn holds_lease(&self) -> bool {
        let now = self.now();
        lock(&self.hold.present).as_ref().is_some_and(|lease| lease.until > now)
    }

    fn lost(&self) -> NoLease {
        if lock(&self.hold.present).take().is_some() {
            warn!(account = %self.account, "lost the account's lease");
        }
        NoLease::Theirs
    }

    /// Takes or renews the lease; with the epoch under which it is ours, the limits' level is written with it.
    async fn write_lease(
        &self,
        ours: Option<i64>,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Lease>, StoreError> {
        let noted = ours.map(|epoch| {
            let limiter = lock(&self.limiter);
            (limiter.level(epoch, false, now), limiter.spent())
        });
        let level = noted.as_ref().and_then(|(level, _)| serde_json::to_value(level).ok());
        let lease = self.deps.store.lease(&self.account, &self.hold.owner, now, until, level).await?;
        if let (Some((level, spent)), Some(lease)) = (&noted, &lease)
            && lease.epoch == level.epoch
        {
            lock(&self.limiter).written(level, spent);
        }
        Ok(lease)
    }

    /// Makes sure that the lease under `epoch` outlives a call that is made now.
    pub(super) async fn cover(&self, view: &View, epoch: i64) -> Result<(), NoLease> {
        if lock(&self.hold.present).as_ref().is_none_or(|lease| lease.epoch != epoch) {
            return Err(NoLease::Theirs);
        }
        match self.lease(view, view.delivery().attempt_timeout).await? {
            Held { epoch: present, fresh: None } if present == epoch => Ok(()),
            // Ours again, but another may have called in between: the lane starts anew under the new epoch.
            Held { .. } => Err(self.lost()),
        }
    }

    /// Gives the lease back with the limits' level, so that the next owner need not guess.
    pub(super) async fn give_back(&self) {
        let Some(lease) = lock(&self.hold.present).take() else { return };
        let now = self.now();
        if lease.until <= now {
            return;
        }
        let level = serde_json::to_value(lock(&self.limiter).level(lease.epoch, true, now)).ok();
        let store = &self.deps.store;
        let kept = store.lease(&self.account, &self.hold.owner, now, lease.until, level).await;
        if let Ok(Some(kept)) = kept
            && let Err(error) = store.release_lease(&self.account, &self.hold.owner, kept.epoch).await
        {
            warn!(account = %self.account, %error, "could not give the lease back; it runs out by itself");
        }
    }
}

//! What must be in order before a lane starts anything: its lease, its settings, and what people know of it.

use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

use super::Lane;
use crate::canonical::Exception;
use crate::config::World;
use crate::connector::manifest::Once;
use crate::deliver::lease::NoLease;
use crate::deliver::send::SOON;
use crate::deliver::shared::{View, lock};
use crate::ingest::poll;
use crate::ports::ExceptionQuery;
use crate::reconcile;
use crate::retry::{jitter, later};

impl Lane {
    /// The epoch of the lease. What an earlier one had in flight is treated as unknown before anything else is done.
    pub(super) async fn epoch(&mut self, view: &View) -> Result<i64, Option<Timestamp>> {
        let now = self.shared.now();
        if self.world.is_none() {
            lock(&self.shared.limiter).set(&view.manifest().limits, now);
        }
        let held = match self.shared.lease(view, view.delivery().attempt_timeout).await {
            Ok(held) => held,
            Err(NoLease::Theirs) => {
                self.epoch = None;
                let pause = view.delivery().lease / 3;
                let chance = self.shared.deps.clock.random();
                return Err(Some(later(now, pause + jitter(pause, chance))));
            }
            Err(NoLease::Store(error)) => {
                warn!(account = %self.shared.account, %error, "the store does not give the lease");
                return Err(Some(later(now, SOON)));
            }
        };
        if let Some(level) = held.fresh {
            lock(&self.shared.limiter).resume(&level, held.epoch, now);
            self.epoch = None;
        }
        if self.epoch != Some(held.epoch) {
            // A look-up means something only some time after the call that died.
            let settle = view.manifest().commands.values().filter_map(|command| match &command.once {
                Once::Find(find) => Some(find.settle),
                _ => None,
            });
            let due = later(now, settle.max().unwrap_or_default());
            match self.shared.deps.store.recover(&self.shared.account, held.epoch, due).await {
                Ok(0) => {}
                Ok(recovered) => {
                    warn!(account = %self.shared.account, recovered, "calls of a former owner have no outcome");
                    self.wakes.insert(due);
                }
                Err(error) => {
                    warn!(account = %self.shared.account, %error, "the store does not recover");
                    return Err(Some(later(now, SOON)));
                }
            }
            self.was_down().await;
            self.epoch = Some(held.epoch);
        }
        Ok(held.epoch)
    }

    /// Takes over a new generation of settings.
    pub(super) fn take_over(&mut self, world: &Arc<World>, view: &View, now: Timestamp) {
        if self.world.as_ref().is_some_and(|known| Arc::ptr_eq(known, world)) {
            return;
        }
        lock(&self.shared.limiter).set(&view.manifest().limits, now);
        let delivery = view.delivery();
        lock(&self.shared.breaker).set(delivery.breaker_after, delivery.breaker_pause);
        lock(&self.shared.status).off = None;
        let wanted = poll::wanted(view);
        self.polls.retain(|name, _| wanted.contains_key(name));
        for (name, every) in wanted {
            self.polls.entry(name).or_default().every = every;
        }
        lock(&self.shared.status).polls.retain(|name, _| self.polls.contains_key(name));
        self.reconciles = reconcile::wanted(view)
            .into_iter()
            .map(|name| {
                let at = self.reconciles.get(&name).copied();
                (name, at.unwrap_or_else(|| later(now, reconcile::FIRST)))
            })
            .collect();
        self.world = Some(Arc::clone(world));
    }

    pub(super) async fn off(&mut self, why: &str) -> Option<Timestamp> {
        self.world = None;
        self.epoch = None;
        lock(&self.shared.status).off = Some(why.to_owned());
        self.shared.give_back().await;
        None
    }

    /// Whether an earlier process has left the account's exception open.
    async fn was_down(&mut self) {
        if lock(&self.shared.status).told.is_some() {
            return;
        }
        let query = ExceptionQuery {
            kind: Some("account_down".to_owned()),
            account: Some(self.shared.account.0.clone()),
            ..ExceptionQuery::default()
        };
        if let Ok(open) = self.shared.deps.store.exceptions(&query).await {
            let mut status = lock(&self.shared.status);
            status.told = Some(!open.is_empty());
            if let Some(first) = open.into_iter().next() {
                status.down.get_or_insert(first.message);
            }
        }
    }

    /// Tells people when the account goes down and when it is back.
    pub(super) async fn announce(&mut self) {
        let (down, told) = {
            let status = lock(&self.shared.status);
            (status.down.clone(), status.told)
        };
        if told == Some(down.is_some()) || (told.is_none() && down.is_none()) {
            return;
        }
        let account = &self.shared.account;
        let cause = format!("account:{account}");
        let (raise, resolve) = match &down {
            Some(message) => {
                let text = format!("{account} is out of order: {message}");
                let help = "its commands wait; it is tried again by itself. Look at its credentials and permissions, and at the partner's own status page";
                let exception = self.shared.exception("account_down", cause, text);
                (vec![Exception { help: Some(help.to_owned()), ..exception }], Vec::new())
            }
            None => (Vec::new(), vec![cause]),
        };
        if self.shared.announce(raise, resolve).await.is_ok() {
            lock(&self.shared.status).told = Some(down.is_some());
        }
    }
}

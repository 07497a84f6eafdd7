//! The lanes of a process: one for each enabled account of the generation in force. Another generation starts those that
//! are new, ends those that are gone (what they have in flight comes to its end first), and wakes the rest.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::info;

use super::lane::{Lane, Waker, run_lane};
use super::shared::{Deps, lock};
use crate::canonical::AccountId;

/// All lanes that run.
pub struct Lanes {
    deps: Deps,
    tasks: TaskTracker,
    stop: CancellationToken,
    running: Mutex<HashMap<AccountId, Runs>>,
}

/// A lane that runs.
struct Runs {
    waker: Waker,
    stop: CancellationToken,
}

impl Lanes {
    /// No lanes yet. They are spawned on `tasks` and end with `stop`.
    #[must_use]
    pub fn new(deps: Deps, tasks: TaskTracker, stop: CancellationToken) -> Self {
        Self { deps, tasks, stop, running: Mutex::default() }
    }

    /// Makes the lanes those of the generation in force.
    pub fn adjust(&self) {
        let world = self.deps.world.load_full();
        let wanted = |id: &AccountId| world.config.accounts.get(id).is_some_and(|account| account.enabled);
        let mut running = lock(&self.running);
        running.retain(|id, lane| {
            let stays = wanted(id);
            if !stays {
                info!(account = %id, "the account is gone or off: its lane ends");
                lane.stop.cancel();
            }
            stays
        });
        for id in world.config.accounts.keys().filter(|id| wanted(id)) {
            if let Some(lane) = running.get(id) {
                lane.waker.wake();
            } else {
                let lane = Lane::new(id.clone(), self.deps.clone());
                let stop = self.stop.child_token();
                running.insert(id.clone(), Runs { waker: lane.waker(), stop: stop.clone() });
                self.tasks.spawn(run_lane(lane, stop));
            }
        }
    }

    /// There is work for the account. Gives whether its lane here holds the account's lease; none without a lane.
    pub fn wake(&self, account: &AccountId) -> Option<bool> {
        let running = lock(&self.running);
        let lane = running.get(account)?;
        lane.waker.wake();
        Some(lane.waker.holds_lease())
    }
}

//! The lane of one account: takes the lease, starts what is due and may go, and settles what comes back.
//!
//! A lane is driven by [`Lane::step`]: one pass that does all that can be done now and tells when to look again. The
//! daemon's task ([`run_lane`]) and the simulator both call it. Calls run side by side inside the step, on the
//! caller's task; a job that breaks down takes no other with it.

mod reading;
mod ready;

use std::any::Any;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::future::{Either, FutureExt as _, select};
use futures::stream::{FuturesUnordered, StreamExt as _};
use jiff::Timestamp;
use tokio::sync::Notify;
use tracing::{info, warn};

use super::action::{action, operations};
use super::breaker::{Breaker, Gate};
use super::lease::Hold;
use super::limiter::{Limiter, Share, Wait};
use super::send::{Delivery, SOON, Stage};
use super::shared::{Deps, Shared, View, lock};
use super::status::{Status, count_wait};
use super::token::Tokens;
use crate::canonical::{AccountId, IntentId};
use crate::config::World;
use crate::connector::manifest::Once;
use crate::ingest::poll::Track;
use crate::ingest::reread;
use crate::ports::DueIntent;
use crate::retry::later;

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LaneStep {
    /// When to look again, if nothing hints before.
    pub next: Option<Timestamp>,
    /// Jobs that ran to their end: deliveries, pages of polls, re-reads.
    pub did: usize,
}

/// Intents looked at besides those that fit in the free places: they are started as others come to their end.
const AHEAD: usize = 64;
/// How often at most the store is asked for what is due, while there is work at hand.
const LOOK: Duration = Duration::from_millis(20);

type Job = Pin<Box<dyn Future<Output = Ended> + Send>>;

/// Which of two that take turns had it last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Deliveries; what is read again.
    First,
    /// What reads; what is listed.
    Second,
}

/// How a job ended.
struct Ended {
    work: Work,
    /// When to look at it again.
    next: Option<Timestamp>,
}

/// What a job was about.
enum Work {
    Delivery { intent: IntentId, entity: String },
    Poll { name: String, track: Track },
    Reread { key: String, failures: u32 },
    Reconcile { poll: String },
}

/// What is due and not started.
#[derive(Default)]
struct Ahead {
    /// As it was when the store told of it. What has become of it since then is found out when it is frozen.
    due: Vec<DueIntent>,
    /// When that was.
    looked: Option<Timestamp>,
    /// More may have become due since.
    news: bool,
}

/// The lane of one account.
pub struct Lane {
    shared: Arc<Shared>,
    jobs: FuturesUnordered<Job>,
    epoch: Option<i64>,
    world: Option<Arc<World>>,
    /// Intents and entities that a job works on.
    busy: HashSet<IntentId>,
    entities: HashSet<String>,
    /// Intents that are left alone for a moment.
    skip: HashMap<IntentId, Timestamp>,
    ahead: Ahead,
    polls: BTreeMap<String, Track>,
    /// Things to read again that are known of, and whether there may be more.
    asks: VecDeque<reread::Ask>,
    look: bool,
    /// Since when the first of them waits.
    asking: Option<Timestamp>,
    /// Re-reads that failed: when they go again, and how often they failed.
    rereads: BTreeMap<String, (Timestamp, u32)>,
    /// What was read last: what is read again and what is listed take turns.
    read: Turn,
    reconciles: BTreeMap<String, Timestamp>,
    /// A job that reads is running; at most one does.
    reading: bool,
    /// What was started last: deliveries and what reads take turns.
    turn: Turn,
    /// No new jobs.
    stopping: bool,
    /// When intents that this lane settled come due.
    wakes: std::collections::BTreeSet<Timestamp>,
}

impl Lane {
    /// A lane that does nothing yet.
    #[must_use]
    pub fn new(account: AccountId, deps: Deps) -> Self {
        let owner = format!("{}-{:016x}", deps.owner, deps.clock.random());
        let delivery = deps.world.load().config.delivery.clone();
        let shared = Shared {
            account,
            hold: Hold::new(owner),
            limiter: std::sync::Mutex::new(Limiter::default()),
            breaker: std::sync::Mutex::new(Breaker::new(delivery.breaker_after, delivery.breaker_pause)),
            status: std::sync::Mutex::new(Status::default()),
            tokens: Tokens::default(),
            unsettled: std::sync::Mutex::default(),
            sequence: AtomicU64::new(0),
            wake: Notify::new(),
            deps,
        };
        Self {
            shared: Arc::new(shared),
            jobs: FuturesUnordered::new(),
            epoch: None,
            world: None,
            busy: HashSet::new(),
            entities: HashSet::new(),
            skip: HashMap::new(),
            ahead: Ahead::default(),
            polls: BTreeMap::new(),
            asks: VecDeque::new(),
            look: true,
            asking: None,
            rereads: BTreeMap::new(),
            read: Turn::Second,
            reconciles: BTreeMap::new(),
            reading: false,
            turn: Turn::First,
            stopping: false,
            wakes: std::collections::BTreeSet::new(),
        }
    }

    /// Whose lane it is.
    #[must_use]
    pub fn account(&self) -> &AccountId {
        &self.shared.account
    }

    /// A handle that wakes the lane in the middle of a step: there is new work.
    #[must_use]
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.shared))
    }

    /// Does all that can be done now.
    pub async fn step(&mut self) -> LaneStep {
        let mut did = 0;
        let mut next;
        self.look = true;
        self.ahead.news = true;
        loop {
            next = self.fill().await;
            if self.jobs.is_empty() {
                break;
            }
            let shared = Arc::clone(&self.shared);
            let woken = std::pin::pin!(shared.wake.notified());
            match select(self.jobs.next(), woken).await {
                Either::Left((Some(ended), _)) => {
                    self.ended(ended);
                    did += 1;
                    // Those that came to their end together are followed by one look at the store.
                    while let Some(Some(ended)) = self.jobs.next().now_or_never() {
                        self.ended(ended);
                        did += 1;
                    }
                }
                Either::Left((None, _)) => {}
                Either::Right(_) => {
                    self.look = true;
                    self.ahead.news = true;
                }
            }
        }
        let now = self.shared.now();
        self.wakes.retain(|at| *at > now);
        let due = self.wakes.first().copied();
        lock(&self.shared.status).busy = 0;
        let report = self.shared.report().await;
        LaneStep { next: earliest(earliest(next, due), report), did }
    }

    /// Takes no new work: what runs is ended by the next [`Lane::step`].
    pub fn stop(&mut self) {
        self.stopping = true;
    }

    /// Gives the lease back. Call it after the last step.
    pub async fn close(&mut self) {
        self.shared.settle_again().await;
        self.shared.give_back().await;
        lock(&self.shared.status).off = Some("stopped".to_owned());
        let _written = self.shared.report().await;
    }

    // ------------------------------------------------------------------------------------------------------- starting

    /// Starts what may be started; tells when there will be more.
    async fn fill(&mut self) -> Option<Timestamp> {
        let now = self.shared.now();
        let soon = Some(later(now, SOON));
        if !self.shared.settle_again().await {
            return soon;
        }
        if self.stopping {
            return None;
        }
        let world = self.shared.deps.world.load_full();
        let Some(view) = View::of(&world, &self.shared.account) else {
            return self.off("the account is off, or its connector is not loaded").await;
        };
        let epoch = match self.epoch(&view).await {
            Ok(epoch) => epoch,
            Err(next) => return next,
        };
        self.take_over(&world, &view, now);
        self.announce().await;

        let mut places = view.in_flight().saturating_sub(self.jobs.len());
        match lock(&self.shared.breaker).gate(now) {
            Gate::Open => {}
            Gate::Shut(until) => return Some(until),
            Gate::Probe if self.jobs.is_empty() => places = 1,
            Gate::Probe => return soon,
        }
        let probe = lock(&self.shared.breaker).paused().is_some();
        let before = self.jobs.len();
        let mut next = None;
        // Whoever came last goes second, so that neither starves where there is one place.
        let reads_first = self.turn == Turn::First;
        for reads in [reads_first, !reads_first] {
            if places == 0 {
                break;
            }
            let wait = if reads {
                self.start_reading(&view, epoch, &mut places, now).await
            } else {
                self.start_deliveries(&view, epoch, &mut places, now).await
            };
            next = earliest(next, wait);
        }
        if probe && self.jobs.len() > before {
            lock(&self.shared.breaker).probe();
        }
        lock(&self.shared.status).busy = self.jobs.len();
        next
    }

    // ----------------------------------------------------------------------------------------------------- deliveries

    async fn start_deliveries(
        &mut self,
        view: &View,
        epoch: i64,
        places: &mut usize,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.skip.retain(|_, until| *until > now);
        let within = |pause| self.ahead.looked.is_some_and(|at| now < later(at, pause));
        let recent = within(LOOK) && !self.jobs.is_empty();
        if self.ahead.due.is_empty() || (self.ahead.news && !recent) || !within(SOON) {
            let limit = *places + self.busy.len() + self.skip.len() + AHEAD;
            let due = match self.shared.deps.store.due(&self.shared.account, now, limit).await {
                Ok(due) => due,
                Err(error) => {
                    warn!(account = %self.shared.account, %error, "the store does not tell what is due");
                    return Some(later(now, SOON));
                }
            };
            self.ahead = Ahead { due, looked: Some(now), news: false };
        }
        lock(&self.shared.status).waiting = u64::try_from(self.ahead.due.len()).unwrap_or(u64::MAX);
        let mut next = self.skip.values().min().copied();
        let mut limited: Option<Wait> = None;
        let mut left = Vec::new();
        for due in std::mem::take(&mut self.ahead.due) {
            if self.busy.contains(&due.intent.id) || self.skip.contains_key(&due.intent.id) {
                continue;
            }
            if *places == 0 || self.entities.contains(due.intent.entity.as_str()) {
                left.push(due);
                continue;
            }
            match self.start_delivery(view, epoch, &due, now) {
                Ok(()) => *places -= 1,
                Err(wait) => {
                    next = earliest(next, Some(wait.until));
                    limited.get_or_insert(wait);
                    left.push(due);
                }
            }
        }
        self.ahead.due = left;
        if let Some(wait) = &limited {
            let pause = Duration::try_from(wait.until.duration_since(now)).unwrap_or_default();
            count_wait(self.shared.account.as_str(), &wait.limit, pause);
        }
        lock(&self.shared.status).limited = limited.map(|wait| (wait.limit, wait.until));
        next
    }

    fn start_delivery(
        &mut self,
        view: &View,
        epoch: i64,
        due: &DueIntent,
        now: Timestamp,
    ) -> Result<(), Wait> {
        let deps = &self.shared.deps;
        let command = view.manifest().commands.get(&due.intent.command);
        let timeout = view.delivery().attempt_timeout;
        let once = command.map_or(&Once::Never, |command| &command.once);
        let action = action(due, once, now, deps.started, deps.careful, timeout);
        let names = command.map(|command| operations(action, command)).unwrap_or_default();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let taken = lock(&self.shared.limiter).take(&names, Share::from(due.intent.class), now)?;
        let (intent, entity) = (due.intent.id, due.intent.entity.0.clone());
        self.busy.insert(intent);
        self.entities.insert(entity.clone());
        self.turn = Turn::First;
        let stage = Arc::new(Stage::default());
        let delivery = Delivery {
            shared: Arc::clone(&self.shared),
            view: view.clone(),
            due: due.clone(),
            action,
            taken,
            epoch,
            stage: Arc::clone(&stage),
        };
        let (shared, due) = (Arc::clone(&self.shared), due.clone());
        self.jobs.push(Box::pin(async move {
            let next = match AssertUnwindSafe(delivery.run()).catch_unwind().await {
                Ok(next) => next,
                Err(panic) => super::settle::broken_down(&shared, &due, epoch, &stage, &words(&*panic)).await,
            };
            Ended { work: Work::Delivery { intent, entity }, next }
        }));
        Ok(())
    }

    fn ended(&mut self, ended: Ended) {
        let Ended { work, next } = ended;
        match work {
            Work::Delivery { intent, entity } => {
                self.busy.remove(&intent);
                self.entities.remove(&entity);
                if let Some(next) = next {
                    self.wakes.insert(next);
                    // The store knows when it is due; this only keeps a lost race from being run again at once.
                    self.skip.insert(intent, next.min(later(self.shared.now(), SOON)));
                }
            }
            Work::Poll { name, track } => {
                self.reading = false;
                lock(&self.shared.status).polls.insert(name.clone(), track.state(&name));
                if let Some(known) = self.polls.get_mut(&name) {
                    let every = known.every;
                    *known = track;
                    known.every = every;
                }
            }
            Work::Reread { key, failures } => {
                self.reading = false;
                self.look = true;
                match next {
                    Some(next) => {
                        self.rereads.insert(key, (next, failures));
                    }
                    None => {
                        self.rereads.remove(&key);
                    }
                }
            }
            Work::Reconcile { poll } => {
                self.reading = false;
                if let (Some(known), Some(next)) = (self.reconciles.get_mut(&poll), next) {
                    *known = next;
                }
            }
        }
        // A probe that was never sent leaves the gate as it was.
        lock(&self.shared.breaker).no_probe();
    }
}

/// Wakes a lane in the middle of a step.
#[derive(Clone)]
pub struct Waker(Arc<Shared>);

impl Waker {
    /// There is new work.
    pub fn wake(&self) {
        self.0.wake.notify_one();
    }

    /// Whether the account's lease is this lane's, as far as it knows.
    pub fn holds_lease(&self) -> bool {
        self.0.holds_lease()
    }
}

/// Drives `lane` until `stop` fires: sleeps until there is something to do or its [`Waker`] is used. Ends what is in
/// flight and gives the lease back.
pub async fn run_lane(mut lane: Lane, stop: tokio_util::sync::CancellationToken) {
    let account = lane.account().clone();
    let shared = Arc::clone(&lane.shared);
    info!(%account, "the lane starts");
    loop {
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            done = lane.step() => done,
        };
        let now = shared.now();
        let pause = done.next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default());
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = shared.wake.notified() => {}
            () = tokio::time::sleep(pause.unwrap_or(IDLE).min(IDLE)) => {}
        }
    }
    lane.stop();
    lane.step().await;
    lane.close().await;
    info!(%account, "the lane has stopped");
}

/// A lane looks at least this often, whatever it expects: hints may be lost.
const IDLE: Duration = Duration::from_secs(30);

fn earliest(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no words".to_owned())
}

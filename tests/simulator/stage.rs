//! The whole of Crossdock in one process on virtual time: the real stages, the real SQLite store on a disk that can lose
//! power, and the simulated partners, who survive every crash and judge at the end.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use crossdock::canonical::{AccountId, MessageId};
use crossdock::config::world::World as Generation;
use crossdock::deliver::{Deps, Lane};
use crossdock::ingest::backlog::Backlog;
use crossdock::ingest::webhook::Intake;
use crossdock::io::bus::embedded::EmbeddedBus;
use crossdock::outbox;
use crossdock::ports::{
    Bus, Clock, ExceptionQuery, Hint, Http, HttpError, HttpRequest, HttpResponse, INBOUND_SHARDS, Store,
};
use crossdock::process::Worker;
use crossdock::sandbox::{Delivery, Reply, World};
use jiff::{SignedDuration, Timestamp};

use crate::clock::SimClock;
use crate::crash::{Fuse, Fused};
use crate::depot::Depot;
use crate::disk::Disk;

/// The partners behind [`Http`], without a network between.
pub struct Wire {
    /// The partners.
    pub partners: Arc<Mutex<World>>,
    /// A second warehouse.
    pub depot: Arc<Mutex<Depot>>,
    /// Their time and ours.
    pub clock: Arc<SimClock>,
}

#[async_trait]
impl Http for Wire {
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpError> {
        let path = request.url.strip_prefix("http://sandbox/").unwrap_or_default();
        let partner = path.split('/').next().unwrap_or_default().to_owned();
        self.clock.pass(Duration::from_millis(15));
        if partner == "depot" {
            let answer = self.depot.lock().unwrap().handle(&request, self.clock.now());
            let cut = self.clock.random().is_multiple_of(4);
            return if cut {
                Err(HttpError::NoAnswer("the connection was cut".to_owned()))
            } else {
                Ok(answer)
            };
        }
        let mut reply = self.partners.lock().unwrap().handle(&partner, &request, self.clock.now());
        let mut waited = Duration::ZERO;
        loop {
            match reply {
                Reply::Answer(answer) => return Ok(answer),
                Reply::CutBefore | Reply::CutAfter => {
                    return Err(HttpError::NoAnswer("the connection was cut".to_owned()));
                }
                Reply::Delay(pause, then) => {
                    let pause = pause.min(timeout.saturating_sub(waited));
                    waited += pause;
                    self.clock.pass(pause);
                    if waited >= timeout {
                        return Err(HttpError::NoAnswer("the time is up".to_owned()));
                    }
                    reply = *then;
                }
            }
        }
    }
}

/// Drops and doubles hints by chance.
struct Unreliable {
    bus: Arc<EmbeddedBus>,
    clock: Arc<SimClock>,
    /// Of 256 hints, so many are dropped, and as many doubled.
    drop: u64,
    lost: Arc<AtomicU64>,
}

#[async_trait]
impl Bus for Unreliable {
    async fn hint(&self, hint: Hint) {
        let chance = self.clock.random() & 0xff;
        if chance < self.drop {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.bus.hint(hint.clone()).await;
        if chance > 0xff - self.drop {
            self.lost.fetch_add(1, Ordering::Relaxed);
            self.bus.hint(hint).await;
        }
    }
    async fn command(&self, command: &crossdock::ports::Command) -> Result<(), crossdock::ports::BusError> {
        self.bus.command(command).await
    }
    async fn received(&self) -> Option<crossdock::ports::Received> {
        self.bus.received().await
    }
    async fn listen(&self) -> futures::stream::BoxStream<'static, crossdock::ports::Event> {
        self.bus.listen().await
    }
    async fn next(&self) -> Option<Hint> {
        self.bus.next().await
    }
    async fn publish(&self, event: &crossdock::ports::Event) -> Result<(), crossdock::ports::BusError> {
        self.bus.publish(event).await
    }
    async fn close(&self) {
        self.bus.close().await;
    }
}

/// One life of the daemon, from start to crash.
struct Life {
    fuse: Arc<Fuse>,
    store: Arc<dyn Store>,
    hints: Arc<EmbeddedBus>,
    bus: Arc<dyn Bus>,
    worker: Worker,
    intake: Intake,
    lanes: Vec<(Lane, Option<Timestamp>)>,
    swept: Timestamp,
}

/// When lives end, and how.
#[derive(Debug, Clone, Copy)]
pub struct Crash {
    /// At this moment of the life (before or after a call of a port).
    pub at: i64,
    /// Unsynced writes are lost too.
    pub power: bool,
}

/// The stage.
pub struct Stage {
    /// The partners.
    pub partners: Arc<Mutex<World>>,
    /// A second warehouse, where the config has one.
    pub depot: Arc<Mutex<Depot>>,
    /// Time.
    pub clock: Arc<SimClock>,
    generation: Arc<ArcSwap<Generation>>,
    disk: Disk,
    life: Option<Life>,
    crashes: Vec<Crash>,
    drop_hints: u64,
    /// How many crashes there were, and how many of them were power losses.
    pub crashed: u64,
    /// See there.
    pub powerless: u64,
    /// Hints that were dropped or doubled.
    pub hints_lost: Arc<AtomicU64>,
    /// Whether lanes deliver; without, what is intended rests.
    pub deliver: bool,
    /// Whether the daemon looks up everything before it creates it, as after a restore from backup.
    pub careful: bool,
    /// The process works on its store alone, and what follows for stock belongs to the unit from which it follows.
    pub alone: bool,
    /// The webhooks that were delivered so far.
    pub heard: Vec<Delivery>,
}

impl Stage {
    /// A stage whose daemon dies by `crashes`, the last life living on.
    pub fn new(
        generation: Generation,
        partners: World,
        seed: u64,
        mut crashes: Vec<Crash>,
        drop_hints: u64,
    ) -> Self {
        crashes.reverse();
        let clock = Arc::new(SimClock::new(seed));
        Self {
            partners: Arc::new(Mutex::new(partners)),
            depot: Arc::default(),
            clock,
            generation: Arc::new(ArcSwap::from_pointee(generation)),
            disk: Disk::new(),
            life: None,
            crashes,
            drop_hints,
            crashed: 0,
            powerless: 0,
            hints_lost: Arc::default(),
            deliver: true,
            careful: false,
            alone: seed.is_multiple_of(2),
            heard: Vec::new(),
        }
    }

    /// The store of the life that is, for looking at.
    pub fn store(&self) -> Arc<dyn Store> {
        // Looked at from outside, past the fuse.
        self.disk.reader()
    }

    fn begin(&mut self) {
        let fuse = Fuse::new(self.crashes.last().map_or(-1, |crash| crash.at));
        let store: Arc<dyn Store> = Arc::new(Fused { fuse: fuse.clone(), port: self.disk.open() });
        let hints = Arc::new(EmbeddedBus::new());
        let unreliable: Arc<dyn Bus> = Arc::new(Unreliable {
            bus: hints.clone(),
            clock: self.clock.clone(),
            drop: self.drop_hints,
            lost: self.hints_lost.clone(),
        });
        let bus: Arc<dyn Bus> = Arc::new(Fused { fuse: fuse.clone(), port: unreliable });
        let wire: Arc<dyn Http> = Arc::new(Wire {
            partners: self.partners.clone(),
            depot: self.depot.clone(),
            clock: self.clock.clone(),
        });
        let http: Arc<dyn Http> = Arc::new(Fused { fuse: fuse.clone(), port: wire });
        let clock: Arc<dyn Clock> = self.clock.clone();
        let backlog = Arc::new(Backlog::default());
        let worker = Worker {
            store: store.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            world: self.generation.clone(),
            backlog: backlog.clone(),
            stocks: self.alone.then(Arc::default),
        };
        let intake = Intake {
            store: store.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            world: self.generation.clone(),
            backlog,
        };
        let accounts: Vec<AccountId> = self.generation.load().config.accounts.keys().cloned().collect();
        let lanes = accounts
            .into_iter()
            .map(|account| {
                let deps = Deps {
                    store: store.clone(),
                    bus: bus.clone(),
                    http: http.clone(),
                    clock: clock.clone(),
                    world: self.generation.clone(),
                    owner: format!("life-{}", self.crashed),
                    seal: None,
                    started: self.clock.now(),
                    careful: self.careful,
                };
                (Lane::new(account, deps), Some(self.clock.now()))
            })
            .collect();
        let swept = Timestamp::UNIX_EPOCH;
        self.life = Some(Life { fuse, store, hints, bus, worker, intake, lanes, swept });
    }

    /// Lives until `until` says so, at most `time`. True when it said so.
    pub fn run(&mut self, time: Duration, until: &mut dyn FnMut(&Self) -> bool) -> bool {
        let end = self.clock.now() + time;
        loop {
            if self.life.is_none() {
                self.begin();
            }
            let Some(mut life) = self.life.take() else { return false };
            let fuse = life.fuse.clone();
            let round =
                round(&mut life, (&self.partners, &self.depot), &self.clock, self.deliver, &mut self.heard);
            let outcome = poll_to_end(round, &fuse);
            let Some(next) = outcome else {
                let crash = self.crashes.pop().unwrap_or(Crash { at: 0, power: false });
                // What the dead process still held in memory is gone; what it had not synced may be.
                self.disk.crash(crash.power, self.clock.random());
                drop(life);
                self.crashed += 1;
                self.powerless += u64::from(crash.power);
                self.clock.pass(Duration::from_millis(1 + (self.clock.random() & 0x7ff)));
                continue;
            };
            self.life = Some(life);
            if until(self) {
                return true;
            }
            if self.clock.now() >= end {
                return false;
            }
            self.clock.reach(next.max(self.clock.now() + Duration::from_millis(1)).min(end));
        }
    }

    /// No more faults: runs until nothing is wrong by the books, for so long. Whether it came to that.
    pub fn rest(&mut self, time: Duration, wrong: impl Fn(&Self) -> Vec<String>) -> bool {
        self.partners.lock().unwrap().set_faulty(false);
        let mut look = Timestamp::MIN;
        self.run(time, &mut |stage| {
            // The books are long: they are looked into every ten seconds.
            let now = stage.clock.now();
            if now < look {
                return false;
            }
            look = now + Duration::from_secs(10);
            wrong(stage).is_empty()
        })
    }

    /// Another generation comes into force between two rounds: what waits is looked at again, and the messages `again`
    /// are mapped anew.
    pub fn reload(&mut self, generation: Generation, again: &[MessageId]) {
        self.generation.store(Arc::new(generation));
        let Some(life) = &self.life else { return };
        let now = self.clock.now();
        let work = async {
            let query = ExceptionQuery { limit: Some(1000), ..ExceptionQuery::default() };
            let open = life.store.exceptions(&query).await?;
            let open: Vec<i64> = open.iter().filter(|one| one.intent.is_none()).map(|one| one.id).collect();
            let mut hints = life.store.retry_exceptions(&open, now).await?;
            hints.extend(life.store.reopen(again).await?);
            for hint in hints {
                life.bus.hint(hint).await;
            }
            Ok::<(), crossdock::ports::StoreError>(())
        };
        // A crash in the middle is dealt with by the next round; what was not put back is for the next reload.
        let _ = poll_to_end(work, &life.fuse);
    }

    /// Hands a webhook to the daemon; gives the status of the answer.
    pub fn hand(&mut self, hook: &Delivery) -> u16 {
        if self.life.is_none() {
            self.begin();
        }
        let life = self.life.as_ref().unwrap();
        let taken = life.intake.accept(account_of(&hook.partner), &hook.headers, hook.body.clone());
        poll_to_end(taken, &life.fuse).map_or(0, |answer| answer.status)
    }
}

/// Polls a future that never waits for anything but the end of this life. `None`: the fuse burnt.
fn poll_to_end<T>(future: impl Future<Output = T>, fuse: &Fuse) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..1_000_000 {
        if let std::task::Poll::Ready(value) = future.as_mut().poll(&mut context) {
            return Some(value);
        }
        if fuse.burnt() {
            return None;
        }
    }
    panic!("a stage waits for something that never comes");
}

/// How often the sweeper looks.
const SWEEP: SignedDuration = SignedDuration::from_secs(20);

/// Does all that can be done now, and tells when there is more.
async fn round(
    life: &mut Life,
    (partners, depot): (&Mutex<World>, &Mutex<Depot>),
    clock: &SimClock,
    deliver: bool,
    heard: &mut Vec<Delivery>,
) -> Timestamp {
    loop {
        let mut did = 0;
        let due = partners.lock().unwrap().due_webhooks(clock.now());
        for hook in due {
            let account = account_of(&hook.partner);
            let answer = life.intake.accept(account, &hook.headers, hook.body.clone()).await;
            partners.lock().unwrap().delivered(hook.id, Some(answer.status), clock.now());
            heard.push(hook);
            did += 1;
        }
        let parcels = depot.lock().unwrap().due(clock.now());
        for parcel in parcels {
            let answer = life.intake.accept("west", &parcel.headers, parcel.body.clone()).await;
            depot.lock().unwrap().delivered(&parcel, answer.status, clock.now());
            did += 1;
        }
        let now = clock.now();
        if now >= life.swept + SWEEP {
            life.swept = now;
            if let Ok(hints) = life.store.sweep(now, 1000).await {
                for hint in hints {
                    life.hints.hint(hint).await;
                }
            }
            let _ = outbox::relay(life.store.as_ref(), life.bus.as_ref(), 1000).await;
        }
        let mut shards = BTreeSet::new();
        while let Some(hint) = life.hints.try_next() {
            match hint {
                Hint::Inbound { shard } => {
                    shards.insert(shard % INBOUND_SHARDS);
                }
                Hint::Outbound { account } | Hint::Everyone { account } => {
                    for (lane, next) in &mut life.lanes {
                        if *lane.account() == account {
                            *next = Some(now);
                        }
                    }
                }
            }
        }
        for shard in shards {
            while life.worker.step(shard).await.is_ok_and(|settled| settled > 0) {
                did += 1;
            }
        }
        if deliver {
            for (lane, next) in &mut life.lanes {
                if next.is_some_and(|at| at <= clock.now()) {
                    let step = lane.step().await;
                    *next = step.next;
                    did += step.did;
                }
            }
        }
        if did == 0 {
            break;
        }
    }
    let mut next = life.swept + SWEEP;
    if deliver {
        for at in life.lanes.iter().filter_map(|(_, next)| *next) {
            next = next.min(at);
        }
    }
    let told = [partners.lock().unwrap().next_due(), depot.lock().unwrap().next_due()];
    told.into_iter().flatten().fold(next, Timestamp::min)
}

/// Which account a partner's webhooks go to.
pub fn account_of(partner: &str) -> &'static str {
    match partner {
        "shopify" => "shop",
        "shiphero" => "east",
        "easypost" => "parcels",
        _ => "pay",
    }
}

//! Builds, starts and stops the daemon: the only place that names concrete edges.
//!
//! [`Prepared`] is checked and holds nothing open; [`Prepared::start`] gives [`Running`]; [`Running::stop`] stops intake,
//! drains with a deadline and closes. After `kill -9` nothing has to be put right: all that was promised is in the
//! store, and whatever was in flight is treated as unknown when its account's lease is taken again.

pub mod bus;
mod nodes;
pub mod storage;
mod sweep;

use std::collections::BTreeMap;
use std::fs::File;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Sources;
use crate::config::world::World;
use crate::deliver::{self, Lanes};
use crate::generation::files::Loaded;
use crate::generation::{self, Generations};
use crate::ingest::backlog::Backlog;
use crate::ingest::webhook::Intake;
use crate::io::clock::SystemClock;
use crate::io::http::ReqwestHttp;
use crate::ports::{Bus, Clock, Hint, Http, INBOUND_SHARDS, NodeState, Store};
use crate::process::{BATCH, Worker};
use crate::{telemetry, web};
use nodes::Heard;
use storage::Opened;

/// Why the daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database.
    #[error("the store {path} cannot be opened: {error}")]
    Store {
        /// Where it is.
        path: String,
        /// Why.
        error: String,
    },
    /// The database, when it is no file.
    #[error("the database: {0}")]
    Database(String),
    /// Another node of the same database has another key.
    #[error("{path} is not the key that the other nodes have: copy theirs here")]
    OtherKey {
        /// Where the key is.
        path: String,
    },
    /// The address.
    #[error("cannot listen on {address}: {error}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The address, without a token.
    #[error(
        "{0} can be reached from other machines, and `[server]` has no `token`: add one, or listen on 127.0.0.1"
    )]
    Open(SocketAddr),
    /// Another daemon works on the same store.
    #[error("another crossdock runs on the store {path}")]
    InUse {
        /// Where it is.
        path: String,
    },
    /// The key file.
    #[error("the key file {path} cannot be read or written: {error}")]
    Key {
        /// Where it is.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The bus.
    #[error("the bus cannot be used: {0}")]
    Bus(String),
    /// The HTTP client.
    #[error("the HTTP client cannot be built: {0}")]
    Http(String),
}

/// A checked config, ready to start.
#[derive(Debug)]
pub struct Prepared {
    /// What will be in force.
    pub world: World,
    /// What it was made of.
    pub sources: Sources,
    /// The config file; it and the files beside it are watched.
    pub config: PathBuf,
    /// Where to listen instead of `server.listen`.
    pub listen: Option<SocketAddr>,
}

/// A daemon that runs.
pub struct Running {
    /// Where it listens: with port 0 in the config, the port that it was given.
    pub address: SocketAddr,
    /// Its store, for those who run it inside their own process.
    pub store: Arc<dyn Store>,
    /// The generation in force, and the way to another.
    pub generations: Arc<Generations>,
    leaving: CancellationToken,
    intake: CancellationToken,
    work: CancellationToken,
    servers: TaskTracker,
    tasks: TaskTracker,
    bus: Arc<dyn Bus>,
    announce: Duration,
    drain: Duration,
    /// Held as long as the daemon runs.
    _lock: Option<File>,
}

impl Prepared {
    /// What was loaded, if it is fit to run with.
    #[must_use]
    pub fn of(loaded: Loaded) -> Option<Self> {
        Some(Self { world: loaded.world?, sources: loaded.sources, config: loaded.config, listen: None })
    }

    /// Opens the store, starts all stages and listens.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running then.
    #[expect(clippy::too_many_lines, reason = "the parts, one after the other")]
    pub async fn start(self) -> Result<Running, StartError> {
        let config = self.world.config.clone();
        let listen = self.listen.unwrap_or(config.server.listen);
        if !listen.ip().is_loopback() && config.server.token.is_none() {
            return Err(StartError::Open(listen));
        }
        let Opened { store, key, lock } = storage::open(&config.store, config.intake.queue).await?;
        let seal = deliver::Seal::new(&key).map(Arc::new);
        let bus = bus::build(&config)?;
        let http: Arc<dyn Http> =
            Arc::new(ReqwestHttp::new().map_err(|error| StartError::Http(error.to_string()))?);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let listener =
            TcpListener::bind(listen).await.map_err(|error| StartError::Listen { address: listen, error })?;
        let address = listener.local_addr().map_err(|error| StartError::Listen { address: listen, error })?;

        let metrics = telemetry::metrics();
        let world = Arc::new(ArcSwap::from_pointee(self.world));
        let backlog = Arc::new(Backlog::default());
        let (leaving, intake, work) =
            (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
        let (servers, tasks) = (TaskTracker::new(), TaskTracker::new());
        let generations =
            Generations::new(store.clone(), clock.clone(), world.clone(), self.config, self.sources);
        let generations = Arc::new(generations);
        if let Err(error) = generations.begin().await {
            tracing::warn!(%error, "the generation could not be noted in the history");
        }

        let worker = Worker {
            store: store.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            world: world.clone(),
            backlog: backlog.clone(),
            stocks: Some(Arc::default()),
        };
        let deps = deliver::Deps {
            store: store.clone(),
            http,
            bus: bus.clone(),
            clock: clock.clone(),
            world: world.clone(),
            owner: format!("{}-{:08x}", std::process::id(), clock.random() & 0xffff_ffff),
            seal,
            started: clock.now(),
            careful: false,
        };
        let node = NodeState {
            address: address.to_string(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            generation: config.generation.clone(),
            started: deps.started,
            seen: deps.started,
            heard: BTreeMap::new(),
        };
        let heard = Arc::new(Heard::default());
        let in_force = {
            let world = world.clone();
            move || world.load().config.generation.clone()
        };
        let beat = nodes::beat(
            store.clone(),
            clock.clone(),
            deps.owner.clone(),
            node,
            in_force,
            heard.clone(),
            work.clone(),
        );
        tasks.spawn(beat);
        spawn_stages(&tasks, &work, worker, deps, &generations, heard);

        let door = Intake {
            store: store.clone(),
            bus: bus.clone(),
            clock: clock.clone(),
            world: world.clone(),
            backlog,
        };
        tasks.spawn({
            let (door, stop) = (door.clone(), intake.clone());
            async move { door.take_from_bus(stop).await }
        });
        let hooks = web::hooks::routes(door, config.server.max_body);
        let router = web::router(web::WebState {
            store: store.clone(),
            bus: bus.clone(),
            world,
            generations: Some(generations.clone()),
            clock,
            metrics: Some(metrics),
            hooks,
            leaving: leaving.clone(),
            shutdown: intake.clone(),
        });
        let closing = intake.clone();
        servers.spawn(async move {
            let serving = axum::serve(listener, router.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(async move { closing.cancelled().await });
            if let Err(error) = serving.await {
                tracing::error!(%error, "the HTTP server ended");
            }
        });
        servers.close();
        tasks.close();
        tracing::info!(%address, generation = config.generation, "crossdock is up");
        Ok(Running {
            address,
            store,
            generations,
            leaving,
            intake,
            work,
            servers,
            tasks,
            bus,
            announce: config.server.announce,
            drain: config.server.drain,
            _lock: lock,
        })
    }
}

impl Running {
    /// Says that it is not ready any more, for as long as configured; then stops intake, lets what is under way come to
    /// an end within the configured time, and closes the store.
    pub async fn stop(self) {
        self.leaving.cancel();
        if !self.announce.is_zero() {
            tracing::info!(seconds = self.announce.as_secs_f64(), "stopping: not ready any more");
            tokio::time::sleep(self.announce).await;
        }
        tracing::info!("stopping: no more intake");
        self.intake.cancel();
        let half = self.drain / 2;
        if tokio::time::timeout(half, self.servers.wait()).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        self.work.cancel();
        self.bus.close().await;
        if tokio::time::timeout(half, self.tasks.wait()).await.is_err() {
            tracing::warn!(
                "some calls did not end in time; their outcome will be looked up at the next start"
            );
        }
        if let Err(error) = self.store.close().await {
            tracing::error!(%error, "the store did not close cleanly");
        }
        tracing::info!("stopped");
    }
}

/// Starts a task for each shard, the lanes, one that hands them hints, the sweeper, and what follows changed files.
fn spawn_stages(
    tasks: &TaskTracker,
    stop: &CancellationToken,
    worker: Worker,
    deps: deliver::Deps,
    generations: &Arc<Generations>,
    heard: Arc<Heard>,
) {
    let mut shards = Vec::new();
    for shard in 0..INBOUND_SHARDS {
        let bell = Arc::new(Notify::new());
        tasks.spawn(work_on(worker.clone(), shard, bell.clone(), stop.clone()));
        shards.push(bell);
    }
    let lanes = Arc::new(Lanes::new(deps, tasks.clone(), stop.clone()));
    lanes.adjust();
    tasks.spawn(follow(generations.clone(), lanes.clone(), stop.clone()));
    tasks.spawn(generation::watch::run(generations.clone(), stop.clone()));
    tasks.spawn(generation::follow::run(generations.clone(), stop.clone()));
    tasks.spawn(generation::release::run(generations.clone(), worker.bus.clone(), stop.clone()));
    let bells = shards.clone();
    tasks.spawn(ring(worker.bus.clone(), worker.clock.clone(), heard, shards, lanes));
    tasks.spawn(sweep::run(worker, bells, stop.clone()));
}

/// Has the lanes follow the generation in force.
async fn follow(generations: Arc<Generations>, lanes: Arc<Lanes>, stop: CancellationToken) {
    let mut told = generations.told();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            changed = told.changed() => if changed.is_err() { return },
        }
        lanes.adjust();
    }
}

/// Hands hints to the tasks that they concern.
async fn ring(
    bus: Arc<dyn Bus>,
    clock: Arc<dyn Clock>,
    heard: Arc<Heard>,
    shards: Vec<Arc<Notify>>,
    lanes: Arc<Lanes>,
) {
    while let Some(hint) = bus.next().await {
        match hint {
            Hint::Inbound { shard } => {
                heard.note(shard, clock.now());
                if let Some(bell) = shards.get(usize::from(shard)) {
                    bell.notify_one();
                }
            }
            Hint::Outbound { account } => {
                if lanes.wake(&account) == Some(false) {
                    bus.hint(Hint::Everyone { account }).await;
                }
            }
            Hint::Everyone { account } => {
                lanes.wake(&account);
            }
        }
    }
}

/// Works on one shard whenever its bell rings. A fault in one step is logged and does not end the task.
///
/// Where much waits, the rest is hinted again: this may have begun while the broker was not there, and the rest belongs to the
/// node that gets the shard's hints. Two nodes on one shard do the same work, one of them in vain.
async fn work_on(worker: Worker, shard: u16, bell: Arc<Notify>, stop: CancellationToken) {
    loop {
        let task = tokio::spawn({
            let worker = worker.clone();
            async move { worker.step(shard).await }
        });
        let pause = match task.await {
            Ok(Ok(0)) => None,
            Ok(Ok(BATCH..)) => {
                worker.bus.hint(Hint::Inbound { shard }).await;
                None
            }
            Ok(Ok(_)) => Some(Duration::ZERO),
            Ok(Err(error)) => {
                tracing::error!(shard, %error, "messages wait for the store");
                Some(Duration::from_millis(500))
            }
            Err(error) => {
                tracing::error!(shard, %error, "a fault in the working stage; its messages stay pending");
                Some(Duration::from_secs(5))
            }
        };
        if stop.is_cancelled() {
            return;
        }
        match pause {
            Some(Duration::ZERO) => {}
            Some(pause) => tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            },
            None => tokio::select! {
                () = stop.cancelled() => return,
                () = bell.notified() => {}
            },
        }
    }
}

/// The way out to partners, for those who need nothing else of the daemon.
///
/// # Errors
/// When TLS cannot be set up.
pub fn http() -> Result<Arc<dyn Http>, crate::ports::HttpError> {
    Ok(Arc::new(ReqwestHttp::new()?))
}

/// The machine's clock.
#[must_use]
pub fn clock() -> Arc<dyn Clock> {
    Arc::new(SystemClock)
}

#[cfg(test)]
mod tests;

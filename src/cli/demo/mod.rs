//! `crossdock demo`: the daemon and simulated partners on this machine, orders of all kinds, and a check of both sides.

pub mod config;
pub mod nodes;
pub mod script;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::folder::Folder;
use super::{Done, Failure, Globals, block_on, complain, files, say};
use crate::app::{self, Prepared, Running};
use crate::canonical::{IntentState, Phase};
use crate::ports::{Counts, ExceptionQuery, Store, StoreError};
use crate::sandbox::{Expect, Ledger, Server, Settings, World};
use crate::telemetry;
use nodes::Nodes;
use script::{Scene, Then};

/// Start daemon and simulated partners, place orders of all kinds, and check both sides at the end.
#[derive(Debug, Args)]
pub struct Demo {
    /// How many orders to place.
    #[arg(long, default_value_t = 30, value_name = "N")]
    orders: usize,
    /// Let the partners fail: time-outs after the work was done, bursts of 5xx, rate limits, webhooks late, twice, out of
    /// order and lost.
    #[arg(long)]
    faults: bool,
    /// The same seed gives the same faults.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep daemon and console up after the table, until Ctrl-C.
    #[arg(long)]
    stay: bool,
    /// Keep config and database in this folder; a temporary one by default.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Keep the store in this PostgreSQL database, which must be empty: `postgres://user:password@host:5432/database`.
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Run on this RabbitMQ: `amqp://user:password@host:5672/vhost`.
    #[arg(long, value_name = "URL")]
    bus: Option<String>,
    /// Run so many nodes, each in a process of its own, behind one address; more than one needs --store and --bus.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=16))]
    nodes: u8,
    /// Kill so many of the nodes with SIGKILL in the middle of it, one after the other, and start them again.
    #[arg(long, default_value_t = 0, value_name = "N")]
    kill: u8,
    /// Where the daemon listens; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
}

/// What runs: the daemon inside this process, or nodes in processes of their own.
enum Daemon {
    Inside(Box<Running>),
    Nodes(Box<Nodes>),
}

impl Daemon {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Inside(running) => running.address,
            Self::Nodes(nodes) => nodes.address(),
        }
    }

    fn store(&self) -> &Arc<dyn Store> {
        match self {
            Self::Inside(running) => &running.store,
            Self::Nodes(nodes) => nodes.store(),
        }
    }

    async fn stop(self) {
        match self {
            Self::Inside(running) => running.stop().await,
            Self::Nodes(nodes) => nodes.stop().await,
        }
    }
}

/// How long the demo waits for both sides to agree before it says that they do not.
const PATIENCE: Duration = Duration::from_mins(6);

/// How it stood when both sides agreed, or when patience ended. The partners go on telling (a parcel moves for hours),
/// so what is judged is this one moment, and not a later look.
struct End {
    placed: Vec<Placed>,
    counts: Counts,
    /// The partners' own books.
    ledger: Ledger,
    /// What is wrong by them.
    wrong: Vec<String>,
    agreed: bool,
}

/// An order that was placed.
struct Placed {
    id: u64,
    then: Then,
    title: &'static str,
    at: Instant,
    done: bool,
}

impl Demo {
    /// Runs the command.
    ///
    /// # Errors
    /// When daemon or sandbox cannot start.
    pub fn run(self, _: &Globals) -> Done {
        let folder = Folder::new(self.dir.as_deref(), "demo")?;
        telemetry::start_logs("error", false)?;
        block_on(self.play(folder.path()))?
    }

    async fn play(&self, folder: &Path) -> Done {
        let mut settings = Settings::default();
        if self.faults {
            settings.all_faults(0.03);
        }
        let listen = "127.0.0.1:0".parse()?;
        let world = World::new(self.seed, settings.clone())?;
        let server = Server::start(world, listen, BTreeMap::new(), app::http()?, app::clock()).await?;
        let sandbox = format!("http://{}", server.address());
        let path = config::write(folder, &sandbox, &self.listen.to_string(), &settings)?;
        if let Some(url) = &self.store {
            config::use_postgres(&path, url)?;
        }
        if let Some(url) = &self.bus {
            config::use_rabbitmq(&path, url)?;
        }
        let mut daemon = self.start(&path).await?;
        if !daemon.store().counts().await?.phases.is_empty() {
            daemon.stop().await;
            return Err(Failure("the store has orders already; expected an empty one".to_owned()));
        }
        for (partner, account) in
            [("shopify", "shop"), ("shiphero", "east"), ("easypost", "parcels"), ("stripe", "pay")]
        {
            server.deliver_to(partner, &format!("http://{}/hooks/{account}", daemon.address()));
        }
        say(format_args!("console   http://{}/", daemon.address()));
        say(format_args!("partners  {sandbox}/_sandbox/ledger (simulated)"));
        say(format_args!("config    {}", path.display()));

        let begun = Instant::now();
        let end = self.watch(&server, &mut daemon).await?;
        report(&daemon, &end, begun.elapsed()).await?;
        let green = checks(&end);
        if self.stay {
            say("The console stays up; Ctrl-C ends it.");
            tokio::signal::ctrl_c().await?;
        }
        daemon.stop().await;
        Ok(if green { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Starts the daemon, or the nodes, with the config at `path`.
    async fn start(&self, path: &Path) -> Result<Daemon, Failure> {
        let loaded = files::load(path);
        loaded.problems.iter().for_each(complain);
        let prepared =
            Prepared::of(loaded).ok_or_else(|| Failure("the demo's own config is wrong".to_owned()))?;
        if self.nodes == 1 && self.kill == 0 {
            return Ok(Daemon::Inside(Box::new(prepared.start().await?)));
        }
        if self.store.is_none() || self.bus.is_none() {
            return Err(Failure(
                "nodes in processes of their own share a database and a broker: name them with --store and --bus"
                    .to_owned(),
            ));
        }
        if self.kill > self.nodes {
            return Err(Failure(format!("--kill {}: there are only {} nodes", self.kill, self.nodes)));
        }
        let config = prepared.world.config;
        let nodes = Nodes::start(path, &config.store, self.listen, self.nodes, self.kill, self.seed).await?;
        Ok(Daemon::Nodes(Box::new(nodes)))
    }

    /// Places the orders, lets people act, and waits until both sides agree.
    async fn watch(&self, server: &Server, daemon: &mut Daemon) -> Result<End, Failure> {
        let bar = ProgressBar::with_draw_target(
            Some(u64::try_from(self.orders)?),
            ProgressDrawTarget::stderr_with_hz(5),
        );
        bar.set_style(ProgressStyle::with_template("{bar:30} {pos}/{len} orders at rest  {msg}")?);
        let mut placed: Vec<Placed> = Vec::new();
        let begun = Instant::now();
        let mut calm = false;
        let mut told = String::new();
        loop {
            if placed.len() < self.orders {
                let Scene { title, order, then } = script::scene(placed.len());
                let id = server.with(|world| world.place_order(order).id);
                placed.push(Placed { id, then, title, at: Instant::now(), done: false });
            }
            for order in placed.iter_mut().filter(|order| !order.done) {
                order.done =
                    server.with(|world| script::act(world, order.id, &order.then, order.at.elapsed()));
            }
            let mut whole = true;
            if let Daemon::Nodes(nodes) = daemon {
                whole = nodes.turn().await?;
            }
            let counts = match daemon.store().counts().await {
                Ok(counts) => counts,
                Err(StoreError::Unavailable(why)) if begun.elapsed() < PATIENCE => {
                    complain(why);
                    tokio::time::sleep(Duration::from_millis(250)).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let ledger = server.with(|world| world.ledger());
            let wrong = ledger.check();
            let acted = placed.len() == self.orders && placed.iter().all(|order| order.done);
            let open: usize = unsettled(&counts);
            let phases: Vec<String> =
                counts.phases.iter().map(|(phase, count)| format!("{count} {phase}")).collect();
            let message = format!("{}; {open} to do", phases.join(", "));
            bar.set_position(
                u64::try_from(self.orders.saturating_sub(unfinished(&wrong)))?
                    .min(u64::try_from(placed.len())?),
            );
            bar.set_message(message.clone());
            if bar.is_hidden() && message != told && begun.elapsed().as_secs().is_multiple_of(2) {
                complain(format_args!("{:>4} s  {message}", begun.elapsed().as_secs()));
                told = message;
            }
            let agreed = acted && whole && wrong.is_empty() && open == 0 && cancels_known(&ledger, &counts);
            if agreed || begun.elapsed() > PATIENCE {
                bar.finish_and_clear();
                return Ok(End { placed, counts, ledger, wrong, agreed });
            }
            if acted && !calm && begun.elapsed() > Duration::from_secs(45) {
                // Chance strikes for ever; a check of both sides wants a moment of rest.
                calm = true;
                server.with(|world| world.set_faulty(false));
            }
            let pause = if placed.len() < self.orders { 60 } else { 250 };
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
}

/// Orders whose partners' side is not yet as it must be at the end.
fn unfinished(wrong: &[String]) -> usize {
    let names: std::collections::BTreeSet<&str> =
        wrong.iter().filter_map(|text| text.split_once(':').map(|(name, _)| name)).collect();
    names.len()
}

/// Messages to be worked on and commands under way.
fn unsettled(counts: &Counts) -> usize {
    let pending = counts.messages.iter().filter(|(state, _)| state == "pending").map(|(_, count)| *count);
    let open = counts
        .intents
        .iter()
        .filter(|(_, state, _)| !IntentState::parse(state).is_some_and(IntentState::settled))
        .map(|(.., count)| *count);
    usize::try_from(pending.chain(open).sum::<u64>()).unwrap_or(usize::MAX)
}

/// Whether the daemon knows of each order that the store has cancelled.
fn cancels_known(ledger: &Ledger, counts: &Counts) -> bool {
    let there = ledger.orders.iter().filter(|order| order.cancelled).count();
    let cancelled = |phase: &str| {
        matches!(
            Phase::parse(phase),
            Some(Phase::CancelRequested | Phase::Cancelled | Phase::CancelledAfterShipped)
        )
    };
    let here: u64 = counts.phases.iter().filter(|(phase, _)| cancelled(phase)).map(|(_, count)| count).sum();
    u64::try_from(there).is_ok_and(|there| there == here)
}

async fn report(daemon: &Daemon, end: &End, time: Duration) -> Result<(), Failure> {
    let End { placed, counts, ledger, .. } = end;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for order in placed {
        *kinds.entry(order.title).or_default() += 1;
    }
    let list = |rows: Vec<String>| if rows.is_empty() { "none".to_owned() } else { rows.join(", ") };
    say("");
    say(format_args!("After {:.1} s", time.as_secs_f64()));
    row("orders placed", &list(kinds.iter().map(|(title, count)| format!("{count} {title}")).collect()));
    row(
        "orders by phase",
        &list(counts.phases.iter().map(|(phase, count)| format!("{count} {phase}")).collect()),
    );
    let facts: u64 = counts.facts.iter().map(|(_, count)| count).sum();
    row("facts", &format!("{facts} of {} kinds", counts.facts.len()));
    let done: u64 =
        counts.intents.iter().filter(|(_, state, _)| state == "done").map(|(.., count)| count).sum();
    row("deliveries done", &done.to_string());
    // Of what is told again and again, such as a level of stock, only the newest delivery is kept and counted above.
    row("attempts made", &counts.attempts.to_string());
    let hooks = &ledger.webhooks;
    row("webhooks", &format!("{} made by the partners, {} lost on purpose", hooks.made, hooks.lost));
    if let Daemon::Nodes(nodes) = daemon {
        row("nodes", &nodes.story());
    }
    let causes = daemon.store().causes(&ExceptionQuery::default()).await?;
    let mut kinds: BTreeMap<&str, u64> = BTreeMap::new();
    for cause in &causes {
        *kinds.entry(&cause.kind).or_default() += cause.count;
    }
    row("exceptions open", &list(kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect()));
    for cause in causes {
        say(format_args!("    {} × {}: {}", cause.count, cause.cause, cause.message));
    }
    Ok(())
}

fn row(name: &str, value: &str) {
    say(format_args!("  {name:<26} {value}"));
}

/// Compares both sides and says so; true when all is as it must be.
fn checks(end: &End) -> bool {
    let End { counts, ledger, wrong, agreed, .. } = end;
    let sendable = |expect: Expect| matches!(expect, Expect::Ships | Expect::CancelledLate);
    let mut green = true;
    let mut check = |text: &str, holds: bool| {
        green &= holds;
        say(format_args!("  {} {text}", if holds { "ok  " } else { "FAIL" }));
    };
    say("Both sides");
    let orders = &ledger.orders;
    check(
        "every order to be sent is once in the warehouse, no other",
        orders.iter().all(|order| {
            if sendable(order.expect) { order.warehouse.len() == 1 } else { order.warehouse.len() <= 1 }
        }),
    );
    // A store takes no parcel of an order that it has cancelled by then; that is an exception for a person.
    check(
        "every parcel is once in the store, with its tracking number",
        orders.iter().all(|order| {
            let parcels = order.warehouse.iter().flat_map(|entry| &entry.shipments);
            parcels.into_iter().all(|parcel| {
                let told = order
                    .fulfilments
                    .iter()
                    .filter(|entry| entry.tracking.contains(&parcel.tracking))
                    .count();
                told == 1 || (order.cancelled && told == 0)
            })
        }),
    );
    check(
        "every payment of an order that was sent is captured once",
        orders.iter().all(|order| {
            let captures = order.gateway.as_ref().map_or(0, |entry| entry.captures.len());
            captures == usize::from(sendable(order.expect))
        }),
    );
    check("every refund that was asked for was paid once", !wrong.iter().any(|text| text.contains("refund")));
    check("every cancellation in the store is known", cancels_known(ledger, counts));
    check("nothing lost, nothing twice, by the partners' own books", wrong.is_empty());
    let settled = unsettled(counts) == 0;
    check("every message is applied or an exception, every command settled", settled && *agreed);
    for text in wrong {
        say(format_args!("       {text}"));
    }
    say(if green { "both sides agree" } else { "the sides do not agree" });
    green
}

//! `crossdock bench`: posts signed webhooks to a daemon that runs and follows the orders to the warehouse.

mod follow;
mod listener;
mod load;
mod nodes;
pub mod orders;
mod partner;
mod report;
mod usage;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use clap::Args;
use secrecy::ExposeSecret as _;

use self::follow::{Follower, Reached};
use self::listener::Listener;
use self::load::{Plan, Posted, Tally};
use self::nodes::Ground;
use self::orders::{Mix, Orders, Shop};
use self::partner::Partner;
use self::report::{Cost, Daemon, Load, Rate, Report, Spread, float};
use self::wire::Target;
use super::client::{Asking, Client, json};
use super::folder::Folder;
use super::node::Node;
use super::{Done, Failure, Globals, block_on, complain, files};
use crate::app;
use crate::canonical::AccountId;
use crate::config::model::Config;
use crate::diagnostic::nearest;
use crate::tables;

/// Post signed webhooks of orders to a daemon, follow them to the warehouse, and say how fast that went.
///
/// Without --url it starts a daemon of its own, on an empty store in a temporary folder, and a warehouse that takes every
/// order at once. With --url it posts to a daemon that runs: the config must be that daemon's, for the accounts and their
/// webhook secrets. The orders are real ones to it: do not do that to a daemon that serves.
#[derive(Debug, Args)]
pub struct Bench {
    #[command(flatten)]
    asking: Asking,
    /// New orders to post; by default as many as there is time for.
    #[arg(long, value_name = "N", conflicts_with = "duration")]
    orders: Option<u64>,
    /// How long to post.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = duration)]
    duration: Duration,
    /// Webhooks a second; by default each connection posts as soon as it has its answer.
    #[arg(long, value_name = "PER_SECOND", value_parser = rate)]
    rate: Option<f64>,
    /// Connections.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Shares of new orders, changes of them, and webhooks that come twice.
    #[arg(long, default_value = "create=8,update=1,duplicate=1", value_name = "SHARES")]
    mix: Mix,
    /// Lines of an order.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    lines: u16,
    /// Size of a webhook's body, such as "8 KiB"; by default what the lines need, some 7 KiB for five.
    #[arg(long, value_name = "SIZE", value_parser = size)]
    payload: Option<u64>,
    /// Goods to order, separated by commas; by default some of the flow's list of SKUs.
    #[arg(long, value_delimiter = ',', value_name = "SKU")]
    sku: Vec<String>,
    /// With --url: only these accounts; by default all of the connector shopify.
    #[arg(long, requires = "url", value_name = "NAME")]
    account: Vec<String>,
    /// With --url: serve the warehouse at this address, to which the daemon's config must lead.
    #[arg(long, requires = "url", value_name = "ADDRESS")]
    partner: Option<SocketAddr>,
    /// With --url: the daemon's process, when a proxy is asked instead of it; may be repeated.
    #[arg(long, requires = "url", value_name = "PID")]
    pid: Vec<u32>,
    /// Without --url: how many shops, each with its own client and warehouse account.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    accounts: u16,
    /// Without --url: how many daemons; more than one need --store and --bus.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    nodes: u16,
    /// Without --url: with flows that are not live. Orders are taken in, mapped and applied, their events published, and
    /// nothing is sent to a warehouse.
    #[arg(long, conflicts_with = "url")]
    not_live: bool,
    /// Without --url: hear the events of the first daemon, and tell how fast they come. While nobody hears them, a daemon
    /// that works alone keeps none.
    #[arg(long, conflicts_with = "url")]
    listen: bool,
    /// Without --url: keep the store in this empty PostgreSQL database instead of a file.
    #[arg(long, conflicts_with = "url", env = "CROSSDOCK_BENCH_STORE", hide_env_values = true)]
    store: Option<String>,
    /// Without --url: use this RabbitMQ broker instead of the embedded bus.
    #[arg(long, conflicts_with = "url", env = "CROSSDOCK_BENCH_BUS", hide_env_values = true)]
    bus: Option<String>,
    /// Without --url: keep config and database in this folder; a temporary one by default.
    #[arg(long, conflicts_with = "url", value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// Give up when nothing has moved for so long.
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration)]
    patience: Duration,
}

fn duration(text: &str) -> Result<Duration, String> {
    tables::duration(text).ok_or_else(|| "expected a duration such as 10s, 5m or 2h".to_owned())
}

fn size(text: &str) -> Result<u64, String> {
    let plain = text.parse().ok();
    plain
        .or_else(|| tables::size(text))
        .ok_or_else(|| "expected a size such as 6900, \"7 KiB\" or \"1 MiB\"".to_owned())
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0 && *rate <= 1e6);
    rate.ok_or_else(|| "expected a number of webhooks a second, such as 200".to_owned())
}

/// Whom to post to, and how it is asked.
struct Stage {
    urls: Vec<String>,
    pids: Vec<u32>,
    client: Client,
    partner: Option<Partner>,
    listener: Option<Listener>,
    /// Whether orders go on to a warehouse.
    live: bool,
}

impl Bench {
    /// Runs the command.
    ///
    /// # Errors
    /// When the daemon is not there, refuses the webhooks, or cannot be started.
    pub fn run(self, globals: &Globals) -> Done {
        let report = block_on(async {
            if self.asking.is_elsewhere() { self.against(globals).await } else { self.alone().await }
        })??;
        if self.asking.json {
            json(&report)?;
        } else {
            report.print();
        }
        Ok(if report.green() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn orders(&self, shops: Vec<Shop>, skus: &[String]) -> Result<Arc<Orders>, Failure> {
        let size = usize::try_from(self.payload.unwrap_or(0))?;
        Ok(Arc::new(Orders::new(shops, skus, usize::from(self.lines), size, app::clock().now())?))
    }

    /// Starts daemons and a warehouse.
    async fn alone(&self) -> Result<Report, Failure> {
        if self.nodes > 1 && (self.store.is_none() || self.bus.is_none()) {
            return Err(Failure(
                "several nodes need a database and a broker: give --store and --bus".to_owned(),
            ));
        }
        let folder = Folder::new(self.dir.as_deref(), "bench")?;
        let shops = usize::from(self.accounts);
        let orders = self.orders(nodes::shops(shops), &self.skus(&[]))?;
        let (partner, address) = Partner::serve("127.0.0.1:0".parse()?, Arc::clone(&orders)).await?;
        let ground =
            Ground { store: self.store.as_deref(), bus: self.bus.as_deref(), shops, live: !self.not_live };
        let config = nodes::write(folder.path(), &format!("http://{address}"), ground)?;
        let mut started = Vec::new();
        for number in 1..=self.nodes {
            let hear = move |line: &str| complain(format_args!("node {number}: {line}"));
            started.push(Node::start(usize::from(number), &config, None, hear).await?);
        }
        let urls: Vec<String> = started.iter().map(|node| format!("http://{}", node.address)).collect();
        let pids = started.iter().filter_map(Node::pid).collect();
        let client = Client::at(&urls[0], None)?;
        if follow::state(&client).await?.orders > 0 {
            return Err(Failure("the store has orders already; expected an empty one".to_owned()));
        }
        let listener = if self.listen { Some(Listener::at(&urls[0]).await?) } else { None };
        let stage = Stage { urls, pids, client, partner: Some(partner), listener, live: ground.live };
        let done = self.measure(&stage, &orders).await;
        for node in started {
            node.stop().await?;
        }
        let mut report = done?;
        report.daemon.store = Some(if self.store.is_some() { "postgres" } else { "sqlite" });
        report.daemon.bus = Some(if self.bus.is_some() { "rabbitmq" } else { "embedded" });
        Ok(report)
    }

    /// Posts to a daemon that runs.
    async fn against(&self, globals: &Globals) -> Result<Report, Failure> {
        let loaded = files::load(&globals.config);
        let Some(world) = loaded.world else {
            loaded.problems.iter().for_each(complain);
            return Err(Failure(format!(
                "{} cannot be read; expected the daemon's own config (--config), for its accounts and their secrets",
                globals.config.display()
            )));
        };
        let shops = self.shops(&world.config)?;
        let skus = self.skus(&goods(&world.config, &shops[0]));
        let live = shops.iter().all(|shop| {
            let flow = world.config.flow_of_storefront(&AccountId::from(shop.account.as_str()));
            flow.is_some_and(|flow| flow.live)
        });
        let orders = self.orders(shops, &skus)?;
        let client = self.asking.client(globals)?;
        let url = client.base().to_owned();
        let target = Target::new(&url, app::http()?)?;
        let mut pids = self.pid.clone();
        if pids.is_empty() {
            pids.extend(target.local_port().and_then(usage::listener));
        }
        let partner = match self.partner {
            Some(listen) => Some(Partner::serve(listen, Arc::clone(&orders)).await?.0),
            None => None,
        };
        self.measure(&Stage { urls: vec![url], pids, client, partner, listener: None, live }, &orders).await
    }

    /// The shops of a config to post for.
    fn shops(&self, config: &Config) -> Result<Vec<Shop>, Failure> {
        let mut shops = Vec::new();
        let ours =
            config.accounts.values().filter(|account| account.connector == "shopify" && account.enabled);
        for account in ours {
            let name = account.id.to_string();
            if !self.account.is_empty() && !self.account.contains(&name) {
                continue;
            }
            let secret = account.secrets.get("webhook").and_then(|secrets| secrets.first());
            let secret = secret.ok_or_else(|| format!("account {name} has no webhook secret"))?;
            shops.push(Shop {
                domain: account.settings.get("shop").cloned().unwrap_or_default(),
                secret: secret.expose_secret().to_owned(),
                account: name,
            });
        }
        for name in &self.account {
            if !shops.iter().any(|shop| shop.account == *name) {
                let known = config.accounts.keys().map(AccountId::as_str);
                let hint =
                    nearest(name, known).map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
                return Err(Failure(format!(
                    "there is no enabled account `{name}` of the connector shopify{hint}"
                )));
            }
        }
        if shops.is_empty() {
            return Err(Failure(
                "the config has no enabled account of the connector shopify: nothing to post for".to_owned(),
            ));
        }
        Ok(shops)
    }

    fn skus(&self, known: &[String]) -> Vec<String> {
        match (self.sku.as_slice(), known) {
            ([], []) => (0..5).map(|number| format!("TEA-{number:02}")).collect(),
            ([], known) => known.to_vec(),
            (given, _) => given.to_vec(),
        }
    }

    async fn measure(&self, stage: &Stage, orders: &Arc<Orders>) -> Result<Report, Failure> {
        let before = follow::state(&stage.client).await?;
        let http = app::http()?;
        let targets: Result<Vec<Target>, String> =
            stage.urls.iter().map(|url| Target::new(url, Arc::clone(&http))).collect();
        let targets = targets?;
        let posts = self.orders.map(|orders| self.mix.posts_for(orders));
        let spent = usage::of(&stage.pids);
        let begun = Instant::now();
        let plan = Plan {
            posts: posts.unwrap_or(u64::MAX),
            until: posts.is_none().then(|| begun + self.duration),
            rate: self.rate,
            connections: usize::from(self.connections),
            mix: self.mix,
        };
        let tally = Arc::new(Tally::default());
        let hearers = (stage.partner.as_ref(), stage.listener.as_ref());
        let mut follower = Follower::new(&stage.client, hearers, before, posts)?;
        let accepted = || tally.accepted.load(Ordering::Relaxed);
        let posted = tokio::select! {
            posted = load::run(plan, orders, &targets, &tally) => posted.map_err(|why| {
                Failure(format!("{}: {why}", stage.urls.join(", ")))
            })?,
            () = follower.show(accepted) => return Err(Failure("nothing was posted".to_owned())),
        };
        let reached = follower.wait(accepted(), posted.kinds[0], stage.live, self.patience).await;
        let after = usage::of(&stage.pids);
        let mut report = self.report(stage, orders, &tally, begun, &posted, reached);
        if !stage.pids.is_empty() && after.peak > 0 {
            let cpu = after.cpu.saturating_sub(spent.cpu).as_secs_f64();
            let round = |value: f64| (value * 10.0).round() / 10.0;
            report.cost = Some(Cost {
                processes: stage.pids.len(),
                cpu_s: round(cpu),
                cpu_us: (cpu * 1e6 / float(accepted().max(1))).round(),
                peak_mib: round(float(after.peak) / 1_048_576.0),
            });
        }
        if stage.partner.is_none() && stage.live {
            report.warehouse_ms =
                Spread::of(follow::times(&stage.client, posted.kinds[0], |order| orders.name(order)).await?);
        }
        if reached.exceptions > 0 {
            complain(format_args!(
                "{} exceptions came up: `crossdock exceptions list` shows their causes",
                reached.exceptions
            ));
        }
        Ok(report)
    }

    fn report(
        &self,
        stage: &Stage,
        orders: &Orders,
        tally: &Tally,
        begun: Instant,
        posted: &Posted,
        reached: Reached,
    ) -> Report {
        let since = |at: Option<Instant>| at.unwrap_or_else(Instant::now).saturating_duration_since(begun);
        let [created, updates, duplicates] = posted.kinds;
        let (mut doubled, mut last, mut times) = (0, reached.delivered, Vec::new());
        if let Some(partner) = &stage.partner {
            let heard = partner.heard();
            (doubled, last) = (heard.doubles, heard.last);
            times.extend(
                posted
                    .begun
                    .iter()
                    .filter_map(|(order, at)| Some(heard.orders.get(order)?.saturating_duration_since(*at))),
            );
        }
        let applied = reached.orders.min(created);
        let arrived = if stage.live { reached.arrived.min(created) } else { applied };
        Report {
            daemon: Daemon { urls: stage.urls.clone(), store: None, bus: None },
            load: Load {
                connections: usize::from(self.connections),
                rate: self.rate,
                accounts: orders.accounts(),
                payload: orders.length(),
                mix: self.mix.to_string(),
                orders: created,
                updates,
                duplicates,
                put_off: tally.put_off.load(Ordering::Relaxed),
                broken: tally.broken.load(Ordering::Relaxed),
            },
            accepted: Rate::of(tally.accepted.load(Ordering::Relaxed), posted.time),
            applied: Rate::of(applied, since(reached.applied)),
            told: stage.listener.as_ref().map(|listener| {
                let told = listener.told();
                Rate::of(told.orders, since(told.last))
            }),
            delivered: stage.live.then(|| Rate::of(arrived, since(last))),
            accept_ms: Spread::of(posted.latencies.clone()).unwrap_or_default(),
            warehouse_ms: Spread::of(times),
            warehouse_measured: if stage.partner.is_some() {
                "from the webhook's first byte to the command's arrival at the warehouse"
            } else {
                "by the daemon's own clock, from hearing of an order to the warehouse's answer"
            },
            cost: None,
            rest_s: (since(reached.rest).as_secs_f64() * 10.0).round() / 10.0,
            missing: created - applied.min(arrived),
            doubled,
        }
    }
}

/// Goods that the flow of a shop knows by a list.
fn goods(config: &Config, shop: &Shop) -> Vec<String> {
    let account = AccountId::from(shop.account.as_str());
    let Some(flow) = config.flow_of_storefront(&account) else { return Vec::new() };
    flow.skus
        .rows
        .keys()
        .filter(|(own, _)| *own == account)
        .map(|(_, theirs)| theirs.clone())
        .take(5)
        .collect()
}

//! A daemon in a process of its own, and simulated partners.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossdock::app;
use crossdock::cli::demo::{config, script};
use crossdock::ports::{Counts, HttpRequest};
use crossdock::sandbox::{Fault, Server, Settings, World};

/// Ended by its process id when dropped.
pub struct Daemon {
    child: Child,
    pub address: String,
}

impl Daemon {
    /// Starts a daemon with the config at `path`, listening on `port`.
    pub fn start(path: &Path, port: u16) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path.with_file_name(format!("log-{port}")))
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_crossdock"))
            .args(["run", "--listen", &format!("127.0.0.1:{port}"), "--config"])
            .arg(path)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self { child, address: format!("http://127.0.0.1:{port}") }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal by name: `STOP`, `CONT`, `TERM`.
    pub fn signal(&self, name: &str) {
        let sent =
            Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success(), "kill -{name}");
    }

    /// Waits until it has ended by itself.
    pub fn wait(mut self) {
        self.child.wait().unwrap();
    }

    /// SIGKILL: no handler runs, nothing is drained.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub async fn get<T: serde::de::DeserializeOwned>(url: &str) -> Option<T> {
    let request =
        HttpRequest { method: "GET".into(), url: url.into(), headers: Vec::new(), body: bytes::Bytes::new() };
    let answer = app::http().unwrap().send(request, Duration::from_secs(5)).await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Partners, and the orders that were placed there.
pub struct Town {
    pub partners: Server,
    pub folder: tempfile::TempDir,
    settings: Settings,
    placed: Vec<(u64, script::Then, Instant, bool)>,
}

impl Town {
    pub async fn new(seed: u64) -> Self {
        let mut settings = Settings::default();
        for fault in
            [Fault::CutAfter, Fault::CutBefore, Fault::ServerError, Fault::WebhookLost, Fault::WebhookTwice]
        {
            settings.faults.insert(fault, 0.02);
        }
        let world = World::new(seed, settings.clone()).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let partners =
            Server::start(world, listen, BTreeMap::new(), app::http().unwrap(), app::clock()).await.unwrap();
        Self { partners, folder: tempfile::tempdir().unwrap(), settings, placed: Vec::new() }
    }

    /// Writes the config of a node in a folder of its own.
    pub fn config(&self, node: &str, port: u16, database: Option<&str>) -> PathBuf {
        let folder = self.folder.path().join(node);
        std::fs::create_dir_all(&folder).unwrap();
        let sandbox = format!("http://{}", self.partners.address());
        let path = config::write(&folder, &sandbox, &format!("127.0.0.1:{port}"), &self.settings).unwrap();
        if let Some(url) = database {
            config::use_postgres(&path, url).unwrap();
        }
        path
    }

    /// Has partners send their webhooks there.
    pub fn deliver_to(&self, address: &str) {
        for (partner, account) in
            [("shopify", "shop"), ("shiphero", "east"), ("easypost", "parcels"), ("stripe", "pay")]
        {
            self.partners.deliver_to(partner, &format!("{address}/hooks/{account}"));
        }
    }

    pub fn place(&mut self, many: usize) {
        for _ in 0..many {
            let scene = script::scene(self.placed.len());
            let id = self.partners.with(|world| world.place_order(scene.order).id);
            self.placed.push((id, scene.then, Instant::now(), false));
        }
    }

    /// Places a plain order; gives the store's id of it.
    pub fn place_plain(&mut self) -> u64 {
        let scene = script::scene(0);
        let id = self.partners.with(|world| world.place_order(scene.order).id);
        self.placed.push((id, scene.then, Instant::now(), false));
        id
    }

    /// Whether the order has come to the warehouse.
    pub fn in_warehouse(&self, id: u64) -> bool {
        let ledger = self.partners.with(|world| world.ledger());
        ledger.orders.iter().any(|order| order.id == id && !order.warehouse.is_empty())
    }

    fn act(&mut self) {
        for (id, then, at, done) in self.placed.iter_mut().filter(|(.., done)| !done) {
            *done = self.partners.with(|world| script::act(world, *id, then, at.elapsed()));
        }
    }

    /// Lets life go on for a while.
    pub async fn live(&mut self, time: Duration) {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.act();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until both sides agree and the daemon there has nothing to do.
    pub async fn agree(&mut self, address: &str) {
        self.partners.with(|world| world.set_faulty(false));
        let begun = Instant::now();
        loop {
            self.live(Duration::from_millis(500)).await;
            let wrong = self.partners.with(|world| world.ledger().check());
            let acted = self.placed.iter().all(|(.., done)| *done);
            let open = unsettled(address).await;
            if acted && wrong.is_empty() && open == Some(0) {
                assert_eq!(self.partners.with(|world| world.ledger()).orders.len(), self.placed.len());
                println!(
                    "{} orders: both sides agree after {:.1} s",
                    self.placed.len(),
                    begun.elapsed().as_secs_f64()
                );
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_mins(8),
                "the sides do not agree; unsettled: {open:?}, all acted: {acted}\n  {}",
                wrong.join("\n  ")
            );
        }
    }
}

/// Messages pending and commands not settled, as the daemon itself counts them; none while it is down.
async fn unsettled(address: &str) -> Option<u64> {
    let counts: Counts = get(&format!("{address}/api/v1/counts")).await?;
    let messages = counts.messages.iter().filter(|(state, _)| state == "pending").map(|(_, many)| *many);
    let settled = ["done", "rejected", "stuck", "withdrawn"];
    let intents = counts.intents.iter().filter(|(_, state, _)| !settled.contains(&state.as_str()));
    Some(messages.chain(intents.map(|(.., many)| *many)).sum())
}

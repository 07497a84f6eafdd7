//! `kill -9` of the daemon at random moments, twenty times, while orders flow; after the last start both sides agree.

#![expect(clippy::unwrap_used, reason = "a test: it stops at the first surprise")]

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crossdock::app;
use crossdock::cli::demo::{config, script};
use crossdock::ports::HttpRequest;
use crossdock::sandbox::{Fault, Server, Settings, World};
use serde_json::Value;

const KILLS: usize = 20;
const ORDERS: usize = 20;
const SEED: u64 = 20;

/// A daemon in a process of its own; ended by its process id when dropped.
struct Daemon(Child);

impl Daemon {
    fn start(config: &Path) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_crossdock"))
            .args(["run", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// SIGKILL: no handler runs, nothing is drained.
    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn get(url: &str) -> Option<Value> {
    let request =
        HttpRequest { method: "GET".into(), url: url.into(), headers: Vec::new(), body: bytes::Bytes::new() };
    let answer = app::http().unwrap().send(request, Duration::from_secs(5)).await.ok()?;
    serde_json::from_slice(&answer.body).ok()
}

/// Messages pending and commands not settled, as the daemon itself counts them; none while it is down.
async fn unsettled(api: &str) -> Option<u64> {
    let counts = get(&format!("{api}/api/v1/counts")).await?;
    let messages =
        counts["messages"].as_array()?.iter().filter(|row| row[0] == "pending").map(|row| row[1].as_u64());
    let settled = ["done", "rejected", "stuck", "withdrawn"];
    let intents = counts["intents"].as_array()?.iter();
    let intents = intents
        .filter(|row| !settled.contains(&row[1].as_str().unwrap_or_default()))
        .map(|row| row[2].as_u64());
    messages.chain(intents).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_killed_twenty_times_loses_nothing_and_doubles_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let api = format!("http://127.0.0.1:{port}");
    let mut settings = Settings::default();
    for fault in
        [Fault::CutAfter, Fault::CutBefore, Fault::ServerError, Fault::WebhookLost, Fault::WebhookTwice]
    {
        settings.faults.insert(fault, 0.02);
    }
    let world = World::new(SEED, settings.clone()).unwrap();
    let targets: BTreeMap<String, String> =
        [("shopify", "shop"), ("shiphero", "east"), ("easypost", "parcels"), ("stripe", "pay")]
            .map(|(partner, account)| (partner.to_owned(), format!("{api}/hooks/{account}")))
            .into();
    let listen = "127.0.0.1:0".parse().unwrap();
    let server = Server::start(world, listen, targets, app::http().unwrap(), app::clock()).await.unwrap();
    let path = config::write(
        folder.path(),
        &format!("http://{}", server.address()),
        &format!("127.0.0.1:{port}"),
        &settings,
    )
    .unwrap();

    let mut daemon = Some(Daemon::start(&path));
    let mut placed = Vec::new();
    let mut chance = SEED;
    for kill in 0..KILLS {
        while placed.len() < ORDERS * (kill + 1) / KILLS {
            let scene = script::scene(placed.len());
            let id = server.with(|world| world.place_order(scene.order).id);
            placed.push((id, scene.then, Instant::now(), false));
        }
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        tokio::time::sleep(Duration::from_millis(300 + (chance >> 33) % 1500)).await;
        act(&server, &mut placed);
        daemon.take().unwrap().kill();
        daemon = Some(Daemon::start(&path));
    }
    server.with(|world| world.set_faulty(false));
    let begun = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        act(&server, &mut placed);
        let wrong = server.with(|world| world.ledger().check());
        let acted = placed.iter().all(|(.., done)| *done);
        let open = unsettled(&api).await;
        if acted && wrong.is_empty() && open == Some(0) {
            break;
        }
        if begun.elapsed().as_secs().is_multiple_of(20) {
            println!("{:>4} s: open {open:?}, acted {acted}, {wrong:?}", begun.elapsed().as_secs());
        }
        assert!(
            begun.elapsed() < Duration::from_mins(14),
            "after {KILLS} kills (seed {SEED}) the sides do not agree; unsettled: {open:?}, all acted: {acted}\n  {}",
            wrong.join("\n  ")
        );
    }
    let ledger = server.with(|world| world.ledger());
    assert_eq!(ledger.orders.len(), ORDERS);
    println!(
        "{KILLS} kills, {ORDERS} orders: both sides agree {:.1} s after the last",
        begun.elapsed().as_secs_f64()
    );
}

fn act(server: &Server, placed: &mut [(u64, script::Then, Instant, bool)]) {
    for (id, then, at, done) in placed.iter_mut().filter(|(.., done)| !done) {
        *done = server.with(|world| script::act(world, *id, then, at.elapsed()));
    }
}

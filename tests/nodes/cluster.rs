//! Nodes on one broker and one database, partners behind a proxy, and one address before the nodes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crossdock::cli::demo::config;
use crossdock::cli::demo::nodes::Front;
use serde_json::Value;
use tokio_postgres::Client;

use crate::broker::Broker;
use crate::daemon::{Daemon, Town, free_port, get};
use crate::proxy::Proxy;
use crate::server::Server;

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_mins(8);

/// All of it. What is declared first is dropped first: nodes before servers.
pub struct Cluster {
    /// A node that was killed is none.
    pub nodes: Vec<Option<Daemon>>,
    pub ports: Vec<u16>,
    pub town: Town,
    pub partners: Proxy,
    pub config: PathBuf,
    /// For looking and for mischief.
    pub sql: Client,
    pub broker: Broker,
    pub server: Server,
    pub database: String,
    front: Front,
}

impl Cluster {
    /// So many nodes, which share one config.
    pub async fn start(many: usize, seed: u64) -> Self {
        Self::start_with(many, seed, |_| {}).await
    }

    /// The same, with a change to the config before they start.
    pub async fn start_with(many: usize, seed: u64, change: impl FnOnce(&Path)) -> Self {
        let broker = tokio::task::spawn_blocking(Broker::start);
        let server = Server::start("fsync=off").await;
        let url = server.database().await;
        let town = Town::new(seed).await;
        let partners = Proxy::start(town.partners.address().port()).await;
        let broker = broker.await.unwrap();
        let path = town.config("shared", 0, Some(&url));
        config::use_rabbitmq(&path, &broker.url()).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let text = text.replace(
            &format!("http://{}/", town.partners.address()),
            &format!("http://127.0.0.1:{}/", partners.port()),
        );
        std::fs::write(&path, text).unwrap();
        change(&path);
        let ports: Vec<u16> = (0..many).map(|_| free_port()).collect();
        let addresses = ports.iter().map(|port| SocketAddr::from(([127, 0, 0, 1], *port))).collect();
        let front = Front::start("127.0.0.1:0".parse().unwrap(), addresses).await.unwrap();
        town.deliver_to(&format!("http://{}", front.address));
        let database = url.rsplit('/').next().unwrap().to_owned();
        let mut nodes = Vec::new();
        for port in &ports {
            let node = Daemon::start(&path, *port);
            up(&node.address).await;
            nodes.push(Some(node));
        }
        let sql = server.connect(&database).await.unwrap();
        Self { nodes, ports, town, partners, config: path, sql, broker, server, database, front }
    }

    /// The address before the nodes.
    pub fn front(&self) -> String {
        format!("http://{}", self.front.address)
    }

    /// A node that runs.
    pub fn any(&self) -> &Daemon {
        self.nodes.iter().flatten().next().unwrap()
    }

    /// The node whose process is `id`.
    pub fn with_id(&self, id: u32) -> Option<usize> {
        self.nodes.iter().position(|node| node.as_ref().is_some_and(|node| node.id() == id))
    }

    pub fn kill(&mut self, node: usize) {
        self.nodes[node].take().unwrap().kill();
    }

    /// Starts again what was killed.
    pub async fn begin_all(&mut self) {
        for (node, port) in self.nodes.iter_mut().zip(&self.ports) {
            if node.is_none() {
                let daemon = Daemon::start(&self.config, *port);
                up(&daemon.address).await;
                *node = Some(daemon);
            }
        }
    }

    /// The node that holds the account, as its lease says.
    pub async fn holder(&self, account: &str) -> Option<usize> {
        let row =
            self.sql.query_opt("SELECT owner FROM lease WHERE account = $1", &[&account]).await.unwrap()?;
        self.with_id(process_of(row.get(0))?)
    }

    /// Waits until the order is in the warehouse; gives how long that took.
    pub async fn shipped(&mut self, order: u64) -> Duration {
        let begun = Instant::now();
        while !self.town.in_warehouse(order) {
            assert!(begun.elapsed() < PATIENCE, "the order {order} does not come to the warehouse");
            self.town.live(Duration::from_millis(100)).await;
        }
        begun.elapsed()
    }

    /// Waits until both sides agree, by all nodes that run.
    pub async fn agree(&mut self) {
        let address = self.any().address.clone();
        self.town.agree(&address).await;
    }
}

/// The process in the name under which a lane takes leases.
pub fn process_of(owner: &str) -> Option<u32> {
    owner.split('-').next()?.parse().ok()
}

pub async fn up(address: &str) {
    let begun = Instant::now();
    while get::<Value>(&format!("{address}/api/v1/counts")).await.is_none() {
        assert!(begun.elapsed() < PATIENCE, "{address} does not answer");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

//! Several nodes, each in a process of its own, on one broker and one database, behind one address. Some are killed with
//! SIGKILL while orders are under way, and start again.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::app::{self, storage};
use crate::cli::Failure;
use crate::cli::node::Node;
use crate::config::model::StoreConfig;
use crate::ports::{NODES, NodeState, Store, StoreError};

/// From the start to the first kill, and from one node's return to the next kill.
const CALM: Duration = Duration::from_secs(5);
/// From a kill to the start after it: longer than a lease, so that others take over what the node held.
const AWAY: Duration = Duration::from_secs(8);

/// The nodes. Their processes end with this value.
pub struct Nodes {
    folder: PathBuf,
    config: PathBuf,
    all: Vec<Member>,
    store: Arc<dyn Store>,
    front: Front,
    begun: Instant,
    /// Kills that are still to come, when the next one is due, and which node is away until when.
    kills: u8,
    next: Instant,
    away: Option<(usize, Instant)>,
    seed: u64,
    story: Vec<String>,
}

struct Member {
    node: Node,
    killed: bool,
}

impl Nodes {
    /// Starts `many` nodes with the config at `path`, whose store is `store`, one after the other, and an address before
    /// them at `listen`. `kills` of them will be killed by [`Self::turn`].
    ///
    /// # Errors
    /// When a node does not come up, or the store cannot be reached.
    pub async fn start(
        path: &Path,
        store: &StoreConfig,
        listen: SocketAddr,
        many: u8,
        kills: u8,
        seed: u64,
    ) -> Result<Self, Failure> {
        let folder = path.parent().unwrap_or(Path::new(".")).to_owned();
        let mut nodes = Vec::new();
        let free = SocketAddr::new(listen.ip(), 0);
        for number in 1..=usize::from(many) {
            nodes.push(Member { node: begin(path, &folder, number, free).await?, killed: false });
        }
        let store = storage::look(store).await?;
        let front = Front::start(listen, nodes.iter().map(|member| member.node.address).collect()).await?;
        Ok(Self {
            folder,
            config: path.to_owned(),
            all: nodes,
            store,
            front,
            begun: Instant::now(),
            kills,
            next: Instant::now() + CALM,
            away: None,
            seed,
            story: Vec::new(),
        })
    }

    /// The address before the nodes.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.front.address
    }

    /// The store that they share.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Kills the next node if it is time, or starts again what was killed. True when nothing of that is to come any more
    /// and all nodes run.
    ///
    /// # Errors
    /// When a node ended by itself or does not come up, or the store does not answer.
    pub async fn turn(&mut self) -> Result<bool, Failure> {
        let now = Instant::now();
        let away = self.away.map(|(node, _)| node);
        for (index, member) in self.all.iter_mut().enumerate() {
            if Some(index) != away {
                member.node.check()?;
            }
        }
        match self.away {
            Some((index, until)) if now >= until => {
                let number = index + 1;
                let Some(member) = self.all.get_mut(index) else { return Ok(true) };
                member.node = begin(&self.config, &self.folder, number, member.node.address).await?;
                let at = self.begun.elapsed().as_secs_f64();
                self.story.push(format!("node {number} back at {at:.1} s"));
                self.away = None;
                self.next = Instant::now() + CALM;
            }
            None if self.kills > 0 && now >= self.next => self.kill().await?,
            _ => {}
        }
        Ok(self.kills == 0 && self.away.is_none())
    }

    /// SIGKILL to the node that holds most accounts of those that were not killed yet: no handler runs, nothing is drained.
    async fn kill(&mut self) -> Result<(), Failure> {
        let mut most: Option<(usize, BTreeSet<String>)> = None;
        for (index, member) in self.all.iter().enumerate().filter(|(_, member)| !member.killed) {
            let held = held(self.store.as_ref(), member.node.address).await.unwrap_or_default();
            if most.as_ref().is_none_or(|(_, before)| held.len() > before.len()) {
                most = Some((index, held));
            }
        }
        let Some((index, held)) = most else { return Ok(()) };
        let Some(member) = self.all.get_mut(index) else { return Ok(()) };
        member.node.kill().await?;
        member.killed = true;
        let held: Vec<String> = held.into_iter().collect();
        let held = if held.is_empty() { "nothing".to_owned() } else { held.join(", ") };
        let at = self.begun.elapsed().as_secs_f64();
        self.story.push(format!("node {} killed at {at:.1} s, holding {held}", index + 1));
        self.kills -= 1;
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.away = Some((index, Instant::now() + AWAY + Duration::from_millis((self.seed >> 33) % 2000)));
        Ok(())
    }

    /// How many there are, and what became of them.
    #[must_use]
    pub fn story(&self) -> String {
        let many = format!("{} processes", self.all.len());
        std::iter::once(many).chain(self.story.iter().cloned()).collect::<Vec<_>>().join("; ")
    }

    /// Ends all processes.
    pub async fn stop(mut self) {
        for member in &mut self.all {
            // It is gone either way: what it promised is in the store.
            let _ = member.node.kill().await;
        }
        if let Err(error) = self.store.close().await {
            tracing::debug!(%error, "the store did not close cleanly");
        }
    }
}

/// The accounts whose leases the node at `address` holds.
async fn held(store: &dyn Store, address: SocketAddr) -> Result<BTreeSet<String>, StoreError> {
    let now = app::clock().now();
    let mut names = Vec::new();
    for (name, state) in store.all(NODES).await? {
        let here =
            serde_json::from_value(state).is_ok_and(|state: NodeState| state.address == address.to_string());
        names.extend(here.then_some(name));
    }
    let leases = store.leases().await?.into_iter().filter(|lease| lease.until > now);
    let ours = leases.filter(|lease| names.iter().any(|name| lease.is_of(name)));
    Ok(ours.map(|lease| lease.account.0).collect())
}

/// Starts this program as the node `number`; what it says goes to a file in `folder`.
async fn begin(config: &Path, folder: &Path, number: usize, listen: SocketAddr) -> Result<Node, Failure> {
    let path = folder.join(format!("node-{number}.log"));
    let mut log = File::options().create(true).append(true).open(path)?;
    Node::start(number, config, Some(listen), move |line| {
        if let Err(error) = writeln!(log, "{line}") {
            tracing::debug!(%error, line, "a line of a node's log is lost");
        }
    })
    .await
}

/// One address before all nodes, as a proxy would stand there: each connection goes to the next node that takes it.
#[derive(Debug)]
pub struct Front {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Front {
    /// Listens at `listen` until it is dropped.
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn start(listen: SocketAddr, nodes: Vec<SocketAddr>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let turn = AtomicUsize::new(0);
        let task = tokio::spawn(async move {
            loop {
                let Ok((mut near, _)) = listener.accept().await else { continue };
                let first = turn.fetch_add(1, Ordering::Relaxed);
                let order: Vec<SocketAddr> = nodes
                    .iter()
                    .cycle()
                    .skip(first % nodes.len().max(1))
                    .take(nodes.len())
                    .copied()
                    .collect();
                tokio::spawn(async move {
                    for address in order {
                        if let Ok(mut far) = TcpStream::connect(address).await {
                            // However it ends: both ends see it.
                            let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

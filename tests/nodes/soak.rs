//! Faults of nodes, servers and lines, mixed by a seed, while orders flow. After each: an order placed then goes all the way.
//! At the end both sides are compared.
//!
//! `CROSSDOCK_SOAK` says for how many seconds (`scripts/soak`), `CROSSDOCK_SEED` which faults; without, a few of them strike.

use std::time::{Duration, Instant};

use lapin::options::QueueDeleteOptions;
use lapin::{Connection, ConnectionProperties};

use crate::cluster::Cluster;
use crate::faults::Table;

/// How long a fault lasts that does not end by itself. Leases are shorter.
const LASTS: Duration = Duration::from_secs(8);
/// Faults without `CROSSDOCK_SOAK`.
const FEW: usize = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    NodeKilled,
    NodePaused,
    NodeStopped,
    BrokerKilled,
    BrokerStopped,
    BrokerHalted,
    BrokerOutOfMemory,
    QueueDeleted,
    DatabaseKilled,
    DatabaseStopped,
    ConnectionsEnded,
    PartnersCut,
    PartnersSilent,
}

const ALL: [Fault; 13] = [
    Fault::NodeKilled,
    Fault::NodePaused,
    Fault::BrokerKilled,
    Fault::DatabaseKilled,
    Fault::PartnersSilent,
    Fault::NodeStopped,
    Fault::BrokerOutOfMemory,
    Fault::DatabaseStopped,
    Fault::PartnersCut,
    Fault::QueueDeleted,
    Fault::BrokerStopped,
    Fault::ConnectionsEnded,
    Fault::BrokerHalted,
];

impl Fault {
    fn words(self) -> &'static str {
        match self {
            Self::NodeKilled => "node killed (SIGKILL), back after its leases",
            Self::NodePaused => "node paused past its leases (SIGSTOP, SIGCONT)",
            Self::NodeStopped => "node stopped in good order, back later",
            Self::BrokerKilled => "broker killed and started again",
            Self::BrokerStopped => "broker stopped and started again",
            Self::BrokerHalted => "broker halted for a while",
            Self::BrokerOutOfMemory => "broker out of memory",
            Self::QueueDeleted => "queue deleted under us",
            Self::DatabaseKilled => "database killed and started again",
            Self::DatabaseStopped => "database stopped and started again",
            Self::ConnectionsEnded => "database ends all connections",
            Self::PartnersCut => "lines to all partners cut",
            Self::PartnersSilent => "no partner answers for a while",
        }
    }
}

/// A number that follows from the seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, many: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % many
    }

    fn shuffled(&mut self) -> Vec<Fault> {
        let mut faults = ALL.to_vec();
        for last in (1..faults.len()).rev() {
            faults.swap(last, self.below(last + 1));
        }
        faults
    }
}

/// The node that works for the warehouse, if one is known; else any.
async fn victim(cluster: &Cluster, dice: &mut Dice) -> usize {
    match cluster.holder("east").await {
        Some(node) => node,
        None => dice.below(cluster.nodes.len()),
    }
}

/// Lets the fault strike and end.
async fn strike(cluster: &mut Cluster, fault: Fault, dice: &mut Dice) {
    match fault {
        Fault::NodeKilled => {
            let node = victim(cluster, dice).await;
            cluster.kill(node);
            cluster.town.live(LASTS).await;
            cluster.begin_all().await;
        }
        Fault::NodePaused => {
            let node = victim(cluster, dice).await;
            cluster.nodes[node].as_ref().unwrap().signal("STOP");
            cluster.town.live(LASTS).await;
            cluster.nodes[node].as_ref().unwrap().signal("CONT");
        }
        Fault::NodeStopped => {
            let node = victim(cluster, dice).await;
            let daemon = cluster.nodes[node].take().unwrap();
            daemon.signal("TERM");
            tokio::task::spawn_blocking(move || daemon.wait()).await.unwrap();
            cluster.begin_all().await;
        }
        Fault::BrokerKilled => {
            cluster.broker.kill();
            cluster.town.live(LASTS / 4).await;
            tokio::task::block_in_place(|| cluster.broker.begin());
        }
        Fault::BrokerStopped => {
            tokio::task::block_in_place(|| cluster.broker.stop());
            cluster.town.live(LASTS / 4).await;
            tokio::task::block_in_place(|| cluster.broker.begin());
        }
        Fault::BrokerHalted => {
            cluster.broker.halt();
            cluster.town.live(LASTS).await;
            cluster.broker.go_on();
        }
        Fault::BrokerOutOfMemory => {
            tokio::task::block_in_place(|| {
                cluster.broker.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
            });
            cluster.town.live(LASTS).await;
            tokio::task::block_in_place(|| {
                cluster.broker.control(&["set_vm_memory_high_watermark", "0.4"]);
            });
        }
        Fault::QueueDeleted => {
            let connection =
                Connection::connect(&cluster.broker.url(), ConnectionProperties::default()).await.unwrap();
            let channel = connection.create_channel().await.unwrap();
            for shard in 0..16 {
                let name = format!("crossdock.in.s{shard:02}.v1");
                channel.queue_delete(name.as_str().into(), QueueDeleteOptions::default()).await.unwrap();
            }
        }
        Fault::DatabaseKilled | Fault::DatabaseStopped => {
            if fault == Fault::DatabaseKilled {
                cluster.server.kill();
            } else {
                cluster.server.stop();
            }
            cluster.town.live(LASTS / 4).await;
            cluster.server.go_on().await;
            cluster.sql = cluster.server.connect(&cluster.database).await.unwrap();
        }
        Fault::ConnectionsEnded => {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() \
                AND datname = current_database()";
            cluster.sql.execute(end, &[]).await.unwrap();
        }
        Fault::PartnersCut => {
            cluster.partners.refuse();
            cluster.town.live(LASTS / 4).await;
            cluster.partners.pass();
        }
        Fault::PartnersSilent => {
            cluster.partners.mute();
            cluster.town.live(LASTS).await;
            cluster.partners.cut();
            cluster.partners.pass();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "how long and by which seed is told by the environment")]
async fn faults_mixed_by_a_seed_lose_nothing_and_double_nothing() {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = number("CROSSDOCK_SEED").unwrap_or(1);
    let time = number("CROSSDOCK_SOAK").map(Duration::from_secs);
    let mut dice = Dice(seed);
    let mut cluster = Cluster::start(3, seed).await;
    let mut table = Table::new("nodes-soak", "the partners' books");
    let mut faults = Vec::new();
    let (begun, mut struck) = (Instant::now(), 0);
    while time.map_or(struck < FEW, |time| begun.elapsed() < time) {
        if faults.is_empty() {
            faults = if time.is_some() { dice.shuffled() } else { ALL.to_vec() };
            faults.reverse();
        }
        let fault = faults.pop().unwrap();
        println!("{:>4} s: {}", begun.elapsed().as_secs(), fault.words());
        // In the middle of work.
        cluster.town.place(2);
        cluster.town.live(Duration::from_millis(u64::try_from(dice.below(1500)).unwrap())).await;
        strike(&mut cluster, fault, &mut dice).await;
        // The partners' own faults rest meanwhile: a create that they cut off is looked up after half a minute (`settle`), and
        // a webhook that they lose is found by the next poll. That is no time that we took to recover.
        cluster.town.partners.with(|world| world.set_faulty(false));
        let order = cluster.town.place_plain();
        let recovered = cluster.shipped(order).await;
        cluster.town.partners.with(|world| world.set_faulty(true));
        table.add(fault.words(), recovered);
        struck += 1;
    }
    cluster.agree().await;
    println!("seed {seed}, {struck} faults in {:.0} s: both sides agree", begun.elapsed().as_secs_f64());
    table.print();
}

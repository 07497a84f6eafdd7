//! A node is killed at each step between the inbox and the settled delivery; another goes on with what it left.
//!
//! The step is held by the database or by the line to the partners, never by the program: a trigger waits for a lock that
//! the test has, or a proxy keeps back requests or answers. Whoever waits there is killed.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::cluster::{Cluster, PATIENCE, process_of};
use crate::faults::Table;

/// The lock that the triggers wait for.
const GATE: &str = "CREATE OR REPLACE FUNCTION gate() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_advisory_xact_lock_shared(4711); RETURN NEW; END $$";

/// Who waits at the gate.
const WAITING: &str = "SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.objid = 4711 AND NOT l.granted LIMIT 1";

/// Who has a command in flight.
const FLYING: &str = "SELECT l.owner FROM lease l JOIN intent i ON i.account = l.account WHERE i.state = 3 AND l.account = 'east' LIMIT 1";

/// Commands to the warehouse that are not settled, and answers that are not applied.
const UNFINISHED: &str = "(SELECT 1 FROM intent WHERE account = 'east' AND state < 4)
    UNION ALL (SELECT 1 FROM message WHERE state = 0 AND origin = 2) LIMIT 1";

enum Held {
    /// A statement on this table, under this condition.
    Statement(&'static str, &'static str),
    /// The request to a partner.
    Request,
    /// The partner's answer, after it has done the work.
    Answer,
}

const STEPS: [(&str, Held); 7] = [
    ("node killed as it takes a message in", Held::Statement("INSERT ON message", "true")),
    ("node killed as it applies a message", Held::Statement("INSERT OR UPDATE ON entity", "true")),
    (
        "node killed before a command is frozen",
        Held::Statement("UPDATE ON intent", "new.state = 3 AND old.state <> 3"),
    ),
    ("node killed after the freeze, nothing sent", Held::Request),
    ("node killed after the partner did it, before the answer", Held::Answer),
    ("node killed as it settles", Held::Statement("UPDATE ON intent", "old.state = 3 AND new.state <> 3")),
    (
        "node killed as it applies the answer",
        Held::Statement("UPDATE ON message", "old.origin = 2 AND old.state <> new.state"),
    ),
];

async fn close(cluster: &Cluster, held: &Held) {
    match held {
        Held::Statement(on, when) => {
            let trigger = format!(
                "SELECT pg_advisory_lock(4711);
                 CREATE TRIGGER gate BEFORE {on} FOR EACH ROW WHEN ({when}) EXECUTE FUNCTION gate()"
            );
            cluster.sql.batch_execute(&trigger).await.unwrap();
        }
        // Until then all passes: an account whose reads fail is left alone after a while, and nobody would come here.
        Held::Request => cluster.partners.stall_at("order_create"),
        Held::Answer => cluster.partners.mute_at("order_create"),
    }
}

/// Waits until a node has come to the step; gives which.
async fn caught(cluster: &mut Cluster, held: &Held, order: u64) -> usize {
    let begun = Instant::now();
    loop {
        let found = match held {
            Held::Statement(..) => {
                let row = cluster.sql.query_opt(WAITING, &[]).await.unwrap();
                row.and_then(|row| row.get::<_, &str>(0).rsplit(' ').next()?.parse().ok())
            }
            Held::Answer if !cluster.town.in_warehouse(order) => None,
            Held::Request | Held::Answer => {
                let row = cluster.sql.query_opt(FLYING, &[]).await.unwrap();
                row.and_then(|row| process_of(row.get(0)))
            }
        };
        if let Some(node) = found.and_then(|id| cluster.with_id(id)) {
            return node;
        }
        assert!(begun.elapsed() < PATIENCE, "nobody comes to this step");
        cluster.town.live(Duration::from_millis(20)).await;
    }
}

/// Lets everything pass again. What the dead node had under way is ended as its machine's end would.
async fn open(cluster: &Cluster, held: &Held, process: u32) {
    match held {
        Held::Statement(on, _) => {
            let table = on.rsplit(' ').next().unwrap();
            let end = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'crossdock {process}';
                 SELECT pg_advisory_unlock(4711)"
            );
            cluster.sql.batch_execute(&end).await.unwrap();
            // Not before those are gone that wait at it.
            cluster.sql.batch_execute(&format!("DROP TRIGGER gate ON {table}")).await.unwrap();
        }
        Held::Request | Held::Answer => {
            cluster.partners.cut();
            cluster.partners.pass();
        }
    }
}

/// A look-up means something soon: what is tried is that it is made, not how long a warehouse takes to show what it has.
fn soon(config: &Path) {
    let path = "connectors/shiphero/connector.toml";
    let shipped = crossdock::config::embedded();
    let manifest = shipped.get(path).unwrap();
    assert!(manifest.contains("settle = \"30s\""));
    let path = config.with_file_name(path);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, manifest.replace("settle = \"30s\"", "settle = \"3s\"")).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_killed_at_each_step_loses_nothing_and_doubles_nothing() {
    let mut cluster = Cluster::start_with(2, 11, soon).await;
    // A create that the partners cut off by chance, and whose look-up then stays without an answer, would come to no step.
    cluster.town.partners.with(|world| world.set_faulty(false));
    cluster.sql.batch_execute(GATE).await.unwrap();
    // All tokens are there, and every lane has had its turn.
    let first = cluster.town.place_plain();
    cluster.shipped(first).await;
    let mut table = Table::new("nodes-steps", "the partners' books");
    for (name, held) in STEPS {
        close(&cluster, &held).await;
        let order = cluster.town.place_plain();
        let node = caught(&mut cluster, &held, order).await;
        let process = cluster.nodes[node].as_ref().unwrap().id();
        cluster.kill(node);
        let killed = Instant::now();
        open(&cluster, &held, process).await;
        cluster.shipped(order).await;
        // What it had under way has come to its end, too.
        while cluster.sql.query_opt(UNFINISHED, &[]).await.unwrap().is_some() {
            assert!(killed.elapsed() < PATIENCE, "{name}: something never comes to its end");
            cluster.town.live(Duration::from_millis(50)).await;
        }
        table.add(name, killed.elapsed());
        cluster.begin_all().await;
    }
    cluster.agree().await;
    table.print();
}

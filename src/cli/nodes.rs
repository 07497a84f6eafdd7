//! `crossdock nodes`: who runs on the store, and who holds which account.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::client::{self, table, time};
use super::{Done, Failure, Globals, block_on, complain, files, say};
use crate::app::{self, storage};
use crate::ports::{Holder, NODES, NodeState, Store};

/// Show the nodes that run on the configured store, and which accounts each of them holds.
#[derive(Debug, Args)]
pub struct Nodes {
    /// Print it as JSON.
    #[arg(long)]
    json: bool,
}

impl Nodes {
    /// Runs the command. It asks the store, not a daemon.
    ///
    /// # Errors
    /// When the store cannot be reached.
    pub fn run(self, globals: &Globals) -> Done {
        let loaded = files::load(&globals.config);
        let Some(world) = loaded.world else {
            loaded.problems.iter().for_each(complain);
            return Err(Failure(format!("{} is not fit to run with", globals.config.display())));
        };
        block_on(async move {
            let store = storage::look(&world.config.store).await?;
            let shown = self.show(store.as_ref()).await;
            store.close().await?;
            shown
        })?
    }

    async fn show(self, store: &dyn Store) -> Done {
        let now = app::clock().now();
        let mut nodes: Vec<(String, NodeState)> = Vec::new();
        for (name, state) in store.all(NODES).await? {
            nodes.push((name, serde_json::from_value(state)?));
        }
        let leases = store.leases().await?.into_iter();
        let held: Vec<Holder> = leases.filter(|lease| lease.until > now && !lease.owner.is_empty()).collect();
        if self.json {
            let nodes: Vec<_> =
                nodes.iter().map(|(name, state)| json!({ "name": name, "state": state })).collect();
            client::json(&json!({ "nodes": nodes, "leases": held }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<[String; 6]> = nodes.iter().map(|(name, state)| row(name, state, &held, now)).collect();
        table(["NODE", "ADDRESS", "CONFIG", "STARTED", "SEEN", "ACCOUNTS"], &rows);
        for lease in held.iter().filter(|lease| nodes.iter().all(|(name, _)| !lease.is_of(name))) {
            say(format_args!(
                "{}: held by {}, which is not running, until {}",
                lease.account,
                lease.owner,
                time(Some(lease.until))
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn row(name: &str, state: &NodeState, held: &[Holder], now: Timestamp) -> [String; 6] {
    let accounts: Vec<&str> =
        held.iter().filter(|lease| lease.is_of(name)).map(|lease| lease.account.as_str()).collect();
    [
        name.to_owned(),
        state.address.clone(),
        state.generation.clone(),
        time(Some(state.started)),
        format!("{} s ago", now.duration_since(state.seen).as_secs().max(0)),
        if accounts.is_empty() { "-".to_owned() } else { accounts.join(", ") },
    ]
}

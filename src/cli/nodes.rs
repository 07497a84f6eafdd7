//! `crossdock nodes`: who runs on the store, and who has which shards and accounts.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use serde_json::json;

use super::client::{self, table, time};
use super::{Done, Failure, Globals, block_on, complain, files, say};
use crate::app::{self, storage};
use crate::canonical::AccountId;
use crate::ports::Store;
use crate::web::view::node::{self, NodeView, NodesView};

/// Show the nodes that run on the configured store, and which shards and accounts each of them has.
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
        let NodesView { nodes, leases } = node::all(store, now).await?;
        if self.json {
            client::json(&json!({ "nodes": nodes, "leases": leases }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<[String; 8]> = nodes.iter().map(|node| row(node, now)).collect();
        table(["NODE", "ADDRESS", "VERSION", "CONFIG", "STARTED", "SEEN", "SHARDS", "ACCOUNTS"], &rows);
        for lease in leases.iter().filter(|lease| nodes.iter().all(|node| !lease.is_of(&node.name))) {
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

fn row(node: &NodeView, now: Timestamp) -> [String; 8] {
    let NodeView { name, state, accounts, shards, .. } = node;
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    [
        name.clone(),
        state.address.clone(),
        state.version.clone(),
        state.generation.clone(),
        time(Some(state.started)),
        format!("{} s ago", now.duration_since(state.seen).as_secs().max(0)),
        or_dash(node::ranges(shards)),
        or_dash(accounts.keys().map(AccountId::as_str).collect::<Vec<_>>().join(", ")),
    ]
}

//! Nodes: which processes run on the store, and who holds what.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use jiff::Timestamp;

use super::{ErrorPage, Shell, begin, html, render};
use crate::canonical::AccountId;
use crate::web::Web;
use crate::web::view::node::{self, NodeView};

#[derive(Template)]
#[template(path = "nodes.html")]
struct Page {
    shell: Shell,
    nodes: Vec<NodeView>,
    /// The generation in force here; one that differs elsewhere is shown as such.
    generation: String,
    /// Accounts that nobody holds, as there is nothing to do for them just now.
    at_rest: Vec<AccountId>,
    now: Timestamp,
}

pub(super) async fn list(State(web): State<Web>) -> Result<Html<String>, ErrorPage> {
    let (shell, _, world) = begin(&web, "nodes").await?;
    let now = web.clock.now();
    let nodes = node::all(&*web.store, now).await?.nodes;
    let held = |id: &AccountId| nodes.iter().any(|node| node.accounts.contains_key(id));
    let at_rest = world.config.accounts.keys().filter(|id| !held(id)).cloned().collect();
    render(&Page { shell, at_rest, nodes, generation: world.config.generation.clone(), now })
}

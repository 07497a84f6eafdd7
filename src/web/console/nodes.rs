//! Nodes: which processes run on the store, and who holds what.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use jiff::Timestamp;

use super::{ErrorPage, Shell, begin, html, render};
use crate::web::Web;
use crate::web::view::node::{self, NodeView};

#[derive(Template)]
#[template(path = "nodes.html")]
struct Page {
    shell: Shell,
    nodes: Vec<NodeView>,
    /// The generation in force here; one that differs elsewhere is shown as such.
    generation: String,
    now: Timestamp,
}

pub(super) async fn list(State(web): State<Web>) -> Result<Html<String>, ErrorPage> {
    let (shell, _, world) = begin(&web, "nodes").await?;
    let now = web.clock.now();
    let nodes = node::all(&*web.store, now).await?.nodes;
    render(&Page { shell, nodes, generation: world.config.generation.clone(), now })
}

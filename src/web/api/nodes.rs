//! Nodes: which processes run on the store, and who holds what.

use axum::Json;
use axum::extract::State;

use crate::web::Web;
use crate::web::error::ApiError;
use crate::web::view::node::{self, NodesView};

pub(super) async fn list(State(web): State<Web>) -> Result<Json<NodesView>, ApiError> {
    Ok(Json(node::all(&*web.store, web.clock.now()).await?))
}

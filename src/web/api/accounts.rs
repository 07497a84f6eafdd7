//! Accounts: lane, limits, last contact.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};

use crate::web::Web;
use crate::web::error::ApiError;
use crate::web::view::account;

pub(super) async fn list(State(web): State<Web>) -> Result<Json<Value>, ApiError> {
    let world = web.world.load_full();
    let accounts = account::all(&*web.store, &world).await?;
    Ok(Json(json!({ "accounts": accounts })))
}

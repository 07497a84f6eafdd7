//! Accounts: how each lane goes, what is left of its limits, when the partner last answered.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use jiff::Timestamp;

use super::{ErrorPage, Shell, begin, html, render};
use crate::web::Web;
use crate::web::view::account::{self, AccountView};

#[derive(Template)]
#[template(path = "accounts.html")]
struct Page {
    shell: Shell,
    accounts: Vec<AccountView>,
    now: Timestamp,
}

pub(super) async fn list(State(web): State<Web>) -> Result<Html<String>, ErrorPage> {
    let (shell, _, world) = begin(&web, "accounts").await?;
    let accounts = account::all(&*web.store, &world).await?;
    render(&Page { shell, accounts, now: web.clock.now() })
}

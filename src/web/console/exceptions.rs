//! Exceptions, grouped by cause: solve the cause once, try all of them again.

use std::collections::{BTreeMap, BTreeSet};

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{Html, Redirect};

use super::{ErrorPage, Shell, begin, form, html, render};
use crate::canonical::{AccountId, EntityId, EntityKind};
use crate::ports::{CauseRow, EntityRecord, Exception, ExceptionQuery};
use crate::web::error::ApiError;
use crate::web::query::Params;
use crate::web::{Shared, Web, api, decide, say};

#[derive(Template)]
#[template(path = "exceptions.html")]
struct AllPage {
    shell: Shell,
    kinds: Vec<Kind>,
    account: Option<String>,
    total: u64,
    /// What people call the orders that are causes of their own.
    labels: BTreeMap<EntityId, String>,
}

/// Causes of one kind, those with most exceptions first.
struct Kind {
    name: String,
    total: u64,
    /// What to do, where all of its causes say the same.
    help: Option<String>,
    causes: Vec<CauseRow>,
}

impl AllPage {
    fn order_of(&self, cause: &CauseRow) -> Option<(&EntityId, &str)> {
        let (id, label) = self.labels.get_key_value(&own_order(cause)?)?;
        Some((id, label))
    }
}

/// The order that is a cause of its own: `address:ord_…`.
fn own_order(cause: &CauseRow) -> Option<EntityId> {
    let last = cause.cause.rsplit(':').next()?;
    last.starts_with("ord_").then(|| EntityId::from(last))
}

#[derive(Template)]
#[template(path = "cause.html")]
struct CausePage {
    shell: Shell,
    cause: CauseRow,
    rows: Vec<Exception>,
    next: Option<String>,
    /// What people call the orders concerned.
    labels: BTreeMap<EntityId, String>,
}

impl CausePage {
    fn order_of(&self, row: &Exception) -> Option<(&EntityId, &str)> {
        let (id, label) = self.labels.get_key_value(row.entity.as_ref()?)?;
        Some((id, label))
    }
}

/// Orders that are looked up for their numbers.
const LABELS: usize = 100;
/// Rows on a page of one cause.
const ROWS: u32 = 50;

#[derive(Template)]
#[template(path = "exception.html")]
struct OnePage {
    shell: Shell,
    exception: Exception,
}

pub(super) async fn list(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Html<String>, ErrorPage> {
    let params =
        Params::parse(raw.as_deref().unwrap_or_default(), &["cause", "account", "before", "retried"])?;
    let (mut shell, _, world) = begin(&web, "exceptions").await?;
    shell.notice = params
        .number("retried", 0, usize::MAX)?
        .map(|count| format!("{} being tried again.", say::count(count, "exception is", "exceptions are")));
    let account = params.word("account", world.config.accounts.keys().map(AccountId::as_str))?;
    let Some(cause) = params.text("cause") else { return causes(&web, shell, account).await };
    let query = ExceptionQuery {
        cause: Some(cause.clone()),
        before: params.number("before", 1, i64::MAX)?,
        limit: Some(ROWS),
        ..ExceptionQuery::default()
    };
    let of_cause = ExceptionQuery { cause: Some(cause.clone()), ..ExceptionQuery::default() };
    let Some(row) = web.store.causes(&of_cause).await?.into_iter().next() else {
        shell.notice.get_or_insert_with(|| format!("Nothing is open any more for {cause}."));
        return causes(&web, shell, None).await;
    };
    let (rows, next) = api::exceptions_page(&web, &query).await?;
    let next = next.map(|before| {
        let before = before.to_string();
        format!("/exceptions{}", html::query(&[("cause", Some(&cause)), ("before", Some(&before))]))
    });
    let labels = labels(&web, rows.iter().filter_map(|row| row.entity.clone())).await?;
    render(&CausePage { shell, cause: row, rows, next, labels })
}

async fn causes(web: &Shared, shell: Shell, account: Option<String>) -> Result<Html<String>, ErrorPage> {
    let query = ExceptionQuery { account: account.clone(), ..ExceptionQuery::default() };
    let causes = web.store.causes(&query).await?;
    let total = causes.iter().map(|cause| cause.count).sum();
    let own = causes.iter().filter_map(own_order).take(LABELS);
    let labels = labels(web, own).await?;
    let mut kinds: Vec<Kind> = Vec::new();
    for cause in causes {
        if let Some(kind) = kinds.iter_mut().find(|kind| kind.name == cause.kind) {
            kind.total += cause.count;
            kind.help = kind.help.take().filter(|help| cause.help.as_ref() == Some(help));
            kind.causes.push(cause);
        } else {
            let (name, help) = (cause.kind.clone(), cause.help.clone());
            kinds.push(Kind { name, total: cause.count, help, causes: vec![cause] });
        }
    }
    render(&AllPage { shell, kinds, account, total, labels })
}

async fn labels(
    web: &Shared,
    entities: impl Iterator<Item = EntityId>,
) -> Result<BTreeMap<EntityId, String>, ErrorPage> {
    let orders = entities.filter(|id| id.kind() == EntityKind::Order);
    let ids: Vec<EntityId> = orders.collect::<BTreeSet<_>>().into_iter().collect();
    let records = web.store.load(&ids).await?;
    let label = |record: &EntityRecord| {
        let state = record.state.value();
        let number = state.get("number").and_then(serde_json::Value::as_str);
        number.unwrap_or(record.id.as_str()).to_owned()
    };
    Ok(records.iter().map(|record| (record.id.clone(), label(record))).collect())
}

pub(super) async fn show(State(web): State<Web>, Path(id): Path<String>) -> Result<Html<String>, ErrorPage> {
    let (shell, _, _) = begin(&web, "exceptions").await?;
    let id = id.parse().map_err(|_| ApiError::missing(format!("`{id}` is no exception's number")))?;
    let exception = api::exception(&web, id).await?;
    render(&OnePage { shell, exception })
}

pub(super) async fn retry(State(web): State<Web>, body: Bytes) -> Result<Redirect, ErrorPage> {
    let form = form(&body, &["id", "cause", "order"])?;
    let id = form.number("id", 1, i64::MAX)?;
    let cause = form.text("cause");
    if id.is_none() && cause.is_none() {
        return Err(ApiError::bad("nothing to try again").into());
    }
    let ids: Vec<i64> = id.into_iter().collect();
    let retried = decide::retry(&web, &ids, cause.as_deref()).await?;
    let back =
        match form.text("order").filter(|order| order.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        {
            Some(order) => format!("/orders/{order}?done=retry"),
            None => format!("/exceptions?retried={retried}"),
        };
    Ok(Redirect::to(&back))
}

pub(super) async fn dismiss(State(web): State<Web>, body: Bytes) -> Result<Redirect, ErrorPage> {
    let form = form(&body, &["id"])?;
    let id = form.number("id", 1, i64::MAX)?.ok_or_else(|| ApiError::bad("nothing to dismiss"))?;
    let dismissed = web.store.dismiss_exceptions(&[id], web.clock.now()).await?;
    if dismissed == 0 {
        return Err(ApiError::conflict(format!("exception {id} goes when its order or command goes on"))
            .help("mend its cause and try it again")
            .into());
    }
    Ok(Redirect::to(&format!("/exceptions/{id}")))
}

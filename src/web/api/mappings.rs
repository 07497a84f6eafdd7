//! Mappings: what there is, what a changed one makes of a sample and of recorded messages.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Body;
use crate::canonical::AccountId;
use crate::config::{Sources, embedded};
use crate::connector;
use crate::map::diff::{Report, Sides};
use crate::ports::{Message, MessageQuery};
use crate::web::error::ApiError;
use crate::web::mapping::{self, Files, Tried, Which};
use crate::web::query::Params;
use crate::web::{Shared, Web};

pub(super) async fn list(State(web): State<Web>) -> Result<Json<Value>, ApiError> {
    Ok(Json(json!({ "mappings": mapping::list(&web).await? })))
}

pub(super) async fn show(
    State(web): State<Web>,
    Path((connector, name)): Path<(String, String)>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let params = Params::parse(raw.as_deref().unwrap_or_default(), &["client", "account"])?;
    let sources = mapping::active(&web);
    let world = web.world.load_full();
    let asked = (params.text("client"), params.text("account"));
    let which = Which::find(&world, &sources, &connector, &name, asked)?;
    let shown = which.show(&sources).map_err(|problems| {
        let first = problems.first().map(ToString::to_string).unwrap_or_default();
        ApiError::conflict(format!("the mapping is wrong: {first}"))
    })?;
    let texts: Files =
        shown.files.iter().map(|(path, _)| (path.clone(), sources.get(path).map(str::to_owned))).collect();
    Ok(Json(json!({ "generation": world.config.generation, "effective": shown, "texts": texts })))
}

/// A sample to try changed files on.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Try {
    files: Files,
    client: Option<String>,
    account: Option<String>,
    /// A recorded message.
    message: Option<i64>,
    /// Or a payload.
    payload: Option<String>,
}

pub(super) async fn attempt(
    State(web): State<Web>,
    Path((connector, name)): Path<(String, String)>,
    Body(asked): Body<Try>,
) -> Result<Json<Tried>, ApiError> {
    let sources = mapping::changed(&mapping::active(&web), &asked.files);
    let world = web.world.load_full();
    let mut account = asked.account;
    let sample = match (asked.message, asked.payload) {
        (Some(id), None) => {
            let message = super::message(&web, &id.to_string()).await?;
            account = account.or_else(|| Some(message.content.account.0.clone()));
            message.content.body.to_vec()
        }
        (None, Some(payload)) => payload.into_bytes(),
        _ => return Err(ApiError::bad("expected either `message`, a number, or `payload`, a text")),
    };
    let which = Which::find(&world, &sources, &connector, &name, (asked.client, account))?;
    let ctx = which.context(&world);
    let tried = tokio::task::spawn_blocking(move || which.attempt(&sources, &sample, &ctx)).await;
    tried.map(Json).map_err(|fault| ApiError::conflict(format!("the mapping broke down: {fault}")))
}

/// What to compare with what.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Compare {
    /// The changed files; over those in force.
    files: Files,
    /// All files that are not shipped, instead of those in force.
    whole: bool,
    /// What to compare them with, whole; without it, what is in force.
    against: Option<Files>,
    since: Option<String>,
    connector: Option<String>,
    mapping: Option<String>,
    account: Option<String>,
}

pub(super) async fn compare(
    State(web): State<Web>,
    Body(asked): Body<Compare>,
) -> Result<Json<Report>, ApiError> {
    let active = mapping::active(&web);
    let before = asked.against.as_ref().map(|files| mapping::changed(&embedded(), files));
    let after = if asked.whole {
        mapping::changed(&embedded(), &asked.files)
    } else {
        mapping::changed(&active, &asked.files)
    };
    let since = mapping::since(asked.since.as_deref().unwrap_or("7d"), web.clock.now())?;
    let only = (asked.connector.as_deref(), asked.mapping.as_deref(), asked.account.map(AccountId));
    Ok(Json(report(&web, before.as_ref(), &after, (only.0, only.1, only.2.as_ref()), since).await?))
}

/// Compares `after` with `before`, or with what is in force.
///
/// # Errors
/// When `after` has errors, or the store cannot be read.
pub async fn report(
    web: &Shared,
    before: Option<&Sources>,
    after: &Sources,
    only: (Option<&str>, Option<&str>, Option<&AccountId>),
    since: jiff::Timestamp,
) -> Result<Report, ApiError> {
    let world = web.world.load_full();
    let before = before.map(|sources| connector::load(sources).0);
    let (registry, problems) = connector::load(after);
    let wrong = problems.iter().find(|found| found.severity == crate::diagnostic::Severity::Error);
    if let Some(wrong) = wrong {
        return Err(ApiError::bad(format!("the changed files have errors: {wrong}")));
    }
    let sides =
        Sides { before: before.as_ref().unwrap_or(&world.registry), after: &registry, config: &world.config };
    Ok(mapping::compare(web.store.as_ref(), sides, only, since).await?)
}

/// Recorded messages, newest first.
///
/// # Errors
/// When the store cannot be read.
pub async fn messages(web: &Shared, query: &MessageQuery) -> Result<Vec<Message>, ApiError> {
    Ok(web.store.messages(query).await?)
}

pub(super) async fn recorded(
    State(web): State<Web>,
    RawQuery(raw): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let params = Params::parse(
        raw.as_deref().unwrap_or_default(),
        &["account", "mapping", "since", "before", "limit"],
    )?;
    let world = web.world.load_full();
    let account = params.word("account", world.config.accounts.keys().map(AccountId::as_str))?;
    let since = mapping::since(params.text("since").as_deref().unwrap_or("7d"), web.clock.now())?;
    let before = match params.number::<i64>("before", 1, i64::MAX)? {
        Some(id) => {
            let message = super::message(&web, &id.to_string()).await?;
            Some((message.content.received, message.id))
        }
        None => None,
    };
    let limit = params.number("limit", 1, 200)?.unwrap_or(50);
    let query = MessageQuery {
        accounts: account.map(AccountId).into_iter().collect(),
        mapping: params.text("mapping"),
        since,
        before,
        limit,
    };
    let found = messages(&web, &query).await?;
    let next = if found.len() == limit { found.last().map(|last| last.id) } else { None };
    let rows: Vec<Value> = found.iter().map(super::messages::row).collect();
    Ok(Json(json!({ "messages": rows, "next": next })))
}

//! Exceptions: by cause, one by one, and back to work.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Body;
use crate::canonical::AccountId;
use crate::generation::history;
use crate::ports::{CauseRow, Exception, ExceptionQuery};
use crate::web::error::ApiError;
use crate::web::query::Params;
use crate::web::{Shared, Web, decide, export, say};

const KNOWN: [&str; 7] = ["cause", "kind", "client", "account", "resolved", "limit", "before"];

/// Reads the query of a list of exceptions.
///
/// # Errors
/// When a parameter is unknown or ill-formed.
pub fn query(web: &Shared, raw: &str) -> Result<ExceptionQuery, ApiError> {
    let params = Params::parse(raw, &KNOWN)?;
    let world = web.world.load();
    Ok(ExceptionQuery {
        cause: params.text("cause"),
        kind: params.text("kind"),
        client: params.text("client"),
        account: params.word("account", world.config.accounts.keys().map(AccountId::as_str))?,
        resolved: params.flag("resolved")?,
        limit: params.number("limit", 1, 1000)?,
        before: params.number("before", 1, i64::MAX)?,
    })
}

/// A page of exceptions and the number before which the next begins.
///
/// # Errors
/// When the store cannot be read.
pub async fn page(web: &Shared, query: &ExceptionQuery) -> Result<(Vec<Exception>, Option<i64>), ApiError> {
    let limit = query.limit.unwrap_or(100).clamp(1, 1000);
    let mut rows = web.store.exceptions(&ExceptionQuery { limit: Some(limit), ..query.clone() }).await?;
    name_generations(web, &mut rows).await?;
    let full = rows.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|exception| exception.id);
    Ok((rows, next))
}

/// Says of generations that resolved something which files they changed, and who did.
async fn name_generations(web: &Shared, rows: &mut [Exception]) -> Result<(), ApiError> {
    let generation = |row: &Exception| Some(row.resolution.as_ref()?.strip_prefix("generation ")?.to_owned());
    if !rows.iter().any(|row| generation(row).is_some()) {
        return Ok(());
    }
    let entries = history::entries(web.store.as_ref()).await?;
    for row in rows {
        let Some(name) = generation(row) else { continue };
        if let Some(entry) = entries.iter().find(|entry| entry.generation == name) {
            row.resolution = Some(entry.words());
        }
    }
    Ok(())
}

/// The exception with this number, resolved or not.
///
/// # Errors
/// When there is none.
pub async fn one(web: &Shared, id: i64) -> Result<Exception, ApiError> {
    let query = ExceptionQuery {
        resolved: true,
        limit: Some(1),
        before: id.checked_add(1),
        ..ExceptionQuery::default()
    };
    let mut found = web.store.exceptions(&query).await?;
    name_generations(web, &mut found).await?;
    let found = found.into_iter().next();
    found
        .filter(|exception| exception.id == id)
        .ok_or_else(|| ApiError::missing(format!("there is no exception {id}")))
}

pub(super) async fn list(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let query = query(&web, raw.as_deref().unwrap_or_default())?;
    let causes: Vec<Titled> = web.store.causes(&query).await?.into_iter().map(Titled::of).collect();
    let (exceptions, next) = page(&web, &query).await?;
    Ok(Json(json!({ "causes": causes, "exceptions": exceptions, "next": next })))
}

/// A cause with its headline.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Titled {
    /// What waits for it, and how many.
    pub title: String,
    /// The cause.
    #[serde(flatten)]
    pub row: CauseRow,
}

impl Titled {
    fn of(row: CauseRow) -> Self {
        Self { title: say::cause(&row), row }
    }
}

/// Rows of a list to fill in.
pub(super) async fn export(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Response, ApiError> {
    let raw = raw.unwrap_or_default();
    let params = Params::parse(&raw, &["kind", "cause", "client", "account"])?;
    let query = ExceptionQuery { limit: Some(1000), ..query(&web, &raw)? };
    let cause = query.cause.as_deref().unwrap_or_default();
    let by_cause = export::KINDS.into_iter().find(|kind| cause.starts_with(of_kind(kind)));
    let kind = params.word("kind", export::KINDS)?;
    let kind = kind.unwrap_or_else(|| by_cause.unwrap_or(export::KINDS[0]).to_owned());
    let causes = web.store.causes(&ExceptionQuery { kind: Some(kind.clone()), ..query }).await?;
    let text = export::csv(&kind, &causes).map_err(|error| ApiError::bad(error.to_string()))?;
    Ok(([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], text).into_response())
}

/// How causes of the kind begin.
fn of_kind(kind: &str) -> &str {
    if kind == "unknown_sku" { "sku" } else { kind }
}

pub(super) async fn show(
    State(web): State<Web>,
    Path(id): Path<String>,
) -> Result<Json<Exception>, ApiError> {
    let id = id.parse().map_err(|_| {
        ApiError::bad(format!("`{id}` is no exception's number")).help("a whole number was expected")
    })?;
    Ok(Json(one(&web, id).await?))
}

/// Which exceptions to try again.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Retry {
    ids: Vec<i64>,
    cause: Option<String>,
}

pub(super) async fn retry(State(web): State<Web>, Body(which): Body<Retry>) -> Result<Json<Value>, ApiError> {
    if which.ids.is_empty() && which.cause.is_none() {
        return Err(
            ApiError::bad("nothing to try again").help("give `ids` (exception numbers), `cause`, or both")
        );
    }
    let retried = decide::retry(&web, &which.ids, which.cause.as_deref()).await?;
    Ok(Json(json!({ "retried": retried })))
}

/// Which exceptions need nothing.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Dismiss {
    ids: Vec<i64>,
}

pub(super) async fn dismiss(
    State(web): State<Web>,
    Body(which): Body<Dismiss>,
) -> Result<Json<Value>, ApiError> {
    if which.ids.is_empty() {
        return Err(ApiError::bad("nothing to dismiss").help("give `ids` (exception numbers)"));
    }
    let dismissed = web.store.dismiss_exceptions(&which.ids, web.clock.now()).await?;
    Ok(Json(json!({ "dismissed": dismissed })))
}

//! Generations: what is in force, what was, and the way to put changed files into force.

use axum::Json;
use axum::extract::{Path, RawQuery, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Body;
use crate::generation::history::{self, Entry};
use crate::generation::{Answer, Change, ChangeError, Generations, Outcome, REFUSED};
use crate::ports::ExceptionQuery;
use crate::web::error::ApiError;
use crate::web::query::Params;
use crate::web::{Shared, Web};

impl From<ChangeError> for ApiError {
    fn from(error: ChangeError) -> Self {
        let words = error.to_string();
        match error {
            ChangeError::Path(_) => Self::bad(words).help(
                "expected config.toml, lists/….csv, connectors/<name>/… or mappings/…, without dots and backslashes",
            ),
            ChangeError::Stale { .. } => Self::conflict(words).help("look at what has changed, then change it again"),
            ChangeError::Write { .. } => Self::conflict(words)
                .help("let the daemon write there, or change the file yourself: it is read again by itself"),
            ChangeError::Store(error) => Self::from(error),
        }
    }
}

/// The files and the way to change them.
///
/// # Errors
/// When this daemon runs without files.
pub fn generations(web: &Shared) -> Result<&Generations, ApiError> {
    web.generations.as_deref().ok_or_else(|| ApiError::missing("this daemon runs without files of its own"))
}

pub(super) async fn list(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Json<Value>, ApiError> {
    let params = Params::parse(raw.as_deref().unwrap_or_default(), &["limit"])?;
    let limit = params.number("limit", 1, 1000)?.unwrap_or(50);
    let mut entries = history::entries(web.store.as_ref()).await?;
    entries.truncate(limit);
    let query = ExceptionQuery { cause: Some(REFUSED.to_owned()), ..ExceptionQuery::default() };
    let refused = web.store.exceptions(&query).await?.into_iter().next();
    let active = web.world.load().config.generation.clone();
    Ok(Json(json!({ "active": active, "refused": refused, "generations": entries })))
}

/// The newest entry of the generation, and its files; `active` stands for the one in force.
async fn find(web: &Shared, name: &str) -> Result<(Entry, Vec<(String, String)>), ApiError> {
    let active = web.world.load().config.generation.clone();
    let name = if name == "active" { active.as_str() } else { name };
    let entries = history::entries(web.store.as_ref()).await?;
    let missing = || ApiError::missing(format!("there is no generation {name}"));
    let entry = entries.into_iter().find(|entry| entry.generation == name).ok_or_else(missing)?;
    let files = history::files(web.store.as_ref(), name).await?.ok_or_else(missing)?;
    Ok((entry, files.into_iter().collect()))
}

pub(super) async fn show(State(web): State<Web>, Path(name): Path<String>) -> Result<Json<Value>, ApiError> {
    let (entry, files) = find(&web, &name).await?;
    let files: Vec<Value> =
        files.into_iter().map(|(path, digest)| json!({ "path": path, "digest": digest })).collect();
    Ok(Json(json!({ "generation": entry, "files": files })))
}

pub(super) async fn file(
    State(web): State<Web>,
    Path(name): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Response, ApiError> {
    let params = Params::parse(raw.as_deref().unwrap_or_default(), &["path"])?;
    let path = params.text("path").ok_or_else(|| ApiError::bad("parameter `path` is missing"))?;
    let (_, files) = find(&web, &name).await?;
    let known = files.iter().map(|(path, _)| path.as_str());
    let Some((_, digest)) = files.iter().find(|(known, _)| *known == path) else {
        return Err(
            ApiError::missing(format!("generation {name} has no file `{path}`")).nearest(&path, known)
        );
    };
    let text = history::text(web.store.as_ref(), digest).await?;
    let text = text.ok_or_else(|| ApiError::missing(format!("the text of `{path}` is not kept")))?;
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response())
}

pub(super) async fn propose(
    State(web): State<Web>,
    Body(change): Body<Change>,
) -> Result<Response, ApiError> {
    if change.files.is_empty() {
        return Err(
            ApiError::bad("nothing to change").help("give `files`: path to text, or to null to remove one")
        );
    }
    Ok(said(generations(&web)?.propose(change).await?))
}

/// Who asks to read the files again.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Reload {
    by: Option<String>,
}

pub(super) async fn reload(State(web): State<Web>, Body(asked): Body<Reload>) -> Result<Response, ApiError> {
    let by = asked.by.filter(|by| !by.trim().is_empty()).unwrap_or_else(|| "a person".to_owned());
    Ok(said(generations(&web)?.reload(&by).await?))
}

/// 200, or 422 with the same answer when the files were refused.
fn said(answer: Answer) -> Response {
    let status =
        if answer.outcome == Outcome::Refused { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    (status, Json(answer)).into_response()
}

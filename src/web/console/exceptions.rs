//! Exceptions, grouped by cause: solve the cause once, try all of them again.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{Html, Redirect};

use super::{ErrorPage, Shell, begin, form, html, render};
use crate::ports::{CauseRow, Exception, ExceptionQuery};
use crate::web::error::ApiError;
use crate::web::query::Params;
use crate::web::{Web, api, decide, say};

#[derive(Template)]
#[template(path = "exceptions.html")]
struct Causes {
    shell: Shell,
    causes: Vec<CauseRow>,
}

#[derive(Template)]
#[template(path = "cause.html")]
struct Cause {
    shell: Shell,
    cause: CauseRow,
    rows: Vec<Exception>,
    next: Option<String>,
}

#[derive(Template)]
#[template(path = "exception.html")]
struct One {
    shell: Shell,
    exception: Exception,
}

pub(super) async fn list(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Html<String>, ErrorPage> {
    let params = Params::parse(raw.as_deref().unwrap_or_default(), &["cause", "before", "retried"])?;
    let (mut shell, _, _) = begin(&web, "exceptions").await?;
    shell.notice = params
        .number("retried", 0, usize::MAX)?
        .map(|count| format!("{} being tried again.", say::count(count, "exception is", "exceptions are")));
    let Some(cause) = params.text("cause") else {
        let causes = web.store.causes(&ExceptionQuery::default()).await?;
        return render(&Causes { shell, causes });
    };
    let query = ExceptionQuery {
        cause: Some(cause.clone()),
        before: params.number("before", 1, i64::MAX)?,
        ..ExceptionQuery::default()
    };
    let row = web.store.causes(&ExceptionQuery { before: None, ..query.clone() }).await?.into_iter().next();
    let Some(row) = row else {
        let causes = web.store.causes(&ExceptionQuery::default()).await?;
        shell.notice.get_or_insert_with(|| format!("Nothing is open any more for {cause}."));
        return render(&Causes { shell, causes });
    };
    let (rows, next) = api::exceptions_page(&web, &query).await?;
    let next = next.map(|before| {
        let before = before.to_string();
        format!("/exceptions{}", html::query(&[("cause", Some(&cause)), ("before", Some(&before))]))
    });
    render(&Cause { shell, cause: row, rows, next })
}

pub(super) async fn show(State(web): State<Web>, Path(id): Path<String>) -> Result<Html<String>, ErrorPage> {
    let (shell, _, _) = begin(&web, "exceptions").await?;
    let id = id.parse().map_err(|_| ApiError::missing(format!("`{id}` is no exception's number")))?;
    let exception = api::exception(&web, id).await?;
    render(&One { shell, exception })
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

//! The console: pages for people, rendered here, kept live by a little script. Every page works without the script.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, get, post};

use super::error::ApiError;
use super::query::Params;
use super::{Shared, Web, auth};
use crate::config::world::World;
use crate::ports::Counts;

mod accounts;
mod bench;
mod exceptions;
mod html;
mod mappings;
mod message;
mod nodes;
mod order;
mod orders;
mod overview;

/// Method, path and handler of the pages that a log-in guards.
pub fn routes() -> Vec<(&'static str, &'static str, MethodRouter<Web>)> {
    vec![
        ("get", "/", get(overview::show)),
        ("get", "/orders", get(orders::list)),
        ("get", "/orders/{name}", get(order::show)),
        ("post", "/orders/{name}/decide", post(order::decide)),
        ("get", "/exceptions", get(exceptions::list)),
        ("get", "/exceptions/{id}", get(exceptions::show)),
        ("post", "/exceptions/retry", post(exceptions::retry)),
        ("post", "/exceptions/dismiss", post(exceptions::dismiss)),
        ("get", "/accounts", get(accounts::list)),
        ("get", "/nodes", get(nodes::list)),
        ("get", "/mappings", get(mappings::list)),
        ("get", "/mappings/{connector}/{name}", get(mappings::show).post(mappings::act)),
        ("post", "/mappings/{connector}/{name}/preview", post(mappings::preview)),
        ("get", "/messages/{id}", get(message::show)),
        ("post", "/logout", post(log_out)),
    ]
}

/// Method, path and handler of the pages that anyone may see.
pub fn open_routes() -> Vec<(&'static str, &'static str, MethodRouter<Web>)> {
    vec![("get", "/login", get(log_in_page).post(log_in))]
}

/// What stands around every page.
struct Shell {
    /// Which entry of the navigation is the present one.
    here: &'static str,
    /// Open exceptions.
    exceptions: u64,
    /// Whether there is a log-in to end.
    signed_in: bool,
    /// What was just done, in words.
    notice: Option<String>,
}

impl Shell {
    fn new(web: &Shared, here: &'static str, counts: &Counts) -> Self {
        let exceptions = counts.exceptions.iter().map(|(_, count)| count).sum();
        Self { here, exceptions, signed_in: web.token().is_some(), notice: None }
    }
}

/// What a page needs first: the counts and the generation in force.
async fn begin(web: &Shared, here: &'static str) -> Result<(Shell, Counts, Arc<World>), ErrorPage> {
    let counts = web.store.counts().await.map_err(ApiError::from)?;
    Ok((Shell::new(web, here, &counts), counts, web.world.load_full()))
}

fn render(page: &impl Template) -> Result<Html<String>, ErrorPage> {
    page.render().map(Html).map_err(|error| {
        ErrorPage(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("the page cannot be shown: {error}"),
        ))
    })
}

/// An error as a page.
#[derive(Debug)]
pub struct ErrorPage(ApiError);

impl From<ApiError> for ErrorPage {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<crate::ports::StoreError> for ErrorPage {
    fn from(error: crate::ports::StoreError) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorView {
    status: u16,
    error: String,
    help: Option<String>,
}

impl IntoResponse for ErrorPage {
    fn into_response(self) -> Response {
        let ApiError { status, error, help } = self.0;
        let page = ErrorView { status: status.as_u16(), error: error.clone(), help };
        match page.render() {
            Ok(text) => (status, Html(text)).into_response(),
            Err(_) => (status, error).into_response(),
        }
    }
}

/// What no other route answers: a page for people, JSON for programs.
pub async fn unknown(request: Request) -> Response {
    let accepts = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accepts.is_some_and(|accepts| accepts.contains("text/html")) {
        let error = ApiError::missing("There is no such page.");
        return ErrorPage(error.help("The address may be mistyped, or what it named is gone."))
            .into_response();
    }
    super::api::unknown(&request).into_response()
}

#[derive(Template)]
#[template(path = "login.html")]
struct LogIn {
    next: String,
    wrong: bool,
}

/// A target on this site, never an address elsewhere.
fn own_path(given: Option<String>) -> String {
    given
        .filter(|path| path.starts_with('/') && !path.starts_with("//") && !path.contains('\\'))
        .unwrap_or_else(|| "/".to_owned())
}

async fn log_in_page(request: Request) -> Result<Response, ErrorPage> {
    let params = Params::parse(request.uri().query().unwrap_or_default(), &["next"])?;
    Ok(render(&LogIn { next: own_path(params.text("next")), wrong: false })?.into_response())
}

async fn log_in(State(web): State<Web>, headers: HeaderMap, body: Bytes) -> Result<Response, ErrorPage> {
    auth::same_origin(&web, &headers)?;
    let form = form(&body, &["token", "next"])?;
    let next = own_path(form.text("next"));
    let Some(token) = &web.token() else { return Ok(Redirect::to(&next).into_response()) };
    if !auth::is_token(token, &form.text("token").unwrap_or_default()) {
        tracing::warn!("a log-in with a wrong token");
        let page = render(&LogIn { next, wrong: true })?;
        return Ok((StatusCode::UNAUTHORIZED, page).into_response());
    }
    let secure = web.world.load().config.server.public_url.starts_with("https://");
    let cookie = auth::log_in(token, web.clock.now(), secure);
    Ok(with_cookie(Redirect::to(&next).into_response(), cookie))
}

async fn log_out() -> Response {
    with_cookie(Redirect::to("/login").into_response(), Some(auth::log_out()))
}

fn with_cookie(mut response: Response, cookie: Option<String>) -> Response {
    if let Some(value) = cookie.and_then(|cookie| HeaderValue::from_str(&cookie).ok()) {
        response.headers_mut().insert(header::SET_COOKIE, value);
    }
    response
}

/// Reads a posted form.
fn form(body: &Bytes, known: &[&str]) -> Result<Params, ApiError> {
    let text = std::str::from_utf8(body).map_err(|_| ApiError::bad("the form is no UTF-8"))?;
    Params::parse(text, known)
}

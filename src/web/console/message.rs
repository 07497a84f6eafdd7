//! The raw message behind a fact. Personal data is covered until it is asked for.

use askama::Template;
use axum::extract::{Path, RawQuery, State};
use axum::response::Html;

use super::{ErrorPage, Shell, begin, html, render};
use crate::ports::{Message, MessageState, Origin};
use crate::web::pretty::pretty;
use crate::web::query::Params;
use crate::web::view::order;
use crate::web::{Web, api, say};

#[derive(Template)]
#[template(path = "message.html")]
struct Page {
    shell: Shell,
    message: Message,
    origin: &'static str,
    state: &'static str,
    /// The body laid out; `None` when it is no text or gone.
    body: Option<String>,
    /// Whether personal data is covered in it.
    covered: bool,
    /// The order from which the reader came, and what this message told of it.
    order: Option<(String, Vec<(String, String)>)>,
}

pub(super) async fn show(
    State(web): State<Web>,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Html<String>, ErrorPage> {
    let params = Params::parse(raw.as_deref().unwrap_or_default(), &["order", "personal"])?;
    let (shell, _, _) = begin(&web, "orders").await?;
    let message = api::message(&web, &id).await?;
    let covered = !params.flag("personal")?;
    let text = std::str::from_utf8(&message.content.body).ok().filter(|text| !text.is_empty());
    let body = text.and_then(|text| match pretty(text, covered) {
        Some(laid) => Some(laid),
        None if covered => None,
        None => Some(text.to_owned()),
    });
    let order = match params.text("order") {
        Some(name) => {
            let record = order::record(&*web.store, &name).await?;
            let facts = record.facts.iter().filter(|fact| fact.message == message.id);
            let told = facts.map(say::fact).map(|said| (said.title, said.text)).collect();
            Some((record.id.0, told))
        }
        None => None,
    };
    let origin = match message.content.origin {
        Origin::Webhook => "webhook",
        Origin::Poll => "poll",
        Origin::Answer => "answer to a command",
        Origin::File => "file",
        Origin::Fact => "our own",
    };
    let state = match message.state {
        MessageState::Pending => "pending",
        MessageState::Done => "done",
        MessageState::Excepted => "excepted",
    };
    render(&Page { shell, message, origin, state, body, covered, order })
}

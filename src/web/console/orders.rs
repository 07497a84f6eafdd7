//! The list of orders: search, filters, pages.

use askama::Template;
use axum::extract::{RawQuery, State};
use axum::response::{Html, IntoResponse, Redirect, Response};

use super::{ErrorPage, Shell, begin, html, render};
use crate::canonical::{AccountId, ClientId, Phase};
use crate::ports::{OrderQuery, OrderRow};
use crate::web::view::order;
use crate::web::{Web, api, say};

#[derive(Template)]
#[template(path = "orders.html")]
struct Orders {
    shell: Shell,
    query: OrderQuery,
    rows: Vec<OrderRow>,
    phases: Vec<(Phase, u64)>,
    clients: Vec<ClientId>,
    storefronts: Vec<AccountId>,
    next: Option<String>,
    first: Option<String>,
    filtered: bool,
}

pub(super) async fn list(State(web): State<Web>, RawQuery(raw): RawQuery) -> Result<Response, ErrorPage> {
    let query = api::orders_query(&web, raw.as_deref().unwrap_or_default())?;
    let (shell, counts, world) = begin(&web, "orders").await?;
    if let Some(search) = query.search.as_deref().filter(|text| text.starts_with("ord_"))
        && order::record(&*web.store, search).await.is_ok()
    {
        return Ok(Redirect::to(&format!("/orders/{search}")).into_response());
    }
    let (rows, next) = api::orders_page(&web, &query).await?;
    let phases = Phase::ALL
        .into_iter()
        .map(|phase| {
            let found = counts.phases.iter().find(|(word, _)| word == phase.word());
            (phase, found.map_or(0, |(_, count)| *count))
        })
        .collect();
    let flows = || world.config.flows.values();
    let mut clients: Vec<ClientId> = flows().map(|flow| flow.client.clone()).collect();
    let mut storefronts: Vec<AccountId> = flows().flat_map(|flow| flow.storefronts.clone()).collect();
    clients.sort();
    clients.dedup();
    storefronts.sort();
    storefronts.dedup();
    let link = |after: Option<&str>| {
        let limit = query.limit.map(|limit| limit.to_string());
        let pairs = [
            ("search", query.search.as_deref()),
            ("phase", query.phase.as_deref()),
            ("client", query.client.as_deref()),
            ("account", query.account.as_deref()),
            ("limit", limit.as_deref()),
            ("after", after),
        ];
        format!("/orders{}", html::query(&pairs))
    };
    let filtered =
        [&query.search, &query.phase, &query.client, &query.account].into_iter().any(Option::is_some);
    let page: Html<String> = render(&Orders {
        next: next.map(|cursor| link(Some(&cursor))),
        first: query.after.as_ref().map(|_| link(None)),
        filtered,
        shell,
        rows,
        phases,
        clients,
        storefronts,
        query,
    })?;
    Ok(page.into_response())
}

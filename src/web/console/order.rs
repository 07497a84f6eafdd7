//! One order: where it stands, what every system said of it, what we did, and what a person may decide.

use askama::Template;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::response::{Html, Redirect};

use super::{ErrorPage, Shell, begin, form, html, render};
use crate::canonical::order::{Release, wait_in_words};
use crate::canonical::{Address, IntentState, MessageId, Phase};
use crate::ports::Exception;
use crate::web::decide::{self, Asked};
use crate::web::query::Params;
use crate::web::view::order::{Command, Entry, EntryKind, OrderView, view};
use crate::web::{Web, say};

#[derive(Template)]
#[template(path = "order.html")]
struct Page {
    shell: Shell,
    order: OrderView,
    /// The same for all forms of one rendering: a double click decides once.
    key: String,
}

impl Page {
    fn axes(&self) -> [(&'static str, &str); 5] {
        let axes = &self.order.state.axes;
        [
            ("Sale", &axes.sale),
            ("Payment", &axes.payment),
            ("Fulfilment", &axes.fulfilment),
            ("Delivery", &axes.delivery),
            ("Returns", &axes.returns),
        ]
    }
    fn command_of(&self, exception: &Exception) -> Option<&Command> {
        let id = exception.intent?;
        self.order
            .intents
            .iter()
            .find(|command| command.intent.id == id && (command.stuck() || command.rejected()))
    }
    fn holds(&self) -> Vec<(&str, &str)> {
        let state = &self.order.state;
        let told =
            state.holds.iter().map(|hold| (hold.hold.as_str(), hold.reason.as_deref().unwrap_or_default()));
        let rules = state.waits.iter().filter_map(|wait| Some((wait.strip_prefix("hold:")?, "")));
        let mut holds: Vec<(&str, &str)> = Vec::new();
        for (name, reason) in told.chain(rules) {
            if holds.iter().all(|(known, _)| *known != name) {
                holds.push((name, reason));
            }
        }
        holds
    }
    fn waits(&self) -> Vec<String> {
        let waits = self.order.state.waits.iter().filter(|wait| !wait.starts_with("hold:"));
        waits.map(|wait| wait_in_words(wait)).collect()
    }
    /// Whether only what no warehouse was told of waits.
    fn rest_waits(&self) -> bool {
        self.order.state.releases.iter().any(Release::told_of_part)
    }
    /// Who sends which part of an order that is split, and why.
    fn part(&self, release: &Release) -> Option<String> {
        let lines = &self.order.state.lines;
        let named = |(name, units): (&String, &u64)| {
            let line = lines.iter().find(|line| line.r#ref == *name);
            format!("{units} × {}", line.and_then(|line| line.sku.as_deref()).unwrap_or(name))
        };
        let units: Vec<String> = release.lines.iter().filter(|(_, units)| **units > 0).map(named).collect();
        let why = release.why.as_deref().map(|why| format!(" – {why}")).unwrap_or_default();
        (!units.is_empty()).then(|| format!("Sends {}{why}", units.join(", ")))
    }
    fn may_close(&self) -> bool {
        self.order.state.phase != Phase::Closed
    }
    fn may_cancel(&self) -> bool {
        self.may_close() && self.order.state.cancel.is_none()
    }
    /// The timeline, with what was told several times in one line.
    fn timeline(&self) -> Vec<Told<'_>> {
        let mut lines: Vec<Told<'_>> = Vec::new();
        for entry in &self.order.timeline {
            let same = |line: &&mut Told<'_>| {
                let first = line.entry;
                first.kind == EntryKind::Fact
                    && (&first.account, &first.title, &first.text)
                        == (&entry.account, &entry.title, &entry.text)
                    && (first.happened == entry.happened || first.part == "ours")
            };
            let near = lines.iter_mut().rev().take(NEAR).find(same).filter(|_| entry.kind == EntryKind::Fact);
            match near {
                Some(line) => line.messages.extend(entry.message),
                None => lines.push(Told { entry, messages: entry.message.into_iter().collect() }),
            }
        }
        lines
    }
    fn contact(&self) -> Vec<(&'static str, Vec<String>)> {
        let contact = &self.order.state.contact;
        let one = |text: &Option<String>| text.iter().cloned().collect::<Vec<_>>();
        let rows = [
            ("Ship to", contact.ship_to.as_ref().map(address).unwrap_or_default()),
            ("Bill to", contact.bill_to.as_ref().map(address).unwrap_or_default()),
            ("Email", one(&contact.email)),
            ("Phone", one(&contact.phone)),
            ("Note", one(&contact.note)),
            ("Gift card", one(&contact.gift_note)),
        ];
        rows.into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
    }
}

/// One line of the timeline, and all messages that told it.
struct Told<'a> {
    entry: &'a Entry,
    messages: Vec<MessageId>,
}

/// How many lines back the same is looked for.
const NEAR: usize = 16;

fn address(address: &Address) -> Vec<String> {
    let town: Vec<&str> = [&address.postal_code, &address.city, &address.region]
        .into_iter()
        .filter_map(|t| t.as_deref())
        .collect();
    let mut lines: Vec<String> = [&address.name, &address.company].into_iter().flatten().cloned().collect();
    lines.extend(address.street.iter().cloned());
    lines.push(town.join(" "));
    lines.extend(address.country.as_ref().map(|country| country.0.clone()));
    lines.retain(|line| !line.trim().is_empty());
    lines
}

pub(super) async fn show(
    State(web): State<Web>,
    Path(name): Path<String>,
    RawQuery(raw): RawQuery,
) -> Result<Html<String>, ErrorPage> {
    let params = Params::parse(raw.as_deref().unwrap_or_default(), &["done"])?;
    let (mut shell, _, world) = begin(&web, "orders").await?;
    shell.notice = params.text("done").and_then(|what| notice(&what)).map(str::to_owned);
    let order = view(&*web.store, &world.config, &name).await?;
    render(&Page { shell, order, key: format!("{:016x}", web.clock.random()) })
}

fn notice(what: &str) -> Option<&'static str> {
    Some(match what {
        "release_hold" => "The hold is let go. The order goes on in a moment.",
        "cancel" => "The order is being cancelled. The answers of warehouse and store will appear below.",
        "close" => "The order is being closed.",
        "exists" => "Noted: it exists there. Nothing is sent again.",
        "send_again" => "It is being sent again.",
        "retry" => "It is being tried again.",
        _ => return None,
    })
}

pub(super) async fn decide(
    State(web): State<Web>,
    Path(name): Path<String>,
    body: Bytes,
) -> Result<Redirect, ErrorPage> {
    let form = form(&body, &["what", "target", "note", "key"])?;
    let what = form.text("what").unwrap_or_default();
    let asked = Asked {
        what: what.clone(),
        target: form.text("target"),
        by: Some("console".to_owned()),
        note: form.text("note"),
        key: form.text("key"),
    };
    let decided = decide::order(&web, &name, asked).await?;
    Ok(Redirect::to(&format!("/orders/{}?done={what}", decided.entity)))
}

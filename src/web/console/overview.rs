//! What stands where, at a glance.

use askama::Template;
use axum::extract::State;
use axum::response::Html;
use jiff::Timestamp;

use super::{ErrorPage, Shell, begin, html, render};
use crate::canonical::Phase;
use crate::ports::{CauseRow, ExceptionQuery, OrderQuery, OrderRow};
use crate::web::view::account::{self, AccountView};
use crate::web::{Web, say};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    shell: Shell,
    groups: Vec<Group>,
    orders: u64,
    troubles: Vec<Trouble>,
    accounts: Vec<AccountView>,
    newest: Vec<OrderRow>,
    waiting: u64,
    pending: u64,
    now: Timestamp,
}

/// Open exceptions of one kind.
struct Trouble {
    kind: String,
    total: u64,
    message: String,
    /// The cause's page when there is one cause, else all of them.
    link: String,
}

struct Group {
    title: &'static str,
    tone: &'static str,
    total: u64,
    phases: Vec<(Phase, u64)>,
}

const GROUPS: [(&str, &str, &[Phase]); 5] = [
    (
        "Before the warehouse",
        "wait",
        &[Phase::Received, Phase::OnHold, Phase::AwaitingPayment, Phase::Backordered],
    ),
    ("At the warehouse", "work", &[Phase::Released, Phase::Picking, Phase::Packed]),
    ("On the way", "move", &[Phase::PartlyShipped, Phase::Shipped, Phase::InTransit]),
    ("Arrived or done", "done", &[Phase::Delivered, Phase::Returned, Phase::Closed]),
    ("Cancelled", "off", &[Phase::CancelRequested, Phase::Cancelled, Phase::CancelledAfterShipped]),
];

pub(super) async fn show(State(web): State<Web>) -> Result<Html<String>, ErrorPage> {
    let (shell, counts, world) = begin(&web, "overview").await?;
    let count = |phase: Phase| {
        counts.phases.iter().find(|(word, _)| word == phase.word()).map_or(0, |(_, count)| *count)
    };
    let groups: Vec<Group> = GROUPS
        .iter()
        .map(|(title, tone, phases)| {
            let phases: Vec<(Phase, u64)> = phases.iter().map(|phase| (*phase, count(*phase))).collect();
            Group { title, tone, total: phases.iter().map(|(_, count)| count).sum(), phases }
        })
        .collect();
    let troubles = troubles(&web.store.causes(&ExceptionQuery::default()).await?);
    let pending = counts.messages.iter().find(|(state, _)| state == "pending").map_or(0, |(_, count)| *count);
    render(&Overview {
        orders: groups.iter().map(|group| group.total).sum(),
        groups,
        troubles,
        accounts: account::all(&*web.store, &world).await?,
        newest: web.store.orders(&OrderQuery { limit: Some(8), ..OrderQuery::default() }).await?,
        waiting: counts.waiting,
        pending,
        now: web.clock.now(),
        shell,
    })
}

fn troubles(causes: &[CauseRow]) -> Vec<Trouble> {
    let mut troubles: Vec<Trouble> = Vec::new();
    for cause in causes {
        if let Some(known) = troubles.iter_mut().find(|known| known.kind == cause.kind) {
            known.total += cause.count;
            "/exceptions".clone_into(&mut known.link);
        } else {
            troubles.push(Trouble {
                kind: cause.kind.clone(),
                total: cause.count,
                message: cause.message.clone(),
                link: format!("/exceptions{}", html::query(&[("cause", Some(&cause.cause))])),
            });
        }
    }
    troubles
}

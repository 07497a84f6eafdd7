//! When goods should leave a warehouse by its calendar, and which have not.

use jiff::Timestamp;

use super::document::trouble;
use super::slot::newest;
use super::split::left;
use crate::canonical::order::Release;
use crate::canonical::{Exception, Intent, IntentState, Order, Timer, When};
use crate::config::model::Config;

/// Fills in until when each warehouse that has a calendar should send what it was told to.
pub(super) fn note(order: &mut Order, config: &Config, intents: &[Intent]) {
    for release in &mut order.releases {
        let calendar = config.accounts.get(&release.warehouse).and_then(|account| account.calendar.as_ref());
        let told = newest(intents, &format!("release/{}", release.warehouse))
            .filter(|intent| intent.state != IntentState::Rejected && !release.over());
        release.ship_by = calendar
            .zip(told)
            .and_then(|(calendar, told)| calendar.ship_by(told.created))
            .map(|at| When::new(at.timestamp(), at.offset()));
    }
}

/// Whether the warehouse has still to send some of what it was told.
fn owes(order: &Order, release: &Release) -> bool {
    order.axes.sale == "open"
        && order.cancel.is_none()
        && if release.in_part() {
            left(order, release)
        } else {
            order.lines.iter().any(|line| line.ships && line.open() > 0)
        }
}

/// What should have left and has not.
pub(super) fn find(order: &Order, now: Timestamp) -> Vec<Exception> {
    let late = |release: &&Release| release.ship_by.is_some_and(|due| due.instant() <= now);
    let mut found = Vec::new();
    for release in order.releases.iter().filter(late).filter(|release| owes(order, release)) {
        let Some(due) = release.ship_by else { continue };
        let warehouse = &release.warehouse;
        let message = format!("should have left {warehouse} by {}", due.local());
        let help = format!("ask {warehouse} what keeps it; this goes by itself when the goods leave");
        let one = trouble(order, "late_shipment", format!("late_shipment:{warehouse}"), message);
        found.push(one.with(warehouse, help).0);
    }
    found
}

/// What is to be looked at again once the time to leave is there, unless that is set already.
pub(super) fn timers(order: &Order, before: Option<&Order>, now: Timestamp) -> Vec<Timer> {
    let owed = |old: &Release| before.is_some_and(|before| owes(before, old));
    let known = |release: &Release| {
        before
            .into_iter()
            .flat_map(|before| &before.releases)
            .any(|old| old.warehouse == release.warehouse && old.ship_by == release.ship_by && owed(old))
    };
    let open = order.releases.iter().filter(|release| !known(release) && owes(order, release));
    let due = open.filter_map(|release| Some((release, release.ship_by?.instant())));
    due.filter(|(_, due)| *due > now)
        .map(|(release, due)| Timer {
            entity: order.id.clone(),
            kind: format!("ship_by/{}", release.warehouse),
            // A later word counts, also where it names an earlier time.
            generation: u64::try_from(now.as_millisecond()).unwrap_or(0),
            due,
        })
        .collect()
}

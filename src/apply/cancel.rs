//! Whether the order is cancelled, and what came of it.

use super::ledger::{Age, Ledger};
use super::project::Draft;
use super::warehouse::behind;
use crate::canonical::order::CancelState;
use crate::canonical::{Body, IntentState};

/// Fills in the cancellation and the units cancelled. Shipments and releases must be known.
pub(super) fn project(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    let storefront = draft.order.storefront.clone();
    // The storefront cancels, or a person here does; a warehouse's cancellation is its release's affair.
    let wish = ledger
        .all()
        .filter_map(|fact| match &fact.body {
            Body::Cancelled(told) if fact.account == storefront => Some((fact, told.reason.clone())),
            Body::Decision(told) if told.what == "cancel" => Some((fact, told.note.clone())),
            _ => None,
        })
        .min_by_key(|(fact, _)| Age::of(fact));
    for index in 0..draft.order.lines.len() {
        let wanted = if wish.is_some() { 0 } else { draft.wanted(index) };
        let line = &mut draft.order.lines[index];
        // What left cannot be taken off any more.
        line.cancelled = line.ordered.saturating_sub(wanted.max(line.shipped));
    }
    if let Some((fact, reason)) = wish {
        let outcome = outcome(draft).to_owned();
        let by_storefront =
            ledger.all().any(|fact| matches!(fact.body, Body::Cancelled(_)) && fact.account == storefront);
        draft.order.cancel = Some(CancelState { at: fact.header.at, reason, by_storefront, outcome });
    }
}

fn outcome(draft: &Draft<'_>) -> &'static str {
    if draft.order.shipments.iter().any(|shipment| !shipment.voided) {
        return "too_late";
    }
    let mut outcome = "in_time";
    for release in &draft.order.releases {
        if !release.is_there() {
            continue;
        }
        let refused = draft.intents.iter().any(|intent| {
            behind(&intent.slot, "cancel") == Some(release.warehouse.as_str())
                && intent.state == IntentState::Rejected
        });
        if refused {
            return "too_late";
        }
        outcome = "asked";
    }
    outcome
}

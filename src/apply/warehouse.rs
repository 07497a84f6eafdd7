//! What warehouses were told, and how far they are.

use std::collections::BTreeSet;

use serde_json::Value;

use super::ledger::{Age, Ledger};
use super::project::Draft;
use crate::canonical::fact::{Part, Progress};
use crate::canonical::order::Release;
use crate::canonical::{AccountId, Body, Fact, Intent, IntentState};

/// The part of a slot behind its kind: the warehouse of `release/east`.
pub(super) fn behind<'s>(slot: &'s str, kind: &str) -> Option<&'s str> {
    slot.strip_prefix(kind)?.strip_prefix('/')
}

/// The newest document that the warehouse was told and did not refuse.
fn told_last<'a>(draft: &Draft<'a>, warehouse: &str) -> Option<&'a Intent> {
    draft
        .intents
        .iter()
        .filter(|intent| intent.state.told() && intent.state != IntentState::Rejected)
        .filter_map(|intent| {
            let change = behind(&intent.slot, "change");
            let rank = (change.is_some(), intent.generation);
            (change.or_else(|| behind(&intent.slot, "release")) == Some(warehouse)).then_some((rank, *intent))
        })
        .max_by_key(|(rank, _)| *rank)
        .map(|(_, intent)| intent)
}

/// Learns from what was sent how each warehouse calls our lines, and how many units it was told to send.
pub(super) fn told(draft: &mut Draft<'_>) {
    let warehouses: BTreeSet<String> = draft
        .intents
        .iter()
        .filter_map(|intent| behind(&intent.slot, "release"))
        .map(ToOwned::to_owned)
        .collect();
    for name in warehouses {
        let warehouse = AccountId(name);
        let Some(intent) = told_last(draft, warehouse.as_str()) else { continue };
        let Some(lines) =
            intent.sent_content.as_ref().and_then(|content| content.get("lines")).and_then(Value::as_array)
        else {
            continue;
        };
        for line in lines {
            let text = |key: &str| line.get(key).and_then(Value::as_str);
            let number = |key: &str| line.get(key).and_then(Value::as_u64);
            let Some(index) =
                text("ref").and_then(|name| draft.order.lines.iter().position(|line| line.r#ref == name))
            else {
                continue;
            };
            let theirs = number("quantity").unwrap_or(0);
            let ours = number("units").unwrap_or(theirs);
            if let Some(sku) = text("sku") {
                draft.learn(&warehouse, index, sku, theirs, ours);
            }
            let line = &mut draft.order.lines[index];
            line.released = line.released.saturating_add(ours);
        }
    }
}

fn progress(body: &Body) -> Option<(u8, &'static str, &Progress)> {
    Some(match body {
        Body::Accepted(told) => (2, "accepted", told),
        Body::Allocated(told) => (3, "allocated", told),
        Body::Backordered(told) => (3, "backordered", told),
        Body::Picked(told) => (4, "picked", told),
        Body::Packed(told) => (5, "packed", told),
        Body::Rejected(told) => (7, "rejected", told),
        Body::WarehouseCancelled(told) => (8, "cancelled", told),
        _ => return None,
    })
}

/// Fills in the releases and the units allocated, picked and packed. Shipments must be known.
pub(super) fn project(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    let mut warehouses: BTreeSet<AccountId> = draft
        .intents
        .iter()
        .filter_map(|intent| behind(&intent.slot, "release"))
        .map(AccountId::from)
        .collect();
    let storefront = draft.order.storefront.clone();
    warehouses.extend(
        ledger
            .pick(|body| (progress(body).is_some() || matches!(body, Body::Shipped(_))).then_some(()))
            .map(|(fact, ())| fact.account.clone())
            .filter(|account| *account != storefront),
    );
    draft.order.releases = warehouses.iter().map(|warehouse| release(draft, ledger, warehouse)).collect();
    units(draft, ledger, "allocated", |line, units| line.allocated = units);
    units(draft, ledger, "picked", |line, units| line.picked = units);
    units(draft, ledger, "packed", |line, units| line.packed = units);
    for line in &mut draft.order.lines {
        line.packed = line.packed.max(line.shipped.min(line.ordered));
        line.picked = line.picked.max(line.packed);
        line.allocated = line.allocated.max(line.picked);
    }
}

/// Where one warehouse stands: the furthest word, where allocated and backordered are equally far and the newer of the
/// two counts. Goods that left beat everything; a refusal or a cancellation beats everything else.
fn release(draft: &Draft<'_>, ledger: &Ledger<'_>, warehouse: &AccountId) -> Release {
    let newest = |kind: &str| {
        draft
            .intents
            .iter()
            .filter(|intent| behind(&intent.slot, kind) == Some(warehouse.as_str()))
            .max_by_key(|intent| intent.generation)
    };
    let (mut rank, mut state, mut reason) = (0_u8, "intended", None);
    match newest("release").map(|intent| intent.state) {
        // What waits for a retry was surely not done.
        None | Some(IntentState::Pending | IntentState::Retry | IntentState::Withdrawn) => {}
        Some(IntentState::InFlight | IntentState::Unknown | IntentState::Stuck) => {
            (rank, state) = (1, "sent");
        }
        Some(IntentState::Done) => (rank, state) = (2, "accepted"),
        Some(IntentState::Rejected) => {
            (rank, state) = (1, "rejected");
            reason = newest("release").and_then(|intent| intent.error.clone());
        }
    }
    let mut named: Option<(&Fact, String)> = None;
    let mut age: Option<Age> = None;
    let mut heard = false;
    for fact in ledger.all().filter(|fact| fact.account == *warehouse) {
        if let Some(name) = fact.header.warehouse_order.as_ref().or(fact.header.order.as_ref())
            && named.as_ref().is_none_or(|(known, _)| Age::of(known) < Age::of(fact))
        {
            named = Some((fact, name.clone()));
        }
        heard |= matches!(fact.body, Body::Shipped(_));
        let Some((further, word, told)) = progress(&fact.body) else { continue };
        heard = true;
        let newer = age.as_ref().is_none_or(|age| *age < Age::of(fact));
        if further > rank || (further == rank && newer) {
            (rank, state, reason) = (further, word, told.reason.clone());
            age = Some(Age::of(fact));
        }
    }
    if newest("cancel").is_some_and(|intent| intent.state == IntentState::Done) && rank < 8 {
        (state, reason) = ("cancelled", None);
    }
    if draft.order.shipments.iter().any(|shipment| shipment.account == *warehouse && !shipment.voided) {
        (state, reason) = ("shipped", None);
    }
    Release {
        warehouse: warehouse.clone(),
        r#ref: named.map(|(_, name)| name),
        heard,
        state: state.to_owned(),
        reason,
    }
}

/// Units of each line at a stage: the most that a single fact tells, since some warehouses repeat what they said. A fact
/// without lines concerns all units that are wanted.
fn units(
    draft: &mut Draft<'_>,
    ledger: &Ledger<'_>,
    stage: &str,
    set: impl Fn(&mut crate::canonical::order::OrderLine, u64),
) {
    let mut most = vec![0_u64; draft.order.lines.len()];
    for fact in ledger.all() {
        let Some((_, word, told)) = progress(&fact.body) else { continue };
        if word != stage {
            continue;
        }
        let mut here = vec![0_u64; most.len()];
        if told.lines.is_empty() {
            for (index, units) in here.iter_mut().enumerate() {
                if draft.order.lines[index].ships {
                    *units = draft.wanted(index);
                }
            }
        }
        for part in &told.lines {
            spread(draft, &fact.account, part, &mut here);
        }
        for (most, here) in most.iter_mut().zip(here) {
            *most = (*most).max(here);
        }
    }
    for (line, units) in draft.order.lines.iter_mut().zip(most) {
        set(line, units);
    }
}

fn spread(draft: &mut Draft<'_>, account: &AccountId, part: &Part, units: &mut [u64]) {
    let lines = draft.lines_of(Some(account), part);
    if lines.is_empty() {
        draft.unknown_line(account, part);
    }
    let mut left = part.quantity;
    for index in lines {
        let (theirs, ours) = draft.ratio(account, index);
        let here = left.saturating_mul(ours) / theirs.max(1);
        let room = draft.order.lines[index].ordered.saturating_sub(units[index]);
        let taken = here.min(room);
        units[index] = units[index].saturating_add(taken);
        left = left.saturating_sub(taken.saturating_mul(theirs) / ours.max(1));
    }
}

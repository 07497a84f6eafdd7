//! What warehouses were told, and how far they are.

use std::collections::{BTreeMap, BTreeSet};

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
        let sent = intent.sent_content.as_ref().and_then(|content| content.get("lines"));
        let planned = intent.args.get("lines").and_then(Value::as_object);
        let mut part = vec![0_u64; draft.order.lines.len()];
        let Some(lines) = sent.and_then(Value::as_array) else {
            for (index, line) in draft.order.lines.iter().enumerate() {
                let units = planned.and_then(|planned| planned.get(&line.r#ref)).and_then(Value::as_u64);
                part[index] = units.unwrap_or(0);
            }
            if planned.is_some() {
                draft.parts.insert(warehouse, part);
            }
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
            part[index] = part[index].saturating_add(ours);
            let line = &mut draft.order.lines[index];
            line.released = line.released.saturating_add(ours);
        }
        if planned.is_some() {
            draft.parts.insert(warehouse, part);
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
    released(draft);
    units(draft, ledger, "allocated", |line, units| line.allocated = units);
    units(draft, ledger, "picked", |line, units| line.picked = units);
    units(draft, ledger, "packed", |line, units| line.packed = units);
    for line in &mut draft.order.lines {
        line.packed = line.packed.max(line.shipped.min(line.ordered));
        line.picked = line.picked.max(line.packed);
        line.allocated = line.allocated.max(line.picked);
    }
}

/// Units released of an order that is split: what a warehouse was told and will not send is with another one by now.
fn released(draft: &mut Draft<'_>) {
    if draft.parts.is_empty() {
        return;
    }
    for index in 0..draft.order.lines.len() {
        let units =
            draft.order.releases.iter().filter(|release| !release.over()).fold(0_u64, |sum, release| {
                let part = draft.parts.get(&release.warehouse).and_then(|part| part.get(index));
                sum.saturating_add(part.copied().unwrap_or(0))
            });
        let line = &mut draft.order.lines[index];
        line.released = units.max(line.shipped.min(line.released));
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
        lines: BTreeMap::new(),
        told: part_of(draft, warehouse),
        why: None,
        ship_by: None,
    }
}

/// The part of an order that is split of which the warehouse was told.
fn part_of(draft: &Draft<'_>, warehouse: &AccountId) -> BTreeMap<String, u64> {
    let part = draft.parts.get(warehouse).into_iter().flatten();
    draft.order.lines.iter().zip(part).map(|(line, units)| (line.r#ref.clone(), *units)).collect()
}

/// Units of each line at a stage: the most that a single fact tells, since some warehouses repeat what they said. A fact
/// without lines concerns all units that its warehouse was told of. Of an order that is split, each warehouse counts for
/// itself.
fn units(
    draft: &mut Draft<'_>,
    ledger: &Ledger<'_>,
    stage: &str,
    set: impl Fn(&mut crate::canonical::order::OrderLine, u64),
) {
    let none = vec![0_u64; draft.order.lines.len()];
    let mut by_warehouse: BTreeMap<Option<&AccountId>, Vec<u64>> = BTreeMap::new();
    for fact in ledger.all() {
        let Some((_, word, told)) = progress(&fact.body) else { continue };
        if word != stage {
            continue;
        }
        let mut here = none.clone();
        if told.lines.is_empty() {
            for (index, units) in here.iter_mut().enumerate() {
                if draft.order.lines[index].ships {
                    *units = draft.meant(&fact.account, index);
                }
            }
        }
        for part in &told.lines {
            spread(draft, &fact.account, part, &mut here);
        }
        let who = Some(&fact.account).filter(|_| !draft.parts.is_empty());
        let most = by_warehouse.entry(who).or_insert_with(|| none.clone());
        for (most, here) in most.iter_mut().zip(here) {
            *most = (*most).max(here);
        }
    }
    let mut all = none;
    for most in by_warehouse.into_values() {
        for (all, most) in all.iter_mut().zip(most) {
            *all = all.saturating_add(most);
        }
    }
    for (line, units) in draft.order.lines.iter_mut().zip(all) {
        set(line, units.min(line.ordered));
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

//! What the storefront says of the order: its newest snapshot, and the movements that the snapshot does not hold yet.

use std::cmp::Ordering;

use super::ledger::{Age, Ledger, Version};
use super::project::Draft;
use crate::canonical::fact::{Line, Part, Placed};
use crate::canonical::order::{Contact, HoldState, OrderLine, RefundState};
use crate::canonical::{Body, Fact, When};

/// Fills in the sale: head, lines, units taken off, holds.
pub(super) fn project(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    let snapshot = ledger
        .pick(|body| if let Body::Placed(placed) = body { Some(placed) } else { None })
        .filter(|(fact, _)| fact.account == draft.order.storefront)
        .max_by_key(|(fact, _)| Age::of(fact));
    if let Some((fact, placed)) = snapshot {
        head(draft, ledger, fact, placed);
        let parents: Vec<&str> = placed.lines.iter().filter_map(|line| line.parent.as_deref()).collect();
        draft.order.lines = placed.lines.iter().map(|line| order_line(line, &parents)).collect();
        draft.off = vec![0; draft.order.lines.len()];
        take_off(draft, ledger, fact, placed);
    }
    refunds(draft, ledger);
    holds(draft, ledger);
}

fn head(draft: &mut Draft<'_>, ledger: &Ledger<'_>, fact: &Fact, placed: &Placed) {
    draft.placed = true;
    let order = &mut draft.order;
    order.r#ref = fact.header.order.clone().unwrap_or_default();
    // A snapshot that leaves out the number or the instant does not take it back.
    let known = |told: fn(&Fact) -> bool| {
        ledger
            .pick(|body| matches!(body, Body::Placed(_)).then_some(()))
            .map(|(fact, ())| fact)
            .filter(|other| other.account == fact.account && told(other))
            .max_by_key(|other| Age::of(other))
    };
    order.number = known(|fact| fact.header.number.is_some()).and_then(|fact| fact.header.number.clone());
    order.placed_at = known(|fact| fact.header.at.is_some()).and_then(|fact| fact.header.at);
    order.version.clone_from(&fact.header.version);
    order.channel.clone_from(&placed.channel);
    order.currency = placed.currency.or(placed.total.map(|total| total.currency()));
    order.total = placed.total;
    order.presentment_total = placed.presentment_total;
    let priced = priced(ledger, fact, placed);
    order.current_total = priced.and_then(|placed| placed.current_total);
    order.current_presentment_total = priced.and_then(|placed| placed.current_presentment_total);
    order.subtotal = placed.subtotal;
    order.tax = placed.tax;
    order.discount = placed.discount;
    order.terms.clone_from(&placed.terms);
    order.test = placed.test;
    order.contact = Contact {
        email: placed.email.clone(),
        phone: placed.phone.clone(),
        ship_to: placed.ship_to.clone(),
        bill_to: placed.bill_to.clone(),
        note: placed.note.clone(),
        gift_note: placed.gift_note.clone(),
    };
    order.discounts.clone_from(&placed.discounts);
    order.charges.clone_from(&placed.charges);
    order.taxes.clone_from(&placed.taxes);
    order.ship_method.clone_from(&placed.ship_method);
    order.tags.clone_from(&placed.tags);
    order.extra.clone_from(&placed.extra);
    if let Some(terms) = placed.terms.as_deref()
        && !["paid", "unpaid"].contains(&terms)
    {
        draft.unknown_word(&fact.account, "terms", terms);
    }
}

/// The snapshot that tells what the order comes to now: the newest; of an order that the storefront cancelled the newest
/// from before, because a cancellation takes off what may have left already.
fn priced<'a>(ledger: &Ledger<'a>, newest: &Fact, placed: &'a Placed) -> Option<&'a Placed> {
    let cancelled = ledger
        .pick(|body| matches!(body, Body::Cancelled(_)).then_some(()))
        .filter(|(fact, ())| fact.account == newest.account)
        .filter_map(|(fact, ())| fact.header.at)
        .min();
    let Some(cancelled) = cancelled.map(|at| Version::Time(at.instant())) else { return Some(placed) };
    ledger
        .pick(|body| if let Body::Placed(placed) = body { Some(placed) } else { None })
        .filter(|(fact, _)| fact.account == newest.account)
        .filter(|(fact, _)| {
            let version = Version::read(fact.header.version.as_deref());
            version.against(&cancelled).is_some_and(Ordering::is_lt)
        })
        .max_by_key(|(fact, _)| Age::of(fact))
        .map(|(_, placed)| placed)
}

fn order_line(line: &Line, parents: &[&str]) -> OrderLine {
    OrderLine {
        r#ref: line.r#ref.clone(),
        sku: line.sku.clone().filter(|sku| !sku.trim().is_empty()),
        title: line.title.clone(),
        ships: line.ships.unwrap_or(!parents.contains(&line.r#ref.as_str())),
        parent: line.parent.clone(),
        unit_price: line.unit_price,
        discount: line.discount,
        tax: line.tax,
        weight: line.weight,
        ordered: line.quantity.max(line.current.unwrap_or(0)),
        ..OrderLine::default()
    }
}

/// Whether `fact` happened after the snapshot was made. `None` when their versions do not compare.
fn after(fact: &Fact, snapshot: &Fact) -> Option<bool> {
    let held = Version::read(snapshot.header.version.as_deref());
    let own = Version::read(fact.header.version.as_deref());
    let at = fact.header.at.map_or(Version::None, |at| Version::Time(at.instant()));
    own.against(&held).or_else(|| at.against(&held)).map(|order| order == Ordering::Greater)
}

/// Units taken off: what the snapshot holds itself, and the edits and refunds since.
fn take_off(draft: &mut Draft<'_>, ledger: &Ledger<'_>, snapshot: &Fact, placed: &Placed) {
    let count = draft.order.lines.len();
    // Units that came off before, since, and at a moment that does not compare; and units refunded after they had left.
    let (mut before, mut since, mut unclear, mut back) =
        (vec![0_u64; count], vec![0_u64; count], vec![0_u64; count], vec![0_u64; count]);
    for (fact, edited) in
        ledger.pick(|body| if let Body::Edited(edited) = body { Some(edited) } else { None })
    {
        if fact.account != draft.order.storefront || after(fact, snapshot) != Some(true) {
            continue;
        }
        for part in &edited.added {
            add(draft, part);
        }
        since.resize(draft.order.lines.len(), 0);
        for part in &edited.removed {
            spread(draft, fact, part, &mut since);
        }
    }
    for list in [&mut before, &mut unclear, &mut back] {
        list.resize(draft.order.lines.len(), 0);
    }
    for (_, (fact, refund)) in ledger.newest(
        |body| if let Body::RefundAsked(refund) = body { Some(refund) } else { None },
        |fact| super::ledger::name_of(fact, &[&fact.header.r#ref]),
    ) {
        let newer = after(fact, snapshot);
        for part in &refund.lines {
            let list = match newer {
                _ if part.reason.as_deref() == Some("return") => {
                    if newer != Some(true) {
                        spread(draft, fact, part, &mut back);
                    }
                    continue;
                }
                Some(true) => &mut since,
                Some(false) => &mut before,
                None => &mut unclear,
            };
            spread(draft, fact, part, list);
        }
    }
    draft.off.resize(draft.order.lines.len(), 0);
    for index in 0..draft.order.lines.len() {
        let told = placed.lines.get(index);
        let level =
            told.and_then(|line| Some(line.quantity.max(line.current?).saturating_sub(line.current?)));
        draft.off[index] = match level {
            Some(level) => level.saturating_sub(back[index]).max(unclear[index]).saturating_add(since[index]),
            None => before[index].saturating_add(unclear[index]).saturating_add(since[index]),
        };
    }
}

/// Units that an edit added.
fn add(draft: &mut Draft<'_>, part: &Part) {
    if let Some(index) = draft.lines_of(None, part).first() {
        let line = &mut draft.order.lines[*index];
        line.ordered = line.ordered.saturating_add(part.quantity);
        return;
    }
    let name = part.line.clone().or_else(|| part.sku.as_ref().map(|sku| format!("sku:{sku}")));
    draft.order.lines.push(OrderLine {
        r#ref: name.unwrap_or_default(),
        sku: part.sku.clone(),
        ships: true,
        ordered: part.quantity,
        ..OrderLine::default()
    });
}

/// Spreads the units of `part` over the lines that it names, each up to what was ordered.
fn spread(draft: &mut Draft<'_>, fact: &Fact, part: &Part, units: &mut [u64]) {
    let lines = draft.lines_of(None, part);
    if lines.is_empty() {
        draft.unknown_line(&fact.account, part);
        return;
    }
    let mut left = part.quantity;
    for index in lines {
        let room = draft.order.lines[index].ordered.saturating_sub(units[index]);
        let taken = left.min(room);
        units[index] = units[index].saturating_add(taken);
        left -= taken;
    }
}

fn refunds(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    let asked = ledger.newest(
        |body| if let Body::RefundAsked(refund) = body { Some(refund) } else { None },
        |fact| super::ledger::name_of(fact, &[&fact.header.r#ref]),
    );
    let mut units = vec![0_u64; draft.order.lines.len()];
    for ((_, name), (fact, refund)) in asked {
        if draft.placed {
            for part in &refund.lines {
                for (index, quantity) in draft.share(part, &units) {
                    units[index] = units[index].saturating_add(quantity);
                }
            }
        }
        draft.order.refunds.push(RefundState {
            r#ref: name,
            amount: refund.amount,
            lines: refund.lines.clone(),
            at: fact.header.at,
        });
    }
    draft.order.refunds.sort_by(|one, two| (one.at, &one.r#ref).cmp(&(two.at, &two.r#ref)));
    for (line, quantity) in draft.order.lines.iter_mut().zip(units) {
        line.refunded = quantity;
    }
}

/// Holds in force: the newest word of each, unless a person let the hold go afterwards.
fn holds(draft: &mut Draft<'_>, ledger: &Ledger<'_>) {
    let mut let_go: Vec<(String, Option<When>)> = ledger
        .pick(|body| match body {
            Body::Decision(decision) if decision.what == "release_hold" => decision.target.clone(),
            _ => None,
        })
        .map(|(fact, target)| (target, Some(fact.header.at.unwrap_or(When::utc(fact.heard)))))
        .collect();
    let_go.sort();
    let held = ledger.newest(
        |body| if let Body::Held(held) = body { Some(held) } else { None },
        |fact| match &fact.body {
            Body::Held(held) => held.hold.clone(),
            _ => String::new(),
        },
    );
    for ((account, name), (fact, held)) in held {
        let later = let_go.iter().any(|(hold, when)| *hold == name && *when >= fact.header.at);
        if !held.released && !later {
            draft.order.holds.push(HoldState { hold: name, by: account.0, reason: held.reason.clone() });
        }
    }
    draft.order.released_holds = let_go.into_iter().map(|(hold, _)| hold).collect();
    draft.order.released_holds.dedup();
}

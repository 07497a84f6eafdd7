//! What an order needs its partners to do.

use super::document::NoName;
use super::slot::{Slots, Want};
use super::split::Split;
use super::{OrderCase, Plan, ask, events, hold, late, money, parcel, release, route, split, trouble};
use crate::apply::{classify, project_order, quantity_age};
use crate::canonical::fact::{Header, StockAsk};
use crate::canonical::{AccountId, Body, Class, EntityId, Exception, Intent, Order, Timer};
use crate::config::model::Flow;

/// Rounds after which planning stops: each is planned over what the one before intended.
const ROUNDS: usize = 8;

/// Plans for an order. Planning again over [`Plan::state`] and its intents plans nothing more.
#[must_use]
pub fn plan_order(case: &OrderCase<'_>) -> Plan<Order> {
    let mut slots = Slots::new(&case.order.id, case.intents, case.now);
    let mut order = case.order.clone();
    let concern = concern(&order, case.flow);
    let mut round = Round::default();
    let mut age = None;
    for _ in 0..ROUNDS {
        round = plan_round(case, &mut order, &slots.intents, concern.is_ok(), &mut age);
        let wants = if case.flow.live { round.wants.as_slice() } else { &[] };
        if !slots.settle(wants) {
            break;
        }
        order = project_order(&order.id, &order.client, &order.storefront, case.facts, &slots.intents);
    }
    if let Err(why) = concern {
        order.waits = vec![why.to_owned()];
    }
    if !case.flow.live {
        order.would = would(&round.wants, &slots.intents);
    }
    let mut timers = Vec::new();
    let waited = case.before.is_some_and(|before| before.waits.iter().any(|word| word == "time"));
    if let (Some(due), false, true) = (round.until, waited, case.flow.live) {
        let generation = u64::try_from(due.as_second()).unwrap_or(0);
        timers.push(Timer { entity: order.id.clone(), kind: "release".to_owned(), generation, due });
    }
    timers.extend(late::timers(&order, case.before, case.now));
    let mut exceptions = round.exceptions;
    for exception in &mut exceptions {
        exception.raised = case.now;
    }
    let mails = round.mails;
    let events = events::events(case, &order);
    let (intents, withdraw) = slots.outcome();
    Plan { state: order, intents, withdraw, exceptions, timers, mails, events }
}

/// What the order asks of stock, as [`plan_order`] has it in [`Plan::mails`] before its intents change anything: its answers
/// may be had before the whole is planned.
#[must_use]
pub fn order_asks(case: &OrderCase<'_>) -> Vec<(EntityId, Header, Body)> {
    let order = case.order;
    let whom = Whom::of(order, case.flow, case.intents);
    asks(case, order, &whom, concern(order, case.flow).is_ok(), &mut None)
        .map(|(asks, _)| ask::mails(case, order, &asks))
        .unwrap_or_default()
}

/// Who may send the order.
enum Whom<'f> {
    /// One of these, first choice first.
    One(Vec<AccountId>),
    /// Several may share it.
    Several(Split<'f>),
}

impl<'f> Whom<'f> {
    fn of(order: &Order, flow: &'f Flow, intents: &[Intent]) -> Self {
        let order = split::ours(order);
        match Split::of(&order, flow, intents) {
            Some(split) => Self::Several(split),
            None => Self::One(route::candidates(&order, flow, intents)),
        }
    }
}

/// What the order asks of stock at the warehouses that may have it, and the age of its facts; `None` when it has nothing
/// to ask. `age`: of the facts, once it was needed.
fn asks(
    case: &OrderCase<'_>,
    order: &Order,
    whom: &Whom<'_>,
    concerned: bool,
    age: &mut Option<u64>,
) -> Option<(Vec<StockAsk>, u64)> {
    let asking = concerned && case.flow.live && case.flow.stock.reserve;
    let before = case.before.is_some_and(|before| !before.asks.is_empty());
    let asked = match whom {
        Whom::One(candidates) => candidates,
        Whom::Several(split) => &split.asked(),
    };
    if asked.is_empty() || !(asking || before) {
        return None;
    }
    let age = *age.get_or_insert_with(|| quantity_age(case.facts, &order.storefront));
    let ours = split::ours(order);
    let needs = |warehouse: &AccountId| match whom {
        Whom::One(_) => release::needs(&ours, case.flow, warehouse),
        Whom::Several(split) => split.needs(&ours, warehouse),
    };
    Some((ask::asks(case, order, asked, &needs, asking, age), age))
}

/// Whether the flow concerns itself with the order; else why not.
fn concern(order: &Order, flow: &Flow) -> Result<(), &'static str> {
    if ["", "none"].contains(&order.axes.sale.as_str()) {
        return Err("order");
    }
    if order.test {
        return Err("test");
    }
    match (flow.start, order.placed_at) {
        (Some(start), Some(placed)) if placed.instant() >= start => Ok(()),
        (Some(_), _) => Err("start"),
        (None, _) => Ok(()),
    }
}

/// What one round of planning found.
#[derive(Default)]
struct Round {
    wants: Vec<Want>,
    exceptions: Vec<Exception>,
    until: Option<jiff::Timestamp>,
    mails: Vec<(EntityId, Header, Body)>,
}

impl Round {
    /// The order waits for these.
    fn wait(&mut self, order: &mut Order, waits: release::Waits) {
        order.waits = waits.words;
        self.exceptions.extend(waits.exceptions);
        self.until = waits.until;
    }
}

/// Fills what the flow says into `order`, and tells what should be.
/// `age`: of the facts, once it was needed.
fn plan_round(
    case: &OrderCase<'_>,
    order: &mut Order,
    intents: &[Intent],
    concerned: bool,
    age: &mut Option<u64>,
) -> Round {
    let flow = case.flow;
    let mut round = Round::default();
    let whom = Whom::of(order, flow, intents);
    if let Some((asks, age)) = asks(case, order, &whom, concerned, age) {
        round.mails = ask::mails(case, order, &asks);
        order.asks = ask::remembered(&asks, age);
    }
    let asking = concerned && flow.live && flow.stock.reserve;
    if !concerned {
        return round;
    }
    match &whom {
        Whom::One(candidates) => plan_whole(case, order, intents, candidates, asking, &mut round),
        Whom::Several(split) => plan_shared(case, order, intents, split, asking, &mut round),
    }
    let (money, troubles) = money::wants(order, flow, intents);
    round.wants.extend(money);
    round.exceptions.extend(troubles);
    round.wants.extend(parcel::wants(order, flow, intents));
    round.wants.extend(notes(order));
    late::note(order, case.config, intents);
    round.exceptions.extend(trouble::find(order, intents));
    round.exceptions.extend(late::find(order, case.now));
    if trouble::put_away(case.facts) {
        // A person has seen it all and put it away.
        round.exceptions.clear();
    }
    round.exceptions.sort_by(|one, two| (&one.cause, &one.message).cmp(&(&two.cause, &two.message)));
    round.exceptions.dedup_by(|one, two| one.cause == two.cause);
    round
}

/// What the one warehouse should be told that sends the order as a whole.
fn plan_whole(
    case: &OrderCase<'_>,
    order: &mut Order,
    intents: &[Intent],
    candidates: &[AccountId],
    asking: bool,
    round: &mut Round,
) {
    let flow = case.flow;
    let asks: &[_] = if asking { &order.asks } else { &[] };
    let warehouse = route::choose(order, flow, candidates, asks).cloned();
    let told = order.releases.iter().any(|release| release::is_told(release, intents));
    let mut may_go = false;
    if let Some(warehouse) = warehouse.as_ref().filter(|_| !told && order.axes.sale == "open") {
        order.holds.extend(hold::holds(order, flow));
        let waits = release::waits(&split::ours(order), flow, warehouse, &order.asks, case.now);
        let open = order.lines.iter().any(|line| line.ships && line.open() > 0);
        may_go = waits.words.is_empty() && open;
        if open {
            round.wait(order, waits);
        }
        explain(order);
    }
    round.wants.extend(release::wants(&split::ours(order), flow, intents, warehouse.as_ref(), may_go));
}

/// What each of the warehouses should be told that share the order.
fn plan_shared(
    case: &OrderCase<'_>,
    order: &mut Order,
    intents: &[Intent],
    split: &Split<'_>,
    asking: bool,
    round: &mut Round,
) {
    let flow = case.flow;
    let asks: &[_] = if asking { &order.asks } else { &[] };
    let shares = split.shares(order, asks);
    let mut may_go = false;
    if order.axes.sale == "open" && (split.has_rest() || split.untouched()) {
        order.holds.extend(hold::holds(order, flow));
        if split.has_rest() {
            let mut waits = release::general(order, flow, case.now);
            if !shares.waits.is_empty() {
                let open = shares.waits.iter().any(|word| word.starts_with("stock?"));
                let (rest, first) = split.rest(order);
                if let Some(first) = first {
                    waits.names(&rest, flow, first, |error| !open || matches!(error, NoName::Sku(_)));
                }
                // What has no name is not missing for want of a warehouse.
                let nameless = !waits.exceptions.is_empty();
                waits
                    .words
                    .extend(shares.waits.iter().filter(|word| !(nameless && *word == "split")).cloned());
            }
            waits.time();
            may_go = waits.words.is_empty();
            round.wait(order, waits);
        }
        explain(order);
    }
    split::note(order, &shares, intents, may_go);
    round.wants.extend(release::wants_shared(order, flow, intents, &shares.all, may_go));
}

/// Sets the fulfilment axis of an order that no warehouse has by what it waits for, as the flow's rules say.
fn explain(order: &mut Order) {
    classify(order);
    if ["none", "held", "unpaid", "short"].contains(&order.axes.fulfilment.as_str()) {
        let waits = |start: &str| order.waits.iter().any(|word| word.starts_with(start));
        let word = if waits("hold:") {
            "held"
        } else if waits("payment") {
            "unpaid"
        } else if waits("stock:") {
            "short"
        } else {
            "none"
        };
        word.clone_into(&mut order.axes.fulfilment);
        order.phase = crate::apply::phase(&order.axes);
    }
}

/// What the storefront is told besides parcels.
fn notes(order: &Order) -> Vec<Want> {
    let mut wants = Vec::new();
    let Some(cancel) = &order.cancel else { return wants };
    if cancel.outcome == "too_late" && cancel.by_storefront {
        wants.push(
            Want::new("note/cancel_too_late".to_owned(), &order.storefront, "order.tag", Class::Order)
                .arg("tag", "cancel-too-late")
                .arg("note", "Cancelled too late: goods had left the warehouse, or it could not stop them."),
        );
    }
    if cancel.outcome == "in_time" && !cancel.by_storefront {
        let mut want =
            Want::new("store_cancel/person".to_owned(), &order.storefront, "order.cancel", Class::Cancel);
        if let Some(reason) = &cancel.reason {
            want = want.arg("reason", reason.clone());
        }
        wants.push(want);
    }
    wants
}

/// Slots that would be filled if the flow were live.
fn would(wants: &[Want], intents: &[Intent]) -> Vec<String> {
    let mut would: Vec<String> = wants
        .iter()
        .filter(|want| super::slot::newest(intents, &want.slot).is_none() || want.again)
        .map(|want| format!("{} {} at {}", want.slot, want.command, want.account))
        .collect();
    would.sort();
    would
}

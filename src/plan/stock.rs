//! What stock answers to orders and tells storefronts.
//!
//! Available = last levels − units that left after each level's moment − units wanted by orders that have not left −
//! buffer. It is kept unclamped, so that a shortage of 3 is not forgotten when 3 come in; what storefronts are told is
//! never below 0. Orders are served first come, first served: by when they first asked, then by id. The buffer is kept
//! from storefronts, not from orders that exist.

use jiff::{SignedDuration, Timestamp};

use super::slot::{Slots, Want, newest};
use super::{Plan, StockCase, sku};
use crate::canonical::fact::{Header, StockAnswer};
use crate::canonical::stock::Answered;
use crate::canonical::{AccountId, Body, Class, EntityId, Intent, IntentState, Stock, Timer};
use crate::config::model::Flow;

/// Plans for stock. Planning again over [`Plan::state`] and its intents plans nothing more.
#[must_use]
pub fn plan_stock(case: &StockCase<'_>) -> Plan<Stock> {
    let mut stock = case.stock.clone();
    let mails = answer(&mut stock);
    let buffer = i64::try_from(case.flow.stock.buffer).unwrap_or(i64::MAX);
    stock.available = available(&stock).map(|units| units.saturating_sub(buffer));
    let mut slots = Slots::new(&stock.id, case.intents, case.now);
    let serves =
        case.flow.live && case.flow.stock.push && case.flow.warehouses.first() == Some(&stock.warehouse);
    let wants = if serves { pushes(&stock, case) } else { Vec::new() };
    let timers = retry(&wants, case).into_iter().collect();
    slots.settle(&wants);
    let mut events = Vec::new();
    if case.before.and_then(|before| before.available) != stock.available {
        let data = serde_json::json!({
            "sku": stock.sku, "warehouse": stock.warehouse, "level": stock.level(), "available": stock.available,
        });
        events.push(("stock.available".to_owned(), data));
    }
    let (intents, withdraw) = slots.outcome();
    Plan { intents, withdraw, timers, mails, events, ..Plan::nothing(stock) }
}

/// How long a push that was refused waits until it goes again, if no newer level comes before: what was wrong at the
/// storefront (a product that it does not know yet) may have gone.
const AGAIN: SignedDuration = SignedDuration::from_hours(6);

/// When a push that was refused goes again by itself.
fn again_at(refused: &Intent) -> Timestamp {
    refused.due.max(refused.created).checked_add(AGAIN).unwrap_or(Timestamp::MAX)
}

/// The timer that wakes the stock for the first push that waits after a refusal.
fn retry(wants: &[Want], case: &StockCase<'_>) -> Option<Timer> {
    let refused = wants
        .iter()
        .filter(|want| !want.again)
        .filter_map(|want| newest(case.intents, &want.slot))
        .filter(|last| last.state == IntentState::Rejected);
    let due = refused.map(again_at).min()?;
    let generation = u64::try_from(due.as_second()).unwrap_or(0);
    Some(Timer { entity: case.stock.id.clone(), kind: "push".to_owned(), generation, due })
}

/// Whether a push that was refused goes again: its time has come, or a newer level has.
fn refused_goes_again(last: &Intent, stock: &Stock, now: Timestamp) -> bool {
    let newer = stock.as_of().is_some_and(|as_of| as_of.instant() > last.created && as_of.instant() <= now);
    last.state == IntentState::Rejected && (newer || again_at(last) <= now)
}

/// Units on hand now as far as is known: the last levels less what left since.
fn on_hand(stock: &Stock) -> Option<i64> {
    if stock.places.is_empty() {
        return None;
    }
    let newest = stock.as_of();
    let mut units = stock.level()?;
    for left in stock.orders.values().flat_map(|known| &known.left) {
        // Where it is not known from which place they went, the newest level of all places counts.
        let place = left.location.as_ref().and_then(|name| stock.places.get(name)).map(|place| place.as_of);
        if place.or(newest).is_some_and(|as_of| left.at > as_of) {
            units = units.saturating_sub(i64::try_from(left.quantity).unwrap_or(i64::MAX));
        }
    }
    Some(units)
}

/// Units on hand less what orders still want, unclamped.
fn available(stock: &Stock) -> Option<i64> {
    let wanted = |units: i64, open: u64| units.saturating_sub(i64::try_from(open).unwrap_or(i64::MAX));
    Some(stock.orders.values().fold(on_hand(stock)?, |units, known| wanted(units, known.open())))
}

/// Answers whose content changed. Before any level is known, everything counts as in stock.
fn answer(stock: &mut Stock) -> Vec<(EntityId, Header, Body)> {
    let turn = turn(stock);
    let mut left = on_hand(stock);
    let mut queue: Vec<EntityId> = stock.orders.keys().cloned().collect();
    queue.sort_by(|one, two| {
        let asked = |id: &EntityId| stock.orders.get(id).and_then(|known| known.asked);
        (asked(one), one).cmp(&(asked(two), two))
    });
    let mut mails = Vec::new();
    for id in queue {
        let Some(known) = stock.orders.get_mut(&id) else { continue };
        let open = known.open();
        let granted = match left {
            None => open,
            Some(left) => open.min(u64::try_from(left).unwrap_or(0)),
        };
        left = left.map(|left| left.saturating_sub(i64::try_from(open).unwrap_or(i64::MAX)));
        if known.wanted == 0 {
            // Given back: there is nothing to answer.
            known.answered = None;
            continue;
        }
        let answered = Answered {
            reserved: known.wanted.saturating_sub(open).saturating_add(granted),
            short: open - granted,
            generation: known.generation,
        };
        if known.answered == Some(answered) {
            continue;
        }
        known.answered = Some(answered);
        let body = Body::StockAnswer(StockAnswer {
            sku: stock.sku.clone(),
            warehouse: stock.warehouse.0.clone(),
            reserved: answered.reserved,
            short: answered.short,
            generation: answered.generation,
            turn,
        });
        mails.push((id, Header::default(), body));
    }
    mails
}

/// Grows with every level and every question, and is the same in whatever order they came: the sum of the levels'
/// moments in microseconds and of the questions' generations.
fn turn(stock: &Stock) -> u64 {
    let levels =
        stock.places.values().map(|place| u64::try_from(place.as_of.instant().as_microsecond()).unwrap_or(0));
    let questions = stock.orders.values().map(|known| known.generation);
    levels.chain(questions).fold(0, u64::saturating_add)
}

/// What a storefront that calls the goods `theirs` may sell.
pub(super) fn quantity(stock: &Stock, flow: &Flow, storefront: &AccountId, theirs: &str) -> Option<u64> {
    let units = u64::try_from(stock.available?).unwrap_or(0);
    let names = sku::theirs(flow, storefront, &stock.sku);
    let each = names.iter().find(|(name, _)| name == theirs).map_or(1, |(_, each)| *each);
    Some(units / each.max(1))
}

fn pushes(stock: &Stock, case: &StockCase<'_>) -> Vec<Want> {
    let flow = case.flow;
    let mut wants = Vec::new();
    for (storefront, location) in &flow.stock.locations {
        if !flow.storefronts.contains(storefront) {
            continue;
        }
        for (theirs, _) in sku::theirs(flow, storefront, &stock.sku) {
            let Some(quantity) = quantity(stock, flow, storefront, &theirs) else { continue };
            let slot = format!("stock/{storefront}/{theirs}");
            let mut want = Want::new(slot.clone(), storefront, "inventory.set", Class::Stock)
                .arg("sku", theirs)
                .arg("quantity", quantity)
                .arg("location", location.clone());
            want.again = newest(case.intents, &slot)
                .is_some_and(|last| last.args != want.args || refused_goes_again(last, stock, case.now));
            wants.push(want);
        }
    }
    wants
}

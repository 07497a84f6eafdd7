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
use crate::canonical::stock::{Answered, Reservation, Sums};
use crate::canonical::{AccountId, Body, Class, EntityId, Intent, IntentState, Stock, Timer};
use crate::config::model::Flow;

/// Plans for stock of which all reservations are at hand. Planning again over [`Plan::state`] and its intents plans nothing
/// more.
#[must_use]
pub fn plan_stock(case: &StockCase<'_>) -> Plan<Stock> {
    let mut stock = case.stock.clone();
    stock.sums = stock.summed();
    let on_hand = on_hand(&stock);
    let turn = turn(&stock, stock.orders.values().map(|known| known.generation));
    let mails = answer(&mut stock, on_hand, turn);
    let open = stock.orders.values().map(Reservation::open);
    let free = on_hand.map(|units| open.fold(units, less));
    planned(case, stock, mails, free)
}

/// Plans for stock of which only those reservations are at hand that facts told of (in `before`, as they were). It comes
/// to the same as [`plan_stock`] does; `None` when that cannot be told without the others: a new level, or too little for
/// all and somebody in the queue before others.
#[must_use]
pub fn plan_stock_in_part(case: &StockCase<'_>) -> Option<Plan<Stock>> {
    let mut stock = case.stock.clone();
    let before = case.before?;
    let old = before.sums.as_ref()?;
    if before.places != stock.places {
        return None;
    }
    let (was, is) = (before.summed()?, stock.summed()?);
    let change = |whole: u64, was: u64, is: u64| whole.checked_sub(was)?.checked_add(is);
    let new = Sums {
        open: change(old.open, was.open, is.open)?,
        gone: change(old.gone, was.gone, is.gone)?,
        generations: change(old.generations, was.generations, is.generations)?,
        last: old.last.clone().max(is.last),
    };
    let level = stock.level();
    let left = |sums: &Sums| level.map(|level| less(less(level, sums.gone), sums.open));
    let enough = |sums: &Sums| left(sums).is_none_or(|left| left >= 0);
    let behind = || {
        let last = old.last.as_ref().map(|(asked, id)| (*asked, id));
        before.orders.is_empty()
            && is.gone == 0
            && stock.orders.iter().all(|(id, known)| Some((known.asked, id)) > last)
    };
    if !(enough(old) && enough(&new) || behind()) {
        return None;
    }
    let free = left(&new);
    // What is left for those who are told of, when all others have theirs.
    let theirs = free.map(|free| free.saturating_add(i64::try_from(is.open).unwrap_or(i64::MAX)));
    let turn = turn(&stock, std::iter::once(new.generations));
    let mails = answer(&mut stock, theirs, turn);
    stock.sums = Some(new);
    Some(planned(case, stock, mails, free))
}

/// The plan of stock whose orders have been answered. `free`: units that nobody wants, unclamped.
fn planned(
    case: &StockCase<'_>,
    mut stock: Stock,
    mails: Vec<(EntityId, Header, Body)>,
    free: Option<i64>,
) -> Plan<Stock> {
    stock.available = free.map(|units| less(units, case.flow.stock.buffer));
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
        events.push(("stock.available".to_owned(), data.into()));
    }
    let (intents, withdraw) = slots.outcome();
    Plan { intents, withdraw, timers, mails, events, ..Plan::nothing(stock) }
}

/// `units` less `taken`, unclamped.
fn less(units: i64, taken: u64) -> i64 {
    units.saturating_sub(i64::try_from(taken).unwrap_or(i64::MAX))
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
    Some(stock.orders.values().fold(stock.level()?, |units, known| less(units, stock.gone(known))))
}

/// Answers to `orders` whose content changed, where `left` units are theirs. Before any level is known, everything counts
/// as in stock.
fn answer(stock: &mut Stock, mut left: Option<i64>, turn: u64) -> Vec<(EntityId, Header, Body)> {
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
        left = left.map(|left| less(left, open));
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
fn turn(stock: &Stock, generations: impl Iterator<Item = u64>) -> u64 {
    let levels =
        stock.places.values().map(|place| u64::try_from(place.as_of.instant().as_microsecond()).unwrap_or(0));
    levels.chain(generations).fold(0, u64::saturating_add)
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

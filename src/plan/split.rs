//! How several warehouses share an order, where its flow lets them.
//!
//! What a warehouse was told stays with it, as long as it is wanted and the warehouse has not refused or cancelled it. What
//! is left, the *rest*, is planned as a whole order is: the first choice that has all of it sends it; where none has, as
//! few as can send it together, and where even they cannot, it waits. The parts together are what is wanted, no more
//! and no less. All of it follows from the order, its intents and the stock's answers, so that planning again, and facts
//! in another order, give the same parts.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::choice::{self, Choice};
use super::release::is_told;
use super::slot::{heard, newest};
use super::{route, sku};
use crate::canonical::fact::StockAsk;
use crate::canonical::order::{OrderLine, Release};
use crate::canonical::{AccountId, Intent, IntentState, Order};
use crate::config::model::Flow;

/// Units of lines, by the line's place in the order.
pub(super) type Units = BTreeMap<usize, u64>;

/// Why a warehouse sends what it sends.
const ALL: &str = "it could send the whole order";
const SOME: &str = "no warehouse could send the whole order";
const MORE: &str = "it sent a part already";

/// What a warehouse has of the order.
#[derive(Debug)]
struct Held {
    warehouse: AccountId,
    /// What it was told.
    told: Units,
    shipped: Units,
    /// What it shall send in all: of what it was told, what is still wanted.
    keeps: Units,
    /// Whether more can be added to it.
    open: bool,
}

/// An order that may be split.
#[derive(Debug)]
pub(super) struct Split<'f> {
    flow: &'f Flow,
    held: Vec<Held>,
    /// What no warehouse has.
    rest: Units,
    /// Who may send it, first choice first: those that send something already before all others.
    choices: Vec<AccountId>,
    /// How many warehouses more may be told.
    room: usize,
    /// Whether there were more, if the flow let them share.
    limited: bool,
}

/// A warehouse's part.
#[derive(Debug)]
pub(super) struct Share {
    pub(super) warehouse: AccountId,
    /// In all, once the rest may go.
    pub(super) units: Units,
    /// What it keeps while the rest waits; empty for one that was not told.
    pub(super) keeps: Units,
    pub(super) told: Units,
    pub(super) shipped: Units,
    pub(super) why: &'static str,
}

/// Who sends what, as far as it can be said.
#[derive(Debug, Default)]
pub(super) struct Shares {
    pub(super) all: Vec<Share>,
    /// What the rest waits for: words of `waits`.
    pub(super) waits: Vec<String>,
}

fn none(units: &Units) -> bool {
    units.values().all(|units| *units == 0)
}

fn at(units: &Units, line: usize) -> u64 {
    units.get(&line).copied().unwrap_or(0)
}

/// Units by the reference of the line, as a state and an intent's arguments hold them.
fn by_line(order: &Order, named: &BTreeMap<String, u64>) -> Units {
    let lines = order.lines.iter().enumerate();
    lines.filter_map(|(index, line)| named.get(&line.r#ref).map(|units| (index, *units))).collect()
}

/// What left `warehouse`.
fn gone(order: &Order, warehouse: &AccountId) -> Units {
    let mut units = Units::new();
    for shipment in order.shipments.iter().filter(|one| one.account == *warehouse && !one.voided) {
        for part in &shipment.lines {
            let named = |line: &OrderLine| Some(&line.r#ref) == part.line.as_ref();
            if let Some(index) = order.lines.iter().position(named) {
                let known: &mut u64 = units.entry(index).or_default();
                *known = known.saturating_add(part.quantity);
            }
        }
    }
    units
}

/// The order without what left by other ways than its warehouses, as the storefront records it: what they have to send.
pub(super) fn ours(order: &Order) -> Cow<'_, Order> {
    let elsewhere = gone(order, &order.storefront);
    if elsewhere.is_empty() {
        return Cow::Borrowed(order);
    }
    let mut own = order.clone();
    for (index, units) in elsewhere {
        if let Some(line) = own.lines.get_mut(index) {
            let units = units.min(line.shipped).min(line.wanted());
            (line.ordered, line.shipped) = (line.ordered - units, line.shipped - units);
        }
    }
    own.shipments.retain(|shipment| shipment.account != order.storefront);
    Cow::Owned(own)
}

/// Whether some of what the warehouse shall send has not left it.
pub(super) fn left(order: &Order, release: &Release) -> bool {
    let part = if release.lines.is_empty() { &release.told } else { &release.lines };
    let shipped = gone(order, &release.warehouse);
    by_line(order, part).iter().any(|(index, units)| *units > at(&shipped, *index))
}

impl Share {
    /// Its units as things stand. `may_go`: whether what no warehouse was told of may go.
    pub(super) fn now(&self, may_go: bool) -> &Units {
        if may_go { &self.units } else { &self.keeps }
    }

    /// The order as this warehouse shall have it.
    pub(super) fn view(&self, order: &Order, units: &Units) -> Order {
        view(order, units, &self.told, &self.shipped)
    }

    /// Its units by line, for an intent's arguments and the state.
    pub(super) fn named(order: &Order, units: &Units) -> BTreeMap<String, u64> {
        let named = |(index, units): (&usize, &u64)| {
            order.lines.get(*index).filter(|_| *units > 0).map(|line| (line.r#ref.clone(), *units))
        };
        units.iter().filter_map(named).collect()
    }

    /// The arguments of its commands.
    pub(super) fn args(&self, order: &Order, units: &Units) -> Map<String, Value> {
        let lines = Self::named(order, units);
        let lines = lines.into_iter().map(|(name, units)| (name, units.into())).collect();
        Map::from_iter([
            ("lines".to_owned(), Value::Object(lines)),
            ("why".to_owned(), Value::String(self.why.to_owned())),
        ])
    }
}

fn view(order: &Order, units: &Units, told: &Units, shipped: &Units) -> Order {
    let mut view = order.clone();
    for (index, line) in view.lines.iter_mut().enumerate() {
        (line.ordered, line.cancelled) = (at(units, index), 0);
        (line.released, line.shipped) = (at(told, index), at(shipped, index));
    }
    view
}

/// Writes into the order who sends what. `may_go`: whether the rest may.
pub(super) fn note(order: &mut Order, shares: &Shares, intents: &[Intent], may_go: bool) {
    for share in &shares.all {
        let (warehouse, lines) = (&share.warehouse, Share::named(order, share.now(may_go)));
        let Some(release) = order.releases.iter_mut().find(|release| release.warehouse == *warehouse) else {
            continue;
        };
        // What was said when it was told stands.
        let slot = format!("release/{warehouse}");
        let told = newest(intents, &slot).filter(|intent| heard(intent.state));
        let said = told.and_then(|intent| intent.args.get("why")).and_then(Value::as_str);
        release.why = Some(said.unwrap_or(share.why).to_owned());
        release.lines = lines;
    }
}

/// The order as `warehouse` shall have it, where that is a part of it.
pub(super) fn part(order: &Order, warehouse: &AccountId) -> Option<Order> {
    let release = order.releases.iter().find(|release| release.warehouse == *warehouse)?;
    release.in_part().then(|| {
        let (units, told) = (by_line(order, &release.lines), by_line(order, &release.told));
        view(order, &units, &told, &gone(order, warehouse))
    })
}

impl<'f> Split<'f> {
    /// The order as one that may be split; `None` where a warehouse has it as a whole, or the flow never splits.
    pub(super) fn of(order: &Order, flow: &'f Flow, intents: &[Intent]) -> Option<Self> {
        if flow.split.is_none() && order.releases.iter().all(|release| release.told.is_empty()) {
            return None;
        }
        let told: Vec<&Release> = order.releases.iter().filter(|release| is_told(release, intents)).collect();
        let shared = told.iter().any(|release| !release.told.is_empty());
        if !shared && (flow.split.is_none() || !told.is_empty()) {
            return None;
        }
        let routed = route::routed(order, flow);
        let place = |id: &AccountId| routed.iter().position(|known| known == id).unwrap_or(routed.len());
        let mut held: Vec<Held> = told.into_iter().map(|release| Held::of(order, release, intents)).collect();
        held.sort_by(|one, two| {
            (place(&one.warehouse), &one.warehouse).cmp(&(place(&two.warehouse), &two.warehouse))
        });
        let mut rest = Units::new();
        for (index, line) in order.lines.iter().enumerate().filter(|(_, line)| line.ships) {
            let kept = held.iter().fold(0_u64, |sum, held| sum.saturating_add(at(&held.keeps, index)));
            let missing = line.wanted().saturating_sub(kept);
            if missing > 0 {
                rest.insert(index, missing);
            }
            // What is wanted no more is taken from the last choice first; what left cannot be taken back.
            let mut over = kept.saturating_sub(line.wanted());
            for held in held.iter_mut().rev() {
                let back = at(&held.keeps, index).saturating_sub(at(&held.shipped, index)).min(over);
                if back > 0 {
                    held.keeps.insert(index, at(&held.keeps, index) - back);
                    over -= back;
                }
            }
        }
        let most = flow.split.as_ref().map_or(0, |rule| rule.warehouses);
        let room = most.saturating_sub(held.iter().filter(|held| !none(&held.keeps)).count());
        let mut choices: Vec<AccountId> =
            held.iter().filter(|held| held.open).map(|held| held.warehouse.clone()).collect();
        let fresh = || routed.iter().filter(|id| held.iter().all(|held| held.warehouse != **id));
        let limited = room == 0 && fresh().next().is_some();
        if room > 0 {
            choices.extend(fresh().cloned());
        }
        choices.truncate(choice::CHOICES);
        Some(Self { flow, held, rest, choices, room, limited })
    }

    /// Whether some units are with no warehouse.
    pub(super) fn has_rest(&self) -> bool {
        !self.rest.is_empty()
    }

    /// Whether no warehouse was told of anything.
    pub(super) fn untouched(&self) -> bool {
        self.held.is_empty()
    }

    /// The rest, as an order of its own; to be named as the first choice names it.
    pub(super) fn rest(&self, order: &Order) -> (Order, Option<&AccountId>) {
        (view(order, &self.rest, &Units::new(), &Units::new()), self.choices.first())
    }

    /// The warehouses whose stock the order concerns.
    pub(super) fn asked(&self) -> Vec<AccountId> {
        let mut all: Vec<AccountId> = self.held.iter().map(|held| held.warehouse.clone()).collect();
        all.extend(self.choices.iter().filter(|id| self.of_held(id).is_none()).cloned());
        all
    }

    fn of_held(&self, warehouse: &AccountId) -> Option<&Held> {
        self.held.iter().find(|held| held.warehouse == *warehouse)
    }

    /// What `warehouse` is asked for: what it keeps, and all of the rest that it may send.
    pub(super) fn needs(&self, order: &Order, warehouse: &AccountId) -> Vec<(String, u64)> {
        let may = self.choices.contains(warehouse);
        let mut needs: BTreeMap<String, u64> = BTreeMap::new();
        for (index, line) in order.lines.iter().enumerate().filter(|(_, line)| line.ships) {
            let Ok(goods) = sku::goods(self.flow, &order.storefront, warehouse, line) else { continue };
            let kept = self.of_held(warehouse).map_or(0, |held| at(&held.keeps, index));
            let more = if may && choice::carried(self.flow, warehouse, &goods.ours) {
                at(&self.rest, index)
            } else {
                0
            };
            let units = kept.saturating_add(more).saturating_mul(goods.each);
            let known = needs.entry(goods.ours).or_default();
            *known = known.saturating_add(units);
        }
        needs.into_iter().collect()
    }

    /// Who sends what, by the answers to `asks`; without any, everything counts as in stock.
    pub(super) fn shares(&self, order: &Order, asks: &[StockAsk]) -> Shares {
        let (found, waits) = if self.rest.is_empty() {
            (Vec::new(), Vec::new())
        } else {
            let choices: Vec<Choice> =
                self.choices.iter().map(|id| Choice::of(self.flow, &self.rest, order, id, asks)).collect();
            self.share_out(&choices)
        };
        let alone = found.len() == 1 && self.held.is_empty();
        let more = |id: &AccountId| found.iter().find(|(known, _)| known == id).map(|(_, units)| units);
        let mut all = Vec::new();
        for held in &self.held {
            let mut units = held.keeps.clone();
            for (index, extra) in more(&held.warehouse).into_iter().flatten() {
                *units.entry(*index).or_default() += extra;
            }
            all.push(Share {
                warehouse: held.warehouse.clone(),
                units,
                keeps: held.keeps.clone(),
                told: held.told.clone(),
                shipped: held.shipped.clone(),
                why: MORE,
            });
        }
        for (warehouse, units) in found.iter().filter(|(id, _)| self.of_held(id).is_none()) {
            all.push(Share {
                warehouse: warehouse.clone(),
                units: units.clone(),
                keeps: Units::new(),
                told: Units::new(),
                shipped: Units::new(),
                why: if alone { ALL } else { SOME },
            });
        }
        Shares { all, waits }
    }

    /// The rest's units by warehouse; else what it waits for.
    fn share_out(&self, choices: &[Choice]) -> (Vec<(AccountId, Units)>, Vec<String>) {
        let all = |choice: &&Choice| choice.able(&self.rest) && !choice.short(&self.rest);
        if let Some(first) = choices.iter().find(all) {
            let open = first.unanswered();
            if !open.is_empty() {
                return (Vec::new(), open);
            }
            if let Some(found) = self.together(&[first]) {
                return (found, Vec::new());
            }
        }
        let mut open: Vec<String> = choices.iter().flat_map(Choice::unanswered).collect();
        if !open.is_empty() {
            open.sort();
            open.dedup();
            return (Vec::new(), open);
        }
        for set in choice::sets(choices, |choice| self.of_held(&choice.warehouse).is_none(), self.room) {
            if let Some(found) = self.together(&set) {
                return (found, Vec::new());
            }
        }
        (Vec::new(), self.missing(choices))
    }

    /// The rest shared by these, whole lines first; `None` when they have not all of it.
    fn together(&self, choices: &[&Choice]) -> Option<Vec<(AccountId, Units)>> {
        let mut free: Vec<BTreeMap<&str, u64>> = choices.iter().map(|choice| choice.free()).collect();
        let mut parts = vec![Units::new(); choices.len()];
        let mut spread = Vec::new();
        for (index, units) in &self.rest {
            let mut all = choices.iter().zip(&mut free).zip(&mut parts);
            let whole = all.find(|((choice, free), _)| choice.can_take(*index, *units, free) == *units);
            match whole {
                Some(((choice, free), part)) => choice.take(*index, *units, free, part),
                None => spread.push((*index, *units)),
            }
        }
        for (index, mut left) in spread {
            for ((choice, free), part) in choices.iter().zip(&mut free).zip(&mut parts) {
                let units = choice.can_take(index, left, free);
                choice.take(index, units, free, part);
                left -= units;
            }
            if left > 0 {
                return None;
            }
        }
        let named = choices.iter().map(|choice| choice.warehouse.clone()).zip(parts);
        Some(named.filter(|(_, part)| !none(part)).collect())
    }

    /// What is missing where the rest cannot be shared out.
    fn missing(&self, choices: &[Choice]) -> Vec<String> {
        let mut needed: BTreeMap<&str, u64> = BTreeMap::new();
        for (index, units) in &self.rest {
            if let Some(goods) = choices.iter().find_map(|choice| choice.goods.get(index)) {
                let known = needed.entry(&goods.ours).or_default();
                *known = known.saturating_add(units.saturating_mul(goods.each));
            }
        }
        let there = |ours: &str| {
            choices
                .iter()
                .fold(0_u64, |sum, choice| sum.saturating_add(choice.free().get(ours).copied().unwrap_or(0)))
        };
        let short = needed.iter().filter(|(ours, units)| there(ours) < **units);
        let waits: Vec<String> = short.map(|(ours, _)| format!("stock:{ours}")).collect();
        if self.limited {
            vec!["split".to_owned()]
        } else if !waits.is_empty() {
            waits
        } else if choices.is_empty() {
            vec!["warehouse".to_owned()]
        } else {
            vec!["split".to_owned()]
        }
    }
}

impl Held {
    fn of(order: &Order, release: &Release, intents: &[Intent]) -> Self {
        // What we called back is not sent, whatever left before.
        let called_back = newest(intents, &format!("cancel/{}", release.warehouse))
            .is_some_and(|intent| intent.state == IntentState::Done);
        let over = release.over() || called_back;
        let told = by_line(order, &release.told);
        let shipped = gone(order, &release.warehouse);
        let mut keeps = shipped.clone();
        if !over {
            for (index, units) in &told {
                let known = keeps.entry(*index).or_default();
                *known = (*known).max(*units);
            }
        }
        let unsent = told.iter().any(|(index, units)| *units > at(&shipped, *index));
        // One that acts without having been told of a part is nobody to add to.
        let open = !told.is_empty() && !over && (release.state != "shipped" || unsent);
        Self { warehouse: release.warehouse.clone(), told, shipped, keeps, open }
    }
}

//! Orders to warehouses: when one may go, what it says, when it changes, and when it is called back.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::document::{NoName, core, delivery, head, lines, slim, trouble};
use super::slot::{Want, heard, newest};
use super::split::Share;
use super::{ask, sku};
use crate::canonical::fact::StockAsk;
use crate::canonical::order::Release;
use crate::canonical::{AccountId, Class, Exception, Intent, IntentState, Order};
use crate::config::model::Flow;

/// Whether the warehouse may have the order. A command that it refused gave it none.
pub(super) fn is_told(release: &Release, intents: &[Intent]) -> bool {
    let last = newest(intents, &format!("release/{}", release.warehouse));
    release.state != "intended" && last.is_none_or(|intent| intent.state != IntentState::Rejected)
}

/// What keeps an order from its warehouse.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Words: `payment`, `hold:…`, `address`, `sku:…`, `stock:…`, `time`.
    pub(super) words: Vec<String>,
    pub(super) exceptions: Vec<Exception>,
    /// When it may go, if only time is missing.
    pub(super) until: Option<Timestamp>,
}

/// Whether the money lets it go.
pub(super) fn paid_enough(order: &Order, flow: &Flow) -> bool {
    let axis = order.axes.payment.as_str();
    let allowed = |word: &str| flow.release.payment.iter().any(|known| known == word);
    axis == "due_later"
        || (order.terms.as_deref() == Some("unpaid") && axis != "disputed")
        || allowed(axis)
        // What was refunded in part was paid; the rest still goes.
        || (axis == "partly_refunded" && allowed("paid"))
}

/// What still keeps the order, whose holds of the flow are in it already, from being released.
pub(super) fn waits(
    order: &Order,
    flow: &Flow,
    warehouse: &AccountId,
    asks: &[StockAsk],
    now: Timestamp,
) -> Waits {
    let mut waits = general(order, flow, now);
    waits.names(order, flow, warehouse, |_| true);
    if flow.stock.reserve && flow.live {
        for ask in asks.iter().filter(|ask| ask.quantity > 0 && ask.warehouse == warehouse.as_str()) {
            match ask::standing(order, ask) {
                ask::Standing::Reserved => {}
                ask::Standing::Short => waits.words.push(format!("stock:{}", ask.sku)),
                ask::Standing::Unanswered => waits.words.push(format!("stock?:{}", ask.sku)),
            }
        }
    }
    waits.time();
    waits
}

impl Waits {
    /// Lines that have no name at `warehouse`; of the troubles those that are `meant`.
    pub(super) fn names(
        &mut self,
        order: &Order,
        flow: &Flow,
        warehouse: &AccountId,
        meant: impl Fn(&NoName) -> bool,
    ) {
        for error in lines(order, flow, warehouse).err().unwrap_or_default().iter().filter(|one| meant(one)) {
            let exception = error.exception(order, flow, warehouse);
            if !self.words.contains(&exception.cause) {
                self.words.push(exception.cause.clone());
                self.exceptions.push(exception);
            }
        }
    }

    /// Says last that time is missing.
    pub(super) fn time(&mut self) {
        if self.until.is_some() {
            self.words.push("time".to_owned());
        }
    }
}

/// What keeps an order from any warehouse.
pub(super) fn general(order: &Order, flow: &Flow, now: Timestamp) -> Waits {
    let mut waits = Waits::default();
    if !paid_enough(order, flow) {
        waits.words.push("payment".to_owned());
    }
    waits.words.extend(order.holds.iter().map(|hold| format!("hold:{}", hold.hold)));
    if let Some(exception) = bad_address(order) {
        waits.words.push("address".to_owned());
        waits.exceptions.push(exception);
    }
    if !flow.release.after.is_zero()
        && let Some(placed) = order.placed_at
    {
        let after = jiff::SignedDuration::try_from(flow.release.after).unwrap_or(jiff::SignedDuration::MAX);
        let due = placed.instant().checked_add(after).unwrap_or(Timestamp::MAX);
        if now < due {
            waits.until = Some(due);
        }
    }
    waits
}

fn bad_address(order: &Order) -> Option<Exception> {
    let missing = match &order.contact.ship_to {
        None => vec!["address"],
        Some(address) => address.missing(),
    };
    if missing.is_empty() {
        return None;
    }
    let message = format!("the ship-to address has no {}", missing.join(", no "));
    let help = "complete the address in the storefront; the order then goes on by itself".to_owned();
    let found = trouble(order, "bad_address", format!("address:{}", order.id), message);
    Some(found.with(&order.storefront, help).0)
}

/// The document of `order.create` and `order.change`, without reference and key.
pub(super) fn document(order: &Order, flow: &Flow, warehouse: &AccountId) -> Result<Value, Vec<Exception>> {
    let lines = lines(order, flow, warehouse).map_err(|errors| {
        errors.iter().map(|error| error.exception(order, flow, warehouse)).collect::<Vec<_>>()
    })?;
    let mut document = delivery(order, flow);
    document.insert("order".to_owned(), slim(head(order)));
    document.insert("lines".to_owned(), slim(Value::Array(lines)));
    let named = order.releases.iter().find(|release| release.warehouse == *warehouse);
    if let Some(name) = named.and_then(|release| release.r#ref.as_ref()) {
        document.insert("warehouse_order".to_owned(), json!(name));
    }
    Ok(Value::Object(document))
}

/// What the warehouse knows: the newest document that it was told and did not refuse.
pub(super) fn known<'i>(intents: &'i [Intent], warehouse: &AccountId) -> Option<&'i Value> {
    let of = |kind: &str| {
        let slot = format!("{kind}/{warehouse}");
        intents
            .iter()
            .filter(move |intent| {
                intent.slot == slot && intent.state.told() && intent.state != IntentState::Rejected
            })
            .max_by_key(|intent| intent.generation)
    };
    of("change").or_else(|| of("release")).and_then(|intent| intent.sent_content.as_ref())
}

/// Whether what should be said differs from what the newest filling of the slot said.
fn says_other(intents: &[Intent], slot: &str, document: &Value) -> bool {
    let last = newest(intents, slot).filter(|intent| intent.state.told());
    last.and_then(|intent| intent.sent_content.as_ref()).is_some_and(|said| core(said) != core(document))
}

/// Wants at warehouses; `warehouse` is the one that has the order or shall have it.
pub(super) fn wants(
    order: &Order,
    flow: &Flow,
    intents: &[Intent],
    warehouse: Option<&AccountId>,
    may_go: bool,
) -> Vec<Want> {
    let mut wants = Vec::new();
    let nothing_left = order.lines.iter().all(|line| !line.ships || line.wanted() == 0);
    let called_off = order.cancel.is_some() || nothing_left;
    for release in order.releases.iter().filter(|_| called_off) {
        wants.extend(call_back(order, intents, release));
    }
    let Some(warehouse) = warehouse.filter(|_| !called_off) else { return wants };
    wants.extend(send(order, flow, intents, warehouse, may_go));
    wants
}

/// Calls back what a warehouse has of `order` (its part of it) and has not sent.
fn call_back(order: &Order, intents: &[Intent], release: &Release) -> Option<Want> {
    let warehouse = &release.warehouse;
    let slot = format!("release/{warehouse}");
    if !intents.iter().any(|intent| intent.slot == slot && heard(intent.state)) {
        return None;
    }
    let unsent = order.lines.iter().any(|line| line.released > line.shipped) || release.state != "shipped";
    // Until it has answered, it is not known what it calls the order.
    if !unsent || !release.is_there() || !release.heard {
        return None;
    }
    let mut want = Want::new(format!("cancel/{warehouse}"), warehouse, "order.cancel", Class::Cancel);
    if let Some(reason) = order.cancel.as_ref().and_then(|cancel| cancel.reason.clone()) {
        want = want.arg("reason", reason);
    }
    Some(want)
}

/// Tells a warehouse of `order` (its part of it), and of what changes in it.
fn send(order: &Order, flow: &Flow, intents: &[Intent], warehouse: &AccountId, may_go: bool) -> Vec<Want> {
    let mut wants = Vec::new();
    let slot = format!("release/{warehouse}");
    let sent = newest(intents, &slot).filter(|intent| heard(intent.state));
    let refused = newest(intents, &slot).filter(|intent| intent.state == IntentState::Rejected);
    if sent.is_none() && refused.is_none() && !may_go {
        return wants;
    }
    let document = || document(order, flow, warehouse).ok();
    let mut release = Want::new(slot.clone(), warehouse, "order.create", Class::Order);
    if refused.is_some() {
        // A refused order goes again as soon as there is something else to say.
        release.again = may_go && document().is_some_and(|said| says_other(intents, &slot, &said));
    } else if sent.is_some() {
        wants.extend(document().and_then(|document| change(order, intents, warehouse, &document)));
    }
    wants.push(release);
    wants
}

/// Wants at the warehouses that share the order. `may_go`: whether what none of them was told of may go.
pub(super) fn wants_shared(
    order: &Order,
    flow: &Flow,
    intents: &[Intent],
    shares: &[Share],
    may_go: bool,
) -> Vec<Want> {
    let mut wants = Vec::new();
    for share in shares {
        let units = share.now(may_go);
        let own = share.view(order, units);
        let called_off = order.cancel.is_some() || own.lines.iter().all(|line| line.open() == 0);
        let mut here = if called_off {
            let release = order.releases.iter().find(|release| release.warehouse == share.warehouse);
            release.and_then(|release| call_back(&own, intents, release)).into_iter().collect()
        } else {
            send(&own, flow, intents, &share.warehouse, may_go)
        };
        for want in here.iter_mut().filter(|want| want.command != "order.cancel") {
            want.args.extend(share.args(order, units));
        }
        wants.append(&mut here);
    }
    if !may_go && order.cancel.is_none() {
        // What was refused waits for a person, also while nothing may go.
        let refused =
            |intent: &&Intent| intent.command == "order.create" && intent.state == IntentState::Rejected;
        for intent in intents.iter().filter(refused) {
            let newest = newest(intents, &intent.slot).is_some_and(|last| last.id == intent.id);
            if newest && wants.iter().all(|want| want.slot != intent.slot) {
                let mut want = Want::new(intent.slot.clone(), &intent.account, "order.create", Class::Order);
                want.args.clone_from(&intent.args);
                wants.push(want);
            }
        }
    }
    wants
}

/// A change is wanted while the warehouse has the order, units of it have not left, and it knows something else.
fn change(order: &Order, intents: &[Intent], warehouse: &AccountId, document: &Value) -> Option<Want> {
    let release = order.releases.iter().find(|release| release.warehouse == *warehouse)?;
    let unsent = order.lines.iter().any(|line| line.released > line.shipped) || release.state != "shipped";
    let reachable = order.contact.ship_to.as_ref().is_some_and(|to| to.missing().is_empty());
    let slot = format!("change/{warehouse}");
    let known = known(intents, warehouse)?;
    let waiting = newest(intents, &slot).filter(|intent| intent.state == IntentState::Rejected);
    // Also where all that is wanted has left, and it would send more.
    let open = order.lines.iter().any(|line| line.ships && (line.open() > 0 || line.released > line.shipped));
    if !release.is_there()
        || !unsent
        || !open
        || !reachable
        || !release.heard
        || core(known) == core(document)
    {
        return None;
    }
    let mut want = Want::new(slot.clone(), warehouse, "order.change", Class::Order);
    // A change that was refused is not repeated until there is something else to say.
    want.again = waiting.is_none() || says_other(intents, &slot, document);
    Some(want)
}

/// Our SKUs of the order and their units: wanted in all. Lines without a name are left out.
pub(super) fn needs(order: &Order, flow: &Flow, warehouse: &AccountId) -> Vec<(String, u64)> {
    let mut needs: Vec<(String, u64)> = Vec::new();
    for line in order.lines.iter().filter(|line| line.ships) {
        let Ok(goods) = sku::goods(flow, &order.storefront, warehouse, line) else { continue };
        let units = line.wanted().saturating_mul(goods.each);
        match needs.iter_mut().find(|(ours, _)| *ours == goods.ours) {
            Some((_, known)) => *known = known.saturating_add(units),
            None => needs.push((goods.ours, units)),
        }
    }
    needs.sort();
    needs
}

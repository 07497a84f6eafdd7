//! What becomes of one entity by the facts of a unit: project, plan, and write down all that changed. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::apply::{self, StockKey};
use crate::canonical::fact::Header;
use crate::canonical::stock::Reservation;
use crate::canonical::{
    AccountId, Body, ClientId, EntityId, EntityKind, Exception, ExternalRef, Fact, FactId, Intent,
    IntentState, Json, MessageId, Order, Stock,
};
use crate::config::world::World;
use crate::plan::{self, OrderCase, Plan, StockCase};
use crate::ports::{EntityIndex, EntityRecord, EntityWrite};

/// What a unit tells one entity.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By these messages.
    pub(super) messages: BTreeSet<MessageId>,
    /// Whose it is, where the messages tell.
    pub(super) client: Option<ClientId>,
    /// These facts. What is written takes them away, and gives them back for another round.
    pub(super) facts: Vec<Fact>,
    /// All that was ever among `facts`.
    pub(super) stated: HashSet<FactId>,
    /// Under these names.
    pub(super) links: Vec<ExternalRef>,
}

impl Told {
    /// Notes who tells it something, and whose it is by that.
    pub(super) fn by(&mut self, message: MessageId, client: Option<&ClientId>) {
        self.messages.insert(message);
        if self.client.is_none() {
            self.client = client.cloned();
        }
    }

    /// Takes in another fact.
    pub(super) fn hear(&mut self, fact: Fact) {
        self.stated.insert(fact.id);
        self.facts.push(fact);
    }
}

/// What becomes of one entity.
#[derive(Debug)]
pub(super) struct Folded {
    /// What is to be written.
    pub(super) write: Option<EntityWrite>,
    /// Facts of ours for other entities.
    pub(super) mails: Vec<Mail>,
    /// Why it cannot be worked on; nothing is written then.
    pub(super) broken: Option<Exception>,
}

/// A fact of ours for another entity.
#[derive(Debug)]
pub(super) struct Mail {
    /// Whose it is.
    pub(super) to: EntityId,
    /// The client of both.
    pub(super) client: ClientId,
    /// What it says.
    pub(super) fact: Fact,
}

impl Mail {
    fn of((to, header, body): (EntityId, Header, Body), client: &ClientId, now: Timestamp) -> Self {
        Self { to, client: client.clone(), fact: Fact::ours(header, body, now, MessageId::default()) }
    }
}

/// Reservations of a stock, as stored.
#[derive(Debug, Default)]
pub(super) struct Reservations {
    /// All are at hand, not only those of the orders that tell something.
    pub(super) whole: bool,
    /// By order.
    pub(super) stored: BTreeMap<EntityId, Reservation>,
}

/// More must be read before this can be decided: all reservations of the stock.
pub(super) struct Others;

/// How facts are applied.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    /// The present instant.
    pub(super) now: Timestamp,
    /// An order that asks stock is not planned any further until it is known what stock answers: then nothing but its
    /// questions is given.
    pub(super) asking: bool,
    /// Somebody may hear what is told of it.
    pub(super) heard: bool,
}

/// Applies what was told to the stored entity, which stays as it is.
pub(super) fn fold(
    world: &World,
    record: &mut EntityRecord,
    reservations: Option<&Reservations>,
    told: &mut Told,
    how: How,
) -> Result<Folded, Others> {
    match record.id.kind() {
        EntityKind::Order => Ok(fold_order(world, record, told, how)),
        EntityKind::Stock => fold_stock(world, record, reservations.ok_or(Others)?, told, how),
    }
}

fn fold_order(world: &World, record: &mut EntityRecord, told: &mut Told, how: How) -> Folded {
    let How { now, asking, heard } = how;
    let before: Option<Order> = match stored(record) {
        Ok(before) => before,
        Err(error) => return broken(record, told, &error, now),
    };
    let creator = told.facts.iter().chain(&record.facts).find(|fact| matches!(fact.body, Body::Placed(_)));
    let Some((client, storefront)) = before
        .as_ref()
        .map(|order| (order.client.clone(), order.storefront.clone()))
        .or_else(|| Some((told.client.clone()?, creator?.account.clone())))
    else {
        return broken(record, told, "no fact of a storefront creates this order", now);
    };
    let superseded = superseded(record, told);
    let kept: Option<Vec<Fact>> = (!superseded.is_empty()).then(|| {
        let stored = std::mem::take(&mut record.facts);
        record.facts = stored.iter().filter(|fact| !superseded.contains(&fact.id)).cloned().collect();
        stored
    });
    let known = merge(record, told);
    let facts = &record.facts;
    let order = apply::project_order(&record.id, &client, &storefront, facts, &record.intents);
    let flow = world.config.flow_of(&client);
    let case = flow.map(|flow| OrderCase {
        order: &order,
        before: before.as_ref(),
        facts,
        new: if heard { &facts[known..] } else { &[] },
        intents: &record.intents,
        config: &world.config,
        flow,
        now,
    });
    let asks = case.as_ref().filter(|_| asking).map(plan::order_asks).unwrap_or_default();
    if !asks.is_empty() {
        told.facts = record.facts.split_off(known);
        if let Some(stored) = kept {
            record.facts = stored;
        }
        let mails = asks.into_iter().map(|one| Mail::of(one, &client, now)).collect();
        return Folded { write: None, mails, broken: None };
    }
    let plan = match &case {
        Some(case) => plan::plan_order(case),
        None => {
            Plan { exceptions: vec![no_flow(&record.id, &client, &storefront, now)], ..Plan::nothing(order) }
        }
    };
    let new = record.facts.split_off(known);
    if let Some(stored) = kept {
        record.facts = stored;
    }
    let index = order_index(&plan.state);
    // What is personal stands apart from the rest of the state.
    let contact = Json::of(&plan.state.contact);
    let personal = json!({ "contact": plan.state.contact });
    let (write, mails) = written(record, client, index, plan, new, told, how);
    let write =
        EntityWrite { state: write.state.without("contact", &contact), personal, superseded, ..write };
    Folded { write: Some(write), mails, broken: None }
}

fn fold_stock(
    world: &World,
    record: &EntityRecord,
    reservations: &Reservations,
    told: &mut Told,
    how: How,
) -> Result<Folded, Others> {
    let now = how.now;
    let mut before: Option<Stock> = match stored(record) {
        Ok(before) => before,
        Err(error) => return Ok(broken(record, told, &error, now)),
    };
    if let Some(stock) = &mut before {
        // What stands inside of the state was written by an earlier version, and last.
        for (id, known) in &reservations.stored {
            stock.orders.entry(id.clone()).or_insert_with(|| known.clone());
        }
    }
    let Some(client) = before.as_ref().map(|stock| stock.client.clone()).or_else(|| told.client.clone())
    else {
        return Ok(broken(record, told, "nobody knows whose stock this is", now));
    };
    let key = before
        .as_ref()
        .map(|stock| StockKey {
            client: stock.client.clone(),
            warehouse: stock.warehouse.clone(),
            sku: stock.sku.clone(),
        })
        .or_else(|| {
            told.facts
                .iter()
                .find_map(|fact| apply::stock_key(&fact.account, &fact.body, &client, &world.config))
        });
    let Some(key) = key else {
        return Ok(broken(record, told, "nobody knows of which SKU this stock is", now));
    };
    let mut stock = before.clone();
    for fact in &told.facts {
        let each = apply::stock_each(&fact.account, &fact.body, &client, &world.config);
        stock = Some(apply::apply_stock(stock, &key, each, fact));
    }
    let Some(stock) = stock else {
        return Ok(Folded { write: None, mails: Vec::new(), broken: None });
    };
    let plan = match world.config.flow_of(&client) {
        Some(flow) => {
            let case =
                StockCase { stock: &stock, before: before.as_ref(), intents: &record.intents, flow, now };
            if reservations.whole {
                plan::plan_stock(&case)
            } else {
                plan::plan_stock_in_part(&case).ok_or(Others)?
            }
        }
        None if reservations.whole => {
            let sums = stock.summed();
            Plan::nothing(Stock { sums, ..stock })
        }
        None => return Err(Others),
    };
    let index = EntityIndex {
        account: plan.state.warehouse.clone(),
        label: plan.state.sku.clone(),
        words: plan.state.sku.clone(),
        ..EntityIndex::default()
    };
    let reservations = changed(&reservations.stored, &plan.state.orders);
    let new = std::mem::take(&mut told.facts);
    let (write, mails) = written(record, client, index, plan, new, told, how);
    Ok(Folded { write: Some(EntityWrite { reservations, ..write }), mails, broken: None })
}

/// What became of reservations: those that differ from what is stored, and those that are no more.
fn changed(
    stored: &BTreeMap<EntityId, Reservation>,
    now: &BTreeMap<EntityId, Reservation>,
) -> Vec<(EntityId, Option<Reservation>)> {
    let new = now.iter().filter(|(id, known)| stored.get(*id) != Some(known));
    let gone = stored.keys().filter(|id| !now.contains_key(*id));
    new.map(|(id, known)| (id.clone(), Some(known.clone())))
        .chain(gone.map(|id| (id.clone(), None)))
        .collect()
}

/// Stored facts that a message mapped anew no longer states.
fn superseded(record: &EntityRecord, told: &Told) -> Vec<FactId> {
    let gone = record
        .facts
        .iter()
        .filter(|fact| told.messages.contains(&fact.message) && !told.stated.contains(&fact.id));
    gone.map(|fact| fact.id).collect()
}

/// Puts the told facts that are new behind the stored ones. Gives how many were stored.
fn merge(record: &mut EntityRecord, told: &mut Told) -> usize {
    let known = record.facts.len();
    let mut have: HashSet<FactId> = record.facts.iter().map(|fact| fact.id).collect();
    record.facts.extend(told.facts.drain(..).filter(|fact| have.insert(fact.id)));
    known
}

fn written<S: Serialize>(
    record: &EntityRecord,
    client: ClientId,
    index: EntityIndex,
    plan: Plan<S>,
    facts: Vec<Fact>,
    told: &Told,
    how: How,
) -> (EntityWrite, Vec<Mail>) {
    let mut intents: Vec<Intent> = plan.intents;
    for intent in &record.intents {
        if plan.withdraw.contains(&intent.id) {
            intents.push(Intent { state: IntentState::Withdrawn, ..intent.clone() });
        }
    }
    let mails = plan.mails.into_iter().map(|one| Mail::of(one, &client, how.now)).collect();
    let links: BTreeSet<ExternalRef> = told.links.iter().cloned().collect();
    let write = EntityWrite {
        id: record.id.clone(),
        expected: record.version,
        client,
        index,
        state: Json::of(&plan.state),
        reservations: Vec::new(),
        personal: Value::Null,
        heard: Some(told.messages.iter().copied().collect()),
        facts,
        superseded: Vec::new(),
        refs: links.into_iter().collect(),
        intents,
        exceptions: Some(plan.exceptions),
        timers: plan.timers,
        events: if how.heard { plan.events } else { Vec::new() },
    };
    (write, mails)
}

fn order_index(order: &Order) -> EntityIndex {
    let mut words: BTreeSet<&str> = BTreeSet::new();
    words.extend(order.number.as_deref());
    words.insert(&order.r#ref);
    words.extend(order.lines.iter().filter_map(|line| line.sku.as_deref()));
    words.extend(order.refs.iter().map(|name| name.id.as_str()));
    words.extend(order.payments.iter().map(|payment| payment.r#ref.as_str()));
    for shipment in &order.shipments {
        words.insert(&shipment.r#ref);
        words.extend(shipment.packages.iter().filter_map(|package| package.tracking.as_deref()));
    }
    EntityIndex {
        account: order.storefront.clone(),
        label: order.number.clone().unwrap_or_else(|| order.r#ref.clone()),
        phase: order.phase.word().to_owned(),
        placed: order.placed_at.map(|at| at.instant()),
        words: words.into_iter().collect::<Vec<_>>().join(" "),
    }
}

fn stored<S: DeserializeOwned>(record: &EntityRecord) -> Result<Option<S>, String> {
    if record.state.is_null() {
        return Ok(None);
    }
    record.state.read().map(Some).map_err(|error| format!("its stored state cannot be read: {error}"))
}

/// The entity cannot be worked on: its messages become exceptions, nothing is written.
fn broken(record: &EntityRecord, told: &Told, text: &str, now: Timestamp) -> Folded {
    let exception = Exception {
        id: 0,
        cause: format!("entity:{}", record.id),
        kind: "fault".to_owned(),
        message: format!("{}: {text}", record.id),
        help: None,
        account: told.facts.first().map(|fact| fact.account.clone()),
        client: told.client.clone(),
        entity: None,
        message_id: told.messages.first().copied(),
        intent: None,
        raised: now,
        resolved: None,
        resolution: None,
    };
    Folded { write: None, mails: Vec::new(), broken: Some(exception) }
}

fn no_flow(id: &EntityId, client: &ClientId, storefront: &AccountId, now: Timestamp) -> Exception {
    Exception {
        id: 0,
        cause: format!("no_flow:{client}"),
        kind: "no_flow".to_owned(),
        message: format!(
            "no [flow.…] of config.toml serves the client `{client}`: the order is kept and not released"
        ),
        help: Some(format!("add a flow with client = \"{client}\" and storefronts = [\"{storefront}\"]")),
        account: Some(storefront.clone()),
        client: Some(client.clone()),
        entity: Some(id.clone()),
        message_id: None,
        intent: None,
        raised: now,
        resolved: None,
        resolution: None,
    }
}

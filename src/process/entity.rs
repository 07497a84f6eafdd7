//! What becomes of one entity by the facts of a unit: project, plan, and write down all that changed. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::assemble::Folded;
use crate::apply::{self, StockKey};
use crate::canonical::order::Contact;
use crate::canonical::stock::Reservation;
use crate::canonical::{
    AccountId, Body, ClientId, EntityId, EntityKind, Exception, ExternalRef, Fact, FactId, Intent,
    IntentState, MessageId, Order, Stock,
};
use crate::config::world::World;
use crate::plan::{self, OrderCase, Plan, StockCase};
use crate::ports::{EntityIndex, EntityRecord, EntityWrite, Json};

/// What a unit tells one entity.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// By these messages.
    pub(super) messages: BTreeSet<MessageId>,
    /// Whose it is, where the messages tell.
    pub(super) client: Option<ClientId>,
    /// These facts.
    pub(super) facts: Vec<Fact>,
    /// Under these names.
    pub(super) links: Vec<ExternalRef>,
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

/// Applies what was told to the stored entity.
pub(super) fn fold(
    world: &World,
    record: &EntityRecord,
    reservations: Option<&Reservations>,
    told: Told,
    now: Timestamp,
) -> Result<Folded, Others> {
    match record.id.kind() {
        EntityKind::Order => Ok(fold_order(world, record, told, now)),
        EntityKind::Stock => fold_stock(world, record, reservations.ok_or(Others)?, told, now),
    }
}

fn fold_order(world: &World, record: &EntityRecord, told: Told, now: Timestamp) -> Folded {
    let before: Option<Order> = match stored(record) {
        Ok(before) => before,
        Err(error) => return broken(record, &told, &error, now),
    };
    let creator = told.facts.iter().chain(&record.facts).find(|fact| matches!(fact.body, Body::Placed(_)));
    let Some((client, storefront)) = before
        .as_ref()
        .map(|order| (order.client.clone(), order.storefront.clone()))
        .or_else(|| Some((told.client.clone()?, creator?.account.clone())))
    else {
        return broken(record, &told, "no fact of a storefront creates this order", now);
    };
    let (facts, new, superseded) = merge(record, &told);
    let order = apply::project_order(&record.id, &client, &storefront, &facts, &record.intents);
    let plan = match world.config.flow_of(&client) {
        Some(flow) => plan::plan_order(&OrderCase {
            order: &order,
            before: before.as_ref(),
            facts: &facts,
            new: &new,
            intents: &record.intents,
            config: &world.config,
            flow,
            now,
        }),
        None => {
            Plan { exceptions: vec![no_flow(&record.id, &client, &storefront, now)], ..Plan::nothing(order) }
        }
    };
    let index = order_index(&plan.state);
    let mails = plan
        .mails
        .iter()
        .map(|(to, header, body)| (to.clone(), client.clone(), header.clone(), body.clone()));
    let mails = mails.collect();
    let write = written(record, client.clone(), index, &plan, new, superseded, told.links);
    (Some(apart(write, &plan.state.contact)), mails, None)
}

fn fold_stock(
    world: &World,
    record: &EntityRecord,
    reservations: &Reservations,
    told: Told,
    now: Timestamp,
) -> Result<Folded, Others> {
    let mut before: Option<Stock> = match stored(record) {
        Ok(before) => before,
        Err(error) => return Ok(broken(record, &told, &error, now)),
    };
    if let Some(stock) = &mut before {
        // What stands inside of the state was written by an earlier version, and last.
        for (id, known) in &reservations.stored {
            stock.orders.entry(id.clone()).or_insert_with(|| known.clone());
        }
    }
    let Some(client) = before.as_ref().map(|stock| stock.client.clone()).or_else(|| told.client.clone())
    else {
        return Ok(broken(record, &told, "nobody knows whose stock this is", now));
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
        return Ok(broken(record, &told, "nobody knows of which SKU this stock is", now));
    };
    let mut stock = before.clone();
    for fact in &told.facts {
        let each = apply::stock_each(&fact.account, &fact.body, &client, &world.config);
        stock = Some(apply::apply_stock(stock, &key, each, fact));
    }
    let Some(stock) = stock else { return Ok((None, Vec::new(), None)) };
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
    let mails = plan
        .mails
        .iter()
        .map(|(to, header, body)| (to.clone(), client.clone(), header.clone(), body.clone()));
    let mails = mails.collect();
    let reservations = changed(&reservations.stored, &plan.state.orders);
    let write = written(record, client.clone(), index, &plan, told.facts, Vec::new(), told.links);
    Ok((Some(EntityWrite { reservations, ..write }), mails, None))
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

/// The stored facts with the told ones; those that are new; and stored ones that a message mapped anew no longer states.
fn merge(record: &EntityRecord, told: &Told) -> (Vec<Fact>, Vec<Fact>, Vec<FactId>) {
    let stated: HashSet<FactId> = told.facts.iter().map(|fact| fact.id).collect();
    let superseded: Vec<FactId> = record
        .facts
        .iter()
        .filter(|fact| told.messages.contains(&fact.message) && !stated.contains(&fact.id))
        .map(|fact| fact.id)
        .collect();
    let mut facts: Vec<Fact> =
        record.facts.iter().filter(|fact| !superseded.contains(&fact.id)).cloned().collect();
    let mut have: HashSet<FactId> = facts.iter().map(|fact| fact.id).collect();
    let mut new = Vec::new();
    for fact in &told.facts {
        if have.insert(fact.id) {
            new.push(fact.clone());
        }
    }
    facts.extend(new.iter().cloned());
    (facts, new, superseded)
}

fn written<S: Serialize>(
    record: &EntityRecord,
    client: ClientId,
    index: EntityIndex,
    plan: &Plan<S>,
    facts: Vec<Fact>,
    superseded: Vec<FactId>,
    links: Vec<ExternalRef>,
) -> EntityWrite {
    let mut intents: Vec<Intent> = plan.intents.clone();
    for intent in &record.intents {
        if plan.withdraw.contains(&intent.id) {
            intents.push(Intent { state: IntentState::Withdrawn, ..intent.clone() });
        }
    }
    let links: BTreeSet<ExternalRef> = links.into_iter().collect();
    EntityWrite {
        id: record.id.clone(),
        expected: record.version,
        client,
        index,
        state: Json::of(&plan.state),
        reservations: Vec::new(),
        personal: Value::Null,
        facts,
        superseded,
        refs: links.into_iter().collect(),
        intents,
        exceptions: Some(plan.exceptions.clone()),
        timers: plan.timers.clone(),
        events: plan.events.clone(),
    }
}

/// What is personal stands apart from the rest of the state.
fn apart(write: EntityWrite, contact: &Contact) -> EntityWrite {
    let state = write.state.without("contact", &Json::of(contact));
    EntityWrite { state, personal: json!({ "contact": contact }), ..write }
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
    (None, Vec::new(), Some(exception))
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

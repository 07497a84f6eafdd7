//! From readings to units: whose each fact is, what its entity becomes, and what follows. Reads the store, writes
//! nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::entity::{Folded, How, Mail, Reservations, Told, fold};
use super::read::{Reading, only_wakes};
use super::turns::{Turn, Turns};
use super::{follow, remap};
use crate::apply;
use crate::canonical::fact::OURS;
use crate::canonical::{
    AccountId, Body, ClientId, EntityId, EntityKind, Exception, ExternalRef, Fact, FactId, MessageId,
};
use crate::config::world::World;
use crate::ports::{
    self, EntityRecord, EntityWrite, MessageState, NewMessage, Origin, Reserved, Store, StoreError, Unit,
    Waiting,
};

/// Where a fact of a batch belongs.
struct Place {
    reading: usize,
    fact: usize,
    candidates: Vec<ExternalRef>,
    creates: Option<EntityId>,
    links: Vec<ExternalRef>,
    entity: Option<EntityId>,
    contradiction: Option<String>,
}

/// What a group of readings comes to.
pub(super) struct Assembled {
    pub(super) unit: Unit,
    /// Messages whose facts, mapped anew, would leave commands behind that were sent because of the old ones.
    pub(super) strays: Vec<(MessageId, Exception)>,
}

/// Makes one unit of each group of readings that share an entity.
///
/// With `stocks`, what follows for stock, and what stock answers, is worked out at once and belongs to the same unit
/// ([`follow`]); without, or when that cannot be done, it goes out as messages to ourselves. The units must be committed
/// before the turn is given back. `heard`: somebody may hear events.
pub(super) async fn assemble(
    world: &World,
    store: &dyn Store,
    mut readings: Vec<Reading>,
    refused: &HashMap<MessageId, Vec<Exception>>,
    (now, heard): (Timestamp, bool),
    stocks: Option<&Turns>,
) -> Result<(Vec<(Assembled, Vec<Reading>)>, Turn), StoreError> {
    let mut batch = Batch { world, store, now, heard, records: HashMap::new(), reserved: HashMap::new() };
    let heard: BTreeSet<EntityId> =
        readings.iter().flat_map(|reading| reading.heard.iter().cloned()).collect();
    if !heard.is_empty() {
        batch.load(heard).await?;
        for reading in &mut *readings {
            keep_what_was(reading, &batch.records, refused);
        }
    }
    let mut places = subjects(world, &readings, refused);
    let names: BTreeSet<ExternalRef> =
        places.iter().flat_map(|place| place.candidates.iter().chain(&place.links)).cloned().collect();
    let names: Vec<ExternalRef> = names.into_iter().collect();
    let mut known: HashMap<ExternalRef, EntityId> = HashMap::new();
    if !names.is_empty() {
        let found = store.resolve(&names).await?;
        known.extend(names.into_iter().zip(found).filter_map(|(name, entity)| Some((name, entity?))));
    }
    settle_places(&mut places, &mut known);

    let told = places.iter().filter_map(|place| Some((place.entity.as_ref()?, &readings[place.reading])));
    let woken = readings.iter().filter_map(|reading| Some((reading.wakes.as_ref()?, reading)));
    let concerned_by: Vec<(&EntityId, &Reading)> = told.chain(woken).collect();
    let ids: BTreeSet<EntityId> = concerned_by.iter().map(|(entity, _)| (*entity).clone()).collect();
    let mut turn = Turn::default();
    if let Some(stocks) = stocks {
        let of_stock = concerned_by.iter().filter(|(entity, _)| entity.kind() == EntityKind::Stock);
        let clients: BTreeSet<ClientId> =
            of_stock.filter_map(|(_, reading)| reading.client.clone()).collect();
        if !clients.is_empty() {
            turn = stocks.take(store, clients).await;
        }
    }
    batch.load(ids).await?;
    batch.reserve(concerned(&readings, &places, &batch.records)).await?;

    let mut drafts: Vec<Draft> = drafts(&batch, &readings, &places, refused);
    for draft in &mut drafts {
        draft.fold(&mut batch, stocks.is_some()).await?;
    }
    let asked = follow::asked(&drafts);
    if let Some(stocks) = stocks
        && !asked.is_empty()
    {
        // Who has a turn does not wait for another: two could wait for each other.
        if !turn.is_any() {
            turn = stocks.take(store, asked).await;
        }
        drafts = if let Some(drafts) = follow::follow(&mut batch, drafts).await? {
            drafts
        } else {
            let mut drafts = self::drafts(&batch, &readings, &places, refused);
            for draft in &mut drafts {
                draft.fold(&mut batch, false).await?;
            }
            drafts
        };
    }
    let mut slots: Vec<Option<Reading>> = readings.into_iter().map(Some).collect();
    let finished = drafts.into_iter().map(|draft| {
        let members: BTreeSet<usize> = draft.members.iter().copied().collect();
        let group: Vec<Reading> = members.into_iter().filter_map(|index| slots[index].take()).collect();
        (draft.finish(&batch, &group), group)
    });
    Ok((finished.collect(), turn))
}

/// What is at hand while a batch is worked on.
pub(super) struct Batch<'a> {
    world: &'a World,
    store: &'a dyn Store,
    now: Timestamp,
    /// Somebody may hear events.
    heard: bool,
    records: HashMap<EntityId, EntityRecord>,
    reserved: HashMap<EntityId, Reservations>,
}

impl Batch<'_> {
    /// Loads those of these entities that are not at hand.
    pub(super) async fn load(&mut self, ids: impl IntoIterator<Item = EntityId>) -> Result<(), StoreError> {
        let ids: Vec<EntityId> = ids.into_iter().filter(|id| !self.records.contains_key(id)).collect();
        if !ids.is_empty() {
            let records = self.store.load(&ids).await?;
            self.records.extend(records.into_iter().map(|record| (record.id.clone(), record)));
        }
        Ok(())
    }

    /// Reads reservations. Behind the entities, so that a write conflicts when they have changed since.
    pub(super) async fn reserve(&mut self, wanted: Vec<Reserved>) -> Result<(), StoreError> {
        let of_none = |wanted: &Reserved| wanted.orders.as_ref().is_some_and(Vec::is_empty);
        let (nothing, wanted): (Vec<Reserved>, Vec<Reserved>) = wanted.into_iter().partition(of_none);
        for Reserved { stock, .. } in nothing {
            self.reserved.entry(stock).or_default();
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let found = self.store.reservations(&wanted).await?;
        for (Reserved { stock, orders }, stored) in wanted.into_iter().zip(found) {
            let known = self.reserved.entry(stock).or_default();
            known.whole |= orders.is_none();
            known.stored.extend(stored);
        }
        Ok(())
    }

    /// Whether the entity exists.
    pub(super) fn exists(&self, id: &EntityId) -> bool {
        self.records.get(id).is_some_and(|record| record.version > 0)
    }

    /// Whether the reservations of all orders are at hand.
    pub(super) fn has_all(&self, stock: &EntityId) -> bool {
        self.reserved.get(stock).is_some_and(|reserved| reserved.whole)
    }

    /// What becomes of the entity; with `asking`, or what it asks stock.
    pub(super) async fn fold(
        &mut self,
        id: &EntityId,
        told: &mut Told,
        asking: bool,
    ) -> Result<Option<Folded>, StoreError> {
        loop {
            let Some(record) = self.records.get_mut(id) else { return Ok(None) };
            let how = How { now: self.now, asking, heard: self.heard };
            if let Ok(folded) = fold(self.world, record, self.reserved.get(id), told, how) {
                return Ok(Some(folded));
            }
            if self.has_all(id) {
                let text = format!("{id} cannot be planned with all of its reservations at hand");
                return Err(StoreError::Corrupt(text));
            }
            self.reserve(vec![Reserved { stock: id.clone(), orders: None }]).await?;
        }
    }
}

/// The reservations that the facts at hand are about. After a new level they may all be.
fn concerned(
    readings: &[Reading],
    places: &[Place],
    records: &HashMap<EntityId, EntityRecord>,
) -> Vec<Reserved> {
    let mut wanted: BTreeMap<&EntityId, Option<BTreeSet<EntityId>>> = BTreeMap::new();
    for record in records.values().filter(|record| record.id.kind() == EntityKind::Stock) {
        // Nothing is reserved of what nobody has heard of.
        wanted.insert(&record.id, (record.version > 0).then(BTreeSet::new));
    }
    for place in places {
        let Some(orders) = place.entity.as_ref().and_then(|entity| wanted.get_mut(entity)) else { continue };
        match &readings[place.reading].facts[place.fact].body {
            Body::StockAsk(ask) => {
                if let Some(orders) = orders {
                    orders.insert(EntityId(ask.by.clone()));
                }
            }
            Body::Level(_) => *orders = None,
            _ => {}
        }
    }
    let reserved = |(stock, orders): (&EntityId, Option<BTreeSet<EntityId>>)| Reserved {
        stock: stock.clone(),
        orders: orders.map(|orders| orders.into_iter().collect()),
    };
    wanted.into_iter().map(reserved).collect()
}

/// Notes which message of `group` claimed `name` and takes it out of the next attempt: links that contradict each other
/// are exceptions, never merges.
pub(super) fn refuse_link(
    group: &[Reading],
    name: &ExternalRef,
    holder: &EntityId,
    now: Timestamp,
    refused: &mut HashMap<MessageId, Vec<Exception>>,
) {
    let says = |reading: &&Reading| {
        reading
            .facts
            .iter()
            .any(|fact| serde_json::to_value(&fact.header).is_ok_and(|header| mentions(&header, &name.id)))
    };
    let guilty = group.iter().filter(|reading| !refused.contains_key(&reading.message));
    let Some(reading) = guilty.clone().find(says).or_else(|| guilty.clone().next()) else { return };
    let text =
        format!("the message says that {name} belongs to another order than {holder}, to which it is linked");
    refused.entry(reading.message).or_default().push(contradiction(reading, text, now));
}

fn mentions(header: &serde_json::Value, id: &str) -> bool {
    header.as_object().is_some_and(|fields| fields.values().any(|value| value.as_str() == Some(id)))
}

fn contradiction(reading: &Reading, text: String, now: Timestamp) -> Exception {
    let cause = format!("contradictory_links:{}", reading.account);
    let help = "find out which system is wrong, correct it there, then retry".to_owned();
    reading.exception(now, "contradictory_links", cause, text, Some(help))
}

fn subjects(world: &World, readings: &[Reading], refused: &HashMap<MessageId, Vec<Exception>>) -> Vec<Place> {
    let mut places = Vec::new();
    for (index, reading) in readings.iter().enumerate() {
        if refused.contains_key(&reading.message) {
            continue;
        }
        for (at, fact) in reading.facts.iter().enumerate() {
            let place = |entity| Place {
                reading: index,
                fact: at,
                candidates: Vec::new(),
                creates: None,
                links: Vec::new(),
                entity,
                contradiction: None,
            };
            if let Some(entity) = &reading.direct {
                places.push(place(Some(entity.clone())));
                continue;
            }
            let subject = apply::subject(
                &fact.account,
                &fact.header,
                &world.config,
                reading.client.as_ref(),
                &fact.body,
            );
            places.push(Place {
                candidates: subject.candidates,
                creates: subject.creates,
                links: subject.links,
                ..place(subject.direct)
            });
        }
    }
    places
}

/// Whether a name may belong to several orders: people number orders anew, and two storefronts may count alike. Such a
/// name finds an order where no other does, it contradicts none, and the first that has it keeps it.
fn is_weak(name: &ExternalRef) -> bool {
    name.kind == "number"
}

/// Finds the entity of each place; what one fact of the batch links, another may be found by.
fn settle_places(places: &mut [Place], known: &mut HashMap<ExternalRef, EntityId>) {
    loop {
        let mut changed = false;
        for place in places.iter_mut() {
            if place.entity.is_none() && place.contradiction.is_none() {
                let found: BTreeSet<&EntityId> = place
                    .candidates
                    .iter()
                    .filter_map(|name| known.get(name))
                    .chain(&place.creates)
                    .collect();
                let found: Vec<EntityId> = found.into_iter().cloned().collect();
                match found.as_slice() {
                    [] => {}
                    [one] => {
                        place.entity = Some(one.clone());
                        changed = true;
                    }
                    several => {
                        let several: Vec<&str> = several.iter().map(EntityId::as_str).collect();
                        place.contradiction = Some(format!(
                            "the names in the message belong to different orders: {}",
                            several.join(", ")
                        ));
                    }
                }
            }
            if let Some(entity) = &place.entity {
                for link in &place.links {
                    if !known.contains_key(link) {
                        known.insert(link.clone(), entity.clone());
                        changed = true;
                    }
                }
                place.links.retain(|link| !is_weak(link) || known.get(link) == Some(entity));
            }
        }
        if !changed {
            return;
        }
    }
}

/// The representative of `at`'s group.
pub(super) fn root(parent: &mut [usize], mut at: usize) -> usize {
    while parent[at] != at {
        parent[at] = parent[parent[at]];
        at = parent[at];
    }
    at
}

/// Groups readings that share an entity, in the order of their first member.
fn group(readings: &[Reading], places: &[Place]) -> Vec<Vec<usize>> {
    let mut parent: Vec<usize> = (0..readings.len()).collect();
    let mut first: HashMap<&EntityId, usize> = HashMap::new();
    let told = places.iter().filter_map(|place| Some((place.entity.as_ref()?, place.reading)));
    let heard = readings.iter().enumerate();
    let heard = heard.flat_map(|(index, reading)| {
        reading.heard.iter().chain(&reading.wakes).map(move |entity| (entity, index))
    });
    for (entity, reading) in told.chain(heard) {
        match first.get(entity) {
            Some(other) => {
                let (a, b) = (root(&mut parent, *other), root(&mut parent, reading));
                parent[a.max(b)] = a.min(b);
            }
            None => {
                first.insert(entity, reading);
            }
        }
    }
    let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for index in 0..readings.len() {
        groups.entry(root(&mut parent, index)).or_default().push(index);
    }
    groups.into_values().collect()
}

/// A unit while it is worked out.
pub(super) struct Draft {
    /// The readings that it settles.
    pub(super) members: Vec<usize>,
    unit: Unit,
    troubled: HashSet<MessageId>,
    /// What each entity is told, and what becomes of it.
    pub(super) entities: BTreeMap<EntityId, (Told, Option<Folded>)>,
}

/// What groups of readings that share an entity tell.
fn drafts(
    batch: &Batch<'_>,
    readings: &[Reading],
    places: &[Place],
    refused: &HashMap<MessageId, Vec<Exception>>,
) -> Vec<Draft> {
    let groups = group(readings, places);
    let mut places_of: Vec<Vec<&Place>> = (0..readings.len()).map(|_| Vec::new()).collect();
    for place in places {
        places_of[place.reading].push(place);
    }
    let draft = |members: Vec<usize>| {
        let places = members.iter().flat_map(|index| std::mem::take(&mut places_of[*index])).collect();
        Draft::of(batch, readings, members, places, refused)
    };
    groups.into_iter().map(draft).collect()
}

impl Draft {
    fn of(
        batch: &Batch<'_>,
        readings: &[Reading],
        members: Vec<usize>,
        places: Vec<&Place>,
        refused: &HashMap<MessageId, Vec<Exception>>,
    ) -> Self {
        let (world, now) = (batch.world, batch.now);
        let generation = world.config.generation.clone();
        let by = format!("generation {generation}");
        let mut unit = Unit { at: now, generation, by, ..Unit::default() };
        let mut entities: BTreeMap<EntityId, (Told, Option<Folded>)> = BTreeMap::new();
        let mut troubled: HashSet<MessageId> = HashSet::new();
        for reading in members.iter().map(|index| &readings[*index]) {
            let exceptions =
                reading.exceptions.iter().chain(refused.get(&reading.message).into_iter().flatten());
            for exception in exceptions {
                unit.exceptions.push(exception.clone());
                troubled.insert(reading.message);
            }
        }
        for place in places {
            let reading = &readings[place.reading];
            let fact = &reading.facts[place.fact];
            if let Some(text) = &place.contradiction {
                unit.exceptions.push(contradiction(reading, text.clone(), now));
                troubled.insert(reading.message);
            } else if let Some(entity) = &place.entity {
                let (told, _) = entities.entry(entity.clone()).or_default();
                told.by(reading.message, reading.client.as_ref());
                if !only_wakes(&fact.body) {
                    told.hear(fact.clone());
                }
                told.links.extend(place.links.iter().cloned());
            } else if place.candidates.is_empty() {
                if let Some(exception) = nobody(reading, fact, now) {
                    unit.exceptions.push(exception);
                    troubled.insert(reading.message);
                }
            } else {
                let wait = SignedDuration::try_from(world.config.intake.wait).unwrap_or(SignedDuration::MAX);
                let deadline = now.checked_add(wait).unwrap_or(Timestamp::MAX);
                unit.waiting.push(Waiting { fact: fact.clone(), refs: place.candidates.clone(), deadline });
            }
        }
        for reading in members.iter().map(|index| &readings[*index]) {
            if let Some(entity) = &reading.wakes {
                let (told, _) = entities.entry(entity.clone()).or_default();
                told.by(reading.message, reading.client.as_ref());
            }
            for record in reading.heard.iter().filter_map(|entity| batch.records.get(entity)) {
                if states(record, reading.message) {
                    entities.entry(record.id.clone()).or_default().0.messages.insert(reading.message);
                }
            }
        }
        Self { members, unit, troubled, entities }
    }

    /// Works out what becomes of each entity.
    async fn fold(&mut self, batch: &mut Batch<'_>, asking: bool) -> Result<(), StoreError> {
        for (entity, (told, folded)) in &mut self.entities {
            *folded = batch.fold(entity, told, asking).await?;
        }
        Ok(())
    }

    /// Takes in another one.
    pub(super) fn join(&mut self, other: Self) {
        self.members.extend(other.members);
        self.troubled.extend(other.troubled);
        self.unit.exceptions.extend(other.unit.exceptions);
        self.unit.waiting.extend(other.unit.waiting);
        self.entities.extend(other.entities);
    }

    /// The unit that does it all. `group` are its readings.
    fn finish(mut self, batch: &Batch<'_>, group: &[Reading]) -> Assembled {
        let mut strays = Vec::new();
        for (entity, (_, folded)) in self.entities {
            let Some(Folded { write, mails, broken }) = folded else { continue };
            let again = group.iter().filter(|reading| reading.heard.contains(&entity));
            if let Some(record) = batch.records.get(&entity)
                && let Some(write) = write.as_ref().filter(|write| !write.superseded.is_empty())
            {
                strays.extend(again.filter_map(|reading| remap::strays(record, write, reading, batch.now)));
            }
            self.unit.exceptions.extend(broken);
            self.unit.entities.extend(write.map(without_questions));
            self.unit.mail.extend(mails.iter().map(|one| mail(one, batch.now)));
        }
        for reading in group {
            let troubled = self.troubled.contains(&reading.message);
            let state = if troubled { MessageState::Excepted } else { MessageState::Done };
            self.unit.messages.push((reading.message, state));
            self.unit.resolve_messages.push(reading.message);
        }
        Assembled { unit: self.unit, strays }
    }
}

/// What is written, without the questions of orders: they stand in the reservations, and nobody reads a stock's facts.
fn without_questions(mut write: EntityWrite) -> EntityWrite {
    write.facts.retain(|fact| !matches!(fact.body, Body::StockAsk(_)));
    write
}

/// Whether the entity has facts in force that came in `message`.
fn states(record: &EntityRecord, message: MessageId) -> bool {
    record.facts.iter().any(|fact| fact.message == message)
}

/// A message that can only be read in part now keeps what it stated before, when that would be lost. One that is refused
/// touches nothing.
fn keep_what_was(
    reading: &mut Reading,
    records: &HashMap<EntityId, EntityRecord>,
    refused: &HashMap<MessageId, Vec<Exception>>,
) {
    let stated: HashSet<FactId> = reading.facts.iter().map(|fact| fact.id).collect();
    let known =
        reading.heard.iter().filter_map(|entity| records.get(entity)).flat_map(|record| &record.facts);
    let lost = known.filter(|fact| fact.message == reading.message).any(|fact| !stated.contains(&fact.id));
    if refused.contains_key(&reading.message) || (!reading.exceptions.is_empty() && lost) {
        reading.heard.clear();
        reading.facts.clear();
    }
}

/// A fact with no name to find its subject by. Stock levels that a storefront tells are observations of what we set
/// there ourselves, and mean nothing more.
fn nobody(reading: &Reading, fact: &Fact, now: Timestamp) -> Option<Exception> {
    if matches!(fact.body, Body::Level(_)) && reading.client.is_some() {
        return None;
    }
    let kind = fact.body.kind().0;
    let cause = format!("no_subject:{}:{}", reading.account, fact.rule);
    let text = format!("`{kind}` names no order, payment, shipment or parcel that it could belong to");
    let help = format!("let the rule [fact.{}] of {} give one of them", fact.rule, fact.mapping);
    Some(reading.exception(now, "no_subject", cause, text, Some(help)))
}

/// Name of the header in which a message to ourselves carries the client of an entity that may not exist yet.
pub(super) const CLIENT: &str = "client";

fn mail(mail: &Mail, now: Timestamp) -> NewMessage {
    let Mail { to, client, fact } = mail;
    let account = AccountId::from(OURS);
    NewMessage {
        shard: ports::shard(&account, to.as_str()),
        account,
        origin: Origin::Fact,
        topic: fact.body.kind().0.to_owned(),
        mapping: String::new(),
        event_id: None,
        headers: vec![(CLIENT.to_owned(), client.0.clone())],
        body: Bytes::from(serde_json::to_vec(fact).unwrap_or_default()),
        received: now,
        priority: 0,
        context: Some(to.0.clone()),
    }
}

//! Events until they are published. Those of one transaction stand in one row, and are claimed and deleted together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio_postgres::Row;

use super::codec::{Fault, get, statements, values};
use super::link::{Batch, Tx};
use crate::canonical::{ClientId, EntityId, Json};
use crate::io::store::form::{instant, number, pack_json, unpack_json};
use crate::ports::Event;

statements! {
    BUNDLE = "INSERT INTO bundle (first, many, data) VALUES ($1, $2, $3)";
    /// Those that nobody else publishes now: a claim ends by itself should its relay die. So many that they come to `$2`
    /// events, or the first.
    BUNDLES = "WITH free AS (SELECT first, many FROM bundle
            WHERE relay IS NULL OR relay = $1 OR claimed < clock_timestamp() - interval '15 seconds'
            ORDER BY first LIMIT $2 FOR UPDATE SKIP LOCKED),
        mine AS (SELECT f.first FROM (SELECT first, sum(many) OVER (ORDER BY first) - many AS before FROM free) f
            WHERE f.before < $2),
        claimed AS (UPDATE bundle b SET relay = $1, claimed = clock_timestamp() FROM mine WHERE b.first = mine.first
            RETURNING b.first, b.open, b.data)
        SELECT open, data, first FROM claimed ORDER BY first";
    /// Those that stand by themselves.
    EVENTS = "WITH mine AS (SELECT ordinal FROM event
            WHERE relay IS NULL OR relay = $1 OR claimed < clock_timestamp() - interval '15 seconds'
            ORDER BY ordinal LIMIT $2 FOR UPDATE SKIP LOCKED),
        claimed AS (UPDATE event e SET relay = $1, claimed = clock_timestamp() FROM mine WHERE e.ordinal = mine.ordinal
            RETURNING e.ordinal, e.client, e.entity, e.version, e.name, e.data, e.at)
        SELECT ordinal, client, entity, version, name, data, at FROM claimed ORDER BY ordinal";
    BUNDLES_DONE = "DELETE FROM bundle WHERE first = ANY($1::int8[])";
    BUNDLE_OPEN = "UPDATE bundle SET open = $2 WHERE first = $1";
    EVENTS_DONE = "DELETE FROM event WHERE ordinal = ANY($1::int8[])";
    UNCLAIM_BUNDLES = "UPDATE bundle SET relay = NULL, claimed = NULL WHERE relay = $1";
    UNCLAIM_EVENTS = "UPDATE event SET relay = NULL, claimed = NULL WHERE relay = $1";
}

/// Adds the row of the events of a transaction.
pub(super) fn tell(batch: &mut Batch, events: &[Event]) -> Result<(), Fault> {
    if let Some(first) = events.first() {
        batch.add(BUNDLE, values![first.ordinal, number(events.len()), pack_json(&events)?]);
    }
    Ok(())
}

/// The events of a bundle, from its columns `open` and `data`, that are not published.
pub(super) fn bundled(row: &Row) -> Result<Vec<Event>, Fault> {
    let mut told: Vec<Event> = unpack_json(get(row, 1)?)?;
    if let Some(open) = get::<Option<Vec<i64>>>(row, 0)? {
        told.retain(|event| open.contains(&event.ordinal));
    }
    Ok(told)
}

/// One who publishes.
#[derive(Debug)]
pub(super) struct Relay {
    /// Under which events are claimed.
    name: String,
    /// The ordinals of the bundles at hand that are not published.
    open: Mutex<BTreeMap<i64, BTreeSet<i64>>>,
}

impl Relay {
    pub(super) fn new() -> Self {
        Self { name: format!("{:016x}", rand::random::<u64>()), open: Mutex::default() }
    }

    /// Claims events to publish: some `limit` of them, bundles whole.
    pub(super) async fn events(&self, tx: &Tx, limit: usize) -> Result<Vec<Event>, Fault> {
        let mut batch = Batch::default();
        let bundles = batch.add(BUNDLES, values![self.name.clone(), number(limit)]);
        let single = batch.add(EVENTS, values![self.name.clone(), number(limit)]);
        let answers = tx.send(batch).await?;
        let rows = |at: usize| answers.get(at).map_or(&[][..], Vec::as_slice);
        let mut known = BTreeMap::new();
        let mut events = Vec::new();
        for row in rows(bundles) {
            let mut told = bundled(row)?;
            known.insert(get(row, 2)?, told.iter().map(|event| event.ordinal).collect());
            events.append(&mut told);
        }
        for row in rows(single) {
            events.push(Event {
                ordinal: get(row, 0)?,
                client: ClientId(get(row, 1)?),
                entity: EntityId(get(row, 2)?),
                version: get(row, 3)?,
                name: get(row, 4)?,
                data: Json::from_text(get::<String>(row, 5)?.into_bytes()),
                at: instant(get(row, 6)?),
            });
        }
        events.sort_by_key(|event| event.ordinal);
        *self.open() = known;
        Ok(events)
    }

    /// Deletes what is published.
    pub(super) fn published(&self, tx: &Tx, ordinals: &[i64]) {
        let mut left: BTreeSet<i64> = ordinals.iter().copied().collect();
        let mut whole = Vec::new();
        let mut batch = Batch::default();
        for (first, told) in &*self.open() {
            let open: Vec<i64> = told.iter().copied().filter(|ordinal| !left.remove(ordinal)).collect();
            if open.is_empty() {
                whole.push(*first);
            } else if open.len() < told.len() {
                batch.add(BUNDLE_OPEN, values![*first, open]);
            }
        }
        if !whole.is_empty() {
            batch.add(BUNDLES_DONE, values![whole]);
        }
        if !left.is_empty() {
            batch.add(EVENTS_DONE, values![left.into_iter().collect::<Vec<i64>>()]);
        }
        tx.at_last(batch);
    }

    /// Notes that these are deleted.
    pub(super) fn forget(&self, ordinals: &[i64]) {
        let done: BTreeSet<i64> = ordinals.iter().copied().collect();
        let mut open = self.open();
        open.values_mut().for_each(|told| told.retain(|ordinal| !done.contains(ordinal)));
        open.retain(|_, told| !told.is_empty());
    }

    /// Leaves what is claimed to others.
    pub(super) fn unclaim(&self, tx: &Tx) {
        let mut batch = Batch::default();
        for sql in [UNCLAIM_BUNDLES, UNCLAIM_EVENTS] {
            batch.add(sql, values![self.name.clone()]);
        }
        tx.at_last(batch);
    }

    fn open(&self) -> MutexGuard<'_, BTreeMap<i64, BTreeSet<i64>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Entities: loading them whole, and the names that lead to them.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};

use super::codec::{
    Fault, class_out, first, instant, intent_out, key, kind_in, number, records, rows, statements, unpack,
    unpack_json,
};
use super::exceptions;
use crate::canonical::stock::Reservation;
use crate::canonical::{
    AccountId, ClientId, EntityId, EntityKind, ExternalRef, Fact, Intent, IntentId, Json, MessageId,
};
use crate::io::store::form::unpack_fact;
use crate::ports::{EntityRecord, Reserved};

statements! {
    RESOLVE = "SELECT e.id, e.num FROM ref r JOIN entity e ON e.num = r.entity
        WHERE r.scope = ?1 AND r.kind = ?2 AND r.id = ?3";
    ENTITY = "SELECT e.num, e.version, e.client, e.state, p.data
        FROM entity e LEFT JOIN personal p ON p.entity = e.num WHERE e.id = ?1";
    FACTS = "SELECT f.data, p.data FROM fact f LEFT JOIN personal_fact p ON p.fact = f.n
        WHERE f.entity = ?1 AND f.superseded = 0 ORDER BY f.n";
    INTENTS = "SELECT i.id, e.id, i.account, i.slot, i.generation, i.command, i.class, i.args, i.state, i.attempts, i.due,
        i.created, i.sent_digest, i.error, z.content
        FROM intent i JOIN entity e ON e.num = i.entity LEFT JOIN frozen z ON z.intent = i.n
        WHERE i.entity = ?1 ORDER BY i.n";
    RESERVATION = "SELECT r.data FROM entity e JOIN reservation r ON r.entity = e.num WHERE e.id = ?1 AND r.holder = ?2";
    RESERVATIONS = "SELECT r.holder, r.data FROM entity e JOIN reservation r ON r.entity = e.num WHERE e.id = ?1";
    HEARD = "SELECT e.id FROM touched t JOIN entity e ON e.num = t.entity WHERE t.message = ?1 ORDER BY e.id";
    ENTITIES = "SELECT id FROM entity WHERE id > ?1 AND kind = ?2 ORDER BY id LIMIT ?3";
}

/// The columns of an intent, in the order in which [`intent`] reads them, are those of `INTENTS`; `delivery` reads more
/// behind them.
pub(super) const INTENT_COLUMNS: usize = 15;

pub(super) fn resolve(db: &Connection, refs: &[ExternalRef]) -> Result<Vec<Option<EntityId>>, Fault> {
    refs.iter().map(|name| Ok(holder(db, name)?.map(|(id, _)| id))).collect()
}

/// Whose the name is: id and number.
pub(super) fn holder(db: &Connection, name: &ExternalRef) -> Result<Option<(EntityId, i64)>, Fault> {
    first(db, RESOLVE, params![name.scope, name.kind, name.id], |row| {
        Ok((EntityId(row.get(0)?), row.get(1)?))
    })
}

/// The entities that heard from each of these messages.
pub(super) fn heard(db: &Connection, messages: &[MessageId]) -> Result<Vec<Vec<EntityId>>, Fault> {
    messages.iter().map(|id| rows(db, HEARD, params![id.0], |row| Ok(EntityId(row.get(0)?)))).collect()
}

pub(super) fn load(db: &Connection, ids: &[EntityId]) -> Result<Vec<EntityRecord>, Fault> {
    ids.iter().map(|id| record(db, id, true)).collect()
}

/// An entity without its facts and exceptions.
pub(super) fn load_state(db: &Connection, id: &EntityId) -> Result<EntityRecord, Fault> {
    record(db, id, false)
}

fn record(db: &Connection, id: &EntityId, whole: bool) -> Result<EntityRecord, Fault> {
    let found = records(db, ENTITY, params![id.0], |row| {
        let mut state = Json::from_text(unpack(row.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?)?);
        if let Some(personal) = row.get_ref(4)?.as_blob_or_null().map_err(rusqlite::Error::from)? {
            state = state.with(&unpack(personal)?);
        }
        let num: i64 = row.get(0)?;
        Ok((num, row.get(1)?, ClientId(row.get(2)?), state))
    })?
    .pop();
    let exceptions = if whole { exceptions::open_on(db, id)? } else { Vec::new() };
    let Some((num, version, client, state)) = found else {
        return Ok(EntityRecord {
            id: id.clone(),
            version: 0,
            client: ClientId::default(),
            state: Json::default(),
            facts: Vec::new(),
            intents: Vec::new(),
            exceptions,
        });
    };
    // The state of stock is all that is worked with: its facts are as many as levels were ever told.
    let facts = match id.kind() {
        EntityKind::Order if whole => records(db, FACTS, params![num], fact)?,
        EntityKind::Order | EntityKind::Stock => Vec::new(),
    };
    let intents = records(db, INTENTS, params![num], intent)?;
    Ok(EntityRecord { id: id.clone(), version, client, state, facts, intents, exceptions })
}

pub(super) fn reservations(
    db: &Connection,
    wanted: &[Reserved],
) -> Result<Vec<BTreeMap<EntityId, Reservation>>, Fault> {
    let data = |row: &Row<'_>, column| {
        Ok::<Reservation, Fault>(unpack_json(row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from)?)?)
    };
    let of = |Reserved { stock, orders }: &Reserved| {
        let Some(orders) = orders else {
            let all = records(db, RESERVATIONS, params![stock.0], |row| {
                Ok((EntityId(row.get(0)?), data(row, 1)?))
            })?;
            return Ok(all.into_iter().collect());
        };
        let mut found = BTreeMap::new();
        for order in orders {
            let one = records(db, RESERVATION, params![stock.0, order.0], |row| data(row, 0))?;
            found.extend(one.into_iter().map(|reservation| (order.clone(), reservation)));
        }
        Ok(found)
    };
    wanted.iter().map(of).collect()
}

/// A fact as stored, with its personal fields.
fn fact(row: &Row<'_>) -> Result<Fact, Fault> {
    let plain = row.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?;
    let personal = row.get_ref(1)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(unpack_fact(plain, personal)?)
}

/// The intent of a row whose first columns are those of `INTENTS`.
pub(super) fn intent(row: &Row<'_>) -> Result<Intent, Fault> {
    let args: String = row.get(7)?;
    let content = row.get_ref(14)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(Intent {
        id: IntentId(key(row, 0)?),
        entity: EntityId(row.get(1)?),
        account: AccountId(row.get(2)?),
        slot: row.get(3)?,
        generation: row.get(4)?,
        command: row.get(5)?,
        class: class_out(row.get(6)?)?,
        args: serde_json::from_str(&args)?,
        state: intent_out(row.get(8)?)?,
        attempts: row.get(9)?,
        due: instant(row.get(10)?),
        created: instant(row.get(11)?),
        sent_digest: row.get(12)?,
        sent_content: content.map(unpack_json).transpose()?,
        error: row.get(13)?,
    })
}

pub(super) fn entities(
    db: &Connection,
    kind: EntityKind,
    after: Option<&EntityId>,
    limit: usize,
) -> Result<Vec<EntityId>, Fault> {
    let after = after.map_or("", EntityId::as_str);
    rows(db, ENTITIES, params![after, kind_in(kind), number(limit)], |row| Ok(EntityId(row.get(0)?)))
}

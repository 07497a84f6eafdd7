//! Entities: loading them whole, and the names that lead to them.

use std::collections::{BTreeMap, HashMap};

use tokio_postgres::Row;

use super::codec::{Fault, get, id, key, small, statements, values, word};
use super::exceptions;
use super::link::{Batch, Tx};
use crate::canonical::stock::Reservation;
use crate::canonical::{
    AccountId, ClientId, EntityId, EntityKind, ExternalRef, Fact, Intent, IntentId, Json, MessageId,
};
use crate::io::store::form::{
    class_out, instant, intent_out, kind_in, number, unpack, unpack_fact, unpack_json,
};
use crate::ports::{EntityRecord, Reserved};

statements! {
    RESOLVE = "SELECT k.ord - 1, e.id FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
        k (scope, kind, id, ord)
        JOIN ref r ON r.scope = k.scope AND r.kind = k.kind AND r.id = k.id JOIN entity e ON e.num = r.entity";
    ENTITIES = "SELECT e.id, e.num, e.version, e.client, e.state, p.data
        FROM entity e LEFT JOIN personal p ON p.entity = e.num WHERE e.id = ANY($1::text[])";
    FACTS = "SELECT e.id, f.data, p.data FROM entity e JOIN fact f ON f.entity = e.num
        LEFT JOIN personal_fact p ON p.fact = f.n
        WHERE e.id = ANY($1::text[]) AND f.superseded = 0 ORDER BY f.n";
    INTENTS = "SELECT i.id, e.id, i.account, i.slot, i.generation, i.command, i.class, i.args, i.state, i.attempts, i.due,
        i.created, i.sent_digest, i.error, z.content
        FROM entity e JOIN intent i ON i.entity = e.num LEFT JOIN frozen z ON z.intent = i.n
        WHERE e.id = ANY($1::text[]) ORDER BY i.n";
    RESERVED = "SELECT k.ord - 1, r.holder, r.data FROM unnest($1::text[], $2::text[]) WITH ORDINALITY k (entity, holder, ord)
        JOIN entity e ON e.id = k.entity JOIN reservation r ON r.entity = e.num AND r.holder = k.holder";
    RESERVATIONS = "SELECT k.ord - 1, r.holder, r.data FROM unnest($1::text[]) WITH ORDINALITY k (entity, ord)
        JOIN entity e ON e.id = k.entity JOIN reservation r ON r.entity = e.num";
    HEARD = "SELECT t.message, e.id FROM touched t JOIN entity e ON e.num = t.entity
        WHERE t.message = ANY($1::int8[]) ORDER BY e.id";
    PAGE = "SELECT id FROM entity WHERE id > $1 AND kind = $2 ORDER BY id LIMIT $3";
}

/// The columns of an intent, in the order in which [`intent`] reads them, are those of `INTENTS`; `delivery` reads more
/// behind them.
pub(super) const INTENT_COLUMNS: usize = 15;

/// Columns of names.
pub(super) fn columns(names: &[&ExternalRef]) -> (Vec<String>, Vec<String>, Vec<String>) {
    let mut out = (Vec::new(), Vec::new(), Vec::new());
    for name in names {
        out.0.push(key(&name.scope));
        out.1.push(key(&name.kind));
        out.2.push(key(&name.id));
    }
    out
}

pub(super) async fn resolve(tx: &Tx, refs: &[ExternalRef]) -> Result<Vec<Option<EntityId>>, Fault> {
    let mut out = vec![None; refs.len()];
    if refs.is_empty() {
        return Ok(out);
    }
    let (scopes, kinds, ids) = columns(&refs.iter().collect::<Vec<_>>());
    for row in tx.rows(RESOLVE, values![scopes, kinds, ids]).await? {
        let place: usize = small(&row, 0)?;
        out[place] = Some(EntityId(get(&row, 1)?));
    }
    Ok(out)
}

/// The entities that heard from each of these messages.
pub(super) async fn heard(tx: &Tx, messages: &[MessageId]) -> Result<Vec<Vec<EntityId>>, Fault> {
    let ids: Vec<i64> = messages.iter().map(|id| id.0).collect();
    let mut out = vec![Vec::new(); ids.len()];
    for row in tx.rows(HEARD, values![ids.clone()]).await? {
        let message: i64 = get(&row, 0)?;
        for (_, entities) in ids.iter().zip(&mut out).filter(|(id, _)| **id == message) {
            entities.push(EntityId(get(&row, 1)?));
        }
    }
    Ok(out)
}

/// Entities whole. The version is read first: what a later transaction has added meanwhile makes a write of it conflict.
pub(super) async fn load(tx: &Tx, ids: &[EntityId]) -> Result<Vec<EntityRecord>, Fault> {
    records(tx, ids, true).await
}

/// Entities without their facts and exceptions.
pub(super) async fn load_states(tx: &Tx, ids: &[EntityId]) -> Result<Vec<EntityRecord>, Fault> {
    records(tx, ids, false).await
}

async fn records(tx: &Tx, ids: &[EntityId], whole: bool) -> Result<Vec<EntityRecord>, Fault> {
    let keys: Vec<String> = ids.iter().map(|id| key(&id.0)).collect();
    let mut batch = Batch::default();
    batch.add(ENTITIES, values![keys.clone()]);
    batch.add(INTENTS, values![keys.clone()]);
    if whole {
        // The state of stock is all that is worked with: its facts are as many as levels were ever told.
        let orders = ids.iter().filter(|id| id.kind() == EntityKind::Order);
        batch.add(FACTS, values![orders.map(|id| key(&id.0)).collect::<Vec<String>>()]);
        batch.add(exceptions::ON_ENTITIES, values![keys.clone()]);
    }
    let answers = tx.send(batch).await?;
    let rows = |at: usize| answers.get(at).map_or(&[][..], Vec::as_slice);
    let (entities, intents, facts, open) = (rows(0), rows(1), rows(2), rows(3));

    let mut found: HashMap<String, EntityRecord> = HashMap::new();
    for (id, key) in ids.iter().zip(&keys) {
        let record = EntityRecord {
            id: id.clone(),
            version: 0,
            client: ClientId::default(),
            state: Json::default(),
            facts: Vec::new(),
            intents: Vec::new(),
            exceptions: Vec::new(),
        };
        found.insert(key.clone(), record);
    }
    for row in entities {
        let mut state = Json::from_text(unpack(get(row, 4)?)?);
        if let Some(personal) = get::<Option<&[u8]>>(row, 5)? {
            state = state.with(&unpack(personal)?);
        }
        if let Some(record) = found.get_mut(get::<&str>(row, 0)?) {
            (record.version, record.client, record.state) = (get(row, 2)?, ClientId(get(row, 3)?), state);
        }
    }
    for row in facts {
        if let Some(record) = found.get_mut(get::<&str>(row, 0)?).filter(|record| record.version > 0) {
            record.facts.push(fact(row)?);
        }
    }
    for row in intents {
        if let Some(record) = found.get_mut(get::<&str>(row, 1)?).filter(|record| record.version > 0) {
            record.intents.push(intent(row)?);
        }
    }
    for row in open {
        let exception = exceptions::read(row)?;
        if let Some(record) = exception.entity.as_ref().and_then(|entity| found.get_mut(&entity.0)) {
            record.exceptions.push(exception);
        }
    }
    let once = found.len() == keys.len();
    let mut given = |key| if once { found.remove(key) } else { found.get(key).cloned() };
    keys.iter().map(|key| given(key).ok_or(Fault::Overtaken)).collect()
}

pub(super) async fn reservations(
    tx: &Tx,
    wanted: &[Reserved],
) -> Result<Vec<BTreeMap<EntityId, Reservation>>, Fault> {
    let mut out = vec![BTreeMap::new(); wanted.len()];
    // Of which of `wanted` a row is, by its place among what was asked.
    let (mut whole, mut single) = (Vec::new(), Vec::new());
    let (mut all, mut stocks, mut holders) = (Vec::new(), Vec::new(), Vec::new());
    for (place, Reserved { stock, orders }) in wanted.iter().enumerate() {
        match orders {
            None => {
                whole.push(place);
                all.push(key(&stock.0));
            }
            Some(orders) => {
                for order in orders {
                    single.push(place);
                    stocks.push(key(&stock.0));
                    holders.push(key(&order.0));
                }
            }
        }
    }
    let mut batch = Batch::default();
    batch.add(RESERVATIONS, values![all]);
    batch.add(RESERVED, values![stocks, holders]);
    let answers = tx.send(batch).await?;
    for (rows, places) in answers.iter().zip([whole, single]) {
        for row in rows {
            let at: usize = small(row, 0)?;
            let found = places.get(at).and_then(|place| out.get_mut(*place)).ok_or(Fault::Overtaken)?;
            found.insert(EntityId(get(row, 1)?), unpack_json(get(row, 2)?)?);
        }
    }
    Ok(out)
}

/// A fact as stored, with its personal fields.
fn fact(row: &Row) -> Result<Fact, Fault> {
    Ok(unpack_fact(get(row, 1)?, get(row, 2)?)?)
}

/// The intent of a row whose first columns are those of `INTENTS`.
pub(super) fn intent(row: &Row) -> Result<Intent, Fault> {
    let content: Option<&[u8]> = get(row, 14)?;
    Ok(Intent {
        id: IntentId(id(row, 0)?),
        entity: EntityId(get(row, 1)?),
        account: AccountId(get(row, 2)?),
        slot: get(row, 3)?,
        generation: small(row, 4)?,
        command: get(row, 5)?,
        class: word(row, 6, class_out)?,
        args: serde_json::from_str(get(row, 7)?)?,
        state: word(row, 8, intent_out)?,
        attempts: small(row, 9)?,
        due: instant(get(row, 10)?),
        created: instant(get(row, 11)?),
        sent_digest: get(row, 12)?,
        sent_content: content.map(unpack_json).transpose()?,
        error: get(row, 13)?,
    })
}

pub(super) async fn entities(
    tx: &Tx,
    kind: EntityKind,
    after: Option<&EntityId>,
    limit: usize,
) -> Result<Vec<EntityId>, Fault> {
    let after = after.map(|id| key(&id.0)).unwrap_or_default();
    let rows = tx.rows(PAGE, values![after, kind_in(kind), number(limit)]).await?;
    rows.iter().map(|row| Ok(EntityId(get(row, 0)?))).collect()
}

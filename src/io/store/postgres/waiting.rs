//! What waits: facts for their subject, entities for a time.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::codec::{Fault, get, key, statements, values};
use super::exceptions::{self, Source};
use super::link::{Batch, Tx};
use super::{delivery, entity, intake};
use crate::canonical::{AccountId, EntityId, ExternalRef, Fact};
use crate::io::store::form::{count, due_fact, instant, message_of, nanos, no_subject, number, unpack_json};
use crate::ports::{Hint, NewMessage};

statements! {
    /// What waits for names that have an owner now; it is locked.
    FOR_REFS = "SELECT w.n, w.exception, w.data, k.ord - 1 FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
        k (scope, kind, id, ord)
        JOIN waiting_ref r ON r.scope = k.scope AND r.kind = k.kind AND r.id = k.id
        JOIN waiting w ON w.n = r.waiting ORDER BY k.ord, w.n FOR UPDATE OF w";
    DELETE = "DELETE FROM waiting WHERE n = ANY($1::int8[])";
    DELETE_REFS = "DELETE FROM waiting_ref WHERE waiting = ANY($1::int8[])";
    /// Exceptions of waiting facts that no other waiting fact stands for.
    RESOLVE_ALONE = "UPDATE exception x SET resolved = $2, resolution = 'what it belongs to came' WHERE x.id = ANY($1::int8[]) AND x.resolved IS NULL
        AND NOT EXISTS (SELECT 1 FROM waiting w WHERE w.exception = x.id AND w.exception IS NOT NULL)";
    OVERDUE = "SELECT n, data FROM waiting WHERE exception IS NULL AND deadline <= $1
        ORDER BY deadline, n LIMIT $2 FOR UPDATE SKIP LOCKED";
    REFS = "SELECT scope, kind, id FROM waiting_ref WHERE waiting = $1 ORDER BY scope, kind, id";
    SET_OVERDUE = "UPDATE waiting SET exception = $2 WHERE n = $1";
    WAITING = "SELECT count(*) FROM waiting WHERE exception IS NULL";
    FIRST_DEADLINE = "SELECT min(deadline) FROM waiting WHERE exception IS NULL";
    FIRE = "UPDATE timer t SET due = NULL FROM
        (SELECT entity, kind FROM timer WHERE due IS NOT NULL AND due <= $1
            ORDER BY due, entity, kind LIMIT $2 FOR UPDATE SKIP LOCKED) d
        WHERE t.entity = d.entity AND t.kind = d.kind
        RETURNING t.entity, t.kind, t.generation, (SELECT e.account FROM entity e WHERE e.id = t.entity)";
    FIRST_TIMER = "SELECT min(due) FROM timer WHERE due IS NOT NULL";
    SHARDS = "SELECT s::int2 FROM generate_series(0, 15) s
        WHERE EXISTS (SELECT 1 FROM message m WHERE m.state = 0 AND m.shard = s::int2) ORDER BY s";
    TALLIES = "SELECT count(*) FROM tally";
    /// Adds up what was counted. Rows that another transaction holds are left for the next time.
    ADD_UP = "WITH gone AS (DELETE FROM tally WHERE ctid IN (SELECT ctid FROM tally LIMIT 20000 FOR UPDATE SKIP LOCKED)
            RETURNING area, a, b, n)
        INSERT INTO tally (area, a, b, n) SELECT area, a, b, sum(n)::int8 FROM gone GROUP BY area, a, b HAVING sum(n) <> 0";
}

/// Rows of `tally` above which they are added up.
const MANY: i64 = 2000;

// ------------------------------------------------------------------------------------------------------------- facts

/// Adds the look at what waits for names that have got an owner; gives the number of its answer.
pub(super) fn look(batch: &mut Batch, names: &[&ExternalRef]) -> usize {
    let (scopes, kinds, ids) = entity::columns(names);
    batch.add(FOR_REFS, values![scopes, kinds, ids])
}

/// A row of [`look`]'s answer: the fact's number, its exception, the fact, and which of the names it was.
pub(super) struct Woken {
    n: i64,
    exception: Option<i64>,
    pub(super) fact: Fact,
    pub(super) name: usize,
}

pub(super) fn woken(rows: &[tokio_postgres::Row]) -> Result<Vec<Woken>, Fault> {
    let mut seen = BTreeSet::new();
    let mut out = Vec::new();
    for row in rows {
        let n: i64 = get(row, 0)?;
        if seen.insert(n) {
            let name = super::codec::small(row, 3)?;
            out.push(Woken { n, exception: get(row, 1)?, fact: unpack_json(get(row, 2)?)?, name });
        }
    }
    Ok(out)
}

/// They wait no more.
pub(super) fn end(batch: &mut Batch, woken: &[Woken], at: Timestamp) {
    let all: Vec<i64> = woken.iter().map(|one| one.n).collect();
    batch.add(DELETE_REFS, values![all.clone()]);
    batch.add(DELETE, values![all]);
    let raised: Vec<i64> = woken.iter().filter_map(|one| one.exception).collect();
    if !raised.is_empty() {
        batch.add(RESOLVE_ALONE, values![raised, nanos(at)]);
    }
}

/// A message that has the entity projected and planned again, by a `timer.due` fact named `timer`.
pub(super) fn wake_entity(
    account: &AccountId,
    entity: &EntityId,
    timer: &str,
    generation: u64,
    at: Timestamp,
) -> Result<NewMessage, Fault> {
    let fact = due_fact(account, entity, timer, generation, at);
    Ok(message_of(&fact, entity, Some(entity.0.clone()), at)?)
}

/// How many facts wait.
pub(super) async fn waiting(tx: &Tx) -> Result<u64, Fault> {
    tx.first(WAITING, values![]).await?.map_or(Ok(0), |row| Ok(count(get(&row, 0)?)))
}

// -------------------------------------------------------------------------------------------------------------- sweep

/// Whether [`fire`] has anything to do.
pub(super) async fn anything_due(tx: &Tx, now: Timestamp) -> Result<bool, Fault> {
    Ok(times(tx).await?.into_iter().flatten().any(|at| at <= now))
}

async fn times(tx: &Tx) -> Result<[Option<Timestamp>; 2], Fault> {
    let mut batch = Batch::default();
    batch.add(FIRST_TIMER, values![]);
    batch.add(FIRST_DEADLINE, values![]);
    let answers = tx.send(batch).await?;
    let time = |at: usize| {
        let row = answers.get(at).and_then(|rows| rows.first());
        row.map_or(Ok(None), |row| get::<Option<i64>>(row, 0)).map(|nanos| nanos.map(instant))
    };
    Ok([time(0)?, time(1)?])
}

/// Turns due timers into messages and overdue facts into exceptions. What another node works on is left to it.
pub(super) async fn fire(tx: &Tx, now: Timestamp, limit: usize) -> Result<(), Fault> {
    let limit = number(limit);
    let mut messages = Vec::new();
    for row in tx.rows(FIRE, values![nanos(now), limit]).await? {
        if let Some(account) = get::<Option<String>>(&row, 3)?.map(AccountId) {
            let (entity, kind) = (EntityId(get(&row, 0)?), get::<&str>(&row, 1)?);
            messages.push(wake_entity(&account, &entity, kind, count(get(&row, 2)?), now)?);
        }
    }
    intake::insert(tx, &messages.iter().collect::<Vec<_>>()).await?;
    for row in tx.rows(OVERDUE, values![nanos(now), limit]).await? {
        let n: i64 = get(&row, 0)?;
        let fact: Fact = unpack_json(get(&row, 1)?)?;
        let mut refs = Vec::new();
        for name in tx.rows(REFS, values![n]).await? {
            refs.push(ExternalRef { scope: get(&name, 0)?, kind: get(&name, 1)?, id: get(&name, 2)? });
        }
        let id = exceptions::raise(tx, Source::Sweep, no_subject(&fact, &refs, now)).await?;
        tx.run(SET_OVERDUE, values![n, id]).await?;
    }
    Ok(())
}

/// Which shards and accounts have work.
pub(super) async fn hints(tx: &Tx, now: Timestamp) -> Result<Vec<Hint>, Fault> {
    let mut hints = Vec::new();
    for row in tx.rows(SHARDS, values![]).await? {
        let shard: i16 = get(&row, 0)?;
        hints.push(Hint::Inbound { shard: u16::try_from(shard).unwrap_or_default() });
    }
    let accounts = delivery::accounts_due(tx, now).await?;
    hints.extend(accounts.into_iter().map(|account| Hint::Outbound { account }));
    Ok(hints)
}

/// The next instant at which there is something to do; what is already pending is not counted.
pub(super) async fn next_due(tx: &Tx) -> Result<Option<Timestamp>, Fault> {
    let [timer, deadline] = times(tx).await?;
    Ok([timer, deadline, delivery::next_due(tx).await?].into_iter().flatten().min())
}

/// Whether so much was counted that it should be added up.
pub(super) async fn much_counted(tx: &Tx) -> Result<bool, Fault> {
    let row = tx.first(TALLIES, values![]).await?;
    Ok(row.map_or(Ok(0), |row| get::<i64>(&row, 0))? > MANY)
}

/// Adds up what was counted.
pub(super) async fn add_up(tx: &Tx) -> Result<(), Fault> {
    tx.run(ADD_UP, values![]).await?;
    Ok(())
}

/// The name of an entity, as columns have it.
pub(super) fn named(entity: &EntityId) -> String {
    key(&entity.0)
}

//! What waits: facts for their subject, entities for a time.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::codec::{
    Fault, count, first, instant, nanos, number, pack_json, records, rows, statements, unpack_json,
};
use super::exceptions::{self, Source};
use super::writer::Tx;
use super::{delivery, entity, intake};
use crate::canonical::{AccountId, EntityId, ExternalRef, Fact, MessageId};
use crate::io::store::form::{due_fact, message_of, no_subject};
use crate::ports::{Hint, INBOUND_SHARDS, NewMessage, Timer, Waiting};

statements! {
    INSERT = "INSERT INTO waiting (fact, account, kind, message, deadline, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    ANY = "SELECT 1 FROM waiting LIMIT 1";
    WAITS = "SELECT n, exception FROM waiting WHERE fact = ?1";
    RENEW = "UPDATE waiting SET deadline = ?2, exception = NULL WHERE n = ?1";
    INSERT_REF = "INSERT OR IGNORE INTO waiting_ref (scope, kind, id, waiting) VALUES (?1, ?2, ?3, ?4)";
    FOR_REF = "SELECT w.n, w.exception, w.data FROM waiting_ref r JOIN waiting w ON w.n = r.waiting
        WHERE r.scope = ?1 AND r.kind = ?2 AND r.id = ?3 ORDER BY w.n";
    OF_MESSAGE = "SELECT n, fact FROM waiting WHERE message = ?1";
    DELETE = "DELETE FROM waiting WHERE n = ?1";
    DELETE_REFS = "DELETE FROM waiting_ref WHERE waiting = ?1";
    OVERDUE = "SELECT n, data FROM waiting WHERE exception IS NULL AND deadline <= ?1 ORDER BY deadline, n LIMIT ?2";
    REFS = "SELECT scope, kind, id FROM waiting_ref WHERE waiting = ?1 ORDER BY scope, kind, id";
    SET_OVERDUE = "UPDATE waiting SET exception = ?2 WHERE n = ?1";
    OTHERS = "SELECT 1 FROM waiting WHERE exception = ?1 AND exception IS NOT NULL LIMIT 1";
    WAITING = "SELECT count(*) FROM waiting WHERE exception IS NULL";
    FIRST_DEADLINE = "SELECT min(deadline) FROM waiting WHERE exception IS NULL";
    SET_TIMER = "INSERT INTO timer (entity, kind, generation, due) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (entity, kind) DO UPDATE SET generation = excluded.generation, due = excluded.due
        WHERE excluded.generation > generation OR (excluded.generation = generation AND due IS NOT NULL)";
    DUE_TIMERS = "SELECT t.entity, t.kind, t.generation, e.account FROM timer t LEFT JOIN entity e ON e.id = t.entity
        WHERE t.due IS NOT NULL AND t.due <= ?1 ORDER BY t.due, t.entity, t.kind LIMIT ?2";
    FIRED = "UPDATE timer SET due = NULL WHERE entity = ?1 AND kind = ?2";
    FIRST_TIMER = "SELECT min(due) FROM timer WHERE due IS NOT NULL";
}

// ------------------------------------------------------------------------------------------------------------- facts

/// Lets a fact wait. False when one of its names is linked by now.
pub(super) fn wait(tx: &Tx<'_>, waiting: &Waiting) -> Result<bool, Fault> {
    for name in &waiting.refs {
        if entity::holder(tx.db, name)?.is_some() {
            return Ok(false);
        }
    }
    let fact = &waiting.fact;
    let deadline = nanos(waiting.deadline);
    let present = first(tx.db, WAITS, params![fact.id.0], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let n = if let Some((n, exception)) = present {
        if let Some(id) = exception
            && exceptions::one(tx.db, id)?.is_none()
        {
            tx.run(RENEW, params![n, deadline])?;
        }
        n
    } else {
        let data = pack_json(fact)?;
        tx.run(
            INSERT,
            params![fact.id.0, fact.account.0, fact.body.kind().0, fact.message.0, deadline, data],
        )?;
        tx.db.last_insert_rowid()
    };
    for name in &waiting.refs {
        tx.run(INSERT_REF, params![name.scope, name.kind, name.id, n])?;
    }
    Ok(true)
}

/// Whether any fact waits.
pub(super) fn any(tx: &Tx<'_>) -> Result<bool, Fault> {
    Ok(first(tx.db, ANY, [], |_| Ok(()))?.is_some())
}

/// The name has an owner now: what waited for it becomes messages again. Gives their shards.
pub(super) fn wake(
    tx: &Tx<'_>,
    name: &ExternalRef,
    owner: &EntityId,
    at: Timestamp,
    shards: &mut BTreeSet<u16>,
) -> Result<(), Fault> {
    let woken = records(tx.db, FOR_REF, params![name.scope, name.kind, name.id], |row| {
        let fact: Fact = unpack_json(row.get_ref(2)?.as_blob().map_err(rusqlite::Error::from)?)?;
        Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, fact))
    })?;
    for (n, exception, fact) in woken {
        tx.run(DELETE_REFS, params![n])?;
        tx.run(DELETE, params![n])?;
        if let Some(id) = exception
            && first(tx.db, OTHERS, params![id], |_| Ok(()))?.is_none()
        {
            exceptions::resolve(tx, id, at, "what it belongs to came")?;
        }
        shards.insert(tell(tx, &fact, owner, None, 0, at)?);
    }
    Ok(())
}

/// A fact as a message to ourselves. Gives its shard.
fn tell(
    tx: &Tx<'_>,
    fact: &Fact,
    owner: &EntityId,
    context: Option<String>,
    priority: u8,
    at: Timestamp,
) -> Result<u16, Fault> {
    let message = NewMessage { priority, ..message_of(fact, owner, context, at)? };
    let shard = message.shard;
    intake::insert(tx, &intake::Ready::of(message)?)?;
    Ok(shard)
}

/// Has the entity projected and planned again, by a `timer.due` fact named `timer`. Gives the shard.
pub(super) fn wake_entity(
    tx: &Tx<'_>,
    account: &AccountId,
    entity: &EntityId,
    timer: &str,
    generation: u64,
    at: Timestamp,
) -> Result<u16, Fault> {
    let fact = due_fact(account, entity, timer, generation, at);
    tell(tx, &fact, entity, Some(entity.0.clone()), 0, at)
}

/// Has the entity planned again when there is nothing more urgent. Gives the shard.
pub(super) fn replan(
    tx: &Tx<'_>,
    account: &AccountId,
    entity: &EntityId,
    at: Timestamp,
) -> Result<u16, Fault> {
    let generation = u64::try_from(at.as_millisecond()).unwrap_or_default();
    let fact = due_fact(account, entity, "replan", generation, at);
    tell(tx, &fact, entity, Some(entity.0.clone()), 2, at)
}

/// The message is mapped anew: what waited because of it, and what it does not state any more, waits no longer.
pub(super) fn forget(tx: &Tx<'_>, message: MessageId, stated: &[Waiting]) -> Result<(), Fault> {
    let waiting = rows(tx.db, OF_MESSAGE, params![message.0], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, [u8; 16]>(1)?))
    })?;
    for (n, fact) in waiting {
        if !stated.iter().any(|one| one.fact.id.0 == fact) {
            tx.run(DELETE_REFS, params![n])?;
            tx.run(DELETE, params![n])?;
        }
    }
    Ok(())
}

/// How many facts wait.
pub(super) fn waiting(db: &Connection) -> Result<u64, Fault> {
    Ok(first(db, WAITING, [], |row| row.get(0))?.map_or(0, count))
}

// ------------------------------------------------------------------------------------------------------------- timers

/// Sets a timer, unless it is of an old generation or has come due already.
pub(super) fn set_timer(tx: &Tx<'_>, timer: &Timer) -> Result<(), Fault> {
    let generation = i64::try_from(timer.generation).unwrap_or(i64::MAX);
    tx.run(SET_TIMER, params![timer.entity.0, timer.kind, generation, nanos(timer.due)])?;
    Ok(())
}

// -------------------------------------------------------------------------------------------------------------- sweep

/// Whether [`fire`] has anything to do.
pub(super) fn anything_due(db: &Connection, now: Timestamp) -> Result<bool, Fault> {
    let due = |sql| Ok::<bool, Fault>(earliest(db, sql)?.is_some_and(|at| at <= now));
    Ok(due(FIRST_TIMER)? || due(FIRST_DEADLINE)?)
}

fn earliest(db: &Connection, sql: &str) -> Result<Option<Timestamp>, Fault> {
    Ok(first(db, sql, [], |row| row.get::<_, Option<i64>>(0))?.flatten().map(instant))
}

/// Turns due timers into messages and overdue facts into exceptions.
pub(super) fn fire(tx: &Tx<'_>, now: Timestamp, limit: usize) -> Result<(), Fault> {
    let limit = number(limit);
    let due = rows(tx.db, DUE_TIMERS, params![nanos(now), limit], |row| {
        let account: Option<String> = row.get(3)?;
        Ok((EntityId(row.get(0)?), row.get::<_, String>(1)?, row.get::<_, i64>(2)?, account.map(AccountId)))
    })?;
    for (entity, kind, generation, account) in due {
        if let Some(account) = account {
            wake_entity(tx, &account, &entity, &kind, count(generation), now)?;
        }
        tx.run(FIRED, params![entity.0, kind])?;
    }
    let overdue = records(tx.db, OVERDUE, params![nanos(now), limit], |row| {
        let fact: Fact = unpack_json(row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?)?;
        Ok((row.get::<_, i64>(0)?, fact))
    })?;
    for (n, fact) in overdue {
        let refs = rows(tx.db, REFS, params![n], |row| {
            Ok(ExternalRef { scope: row.get(0)?, kind: row.get(1)?, id: row.get(2)? })
        })?;
        let id = exceptions::raise(tx, Source::Sweep, &no_subject(&fact, &refs, now))?;
        tx.run(SET_OVERDUE, params![n, id])?;
    }
    Ok(())
}

/// Which shards and accounts have work.
pub(super) fn hints(db: &Connection, now: Timestamp) -> Result<Vec<Hint>, Fault> {
    let mut hints = Vec::new();
    for shard in 0..INBOUND_SHARDS {
        if intake::shard_pending(db, shard)? {
            hints.push(Hint::Inbound { shard });
        }
    }
    hints.extend(delivery::accounts_due(db, now)?.into_iter().map(|account| Hint::Outbound { account }));
    Ok(hints)
}

/// The next instant at which there is something to do; what is already pending is not counted.
pub(super) fn next_due(db: &Connection) -> Result<Option<Timestamp>, Fault> {
    let times = [earliest(db, FIRST_TIMER)?, earliest(db, FIRST_DEADLINE)?, delivery::next_due(db)?];
    Ok(times.into_iter().flatten().min())
}

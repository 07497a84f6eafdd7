//! Keeping: small values by name, and what is deleted in time.

use jiff::Timestamp;
use serde_json::Value;

use super::codec::{Fault, get, key, statements, values};
use super::link::{Batch, Tx};
use crate::canonical::EntityId;
use crate::io::store::form::{ERASED, nanos, number, text};

statements! {
    GET = "SELECT value FROM kept WHERE space = $1 AND key = $2";
    LOCKED = "SELECT value FROM kept WHERE space = $1 AND key = $2 FOR UPDATE";
    PUT = "INSERT INTO kept (space, key, value) VALUES ($1, $2, $3)
        ON CONFLICT (space, key) DO UPDATE SET value = excluded.value";
    PUT_FIRST = "INSERT INTO kept (space, key, value) VALUES ($1, $2, $3) ON CONFLICT (space, key) DO NOTHING";
    REMOVE = "DELETE FROM kept WHERE space = $1 AND key = $2";
    ALL = "SELECT key, value FROM kept WHERE space = $1 ORDER BY key";
    PRUNE = "DELETE FROM body WHERE message IN (SELECT b.message FROM body b JOIN message m ON m.id = b.message
        WHERE b.received < $1 AND (m.state = 1 OR (m.state = 2 AND NOT EXISTS
            (SELECT 1 FROM exception x WHERE x.about = m.id AND x.about IS NOT NULL AND x.resolved IS NULL)))
        ORDER BY b.received LIMIT $2 FOR UPDATE OF b SKIP LOCKED)";
    OLD_TROUBLE = "DELETE FROM exception WHERE id IN (SELECT t.id
        FROM (SELECT id, resolved FROM exception ORDER BY id LIMIT 10 * $2::int8) AS t
        WHERE t.resolved < $1 ORDER BY t.id LIMIT $2)";
    NUM = "SELECT num FROM entity WHERE id = $1 FOR UPDATE";
    ERASE_STATE = "DELETE FROM personal WHERE entity = $1";
    ERASE_FACTS = "DELETE FROM personal_fact WHERE fact IN (SELECT n FROM fact WHERE entity = $1)";
    ERASE_FROZEN = "DELETE FROM frozen WHERE intent IN (SELECT n FROM intent WHERE entity = $1 AND state > 3)";
    ERASE_HEARD = "DELETE FROM body WHERE message IN (
        SELECT t.message FROM touched t JOIN message m ON m.id = t.message WHERE t.entity = $1 AND m.state <> 0
        UNION SELECT f.message FROM fact f JOIN message m ON m.id = f.message WHERE f.entity = $1 AND m.state <> 0
        UNION SELECT m.id FROM message m WHERE m.context = $2 AND m.context IS NOT NULL AND m.state <> 0
        UNION SELECT m.id FROM intent i JOIN message m ON m.context = encode(i.id, 'hex') AND m.context IS NOT NULL
            WHERE i.entity = $1 AND m.state <> 0)";
    ERASE_NOTES = "UPDATE attempt SET note = $2 WHERE intent IN (SELECT n FROM intent WHERE entity = $1)";
    ERASE_ERRORS = "UPDATE intent SET error = $2 WHERE entity = $1 AND error IS NOT NULL";
    ERASE_TROUBLE = "UPDATE exception SET message = $2, help = NULL,
            cause = CASE WHEN kind = 'rejected' THEN 'rejected:' || coalesce(account, '') || ':erased' ELSE cause END
        WHERE entity = $3 OR intent IN (SELECT id FROM intent WHERE entity = $1)
        OR about IN (SELECT message FROM touched WHERE entity = $1)
        OR about IN (SELECT message FROM fact WHERE entity = $1)";
    MARK_ERASED = "UPDATE entity SET erased = 1, version = version + 1 WHERE num = $1";
}

pub(super) async fn value(tx: &Tx, space: &str, name: &str) -> Result<Option<Value>, Fault> {
    match tx.first(GET, values![key(space), key(name)]).await? {
        Some(row) => Ok(Some(serde_json::from_str(get(&row, 0)?)?)),
        None => Ok(None),
    }
}

pub(super) async fn put(
    tx: &Tx,
    space: &str,
    name: &str,
    value: &Value,
    expected: Option<&Option<Value>>,
) -> Result<bool, Fault> {
    let (space, name) = (key(space), key(name));
    if let Some(expected) = expected {
        let present: Option<Value> = match tx.first(LOCKED, values![space.clone(), name.clone()]).await? {
            Some(row) => Some(serde_json::from_str(get(&row, 0)?)?),
            None => None,
        };
        if present != *expected {
            return Ok(false);
        }
        if present.is_none() && !value.is_null() {
            // Of two who set it first, one does.
            return Ok(tx.run(PUT_FIRST, values![space, name, text(value)?]).await? == 1);
        }
    }
    if value.is_null() {
        tx.run(REMOVE, values![space, name]).await?;
    } else {
        tx.run(PUT, values![space, name, text(value)?]).await?;
    }
    Ok(true)
}

pub(super) async fn all(tx: &Tx, space: &str) -> Result<Vec<(String, Value)>, Fault> {
    let rows = tx.rows(ALL, values![key(space)]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, serde_json::from_str(get(row, 1)?)?))).collect()
}

/// Deletes bodies of messages that nobody has to look at any more, and exceptions resolved long ago.
pub(super) async fn prune(tx: &Tx, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    let bodies = tx.run(PRUNE, values![nanos(before), number(limit)]).await?;
    let trouble = tx.run(OLD_TROUBLE, values![nanos(before), number(limit)]).await?;
    Ok(bodies + trouble)
}

/// Erases what is personal of an entity, and what partners said of it in their own words. Later facts about it lose theirs on the way in.
pub(super) async fn erase(tx: &Tx, entity: &EntityId) -> Result<(), Fault> {
    let name = key(&entity.0);
    let Some(row) = tx.first(NUM, values![name.clone()]).await? else { return Ok(()) };
    let num: i64 = get(&row, 0)?;
    let mut batch = Batch::default();
    for sql in [ERASE_STATE, ERASE_FACTS, ERASE_FROZEN] {
        batch.add(sql, values![num]);
    }
    batch.add(ERASE_HEARD, values![num, name.clone()]);
    batch.add(ERASE_NOTES, values![num, ERASED]);
    batch.add(ERASE_ERRORS, values![num, ERASED]);
    batch.add(ERASE_TROUBLE, values![num, ERASED, name]);
    batch.add(MARK_ERASED, values![num]);
    tx.send(batch).await?;
    Ok(())
}

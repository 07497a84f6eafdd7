//! Keeping: small values by name, events until they are published, and what is deleted in time.

use rusqlite::{Connection, params};
use serde_json::Value;

use super::codec::{Fault, first, instant, nanos, number, records, rows, statements, text};
use super::writer::Tx;
use crate::canonical::{ClientId, EntityId, Json};
use crate::io::store::form::ERASED;
use crate::ports::Event;
use jiff::Timestamp;

statements! {
    GET = "SELECT value FROM kept WHERE space = ?1 AND key = ?2";
    PUT = "INSERT INTO kept (space, key, value) VALUES (?1, ?2, ?3)
        ON CONFLICT (space, key) DO UPDATE SET value = excluded.value";
    REMOVE = "DELETE FROM kept WHERE space = ?1 AND key = ?2";
    ALL = "SELECT key, value FROM kept WHERE space = ?1 ORDER BY key";
    EVENTS = "SELECT ordinal, client, entity, version, name, data, at FROM event ORDER BY ordinal LIMIT ?1";
    PUBLISHED = "DELETE FROM event WHERE ordinal = ?1";
    OLD_BODIES = "SELECT b.message FROM body b JOIN message m ON m.id = b.message WHERE b.received < ?1
        AND (m.state = 1 OR (m.state = 2 AND NOT EXISTS
            (SELECT 1 FROM exception x WHERE x.about = m.id AND x.about IS NOT NULL AND x.resolved IS NULL)))
        ORDER BY b.received LIMIT ?2";
    DROP_BODY = "DELETE FROM body WHERE message = ?1";
    OLD_TROUBLE = "DELETE FROM exception WHERE id IN (SELECT t.id
        FROM (SELECT id, resolved FROM exception AS oldest ORDER BY id LIMIT 10 * ?2) AS t
        WHERE t.resolved < ?1 ORDER BY t.id LIMIT ?2)";
    NUM = "SELECT num FROM entity WHERE id = ?1";
    ERASE_STATE = "DELETE FROM personal WHERE entity = ?1";
    ERASE_FACTS = "DELETE FROM personal_fact WHERE fact IN (SELECT n FROM fact WHERE entity = ?1)";
    ERASE_FROZEN = "DELETE FROM frozen WHERE intent IN (SELECT n FROM intent WHERE entity = ?1 AND state > 3)";
    ERASE_HEARD = "DELETE FROM body WHERE message IN (
        SELECT t.message FROM touched t JOIN message m ON m.id = t.message WHERE t.entity = ?1 AND m.state <> 0
        UNION SELECT f.message FROM fact f JOIN message m ON m.id = f.message WHERE f.entity = ?1 AND m.state <> 0
        UNION SELECT m.id FROM message m WHERE m.context = ?2 AND m.context IS NOT NULL AND m.state <> 0
        UNION SELECT m.id FROM intent i JOIN message m ON m.context = lower(hex(i.id)) AND m.context IS NOT NULL
            WHERE i.entity = ?1 AND m.state <> 0)";
    ERASE_NOTES = "UPDATE attempt SET note = ?2 WHERE intent IN (SELECT n FROM intent WHERE entity = ?1)";
    ERASE_ERRORS = "UPDATE intent SET error = ?2 WHERE entity = ?1 AND error IS NOT NULL";
    ERASE_TROUBLE = "UPDATE exception AS trouble SET message = ?2, help = NULL,
            cause = CASE WHEN kind = 'rejected' THEN 'rejected:' || coalesce(account, '') || ':erased' ELSE cause END
        WHERE entity = ?3 OR intent IN (SELECT id FROM intent WHERE entity = ?1)
        OR about IN (SELECT message FROM touched WHERE entity = ?1)
        OR about IN (SELECT message FROM fact WHERE entity = ?1)";
    MARK_ERASED = "UPDATE entity SET erased = 1, version = version + 1 WHERE num = ?1";
}

pub(super) fn get(db: &Connection, space: &str, key: &str) -> Result<Option<Value>, Fault> {
    let stored: Option<String> = first(db, GET, params![space, key], |row| row.get(0))?;
    Ok(stored.map(|text| serde_json::from_str(&text)).transpose()?)
}

pub(super) fn put(
    tx: &Tx<'_>,
    space: &str,
    key: &str,
    value: &Value,
    expected: Option<&Option<Value>>,
) -> Result<bool, Fault> {
    if let Some(expected) = expected
        && get(tx.db, space, key)? != *expected
    {
        return Ok(false);
    }
    if value.is_null() {
        tx.run(REMOVE, params![space, key])?;
    } else {
        tx.run(PUT, params![space, key, text(value)?])?;
    }
    Ok(true)
}

pub(super) fn all(db: &Connection, space: &str) -> Result<Vec<(String, Value)>, Fault> {
    records(db, ALL, params![space], |row| {
        let value: String = row.get(1)?;
        Ok((row.get(0)?, serde_json::from_str(&value)?))
    })
}

pub(super) fn events(db: &Connection, limit: usize) -> Result<Vec<Event>, Fault> {
    records(db, EVENTS, params![number(limit)], |row| {
        let data: String = row.get(5)?;
        Ok(Event {
            ordinal: row.get(0)?,
            client: ClientId(row.get(1)?),
            entity: EntityId(row.get(2)?),
            version: row.get(3)?,
            name: row.get(4)?,
            data: Json::from_text(data.into_bytes()),
            at: instant(row.get(6)?),
        })
    })
}

pub(super) fn published(tx: &Tx<'_>, ordinals: &[i64]) -> Result<(), Fault> {
    for ordinal in ordinals {
        tx.run(PUBLISHED, params![ordinal])?;
    }
    Ok(())
}

/// Deletes bodies of messages that nobody has to look at any more, and exceptions resolved long ago.
pub(super) fn prune(tx: &Tx<'_>, before: Timestamp, limit: usize) -> Result<u64, Fault> {
    let old: Vec<i64> = rows(tx.db, OLD_BODIES, params![nanos(before), number(limit)], |row| row.get(0))?;
    let mut many = 0;
    for message in old {
        tx.run(DROP_BODY, params![message])?;
        many += 1;
    }
    let trouble = tx.run(OLD_TROUBLE, params![nanos(before), number(limit)])?;
    Ok(many + u64::try_from(trouble).unwrap_or(u64::MAX))
}

/// Erases what is personal of an entity, and what partners said of it in their own words. Later facts about it lose theirs on the way in.
pub(super) fn erase(tx: &Tx<'_>, entity: &EntityId) -> Result<(), Fault> {
    let Some(num) = first(tx.db, NUM, params![entity.0], |row| row.get::<_, i64>(0))? else { return Ok(()) };
    tx.run(ERASE_STATE, params![num])?;
    tx.run(ERASE_FACTS, params![num])?;
    tx.run(ERASE_FROZEN, params![num])?;
    tx.run(ERASE_HEARD, params![num, entity.0])?;
    tx.run(ERASE_NOTES, params![num, ERASED])?;
    tx.run(ERASE_ERRORS, params![num, ERASED])?;
    tx.run(ERASE_TROUBLE, params![num, ERASED, entity.0])?;
    tx.run(MARK_ERASED, params![num])?;
    Ok(())
}

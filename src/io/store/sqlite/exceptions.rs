//! Exceptions: what a person must see.

use rusqlite::{Connection, Row, params};

use super::codec::{Fault, count, first, instant, nanos, records, rows, statements};
use super::writer::Tx;
use crate::canonical::{AccountId, ClientId, EntityId, IntentId, MessageId};
use crate::ports::{CauseRow, Exception, ExceptionQuery};
use jiff::Timestamp;

/// Who raised an exception: it decides what resolves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// A unit, about a message or an account.
    Unit,
    /// The plan of its entity.
    Plan,
    /// A settled intent.
    Intent,
    /// The sweeper.
    Sweep,
}

impl Source {
    fn number(self) -> i64 {
        match self {
            Self::Unit => 0,
            Self::Plan => 1,
            Self::Intent => 2,
            Self::Sweep => 3,
        }
    }
}

statements! {
    SAME = "SELECT id, kind, message, help FROM exception WHERE cause = ?1 AND resolved IS NULL
        AND entity IS ?2 AND about IS ?3 AND intent IS ?4";
    INSERT = "INSERT INTO exception (source, cause, kind, message, help, account, client, entity, about, intent, raised)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    REWORD = "UPDATE exception SET kind = ?2, message = ?3, help = ?4 WHERE id = ?1";
    PLANNED = "SELECT id FROM exception WHERE entity = ?1 AND entity IS NOT NULL AND resolved IS NULL AND source = 1";
    RESOLVE = "UPDATE exception SET resolved = ?2, resolution = ?3 WHERE id = ?1 AND resolved IS NULL";
    DISMISS = "UPDATE exception SET resolved = ?2, resolution = 'dismissed' WHERE id = ?1 AND resolved IS NULL AND source IN (0, 3)";
    ABOUT = "SELECT id, cause FROM exception WHERE about = ?1 AND about IS NOT NULL AND resolved IS NULL";
    RESOLVE_INTENT = "UPDATE exception SET resolved = ?2, resolution = ?3
        WHERE intent = ?1 AND intent IS NOT NULL AND resolved IS NULL AND source = 2";
    RESOLVE_CAUSE = "UPDATE exception SET resolved = ?2, resolution = ?3
        WHERE cause = ?1 AND resolved IS NULL AND entity IS NULL AND about IS NULL";
    ON_ENTITY = "SELECT id, cause, kind, message, help, account, client, entity, about, intent, raised, resolved, resolution
        FROM exception WHERE entity = ?1 AND entity IS NOT NULL AND resolved IS NULL ORDER BY id";
    ONE = "SELECT id, cause, kind, message, help, account, client, entity, about, intent, raised, resolved, resolution
        FROM exception WHERE id = ?1 AND resolved IS NULL";
    OPEN = "SELECT id, cause, kind, message, help, account, client, entity, about, intent, raised, resolved, resolution
        FROM exception WHERE resolved IS NULL AND id < ?1
        AND (?2 IS NULL OR cause = ?2) AND (?3 IS NULL OR kind = ?3)
        AND (?4 IS NULL OR client = ?4) AND (?5 IS NULL OR account = ?5) ORDER BY id DESC LIMIT ?6";
    ANY = "SELECT id, cause, kind, message, help, account, client, entity, about, intent, raised, resolved, resolution
        FROM exception WHERE id < ?1
        AND (?2 IS NULL OR cause = ?2) AND (?3 IS NULL OR kind = ?3)
        AND (?4 IS NULL OR client = ?4) AND (?5 IS NULL OR account = ?5) ORDER BY id DESC LIMIT ?6";
    CAUSES = "SELECT g.cause, x.kind, g.many, x.message, x.help, g.since FROM
        (SELECT cause, count(*) AS many, max(id) AS newest, min(raised) AS since FROM exception
            WHERE resolved IS NULL AND (?1 IS NULL OR cause = ?1) AND (?2 IS NULL OR kind = ?2)
            AND (?3 IS NULL OR client = ?3) AND (?4 IS NULL OR account = ?4) GROUP BY cause) g
        JOIN exception x ON x.id = g.newest ORDER BY g.many DESC, g.cause LIMIT ?5";
    KINDS = "SELECT kind, count(*) FROM exception WHERE resolved IS NULL GROUP BY kind ORDER BY kind";
}

/// Raises an exception, unless an open one says the same of the same; gives its number.
pub(super) fn raise(tx: &Tx<'_>, source: Source, exception: &Exception) -> Result<i64, Fault> {
    let entity = exception.entity.as_ref().map(EntityId::as_str);
    let about = exception.message_id.map(|id| id.0);
    let intent = exception.intent.map(|id| id.0);
    let same = first(tx.db, SAME, params![exception.cause, entity, about, intent], |row| {
        let worded: (String, String, Option<String>) = (row.get(1)?, row.get(2)?, row.get(3)?);
        Ok((row.get::<_, i64>(0)?, worded))
    })?;
    if let Some((id, (kind, message, help))) = same {
        if kind != exception.kind || message != exception.message || help != exception.help {
            tx.run(REWORD, params![id, exception.kind, exception.message, exception.help])?;
        }
        return Ok(id);
    }
    tx.run(
        INSERT,
        params![
            source.number(),
            exception.cause,
            exception.kind,
            exception.message,
            exception.help,
            exception.account.as_ref().map(AccountId::as_str),
            exception.client.as_ref().map(ClientId::as_str),
            entity,
            about,
            intent,
            nanos(exception.raised),
        ],
    )?;
    Ok(tx.db.last_insert_rowid())
}

/// Makes `wanted` the exceptions that the plan of `entity` holds open.
pub(super) fn replace(
    tx: &Tx<'_>,
    entity: &EntityId,
    wanted: &[Exception],
    at: Timestamp,
    by: &str,
) -> Result<(), Fault> {
    let before: Vec<i64> = rows(tx.db, PLANNED, params![entity.0], |row| row.get(0))?;
    let mut kept = Vec::with_capacity(wanted.len());
    for exception in wanted {
        if exception.entity.as_ref() == Some(entity) {
            kept.push(raise(tx, Source::Plan, exception)?);
        } else {
            kept.push(raise(
                tx,
                Source::Plan,
                &Exception { entity: Some(entity.clone()), ..exception.clone() },
            )?);
        }
    }
    for id in before.into_iter().filter(|id| !kept.contains(id)) {
        resolve(tx, id, at, by)?;
    }
    Ok(())
}

pub(super) fn resolve(tx: &Tx<'_>, id: i64, at: Timestamp, by: &str) -> Result<(), Fault> {
    tx.run(RESOLVE, params![id, nanos(at), words(by)])?;
    Ok(())
}

/// Resolves what stands about `message`, but for what `raised` says again.
pub(super) fn resolve_message(
    tx: &Tx<'_>,
    message: MessageId,
    raised: &[Exception],
    at: Timestamp,
    by: &str,
) -> Result<(), Fault> {
    let standing: Vec<(i64, String)> =
        rows(tx.db, ABOUT, params![message.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    for (id, cause) in standing {
        let again = |one: &Exception| one.message_id == Some(message) && one.cause == cause;
        if !raised.iter().any(again) {
            resolve(tx, id, at, by)?;
        }
    }
    Ok(())
}

/// Words, if there are any.
fn words(by: &str) -> Option<&str> {
    (!by.is_empty()).then_some(by)
}

/// The intent goes on: what settling it raised is resolved.
pub(super) fn resolve_intent(tx: &Tx<'_>, intent: IntentId, at: Timestamp, by: &str) -> Result<(), Fault> {
    tx.run(RESOLVE_INTENT, params![intent.0, nanos(at), words(by)])?;
    Ok(())
}

/// Resolves what stands on an account by its cause.
pub(super) fn resolve_cause(tx: &Tx<'_>, cause: &str, at: Timestamp, by: &str) -> Result<(), Fault> {
    tx.run(RESOLVE_CAUSE, params![cause, nanos(at), words(by)])?;
    Ok(())
}

/// Resolves an exception that neither a plan nor an intent holds open.
pub(super) fn dismiss(tx: &Tx<'_>, id: i64, at: Timestamp) -> Result<u64, Fault> {
    Ok(u64::try_from(tx.run(DISMISS, params![id, nanos(at)])?).unwrap_or_default())
}

pub(super) fn open_on(db: &Connection, entity: &EntityId) -> Result<Vec<Exception>, Fault> {
    records(db, ON_ENTITY, params![entity.0], read)
}

/// An open one.
pub(super) fn one(db: &Connection, id: i64) -> Result<Option<Exception>, Fault> {
    Ok(records(db, ONE, params![id], read)?.pop())
}

pub(super) fn list(db: &Connection, query: &ExceptionQuery) -> Result<Vec<Exception>, Fault> {
    let limit = query.limit.unwrap_or(100).min(1000);
    let before = query.before.unwrap_or(i64::MAX);
    let sql = if query.resolved { ANY } else { OPEN };
    records(db, sql, params![before, query.cause, query.kind, query.client, query.account, limit], read)
}

pub(super) fn causes(db: &Connection, query: &ExceptionQuery) -> Result<Vec<CauseRow>, Fault> {
    let limit = query.limit.unwrap_or(100).min(1000);
    rows(db, CAUSES, params![query.cause, query.kind, query.client, query.account, limit], |row| {
        Ok(CauseRow {
            cause: row.get(0)?,
            kind: row.get(1)?,
            count: count(row.get(2)?),
            message: row.get(3)?,
            help: row.get(4)?,
            since: instant(row.get(5)?),
        })
    })
}

/// How many are open, by kind.
pub(super) fn kinds(db: &Connection) -> Result<Vec<(String, u64)>, Fault> {
    rows(db, KINDS, [], |row| Ok((row.get(0)?, count(row.get(1)?))))
}

fn read(row: &Row<'_>) -> Result<Exception, Fault> {
    let intent: Option<[u8; 16]> = row.get(9)?;
    Ok(Exception {
        id: row.get(0)?,
        cause: row.get(1)?,
        kind: row.get(2)?,
        message: row.get(3)?,
        help: row.get(4)?,
        account: row.get::<_, Option<String>>(5)?.map(AccountId),
        client: row.get::<_, Option<String>>(6)?.map(ClientId),
        entity: row.get::<_, Option<String>>(7)?.map(EntityId),
        message_id: row.get::<_, Option<i64>>(8)?.map(MessageId),
        intent: intent.map(IntentId),
        raised: instant(row.get(10)?),
        resolved: row.get::<_, Option<i64>>(11)?.map(instant),
        resolution: row.get(12)?,
    })
}

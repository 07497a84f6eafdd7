//! Intake: messages, cursors of polls, counters.

use bytes::Bytes;
use rusqlite::{Connection, Row, params};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::codec::{
    Fault, count, first, instant, message_in, message_out, message_word, nanos, number, origin_in,
    origin_out, pack, records, rows, statements, text, unpack,
};
use super::writer::Tx;
use crate::canonical::{AccountId, MessageId};
use crate::ports::{Accepted, Message, MessageQuery, MessageState, NewMessage, Origin};

statements! {
    KNOWN = "SELECT id FROM message WHERE account = ?1 AND event_id = ?2 AND digest = ?3 AND event_id IS NOT NULL";
    INSERT = "INSERT INTO message
        (account, origin, topic, mapping, event_id, digest, headers, received, priority, shard, context, state, attempts)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, 0, 0)";
    INSERT_BODY = "INSERT INTO body (message, received, data) VALUES (?1, ?2, ?3)";
    SET_CURSOR = "INSERT INTO cursor (account, poll, value) VALUES (?1, ?2, ?3)
        ON CONFLICT (account, poll) DO UPDATE SET value = excluded.value";
    CURSOR = "SELECT value FROM cursor WHERE account = ?1 AND poll = ?2";
    COUNT = "INSERT INTO counter (account, what, n) VALUES (?1, ?2, 1)
        ON CONFLICT (account, what) DO UPDATE SET n = n + 1";
    COUNTED = "SELECT account, what, n FROM counter ORDER BY account, what";
    BACKLOG = "SELECT a, n FROM tally WHERE area = 'backlog' AND n > 0 ORDER BY a";
    PENDING = "SELECT m.id, m.account, m.origin, m.topic, m.mapping, m.event_id, m.headers, m.received, m.priority,
        m.shard, m.context, m.state, m.attempts, b.data, m.generation
        FROM message m LEFT JOIN body b ON b.message = m.id
        WHERE m.state = 0 AND m.shard = ?1 ORDER BY m.priority, m.id LIMIT ?2";
    MESSAGE = "SELECT m.id, m.account, m.origin, m.topic, m.mapping, m.event_id, m.headers, m.received, m.priority,
        m.shard, m.context, m.state, m.attempts, b.data, m.generation
        FROM message m LEFT JOIN body b ON b.message = m.id WHERE m.id = ?1";
    MESSAGES = "SELECT m.id, m.account, m.origin, m.topic, m.mapping, m.event_id, m.headers, m.received, m.priority,
        m.shard, m.context, m.state, m.attempts, b.data, m.generation
        FROM body b INDEXED BY body_received CROSS JOIN message m ON m.id = b.message
        WHERE b.received >= ?1 AND (b.received, b.message) < (?2, ?3) AND m.mapping <> ''
        AND (?4 IS NULL OR m.mapping = ?4)
        AND (?5 IS NULL OR m.account IN (SELECT value FROM json_each(?5)))
        ORDER BY b.received DESC, b.message DESC LIMIT ?6";
    STANDING = "SELECT state, account, shard, origin, attempts FROM message WHERE id = ?1";
    SET_STATE = "UPDATE message SET state = ?2, attempts = attempts + ?3, generation = ifnull(?4, generation) WHERE id = ?1";
    LATER = "UPDATE message SET priority = 2 WHERE id = ?1";
    DROP_BODY = "DELETE FROM body WHERE message = ?1";
    HAS_BODY = "SELECT 1 FROM body WHERE message = ?1";
    SHARD_PENDING = "SELECT 1 FROM message WHERE state = 0 AND shard = ?1 LIMIT 1";
}

/// A message with what is stored of it worked out, so that the writer need not.
pub(super) struct Ready {
    message: NewMessage,
    digest: Option<[u8; 16]>,
    headers: String,
    body: Vec<u8>,
}

impl Ready {
    pub(super) fn of(message: NewMessage) -> Result<Self, Fault> {
        let digest = message.event_id.as_ref().map(|_| {
            let mut short = [0_u8; 16];
            short.copy_from_slice(&Sha256::digest(&message.body)[..16]);
            short
        });
        let headers = if message.headers.is_empty() { String::new() } else { text(&message.headers)? };
        let body = pack(&message.body);
        Ok(Self { digest, headers, body, message: NewMessage { body: Bytes::new(), ..message } })
    }

    /// Who works on it.
    pub(super) fn shard(&self) -> u16 {
        self.message.shard
    }
}

/// Stores a message, unless it is known.
pub(super) fn insert(tx: &Tx<'_>, ready: &Ready) -> Result<Accepted, Fault> {
    let Ready { message, digest, headers, body } = ready;
    if digest.is_some()
        && let Some(id) =
            first(tx.db, KNOWN, params![message.account.0, message.event_id, digest], |row| row.get(0))?
    {
        return Ok(Accepted::Duplicate(MessageId(id)));
    }
    let received = nanos(message.received);
    tx.run(
        INSERT,
        params![
            message.account.0,
            origin_in(message.origin),
            message.topic,
            message.mapping,
            message.event_id,
            digest,
            headers,
            received,
            message.priority,
            message.shard,
            message.context,
        ],
    )?;
    let id = tx.db.last_insert_rowid();
    tx.run(INSERT_BODY, params![id, received, body])?;
    tx.tally("message", message_word(MessageState::Pending), "", 1);
    tx.tally("backlog", message.account.as_str(), "", 1);
    Ok(Accepted::New(MessageId(id)))
}

/// Stores messages and moves a cursor.
pub(super) fn accept(
    tx: &Tx<'_>,
    messages: &[Ready],
    cursor: Option<&(AccountId, String, Value)>,
) -> Result<Vec<Accepted>, Fault> {
    let accepted = messages.iter().map(|message| insert(tx, message)).collect::<Result<_, _>>()?;
    if let Some((account, poll, value)) = cursor {
        tx.run(SET_CURSOR, params![account.0, poll, text(value)?])?;
    }
    Ok(accepted)
}

pub(super) fn cursor(db: &Connection, account: &AccountId, poll: &str) -> Result<Option<Value>, Fault> {
    let stored: Option<String> = first(db, CURSOR, params![account.0, poll], |row| row.get(0))?;
    Ok(stored.map(|text| serde_json::from_str(&text)).transpose()?)
}

pub(super) fn bump(tx: &Tx<'_>, account: &AccountId, what: &str) -> Result<(), Fault> {
    tx.run(COUNT, params![account.0, what])?;
    Ok(())
}

pub(super) fn counted(db: &Connection) -> Result<Vec<(AccountId, String, u64)>, Fault> {
    rows(db, COUNTED, [], |row| Ok((AccountId(row.get(0)?), row.get(1)?, count(row.get(2)?))))
}

pub(super) fn backlog(db: &Connection) -> Result<Vec<(AccountId, u64)>, Fault> {
    rows(db, BACKLOG, [], |row| Ok((AccountId(row.get(0)?), count(row.get(1)?))))
}

pub(super) fn pending(db: &Connection, shard: u16, limit: usize) -> Result<Vec<Message>, Fault> {
    records(db, PENDING, params![shard, number(limit)], read)
}

pub(super) fn message(db: &Connection, id: MessageId) -> Result<Option<Message>, Fault> {
    Ok(records(db, MESSAGE, params![id.0], read)?.pop())
}

pub(super) fn messages(db: &Connection, query: &MessageQuery) -> Result<Vec<Message>, Fault> {
    let (before, id) = query.before.map_or((i64::MAX, i64::MAX), |(at, id)| (nanos(at), id.0));
    let accounts = if query.accounts.is_empty() { None } else { Some(text(&query.accounts)?) };
    let since = nanos(query.since);
    records(db, MESSAGES, params![since, before, id, query.mapping, accounts, number(query.limit)], read)
}

fn read(row: &Row<'_>) -> Result<Message, Fault> {
    let headers: String = row.get(6)?;
    let body = row.get_ref(13)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
    Ok(Message {
        id: MessageId(row.get(0)?),
        content: NewMessage {
            account: AccountId(row.get(1)?),
            origin: origin_out(row.get(2)?)?,
            topic: row.get(3)?,
            mapping: row.get(4)?,
            event_id: row.get(5)?,
            headers: if headers.is_empty() { Vec::new() } else { serde_json::from_str(&headers)? },
            body: body.map(unpack).transpose()?.unwrap_or_default().into(),
            received: instant(row.get(7)?),
            priority: row.get(8)?,
            shard: row.get(9)?,
            context: row.get(10)?,
        },
        state: message_out(row.get(11)?)?,
        attempts: row.get(12)?,
        generation: row.get(14)?,
    })
}

/// How a message stands.
pub(super) struct Standing {
    pub(super) state: MessageState,
    pub(super) account: AccountId,
    pub(super) shard: u16,
    pub(super) origin: Origin,
    /// How often it was worked on.
    pub(super) attempts: i64,
}

pub(super) fn standing(db: &Connection, id: MessageId) -> Result<Option<Standing>, Fault> {
    first(db, STANDING, params![id.0], |row| {
        Ok(Standing {
            state: message_out(row.get(0)?)?,
            account: AccountId(row.get(1)?),
            shard: row.get(2)?,
            origin: origin_out(row.get(3)?)?,
            attempts: row.get(4)?,
        })
    })
}

/// Moves a message to another state, and notes the generation under which it was worked on. Facts of our own leave no body behind: the fact itself is stored.
pub(super) fn set_state(
    tx: &Tx<'_>,
    id: MessageId,
    was: &Standing,
    state: MessageState,
    generation: Option<&str>,
) -> Result<(), Fault> {
    let worked = was.state == MessageState::Pending;
    tx.run(SET_STATE, params![id.0, message_in(state), i64::from(worked), generation])?;
    tx.tally("message", message_word(was.state), "", -1);
    tx.tally("message", message_word(state), "", 1);
    let moves = i64::from(state == MessageState::Pending) - i64::from(was.state == MessageState::Pending);
    if moves != 0 {
        tx.tally("backlog", was.account.as_str(), "", moves);
    }
    if was.origin == Origin::Fact && state == MessageState::Done {
        tx.run(DROP_BODY, params![id.0])?;
    }
    Ok(())
}

/// Puts a settled message back to pending, behind what is more urgent.
pub(super) fn reopen(tx: &Tx<'_>, id: MessageId, was: &Standing) -> Result<(), Fault> {
    set_state(tx, id, was, MessageState::Pending, None)?;
    tx.run(LATER, params![id.0])?;
    Ok(())
}

pub(super) fn has_body(db: &Connection, id: MessageId) -> Result<bool, Fault> {
    Ok(first(db, HAS_BODY, params![id.0], |_| Ok(()))?.is_some())
}

pub(super) fn shard_pending(db: &Connection, shard: u16) -> Result<bool, Fault> {
    Ok(first(db, SHARD_PENDING, params![shard], |_| Ok(()))?.is_some())
}

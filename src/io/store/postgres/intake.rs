//! Intake: messages, cursors of polls, counters.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_postgres::Row;

use super::codec::{Fault, Param, clean, get, key, small, statements, values, word};
use super::link::{Batch, Tx};
use crate::canonical::{AccountId, MessageId};
use crate::io::store::form::{
    count, instant, message_in, message_out, message_word, nanos, number, origin_in, origin_out, pack, text,
    unpack,
};
use crate::ports::{Accepted, Message, MessageQuery, MessageState, NewMessage, Origin};

statements! {
    INSERT = "WITH k AS MATERIALIZED (
        SELECT nextval('message_id') AS id, u.* FROM unnest($1::text[], $2::int2[], $3::text[], $4::text[], $5::text[],
            $6::bytea[], $7::text[], $8::int8[], $9::int2[], $10::int2[], $11::text[], $12::bytea[]) WITH ORDINALITY
            u (account, origin, topic, mapping, event_id, digest, headers, received, priority, shard, context, data, ord)),
        new AS (INSERT INTO message (id, account, origin, topic, mapping, event_id, digest, headers, received, priority,
            shard, context, state, attempts)
            SELECT id, account, origin, topic, mapping, event_id, digest, headers, received, priority, shard, context, 0, 0
            FROM k ORDER BY ord
            ON CONFLICT (account, event_id, digest) WHERE event_id IS NOT NULL DO NOTHING RETURNING id),
        stored AS (INSERT INTO body (message, received, data)
            SELECT k.id, k.received, k.data FROM k JOIN new ON new.id = k.id)
        SELECT k.id, new.id IS NOT NULL FROM k LEFT JOIN new ON new.id = k.id ORDER BY k.ord";
    /// Messages of our own have no event id: none of them can be known.
    TELL = "WITH k AS MATERIALIZED (
        SELECT nextval('message_id') AS id, u.* FROM unnest($1::text[], $2::int2[], $3::text[], $4::text[], $5::text[],
            $6::bytea[], $7::text[], $8::int8[], $9::int2[], $10::int2[], $11::text[], $12::bytea[]) WITH ORDINALITY
            u (account, origin, topic, mapping, event_id, digest, headers, received, priority, shard, context, data, ord)),
        stored AS (INSERT INTO body (message, received, data) SELECT id, received, data FROM k)
        INSERT INTO message (id, account, origin, topic, mapping, event_id, digest, headers, received, priority,
            shard, context, state, attempts)
        SELECT id, account, origin, topic, mapping, event_id, digest, headers, received, priority, shard, context, 0, 0
        FROM k ORDER BY ord";
    KNOWN = "SELECT k.ord - 1, m.id FROM unnest($1::text[], $2::text[], $3::bytea[]) WITH ORDINALITY
        k (account, event_id, digest, ord)
        JOIN message m ON m.account = k.account AND m.event_id = k.event_id AND m.digest = k.digest
        WHERE m.event_id IS NOT NULL";
    SET_CURSOR = "INSERT INTO cursor (account, poll, value) VALUES ($1, $2, $3)
        ON CONFLICT (account, poll) DO UPDATE SET value = excluded.value";
    CURSOR = "SELECT value FROM cursor WHERE account = $1 AND poll = $2";
    COUNT = "INSERT INTO counter (account, what, n) VALUES ($1, $2, 1)
        ON CONFLICT (account, what) DO UPDATE SET n = counter.n + 1";
    COUNTED = "SELECT account, what, n FROM counter ORDER BY account, what";
    BACKLOG = "SELECT a, sum(n)::int8 FROM tally WHERE area = 'backlog' GROUP BY a HAVING sum(n) > 0 ORDER BY a";
    PENDING = "SELECT m.id, m.account, m.origin, m.topic, m.mapping, m.event_id, m.headers, m.received, m.priority,
        m.shard, m.context, m.state, m.attempts, b.data, m.generation
        FROM message m LEFT JOIN body b ON b.message = m.id
        WHERE m.state = 0 AND m.shard = $1 ORDER BY m.priority, m.id LIMIT $2";
    MESSAGE = "SELECT m.id, m.account, m.origin, m.topic, m.mapping, m.event_id, m.headers, m.received, m.priority,
        m.shard, m.context, m.state, m.attempts, b.data, m.generation
        FROM message m LEFT JOIN body b ON b.message = m.id WHERE m.id = $1";
    MESSAGES = "SELECT m.id, m.account, m.origin, m.topic, m.mapping, m.event_id, m.headers, m.received, m.priority,
        m.shard, m.context, m.state, m.attempts, b.data, m.generation
        FROM body b JOIN message m ON m.id = b.message
        WHERE b.received >= $1 AND (b.received, b.message) < ($2::int8, $3::int8) AND m.mapping <> ''
        AND ($4::text IS NULL OR m.mapping = $4) AND ($5::text[] IS NULL OR m.account = ANY($5))
        ORDER BY b.received DESC, b.message DESC LIMIT $6";
    STANDING = "SELECT state, account, shard, origin, attempts FROM message WHERE id = $1 FOR UPDATE";
    SET_STATE = "UPDATE message SET state = $2, attempts = attempts + $3 WHERE id = $1";
    LATER = "UPDATE message SET priority = 2 WHERE id = $1";
    DROP_BODY = "DELETE FROM body WHERE message = $1";
    HAS_BODY = "SELECT 1 FROM body WHERE message = $1";
}

/// The values of `INSERT`.
fn columns(messages: &[&NewMessage], digests: Vec<Option<Vec<u8>>>) -> Result<Vec<Param>, Fault> {
    let column = |of: fn(&NewMessage) -> String| messages.iter().map(|one| of(one)).collect::<Vec<String>>();
    let smalls = |of: fn(&NewMessage) -> i16| messages.iter().map(|one| of(one)).collect::<Vec<i16>>();
    let events: Vec<Option<String>> = messages.iter().map(|one| one.event_id.as_deref().map(key)).collect();
    let mut headers = Vec::with_capacity(messages.len());
    for one in messages {
        headers.push(if one.headers.is_empty() { String::new() } else { text(&one.headers)? });
    }
    let received: Vec<i64> = messages.iter().map(|one| nanos(one.received)).collect();
    let contexts: Vec<Option<String>> = messages.iter().map(|one| one.context.as_deref().map(key)).collect();
    let bodies: Vec<Vec<u8>> = messages.iter().map(|one| pack(&one.body)).collect();
    Ok(values![
        column(|one| key(&one.account.0)),
        smalls(|one| origin_in(one.origin)),
        column(|one| clean(&one.topic)),
        column(|one| clean(&one.mapping)),
        events,
        digests,
        headers,
        received,
        smalls(|one| i16::from(one.priority)),
        smalls(|one| i16::try_from(one.shard).unwrap_or_default()),
        contexts,
        bodies,
    ])
}

/// Counts a new message.
fn counted_in(tx: &Tx, message: &NewMessage) {
    tx.tally("message", message_word(MessageState::Pending), "", 1);
    tx.tally("backlog", message.account.as_str(), "", 1);
}

/// Stores messages of our own with the end of the transaction.
pub(super) async fn tell(tx: &Tx, messages: &[&NewMessage]) -> Result<(), Fault> {
    if messages.iter().any(|message| message.event_id.is_some()) {
        return insert(tx, messages).await.map(drop);
    }
    if messages.is_empty() {
        return Ok(());
    }
    let mut batch = Batch::default();
    batch.add(TELL, columns(messages, vec![None; messages.len()])?);
    tx.at_last(batch);
    for message in messages {
        counted_in(tx, message);
    }
    Ok(())
}

/// Stores messages, unless they are known; tells of each what became of it.
pub(super) async fn insert(tx: &Tx, messages: &[&NewMessage]) -> Result<Vec<Accepted>, Fault> {
    if messages.is_empty() {
        return Ok(Vec::new());
    }
    let digests: Vec<Option<Vec<u8>>> = messages
        .iter()
        .map(|one| one.event_id.as_ref().map(|_| Sha256::digest(&one.body)[..16].to_vec()))
        .collect();
    let rows = tx.rows(INSERT, columns(messages, digests.clone())?).await?;
    let mut out = Vec::with_capacity(messages.len());
    let mut known = Vec::new();
    for (index, (row, message)) in rows.iter().zip(messages).enumerate() {
        let id = MessageId(get(row, 0)?);
        if get(row, 1)? {
            counted_in(tx, message);
            out.push(Accepted::New(id));
        } else {
            known.push(index);
            out.push(Accepted::Duplicate(id));
        }
    }
    if !known.is_empty() {
        let mut keys = (Vec::new(), Vec::new(), Vec::new());
        for index in &known {
            let message = messages[*index];
            keys.0.push(key(&message.account.0));
            keys.1.push(message.event_id.as_deref().map(key));
            keys.2.push(digests[*index].clone());
        }
        let rows = tx.rows(KNOWN, values![keys.0, keys.1, keys.2]).await?;
        // One that another transaction has inserted since is seen now; it cannot have gone.
        if rows.len() != known.len() {
            return Err(Fault::Overtaken);
        }
        for row in rows {
            let place: usize = small(&row, 0)?;
            out[known[place]] = Accepted::Duplicate(MessageId(get(&row, 1)?));
        }
    }
    Ok(out)
}

/// Moves a poll's cursor.
pub(super) async fn set_cursor(
    tx: &Tx,
    (account, poll, value): &(AccountId, String, Value),
) -> Result<(), Fault> {
    tx.run(SET_CURSOR, values![key(&account.0), key(poll), text(value)?]).await?;
    Ok(())
}

pub(super) async fn cursor(tx: &Tx, account: &AccountId, poll: &str) -> Result<Option<Value>, Fault> {
    match tx.first(CURSOR, values![key(&account.0), key(poll)]).await? {
        Some(row) => Ok(Some(serde_json::from_str(get(&row, 0)?)?)),
        None => Ok(None),
    }
}

pub(super) async fn bump(tx: &Tx, account: &AccountId, what: &str) -> Result<(), Fault> {
    tx.run(COUNT, values![key(&account.0), key(what)]).await?;
    Ok(())
}

pub(super) async fn counted(tx: &Tx) -> Result<Vec<(AccountId, String, u64)>, Fault> {
    let rows = tx.rows(COUNTED, values![]).await?;
    rows.iter().map(|row| Ok((AccountId(get(row, 0)?), get(row, 1)?, count(get(row, 2)?)))).collect()
}

pub(super) async fn backlog(tx: &Tx) -> Result<Vec<(AccountId, u64)>, Fault> {
    let rows = tx.rows(BACKLOG, values![]).await?;
    rows.iter().map(|row| Ok((AccountId(get(row, 0)?), count(get(row, 1)?)))).collect()
}

pub(super) async fn pending(tx: &Tx, shard: u16, limit: usize) -> Result<Vec<Message>, Fault> {
    let shard = i16::try_from(shard).unwrap_or(i16::MAX);
    tx.rows(PENDING, values![shard, number(limit)]).await?.iter().map(read).collect()
}

pub(super) async fn message(tx: &Tx, id: MessageId) -> Result<Option<Message>, Fault> {
    tx.first(MESSAGE, values![id.0]).await?.as_ref().map(read).transpose()
}

pub(super) async fn messages(tx: &Tx, query: &MessageQuery) -> Result<Vec<Message>, Fault> {
    let (before, id) = query.before.map_or((i64::MAX, i64::MAX), |(at, id)| (nanos(at), id.0));
    let accounts: Option<Vec<String>> =
        (!query.accounts.is_empty()).then(|| query.accounts.iter().map(|account| key(&account.0)).collect());
    let values =
        values![nanos(query.since), before, id, query.mapping.clone(), accounts, number(query.limit)];
    tx.rows(MESSAGES, values).await?.iter().map(read).collect()
}

fn read(row: &Row) -> Result<Message, Fault> {
    let headers: &str = get(row, 6)?;
    let body: Option<&[u8]> = get(row, 13)?;
    let (priority, shard): (i16, i16) = (get(row, 8)?, get(row, 9)?);
    Ok(Message {
        id: MessageId(get(row, 0)?),
        content: NewMessage {
            account: AccountId(get(row, 1)?),
            origin: word(row, 2, origin_out)?,
            topic: get(row, 3)?,
            mapping: get(row, 4)?,
            event_id: get(row, 5)?,
            headers: if headers.is_empty() { Vec::new() } else { serde_json::from_str(headers)? },
            body: body.map(unpack).transpose()?.unwrap_or_default().into(),
            received: instant(get(row, 7)?),
            priority: u8::try_from(priority).unwrap_or_default(),
            shard: u16::try_from(shard).unwrap_or_default(),
            context: get(row, 10)?,
        },
        state: word(row, 11, message_out)?,
        attempts: small(row, 12)?,
        generation: get(row, 14)?,
    })
}

/// How a message stands: state, account, shard, origin.
pub(super) struct Standing {
    pub(super) state: MessageState,
    pub(super) account: AccountId,
    pub(super) shard: u16,
    pub(super) origin: Origin,
    /// It was worked on before.
    pub(super) again: bool,
}

impl Standing {
    /// From five columns, the first of which is number `first`.
    pub(super) fn read(row: &Row, first: usize) -> Result<Self, Fault> {
        let shard: i16 = get(row, first + 2)?;
        Ok(Self {
            state: word(row, first, message_out)?,
            account: AccountId(get(row, first + 1)?),
            shard: u16::try_from(shard).unwrap_or_default(),
            origin: word(row, first + 3, origin_out)?,
            again: get::<i64>(row, first + 4)? > 0,
        })
    }

    /// Counts that the message moves to `state`.
    pub(super) fn tally(&self, tx: &Tx, state: MessageState) {
        tx.tally("message", message_word(self.state), "", -1);
        tx.tally("message", message_word(state), "", 1);
        let moves =
            i64::from(state == MessageState::Pending) - i64::from(self.state == MessageState::Pending);
        if moves != 0 {
            tx.tally("backlog", self.account.as_str(), "", moves);
        }
    }
}

/// How a message stands; it is locked.
pub(super) async fn standing(tx: &Tx, id: MessageId) -> Result<Option<Standing>, Fault> {
    tx.first(STANDING, values![id.0]).await?.as_ref().map(|row| Standing::read(row, 0)).transpose()
}

/// Moves a message to another state. Facts of our own leave no body behind: the fact itself is stored.
pub(super) async fn set_state(
    tx: &Tx,
    id: MessageId,
    was: &Standing,
    state: MessageState,
) -> Result<(), Fault> {
    let worked = i64::from(was.state == MessageState::Pending);
    tx.run(SET_STATE, values![id.0, message_in(state), worked]).await?;
    was.tally(tx, state);
    if was.origin == Origin::Fact && state == MessageState::Done {
        tx.run(DROP_BODY, values![id.0]).await?;
    }
    Ok(())
}

/// Puts a settled message back to pending, behind what is more urgent.
pub(super) async fn reopen(tx: &Tx, id: MessageId, was: &Standing) -> Result<(), Fault> {
    set_state(tx, id, was, MessageState::Pending).await?;
    tx.run(LATER, values![id.0]).await?;
    Ok(())
}

pub(super) async fn has_body(tx: &Tx, id: MessageId) -> Result<bool, Fault> {
    Ok(tx.first(HAS_BODY, values![id.0]).await?.is_some())
}

//! What people do and see: lists of orders, retries, decisions, counts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::codec::{Fault, count, first, instant, rows, statements};
use super::exceptions;
use super::writer::Tx;
use super::{delivery, intake, waiting};
use crate::canonical::{AccountId, ClientId, EntityId, IntentId, IntentState, MessageId};
use crate::io::store::form::words;
use crate::ports::{Counts, Exception, Hint, MessageState, OrderQuery, OrderRow, Remedy};

/// The columns of a row of orders, and the conditions that all lists share.
macro_rules! orders {
    ($index:literal, $where:literal) => {
        concat!(
            "SELECT e.id, e.client, e.account, e.label, e.phase, e.placed, e.changed, e.sort, e.num,
            (SELECT count(*) FROM exception x WHERE x.entity = e.id AND x.entity IS NOT NULL AND x.resolved IS NULL)
            FROM entity e INDEXED BY ",
            $index,
            " WHERE e.kind = 0 AND (e.sort, e.num) < (?1, ?2)
            AND (?3 IS NULL OR e.phase = ?3) AND (?4 IS NULL OR e.client = ?4) AND (?5 IS NULL OR e.account = ?5) ",
            $where,
            " ORDER BY e.sort DESC, e.num DESC LIMIT ?6"
        )
    };
}

statements! {
    ALL_ORDERS = orders!("entity_list", "");
    BY_PHASE = orders!("entity_phase", "AND e.phase = ?3");
    BY_CLIENT = orders!("entity_client", "AND e.client = ?4");
    BY_ACCOUNT = orders!("entity_account", "AND e.account = ?5");
    BY_WORD = "SELECT e.id, e.client, e.account, e.label, e.phase, e.placed, e.changed, e.sort, e.num,
        (SELECT count(*) FROM exception x WHERE x.entity = e.id AND x.entity IS NOT NULL AND x.resolved IS NULL)
        FROM entity e WHERE e.kind = 0 AND (e.sort, e.num) < (?1, ?2)
        AND (?3 IS NULL OR e.phase = ?3) AND (?4 IS NULL OR e.client = ?4) AND (?5 IS NULL OR e.account = ?5)
        AND e.num IN (SELECT DISTINCT entity FROM word WHERE word >= ?7 AND word < ?7 || char(1114111))
        AND NOT EXISTS (SELECT 1 FROM json_each(?8) t WHERE e.num NOT IN
            (SELECT entity FROM word WHERE word >= t.value AND word < t.value || char(1114111)))
        ORDER BY e.sort DESC, e.num DESC LIMIT ?6";
    BY_ID = "SELECT id FROM entity WHERE id = ?1 AND kind = 0";
    BY_LABEL = "SELECT id FROM entity WHERE label IN (?1, '#' || ?1) AND kind = 0 ORDER BY num";
    BY_REF = "SELECT DISTINCT e.id FROM ref r JOIN entity e ON e.num = r.entity
        WHERE r.id = ?1 AND e.kind = 0 ORDER BY e.num";
    PHASES = "SELECT phase, count(*) FROM entity WHERE kind = 0 GROUP BY phase ORDER BY phase";
    TALLIES = "SELECT a, b, n FROM tally WHERE area = ?1 AND n > 0 ORDER BY a, b";
    ENTITY_ACCOUNT = "SELECT account FROM entity WHERE id = ?1";
}

// ------------------------------------------------------------------------------------------------------------- orders

pub(super) fn orders(db: &Connection, query: &OrderQuery) -> Result<Vec<OrderRow>, Fault> {
    let (sort, num) = query.after.as_deref().and_then(place).unwrap_or((i64::MAX, i64::MAX));
    let limit = query.limit.unwrap_or(50).min(500);
    let (phase, client, account) = (&query.phase, &query.client, &query.account);
    let words: Vec<String> = query.search.as_deref().map(words).unwrap_or_default().into_iter().collect();
    // The longest word is the rarest, as far as one can tell.
    let Some(rarest) = words.iter().max_by_key(|word| word.len()) else {
        let sql = match (account, client, phase) {
            (Some(_), _, _) => BY_ACCOUNT,
            (_, Some(_), _) => BY_CLIENT,
            (_, _, Some(_)) => BY_PHASE,
            _ => ALL_ORDERS,
        };
        return rows(db, sql, params![sort, num, phase, client, account, limit], order);
    };
    let all = serde_json::to_string(&words)?;
    rows(db, BY_WORD, params![sort, num, phase, client, account, limit, rarest, all], order)
}

/// The place in the list that a cursor names.
fn place(cursor: &str) -> Option<(i64, i64)> {
    let (sort, num) = cursor.split_once('.')?;
    Some((sort.parse().ok()?, num.parse().ok()?))
}

fn order(row: &Row<'_>) -> Result<OrderRow, rusqlite::Error> {
    let (sort, num): (i64, i64) = (row.get(7)?, row.get(8)?);
    Ok(OrderRow {
        id: EntityId(row.get(0)?),
        client: ClientId(row.get(1)?),
        account: AccountId(row.get(2)?),
        label: row.get(3)?,
        phase: row.get(4)?,
        placed: row.get::<_, Option<i64>>(5)?.map(instant),
        changed: instant(row.get(6)?),
        exceptions: row.get(9)?,
        cursor: format!("{sort}.{num}"),
    })
}

pub(super) fn find_order(db: &Connection, name: &str) -> Result<Vec<EntityId>, Fault> {
    for sql in [BY_ID, BY_LABEL, BY_REF] {
        let found = rows(db, sql, params![name], |row| Ok(EntityId(row.get(0)?)))?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

pub(super) fn counts(db: &Connection) -> Result<Counts, Fault> {
    let tally = |area: &str| {
        rows(db, TALLIES, params![area], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, count(row.get(2)?)))
        })
    };
    let single = |area: &str| Ok::<_, Fault>(tally(area)?.into_iter().map(|(a, _, n)| (a, n)).collect());
    Ok(Counts {
        phases: rows(db, PHASES, [], |row| Ok((row.get(0)?, count(row.get(1)?))))?,
        facts: single("fact")?,
        intents: tally("intent")?,
        messages: single("message")?,
        attempts: tally("attempt")?.into_iter().map(|(_, _, n)| n).sum(),
        exceptions: exceptions::kinds(db)?,
        waiting: waiting::waiting(db)?,
    })
}

// -------------------------------------------------------------------------------------------------- retry and decide

/// What has got work because of a person.
#[derive(Default)]
struct Work {
    shards: BTreeSet<u16>,
    accounts: BTreeSet<AccountId>,
}

impl Work {
    fn hints(self) -> Vec<Hint> {
        let inbound = self.shards.into_iter().map(|shard| Hint::Inbound { shard });
        inbound.chain(self.accounts.into_iter().map(|account| Hint::Outbound { account })).collect()
    }
}

pub(super) fn retry(tx: &Tx<'_>, ids: &[i64], now: Timestamp) -> Result<Vec<Hint>, Fault> {
    let mut work = Work::default();
    for id in ids {
        if let Some(exception) = exceptions::one(tx.db, *id)? {
            retry_one(tx, &exception, now, &mut work)?;
        }
    }
    Ok(work.hints())
}

fn retry_one(tx: &Tx<'_>, exception: &Exception, now: Timestamp, work: &mut Work) -> Result<(), Fault> {
    if let Some(intent) = exception.intent
        && let Some(row) = delivery::find(tx, intent)?
    {
        match row.state {
            IntentState::Rejected => {
                delivery::unfreeze(tx, &row, now)?;
                exceptions::resolve_intent(tx, intent, now, "tried again")?;
                work.shards.insert(delivery::wake(tx, &row, intent, now)?);
                work.accounts.insert(row.account);
                return Ok(());
            }
            // Only a person's decision moves it.
            IntentState::Stuck => return Ok(()),
            _ => {}
        }
    }
    if let Some(id) = exception.message_id
        && let Some(standing) = intake::standing(tx.db, id)?
        && standing.state != MessageState::Pending
        && intake::has_body(tx.db, id)?
    {
        intake::reopen(tx, id, &standing)?;
        work.shards.insert(standing.shard);
        return Ok(());
    }
    if let Some(entity) = &exception.entity
        && let Some(account) =
            first(tx.db, ENTITY_ACCOUNT, params![entity.0], |row| row.get(0).map(AccountId))?
    {
        work.shards.insert(waiting::replan(tx, &account, entity, now)?);
    }
    Ok(())
}

/// Puts settled messages back to pending.
pub(super) fn reopen(tx: &Tx<'_>, messages: &[MessageId]) -> Result<Vec<Hint>, Fault> {
    let mut work = Work::default();
    for id in messages {
        if let Some(standing) = intake::standing(tx.db, *id)?
            && standing.state != MessageState::Pending
            && intake::has_body(tx.db, *id)?
        {
            intake::reopen(tx, *id, &standing)?;
            work.shards.insert(standing.shard);
        }
    }
    Ok(work.hints())
}

pub(super) fn decide(
    tx: &Tx<'_>,
    intent: IntentId,
    remedy: Remedy,
    note: &str,
    at: Timestamp,
) -> Result<Vec<Hint>, Fault> {
    let Some(row) = delivery::find(tx, intent)? else { return Ok(Vec::new()) };
    let mut work = Work::default();
    match (row.state, remedy) {
        (IntentState::Stuck | IntentState::Rejected, Remedy::Exists) => {
            delivery::end(tx, &row, intent, IntentState::Done, at, None, at)?;
        }
        (IntentState::Stuck, Remedy::SendAgain) => {
            delivery::end(tx, &row, intent, IntentState::Retry, at, Some(note), at)?;
            exceptions::resolve_intent(tx, intent, at, note)?;
            work.accounts.insert(row.account.clone());
        }
        (IntentState::Rejected, Remedy::SendAgain) => {
            delivery::unfreeze(tx, &row, at)?;
            exceptions::resolve_intent(tx, intent, at, note)?;
            work.accounts.insert(row.account.clone());
        }
        _ => return Ok(Vec::new()),
    }
    delivery::note(tx, &row, note, at)?;
    work.shards.insert(delivery::wake(tx, &row, intent, at)?);
    Ok(work.hints())
}

/// Resolves exceptions by number without doing anything else. Those that a plan or an intent holds open stay.
pub(super) fn dismiss(tx: &Tx<'_>, ids: &[i64], at: Timestamp) -> Result<u64, Fault> {
    let mut many = 0;
    for id in ids {
        many += exceptions::dismiss(tx, *id, at)?;
    }
    Ok(many)
}

//! Delivery: leases of accounts, intents that may go, frozen attempts and how they end.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, params};
use serde_json::Value;

use super::codec::{
    Fault, first, instant, intent_in, intent_out, nanos, number, pack_json, records, rows, statements, text,
    unpack_json,
};
use super::entity::{INTENT_COLUMNS, intent};
use super::exceptions::{self, Source};
use super::writer::Tx;
use super::{intake, waiting};
use crate::canonical::{AccountId, ClientId, EntityId, IntentId, IntentState};
use crate::ports::{Attempt, DueIntent, Exception, Frozen, Hint, Holder, Lease, Settled};

/// Classes of commands, most urgent first, as columns have them.
const CLASSES: [i64; 5] = [0, 1, 2, 3, 4];

statements! {
    LEASE = "SELECT owner, epoch, until, level FROM lease WHERE account = ?1";
    SET_LEASE = "INSERT INTO lease (account, owner, epoch, until, level) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (account) DO UPDATE SET owner = excluded.owner, epoch = excluded.epoch, until = excluded.until,
        level = excluded.level";
    HOLDERS = "SELECT account, owner, epoch, until FROM lease ORDER BY account";
    RELEASE_LEASE = "UPDATE lease SET owner = '', until = 0 WHERE account = ?1 AND owner = ?2 AND epoch = ?3";
    FLYING = "SELECT n, command FROM intent WHERE account = ?1 AND state = 3 AND epoch < ?2";
    UNKNOWN = "UPDATE intent SET state = 2, due = ?2 WHERE n = ?1";
    DUE = "SELECT i.id, e.id, i.account, i.slot, i.generation, i.command, i.class, i.args, i.state, i.attempts, i.due,
        i.created, i.sent_digest, i.error, z.content, z.request, i.frozen_at
        FROM intent i JOIN entity e ON e.num = i.entity LEFT JOIN frozen z ON z.intent = i.n
        WHERE i.account = ?1 AND i.class = ?2 AND i.due <= ?3 AND i.state < 3
        AND NOT EXISTS (SELECT 1 FROM intent o WHERE o.entity = i.entity AND o.n < i.n AND o.account = i.account
            AND o.state < 4)
        ORDER BY i.due, i.n LIMIT ?4";
    FIRST_DUE = "SELECT i.due FROM intent i WHERE i.account = ?1 AND i.class = ?2 AND i.state < 3
        AND NOT EXISTS (SELECT 1 FROM intent o WHERE o.entity = i.entity AND o.n < i.n AND o.account = i.account
            AND o.state < 4)
        ORDER BY i.due, i.n LIMIT 1";
    ACCOUNTS = "WITH RECURSIVE known (account) AS (
        SELECT min(account) FROM intent WHERE state < 3
        UNION ALL SELECT (SELECT min(account) FROM intent WHERE state < 3 AND account > known.account)
            FROM known WHERE known.account IS NOT NULL)
        SELECT account FROM known WHERE account IS NOT NULL";
    ACCOUNT_DUE = "SELECT 1 FROM intent WHERE account = ?1 AND class = ?2 AND due <= ?3 AND state < 3 LIMIT 1";
    FLYING_UNTIL = "SELECT min(l.until) FROM lease l
        WHERE EXISTS (SELECT 1 FROM intent i WHERE i.account = l.account AND i.state = 3)";
    INTENT = "SELECT i.n, i.state, i.command, i.account, i.epoch, i.attempts, e.id, e.version, e.erased, e.client
        FROM intent i JOIN entity e ON e.num = i.entity WHERE i.id = ?1";
    FREEZE = "UPDATE intent SET state = 3, epoch = ?2, attempts = attempts + 1, frozen_at = ifnull(frozen_at, ?3),
        sent_digest = ?4 WHERE n = ?1";
    SET_FROZEN = "INSERT INTO frozen (intent, request, content) VALUES (?1, ?2, ?3)
        ON CONFLICT (intent) DO UPDATE SET request = excluded.request, content = excluded.content";
    HAS_FROZEN = "SELECT 1 FROM frozen WHERE intent = ?1 AND request IS NOT NULL";
    REFLY = "UPDATE intent SET state = 3, epoch = ?2, attempts = attempts + 1 WHERE n = ?1";
    ATTEMPT = "INSERT OR REPLACE INTO attempt (intent, number, at, note) VALUES (?1, ?2, ?3, ?4)";
    COUNT = "UPDATE intent SET attempts = attempts + 1 WHERE n = ?1";
    NOTE = "UPDATE attempt SET note = ?3 WHERE intent = ?1 AND number = ?2";
    SETTLE = "UPDATE intent SET state = ?2, due = ?3, error = ?4 WHERE n = ?1";
    NO_REQUEST = "DELETE FROM frozen WHERE intent = ?1";
    UNFREEZE = "UPDATE intent SET state = 1, due = ?2, frozen_at = NULL, sent_digest = '' WHERE n = ?1";
    ATTEMPTS = "SELECT i.id, a.number, a.at, a.note FROM attempt a JOIN intent i ON i.n = a.intent
        JOIN entity e ON e.num = i.entity WHERE e.id = ?1 ORDER BY a.at, i.n, a.number";
}

// ------------------------------------------------------------------------------------------------------------- leases

pub(super) fn lease(
    tx: &Tx<'_>,
    account: &AccountId,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
    level: Option<&Value>,
) -> Result<Option<Lease>, Fault> {
    let stored = first(tx.db, LEASE, params![account.0], |row| {
        let told: (String, i64, i64, String) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(told)
    })?;
    let (epoch, kept) = match stored {
        None => (1, None),
        Some((holder, epoch, _, kept)) if holder == owner => (epoch, Some(kept)),
        Some((_, _, held, _)) if held > nanos(now) => return Ok(None),
        Some((_, epoch, _, kept)) => (epoch + 1, Some(kept)),
    };
    let level = match (level, kept) {
        (Some(level), _) => level.clone(),
        (None, Some(kept)) => serde_json::from_str(&kept)?,
        (None, None) => Value::Null,
    };
    tx.run(SET_LEASE, params![account.0, owner, epoch, nanos(until), text(&level)?])?;
    Ok(Some(Lease { account: account.clone(), epoch, until, level }))
}

pub(super) fn release(tx: &Tx<'_>, account: &AccountId, owner: &str, epoch: i64) -> Result<(), Fault> {
    tx.run(RELEASE_LEASE, params![account.0, owner, epoch])?;
    Ok(())
}

pub(super) fn holders(db: &Connection) -> Result<Vec<Holder>, Fault> {
    rows(db, HOLDERS, [], |row| {
        Ok(Holder {
            account: AccountId(row.get(0)?),
            owner: row.get(1)?,
            epoch: row.get(2)?,
            until: instant(row.get(3)?),
        })
    })
}

/// Epoch and end of the account's lease.
fn held(tx: &Tx<'_>, account: &str) -> Result<Option<(i64, Timestamp)>, Fault> {
    first(tx.db, LEASE, params![account], |row| Ok((row.get(1)?, instant(row.get(2)?))))
}

pub(super) fn recover(tx: &Tx<'_>, account: &AccountId, epoch: i64, due: Timestamp) -> Result<u64, Fault> {
    let flying = rows(tx.db, FLYING, params![account.0, epoch], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?))
    })?;
    let mut many = 0;
    for (n, command) in flying {
        tx.run(UNKNOWN, params![n, nanos(due)])?;
        moved(tx, &command, IntentState::InFlight, IntentState::Unknown);
        many += 1;
    }
    Ok(many)
}

// ---------------------------------------------------------------------------------------------------------------- due

pub(super) fn due(
    db: &Connection,
    account: &AccountId,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<DueIntent>, Fault> {
    let mut out = Vec::new();
    for class in CLASSES {
        let left = limit.saturating_sub(out.len());
        if left == 0 {
            break;
        }
        out.extend(records(db, DUE, params![account.0, class, nanos(now), number(left)], |row| {
            let frozen = row.get_ref(INTENT_COLUMNS)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
            let frozen_at: Option<i64> = row.get(INTENT_COLUMNS + 1)?;
            Ok(DueIntent {
                intent: intent(row)?,
                frozen: frozen.map(unpack_json).transpose()?,
                frozen_at: frozen_at.map(instant),
            })
        })?);
    }
    Ok(out)
}

fn accounts(db: &Connection) -> Result<Vec<AccountId>, Fault> {
    rows(db, ACCOUNTS, [], |row| Ok(AccountId(row.get(0)?)))
}

/// Accounts with intents whose time has come.
pub(super) fn accounts_due(db: &Connection, now: Timestamp) -> Result<Vec<AccountId>, Fault> {
    let mut out = Vec::new();
    for account in accounts(db)? {
        for class in CLASSES {
            if first(db, ACCOUNT_DUE, params![account.0, class, nanos(now)], |_| Ok(()))?.is_some() {
                out.push(account);
                break;
            }
        }
    }
    Ok(out)
}

/// The next instant at which a lane has something to do: an intent that nothing of its entity holds up comes due, or
/// the lease ends under which something flies.
pub(super) fn next_due(db: &Connection) -> Result<Option<Timestamp>, Fault> {
    let mut next: Option<i64> = first(db, FLYING_UNTIL, [], |row| row.get(0))?.flatten();
    for account in accounts(db)? {
        for class in CLASSES {
            let due = first(db, FIRST_DUE, params![account.0, class], |row| row.get(0))?;
            next = [next, due].into_iter().flatten().min();
        }
    }
    Ok(next.map(instant))
}

// ------------------------------------------------------------------------------------------------------------ attempts

/// An intent as its writers need it.
pub(super) struct Row {
    pub(super) n: i64,
    pub(super) state: IntentState,
    pub(super) command: String,
    pub(super) account: AccountId,
    epoch: i64,
    attempts: u32,
    pub(super) entity: EntityId,
    version: i64,
    erased: bool,
    pub(super) client: String,
}

pub(super) fn find(tx: &Tx<'_>, id: IntentId) -> Result<Option<Row>, Fault> {
    first(tx.db, INTENT, params![id.0], |row| {
        Ok(Row {
            n: row.get(0)?,
            state: intent_out(row.get(1)?)?,
            command: row.get(2)?,
            account: AccountId(row.get(3)?),
            epoch: row.get(4)?,
            attempts: row.get(5)?,
            entity: EntityId(row.get(6)?),
            version: row.get(7)?,
            erased: row.get(8)?,
            client: row.get(9)?,
        })
    })
}

fn moved(tx: &Tx<'_>, command: &str, from: IntentState, to: IntentState) {
    tx.tally("intent", command, from.word(), -1);
    tx.tally("intent", command, to.word(), 1);
}

/// Whether `epoch` still holds the account at `at`.
fn ours(tx: &Tx<'_>, account: &AccountId, epoch: i64, at: Timestamp) -> Result<bool, Fault> {
    Ok(held(tx, account.as_str())?.is_some_and(|(current, until)| current == epoch && until > at))
}

pub(super) fn freeze(tx: &Tx<'_>, frozen: &Frozen) -> Result<bool, Fault> {
    let Some(row) = find(tx, frozen.intent)? else { return Ok(false) };
    if !matches!(row.state, IntentState::Pending | IntentState::Retry)
        || row.version != frozen.entity_version
        || !ours(tx, &row.account, frozen.epoch, frozen.at)?
    {
        return Ok(false);
    }
    tx.run(FREEZE, params![row.n, frozen.epoch, nanos(frozen.at), frozen.digest])?;
    tx.run(SET_FROZEN, params![row.n, pack_json(&frozen.request)?, pack_json(&frozen.content)?])?;
    fly(tx, &row, frozen.at)?;
    Ok(true)
}

pub(super) fn refly(tx: &Tx<'_>, intent: IntentId, epoch: i64, at: Timestamp) -> Result<bool, Fault> {
    let Some(row) = find(tx, intent)? else { return Ok(false) };
    if !matches!(row.state, IntentState::Retry | IntentState::Unknown)
        || first(tx.db, HAS_FROZEN, params![row.n], |_| Ok(()))?.is_none()
        || !ours(tx, &row.account, epoch, at)?
    {
        return Ok(false);
    }
    tx.run(REFLY, params![row.n, epoch])?;
    fly(tx, &row, at)?;
    Ok(true)
}

fn fly(tx: &Tx<'_>, row: &Row, at: Timestamp) -> Result<(), Fault> {
    tx.run(ATTEMPT, params![row.n, row.attempts + 1, nanos(at), "sent, and no outcome was noted"])?;
    tx.tally("attempt", "", "", 1);
    moved(tx, &row.command, row.state, IntentState::InFlight);
    Ok(())
}

pub(super) fn settle(tx: &Tx<'_>, settled: &[Settled]) -> Result<Vec<Hint>, Fault> {
    let mut shards = BTreeSet::new();
    for one in settled {
        settle_one(tx, one, &mut shards)?;
    }
    Ok(shards.into_iter().map(|shard| Hint::Inbound { shard }).collect())
}

fn settle_one(tx: &Tx<'_>, settled: &Settled, shards: &mut BTreeSet<u16>) -> Result<(), Fault> {
    let Some(row) = find(tx, settled.intent)? else { return Ok(()) };
    let flying = row.state == IntentState::InFlight;
    let current = held(tx, row.account.as_str())?.map(|(epoch, _)| epoch);
    let made = settled.is_of_attempt(row.state, row.epoch);
    let holds = current == Some(settled.epoch) && !(flying && row.epoch != settled.epoch);
    if row.state.settled() || !(holds || made) {
        return Ok(());
    }
    let bad = !matches!(settled.state, IntentState::Done | IntentState::Withdrawn);
    end(
        tx,
        &row,
        settled.intent,
        settled.state,
        settled.due,
        bad.then_some(settled.note.as_str()),
        settled.at,
    )?;
    if flying || made {
        tx.run(NOTE, params![row.n, row.attempts, settled.note])?;
    }
    if let Some(answer) = &settled.answer {
        intake::insert(tx, &intake::Ready::of(answer.clone())?)?;
        shards.insert(answer.shard);
    }
    if let Some(exception) = &settled.exception {
        let about = Exception {
            entity: Some(row.entity.clone()),
            intent: Some(settled.intent),
            client: exception.client.clone().or_else(|| Some(ClientId(row.client.clone()))),
            ..exception.clone()
        };
        exceptions::raise(tx, Source::Intent, &about)?;
    }
    if settled.state.settled() && !settled.answer_wakes() {
        shards.insert(wake(tx, &row, settled.intent, settled.at)?);
    }
    Ok(())
}

/// Has the entity planned again with the intent's new state.
pub(super) fn wake(tx: &Tx<'_>, row: &Row, intent: IntentId, at: Timestamp) -> Result<u16, Fault> {
    let timer = format!("settled/{intent}");
    waiting::wake_entity(tx, &row.account, &row.entity, &timer, u64::from(row.attempts), at)
}

/// Notes in the history of the intent what was done to it without a call.
pub(super) fn note(tx: &Tx<'_>, row: &Row, note: &str, at: Timestamp) -> Result<(), Fault> {
    tx.run(COUNT, params![row.n])?;
    tx.run(ATTEMPT, params![row.n, row.attempts + 1, nanos(at), note])?;
    Ok(())
}

/// Moves an intent to a state that is not in flight; what was raised about it before is resolved.
pub(super) fn end(
    tx: &Tx<'_>,
    row: &Row,
    intent: IntentId,
    state: IntentState,
    due: Timestamp,
    error: Option<&str>,
    at: Timestamp,
) -> Result<(), Fault> {
    tx.run(SETTLE, params![row.n, intent_in(state), nanos(due), error])?;
    moved(tx, &row.command, row.state, state);
    if state.settled() {
        exceptions::resolve_intent(tx, intent, at, "the command came to its end")?;
        if row.erased {
            tx.run(NO_REQUEST, params![row.n])?;
        }
    }
    Ok(())
}

/// Lets a refused intent go again, with content made anew.
pub(super) fn unfreeze(tx: &Tx<'_>, row: &Row, due: Timestamp) -> Result<(), Fault> {
    tx.run(UNFREEZE, params![row.n, nanos(due)])?;
    tx.run(NO_REQUEST, params![row.n])?;
    moved(tx, &row.command, row.state, IntentState::Retry);
    Ok(())
}

pub(super) fn withdraw(tx: &Tx<'_>, intent: IntentId, note: &str, at: Timestamp) -> Result<bool, Fault> {
    let Some(row) = find(tx, intent)? else { return Ok(false) };
    if !matches!(row.state, IntentState::Pending | IntentState::Retry | IntentState::Rejected) {
        return Ok(false);
    }
    end(tx, &row, intent, IntentState::Withdrawn, at, Some(note), at)?;
    Ok(true)
}

pub(super) fn attempts(db: &Connection, entity: &EntityId) -> Result<Vec<Attempt>, Fault> {
    rows(db, ATTEMPTS, params![entity.0], |row| {
        Ok(Attempt {
            intent: IntentId(super::codec::key(row, 0)?),
            number: row.get(1)?,
            at: instant(row.get(2)?),
            note: row.get(3)?,
        })
    })
}

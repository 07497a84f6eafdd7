//! Delivery: leases of accounts, intents that may go, and what is done to one of them.

use jiff::Timestamp;
use serde_json::Value;

use super::codec::{Fault, clean, get, id, key, small, statements, values, word};
use super::connect::LeaseClock;
use super::entity::{INTENT_COLUMNS, intent};
use super::exceptions;
use super::link::{Batch, Tx};
use super::waiting;
use crate::canonical::{AccountId, EntityId, IntentId, IntentState};
use crate::io::store::form::{instant, intent_in, intent_out, nanos, number, text, unpack_json};
use crate::ports::{Attempt, DueIntent, Holder, Lease};

statements! {
    /// The present instant by the database's clock, in nanoseconds.
    CLOCK = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000000)::int8";
    /// A look that leaves nothing to be written: most who ask find that another holds it.
    THEIRS = "SELECT until, (extract(epoch FROM clock_timestamp()) * 1000000000)::int8 FROM lease
        WHERE account = $1 AND owner <> $2";
    LEASE = "SELECT owner, epoch, until, level, (extract(epoch FROM clock_timestamp()) * 1000000000)::int8
        FROM lease WHERE account = $1 FOR UPDATE";
    FIRST_LEASE = "INSERT INTO lease (account, owner, epoch, until, level) VALUES ($1, $2, 1, $3, $4)
        ON CONFLICT (account) DO NOTHING";
    SET_LEASE = "UPDATE lease SET owner = $2, epoch = $3, until = $4, level = $5 WHERE account = $1";
    HOLDERS = "SELECT account, owner, epoch, until FROM lease ORDER BY account";
    RELEASE_LEASE = "UPDATE lease SET owner = '', until = 0 WHERE account = $1 AND owner = $2 AND epoch = $3";
    RECOVER = "UPDATE intent SET state = 2, due = $3 WHERE n IN
        (SELECT n FROM intent WHERE account = $1 AND state = 3 AND epoch < $2 ORDER BY n FOR UPDATE) RETURNING command";
    DUE = "SELECT x.* FROM unnest('{0,1,2,3,4}'::int2[]) c (class), LATERAL (
        SELECT i.id, e.id AS entity, i.account, i.slot, i.generation, i.command, i.class, i.args, i.state, i.attempts,
        i.due, i.created, i.sent_digest, i.error, z.content, z.request, i.frozen_at, i.n
        FROM intent i JOIN entity e ON e.num = i.entity LEFT JOIN frozen z ON z.intent = i.n
        WHERE i.account = $1 AND i.class = c.class AND i.due <= $2 AND i.state < 3
        AND NOT EXISTS (SELECT 1 FROM intent o WHERE o.entity = i.entity AND o.n < i.n AND o.account = i.account
            AND o.state < 4)
        ORDER BY i.due, i.n LIMIT $3) x ORDER BY x.class, x.due, x.n LIMIT $3";
    ACCOUNTS_DUE = "WITH RECURSIVE known (account) AS (
        (SELECT min(account) FROM intent WHERE state < 3)
        UNION ALL SELECT (SELECT min(i.account) FROM intent i WHERE i.state < 3 AND i.account > known.account)
            FROM known WHERE known.account IS NOT NULL)
        SELECT account FROM known WHERE account IS NOT NULL AND EXISTS (SELECT 1 FROM intent i
            WHERE i.account = known.account AND i.class = ANY('{0,1,2,3,4}'::int2[]) AND i.due <= $1 AND i.state < 3)";
    NEXT_DUE = "WITH RECURSIVE known (account) AS (
        (SELECT min(account) FROM intent WHERE state < 3)
        UNION ALL SELECT (SELECT min(i.account) FROM intent i WHERE i.state < 3 AND i.account > known.account)
            FROM known WHERE known.account IS NOT NULL)
        SELECT min(x.due) FROM known, unnest('{0,1,2,3,4}'::int2[]) c (class), LATERAL (
            SELECT i.due FROM intent i WHERE i.account = known.account AND i.class = c.class AND i.state < 3
            AND NOT EXISTS (SELECT 1 FROM intent o WHERE o.entity = i.entity AND o.n < i.n AND o.account = i.account
                AND o.state < 4)
            ORDER BY i.due, i.n LIMIT 1) x";
    FLYING_UNTIL = "SELECT min(l.until) FROM lease l
        WHERE EXISTS (SELECT 1 FROM intent i WHERE i.account = l.account AND i.state = 3)";
    /// The entity first, as in every other transaction; then the intent.
    SHARE_ENTITY = "SELECT 1 FROM entity WHERE num = (SELECT entity FROM intent WHERE id = $1) FOR SHARE";
    INTENT = "SELECT i.n, i.state, i.command, i.account, i.epoch, i.attempts, e.id, e.version, e.erased, e.client
        FROM intent i JOIN entity e ON e.num = i.entity WHERE i.id = $1 FOR UPDATE OF i";
    ATTEMPT = "INSERT INTO attempt (intent, number, at, note) VALUES ($1, $2, $3, $4)
        ON CONFLICT (intent, number) DO UPDATE SET at = excluded.at, note = excluded.note";
    COUNT = "UPDATE intent SET attempts = attempts + 1 WHERE n = $1";
    SETTLE = "UPDATE intent SET state = $2, due = $3, error = $4 WHERE n = $1";
    NO_REQUEST = "DELETE FROM frozen WHERE intent = $1";
    UNFREEZE = "UPDATE intent SET state = 1, due = $2, frozen_at = NULL, sent_digest = '' WHERE n = $1";
    ATTEMPTS = "SELECT i.id, a.number, a.at, a.note FROM entity e JOIN intent i ON i.entity = e.num
        JOIN attempt a ON a.intent = i.n WHERE e.id = $1 ORDER BY a.at, i.n, a.number";
}

// ------------------------------------------------------------------------------------------------------------- leases

/// Takes or renews a lease. It lasts from `now` to `until` by the caller's clock, and as long by `clock`: what the caller
/// takes for its end comes no later than what the store does, however far their clocks are apart.
pub(super) async fn lease(
    tx: &Tx,
    clock: LeaseClock,
    account: &AccountId,
    owner: &str,
    now: Timestamp,
    until: Timestamp,
    level: Option<&Value>,
) -> Result<Option<Lease>, Fault> {
    let name = key(&account.0);
    let given = |epoch, level| Some(Lease { account: account.clone(), epoch, until, level });
    if let Some(row) = tx.first(THEIRS, values![name.clone(), owner.to_owned()]).await?
        && get::<i64>(&row, 0)? > clock.present(get(&row, 1)?, now)
    {
        return Ok(None);
    }
    let end = |present: i64| present.saturating_add(nanos(until).saturating_sub(nanos(now)));
    let Some(row) = tx.first(LEASE, values![name.clone()]).await? else {
        let level = level.cloned().unwrap_or_default();
        let told = tx.first(CLOCK, values![]).await?.ok_or(Fault::Overtaken)?;
        let present = clock.present(get(&told, 0)?, now);
        let values = values![name, owner.to_owned(), end(present), text(&level)?];
        return match tx.run(FIRST_LEASE, values).await? {
            1 => Ok(given(1, level)),
            _ => Err(Fault::Overtaken),
        };
    };
    let (holder, epoch, held): (&str, i64, i64) = (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
    let present = clock.present(get(&row, 4)?, now);
    let epoch = if holder == owner {
        epoch
    } else if held > present {
        return Ok(None);
    } else {
        epoch + 1
    };
    let level = match level {
        Some(level) => level.clone(),
        None => serde_json::from_str(get(&row, 3)?)?,
    };
    tx.run(SET_LEASE, values![name, owner.to_owned(), epoch, end(present), text(&level)?]).await?;
    Ok(given(epoch, level))
}

pub(super) async fn release(tx: &Tx, account: &AccountId, owner: &str, epoch: i64) -> Result<(), Fault> {
    tx.run(RELEASE_LEASE, values![key(&account.0), owner.to_owned(), epoch]).await?;
    Ok(())
}

pub(super) async fn holders(tx: &Tx) -> Result<Vec<Holder>, Fault> {
    let read = |row: &tokio_postgres::Row| {
        Ok(Holder {
            account: AccountId(get(row, 0)?),
            owner: get(row, 1)?,
            epoch: get(row, 2)?,
            until: instant(get(row, 3)?),
        })
    };
    tx.rows(HOLDERS, values![]).await?.iter().map(read).collect()
}

pub(super) async fn recover(tx: &Tx, account: &AccountId, epoch: i64, due: Timestamp) -> Result<u64, Fault> {
    let rows = tx.rows(RECOVER, values![key(&account.0), epoch, nanos(due)]).await?;
    for row in &rows {
        moved(tx, get(row, 0)?, IntentState::InFlight, IntentState::Unknown);
    }
    Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
}

// ---------------------------------------------------------------------------------------------------------------- due

pub(super) async fn due(
    tx: &Tx,
    account: &AccountId,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<DueIntent>, Fault> {
    let rows = tx.rows(DUE, values![key(&account.0), nanos(now), number(limit)]).await?;
    let read = |row: &tokio_postgres::Row| {
        let frozen: Option<&[u8]> = get(row, INTENT_COLUMNS)?;
        let frozen_at: Option<i64> = get(row, INTENT_COLUMNS + 1)?;
        Ok(DueIntent {
            intent: intent(row)?,
            frozen: frozen.map(unpack_json).transpose()?,
            frozen_at: frozen_at.map(instant),
        })
    };
    rows.iter().map(read).collect()
}

/// Accounts with intents whose time has come.
pub(super) async fn accounts_due(tx: &Tx, now: Timestamp) -> Result<Vec<AccountId>, Fault> {
    let rows = tx.rows(ACCOUNTS_DUE, values![nanos(now)]).await?;
    rows.iter().map(|row| Ok(AccountId(get(row, 0)?))).collect()
}

/// The next instant at which a lane has something to do: an intent that nothing of its entity holds up comes due, or
/// the lease ends under which something flies.
pub(super) async fn next_due(tx: &Tx) -> Result<Option<Timestamp>, Fault> {
    let mut next = None;
    for sql in [NEXT_DUE, FLYING_UNTIL] {
        let at: Option<i64> = tx.first(sql, values![]).await?.map_or(Ok(None), |row| get(&row, 0))?;
        next = [next, at].into_iter().flatten().min();
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
    pub(super) epoch: i64,
    pub(super) attempts: u32,
    pub(super) entity: EntityId,
    pub(super) version: i64,
    pub(super) erased: bool,
    pub(super) client: String,
}

impl Row {
    /// From ten columns.
    pub(super) fn read(row: &tokio_postgres::Row) -> Result<Self, Fault> {
        let erased: i16 = get(row, 8)?;
        Ok(Self {
            n: get(row, 0)?,
            state: word(row, 1, intent_out)?,
            command: get(row, 2)?,
            account: AccountId(get(row, 3)?),
            epoch: get(row, 4)?,
            attempts: small(row, 5)?,
            entity: EntityId(get(row, 6)?),
            version: get(row, 7)?,
            erased: erased != 0,
            client: get(row, 9)?,
        })
    }
}

/// The intent, locked, with its entity as it stands.
pub(super) async fn find(tx: &Tx, intent: IntentId) -> Result<Option<Row>, Fault> {
    let mut batch = Batch::default();
    batch.add(SHARE_ENTITY, values![intent.0.to_vec()]);
    let at = batch.add(INTENT, values![intent.0.to_vec()]);
    let answers = tx.send(batch).await?;
    let Some(row) = answers.get(at).and_then(|rows| rows.first()) else { return Ok(None) };
    Row::read(row).map(Some)
}

pub(super) fn moved(tx: &Tx, command: &str, from: IntentState, to: IntentState) {
    tx.tally("intent", command, from.word(), -1);
    tx.tally("intent", command, to.word(), 1);
}

/// A message that has the entity planned again with the intent's new state.
pub(super) fn wake(row: &Row, intent: IntentId, at: Timestamp) -> Result<crate::ports::NewMessage, Fault> {
    let timer = format!("settled/{intent}");
    waiting::wake_entity(&row.account, &row.entity, &timer, u64::from(row.attempts), at)
}

/// Notes in the history of the intent what was done to it without a call.
pub(super) async fn note(tx: &Tx, row: &Row, note: &str, at: Timestamp) -> Result<(), Fault> {
    tx.run(COUNT, values![row.n]).await?;
    tx.run(ATTEMPT, values![row.n, i64::from(row.attempts) + 1, nanos(at), clean(note)]).await?;
    Ok(())
}

/// Moves an intent to a state that is not in flight; what was raised about it before is resolved.
pub(super) async fn end(
    tx: &Tx,
    row: &Row,
    intent: IntentId,
    state: IntentState,
    due: Timestamp,
    error: Option<&str>,
    at: Timestamp,
) -> Result<(), Fault> {
    tx.run(SETTLE, values![row.n, intent_in(state), nanos(due), error.map(clean)]).await?;
    moved(tx, &row.command, row.state, state);
    if state.settled() {
        exceptions::resolve_intent(tx, intent, at, "the command came to its end").await?;
        if row.erased {
            tx.run(NO_REQUEST, values![row.n]).await?;
        }
    }
    Ok(())
}

/// Lets a refused intent go again, with content made anew.
pub(super) async fn unfreeze(tx: &Tx, row: &Row, due: Timestamp) -> Result<(), Fault> {
    tx.run(UNFREEZE, values![row.n, nanos(due)]).await?;
    tx.run(NO_REQUEST, values![row.n]).await?;
    moved(tx, &row.command, row.state, IntentState::Retry);
    Ok(())
}

pub(super) async fn withdraw(tx: &Tx, intent: IntentId, note: &str, at: Timestamp) -> Result<bool, Fault> {
    let Some(row) = find(tx, intent).await? else { return Ok(false) };
    if !matches!(row.state, IntentState::Pending | IntentState::Retry | IntentState::Rejected) {
        return Ok(false);
    }
    end(tx, &row, intent, IntentState::Withdrawn, at, Some(note), at).await?;
    Ok(true)
}

pub(super) async fn attempts(tx: &Tx, entity: &EntityId) -> Result<Vec<Attempt>, Fault> {
    let rows = tx.rows(ATTEMPTS, values![key(&entity.0)]).await?;
    let read = |row: &tokio_postgres::Row| {
        Ok(Attempt {
            intent: IntentId(id(row, 0)?),
            number: small(row, 1)?,
            at: instant(get(row, 2)?),
            note: get(row, 3)?,
        })
    };
    rows.iter().map(read).collect()
}

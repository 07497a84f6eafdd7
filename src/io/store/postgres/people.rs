//! What people do and see: lists of orders, retries, decisions, counts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::codec::{Fault, get, key, statements, values};
use super::exceptions;
use super::link::Tx;
use super::{delivery, intake, waiting};
use crate::canonical::{AccountId, ClientId, EntityId, IntentId, IntentState, MessageId};
use crate::io::store::form::{count, instant, words};
use crate::ports::{Counts, Exception, Hint, MessageState, NewMessage, OrderQuery, OrderRow, Remedy};

/// The columns of a row of orders, and the conditions that all lists share.
macro_rules! orders {
    ($where:literal) => {
        concat!(
            "SELECT e.id, e.client, e.account, e.label, e.phase, e.placed, e.changed, e.sort, e.num,
            (SELECT count(*) FROM exception x WHERE x.entity = e.id AND x.entity IS NOT NULL AND x.resolved IS NULL)
            FROM entity e WHERE e.kind = 0 AND (e.sort, e.num) < ($1, $2)
            AND ($3::text IS NULL OR e.phase = $3) AND ($4::text IS NULL OR e.client = $4)
            AND ($5::text IS NULL OR e.account = $5) ",
            $where,
            " ORDER BY e.sort DESC, e.num DESC LIMIT $6"
        )
    };
}

statements! {
    ALL_ORDERS = orders!("");
    BY_PHASE = orders!("AND e.phase = $3");
    BY_CLIENT = orders!("AND e.client = $4");
    BY_ACCOUNT = orders!("AND e.account = $5");
    BY_WORD = orders!("AND e.num IN (SELECT entity FROM word WHERE word >= $7 AND word < $7 || chr(1114111))
        AND NOT EXISTS (SELECT 1 FROM unnest($8::text[]) t (word) WHERE NOT EXISTS (SELECT 1 FROM word w
            WHERE w.entity = e.num AND w.word >= t.word COLLATE \"C\" AND w.word < t.word || chr(1114111) COLLATE \"C\"))");
    BY_ID = "SELECT id FROM entity WHERE id = $1 AND kind = 0";
    BY_LABEL = "SELECT id FROM entity WHERE label IN ($1, '#' || $1) AND kind = 0 ORDER BY num";
    BY_REF = "SELECT id FROM entity WHERE num IN (SELECT entity FROM ref WHERE id = $1) AND kind = 0 ORDER BY num";
    PHASES = "SELECT phase, count(*) FROM entity WHERE kind = 0 GROUP BY phase ORDER BY phase";
    TALLIES = "SELECT a, b, sum(n)::int8 FROM tally WHERE area = $1 GROUP BY a, b HAVING sum(n) > 0 ORDER BY a, b";
    ENTITY_ACCOUNT = "SELECT account FROM entity WHERE id = $1";
}

// ------------------------------------------------------------------------------------------------------------- orders

pub(super) async fn orders(tx: &Tx, query: &OrderQuery) -> Result<Vec<OrderRow>, Fault> {
    let (sort, num) = query.after.as_deref().and_then(place).unwrap_or((i64::MAX, i64::MAX));
    let limit = i64::from(query.limit.unwrap_or(50).min(500));
    let asked = |text: &Option<String>| text.as_deref().map(key);
    let (phase, client, account) = (asked(&query.phase), asked(&query.client), asked(&query.account));
    let words = query.search.as_deref().map(words).unwrap_or_default();
    let words: Vec<String> = words.iter().map(|word| key(word)).collect();
    // The longest word is the rarest, as far as one can tell.
    let rows = if let Some(rarest) = words.iter().max_by_key(|word| word.len()).cloned() {
        tx.rows(BY_WORD, values![sort, num, phase, client, account, limit, rarest, words]).await?
    } else {
        let sql = match (&account, &client, &phase) {
            (Some(_), _, _) => BY_ACCOUNT,
            (_, Some(_), _) => BY_CLIENT,
            (_, _, Some(_)) => BY_PHASE,
            _ => ALL_ORDERS,
        };
        tx.rows(sql, values![sort, num, phase, client, account, limit]).await?
    };
    rows.iter().map(order).collect()
}

/// The place in the list that a cursor names.
fn place(cursor: &str) -> Option<(i64, i64)> {
    let (sort, num) = cursor.split_once('.')?;
    Some((sort.parse().ok()?, num.parse().ok()?))
}

fn order(row: &Row) -> Result<OrderRow, Fault> {
    let (sort, num): (i64, i64) = (get(row, 7)?, get(row, 8)?);
    Ok(OrderRow {
        id: EntityId(get(row, 0)?),
        client: ClientId(get(row, 1)?),
        account: AccountId(get(row, 2)?),
        label: get(row, 3)?,
        phase: get(row, 4)?,
        placed: get::<Option<i64>>(row, 5)?.map(instant),
        changed: instant(get(row, 6)?),
        exceptions: super::codec::small(row, 9)?,
        cursor: format!("{sort}.{num}"),
    })
}

pub(super) async fn find_order(tx: &Tx, name: &str) -> Result<Vec<EntityId>, Fault> {
    for sql in [BY_ID, BY_LABEL, BY_REF] {
        let rows = tx.rows(sql, values![key(name)]).await?;
        if !rows.is_empty() {
            return rows.iter().map(|row| Ok(EntityId(get(row, 0)?))).collect();
        }
    }
    Ok(Vec::new())
}

pub(super) async fn counts(tx: &Tx) -> Result<Counts, Fault> {
    let phases = tx.rows(PHASES, values![]).await?;
    let phases = phases.iter().map(|row| Ok((get(row, 0)?, count(get(row, 1)?))));
    let phases = phases.collect::<Result<_, Fault>>()?;
    let single = |rows: Vec<(String, String, u64)>| rows.into_iter().map(|(a, _, n)| (a, n)).collect();
    Ok(Counts {
        phases,
        facts: single(tally(tx, "fact").await?),
        intents: tally(tx, "intent").await?,
        messages: single(tally(tx, "message").await?),
        attempts: tally(tx, "attempt").await?.into_iter().map(|(_, _, n)| n).sum(),
        exceptions: exceptions::kinds(tx).await?,
        waiting: waiting::waiting(tx).await?,
    })
}

async fn tally(tx: &Tx, area: &str) -> Result<Vec<(String, String, u64)>, Fault> {
    let rows = tx.rows(TALLIES, values![area.to_owned()]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?, count(get(row, 2)?)))).collect()
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

    async fn tell(&mut self, tx: &Tx, message: &NewMessage) -> Result<(), Fault> {
        intake::insert(tx, &[message]).await?;
        self.shards.insert(message.shard);
        Ok(())
    }
}

pub(super) async fn retry(tx: &Tx, ids: &[i64], now: Timestamp) -> Result<Vec<Hint>, Fault> {
    let mut work = Work::default();
    for id in ids {
        if let Some(exception) = exceptions::one(tx, *id).await? {
            retry_one(tx, &exception, now, &mut work).await?;
        }
    }
    Ok(work.hints())
}

async fn retry_one(tx: &Tx, exception: &Exception, now: Timestamp, work: &mut Work) -> Result<(), Fault> {
    if let Some(intent) = exception.intent
        && let Some(row) = delivery::find(tx, intent).await?
    {
        match row.state {
            IntentState::Rejected => {
                delivery::unfreeze(tx, &row, now).await?;
                exceptions::resolve_intent(tx, intent, now, "tried again").await?;
                work.tell(tx, &delivery::wake(&row, intent, now)?).await?;
                work.accounts.insert(row.account);
                return Ok(());
            }
            // Only a person's decision moves it.
            IntentState::Stuck => return Ok(()),
            _ => {}
        }
    }
    if let Some(id) = exception.message_id
        && let Some(standing) = intake::standing(tx, id).await?
        && standing.state != MessageState::Pending
        && intake::has_body(tx, id).await?
    {
        intake::reopen(tx, id, &standing).await?;
        work.shards.insert(standing.shard);
        return Ok(());
    }
    if let Some(entity) = &exception.entity
        && let Some(row) = tx.first(ENTITY_ACCOUNT, values![waiting::named(entity)]).await?
    {
        let generation = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let account = AccountId(get(&row, 0)?);
        let message = waiting::wake_entity(&account, entity, "replan", generation, now)?;
        work.tell(tx, &NewMessage { priority: 2, ..message }).await?;
    }
    Ok(())
}

/// Puts settled messages back to pending.
pub(super) async fn reopen(tx: &Tx, messages: &[MessageId]) -> Result<Vec<Hint>, Fault> {
    let mut work = Work::default();
    for id in messages {
        if let Some(standing) = intake::standing(tx, *id).await?
            && standing.state != MessageState::Pending
            && intake::has_body(tx, *id).await?
        {
            intake::reopen(tx, *id, &standing).await?;
            work.shards.insert(standing.shard);
        }
    }
    Ok(work.hints())
}

pub(super) async fn decide(
    tx: &Tx,
    intent: IntentId,
    remedy: Remedy,
    note: &str,
    at: Timestamp,
) -> Result<Vec<Hint>, Fault> {
    let Some(row) = delivery::find(tx, intent).await? else { return Ok(Vec::new()) };
    let mut work = Work::default();
    match (row.state, remedy) {
        (IntentState::Stuck | IntentState::Rejected, Remedy::Exists) => {
            delivery::end(tx, &row, intent, IntentState::Done, at, None, at).await?;
        }
        (IntentState::Stuck, Remedy::SendAgain) => {
            delivery::end(tx, &row, intent, IntentState::Retry, at, Some(note), at).await?;
            exceptions::resolve_intent(tx, intent, at, note).await?;
            work.accounts.insert(row.account.clone());
        }
        (IntentState::Rejected, Remedy::SendAgain) => {
            delivery::unfreeze(tx, &row, at).await?;
            exceptions::resolve_intent(tx, intent, at, note).await?;
            work.accounts.insert(row.account.clone());
        }
        _ => return Ok(Vec::new()),
    }
    delivery::note(tx, &row, note, at).await?;
    work.tell(tx, &delivery::wake(&row, intent, at)?).await?;
    Ok(work.hints())
}

//! Exceptions: what a person must see.

use std::collections::BTreeMap;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::codec::{Fault, clean, get, key, statements, values};
use super::link::{Batch, Tx};
use crate::canonical::{AccountId, ClientId, EntityId, IntentId, MessageId};
use crate::io::store::form::{count, instant, nanos};
use crate::ports::{CauseRow, Exception, ExceptionQuery};

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
    fn number(self) -> i16 {
        match self {
            Self::Unit => 0,
            Self::Plan => 1,
            Self::Intent => 2,
            Self::Sweep => 3,
        }
    }
}

statements! {
    RAISE = "INSERT INTO exception (id, source, cause, kind, message, help, account, client, entity, about, intent, raised)
        SELECT nextval('exception_id'), k.* FROM unnest($1::int2[], $2::text[], $3::text[], $4::text[], $5::text[],
            $6::text[], $7::text[], $8::text[], $9::int8[], $10::bytea[], $11::int8[]) k
        ON CONFLICT (cause, (coalesce(entity, '')), (coalesce(about, 0)), (coalesce(intent, ''::bytea)))
            WHERE resolved IS NULL
        DO UPDATE SET kind = excluded.kind, message = excluded.message, help = excluded.help RETURNING id";
    REPLACE = "UPDATE exception x SET resolved = k.at, resolution = nullif(k.by, '')
        FROM unnest($1::text[], $2::int8[], $7::text[]) k (entity, at, by)
        WHERE x.entity = k.entity AND x.entity IS NOT NULL AND x.resolved IS NULL AND x.source = 1
        AND NOT EXISTS (SELECT 1 FROM unnest($3::text[], $4::text[], $5::int8[], $6::bytea[]) w (entity, cause, about, intent)
            WHERE w.entity = x.entity AND w.cause = x.cause AND w.about IS NOT DISTINCT FROM x.about
            AND w.intent IS NOT DISTINCT FROM x.intent)";
    DISMISS = "UPDATE exception SET resolved = $2, resolution = 'dismissed'
        WHERE id = ANY($1::int8[]) AND resolved IS NULL AND source IN (0, 3)";
    RESOLVE_MESSAGES = "UPDATE exception x SET resolved = k.at, resolution = nullif(k.by, '')
        FROM unnest($1::int8[], $2::int8[], $3::text[]) k (about, at, by)
        WHERE x.about = k.about AND x.about IS NOT NULL AND x.resolved IS NULL
        AND NOT EXISTS (SELECT 1 FROM unnest($4::int8[], $5::text[]) w (about, cause)
            WHERE w.about = x.about AND w.cause = x.cause)";
    RESOLVE_INTENTS = "UPDATE exception x SET resolved = k.at, resolution = nullif(k.by, '')
        FROM unnest($1::bytea[], $2::int8[], $3::text[]) k (intent, at, by)
        WHERE x.intent = k.intent AND x.intent IS NOT NULL AND x.resolved IS NULL AND x.source = 2";
    RESOLVE_CAUSES = "UPDATE exception x SET resolved = k.at, resolution = nullif(k.by, '')
        FROM unnest($1::text[], $2::int8[], $3::text[]) k (cause, at, by)
        WHERE x.cause = k.cause AND x.resolved IS NULL AND x.entity IS NULL AND x.about IS NULL";
    ONE = "SELECT id, cause, kind, message, help, account, client, entity, about, intent, raised, resolved, resolution
        FROM exception WHERE id = $1 AND resolved IS NULL";
    OPEN = "SELECT id, cause, kind, message, help, account, client, entity, about, intent, raised, resolved, resolution
        FROM exception WHERE resolved IS NULL AND id < $1
        AND ($2::text IS NULL OR cause = $2) AND ($3::text IS NULL OR kind = $3)
        AND ($4::text IS NULL OR client = $4) AND ($5::text IS NULL OR account = $5) ORDER BY id DESC LIMIT $6";
    ANY = "SELECT id, cause, kind, message, help, account, client, entity, about, intent, raised, resolved, resolution
        FROM exception WHERE id < $1
        AND ($2::text IS NULL OR cause = $2) AND ($3::text IS NULL OR kind = $3)
        AND ($4::text IS NULL OR client = $4) AND ($5::text IS NULL OR account = $5) ORDER BY id DESC LIMIT $6";
    CAUSES = "SELECT g.cause, x.kind, g.many, x.message, x.help, g.since FROM
        (SELECT cause, count(*) AS many, max(id) AS newest, min(raised) AS since FROM exception
            WHERE resolved IS NULL AND ($1::text IS NULL OR cause = $1) AND ($2::text IS NULL OR kind = $2)
            AND ($3::text IS NULL OR client = $3) AND ($4::text IS NULL OR account = $4) GROUP BY cause) g
        JOIN exception x ON x.id = g.newest ORDER BY g.many DESC, g.cause LIMIT $5";
    KINDS = "SELECT kind, count(*) FROM exception WHERE resolved IS NULL GROUP BY kind ORDER BY kind";
}

/// Exceptions that are open on entities.
pub(super) const ON_ENTITIES: &str = "SELECT id, cause, kind, message, help, account, client, entity, about, intent,
    raised, resolved, resolution FROM exception WHERE entity = ANY($1::text[]) AND entity IS NOT NULL AND resolved IS NULL ORDER BY id";

/// What an open exception is unique by: cause, entity, message, intent.
pub(super) type Same = (String, Option<String>, Option<i64>, Option<Vec<u8>>);

/// What `exception` is unique by.
pub(super) fn same(exception: &Exception) -> Same {
    (
        key(&exception.cause),
        exception.entity.as_ref().map(|entity| key(&entity.0)),
        exception.message_id.map(|id| id.0),
        exception.intent.map(|id| id.0.to_vec()),
    )
}

/// Exceptions to raise, each once.
#[derive(Default)]
pub(super) struct Raised(BTreeMap<Same, (i16, Exception)>);

impl Raised {
    pub(super) fn add(&mut self, source: Source, exception: Exception) {
        let same = same(&exception);
        let source = self.0.get(&same).map_or(source.number(), |(first, _)| *first);
        self.0.insert(same, (source, exception));
    }

    /// Raises them, unless open ones say the same of the same: those get the newest words.
    pub(super) fn send(self, batch: &mut Batch) {
        if self.0.is_empty() {
            return;
        }
        let (mut source, mut cause, mut kind, mut message, mut help) =
            (vec![], vec![], vec![], vec![], vec![]);
        let (mut account, mut client, mut entity) = (vec![], vec![], vec![]);
        let (mut about, mut intent, mut raised) = (vec![], vec![], vec![]);
        for ((its_cause, its_entity, its_about, its_intent), (its_source, exception)) in self.0 {
            source.push(its_source);
            cause.push(its_cause);
            kind.push(key(&exception.kind));
            message.push(clean(&exception.message));
            help.push(exception.help.as_deref().map(clean));
            account.push(exception.account.map(|id| key(&id.0)));
            client.push(exception.client.map(|id| key(&id.0)));
            entity.push(its_entity);
            about.push(its_about);
            intent.push(its_intent);
            raised.push(nanos(exception.raised));
        }
        let values =
            values![source, cause, kind, message, help, account, client, entity, about, intent, raised];
        batch.add(RAISE, values);
    }
}

/// Entity, cause, message and intent, by column.
type Wanted = (Vec<String>, Vec<String>, Vec<Option<i64>>, Vec<Option<Vec<u8>>>);

/// What plans hold open, whole: others that they raised are resolved.
#[derive(Default)]
pub(super) struct Planned {
    entities: Vec<String>,
    at: Vec<i64>,
    by: Vec<String>,
    wanted: Wanted,
}

impl Planned {
    /// Makes `wanted` what the plan of `entity` holds open.
    pub(super) fn add(
        &mut self,
        entity: &EntityId,
        wanted: &[Exception],
        (at, by): (Timestamp, &str),
        raised: &mut Raised,
    ) {
        self.entities.push(key(&entity.0));
        self.at.push(nanos(at));
        self.by.push(clean(by));
        for exception in wanted {
            let exception = Exception { entity: Some(entity.clone()), ..exception.clone() };
            let (cause, _, about, intent) = same(&exception);
            self.wanted.0.push(key(&entity.0));
            self.wanted.1.push(cause);
            self.wanted.2.push(about);
            self.wanted.3.push(intent);
            raised.add(Source::Plan, exception);
        }
    }

    pub(super) fn send(self, batch: &mut Batch) {
        if !self.entities.is_empty() {
            let (entity, cause, about, intent) = self.wanted;
            batch.add(REPLACE, values![self.entities, self.at, entity, cause, about, intent, self.by]);
        }
    }
}

/// What is resolved by message, by intent and by cause.
#[derive(Default)]
pub(super) struct Resolved {
    messages: (Vec<i64>, Vec<i64>, Vec<String>),
    /// What is raised again about these messages stays.
    again: (Vec<i64>, Vec<String>),
    intents: (Vec<Vec<u8>>, Vec<i64>, Vec<String>),
    causes: (Vec<String>, Vec<i64>, Vec<String>),
}

impl Resolved {
    /// Resolves what stands about the message, but for what `raised` says again.
    pub(super) fn message(&mut self, id: MessageId, raised: &[Exception], at: Timestamp, by: &str) {
        self.messages.0.push(id.0);
        self.messages.1.push(nanos(at));
        self.messages.2.push(clean(by));
        for exception in raised.iter().filter(|one| one.message_id == Some(id)) {
            self.again.0.push(id.0);
            self.again.1.push(key(&exception.cause));
        }
    }
    pub(super) fn intent(&mut self, id: IntentId, at: Timestamp, by: &str) {
        self.intents.0.push(id.0.to_vec());
        self.intents.1.push(nanos(at));
        self.intents.2.push(clean(by));
    }
    pub(super) fn cause(&mut self, cause: &str, at: Timestamp, by: &str) {
        self.causes.0.push(key(cause));
        self.causes.1.push(nanos(at));
        self.causes.2.push(clean(by));
    }
    /// What stands about messages: before facts wait, since one whose exception is over waits anew.
    pub(super) fn send_messages(&mut self, batch: &mut Batch) {
        let (messages, again) = (std::mem::take(&mut self.messages), std::mem::take(&mut self.again));
        if !messages.0.is_empty() {
            batch.add(RESOLVE_MESSAGES, values![messages.0, messages.1, messages.2, again.0, again.1]);
        }
    }
    pub(super) fn send(self, batch: &mut Batch) {
        if !self.intents.0.is_empty() {
            batch.add(RESOLVE_INTENTS, values![self.intents.0, self.intents.1, self.intents.2]);
        }
        if !self.causes.0.is_empty() {
            batch.add(RESOLVE_CAUSES, values![self.causes.0, self.causes.1, self.causes.2]);
        }
    }
}

/// Raises one; gives its number.
pub(super) async fn raise(tx: &Tx, source: Source, exception: Exception) -> Result<i64, Fault> {
    let (mut raised, mut batch) = (Raised::default(), Batch::default());
    raised.add(source, exception);
    raised.send(&mut batch);
    let answers = tx.send(batch).await?;
    answers.first().and_then(|rows| rows.first()).map_or(Err(Fault::Overtaken), |row| get(row, 0))
}

/// The intent goes on: what settling it raised is resolved.
pub(super) async fn resolve_intent(tx: &Tx, id: IntentId, at: Timestamp, by: &str) -> Result<(), Fault> {
    tx.run(RESOLVE_INTENTS, values![vec![id.0.to_vec()], vec![nanos(at)], vec![clean(by)]]).await?;
    Ok(())
}

/// Resolves those that neither a plan nor an intent holds open.
pub(super) async fn dismiss(tx: &Tx, ids: &[i64], at: Timestamp) -> Result<u64, Fault> {
    tx.run(DISMISS, values![ids.to_vec(), nanos(at)]).await
}

/// An open one.
pub(super) async fn one(tx: &Tx, id: i64) -> Result<Option<Exception>, Fault> {
    tx.first(ONE, values![id]).await?.as_ref().map(read).transpose()
}

pub(super) async fn list(tx: &Tx, query: &ExceptionQuery) -> Result<Vec<Exception>, Fault> {
    let limit = i64::from(query.limit.unwrap_or(100).min(1000));
    let before = query.before.unwrap_or(i64::MAX);
    let sql = if query.resolved { ANY } else { OPEN };
    let asked = |text: &Option<String>| text.as_deref().map(key);
    let values = values![
        before,
        asked(&query.cause),
        asked(&query.kind),
        asked(&query.client),
        asked(&query.account),
        limit
    ];
    tx.rows(sql, values).await?.iter().map(read).collect()
}

pub(super) async fn causes(tx: &Tx, query: &ExceptionQuery) -> Result<Vec<CauseRow>, Fault> {
    let limit = i64::from(query.limit.unwrap_or(100).min(1000));
    let asked = |text: &Option<String>| text.as_deref().map(key);
    let values =
        values![asked(&query.cause), asked(&query.kind), asked(&query.client), asked(&query.account), limit];
    let rows = tx.rows(CAUSES, values).await?;
    let read = |row: &Row| {
        Ok(CauseRow {
            cause: get(row, 0)?,
            kind: get(row, 1)?,
            count: count(get(row, 2)?),
            message: get(row, 3)?,
            help: get(row, 4)?,
            since: instant(get(row, 5)?),
        })
    };
    rows.iter().map(read).collect()
}

/// How many are open, by kind.
pub(super) async fn kinds(tx: &Tx) -> Result<Vec<(String, u64)>, Fault> {
    let rows = tx.rows(KINDS, values![]).await?;
    rows.iter().map(|row| Ok((get(row, 0)?, count(get(row, 1)?)))).collect()
}

/// An exception, from the columns that all lists have.
pub(super) fn read(row: &Row) -> Result<Exception, Fault> {
    let intent: Option<&[u8]> = get(row, 9)?;
    let intent = intent.map(<[u8; 16]>::try_from).transpose();
    Ok(Exception {
        id: get(row, 0)?,
        cause: get(row, 1)?,
        kind: get(row, 2)?,
        message: get(row, 3)?,
        help: get(row, 4)?,
        account: get::<Option<String>>(row, 5)?.map(AccountId),
        client: get::<Option<String>>(row, 6)?.map(ClientId),
        entity: get::<Option<String>>(row, 7)?.map(EntityId),
        message_id: get::<Option<i64>>(row, 8)?.map(MessageId),
        intent: intent
            .map_err(|_| Fault::Unreadable("an intent's id has not 16 bytes".to_owned()))?
            .map(IntentId),
        raised: instant(get(row, 10)?),
        resolved: get::<Option<i64>>(row, 11)?.map(instant),
        resolution: get(row, 12)?,
    })
}

//! One piece of work in one savepoint: messages settled, facts, state, names, intents, timers, exceptions, mail.

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::params;

use super::codec::{
    Fault, class_in, first, intent_in, intent_out, kind_in, nanos, pack, pack_json, rows, statements, text,
};
use super::exceptions::{self, Source};
use super::intake::{self, Standing};
use super::writer::Tx;
use super::{entity, waiting};
use crate::canonical::{
    AccountId, Class, EntityId, ExternalRef, FORM_VERSION, Fact, FactId, Intent, IntentState, MessageId,
};
use crate::io::store::form::{KEEP_PUSHES, pack_fact, words};
use crate::ports::{Committed, EntityWrite, Hint, MessageState, Origin, Unit};

statements! {
    STORED = "SELECT num, version, erased, words, sort FROM entity WHERE id = ?1";
    INSERT = "INSERT INTO entity
        (id, kind, version, erased, client, account, label, phase, placed, sort, changed, words, state)
        VALUES (?1, ?2, 1, 0, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
    UPDATE = "UPDATE entity SET version = version + 1, client = ?2, account = ?3, label = ?4, phase = ?5, placed = ?6,
        sort = ?7, changed = ?8, words = ?9, state = ?10 WHERE num = ?1";
    RESERVE = "INSERT INTO reservation (entity, holder, data) VALUES (?1, ?2, ?3)
        ON CONFLICT (entity, holder) DO UPDATE SET data = excluded.data";
    NO_RESERVATION = "DELETE FROM reservation WHERE entity = ?1 AND holder = ?2";
    SET_PERSONAL = "INSERT INTO personal (entity, data) VALUES (?1, ?2)
        ON CONFLICT (entity) DO UPDATE SET data = excluded.data";
    NO_PERSONAL = "DELETE FROM personal WHERE entity = ?1";
    ADD_WORD = "INSERT OR IGNORE INTO word (word, entity) VALUES (?1, ?2)";
    DROP_WORD = "DELETE FROM word WHERE word = ?1 AND entity = ?2";
    SUPERSEDED_FACT = "SELECT n FROM fact WHERE entity = ?1 AND id = ?2 AND superseded = 1";
    INSERT_FACT = "INSERT INTO fact (entity, id, kind, message, superseded, form, data)
        VALUES (?1, ?2, ?3, ?4, 0, ?5, ?6) ON CONFLICT (entity, id) DO NOTHING";
    RENEW_FACT = "UPDATE fact SET superseded = 0, message = ?2, form = ?3, data = ?4 WHERE n = ?1";
    SUPERSEDE = "UPDATE fact SET superseded = 1 WHERE entity = ?1 AND id = ?2 AND superseded = 0 RETURNING kind";
    SET_PERSONAL_FACT = "INSERT INTO personal_fact (fact, data) VALUES (?1, ?2)
        ON CONFLICT (fact) DO UPDATE SET data = excluded.data";
    NO_PERSONAL_FACT = "DELETE FROM personal_fact WHERE fact = ?1";
    TOUCH = "INSERT OR IGNORE INTO touched (entity, message) VALUES (?1, ?2)";
    DROP_BODY = "DELETE FROM body WHERE message = ?1";
    LINK = "INSERT INTO ref (scope, kind, id, entity) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (scope, kind, id) DO NOTHING";
    INTENT = "SELECT n, state, command FROM intent WHERE id = ?1";
    INSERT_INTENT = "INSERT INTO intent
        (id, entity, account, slot, generation, command, class, args, state, attempts, due, created, epoch, sent_digest)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, 0, '')";
    CHANGE_INTENT = "UPDATE intent SET account = ?2, command = ?3, class = ?4, args = ?5, state = ?6, due = ?7
        WHERE n = ?1";
    /// It goes behind what was intended in the meantime, and its content is made anew.
    REVIVE = "UPDATE intent SET n = (SELECT max(n) + 1 FROM intent), error = NULL, frozen_at = NULL, sent_digest = ''
        WHERE n = ?1 RETURNING n";
    MOVE_ATTEMPTS = "UPDATE attempt SET intent = ?2 WHERE intent = ?1";
    NO_FROZEN = "DELETE FROM frozen WHERE intent = ?1";
    SET_INTENT = "UPDATE intent SET state = ?2 WHERE n = ?1";
    OLDER = "SELECT n, state, command FROM intent WHERE entity = ?1 AND slot = ?2 AND generation < ?3
        AND class = 4 AND state < 2";
    BYGONE = "SELECT n, id, state, command FROM intent WHERE entity = ?1 AND slot = ?2 AND generation < ?3
        AND class = 4 AND state IN (4, 5, 7)";
    NO_ATTEMPTS = "DELETE FROM attempt WHERE intent = ?1";
    NO_NAME = "DELETE FROM ref WHERE id = ?1 AND kind = 'our' AND entity = ?2";
    NO_INTENT = "DELETE FROM intent WHERE n = ?1";
    EVENT = "INSERT INTO event (client, entity, version, name, data, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
}

/// What has become due because of a unit.
#[derive(Default)]
struct Due {
    shards: BTreeSet<u16>,
    accounts: BTreeSet<AccountId>,
    /// Whether any fact waits for a name, once that was looked up.
    waits: Option<bool>,
}

impl Due {
    fn hints(self) -> Vec<Hint> {
        let inbound = self.shards.into_iter().map(|shard| Hint::Inbound { shard });
        inbound.chain(self.accounts.into_iter().map(|account| Hint::Outbound { account })).collect()
    }
}

/// Work inside a unit: a fault fails the job, a refusal (a conflict) only the unit.
type Step<T> = Result<Result<T, Committed>, Fault>;

/// Goes on with the value, or leaves the function with the refusal.
macro_rules! step {
    ($outcome:expr) => {
        match $outcome? {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(refusal)),
        }
    };
}

/// A unit with what is stored of it worked out, so that the writer need not.
pub(super) struct Ready {
    unit: Unit,
    /// Of its entities, in their order.
    entities: Vec<Packed>,
    mail: Vec<intake::Ready>,
}

/// What is stored of an entity that is written.
struct Packed {
    state: Vec<u8>,
    personal: Option<Vec<u8>>,
    /// Of its reservations, in their order; none for those that go.
    reservations: Vec<Option<Vec<u8>>>,
    /// Of its facts, in their order: what is not personal, and what is.
    facts: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Ready {
    pub(super) fn of(mut unit: Unit) -> Result<Self, Fault> {
        unit.entities.sort_by(|one, other| one.id.cmp(&other.id));
        let entities = unit.entities.iter().map(Packed::of).collect::<Result<_, _>>()?;
        let mail = std::mem::take(&mut unit.mail);
        let mail = mail.into_iter().map(intake::Ready::of).collect::<Result<_, _>>()?;
        Ok(Self { unit, entities, mail })
    }
}

impl Packed {
    fn of(write: &EntityWrite) -> Result<Self, Fault> {
        Ok(Self {
            state: pack(write.state.text()),
            reservations: write
                .reservations
                .iter()
                .map(|(_, reservation)| reservation.as_ref().map(pack_json).transpose())
                .collect::<Result<_, _>>()?,
            personal: (!write.personal.is_null()).then(|| pack_json(&write.personal)).transpose()?,
            facts: write.facts.iter().map(pack_fact).collect::<Result<_, _>>()?,
        })
    }
}

/// Does a unit wholly or, when it is refused, not at all.
pub(super) fn commit(tx: &Tx<'_>, work: &Ready) -> Result<Committed, Fault> {
    Ok(tx.savepoint(|| unit(tx, work))?.unwrap_or_else(|refusal| refusal))
}

fn unit(tx: &Tx<'_>, ready: &Ready) -> Step<Committed> {
    let unit = &ready.unit;
    let mut due = Due::default();
    let mut standings = Vec::with_capacity(unit.messages.len());
    for (id, _) in &unit.messages {
        standings
            .push(intake::standing(tx.db, *id)?.filter(|standing| standing.state == MessageState::Pending));
    }
    if standings.iter().any(Option::is_none) {
        due.shards.extend(standings.iter().flatten().map(|standing| standing.shard));
        return Ok(Ok(Committed::Done { hints: due.hints() }));
    }
    let standings: Vec<Standing> = standings.into_iter().flatten().collect();

    let mut stored = Vec::with_capacity(unit.entities.len());
    for write in &unit.entities {
        let row = Stored::read(tx, &write.id)?;
        if row.as_ref().map_or(0, |row| row.version) != write.expected {
            return Ok(Err(Committed::Conflict));
        }
        stored.push(row);
    }
    // Before facts wait: one whose exception is over waits anew. Nothing stands about a message that is worked on for the
    // first time.
    let first = |id: &MessageId| {
        unit.messages
            .iter()
            .zip(&standings)
            .any(|((known, _), standing)| known == id && standing.attempts == 0)
    };
    for id in unit.resolve_messages.iter().filter(|id| !first(id)) {
        exceptions::resolve_message(tx, *id, &unit.exceptions, unit.at, &unit.by)?;
    }
    for ((id, _), standing) in unit.messages.iter().zip(&standings) {
        if standing.attempts > 0 && standing.origin != Origin::Fact {
            waiting::forget(tx, *id, &unit.waiting)?;
        }
    }
    // Before the names are linked: a name that this very unit links wakes the fact.
    for fact in &unit.waiting {
        if !waiting::wait(tx, fact)? {
            return Ok(Err(Committed::Conflict));
        }
    }
    let raw: Vec<MessageId> = unit
        .messages
        .iter()
        .zip(&standings)
        .filter(|(_, standing)| standing.origin != Origin::Fact)
        .map(|((id, _), _)| *id)
        .collect();
    let mut erased: Vec<&EntityWrite> = Vec::new();
    for ((write, packed), row) in unit.entities.iter().zip(&ready.entities).zip(stored) {
        if step!(self::write(tx, unit, write, packed, row, &raw, &mut due)) {
            erased.push(write);
        }
    }
    for cause in &unit.resolve_causes {
        exceptions::resolve_cause(tx, cause, unit.at, &unit.by)?;
    }
    for exception in &unit.exceptions {
        exceptions::raise(tx, Source::Unit, exception)?;
    }
    for message in &ready.mail {
        intake::insert(tx, message)?;
        due.shards.insert(message.shard());
    }
    for ((id, state), standing) in unit.messages.iter().zip(&standings) {
        let generation = (!unit.generation.is_empty()).then_some(unit.generation.as_str());
        intake::set_state(tx, *id, standing, *state, generation)?;
        if *state == MessageState::Done && erased.iter().any(|write| write.heard_from(*id)) {
            tx.run(DROP_BODY, params![id.0])?;
        }
    }
    Ok(Ok(Committed::Done { hints: due.hints() }))
}

/// What is stored of an entity that is written.
struct Stored {
    num: i64,
    version: i64,
    erased: bool,
    words: String,
    sort: i64,
}

impl Stored {
    fn read(tx: &Tx<'_>, id: &EntityId) -> Result<Option<Self>, Fault> {
        first(tx.db, STORED, params![id.0], |row| {
            Ok(Self {
                num: row.get(0)?,
                version: row.get(1)?,
                erased: row.get(2)?,
                words: row.get(3)?,
                sort: row.get(4)?,
            })
        })
    }
}

/// Writes an entity. Gives whether its personal data was erased, so that nothing personal is kept of it any more.
fn write(
    tx: &Tx<'_>,
    unit: &Unit,
    write: &EntityWrite,
    packed: &Packed,
    stored: Option<Stored>,
    raw: &[MessageId],
    due: &mut Due,
) -> Step<bool> {
    let at = unit.at;
    let erased = stored.as_ref().is_some_and(|row| row.erased);
    let version = write.expected + 1;
    // Nothing stands under a new entity yet, and most of its names are new: they need not be looked up first.
    let fresh = stored.is_none();
    let num = row(tx, at, write, &packed.state, stored)?;
    match packed.personal.as_ref().filter(|_| !erased) {
        Some(personal) => tx.run(SET_PERSONAL, params![num, personal])?,
        None if write.expected > 0 => tx.run(NO_PERSONAL, params![num])?,
        None => 0,
    };
    for ((order, _), data) in write.reservations.iter().zip(&packed.reservations) {
        match data {
            Some(data) => tx.run(RESERVE, params![num, order.0, data])?,
            None => tx.run(NO_RESERVATION, params![num, order.0])?,
        };
    }
    for id in &write.superseded {
        supersede(tx, num, *id)?;
    }
    for (fact, (plain, personal)) in write.facts.iter().zip(&packed.facts) {
        insert_fact(tx, num, fact, plain, personal.as_ref().filter(|_| !erased))?;
    }
    for message in raw.iter().filter(|message| write.heard_from(**message)) {
        tx.run(TOUCH, params![num, message.0])?;
    }
    // Facts that waited for their subject come by themselves, long after their message. Those of our own are all that is
    // kept of theirs.
    let here = |id: MessageId| unit.messages.iter().any(|(known, _)| *known == id);
    for fact in write.facts.iter().filter(|fact| fact.message.0 > 0 && !here(fact.message)) {
        tx.run(TOUCH, params![num, fact.message.0])?;
    }
    for name in &write.refs {
        step!(link(tx, num, fresh, &write.id, name, at, due));
    }
    for intent in &write.intents {
        step!(put_intent(tx, num, intent, at, due));
        let name = ExternalRef::of_client(&write.client, "our", &intent.id.to_string());
        step!(link(tx, num, true, &write.id, &name, at, due));
    }
    if let Some(wanted) = write.exceptions.as_ref().filter(|wanted| !fresh || !wanted.is_empty()) {
        exceptions::replace(tx, &write.id, wanted, at, &unit.by)?;
    }
    for timer in &write.timers {
        waiting::set_timer(tx, timer)?;
    }
    for (name, data) in &write.events {
        tx.run(
            EVENT,
            params![
                write.client.0,
                write.id.0,
                version,
                name,
                String::from_utf8_lossy(data.text()),
                nanos(at)
            ],
        )?;
    }
    Ok(Ok(erased))
}

fn row(
    tx: &Tx<'_>,
    at: Timestamp,
    write: &EntityWrite,
    state: &[u8],
    stored: Option<Stored>,
) -> Result<i64, Fault> {
    let index = &write.index;
    let placed = index.placed.map(nanos);
    let num = match &stored {
        None => {
            tx.run(
                INSERT,
                params![
                    write.id.0,
                    kind_in(write.id.kind()),
                    write.client.0,
                    index.account.0,
                    index.label,
                    index.phase,
                    placed,
                    placed.unwrap_or_else(|| nanos(at)),
                    nanos(at),
                    index.words,
                    state,
                ],
            )?;
            tx.db.last_insert_rowid()
        }
        Some(row) => {
            tx.run(
                UPDATE,
                params![
                    row.num,
                    write.client.0,
                    index.account.0,
                    index.label,
                    index.phase,
                    placed,
                    placed.unwrap_or(row.sort),
                    nanos(at),
                    index.words,
                    state,
                ],
            )?;
            row.num
        }
    };
    let before = stored.map(|row| row.words).unwrap_or_default();
    if before != index.words {
        let (old, new) = (words(&before), words(&index.words));
        for word in old.difference(&new) {
            tx.run(DROP_WORD, params![word, num])?;
        }
        for word in new.difference(&old) {
            tx.run(ADD_WORD, params![word, num])?;
        }
    }
    Ok(num)
}

fn supersede(tx: &Tx<'_>, num: i64, id: FactId) -> Result<(), Fault> {
    let kind: Option<String> = first(tx.db, SUPERSEDE, params![num, id.0], |row| row.get(0))?;
    if let Some(kind) = kind {
        tx.tally("fact", &kind, "", -1);
    }
    Ok(())
}

fn insert_fact(
    tx: &Tx<'_>,
    num: i64,
    fact: &Fact,
    plain: &[u8],
    personal: Option<&Vec<u8>>,
) -> Result<(), Fault> {
    let kind = fact.body.kind().0;
    // Nearly all facts are new.
    let new = tx.run(INSERT_FACT, params![num, fact.id.0, kind, fact.message.0, FORM_VERSION, plain])? > 0;
    let n = if new {
        tx.db.last_insert_rowid()
    } else {
        let known = first(tx.db, SUPERSEDED_FACT, params![num, fact.id.0], |row| row.get::<_, i64>(0))?;
        let Some(n) = known else { return Ok(()) };
        tx.run(RENEW_FACT, params![n, fact.message.0, FORM_VERSION, plain])?;
        tx.run(NO_PERSONAL_FACT, params![n])?;
        n
    };
    tx.tally("fact", kind, "", 1);
    if let Some(personal) = personal {
        tx.run(SET_PERSONAL_FACT, params![n, personal])?;
    }
    Ok(())
}

/// Links a name to the entity. `fresh`: it is likely new.
fn link(
    tx: &Tx<'_>,
    num: i64,
    fresh: bool,
    id: &EntityId,
    name: &ExternalRef,
    at: Timestamp,
    due: &mut Due,
) -> Step<()> {
    let claim = || Ok::<_, Fault>(tx.run(LINK, params![name.scope, name.kind, name.id, num])? > 0);
    let mut linked = fresh && claim()?;
    if !linked {
        match entity::holder(tx.db, name)? {
            Some((_, holder)) if holder == num => return Ok(Ok(())),
            Some((holder, _)) => return Ok(Err(Committed::LinkConflict { name: name.clone(), holder })),
            None => linked = claim()?,
        }
    }
    let waits = match due.waits {
        Some(waits) => waits,
        None => *due.waits.insert(waiting::any(tx)?),
    };
    if linked && waits {
        waiting::wake(tx, name, id, at, &mut due.shards)?;
    }
    Ok(Ok(()))
}

fn put_intent(tx: &Tx<'_>, num: i64, intent: &Intent, at: Timestamp, due: &mut Due) -> Step<()> {
    let stored = first(tx.db, INTENT, params![intent.id.0], |row| {
        Ok((row.get::<_, i64>(0)?, intent_out(row.get(1)?)?, row.get::<_, String>(2)?))
    })?;
    match stored {
        None => insert_intent(tx, num, intent)?,
        Some((n, was @ (IntentState::Pending | IntentState::Withdrawn), command))
            if matches!(intent.state, IntentState::Pending | IntentState::Withdrawn) =>
        {
            let revived = was == IntentState::Withdrawn && intent.state == IntentState::Pending;
            let n = if revived { revive(tx, n)? } else { n };
            tx.run(
                CHANGE_INTENT,
                params![
                    n,
                    intent.account.0,
                    intent.command,
                    class_in(intent.class),
                    text(&intent.args)?,
                    intent_in(intent.state),
                    nanos(intent.due),
                ],
            )?;
            tx.tally("intent", &command, was.word(), -1);
            tx.tally("intent", &intent.command, intent.state.word(), 1);
        }
        // Nothing has happened there, or nothing that lasts: it may be taken back.
        Some((n, was @ (IntentState::Retry | IntentState::Rejected), command))
            if intent.state == IntentState::Withdrawn =>
        {
            withdraw(tx, n, &command, was)?;
            exceptions::resolve_intent(tx, intent.id, at, "the command is not wanted any more")?;
        }
        Some((_, state, _)) if state == intent.state => return Ok(Ok(())),
        Some(_) => return Ok(Err(Committed::Conflict)),
    }
    if !intent.state.settled() && intent.due <= at {
        due.accounts.insert(intent.account.clone());
    }
    Ok(Ok(()))
}

fn insert_intent(tx: &Tx<'_>, num: i64, intent: &Intent) -> Result<(), Fault> {
    if intent.class == Class::Stock {
        // Only the newest level matters.
        let older = rows(tx.db, OLDER, params![num, intent.slot, intent.generation], |row| {
            Ok((row.get::<_, i64>(0)?, intent_out(row.get(1)?)?, row.get::<_, String>(2)?))
        })?;
        for (n, was, command) in older {
            withdraw(tx, n, &command, was)?;
        }
        let bygone = intent.generation.saturating_sub(KEEP_PUSHES);
        let bygone = rows(tx.db, BYGONE, params![num, intent.slot, bygone], |row| {
            let id: Vec<u8> = row.get(1)?;
            Ok((row.get::<_, i64>(0)?, hex::encode(id), intent_out(row.get(2)?)?, row.get::<_, String>(3)?))
        })?;
        for (n, id, was, command) in bygone {
            forget(tx, num, (n, &id), &command, was)?;
        }
    }
    tx.run(
        INSERT_INTENT,
        params![
            intent.id.0,
            num,
            intent.account.0,
            intent.slot,
            intent.generation,
            intent.command,
            class_in(intent.class),
            text(&intent.args)?,
            intent_in(intent.state),
            intent.attempts,
            nanos(intent.due),
            nanos(intent.created),
        ],
    )?;
    tx.tally("intent", &intent.command, intent.state.word(), 1);
    Ok(())
}

/// Lets a withdrawn intent wait again. Gives its new number.
fn revive(tx: &Tx<'_>, n: i64) -> Result<i64, Fault> {
    let now = first(tx.db, REVIVE, params![n], |row| row.get(0))?.unwrap_or(n);
    tx.run(MOVE_ATTEMPTS, params![n, now])?;
    tx.run(NO_FROZEN, params![n])?;
    Ok(now)
}

/// Forgets a stock level that was told long ago.
fn forget(
    tx: &Tx<'_>,
    entity: i64,
    (n, id): (i64, &str),
    command: &str,
    was: IntentState,
) -> Result<(), Fault> {
    tx.run(NO_ATTEMPTS, params![n])?;
    tx.run(NO_FROZEN, params![n])?;
    tx.run(NO_NAME, params![id, entity])?;
    tx.run(NO_INTENT, params![n])?;
    tx.tally("intent", command, was.word(), -1);
    Ok(())
}

fn withdraw(tx: &Tx<'_>, n: i64, command: &str, was: IntentState) -> Result<(), Fault> {
    tx.run(SET_INTENT, params![n, intent_in(IntentState::Withdrawn)])?;
    tx.tally("intent", command, was.word(), -1);
    tx.tally("intent", command, IntentState::Withdrawn.word(), 1);
    Ok(())
}

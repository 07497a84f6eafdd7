//! What units write: gathered in columns, a statement a table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use super::decide::{Change, change, in_order};
use super::known::{Known, Stored, StoredIntent};
use super::{Due, our_name};
use crate::canonical::{
    Class, EntityId, ExternalRef, FORM_VERSION, Fact, FactId, Intent, IntentState, MessageId, Timer,
};
use crate::io::store::form::{
    KEEP_PUSHES, class_in, intent_in, kind_in, message_in, nanos, pack, pack_fact, pack_json, text, words,
};
use crate::io::store::postgres::codec::{Fault, Param, clean, key, rows, statements, values};
use crate::io::store::postgres::events;
use crate::io::store::postgres::exceptions::{Planned, Raised, Resolved, Source};
use crate::io::store::postgres::link::{Batch, Tx};
use crate::ports::{EntityWrite, Event, MessageState, Origin, Unit};

statements! {
    WAIT = "INSERT INTO waiting AS w (n, fact, account, kind, message, deadline, data)
        SELECT nextval('waiting_n'), k.* FROM unnest($1::bytea[], $2::text[], $3::text[], $4::int8[], $5::int8[], $6::bytea[]) k
        ON CONFLICT (fact) DO UPDATE SET deadline = excluded.deadline, exception = NULL
        WHERE w.exception IS NOT NULL
        AND NOT EXISTS (SELECT 1 FROM exception x WHERE x.id = w.exception AND x.resolved IS NULL)";
    WAIT_FOR = "INSERT INTO waiting_ref (scope, kind, id, waiting) SELECT k.scope, k.kind, k.id, w.n
        FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[]) k (scope, kind, id, fact)
        JOIN waiting w ON w.fact = k.fact ON CONFLICT DO NOTHING";
    INSERT = "INSERT INTO entity (num, id, kind, version, erased, client, account, label, phase, placed, sort, changed, words, state)
        SELECT k.num, k.id, k.kind, 1, 0, k.client, k.account, k.label, k.phase, k.placed, k.sort, k.changed, k.words, k.state
        FROM unnest($1::int8[], $2::text[], $3::int2[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int8[],
            $9::int8[], $10::int8[], $11::text[], $12::bytea[])
            k (num, id, kind, client, account, label, phase, placed, sort, changed, words, state)
        ORDER BY k.id ON CONFLICT (id) DO NOTHING RETURNING num";
    UPDATE = "UPDATE entity e SET version = e.version + 1, client = k.client, account = k.account, label = k.label,
        phase = k.phase, placed = k.placed, sort = k.sort, changed = k.changed, words = k.words, state = k.state
        FROM unnest($1::int8[], $2::text[], $3::int2[], $4::text[], $5::text[], $6::text[], $7::text[], $8::int8[],
            $9::int8[], $10::int8[], $11::text[], $12::bytea[])
            k (num, id, kind, client, account, label, phase, placed, sort, changed, words, state)
        WHERE e.num = k.num RETURNING e.num";
    RESERVE = "INSERT INTO reservation (entity, holder, data) SELECT * FROM unnest($1::int8[], $2::text[], $3::bytea[])
        ON CONFLICT (entity, holder) DO UPDATE SET data = excluded.data";
    NO_RESERVATIONS = "DELETE FROM reservation r USING unnest($1::int8[], $2::text[]) k (entity, holder)
        WHERE r.entity = k.entity AND r.holder = k.holder";
    SET_PERSONAL = "INSERT INTO personal (entity, data) SELECT * FROM unnest($1::int8[], $2::bytea[])
        ON CONFLICT (entity) DO UPDATE SET data = excluded.data WHERE personal.data <> excluded.data";
    /// Of an entity that is new: nothing of it can stand there, and a row that is not looked for costs less.
    FIRST_PERSONAL = "INSERT INTO personal (entity, data) SELECT * FROM unnest($1::int8[], $2::bytea[])";
    NO_PERSONAL = "DELETE FROM personal WHERE entity = ANY($1::int8[])";
    ADD_WORDS = "INSERT INTO word (word, entity) SELECT * FROM unnest($1::text[], $2::int8[]) ON CONFLICT DO NOTHING";
    FIRST_WORDS = "INSERT INTO word (word, entity) SELECT * FROM unnest($1::text[], $2::int8[])";
    DROP_WORDS = "DELETE FROM word w USING unnest($1::text[], $2::int8[]) k (word, entity)
        WHERE w.word = k.word AND w.entity = k.entity";
    SUPERSEDE = "UPDATE fact SET superseded = 1 WHERE n = ANY($1::int8[])";
    INSERT_FACTS = "INSERT INTO fact (n, entity, id, kind, message, superseded, form, data)
        SELECT k.n, k.entity, k.id, k.kind, k.message, 0, $6, k.data
        FROM unnest($1::int8[], $2::int8[], $3::bytea[], $4::text[], $5::int8[], $7::bytea[])
            k (n, entity, id, kind, message, data)";
    RENEW_FACTS = "UPDATE fact f SET superseded = 0, message = k.message, form = $3, data = k.data
        FROM unnest($1::int8[], $2::int8[], $4::bytea[]) k (n, message, data) WHERE f.n = k.n";
    NO_PERSONAL_FACTS = "DELETE FROM personal_fact WHERE fact = ANY($1::int8[])";
    SET_PERSONAL_FACTS = "INSERT INTO personal_fact (fact, data) SELECT * FROM unnest($1::int8[], $2::bytea[])";
    TOUCH = "INSERT INTO touched (entity, message) SELECT * FROM unnest($1::int8[], $2::int8[]) ON CONFLICT DO NOTHING";
    LINK = "INSERT INTO ref AS r (scope, kind, id, entity)
        SELECT k.scope, k.kind, k.id, k.entity FROM unnest($1::text[], $2::text[], $3::text[], $4::int8[])
            k (scope, kind, id, entity) ORDER BY 1, 2, 3
        ON CONFLICT (scope, kind, id) DO UPDATE SET entity = excluded.entity WHERE r.entity IS NULL RETURNING 1";
    REVIVE = "UPDATE intent i SET n = k.later, error = NULL, frozen_at = NULL, sent_digest = ''
        FROM unnest($1::int8[], $2::int8[]) k (n, later) WHERE i.n = k.n";
    MOVE_ATTEMPTS = "UPDATE attempt a SET intent = k.later FROM unnest($1::int8[], $2::int8[]) k (n, later)
        WHERE a.intent = k.n";
    NO_FROZEN = "DELETE FROM frozen WHERE intent = ANY($1::int8[])";
    INSERT_INTENTS = "INSERT INTO intent (n, id, entity, account, slot, generation, command, class, args, state, attempts, due,
        created, epoch, sent_digest)
        SELECT k.*, 0, '' FROM unnest($1::int8[], $2::bytea[], $3::int8[], $4::text[], $5::text[], $6::int8[], $7::text[],
            $8::int2[], $9::text[], $10::int2[], $11::int8[], $12::int8[], $13::int8[]) k";
    CHANGE_INTENTS = "UPDATE intent i SET account = k.account, command = k.command, class = k.class, args = k.args,
        state = k.state, due = k.due
        FROM unnest($1::int8[], $2::text[], $3::text[], $4::int2[], $5::text[], $6::int2[], $7::int8[])
            k (n, account, command, class, args, state, due) WHERE i.n = k.n";
    NO_ATTEMPTS = "DELETE FROM attempt WHERE intent = ANY($1::int8[])";
    NO_INTENTS = "DELETE FROM intent WHERE n = ANY($1::int8[])";
    NO_NAMES = "DELETE FROM ref r USING unnest($1::text[], $2::int8[]) k (id, entity)
        WHERE r.id = k.id AND r.kind = 'our' AND r.entity = k.entity";
    WITHDRAW = "UPDATE intent SET state = 7 WHERE n = ANY($1::int8[])";
    SET_TIMERS = "INSERT INTO timer AS t (entity, kind, generation, due)
        SELECT * FROM unnest($1::text[], $2::text[], $3::int8[], $4::int8[])
        ON CONFLICT (entity, kind) DO UPDATE SET generation = excluded.generation, due = excluded.due
        WHERE excluded.generation > t.generation OR (excluded.generation = t.generation AND t.due IS NOT NULL)";
    FORGET_REFS = "DELETE FROM waiting_ref r USING waiting w WHERE r.waiting = w.n
        AND w.message = ANY($1::int8[]) AND NOT w.fact = ANY($2::bytea[])";
    FORGET = "DELETE FROM waiting w WHERE w.message = ANY($1::int8[]) AND NOT w.fact = ANY($2::bytea[])";
    SET_STATES = "UPDATE message m SET state = k.state, attempts = m.attempts + 1,
        generation = coalesce(nullif(k.generation, ''), m.generation)
        FROM unnest($1::int8[], $2::int2[], $3::text[]) k (id, state, generation) WHERE m.id = k.id";
    DROP_BODIES = "DELETE FROM body WHERE message = ANY($1::int8[])";
}

rows!(Waits { fact: Vec<u8>, account: String, kind: String, message: i64, deadline: i64, data: Vec<u8> });
rows!(WaitsFor { scope: String, kind: String, id: String, fact: Vec<u8> });
rows!(Entities {
    num: i64, id: String, kind: i16, client: String, account: String, label: String, phase: String,
    placed: Option<i64>, sort: i64, changed: i64, words: String, state: Vec<u8>,
});
rows!(Data { of: i64, data: Vec<u8> });
rows!(Reservations { entity: i64, holder: String, data: Vec<u8> });
rows!(Given { entity: i64, holder: String });
rows!(Words { word: String, entity: i64 });
rows!(Pairs { one: i64, other: i64 });
rows!(Links { scope: String, kind: String, id: String, entity: i64 });
rows!(NewIntents {
    n: i64, id: Vec<u8>, entity: i64, account: String, slot: String, generation: i64, command: String, class: i16,
    args: String, state: i16, attempts: i64, due: i64, created: i64,
});
rows!(Changed { n: i64, account: String, command: String, class: i16, args: String, state: i16, due: i64 });
rows!(Timers { entity: String, kind: String, generation: i64, due: i64 });
rows!(States { id: i64, state: i16, generation: String });

#[derive(Default)]
struct Facts {
    n: Vec<i64>,
    entity: Vec<i64>,
    id: Vec<Vec<u8>>,
    kind: Vec<String>,
    message: Vec<i64>,
    data: Vec<Vec<u8>>,
}

/// A name that has got an owner.
pub(super) struct Linked {
    pub(super) name: ExternalRef,
    pub(super) owner: EntityId,
    pub(super) at: Timestamp,
    /// By which of the units.
    pub(super) unit: usize,
}

/// Levels of stock that were told long ago.
#[derive(Default)]
struct Forgotten {
    n: Vec<i64>,
    name: Vec<String>,
    entity: Vec<i64>,
}

/// What units write, by table.
#[derive(Default)]
pub(super) struct Written {
    pub(super) linked: Vec<Linked>,
    units: usize,
    waits: BTreeMap<FactId, (String, String, i64, i64, Vec<u8>)>,
    waits_for: WaitsFor,
    new: Entities,
    old: Entities,
    reservations: Reservations,
    given: Given,
    personal: Data,
    first_personal: Data,
    no_personal: Vec<i64>,
    add_words: Words,
    first_words: Words,
    drop_words: Words,
    superseded: Vec<i64>,
    facts: Facts,
    renewed: Facts,
    no_personal_facts: Vec<i64>,
    personal_facts: Data,
    touched: Pairs,
    links: Links,
    revived: Pairs,
    intents: NewIntents,
    changed: Changed,
    withdrawn: Vec<i64>,
    forgotten: Forgotten,
    timers: BTreeMap<(String, String), (i64, i64)>,
    planned: Planned,
    raised: Raised,
    resolved: Resolved,
    /// Messages that were mapped anew.
    anew: Vec<i64>,
    events: Vec<Event>,
    states: States,
    bodies: Vec<i64>,
}

impl Written {
    /// Adds what a unit writes that is not refused. Gives what becomes due.
    pub(super) fn gather(&mut self, tx: &Tx, unit: &Unit, known: &mut Known) -> Result<Due, Fault> {
        let mut due = Due::default();
        let number = self.units;
        for waiting in &unit.waiting {
            let fact = &waiting.fact;
            let row = (
                clean(&fact.account.0),
                fact.body.kind().0.to_owned(),
                fact.message.0,
                nanos(waiting.deadline),
                pack_json(fact)?,
            );
            self.waits.insert(fact.id, row);
            for name in &waiting.refs {
                self.waits_for.scope.push(key(&name.scope));
                self.waits_for.kind.push(key(&name.kind));
                self.waits_for.id.push(key(&name.id));
                self.waits_for.fact.push(fact.id.0.to_vec());
            }
        }
        let raw: Vec<MessageId> = unit
            .messages
            .iter()
            .map(|(id, _)| *id)
            .filter(|id| known.messages.get(&id.0).is_some_and(|standing| standing.origin != Origin::Fact))
            .collect();
        let mut erased: Vec<&EntityWrite> = Vec::new();
        for write in in_order(unit) {
            if self.write(tx, unit, write, &raw, known, &mut due)? {
                erased.push(write);
            }
        }
        for link in self.linked.iter_mut().filter(|link| link.unit == usize::MAX) {
            link.unit = number;
        }
        for id in &unit.resolve_messages {
            // Nothing stands about a message that is worked on for the first time.
            if known.messages.get(&id.0).is_none_or(|standing| standing.again) {
                self.resolved.message(*id, &unit.exceptions, unit.at, &unit.by);
            }
        }
        for cause in &unit.resolve_causes {
            self.resolved.cause(cause, unit.at, &unit.by);
        }
        for exception in &unit.exceptions {
            self.raised.add(Source::Unit, exception.clone());
        }
        due.shards.extend(unit.mail.iter().map(|message| message.shard));
        for (id, state) in &unit.messages {
            self.states.id.push(id.0);
            self.states.state.push(message_in(*state));
            self.states.generation.push(clean(&unit.generation));
            if let Some(standing) = known.messages.get(&id.0) {
                if standing.again && standing.origin != Origin::Fact {
                    self.anew.push(id.0);
                }
                standing.tally(tx, *state);
                // Facts of our own leave no body behind: the fact itself is stored.
                let erased = erased.iter().any(|write| write.heard_from(*id));
                if *state == MessageState::Done && (erased || standing.origin == Origin::Fact) {
                    self.bodies.push(id.0);
                }
            }
        }
        self.units += 1;
        Ok(due)
    }

    /// Adds an entity. Gives whether its personal data was erased, so that nothing personal is kept of it any more.
    fn write(
        &mut self,
        tx: &Tx,
        unit: &Unit,
        write: &EntityWrite,
        raw: &[MessageId],
        known: &mut Known,
        due: &mut Due,
    ) -> Result<bool, Fault> {
        let at = unit.at;
        let entity = key(&write.id.0);
        let erased = known.entities.get(&entity).is_some_and(|stored| stored.erased);
        let num = self.row(at, write, &entity, known)?;
        let first = write.expected == 0;
        if erased || write.personal.is_null() {
            if !first {
                self.no_personal.push(num);
            }
        } else {
            let rows = if first { &mut self.first_personal } else { &mut self.personal };
            rows.of.push(num);
            rows.data.push(pack_json(&write.personal)?);
        }
        for (order, reservation) in &write.reservations {
            if let Some(reservation) = reservation {
                self.reservations.entity.push(num);
                self.reservations.holder.push(key(&order.0));
                self.reservations.data.push(pack_json(reservation)?);
            } else {
                self.given.entity.push(num);
                self.given.holder.push(key(&order.0));
            }
        }
        self.facts(tx, num, &entity, write, erased, known)?;
        // Facts that waited for their subject come by themselves, long after their message. Those of our own are all that
        // is kept of theirs.
        let here = |id: MessageId| unit.messages.iter().any(|(known, _)| *known == id);
        let late = write.facts.iter().map(|fact| fact.message).filter(|id| id.0 > 0 && !here(*id));
        let raw = raw.iter().copied().filter(|id| write.heard_from(*id));
        for message in raw.chain(late) {
            self.touched.one.push(num);
            self.touched.other.push(message.0);
        }
        let mut names = BTreeSet::new();
        let ours: Vec<ExternalRef> = write.intents.iter().map(|intent| our_name(write, intent)).collect();
        for name in write.refs.iter().chain(&ours) {
            if !known.holders.contains_key(name) && names.insert((&name.scope, &name.kind, &name.id)) {
                self.links.scope.push(key(&name.scope));
                self.links.kind.push(key(&name.kind));
                self.links.id.push(key(&name.id));
                self.links.entity.push(num);
                self.linked.push(Linked {
                    name: name.clone(),
                    owner: write.id.clone(),
                    at,
                    unit: usize::MAX,
                });
            }
        }
        for intent in &write.intents {
            self.intent(tx, num, &entity, intent, at, known)?;
            if !intent.state.settled() && intent.due <= at && change(intent, known) != Change::Nothing {
                due.accounts.insert(intent.account.clone());
            }
        }
        if let Some(wanted) = &write.exceptions {
            self.planned.add(&write.id, wanted, (at, &unit.by), &mut self.raised);
        }
        for timer in &write.timers {
            self.timer(timer);
        }
        for (name, data) in &write.events {
            self.events.push(Event {
                ordinal: known.event_n()?,
                client: write.client.clone(),
                entity: write.id.clone(),
                version: write.expected + 1,
                name: name.clone(),
                data: data.clone(),
                at,
            });
        }
        Ok(erased)
    }

    fn row(
        &mut self,
        at: Timestamp,
        write: &EntityWrite,
        entity: &str,
        known: &mut Known,
    ) -> Result<i64, Fault> {
        let index = &write.index;
        let placed = index.placed.map(nanos);
        let (num, sort, before) = match known.entities.get(entity) {
            Some(Stored { num, sort, words, .. }) => (*num, *sort, words.clone()),
            None => (known.num()?, nanos(at), String::new()),
        };
        let rows = if write.expected == 0 { &mut self.new } else { &mut self.old };
        rows.num.push(num);
        rows.id.push(entity.to_owned());
        rows.kind.push(kind_in(write.id.kind()));
        rows.client.push(key(&write.client.0));
        rows.account.push(key(&index.account.0));
        rows.label.push(key(&index.label));
        rows.phase.push(key(&index.phase));
        rows.placed.push(placed);
        rows.sort.push(placed.unwrap_or(sort));
        rows.changed.push(nanos(at));
        rows.words.push(clean(&index.words));
        rows.state.push(pack(write.state.text()));
        let after = clean(&index.words);
        if before != after {
            let (old, new) = (words(&before), words(&after));
            let change = |rows: &mut Words, words: BTreeSet<String>| {
                rows.entity.extend(words.iter().map(|_| num));
                rows.word.extend(words);
            };
            let add = if write.expected == 0 { &mut self.first_words } else { &mut self.add_words };
            change(add, new.difference(&old).map(|word| key(word)).collect());
            change(&mut self.drop_words, old.difference(&new).map(|word| key(word)).collect());
        }
        Ok(num)
    }

    fn facts(
        &mut self,
        tx: &Tx,
        num: i64,
        entity: &str,
        write: &EntityWrite,
        erased: bool,
        known: &mut Known,
    ) -> Result<(), Fault> {
        // Number of a fact that is stored, and whether it is in force.
        let mut standing: HashMap<FactId, (i64, bool)> = HashMap::new();
        let of = |id: FactId| (entity.to_owned(), id.0);
        for id in &write.superseded {
            if let Some(stored) = known.facts.get(&of(*id)).filter(|stored| !stored.superseded)
                && standing.insert(*id, (stored.n, false)).is_none()
            {
                self.superseded.push(stored.n);
                tx.tally("fact", &stored.kind, "", -1);
            }
        }
        for fact in &write.facts {
            let stored = standing
                .get(&fact.id)
                .copied()
                .or_else(|| known.facts.get(&of(fact.id)).map(|stored| (stored.n, !stored.superseded)));
            let n = match stored {
                Some((_, true)) => continue,
                Some((n, false)) => n,
                None => known.fact_n()?,
            };
            standing.insert(fact.id, (n, true));
            self.fact(tx, num, n, stored.is_some(), fact, erased)?;
        }
        Ok(())
    }

    fn fact(
        &mut self,
        tx: &Tx,
        num: i64,
        n: i64,
        renewed: bool,
        fact: &Fact,
        erased: bool,
    ) -> Result<(), Fault> {
        let (plain, personal) = pack_fact(fact)?;
        let rows = if renewed { &mut self.renewed } else { &mut self.facts };
        rows.n.push(n);
        rows.entity.push(num);
        rows.id.push(fact.id.0.to_vec());
        rows.kind.push(fact.body.kind().0.to_owned());
        rows.message.push(fact.message.0);
        rows.data.push(plain);
        if renewed {
            self.no_personal_facts.push(n);
        }
        tx.tally("fact", fact.body.kind().0, "", 1);
        if let Some(personal) = personal.filter(|_| !erased) {
            self.personal_facts.of.push(n);
            self.personal_facts.data.push(personal);
        }
        Ok(())
    }

    fn intent(
        &mut self,
        tx: &Tx,
        num: i64,
        entity: &str,
        intent: &Intent,
        at: Timestamp,
        known: &mut Known,
    ) -> Result<(), Fault> {
        let what = change(intent, known);
        let was =
            known.intents.get(&intent.id.0).map(|stored| (stored.n, stored.state, stored.command.clone()));
        match (what, was) {
            (Change::Insert, _) => {
                if intent.class == Class::Stock {
                    // Only the newest level matters.
                    let slot = key(&intent.slot);
                    let generation = i64::from(intent.generation);
                    let older = known.older.iter().filter(|level| {
                        level.entity == entity && level.slot == slot && level.generation < generation
                    });
                    for level in older {
                        let StoredIntent { n, state, command } = &level.intent;
                        if !state.settled() {
                            if !self.withdrawn.contains(n) {
                                self.withdraw(tx, *n, *state, command);
                            }
                        } else if level.generation + i64::from(KEEP_PUSHES) < generation
                            && !self.forgotten.n.contains(n)
                        {
                            self.forgotten.n.push(*n);
                            self.forgotten.name.push(hex::encode(level.id));
                            self.forgotten.entity.push(num);
                            tx.tally("intent", command, state.word(), -1);
                        }
                    }
                }
                let n = known.intent_n()?;
                self.new_intent(num, n, intent)?;
                tx.tally("intent", &intent.command, intent.state.word(), 1);
            }
            (Change::Alter | Change::Revive, Some((n, state, command))) => {
                let n = if what == Change::Revive {
                    let later = known.intent_n()?;
                    self.revived.one.push(n);
                    self.revived.other.push(later);
                    later
                } else {
                    n
                };
                self.changed.n.push(n);
                self.changed.account.push(key(&intent.account.0));
                self.changed.command.push(clean(&intent.command));
                self.changed.class.push(class_in(intent.class));
                self.changed.args.push(text(&intent.args)?);
                self.changed.state.push(intent_in(intent.state));
                self.changed.due.push(nanos(intent.due));
                tx.tally("intent", &command, state.word(), -1);
                tx.tally("intent", &intent.command, intent.state.word(), 1);
            }
            (Change::Withdraw, Some((n, state, command))) => {
                self.withdraw(tx, n, state, &command);
                self.resolved.intent(intent.id, at, "the command is not wanted any more");
            }
            _ => {}
        }
        Ok(())
    }

    fn new_intent(&mut self, num: i64, n: i64, intent: &Intent) -> Result<(), Fault> {
        let rows = &mut self.intents;
        rows.n.push(n);
        rows.id.push(intent.id.0.to_vec());
        rows.entity.push(num);
        rows.account.push(key(&intent.account.0));
        rows.slot.push(key(&intent.slot));
        rows.generation.push(i64::from(intent.generation));
        rows.command.push(clean(&intent.command));
        rows.class.push(class_in(intent.class));
        rows.args.push(text(&intent.args)?);
        rows.state.push(intent_in(intent.state));
        rows.attempts.push(i64::from(intent.attempts));
        rows.due.push(nanos(intent.due));
        rows.created.push(nanos(intent.created));
        Ok(())
    }

    fn withdraw(&mut self, tx: &Tx, n: i64, was: IntentState, command: &str) {
        self.withdrawn.push(n);
        tx.tally("intent", command, was.word(), -1);
        tx.tally("intent", command, IntentState::Withdrawn.word(), 1);
    }

    /// The newest generation wins; of one generation the last.
    fn timer(&mut self, timer: &Timer) {
        let row = (i64::try_from(timer.generation).unwrap_or(i64::MAX), nanos(timer.due));
        let slot = self.timers.entry((key(&timer.entity.0), key(&timer.kind))).or_insert(row);
        if row.0 >= slot.0 {
            *slot = row;
        }
    }

    /// Adds the statements. Gives those whose answers must have a certain number of rows.
    pub(super) fn send(mut self, batch: &mut Batch) -> Result<Vec<(usize, usize)>, Fault> {
        let mut checks = Vec::new();
        self.resolved.send_messages(batch);
        if !self.anew.is_empty() {
            let stated: Vec<Vec<u8>> = self.waits.keys().map(|id| id.0.to_vec()).collect();
            batch.add(FORGET_REFS, values![self.anew.clone(), stated.clone()]);
            batch.add(FORGET, values![std::mem::take(&mut self.anew), stated]);
        }
        self.waits(batch);
        let (new, old, links) = (self.new.num.len(), self.old.num.len(), self.links.entity.len());
        if new > 0 {
            checks.push((batch.add(INSERT, self.new.values()), new));
        }
        if old > 0 {
            checks.push((batch.add(UPDATE, self.old.values()), old));
        }
        let mut add =
            |wanted: bool, sql: &'static str, values: Vec<Param>| wanted.then(|| batch.add(sql, values));
        add(!self.given.entity.is_empty(), NO_RESERVATIONS, self.given.values());
        add(!self.reservations.entity.is_empty(), RESERVE, self.reservations.values());
        add(!self.no_personal.is_empty(), NO_PERSONAL, values![self.no_personal]);
        add(!self.personal.of.is_empty(), SET_PERSONAL, self.personal.values());
        add(!self.first_personal.of.is_empty(), FIRST_PERSONAL, self.first_personal.values());
        add(!self.drop_words.word.is_empty(), DROP_WORDS, self.drop_words.values());
        add(!self.add_words.word.is_empty(), ADD_WORDS, self.add_words.values());
        add(!self.first_words.word.is_empty(), FIRST_WORDS, self.first_words.values());
        add(!self.superseded.is_empty(), SUPERSEDE, values![self.superseded]);
        let form = i64::from(FORM_VERSION);
        let facts = self.facts;
        add(
            !facts.n.is_empty(),
            INSERT_FACTS,
            values![facts.n, facts.entity, facts.id, facts.kind, facts.message, form, facts.data],
        );
        let facts = self.renewed;
        add(!facts.n.is_empty(), RENEW_FACTS, values![facts.n, facts.message, form, facts.data]);
        add(!self.no_personal_facts.is_empty(), NO_PERSONAL_FACTS, values![self.no_personal_facts]);
        add(!self.personal_facts.of.is_empty(), SET_PERSONAL_FACTS, self.personal_facts.values());
        add(!self.touched.one.is_empty(), TOUCH, self.touched.values());
        if let Some(answer) = add(links > 0, LINK, self.links.values()) {
            checks.push((answer, links));
        }
        let revived = !self.revived.one.is_empty();
        add(revived, MOVE_ATTEMPTS, values![self.revived.one.clone(), self.revived.other.clone()]);
        add(revived, NO_FROZEN, values![self.revived.one.clone()]);
        add(revived, REVIVE, self.revived.values());
        add(!self.withdrawn.is_empty(), WITHDRAW, values![self.withdrawn]);
        let Forgotten { n, name, entity } = self.forgotten;
        if !n.is_empty() {
            add(true, NO_ATTEMPTS, values![n.clone()]);
            add(true, NO_FROZEN, values![n.clone()]);
            add(true, NO_INTENTS, values![n]);
            add(true, NO_NAMES, values![name, entity]);
        }
        add(!self.intents.n.is_empty(), INSERT_INTENTS, self.intents.values());
        add(!self.changed.n.is_empty(), CHANGE_INTENTS, self.changed.values());
        let mut timers = Timers::default();
        for ((entity, kind), (generation, due)) in self.timers {
            timers.entity.push(entity);
            timers.kind.push(kind);
            timers.generation.push(generation);
            timers.due.push(due);
        }
        add(!timers.due.is_empty(), SET_TIMERS, timers.values());
        add(!self.states.id.is_empty(), SET_STATES, self.states.values());
        add(!self.bodies.is_empty(), DROP_BODIES, values![self.bodies]);
        events::tell(batch, &self.events)?;
        self.planned.send(batch);
        self.resolved.send(batch);
        self.raised.send(batch);
        Ok(checks)
    }

    fn waits(&mut self, batch: &mut Batch) {
        let mut waits = Waits::default();
        for (fact, (account, kind, message, deadline, data)) in std::mem::take(&mut self.waits) {
            waits.fact.push(fact.0.to_vec());
            waits.account.push(account);
            waits.kind.push(kind);
            waits.message.push(message);
            waits.deadline.push(deadline);
            waits.data.push(data);
        }
        if !waits.fact.is_empty() {
            batch.add(WAIT, waits.values());
            batch.add(WAIT_FOR, std::mem::take(&mut self.waits_for).values());
        }
    }
}

//! What is locked and read before units are decided.

use std::collections::HashMap;

use crate::canonical::{Class, EntityId, ExternalRef, IntentState};
use crate::io::store::form::intent_out;
use crate::io::store::postgres::codec::{Fault, get, id, key, small, statements, values, word};
use crate::io::store::postgres::entity::columns;
use crate::io::store::postgres::intake::Standing;
use crate::io::store::postgres::link::{Batch, Tx};
use crate::ports::Unit;

use super::our_name;

statements! {
    MESSAGES = "SELECT id, state, account, shard, origin, attempts FROM message WHERE id = ANY($1::int8[]) ORDER BY id FOR UPDATE";
    ENTITIES = "SELECT id, num, version, erased, words, sort FROM entity WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE";
    /// Names that facts are to wait for: should another transaction link one just now, this waits for its end.
    HOLD = "INSERT INTO ref (scope, kind, id) SELECT DISTINCT k.scope, k.kind, k.id
        FROM unnest($1::text[], $2::text[], $3::text[]) k (scope, kind, id) ORDER BY 1, 2, 3 ON CONFLICT DO NOTHING";
    HELD = "SELECT r.scope, r.kind, r.id FROM ref r JOIN unnest($1::text[], $2::text[], $3::text[]) k (scope, kind, id)
        ON r.scope = k.scope AND r.kind = k.kind AND r.id = k.id ORDER BY 1, 2, 3 FOR SHARE OF r";
    HOLDERS = "SELECT k.ord - 1, r.entity, e.id FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY
        k (scope, kind, id, ord)
        JOIN ref r ON r.scope = k.scope AND r.kind = k.kind AND r.id = k.id JOIN entity e ON e.num = r.entity";
    INTENTS = "SELECT id, n, state, command FROM intent WHERE id = ANY($1::bytea[]) ORDER BY id FOR UPDATE";
    OLDER = "SELECT e.id, i.slot, i.generation, i.n, i.state, i.command, i.id
        FROM unnest($1::text[], $2::text[]) k (entity, slot) JOIN entity e ON e.id = k.entity
        JOIN intent i ON i.entity = e.num AND i.slot = k.slot
        WHERE i.class = 4 AND i.state IN (0, 1, 4, 5, 7) ORDER BY i.id FOR UPDATE OF i";
    FACTS = "SELECT k.ord - 1, f.n, f.superseded, f.kind FROM unnest($1::text[], $2::bytea[]) WITH ORDINALITY
        k (entity, id, ord)
        JOIN entity e ON e.id = k.entity JOIN fact f ON f.entity = e.num AND f.id = k.id";
    NUMS = "SELECT nextval('entity_num') FROM generate_series(1, $1::int8)";
    FACT_NS = "SELECT nextval('fact_n') FROM generate_series(1, $1::int8)";
    EVENT_NS = "SELECT nextval('event_ordinal') FROM generate_series(1, $1::int8)";
    INTENT_NS = "SELECT nextval('intent_n') FROM generate_series(1, $1::int8)";
}

/// What is stored of an entity that is written.
pub(super) struct Stored {
    pub(super) num: i64,
    pub(super) version: i64,
    pub(super) erased: bool,
    pub(super) words: String,
    pub(super) sort: i64,
}

/// What is stored of an intent.
pub(super) struct StoredIntent {
    pub(super) n: i64,
    pub(super) state: IntentState,
    pub(super) command: String,
}

/// A level of stock that was intended before, and is not under way.
pub(super) struct OlderLevel {
    pub(super) entity: String,
    pub(super) slot: String,
    pub(super) generation: i64,
    pub(super) id: [u8; 16],
    pub(super) intent: StoredIntent,
}

/// What is stored of a fact.
#[derive(Clone)]
pub(super) struct StoredFact {
    pub(super) n: i64,
    pub(super) superseded: bool,
    pub(super) kind: String,
}

/// Everything that units depend on; it is locked.
#[derive(Default)]
pub(super) struct Known {
    pub(super) messages: HashMap<i64, Standing>,
    /// By key.
    pub(super) entities: HashMap<String, Stored>,
    /// Whose names are.
    pub(super) holders: HashMap<ExternalRef, EntityId>,
    pub(super) intents: HashMap<[u8; 16], StoredIntent>,
    pub(super) older: Vec<OlderLevel>,
    /// By the key of the entity and the fact's id.
    pub(super) facts: HashMap<(String, [u8; 16]), StoredFact>,
    nums: Vec<i64>,
    fact_ns: Vec<i64>,
    intent_ns: Vec<i64>,
    event_ns: Vec<i64>,
}

impl Known {
    #[expect(clippy::too_many_lines, reason = "one batch of reads, one after the other")]
    pub(super) async fn read(tx: &Tx, units: &[&Unit]) -> Result<Self, Fault> {
        let writes = || units.iter().flat_map(|unit| &unit.entities);
        let mut batch = Batch::default();
        let messages: Vec<i64> =
            units.iter().flat_map(|unit| &unit.messages).map(|(message, _)| message.0).collect();
        let messages = (!messages.is_empty()).then(|| batch.add(MESSAGES, values![messages]));
        let keys: Vec<String> = writes().map(|write| key(&write.id.0)).collect();
        let entities = (!keys.is_empty()).then(|| batch.add(ENTITIES, values![keys]));

        let waited: Vec<&ExternalRef> =
            units.iter().flat_map(|unit| &unit.waiting).flat_map(|waiting| &waiting.refs).collect();
        if !waited.is_empty() {
            for sql in [HOLD, HELD] {
                let (scopes, kinds, ids) = columns(&waited);
                batch.add(sql, values![scopes, kinds, ids]);
            }
        }
        let ours: Vec<ExternalRef> =
            writes().flat_map(|write| write.intents.iter().map(|intent| our_name(write, intent))).collect();
        let names: Vec<&ExternalRef> =
            writes().flat_map(|write| &write.refs).chain(&ours).chain(waited).collect();
        let holders = (!names.is_empty()).then(|| {
            let (scopes, kinds, ids) = columns(&names);
            batch.add(HOLDERS, values![scopes, kinds, ids])
        });

        let intents: Vec<Vec<u8>> =
            writes().flat_map(|write| &write.intents).map(|intent| intent.id.0.to_vec()).collect();
        let many = i64::try_from(intents.len()).unwrap_or(i64::MAX);
        let intents = (!intents.is_empty())
            .then(|| (batch.add(INTENTS, values![intents]), batch.add(INTENT_NS, values![many])));
        let stock: (Vec<String>, Vec<String>) = writes()
            .flat_map(|write| write.intents.iter().map(|intent| (key(&write.id.0), intent)))
            .filter(|(_, intent)| intent.class == Class::Stock)
            .map(|(entity, intent)| (entity, key(&intent.slot)))
            .unzip();
        let older = (!stock.0.is_empty()).then(|| batch.add(OLDER, values![stock.0, stock.1]));

        // Nothing is stored of an entity that is new.
        let asked: Vec<(String, [u8; 16])> = writes()
            .filter(|write| write.expected > 0)
            .flat_map(|write| {
                let ids = write.facts.iter().map(|fact| fact.id).chain(write.superseded.iter().copied());
                ids.map(|id| (key(&write.id.0), id.0))
            })
            .collect();
        let facts = (!asked.is_empty()).then(|| {
            let (entities, ids): (Vec<String>, Vec<Vec<u8>>) =
                asked.iter().map(|(entity, id)| (entity.clone(), id.to_vec())).unzip();
            batch.add(FACTS, values![entities, ids])
        });
        let count = |many: usize| i64::try_from(many).unwrap_or(i64::MAX);
        let new = count(writes().filter(|write| write.expected == 0).count());
        let nums = (new > 0).then(|| batch.add(NUMS, values![new]));
        let told = count(writes().map(|write| write.facts.len()).sum());
        let fact_ns = (told > 0).then(|| batch.add(FACT_NS, values![told]));
        let events = count(writes().map(|write| write.events.len()).sum());
        let event_ns = (events > 0).then(|| batch.add(EVENT_NS, values![events]));

        let answers = tx.send(batch).await?;
        let rows =
            |answer: Option<usize>| answer.and_then(|at| answers.get(at)).map_or(&[][..], Vec::as_slice);
        let numbers =
            |answer| rows(answer).iter().rev().map(|row| get(row, 0)).collect::<Result<Vec<i64>, Fault>>();

        let mut known = Self {
            nums: numbers(nums)?,
            fact_ns: numbers(fact_ns)?,
            event_ns: numbers(event_ns)?,
            intent_ns: numbers(intents.map(|(_, numbers)| numbers))?,
            ..Self::default()
        };
        for row in rows(messages) {
            known.messages.insert(get(row, 0)?, Standing::read(row, 1)?);
        }
        for row in rows(entities) {
            let erased: i16 = get(row, 3)?;
            let stored = Stored {
                num: get(row, 1)?,
                version: get(row, 2)?,
                erased: erased != 0,
                words: get(row, 4)?,
                sort: get(row, 5)?,
            };
            known.entities.insert(get(row, 0)?, stored);
        }
        for row in rows(holders) {
            let place: usize = small(row, 0)?;
            known.holders.insert(names[place].clone(), EntityId(get(row, 2)?));
        }
        for row in rows(intents.map(|(found, _)| found)) {
            let stored =
                StoredIntent { n: get(row, 1)?, state: word(row, 2, intent_out)?, command: get(row, 3)? };
            known.intents.insert(id(row, 0)?, stored);
        }
        for row in rows(older) {
            let intent =
                StoredIntent { n: get(row, 3)?, state: word(row, 4, intent_out)?, command: get(row, 5)? };
            known.older.push(OlderLevel {
                entity: get(row, 0)?,
                slot: get(row, 1)?,
                generation: get(row, 2)?,
                id: id(row, 6)?,
                intent,
            });
        }
        for row in rows(facts) {
            let place: usize = small(row, 0)?;
            let superseded: i16 = get(row, 2)?;
            let stored = StoredFact { n: get(row, 1)?, superseded: superseded != 0, kind: get(row, 3)? };
            known.facts.insert(asked[place].clone(), stored);
        }
        Ok(known)
    }

    /// A number for a new entity.
    pub(super) fn num(&mut self) -> Result<i64, Fault> {
        self.nums.pop().ok_or(Fault::Overtaken)
    }
    /// A number for a new fact.
    pub(super) fn fact_n(&mut self) -> Result<i64, Fault> {
        self.fact_ns.pop().ok_or(Fault::Overtaken)
    }
    /// An ordinal for an event: its entity is locked, so that of two the later has the larger.
    pub(super) fn event_n(&mut self) -> Result<i64, Fault> {
        self.event_ns.pop().ok_or(Fault::Overtaken)
    }
    /// A number for an intent: larger than that of any which is stored.
    pub(super) fn intent_n(&mut self) -> Result<i64, Fault> {
        self.intent_ns.pop().ok_or(Fault::Overtaken)
    }
}

//! Attempts that begin and end, many in one transaction: first all that they depend on is locked and read in one go, then it
//! is decided in memory what becomes of each, then what they write goes out together with the end of the transaction.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::codec::{Fault, Param, clean, get, id, rows, statements, values};
use super::connect::LeaseClock;
use super::delivery::{Row, moved, wake};
use super::exceptions::{Raised, Resolved, Source};
use super::intake;
use super::link::{Batch, Tx};
use crate::canonical::{AccountId, ClientId, IntentId, IntentState};
use crate::io::store::form::{intent_in, nanos, pack_json};
use crate::ports::{Exception, Frozen, NewMessage, Settled};

statements! {
    /// The entities first, as in every other transaction; then the intents.
    SHARE_ENTITIES = "SELECT 1 FROM entity WHERE num IN (SELECT entity FROM intent WHERE id = ANY($1::bytea[]))
        ORDER BY id FOR SHARE";
    INTENTS = "SELECT i.n, i.state, i.command, i.account, i.epoch, i.attempts, e.id, e.version, e.erased, e.client, i.id,
        EXISTS (SELECT 1 FROM frozen z WHERE z.intent = i.n AND z.request IS NOT NULL)
        FROM intent i JOIN entity e ON e.num = i.entity WHERE i.id = ANY($1::bytea[]) ORDER BY i.id FOR UPDATE OF i";
    LEASES = "SELECT account, epoch, until, (extract(epoch FROM clock_timestamp()) * 1000000000)::int8 FROM lease
        WHERE account IN (SELECT account FROM intent WHERE id = ANY($1::bytea[])) ORDER BY account FOR SHARE";
    FREEZE = "UPDATE intent i SET state = 3, epoch = k.epoch, attempts = i.attempts + 1,
        frozen_at = coalesce(i.frozen_at, k.at), sent_digest = k.digest
        FROM unnest($1::int8[], $2::int8[], $3::int8[], $4::text[]) k (n, epoch, at, digest) WHERE i.n = k.n";
    SET_FROZEN = "INSERT INTO frozen (intent, request, content) SELECT * FROM unnest($1::int8[], $2::bytea[], $3::bytea[])
        ON CONFLICT (intent) DO UPDATE SET request = excluded.request, content = excluded.content";
    REFLY = "UPDATE intent i SET state = 3, epoch = k.epoch, attempts = i.attempts + 1
        FROM unnest($1::int8[], $2::int8[]) k (n, epoch) WHERE i.n = k.n";
    ATTEMPTS = "INSERT INTO attempt (intent, number, at, note)
        SELECT k.*, 'sent, and no outcome was noted' FROM unnest($1::int8[], $2::int8[], $3::int8[]) k
        ON CONFLICT (intent, number) DO UPDATE SET at = excluded.at, note = excluded.note";
    NOTES = "UPDATE attempt a SET note = k.note FROM unnest($1::int8[], $2::int8[], $3::text[]) k (intent, number, note)
        WHERE a.intent = k.intent AND a.number = k.number";
    SETTLE = "UPDATE intent i SET state = k.state, due = k.due, error = k.error
        FROM unnest($1::int8[], $2::int2[], $3::int8[], $4::text[]) k (n, state, due, error) WHERE i.n = k.n";
    NO_REQUESTS = "DELETE FROM frozen WHERE intent = ANY($1::int8[])";
}

/// What is to be done with an attempt.
#[derive(Debug)]
pub(super) enum Step {
    /// It begins: its request is frozen.
    Freeze(Frozen),
    /// It begins again with the frozen request.
    Refly {
        /// The intent.
        intent: IntentId,
        /// Under this epoch of the account's lease.
        epoch: i64,
        /// When.
        at: Timestamp,
    },
    /// It ends.
    Settle(Box<Settled>),
}

impl Step {
    pub(super) fn intent(&self) -> IntentId {
        match self {
            Self::Freeze(frozen) => frozen.intent,
            Self::Refly { intent, .. } => *intent,
            Self::Settle(settled) => settled.intent,
        }
    }
}

/// What became of a step.
#[derive(Debug, Clone, Default)]
pub(super) struct Stepped {
    /// The attempt begins.
    pub(super) flies: bool,
    /// Shards that got work.
    pub(super) shards: BTreeSet<u16>,
}

/// An intent as it stands; it is locked.
struct Standing {
    row: Row,
    frozen: bool,
}

/// An account's lease, which stays as it is until the transaction ends.
struct Held {
    epoch: i64,
    until: i64,
    /// By the database's clock.
    present: i64,
}

/// What steps depend on.
struct Known {
    clock: LeaseClock,
    intents: HashMap<[u8; 16], Standing>,
    leases: HashMap<AccountId, Held>,
}

impl Known {
    async fn read(tx: &Tx, clock: LeaseClock, steps: &[&Step]) -> Result<Self, Fault> {
        let ids: Vec<Vec<u8>> = steps.iter().map(|step| step.intent().0.to_vec()).collect();
        let mut batch = Batch::default();
        for sql in [SHARE_ENTITIES, INTENTS, LEASES] {
            batch.add(sql, values![ids.clone()]);
        }
        let answers = tx.send(batch).await?;
        let [_, intents, leases] = &answers[..] else { return Err(Fault::Overtaken) };
        let mut known = Self { clock, intents: HashMap::new(), leases: HashMap::new() };
        for row in intents {
            let standing = Standing { row: Row::read(row)?, frozen: get(row, 11)? };
            known.intents.insert(id(row, 10)?, standing);
        }
        for row in leases {
            let held = Held { epoch: get(row, 1)?, until: get(row, 2)?, present: get(row, 3)? };
            known.leases.insert(AccountId(get(row, 0)?), held);
        }
        Ok(known)
    }

    /// Whether `epoch` still holds the account at `at`.
    fn ours(&self, account: &AccountId, epoch: i64, at: Timestamp) -> bool {
        let held = self.leases.get(account);
        held.is_some_and(|held| held.epoch == epoch && held.until > self.clock.present(held.present, at))
    }
}

rows!(Freezes { n: i64, epoch: i64, at: i64, digest: String });
rows!(Requests { n: i64, request: Vec<u8>, content: Vec<u8> });
rows!(Reflies { n: i64, epoch: i64 });
rows!(Attempts { n: i64, number: i64, at: i64 });
rows!(Notes { n: i64, number: i64, note: String });
rows!(Ends { n: i64, state: i16, due: i64, error: Option<String> });

/// What steps write, by table.
#[derive(Default)]
struct Written {
    freezes: Freezes,
    requests: Requests,
    reflies: Reflies,
    attempts: Attempts,
    notes: Notes,
    ends: Ends,
    no_requests: Vec<i64>,
    resolved: Resolved,
    raised: Raised,
    messages: Vec<NewMessage>,
}

impl Written {
    fn flies(&mut self, tx: &Tx, row: &Row, at: Timestamp) {
        self.attempts.n.push(row.n);
        self.attempts.number.push(i64::from(row.attempts) + 1);
        self.attempts.at.push(nanos(at));
        tx.tally("attempt", "", "", 1);
        moved(tx, &row.command, row.state, IntentState::InFlight);
    }

    fn freeze(&mut self, tx: &Tx, known: &Known, frozen: &Frozen) -> Result<bool, Fault> {
        let Some(Standing { row, .. }) = known.intents.get(&frozen.intent.0) else { return Ok(false) };
        if !matches!(row.state, IntentState::Pending | IntentState::Retry)
            || row.version != frozen.entity_version
            || !known.ours(&row.account, frozen.epoch, frozen.at)
        {
            return Ok(false);
        }
        self.freezes.n.push(row.n);
        self.freezes.epoch.push(frozen.epoch);
        self.freezes.at.push(nanos(frozen.at));
        self.freezes.digest.push(clean(&frozen.digest));
        self.requests.n.push(row.n);
        self.requests.request.push(pack_json(&frozen.request)?);
        self.requests.content.push(pack_json(&frozen.content)?);
        self.flies(tx, row, frozen.at);
        Ok(true)
    }

    fn refly(&mut self, tx: &Tx, known: &Known, (intent, epoch, at): (IntentId, i64, Timestamp)) -> bool {
        let Some(Standing { row, frozen }) = known.intents.get(&intent.0) else { return false };
        if !matches!(row.state, IntentState::Retry | IntentState::Unknown)
            || !frozen
            || !known.ours(&row.account, epoch, at)
        {
            return false;
        }
        self.reflies.n.push(row.n);
        self.reflies.epoch.push(epoch);
        self.flies(tx, row, at);
        true
    }

    fn settle(&mut self, tx: &Tx, known: &Known, settled: &Settled) -> Result<BTreeSet<u16>, Fault> {
        let mut shards = BTreeSet::new();
        let Some(Standing { row, .. }) = known.intents.get(&settled.intent.0) else { return Ok(shards) };
        let flying = row.state == IntentState::InFlight;
        let current = known.leases.get(&row.account).map(|held| held.epoch);
        let made = settled.is_of_attempt(row.state, row.epoch);
        let holds = current == Some(settled.epoch) && !(flying && row.epoch != settled.epoch);
        if row.state.settled() || !(holds || made) {
            return Ok(shards);
        }
        let bad = !matches!(settled.state, IntentState::Done | IntentState::Withdrawn);
        self.ends.n.push(row.n);
        self.ends.state.push(intent_in(settled.state));
        self.ends.due.push(nanos(settled.due));
        self.ends.error.push(bad.then(|| clean(&settled.note)));
        moved(tx, &row.command, row.state, settled.state);
        if flying || made {
            self.notes.n.push(row.n);
            self.notes.number.push(i64::from(row.attempts));
            self.notes.note.push(clean(&settled.note));
        }
        self.messages.extend(settled.answer.clone());
        shards.extend(settled.answer.as_ref().map(|answer| answer.shard));
        if settled.state.settled() {
            self.resolved.intent(settled.intent, settled.at, "the command came to its end");
            if row.erased {
                self.no_requests.push(row.n);
            }
            if !settled.answer_wakes() {
                let wake = wake(row, settled.intent, settled.at)?;
                shards.insert(wake.shard);
                self.messages.push(wake);
            }
        }
        if let Some(exception) = &settled.exception {
            let about = Exception {
                entity: Some(row.entity.clone()),
                intent: Some(settled.intent),
                client: exception.client.clone().or_else(|| Some(ClientId(row.client.clone()))),
                ..exception.clone()
            };
            self.raised.add(Source::Intent, about);
        }
        Ok(shards)
    }

    /// Adds the statements. They touch rows that are locked, or new ones.
    fn send(self) -> (Batch, Vec<NewMessage>) {
        let mut batch = Batch::default();
        let mut add = |rows: usize, sql: &'static str, values: Vec<Param>| {
            if rows > 0 {
                batch.add(sql, values);
            }
        };
        add(self.freezes.n.len(), FREEZE, self.freezes.values());
        add(self.requests.n.len(), SET_FROZEN, self.requests.values());
        add(self.reflies.n.len(), REFLY, self.reflies.values());
        add(self.attempts.n.len(), ATTEMPTS, self.attempts.values());
        add(self.notes.n.len(), NOTES, self.notes.values());
        add(self.ends.n.len(), SETTLE, self.ends.values());
        add(self.no_requests.len(), NO_REQUESTS, values![self.no_requests]);
        self.resolved.send(&mut batch);
        self.raised.send(&mut batch);
        (batch, self.messages)
    }
}

/// Carries out steps, no two of which concern the same intent.
pub(super) async fn carry_out(tx: &Tx, clock: LeaseClock, steps: &[&Step]) -> Result<Vec<Stepped>, Fault> {
    let known = Known::read(tx, clock, steps).await?;
    let mut written = Written::default();
    let mut out = Vec::with_capacity(steps.len());
    for step in steps {
        let mut stepped = Stepped::default();
        match step {
            Step::Freeze(frozen) => stepped.flies = written.freeze(tx, &known, frozen)?,
            Step::Refly { intent, epoch, at } => {
                stepped.flies = written.refly(tx, &known, (*intent, *epoch, *at));
            }
            Step::Settle(settled) => stepped.shards = written.settle(tx, &known, settled)?,
        }
        out.push(stepped);
    }
    let (batch, messages) = written.send();
    tx.at_last(batch);
    intake::tell(tx, &messages.iter().collect::<Vec<_>>()).await?;
    Ok(out)
}

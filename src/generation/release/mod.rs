//! What waited for a change goes on by itself, from what is stored: nothing is asked of a partner again.
//!
//! Another generation can mend messages that could not be mapped, and orders that could not go. Only those are looked at
//! that it can affect; messages are mapped in memory first, and only those that come out otherwise are put back to work.
//! All of it goes in small portions and behind what is new, so that ten thousand waiting orders hold up nothing. How far
//! it came is kept in the store: a restart goes on with it.

mod changed;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::changed::Changed;
use super::{Generations, files, history};
use crate::canonical::fact::{Due, Header};
use crate::canonical::{AccountId, Body, ClientId, EntityId, EntityKind, Exception, Fact, MessageId, Phase};
use crate::config::World;
use crate::ports::{Bus, ExceptionQuery, Hint, NewMessage, OrderQuery, Origin, Store, StoreError, shard};
use crate::process;

/// What is put back to work at once.
const PORTION: usize = 200;
/// Between two portions.
const PAUSE: Duration = Duration::from_millis(20);
/// The space and key of the generation for which all of it is done.
const RELEASED: (&str, &str) = ("config", "released");
/// Orders in other phases wait for nothing that a config could give.
const OPEN: [Phase; 9] = [
    Phase::Received,
    Phase::OnHold,
    Phase::AwaitingPayment,
    Phase::Backordered,
    Phase::Released,
    Phase::Picking,
    Phase::Packed,
    Phase::PartlyShipped,
    Phase::CancelRequested,
];

/// Releases after each change of the generation, until `stop` fires.
pub async fn run(generations: Arc<Generations>, bus: Arc<dyn Bus>, stop: CancellationToken) {
    let mut told = generations.told();
    let mut from = loop {
        match former(&generations).await {
            Ok(from) => break from,
            Err(error) => tracing::warn!(%error, "what waits for a change waits for the store"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    };
    while !stop.is_cancelled() {
        told.mark_unchanged();
        let to = generations.world();
        let name = &to.config.generation;
        if from.as_ref().is_none_or(|from| from.config.generation != *name) {
            let release = Release { generations: &generations, bus: bus.as_ref(), stop: &stop, to: &to };
            match release.all(from.as_deref()).await {
                Ok(()) if !stop.is_cancelled() => from = Some(to),
                Ok(()) => return,
                Err(error) => {
                    tracing::warn!(%error, "what waited for the change goes on when the store is back");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    continue;
                }
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            changed = told.changed() => if changed.is_err() { return },
        }
    }
}

/// The generation for which everything was released, if it can still be read.
async fn former(generations: &Generations) -> Result<Option<Arc<World>>, StoreError> {
    let store = generations.store.as_ref();
    let Some(released) = store.get(RELEASED.0, RELEASED.1).await? else { return Ok(None) };
    let name = released.as_str().unwrap_or_default();
    let present = generations.world();
    if present.config.generation == name {
        return Ok(Some(present));
    }
    let Some(sources) = history::sources(store, name).await? else { return Ok(None) };
    let config = generations.config().to_owned();
    let checked = tokio::task::spawn_blocking(move || files::check(&sources, &config).0).await;
    Ok(checked.ok().flatten().map(Arc::new))
}

struct Release<'r> {
    generations: &'r Generations,
    bus: &'r dyn Bus,
    stop: &'r CancellationToken,
    to: &'r World,
}

impl Release<'_> {
    async fn all(&self, from: Option<&World>) -> Result<(), StoreError> {
        let changed = Changed::between(from, self.to);
        let (messages, plans) = self.exceptions(&changed).await?;
        let orders = self.orders(&changed).await?;
        let count = messages + plans + orders;
        if count > 0 {
            let generation = &self.to.config.generation;
            tracing::info!(generation, messages, plans, orders, "what waited for the change goes on");
        }
        if !self.stop.is_cancelled() {
            self.store().put(RELEASED.0, RELEASED.1, json!(self.to.config.generation), None).await?;
        }
        Ok(())
    }

    fn store(&self) -> &dyn Store {
        self.generations.store.as_ref()
    }

    /// Goes through all open exceptions once, oldest last. Gives how many messages and plans go on.
    async fn exceptions(&self, changed: &Changed) -> Result<(usize, usize), StoreError> {
        let (mut messages, mut plans) = (0, 0);
        let mut query = ExceptionQuery { limit: Some(1000), ..ExceptionQuery::default() };
        let mut seen = BTreeSet::new();
        loop {
            let page = self.store().exceptions(&query).await?;
            let mut reopened: Vec<MessageId> = Vec::new();
            let mut again: Vec<i64> = Vec::new();
            for exception in &page {
                if self.stop.is_cancelled() {
                    return Ok((messages, plans));
                }
                if let Some(id) = exception.message_id {
                    if !seen.contains(&id) && self.mends(changed, exception, id).await? {
                        seen.insert(id);
                        reopened.push(id);
                    }
                } else if exception.intent.is_some() {
                    let account = exception.account.as_ref();
                    if exception.kind == "rejected" && account.is_some_and(|one| changed.tells(self.to, one))
                    {
                        again.push(exception.id);
                    }
                } else if exception.entity.is_some() {
                    if changed.plans(self.to, exception) {
                        again.push(exception.id);
                    } else if exception.cause.starts_with("unknown_word:") {
                        let known = self.words(changed, exception).await?;
                        reopened.extend(known.into_iter().filter(|id| seen.insert(*id)));
                    }
                }
                if reopened.len() >= PORTION {
                    messages += self.reopen(&mut reopened).await?;
                }
                if again.len() >= PORTION {
                    plans += self.again(&mut again).await?;
                }
            }
            messages += self.reopen(&mut reopened).await?;
            plans += self.again(&mut again).await?;
            match page.last() {
                Some(last) if page.len() == 1000 => query.before = Some(last.id),
                _ => return Ok((messages, plans)),
            }
        }
    }

    /// Whether the message would come out without this trouble now.
    async fn mends(
        &self,
        changed: &Changed,
        exception: &Exception,
        id: MessageId,
    ) -> Result<bool, StoreError> {
        let affected = exception.account.as_ref().is_none_or(|account| changed.reads(self.to, account));
        if !affected {
            return Ok(false);
        }
        let Some(message) = self.store().message(id).await? else { return Ok(false) };
        let causes = process::causes(self.to, &message, self.generations.clock.now());
        Ok(!causes.contains(&exception.cause))
    }

    /// The messages that told the order a word which nobody knew, if they may be read otherwise now.
    async fn words(&self, changed: &Changed, exception: &Exception) -> Result<Vec<MessageId>, StoreError> {
        let mut parts = exception.cause.splitn(4, ':').skip(1);
        let (Some(account), Some(word)) = (parts.next().map(AccountId::from), parts.nth(1)) else {
            return Ok(Vec::new());
        };
        let Some(entity) = exception.entity.clone().filter(|_| changed.reads(self.to, &account)) else {
            return Ok(Vec::new());
        };
        let records = self.store().load(&[entity]).await?;
        let facts = records.iter().flat_map(|record| &record.facts).filter(|fact| fact.account == account);
        let says = |fact: &&Fact| {
            serde_json::to_string(&fact.body).is_ok_and(|body| body.contains(&json!(word).to_string()))
        };
        Ok(facts.filter(says).map(|fact| fact.message).filter(|id| id.0 > 0).collect())
    }

    async fn reopen(&self, ids: &mut Vec<MessageId>) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let hints = self.store().reopen(ids).await?;
        self.hint(hints).await;
        Ok(std::mem::take(ids).len())
    }

    async fn again(&self, ids: &mut Vec<i64>) -> Result<usize, StoreError> {
        if ids.is_empty() {
            return Ok(0);
        }
        let hints = self.store().retry_exceptions(ids, self.generations.clock.now()).await?;
        self.hint(hints).await;
        Ok(std::mem::take(ids).len())
    }

    async fn hint(&self, hints: Vec<Hint>) {
        for hint in hints {
            self.bus.hint(hint).await;
        }
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(PAUSE) => {}
        }
    }

    /// Has orders and stock planned again whose flow decides otherwise now. Gives how many.
    async fn orders(&self, changed: &Changed) -> Result<usize, StoreError> {
        let mut count = 0;
        for client in &changed.clients {
            for phase in OPEN {
                let query = OrderQuery {
                    client: Some(client.0.clone()),
                    phase: Some(phase.word().to_owned()),
                    ..OrderQuery::default()
                };
                count += self.listed(query).await?;
            }
        }
        for (client, sku) in changed.skus.iter().filter(|(client, _)| !changed.clients.contains(client)) {
            let query = OrderQuery {
                client: Some(client.0.clone()),
                search: Some(sku.clone()),
                ..OrderQuery::default()
            };
            count += self.listed(query).await?;
        }
        if !changed.stock.is_empty() {
            count += self.stock(&changed.stock).await?;
        }
        Ok(count)
    }

    async fn listed(&self, query: OrderQuery) -> Result<usize, StoreError> {
        let mut query = OrderQuery { limit: Some(500), ..query };
        let mut count = 0;
        loop {
            let page = self.store().orders(&query).await?;
            let open = page.iter().filter(|row| OPEN.iter().any(|phase| phase.word() == row.phase));
            // Those with exceptions were looked at by their causes, unless the whole flow decides otherwise.
            let open = open.filter(|row| query.search.is_none() || row.exceptions == 0);
            let open: Vec<EntityId> = open.map(|row| row.id.clone()).collect();
            for portion in open.chunks(PORTION) {
                self.wake(portion).await?;
                count += portion.len();
            }
            match page.last() {
                Some(last) if page.len() == 500 && !self.stop.is_cancelled() => {
                    query.after = Some(last.cursor.clone());
                }
                _ => return Ok(count),
            }
        }
    }

    async fn stock(&self, clients: &BTreeSet<ClientId>) -> Result<usize, StoreError> {
        let mut after: Option<EntityId> = None;
        let mut count = 0;
        loop {
            let page = self.store().entities(EntityKind::Stock, after.as_ref(), PORTION).await?;
            let records = self.store().load(&page).await?;
            let theirs = records.into_iter().filter(|record| clients.contains(&record.client));
            let theirs: Vec<EntityId> = theirs.map(|record| record.id).collect();
            self.wake(&theirs).await?;
            count += theirs.len();
            match page.last() {
                Some(last) if page.len() == PORTION && !self.stop.is_cancelled() => {
                    after = Some(last.clone());
                }
                _ => return Ok(count),
            }
        }
    }

    /// Has entities planned again, behind what is new.
    async fn wake(&self, entities: &[EntityId]) -> Result<(), StoreError> {
        if entities.is_empty() {
            return Ok(());
        }
        let now = self.generations.clock.now();
        let generation = u64::try_from(now.as_millisecond()).unwrap_or_default();
        let mut messages = Vec::with_capacity(entities.len());
        for entity in entities {
            let header = Header { our: Some(entity.0.clone()), ..Header::default() };
            let body = Body::Due(Due { timer: "replan".to_owned(), generation });
            let fact = Fact::ours(header, body, now, MessageId(0));
            let account = fact.account.clone();
            let body = serde_json::to_vec(&fact).map_err(|error| StoreError::Corrupt(error.to_string()))?;
            messages.push(NewMessage {
                shard: shard(&account, entity.as_str()),
                account,
                origin: Origin::Fact,
                topic: fact.rule,
                mapping: String::new(),
                event_id: None,
                headers: Vec::new(),
                body: Bytes::from(body),
                received: now,
                priority: 2,
                context: Some(entity.0.clone()),
            });
        }
        let shards: BTreeSet<u16> = messages.iter().map(|message| message.shard).collect();
        self.store().accept(messages, None).await?;
        self.hint(shards.into_iter().map(|shard| Hint::Inbound { shard }).collect()).await;
        Ok(())
    }
}

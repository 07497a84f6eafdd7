//! One intent on its way: encode, freeze, send, settle.
//!
//! The request's bytes are in the store before they leave, and go out again unchanged as often as need be. Credentials
//! are added when they leave and are never stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use tracing::{Instrument as _, debug, info, info_span, warn};

use super::action::{Action, Ending, ending, find_of, is_doubtful, refused, stuck, unanswered};
use super::call::{Call, NoItems, Said, Unsent};
use super::find::{Found, mapping_of};
use super::limiter::{Share, Taken};
use super::shared::{Shared, View, lock};
use super::status::word;
use crate::canonical::{EntityKind, Exception, Intent, IntentState, Order, Stock};
use crate::config::model::Flow;
use crate::connector::classify::{Outcome, Verdict};
use crate::connector::manifest::{Command, ErrorClass, Find, Once};
use crate::connector::quirks;
use crate::connector::request::{self, Fill};
use crate::map::{Context, RecordError, SyntaxKind};
use crate::plan::{self, NoContent};
use crate::ports::{DueIntent, EntityRecord, Frozen, HttpRequest, StoreError};
use crate::retry::later;

/// A thing that cannot be said now is tried again after this: a list may have been mended, a flow gone live.
pub(super) const PUT_OFF: Duration = Duration::from_mins(2);
/// After a moment's trouble (the store, the lease) it goes again after this.
pub(super) const SOON: Duration = Duration::from_secs(1);
/// How often the content is made anew when its order moves on meanwhile.
const RACES: usize = 4;
/// Pages of a read that a command needs.
const NEEDS_PAGES: usize = 10;

/// How far a delivery has come, for the case that it breaks down.
#[derive(Debug, Default)]
pub(super) struct Stage(AtomicU8);

impl Stage {
    pub(super) const FROZEN: u8 = 1;
    pub(super) const SENT: u8 = 2;

    pub(super) fn reached(&self) -> u8 {
        self.0.load(Ordering::Relaxed)
    }

    fn reach(&self, stage: u8) {
        self.0.fetch_max(stage, Ordering::Relaxed);
    }
}

/// One intent on its way.
pub(super) struct Delivery {
    pub(super) shared: Arc<Shared>,
    pub(super) view: View,
    pub(super) due: DueIntent,
    pub(super) action: Action,
    /// What was taken from the limits, a part for each operation, in their order.
    pub(super) taken: Vec<Taken>,
    pub(super) epoch: i64,
    pub(super) stage: Arc<Stage>,
}

/// Why the request of an intent cannot be made now.
pub(super) enum Held {
    /// It is gone: withdrawn, settled, or another's.
    Gone,
    /// Its order moves on faster than it is sent: look again.
    Race,
    /// Withdraw it.
    Unwanted(String),
    /// Put it off until then.
    Off(Timestamp, String, Option<Box<Exception>>),
}

/// A frozen request, ready to be sent.
struct Ready {
    request: HttpRequest,
    source: Value,
}

impl Delivery {
    /// Does it. Gives the instant at which the lane should look at this entity again.
    pub(super) async fn run(mut self) -> Option<Timestamp> {
        let intent = &self.due.intent;
        let span = info_span!(
            "delivery", account = %self.shared.account, intent = %intent.id, entity = %intent.entity,
            command = %intent.command, attempt = intent.attempts + 1
        );
        async move {
            let next = self.go().await;
            self.give_back_rest();
            next
        }
        .instrument(span)
        .await
    }

    async fn go(&mut self) -> Option<Timestamp> {
        let connector = Arc::clone(&self.view.connector);
        let Some(command) = connector.manifest.commands.get(&self.due.intent.command) else {
            let message = format!(
                "the connector `{}` has no command `{}`",
                connector.manifest.name, self.due.intent.command
            );
            return self.put_off(self.trouble("no_command", message, None)).await;
        };
        match self.action {
            Action::GiveUp => {
                let note = "the outcome cannot be found out";
                self.end(command, stuck(self.shared.now()), None, note).await
            }
            Action::LookUp => {
                let ready = match self.frozen_before().await {
                    Ok(ready) => ready,
                    Err(next) => return next,
                };
                let find = find_of(&command.once)?;
                self.look_up(command, find, &ready.source).await
            }
            Action::Repeat { look_up } => {
                let ready = match self.frozen_before().await {
                    Ok(ready) => ready,
                    Err(next) => return next,
                };
                self.look_and_send(command, ready, look_up).await
            }
            Action::Send { look_up } => {
                let first = usize::from(look_up && find_of(&command.once).is_some());
                match self.freeze(command, first).await {
                    Ok(ready) => self.look_and_send(command, ready, look_up).await,
                    Err(Held::Gone) => None,
                    Err(Held::Race) => Some(later(self.shared.now(), SOON)),
                    Err(Held::Unwanted(why)) => self.withdraw(&why).await,
                    Err(Held::Off(due, note, exception)) => self.put_off((due, note, exception)).await,
                }
            }
        }
    }

    // ------------------------------------------------------------------------------------------------ before sending

    /// The request frozen by an earlier attempt, in flight again.
    async fn frozen_before(&mut self) -> Result<Ready, Option<Timestamp>> {
        let now = self.shared.now();
        let again = Some(later(now, SOON));
        match self.shared.deps.store.refly(self.due.intent.id, self.epoch, now).await {
            Ok(true) => self.stage.reach(Stage::FROZEN),
            Ok(false) => return Err(again),
            Err(error) => {
                // It may be in flight now, and surely nothing was sent.
                let due = later(now, SOON);
                self.settle_unsent(&format!("the store does not answer: {error}"), due).await;
                return Err(again);
            }
        }
        let frozen = self.due.frozen.as_ref().and_then(|frozen| frozen.get("request")).cloned();
        let request = frozen.and_then(|request| serde_json::from_value::<HttpRequest>(request).ok());
        let Some(request) = request else {
            warn!("the frozen request cannot be read");
            let ending = stuck(now);
            let note = "the frozen request cannot be read";
            self.settle(ending, note, None, Some(self.outcome_unknown(note))).await;
            return Err(None);
        };
        Ok(Ready { request, source: self.due.intent.sent_content.clone().unwrap_or(Value::Null) })
    }

    /// Makes the request from the entity as it is now, and freezes it.
    async fn freeze(&mut self, command: &Command, first_need: usize) -> Result<Ready, Held> {
        for _ in 0..RACES {
            let record = self.record().await?;
            let known = record.intents.iter().find(|known| known.id == self.due.intent.id);
            let intent = known.ok_or(Held::Gone)?.clone();
            if !matches!(intent.state, IntentState::Pending | IntentState::Retry) {
                return Err(Held::Gone);
            }
            let world = Arc::clone(&self.view.world);
            let Some(flow) = world.config.flow_of(&record.client) else {
                let message = format!("the client `{}` has no flow in config.toml", record.client);
                return Err(self.held("no_flow", message, None));
            };
            if !flow.live {
                let due = later(self.shared.now(), PUT_OFF);
                let note = format!("the flow `{}` is not live: this would be sent", flow.name);
                return Err(Held::Off(due, note, None));
            }
            let content = content_of(&intent, &record, flow)
                .map_err(|error| self.held("fault", format!("its entity cannot be read: {error}"), None))?
                .map_err(|no| self.no_content(no))?;
            let needs = self.needs(command, &content, first_need).await?;
            let (request, source) = self.encode(command, &record, &content, &needs)?;
            // What is frozen under a lease that ends before it is sent would count as sent by the next owner.
            if self.shared.cover(&self.view, self.epoch).await.is_err() {
                return Err(Held::Race);
            }
            let now = self.shared.now();
            let frozen = Frozen {
                intent: intent.id,
                entity_version: record.version,
                epoch: self.epoch,
                request: json!({ "request": request, "needs": needs }),
                digest: digest_of(&content),
                content,
                at: now,
            };
            match self.shared.deps.store.freeze(frozen).await {
                Ok(true) => {
                    self.stage.reach(Stage::FROZEN);
                    self.due.intent = intent;
                    self.due.frozen_at.get_or_insert(now);
                    return Ok(Ready { request, source });
                }
                Ok(false) => debug!("the order moved on; making the request anew"),
                Err(error) => {
                    // It may be frozen now, and surely nothing was sent.
                    let due = later(now, SOON);
                    self.settle_unsent(&format!("the store does not answer: {error}"), due).await;
                    return Err(Held::Race);
                }
            }
        }
        Err(Held::Race)
    }

    async fn record(&self) -> Result<EntityRecord, Held> {
        match self.shared.deps.store.load_state(&self.due.intent.entity).await {
            Ok(record) => record.filter(|record| record.version > 0).ok_or(Held::Gone),
            Err(StoreError::Corrupt(message)) => {
                Err(self.held("fault", format!("the order cannot be read: {message}"), None))
            }
            Err(_) => Err(Held::Race),
        }
    }

    fn no_content(&self, no: NoContent) -> Held {
        match no {
            NoContent::Unwanted(why) => Held::Unwanted(why),
            NoContent::Trouble(exception) => {
                let note = exception.message.clone();
                let intent = Some(self.due.intent.id);
                let exception = Exception { intent, ..*exception };
                Held::Off(later(self.shared.now(), PUT_OFF), note, Some(Box::new(exception)))
            }
        }
    }

    /// What the command must know before it can be said.
    async fn needs(
        &mut self,
        command: &Command,
        content: &Value,
        first: usize,
    ) -> Result<Map<String, Value>, Held> {
        let mut needs = Map::new();
        let fill = Fill::of(&self.view.account).about(content.clone());
        let view = self.view.clone();
        for (key, name) in &command.needs {
            let Some(read) = view.manifest().reads.get(name) else {
                return Err(self.held("no_command", format!("the connector has no [read.{name}]"), None));
            };
            let taken = if self.taken.len() > first + 1 {
                self.taken.remove(first)
            } else {
                lock(&self.shared.limiter).force(&format!("read.{name}"), Share::Ordinary, self.shared.now())
            };
            let entity = self.due.intent.entity.clone();
            let items = self
                .shared
                .items(&view, self.epoch, read, &fill, (entity.as_str(), taken, NEEDS_PAGES))
                .await;
            match items {
                Ok((items, _)) => {
                    let items = items.iter().filter_map(|item| serde_json::from_slice(item).ok()).collect();
                    needs.insert(key.clone(), Value::Array(items));
                }
                Err(NoItems::Verdict(verdict)) => return Err(self.need_failed(name, &verdict)),
                Err(NoItems::Unsent(Unsent::Request(message))) => {
                    return Err(self.held(
                        "encode",
                        format!("[read.{name}] cannot be asked: {message}"),
                        None,
                    ));
                }
                Err(NoItems::Unsent(unsent)) => {
                    return Err(Held::Off(later(self.shared.now(), SOON), unsent.to_string(), None));
                }
            }
        }
        Ok(needs)
    }

    fn need_failed(&self, name: &str, verdict: &Verdict) -> Held {
        let message = format!("[read.{name}], which must come first, failed: {}", verdict.message);
        let refused = verdict.class == Outcome::Failed(ErrorClass::Rejected);
        if refused {
            return self.held("rejected", message, None);
        }
        let tried = self.tried(&Once::Repeatable);
        let ending = unanswered(&tried, verdict);
        Held::Off(ending.due.max(later(tried.now, SOON)), message, None)
    }

    fn encode(
        &self,
        command: &Command,
        record: &EntityRecord,
        content: &Value,
        needs: &Map<String, Value>,
    ) -> Result<(HttpRequest, Value), Held> {
        let mut source = content.clone();
        if let Value::Object(fields) = &mut source {
            if !needs.is_empty() {
                fields.insert("needs".to_owned(), Value::Object(needs.clone()));
            }
            fields.insert("setting".to_owned(), json!(self.view.account.settings));
        }
        if let Some(quirk) = &command.quirk {
            quirks::prepare(quirk, &mut source, needs)
                .map_err(|message| self.held("encode", message, None))?;
        }
        let mut written = None;
        let out = match &command.out {
            None => None,
            Some(name) => {
                let connector = &self.view.account.connector;
                let mapping = self.view.world.registry.outbound_for(
                    connector,
                    name,
                    Some(&record.client),
                    &self.shared.account,
                );
                let Some(mapping) = mapping else {
                    let message = format!("the mapping mappings/{connector}/{name}.out.toml is not loaded");
                    return Err(self.held("no_mapping", message, Some("see `crossdock check`".to_owned())));
                };
                let ctx = Context {
                    zone: self.view.account.zone.clone(),
                    currency: self.view.account.currency.clone(),
                    exponents: self.view.manifest().exponents.clone(),
                    ..Context::default()
                };
                let off = |error: RecordError| {
                    let mut held = self.trouble(&error.kind, error.message, error.help);
                    if let Some(exception) = &mut held.2 {
                        exception.cause = error.cause;
                    }
                    Held::Off(held.0, held.1, held.2)
                };
                let kind = mapping.syntax().kind;
                if kind == SyntaxKind::Json {
                    Some(mapping.encode_with(&source, &ctx).map_err(off)?)
                } else {
                    written = Some((kind.content_type(), mapping.bytes(&source, &ctx).map_err(off)?));
                    None
                }
            }
        };
        let id = self.due.intent.id.to_string();
        let fill = Fill::of(&self.view.account)
            .with("key", id.clone())
            .with("ref", record.id.as_str())
            .about(source.clone());
        let prepared = request::build(self.view.manifest(), &command.request, out, &fill)
            .map_err(|error| self.held("encode", error.to_string(), None))?;
        let mut request = prepared.request;
        if let Some((content_type, body)) = written {
            request.body = body.into();
            // A content type that the manifest names stays; the one for JSON was only assumed.
            let named = command.request.headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"));
            if !named {
                request.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("content-type"));
                request.headers.push(("Content-Type".to_owned(), content_type.to_owned()));
            }
        }
        if let Once::Key { header, .. } = &command.once {
            let name = header.fill(&|name| fill.value(name)).map_err(|error| {
                self.held("encode", format!("the header of the key cannot be named: {error}"), None)
            })?;
            request.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            // What was refused under a key and is sent again with other bytes needs another key: under the old one the
            // partner would repeat its refusal.
            let key = match self.due.intent.attempts {
                0 => id,
                before => format!("{id}-{before}"),
            };
            request.headers.push((name, key));
        }
        Ok((request, source))
    }

    // -------------------------------------------------------------------------------------------------------- sending

    async fn look_and_send(&mut self, command: &Command, ready: Ready, look_up: bool) -> Option<Timestamp> {
        if let Some(find) = find_of(&command.once).filter(|_| look_up) {
            match self.found(find, &ready.source, &command.name).await {
                Found::Here(item) => return self.it_exists(command, find, item).await,
                // Nothing was sent in this life of the store, or surely nothing came of it: go on.
                Found::Missing { .. } => {}
                Found::Unanswered(verdict) => return self.not_known(command, &verdict).await,
                Found::Unsent(unsent) => return self.not_sent(&unsent).await,
            }
        }
        let operation = command.name.clone();
        let taken = self.taken.pop().unwrap_or_else(|| {
            lock(&self.shared.limiter).force(&operation, Share::Ordinary, self.shared.now())
        });
        let fill = Fill::of(&self.view.account);
        let entity = self.due.intent.entity.clone();
        let call = Call {
            operation: &operation,
            subject: entity.as_str(),
            request: ready.request,
            ok: &command.ok,
            fill: &fill,
        };
        self.stage.reach(Stage::SENT);
        let view = self.view.clone();
        match self.shared.call(&view, self.epoch, call, taken).await {
            Ok(said) => self.answered(command, &ready.source, said).await,
            Err(unsent) => self.not_sent(&unsent).await,
        }
    }

    async fn answered(&mut self, command: &Command, source: &Value, said: Said) -> Option<Timestamp> {
        let Said { verdict, response } = said;
        if verdict.class == Outcome::Failed(ErrorClass::Duplicate)
            && let Some(find) = find_of(&command.once)
            && let Found::Here(item) = self.found(find, source, &command.name).await
        {
            // Done before: what is there says more than the complaint about it.
            return self.it_exists(command, find, item).await;
        }
        if let Some(find) = find_of(&command.once)
            && is_doubtful(&self.tried(&command.once), &verdict)
        {
            return self.doubted(command, find, source, &verdict).await;
        }
        let ending = ending(&self.tried(&command.once), &verdict);
        let answer = (verdict.class == Outcome::Done)
            .then(|| response.map(|response| response.body))
            .flatten()
            .zip(command.answer.as_ref())
            .map(|(body, mapping)| self.message(&command.name, mapping, body));
        self.end(command, ending, answer, &format!("{}: {}", word(&verdict), verdict.message)).await
    }

    // ----------------------------------------------------------------------------------------------------- looking up

    async fn found(&mut self, find: &Find, source: &Value, command: &str) -> Found {
        let read = format!("read.{}", find.read);
        // The first of what was taken is the look-up's, if it was foreseen; the last is the command's.
        let foreseen = self.action == Action::LookUp || self.taken.len() > 1;
        let taken = if foreseen && !self.taken.is_empty() {
            self.taken.remove(0)
        } else {
            lock(&self.shared.limiter).force(&read, Share::Ordinary, self.shared.now())
        };
        let entity = self.due.intent.entity.clone();
        let view = self.view.clone();
        let found = self.shared.find(&view, self.epoch, find, source, (entity.as_str(), taken)).await;
        match &found {
            Found::Here(_) => info!(command, "looked up: it was done before"),
            Found::Missing { surely } => info!(command, surely, "looked up: it is not there"),
            Found::Unanswered(verdict) => warn!(command, outcome = word(verdict), "the look-up failed"),
            Found::Unsent(unsent) => debug!(command, %unsent, "the look-up was not made"),
        }
        found
    }

    async fn look_up(&mut self, command: &Command, find: &Find, source: &Value) -> Option<Timestamp> {
        match self.found(find, source, &command.name).await {
            Found::Here(item) => self.it_exists(command, find, item).await,
            Found::Missing { surely: true } => {
                let ending = Ending { state: IntentState::Retry, due: self.shared.now(), trouble: None };
                self.end(command, ending, None, "looked up: not there; goes again").await
            }
            Found::Missing { surely: false } => {
                let note = "looked up: not seen, but the look-up does not see everything";
                self.end(command, stuck(self.shared.now()), None, note).await
            }
            Found::Unanswered(verdict) => self.not_known(command, &verdict).await,
            Found::Unsent(unsent) => self.not_sent(&unsent).await,
        }
    }

    /// It was refused, and an earlier attempt may be why.
    async fn doubted(
        &mut self,
        command: &Command,
        find: &Find,
        source: &Value,
        verdict: &Verdict,
    ) -> Option<Timestamp> {
        match self.found(find, source, &command.name).await {
            Found::Here(item) => self.it_exists(command, find, item).await,
            Found::Missing { surely } => {
                let ending = refused(&self.tried(&command.once), verdict, surely);
                let note = format!("{}: {}; looked up: not there", word(verdict), verdict.message);
                self.end(command, ending, None, &note).await
            }
            Found::Unanswered(verdict) => self.not_known(command, &verdict).await,
            Found::Unsent(unsent) => self.not_sent(&unsent).await,
        }
    }

    async fn it_exists(&mut self, command: &Command, find: &Find, item: Bytes) -> Option<Timestamp> {
        let read = self.view.manifest().reads.get(&find.read);
        let mapping = mapping_of(read, command.answer.as_ref()).cloned();
        let answer = mapping.map(|mapping| self.message(&command.name, &mapping, item));
        let ending = Ending { state: IntentState::Done, due: self.shared.now(), trouble: None };
        self.end(command, ending, answer, "looked up: it was done").await
    }

    async fn not_known(&mut self, command: &Command, verdict: &Verdict) -> Option<Timestamp> {
        let ending = unanswered(&self.tried(&command.once), verdict);
        let note = format!("the look-up failed: {}: {}", word(verdict), verdict.message);
        self.end(command, ending, None, &note).await
    }
}

/// What the intent says, made from its entity as it is now. The outer error: the entity cannot be read.
fn content_of(
    intent: &Intent,
    record: &EntityRecord,
    flow: &Flow,
) -> Result<Result<Value, NoContent>, serde_json::Error> {
    Ok(match intent.entity.kind() {
        EntityKind::Order => plan::content(intent, &record.state.read::<Order>()?, flow),
        EntityKind::Stock => plan::stock_content(intent, &record.state.read::<Stock>()?, flow),
    })
}

/// Digest of a content document: the same content has the same one.
#[must_use]
pub fn digest_of(content: &Value) -> String {
    hex::encode(&crate::canonical::ids::digest(&[&content.to_string()])[..16])
}

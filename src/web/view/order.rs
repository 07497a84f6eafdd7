//! One order with its timeline across all systems.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::canonical::fact::OURS;
use crate::canonical::{
    AccountId, Body, EntityId, EntityKind, Fact, Intent, IntentId, IntentState, MessageId, Order, When,
};
use crate::config::model::{Config, Flow};
use crate::ports::{Attempt, EntityRecord, Exception, Store};
use crate::web::error::ApiError;
use crate::web::say;

/// An order, what every system said of it, and what we did about it.
#[derive(Debug, Serialize)]
pub struct OrderView {
    /// The version of the state: grows with each change.
    pub version: i64,
    /// False while the client's flow only shows what it would do.
    pub live: bool,
    /// The state: a projection of the facts.
    pub state: Order,
    /// Facts, commands, attempts and exceptions in the order in which they happened.
    pub timeline: Vec<Entry>,
    /// Commands with their attempts.
    pub intents: Vec<Command>,
    /// Exceptions that are open on it.
    pub exceptions: Vec<Exception>,
}

/// What kind of thing stands in the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// A system or a person said something.
    Fact,
    /// We meant something to be done.
    Intent,
    /// We tried.
    Attempt,
    /// Something that a person must see.
    Exception,
}

/// One line of the timeline.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// What it is.
    pub kind: EntryKind,
    /// Its place in time: when it happened there, or when we heard or did it.
    pub at: Timestamp,
    /// When it happened, as the partner told it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub happened: Option<When>,
    /// When we heard it (facts) or did it.
    pub heard: Timestamp,
    /// Who said it, or whom we told.
    pub account: AccountId,
    /// The account's connector; empty when the config no longer knows the account.
    pub connector: String,
    /// The account's part in the flow: `store`, `warehouse`, `carrier`, `gateway`, `ours` or `other`.
    pub part: &'static str,
    /// Headline.
    pub title: String,
    /// What stands beside it.
    pub text: String,
    /// Its own name on the page.
    #[serde(skip)]
    pub key: String,
    /// The word that colours it: a state, or empty.
    #[serde(skip)]
    pub word: &'static str,
    /// The raw message behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<MessageId>,
    /// Where to read that message.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_url: Option<String>,
    /// The command concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<IntentId>,
    /// The fact, whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fact: Option<Fact>,
}

/// A command with its attempts.
#[derive(Debug, Serialize)]
pub struct Command {
    /// What it means to do, in words.
    pub title: String,
    /// The account's part in the flow.
    #[serde(skip)]
    pub part: &'static str,
    /// The command as stored.
    #[serde(flatten)]
    pub intent: Intent,
    /// Each attempt.
    pub history: Vec<Attempt>,
}

impl Command {
    /// Whether nobody knows whether it was done: a person decides.
    pub fn stuck(&self) -> bool {
        self.intent.state == IntentState::Stuck
    }
    /// Whether the partner refuses it.
    pub fn rejected(&self) -> bool {
        self.intent.state == IntentState::Rejected
    }
}

/// The ids of the orders that go by `name`: an id, a number or any reference.
///
/// # Errors
/// When the store cannot be read.
pub async fn find(store: &dyn Store, name: &str) -> Result<Vec<EntityId>, ApiError> {
    if name.starts_with("ord_") {
        return Ok(vec![EntityId::from(name)]);
    }
    let found = store.find_order(name).await?;
    if found.is_empty() && !name.starts_with('#') {
        return Ok(store.find_order(&format!("#{name}")).await?);
    }
    Ok(found)
}

/// The record of the one order that goes by `name`.
///
/// # Errors
/// When there is none, or more than one.
pub async fn record(store: &dyn Store, name: &str) -> Result<EntityRecord, ApiError> {
    let ids = find(store, name).await?;
    let none = || {
        ApiError::missing(format!("there is no order `{name}`"))
            .help("ask by our id (`ord_…`), the store's number or any reference; `GET /api/v1/orders?search=` looks for words")
    };
    if ids.len() > 1 {
        let list: Vec<&str> = ids.iter().map(EntityId::as_str).collect();
        return Err(ApiError::conflict(format!("{} orders are called `{name}`", ids.len()))
            .help(format!("ask by id: {}", list.join(", "))));
    }
    let id = ids.first().ok_or_else(none)?;
    let record = store.load(std::slice::from_ref(id)).await?.into_iter().next();
    record.filter(|record| record.version > 0 && record.id.kind() == EntityKind::Order).ok_or_else(none)
}

/// The state of an order's record.
///
/// # Errors
/// When it cannot be read.
pub fn state(record: &EntityRecord) -> Result<Order, ApiError> {
    record.state.read().map_err(|error| {
        crate::ports::StoreError::Corrupt(format!("the state of {}: {error}", record.id)).into()
    })
}

/// The order that goes by `name`, with all that is known of it.
///
/// # Errors
/// When there is none, or the store cannot be read.
pub async fn view(store: &dyn Store, config: &Config, name: &str) -> Result<OrderView, ApiError> {
    let record = record(store, name).await?;
    let attempts = store.attempts(&record.id).await?;
    assemble(config, record, attempts)
}

fn assemble(config: &Config, record: EntityRecord, attempts: Vec<Attempt>) -> Result<OrderView, ApiError> {
    let state = state(&record)?;
    let EntityRecord { version, client, facts, intents, exceptions, .. } = record;
    let mut histories: BTreeMap<IntentId, Vec<Attempt>> = BTreeMap::new();
    for attempt in attempts {
        histories.entry(attempt.intent).or_default().push(attempt);
    }
    let known = Known { config, flow: config.flow_of(&client) };
    let mut intents: Vec<Command> = intents
        .into_iter()
        .map(|intent| Command {
            title: say::command(&intent.command).to_owned(),
            part: known.part(&intent.account),
            history: histories.remove(&intent.id).unwrap_or_default(),
            intent,
        })
        .collect();
    intents.sort_by(|a, b| (a.intent.created, &a.intent.slot).cmp(&(b.intent.created, &b.intent.slot)));

    let mut timeline: Vec<Entry> = facts.into_iter().map(|fact| of_fact(known, fact)).collect();
    for command in &intents {
        if command.history.is_empty() {
            timeline.push(of_intent(known, command));
        }
        timeline.extend(command.history.iter().map(|attempt| of_attempt(known, command, attempt)));
    }
    timeline.extend(exceptions.iter().map(|exception| of_exception(known, exception)));
    snapshots(&mut timeline);
    timeline.sort_by_key(|entry| (entry.at, entry.heard));
    let live = config.flow_of(&client).is_some_and(|flow| flow.live);
    Ok(OrderView { version, live, state, timeline, intents, exceptions })
}

/// What the config says of the accounts that speak.
#[derive(Clone, Copy)]
struct Known<'a> {
    config: &'a Config,
    flow: Option<&'a Flow>,
}

impl Known<'_> {
    fn connector(self, account: &AccountId) -> String {
        self.config.accounts.get(account).map(|known| known.connector.clone()).unwrap_or_default()
    }

    fn part(self, account: &AccountId) -> &'static str {
        if account.as_str() == OURS {
            return "ours";
        }
        let Some(flow) = self.flow else { return "other" };
        let is = |other: &Option<AccountId>| other.as_ref() == Some(account);
        if flow.storefronts.contains(account) {
            "store"
        } else if flow.warehouses.contains(account) {
            "warehouse"
        } else if is(&flow.gateway) {
            "gateway"
        } else if is(&flow.tracking) || is(&flow.labels) {
            "carrier"
        } else {
            "other"
        }
    }
}

fn of_fact(known: Known, fact: Fact) -> Entry {
    let said = say::fact(&fact);
    let happened = fact.header.at;
    let word = match &fact.body {
        Body::Scan(scan) if scan.status.0 == "delivered" => "done",
        Body::PaymentFailed(_) | Body::Rejected(_) | Body::Disputed(_) => "failed",
        _ => "",
    };
    let behind = (fact.message.0 > 0).then_some(fact.message);
    Entry {
        kind: EntryKind::Fact,
        at: happened.map_or(fact.heard, |at| at.instant()),
        happened,
        heard: fact.heard,
        account: fact.account.clone(),
        connector: known.connector(&fact.account),
        part: known.part(&fact.account),
        title: said.title,
        text: said.text,
        key: fact.id.to_string(),
        word,
        message: behind,
        message_url: behind.map(|id| format!("/api/v1/messages/{id}")),
        intent: None,
        fact: Some(fact),
    }
}

/// The storefront's first snapshot is the order as placed; each later one is an update, at the time when it was heard.
fn snapshots(timeline: &mut [Entry]) {
    let placed = |entry: &Entry| matches!(&entry.fact, Some(Fact { body: Body::Placed(_), .. }));
    let first = timeline.iter().filter(|entry| placed(entry)).map(|entry| entry.heard).min();
    let mut seen = false;
    for entry in timeline.iter_mut().filter(|entry| placed(entry)) {
        if !seen && Some(entry.heard) == first {
            seen = true;
        } else {
            "Order updated".clone_into(&mut entry.title);
            entry.at = entry.heard;
        }
    }
}

fn ours(known: Known, kind: EntryKind, account: &AccountId, at: Timestamp) -> Entry {
    Entry {
        kind,
        at,
        happened: None,
        heard: at,
        account: account.clone(),
        connector: known.connector(account),
        part: known.part(account),
        title: String::new(),
        text: String::new(),
        key: String::new(),
        word: "",
        message: None,
        message_url: None,
        intent: None,
        fact: None,
    }
}

fn of_intent(known: Known, command: &Command) -> Entry {
    let intent = &command.intent;
    Entry {
        title: command.title.clone(),
        text: format!("to be done · {}", intent.slot),
        key: format!("i{}", intent.id),
        intent: Some(intent.id),
        ..ours(known, EntryKind::Intent, &intent.account, intent.created)
    }
}

fn of_attempt(known: Known, command: &Command, attempt: &Attempt) -> Entry {
    let intent = &command.intent;
    let last = command.history.last().is_some_and(|last| last.number == attempt.number);
    Entry {
        title: command.title.clone(),
        text: format!("attempt {} · {}", attempt.number, attempt.note),
        key: format!("a{}-{}-{}", intent.id, attempt.number, attempt.at.as_millisecond()),
        word: if last { intent.state.word() } else { "" },
        intent: Some(intent.id),
        ..ours(known, EntryKind::Attempt, &intent.account, attempt.at)
    }
}

fn of_exception(known: Known, exception: &Exception) -> Entry {
    let account = exception.account.clone().unwrap_or_default();
    Entry {
        title: say::sentence(&exception.kind),
        text: exception.message.clone(),
        key: format!("t{}", exception.id),
        message: exception.message_id,
        message_url: exception.message_id.map(|id| format!("/api/v1/messages/{id}")),
        intent: exception.intent,
        ..ours(known, EntryKind::Exception, &account, exception.raised)
    }
}

//! What people decide: about an order, about a command whose outcome nobody knows, about exceptions to try again.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;

use super::error::ApiError;
use super::view::order;
use super::{Shared, say};
use crate::canonical::fact::{Decision, Header};
use crate::canonical::{Body, EntityId, Fact, IntentId, IntentState, MessageId, Order};
use crate::ports::{self, Accepted, ExceptionQuery, Hint, NewMessage, Origin, Remedy};

/// Decisions about an order as a whole.
pub const ORDER: [&str; 3] = ["release_hold", "cancel", "close"];
/// Decisions about one command.
pub const INTENT: [&str; 2] = ["exists", "send_again"];

/// A decision as it comes in.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    /// One of [`ORDER`] or [`INTENT`].
    pub what: String,
    /// The hold's name, or the intent's id.
    pub target: Option<String>,
    /// Who decides.
    pub by: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// Any text that is the same when the same decision is sent twice (a double click).
    pub key: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Which order.
    pub entity: EntityId,
    /// The message that carries the decision; none for commands.
    pub message: Option<MessageId>,
}

/// Takes a decision about the order that goes by `name`.
///
/// # Errors
/// When there is no such order, or nothing of the kind to decide.
pub async fn order(web: &Shared, name: &str, asked: Asked) -> Result<Decided, ApiError> {
    if INTENT.contains(&asked.what.as_str()) {
        let target = asked.target.as_deref().unwrap_or_default();
        let intent = target.parse::<IntentId>().map_err(|_| {
            ApiError::bad(format!("target: `{target}` is no command's id"))
                .help("32 hexadecimal digits, as in `intents[].id`")
        })?;
        return decide_intent(web, name, intent, &asked).await;
    }
    if !ORDER.contains(&asked.what.as_str()) {
        return Err(ApiError::bad(format!("what: there is no decision `{}`", asked.what))
            .nearest(&asked.what, ORDER.into_iter().chain(INTENT)));
    }
    let record = order::record(&*web.store, name).await?;
    let state = order::state(&record)?;
    if asked.what == "release_hold" {
        check_hold(web, &state, asked.target.as_deref())?;
    }
    let now = web.clock.now();
    let fact = fact_of(&asked, &format!("{now}-{:x}", web.clock.random()), now);
    let account = fact.account.clone();
    let message = NewMessage {
        shard: ports::shard(&account, record.id.as_str()),
        event_id: Some(format!("decided/{}", fact.id)),
        account,
        origin: Origin::Fact,
        topic: fact.rule.clone(),
        mapping: String::new(),
        headers: Vec::new(),
        body: Bytes::from(serde_json::to_vec(&fact).map_err(|error| ApiError::bad(error.to_string()))?),
        received: now,
        priority: 0,
        context: Some(record.id.0.clone()),
    };
    let shard = message.shard;
    let accepted = web.store.accept(vec![message], None).await?;
    web.bus.hint(Hint::Inbound { shard }).await;
    let message = accepted.first().map(|accepted| match accepted {
        Accepted::New(id) | Accepted::Duplicate(id) => *id,
    });
    tracing::info!(order = %record.id, what = %asked.what, by = asked.by.as_deref().unwrap_or("-"), "a person decided");
    Ok(Decided { entity: record.id, message })
}

fn fact_of(asked: &Asked, fallback: &str, now: Timestamp) -> Fact {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.trim().is_empty());
    let key = text(&asked.key).unwrap_or_else(|| fallback.to_owned());
    let header = Header { r#ref: Some(key), ..Header::default() };
    let body = Body::Decision(Decision {
        what: asked.what.clone(),
        target: text(&asked.target),
        by: text(&asked.by),
        note: text(&asked.note),
    });
    Fact::ours(header, body, now, MessageId(0))
}

fn check_hold(web: &Shared, state: &Order, target: Option<&str>) -> Result<(), ApiError> {
    let world = web.world.load();
    let rules = world.config.flow_of(&state.client).map(|flow| &flow.holds);
    let mut known: Vec<&str> = state.holds.iter().map(|hold| hold.hold.as_str()).collect();
    known.extend(rules.into_iter().flatten().map(|(name, _)| name.as_str()));
    match target {
        Some(name) if known.contains(&name) => Ok(()),
        Some(name) => {
            Err(ApiError::conflict(format!("no hold `{name}` keeps this order")).nearest(name, known))
        }
        None => Err(ApiError::bad("target: the name of the hold is missing")),
    }
}

/// Takes a decision about one command of the order that goes by `name`: it exists at the partner, or send it again.
///
/// # Errors
/// When there is no such command, or it needs no decision.
pub async fn decide_intent(
    web: &Shared,
    name: &str,
    id: IntentId,
    asked: &Asked,
) -> Result<Decided, ApiError> {
    let remedy = match asked.what.as_str() {
        "exists" => Remedy::Exists,
        "send_again" => Remedy::SendAgain,
        other => {
            return Err(ApiError::bad(format!("what: there is no decision `{other}` about a command"))
                .nearest(other, INTENT));
        }
    };
    let record = order::record(&*web.store, name).await?;
    let intent = record
        .intents
        .iter()
        .find(|intent| intent.id == id)
        .ok_or_else(|| ApiError::missing(format!("order {name} has no command {id}")))?;
    let settled = || {
        let title = say::command(&intent.command);
        ApiError::conflict(format!("`{title}` needs no decision: it is {}", say::words(intent.state.word())))
            .help("only commands that were refused or whose outcome is unknown wait for a person")
    };
    if !matches!(intent.state, IntentState::Stuck | IntentState::Rejected) {
        return Err(settled());
    }
    let who = asked.by.as_deref().filter(|by| !by.is_empty()).unwrap_or("a person");
    let said = if remedy == Remedy::Exists { "it exists" } else { "send again" };
    let mut note = format!("{who}: {said}");
    if let Some(why) = asked.note.as_deref().filter(|why| !why.is_empty()) {
        note = format!("{note} ({why})");
    }
    let hints = web.store.decide(id, remedy, &note, web.clock.now()).await?;
    if hints.is_empty() {
        return Err(settled());
    }
    send(web, hints).await;
    tracing::info!(order = %record.id, intent = %id, what = %asked.what, by = who, "a person decided");
    Ok(Decided { entity: record.id, message: None })
}

/// Puts exceptions back to work: those with these numbers and all open ones of the cause. Gives how many.
///
/// # Errors
/// When the store cannot do it.
pub async fn retry(web: &Shared, ids: &[i64], cause: Option<&str>) -> Result<usize, ApiError> {
    let mut all = ids.to_vec();
    if let Some(cause) = cause {
        let mut query =
            ExceptionQuery { cause: Some(cause.to_owned()), limit: Some(1000), ..ExceptionQuery::default() };
        loop {
            let page = web.store.exceptions(&query).await?;
            all.extend(page.iter().map(|exception| exception.id));
            match page.last() {
                Some(last) if page.len() == 1000 => query.before = Some(last.id),
                _ => break,
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    for chunk in all.chunks(500) {
        let hints = web.store.retry_exceptions(chunk, web.clock.now()).await?;
        send(web, hints).await;
    }
    tracing::info!(count = all.len(), cause = cause.unwrap_or("-"), "exceptions are tried again");
    Ok(all.len())
}

async fn send(web: &Shared, hints: Vec<Hint>) {
    for hint in hints {
        web.bus.hint(hint).await;
    }
}

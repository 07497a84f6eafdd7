//! Messages that are mapped anew: what they state now takes the place of what they stated, in the transaction in which
//! their order is planned again. A plan that would leave sent commands without what they were sent for is not carried
//! out until a person says so.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::assemble;
use super::read::{self, Reading};
use crate::canonical::{EntityId, Exception, Fact, Intent, IntentState, Json, MessageId};
use crate::config::world::World;
use crate::ports::{EntityRecord, EntityWrite, Message, Origin, Store, StoreError};

/// The space of the store for messages that a person has mapped anew whatever was sent because of them.
pub const FORCED: &str = "remap_forced";

/// What a message would come to under the generation in force, compared with what is stored of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Remapped {
    /// The message.
    pub message: MessageId,
    /// Facts that it states now and did not state.
    pub new: Vec<Fact>,
    /// Facts that it stated and does not state any more.
    pub gone: Vec<Fact>,
    /// Commands that would be sent.
    pub commands: Vec<String>,
    /// Commands that wait and would be taken back.
    pub withdrawn: Vec<String>,
    /// Commands that were sent for something that the order would not have any more. They are never taken back by
    /// themselves.
    pub strays: Vec<String>,
    /// What cannot be read.
    pub problems: Vec<String>,
}

impl Remapped {
    /// Whether anything would change.
    #[must_use]
    pub fn differs(&self) -> bool {
        !(self.new.is_empty()
            && self.gone.is_empty()
            && self.commands.is_empty()
            && self.withdrawn.is_empty())
    }
}

/// The causes of what cannot be read of `message` under `world`.
#[must_use]
pub fn causes(world: &World, message: &Message, now: Timestamp) -> Vec<String> {
    read::read(world, message, now).exceptions.into_iter().map(|exception| exception.cause).collect()
}

/// What `message` would come to under `world`. Writes nothing.
///
/// # Errors
/// When the store cannot be read.
pub async fn remapped(
    world: &World,
    store: &dyn Store,
    message: &Message,
    now: Timestamp,
) -> Result<Remapped, StoreError> {
    let mut reading = read::read(world, message, now);
    reading.heard = store.heard(&[message.id]).await?.into_iter().flatten().collect();
    let mut out = Remapped { message: message.id, ..Remapped::default() };
    out.problems = reading.exceptions.iter().map(|exception| exception.message.clone()).collect();
    let known: HashMap<EntityId, EntityRecord> = {
        let records = store.load(&reading.heard).await?;
        records.into_iter().map(|record| (record.id.clone(), record)).collect()
    };
    let (assembled, _) =
        assemble::assemble(world, store, vec![reading], &HashMap::new(), (now, false), None).await?;
    for (assembled, _) in assembled {
        out.strays.extend(assembled.strays.into_iter().map(|(_, exception)| exception.message));
        for write in assembled.unit.entities {
            let record = known.get(&write.id);
            out.new.extend(write.facts);
            let stored = record.map(|record| record.facts.as_slice()).unwrap_or_default();
            out.gone.extend(stored.iter().filter(|fact| write.superseded.contains(&fact.id)).cloned());
            for intent in &write.intents {
                let said = format!("{} {} ({})", intent.account, intent.command, intent.slot);
                match intent.state {
                    IntentState::Withdrawn => out.withdrawn.push(said),
                    _ if is_new(record, intent) => out.commands.push(said),
                    _ => {}
                }
            }
        }
        out.new.extend(assembled.unit.waiting.into_iter().map(|waiting| waiting.fact));
    }
    Ok(out)
}

fn is_new(record: Option<&EntityRecord>, intent: &Intent) -> bool {
    record.is_none_or(|record| record.intents.iter().all(|known| known.id != intent.id))
}

/// Finds out for readings of messages that were worked on before who heard of them.
pub(super) async fn look_up(
    store: &dyn Store,
    messages: &[Message],
    readings: &mut [Reading],
) -> Result<(), StoreError> {
    let again =
        messages.iter().filter(|message| message.attempts > 0 && message.content.origin != Origin::Fact);
    let again: Vec<MessageId> = again.map(|message| message.id).collect();
    if again.is_empty() {
        return Ok(());
    }
    let heard: HashMap<MessageId, Vec<EntityId>> = {
        let heard = store.heard(&again).await?;
        again.into_iter().zip(heard).collect()
    };
    for reading in readings {
        if let Some(heard) = heard.get(&reading.message) {
            reading.heard.clone_from(heard);
        }
    }
    Ok(())
}

/// Those of `strays` that no person has accepted; `forced` are those that one has.
pub(super) async fn unwanted(
    store: &dyn Store,
    strays: Vec<(MessageId, Exception)>,
    forced: &mut HashSet<MessageId>,
) -> Result<Vec<(MessageId, Exception)>, StoreError> {
    let mut out = Vec::new();
    for (message, exception) in strays {
        if forced.contains(&message) {
            continue;
        }
        let key = message.to_string();
        if store.get(FORCED, &key).await?.is_some() {
            // It counts once.
            store.put(FORCED, &key, Value::Null, None).await?;
            forced.insert(message);
        } else {
            out.push((message, exception));
        }
    }
    Ok(out)
}

/// What was sent for something of the order that `write`, because of `reading`, has no more.
pub(super) fn strays(
    record: &EntityRecord,
    write: &EntityWrite,
    reading: &Reading,
    now: Timestamp,
) -> Option<(MessageId, Exception)> {
    let text = |state: &Json| String::from_utf8_lossy(state.text()).into_owned();
    let (before, after) = (text(&record.state), text(&write.state));
    let sent = |intent: &&Intent| {
        intent.state.told() && !matches!(intent.state, IntentState::Rejected | IntentState::Withdrawn)
    };
    let stray = |intent: &&Intent| {
        let Some((_, subject)) = intent.slot.split_once('/') else { return false };
        let named = Value::from(subject).to_string();
        before.contains(&named) && !after.contains(&named)
    };
    let said = record.intents.iter().filter(sent).filter(stray);
    let said: Vec<String> = said.map(|intent| format!("{} at {}", intent.slot, intent.account)).collect();
    if said.is_empty() {
        return None;
    }
    let text = format!(
        "mapped anew, the message would not state any more what {} was sent for; what it stated before stands",
        said.join(", ")
    );
    let help = format!(
        "correct the mapping; or, if the sent commands are to stand for themselves: crossdock messages remap --force {}",
        reading.message
    );
    let cause = format!("remap_differs:{}", record.id);
    let exception = reading.exception(now, "remap_differs", cause, text, Some(help));
    Some((reading.message, exception))
}

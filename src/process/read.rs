//! From a message to the facts that it states: parse, attribute to a client, map. Pure.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::apply;
use crate::canonical::{AccountId, Body, ClientId, EntityId, Fact, MessageId, When};
use crate::config::model::{Account, Config};
use crate::config::world::World;
use crate::connector::manifest::{Manifest, Source, TopicAction};
use crate::connector::webhook;
use crate::ingest::reread;
use crate::ingest::webhook::UNREAD;
use crate::map::node::Node;
use crate::map::path::Path;
use crate::map::{self, Context, Syntax};
use crate::ports::{Exception, Message, OF, Origin};

/// What a message says.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// The message.
    pub(super) message: MessageId,
    /// Who said it.
    pub(super) account: AccountId,
    /// Whose it is, where that is known.
    pub(super) client: Option<ClientId>,
    /// The entity that it is addressed to (facts of our own, answers to commands).
    pub(super) direct: Option<EntityId>,
    /// The entity whose command it answers: it is planned again, even if the answer says nothing. None once the message was
    /// worked on.
    pub(super) wakes: Option<EntityId>,
    /// Its facts.
    pub(super) facts: Vec<Fact>,
    /// What could not be read.
    pub(super) exceptions: Vec<Exception>,
    /// Re-reads that it asks for: key and content of the rows.
    pub(super) rereads: Vec<(String, Value)>,
    /// It was mapped before: these entities may have facts of it, whose place the present ones take.
    pub(super) heard: Vec<EntityId>,
}

impl Reading {
    fn of(message: &Message) -> Self {
        Self {
            message: message.id,
            account: message.content.account.clone(),
            client: None,
            direct: None,
            wakes: wakes(message),
            facts: Vec::new(),
            exceptions: Vec::new(),
            rereads: Vec::new(),
            heard: Vec::new(),
        }
    }

    /// An exception about the message.
    pub(super) fn exception(
        &self,
        now: Timestamp,
        kind: &str,
        cause: String,
        message: String,
        help: Option<String>,
    ) -> Exception {
        Exception {
            id: 0,
            cause,
            kind: kind.to_owned(),
            message,
            help,
            account: Some(self.account.clone()),
            client: self.client.clone(),
            entity: None,
            message_id: Some(self.message),
            intent: None,
            raised: now,
            resolved: None,
            resolution: None,
        }
    }

    fn except(&mut self, now: Timestamp, kind: &str, cause: String, message: String, help: Option<String>) {
        let exception = self.exception(now, kind, cause, message, help);
        self.exceptions.push(exception);
    }
}

/// Why a message cannot be read as a whole.
struct Trouble {
    kind: &'static str,
    cause: String,
    message: String,
    help: Option<String>,
}

impl Trouble {
    fn new(kind: &'static str, cause: impl Into<String>, message: impl Into<String>) -> Self {
        Self { kind, cause: cause.into(), message: message.into(), help: None }
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Reads `message` with the mappings of `world`. Whatever is wrong with it becomes an exception in the reading.
pub(super) fn read(world: &World, message: &Message, now: Timestamp) -> Reading {
    let guarded = catch_unwind(AssertUnwindSafe(|| {
        let mut reading = Reading::of(message);
        let outcome = match message.content.origin {
            Origin::Fact => read_own(world, message, &mut reading),
            _ => read_partner(world, message, &mut reading, now),
        };
        if let Err(trouble) = outcome {
            reading.except(now, trouble.kind, trouble.cause, trouble.message, trouble.help);
        }
        reading
    }));
    guarded.unwrap_or_else(|_| {
        let mut reading = Reading::of(message);
        let name = format!("{}/{}", message.content.account, message.content.mapping);
        tracing::error!(
            message = message.id.0,
            mapping = name,
            "a mapping broke down on a message; the message is kept"
        );
        let text = format!("the mapping {name} broke down on this message: a fault of Crossdock itself");
        let help = Some("report it with the message; retry after an upgrade".to_owned());
        reading.except(now, "fault", format!("fault:{name}"), text, help);
        reading
    })
}

/// A fact of our own, or one that waited for its subject.
fn read_own(world: &World, message: &Message, reading: &mut Reading) -> Result<(), Trouble> {
    let content = &message.content;
    let mut fact: Fact = serde_json::from_slice(&content.body).map_err(|error| {
        Trouble::new("fault", "fault:fact", format!("a stored fact cannot be read: {error}"))
    })?;
    if fact.message == MessageId::default() {
        fact.message = message.id;
    }
    let named = content.headers.iter().find(|(name, _)| name == super::assemble::CLIENT);
    reading.account = fact.account.clone();
    reading.client = named
        .map(|(_, client)| ClientId::from(client.as_str()))
        .or_else(|| attributed_by_account(&world.config, &reading.account));
    reading.direct = content.context.as_deref().map(EntityId::from);
    reading.facts.push(fact);
    Ok(())
}

fn read_partner(
    world: &World,
    message: &Message,
    reading: &mut Reading,
    now: Timestamp,
) -> Result<(), Trouble> {
    let content = &message.content;
    let account = world.config.accounts.get(&content.account).ok_or_else(|| {
        let text = format!("the account `{}` is no longer in config.toml", content.account);
        Trouble::new("no_account", format!("account:{}", content.account), text)
            .help("put the account back, then retry")
    })?;
    let connector = world.registry.get(&account.connector).ok_or_else(|| {
        let text = format!("the connector `{}` is not loaded", account.connector);
        Trouble::new("no_connector", format!("connector:{}", account.connector), text)
            .help("see `crossdock check`")
    })?;
    let action = action(&connector.manifest, message);
    // How the message is written, the mapping says; overlays do not change it.
    let (syntax, wanted) = match &action {
        Some(TopicAction::Map(mapping)) => {
            let known = world.registry.inbound_for(&account.connector, mapping, None, &account.id);
            let syntax = known.map(|inbound| inbound.syntax().clone()).unwrap_or_default();
            (syntax, wanted(world, account, &connector.manifest, mapping, message))
        }
        _ => (Syntax::default(), None),
    };
    let whole = || {
        syntax.read(&content.body).map_err(|error| {
            let cause = format!("invalid:{}:{}", content.account, content.topic);
            let text = format!("the body is no valid {}: {error}", syntax.kind.title());
            Trouble::new("invalid_payload", cause, text)
        })
    };
    let in_part = wanted.is_some();
    let mut node = match wanted {
        Some(node) => node,
        None => whole()?,
    };
    reading.client = attribute(&world.config, account, &node).map_err(|text| {
        Trouble::new("unattributed", format!("unattributed:{}", account.id), text)
            .help(format!("add the client's link under [account.{}.link.CLIENT] in config.toml", account.id))
    })?;
    let mapping = match action {
        Some(TopicAction::Map(mapping)) if mapping != UNREAD => mapping,
        Some(TopicAction::Ignore) => return Ok(()),
        Some(TopicAction::Reread { read, id }) => {
            return ask_again(reading, &node, &read, &id, &content.topic);
        }
        _ => {
            let text = format!(
                "nothing in the connector `{}` reads the topic `{}`",
                account.connector, content.topic
            );
            let cause = format!("topic:{}:{}", account.connector, content.topic);
            return Err(Trouble::new("unknown_topic", cause, text)
                .help("name a mapping for it, or \"ignore\", under [webhook.topics]"));
        }
    };
    let inbound = world
        .registry
        .inbound_for(&account.connector, &mapping, reading.client.as_ref(), &account.id)
        .ok_or_else(|| {
            let text = format!("the mapping mappings/{}/{mapping}.in.toml is not loaded", account.connector);
            Trouble::new("no_mapping", format!("mapping:{}/{mapping}", account.connector), text)
                .help("see `crossdock check`")
        })?;
    let with = context(account, &connector.manifest, message);
    let mut mapped = inbound.run(&node, &with);
    if in_part && !mapped.errors.is_empty() {
        // What is wrong is told by what else there is.
        node = whole()?;
        mapped = inbound.run(&node, &with);
    }
    for error in mapped.errors {
        reading.except(now, &error.kind, error.cause, error.message, error.help);
    }
    let told = told(&connector.manifest, message, &node);
    let versions: Vec<Option<String>> = mapped.facts.iter().map(|fact| fact.header.version.clone()).collect();
    let newest = apply::newest_version(versions.iter().filter_map(Option::as_deref));
    for fact in mapped.facts {
        let mut header = fact.header;
        // What rides along with an older version of its own did not change when the message was told.
        if header.told.is_none()
            && fact.body.is_snapshot()
            && (header.version.is_none() || header.version.as_deref() == newest)
        {
            header.told = told;
        }
        if content.origin == Origin::Answer && header.our.is_none() {
            header.our.clone_from(&content.context);
        }
        if matches!(fact.body, Body::Level(_)) && header.at.is_none() && header.version.is_none() {
            // A level is a snapshot. One without time or version counts for the moment at which it was told, so that the
            // same level twice, with another between, is three facts.
            header.at = Some(When::utc(content.received));
        }
        reading.facts.push(Fact {
            id: Fact::identity(&account.id, &header, &fact.body),
            rule: fact.rule,
            account: account.id.clone(),
            header,
            body: fact.body,
            heard: content.received,
            message: message.id,
            mapping: inbound.version().to_owned(),
        });
    }
    Ok(())
}

/// What a mapping knows besides the message.
fn context(account: &Account, manifest: &Manifest, message: &Message) -> Context {
    let asked = message.content.headers.iter().filter_map(|(name, value)| {
        Some((name.strip_prefix(crate::ports::ASKED)?.to_owned(), value.clone()))
    });
    Context {
        zone: account.zone.clone(),
        currency: account.currency.clone(),
        exponents: manifest.exponents.clone(),
        asked: asked.collect(),
        account: Some(account.id.0.clone()),
    }
}

/// What the mapping reads of the message, without the rest, where nothing else has to look into it.
fn wanted<'a>(
    world: &World,
    account: &Account,
    manifest: &Manifest,
    mapping: &str,
    message: &'a Message,
) -> Option<Node<'a>> {
    if !(account.client.is_some() || account.links.is_empty()) {
        return None;
    }
    let client = attributed_by_account(&world.config, &account.id);
    let inbound = world.registry.inbound_for(&account.connector, mapping, client.as_ref(), &account.id)?;
    let clock = manifest.webhook.as_ref().and_then(|hook| hook.told.as_ref());
    let clock = match clock {
        Some(Source::Path(path)) => Some(Path::parse(path).ok()?),
        Some(Source::Header(_)) | None => None,
    };
    inbound.read_wanted(&message.content.body, &clock.iter().collect::<Vec<_>>())
}

/// When the message was told, by the finest clock at hand: the partner's own, or ours for what we read ourselves.
fn told(manifest: &Manifest, message: &Message, node: &Node<'_>) -> Option<When> {
    let content = &message.content;
    match content.origin {
        Origin::Webhook => webhook::told(manifest.webhook.as_ref()?, &content.headers, node),
        Origin::Poll => {
            let number = content.headers.iter().find(|(name, _)| name == reread::NUMBER);
            let number = number.and_then(|(_, number)| number.parse().ok());
            let read = number.and_then(|number| Timestamp::from_microsecond(number).ok());
            Some(When::utc(read.unwrap_or(content.received)))
        }
        Origin::Answer | Origin::File | Origin::Fact => None,
    }
}

/// What the manifest in force says of the message's topic. Polls and answers carry their mapping's name.
fn action(manifest: &Manifest, message: &Message) -> Option<TopicAction> {
    if message.content.origin == Origin::Webhook {
        let hook = manifest.webhook.as_ref()?;
        return webhook::action(hook, &message.content.topic);
    }
    Some(TopicAction::Map(message.content.mapping.clone()))
}

fn ask_again(reading: &mut Reading, node: &Node, read: &str, id: &str, topic: &str) -> Result<(), Trouble> {
    let found =
        Path::parse(id).ok().and_then(|path| path.first(node).and_then(Node::text).map(Cow::into_owned));
    let id = found.ok_or_else(|| {
        let text = format!("the webhook `{topic}` names nothing at `{id}` to be read again");
        Trouble::new("invalid_payload", format!("reread:{}:{topic}", reading.account), text)
    })?;
    let key = format!("{}/{read}/{id}", reading.account);
    let row = json!({ "account": reading.account, "read": read, "id": id, "message": reading.message });
    reading.rereads.push((key, row));
    Ok(())
}

/// The client when the account can carry messages of one alone.
fn attributed_by_account(config: &Config, account: &AccountId) -> Option<ClientId> {
    match config.clients_of(account).as_slice() {
        [one] => Some((*one).clone()),
        _ => None,
    }
}

/// Whose the message is. A shared account without links gives no client: then only the account's own names find the
/// subject.
fn attribute(config: &Config, account: &Account, node: &Node) -> Result<Option<ClientId>, String> {
    if account.client.is_some() || account.links.is_empty() {
        return Ok(attributed_by_account(config, &account.id));
    }
    let fits: Vec<&ClientId> = account
        .links
        .iter()
        .filter(|(_, link)| {
            map::matches(node, link.iter().map(|(path, text)| (path.as_str(), text.as_str())))
        })
        .map(|(client, _)| client)
        .collect();
    match fits.as_slice() {
        [one] => Ok(Some((*one).clone())),
        [] => Err(format!("the account `{}` is shared, and no client's link fits this message", account.id)),
        several => Err(format!(
            "the links of several clients fit this message: {}",
            several.iter().map(|client| client.as_str()).collect::<Vec<_>>().join(", ")
        )),
    }
}

/// The entity that an answer names, when it is worked on for the first time.
fn wakes(message: &Message) -> Option<EntityId> {
    let headers = &message.content.headers;
    let of = headers.iter().find(|(name, _)| name == OF && message.content.origin == Origin::Answer);
    of.filter(|_| message.attempts == 0).map(|(_, entity)| EntityId::from(entity.as_str()))
}

/// Whether the fact only tells that an entity is to be looked at again (a timer, a settled command).
pub(super) fn only_wakes(body: &Body) -> bool {
    matches!(body, Body::Due(due) if due.timer.starts_with("settled/") || due.timer == "replan")
}

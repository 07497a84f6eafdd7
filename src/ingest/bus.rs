//! What in-house systems publish to `crossdock.inbound` instead of calling a webhook, and dead letters.
//!
//! The broker knows who may publish, so there is no signature. A message is acknowledged once the inbox holds it; while
//! the store is away it waits, and the broker keeps what is behind it. The inbox de-duplicates on the publisher's message
//! id and the body.

use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::webhook::{Intake, UNREAD};
use crate::canonical::AccountId;
use crate::connector::manifest::TopicAction;
use crate::connector::webhook;
use crate::inbox;
use crate::ports::{self, Accepted, Dead, Exception, Hint, NewMessage, Origin, Received, Unit, Verdict};

/// How long to wait for a store that does not take a message.
const PAUSE: Duration = Duration::from_secs(1);
/// As much of a dead letter as its exception shows.
const SHOWN: usize = 2000;

impl Intake {
    /// Takes what comes over the bus until it is closed or `stop` fires.
    pub async fn take_from_bus(&self, stop: CancellationToken) {
        while let Some(received) = self.bus.received().await {
            let verdict = tokio::select! {
                () = stop.cancelled() => return,
                verdict = self.take(&received) => verdict,
            };
            // The bus may have lost its broker meanwhile: then the message comes again, and the inbox knows it.
            let _gone = received.verdict.send(verdict);
        }
    }

    async fn take(&self, received: &Received) -> Verdict {
        if let Some(dead) = &received.dead {
            return self.bury(received, dead).await;
        }
        let Some((account, topic)) =
            received.key.split_once('.').filter(|(account, topic)| !account.is_empty() && !topic.is_empty())
        else {
            tracing::warn!(
                key = received.key,
                "a message over the bus has no key of the form <account>.<topic>"
            );
            return Verdict::Refused;
        };
        let account = AccountId::from(account);
        let world = self.world.load_full();
        let connector =
            world.config.accounts.get(&account).and_then(|known| world.registry.get(&known.connector));
        let hook = connector.and_then(|connector| connector.manifest.webhook.as_ref());
        let mapping = match hook.and_then(|hook| webhook::action(hook, topic)) {
            Some(TopicAction::Ignore) => return Verdict::Kept,
            Some(TopicAction::Map(mapping)) => mapping,
            // An unknown account or topic becomes an exception of the stored message, which goes on once it is known.
            Some(TopicAction::Reread { .. }) | None => UNREAD.to_owned(),
        };
        let shard = connector.map_or_else(
            || ports::shard(&account, &received.key),
            |connector| inbox::shard(&account, &connector.manifest, &received.headers, &received.body),
        );
        let message = NewMessage {
            shard,
            account: account.clone(),
            origin: Origin::Webhook,
            topic: topic.to_owned(),
            mapping,
            event_id: received.id.clone(),
            headers: Vec::new(),
            body: received.body.clone(),
            received: self.clock.now(),
            priority: 0,
            context: None,
        };
        loop {
            match self.store.accept(vec![message.clone()], None).await {
                Ok(accepted) => {
                    let new = matches!(accepted.first(), Some(Accepted::New(_)));
                    if new {
                        self.backlog.add(&account);
                        self.bus.hint(Hint::Inbound { shard }).await;
                    }
                    let outcome = if new { "accepted" } else { "duplicate" };
                    metrics::counter!("crossdock_bus_messages_total", "account" => account.0.clone(), "outcome" => outcome).increment(1);
                    return Verdict::Kept;
                }
                Err(error) => {
                    tracing::warn!(%account, %error, "a message over the bus waits for the store");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// A dead letter becomes an exception; hints are let go, since the sweeper finds what they were about.
    async fn bury(&self, received: &Received, dead: &Dead) -> Verdict {
        metrics::counter!("crossdock_bus_dead_total", "origin" => dead.origin.clone(), "reason" => dead.reason.clone())
            .increment(1);
        if dead.origin.starts_with("crossdock.in.")
            || dead.origin.starts_with("crossdock.out.")
            || dead.origin == "crossdock.work"
        {
            return Verdict::Kept;
        }
        let exception = exception(received, dead, self.clock.now());
        let unit = Unit { at: exception.raised, exceptions: vec![exception], ..Unit::default() };
        loop {
            match self.store.commit(vec![unit.clone()]).await {
                Ok(_) => return Verdict::Kept,
                Err(error) => {
                    tracing::warn!(%error, "a dead letter waits for the store");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

fn exception(received: &Received, dead: &Dead, now: Timestamp) -> Exception {
    let shown: String = String::from_utf8_lossy(&received.body).chars().take(SHOWN).collect();
    let id = received.id.as_deref().unwrap_or("without an id");
    Exception {
        id: 0,
        cause: format!("dead_letter:{}:{}:{id}", dead.origin, received.key),
        kind: "dead_letter".to_owned(),
        message: format!(
            "the message {id} for `{}` was given up by {} ({}): {shown}",
            received.key, dead.origin, dead.reason
        ),
        help: Some(help(dead)),
        account: received.key.split_once('.').map(|(account, _)| AccountId::from(account)),
        client: None,
        entity: None,
        message_id: None,
        intent: None,
        raised: now,
        resolved: None,
        resolution: None,
    }
}

fn help(dead: &Dead) -> String {
    match dead.reason.as_str() {
        "rejected" => "publish it again with a routing key of the form <account>.<topic>".to_owned(),
        "unrouted" => "no queue is bound for this routing key: bind one, then publish it again".to_owned(),
        _ => "publish it again once its cause is gone".to_owned(),
    }
}

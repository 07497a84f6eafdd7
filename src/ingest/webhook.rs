//! Webhooks: verify on the raw body, read topic and event id, put the message into the inbox, then answer 2xx.
//!
//! What a partner may rely on: a 2xx is durable (P1). A wrong signature is 401 and changes nothing but a counter (P8).
//! A body that cannot be read is stored and becomes an exception, since sending it again would not help. 503 with
//! `Retry-After` comes only when the store fails or intake is full, and then at once.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;

use super::backlog::Backlog;
use crate::canonical::AccountId;
use crate::config::model::Account;
use crate::config::world::World;
use crate::connector::manifest::{Source, TopicAction, Webhook};
use crate::connector::{signature, webhook};
use crate::inbox;
use crate::ports::{Accepted, Bus, Clock, Hint, NewMessage, Origin, Store, StoreError};

/// Takes webhooks of all accounts.
#[derive(Clone)]
pub struct Intake {
    /// Holds what was accepted.
    pub store: Arc<dyn Store>,
    /// Tells the workers.
    pub bus: Arc<dyn Bus>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// The generation in force.
    pub world: Arc<ArcSwap<World>>,
    /// How many messages of each account wait to be worked on.
    pub backlog: Arc<Backlog>,
}

/// What the partner gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookAnswer {
    /// Status code.
    pub status: u16,
    /// Seconds for `Retry-After`.
    pub retry_after: Option<u32>,
    /// The body.
    pub body: String,
}

impl HookAnswer {
    fn refuse(status: u16, why: &str) -> Self {
        Self { status, retry_after: None, body: format!("{}\n", serde_json::json!({ "error": why })) }
    }

    fn busy(why: &str) -> Self {
        Self { retry_after: Some(5), ..Self::refuse(503, why) }
    }
}

/// The mapping name that a stored message carries when nobody knows what to do with its topic.
pub const UNREAD: &str = "";

impl Intake {
    /// Takes one webhook for `account`.
    pub async fn accept(&self, account: &str, headers: &[(String, String)], body: Bytes) -> HookAnswer {
        let world = self.world.load_full();
        let id = AccountId::from(account);
        let Some(known) = world.config.accounts.get(&id).filter(|known| known.enabled) else {
            return HookAnswer::refuse(404, "there is no such account");
        };
        let Some(connector) = world.registry.get(&known.connector) else {
            return HookAnswer::busy("the account's connector is not loaded");
        };
        let Some(hook) = &connector.manifest.webhook else {
            return HookAnswer::refuse(404, "this account takes no webhooks");
        };
        if body.len() > world.config.server.max_body {
            metrics::counter!("crossdock_webhooks_total", "account" => id.0.clone(), "outcome" => "too_large").increment(1);
            return HookAnswer::refuse(413, "the body is over the limit");
        }
        let now = self.clock.now();
        let url = format!("{}/hooks/{account}", world.config.server.public_url);
        let secrets = signing_secrets(hook, known);
        if let Err(error) = signature::verify(&hook.signature, secrets, headers, &body, &url, now) {
            tracing::warn!(account, %error, "a webhook's signature does not verify");
            return self.turn_away(&id, "bad_signature", "the signature does not verify").await;
        }
        let settings =
            |name: &str| name.strip_prefix("setting.").and_then(|key| known.settings.get(key).cloned());
        let (topic, event_id, action) = match webhook::read(hook, headers, &body, &settings) {
            Ok(read) => (read.topic, read.event_id, read.action),
            Err(webhook::HookError::NotOurs { expected, found }) => {
                tracing::warn!(account, expected, found, "a webhook belongs to another account");
                return self.turn_away(&id, "not_ours", "this webhook belongs to another account").await;
            }
            Err(error) => {
                tracing::warn!(account, %error, "a webhook cannot be read; it is kept as an exception");
                let topic = error.topic().unwrap_or("?").to_owned();
                (topic, None, TopicAction::Map(UNREAD.to_owned()))
            }
        };
        let mapping = match action {
            TopicAction::Ignore => {
                metrics::counter!("crossdock_webhooks_total", "account" => id.0.clone(), "outcome" => "ignored").increment(1);
                return HookAnswer { status: 200, retry_after: None, body: hook.answer.clone() };
            }
            TopicAction::Map(mapping) => mapping,
            TopicAction::Reread { .. } => UNREAD.to_owned(),
        };
        if self.backlog.of(&id) >= world.config.intake.per_account {
            metrics::counter!("crossdock_webhooks_total", "account" => id.0.clone(), "outcome" => "over_quota").increment(1);
            return HookAnswer::busy("too many messages of this account wait");
        }
        let shard = inbox::shard(&id, &connector.manifest, headers, &body);
        let message = NewMessage {
            account: id.clone(),
            origin: Origin::Webhook,
            topic,
            mapping,
            event_id,
            headers: kept_headers(hook, headers),
            body,
            received: now,
            priority: 0,
            shard,
            context: None,
        };
        match self.store.accept(vec![message], None).await {
            Ok(accepted) => {
                let outcome = match accepted.first() {
                    Some(Accepted::New(_)) => {
                        self.backlog.add(&id);
                        self.bus.hint(Hint::Inbound { shard }).await;
                        "accepted"
                    }
                    _ => "duplicate",
                };
                metrics::counter!("crossdock_webhooks_total", "account" => id.0.clone(), "outcome" => outcome).increment(1);
                HookAnswer { status: 200, retry_after: None, body: hook.answer.clone() }
            }
            Err(error) => {
                metrics::counter!("crossdock_webhooks_total", "account" => id.0.clone(), "outcome" => "unavailable").increment(1);
                if !matches!(error, StoreError::Full) {
                    tracing::error!(account, %error, "a webhook cannot be stored; the partner is asked to send it again");
                }
                HookAnswer::busy("it cannot be stored now")
            }
        }
    }

    /// 401 and a counter; the counter is a convenience, so that it fails is no reason to answer otherwise.
    async fn turn_away(&self, account: &AccountId, what: &'static str, why: &str) -> HookAnswer {
        metrics::counter!("crossdock_webhooks_total", "account" => account.0.clone(), "outcome" => what)
            .increment(1);
        if let Err(error) = self.store.count(account, what).await {
            tracing::warn!(%account, %error, what, "cannot count");
        }
        HookAnswer::refuse(401, why)
    }
}

fn signing_secrets<'a>(hook: &Webhook, account: &'a Account) -> &'a [secrecy::SecretString] {
    use crate::connector::manifest::Signature;
    match &hook.signature {
        Signature::None { .. } => &[],
        Signature::Hmac(scheme) => account.secrets.get(&scheme.secret).map_or(&[], Vec::as_slice),
    }
}

fn kept_headers(hook: &Webhook, headers: &[(String, String)]) -> Vec<(String, String)> {
    let told = match &hook.told {
        Some(Source::Header(name)) => Some(name),
        _ => None,
    };
    let kept = |name: &str| hook.keep_headers.iter().chain(told).any(|keep| keep.eq_ignore_ascii_case(name));
    headers.iter().filter(|(name, _)| kept(name)).cloned().collect()
}

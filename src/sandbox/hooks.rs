//! Webhooks on their way: late, twice, out of order or lost, and again while nobody takes them.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use unicode_normalization::UnicodeNormalization;

use super::dice::Dice;
use super::settings::{Fault, Secrets, Settings};

/// A webhook to be delivered now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Number of this delivery, for [`super::World::delivered`].
    pub id: u64,
    /// Who sends it: `shopify`, `shiphero`, `easypost`, `stripe`.
    pub partner: String,
    /// What it is about.
    pub topic: String,
    /// Headers, with the signature.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// 1 for the first try.
    pub attempt: u32,
}

#[derive(Debug, Clone)]
struct Waiting {
    partner: &'static str,
    topic: String,
    headers: Vec<(String, String)>,
    body: Bytes,
    attempt: u32,
}

/// All webhooks of the world.
#[derive(Debug, Clone)]
pub(crate) struct Hooks {
    dice: Dice,
    next: u64,
    queue: BTreeMap<(Timestamp, u64), Waiting>,
    flying: BTreeMap<u64, Waiting>,
    /// How many were made, and how many of them were lost on purpose.
    pub made: u64,
    /// See above.
    pub lost: u64,
    /// How many were given up after the last try.
    pub given_up: u64,
}

impl Hooks {
    /// None yet.
    pub fn new(seed: u64) -> Self {
        Self {
            dice: Dice::new(seed, 2),
            next: 1,
            queue: BTreeMap::new(),
            flying: BTreeMap::new(),
            made: 0,
            lost: 0,
            given_up: 0,
        }
    }

    /// Puts a webhook on its way.
    pub fn send(
        &mut self,
        settings: &Settings,
        partner: &'static str,
        topic: &str,
        headers: Vec<(String, String)>,
        body: String,
        now: Timestamp,
    ) {
        self.made += 1;
        let waiting =
            Waiting { partner, topic: topic.to_owned(), headers, body: Bytes::from(body), attempt: 1 };
        let twice = self.dice.chance(settings.rate(Fault::WebhookTwice));
        let late = self.dice.chance(settings.rate(Fault::WebhookLate));
        let disorder = self.dice.chance(settings.rate(Fault::WebhookDisorder));
        let mut pause = settings.timing.webhook;
        if late {
            pause += self.up_to(settings.timing.late);
        }
        if disorder {
            pause += self.up_to(Duration::from_secs(2));
        }
        if self.dice.chance(settings.rate(Fault::WebhookLost)) {
            self.lost += 1;
            return;
        }
        if twice {
            let second = pause + self.up_to(Duration::from_secs(1));
            self.put(waiting.clone(), now + second);
        }
        self.put(waiting, now + pause);
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        let millis = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.dice.below(millis.max(1)))
    }

    fn put(&mut self, waiting: Waiting, due: Timestamp) {
        self.queue.insert((due, self.next), waiting);
        self.next += 1;
    }

    /// When the next one is due.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.queue.keys().next().map(|(due, _)| *due)
    }

    /// How many are queued or not yet reported by [`Hooks::settle`].
    pub fn pending(&self) -> usize {
        self.queue.len() + self.flying.len()
    }

    /// Takes those that are due, signed.
    pub fn take(&mut self, secrets: &Secrets, now: Timestamp) -> Vec<Delivery> {
        let mut out = Vec::new();
        while let Some(entry) = self.queue.first_entry() {
            let (due, id) = *entry.key();
            if due > now {
                break;
            }
            let waiting = entry.remove();
            let mut headers = waiting.headers.clone();
            headers.push(sign(waiting.partner, secrets, &waiting.body, now));
            out.push(Delivery {
                id,
                partner: waiting.partner.to_owned(),
                topic: waiting.topic.clone(),
                headers,
                body: waiting.body.clone(),
                attempt: waiting.attempt,
            });
            self.flying.insert(id, waiting);
        }
        out
    }

    /// What became of a delivery: the status of the answer, or none.
    pub fn settle(&mut self, settings: &Settings, id: u64, status: Option<u16>, now: Timestamp) {
        let Some(mut waiting) = self.flying.remove(&id) else { return };
        if status.is_some_and(|status| (200..300).contains(&status)) {
            return;
        }
        let past = usize::try_from(waiting.attempt.saturating_sub(1)).unwrap_or(usize::MAX);
        match settings.timing.retries.get(past) {
            Some(pause) => {
                waiting.attempt += 1;
                self.put(waiting, now + *pause);
            }
            None => self.given_up += 1,
        }
    }
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    // A key of any length fits HMAC.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// The signature header, as each partner makes it.
fn sign(partner: &str, secrets: &Secrets, body: &[u8], now: Timestamp) -> (String, String) {
    let (name, value) = match partner {
        "shopify" => {
            ("X-Shopify-Hmac-Sha256", BASE64.encode(hmac(secrets.shopify_webhook.as_bytes(), &[body])))
        }
        "shiphero" => {
            ("x-shiphero-hmac-sha256", BASE64.encode(hmac(secrets.shiphero_webhook.as_bytes(), &[body])))
        }
        "easypost" => {
            let key: String = secrets.easypost_webhook.nfkd().collect();
            ("X-Hmac-Signature", format!("hmac-sha256-hex={}", hex::encode(hmac(key.as_bytes(), &[body]))))
        }
        _ => {
            let time = now.as_second().to_string();
            let digest = hmac(secrets.stripe_webhook.as_bytes(), &[time.as_bytes(), b".", body]);
            ("Stripe-Signature", format!("t={time},v1={}", hex::encode(digest)))
        }
    };
    (name.to_owned(), value)
}

//! What a simulated world is set to.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// All settings; [`Settings::default`] is a world without faults at the partners' real limits.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Credentials that the partners accept, and the secrets by which they sign.
    pub secrets: Secrets,
    /// How fast things happen.
    pub timing: Timing,
    /// Rate limits.
    pub limits: Limits,
    /// Chance of each fault, 0 to 1, at each request or webhook.
    pub faults: BTreeMap<Fault, f64>,
    /// What the store sells and the warehouse holds.
    pub catalogue: Vec<Product>,
    /// The store's domain.
    pub shop: String,
    /// The store's location, as a number.
    pub location: u64,
    /// The warehouse's account number.
    pub warehouse_account: u64,
    /// Whether refunds that the store asks for are to be paid at the gateway; for [`super::Ledger::check`].
    pub gateway_refunds: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            secrets: Secrets::default(),
            timing: Timing::default(),
            limits: Limits::default(),
            faults: BTreeMap::new(),
            catalogue: Product::samples(),
            shop: "crossdock-demo.myshopify.com".to_owned(),
            location: 655_441_491,
            warehouse_account: 82_382,
            gateway_refunds: true,
        }
    }
}

impl Settings {
    /// The chance of `fault`.
    pub fn rate(&self, fault: Fault) -> f64 {
        self.faults.get(&fault).copied().unwrap_or(0.0)
    }
    /// Sets every fault to `rate`.
    pub fn all_faults(&mut self, rate: f64) {
        self.faults = Fault::ALL.iter().map(|fault| (*fault, rate)).collect();
    }
}

/// Credentials and signing secrets. They open nothing but the sandbox.
#[derive(Debug, Clone)]
pub struct Secrets {
    /// Shopify access token.
    pub shopify_token: String,
    /// Shopify webhook secret.
    pub shopify_webhook: String,
    /// ShipHero refresh token.
    pub shiphero_refresh: String,
    /// ShipHero webhook secret.
    pub shiphero_webhook: String,
    /// EasyPost key.
    pub easypost_key: String,
    /// EasyPost webhook secret.
    pub easypost_webhook: String,
    /// Stripe key.
    pub stripe_key: String,
    /// Stripe webhook secret.
    pub stripe_webhook: String,
}

impl Secrets {
    /// Each with the name of the file that a config keeps it in.
    #[must_use]
    pub fn files(&self) -> [(&'static str, &str); 8] {
        [
            ("shopify-token", &self.shopify_token),
            ("shopify-webhook", &self.shopify_webhook),
            ("shiphero-refresh", &self.shiphero_refresh),
            ("shiphero-webhook", &self.shiphero_webhook),
            ("easypost-key", &self.easypost_key),
            ("easypost-webhook", &self.easypost_webhook),
            ("stripe-key", &self.stripe_key),
            ("stripe-webhook", &self.stripe_webhook),
        ]
    }
}

impl Default for Secrets {
    fn default() -> Self {
        Self {
            shopify_token: "shpat_sandbox".to_owned(),
            shopify_webhook: "sandbox-shopify-webhook".to_owned(),
            shiphero_refresh: "sandbox-shiphero-refresh".to_owned(),
            shiphero_webhook: "sandbox-shiphero-webhook".to_owned(),
            easypost_key: "EZTKsandbox".to_owned(),
            easypost_webhook: "sandbox-easypost-webhook".to_owned(),
            stripe_key: "sk_test_sandbox".to_owned(),
            stripe_webhook: "whsec_sandbox".to_owned(),
        }
    }
}

/// How fast things happen.
#[derive(Debug, Clone)]
pub struct Timing {
    /// From an event to its webhook.
    pub webhook: Duration,
    /// Pauses between tries of a webhook that was not answered 2xx. The partners' own schedules, compressed.
    pub retries: Vec<Duration>,
    /// From an order's arrival in the warehouse to its allocation.
    pub allocate: Duration,
    /// From an order's arrival in the warehouse to its first parcel, unless the order's script says otherwise.
    pub ship: Duration,
    /// Between parcels of one order.
    pub next_parcel: Duration,
    /// Between the steps of a parcel on its way.
    pub track: Duration,
    /// Life of a ShipHero access token.
    pub token_life: Duration,
    /// How long Stripe surely keeps an idempotency key.
    pub key_life: Duration,
    /// Longest delay of an answer under [`Fault::Delay`].
    pub delay: Duration,
    /// Longest delay of a webhook under [`Fault::WebhookLate`].
    pub late: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            webhook: Duration::from_millis(50),
            retries: [1, 2, 5, 10, 20, 40].map(Duration::from_secs).to_vec(),
            allocate: Duration::from_millis(500),
            ship: Duration::from_secs(4),
            next_parcel: Duration::from_secs(2),
            track: Duration::from_secs(3),
            token_life: Duration::from_hours(28 * 24),
            key_life: Duration::from_hours(24),
            delay: Duration::from_secs(3),
            late: Duration::from_secs(20),
        }
    }
}

/// Rate limits.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Shopify: size of the bucket of points.
    pub shopify_size: f64,
    /// Shopify: points a second.
    pub shopify_refill: f64,
    /// ShipHero: credits at most.
    pub shiphero_size: f64,
    /// ShipHero: credits a second.
    pub shiphero_refill: f64,
    /// ShipHero: requests in five minutes.
    pub shiphero_requests: usize,
    /// EasyPost: requests a second.
    pub easypost_rate: f64,
    /// Stripe: requests a second.
    pub stripe_rate: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            shopify_size: 2000.0,
            shopify_refill: 100.0,
            shiphero_size: 4004.0,
            shiphero_refill: 60.0,
            shiphero_requests: 7000,
            easypost_rate: 20.0,
            stripe_rate: 100.0,
        }
    }
}

/// What can go wrong at a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// HTTP 429 with `Retry-After`; nothing is done.
    RateLimited,
    /// GraphQL's own form of it (`THROTTLED`, credits used up) inside HTTP 200; nothing is done. For others as above.
    Throttled,
    /// The answer comes late.
    Delay,
    /// The connection is cut and nothing was done.
    CutBefore,
    /// The work was done and the connection is cut before the answer.
    CutAfter,
    /// A burst of 500 and 503; in half of them the work was done.
    ServerError,
    /// A webhook comes much later.
    WebhookLate,
    /// A webhook comes twice.
    WebhookTwice,
    /// A webhook overtakes another.
    WebhookDisorder,
    /// A webhook never comes.
    WebhookLost,
    /// An idempotency key older than [`Timing::key_life`] is forgotten.
    ExpiredKey,
    /// The access token ends before its time (ShipHero).
    ExpiredToken,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::RateLimited,
        Self::Throttled,
        Self::Delay,
        Self::CutBefore,
        Self::CutAfter,
        Self::ServerError,
        Self::WebhookLate,
        Self::WebhookTwice,
        Self::WebhookDisorder,
        Self::WebhookLost,
        Self::ExpiredKey,
        Self::ExpiredToken,
    ];

    /// Its word on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::RateLimited => "rate-limited",
            Self::Throttled => "throttled",
            Self::Delay => "delay",
            Self::CutBefore => "cut-before",
            Self::CutAfter => "cut-after",
            Self::ServerError => "server-error",
            Self::WebhookLate => "webhook-late",
            Self::WebhookTwice => "webhook-twice",
            Self::WebhookDisorder => "webhook-disorder",
            Self::WebhookLost => "webhook-lost",
            Self::ExpiredKey => "expired-key",
            Self::ExpiredToken => "expired-token",
        }
    }
}

impl FromStr for Fault {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|fault| fault.word() == text).ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|fault| fault.word()).collect();
            format!("there is no fault `{text}`; there are {}", words.join(", "))
        })
    }
}

/// Something that is sold.
#[derive(Debug, Clone)]
pub struct Product {
    /// Its SKU, the same in store and warehouse.
    pub sku: String,
    /// What the buyer reads.
    pub title: String,
    /// Price of one, in minor units.
    pub price: i64,
    /// Weight of one.
    pub grams: u64,
    /// Units in the warehouse; none: the warehouse does not know the SKU.
    pub on_hand: Option<i64>,
}

impl Product {
    /// A small shop; the warehouse knows all of it but `GHOST-01`.
    pub fn samples() -> Vec<Self> {
        let item = |sku: &str, title: &str, price, grams, on_hand| Self {
            sku: sku.to_owned(),
            title: title.to_owned(),
            price,
            grams,
            on_hand,
        };
        vec![
            item("TEA-01", "Darjeeling, 250 g", 1290, 270, Some(100_000)),
            item("TEA-02", "Assam, 250 g", 1150, 270, Some(100_000)),
            item("POT-01", "Tea pot, 1.2 l", 4900, 900, Some(100_000)),
            item("CUP-04", "Cups, set of four", 3250, 1200, Some(100_000)),
            item("0012345", "Strainer", 790, 60, Some(100_000)),
            item("GHOST-01", "Sold but never stocked", 990, 100, None),
        ]
    }
}

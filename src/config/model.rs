//! The checked model of `config.toml`. Built by [`super::load`]; every value in it is valid and every name resolves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::calendar::Calendar;
use crate::canonical::{AccountId, ClientId, Money};
use crate::diagnostic::Diagnostic;

/// All of `config.toml`, checked.
#[derive(Debug, Clone)]
pub struct Config {
    /// Digest of the files that it was read from: the generation's name, 12 hexadecimal digits.
    pub generation: String,
    /// `[server]`.
    pub server: Server,
    /// `[store]`.
    pub store: StoreConfig,
    /// `[bus]`.
    pub bus: BusConfig,
    /// `[intake]`.
    pub intake: Intake,
    /// `[delivery]`.
    pub delivery: Delivery,
    /// `[log]`.
    pub log: Log,
    /// `[paths]`: where connectors, mappings and lists lie that override the embedded ones.
    pub paths: Paths,
    /// `[account.…]`.
    pub accounts: BTreeMap<AccountId, Account>,
    /// `[flow.…]`, by name.
    pub flows: BTreeMap<String, Flow>,
    /// What works, but probably not as meant.
    pub warnings: Vec<Diagnostic>,
}

impl Config {
    /// The flow of `client`, if it has one.
    #[must_use]
    pub fn flow_of(&self, client: &ClientId) -> Option<&Flow> {
        self.flows.values().find(|flow| flow.client == *client)
    }
    /// The flow in which `account` is a storefront.
    #[must_use]
    pub fn flow_of_storefront(&self, account: &AccountId) -> Option<&Flow> {
        self.flows.values().find(|flow| flow.storefronts.contains(account))
    }
    /// Clients whose messages `account` may carry: its own, or those of its links, or those of the flows that use it.
    #[must_use]
    pub fn clients_of(&self, account: &AccountId) -> Vec<&ClientId> {
        let Some(known) = self.accounts.get(account) else { return Vec::new() };
        if let Some(client) = &known.client {
            return vec![client];
        }
        if !known.links.is_empty() {
            return known.links.keys().collect();
        }
        self.flows.values().filter(|flow| flow.uses(account)).map(|flow| &flow.client).collect()
    }
}

/// `[server]`: webhooks, console, API, metrics.
#[derive(Debug, Clone)]
pub struct Server {
    /// Where to listen. Default `127.0.0.1:7070`.
    pub listen: SocketAddr,
    /// The address under which partners and people reach it, without a slash at the end.
    pub public_url: String,
    /// Token for console and API (`Authorization: Bearer`, or the console's log-in). Required unless `listen` is loopback.
    pub token: Option<SecretString>,
    /// Largest accepted webhook body, bytes. Default 2 MiB.
    pub max_body: usize,
    /// How long a stop may drain. Default 20 s.
    pub drain: Duration,
    /// How long before intake stops `/readyz` says so, for a proxy to turn away. Default 0 s.
    pub announce: Duration,
}

/// `[store]`.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// `kind = "sqlite"`.
    Sqlite {
        /// The database file. Default `crossdock.db` beside the config.
        path: PathBuf,
    },
    /// `kind = "postgres"`.
    Postgres(Postgres),
}

/// `[store]` with `kind = "postgres"`.
#[derive(Debug, Clone)]
pub struct Postgres {
    /// `postgres://user:password@host:port/database`.
    pub url: SecretString,
    /// Authorities (PEM) that may vouch for the server; the system's own without.
    pub ca: Option<PathBuf>,
    /// The file with the key that seals rotating tokens; the same on all nodes. Default `crossdock.key`.
    pub key: PathBuf,
    /// Connections at most. Default 12.
    pub pool: usize,
    /// How long a connection may take to come about. Default 3 s.
    pub connect_timeout: Duration,
    /// How long one transaction may take. Default 10 s.
    pub statement_timeout: Duration,
    /// Bring an older database to the newest form at the start. Default yes.
    pub migrate: bool,
}

/// `[bus]`.
#[derive(Debug, Clone)]
pub enum BusConfig {
    /// `kind = "embedded"`.
    Embedded,
    /// `kind = "rabbitmq"`.
    RabbitMq {
        /// `amqp://user:password@host:5672/vhost`, or `amqps://…`.
        url: SecretString,
        /// Further hosts of the same cluster, tried in turn.
        hosts: Vec<String>,
        /// PEM of the authority that signed the broker's certificate. Default: those that the system knows.
        ca: Option<PathBuf>,
    },
}

/// `[intake]`.
#[derive(Debug, Clone)]
pub struct Intake {
    /// Messages that may wait for the store before webhooks get 503. Default 4096.
    pub queue: usize,
    /// Pending messages of one account above which its webhooks get 503. Default 200,000.
    pub per_account: usize,
    /// Tasks that map and apply. Default 4.
    pub workers: usize,
    /// How long a fact may wait for its subject. Default 24 h.
    pub wait: Duration,
    /// How long raw bodies are kept. Default 90 days.
    pub keep_raw: Duration,
}

/// `[delivery]`.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Deadline of one attempt. Default 10 s.
    pub attempt_timeout: Duration,
    /// Time from the first attempt after which a command that never succeeded becomes an exception. Default 24 h.
    pub give_up: Duration,
    /// First pause after a failure. Default 1 s.
    pub backoff_first: Duration,
    /// Longest pause. Default 10 min.
    pub backoff_max: Duration,
    /// Errors of the account itself in a row that open its breaker. Default 5.
    pub breaker_after: u32,
    /// How long an open breaker waits before it probes. Default 30 s.
    pub breaker_pause: Duration,
    /// How long a lease lasts; must exceed the attempt time-out twice. Default 30 s.
    pub lease: Duration,
    /// Calls in flight per account at most; a manifest may say fewer. Default 8.
    pub in_flight: usize,
    /// How often the sweeper looks. Default 1 s.
    pub sweep: Duration,
}

/// `[log]`.
#[derive(Debug, Clone)]
pub struct Log {
    /// Filter such as `info` or `crossdock=debug`. Default `info`.
    pub filter: String,
    /// One JSON object a line instead of text.
    pub json: bool,
}

/// `[paths]`, relative to the config file.
#[derive(Debug, Clone)]
pub struct Paths {
    /// The folder of `config.toml`.
    pub root: PathBuf,
    /// Connectors that add to or replace the shipped ones, file by file. Default `connectors`.
    pub connectors: PathBuf,
    /// Mappings likewise. Default `mappings`.
    pub mappings: PathBuf,
}

/// `[account.NAME]`: one connection to one partner system.
#[derive(Debug, Clone)]
pub struct Account {
    /// Its name.
    pub id: AccountId,
    /// The connector.
    pub connector: String,
    /// The merchant whose it is; none when several share it.
    pub client: Option<ClientId>,
    /// Settings of the connector, all present, defaults filled in.
    pub settings: BTreeMap<String, String>,
    /// Secrets of the connector; several values while one is rotated, newest first.
    pub secrets: BTreeMap<String, Vec<SecretString>>,
    /// What a shared account calls each client: payload path and value.
    pub links: BTreeMap<ClientId, BTreeMap<String, String>>,
    /// Zone of its timestamps that have none (IANA name).
    pub zone: Option<String>,
    /// Currency of its amounts that have none (ISO 4217).
    pub currency: Option<String>,
    /// Polls that are off, or that run at another interval (`every`).
    pub polls: BTreeMap<String, PollSetting>,
    /// When it works, for a warehouse. `None`: nothing is said of when goods should leave.
    pub calendar: Option<Calendar>,
    /// Whether it is used at all. Default true.
    pub enabled: bool,
}

/// `[account.NAME.poll.POLL]`.
#[derive(Debug, Clone, Default)]
pub struct PollSetting {
    /// Off when false.
    pub enabled: Option<bool>,
    /// Another interval.
    pub every: Option<Duration>,
}

/// `[flow.NAME]`: what serves one client, and by which rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flow {
    /// Its name.
    pub name: String,
    /// The merchant.
    pub client: ClientId,
    /// False: shows what it would do, sends nothing.
    pub live: bool,
    /// Older orders are never released.
    pub start: Option<Timestamp>,
    /// Accounts that sell.
    pub storefronts: Vec<AccountId>,
    /// Accounts that send goods, first choice first.
    pub warehouses: Vec<AccountId>,
    /// `[flow.NAME.route.ROUTE]`, in the order of the file: the first that fits an order says which warehouses may have
    /// it. None fits: all of them.
    pub routes: Vec<RouteRule>,
    /// `split = { … }`: whether several warehouses may share an order. `None`: never.
    pub split: Option<SplitRule>,
    /// Account that follows parcels.
    pub tracking: Option<AccountId>,
    /// Account at which labels are bought for what the warehouse packs without one.
    pub labels: Option<AccountId>,
    /// Account at which money is captured and refunded.
    pub gateway: Option<AccountId>,
    /// When orders may go to the warehouse.
    pub release: ReleaseRule,
    /// `[flow.NAME.hold.HOLD]`.
    pub holds: BTreeMap<String, HoldRule>,
    /// SKU aliases: (account, their SKU) to (our SKU, units each). Empty: SKUs are the same everywhere.
    pub skus: SkuTable,
    /// Ship-method aliases: storefront's method to the warehouse's carrier and service.
    pub ship_methods: BTreeMap<String, ShipMethod>,
    /// When to capture.
    pub capture: CaptureRule,
    /// Who pays refunds out that the storefront asks for.
    pub refund: RefundRule,
    /// Stock.
    pub stock: StockRule,
}

impl Flow {
    /// Whether `account` plays any part in it.
    #[must_use]
    pub fn uses(&self, account: &AccountId) -> bool {
        self.storefronts.contains(account)
            || self.warehouses.contains(account)
            || [&self.tracking, &self.labels, &self.gateway].into_iter().flatten().any(|id| id == account)
    }
}

/// `release = { … }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseRule {
    /// Payment axis words that let an order go. Default `["authorised", "paid"]`; orders on `unpaid` terms go anyway.
    pub payment: Vec<String>,
    /// Wait this long after the order was placed (time for a change of mind). Default 0.
    pub after: Duration,
}

/// One route: which warehouses may have the orders that it fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteRule {
    /// Its name.
    pub name: String,
    /// Field of the order and condition, as for holds.
    pub when: Vec<(String, Condition)>,
    /// First choice first.
    pub warehouses: Vec<AccountId>,
}

/// `split = { by = "stock" }`: what one warehouse does not have, another may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitRule {
    /// How many warehouses may share an order at most. Default 2.
    pub warehouses: usize,
    /// `[flow.NAME.carries]`: our SKUs that a warehouse keeps, `*` at the end for all that begin so. One that is not named
    /// may have everything.
    pub carries: BTreeMap<AccountId, Vec<String>>,
}

impl SplitRule {
    /// Whether `warehouse` keeps `sku`, as far as the rule says.
    #[must_use]
    pub fn carried(&self, warehouse: &AccountId, sku: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(start) => sku.starts_with(start),
            None => pattern == sku,
        };
        self.carries.get(warehouse).is_none_or(|list| list.iter().any(fits))
    }
}

/// One hold rule: when it fits, the order waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoldRule {
    /// Field of the order and condition: `total = { ge = "500 USD" }`, `ship_to.country = ["RU"]`, `tags = { contains = "check" }`.
    pub when: Vec<(String, Condition)>,
    /// What to show.
    pub say: String,
}

/// A condition on a field, compared as text (money and numbers by value).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Any of these.
    AnyOf(Vec<String>),
    /// None of these.
    Not(Vec<String>),
    /// Present or absent.
    Exists(bool),
    /// At least.
    Ge(String),
    /// Greater.
    Gt(String),
    /// At most.
    Le(String),
    /// Less.
    Lt(String),
    /// A text or list that contains it.
    Contains(String),
}

/// SKU aliases of a flow (`skus = "lists/acme-skus.csv"`, columns account, theirs, ours, each).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkuTable {
    /// The file, for messages.
    pub file: Option<String>,
    /// (account, their SKU) to (our SKU, our units in one of theirs).
    pub rows: BTreeMap<(AccountId, String), (String, u64)>,
}

/// A warehouse's carrier and service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShipMethod {
    /// Carrier.
    pub carrier: String,
    /// Service.
    pub service: String,
}

/// `capture = "…"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaptureRule {
    /// Never: the storefront captures.
    None,
    /// All of it when the first units leave (gateways that allow one capture an authorisation).
    FirstShipment,
    /// All of it when the warehouse has the order.
    Release,
}

/// `refund = "…"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefundRule {
    /// The storefront pays refunds out itself.
    Storefront,
    /// We refund at the gateway what the storefront asked for.
    Gateway,
}

/// `[flow.NAME.stock]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockRule {
    /// Reserve before release. Default true. A SKU for which no level was heard yet counts as in stock.
    pub reserve: bool,
    /// Push levels to the storefronts. Default true.
    pub push: bool,
    /// Units kept back from the storefronts. Default 0.
    pub buffer: u64,
    /// Storefront account to the location id there to set; storefronts without one get no levels.
    pub locations: BTreeMap<AccountId, String>,
}

/// A value of `settings` or of a condition as text.
#[must_use]
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// Money of a condition such as `"500 USD"`.
#[must_use]
pub fn money_of(text: &str) -> Option<Money> {
    text.parse().ok()
}

//! A daemon's store and web routes on loopback, filled by hand: what the console and the API show.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use crossdock::canonical::{
    AccountId, ClientId, EntityId, Exception, ExternalRef, Intent, IntentState, MessageId,
};
use crossdock::config::model::{
    Account, BusConfig, CaptureRule, Config, Delivery, Flow, Intake, Log, Paths, RefundRule, ReleaseRule,
    Server, SkuTable, StockRule, StoreConfig,
};
use crossdock::config::world::World;
use crossdock::connector::Registry;
use crossdock::io::bus::embedded::EmbeddedBus;
use crossdock::io::clock::SystemClock;
use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::{
    Accepted, Bus, Clock, Committed, EntityIndex, EntityWrite, Event, Frozen, LANES, LaneState, NewMessage,
    Origin, Settled, Store, Unit,
};
use crossdock::web::{WebState, router};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::seeds::Seed;

/// All of it.
pub struct House {
    pub store: Arc<SqliteStore>,
    pub bus: Arc<EmbeddedBus>,
    pub address: SocketAddr,
    pub stop: CancellationToken,
    pub now: Timestamp,
    _folder: tempfile::TempDir,
}

impl House {
    /// Opens a store and serves it on a port of its own.
    pub async fn open(token: Option<&str>) -> Self {
        Self::with(config(token)).await
    }

    /// The same, with this config.
    pub async fn with(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::open(folder.path().join("test.db"), Options::default()).unwrap();
        let bus = Arc::new(EmbeddedBus::new());
        let stop = CancellationToken::new();
        let world = World { config, registry: Registry::default() };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let clock = Arc::new(SystemClock);
        let app = router(WebState {
            store: store.clone(),
            bus: bus.clone(),
            world: Arc::new(ArcSwap::from_pointee(world)),
            generations: None,
            clock: clock.clone(),
            metrics: None,
            hooks: axum::Router::new(),
            leaving: stop.clone(),
            shutdown: stop.clone(),
        });
        let ended = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, app).with_graceful_shutdown(ended).await });
        Self { store, bus, address, stop, now: clock.now(), _folder: folder }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn ago(&self, seconds: i64) -> Timestamp {
        self.now - SignedDuration::from_secs(seconds)
    }

    /// Stores a raw message.
    pub async fn message(&self, account: &str, topic: &str, body: &str, ago: i64) -> MessageId {
        let message = NewMessage {
            account: account.into(),
            origin: Origin::Webhook,
            topic: topic.to_owned(),
            mapping: topic.split('/').next().unwrap_or_default().trim_end_matches('s').to_owned(),
            event_id: Some(format!("{account}-{topic}-{ago}")),
            headers: vec![
                ("content-type".to_owned(), "application/json".to_owned()),
                ("x-shopify-topic".to_owned(), topic.to_owned()),
            ],
            body: Bytes::from(body.to_owned()),
            received: self.ago(ago),
            priority: 0,
            shard: 0,
            context: None,
        };
        match self.store.accept(vec![message], None).await.unwrap()[0] {
            Accepted::New(id) | Accepted::Duplicate(id) => id,
        }
    }

    /// Commits one order and publishes an event of it, as the daemon does.
    pub async fn put(&self, seed: Seed) -> EntityId {
        let Seed { order, facts, intents, exceptions } = seed;
        let expected = self.store.load(std::slice::from_ref(&order.id)).await.unwrap()[0].version;
        let mut state = serde_json::to_value(&order).unwrap();
        let contact = state.as_object_mut().unwrap().remove("contact").unwrap();
        let number = order.number.clone().unwrap_or_default();
        let words: Vec<String> = order.lines.iter().filter_map(|line| line.sku.clone()).collect();
        let mut refs = vec![ExternalRef::of_client(&order.client, "number", &number)];
        refs.extend(order.refs.iter().cloned());
        let write = EntityWrite {
            id: order.id.clone(),
            expected,
            client: order.client.clone(),
            index: EntityIndex {
                account: order.storefront.clone(),
                label: number.clone(),
                phase: order.phase.word().to_owned(),
                placed: order.placed_at.map(|at| at.instant()),
                words: format!("{number} {}", words.join(" ")),
            },
            state: state.into(),
            reservations: Vec::new(),
            personal: json!({ "contact": contact }),
            facts,
            heard: None,
            superseded: Vec::new(),
            refs,
            intents,
            exceptions: Some(exceptions),
            timers: Vec::new(),
            events: Vec::new(),
        };
        let unit = Unit { at: self.now, entities: vec![write], ..Unit::default() };
        let done = self.store.commit(vec![unit]).await.unwrap();
        assert!(matches!(done[0], Committed::Done { .. }), "{done:?}");
        let event = Event {
            ordinal: expected + 1,
            client: order.client,
            entity: order.id.clone(),
            version: expected + 1,
            name: "order.phase".to_owned(),
            data: json!({ "phase": order.phase.word() }).into(),
            at: self.now,
        };
        self.bus.publish(&event).await.unwrap();
        order.id
    }

    /// Sends a pending intent and settles it.
    pub async fn settle(&self, entity: &EntityId, intent: &Intent, state: IntentState, note: &str) {
        let lease = self
            .store
            .lease(&intent.account, "test", self.now, self.now + SignedDuration::from_secs(60), None)
            .await
            .unwrap()
            .unwrap();
        let version = self.store.load(std::slice::from_ref(entity)).await.unwrap()[0].version;
        let frozen = Frozen {
            intent: intent.id,
            entity_version: version,
            epoch: lease.epoch,
            request: json!({ "method": "POST" }),
            digest: "d".to_owned(),
            content: json!({ "ref": entity.as_str(), "lines": [{ "sku": "TEA-01", "quantity": 2 }] }),
            at: intent.due,
        };
        assert!(self.store.freeze(frozen).await.unwrap());
        let stuck = matches!(state, IntentState::Stuck | IntentState::Rejected);
        let exception = stuck.then(|| Exception {
            id: 0,
            cause: format!("outcome_unknown:{}:{}", intent.account, intent.command),
            kind: "outcome_unknown".to_owned(),
            message: format!(
                "{}: the connection was cut after the request was sent, and {} offers no look-up",
                intent.command, intent.account
            ),
            help: Some("look there by our reference, then decide: it exists, or send again".to_owned()),
            account: Some(intent.account.clone()),
            client: Some("acme".into()),
            entity: Some(entity.clone()),
            message_id: None,
            intent: Some(intent.id),
            raised: self.now,
            resolved: None,
            resolution: None,
        });
        let settled = Settled {
            intent: intent.id,
            epoch: lease.epoch,
            state,
            due: self.now + SignedDuration::from_secs(90),
            note: note.to_owned(),
            answer: None,
            exception,
            at: intent.due + SignedDuration::from_secs(1),
        };
        self.store.settle(vec![settled]).await.unwrap();
        self.store.release_lease(&intent.account, "test", lease.epoch).await.unwrap();
    }

    /// What a lane tells of itself.
    pub async fn lane(&self, account: &str, lane: &LaneState) {
        let value = serde_json::to_value(lane).unwrap();
        self.store.put(LANES, account, value, None).await.unwrap();
    }
}

fn config(token: Option<&str>) -> Config {
    let account = |id: &str, connector: &str, client: Option<&str>| {
        let account = Account {
            id: id.into(),
            connector: connector.to_owned(),
            client: client.map(ClientId::from),
            settings: BTreeMap::new(),
            secrets: BTreeMap::new(),
            links: BTreeMap::new(),
            zone: None,
            currency: None,
            polls: BTreeMap::new(),
            calendar: None,
            enabled: true,
        };
        (AccountId::from(id), account)
    };
    let flow = |client: &str, live: bool| {
        let flow = Flow {
            name: client.to_owned(),
            client: client.into(),
            live,
            start: None,
            storefronts: vec![format!("{client}-shop").into()],
            warehouses: vec!["east".into()],
            routes: Vec::new(),
            split: None,
            tracking: Some("post".into()),
            labels: None,
            gateway: Some(format!("{client}-pay").into()),
            release: ReleaseRule { payment: vec!["paid".into()], after: Duration::ZERO },
            holds: BTreeMap::new(),
            skus: SkuTable::default(),
            ship_methods: BTreeMap::new(),
            capture: CaptureRule::FirstShipment,
            refund: RefundRule::Storefront,
            stock: StockRule { reserve: true, push: true, buffer: 0, locations: BTreeMap::new() },
        };
        (client.to_owned(), flow)
    };
    let second = Duration::from_secs(1);
    Config {
        warnings: Vec::new(),
        generation: "1a2b3c4d5e6f".into(),
        server: Server {
            listen: "127.0.0.1:7070".parse().unwrap(),
            public_url: "https://crossdock.example.com".into(),
            token: token.map(SecretString::from),
            max_body: 1 << 21,
            drain: second,
            announce: Duration::ZERO,
        },
        store: StoreConfig::Sqlite { path: "crossdock.db".into() },
        bus: BusConfig::Embedded,
        intake: Intake { queue: 16, per_account: 100, workers: 1, wait: second, keep_raw: second },
        delivery: Delivery {
            attempt_timeout: second,
            give_up: second,
            backoff_first: second,
            backoff_max: second,
            breaker_after: 5,
            breaker_pause: second,
            lease: second * 30,
            in_flight: 8,
            sweep: second,
        },
        log: Log { filter: "info".into(), json: false },
        paths: Paths { root: ".".into(), connectors: "connectors".into(), mappings: "mappings".into() },
        accounts: BTreeMap::from([
            account("acme-shop", "shopify", Some("acme")),
            account("zen-shop", "shopify", Some("zen")),
            account("east", "shiphero", None),
            account("post", "easypost", None),
            account("acme-pay", "stripe", Some("acme")),
        ]),
        flows: BTreeMap::from([flow("acme", true), flow("zen", false)]),
    }
}

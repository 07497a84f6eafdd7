//! A lane on a bench: the real store on the caller's thread, a clock that stands until it is moved, and a partner that
//! says what the test tells it to.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use crossdock::canonical::{AccountId, Class, ClientId, EntityId, Exception, Intent, IntentState};
use crossdock::config::{Sources, World, load};
use crossdock::connector;
use crossdock::deliver::{Deps, Lane, LaneStep, Seal};
use crossdock::io::bus::embedded::EmbeddedBus;
use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::{
    Clock, Committed, EntityIndex, EntityWrite, ExceptionQuery, Http, HttpError, HttpRequest, HttpResponse,
    INBOUND_SHARDS, Message, Store, Unit,
};
use crossdock::process::Worker;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::sync::Notify;

pub const MANIFEST: &str = include_str!("lab.toml");
pub const ACCOUNT: &str = "lab";

// ---------------------------------------------------------------------------------------------------------- the clock

pub struct BenchClock {
    nanos: AtomicI64,
    random: AtomicU64,
}

impl Clock for BenchClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.nanos.load(Ordering::SeqCst))).unwrap()
    }
    fn random(&self) -> u64 {
        // Large, so that jitter hardly shortens pauses; different each time.
        u64::MAX - self.random.fetch_add(1, Ordering::SeqCst) * 7919
    }
}

impl BenchClock {
    pub fn advance(&self, by: Duration) {
        self.nanos.fetch_add(i64::try_from(by.as_nanos()).unwrap(), Ordering::SeqCst);
    }
    pub fn set(&self, to: Timestamp) {
        self.nanos.fetch_max(i64::try_from(to.as_nanosecond()).unwrap(), Ordering::SeqCst);
    }
}

// -------------------------------------------------------------------------------------------------------- the partner

/// What the partner does with one request.
pub enum Reply {
    /// Answers.
    Says(u16, Vec<(&'static str, String)>, String),
    /// Cannot be reached.
    Unreachable,
    /// Takes it and never answers.
    Silent,
    /// Takes this long, then does the other.
    After(Duration, Box<Reply>),
    /// Waits until it is told to go on.
    Gate(Arc<Notify>, Box<Reply>),
    /// Breaks our client.
    Panics,
}

pub fn ok(body: Value) -> Reply {
    Reply::Says(200, Vec::new(), body.to_string())
}

pub fn status(code: u16) -> Reply {
    Reply::Says(code, Vec::new(), json!({ "message": format!("the lab says {code}") }).to_string())
}

type Script = Box<dyn FnMut(&HttpRequest) -> Reply + Send>;

#[derive(Default)]
pub struct Partner {
    script: Mutex<Option<Script>>,
    queue: Mutex<VecDeque<Reply>>,
    pub calls: Mutex<Vec<(Timestamp, HttpRequest)>>,
    clock: Mutex<Option<Arc<BenchClock>>>,
}

impl Partner {
    /// Replies to the next request.
    pub fn next(&self, reply: Reply) {
        self.queue.lock().unwrap().push_back(reply);
    }
    /// Replies to all requests for which none is queued.
    pub fn always(&self, script: impl FnMut(&HttpRequest) -> Reply + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(script));
    }
    /// Method and path of all calls so far.
    pub fn heard(&self) -> Vec<String> {
        let calls = self.calls.lock().unwrap();
        calls.iter().map(|(_, call)| format!("{} {}", call.method, path(&call.url))).collect()
    }
    pub fn times(&self) -> Vec<Timestamp> {
        self.calls.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }
    pub fn last(&self) -> HttpRequest {
        self.calls.lock().unwrap().last().unwrap().1.clone()
    }
}

pub fn path(url: &str) -> &str {
    url.strip_prefix("http://lab.test").unwrap_or(url)
}

#[async_trait]
impl Http for Partner {
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpError> {
        let clock = self.clock.lock().unwrap().clone().unwrap();
        self.calls.lock().unwrap().push((clock.now(), request.clone()));
        let queued = self.queue.lock().unwrap().pop_front();
        let mut reply = match queued {
            Some(reply) => reply,
            None => match self.script.lock().unwrap().as_mut() {
                Some(script) => script(&request),
                None => ok(json!({ "id": "x1" })),
            },
        };
        loop {
            reply = match reply {
                Reply::Says(status, headers, body) => {
                    let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
                    return Ok(HttpResponse { status, headers, body: Bytes::from(body) });
                }
                Reply::Unreachable => return Err(HttpError::NotSent("refused".to_owned())),
                Reply::Silent => {
                    clock.advance(timeout);
                    return Err(HttpError::NoAnswer("timed out".to_owned()));
                }
                Reply::After(time, then) => {
                    clock.advance(time);
                    *then
                }
                Reply::Gate(gate, then) => {
                    gate.notified().await;
                    *then
                }
                Reply::Panics => panic!("the client breaks"),
            };
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- the bench

pub struct Bench {
    pub store: Arc<dyn Store>,
    pub partner: Arc<Partner>,
    pub clock: Arc<BenchClock>,
    pub world: Arc<ArcSwap<World>>,
    pub lane: Lane,
    _folder: tempfile::TempDir,
}

pub fn world(manifest: &str, config: &str) -> World {
    let mut sources = Sources::default();
    sources.insert("connectors/lab/connector.toml", manifest);
    sources.insert(
        "mappings/lab/thing.in.toml",
        "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\nat = \"at\"\n[nothing]\nwhen = { id = { exists = false } }\n",
    );
    sources.insert("config.toml", config);
    let (registry, problems) = connector::load(&sources);
    let errors: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(registry.get("lab").is_some(), "{errors:#?}");
    let env = |name: &str| Some(format!("the {name}"));
    let config = load(&sources, "config.toml", &registry, &env, &|_| Err("no files here".to_owned()));
    World { config: config.unwrap_or_else(|problems| panic!("{problems:#?}")), registry }
}

pub const CONFIG: &str = r#"
[account.lab]
connector = "lab"
client    = "acme"
secrets   = { key = { env = "KEY" } }
[account.lab.poll.orders]
enabled   = false
[flow.acme]
client      = "acme"
live        = true
storefronts = ["lab"]
warehouses  = ["lab"]
"#;

impl Bench {
    pub fn new() -> Self {
        Self::with(world(MANIFEST, CONFIG))
    }

    pub fn with(world: World) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { inline: true, ..Options::default() };
        let store: Arc<dyn Store> = SqliteStore::open(folder.path().join("lab.db"), options).unwrap();
        Self::on(store, folder, world)
    }

    pub fn on(store: Arc<dyn Store>, folder: tempfile::TempDir, world: World) -> Self {
        let start: Timestamp = "2026-03-01T08:00:00Z".parse().unwrap();
        let clock = BenchClock {
            nanos: AtomicI64::new(i64::try_from(start.as_nanosecond()).unwrap()),
            random: AtomicU64::new(1),
        };
        let clock = Arc::new(clock);
        let partner = Arc::new(Partner::default());
        *partner.clock.lock().unwrap() = Some(clock.clone());
        let world = Arc::new(ArcSwap::from_pointee(world));
        let deps = deps(&store, &partner, &clock, &world, start);
        let lane = Lane::new(AccountId::from(ACCOUNT), deps);
        Self { store, partner, clock, world, lane, _folder: folder }
    }

    /// Another process on the same store.
    pub fn another(&self) -> Lane {
        self.another_with(&self.partner)
    }

    /// Another process on the same store, whose calls `partner` hears.
    pub fn another_with(&self, partner: &Arc<Partner>) -> Lane {
        let deps = deps(&self.store, partner, &self.clock, &self.world, self.clock.now());
        Lane::new(AccountId::from(ACCOUNT), deps)
    }

    /// A partner with ears of its own.
    pub fn partner(&self) -> Arc<Partner> {
        let partner = Partner::default();
        *partner.clock.lock().unwrap() = Some(self.clock.clone());
        Arc::new(partner)
    }

    /// The process dies: its lane is gone, another starts once the lease has run out.
    pub fn dies(&mut self) {
        self.lane = self.another();
        self.pass(30);
    }

    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    pub async fn step(&mut self) -> LaneStep {
        self.lane.step().await
    }

    /// Steps until nothing is left to do within `seconds`, moving the clock to where the lane wants to look again.
    pub async fn run(&mut self, seconds: i64) {
        let end = self.clock.now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
        for _ in 0..10_000 {
            let step = self.lane.step().await;
            match step.next {
                Some(next) if next <= end => self.clock.set(next),
                _ => {
                    self.clock.set(end);
                    return;
                }
            }
        }
        panic!("the lane does not come to rest");
    }

    /// Works on all that is pending.
    pub async fn work(&self) {
        let worker = Worker {
            store: self.store.clone(),
            bus: Arc::new(EmbeddedBus::new()),
            clock: self.clock.clone(),
            world: self.world.clone(),
            backlog: Arc::default(),
            stocks: None,
        };
        for shard in 0..INBOUND_SHARDS {
            while worker.step(shard).await.unwrap() > 0 {}
        }
    }

    /// An order with one intent.
    pub async fn intend(&self, order: &str, command: &str, args: Value) -> Intent {
        self.intend_as(order, command, class_of(command), args).await
    }

    pub async fn intend_as(&self, order: &str, command: &str, class: Class, args: Value) -> Intent {
        let now = self.clock.now();
        let (client, account) = (ClientId::from("acme"), AccountId::from(ACCOUNT));
        let id = EntityId::order(&client, &account, order);
        let slot = format!("{command}/{order}");
        let Value::Object(args) = args else { panic!("arguments are an object") };
        let intent = Intent {
            id: Intent::id_of(&id, &slot, 0),
            entity: id.clone(),
            slot,
            generation: 0,
            account,
            command: command.to_owned(),
            class,
            args,
            state: IntentState::Pending,
            attempts: 0,
            due: now,
            created: now,
            sent_digest: String::new(),
            sent_content: None,
            error: None,
        };
        self.write(&id, order, vec![intent.clone()]).await;
        intent
    }

    /// A new version of an order.
    pub async fn write(&self, id: &EntityId, order: &str, intents: Vec<Intent>) {
        self.write_with(id, order, json!({}), intents).await;
    }

    /// A new version of an order, with fields of its own.
    pub async fn write_with(&self, id: &EntityId, order: &str, more: Value, intents: Vec<Intent>) {
        let (client, account) = (ClientId::from("acme"), AccountId::from(ACCOUNT));
        let expected =
            self.store.load(std::slice::from_ref(id)).await.unwrap().pop().map_or(0, |record| record.version);
        let mut state = json!({ "id": id, "client": client, "storefront": account, "ref": order });
        state.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let write = EntityWrite {
            id: id.clone(),
            expected,
            client: client.clone(),
            index: EntityIndex { account: account.clone(), ..EntityIndex::default() },
            state: state.into(),
            reservations: Vec::new(),
            personal: Value::Null,
            facts: Vec::new(),
            heard: None,
            superseded: Vec::new(),
            refs: Vec::new(),
            intents,
            exceptions: None,
            timers: Vec::new(),
            events: Vec::new(),
        };
        let unit = Unit { at: self.clock.now(), entities: vec![write], ..Unit::default() };
        let done = self.store.commit(vec![unit]).await.unwrap();
        assert!(matches!(done[0], Committed::Done { .. }), "{done:?}");
    }

    /// The intent as the store has it.
    pub async fn intent(&self, intent: &Intent) -> Intent {
        let record = self.store.load(std::slice::from_ref(&intent.entity)).await.unwrap().pop().unwrap();
        record.intents.into_iter().find(|known| known.id == intent.id).unwrap()
    }

    pub async fn state(&self, intent: &Intent) -> IntentState {
        self.intent(intent).await.state
    }

    /// Kinds of all open exceptions, sorted.
    pub async fn troubles(&self) -> Vec<String> {
        let mut kinds: Vec<String> = self.exceptions().await.into_iter().map(|open| open.kind).collect();
        kinds.sort_unstable();
        kinds
    }

    pub async fn exceptions(&self) -> Vec<Exception> {
        self.store.exceptions(&ExceptionQuery::default()).await.unwrap()
    }

    /// Pending messages that are no facts of our own: answers, and items of polls.
    pub async fn inbox(&self) -> Vec<Message> {
        let mut all = Vec::new();
        for shard in 0..INBOUND_SHARDS {
            all.extend(self.store.pending(shard, 1000).await.unwrap());
        }
        all.retain(|message| message.content.origin != crossdock::ports::Origin::Fact);
        all.sort_by_key(|message| message.id);
        all
    }
}

fn deps(
    store: &Arc<dyn Store>,
    partner: &Arc<Partner>,
    clock: &Arc<BenchClock>,
    world: &Arc<ArcSwap<World>>,
    started: Timestamp,
) -> Deps {
    Deps {
        store: store.clone(),
        bus: Arc::new(EmbeddedBus::new()),
        http: partner.clone(),
        clock: clock.clone(),
        world: world.clone(),
        owner: "bench".to_owned(),
        seal: Seal::new(b"the key of the bench").map(Arc::new),
        started,
        careful: false,
    }
}

fn class_of(command: &str) -> Class {
    match command {
        "order.cancel" => Class::Cancel,
        "payment.capture" | "payment.void" | "payment.refund" => Class::Money,
        "tracker.create" | "fulfilment.create" => Class::Tracking,
        "inventory.set" => Class::Stock,
        _ => Class::Order,
    }
}

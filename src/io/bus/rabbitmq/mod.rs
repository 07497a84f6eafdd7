//! The bus of many nodes, on `RabbitMQ` 3.10 to 4.x.
//!
//! Two connections, for publishing and for consuming, each with its own supervisor: connect to the next host, declare the
//! topology, work until something fails, tear everything down, wait a little, begin again, for ever. The library's own
//! recovery stays off (with it a closed consumer's stream hangs), and its pairing of returned messages is not relied on:
//! what no binding wants goes to an alternate exchange.
//!
//! Hints are coalesced before they are sent and need no confirm: when the broker is away they go to this node itself.
//! Events and commands are confirmed, many at a time.

mod connect;
mod consume;
mod listen;
mod message;
mod publish;
pub mod topology;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use futures::stream::BoxStream;
use secrecy::SecretString;
use tokio::sync::{Mutex, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use self::connect::{Address, BadAddress, open};
use self::listen::Listeners;
use self::publish::Publisher;
use super::hints::Hints;
use crate::ports::{Bus, BusError, Command, Event, Hint, Received};

/// How to reach the broker.
#[derive(Debug, Clone)]
pub struct Options {
    /// `amqp://user:password@host:5672/vhost`, or `amqps://…`.
    pub url: SecretString,
    /// Further hosts of the same cluster, `host` or `host:port`, tried in turn.
    pub hosts: Vec<String>,
    /// PEM of the authority that signed the broker's certificate, when the system does not know it.
    pub ca: Option<String>,
    /// What the broker shows as the connection's name.
    pub name: String,
}

/// [`Bus`] on `RabbitMQ`.
#[derive(Debug)]
pub struct RabbitBus {
    shared: Arc<Shared>,
    received: Mutex<mpsc::Receiver<Received>>,
    publisher: Publisher,
    tasks: TaskTracker,
}

/// What the supervisors share.
#[derive(Debug)]
struct Shared {
    address: Address,
    /// For this node to act on.
    hints: Hints,
    /// For the broker.
    outgoing: Hints,
    listeners: Listeners,
    taken: mpsc::Sender<Received>,
    consuming: AtomicBool,
    closed: CancellationToken,
}

/// Messages that were delivered to us and not yet looked at.
const RECEIVED_KEPT: usize = 64;

impl RabbitBus {
    /// Starts the supervisors. The broker need not be there yet: until it is, hints stay on this node, and events and
    /// commands are refused.
    ///
    /// # Errors
    /// When the address cannot be read.
    pub fn start(options: &Options) -> Result<Self, BadAddress> {
        let address = Address::read(options)?;
        let (taken, received) = mpsc::channel(RECEIVED_KEPT);
        let shared = Arc::new(Shared {
            address,
            hints: Hints::default(),
            outgoing: Hints::default(),
            listeners: Listeners::default(),
            taken,
            consuming: AtomicBool::new(false),
            closed: CancellationToken::new(),
        });
        let tasks = TaskTracker::new();
        let publisher = Publisher::start(&shared, &tasks);
        tasks.spawn(consume::supervise(Arc::clone(&shared)));
        tasks.close();
        Ok(Self { shared, received: Mutex::new(received), publisher, tasks })
    }

    /// Whether both connections stand.
    #[must_use]
    pub fn connected(&self) -> bool {
        self.publisher.connected() && self.shared.consuming.load(Ordering::Relaxed)
    }
}

impl Drop for RabbitBus {
    fn drop(&mut self) {
        self.shared.closed.cancel();
    }
}

#[async_trait]
impl Bus for RabbitBus {
    async fn hint(&self, hint: Hint) {
        if self.connected() {
            self.shared.outgoing.push(hint);
        } else {
            self.shared.hints.push(hint);
        }
    }

    async fn next(&self) -> Option<Hint> {
        self.shared.hints.next().await
    }

    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        let body = message::event_body(event).map_err(BusError)?;
        let key = message::event_key(event);
        self.publisher.confirmed(topology::EVENTS, &key, &body, message::event_properties(event)).await
    }

    async fn command(&self, command: &Command) -> Result<(), BusError> {
        let properties = message::command_properties(command);
        self.publisher.confirmed(topology::COMMANDS, &command.key, &command.body, properties).await
    }

    async fn received(&self) -> Option<Received> {
        let mut received = self.received.lock().await;
        tokio::select! {
            biased;
            () = self.shared.closed.cancelled() => None,
            message = received.recv() => message,
        }
    }

    async fn listen(&self) -> BoxStream<'static, Event> {
        self.shared.listeners.listen(self.shared.consuming.load(Ordering::Relaxed)).await
    }

    async fn close(&self) {
        self.shared.closed.cancel();
        self.shared.hints.close();
        self.shared.outgoing.close();
        self.tasks.wait().await;
    }
}

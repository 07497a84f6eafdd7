//! What stands on the broker: exchanges, queues and bindings, and how they compare with what should stand there.
//!
//! Names carry a version because a queue's arguments cannot be changed: another argument is another queue. The queues
//! need `RabbitMQ` 3.10 or later and no plugin.

use std::fmt::{self, Write as _};

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ExchangeKind};
use serde::Serialize;

use crate::ports::INBOUND_SHARDS;

/// Hints between nodes.
pub const WORK: &str = "crossdock.work";
/// Canonical events, for anyone.
pub const EVENTS: &str = "crossdock.events";
/// What in-house systems tell us instead of by webhook.
pub const INBOUND: &str = "crossdock.inbound";
/// Commands for accounts whose protocol is AMQP.
pub const COMMANDS: &str = "crossdock.commands";
/// Dead letters.
pub const DEAD: &str = "crossdock.dead";
/// What no binding wants.
pub const UNROUTED: &str = "crossdock.unrouted";
/// The queue of [`INBOUND`].
pub const INBOUND_QUEUE: &str = "crossdock.inbound.v1";
/// The queue of [`DEAD`] and [`UNROUTED`].
pub const PARKED_QUEUE: &str = "crossdock.parked.v1";
/// Shards of outbound hints.
pub const OUTBOUND_SHARDS: u16 = 32;
/// Routing key by which a hint reaches every node.
pub const ALL_NODES: &str = "all";

const MIB: i64 = 1024 * 1024;

/// An exchange. All are durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Exchange {
    /// Its name.
    pub name: String,
    /// `topic` or `fanout`.
    pub kind: String,
    /// Where messages go that no binding wants.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternate: Option<String>,
}

/// A queue. All are durable quorum queues.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<(String, Argument)>,
}

/// A queue argument's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Argument {
    /// Words.
    Text(String),
    /// Bytes, a count.
    Whole(i64),
    /// Yes or no.
    Flag(bool),
}

/// What an exchange gives to a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Binding {
    /// From.
    pub exchange: String,
    /// To.
    pub queue: String,
    /// Which routing keys.
    pub key: String,
}

/// All that the daemon declares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Topology {
    /// In the order in which they are declared.
    pub exchanges: Vec<Exchange>,
    /// In the order in which they are declared.
    pub queues: Vec<Queue>,
    /// After both.
    pub bindings: Vec<Binding>,
}

/// A difference between the broker and the [`Topology`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `exchange crossdock.work`.
    pub what: String,
    /// The broker's words.
    pub found: String,
}

fn text(value: &str) -> Argument {
    Argument::Text(value.to_owned())
}

fn queue(name: String, arguments: &[(&str, Argument)]) -> Queue {
    let kind = ("x-queue-type".to_owned(), text("quorum"));
    let given = arguments.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
    Queue { name, arguments: std::iter::once(kind).chain(given).collect() }
}

/// The queue of an inbound shard.
pub fn inbound_queue(shard: u16) -> String {
    format!("crossdock.in.s{shard:02}.v1")
}

/// The queue of an outbound shard.
pub fn outbound_queue(shard: u16) -> String {
    format!("crossdock.out.s{shard:02}.v1")
}

impl Default for Topology {
    fn default() -> Self {
        Self::new()
    }
}

impl Topology {
    /// What this version of the daemon works with.
    #[must_use]
    pub fn new() -> Self {
        let exchange = |name: &str, kind: &str, alternate: Option<&str>| Exchange {
            name: name.to_owned(),
            kind: kind.to_owned(),
            alternate: alternate.map(str::to_owned),
        };
        let exchanges = vec![
            exchange(DEAD, "topic", None),
            exchange(UNROUTED, "fanout", None),
            exchange(WORK, "topic", Some(UNROUTED)),
            exchange(EVENTS, "topic", None),
            exchange(INBOUND, "topic", Some(UNROUTED)),
            exchange(COMMANDS, "topic", Some(UNROUTED)),
        ];
        let binding = |exchange: &str, queue: &str, key: &str| Binding {
            exchange: exchange.to_owned(),
            queue: queue.to_owned(),
            key: key.to_owned(),
        };
        let mut queues = Vec::new();
        let mut bindings = Vec::new();
        let inbound = (0..INBOUND_SHARDS).map(|shard| (inbound_queue(shard), format!("in.s{shard:02}")));
        let outbound = (0..OUTBOUND_SHARDS).map(|shard| (outbound_queue(shard), format!("out.s{shard:02}")));
        for (name, key) in inbound.chain(outbound) {
            bindings.push(binding(WORK, &name, &key));
            let arguments = [
                ("x-single-active-consumer", Argument::Flag(true)),
                ("x-max-length-bytes", Argument::Whole(8 * MIB)),
                ("x-overflow", text("drop-head")),
                ("x-dead-letter-exchange", text(DEAD)),
            ];
            queues.push(queue(name, &arguments));
        }
        queues.push(queue(
            INBOUND_QUEUE.to_owned(),
            &[
                ("x-delivery-limit", Argument::Whole(20)),
                ("x-dead-letter-exchange", text(DEAD)),
                ("x-dead-letter-strategy", text("at-least-once")),
                ("x-overflow", text("reject-publish")),
                ("x-max-length-bytes", Argument::Whole(1024 * MIB)),
            ],
        ));
        bindings.push(binding(INBOUND, INBOUND_QUEUE, "#"));
        queues.push(queue(PARKED_QUEUE.to_owned(), &[("x-max-length-bytes", Argument::Whole(1024 * MIB))]));
        bindings.push(binding(DEAD, PARKED_QUEUE, "#"));
        bindings.push(binding(UNROUTED, PARKED_QUEUE, ""));
        Self { exchanges, queues, bindings }
    }

    /// Declares all of it; what stands already stays.
    ///
    /// # Errors
    /// When the broker refuses a part, such as a queue that stands there with other arguments.
    pub async fn declare(&self, channel: &Channel) -> lapin::Result<()> {
        for exchange in &self.exchanges {
            exchange.declare(channel, false).await?;
        }
        for queue in &self.queues {
            queue.declare(channel, false).await?;
        }
        for binding in &self.bindings {
            let (queue, exchange, key) = (&*binding.queue, &*binding.exchange, &*binding.key);
            channel
                .queue_bind(
                    queue.into(),
                    exchange.into(),
                    key.into(),
                    QueueBindOptions::default(),
                    FieldTable::default(),
                )
                .await?;
        }
        Ok(())
    }

    /// Compares exchanges and queues with what the broker has, and changes nothing. Bindings cannot be asked for over
    /// AMQP; [`Topology::declare`] puts them right.
    ///
    /// # Errors
    /// When the connection fails.
    pub async fn compare(&self, connection: &Connection) -> lapin::Result<Vec<Difference>> {
        let mut found = Vec::new();
        // The broker closes a channel that asked for something wrong: each question has its own.
        for exchange in &self.exchanges {
            let what = format!("exchange {}", exchange.name);
            let there = exchange.declare(&connection.create_channel().await?, true).await;
            let same = match there {
                Ok(()) => exchange.declare(&connection.create_channel().await?, false).await,
                Err(error) => Err(error),
            };
            note(&mut found, what, same)?;
        }
        for queue in &self.queues {
            let what = format!("queue {}", queue.name);
            let there = queue.declare(&connection.create_channel().await?, true).await;
            let same = match there {
                Ok(()) => queue.declare(&connection.create_channel().await?, false).await,
                Err(error) => Err(error),
            };
            note(&mut found, what, same)?;
        }
        Ok(found)
    }
}

fn note(found: &mut Vec<Difference>, what: String, answer: lapin::Result<()>) -> lapin::Result<()> {
    match answer {
        Ok(()) => Ok(()),
        Err(error) if error.is_amqp_error() => {
            found.push(Difference { what, found: error.to_string() });
            Ok(())
        }
        Err(error) => Err(error),
    }
}

impl Exchange {
    async fn declare(&self, channel: &Channel, passive: bool) -> lapin::Result<()> {
        let mut arguments = FieldTable::default();
        if let Some(alternate) = &self.alternate {
            arguments.insert("alternate-exchange".into(), AMQPValue::LongString(alternate.as_str().into()));
        }
        let kind = if self.kind == "fanout" { ExchangeKind::Fanout } else { ExchangeKind::Topic };
        let options = ExchangeDeclareOptions { passive, durable: true, ..ExchangeDeclareOptions::default() };
        channel.exchange_declare(self.name.as_str().into(), kind, options, arguments).await
    }
}

impl Queue {
    async fn declare(&self, channel: &Channel, passive: bool) -> lapin::Result<()> {
        let mut arguments = FieldTable::default();
        for (key, value) in &self.arguments {
            let value = match value {
                Argument::Text(text) => AMQPValue::LongString(text.as_str().into()),
                Argument::Whole(number) => AMQPValue::LongLongInt(*number),
                Argument::Flag(flag) => AMQPValue::Boolean(*flag),
            };
            arguments.insert(key.as_str().into(), value);
        }
        let options = QueueDeclareOptions { passive, durable: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(self.name.as_str().into(), options, arguments).await.map(|_| ())
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Whole(number) => write!(f, "{number}"),
            Self::Flag(flag) => write!(f, "{flag}"),
        }
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "exchanges (durable)")?;
        for exchange in &self.exchanges {
            write!(f, "  {:<22} {:<7}", exchange.name, exchange.kind)?;
            if let Some(alternate) = &exchange.alternate {
                write!(f, " alternate-exchange={alternate}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "queues (durable)")?;
        for queue in &self.queues {
            let mut arguments = String::new();
            for (key, value) in &queue.arguments {
                write!(arguments, " {key}={value}")?;
            }
            writeln!(f, "  {:<22}{arguments}", queue.name)?;
        }
        writeln!(f, "bindings")?;
        for binding in &self.bindings {
            writeln!(f, "  {:<22} --{:-<10}> {}", binding.exchange, binding.key, binding.queue)?;
        }
        Ok(())
    }
}

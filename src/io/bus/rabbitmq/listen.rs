//! Events for listeners of this node. Its queue is bound to the exchange only while somebody listens: otherwise the broker
//! would carry each event to every node for nothing.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::BoxStream;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicQosOptions, QueueBindOptions};
use lapin::types::{AMQPValue, FieldTable};
use tokio::sync::{Notify, broadcast, watch};
use tokio::time::{interval, timeout};

use super::connect::STEP;
use super::consume::{ACK_EVERY, Deliveries, own_queue, start};
use super::message;
use super::topology::EVENTS;
use crate::io::bus::{EVENTS_KEPT, stream};
use crate::ports::Event;

/// Events to listeners.
const AHEAD: u16 = 256;
/// Events that a node's own queue keeps for slow listeners; the oldest go first.
const QUEUED: i64 = 10_000;
/// How often it is looked whether anybody listens still. A page that is loaded again comes back within it.
const LOOK: Duration = Duration::from_secs(5);

/// Those who listen, and whether events come.
#[derive(Debug)]
pub(super) struct Listeners {
    events: broadcast::Sender<Event>,
    bound: watch::Sender<bool>,
    came: Notify,
}

impl Default for Listeners {
    fn default() -> Self {
        Self {
            events: broadcast::Sender::new(EVENTS_KEPT),
            bound: watch::Sender::new(false),
            came: Notify::new(),
        }
    }
}

impl Listeners {
    /// One more. Where there is a broker, it is given when events come.
    pub(super) async fn listen(&self, connected: bool) -> BoxStream<'static, Event> {
        let receiver = self.events.subscribe();
        let mut bound = self.bound.subscribe();
        self.came.notify_one();
        if connected {
            // A broker that does not answer is found out elsewhere.
            let _late = timeout(STEP, bound.wait_for(|bound| *bound)).await;
        }
        stream(receiver)
    }

    fn any(&self) -> bool {
        self.events.receiver_count() > 0
    }
}

/// The node's own queue of events, and what comes from it.
pub(super) struct Events {
    queue: Queue,
    stream: Deliveries,
}

/// A queue, and the channel on which it is consumed.
struct Queue {
    channel: Channel,
    name: String,
}

impl Events {
    pub(super) async fn open(channel: Channel) -> lapin::Result<Self> {
        channel.basic_qos(AHEAD, BasicQosOptions::default()).await?;
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(QUEUED));
        let name = own_queue(&channel, arguments).await?;
        let stream = start(&channel, &name).await?;
        Ok(Self { queue: Queue { channel, name }, stream })
    }

    /// Hands events to listeners until something ends; tells what.
    pub(super) async fn take(self, listeners: &Listeners) -> String {
        listeners.bound.send_replace(false);
        let why = self.queue.hand_out(self.stream, listeners).await;
        listeners.bound.send_replace(false);
        why
    }
}

impl Queue {
    async fn hand_out(&self, stream: Deliveries, listeners: &Listeners) -> String {
        let mut chunks = stream.ready_chunks(ACK_EVERY);
        let mut look = interval(LOOK);
        let mut bound = false;
        loop {
            tokio::select! {
                chunk = chunks.next() => {
                    let handed = match chunk {
                        Some(chunk) => self.hand_on(listeners, chunk).await,
                        None => Err("the broker ended the consumer of events".to_owned()),
                    };
                    match handed {
                        Ok(()) => continue,
                        Err(why) => return why,
                    }
                }
                () = listeners.came.notified() => {}
                _ = look.tick() => {}
            }
            if bound && !listeners.any() {
                // Said first: who comes now is either seen below, or waits until events come again.
                listeners.bound.send_replace(false);
            }
            let wanted = listeners.any();
            if wanted != bound {
                if let Err(error) = self.bind(wanted).await {
                    return error.to_string();
                }
                bound = wanted;
            }
            listeners.bound.send_replace(bound);
        }
    }

    async fn bind(&self, wanted: bool) -> lapin::Result<()> {
        let (queue, exchange) = (self.name.as_str().into(), EVENTS.into());
        if wanted {
            let options = QueueBindOptions::default();
            self.channel.queue_bind(queue, exchange, "#".into(), options, FieldTable::default()).await
        } else {
            self.channel.queue_unbind(queue, exchange, "#".into(), FieldTable::default()).await
        }
    }

    async fn hand_on(
        &self,
        listeners: &Listeners,
        chunk: Vec<Option<lapin::Result<Delivery>>>,
    ) -> Result<(), String> {
        let mut last = None;
        for delivery in chunk {
            let delivery = match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("the broker ended the consumer of events".to_owned()),
            };
            last = last.max(Some(delivery.delivery_tag));
            if listeners.any()
                && let Some(event) = message::read_event(&delivery.data)
            {
                let _gone = listeners.events.send(event);
            }
        }
        let Some(tag) = last else { return Ok(()) };
        let acknowledged = self.channel.basic_ack(tag, BasicAckOptions { multiple: true }).await;
        acknowledged.map_err(|error| error.to_string())
    }
}

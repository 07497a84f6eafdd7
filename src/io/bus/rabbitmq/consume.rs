//! Consuming: hints for this node, events of all nodes, messages of in-house systems, dead letters.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{BoxStream, FuturesUnordered, select_all};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions, BasicRejectOptions,
    QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tracing::warn;

use super::connect::{STEP, broken, connect};
use super::listen::Events;
use super::topology::{
    ALL_NODES, INBOUND_QUEUE, OUTBOUND_SHARDS, PARKED_QUEUE, WORK, inbound_queue, outbound_queue,
};
use super::{Shared, message};
use crate::ports::{Dead, Hint, INBOUND_SHARDS, Received, Verdict};

/// Hints are cheap and taken at once.
const HINTS_AHEAD: u16 = 256;
/// So many are acknowledged together.
pub(super) const ACK_EVERY: usize = 64;
/// Messages that may wait for the inbox's commit: they go in groups.
const INBOUND_AHEAD: u16 = 64;
/// Dead letters are few.
const PARKED_AHEAD: u16 = 16;

/// A consumer's deliveries and, when the broker ends it (a queue was deleted), `None`.
pub(super) type Deliveries = BoxStream<'static, Option<lapin::Result<Delivery>>>;

pub(super) async fn supervise(shared: Arc<Shared>) {
    while let Some((connection, channel)) = connect(&shared, "consuming").await {
        let why = tokio::select! {
            () = shared.closed.cancelled() => None,
            why = broken(&connection, |_| ()) => Some(why),
            why = consume(&shared, &connection, channel) => Some(why),
        };
        shared.consuming.store(false, Ordering::Relaxed);
        let _closed = timeout(Duration::from_secs(1), connection.close(200, "the end".into())).await;
        match why {
            Some(why) => {
                metrics::counter!("crossdock_bus_lost_total", "for" => "consuming").increment(1);
                warn!(why, "lost the broker for consuming");
                // A queue that is deleted again and again must not make a loop without a pause.
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            None => return,
        }
    }
}

/// Consumes until something ends; tells what.
async fn consume(shared: &Shared, connection: &Connection, hints: Channel) -> String {
    let open = async {
        let hint_streams = open_hints(&hints).await?;
        let events = connection.create_channel().await?;
        let events = Events::open(events).await?;
        let inbound = connection.create_channel().await?;
        let inbound_stream = open_queue(&inbound, INBOUND_QUEUE, INBOUND_AHEAD).await?;
        let parked = connection.create_channel().await?;
        let parked_stream = open_queue(&parked, PARKED_QUEUE, PARKED_AHEAD).await?;
        Ok::<_, lapin::Error>((hint_streams, events, (inbound, inbound_stream), (parked, parked_stream)))
    };
    let (hint_streams, events, inbound, parked) = match timeout(STEP * 3, open).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return error.to_string(),
        Err(_) => return "the broker did not start the consumers in time".to_owned(),
    };
    shared.consuming.store(true, Ordering::Relaxed);
    tokio::select! {
        why = take_hints(shared, &hints, hint_streams) => why,
        why = events.take(&shared.listeners) => why,
        why = take_messages(shared, &inbound.0, inbound.1) => why,
        why = take_messages(shared, &parked.0, parked.1) => why,
    }
}

async fn open_hints(channel: &Channel) -> lapin::Result<Vec<Deliveries>> {
    channel.basic_qos(HINTS_AHEAD, BasicQosOptions::default()).await?;
    let queues = (0..INBOUND_SHARDS).map(inbound_queue).chain((0..OUTBOUND_SHARDS).map(outbound_queue));
    let mut streams = Vec::new();
    for queue in queues {
        streams.push(start(channel, &queue).await?);
    }
    let own = own_queue(channel, FieldTable::default()).await?;
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel.queue_bind(own.as_str().into(), WORK.into(), ALL_NODES.into(), options, arguments).await?;
    streams.push(start(channel, &own).await?);
    Ok(streams)
}

async fn open_queue(channel: &Channel, queue: &str, ahead: u16) -> lapin::Result<Deliveries> {
    channel.basic_qos(ahead, BasicQosOptions::default()).await?;
    start(channel, queue).await
}

/// A queue of this node alone, which goes with its connection.
pub(super) async fn own_queue(channel: &Channel, arguments: FieldTable) -> lapin::Result<String> {
    let options =
        QueueDeclareOptions { exclusive: true, auto_delete: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, arguments).await?;
    Ok(queue.name().as_str().to_owned())
}

pub(super) async fn start(channel: &Channel, queue: &str) -> lapin::Result<Deliveries> {
    let consumer = channel
        .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    Ok(consumer.map(Some).chain(futures::stream::once(async { None })).boxed())
}

/// Hints go to the node's own queue and are acknowledged at once, several together.
async fn take_hints(shared: &Shared, channel: &Channel, streams: Vec<Deliveries>) -> String {
    let mut chunks = select_all(streams).ready_chunks(ACK_EVERY);
    // Many consumers share the channel and its tags. What one of them has kept for later may be acknowledged by then, with a
    // higher tag of another: the broker takes a second acknowledgement for a fault.
    let mut acknowledged = 0;
    while let Some(chunk) = chunks.next().await {
        let mut last = acknowledged;
        for delivery in chunk {
            let delivery = match delivery {
                Some(Ok(delivery)) => delivery,
                Some(Err(error)) => return error.to_string(),
                None => return "the broker ended a consumer of hints".to_owned(),
            };
            last = last.max(delivery.delivery_tag);
            match serde_json::from_slice::<Hint>(&delivery.data) {
                Ok(hint) => shared.hints.push(hint),
                Err(error) => warn!(%error, key = %delivery.routing_key, "a hint cannot be read"),
            }
        }
        if last > acknowledged {
            if let Err(error) = channel.basic_ack(last, BasicAckOptions { multiple: true }).await {
                return error.to_string();
            }
            acknowledged = last;
        }
    }
    "the broker ended all consumers of hints".to_owned()
}

/// Hands messages on and tells the broker what became of each, in whatever order that is known.
async fn take_messages(shared: &Shared, channel: &Channel, mut stream: Deliveries) -> String {
    let mut open = FuturesUnordered::new();
    loop {
        tokio::select! {
            delivery = stream.next() => {
                let delivery = match delivery.flatten() {
                    Some(Ok(delivery)) => delivery,
                    Some(Err(error)) => return error.to_string(),
                    None => return "the broker ended a consumer of messages".to_owned(),
                };
                let tag = delivery.delivery_tag;
                let (verdict, answer) = oneshot::channel();
                let received = received(delivery, verdict);
                if shared.taken.send(received).await.is_err() {
                    return "closed".to_owned();
                }
                open.push(async move { (tag, answer.await) });
            }
            Some((tag, verdict)) = open.next() => {
                let told = match verdict {
                    Ok(Verdict::Kept) => channel.basic_ack(tag, BasicAckOptions::default()).await,
                    Ok(Verdict::Refused) => channel.basic_reject(tag, BasicRejectOptions { requeue: false }).await,
                    // Whoever had it is gone: no failure of the message.
                    Err(_) => channel.basic_nack(tag, BasicNackOptions { requeue: true, multiple: false }).await,
                };
                if let Err(error) = told {
                    return error.to_string();
                }
            }
        }
    }
}

fn received(delivery: Delivery, verdict: oneshot::Sender<Verdict>) -> Received {
    Received {
        key: delivery.routing_key.as_str().to_owned(),
        id: delivery.properties.message_id().as_ref().map(|id| id.as_str().to_owned()),
        headers: message::headers(&delivery.properties),
        dead: dead(&delivery),
        body: Bytes::from(delivery.data),
        verdict,
    }
}

/// Where a message of the parked queue comes from: the first entry of `x-death`, or the exchange that no binding wanted
/// it from.
fn dead(delivery: &Delivery) -> Option<Dead> {
    let first = |name: &str| {
        let table = delivery.properties.headers().as_ref()?;
        table.inner().get(name).and_then(|value| match value {
            AMQPValue::LongString(text) => Some(String::from_utf8_lossy(text.as_bytes()).into_owned()),
            _ => None,
        })
    };
    let exchange = delivery.exchange.as_str();
    let first_death = first("x-first-death-queue")
        .map(|origin| Dead { origin, reason: first("x-first-death-reason").unwrap_or_default() });
    match first_death {
        None if exchange == super::topology::INBOUND => None,
        None => Some(Dead { origin: exchange.to_owned(), reason: "unrouted".to_owned() }),
        dead => dead,
    }
}

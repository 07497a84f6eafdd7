//! Binds a durable queue of its own to `crossdock.events` and hands on each event once.
//!
//! An event may come twice (it is published until the broker confirms it), so those that were seen are remembered by
//! their message id; a real subscriber keeps that in its own database, in the transaction that acts on the event.

use std::collections::HashSet;

use futures::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Connection, ConnectionProperties};
use serde_json::Value;

/// Listens with `pattern`, such as `acme.order.#`, until `act` says that it has had enough or the connection ends. An
/// event is acknowledged after `act` has returned: what was not acted on comes again.
///
/// # Errors
/// When the broker cannot be reached, refuses, or goes away.
pub async fn listen(
    url: &str,
    queue: &str,
    pattern: &str,
    mut act: impl FnMut(&Value) -> bool,
) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(queue.into(), durable, arguments).await?;
    channel
        .queue_bind(
            queue.into(),
            "crossdock.events".into(),
            pattern.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?;
    channel.basic_qos(32, BasicQosOptions::default()).await?;
    let mut deliveries = channel
        .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    let mut seen = HashSet::new();
    while let Some(delivery) = deliveries.next().await {
        let delivery = delivery?;
        let id = delivery.properties.message_id().as_ref().map(|id| id.as_str().to_owned());
        let mut enough = false;
        if id.is_none_or(|id| seen.insert(id)) {
            match serde_json::from_slice(&delivery.data) {
                Ok(event) => enough = act(&event),
                Err(error) => eprintln!("an event that is no JSON: {error}"),
            }
        }
        delivery.ack(BasicAckOptions::default()).await?;
        if enough {
            return connection.close(200, "enough".into()).await;
        }
    }
    Ok(())
}

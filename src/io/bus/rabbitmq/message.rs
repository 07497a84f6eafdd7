//! What goes over the wire: keys, bodies and properties.

use std::collections::BTreeMap;

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde::{Deserialize, Serialize};

use super::topology::{ALL_NODES, OUTBOUND_SHARDS};
use crate::canonical::ids::digest;
use crate::ports::{Command, Event, Hint};

/// Version of the JSON form of events. A change that a reader could trip over makes a new one.
const EVENT_VERSION: u32 = 1;
/// A message that survives the broker's restart.
const PERSISTENT: u8 = 2;

/// `in.s03`, `out.s17`, `all`.
pub(super) fn hint_key(hint: &Hint) -> String {
    match hint {
        Hint::Inbound { shard } => format!("in.s{shard:02}"),
        Hint::Outbound { account } => {
            let digest = digest(&["lane", account.as_str()]);
            format!("out.s{:02}", u16::from_be_bytes([digest[0], digest[1]]) % OUTBOUND_SHARDS)
        }
        Hint::Everyone { .. } => ALL_NODES.to_owned(),
    }
}

/// `<client>.<entity>.<event>`: `acme.order.order.placed`. Dots in the client's name become dashes.
pub(super) fn event_key(event: &Event) -> String {
    format!("{}.{}.{}", event.client.as_str().replace('.', "-"), kind(event), event.name)
}

fn kind(event: &Event) -> &'static str {
    match event.entity.0.split('_').next() {
        Some("ord") => "order",
        Some("stk") => "stock",
        _ => "entity",
    }
}

/// The same for each copy of the event.
fn event_id(event: &Event) -> String {
    format!("{}/{}", event.entity.0, event.ordinal)
}

/// The JSON form of an event.
#[derive(Serialize)]
struct Told<'a> {
    v: u32,
    kind: &'static str,
    #[serde(flatten)]
    event: &'a Event,
}

/// Which form the JSON of an event has.
#[derive(Deserialize)]
struct Form {
    v: u32,
}

/// The JSON form of an event, as text.
pub(super) fn event_body(event: &Event) -> Result<Vec<u8>, String> {
    let told = Told { v: EVENT_VERSION, kind: kind(event), event };
    serde_json::to_vec(&told).map_err(|error| error.to_string())
}

/// Reads what [`event_body`] wrote.
pub(super) fn read_event(body: &[u8]) -> Option<Event> {
    let Form { v } = serde_json::from_slice(body).ok()?;
    if v == EVENT_VERSION { serde_json::from_slice(body).ok() } else { None }
}

/// `CloudEvents` attributes stand in the headers with the prefix that the specification's AMQP binding gives them
/// (`CloudEvents` AMQP Protocol Binding 1.0, section 3.1.3.1).
pub(super) fn event_properties(event: &Event) -> BasicProperties {
    let headers = [
        ("cloudEvents:specversion", "1.0".to_owned()),
        ("cloudEvents:id", event_id(event)),
        ("cloudEvents:source", format!("/crossdock/{}", event.client.as_str())),
        ("cloudEvents:type", format!("crossdock.{}.v{EVENT_VERSION}", event.name)),
        ("cloudEvents:subject", event.entity.0.clone()),
        ("cloudEvents:time", event.at.to_string()),
    ];
    let mut table = FieldTable::default();
    for (name, value) in headers {
        table.insert(name.into(), AMQPValue::LongString(value.as_str().into()));
    }
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
        .with_message_id(event_id(event).as_str().into())
        .with_app_id("crossdock".into())
        .with_headers(table)
}

pub(super) fn command_properties(command: &Command) -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(command.content_type.as_str().into())
        .with_message_id(command.id.as_str().into())
        .with_app_id("crossdock".into())
}

/// Headers in words; tables and lists are left out.
pub(super) fn headers(properties: &BasicProperties) -> Vec<(String, String)> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    if let Some(table) = properties.headers() {
        for (name, value) in table {
            let text = match value {
                AMQPValue::LongString(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
                AMQPValue::ShortString(text) => text.as_str().to_owned(),
                AMQPValue::Boolean(flag) => flag.to_string(),
                AMQPValue::ShortShortInt(number) => number.to_string(),
                AMQPValue::ShortInt(number) => number.to_string(),
                AMQPValue::LongInt(number) => number.to_string(),
                AMQPValue::LongLongInt(number) => number.to_string(),
                AMQPValue::Timestamp(number) => number.to_string(),
                _ => continue,
            };
            found.insert(name.as_str().to_owned(), text);
        }
    }
    if let Some(kind) = properties.content_type() {
        found.insert("content-type".to_owned(), kind.as_str().to_owned());
    }
    found.into_iter().collect()
}

//! Things to store.

use std::time::Duration;

use bytes::Bytes;
use crossdock::canonical::fact::{Header, Placed};
use crossdock::canonical::{
    AccountId, Body, Class, EntityId, ExternalRef, Fact, Intent, IntentId, IntentState, MessageId,
};
use crossdock::ports::{
    Accepted, Committed, EntityIndex, EntityWrite, Exception, Frozen, Hint, Lease, MessageState, NewMessage,
    Origin, Settled, Store, Unit,
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

pub fn shop() -> AccountId {
    "shop".into()
}

pub fn east() -> AccountId {
    "east".into()
}

pub fn order_id(name: &str) -> EntityId {
    EntityId::order(&"acme".into(), &shop(), name)
}

pub fn name(kind: &str, id: &str) -> ExternalRef {
    ExternalRef::of_account(&shop(), kind, id)
}

pub fn message(event: Option<&str>, body: &str) -> NewMessage {
    NewMessage {
        account: shop(),
        origin: Origin::Webhook,
        topic: "orders/create".into(),
        mapping: "order".into(),
        event_id: event.map(str::to_owned),
        headers: vec![("X-Topic".into(), "orders/create".into())],
        body: Bytes::copy_from_slice(body.as_bytes()),
        received: at(0),
        priority: 0,
        shard: 3,
        context: None,
    }
}

pub async fn accept(store: &dyn Store, message: NewMessage) -> MessageId {
    match store.accept(vec![message], None).await.unwrap()[..] {
        [Accepted::New(id)] => id,
        ref other => panic!("{other:?}"),
    }
}

/// An order that was placed, with personal fields.
pub fn fact(order: &str, version: u32, message: MessageId) -> Fact {
    let placed: Placed = serde_json::from_value(json!({
        "currency": "USD", "email": format!("{order}@example.com"), "note": "ring twice", "tags": ["vip"],
    }))
    .unwrap();
    let header =
        Header { order: Some(order.into()), version: Some(version.to_string()), ..Header::default() };
    let body = Body::Placed(placed);
    Fact {
        id: Fact::identity(&shop(), &header, &body),
        rule: "placed".into(),
        account: shop(),
        header,
        body,
        heard: "2027-01-15T08:00:00.123456789Z".parse().unwrap(),
        message,
        mapping: "shopify/order@1".into(),
    }
}

/// Writes an order that has `expected` versions so far.
pub fn write(order: &str, expected: i64) -> EntityWrite {
    EntityWrite {
        id: order_id(order),
        expected,
        client: "acme".into(),
        index: EntityIndex {
            account: shop(),
            label: format!("#{order}"),
            phase: "received".into(),
            placed: Some(at(0)),
            words: format!("#{order} TEA-{order}"),
        },
        state: json!({ "id": order_id(order), "lines": [], "contact": {} }).into(),
        reservations: Vec::new(),
        personal: Value::Null,
        facts: Vec::new(),
        heard: None,
        superseded: Vec::new(),
        refs: Vec::new(),
        intents: Vec::new(),
        exceptions: None,
        timers: Vec::new(),
        events: Vec::new(),
    }
}

pub fn unit(entities: Vec<EntityWrite>) -> Unit {
    Unit { at: at(1), entities, ..Unit::default() }
}

/// Commits one unit that must go through; gives its hints.
pub async fn commit(store: &dyn Store, unit: Unit) -> Vec<Hint> {
    match store.commit(vec![unit]).await.unwrap().remove(0) {
        Committed::Done { hints } => hints,
        other => panic!("{other:?}"),
    }
}

/// Commits one unit and gives what became of it.
pub async fn attempt(store: &dyn Store, unit: Unit) -> Committed {
    store.commit(vec![unit]).await.unwrap().remove(0)
}

pub fn intent(order: &str, slot: &str, class: Class) -> Intent {
    let entity = order_id(order);
    Intent {
        id: Intent::id_of(&entity, slot, 0),
        entity,
        slot: slot.into(),
        generation: 0,
        account: east(),
        command: "order.create".into(),
        class,
        args: Map::from_iter([("warehouse".to_owned(), json!("east"))]),
        state: IntentState::Pending,
        attempts: 0,
        due: at(0),
        created: at(0),
        sent_digest: String::new(),
        sent_content: None,
        error: None,
    }
}

/// Stores a new order with these intents.
pub async fn order_with(store: &dyn Store, order: &str, intents: Vec<Intent>) {
    let write = EntityWrite { intents, ..write(order, 0) };
    commit(store, unit(vec![write])).await;
}

pub async fn lease(store: &dyn Store, owner: &str, now: i64) -> Option<Lease> {
    store.lease(&east(), owner, at(now), at(now) + Duration::from_secs(30), None).await.unwrap()
}

pub fn frozen(intent: &Intent, epoch: i64, now: i64) -> Frozen {
    Frozen {
        intent: intent.id,
        entity_version: 1,
        epoch,
        request: json!({ "url": "https://wms.example/orders", "to": "12 Frozen Street" }),
        digest: "d1".into(),
        content: json!({ "order": { "number": 1 } }),
        at: at(now),
    }
}

pub fn settled(intent: IntentId, epoch: i64, state: IntentState, now: i64) -> Settled {
    Settled {
        intent,
        epoch,
        state,
        due: at(now),
        note: format!("now {}", state.word()),
        answer: None,
        exception: None,
        at: at(now),
    }
}

pub fn exception(cause: &str) -> Exception {
    Exception {
        id: 0,
        cause: cause.into(),
        kind: "unmapped".into(),
        message: format!("because of {cause}"),
        help: Some("do this".into()),
        account: Some(shop()),
        client: Some("acme".into()),
        entity: None,
        message_id: None,
        intent: None,
        raised: at(5),
        resolved: None,
        resolution: None,
    }
}

/// The state of the only intent of this slot.
pub async fn state_of(store: &dyn Store, intent: &Intent) -> IntentState {
    let record = store.load(std::slice::from_ref(&intent.entity)).await.unwrap().remove(0);
    record.intents.into_iter().find(|one| one.id == intent.id).unwrap().state
}

/// An order that has `email` in all places where personal data stands.
pub async fn personal_order(store: &dyn Store, email: &str) -> EntityId {
    let id = accept(store, message(Some("e1"), &format!("{email} {}", "said the body ".repeat(500)))).await;
    let release = intent("personal", "release/east", Class::Order);
    let mut told = fact("personal", 1, id);
    if let Body::Placed(placed) = &mut told.body {
        placed.email = Some(email.to_owned());
    }
    let written = EntityWrite {
        facts: vec![told],
        intents: vec![release.clone()],
        personal: json!({ "contact": { "email": email } }),
        ..write("personal", 0)
    };
    commit(store, Unit { messages: vec![(id, MessageState::Done)], ..unit(vec![written]) }).await;
    let held = lease(store, "a", 0).await.unwrap();
    let request = json!({ "body": email });
    assert!(store.freeze(Frozen { request, ..frozen(&release, held.epoch, 1) }).await.unwrap());
    let answer = NewMessage { context: Some(release.id.to_string()), ..message(None, email) };
    let done = Settled { answer: Some(answer), ..settled(release.id, held.epoch, IntentState::Done, 2) };
    store.settle(vec![done]).await.unwrap();
    let answer = store.pending(3, 10).await.unwrap().remove(0).id;
    commit(store, Unit { messages: vec![(answer, MessageState::Done)], ..unit(vec![]) }).await;
    order_id("personal")
}

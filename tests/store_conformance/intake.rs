//! Intake.

use crossdock::ports::{Accepted, MessageQuery, MessageState, NewMessage, Unit};
use serde_json::json;

use crate::Place;
use crate::make::{accept, at, commit, east, message, shop, unit};

pub async fn duplicates_are_known_by_event_and_body(place: Place) {
    let store = place.open();
    let first = accept(&*store, message(Some("e1"), "body")).await;
    let again = store
        .accept(
            vec![message(Some("e1"), "body"), message(Some("e1"), "other"), message(Some("e2"), "body")],
            None,
        )
        .await
        .unwrap();
    assert_eq!(again[0], Accepted::Duplicate(first));
    assert!(matches!(again[1], Accepted::New(_)), "another body under the same event id is another message");
    assert!(matches!(again[2], Accepted::New(_)));
    // The same twice in one call.
    let twice = store.accept(vec![message(Some("e3"), "x"), message(Some("e3"), "x")], None).await.unwrap();
    let Accepted::New(id) = twice[0] else { panic!("{twice:?}") };
    assert_eq!(twice[1], Accepted::Duplicate(id));
    // Without an event id nothing is known.
    for _ in 0..2 {
        assert!(matches!(
            store.accept(vec![message(None, "body")], None).await.unwrap()[0],
            Accepted::New(_)
        ));
    }
    // Another account's event id is another one.
    let other = NewMessage { account: "other".into(), ..message(Some("e1"), "body") };
    assert!(matches!(store.accept(vec![other], None).await.unwrap()[0], Accepted::New(_)));
}

pub async fn a_page_and_its_cursor_go_together(place: Place) {
    let store = place.open();
    assert_eq!(store.cursor(&shop(), "orders").await.unwrap(), None);
    let cursor = json!({ "since": "2026-01-01T00:00:00Z", "page": null });
    let page = vec![message(None, "1"), message(None, "2")];
    store.accept(page, Some((shop(), "orders".into(), cursor.clone()))).await.unwrap();
    assert_eq!(store.cursor(&shop(), "orders").await.unwrap(), Some(cursor));
    assert_eq!(store.pending(3, 10).await.unwrap().len(), 2);
    // An empty page moves the cursor too.
    store.accept(vec![], Some((shop(), "orders".into(), json!(7)))).await.unwrap();
    assert_eq!(store.cursor(&shop(), "orders").await.unwrap(), Some(json!(7)));
    assert_eq!(store.cursor(&shop(), "other").await.unwrap(), None);
}

pub async fn pending_messages_come_by_priority_then_age(place: Place) {
    let store = place.open();
    let late = accept(&*store, NewMessage { priority: 2, ..message(None, "backfill") }).await;
    let middle = accept(&*store, NewMessage { priority: 1, ..message(None, "poll") }).await;
    let first = accept(&*store, message(Some("e"), &"webhook ".repeat(1000))).await;
    let second = accept(&*store, message(None, "webhook")).await;
    accept(&*store, NewMessage { shard: 4, ..message(None, "elsewhere") }).await;
    let found = store.pending(3, 10).await.unwrap();
    let ids: Vec<_> = found.iter().map(|message| message.id).collect();
    assert_eq!(ids, [first, second, middle, late]);
    assert_eq!(found[0].content, message(Some("e"), &"webhook ".repeat(1000)));
    assert_eq!((found[0].state, found[0].attempts), (MessageState::Pending, 0));
    assert_eq!(store.pending(3, 1).await.unwrap().len(), 1);
    assert_eq!(store.message(first).await.unwrap().as_ref(), Some(&found[0]));
    assert_eq!(store.backlog().await.unwrap(), [(shop(), 5)]);
    let hints = store.sweep(at(0), 10).await.unwrap();
    assert_eq!(hints.len(), 2, "{hints:?}");
}

pub async fn counters_count(place: Place) {
    let store = place.open();
    for what in ["bad_signature", "bad_signature", "too_large"] {
        store.count(&shop(), what).await.unwrap();
    }
    let counted = store.counted().await.unwrap();
    assert_eq!(counted, [(shop(), "bad_signature".into(), 2), (shop(), "too_large".into(), 1)]);
}

pub async fn recorded_messages_are_listed_newest_first(place: Place) {
    let store = place.open();
    let mut ids = Vec::new();
    for (second, mapping, account) in [
        (0, "order", "shop"),
        (10, "order", "shop"),
        (10, "refund", "shop"),
        (20, "order", "other"),
        (30, "", "shop"),
    ] {
        let body = format!("body {second} {mapping}");
        let new = NewMessage {
            received: at(second),
            mapping: mapping.into(),
            account: account.into(),
            ..message(None, &body)
        };
        ids.push(accept(&*store, new).await);
    }
    let all = MessageQuery { accounts: Vec::new(), mapping: None, since: at(0), before: None, limit: 10 };
    let list = async |query: MessageQuery| {
        let found = store.messages(&query).await.unwrap();
        found.iter().map(|message| message.id).collect::<Vec<_>>()
    };
    // Facts of our own have no mapping and are not among them.
    assert_eq!(list(all.clone()).await, [ids[3], ids[2], ids[1], ids[0]]);
    assert_eq!(list(MessageQuery { since: at(10), ..all.clone() }).await, [ids[3], ids[2], ids[1]]);
    let orders = MessageQuery { mapping: Some("order".into()), ..all.clone() };
    assert_eq!(list(orders.clone()).await, [ids[3], ids[1], ids[0]]);
    assert_eq!(list(MessageQuery { accounts: vec![shop()], ..orders.clone() }).await, [ids[1], ids[0]]);
    assert_eq!(list(MessageQuery { accounts: vec![east()], ..orders }).await, []);
    // In pages.
    let first = store.messages(&MessageQuery { limit: 2, ..all.clone() }).await.unwrap();
    assert_eq!(first[1].content.body, "body 10 refund");
    let before = Some((first[1].content.received, first[1].id));
    assert_eq!(list(MessageQuery { before, ..all.clone() }).await, [ids[1], ids[0]]);
    // A body that is gone takes its message off the list.
    commit(&*store, Unit { messages: vec![(ids[0], MessageState::Done)], ..unit(vec![]) }).await;
    store.prune(at(5), 10).await.unwrap();
    assert_eq!(list(all).await, [ids[3], ids[2], ids[1]]);
}

//! Units of work.

use std::collections::BTreeMap;

use crossdock::canonical::stock::Reservation;
use crossdock::canonical::{Class, EntityId, IntentState, MessageId, When};
use crossdock::ports::{Committed, EntityWrite, Exception, Hint, MessageState, Reserved, Unit};
use serde_json::{Value, json};

use crate::Place;
use crate::make::{
    accept, at, attempt, commit, east, exception, fact, intent, message, name, order_id, state_of, unit,
    write,
};

pub async fn a_unit_stores_all_of_it(place: Place) {
    let store = place.open();
    let id = accept(&*store, message(None, "raw")).await;
    let told = fact("1001", 1, id);
    let release = intent("1001", "release/east", Class::Order);
    let problem = Exception { entity: Some(order_id("1001")), ..exception("sku:TEA") };
    let hints = commit(
        &*store,
        Unit {
            messages: vec![(id, MessageState::Done)],
            mail: vec![message(None, "mail")],
            ..unit(vec![EntityWrite {
                facts: vec![told.clone()],
                refs: vec![name("order", "1001"), name("number", "#1001")],
                intents: vec![release.clone()],
                exceptions: Some(vec![problem.clone()]),
                personal: json!({ "contact": { "email": "1001@example.com" } }),
                ..write("1001", 0)
            }])
        },
    )
    .await;
    assert!(hints.contains(&Hint::Outbound { account: east() }), "{hints:?}");
    assert!(hints.contains(&Hint::Inbound { shard: 3 }), "{hints:?}");

    let record = store.load(&[order_id("1001")]).await.unwrap().remove(0);
    assert_eq!(record.version, 1);
    assert_eq!(record.client.as_str(), "acme");
    assert_eq!(record.state.value()["contact"]["email"], "1001@example.com");
    assert_eq!(record.facts, [told]);
    assert_eq!(record.intents, std::slice::from_ref(&release));
    assert_eq!(record.exceptions.len(), 1);
    assert_eq!(Exception { id: 0, ..record.exceptions[0].clone() }, problem);

    let our = crossdock::canonical::ExternalRef::of_client(&"acme".into(), "our", &release.id.to_string());
    let found = store.resolve(&[name("order", "1001"), name("order", "x"), our]).await.unwrap();
    assert_eq!(found, [Some(order_id("1001")), None, Some(order_id("1001"))]);
    assert_eq!(store.message(id).await.unwrap().unwrap().state, MessageState::Done);
    let pending = store.pending(3, 10).await.unwrap();
    assert_eq!(pending.len(), 1);
    assert_eq!(&pending[0].content.body[..], b"mail");

    let unknown = store.load(&[order_id("none")]).await.unwrap().remove(0);
    assert_eq!((unknown.version, unknown.state.value()), (0, Value::Null));
}

pub async fn reservations_stand_beside_the_state(place: Place) {
    let store = place.open();
    let stock = EntityId::stock(&"acme".into(), &east(), "TEA");
    let (one, two, three) = (order_id("1"), order_id("2"), order_id("3"));
    let units = |wanted| Reservation {
        wanted,
        generation: 1,
        asked: Some(When::utc(at(1))),
        ..Reservation::default()
    };
    let write = |expected, reservations: &[(&EntityId, Option<Reservation>)]| EntityWrite {
        id: stock.clone(),
        facts: vec![fact("1", u32::try_from(expected).unwrap() + 1, MessageId(7))],
        reservations: reservations.iter().map(|(id, known)| ((*id).clone(), known.clone())).collect(),
        ..write("stock", expected)
    };
    commit(&*store, unit(vec![write(0, &[(&one, Some(units(1))), (&two, Some(units(2)))])])).await;
    commit(&*store, unit(vec![write(1, &[(&one, None), (&two, Some(units(5))), (&three, Some(units(3)))])]))
        .await;
    let late = write(1, &[(&two, None), (&three, Some(units(9)))]);
    assert_eq!(attempt(&*store, unit(vec![late])).await, Committed::Conflict);

    let of = |stock: &EntityId, orders: Option<&[&EntityId]>| Reserved {
        stock: stock.clone(),
        orders: orders.map(|orders| orders.iter().map(|id| (*id).clone()).collect()),
    };
    let wanted = [
        of(&stock, Some(&[&three, &one])),
        of(&order_id("none"), None),
        of(&stock, None),
        of(&stock, Some(&[])),
        of(&order_id("none"), Some(&[&two])),
    ];
    let found = store.reservations(&wanted).await.unwrap();
    let all = BTreeMap::from([(two.clone(), units(5)), (three.clone(), units(3))]);
    let none = BTreeMap::new();
    assert_eq!(found, [BTreeMap::from([(three.clone(), units(3))]), none.clone(), all, none.clone(), none]);
    let record = store.load(std::slice::from_ref(&stock)).await.unwrap().remove(0);
    assert_eq!((record.version, record.facts), (2, vec![]), "stock is worked with by its state alone");
}

pub async fn versions_are_compared_and_swapped(place: Place) {
    let store = place.open();
    assert_eq!(attempt(&*store, unit(vec![write("1", 1)])).await, Committed::Conflict, "there is none yet");
    commit(&*store, unit(vec![write("1", 0)])).await;
    assert_eq!(attempt(&*store, unit(vec![write("1", 0)])).await, Committed::Conflict);
    commit(&*store, unit(vec![write("1", 1)])).await;
    assert_eq!(store.load(&[order_id("1")]).await.unwrap()[0].version, 2);
    // Two writers at once: one wins.
    let (one, other) = tokio::join!(
        attempt(&*store, unit(vec![write("1", 2)])),
        attempt(&*store, unit(vec![write("1", 2)]))
    );
    assert!(matches!(
        (&one, &other),
        (Committed::Done { .. }, Committed::Conflict) | (Committed::Conflict, Committed::Done { .. })
    ));
}

pub async fn a_refused_unit_leaves_nothing_and_fails_no_other(place: Place) {
    let store = place.open();
    let id = accept(&*store, message(None, "raw")).await;
    commit(&*store, unit(vec![write("2", 0)])).await;
    let refused = Unit {
        messages: vec![(id, MessageState::Done)],
        exceptions: vec![exception("x")],
        mail: vec![message(None, "mail")],
        ..unit(vec![
            EntityWrite {
                facts: vec![fact("1", 1, id)],
                refs: vec![name("order", "1")],
                events: vec![("order.placed".into(), json!({}).into())],
                intents: vec![intent("1", "release/east", Class::Order)],
                ..write("1", 0)
            },
            write("2", 0),
        ])
    };
    let outcome =
        store.commit(vec![unit(vec![write("3", 0)]), refused, unit(vec![write("4", 0)])]).await.unwrap();
    assert!(
        matches!(outcome[..], [Committed::Done { .. }, Committed::Conflict, Committed::Done { .. }]),
        "{outcome:?}"
    );
    let ids = ["1", "2", "3", "4"].map(order_id);
    let versions: Vec<i64> = store.load(&ids).await.unwrap().iter().map(|record| record.version).collect();
    assert_eq!(versions, [0, 1, 1, 1]);
    assert_eq!(store.resolve(&[name("order", "1")]).await.unwrap(), [None]);
    assert_eq!(store.pending(3, 10).await.unwrap().len(), 1);
    assert!(store.events(10).await.unwrap().is_empty());
    let counts = store.counts().await.unwrap();
    assert!(
        counts.facts.is_empty() && counts.intents.is_empty() && counts.exceptions.is_empty(),
        "{counts:?}"
    );
}

pub async fn names_belong_to_one_entity(place: Place) {
    let store = place.open();
    commit(&*store, unit(vec![EntityWrite { refs: vec![name("payment", "p1")], ..write("1", 0) }])).await;
    let again = EntityWrite { refs: vec![name("payment", "p1")], ..write("1", 1) };
    commit(&*store, unit(vec![again])).await;
    let other = EntityWrite { refs: vec![name("payment", "p2"), name("payment", "p1")], ..write("2", 0) };
    let outcome = attempt(&*store, unit(vec![other])).await;
    assert_eq!(outcome, Committed::LinkConflict { name: name("payment", "p1"), holder: order_id("1") });
    assert_eq!(store.load(&[order_id("2")]).await.unwrap()[0].version, 0);
    assert_eq!(store.resolve(&[name("payment", "p2")]).await.unwrap(), [None]);
}

pub async fn settled_messages_are_worked_once(place: Place) {
    let store = place.open();
    let (one, two) = (accept(&*store, message(None, "1")).await, accept(&*store, message(None, "2")).await);
    let work =
        Unit { messages: vec![(one, MessageState::Done)], mail: vec![message(None, "mail")], ..unit(vec![]) };
    commit(&*store, work.clone()).await;
    // The answer was lost and the work is offered again.
    assert_eq!(commit(&*store, work.clone()).await, []);
    assert_eq!(store.pending(3, 10).await.unwrap().len(), 2, "message 2 and one mail");
    // Together with one that is pending still: nothing is done, and the other is left to be worked.
    let both = Unit { messages: vec![(one, MessageState::Done), (two, MessageState::Done)], ..work };
    assert_eq!(commit(&*store, both).await, [Hint::Inbound { shard: 3 }]);
    assert_eq!(store.message(two).await.unwrap().unwrap().state, MessageState::Pending);
    assert_eq!(store.message(one).await.unwrap().unwrap().attempts, 1);
}

pub async fn facts_are_unique_and_may_be_superseded(place: Place) {
    let store = place.open();
    let id = accept(&*store, message(None, "raw")).await;
    let (first, second) = (fact("1", 1, id), fact("1", 2, id));
    let facts = vec![first.clone(), second.clone(), first.clone()];
    commit(&*store, unit(vec![EntityWrite { facts, ..write("1", 0) }])).await;
    commit(&*store, unit(vec![EntityWrite { facts: vec![second.clone()], ..write("1", 1) }])).await;
    let load = async || store.load(&[order_id("1")]).await.unwrap().remove(0).facts;
    assert_eq!(load().await, [first.clone(), second.clone()]);
    // Mapped anew: the first is gone, the second comes again the same.
    let again = crossdock::canonical::Fact { mapping: "shopify/order@2".into(), ..second.clone() };
    let superseded = vec![first.id, second.id];
    let remapped = EntityWrite { superseded, facts: vec![again.clone()], ..write("1", 2) };
    commit(&*store, unit(vec![remapped])).await;
    assert_eq!(load().await, [again]);
    assert_eq!(store.counts().await.unwrap().facts, [("order.placed".into(), 1)]);
}

pub async fn events_are_kept_until_published(place: Place) {
    let store = place.open();
    let events = vec![
        ("order.placed".into(), json!({ "n": 1 }).into()),
        ("order.phase".into(), json!({ "n": 2 }).into()),
    ];
    commit(&*store, unit(vec![EntityWrite { events, ..write("1", 0) }])).await;
    let found = store.events(10).await.unwrap();
    assert_eq!(found.len(), 2);
    assert_eq!((found[0].name.as_str(), found[0].version, found[0].at), ("order.placed", 1, at(1)));
    assert_eq!(found[0].entity, order_id("1"));
    assert!(found[0].ordinal < found[1].ordinal);
    store.published(&[found[0].ordinal]).await.unwrap();
    assert_eq!(store.events(10).await.unwrap(), found[1..], "what the bus did not confirm stays");
    store.published(&[found[1].ordinal]).await.unwrap();
    assert!(store.events(10).await.unwrap().is_empty());
    let events = vec![("order.phase".into(), json!({}).into())];
    commit(&*store, unit(vec![EntityWrite { events, ..write("1", 1) }])).await;
    assert!(store.events(10).await.unwrap()[0].ordinal > found[1].ordinal, "ordinals are never used again");
}

pub async fn intents_change_only_while_pending(place: Place) {
    let store = place.open();
    let first = intent("1", "release/east", Class::Order);
    commit(&*store, unit(vec![EntityWrite { intents: vec![first.clone()], ..write("1", 0) }])).await;
    let changed = crossdock::canonical::Intent { due: at(50), ..first.clone() };
    commit(&*store, unit(vec![EntityWrite { intents: vec![changed.clone()], ..write("1", 1) }])).await;
    assert_eq!(store.load(&[order_id("1")]).await.unwrap()[0].intents, std::slice::from_ref(&changed));
    let taken = crossdock::canonical::Intent { state: IntentState::Withdrawn, ..changed.clone() };
    commit(&*store, unit(vec![EntityWrite { intents: vec![taken], ..write("1", 2) }])).await;
    assert_eq!(state_of(&*store, &first).await, IntentState::Withdrawn);
    // It may come back, and goes behind what was intended in the meantime.
    let other = intent("1", "cancel/east", Class::Cancel);
    let both = vec![other.clone(), first.clone()];
    commit(&*store, unit(vec![EntityWrite { intents: both, ..write("1", 3) }])).await;
    let slots: Vec<_> = store.load(&[order_id("1")]).await.unwrap().remove(0).intents;
    assert_eq!(slots, [other.clone(), first.clone()]);
    // Once it has left, it is not touched.
    let lease = crate::make::lease(&*store, "me", 10).await.unwrap();
    let frozen =
        crossdock::ports::Frozen { entity_version: 4, ..crate::make::frozen(&other, lease.epoch, 11) };
    assert!(store.freeze(frozen).await.unwrap());
    let taken = crossdock::canonical::Intent { state: IntentState::Withdrawn, ..other };
    let outcome = attempt(&*store, unit(vec![EntityWrite { intents: vec![taken], ..write("1", 4) }])).await;
    assert_eq!(outcome, Committed::Conflict);
}

pub async fn planned_exceptions_are_whole(place: Place) {
    let store = place.open();
    let on = |cause: &str| Exception { entity: Some(order_id("1")), ..exception(cause) };
    let put = async |expected, wanted: Option<Vec<Exception>>| {
        commit(&*store, unit(vec![EntityWrite { exceptions: wanted, ..write("1", expected) }])).await;
        store.load(&[order_id("1")]).await.unwrap().remove(0).exceptions
    };
    let first = put(0, Some(vec![on("a"), on("b")])).await;
    assert_eq!(first.len(), 2);
    // Nothing said: they stay. Said again: the same one stays, with its number and the newest words.
    assert_eq!(put(1, None).await, first);
    let reworded = Exception { message: "now so".into(), ..on("b") };
    let second = put(2, Some(vec![reworded, on("c")])).await;
    assert_eq!(second.len(), 2);
    assert_eq!((second[0].id, second[0].message.as_str()), (first[1].id, "now so"));
    // One that a unit raised about a message of it is not the plan's to resolve.
    let id = accept(&*store, message(None, "raw")).await;
    let about = Exception { message_id: Some(id), ..on("m") };
    let raise = Unit { exceptions: vec![about.clone(), about], ..unit(vec![]) };
    commit(&*store, raise).await;
    assert_eq!(put(3, Some(vec![])).await.len(), 1);
    commit(&*store, Unit { resolve_messages: vec![id], ..unit(vec![]) }).await;
    assert_eq!(put(4, Some(vec![])).await, []);
    // Those of accounts go by their cause.
    commit(&*store, Unit { exceptions: vec![exception("auth:shop")], ..unit(vec![]) }).await;
    assert_eq!(store.counts().await.unwrap().exceptions, [("unmapped".into(), 1)]);
    commit(&*store, Unit { resolve_causes: vec!["auth:shop".into()], ..unit(vec![]) }).await;
    assert!(store.counts().await.unwrap().exceptions.is_empty());
}

//! What people do and see; erasing, pruning, small values.

use crossdock::canonical::{Body, Class, EntityKind, Fact, Intent, IntentState};
use crossdock::ports::{
    EntityIndex, EntityWrite, Exception, ExceptionQuery, Hint, MessageState, OrderQuery, Origin, Remedy,
    Settled, Store, Unit,
};
use serde_json::json;

use crate::Place;
use crate::make::{
    accept, at, commit, east, exception, fact, frozen, intent, lease, message, name, order_id, order_with,
    settled, shop, state_of, unit, write,
};

async fn open(store: &dyn Store) -> Vec<Exception> {
    store.exceptions(&ExceptionQuery::default()).await.unwrap()
}

async fn timers(store: &dyn Store) -> Vec<String> {
    let mut out = Vec::new();
    for shard in 0..crossdock::ports::INBOUND_SHARDS {
        for message in store.pending(shard, 100).await.unwrap() {
            if message.content.origin == Origin::Fact {
                let fact: Fact = serde_json::from_slice(&message.content.body).unwrap();
                let Body::Due(due) = fact.body else { panic!() };
                out.push(due.timer);
            }
        }
    }
    out.sort();
    out
}

pub async fn retry_puts_messages_back(place: Place) {
    let store = place.open();
    let id = accept(&*store, message(None, "odd")).await;
    let excepted = Unit {
        messages: vec![(id, MessageState::Excepted)],
        exceptions: vec![Exception { message_id: Some(id), ..exception("unmapped:x") }],
        ..unit(vec![])
    };
    commit(&*store, excepted).await;
    assert!(store.pending(3, 10).await.unwrap().is_empty());
    assert!(store.backlog().await.unwrap().is_empty());
    let raised = open(&*store).await.remove(0);
    assert_eq!(store.retry_exceptions(&[raised.id, 99], at(9)).await.unwrap(), [Hint::Inbound { shard: 3 }]);
    assert_eq!(open(&*store).await.len(), 1, "it stands until the outcome is known");
    let again = store.pending(3, 10).await.unwrap().remove(0);
    assert_eq!((again.attempts, again.content.priority), (1, 2), "behind what is new");
    assert!(store.retry_exceptions(&[raised.id], at(9)).await.unwrap().is_empty(), "it is on its way");
    // Still wrong in the same way: the same exception stands, and another that was is over.
    let still = |causes: &[&str]| Unit {
        messages: vec![(id, MessageState::Excepted)],
        resolve_messages: vec![id],
        exceptions: causes
            .iter()
            .map(|cause| Exception { message_id: Some(id), ..exception(cause) })
            .collect(),
        ..unit(vec![])
    };
    commit(&*store, still(&["unmapped:x", "unmapped:y"])).await;
    store.reopen(&[id]).await.unwrap();
    commit(&*store, still(&["unmapped:x"])).await;
    let left = open(&*store).await;
    assert_eq!((left.len(), left[0].id, left[0].raised), (1, raised.id, raised.raised));
    // Right at last: what has put it right stands with it.
    assert_eq!(
        store.reopen(&[id, crossdock::canonical::MessageId(99)]).await.unwrap(),
        [Hint::Inbound { shard: 3 }]
    );
    let right = Unit {
        at: at(9),
        generation: "1a2b".into(),
        by: "generation 1a2b".into(),
        messages: vec![(id, MessageState::Done)],
        resolve_messages: vec![id],
        ..unit(vec![])
    };
    commit(&*store, right).await;
    assert!(open(&*store).await.is_empty());
    let all =
        store.exceptions(&ExceptionQuery { resolved: true, ..ExceptionQuery::default() }).await.unwrap();
    assert_eq!(all[1].resolved, Some(at(9)));
    assert_eq!(all[1].resolution.as_deref(), Some("generation 1a2b"));
    let done = store.message(id).await.unwrap().unwrap();
    assert_eq!((done.generation.as_deref(), done.attempts), (Some("1a2b"), 4));
    // One of an entity has it planned again, and stays until the plan says otherwise.
    let on = Exception { entity: Some(order_id("1")), ..exception("sku:x") };
    commit(&*store, unit(vec![EntityWrite { exceptions: Some(vec![on]), ..write("1", 0) }])).await;
    let raised = open(&*store).await.remove(0);
    assert_eq!(store.retry_exceptions(&[raised.id], at(9)).await.unwrap().len(), 1);
    assert_eq!(timers(&*store).await, ["replan"]);
    assert_eq!(open(&*store).await.len(), 1);
    // And a person may dismiss what is neither of a plan nor of an intent.
    commit(&*store, Unit { exceptions: vec![exception("y")], ..unit(vec![]) }).await;
    let ids: Vec<i64> = open(&*store).await.iter().map(|one| one.id).collect();
    assert_eq!(store.dismiss_exceptions(&ids, at(9)).await.unwrap(), 1);
    assert_eq!(open(&*store).await.len(), 1);
}

/// An order whose only intent ended like this, with an exception.
async fn ended(store: &dyn Store, order: &str, state: IntentState) -> (Intent, Exception) {
    let one = intent(order, "release/east", Class::Order);
    order_with(store, order, vec![one.clone()]).await;
    let held = lease(store, "a", 0).await.unwrap();
    assert!(store.freeze(frozen(&one, held.epoch, 1)).await.unwrap());
    let end = Settled { exception: Some(exception("x")), ..settled(one.id, held.epoch, state, 2) };
    store.settle(vec![end]).await.unwrap();
    let raised = store.load(&[order_id(order)]).await.unwrap().remove(0).exceptions.remove(0);
    (one, raised)
}

pub async fn retry_lets_refused_intents_go_again(place: Place) {
    let store = place.open();
    let (one, raised) = ended(&*store, "1", IntentState::Rejected).await;
    let hints = store.retry_exceptions(&[raised.id], at(20)).await.unwrap();
    assert!(hints.contains(&Hint::Outbound { account: east() }), "{hints:?}");
    let due = store.due(&east(), at(20), 10).await.unwrap().remove(0);
    assert_eq!(
        (due.intent.state, due.frozen, due.frozen_at),
        (IntentState::Retry, None, None),
        "content made anew"
    );
    assert!(open(&*store).await.is_empty());
    let held = lease(&*store, "a", 20).await.unwrap();
    assert!(store.freeze(frozen(&one, held.epoch, 21)).await.unwrap());
}

pub async fn a_stuck_intent_waits_for_a_decision(place: Place) {
    let store = place.open();
    let (one, raised) = ended(&*store, "1", IntentState::Stuck).await;
    assert!(store.retry_exceptions(&[raised.id], at(20)).await.unwrap().is_empty());
    assert_eq!(open(&*store).await.len(), 1);
    assert_eq!(store.dismiss_exceptions(&[raised.id], at(20)).await.unwrap(), 0);
    let hints = store.decide(one.id, Remedy::SendAgain, "Maria says so", at(20)).await.unwrap();
    assert!(hints.contains(&Hint::Outbound { account: east() }), "{hints:?}");
    let due = store.due(&east(), at(20), 10).await.unwrap().remove(0);
    assert_eq!(due.intent.state, IntentState::Retry);
    assert!(due.frozen.is_some(), "the same bytes under the same key");
    assert!(open(&*store).await.is_empty());
    assert!(
        store.decide(one.id, Remedy::Exists, "", at(21)).await.unwrap().is_empty(),
        "it is not stuck any more"
    );

    let (two, _) = ended(&*store, "2", IntentState::Stuck).await;
    let before = timers(&*store).await.len();
    assert_eq!(store.decide(two.id, Remedy::Exists, "seen in the warehouse", at(20)).await.unwrap().len(), 1);
    assert_eq!(state_of(&*store, &two).await, IntentState::Done);
    assert_eq!(timers(&*store).await.len(), before + 1);
    let noted = store.attempts(&order_id("2")).await.unwrap();
    assert_eq!(noted.last().unwrap().note, "seen in the warehouse");
}

pub async fn orders_are_listed_and_found(place: Place) {
    let store = place.open();
    for n in 1..=5_i64 {
        let order = (1000 + n).to_string();
        let phase = if n % 2 == 0 { "shipped" } else { "received" };
        let index = EntityIndex {
            phase: phase.into(),
            placed: Some(at(n)),
            words: format!("#{order} TEA-0{n} 1Z999AA1012345678{n}"),
            ..write(&order, 0).index
        };
        let client = if n == 5 { "zen" } else { "acme" };
        let refs = vec![name("order", &format!("gid{n}"))];
        commit(&*store, unit(vec![EntityWrite { index, refs, client: client.into(), ..write(&order, 0) }]))
            .await;
    }
    let on = Exception { entity: Some(order_id("1003")), ..exception("x") };
    commit(&*store, Unit { exceptions: vec![on], ..unit(vec![]) }).await;
    let labels = async |query: OrderQuery| {
        store.orders(&query).await.unwrap().into_iter().map(|row| row.label).collect::<Vec<_>>()
    };
    let all = OrderQuery::default;
    assert_eq!(labels(all()).await, ["#1005", "#1004", "#1003", "#1002", "#1001"]);
    let two = store.orders(&OrderQuery { limit: Some(2), ..all() }).await.unwrap();
    let next = OrderQuery { limit: Some(2), after: Some(two[1].cursor.clone()), ..all() };
    assert_eq!(labels(next).await, ["#1003", "#1002"]);
    assert_eq!(labels(OrderQuery { phase: Some("shipped".into()), ..all() }).await, ["#1004", "#1002"]);
    assert_eq!(labels(OrderQuery { client: Some("zen".into()), ..all() }).await, ["#1005"]);
    assert_eq!(labels(OrderQuery { account: Some("east".into()), ..all() }).await, Vec::<String>::new());
    let both = OrderQuery { client: Some("acme".into()), phase: Some("received".into()), ..all() };
    assert_eq!(labels(both).await, ["#1003", "#1001"]);
    for (words, found) in [
        ("1003", vec!["#1003"]),
        ("#1003", vec!["#1003"]),
        ("tea-04", vec!["#1004"]),
        ("1z999aa10123456782", vec!["#1002"]),
        ("tea 100", vec!["#1005", "#1004", "#1003", "#1002", "#1001"]),
        ("tea-01 1002", vec![]),
        ("'; --", vec![]),
    ] {
        assert_eq!(labels(OrderQuery { search: Some(words.into()), ..all() }).await, found, "{words}");
    }
    let third = store.orders(&OrderQuery { search: Some("1003".into()), ..all() }).await.unwrap().remove(0);
    assert_eq!((third.exceptions, third.placed, third.changed), (1, Some(at(3)), at(1)));
    for name in ["1003", "#1003", "gid3", order_id("1003").as_str()] {
        assert_eq!(store.find_order(name).await.unwrap(), [order_id("1003")], "{name}");
    }
    assert!(store.find_order("none").await.unwrap().is_empty());

    let mut ids = Vec::new();
    loop {
        let page = store.entities(EntityKind::Order, ids.last(), 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        ids.extend(page);
    }
    assert_eq!(ids.len(), 5);
    assert!(store.entities(EntityKind::Stock, None, 10).await.unwrap().is_empty());
}

pub async fn exceptions_are_grouped_by_cause(place: Place) {
    let store = place.open();
    let raise = |cause: &str, n: i64, client: &str| Exception {
        message_id: Some(crossdock::canonical::MessageId(n)),
        client: Some(client.into()),
        raised: at(n),
        message: format!("message {n}"),
        ..exception(cause)
    };
    let raised = vec![raise("a", 1, "acme"), raise("b", 2, "acme"), raise("b", 3, "zen")];
    commit(&*store, Unit { exceptions: raised, ..unit(vec![]) }).await;
    let causes = store.causes(&ExceptionQuery::default()).await.unwrap();
    let told: Vec<_> =
        causes.iter().map(|row| (row.cause.as_str(), row.count, row.message.as_str(), row.since)).collect();
    assert_eq!(told, [("b", 2, "message 3", at(2)), ("a", 1, "message 1", at(1))]);
    let zen = ExceptionQuery { client: Some("zen".into()), ..ExceptionQuery::default() };
    assert_eq!(store.causes(&zen).await.unwrap().len(), 1);
    assert_eq!(store.exceptions(&zen).await.unwrap().len(), 1);
    let newest = ExceptionQuery { limit: Some(2), ..ExceptionQuery::default() };
    let page = store.exceptions(&newest).await.unwrap();
    assert_eq!(page.iter().map(|one| one.raised).collect::<Vec<_>>(), [at(3), at(2)]);
    let older = ExceptionQuery { before: Some(page[1].id), ..newest };
    assert_eq!(store.exceptions(&older).await.unwrap()[0].raised, at(1));
    let cause = ExceptionQuery {
        cause: Some("b".into()),
        kind: Some("unmapped".into()),
        ..ExceptionQuery::default()
    };
    assert_eq!(store.exceptions(&cause).await.unwrap().len(), 2);
}

pub async fn counts_follow(place: Place) {
    let store = place.open();
    let (one, _) = ended(&*store, "1", IntentState::Stuck).await;
    let id = accept(&*store, message(None, "raw")).await;
    let facts = vec![fact("1", 1, id)];
    let done = Unit {
        messages: vec![(id, MessageState::Done)],
        ..unit(vec![EntityWrite { facts, ..write("1", 1) }])
    };
    commit(&*store, done).await;
    store.decide(one.id, Remedy::Exists, "", at(3)).await.unwrap();
    let counts = store.counts().await.unwrap();
    assert_eq!(counts.phases, [("received".into(), 1)]);
    assert_eq!(counts.facts, [("order.placed".into(), 1)]);
    assert_eq!(counts.intents, [("order.create".into(), "done".into(), 1)]);
    assert_eq!(counts.messages, [("done".into(), 1), ("pending".into(), 2)]);
    assert_eq!((counts.attempts, counts.waiting), (1, 0));
    assert!(counts.exceptions.is_empty());
}

pub async fn personal_data_is_erased(place: Place) {
    let store = place.open();
    let id = accept(&*store, message(None, "raw 1@example.com")).await;
    let told = fact("1", 1, id);
    let personal = json!({ "contact": { "email": "1@example.com" } });
    let release = intent("1", "release/east", Class::Order);
    let quoted = |cause: &str| Exception { message: format!("{cause}: 1@example.com"), ..exception(cause) };
    let first = Unit {
        messages: vec![(id, MessageState::Done)],
        exceptions: vec![
            Exception { message_id: Some(id), ..quoted("of its message") },
            Exception { entity: Some(order_id("1")), ..quoted("of itself") },
            Exception { entity: Some(order_id("2")), ..quoted("of another") },
        ],
        ..unit(vec![EntityWrite {
            facts: vec![told.clone()],
            personal: personal.clone(),
            intents: vec![release.clone()],
            ..write("1", 0)
        }])
    };
    commit(&*store, first).await;
    let held = lease(&*store, "a", 0).await.unwrap();
    assert!(store.freeze(frozen(&release, held.epoch, 1)).await.unwrap());
    let refusal = Exception {
        kind: "rejected".into(),
        ..quoted("rejected:shop:order.create:the-address-of-1-example-com")
    };
    let refused = Settled {
        note: "HTTP 422: no parcel for 1@example.com".into(),
        exception: Some(refusal),
        ..settled(release.id, held.epoch, IntentState::Retry, 1)
    };
    store.settle(vec![refused]).await.unwrap();
    assert!(store.freeze(frozen(&release, held.epoch, 2)).await.unwrap());
    let answer = crossdock::ports::NewMessage {
        origin: Origin::Answer,
        context: Some(release.id.to_string()),
        ..message(None, "answer 1@example.com")
    };
    let done = Settled { answer: Some(answer), ..settled(release.id, held.epoch, IntentState::Done, 2) };
    store.settle(vec![done]).await.unwrap();
    let answer = store.pending(3, 10).await.unwrap().remove(0).id;
    commit(&*store, Unit { messages: vec![(answer, MessageState::Done)], ..unit(vec![]) }).await;

    store.erase_personal(&order_id("1")).await.unwrap();
    let record = store.load(&[order_id("1")]).await.unwrap().remove(0);
    assert_eq!(record.state.value()["contact"], json!({}));
    assert_eq!(record.facts[0].id, told.id, "the fact stays, and its identity");
    let text = serde_json::to_string(&(&record.facts, &record.intents)).unwrap();
    assert!(!text.contains("example.com") && !text.contains("ring twice"), "{text}");
    assert_eq!(
        (record.intents[0].sent_content.clone(), record.intents[0].sent_digest.as_str()),
        (None, "d1")
    );
    let attempts = store.attempts(&order_id("1")).await.unwrap();
    assert_eq!(attempts.len(), 2);
    let all = ExceptionQuery { resolved: true, limit: Some(10), ..ExceptionQuery::default() };
    let raised = store.exceptions(&all).await.unwrap();
    let words = |about: &str| serde_json::to_string(&raised).unwrap().matches(about).count();
    assert_eq!((raised.len(), words("1@example.com"), words("1-example-com")), (4, 1, 0), "{raised:?}");
    assert!(raised.iter().any(|one| one.message == "of another: 1@example.com"));
    assert!(!serde_json::to_string(&attempts).unwrap().contains("example.com"), "{attempts:?}");
    for id in [id, answer] {
        assert!(store.message(id).await.unwrap().unwrap().content.body.is_empty());
    }
    // What comes later loses its personal part on the way in.
    let late = accept(&*store, message(None, "late 1@example.com")).await;
    let more = Unit {
        messages: vec![(late, MessageState::Done)],
        ..unit(vec![EntityWrite { facts: vec![fact("1", 2, late)], personal, ..write("1", record.version) }])
    };
    commit(&*store, more).await;
    let record = store.load(&[order_id("1")]).await.unwrap().remove(0);
    assert_eq!(record.facts.len(), 2);
    assert!(!serde_json::to_string(&(record.state.value(), record.facts)).unwrap().contains("example.com"));
    assert!(store.message(late).await.unwrap().unwrap().content.body.is_empty());
}

pub async fn small_values_are_compared_and_swapped(place: Place) {
    let store = place.open();
    assert_eq!(store.get("token", "shop").await.unwrap(), None);
    let put = async |value, expected| store.put("token", "shop", value, expected).await.unwrap();
    assert!(!put(json!(1), Some(Some(json!(0)))).await);
    assert!(put(json!(1), Some(None)).await);
    assert!(!put(json!(2), Some(None)).await);
    assert!(put(json!({ "a": 1, "b": 2 }), Some(Some(json!(1)))).await);
    assert!(put(json!(3), Some(Some(json!({ "b": 2, "a": 1 })))).await);
    assert!(put(json!(4), None).await);
    store.put("token", "pay", json!("x"), None).await.unwrap();
    store.put("other", "shop", json!("y"), None).await.unwrap();
    assert_eq!(store.all("token").await.unwrap(), [("pay".into(), json!("x")), ("shop".into(), json!(4))]);
    assert!(put(serde_json::Value::Null, None).await);
    assert_eq!(store.get("token", "shop").await.unwrap(), None);
}

pub async fn old_bodies_are_pruned(place: Place) {
    let store = place.open();
    let mut ids = Vec::new();
    for event in ["done", "excepted", "pending"] {
        ids.push(accept(&*store, message(Some(event), "raw")).await);
    }
    let worked = Unit {
        messages: vec![(ids[0], MessageState::Done), (ids[1], MessageState::Excepted)],
        exceptions: vec![Exception { message_id: Some(ids[1]), ..exception("x") }],
        ..unit(vec![])
    };
    commit(&*store, worked).await;
    assert_eq!(store.prune(at(0), 10).await.unwrap(), 0, "not before its time");
    assert_eq!(
        store.prune(at(1), 10).await.unwrap(),
        1,
        "what waits for a worker or a person keeps its body"
    );
    assert!(store.message(ids[0]).await.unwrap().unwrap().content.body.is_empty());
    let known = store.accept(vec![message(Some("done"), "raw")], None).await.unwrap();
    assert_eq!(known, [crossdock::ports::Accepted::Duplicate(ids[0])], "identities outlive payloads");
    let raised = open(&*store).await.remove(0);
    store.dismiss_exceptions(&[raised.id], at(2)).await.unwrap();
    assert_eq!(store.prune(at(1), 10).await.unwrap(), 1);
    let everything = ExceptionQuery { resolved: true, ..ExceptionQuery::default() };
    assert_eq!(store.exceptions(&everything).await.unwrap().len(), 1, "resolved at 2, forgotten after it");
    let again = Unit { exceptions: vec![exception("y")], ..unit(vec![]) };
    commit(&*store, again).await;
    assert_eq!(store.prune(at(3), 10).await.unwrap(), 1, "the exception; the body left waits for a worker");
    let left: Vec<String> =
        store.exceptions(&everything).await.unwrap().into_iter().map(|exception| exception.cause).collect();
    assert_eq!(left, ["y"], "what is open stays");
    assert_eq!(store.message(ids[2]).await.unwrap().unwrap().content.account, shop());
}

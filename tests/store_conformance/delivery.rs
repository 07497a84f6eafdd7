//! Leases, due intents, attempts.

use std::time::Duration;

use crossdock::canonical::{Body, Class, ExternalRef, Fact, Intent, IntentState};
use crossdock::ports::{
    Committed, EntityWrite, Exception, Frozen, Hint, Holder, NewMessage, OF, Origin, Settled, Store,
};
use serde_json::json;

use crate::Place;
use crate::make::{
    at, attempt, commit, east, exception, frozen, intent, lease, message, order_id, order_with, settled,
    state_of, unit, write,
};

async fn due_slots(store: &dyn Store, now: i64) -> Vec<String> {
    let due = store.due(&east(), at(now), 100).await.unwrap();
    due.into_iter().map(|one| format!("{}:{}", one.intent.slot, one.intent.generation)).collect()
}

pub async fn leases_pass_on_with_a_new_epoch(place: Place) {
    let store = place.open();
    let first = lease(&*store, "a", 0).await.unwrap();
    assert!(lease(&*store, "b", 29).await.is_none(), "held");
    let renewed = lease(&*store, "a", 10).await.unwrap();
    assert_eq!((renewed.epoch, renewed.until), (first.epoch, at(40)));
    let level = json!({ "left": 7 });
    let until = at(40) + Duration::from_secs(1);
    store.lease(&east(), "a", at(20), until, Some(level.clone())).await.unwrap().unwrap();
    assert!(lease(&*store, "b", 40).await.is_none());
    let second = lease(&*store, "b", 41).await.unwrap();
    let holders = store.leases().await.unwrap();
    let told = Holder { account: east(), owner: "b".into(), epoch: second.epoch, until: second.until };
    assert_eq!(holders, [told]);
    assert_eq!((second.epoch, second.level), (first.epoch + 1, level.clone()));
    assert!(lease(&*store, "a", 42).await.is_none());
    store.release_lease(&east(), "a", first.epoch).await.unwrap();
    assert!(lease(&*store, "a", 42).await.is_none(), "only the owner gives it back");
    store.release_lease(&east(), "b", second.epoch).await.unwrap();
    let third = lease(&*store, "a", 42).await.unwrap();
    assert_eq!((third.epoch, third.level), (second.epoch + 1, level));
    store.release_lease(&east(), "a", third.epoch).await.unwrap();
    assert!(
        lease(&*store, "a", 43).await.unwrap().epoch > third.epoch,
        "given back and taken again: a new epoch"
    );
}

pub async fn freezing_checks_version_state_and_lease(place: Place) {
    let store = place.open();
    let release = intent("1", "release/east", Class::Order);
    order_with(&*store, "1", vec![release.clone()]).await;
    let held = lease(&*store, "a", 0).await.unwrap();
    let good = frozen(&release, held.epoch, 5);
    let bad = [
        Frozen { entity_version: 2, ..good.clone() },
        Frozen { epoch: held.epoch + 1, ..good.clone() },
        Frozen { at: at(30), ..good.clone() },
        Frozen { intent: Intent::id_of(&order_id("1"), "none", 0), ..good.clone() },
    ];
    for frozen in bad {
        assert!(!store.freeze(frozen.clone()).await.unwrap(), "{frozen:?}");
    }
    assert!(!store.refly(release.id, held.epoch, at(5)).await.unwrap(), "nothing is frozen yet");
    assert!(store.freeze(good.clone()).await.unwrap());
    assert!(!store.freeze(good.clone()).await.unwrap(), "it is in flight");
    let loaded = store.load(&[order_id("1")]).await.unwrap().remove(0).intents.remove(0);
    assert_eq!((loaded.state, loaded.attempts), (IntentState::InFlight, 1));
    assert_eq!((loaded.sent_digest.as_str(), loaded.sent_content), ("d1", Some(good.content.clone())));
    assert!(due_slots(&*store, 5).await.is_empty());

    store.settle(vec![settled(release.id, held.epoch, IntentState::Retry, 8)]).await.unwrap();
    let due = store.due(&east(), at(8), 10).await.unwrap().remove(0);
    assert_eq!((due.frozen, due.frozen_at), (Some(good.request.clone()), Some(at(5))));
    assert_eq!(due.intent.error.as_deref(), Some("now retry"));
    assert!(store.refly(release.id, held.epoch, at(9)).await.unwrap());
    assert!(!store.refly(release.id, held.epoch, at(9)).await.unwrap());
    store.settle(vec![settled(release.id, held.epoch, IntentState::Unknown, 9)]).await.unwrap();
    assert!(!store.freeze(good).await.unwrap(), "what may have been done keeps its bytes");
    let attempts = store.attempts(&order_id("1")).await.unwrap();
    let told: Vec<_> = attempts.iter().map(|one| (one.number, one.note.as_str(), one.at)).collect();
    assert_eq!(told, [(1, "now retry", at(5)), (2, "now unknown", at(9))]);
}

pub async fn an_old_owner_changes_nothing(place: Place) {
    let store = place.open();
    let release = intent("1", "release/east", Class::Order);
    order_with(&*store, "1", vec![release.clone(), intent("1", "cancel/east", Class::Cancel)]).await;
    let old = lease(&*store, "a", 0).await.unwrap();
    assert!(store.freeze(frozen(&release, old.epoch, 5)).await.unwrap());
    let new = lease(&*store, "b", 30).await.unwrap();
    // The successor has not sent this, so it cannot settle it before it has treated it as unknown.
    store.settle(vec![settled(release.id, new.epoch, IntentState::Done, 31)]).await.unwrap();
    assert_eq!(state_of(&*store, &release).await, IntentState::InFlight);
    // Nor does it learn anything from a former owner that does not know the outcome.
    store.settle(vec![settled(release.id, old.epoch, IntentState::Unknown, 60)]).await.unwrap();
    assert_eq!(state_of(&*store, &release).await, IntentState::InFlight);
    // Once it has begun to look the outcome up, it alone tells.
    assert_eq!(store.recover(&east(), new.epoch, at(31)).await.unwrap(), 1);
    assert!(store.refly(release.id, new.epoch, at(32)).await.unwrap());
    let answer = Settled {
        answer: Some(message(None, "answer")),
        exception: Some(exception("x")),
        ..settled(release.id, old.epoch, IntentState::Done, 32)
    };
    assert_eq!(store.settle(vec![answer]).await.unwrap(), []);
    assert_eq!(state_of(&*store, &release).await, IntentState::InFlight);
    assert!(store.pending(3, 10).await.unwrap().is_empty());
    assert!(store.counts().await.unwrap().exceptions.is_empty());
    // Nor may it send on.
    let cancel = intent("1", "cancel/east", Class::Cancel);
    assert!(!store.freeze(frozen(&cancel, old.epoch, 29)).await.unwrap());
}

pub async fn who_made_an_attempt_tells_its_outcome_after_its_lease(place: Place) {
    let store = place.open();
    let (release, cancel) =
        (intent("1", "release/east", Class::Order), intent("1", "cancel/east", Class::Cancel));
    order_with(&*store, "1", vec![release.clone(), cancel.clone()]).await;
    let old = lease(&*store, "a", 0).await.unwrap();
    for one in [&release, &cancel] {
        assert!(store.freeze(frozen(one, old.epoch, 5)).await.unwrap());
    }
    let new = lease(&*store, "b", 30).await.unwrap();
    assert_eq!(store.recover(&east(), new.epoch, at(60)).await.unwrap(), 2);
    // One was done, the other was never sent: nobody has to wait for a look-up.
    let answer = Settled {
        answer: Some(message(None, "answer")),
        ..settled(release.id, old.epoch, IntentState::Done, 31)
    };
    store.settle(vec![answer.clone()]).await.unwrap();
    assert_eq!(state_of(&*store, &release).await, IntentState::Done);
    assert!(!store.pending(3, 10).await.unwrap().is_empty(), "the answer");
    store.settle(vec![settled(cancel.id, old.epoch, IntentState::Retry, 32)]).await.unwrap();
    assert_eq!(state_of(&*store, &cancel).await, IntentState::Retry);
    // Told twice, it counts once.
    assert_eq!(store.settle(vec![answer]).await.unwrap(), []);
    assert!(store.refly(cancel.id, new.epoch, at(33)).await.unwrap(), "the successor sends it");
    store.settle(vec![settled(cancel.id, old.epoch, IntentState::Done, 34)]).await.unwrap();
    assert_eq!(state_of(&*store, &cancel).await, IntentState::InFlight, "that is another attempt");
}

pub async fn what_was_in_flight_becomes_unknown(place: Place) {
    let store = place.open();
    let release = intent("1", "release/east", Class::Order);
    order_with(&*store, "1", vec![release.clone()]).await;
    let old = lease(&*store, "a", 0).await.unwrap();
    assert!(store.freeze(frozen(&release, old.epoch, 5)).await.unwrap());
    assert_eq!(store.recover(&east(), old.epoch, at(6)).await.unwrap(), 0, "its own epoch");
    assert_eq!(store.next_due().await.unwrap(), Some(at(30)), "when the lease ends");
    let new = lease(&*store, "b", 30).await.unwrap();
    assert_eq!(store.recover(&east(), new.epoch, at(33)).await.unwrap(), 1);
    assert_eq!(state_of(&*store, &release).await, IntentState::Unknown);
    assert_eq!(store.next_due().await.unwrap(), Some(at(33)));
    assert!(due_slots(&*store, 32).await.is_empty());
    assert_eq!(due_slots(&*store, 33).await, ["release/east:0"]);
    assert!(store.refly(release.id, new.epoch, at(34)).await.unwrap());
    store.settle(vec![settled(release.id, new.epoch, IntentState::Done, 35)]).await.unwrap();
    assert_eq!(state_of(&*store, &release).await, IntentState::Done);
}

pub async fn the_oldest_of_an_entity_goes_first(place: Place) {
    let store = place.open();
    let release = intent("1", "release/east", Class::Order);
    let cancel = intent("1", "cancel/east", Class::Cancel);
    let elsewhere = Intent { account: "west".into(), ..intent("1", "release/west", Class::Order) };
    order_with(&*store, "1", vec![release.clone(), cancel.clone(), elsewhere]).await;
    order_with(&*store, "2", vec![intent("2", "release/east", Class::Order)]).await;
    assert_eq!(due_slots(&*store, 0).await, ["release/east:0", "release/east:0"]);
    assert_eq!(
        store.due(&"west".into(), at(0), 10).await.unwrap().len(),
        1,
        "another account is another lane"
    );
    let held = lease(&*store, "a", 0).await.unwrap();
    assert!(store.freeze(frozen(&release, held.epoch, 1)).await.unwrap());
    assert_eq!(due_slots(&*store, 1).await.len(), 1, "in flight: what is behind it waits");
    for state in [IntentState::Retry, IntentState::Unknown] {
        store
            .settle(vec![Settled { due: at(50), ..settled(release.id, held.epoch, state, 2) }])
            .await
            .unwrap();
        assert_eq!(due_slots(&*store, 2).await.len(), 1, "not settled: what is behind it waits");
        assert!(store.refly(release.id, held.epoch, at(3)).await.unwrap());
    }
    store.settle(vec![settled(release.id, held.epoch, IntentState::Stuck, 4)]).await.unwrap();
    assert_eq!(due_slots(&*store, 4).await, ["cancel/east:0", "release/east:0"], "stuck blocks nothing");
    let hints = store.sweep(at(4), 10).await.unwrap();
    for account in [east(), "west".into()] {
        assert!(hints.contains(&Hint::Outbound { account }), "{hints:?}");
    }
}

pub async fn commands_of_a_class_go_before_later_classes(place: Place) {
    let store = place.open();
    let late = |order: &str, class, due| Intent { due: at(due), ..intent(order, "slot", class) };
    order_with(&*store, "1", vec![late("1", Class::Order, 1)]).await;
    order_with(&*store, "2", vec![late("2", Class::Cancel, 3)]).await;
    order_with(&*store, "3", vec![late("3", Class::Order, 0)]).await;
    order_with(&*store, "4", vec![late("4", Class::Money, 9)]).await;
    let orders = async |now, limit| {
        let due = store.due(&east(), at(now), limit).await.unwrap();
        due.into_iter().map(|one| one.intent.entity).collect::<Vec<_>>()
    };
    assert_eq!(orders(5, 10).await, ["2", "3", "1"].map(order_id));
    assert_eq!(orders(5, 2).await, ["2", "3"].map(order_id));
    assert_eq!(orders(9, 10).await, ["2", "4", "3", "1"].map(order_id));
    assert_eq!(store.next_due().await.unwrap(), Some(at(0)));
}

pub async fn stock_levels_told_long_ago_are_forgotten(place: Place) {
    let store = place.open();
    let fill = |generation: u32| {
        let mut intent = intent("1", "stock/east", Class::Stock);
        intent.generation = generation;
        intent.id = Intent::id_of(&order_id("1"), "stock/east", generation);
        intent
    };
    let held = lease(&*store, "a", 0).await.unwrap();
    for generation in 0..40 {
        let expected = i64::from(generation);
        let told = fill(generation);
        let written = EntityWrite { intents: vec![told.clone()], ..write("1", expected) };
        commit(&*store, unit(vec![written])).await;
        let going = Frozen { entity_version: expected + 1, ..frozen(&told, held.epoch, 5) };
        assert!(store.freeze(going).await.unwrap());
        store.settle(vec![settled(told.id, held.epoch, IntentState::Done, 6)]).await.unwrap();
    }
    let record = store.load(&[order_id("1")]).await.unwrap().remove(0);
    let mut kept: Vec<u32> = record.intents.iter().map(|one| one.generation).collect();
    kept.sort_unstable();
    assert!(kept.len() < 20 && kept.contains(&39), "{kept:?}");
    let counted: u64 = store.counts().await.unwrap().intents.iter().map(|(.., count)| count).sum();
    assert_eq!(usize::try_from(counted).unwrap(), kept.len());
    let forgotten = Intent::id_of(&order_id("1"), "stock/east", 0);
    let name = ExternalRef::of_client(&"acme".into(), "our", &forgotten.to_string());
    assert_eq!(store.resolve(&[name]).await.unwrap(), [None]);
}

pub async fn only_the_newest_stock_level_goes(place: Place) {
    let store = place.open();
    let level = |generation| {
        let first = intent("1", "stock/east", Class::Stock);
        Intent { id: Intent::id_of(&first.entity, &first.slot, generation), generation, ..first }
    };
    order_with(&*store, "1", vec![level(0)]).await;
    commit(&*store, unit(vec![EntityWrite { intents: vec![level(1)], ..write("1", 1) }])).await;
    assert_eq!(state_of(&*store, &level(0)).await, IntentState::Withdrawn);
    assert_eq!(due_slots(&*store, 1).await, ["stock/east:1"]);
    // What is in flight is let be.
    let held = lease(&*store, "a", 0).await.unwrap();
    assert!(store.freeze(Frozen { entity_version: 2, ..frozen(&level(1), held.epoch, 1) }).await.unwrap());
    commit(&*store, unit(vec![EntityWrite { intents: vec![level(2)], ..write("1", 2) }])).await;
    assert_eq!(state_of(&*store, &level(1)).await, IntentState::InFlight);
    assert!(due_slots(&*store, 1).await.is_empty());
}

pub async fn settling_answers_and_wakes(place: Place) {
    let store = place.open();
    let release = intent("1", "release/east", Class::Order);
    order_with(&*store, "1", vec![release.clone()]).await;
    let held = lease(&*store, "a", 0).await.unwrap();
    assert!(store.freeze(frozen(&release, held.epoch, 1)).await.unwrap());
    let done = Settled {
        answer: Some(message(Some("answer"), "answer")),
        ..settled(release.id, held.epoch, IntentState::Done, 2)
    };
    let hints = store.settle(vec![done.clone()]).await.unwrap();
    assert!(hints.contains(&Hint::Inbound { shard: 3 }), "{hints:?}");
    // Said again, because the answer of the store was lost: nothing comes twice.
    assert_eq!(store.settle(vec![done]).await.unwrap(), []);
    let mut all = Vec::new();
    for shard in 0..crossdock::ports::INBOUND_SHARDS {
        all.extend(store.pending(shard, 10).await.unwrap());
    }
    assert_eq!(all.len(), 2);
    let wake = all.iter().find(|one| one.content.origin == Origin::Fact).unwrap();
    assert!(hints.contains(&Hint::Inbound { shard: wake.content.shard }));
    assert_eq!(wake.content.context, Some(order_id("1").0));
    let fact: Fact = serde_json::from_slice(&wake.content.body).unwrap();
    let Body::Due(due) = fact.body else { panic!() };
    assert_eq!(due.timer, format!("settled/{}", release.id));
}

pub async fn an_answer_that_names_its_entity_wakes_it(place: Place) {
    let store = place.open();
    let release = intent("1", "release/east", Class::Order);
    order_with(&*store, "1", vec![release.clone()]).await;
    let held = lease(&*store, "a", 0).await.unwrap();
    assert!(store.freeze(frozen(&release, held.epoch, 1)).await.unwrap());
    let of = vec![(OF.to_owned(), order_id("1").0)];
    let answer = NewMessage { headers: of, origin: Origin::Answer, ..message(Some("answer"), "answer") };
    let done =
        Settled { answer: Some(answer.clone()), ..settled(release.id, held.epoch, IntentState::Done, 2) };
    assert_eq!(store.settle(vec![done]).await.unwrap(), [Hint::Inbound { shard: answer.shard }]);
    let mut all = Vec::new();
    for shard in 0..crossdock::ports::INBOUND_SHARDS {
        all.extend(store.pending(shard, 10).await.unwrap());
    }
    let all: Vec<NewMessage> = all.into_iter().map(|one| one.content).collect();
    assert_eq!(all, [answer]);
}

pub async fn intents_that_were_never_sent_can_be_settled(place: Place) {
    let store = place.open();
    let release = intent("1", "release/east", Class::Order);
    order_with(&*store, "1", vec![release.clone()]).await;
    let held = lease(&*store, "a", 0).await.unwrap();
    let put_off = Settled { due: at(60), ..settled(release.id, held.epoch, IntentState::Pending, 2) };
    assert_eq!(store.settle(vec![put_off]).await.unwrap(), [], "putting off wakes nobody");
    assert!(due_slots(&*store, 59).await.is_empty());
    assert_eq!(due_slots(&*store, 60).await.len(), 1);
    let refused = Settled {
        exception: Some(exception("bad_address")),
        ..settled(release.id, held.epoch, IntentState::Rejected, 3)
    };
    assert_eq!(store.settle(vec![refused]).await.unwrap().len(), 1);
    let record = store.load(&[order_id("1")]).await.unwrap().remove(0);
    assert_eq!(record.intents[0].state, IntentState::Rejected);
    assert_eq!((record.exceptions[0].intent, record.intents[0].attempts), (Some(release.id), 0));
    // The next plan says nothing of it: it stays open as long as the intent is refused.
    commit(&*store, unit(vec![EntityWrite { exceptions: Some(vec![]), ..write("1", 1) }])).await;
    assert_eq!(store.load(&[order_id("1")]).await.unwrap()[0].exceptions.len(), 1);
    let gone = Intent { state: IntentState::Withdrawn, ..release };
    commit(&*store, unit(vec![EntityWrite { intents: vec![gone], ..write("1", 2) }])).await;
    assert_eq!(store.load(&[order_id("1")]).await.unwrap()[0].exceptions, Vec::<Exception>::new());
}

pub async fn withdrawing_is_refused_once_told(place: Place) {
    let store = place.open();
    let (one, two) = (intent("1", "release/east", Class::Order), intent("2", "release/east", Class::Order));
    order_with(&*store, "1", vec![one.clone()]).await;
    order_with(&*store, "2", vec![two.clone()]).await;
    assert!(store.withdraw(one.id, "not wanted", at(1)).await.unwrap());
    assert!(!store.withdraw(one.id, "not wanted", at(1)).await.unwrap());
    let held = lease(&*store, "a", 0).await.unwrap();
    assert!(!store.freeze(frozen(&one, held.epoch, 2)).await.unwrap());
    assert!(store.freeze(frozen(&two, held.epoch, 2)).await.unwrap());
    assert!(!store.withdraw(two.id, "not wanted", at(3)).await.unwrap());
    store.settle(vec![settled(two.id, held.epoch, IntentState::Unknown, 4)]).await.unwrap();
    assert!(!store.withdraw(two.id, "not wanted", at(5)).await.unwrap());
    let taken = Intent { state: IntentState::Withdrawn, ..two };
    let outcome = attempt(&*store, unit(vec![EntityWrite { intents: vec![taken], ..write("2", 1) }])).await;
    assert_eq!(outcome, Committed::Conflict);
}

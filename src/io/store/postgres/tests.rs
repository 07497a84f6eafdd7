//! Every statement on a real database.

use std::time::Duration;

use super::*;

#[path = "../../../../tests/support/postgres.rs"]
#[expect(dead_code, reason = "this test needs only a part")]
mod server;

const FILES: &[(&str, &[&str])] = &[
    ("link", link::STATEMENTS),
    ("schema", schema::STATEMENTS),
    ("intake", intake::STATEMENTS),
    ("commit/known", commit::KNOWN_STATEMENTS),
    ("commit/written", commit::STATEMENTS),
    ("entity", entity::STATEMENTS),
    ("waiting", waiting::STATEMENTS),
    ("delivery", delivery::STATEMENTS),
    ("flight", flight::STATEMENTS),
    ("exceptions", exceptions::STATEMENTS),
    ("exceptions", &[exceptions::ON_ENTITIES]),
    ("people", people::STATEMENTS),
    ("turn", turn::STATEMENTS),
    ("events", events::STATEMENTS),
    ("keeping", keeping::STATEMENTS),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_statement_can_be_prepared() {
    let server = server::Server::start("fsync=off").await;
    let url = server.database().await;
    PostgresStore::open(Options::new(url.as_str().into())).await.unwrap().close().await.unwrap();
    let client = server.connect("d0").await.unwrap();
    let mut many = 0;
    for (file, sql) in FILES.iter().flat_map(|(file, all)| all.iter().map(move |sql| (file, sql))) {
        if let Err(error) = client.prepare(sql).await {
            panic!("{file}: {}: {sql}", words(&error));
        }
        many += 1;
    }
    assert!(many > 100, "{many}");
}

/// A database of each earlier form, with something in it, is brought to the newest form and read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_of_every_earlier_form_are_upgraded() {
    let server = server::Server::start("fsync=off").await;
    for form in 1..=schema::newest() {
        let url = server.database().await;
        let name = url.rsplit('/').next().unwrap_or_default();
        let target = Target::new(&Options::new(url.as_str().into())).unwrap();
        let mut single = target.single().await.unwrap();
        schema::to_form(&mut single, form).await.unwrap();
        let client = server.connect(name).await.unwrap();
        client.batch_execute(include_str!("../../../../tests/upgrade/postgres.sql")).await.unwrap();

        let old = PostgresStore::open(Options { migrate: false, ..Options::new(url.as_str().into()) }).await;
        assert_eq!(
            old.is_err(),
            form < schema::newest(),
            "an older form is refused when it may not be changed"
        );
        let store = PostgresStore::open(Options::new(url.as_str().into())).await.unwrap();
        let record = store.load(&["order:old".into()]).await.unwrap().remove(0);
        assert_eq!(
            (record.version, record.client.as_str(), &record.state.value()["n"]),
            (3, "acme", &Value::from(7))
        );
        assert_eq!(record.intents.len(), 1);
        assert_eq!(store.pending(3, 10).await.unwrap()[0].content.body, "raw");
        assert_eq!(store.counts().await.unwrap().messages, [("pending".into(), 1)]);
        let events = store.events(10).await.unwrap();
        assert_eq!(
            (events[0].name.as_str(), &events[0].data.value()["n"]),
            ("order.placed", &Value::from(7))
        );
        store.published(&[events[0].ordinal]).await.unwrap();
        assert_eq!(store.events(10).await.unwrap(), []);
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_newer_or_cannot_be_reached_is_told() {
    let server = server::Server::start("fsync=off").await;
    let url = server.database().await;
    PostgresStore::open(Options::new(url.as_str().into())).await.unwrap().close().await.unwrap();
    let client = server.connect("d0").await.unwrap();
    client
        .batch_execute(
            "UPDATE refinery_schema_history SET version = 9999 \
         WHERE version = (SELECT max(version) FROM refinery_schema_history)",
        )
        .await
        .unwrap();
    let newer = PostgresStore::open(Options::new(url.as_str().into())).await;
    assert!(matches!(newer, Err(StoreError::Corrupt(why)) if why.contains("newer")));

    let port = server.port;
    drop(server);
    let away = format!("postgres://me:secret@127.0.0.1:{port}/x");
    let options = Options { connect_timeout: Duration::from_secs(1), ..Options::new(away.as_str().into()) };
    let Err(StoreError::Unavailable(why)) = PostgresStore::open(options).await else { panic!("it opens") };
    assert!(why.contains("refused") && why.contains("127.0.0.1") && !why.contains("secret"), "{why}");
}

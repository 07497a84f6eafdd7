//! What the tasks of the daemon do between the stages.

use futures::FutureExt as _;

use super::*;
use crate::canonical::AccountId;
use crate::io::bus::embedded::EmbeddedBus;
use crate::io::store::sqlite::{Options, SqliteStore};
use crate::ports::{NewMessage, Origin};

const SHARD: u16 = 3;

fn message(number: usize) -> NewMessage {
    NewMessage {
        account: AccountId::from("nobody"),
        origin: Origin::Webhook,
        topic: "orders/create".to_owned(),
        mapping: "order".to_owned(),
        event_id: Some(number.to_string()),
        headers: Vec::new(),
        body: "{}".into(),
        received: jiff::Timestamp::UNIX_EPOCH,
        priority: 0,
        shard: SHARD,
        context: None,
    }
}

/// A full batch may have begun while the broker was away: what is left is said to the node that gets the shard's hints, and
/// left to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_full_batch_the_rest_is_hinted_and_left() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = SqliteStore::open(folder.path().join("test.db"), Options::default()).unwrap();
    let bus: Arc<dyn Bus> = Arc::new(EmbeddedBus::new());
    let mut sources = Sources::default();
    sources.insert("config.toml", "[store]\npath = \"test.db\"\n");
    let registry = crate::connector::Registry::default();
    let config = crate::config::load(&sources, "config.toml", &registry, &|_| None, &|_| Err(String::new()));
    let world = World { config: config.unwrap(), registry };
    let worker = Worker {
        store: store.clone(),
        bus: bus.clone(),
        clock: clock(),
        world: Arc::new(ArcSwap::from_pointee(world)),
        backlog: Arc::default(),
        stocks: None,
    };
    store.accept((0..=2 * BATCH).map(message).collect(), None).await.unwrap();
    let (bell, stop) = (Arc::new(Notify::new()), CancellationToken::new());
    let working = tokio::spawn(work_on(worker, SHARD, bell.clone(), stop.clone()));
    let left = async || store.pending(SHARD, 1000).await.unwrap().len();
    for rest in [BATCH + 1, 1] {
        assert_eq!(bus.next().await, Some(Hint::Inbound { shard: SHARD }));
        assert_eq!(left().await, rest, "it waits for the bell");
        bell.notify_one();
    }
    // Less than a batch is done at once, and nothing more is said.
    while left().await > 0 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    working.await.unwrap();
    assert_eq!(bus.next().now_or_never(), None);
    store.close().await.unwrap();
}

//! Nodes that share a store tell of themselves there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::ports::{Clock, NODES, NodeState, Store, StoreError};

/// How often a node tells of itself.
const BEAT: Duration = Duration::from_secs(5);
/// A node that has not told of itself for so long is gone.
const GONE: SignedDuration = SignedDuration::from_mins(2);

/// Of which inbound shards hints came here, and when the last one did.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<BTreeMap<u16, Timestamp>>);

impl Heard {
    /// A hint of `shard` came.
    pub(super) fn note(&self, shard: u16, at: Timestamp) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(shard, at);
    }

    fn all(&self) -> BTreeMap<u16, Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Tells of this node under `name` until `stop`; then it is taken off the list.
pub(super) async fn beat(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    name: String,
    mut node: NodeState,
    generation: impl Fn() -> String + Send,
    heard: Arc<Heard>,
    stop: CancellationToken,
) {
    while !stop.is_cancelled() {
        (node.seen, node.generation, node.heard) = (clock.now(), generation(), heard.all());
        if let Err(error) = tell(store.as_ref(), &name, &node).await {
            tracing::debug!(%error, "this node cannot tell of itself now");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(BEAT) => {}
        }
    }
    if let Err(error) = store.put(NODES, &name, serde_json::Value::Null, None).await {
        tracing::debug!(%error, "this node stays on the list of nodes for a while");
    }
}

async fn tell(store: &dyn Store, name: &str, node: &NodeState) -> Result<(), StoreError> {
    let state = serde_json::to_value(node).map_err(|error| StoreError::Corrupt(error.to_string()))?;
    store.put(NODES, name, state, None).await?;
    for (other, state) in store.all(NODES).await? {
        let gone = serde_json::from_value(state)
            .map_or(true, |state: NodeState| node.seen.duration_since(state.seen) > GONE);
        if gone {
            store.put(NODES, &other, serde_json::Value::Null, None).await?;
        }
    }
    Ok(())
}

//! Whose turn it is to work on the stock of a client: one batch at a time, within this process and over all nodes.
//!
//! Every order of a client wants the same few entities of stock. Two batches that read them at once would both write them,
//! and one of the two would be worked out in vain. Turns spare that; they are not what makes it safe, which the versions of
//! entities do. So whoever cannot have a turn goes on without one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

use crate::canonical::ClientId;
use crate::ports::{self, Store};

/// The turns of this process.
#[derive(Debug, Default)]
pub struct Turns(Mutex<BTreeMap<ClientId, Arc<tokio::sync::Mutex<()>>>>);

/// A turn, until it is dropped.
#[derive(Default)]
pub(super) struct Turn {
    // Given back in this order: another batch of this process finds the store's turn free, or soon so.
    _everywhere: Option<ports::Turn>,
    here: Vec<OwnedMutexGuard<()>>,
}

impl Turn {
    /// Whether it is for anything.
    pub(super) fn is_any(&self) -> bool {
        !self.here.is_empty()
    }
}

impl Turns {
    /// Waits for the turn to work on the stock of all of these clients. Who has one already must not wait for another.
    pub(super) async fn take(&self, store: &dyn Store, clients: BTreeSet<ClientId>) -> Turn {
        let mut here = Vec::with_capacity(clients.len());
        // In the order of names, as everybody does.
        for client in &clients {
            let turn = {
                let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(known.entry(client.clone()).or_default())
            };
            here.push(turn.lock_owned().await);
        }
        let names: Vec<String> = clients.iter().map(|client| format!("stock/{client}")).collect();
        let everywhere = match store.turn(&names).await {
            Ok(turn) => turn,
            Err(error) => {
                tracing::debug!(%error, "no turn to work on stock; it is worked on without");
                None
            }
        };
        Turn { _everywhere: everywhere, here }
    }
}

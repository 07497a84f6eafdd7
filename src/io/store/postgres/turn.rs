//! Turns over all nodes: locks of the database that stand for a name, held by a transaction that does nothing else. The
//! database gives them back when the connection is gone, or when its holder has stood still for too long.

use std::sync::Arc;

use tokio::sync::{Semaphore, oneshot};

use super::codec::{Fault, statements, values};
use super::link::{Link, Tx, closed, too_late};
use crate::canonical::ids::digest;
use crate::ports::{StoreError, Turn};

statements! {
    /// In the order of their numbers, as everybody takes them.
    LOCK = "SELECT pg_advisory_xact_lock(k.n) FROM unnest($1::int8[]) k (n)";
}

/// Who holds a turn, or waits for one, keeps a connection.
#[derive(Debug)]
pub(super) struct Turns(Arc<Semaphore>);

impl Turns {
    /// So many connections of the pool may stand for turns.
    pub(super) fn new(pool: usize) -> Self {
        Self(Arc::new(Semaphore::new((pool / 3).max(1))))
    }

    /// Waits for all of these names.
    pub(super) async fn take(&self, link: &Arc<Link>, names: &[String]) -> Result<Turn, StoreError> {
        let place = Arc::clone(&self.0).acquire_owned().await.map_err(|_| closed())?;
        let mut numbers: Vec<i64> = names.iter().map(|name| number(name)).collect();
        numbers.sort_unstable();
        let (given, taken) = oneshot::channel();
        let (held, dropped) = oneshot::channel::<()>();
        let link = Arc::clone(link);
        tokio::spawn(async move {
            let limit = link.limit();
            let taking = async {
                let tx = Tx::begin(link.client().await?);
                tx.rows(LOCK, values![numbers]).await?;
                Ok::<Tx, Fault>(tx)
            };
            let got = tokio::time::timeout(limit, taking).await.unwrap_or_else(|_| Err(too_late(limit)));
            match got {
                Ok(tx) => {
                    if given.send(Ok(())).is_ok() {
                        // An error says that it was dropped, and that is all that is waited for.
                        let _dropped = dropped.await;
                    }
                    tx.undo().await;
                }
                Err(fault) => {
                    let _gone = given.send(Err(StoreError::from(fault)));
                }
            }
            drop(place);
        });
        taken.await.unwrap_or_else(|_| Err(closed()))?;
        Ok(Box::new(held))
    }
}

/// Names of ours, apart from what else may be locked in the database.
fn number(name: &str) -> i64 {
    let digest = digest(&["turn", name]);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

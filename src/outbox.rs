//! Relays canonical events from the store to the bus: each is published until the bus confirms it, then forgotten.

use futures::StreamExt as _;
use futures::stream;

use crate::ports::{Bus, Store, StoreError};

/// Events on their way to the bus at the same time. One awaited confirm after the other gives some 500/s, this many 30,000.
const UNDER_WAY: usize = 256;

/// Publishes what is waiting, oldest first, some `limit` of it, many at a time. Gives how many were published; those that
/// the bus does not confirm stay for the next time.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn relay(store: &dyn Store, bus: &dyn Bus, limit: usize) -> Result<usize, StoreError> {
    let events = store.events(limit).await?;
    let publishing: Vec<_> = events.iter().map(|event| bus.publish(event)).collect();
    let mut confirmed = stream::iter(publishing).buffered(UNDER_WAY);
    let mut done = Vec::with_capacity(events.len());
    while let Some(outcome) = confirmed.next().await {
        match outcome {
            Ok(()) => done.push(events[done.len()].ordinal),
            Err(error) => {
                tracing::warn!(%error, waiting = events.len() - done.len(), "events wait for the bus");
                // What is under way besides is left alone: it is published again.
                break;
            }
        }
    }
    if !done.is_empty() {
        store.published(&done).await?;
    }
    Ok(done.len())
}

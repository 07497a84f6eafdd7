//! Relays canonical events from the store to the bus: each is published until the bus confirms it, then forgotten.

use crate::ports::{Bus, Store, StoreError};

/// Publishes what is waiting, oldest first, at most `limit`. Gives how many were published; stops at the first that the
/// bus does not confirm, which stays for the next time.
///
/// # Errors
/// When the store cannot be read or written.
pub async fn relay(store: &dyn Store, bus: &dyn Bus, limit: usize) -> Result<usize, StoreError> {
    let events = store.events(limit).await?;
    let mut done = Vec::with_capacity(events.len());
    for event in &events {
        match bus.publish(event).await {
            Ok(()) => done.push(event.ordinal),
            Err(error) => {
                tracing::warn!(%error, waiting = events.len() - done.len(), "events wait for the bus");
                break;
            }
        }
    }
    if !done.is_empty() {
        store.published(&done).await?;
    }
    Ok(done.len())
}

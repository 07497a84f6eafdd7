//! Implementations of [`crate::ports::Bus`].

pub mod embedded;
mod hints;
pub mod rabbitmq;

use futures::StreamExt as _;
use futures::stream::{BoxStream, unfold};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::ports::Event;

/// Events that a slow listener may be behind before it loses the oldest: about a second of a flood.
const EVENTS_KEPT: usize = 16 * 1024;

/// What a broadcast receiver gets; a listener that fell behind goes on with what is kept.
fn stream(receiver: Receiver<Event>) -> BoxStream<'static, Event> {
    unfold(receiver, |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(event) => return Some((event, receiver)),
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return None,
            }
        }
    })
    .boxed()
}

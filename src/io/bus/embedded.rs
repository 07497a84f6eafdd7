//! The bus of a single node: hints in memory, events to listeners in the same process. Nobody else is on it.

use async_trait::async_trait;
use futures::stream::BoxStream;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use super::hints::Hints;
use super::{EVENTS_KEPT, stream};
use crate::ports::{Bus, BusError, Command, Event, Hint, Received};

/// In-memory [`Bus`].
#[derive(Debug)]
pub struct EmbeddedBus {
    hints: Hints,
    closed: CancellationToken,
    events: broadcast::Sender<Event>,
}

impl Default for EmbeddedBus {
    fn default() -> Self {
        Self::new()
    }
}

impl EmbeddedBus {
    /// An empty bus.
    #[must_use]
    pub fn new() -> Self {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Self { hints: Hints::default(), closed: CancellationToken::new(), events }
    }

    /// The next hint if one is waiting; for callers that do not wait.
    pub fn try_next(&self) -> Option<Hint> {
        self.hints.try_next()
    }
}

#[async_trait]
impl Bus for EmbeddedBus {
    async fn hint(&self, hint: Hint) {
        self.hints.push(hint);
    }

    async fn next(&self) -> Option<Hint> {
        self.hints.next().await
    }

    async fn publish(&self, event: &Event) -> Result<(), BusError> {
        // Nobody listening is no failure: whoever listens later reads what has become of the orders.
        let _listeners = self.events.send(event.clone());
        Ok(())
    }

    async fn command(&self, command: &Command) -> Result<(), BusError> {
        Err(BusError(format!(
            "the embedded bus reaches nobody outside: `{}` needs [bus] kind = \"rabbitmq\"",
            command.key
        )))
    }

    async fn received(&self) -> Option<Received> {
        self.closed.cancelled().await;
        None
    }

    fn heard(&self) -> bool {
        self.events.receiver_count() > 0
    }

    async fn listen(&self) -> BoxStream<'static, Event> {
        stream(self.events.subscribe())
    }

    async fn close(&self) {
        self.hints.close();
        self.closed.cancel();
    }
}

//! Publishing: confirmed events and commands within a bounded window, and hints in batches without confirms.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::warn;

use super::connect::{STEP, broken, connect};
use super::topology::WORK;
use super::{Shared, message};
use crate::ports::{BusError, Hint};

/// Confirms that may be outstanding. One awaited confirm at a time gave 500 messages/s on a quorum queue, 256 gave 30,000.
const WINDOW: usize = 1000;
/// How long hints are gathered before they are sent.
const GATHER: Duration = Duration::from_millis(1);

/// The publishing side.
#[derive(Debug)]
pub(super) struct Publisher {
    session: watch::Receiver<Option<Channel>>,
    window: Semaphore,
    blocked: Arc<AtomicBool>,
}

impl Publisher {
    pub(super) fn start(shared: &Arc<Shared>, tasks: &TaskTracker) -> Self {
        let (sender, session) = watch::channel(None);
        let blocked = Arc::new(AtomicBool::new(false));
        tasks.spawn(supervise(Arc::clone(shared), sender, Arc::clone(&blocked)));
        Self { session, window: Semaphore::new(WINDOW), blocked }
    }

    /// Whether the broker takes publishes, as far as is known.
    pub(super) fn connected(&self) -> bool {
        !self.blocked.load(Ordering::Relaxed) && self.session.borrow().is_some()
    }

    /// Publishes and waits for the confirm.
    pub(super) async fn confirmed(
        &self,
        exchange: &str,
        key: &str,
        body: &[u8],
        properties: BasicProperties,
    ) -> Result<(), BusError> {
        if self.blocked.load(Ordering::Relaxed) {
            return Err(BusError(
                "the broker takes no publishes now (an alarm of memory or disk)".to_owned(),
            ));
        }
        let Some(channel) = self.session.borrow().clone() else {
            return Err(BusError("there is no connection to the broker".to_owned()));
        };
        let confirm = async {
            let _place = self.window.acquire().await.map_err(|error| BusError(error.to_string()))?;
            let options = BasicPublishOptions::default();
            let sent = channel.basic_publish(exchange.into(), key.into(), options, body, properties).await;
            match sent.map_err(said)?.await.map_err(said)? {
                Confirmation::Ack(_) => Ok(()),
                Confirmation::Nack(_) => {
                    Err(BusError(format!("the broker refused a message for {exchange}")))
                }
                Confirmation::NotRequested => Err(BusError("the broker was not asked to confirm".to_owned())),
            }
        };
        timeout(STEP, confirm).await.unwrap_or_else(|_| Err(BusError(format!("no confirm within {STEP:?}"))))
    }
}

#[expect(clippy::needless_pass_by_value, reason = "used as a function of errors")]
fn said(error: lapin::Error) -> BusError {
    BusError(error.to_string())
}

async fn supervise(shared: Arc<Shared>, session: watch::Sender<Option<Channel>>, blocked: Arc<AtomicBool>) {
    while let Some((connection, channel)) = connect(&shared, "publishing").await {
        blocked.store(false, Ordering::Relaxed);
        let hints = async {
            let hints = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok::<_, lapin::Error>(hints)
        };
        let hints = match timeout(STEP, hints).await {
            Ok(Ok(hints)) => hints,
            Ok(Err(error)) => {
                warn!(%error, "the broker gives no channel");
                continue;
            }
            Err(_) => continue,
        };
        session.send_replace(Some(channel.clone()));
        let why = tokio::select! {
            // When it ends by itself, the rest ends too: that is no loss.
            biased;
            () = shared.closed.cancelled() => None,
            why = broken(&connection, |now| blocked.store(now, Ordering::Relaxed)) => Some(why),
            why = channel_gone(&channel) => Some(why),
            why = send_hints(&shared, &hints, &blocked) => Some(why),
        };
        session.send_replace(None);
        let _closed = timeout(Duration::from_secs(1), connection.close(200, "the end".into())).await;
        match why {
            Some(why) => {
                metrics::counter!("crossdock_bus_lost_total", "for" => "publishing").increment(1);
                warn!(why, "lost the broker for publishing");
            }
            None => return,
        }
    }
}

/// A channel may die while its connection lives: the broker closes it over an error.
async fn channel_gone(channel: &Channel) -> String {
    let mut look = tokio::time::interval(Duration::from_millis(500));
    loop {
        look.tick().await;
        if !channel.status().connected() {
            return "the broker closed the channel".to_owned();
        }
    }
}

/// Sends hints as they come, gathered; ends when the broker does not take them.
async fn send_hints(shared: &Shared, channel: &Channel, blocked: &AtomicBool) -> String {
    loop {
        let batch = shared.outgoing.drain().await;
        if batch.is_empty() {
            shared.closed.cancelled().await;
            return "closed".to_owned();
        }
        for hint in batch {
            if blocked.load(Ordering::Relaxed) {
                shared.hints.push(hint);
                continue;
            }
            if let Err(why) = send_hint(channel, &hint).await {
                shared.hints.push(hint);
                return why;
            }
        }
        tokio::time::sleep(GATHER).await;
    }
}

async fn send_hint(channel: &Channel, hint: &Hint) -> Result<(), String> {
    let body = serde_json::to_vec(hint).map_err(|error| error.to_string())?;
    let key = message::hint_key(hint);
    let options = BasicPublishOptions::default();
    let sent =
        channel.basic_publish(WORK.into(), key.as_str().into(), options, &body, BasicProperties::default());
    match timeout(STEP, sent).await {
        Ok(Ok(_not_confirmed)) => Ok(()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("a hint was not taken within {STEP:?}")),
    }
}

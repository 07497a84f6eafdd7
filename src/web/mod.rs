//! What people and programs reach over HTTP: the API, the console, server-sent events, health and metrics. The webhook
//! routes are merged in by the app.

pub mod hooks;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::Router;
use futures::stream::BoxStream;
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use crate::config::world::World;
use crate::ports::{Bus, Clock, Event, Store};

/// Gives each listener its own stream of the events that happen from now on. A slow listener may miss some.
pub type Events = Arc<dyn Fn() -> BoxStream<'static, Event> + Send + Sync>;

/// What the pages and routes work with.
pub struct WebState {
    /// Where everything is read, and where decisions go.
    pub store: Arc<dyn Store>,
    /// Hints after a decision or a retry.
    pub bus: Arc<dyn Bus>,
    /// The generation in force: accounts, clients, connectors.
    pub world: Arc<ArcSwap<World>>,
    /// Live events.
    pub events: Events,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Renders `/metrics`; without it that route answers 404.
    pub metrics: Option<PrometheusHandle>,
    /// Token of console and API; without one, only this machine may ask.
    pub token: Option<SecretString>,
    /// The webhook routes; they check signatures themselves and stand outside the log-in.
    pub hooks: Router,
    /// Ends the event streams.
    pub shutdown: CancellationToken,
}

/// All routes of the daemon.
pub fn router(state: WebState) -> Router {
    state.hooks
}

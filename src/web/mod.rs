//! What people and programs reach over HTTP: the API, the console, server-sent events, health and metrics. The webhook
//! routes are merged in by the app.

pub mod hooks;

use std::sync::Arc;

use arc_swap::{ArcSwap, ArcSwapOption};
use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::SecretString;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tower_http::compression::CompressionLayer;
use tower_http::set_header::SetResponseHeaderLayer;

use crate::config::world::World;
use crate::generation::Generations;
use crate::ports::{Bus, Clock, Store};

pub mod api;
pub mod assets;
pub mod auth;
pub mod console;
pub mod decide;
pub mod error;
pub mod events;
pub mod mapping;
pub mod export;
pub mod pretty;
pub mod query;
pub mod say;
pub mod view;

/// What the pages and routes work with.
pub struct WebState {
    /// Where everything is read, and where decisions go.
    pub store: Arc<dyn Store>,
    /// Hints after a decision or a retry; live events.
    pub bus: Arc<dyn Bus>,
    /// The generation in force: accounts, clients, connectors.
    pub world: Arc<ArcSwap<World>>,
    /// The files that people edit, and the way to put changed ones into force; without them nothing can be changed here.
    pub generations: Option<Arc<Generations>>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Renders `/metrics`; without it that route answers 404.
    pub metrics: Option<PrometheusHandle>,
    /// The webhook routes; they check signatures themselves and stand outside the log-in.
    pub hooks: Router,
    /// Cancelled when the daemon is about to stop: it is not ready any more, and still takes webhooks.
    pub leaving: CancellationToken,
    /// Ends the event streams.
    pub shutdown: CancellationToken,
}

/// What every handler reaches; see [`WebState`].
pub struct Shared {
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    world: Arc<ArcSwap<World>>,
    generations: Option<Arc<Generations>>,
    clock: Arc<dyn Clock>,
    metrics: Option<PrometheusHandle>,
    leaving: CancellationToken,
    shutdown: CancellationToken,
    listeners: Arc<Semaphore>,
    /// The list of mappings with the state of their tests, and the generation that it is of.
    mappings: ArcSwapOption<(String, Vec<mapping::Row>)>,
}

impl Shared {
    /// Token of console and API; without one, only this machine may ask.
    fn token(&self) -> Option<SecretString> {
        self.world.load().config.server.token.clone()
    }
}

/// The state of the handlers.
pub type Web = Arc<Shared>;

/// All routes of the daemon.
pub fn router(state: WebState) -> Router {
    let WebState { store, bus, world, generations, clock, metrics, hooks, leaving, shutdown } = state;
    let listeners = Arc::new(Semaphore::new(events::LISTENERS));
    let web: Web = Arc::new(Shared {
        store,
        bus,
        world,
        generations,
        clock,
        metrics,
        leaving,
        shutdown,
        listeners,
        mappings: ArcSwapOption::empty(),
    });
    let guarded =
        lay(api::routes()).merge(lay(console::routes())).layer(from_fn_with_state(web.clone(), auth::guard));
    let open = lay(api::open_routes())
        .merge(lay(console::open_routes()))
        .route("/assets/{file}", get(assets::serve))
        .fallback(console::unknown);
    let pages = open
        .merge(guarded)
        .layer(CompressionLayer::new())
        .layer(set(header::CACHE_CONTROL, "no-store"))
        .layer(set(header::CONTENT_SECURITY_POLICY, POLICY))
        .layer(set(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(set(header::X_FRAME_OPTIONS, "DENY"))
        .layer(set(header::REFERRER_POLICY, "same-origin"))
        .layer(set(HeaderName::from_static("cross-origin-opener-policy"), "same-origin"))
        .with_state(web);
    pages.merge(hooks)
}

/// Scripts, styles and pictures come from us alone, and nobody may frame a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

fn lay(routes: Vec<(&'static str, &'static str, MethodRouter<Web>)>) -> Router<Web> {
    routes.into_iter().fold(Router::new(), |router, (_, path, handler)| router.route(path, handler))
}

/// Sets a header that the handler did not set itself.
fn set(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

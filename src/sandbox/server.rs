//! The world behind HTTP: `/<partner>/…` for each partner, `/_sandbox/…` for who looks at it or moves it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::control;
use super::cut::{Cuttable, Scissors};
use super::hooks::Delivery;
use super::world::{PARTNERS, Reply, World};
use crate::ports::{Clock, Http, HttpRequest, HttpResponse};

/// Deliveries of webhooks in flight at most.
const IN_FLIGHT: usize = 64;
/// How long a webhook may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The world behind HTTP. Stops when it is dropped.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shared: Shared,
    stop: CancellationToken,
}

/// What handlers and the delivering task share.
#[derive(Clone)]
pub(super) struct Shared {
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
    targets: Arc<Mutex<BTreeMap<String, String>>>,
    moved: Arc<Notify>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("targets", &self.targets).finish_non_exhaustive()
    }
}

impl Shared {
    /// The world, at the present instant.
    pub fn world(&self) -> MutexGuard<'_, World> {
        let mut world = self.world.lock().unwrap_or_else(PoisonError::into_inner);
        world.advance(self.clock.now());
        world
    }
    /// Wakes the delivering task.
    pub fn moved(&self) {
        self.moved.notify_one();
    }
}

/// Reads `--deliver-to`: `shopify=http://host/hooks/acme-shop` for one partner, or the daemon's address for all, whose
/// accounts are then called like the partners.
///
/// # Errors
/// In words.
pub fn targets(given: &[String]) -> Result<BTreeMap<String, String>, String> {
    let mut targets = BTreeMap::new();
    for text in given {
        match text.split_once('=') {
            Some((partner, url)) if PARTNERS.contains(&partner) => {
                targets.insert(partner.to_owned(), url.to_owned());
            }
            _ if text.starts_with("http://") || text.starts_with("https://") => {
                let base = text.trim_end_matches('/');
                for partner in PARTNERS {
                    targets.entry(partner.to_owned()).or_insert_with(|| format!("{base}/hooks/{partner}"));
                }
            }
            _ => {
                return Err(format!(
                    "`{text}` is neither an address nor <partner>=<address>; partners are {}",
                    PARTNERS.join(", ")
                ));
            }
        }
    }
    Ok(targets)
}

impl Server {
    /// Listens at `listen` and delivers webhooks to `targets` (partner to address; a partner without one keeps its
    /// webhooks to itself).
    ///
    /// # Errors
    /// When the address cannot be listened at.
    pub async fn start(
        world: World,
        listen: SocketAddr,
        targets: BTreeMap<String, String>,
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let shared = Shared {
            world: Arc::new(Mutex::new(world)),
            clock,
            targets: Arc::new(Mutex::new(targets)),
            moved: Arc::new(Notify::new()),
        };
        let stop = CancellationToken::new();
        let routes = Router::new()
            .route("/{partner}/{*path}", any(partner))
            .with_state(shared.clone())
            .merge(control::routes(shared.clone()))
            .layer(DefaultBodyLimit::max(16 << 20));
        let ended = stop.clone();
        tokio::spawn(async move {
            let service = routes.into_make_service_with_connect_info::<Scissors>();
            let serve =
                axum::serve(Cuttable(listener), service).with_graceful_shutdown(ended.cancelled_owned());
            if let Err(error) = serve.await {
                tracing::warn!(%error, "the sandbox stopped listening");
            }
        });
        tokio::spawn(deliver(shared.clone(), http, stop.clone()));
        Ok(Self { address, shared, stop })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address of a partner, for the setting `base_url` of its account.
    pub fn base(&self, partner: &str) -> String {
        format!("http://{}/{partner}", self.address)
    }

    /// Delivers webhooks of `partner` to `url` from now on.
    pub fn deliver_to(&self, partner: &str, url: &str) {
        let mut targets = self.shared.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.insert(partner.to_owned(), url.to_owned());
    }

    /// Looks at the world, or moves it, at the present instant.
    pub fn with<T>(&self, work: impl FnOnce(&mut World) -> T) -> T {
        let out = work(&mut self.shared.world());
        self.shared.moved();
        out
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn partner(
    State(shared): State<Shared>,
    ConnectInfo(line): ConnectInfo<Scissors>,
    Path((partner, _)): Path<(String, String)>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !PARTNERS.contains(&partner.as_str()) {
        return (StatusCode::NOT_FOUND, "no such partner\n").into_response();
    }
    let headers = headers
        .iter()
        .map(|(name, value)| {
            (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        })
        .collect();
    let request =
        HttpRequest { method: method.to_string(), url: format!("http://sandbox{uri}"), headers, body };
    let mut reply = {
        let now = shared.clock.now();
        shared.world().handle(&partner, &request, now)
    };
    shared.moved();
    loop {
        match reply {
            Reply::Answer(answer) => return respond(answer),
            Reply::Delay(pause, then) => {
                tokio::time::sleep(pause).await;
                reply = *then;
            }
            Reply::CutBefore | Reply::CutAfter => {
                line.cut();
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        }
    }
}

fn respond(answer: HttpResponse) -> Response {
    let mut response = Response::builder().status(answer.status);
    for (name, value) in &answer.headers {
        response = response.header(name, value);
    }
    response
        .body(Body::from(answer.body))
        .unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// Delivers webhooks when they are due, until it is stopped.
async fn deliver(shared: Shared, http: Arc<dyn Http>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut flying = JoinSet::new();
    loop {
        let now = shared.clock.now();
        let (due, next) = {
            let mut world = shared.world();
            (world.due_webhooks(now), world.next_due())
        };
        for delivery in due {
            let target =
                shared.targets.lock().unwrap_or_else(PoisonError::into_inner).get(&delivery.partner).cloned();
            let Some(url) = target else {
                // Nobody subscribed.
                shared.world().delivered(delivery.id, Some(200), now);
                continue;
            };
            let (shared, http, places) = (shared.clone(), Arc::clone(&http), Arc::clone(&places));
            flying.spawn(async move {
                let _place = places.acquire_owned().await;
                let (id, status) = (delivery.id, post(http.as_ref(), delivery, url).await);
                let now = shared.clock.now();
                shared.world().delivered(id, status, now);
                shared.moved();
            });
        }
        while flying.try_join_next().is_some() {}
        let pause = next.map_or(Duration::from_millis(500), |next| {
            Duration::try_from(next.duration_since(shared.clock.now())).unwrap_or(Duration::ZERO)
        });
        tokio::select! {
            () = stop.cancelled() => return,
            () = shared.moved.notified() => {}
            () = tokio::time::sleep(pause.clamp(Duration::from_millis(1), Duration::from_millis(500))) => {}
        }
    }
}

async fn post(http: &dyn Http, delivery: Delivery, url: String) -> Option<u16> {
    let request =
        HttpRequest { method: "POST".to_owned(), url, headers: delivery.headers, body: delivery.body };
    http.send(request, PATIENCE).await.ok().map(|response| response.status)
}

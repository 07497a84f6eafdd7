//! Compares the systems: every few hours, a storefront's own list of orders against the orders that we know. What is
//! missing is read into the inbox, and stands in a ledger by id until it is known: a webhook that never came and a list
//! that lagged behind leave no hole.
//!
//! Runs inside the account's lane, at the polls' share of the limits.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::canonical::{AccountId, Body, ExternalRef};
use crate::connector::classify::Outcome;
use crate::connector::manifest::{Read, Since};
use crate::connector::page::{self, PageState};
use crate::connector::request::{self, Fill};
use crate::deliver::call::Call;
use crate::deliver::limiter::{Share, Taken};
use crate::deliver::{Shared, View};
use crate::ingest::poll::message;
use crate::map::{Context, Node};
use crate::ports::{Hint, Store, StoreError};
use crate::retry::later;

/// The space of the store in which ledgers stand, by `<account>/<poll>`.
pub const SPACE: &str = "ledger";
/// How often the systems are compared.
pub const EVERY: Duration = Duration::from_hours(6);
/// How long after its start a lane compares for the first time.
pub const FIRST: Duration = Duration::from_mins(10);
/// How far back the comparison looks.
const WINDOW: Duration = Duration::from_hours(48);
/// Pages in one go.
const PAGES: usize = 4;
/// When something stands in the way.
const PAUSE: Duration = Duration::from_mins(5);

/// An order that the storefront lists and that we do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// The storefront's id.
    pub id: String,
    /// When it was missed first.
    pub since: Timestamp,
}

/// What a comparison saw, as kept in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// When the last comparison came to its end.
    pub at: Option<Timestamp>,
    /// Orders that the storefront listed.
    pub listed: u64,
    /// Those of them that we knew.
    pub known: u64,
    /// Those that we did not know, and since when; each was read into the inbox once.
    pub gaps: BTreeMap<String, Timestamp>,
    run: Option<Run>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Run {
    since: String,
    page: Option<String>,
    listed: u64,
    known: u64,
}

/// The polls of the account that list what may be compared: those of a storefront that go by time.
#[must_use]
pub fn wanted(view: &View) -> Vec<String> {
    if view.world.config.flow_of_storefront(&view.account.id).is_none() {
        return Vec::new();
    }
    let on = crate::ingest::poll::wanted(view);
    let polls = view.manifest().polls.values().filter(|poll| poll.since.is_some());
    polls.map(|poll| poll.name.clone()).filter(|name| on.contains_key(name)).collect()
}

/// Orders that the storefront listed within `window` before `now` and that are still not known.
///
/// # Errors
/// When the store does not tell.
pub async fn gaps(
    store: &dyn Store,
    account: &AccountId,
    now: Timestamp,
    window: Duration,
) -> Result<Vec<Gap>, StoreError> {
    let prefix = format!("{account}/");
    let mut out = Vec::new();
    for (key, value) in store.all(SPACE).await? {
        if !key.starts_with(&prefix) {
            continue;
        }
        let ledger: Ledger = serde_json::from_value(value).unwrap_or_default();
        let missed: Vec<Gap> = ledger
            .gaps
            .into_iter()
            .map(|(id, since)| Gap { id, since })
            .filter(|gap| later(gap.since, window) >= now)
            .collect();
        let refs: Vec<ExternalRef> =
            missed.iter().map(|gap| ExternalRef::of_account(account, "order", &gap.id)).collect();
        let known = if refs.is_empty() { Vec::new() } else { store.resolve(&refs).await? };
        out.extend(missed.into_iter().zip(known).filter(|(_, known)| known.is_none()).map(|(gap, _)| gap));
    }
    Ok(out)
}

/// Compares a few pages, `taken` paying for the first. Gives when to go on.
pub async fn run_once(shared: &Shared, view: &View, epoch: i64, poll: &str, taken: Taken) -> Timestamp {
    let now = shared.now();
    let Some((read, since)) =
        view.manifest().polls.get(poll).and_then(|read| Some((read, read.since.as_ref()?)))
    else {
        shared.untake(taken);
        return later(now, EVERY);
    };
    let Ok(mut ledger) = load(shared, poll).await else {
        shared.untake(taken);
        return later(now, PAUSE);
    };
    let mut taken = Some(taken);
    for _ in 0..PAGES {
        let paid = match taken.take().map_or_else(|| shared.take(&format!("poll.{poll}"), Share::Poll), Ok) {
            Ok(paid) => paid,
            Err(until) => return until,
        };
        match compare(shared, view, epoch, (read, since), &mut ledger, paid).await {
            Ok(true) => {}
            Ok(false) => return later(shared.now(), EVERY),
            Err(error) => {
                warn!(account = %shared.account, poll, error, "the comparison of orders stopped; it begins again later");
                // The page may be one that the partner has forgotten.
                if ledger.run.take().is_some() {
                    let _not_kept = save(shared, poll, &ledger).await;
                }
                return later(shared.now(), PAUSE);
            }
        }
    }
    shared.now()
}

async fn load(shared: &Shared, poll: &str) -> Result<Ledger, StoreError> {
    let key = format!("{}/{poll}", shared.account);
    let value = shared.deps.store.get(SPACE, &key).await?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default())
}

async fn save(shared: &Shared, poll: &str, ledger: &Ledger) -> Result<(), String> {
    let key = format!("{}/{poll}", shared.account);
    let value = serde_json::to_value(ledger).map_err(|error| error.to_string())?;
    shared.deps.store.put(SPACE, &key, value, None).await.map(drop).map_err(|error| error.to_string())
}

/// Compares one page. Whether there is more.
async fn compare(
    shared: &Shared,
    view: &View,
    epoch: i64,
    (read, since): (&Read, &Since),
    ledger: &mut Ledger,
    taken: Taken,
) -> Result<bool, String> {
    let operation = format!("poll.{}", read.name);
    let start = || {
        let window = Since { overlap: WINDOW, first: WINDOW, ..since.clone() };
        Run {
            since: page::since_text(&window, None, shared.now()),
            page: page::first(read),
            ..Run::default()
        }
    };
    let mut run = ledger.run.clone().unwrap_or_else(start);
    let page = run.page.clone();
    let fill = Fill::of(&view.account)
        .with("since", run.since.clone())
        .with("page", page.clone().unwrap_or_default());
    let request = match request::build_read(view.manifest(), read, &fill) {
        Ok(prepared) => prepared.request,
        Err(error) => {
            shared.untake(taken);
            return Err(error.to_string());
        }
    };
    let call = Call { operation: &operation, subject: "the comparison", request, ok: &[], fill: &fill };
    let said = shared.call(view, epoch, call, taken).await.map_err(|unsent| unsent.to_string())?;
    let (Outcome::Done, Some(response)) = (said.verdict.class, said.response) else {
        return Err(said.verdict.message);
    };
    let found = page::read(read, &response, &PageState { page }).map_err(|error| error.to_string())?;
    let listed: Vec<(String, bytes::Bytes)> = found
        .items
        .iter()
        .flat_map(|item| orders(view, read, item).into_iter().map(|id| (id, item.clone())))
        .collect();
    let orders_here = !listed.is_empty();
    let missing = unknown(shared, listed, &mut run).await.map_err(|error| error.to_string())?;
    heal(shared, view, read, ledger, missing).await.map_err(|error| error.to_string())?;
    // A list without orders is none to compare.
    let next = found.next.filter(|_| orders_here);
    let more = next.is_some();
    if more {
        run.page = next;
        ledger.run = Some(run);
    } else {
        let now = shared.now();
        ledger.gaps.retain(|_, since| later(*since, WINDOW * 7) >= now);
        (ledger.at, ledger.listed, ledger.known, ledger.run) = (Some(now), run.listed, run.known, None);
    }
    save(shared, &read.name, ledger).await?;
    Ok(more)
}

/// The orders that an item creates, as its mapping says.
fn orders(view: &View, read: &Read, item: &[u8]) -> Vec<String> {
    let (Some(mapping), Ok(node)) = (&read.mapping, Node::parse_json(item)) else { return Vec::new() };
    let clients = view.world.config.clients_of(&view.account.id);
    let client = if clients.len() == 1 { clients.first().copied() } else { None };
    let inbound = view.world.registry.inbound_for(&view.account.connector, mapping, client, &view.account.id);
    let Some(inbound) = inbound else { return Vec::new() };
    let with = Context {
        zone: view.account.zone.clone(),
        currency: view.account.currency.clone(),
        exponents: view.manifest().exponents.clone(),
        ..Context::default()
    };
    let facts = inbound.run(&node, &with).facts.into_iter();
    facts.filter(|fact| matches!(fact.body, Body::Placed(_))).filter_map(|fact| fact.header.order).collect()
}

/// Those of `listed` that we do not know.
async fn unknown(
    shared: &Shared,
    listed: Vec<(String, bytes::Bytes)>,
    run: &mut Run,
) -> Result<Vec<(String, bytes::Bytes)>, StoreError> {
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let refs: Vec<ExternalRef> =
        listed.iter().map(|(id, _)| ExternalRef::of_account(&shared.account, "order", id)).collect();
    let known = shared.deps.store.resolve(&refs).await?;
    run.listed += u64::try_from(listed.len()).unwrap_or(0);
    run.known += u64::try_from(known.iter().flatten().count()).unwrap_or(0);
    Ok(listed.into_iter().zip(known).filter(|(_, known)| known.is_none()).map(|(order, _)| order).collect())
}

/// Reads what is missing into the inbox, each once.
async fn heal(
    shared: &Shared,
    view: &View,
    read: &Read,
    ledger: &mut Ledger,
    missing: Vec<(String, bytes::Bytes)>,
) -> Result<(), StoreError> {
    let new: Vec<_> = missing.into_iter().filter(|(id, _)| !ledger.gaps.contains_key(id)).collect();
    if new.is_empty() {
        return Ok(());
    }
    info!(account = %shared.account, missing = new.len(), "orders that we did not know: reading them now");
    metrics::counter!("crossdock_gaps_total", "account" => shared.account.0.clone())
        .increment(u64::try_from(new.len()).unwrap_or(0));
    let topic = format!("poll.{}", read.name);
    let messages: Vec<_> =
        new.iter().map(|(_, item)| message(shared, view, read, &topic, (item, Vec::new()))).collect();
    let shards: std::collections::BTreeSet<u16> = messages.iter().map(|message| message.shard).collect();
    shared.deps.store.accept(messages, None).await?;
    for shard in shards {
        shared.deps.bus.hint(Hint::Inbound { shard }).await;
    }
    let now = shared.now();
    ledger.gaps.extend(new.into_iter().map(|(id, _)| (id, now)));
    Ok(())
}

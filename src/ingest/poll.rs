//! Polls: what partners list, page by page. Each page's items go into the inbox in one call of the store together with
//! the cursor, so that a crash neither skips nor loses any. Runs inside the account's lane, under its lease.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use crate::canonical::ids::digest;
use crate::connector::classify::{Outcome, Verdict};
use crate::connector::manifest::{ErrorClass, Read};
use crate::connector::page::{self, PageState};
use crate::connector::request::{self, Fill};
use crate::deliver::call::{Call, Unsent};
use crate::deliver::limiter::{Share, Taken};
use crate::deliver::{Shared, View};
use crate::inbox;
use crate::ports::{Hint, NewMessage, Origin, PollState};
use crate::retry::{self, Failure, Next, jitter, later};

/// Pages of one turn: then others have theirs.
const PAGES: usize = 4;
/// Items of the last full run that are known by their mark, so that the overlap brings nothing twice.
const SEEN: usize = 10_000;
/// Refusals in a row after which a person hears of it.
const REFUSED: u32 = 3;

/// How a poll stands, in the lane's memory.
#[derive(Debug, Clone, Default)]
pub struct Track {
    /// Its interval.
    pub every: Duration,
    /// When it runs next; since when it waits, once that is past.
    pub next: Timestamp,
    /// The cursor was looked at.
    pub known: bool,
    /// Failures in a row.
    pub failures: u32,
    last: Option<Timestamp>,
    /// Pages of this turn.
    pages: usize,
    /// How often the run has begun again because the partner refused a page in its middle.
    restarts: u32,
    items: u64,
    brought: u64,
    error: Option<String>,
    raised: bool,
}

impl Track {
    /// What people see.
    #[must_use]
    pub fn state(&self, name: &str) -> PollState {
        PollState {
            name: name.to_owned(),
            last: self.last,
            next: Some(self.next),
            items: self.items,
            error: self.error.clone(),
        }
    }

    /// The same after a fault of our own.
    #[must_use]
    pub fn broken_down(&self, next: Timestamp) -> Self {
        let error = Some("the poll broke down: a fault of Crossdock itself".to_owned());
        Self { next, error, failures: self.failures + 1, ..self.clone() }
    }
}

/// As kept in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Cursor {
    /// The newest time of any item of a run that came to its end. Never moves back.
    newest: Option<Timestamp>,
    /// When a run last came to its end.
    at: Option<Timestamp>,
    /// The run that is not at its end.
    run: Option<Run>,
    /// The config under which `seen` was gathered: another one may read the same items otherwise.
    generation: String,
    /// Marks of the items of the last run.
    seen: Marks,
}

/// A run that is not at its end.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Run {
    /// What fills `{since}`, the same for all pages.
    since: String,
    /// What fills `{page}` next.
    page: Option<String>,
    /// The newest time so far.
    newest: Option<Timestamp>,
    /// Marks so far.
    seen: Marks,
}

/// The polls that the account runs, with their intervals.
#[must_use]
pub fn wanted(view: &View) -> BTreeMap<String, Duration> {
    let settings = &view.account.polls;
    let polls = view.manifest().polls.iter();
    polls
        .filter_map(|(name, poll)| {
            let own = settings.get(name);
            let on = own.and_then(|own| own.enabled).unwrap_or(true);
            let every = own.and_then(|own| own.every).unwrap_or(poll.every);
            (on && poll.mapping.is_some()).then(|| (name.clone(), every.max(Duration::from_secs(1))))
        })
        .collect()
}

/// Finds out from the cursor when the poll is due.
pub async fn resume(shared: &Shared, name: &str, track: Track, now: Timestamp) -> Track {
    match shared.deps.store.cursor(&shared.account, name).await {
        Ok(value) => {
            let cursor: Cursor =
                value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
            let next = match (&cursor.run, cursor.at) {
                (None, Some(at)) => later(at, track.every),
                _ => now,
            };
            Track { next, known: true, last: cursor.at, ..track }
        }
        Err(error) => {
            warn!(account = %shared.account, poll = name, %error, "the store does not give the poll's cursor");
            Track { next: later(now, Duration::from_secs(1)), ..track }
        }
    }
}

/// Why a run stopped before its end.
enum Stop {
    /// Its share of the limit is used up: it keeps its place and goes on when there is enough.
    Limit,
    /// The store or the lease: not the poll's fault.
    Wait(Timestamp, String),
    /// The partner or the store did not play along.
    Failed(Verdict),
}

/// Runs the poll for the pages of one turn, `taken` paying for the first. A run that does not come to its end goes on
/// where it stopped; a turn that the limit interrupts keeps its place among those that wait; one that fails keeps its
/// cursor.
pub async fn run_once(
    shared: &Shared,
    view: &View,
    epoch: i64,
    name: &str,
    track: Track,
    taken: Taken,
) -> Track {
    let now = shared.now();
    let Some(read) = view.manifest().polls.get(name) else {
        shared.untake(taken);
        return Track { next: later(now, track.every), ..track };
    };
    let mut cursor: Cursor = match shared.deps.store.cursor(&shared.account, name).await {
        Ok(value) => value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default(),
        Err(error) => {
            shared.untake(taken);
            let stop = Stop::Wait(later(now, Duration::from_secs(1)), error.to_string());
            return stopped(shared, view, name, track, stop).await;
        }
    };
    let generation = &view.world.config.generation;
    if cursor.generation != *generation {
        cursor = Cursor { generation: generation.clone(), seen: Marks::default(), ..cursor };
    }
    let mut track = track;
    if cursor.run.is_none() {
        let since = read.since.as_ref().map(|since| page::since_text(since, cursor.newest, now));
        let since = since.unwrap_or_default();
        cursor.run = Some(Run { since, page: page::first(read), ..Run::default() });
        track.brought = 0;
    }
    let mut taken = Some(taken);
    while track.pages < PAGES {
        let paid = match taken.take() {
            Some(taken) => taken,
            None => {
                if let Ok(taken) = shared.take(&format!("poll.{name}"), Share::Poll) {
                    taken
                } else {
                    return stopped(shared, view, name, track, Stop::Limit).await;
                }
            }
        };
        match one_page(shared, view, epoch, (name, read), &mut cursor, paid).await {
            Ok(items) => {
                track.brought += items;
                track.failures = 0;
                track.pages += 1;
            }
            Err(stop) => {
                track.restarts += u32::from(cursor.run.is_none());
                return stopped(shared, view, name, track, stop).await;
            }
        }
        if cursor.run.is_none() {
            return finished(shared, view, name, track).await;
        }
    }
    // There is more: others have their turn first.
    Track { next: shared.now(), pages: 0, error: None, ..track }
}

/// Reads one page into the inbox. Gives how many items it brought; the cursor stands behind it then.
async fn one_page(
    shared: &Shared,
    view: &View,
    epoch: i64,
    (name, read): (&str, &Read),
    cursor: &mut Cursor,
    taken: Taken,
) -> Result<u64, Stop> {
    let operation = format!("poll.{name}");
    let run = cursor.run.clone().unwrap_or_default();
    let fill = Fill::of(&view.account)
        .with("since", run.since.clone())
        .with("page", run.page.clone().unwrap_or_default());
    let request = match request::build_read(view.manifest(), read, &fill) {
        Ok(prepared) => prepared.request,
        Err(error) => {
            shared.untake(taken);
            return Err(Stop::Failed(refused(format!("the request cannot be made: {error}"))));
        }
    };
    let call = Call { operation: &operation, subject: &operation, request, ok: &[], fill: &fill };
    let said = shared.call(view, epoch, call, taken).await.map_err(|unsent| unsent_stop(shared, &unsent))?;
    let (Outcome::Done, Some(response)) = (said.verdict.class, said.response) else {
        forget_page(shared, name, cursor, &said.verdict, &run).await;
        return Err(Stop::Failed(said.verdict));
    };
    let found = match page::read(read, &response, &PageState { page: run.page.clone() }) {
        Ok(found) => found,
        Err(error) => return Err(Stop::Failed(refused(error.to_string()))),
    };
    let known: HashSet<&Mark> = cursor.seen.0.iter().chain(&run.seen.0).collect();
    let marks: Vec<Mark> = found.items.iter().map(|item| mark(item)).collect();
    let fresh = found.items.iter().zip(&marks).filter(|(_, mark)| !known.contains(mark));
    let messages: Vec<NewMessage> =
        fresh.map(|(item, _)| message(shared, view, read, &operation, (item, Vec::new()))).collect();
    let mut next = Cursor { ..cursor.clone() };
    let newest = run.newest.max(found.newest);
    let mut seen: Vec<Mark> = run.seen.0.iter().copied().chain(marks).collect();
    seen.drain(..seen.len().saturating_sub(SEEN));
    let seen = Marks(seen);
    if found.next.is_some() {
        next.run = Some(Run { page: found.next, newest, seen, ..run });
    } else {
        next.newest = next.newest.max(newest);
        next.at = Some(shared.now());
        next.seen = seen;
        next.run = None;
    }
    let items = u64::try_from(messages.len()).unwrap_or(u64::MAX);
    put(shared, name, messages, &next).await?;
    *cursor = next;
    Ok(items)
}

/// An item as a message.
pub(crate) fn message(
    shared: &Shared,
    view: &View,
    read: &Read,
    topic: &str,
    (item, headers): (&Bytes, Vec<(String, String)>),
) -> NewMessage {
    NewMessage {
        shard: inbox::shard(&shared.account, view.manifest(), &headers, item),
        account: shared.account.clone(),
        origin: Origin::Poll,
        topic: topic.to_owned(),
        mapping: read.mapping.clone().unwrap_or_default(),
        event_id: None,
        headers,
        body: item.clone(),
        received: shared.now(),
        priority: 1,
        context: None,
    }
}

/// The mark of an item: the beginning of its digest.
type Mark = [u8; 9];

fn mark(item: &[u8]) -> Mark {
    let mut mark = Mark::default();
    let length = mark.len();
    mark.copy_from_slice(&digest(&[&String::from_utf8_lossy(item)])[..length]);
    mark
}

/// Marks, as one text of twelve letters each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
struct Marks(Vec<Mark>);

impl From<Marks> for String {
    fn from(marks: Marks) -> Self {
        STANDARD.encode(marks.0.concat())
    }
}

impl From<String> for Marks {
    fn from(text: String) -> Self {
        let bytes = STANDARD.decode(text).unwrap_or_default();
        Self(bytes.chunks_exact(size_of::<Mark>()).filter_map(|chunk| chunk.try_into().ok()).collect())
    }
}

async fn put(shared: &Shared, name: &str, messages: Vec<NewMessage>, cursor: &Cursor) -> Result<(), Stop> {
    let later_on = |error: String| Stop::Wait(later(shared.now(), Duration::from_secs(1)), error);
    let value = serde_json::to_value(cursor).map_err(|error| later_on(error.to_string()))?;
    let shards: HashSet<u16> = messages.iter().map(|message| message.shard).collect();
    let cursor = Some((shared.account.clone(), name.to_owned(), value));
    shared.deps.store.accept(messages, cursor).await.map_err(|error| later_on(error.to_string()))?;
    for shard in shards {
        shared.deps.bus.hint(Hint::Inbound { shard }).await;
    }
    Ok(())
}

/// A partner that refuses a page in the middle may have forgotten what its cursor meant: the run begins again.
async fn forget_page(shared: &Shared, name: &str, cursor: &mut Cursor, verdict: &Verdict, run: &Run) {
    if verdict.class == Outcome::Failed(ErrorClass::Rejected) && run.page.is_some() {
        info!(account = %shared.account, poll = name, "the partner refuses the page; the run begins again");
        let next = Cursor { run: None, ..cursor.clone() };
        if put(shared, name, Vec::new(), &next).await.is_ok() {
            *cursor = next;
        }
    }
}

fn refused(message: String) -> Verdict {
    Verdict { class: Outcome::Failed(ErrorClass::Rejected), message, retry_after: None }
}

fn unsent_stop(shared: &Shared, unsent: &Unsent) -> Stop {
    match unsent {
        Unsent::Limit(_) => Stop::Limit,
        Unsent::Token(message) => Stop::Failed(Verdict {
            class: Outcome::Failed(ErrorClass::RefreshToken),
            message: message.clone(),
            retry_after: None,
        }),
        Unsent::Request(message) => Stop::Failed(refused(message.clone())),
        Unsent::Lease | Unsent::Store(_) => {
            Stop::Wait(later(shared.now(), Duration::from_secs(1)), unsent.to_string())
        }
    }
}

async fn finished(shared: &Shared, view: &View, name: &str, track: Track) -> Track {
    let now = shared.now();
    shared.polled(view, name, track.every).await;
    debug!(account = %shared.account, poll = name, items = track.brought, "polled");
    metrics::counter!("crossdock_polled_items_total", "account" => shared.account.0.clone(), "poll" => name.to_owned())
        .increment(track.brought);
    let mut raised = track.raised;
    if raised {
        raised = shared.announce(Vec::new(), vec![cause(shared, name)]).await.is_err();
    }
    // Up to a tenth sooner or later, so that the polls of many accounts do not run as one.
    let spread = jitter(track.every / 5, shared.deps.clock.random());
    let next = later(now, track.every * 9 / 10 + spread);
    let items = track.brought;
    Track { next, last: Some(now), items, pages: 0, restarts: 0, error: None, failures: 0, raised, ..track }
}

async fn stopped(shared: &Shared, view: &View, name: &str, track: Track, stop: Stop) -> Track {
    let verdict = match stop {
        Stop::Limit => return Track { error: None, ..track },
        Stop::Wait(next, error) => return Track { next, error: Some(error), ..track },
        Stop::Failed(verdict) => verdict,
    };
    let now = shared.now();
    let failures = track.failures.saturating_add(1);
    warn!(account = %shared.account, poll = name, failures, "a poll failed; its cursor stays");
    let refused = verdict.class == Outcome::Failed(ErrorClass::Rejected);
    let mut raised = track.raised;
    if refused && failures.max(track.restarts) >= REFUSED && !raised {
        let text = format!("the poll `{name}` of {} fails: {}", shared.account, verdict.message);
        let mut exception = shared.exception("poll_failed", cause(shared, name), text);
        exception.help =
            Some("what webhooks miss is not found while it fails; it is tried again by itself".to_owned());
        raised = shared.announce(vec![exception], Vec::new()).await.is_ok();
    }
    let settings = view.retry();
    let chance = shared.deps.clock.random();
    let tries = failures.max(track.restarts);
    let next = match retry::next(Failure::Limited, tries, now, now, verdict.retry_after, chance, &settings) {
        Next::At(at) => at,
        Next::GiveUp => later(now, track.every),
    };
    Track { next, failures, pages: 0, error: Some(verdict.message), raised, ..track }
}

fn cause(shared: &Shared, name: &str) -> String {
    format!("poll:{}:{name}", shared.account)
}

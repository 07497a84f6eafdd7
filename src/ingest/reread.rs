//! Re-reads: a thin webhook says only that something changed; the thing itself is read again, one at a time for each
//! entity, and numbered by us. What to read stands in the store until the answer is in the inbox.

use std::sync::atomic::Ordering;

use jiff::Timestamp;
use serde_json::Value;
use tracing::{debug, warn};

use crate::canonical::MessageId;
use crate::connector::classify::{Outcome, Verdict};
use crate::connector::manifest::ErrorClass;
use crate::connector::request::Fill;
use crate::deliver::call::{NoItems, Unsent};
use crate::deliver::limiter::Taken;
use crate::deliver::{Shared, View};
use crate::ingest::poll::message;
use crate::ports::{ASKED, Hint, NewMessage, StoreError};
use crate::retry::{self, Failure, Next, later};

/// The space of the store in which things to read stand: `<account>/<read>/<id>` to `{"message": …}`.
pub const SPACE: &str = "reread";
/// Header of the message that carries our number of the re-read: later ones are larger.
pub const NUMBER: &str = "crossdock-reread";
/// Pages of a re-read at most.
const PAGES: usize = 20;

/// Something to read again.
#[derive(Debug, Clone, PartialEq)]
pub struct Ask {
    /// Its name in the store.
    pub key: String,
    /// `[read.…]`.
    pub read: String,
    /// What fills `{id}`.
    pub id: String,
    value: Value,
}

/// What the account is to read again.
///
/// # Errors
/// When the store does not tell.
pub async fn asked(shared: &Shared, view: &View) -> Result<Vec<Ask>, StoreError> {
    let manifest = view.manifest();
    if manifest.reads.is_empty() {
        return Ok(Vec::new());
    }
    let prefix = format!("{}/", shared.account);
    let all = shared.deps.store.all(SPACE).await?;
    let own = all.into_iter().filter(|(_, value)| !value.is_null());
    Ok(own
        .filter_map(|(key, value)| {
            let (read, id) = key.strip_prefix(&prefix)?.split_once('/')?;
            Some(Ask { read: read.to_owned(), id: id.to_owned(), value, key })
        })
        .collect())
}

/// Reads one thing again; `taken` pays for it. Gives when to try again; none when it is done, one way or the other.
pub async fn run_once(
    shared: &Shared,
    view: &View,
    epoch: i64,
    ask: Ask,
    failures: u32,
    taken: Taken,
) -> Option<Timestamp> {
    let Some(read) = view.manifest().reads.get(&ask.read) else {
        shared.untake(taken);
        let text = format!("the connector `{}` has no [read.{}]", view.manifest().name, ask.read);
        return give_up(shared, &ask, &text).await;
    };
    let fill = Fill::of(&view.account).with("id", ask.id.clone());
    let number = number(shared);
    let subject = format!("read.{}", ask.read);
    match shared.items(view, epoch, read, &fill, (&subject, taken, PAGES)).await {
        Ok((items, _)) if items.is_empty() => {
            give_up(shared, &ask, &format!("{} has no {} `{}` (any more)", shared.account, ask.read, ask.id))
                .await
        }
        Ok((items, _)) => {
            let headers =
                vec![(NUMBER.to_owned(), number.to_string()), (format!("{ASKED}id"), ask.id.clone())];
            let messages =
                items.iter().map(|item| message(shared, view, read, &subject, (item, headers.clone())));
            keep(shared, &ask, messages.collect()).await
        }
        Err(NoItems::Verdict(verdict)) if verdict.class == Outcome::Failed(ErrorClass::Rejected) => {
            give_up(shared, &ask, &format!("[read.{}] `{}`: {}", ask.read, ask.id, verdict.message)).await
        }
        Err(NoItems::Verdict(verdict)) => Some(again(shared, view, &verdict, failures)),
        Err(NoItems::Unsent(Unsent::Request(text))) => give_up(shared, &ask, &text).await,
        Err(NoItems::Unsent(Unsent::Limit(until))) => Some(until),
        Err(NoItems::Unsent(unsent)) => {
            let verdict = Verdict {
                class: Outcome::Failed(ErrorClass::Retry),
                message: unsent.to_string(),
                retry_after: None,
            };
            Some(again(shared, view, &verdict, failures))
        }
    }
}

/// Grows with each re-read of the account, also from one owner of its lease to the next: microseconds of the present.
fn number(shared: &Shared) -> u64 {
    let now = u64::try_from(shared.now().as_microsecond()).unwrap_or(0);
    let last = shared.rereads().fetch_max(now, Ordering::Relaxed);
    if now > last { now } else { shared.rereads().fetch_add(1, Ordering::Relaxed) + 1 }
}

async fn keep(shared: &Shared, ask: &Ask, messages: Vec<NewMessage>) -> Option<Timestamp> {
    let shards: std::collections::BTreeSet<u16> = messages.iter().map(|message| message.shard).collect();
    let store = &shared.deps.store;
    if let Err(error) = store.accept(messages, None).await {
        warn!(account = %shared.account, read = ask.read, %error, "the store does not take what was read again");
        return Some(soon(shared));
    }
    for shard in shards {
        shared.deps.bus.hint(Hint::Inbound { shard }).await;
    }
    debug!(account = %shared.account, read = ask.read, "read again");
    done(shared, ask).await
}

/// Takes the asking away, unless it was asked for again meanwhile.
async fn done(shared: &Shared, ask: &Ask) -> Option<Timestamp> {
    let expected = Some(Some(ask.value.clone()));
    match shared.deps.store.put(SPACE, &ask.key, Value::Null, expected).await {
        Ok(true) => None,
        // Asked for again: again it is.
        Ok(false) => Some(shared.now()),
        Err(_) => Some(soon(shared)),
    }
}

/// It cannot be read: the message that asked for it becomes an exception.
async fn give_up(shared: &Shared, ask: &Ask, text: &str) -> Option<Timestamp> {
    let cause = format!("reread:{}:{}", shared.account, ask.read);
    let mut exception = shared.exception("reread_failed", cause, text.to_owned());
    exception.message_id =
        ask.value.get("message").and_then(|id| serde_json::from_value::<MessageId>(id.clone()).ok());
    exception.help = Some("retry its message to read it again".to_owned());
    match shared.announce(vec![exception], Vec::new()).await {
        Ok(()) => done(shared, ask).await,
        Err(_) => Some(soon(shared)),
    }
}

fn again(shared: &Shared, view: &View, verdict: &Verdict, failures: u32) -> Timestamp {
    let now = shared.now();
    let chance = shared.deps.clock.random();
    let next =
        retry::next(Failure::Limited, failures + 1, now, now, verdict.retry_after, chance, &view.retry());
    match next {
        Next::At(at) => at,
        Next::GiveUp => soon(shared),
    }
}

fn soon(shared: &Shared) -> Timestamp {
    later(shared.now(), std::time::Duration::from_secs(1))
}

//! Follows the orders through the daemon: what it counts, until nothing is to be done any more.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use serde_json::Value;

use super::listener::Listener;
use super::partner::Partner;
use crate::cli::client::{Client, step};
use crate::cli::{Failure, complain};
use crate::ports::Counts;

/// How often the daemon is asked.
const LOOK: Duration = Duration::from_millis(100);
/// A listener that has heard nothing for so long hears no more.
const SILENCE: Duration = Duration::from_secs(2);
/// How often it is told how far it is where there is no terminal.
const TELL: Duration = Duration::from_secs(5);
/// Orders whose times are asked for when no warehouse of ours noted them.
const SAMPLE: u64 = 200;

/// What the daemon counts, as far as it matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State {
    /// Orders.
    pub orders: u64,
    /// Messages that wait.
    pub pending: u64,
    /// Orders that a warehouse has.
    pub released: u64,
    /// Exceptions that are open.
    pub exceptions: u64,
}

impl State {
    fn of(counts: &Counts) -> Self {
        let released = |command: &str, state: &str| command == "order.create" && state == "done";
        Self {
            orders: counts.phases.iter().map(|(_, count)| count).sum(),
            pending: counts
                .messages
                .iter()
                .filter(|(state, _)| state == "pending")
                .map(|(_, count)| count)
                .sum(),
            released: counts
                .intents
                .iter()
                .filter(|(command, state, _)| released(command, state))
                .map(|(.., count)| count)
                .sum(),
            exceptions: counts.exceptions.iter().map(|(_, count)| count).sum(),
        }
    }
}

/// What the daemon counts now.
///
/// # Errors
/// When it cannot be asked.
pub async fn state(client: &Client) -> Result<State, Failure> {
    Ok(State::of(&client.get::<Counts>("/api/v1/counts").await?))
}

/// Follows a run.
pub struct Follower<'a> {
    client: &'a Client,
    partner: Option<&'a Partner>,
    listener: Option<&'a Listener>,
    before: State,
    seen: State,
    begun: Instant,
    bar: ProgressBar,
    told: Instant,
}

/// When the orders were where.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reached {
    /// All that were posted are orders in the store.
    pub applied: Option<Instant>,
    /// The warehouse has all of them.
    pub delivered: Option<Instant>,
    /// Nothing waits any more.
    pub rest: Option<Instant>,
    /// How many orders are in the store.
    pub orders: u64,
    /// How many the warehouse has.
    pub arrived: u64,
    /// Exceptions that came up.
    pub exceptions: u64,
}

impl<'a> Follower<'a> {
    /// Begins to follow; `before` is what the daemon counted before the first webhook, `posts` how many will come.
    ///
    /// # Errors
    /// When the progress bar cannot be made, which the tests exclude.
    pub fn new(
        client: &'a Client,
        (partner, listener): (Option<&'a Partner>, Option<&'a Listener>),
        before: State,
        posts: Option<u64>,
    ) -> Result<Self, Failure> {
        let target = ProgressDrawTarget::stderr_with_hz(5);
        let bar = ProgressBar::with_draw_target(posts, target);
        let template = if posts.is_some() { "{bar:30} {pos}/{len}  {msg}" } else { "{spinner} {pos}  {msg}" };
        bar.set_style(ProgressStyle::with_template(template)?);
        let now = Instant::now();
        Ok(Self { client, partner, listener, before, seen: before, begun: now, bar, told: now })
    }

    /// Shows how far it is, for ever: until webhooks are posted.
    pub async fn show(&mut self, accepted: impl Fn() -> u64) {
        loop {
            self.look(accepted()).await;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until `orders` orders are applied and, if `deliver`, delivered, the listener has heard of them or hears no more
    /// (one that is too slow misses some), and nothing waits; or until nothing has moved for `patience`.
    pub async fn wait(&mut self, accepted: u64, orders: u64, deliver: bool, patience: Duration) -> Reached {
        let mut reached = Reached::default();
        let listener = self.listener;
        let told = || listener.map(|listener| listener.told().orders);
        let (mut moved, mut last) = (Instant::now(), (self.seen, 0, None));
        loop {
            let fresh = self.look(accepted).await;
            let now = Instant::now();
            reached.orders = self.seen.orders.saturating_sub(self.before.orders);
            reached.arrived = self.arrived();
            reached.exceptions = self.seen.exceptions.saturating_sub(self.before.exceptions);
            if reached.orders >= orders {
                reached.applied.get_or_insert(now);
            }
            if reached.arrived >= orders {
                reached.delivered.get_or_insert(now);
            }
            if reached.applied.is_some()
                && (!deliver || reached.delivered.is_some())
                && told().is_none_or(|told| told >= orders || moved.elapsed() > SILENCE)
                && fresh
                && self.seen.pending == 0
            {
                reached.rest = Some(now);
            }
            let stands = (self.seen, reached.arrived, told());
            if last != stands {
                (moved, last) = (now, stands);
            }
            if reached.rest.is_some() || moved.elapsed() > patience {
                self.bar.finish_and_clear();
                return reached;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn arrived(&self) -> u64 {
        match self.partner {
            Some(partner) => u64::try_from(partner.heard().orders.len()).unwrap_or(u64::MAX),
            None => self.seen.released.saturating_sub(self.before.released),
        }
    }

    /// Asks the daemon; tells whether it answered. A daemon that is away for a moment is asked again later.
    async fn look(&mut self, accepted: u64) -> bool {
        let found = state(self.client).await;
        if let Ok(state) = found {
            self.seen = state;
        }
        let message = format!(
            "accepted {accepted}, applied {}, at the warehouse {}",
            self.seen.orders.saturating_sub(self.before.orders),
            self.arrived()
        );
        self.bar.set_position(accepted);
        if self.bar.is_hidden() && self.told.elapsed() > TELL {
            complain(format_args!("{:>4} s  {message}", self.begun.elapsed().as_secs()));
            self.told = Instant::now();
        }
        self.bar.set_message(message);
        found.is_ok()
    }
}

/// How long orders took from the first fact that was heard until the warehouse had answered, by the daemon's own clock: of
/// some orders, spread over all.
///
/// # Errors
/// When the daemon cannot be asked.
pub async fn times(
    client: &Client,
    orders: u64,
    name: impl Fn(u64) -> String,
) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::new();
    for number in (0..orders).step_by(usize::try_from(orders.div_ceil(SAMPLE).max(1))?) {
        let order: Value = client.get(&format!("/api/v1/orders/{}", step(&name(number)))).await?;
        times.extend(taken(&order));
    }
    Ok(times)
}

/// From the first fact until the first attempt of the warehouse's command.
fn taken(order: &Value) -> Option<Duration> {
    let instant = |value: &Value| value.as_str()?.parse::<Timestamp>().ok();
    let heard = order["timeline"].as_array()?.iter().filter(|entry| entry["kind"] == "fact");
    let heard = heard.filter_map(|entry| instant(&entry["heard"])).min()?;
    let create = order["intents"].as_array()?.iter().find(|intent| intent["command"] == "order.create")?;
    let sent = instant(&create["history"][0]["at"])?;
    Duration::try_from(sent.duration_since(heard)).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_daemons_own_times_are_read_from_an_order() {
        let order = json!({
            "timeline": [
                { "kind": "fact", "heard": "2026-03-01T10:00:00.5Z" },
                { "kind": "attempt", "heard": "2026-03-01T10:00:00.1Z" },
                { "kind": "fact", "heard": "2026-03-01T10:00:02Z" }
            ],
            "intents": [{ "command": "order.create", "history": [{ "at": "2026-03-01T10:00:01Z" }] }]
        });
        assert_eq!(taken(&order), Some(Duration::from_millis(500)));
        assert_eq!(taken(&json!({ "timeline": [], "intents": [] })), None);
    }
}

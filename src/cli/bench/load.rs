//! Posts webhooks over many connections: each as soon as the one before it is answered, or at a steady rate.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::orders::{Kind, Mix, Orders};
use super::wire::{Answer, Line, Target};

/// How long a daemon may be away in the midst of a run.
const AWAY: Duration = Duration::from_secs(30);
/// Pause before a webhook goes again that was put off, or that met a broken connection.
const PAUSE: Duration = Duration::from_millis(20);

/// How it is posted.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Webhooks at most; more than anyone waits for when `until` ends it.
    pub posts: u64,
    /// When no new one begins.
    pub until: Option<Instant>,
    /// Webhooks a second; as fast as they are answered without.
    pub rate: Option<f64>,
    /// Connections.
    pub connections: usize,
    /// Kinds.
    pub mix: Mix,
}

/// Counters that grow while it runs.
#[derive(Debug, Default)]
pub struct Tally {
    next: AtomicU64,
    stop: AtomicBool,
    /// Answered 2xx.
    pub accepted: AtomicU64,
    /// Answered 503 or 429, and posted again.
    pub put_off: AtomicU64,
    /// Not answered because the connection broke, and posted again.
    pub broken: AtomicU64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Posted {
    /// When each order's first webhook began, or should have begun at a steady rate.
    pub begun: HashMap<u64, Instant>,
    /// How long each webhook took until it was accepted.
    pub latencies: Vec<Duration>,
    /// From the first until the last was accepted.
    pub time: Duration,
    /// New orders, updates, copies.
    pub kinds: [u64; 3],
}

/// Posts to the targets in turn until the plan is done.
///
/// # Errors
/// In words, when a webhook is refused or the daemon stays away.
pub async fn run(
    plan: Plan,
    orders: &Arc<Orders>,
    targets: &[Target],
    tally: &Arc<Tally>,
) -> Result<Posted, String> {
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for at in 0..plan.connections {
        let line = Line::new(targets[at % targets.len()].clone());
        let (orders, tally) = (Arc::clone(orders), Arc::clone(tally));
        workers.spawn(async move { work(plan, &orders, line, &tally, start).await });
    }
    let mut all = Posted::default();
    let mut wrong = None;
    while let Some(done) = workers.join_next().await {
        match done.map_err(|error| error.to_string()).and_then(|done| done) {
            Ok(part) => {
                all.begun.extend(part.begun);
                all.latencies.extend(part.latencies);
                all.time = all.time.max(part.time);
                for (sum, part) in all.kinds.iter_mut().zip(part.kinds) {
                    *sum += part;
                }
            }
            Err(why) => {
                tally.stop.store(true, Ordering::Relaxed);
                wrong.get_or_insert(why);
            }
        }
    }
    wrong.map_or(Ok(all), Err)
}

async fn work(
    plan: Plan,
    orders: &Orders,
    mut line: Line,
    tally: &Tally,
    start: Instant,
) -> Result<Posted, String> {
    let mut posted = Posted::default();
    while !tally.stop.load(Ordering::Relaxed) {
        let index = tally.next.fetch_add(1, Ordering::Relaxed);
        if index >= plan.posts {
            break;
        }
        let begun = due(plan.rate, index, start);
        if plan.until.is_some_and(|until| begun >= until) {
            break;
        }
        tokio::time::sleep_until(begun.into()).await;
        let post = plan.mix.post(index);
        let (path, headers, body) = orders.webhook(post);
        send(&mut line, &path, &headers, &body, tally).await?;
        tally.accepted.fetch_add(1, Ordering::Relaxed);
        posted.latencies.push(begun.elapsed());
        posted.time = start.elapsed();
        match post.kind {
            Kind::Create => {
                posted.begun.insert(post.order, begun);
                posted.kinds[0] += 1;
            }
            Kind::Update => posted.kinds[1] += 1,
            Kind::Duplicate => posted.kinds[2] += 1,
        }
    }
    Ok(posted)
}

/// When a webhook is to begin. At a steady rate that is by the clock: what comes late because those before it took long
/// counts as waiting.
fn due(rate: Option<f64>, index: u64, start: Instant) -> Instant {
    let (Some(rate), Ok(index)) = (rate, u32::try_from(index)) else { return Instant::now() };
    start + Duration::from_secs_f64(f64::from(index) / rate)
}

/// Posts one webhook until it is accepted, as a partner does, only sooner.
async fn send(
    line: &mut Line,
    path: &str,
    headers: &[(&'static str, String)],
    body: &[u8],
    tally: &Tally,
) -> Result<(), String> {
    let mut away: Option<Instant> = None;
    loop {
        match line.post(path, headers, body).await {
            Ok(Answer { status: 200..300, .. }) => return Ok(()),
            Ok(Answer { status: 429 | 502..=504, .. }) => {
                tally.put_off.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) => return Err(refused(path, &answer)),
            Err(why) => {
                tally.broken.fetch_add(1, Ordering::Relaxed);
                if away.get_or_insert_with(Instant::now).elapsed() > AWAY {
                    return Err(format!("the daemon is away: {why}"));
                }
            }
        }
        if tally.stop.load(Ordering::Relaxed) {
            return Err("stopped".to_owned());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Why a webhook was refused, and what to do.
fn refused(path: &str, answer: &Answer) -> String {
    let said: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let said = said["error"].as_str().unwrap_or(answer.body.trim()).to_owned();
    let help = match answer.status {
        401 => "the config given here must have the secrets and settings that the daemon has",
        404 => "the config given here must have the accounts that the daemon has",
        413 => "make the payload smaller, or `server.max_body` larger",
        _ => "its log may tell why",
    };
    format!("a webhook to {path} was refused with {}: {said}\n  {help}", answer.status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_goes_by_the_clock() {
        let start = Instant::now();
        assert_eq!(due(Some(100.0), 250, start), start + Duration::from_millis(2500));
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let answer = Answer { status: 401, body: "{\"error\":\"the signature does not verify\"}".into() };
        let text = refused("/hooks/shop", &answer);
        assert!(
            text.contains("/hooks/shop") && text.contains("signature") && text.contains("secrets"),
            "{text}"
        );
    }
}

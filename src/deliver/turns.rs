//! Who reads next: of all that waits for its share of the limits, who waits longest, and nobody passes it on the limit
//! that it waits for. A poll that the limit interrupts between two of its pages keeps its place, so each one waits for
//! one turn of each other at most, whatever they cost.

use std::time::Duration;

use jiff::Timestamp;

use super::limiter::{Limiter, Share, Taken};
use crate::retry::later;

/// How long something waits before what it needs is kept for it, and nobody passes it on *any* limit that it needs.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// How much longer than it should take something is kept for one that does not come.
const KEEP: Duration = Duration::from_secs(5);

/// Something that waits to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// What its call draws on the limits as.
    pub operation: String,
    /// Which part of them it may use.
    pub share: Share,
    /// Since when it waits.
    pub since: Timestamp,
}

/// What is read now: its place in the list and what was taken for its first call. Also when to ask again for those
/// that could not be paid for.
pub fn choose(
    limiter: &mut Limiter,
    waiting: &[Waiting],
    now: Timestamp,
) -> (Option<(usize, Taken)>, Option<Timestamp>) {
    let mut next: Option<Timestamp> = None;
    // Limits on which somebody who came before waits.
    let mut held: Vec<(Share, String)> = Vec::new();
    for (place, one) in waiting.iter().enumerate() {
        if held.iter().any(|(share, limit)| *share == one.share && limiter.draws(&one.operation, limit)) {
            continue;
        }
        let wait = match limiter.take(&[&one.operation], one.share, now) {
            Ok(mut taken) => match taken.pop() {
                Some(taken) => return (Some((place, taken)), next),
                None => continue,
            },
            Err(wait) => wait,
        };
        next = Some(next.map_or(wait.until, |next| next.min(wait.until)));
        if later(one.since, PATIENCE) <= now {
            limiter.keep(&one.operation, one.share, later(wait.until, KEEP), now);
            held.extend(limiter.limits_of(&one.operation).into_iter().map(|limit| (one.share, limit)));
        } else {
            held.push((one.share, wait.limit));
        }
    }
    (None, next)
}

#[cfg(test)]
mod tests;

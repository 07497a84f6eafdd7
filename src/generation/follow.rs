//! Nodes that share a store but not their files: what one of them puts into force, the others take over within seconds,
//! and write it beside their own config, so that it holds after a restart.
//!
//! With what files a node starts is its own affair. A config file is taken over only where it was the same before, since
//! nodes may differ in it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::history::{self, Entry};
use super::{Answer, Change, ChangeError, Generations, Outcome, files};
use crate::ports::StoreError;

/// How often the store is asked what is in force.
const LOOK: Duration = Duration::from_secs(2);

/// What a node has looked at of the history.
#[derive(Debug, Default)]
pub struct Seen {
    /// The entry in force at the last look.
    active: Option<Entry>,
    /// Entries that are settled here; none before the first look.
    settled: Option<BTreeSet<(Timestamp, String)>>,
    /// The generation that was in force here when another node's change was refused.
    refused: Option<String>,
}

/// Takes over what other nodes put into force, until `stop` fires.
pub async fn run(generations: Arc<Generations>, stop: CancellationToken) {
    let mut seen = Seen::default();
    while !stop.is_cancelled() {
        let followed = tokio::select! {
            // What is written by then is in force at the next start.
            () = stop.cancelled() => return,
            followed = generations.follow(&mut seen) => followed,
        };
        match followed {
            // The store is back by itself, and a change of our own that came first is looked at again.
            Ok(_) | Err(ChangeError::Store(_) | ChangeError::Stale { .. }) => {}
            Err(error) => tracing::warn!(%error, "what another node put into force cannot be taken over"),
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

impl Generations {
    /// Takes over what other nodes put into force since the last look; none if there is nothing to do. What this node cannot
    /// take is an exception, and is tried again when something else has come into force here.
    ///
    /// # Errors
    /// As of [`Generations::propose`].
    pub async fn follow(&self, seen: &mut Seen) -> Result<Option<Answer>, ChangeError> {
        let store = self.store.as_ref();
        let own = self.world().config.generation.clone();
        let active = history::active(store).await?;
        let waits = seen.refused.as_ref().is_some_and(|at| *at != own);
        if seen.settled.is_some() && seen.active == active && !waits {
            return Ok(None);
        }
        let entries = history::entries(store).await?;
        let all: BTreeSet<_> = entries.iter().map(key).collect();
        let settled = match &seen.settled {
            Some(settled) => settled.clone(),
            // At the first look only what is in force counts.
            None => {
                all.iter().filter(|one| active.as_ref().map(key).as_ref() != Some(one)).cloned().collect()
            }
        };
        let fresh: Vec<&Entry> =
            entries.iter().filter(|entry| entry.by != "start" && !settled.contains(&key(entry))).collect();
        let changed = self.differences(&fresh).await?;
        let answer = if let (false, Some(newest)) = (changed.is_empty(), fresh.first()) {
            let change = Change {
                files: changed,
                by: Some(newest.by.clone()),
                note: newest.note.clone(),
                base: Some(own.clone()),
                dry_run: false,
            };
            Some(self.propose(change).await?)
        } else {
            None
        };
        seen.active = active;
        if let Some(answer) = answer.as_ref().filter(|answer| answer.outcome == Outcome::Refused) {
            self.refuse(&answer.problems).await?;
            (seen.refused, seen.settled) = (Some(own), Some(settled));
        } else {
            (seen.refused, seen.settled) = (None, Some(all));
        }
        Ok(answer)
    }

    /// The files of `entries`, the newest first, that are others here.
    async fn differences(&self, entries: &[&Entry]) -> Result<BTreeMap<String, Option<String>>, StoreError> {
        let own = self.sources();
        let config = files::file_name(self.config());
        let (mut looked_at, mut changed) = (BTreeSet::new(), BTreeMap::new());
        for entry in entries {
            for path in &entry.changed {
                if !looked_at.insert(path) {
                    continue;
                }
                let text = self.text_of(&entry.generation, path).await?;
                if own.get(path) == text.as_deref() {
                    continue;
                }
                if *path == config {
                    let before = match &entry.before {
                        Some(before) => self.text_of(before, path).await?,
                        None => None,
                    };
                    if own.get(path) != before.as_deref() {
                        tracing::info!(
                            path,
                            "another node has changed its config file, which was another than this one"
                        );
                        continue;
                    }
                }
                changed.insert(path.clone(), text);
            }
        }
        Ok(changed)
    }

    /// The text of a file in a generation; none if it was not there.
    async fn text_of(&self, generation: &str, path: &str) -> Result<Option<String>, StoreError> {
        let store = self.store.as_ref();
        let missing = || StoreError::Corrupt(format!("the files of generation {generation}"));
        let files = history::files(store, generation).await?.ok_or_else(missing)?;
        match files.get(path) {
            Some(digest) => Ok(Some(history::text(store, digest).await?.ok_or_else(missing)?)),
            None => Ok(None),
        }
    }
}

fn key(entry: &Entry) -> (Timestamp, String) {
    (entry.at, entry.generation.clone())
}

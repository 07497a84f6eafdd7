//! Hears of changed files: from the system where it tells, and by looking at sizes and times every few seconds in any
//! case, since network folders and some containers tell nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Generations, files};

/// How often sizes and times are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Files must have been left alone for this long: editors write in several steps.
const QUIET: Duration = Duration::from_millis(200);
/// Folders deeper than this are left alone.
const MOST_DEPTH: usize = 8;

/// Size and time of every file that a generation is made of.
type Stamps = BTreeMap<PathBuf, (u64, Option<SystemTime>)>;

/// Reloads whenever a file has changed, until `stop` fires.
pub async fn run(generations: Arc<Generations>, stop: CancellationToken) {
    let bell = Arc::new(Notify::new());
    let mut ears = Ears::new(bell.clone());
    // What is in force was read a moment ago, and may have changed since.
    let (first, _) = look(&generations).await;
    let mut seen = generations.is_current().await.then_some(first);
    while !stop.is_cancelled() {
        let (now, places) = look(&generations).await;
        ears.listen(&places);
        if seen.as_ref() != Some(&now) {
            let Some(settled) = settle(&generations, now, &stop).await else { return };
            match generations.reload("files").await {
                Ok(_) => seen = Some(settled),
                Err(error) => tracing::warn!(%error, "changed files wait for the store"),
            }
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = bell.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Waits until nothing changes any more.
async fn settle(generations: &Generations, mut last: Stamps, stop: &CancellationToken) -> Option<Stamps> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return None,
            () = tokio::time::sleep(QUIET) => {}
        }
        let (now, _) = look(generations).await;
        if now == last {
            return Some(now);
        }
        last = now;
    }
}

async fn look(generations: &Generations) -> (Stamps, Vec<PathBuf>) {
    let (mut places, secrets) = files::places(&generations.sources(), generations.config());
    let listed = places.clone();
    places.extend(secrets);
    let stamps = tokio::task::spawn_blocking(move || {
        let mut stamps = Stamps::new();
        for place in &places {
            stamp(place, 0, &mut stamps);
        }
        stamps
    });
    (stamps.await.unwrap_or_default(), listed)
}

fn stamp(path: &Path, depth: usize, stamps: &mut Stamps) {
    let Ok(known) = std::fs::metadata(path) else { return };
    if known.is_file() {
        stamps.insert(path.to_owned(), (known.len(), known.modified().ok()));
    } else if depth < MOST_DEPTH {
        for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
            if !entry.file_name().to_string_lossy().starts_with('.') {
                stamp(&entry.path(), depth + 1, stamps);
            }
        }
    }
}

/// What the system tells of changes.
struct Ears {
    watcher: Option<RecommendedWatcher>,
    heard: Vec<PathBuf>,
}

impl Ears {
    fn new(bell: Arc<Notify>) -> Self {
        let watcher = notify::recommended_watcher(move |heard: notify::Result<notify::Event>| {
            // That something was read is no change: we read these folders ourselves, and would never come to rest.
            if !heard.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                bell.notify_one();
            }
        });
        if let Err(error) = &watcher {
            tracing::info!(%error, "the system does not tell of changed files; they are looked at every {LOOK:?}");
        }
        Self { watcher: watcher.ok(), heard: Vec::new() }
    }

    /// Listens at these places and no others. One that is not there, or was replaced, is found by looking.
    fn listen(&mut self, places: &[PathBuf]) {
        let Some(watcher) = &mut self.watcher else { return };
        let there: Vec<PathBuf> = places.iter().filter(|place| place.exists()).cloned().collect();
        if there == self.heard {
            return;
        }
        for place in self.heard.drain(..) {
            let _ = watcher.unwatch(&place);
        }
        for place in there {
            if watcher.watch(&place, RecursiveMode::Recursive).is_ok() {
                self.heard.push(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reading what is watched rings nothing; writing does.
    #[tokio::test]
    async fn rests_while_nothing_changes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("skus.csv");
        std::fs::write(&file, "a").unwrap();
        let bell = Arc::new(Notify::new());
        let mut ears = Ears::new(bell.clone());
        let places = [folder.path().to_owned()];
        ears.listen(&places);
        let read = || {
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
            assert_eq!(std::fs::read_to_string(&file).unwrap(), "a");
        };
        read();
        assert!(tokio::time::timeout(Duration::from_millis(500), bell.notified()).await.is_err());
        if ears.watcher.is_some() {
            std::fs::write(&file, "b").unwrap();
            tokio::time::timeout(Duration::from_mins(1), bell.notified()).await.unwrap();
        }
    }
}

//! Generations: everything that people edit, read from disk or proposed over the API, checked whole, put into force at
//! one moment, and remembered.
//!
//! ```text
//! files │ API ─▶ check (compile, tests) ─▶ history ─▶ the world, swapped between two messages ─▶ release
//!                  └─▶ refused: the old one stays, and an exception says why with file, line and column
//! ```
//!
//! The files beside `config.toml` are the truth: what is put into force over the API is written there first. An exception
//! of a refused change closes itself with the next good one.

pub mod check;
pub mod files;
pub mod follow;
pub mod history;
pub mod release;
pub mod watch;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, watch as channel};

use self::check::Checked;
use self::history::Entry;
use crate::config::{Sources, World, embedded};
use crate::diagnostic::{Diagnostic, Severity};
use crate::ports::{Clock, Exception, Store, StoreError, Unit};

/// The cause and kind of the exception that a refused change raises.
pub const REFUSED: &str = "reload_refused";

/// Files to change together: each with its new text, or none to remove it (the shipped one then counts again).
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Change {
    /// Path (`mappings/shopify/order.in.toml`, `lists/acme-skus.csv`, `config.toml`) to text.
    pub files: BTreeMap<String, Option<String>>,
    /// Who changes them.
    pub by: Option<String>,
    /// Why.
    pub note: Option<String>,
    /// The generation that was in force when the change was made: another one by now is a conflict.
    pub base: Option<String>,
    /// Only check.
    pub dry_run: bool,
}

/// What became of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in force.
    Activated,
    /// It is what is in force already.
    Unchanged,
    /// It could come into force; nothing was done.
    Checked,
    /// It has errors; the old one stays.
    Refused,
}

/// The answer to a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What became of it.
    pub outcome: Outcome,
    /// The generation that is in force now.
    pub generation: String,
    /// Paths that the change changes.
    pub changed: Vec<String>,
    /// Errors and warnings, each with its place.
    pub problems: Vec<Diagnostic>,
}

/// Why a change was not even looked at.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// A path that no such file can have.
    #[error("`{0}` is no file that can be changed")]
    Path(String),
    /// Another change came first.
    #[error("generation {base} is in force no more: {active} is")]
    Stale {
        /// What the change was made from.
        base: String,
        /// What is in force.
        active: String,
    },
    /// The disk does not take it.
    #[error("{path} cannot be written: {error}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The store does not take it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The generation in force and the way to another.
pub struct Generations {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    world: Arc<ArcSwap<World>>,
    /// The config file.
    config: PathBuf,
    sources: ArcSwap<Sources>,
    /// One change at a time; holds what was refused last.
    turn: Mutex<Option<String>>,
    /// Tells who must know that another generation is in force.
    told: channel::Sender<u64>,
}

impl Generations {
    /// What `world`, made of `sources`, is to its successors. `config` is the config file.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        world: Arc<ArcSwap<World>>,
        config: PathBuf,
        sources: Sources,
    ) -> Self {
        let sources = ArcSwap::from_pointee(sources);
        Self { store, clock, world, config, sources, turn: Mutex::new(None), told: channel::Sender::new(0) }
    }

    /// The files of the generation in force.
    #[must_use]
    pub fn sources(&self) -> Arc<Sources> {
        self.sources.load_full()
    }

    /// The generation in force.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.world.load_full()
    }

    /// The config file.
    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Where the file that is called `path` among the files in force lies on disk; none for a name that no such file can
    /// have.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<PathBuf> {
        files::on_disk(&self.sources.load(), &self.config, path)
    }

    /// Changes whenever another generation has come into force.
    #[must_use]
    pub fn told(&self) -> channel::Receiver<u64> {
        self.told.subscribe()
    }

    /// Notes in the history that the generation with which the daemon starts is in force.
    ///
    /// # Errors
    /// When the store cannot be read or written.
    pub async fn begin(&self) -> Result<(), StoreError> {
        let generation = self.world.load().config.generation.clone();
        let active = history::active(self.store.as_ref()).await?;
        if active.as_ref().is_none_or(|active| active.generation != generation) {
            let before = match &active {
                Some(active) => history::sources(self.store.as_ref(), &active.generation).await?,
                None => None,
            };
            let sources = self.sources.load();
            let changed = before.map(|before| history::changed(&before, &sources)).unwrap_or_default();
            let entry = Entry {
                generation,
                before: None,
                at: self.clock.now(),
                by: "start".to_owned(),
                note: None,
                changed,
            };
            history::record(self.store.as_ref(), &entry, &sources).await?;
        }
        self.accepted().await
    }

    /// Whether the files on disk are those that are in force.
    pub async fn is_current(&self) -> bool {
        let config = self.config.clone();
        let read = tokio::task::spawn_blocking(move || files::read_dir_over(embedded(), &config).0).await;
        read.is_ok_and(|sources| sources == *self.sources())
    }

    /// Reads the files again. What is in order comes into force; otherwise the old generation stays.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn reload(&self, by: &str) -> Result<Answer, StoreError> {
        let mut refused = self.turn.lock().await;
        let config = self.config.clone();
        let read = tokio::task::spawn_blocking(move || files::read_dir_over(embedded(), &config)).await;
        let (sources, problems) = read.unwrap_or_default();
        let answer = self.take(sources, problems, (by, None), None, &mut refused).await;
        answer.map_err(|error| match error {
            ChangeError::Store(error) => error,
            other => StoreError::Unavailable(other.to_string()),
        })
    }

    /// Takes a change: checks it whole, writes it beside the config file, and puts it into force.
    ///
    /// # Errors
    /// See [`ChangeError`]. Errors in the files themselves are an answer: [`Outcome::Refused`].
    pub async fn propose(&self, change: Change) -> Result<Answer, ChangeError> {
        let mut refused = self.turn.lock().await;
        let active = self.world.load().config.generation.clone();
        if let Some(base) = change.base.filter(|base| *base != active) {
            return Err(ChangeError::Stale { base, active });
        }
        let before = self.sources.load_full();
        let shipped = embedded();
        let mut after = Sources::clone(&before);
        for (path, text) in &change.files {
            match text.as_deref().or_else(|| shipped.get(path)) {
                Some(text) => after.insert(path.clone(), text),
                None => {
                    after.files.remove(path);
                }
            }
        }
        let mut writes = Vec::with_capacity(change.files.len());
        for (path, text) in change.files {
            let place = files::on_disk(&after, &self.config, &path).ok_or(ChangeError::Path(path))?;
            writes.push((place, text));
        }
        let by = change.by.filter(|by| !by.trim().is_empty()).unwrap_or_else(|| "a person".to_owned());
        let writes = if change.dry_run { Writes::None } else { Writes::Files(writes) };
        self.take(after, Vec::new(), (&by, change.note), Some(writes), &mut refused).await
    }

    /// Checks `sources` and puts them into force. `writes` is there for what was proposed, none for what was read.
    async fn take(
        &self,
        sources: Sources,
        mut problems: Vec<Diagnostic>,
        (by, note): (&str, Option<String>),
        writes: Option<Writes>,
        refused: &mut Option<String>,
    ) -> Result<Answer, ChangeError> {
        let (before, old) = (self.sources.load_full(), self.world.load_full());
        let changed = history::changed(&before, &sources);
        let digest = sources.digest();
        let sources = Arc::new(sources);
        let Checked { world, problems: found } = {
            let (sources, before, old) = (sources.clone(), before.clone(), old.clone());
            let config = self.config.clone();
            let checked =
                tokio::task::spawn_blocking(move || check::check(&sources, &config, (&before, &old.config)));
            checked.await.unwrap_or_else(|fault| {
                let found = Diagnostic::whole("config.toml", format!("the check broke down: {fault}"));
                Checked { world: None, problems: vec![found] }
            })
        };
        problems.extend(found);
        files::sort(&mut problems);
        let answer = |outcome, generation: &str| Answer {
            outcome,
            generation: generation.to_owned(),
            changed: changed.clone(),
            problems: problems.clone(),
        };
        let broken = problems.iter().any(|found| found.severity == Severity::Error);
        let (Some(world), false) = (world, broken) else {
            if writes.is_none() && refused.as_ref() != Some(&digest) {
                self.refuse(&problems).await?;
                *refused = Some(digest);
            }
            return Ok(answer(Outcome::Refused, &old.config.generation));
        };
        match writes {
            Some(Writes::None) => return Ok(answer(Outcome::Checked, &old.config.generation)),
            Some(Writes::Files(files)) => write(files).await?,
            None => *refused = None,
        }
        if changed.is_empty() {
            if check::secrets(&world.config) != check::secrets(&old.config) {
                tracing::info!(by, "secrets have changed: the new ones are in force");
                self.world.store(Arc::new(world));
                self.told.send_modify(|turns| *turns += 1);
            }
            self.accepted().await?;
            return Ok(answer(Outcome::Unchanged, &old.config.generation));
        }
        let entry = Entry {
            generation: world.config.generation.clone(),
            before: Some(old.config.generation.clone()),
            at: self.clock.now(),
            by: by.to_owned(),
            note,
            changed: changed.clone(),
        };
        history::record(self.store.as_ref(), &entry, &sources).await?;
        self.sources.store(sources);
        self.world.store(Arc::new(world));
        self.told.send_modify(|turns| *turns += 1);
        tracing::info!(generation = %entry.generation, by, changed = ?entry.changed, "a new generation is in force");
        self.accepted().await?;
        Ok(answer(Outcome::Activated, &entry.generation))
    }

    /// Says that the files on disk were refused, in an exception that people see.
    async fn refuse(&self, problems: &[Diagnostic]) -> Result<(), StoreError> {
        let errors: Vec<&Diagnostic> =
            problems.iter().filter(|found| found.severity == Severity::Error).collect();
        for found in &errors {
            tracing::warn!(%found, "a changed file is refused; the old generation stays in force");
        }
        let first = errors.first().map(ToString::to_string).unwrap_or_default();
        let more = match errors.len() {
            0 | 1 => String::new(),
            many => format!(" (and {} more)", many - 1),
        };
        let exception = Exception {
            id: 0,
            cause: REFUSED.to_owned(),
            kind: REFUSED.to_owned(),
            message: format!("{first}{more}"),
            help: Some(
                "correct the file: it is read again by itself. What was in force before stays in force until then"
                    .to_owned(),
            ),
            account: None,
            client: None,
            entity: None,
            message_id: None,
            intent: None,
            raised: self.clock.now(),
            resolved: None,
            resolution: None,
        };
        let unit = Unit { at: self.clock.now(), exceptions: vec![exception], ..Unit::default() };
        self.store.commit(vec![unit]).await.map(drop)
    }

    /// The files are in order: an exception of refused ones is over.
    async fn accepted(&self) -> Result<(), StoreError> {
        let resolve_causes = vec![REFUSED.to_owned()];
        let unit = Unit { at: self.clock.now(), resolve_causes, ..Unit::default() };
        self.store.commit(vec![unit]).await.map(drop)
    }
}

/// What is written before a proposed change comes into force.
enum Writes {
    /// Nothing, and it does not come into force: it is only checked.
    None,
    /// These files; none removes one.
    Files(Vec<(PathBuf, Option<String>)>),
}

/// Writes files, each by putting a finished one in its place. When one cannot be written, those before it are put back.
async fn write(files: Vec<(PathBuf, Option<String>)>) -> Result<(), ChangeError> {
    let written = tokio::task::spawn_blocking(move || {
        let mut done: Vec<(PathBuf, Option<String>)> = Vec::new();
        for (path, text) in files {
            let before = std::fs::read_to_string(&path).ok();
            if let Err(error) = put(&path, text.as_deref()) {
                for (path, before) in done.into_iter().rev() {
                    let _ = put(&path, before.as_deref());
                }
                return Err(ChangeError::Write { path: path.display().to_string(), error });
            }
            done.push((path, before));
        }
        Ok(())
    });
    written.await.unwrap_or_else(|fault| {
        Err(ChangeError::Write { path: String::new(), error: std::io::Error::other(fault) })
    })
}

fn put(path: &Path, text: Option<&str>) -> std::io::Result<()> {
    use std::io::Write as _;

    let Some(text) = text else {
        return match std::fs::remove_file(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done,
        };
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A name that the reader of folders passes over.
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.new"));
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    if let Ok(known) = std::fs::metadata(path) {
        file.set_permissions(known.permissions())?;
    }
    std::fs::rename(&beside, path)
}

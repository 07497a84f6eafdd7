//! Files that forget: what is written, what is safe, and what becomes of the difference.

use std::cell::UnsafeCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use crate::content::Content;
use crate::vfs;

/// A torn write keeps or loses whole sectors of this size.
const SECTOR: usize = 512;
/// The seed with which a power loss forgets all that was not synced.
pub const FORGET_ALL: u64 = 0;
/// The seed with which a power loss forgets nothing.
pub const KEEP_ALL: u64 = 1;

static DISKS: LazyLock<Mutex<HashMap<u64, Weak<State>>>> = LazyLock::new(Mutex::default);
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A folder of files in memory.
#[derive(Clone)]
pub struct Disk(Arc<State>);

/// What a disk held at a moment; making disks from it is cheap.
#[derive(Clone, Default)]
pub struct Image(BTreeMap<String, Content>);

/// What is behind a [`Disk`] and the files that SQLite has open on it.
pub(crate) struct State {
    id: u64,
    files: Mutex<Files>,
}

#[derive(Default)]
pub(crate) struct Files {
    pub(crate) present: BTreeMap<String, File>,
    /// Deleted, but not yet for good.
    deleted: BTreeMap<String, Content>,
    /// Grows with each crash and power loss: what was opened before is dead.
    pub(crate) epoch: u64,
    /// Changes until the power goes.
    fuse: Option<u64>,
    off: bool,
    /// Connections outlive crashes.
    kept: bool,
    changes: u64,
    syncs: u64,
}

/// One file.
#[derive(Default)]
pub(crate) struct File {
    /// What readers see.
    pub(crate) now: Content,
    /// What survives; none before the first sync.
    safe: Option<Content>,
    /// What leads from the one to the other.
    pending: Vec<Change>,
    pub(crate) locks: Locks,
    pub(crate) shared: Arc<Shared>,
    /// Locks of the shared memory: how many share each, or `u32::MAX` for one alone.
    pub(crate) slots: [u32; 8],
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut(usize),
}

/// Locks on a file, as SQLite knows them.
#[derive(Default, Clone, Copy)]
pub(crate) struct Locks {
    pub(crate) sharing: u32,
    pub(crate) reserved: bool,
    pub(crate) pending: bool,
    pub(crate) exclusive: bool,
}

/// Memory that all connections to a file share; regions never move.
#[derive(Default)]
pub(crate) struct Shared(pub(crate) Mutex<Vec<Box<[UnsafeCell<u64>]>>>);

impl Shared {
    /// Forgets what connections have agreed on.
    fn clear(&self) {
        let regions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for cell in regions.iter().flat_map(|region| region.iter()) {
            // SAFETY: the cells live as long as `regions`. Connections read and write them inside transactions alone, and
            // are at rest, as `Disk::keep_connections` asks for.
            unsafe { *cell.get() = 0 };
        }
    }
}

/// The power is off, or the file was opened before it went.
pub(crate) struct Dead;

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        Self::from_image(&Image::default())
    }

    /// A disk that holds what `image` holds, all of it safe.
    pub fn from_image(image: &Image) -> Self {
        vfs::register();
        let state = State::detached();
        {
            let mut files = state.lock();
            for (name, content) in &image.0 {
                let file = File { now: content.clone(), safe: Some(content.clone()), ..File::default() };
                files.present.insert(name.clone(), file);
            }
        }
        disks().insert(state.id, Arc::downgrade(&state));
        Self(state)
    }

    /// From now on connections outlive a crash or a power loss, as if the next process had opened them: the index of the
    /// log in shared memory is forgotten, so that SQLite recovers from the log as it does after opening, and what a
    /// connection has in its cache counts for nothing. It saves opening and preparing, which is most of a short life.
    ///
    /// Connections must be at rest then (no transaction, no open statement), and may not lock exclusively: else they
    /// have an index of their own.
    pub fn keep_connections(&self) {
        self.0.lock().kept = true;
    }

    /// The disk holds what `image` holds, all of it safe, and nothing else; for connections that are kept.
    pub fn reset(&self, image: &Image) {
        self.0.lock().reset(image);
    }

    /// What the disk holds now, synced or not.
    pub fn image(&self) -> Image {
        let files = self.0.lock();
        Image(files.present.iter().map(|(name, file)| (name.clone(), file.now.clone())).collect())
    }

    /// The path of a file, to be opened through the VFS [`crate::NAME`].
    pub fn path(&self, file: &str) -> String {
        format!("lossy-{}/{file}", self.0.id)
    }

    /// The power goes and comes back. What was not synced is lost: all of it with [`FORGET_ALL`], nothing with
    /// [`KEEP_ALL`], else for each file all, nothing, what came first, or single sectors, by `seed`. Files that are open
    /// are dead: every call on them fails.
    pub fn power_loss(&self, seed: u64) {
        self.0.lock().lose(seed);
    }

    /// The process ends and the machine goes on: what was written stays, synced or not. Files that are open are dead.
    pub fn crash(&self) {
        self.0.lock().restart();
    }

    /// The power goes at the `changes`-th change (write, truncation, sync or deletion) from now: that one and all calls
    /// after it fail until [`Disk::power_loss`] brings the power back. A write that was cut may have reached the disk
    /// in part.
    pub fn cut_after(&self, changes: u64) {
        self.0.lock().fuse = Some(changes);
    }

    /// Whether the power has gone because of [`Disk::cut_after`].
    pub fn is_off(&self) -> bool {
        self.0.lock().off
    }

    /// Changes and syncs so far.
    pub fn traffic(&self) -> (u64, u64) {
        let files = self.0.lock();
        (files.changes, files.syncs)
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for State {
    fn drop(&mut self) {
        disks().remove(&self.id);
    }
}

fn disks() -> MutexGuard<'static, HashMap<u64, Weak<State>>> {
    DISKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The disk and the file's name in a path that [`Disk::path`] gave.
pub(crate) fn find(path: &str) -> Option<(Arc<State>, String)> {
    let (id, name) = path.strip_prefix("lossy-")?.split_once('/')?;
    let state = disks().get(&id.parse().ok()?)?.upgrade()?;
    Some((state, name.to_owned()))
}

impl State {
    /// A disk that no path leads to.
    pub(crate) fn detached() -> Arc<Self> {
        Arc::new(Self { id: NEXT.fetch_add(1, Ordering::Relaxed), files: Mutex::default() })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    /// The file, for a handle of `epoch`.
    pub(crate) fn file(&mut self, name: &str, epoch: u64) -> Result<&mut File, Dead> {
        if self.off || epoch != self.epoch {
            return Err(Dead);
        }
        self.present.get_mut(name).ok_or(Dead)
    }

    /// Whether anything can be done at all.
    pub(crate) fn powered(&self) -> Result<(), Dead> {
        if self.off { Err(Dead) } else { Ok(()) }
    }

    /// Counts a change; fails when the power goes with it.
    fn change(&mut self) -> Result<(), Dead> {
        self.powered()?;
        self.changes += 1;
        match &mut self.fuse {
            Some(0 | 1) => {
                self.off = true;
                Err(Dead)
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(crate) fn write(&mut self, name: &str, epoch: u64, at: usize, bytes: &[u8]) -> Result<(), Dead> {
        self.file(name, epoch)?;
        let cut = self.change();
        if let Some(file) = self.present.get_mut(name) {
            file.now.write(at, bytes);
            file.pending.push(Change::Write { at, bytes: bytes.to_vec() });
        }
        cut
    }

    pub(crate) fn truncate(&mut self, name: &str, epoch: u64, len: usize) -> Result<(), Dead> {
        self.file(name, epoch)?;
        self.change()?;
        let file = self.file(name, epoch)?;
        file.now.cut(len);
        file.pending.push(Change::Cut(len));
        Ok(())
    }

    pub(crate) fn sync(&mut self, name: &str, epoch: u64) -> Result<(), Dead> {
        self.file(name, epoch)?;
        self.change()?;
        self.syncs += 1;
        let file = self.file(name, epoch)?;
        let safe = file.safe.get_or_insert_default();
        for change in file.pending.drain(..) {
            match change {
                Change::Write { at, bytes } => safe.follow(&file.now, at, bytes.len()),
                Change::Cut(len) => safe.cut(len),
            }
        }
        // A later cut may have been followed by writes that did not reach as far.
        safe.cut(file.now.len());
        Ok(())
    }

    pub(crate) fn delete(&mut self, name: &str, for_good: bool) -> Result<bool, Dead> {
        self.change()?;
        let Some(file) = self.present.remove(name) else { return Ok(false) };
        if for_good {
            self.deleted.remove(name);
        } else if let Some(safe) = file.safe {
            self.deleted.insert(name.to_owned(), safe);
        }
        Ok(true)
    }

    fn reset(&mut self, image: &Image) {
        self.deleted.clear();
        for (name, file) in &mut self.present {
            file.now = image.0.get(name).cloned().unwrap_or_default();
            file.safe = Some(file.now.clone());
            file.pending.clear();
        }
        for (name, content) in &image.0 {
            if !self.present.contains_key(name) {
                let file = File { now: content.clone(), safe: Some(content.clone()), ..File::default() };
                self.present.insert(name.clone(), file);
            }
        }
        self.restart();
    }

    fn restart(&mut self) {
        self.fuse = None;
        self.off = false;
        if self.kept {
            self.present.values().for_each(|file| file.shared.clear());
            return;
        }
        self.epoch += 1;
        for file in self.present.values_mut() {
            file.locks = Locks::default();
            file.shared = Arc::default();
            file.slots = [0; 8];
        }
    }

    fn lose(&mut self, seed: u64) {
        let mut chance = Chance(seed);
        let fate = |chance: &mut Chance| match seed {
            FORGET_ALL => Fate::Forget,
            KEEP_ALL => Fate::Keep,
            _ => match chance.below(4) {
                0 => Fate::Forget,
                1 => Fate::Keep,
                2 => Fate::First,
                _ => Fate::Sectors,
            },
        };
        for (name, content) in std::mem::take(&mut self.deleted) {
            // The deletion itself may be forgotten.
            if !matches!(fate(&mut chance), Fate::Keep) && !self.present.contains_key(&name) {
                self.present.insert(name, File { safe: Some(content), ..File::default() });
            }
        }
        let kept = self.kept;
        self.present.retain(|_, file| {
            let fate = fate(&mut chance);
            // Its entry in the folder is lost with it. A connection that is kept finds it empty, as if made anew.
            if file.safe.is_none() && matches!(fate, Fate::Forget) && !kept {
                return false;
            }
            let mut content = file.safe.take().unwrap_or_default();
            fate.replay(&mut content, &std::mem::take(&mut file.pending), &mut chance);
            file.now = content.clone();
            file.safe = Some(content);
            true
        });
        self.restart();
    }
}

/// What becomes of the unsynced changes of a file.
#[derive(Clone, Copy)]
enum Fate {
    Forget,
    Keep,
    /// Those up to some point, the last one in part.
    First,
    /// Each sector for itself.
    Sectors,
}

impl Fate {
    fn replay(self, content: &mut Content, changes: &[Change], chance: &mut Chance) {
        let until = match self {
            Self::Forget => 0,
            Self::Keep | Self::Sectors => changes.len(),
            Self::First => chance.below(changes.len() + 1),
        };
        for (index, change) in changes[..until].iter().enumerate() {
            let torn = matches!(self, Self::Sectors) || (matches!(self, Self::First) && index + 1 == until);
            match change {
                Change::Cut(len) if !torn || chance.below(2) == 0 => content.cut(*len),
                Change::Cut(_) => {}
                Change::Write { at, bytes } if !torn => content.write(*at, bytes),
                Change::Write { at, bytes } => {
                    let mut done = 0;
                    while done < bytes.len() {
                        let part = (SECTOR - (at + done) % SECTOR).min(bytes.len() - done);
                        if chance.below(2) == 0 {
                            content.write(at + done, &bytes[done..done + part]);
                        }
                        done += part;
                    }
                }
            }
        }
    }
}

/// `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap_or(0) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(files: &Files, name: &str) -> Option<Vec<u8>> {
        let content = &files.present.get(name)?.now;
        let mut out = vec![0; content.len()];
        content.read(0, &mut out);
        Some(out)
    }

    #[test]
    fn what_is_synced_is_safe_and_nothing_else() {
        for seed in 0..300 {
            let mut chance = Chance(seed);
            let mut files = Files::default();
            files.present.insert("f".into(), File::default());
            let mut synced = None;
            for step in 0..30_u8 {
                let done = match chance.below(5) {
                    0 => files.truncate("f", 0, chance.below(20_000)),
                    1 => {
                        let done = files.sync("f", 0);
                        synced = bytes(&files, "f");
                        done
                    }
                    _ => files.write("f", 0, chance.below(20_000), &vec![step; chance.below(9_000)]),
                };
                assert!(done.is_ok());
            }
            files.lose(FORGET_ALL);
            assert_eq!(bytes(&files, "f"), synced, "seed {seed}");
        }
    }

    #[test]
    fn a_power_loss_may_keep_what_was_written() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 2..100 {
            let mut files = Files::default();
            files.present.insert("f".into(), File::default());
            assert!(files.write("f", 0, 0, &[1; 4 * SECTOR]).is_ok() && files.sync("f", 0).is_ok());
            assert!(files.write("f", 0, 0, &[2; 4 * SECTOR]).is_ok());
            files.lose(seed);
            let found = bytes(&files, "f").unwrap();
            outcomes.insert([0, 1, 2, 3].map(|sector| found[sector * SECTOR]));
            assert!(files.write("f", 0, 0, &[3]).is_err(), "what was open is dead");
        }
        assert!(
            outcomes.contains(&[1; 4]) && outcomes.contains(&[2; 4]) && outcomes.len() > 6,
            "{outcomes:?}"
        );
    }

    #[test]
    fn a_fuse_cuts_and_a_crash_does_not_forget() {
        let mut files = Files::default();
        files.present.insert("f".into(), File::default());
        files.fuse = Some(2);
        assert!(files.write("f", 0, 0, b"one").is_ok());
        assert!(files.write("f", 0, 0, b"two").is_err());
        assert!(files.sync("f", 0).is_err());
        files.restart();
        assert_eq!(bytes(&files, "f").as_deref(), Some(&b"two"[..]));
        assert!(files.sync("f", 1).is_ok());
    }
}

//! The disk that outlives the daemon's lives: in memory, and it forgets what was not synced when the power goes.
//!
//! Each thread has one disk, with one connection on it that outlives daemons and histories: a life begins with SQLite's
//! recovery from the log, as after opening, but statements stay prepared. (That a file can be opened after a power loss
//! at any write is shown by `tests/power_loss.rs`.)

use std::cell::RefCell;
use std::sync::{Arc, OnceLock};

use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::Store;
use lossy_vfs::Image;

/// One database file.
pub struct Disk {
    disk: lossy_vfs::Disk,
    store: Arc<SqliteStore>,
}

thread_local! {
    static FREE: RefCell<Option<(lossy_vfs::Disk, Arc<SqliteStore>)>> = const { RefCell::new(None) };
}

fn open(disk: &lossy_vfs::Disk) -> Arc<SqliteStore> {
    let vfs = Some(lossy_vfs::NAME.to_owned());
    let options = Options { inline: true, sole: true, vfs, ..Options::default() };
    SqliteStore::open(disk.path("crossdock.db"), options).unwrap()
}

impl Disk {
    /// A disk with an empty database.
    pub fn new() -> Self {
        static EMPTY: OnceLock<Image> = OnceLock::new();
        let image = EMPTY.get_or_init(|| {
            let disk = lossy_vfs::Disk::new();
            drop(open(&disk));
            disk.image()
        });
        let (disk, store) = FREE.take().unwrap_or_else(|| {
            let disk = lossy_vfs::Disk::from_image(image);
            disk.keep_connections();
            let store = open(&disk);
            (disk, store)
        });
        disk.reset(image);
        Self { disk, store }
    }

    /// Opens the store for a new life.
    pub fn open(&self) -> Arc<dyn Store> {
        self.store.open_again(true).unwrap();
        self.store.clone()
    }

    /// The store, to look at.
    pub fn reader(&self) -> Arc<dyn Store> {
        self.store.clone()
    }

    /// The process dies; with `power`, what it had not synced goes as well, or some of it, by `seed`.
    pub fn crash(&self, power: bool, seed: u64) {
        if power {
            self.disk.power_loss(seed);
        } else {
            self.disk.crash();
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // After a panic nobody knows in what state the connection is.
        if !std::thread::panicking() {
            FREE.set(Some((self.disk.clone(), self.store.clone())));
        }
    }
}

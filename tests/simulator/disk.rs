//! The disk that outlives the daemon's lives: in memory, and it forgets what was not synced when the power goes.

use std::sync::{Arc, Mutex, OnceLock};

use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::Store;

/// One database file.
pub struct Disk {
    disk: lossy_vfs::Disk,
    store: Mutex<Option<Arc<dyn Store>>>,
}

fn open(disk: &lossy_vfs::Disk) -> Arc<dyn Store> {
    let vfs = Some(lossy_vfs::NAME.to_owned());
    let options = Options { inline: true, sole: true, vfs, ..Options::default() };
    SqliteStore::open(disk.path("crossdock.db"), options).unwrap()
}

impl Disk {
    /// A disk with an empty database.
    pub fn new() -> Self {
        static EMPTY: OnceLock<lossy_vfs::Image> = OnceLock::new();
        let image = EMPTY.get_or_init(|| {
            let disk = lossy_vfs::Disk::new();
            drop(open(&disk));
            disk.image()
        });
        Self { disk: lossy_vfs::Disk::from_image(image), store: Mutex::new(None) }
    }

    /// Opens the store for a new life.
    pub fn open(&self) -> Arc<dyn Store> {
        let store = open(&self.disk);
        *self.store.lock().unwrap() = Some(store.clone());
        store
    }

    /// The store of the present life, to look at.
    pub fn reader(&self) -> Arc<dyn Store> {
        self.store.lock().unwrap().clone().unwrap()
    }

    /// The process dies; with `power`, what it had not synced goes as well, or some of it, by `seed`. What the dead
    /// process's connection still writes when it is dropped reaches nothing.
    pub fn crash(&self, power: bool, seed: u64) {
        if power {
            self.disk.power_loss(seed);
        } else {
            self.disk.crash();
        }
        *self.store.lock().unwrap() = None;
    }
}

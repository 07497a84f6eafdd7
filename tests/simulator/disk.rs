//! The disk that outlives the daemon's lives.

use std::sync::{Arc, Mutex};

use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::Store;

/// One database file.
pub struct Disk {
    folder: tempfile::TempDir,
    store: Mutex<Option<Arc<dyn Store>>>,
}

impl Disk {
    /// An empty disk.
    pub fn new(_: u64) -> Self {
        let folder = tempfile::tempdir_in("/dev/shm").unwrap();
        Self { folder, store: Mutex::new(None) }
    }

    /// Opens the store for a new life.
    pub fn open(&self) -> Arc<dyn Store> {
        let options = Options { inline: true, sole: true, ..Options::default() };
        let store: Arc<dyn Store> =
            SqliteStore::open(self.folder.path().join("crossdock.db"), options).unwrap();
        *self.store.lock().unwrap() = Some(store.clone());
        store
    }

    /// The store of the present life, to look at.
    pub fn reader(&self) -> Arc<dyn Store> {
        self.store.lock().unwrap().clone().unwrap()
    }

    /// The process dies.
    pub fn crash(&self, _power: bool, _seed: u64) {
        *self.store.lock().unwrap() = None;
    }
}

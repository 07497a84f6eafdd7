//! A disk in memory for SQLite that forgets what was not synced.
//!
//! A [`Disk`] is a folder of files in this process. What SQLite writes is there for whoever reads it, but stays volatile
//! until `xSync`: [`Disk::power_loss`] takes unsynced writes back, wholly or, by seed, sector by sector, as a machine
//! that loses power does. [`Disk::crash`] ends the process only: what was written stays, and what had the files open
//! finds them gone. [`Disk::cut_after`] takes the power in the middle of things.
//!
//! Files are shared page by page, so that a disk made from an [`Image`] costs almost nothing: thousands of histories can
//! start from one database that was brought to its form once.
//!
//! ```
//! use lossy_vfs::Disk;
//! use rusqlite::{Connection, OpenFlags};
//!
//! let disk = Disk::new();
//! let open = || Connection::open_with_flags_and_vfs(disk.path("x.db"), OpenFlags::default(), lossy_vfs::NAME).unwrap();
//! let db = open();
//! db.execute_batch("PRAGMA synchronous = OFF; CREATE TABLE t (x)").unwrap();
//! disk.power_loss(lossy_vfs::FORGET_ALL);
//! drop(db);
//! assert!(open().prepare("SELECT * FROM t").is_err());
//! ```
//!
//! A package of its own, because talking to SQLite's C interface needs `unsafe`, which the daemon forbids itself.

mod content;
mod disk;
mod vfs;

pub use disk::{Disk, FORGET_ALL, Image, KEEP_ALL};
pub use vfs::NAME;

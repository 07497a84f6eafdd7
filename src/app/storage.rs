//! Which store a config means: opening it for the daemon, and what `crossdock store` does with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::StartError;
use crate::config::model::{Postgres, StoreConfig};
use crate::io::store::postgres::{self, PostgresStore};
use crate::io::store::sqlite::{self, SqliteStore};
use crate::io::store::transfer;
use crate::ports::{Store, StoreError};

pub use crate::io::store::transfer::{Copied, Form};

/// An open store, with what goes along with it.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    /// The key that seals rotating tokens.
    pub(super) key: [u8; 32],
    /// Held as long as the daemon runs, where one process alone may work on the store.
    pub(super) lock: Option<File>,
}

/// Opens the store for the daemon. `queue`: how many offered messages may wait.
pub(super) async fn open(config: &StoreConfig, queue: usize) -> Result<Opened, StartError> {
    match config {
        StoreConfig::Sqlite { path } => {
            let lock = lock(path)?;
            let options = sqlite::Options { queue, sole: true, ..sqlite::Options::default() };
            let failed = |error: StoreError| StartError::Store {
                path: path.display().to_string(),
                error: error.to_string(),
            };
            let store = SqliteStore::open(path, options).map_err(failed)?;
            let key = master_key(&path.with_file_name("crossdock.key"))?;
            Ok(Opened { store, key, lock: Some(lock) })
        }
        StoreConfig::Postgres(config) => {
            let store = PostgresStore::open(postgres_options(config, queue)?).await.map_err(database)?;
            let key = master_key(&config.key)?;
            same_key(store.as_ref(), &key, &config.key).await?;
            Ok(Opened { store, key, lock: None })
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
fn database(error: StoreError) -> StartError {
    StartError::Database(error.to_string())
}

fn postgres_options(config: &Postgres, queue: usize) -> Result<postgres::Options, StartError> {
    let read = |path: &PathBuf| {
        std::fs::read(path).map_err(|error| {
            StartError::Database(format!("the authorities (`ca`): {}: {error}", path.display()))
        })
    };
    Ok(postgres::Options {
        ca: config.ca.as_ref().map(read).transpose()?,
        pool: config.pool,
        connect_timeout: config.connect_timeout,
        statement_timeout: config.statement_timeout,
        queue,
        migrate: config.migrate,
        ..postgres::Options::new(config.url.clone())
    })
}

/// Takes the store for this process alone: the lock goes with the process, however it ends. So whatever leases an earlier
/// process held are nobody's by now.
fn lock(database: &Path) -> Result<File, StartError> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let failed = |error: std::io::Error| StartError::Store {
        path: database.display().to_string(),
        error: error.to_string(),
    };
    let file = File::options().create(true).truncate(false).write(true).open(path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            Err(StartError::InUse { path: database.display().to_string() })
        }
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// The key that encrypts rotating tokens at rest: 32 bytes in a file, made at the first start and readable by its owner
/// alone. Of several nodes that start at once beside one file, one makes it and all read it.
fn master_key(path: &Path) -> Result<[u8; 32], StartError> {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;

    let failed = |error| StartError::Key { path: path.display().to_string(), error };
    let mut key = [0_u8; 32];
    if !path.exists() {
        rand::fill(&mut key[..]);
        let mut whole = path.as_os_str().to_owned();
        whole.push(format!(".{}", std::process::id()));
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&whole)
            .map_err(failed)?;
        file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
        let linked = std::fs::hard_link(&whole, path);
        std::fs::remove_file(&whole).map_err(failed)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(error)),
            _ => {}
        }
    }
    File::open(path).and_then(|mut file| file.read_exact(&mut key)).map_err(failed)?;
    Ok(key)
}

/// Sees to it that all nodes on one database have the same key.
async fn same_key(store: &dyn Store, key: &[u8; 32], path: &Path) -> Result<(), StartError> {
    let print = hex::encode(&Sha256::digest([&b"crossdock key "[..], key].concat())[..8]);
    let print = serde_json::Value::String(print);
    let known = async {
        if store.put("seal", "key", print.clone(), Some(None)).await? {
            return Ok(true);
        }
        Ok::<bool, StoreError>(store.get("seal", "key").await?.as_ref() == Some(&print))
    };
    if known.await.map_err(database)? {
        return Ok(());
    }
    Err(StartError::OtherKey { path: path.display().to_string() })
}

// ------------------------------------------------------------------------------------------------ `crossdock store …`

/// Which form the store has, and which it would have after [`migrate`].
///
/// # Errors
/// When it cannot be reached.
pub async fn form(config: &StoreConfig) -> Result<Form, StartError> {
    match config {
        StoreConfig::Sqlite { path } => transfer::sqlite_form(path).map_err(database),
        StoreConfig::Postgres(config) => {
            transfer::postgres_form(&postgres_options(config, 1)?).await.map_err(database)
        }
    }
}

/// Brings the store to the newest form.
///
/// # Errors
/// When it cannot be reached, or a daemon works on the file.
pub async fn migrate(config: &StoreConfig) -> Result<Form, StartError> {
    let before = form(config).await?;
    match config {
        StoreConfig::Sqlite { path } => {
            let _lock = lock(path)?;
            SqliteStore::open(path, sqlite::Options::default())
                .map_err(database)?
                .close()
                .await
                .map_err(database)?;
        }
        StoreConfig::Postgres(config) => {
            let options = postgres::Options { migrate: true, ..postgres_options(config, 1)? };
            PostgresStore::open(options).await.map_err(database)?.close().await.map_err(database)?;
        }
    }
    Ok(before)
}

/// Opens the store to look at it. A file must not be in use.
///
/// # Errors
/// When it cannot be reached.
pub async fn look(config: &StoreConfig) -> Result<Arc<dyn Store>, StartError> {
    match config {
        StoreConfig::Sqlite { path } => {
            if !path.is_file() {
                return Err(StartError::Store {
                    path: path.display().to_string(),
                    error: "there is no such file yet".to_owned(),
                });
            }
            Ok(SqliteStore::open(path, sqlite::Options::default()).map_err(database)?)
        }
        StoreConfig::Postgres(config) => {
            let options = postgres::Options { migrate: false, pool: 4, ..postgres_options(config, 1)? };
            Ok(PostgresStore::open(options).await.map_err(database)?)
        }
    }
}

/// Copies everything into a new SQLite file.
///
/// # Errors
/// When the file is there already, or the store cannot be read.
pub async fn export(config: &StoreConfig, to: &Path) -> Result<Vec<Copied>, StartError> {
    if to.exists() {
        return Err(StartError::Store {
            path: to.display().to_string(),
            error: "it is there already".to_owned(),
        });
    }
    match config {
        StoreConfig::Sqlite { path } => transfer::copy_file(path, to).await.map_err(database),
        StoreConfig::Postgres(config) => {
            transfer::to_file(&postgres_options(config, 1)?, to).await.map_err(database)
        }
    }
}

/// Copies everything of an SQLite file into the configured store, which must be empty. No daemon may work on the file:
/// what it would do afterwards would be lost.
///
/// # Errors
/// When the file is in use or no store, or the target is not empty.
pub async fn import(config: &StoreConfig, from: &Path) -> Result<Vec<Copied>, StartError> {
    if !from.is_file() {
        return Err(StartError::Store {
            path: from.display().to_string(),
            error: "there is no such file".to_owned(),
        });
    }
    let _lock = lock(from)?;
    match config {
        StoreConfig::Sqlite { path } if path.exists() => Err(StartError::Store {
            path: path.display().to_string(),
            error: "it is there already; name another `path`, or move it away".to_owned(),
        }),
        StoreConfig::Sqlite { path } => transfer::copy_file(from, path).await.map_err(database),
        StoreConfig::Postgres(config) => {
            transfer::from_file(from, &postgres_options(config, 1)?).await.map_err(database)
        }
    }
}

//! Opening a database file: settings of a connection, migrations.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::codec::{Fault, run, statements};

mod embedded {
    refinery::embed_migrations!("src/io/store/sqlite/migrations");
}

/// How long one connection waits for another.
const BUSY: Duration = Duration::from_secs(10);
/// Statements that a connection keeps prepared: more than there are.
const PREPARED: usize = 256;

statements! {
    END_LEASES = "UPDATE lease SET until = 0";
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Writes; checkpoints are made elsewhere.
    Writer,
    /// Reads alone.
    Reader,
    /// Moves pages from the log to the file.
    Keeper,
    /// Everything on one connection.
    Only,
}

/// A connection to the file, set up for its role.
pub(super) fn connect(path: &Path, vfs: Option<&str>, role: Role) -> Result<Connection, Fault> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags |= match role {
        Role::Reader => OpenFlags::SQLITE_OPEN_READ_ONLY,
        _ => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
    };
    let db = match vfs {
        Some(name) => Connection::open_with_flags_and_vfs(path, flags, name)?,
        None => Connection::open_with_flags(path, flags)?,
    };
    db.set_prepared_statement_cache_capacity(PREPARED);
    // Plans do not depend on what is bound. Otherwise each statement with a bound limit, or one bound beside an index, is
    // prepared anew whenever another value is bound: the most of what such a statement costs.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    db.busy_timeout(BUSY)?;
    if role != Role::Reader {
        // In WAL the same as FULL. Before the switch to WAL it also syncs the removal of the rollback journal, which would
        // otherwise come back after a power loss and undo the switch, and all of the log with it.
        db.pragma_update(None, "synchronous", "EXTRA")?;
        let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        if mode != "wal" {
            return Err(Fault::Unreadable(format!("the journal mode is {mode}, not wal")));
        }
        // What was erased must not stay in free pages.
        db.pragma_update(None, "secure_delete", "ON")?;
    }
    match role {
        Role::Writer => db.pragma_update(None, "wal_autocheckpoint", 0)?,
        Role::Reader => db.pragma_update(None, "query_only", "ON")?,
        Role::Keeper | Role::Only => {}
    }
    db.pragma_update(None, "cache_size", if role == Role::Writer { -65_536 } else { -16_384 })?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    Ok(db)
}

/// Brings the file to the newest form. A file that is newer than this program is refused.
pub(super) fn migrate(db: &mut Connection) -> Result<(), Fault> {
    // Grouped: otherwise a migration and the note that it was made are two transactions, and a crash between them leaves
    // a file that cannot be opened any more.
    let runner = embedded::migrations::runner().set_grouped(true);
    let newest = runner.get_migrations().iter().map(refinery::Migration::version).max().unwrap_or(0);
    let newest = i64::from(newest);
    let present: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if present > newest {
        return Err(Fault::Unreadable(format!(
            "the file has form {present}, and this program knows forms up to {newest}: it was written by a newer one"
        )));
    }
    if present < newest {
        runner.run(db).map_err(|error| Fault::Unreadable(format!("migration: {error}")))?;
        db.pragma_update(None, "user_version", newest)?;
    }
    Ok(())
}

/// Ends the leases of an earlier process, when it is known (`sole`) that it is no more. Epochs stay: what it had in
/// flight is unknown to the next owner.
pub(super) fn end_leases(db: &Connection, sole: bool) -> Result<(), Fault> {
    if sole {
        run(db, END_LEASES, [])?;
    }
    Ok(())
}

/// Brings an empty file to an earlier form, as an earlier program would have.
#[cfg(test)]
pub(super) fn to_form(db: &mut Connection, form: i64) -> Result<(), Fault> {
    let target = refinery::Target::Version(i32::try_from(form).unwrap_or(i32::MAX));
    let runner = embedded::migrations::runner().set_grouped(true).set_target(target);
    runner.run(db).map_err(|error| Fault::Unreadable(format!("migration: {error}")))?;
    Ok(db.pragma_update(None, "user_version", form)?)
}

/// The newest form that this program knows.
pub(super) fn newest() -> i64 {
    let runner = embedded::migrations::runner();
    runner.get_migrations().iter().map(|one| i64::from(one.version())).max().unwrap_or(0)
}

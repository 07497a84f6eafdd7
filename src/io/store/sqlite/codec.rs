//! How values stand in columns, and what can go wrong with them.

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Params, Row};

use crate::canonical::{Class, IntentState};
use crate::io::store::form::{self, Unreadable};
pub(super) use crate::io::store::form::{
    class_in, count, instant, intent_in, kind_in, message_in, message_word, nanos, number, origin_in, pack,
    pack_json, text, unpack, unpack_json,
};
use crate::ports::{MessageState, Origin, StoreError};

/// Why a piece of work failed inside the store.
#[derive(Debug)]
pub(super) enum Fault {
    Sql(rusqlite::Error),
    Unreadable(String),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}
impl From<Unreadable> for Fault {
    fn from(Unreadable(why): Unreadable) -> Self {
        Self::Unreadable(why)
    }
}
impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}
impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Unreadable(why) => Self::Corrupt(why),
            Fault::Sql(error) => match error {
                rusqlite::Error::FromSqlConversionFailure(..)
                | rusqlite::Error::IntegralValueOutOfRange(..)
                | rusqlite::Error::InvalidColumnType(..)
                | rusqlite::Error::Utf8Error(..) => Self::Corrupt(error.to_string()),
                _ => match error.sqlite_error_code() {
                    Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                        Self::Corrupt(error.to_string())
                    }
                    _ => Self::Unavailable(error.to_string()),
                },
            },
        }
    }
}

/// Declares SQL statements as constants, and the list of them for the test that prepares each.
macro_rules! statements {
    ($( $(#[$meta:meta])* $name:ident = $sql:expr; )*) => {
        $( $(#[$meta])* const $name: &str = $sql; )*
        /// All statements of this file.
        #[cfg(test)]
        pub(super) const STATEMENTS: &[&str] = &[$($name),*];
    };
}
pub(super) use statements;

statements! {
    OPEN = "BEGIN";
    CLOSE = "ROLLBACK";
}

/// Runs a statement that changes rows; gives how many.
pub(super) fn run(db: &Connection, sql: &str, params: impl Params) -> Result<usize, Fault> {
    Ok(db.prepare_cached(sql)?.execute(params)?)
}

/// The first row, if any.
pub(super) fn first<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Option<T>, Fault> {
    Ok(db.prepare_cached(sql)?.query_row(params, read).optional()?)
}

/// All rows.
pub(super) fn rows<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnMut(&Row<'_>) -> Result<T, rusqlite::Error>,
) -> Result<Vec<T>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let found = statement.query_map(params, read)?;
    Ok(found.collect::<Result<Vec<T>, _>>()?)
}

/// All rows, read by a function that may find them unreadable.
pub(super) fn records<T>(
    db: &Connection,
    sql: &str,
    params: impl Params,
    mut read: impl FnMut(&Row<'_>) -> Result<T, Fault>,
) -> Result<Vec<T>, Fault> {
    let mut statement = db.prepare_cached(sql)?;
    let mut found = statement.query(params)?;
    let mut out = Vec::new();
    while let Some(row) = found.next()? {
        out.push(read(row)?);
    }
    Ok(out)
}

/// Reads under one snapshot.
pub(super) fn snapshot<T>(
    db: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Fault>,
) -> Result<T, Fault> {
    if !db.is_autocommit() {
        return work(db);
    }
    run(db, OPEN, [])?;
    let opened = Snapshot(db);
    work(opened.0)
}

/// A transaction that reads: it ends with this.
struct Snapshot<'a>(&'a Connection);

impl Drop for Snapshot<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit() {
            // When even this fails, the next statement that matters will say so.
            let _failed = run(self.0, CLOSE, []);
        }
    }
}

/// Sixteen bytes of a key column.
pub(super) fn key(row: &Row<'_>, column: usize) -> Result<[u8; 16], rusqlite::Error> {
    row.get::<_, [u8; 16]>(column)
}

/// What a column of a state had.
macro_rules! column {
    ($($from:ident: $type:ty;)*) => {$(
        /// What the column had.
        pub(super) fn $from(number: i16) -> Result<$type, rusqlite::Error> {
            form::$from(number).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, i64::from(number)))
        }
    )*};
}
column! {
    origin_out: Origin;
    message_out: MessageState;
    intent_out: IntentState;
    class_out: Class;
}

//! How values go to PostgreSQL and come back, and what can go wrong on the way.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{FromSql, ToSql};
use tokio_postgres::{Error, Row};

use crate::io::store::form::Unreadable;
use crate::ports::StoreError;

/// A value of a statement.
pub(super) type Param = Box<dyn ToSql + Sync + Send>;

/// A value as a statement takes it.
pub(super) fn param(value: impl ToSql + Sync + Send + 'static) -> Param {
    Box::new(value)
}

/// The values of a statement, in order.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::io::store::postgres::codec::param($value)),*] };
}
pub(super) use values;

/// Declares SQL statements as constants, and the list of them for the test that prepares each.
macro_rules! statements {
    ($( $(#[$meta:meta])* $name:ident = $sql:expr; )*) => {
        $( $(#[$meta])* const $name: &str = $sql; )*
        /// All statements of this file.
        #[cfg(test)]
        pub(in crate::io::store::postgres) const STATEMENTS: &[&str] = &[$($name),*];
    };
}
pub(super) use statements;

/// Declares rows of a statement, kept by column.
macro_rules! rows {
    ($name:ident { $($column:ident: $type:ty),* $(,)? }) => {
        #[derive(Default)]
        struct $name { $($column: Vec<$type>),* }
        impl $name {
            fn values(self) -> Vec<$crate::io::store::postgres::codec::Param> {
                $crate::io::store::postgres::codec::values![$(self.$column),*]
            }
        }
    };
}
pub(super) use rows;

/// Why a piece of work failed inside the store.
#[derive(Debug)]
pub(super) enum Fault {
    /// The database said so, or the connection broke.
    Sql(Error),
    /// There is no connection, or no answer in time.
    Away(String),
    /// Another transaction came first: all of the work is to be done again.
    Overtaken,
    /// What is stored cannot be read.
    Unreadable(String),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
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
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(error) => f.write_str(&words(error)),
            Self::Away(why) | Self::Unreadable(why) => f.write_str(why),
            Self::Overtaken => f.write_str("other transactions came first, again and again"),
        }
    }
}

impl Fault {
    fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Sql(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the same work may well succeed when it is done again at once.
    pub(super) fn again(&self) -> bool {
        matches!(self, Self::Overtaken)
            || self.code().is_some_and(|code| {
                [
                    SqlState::T_R_SERIALIZATION_FAILURE,
                    SqlState::T_R_DEADLOCK_DETECTED,
                    SqlState::LOCK_NOT_AVAILABLE,
                ]
                .contains(code)
            })
    }

    /// Whether there is no database to work with now.
    pub(super) fn away(&self) -> bool {
        match self {
            Self::Away(_) => true,
            Self::Sql(error) => match error.code() {
                None => error.is_closed() || std::error::Error::source(error).is_some_and(network),
                Some(code) => {
                    code.code().starts_with("08")
                        || [
                            SqlState::ADMIN_SHUTDOWN,
                            SqlState::CRASH_SHUTDOWN,
                            SqlState::CANNOT_CONNECT_NOW,
                            SqlState::TOO_MANY_CONNECTIONS,
                            SqlState::READ_ONLY_SQL_TRANSACTION,
                            SqlState::IDLE_IN_TRANSACTION_SESSION_TIMEOUT,
                        ]
                        .contains(code)
                }
            },
            Self::Overtaken | Self::Unreadable(_) => false,
        }
    }
}

fn network(source: &(dyn std::error::Error + 'static)) -> bool {
    source.is::<std::io::Error>()
}

/// What an error says, with its causes; never a password.
pub(in crate::io::store) fn words(error: &Error) -> String {
    if let Some(db) = error.as_db_error() {
        return format!("{} ({})", db.message(), db.code().code());
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// The value of a column.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, Fault> {
    row.try_get(column).map_err(|error| Fault::Unreadable(words(&error)))
}

/// A number that fits into a smaller type.
pub(super) fn small<T: TryFrom<i64>>(row: &Row, column: usize) -> Result<T, Fault> {
    let number: i64 = get(row, column)?;
    T::try_from(number).map_err(|_| Fault::Unreadable(format!("column {column} has {number}")))
}

/// Sixteen bytes of a key column.
pub(super) fn id(row: &Row, column: usize) -> Result<[u8; 16], Fault> {
    let bytes: &[u8] = get(row, column)?;
    bytes
        .try_into()
        .map_err(|_| Fault::Unreadable(format!("column {column} has {} bytes, not 16", bytes.len())))
}

/// An enum of a column.
pub(super) fn word<T>(row: &Row, column: usize, read: fn(i16) -> Option<T>) -> Result<T, Fault> {
    let number: i16 = get(row, column)?;
    read(number).ok_or_else(|| Fault::Unreadable(format!("column {column} has {number}")))
}

/// A text as PostgreSQL can hold it: it has no character 0.
pub(in crate::io::store) fn clean(text: &str) -> String {
    if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text.to_owned() }
}

/// Longest text, in bytes, that goes into an index as it is.
const LONG: usize = 600;

/// A text as it goes into an index, which takes no more than 2704 bytes: a very long one is cut, and stays unique.
pub(in crate::io::store) fn key(text: &str) -> String {
    let text: Cow<'_, str> =
        if text.contains('\0') { text.replace('\0', "\u{fffd}").into() } else { text.into() };
    if text.len() <= LONG {
        return text.into_owned();
    }
    let mut end = LONG - 64;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…{}", &text[..end], hex::encode(&Sha256::digest(text.as_bytes())[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_fit_an_index_and_stay_apart() {
        assert_eq!(key("TEA-1"), "TEA-1");
        assert_eq!(key("a\0b"), "a\u{fffd}b");
        let (one, other) = ("ä".repeat(5000) + "1", "ä".repeat(5000) + "2");
        assert!(key(&one).len() <= LONG);
        assert_ne!(key(&one), key(&other));
        assert_eq!(key(&one), key(&key(&one)));
    }

    #[test]
    fn faults_are_told_apart() {
        assert!(Fault::Away(String::new()).away());
        assert!(Fault::Overtaken.again() && !Fault::Overtaken.away());
        assert!(matches!(StoreError::from(Fault::Overtaken), StoreError::Unavailable(_)));
        assert!(matches!(StoreError::from(Fault::Unreadable("x".into())), StoreError::Corrupt(_)));
    }
}

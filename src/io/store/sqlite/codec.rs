//! How values stand in columns, and what can go wrong with them.

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Params, Row, Transaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::canonical::{Class, EntityKind, IntentState};
use crate::ports::{MessageState, Origin, StoreError};

/// Texts shorter than this are not worth compressing.
const PACK_FROM: usize = 256;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;

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
    let transaction = Transaction::new_unchecked(db, rusqlite::TransactionBehavior::Deferred)?;
    let out = work(&transaction)?;
    transaction.commit()?;
    Ok(out)
}

/// An instant as nanoseconds; what lies outside the years 1677 to 2262 is moved to their edge.
pub(super) fn nanos(at: Timestamp) -> i64 {
    let value = at.as_nanosecond();
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

/// The instant of a column.
pub(super) fn instant(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(i128::from(nanos)).unwrap_or_default()
}

/// A count as SQL has it.
pub(super) fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A count as SQL had it.
pub(super) fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

/// Sixteen bytes of a key column.
pub(super) fn key(row: &Row<'_>, column: usize) -> Result<[u8; 16], rusqlite::Error> {
    row.get::<_, [u8; 16]>(column)
}

/// Text or bytes as they are stored: one byte for the form, then plain or compressed.
pub(super) fn pack(plain: &[u8]) -> Vec<u8> {
    if plain.len() >= PACK_FROM {
        let packed = lz4_flex::compress_prepend_size(plain);
        if packed.len() < plain.len() {
            return [&[LZ4], packed.as_slice()].concat();
        }
    }
    [&[PLAIN], plain].concat()
}

/// What [`pack`] packed.
pub(super) fn unpack(stored: &[u8]) -> Result<Vec<u8>, Fault> {
    match stored.split_first() {
        Some((&PLAIN, plain)) => Ok(plain.to_vec()),
        Some((&LZ4, packed)) => lz4_flex::decompress_size_prepended(packed)
            .map_err(|error| Fault::Unreadable(format!("compressed data: {error}"))),
        Some((form, _)) => Err(Fault::Unreadable(format!("packed data of form {form}"))),
        None => Err(Fault::Unreadable("packed data without a form".to_owned())),
    }
}

/// JSON, packed.
pub(super) fn pack_json(value: &impl Serialize) -> Result<Vec<u8>, Fault> {
    Ok(pack(&serde_json::to_vec(value)?))
}

/// What [`pack_json`] packed.
pub(super) fn unpack_json<T: DeserializeOwned>(stored: &[u8]) -> Result<T, Fault> {
    Ok(serde_json::from_slice(&unpack(stored)?)?)
}

/// JSON text.
pub(super) fn text(value: &impl Serialize) -> Result<String, Fault> {
    Ok(serde_json::to_string(value)?)
}

/// Puts `part` into `whole`, object by object; where both have a value that is no object, `part` wins.
pub(super) fn merge(whole: &mut Value, part: Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                merge(whole.entry(name).or_insert(Value::Null), value);
            }
        }
        (_, Value::Null) => {}
        (whole, part) => *whole = part,
    }
}

/// Declares how the words of an enum stand in a column.
macro_rules! column {
    ($to:ident, $from:ident, $type:ty, { $($value:path = $number:literal),* $(,)? }) => {
        /// As the column has it.
        pub(super) fn $to(value: $type) -> i64 {
            match value { $($value => $number),* }
        }
        /// What the column had.
        pub(super) fn $from(number: i64) -> Result<$type, rusqlite::Error> {
            match number {
                $($number => Ok($value),)*
                _ => Err(rusqlite::Error::IntegralValueOutOfRange(0, number)),
            }
        }
    };
}
column!(origin_in, origin_out, Origin, {
    Origin::Webhook = 0, Origin::Poll = 1, Origin::Answer = 2, Origin::File = 3, Origin::Fact = 4,
});
column!(message_in, message_out, MessageState, {
    MessageState::Pending = 0, MessageState::Done = 1, MessageState::Excepted = 2,
});
column!(intent_in, intent_out, IntentState, {
    IntentState::Pending = 0, IntentState::Retry = 1, IntentState::Unknown = 2, IntentState::InFlight = 3,
    IntentState::Done = 4, IntentState::Rejected = 5, IntentState::Stuck = 6, IntentState::Withdrawn = 7,
});
column!(class_in, class_out, Class, {
    Class::Cancel = 0, Class::Money = 1, Class::Tracking = 2, Class::Order = 3, Class::Stock = 4,
});
/// As the column has it.
pub(super) fn kind_in(kind: EntityKind) -> i64 {
    match kind {
        EntityKind::Order => 0,
        EntityKind::Stock => 1,
    }
}

/// The word of a message's state, for counts.
pub(super) fn message_word(state: MessageState) -> &'static str {
    match state {
        MessageState::Pending => "pending",
        MessageState::Done => "done",
        MessageState::Excepted => "excepted",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn packed_data_comes_back() {
        for length in [0, 1, PACK_FROM - 1, PACK_FROM, 10_000] {
            let plain = b"abc".iter().copied().cycle().take(length).collect::<Vec<u8>>();
            let stored = pack(&plain);
            assert_eq!(unpack(&stored).unwrap(), plain);
            assert!(stored.len() <= plain.len() + 1);
        }
        assert!(unpack(b"").is_err());
        assert!(unpack(b"\x07x").is_err());
        assert!(unpack(b"\x01\xff\xff\xff\x0fzz").is_err());
    }

    #[test]
    fn merge_goes_into_objects() {
        let mut whole = json!({ "a": 1, "contact": { "email": null } });
        merge(&mut whole, json!({ "contact": { "email": "x@example.com", "phone": null } }));
        assert_eq!(whole, json!({ "a": 1, "contact": { "email": "x@example.com", "phone": null } }));
    }

    #[test]
    fn instants_keep_their_nanoseconds() {
        let at: Timestamp = "2026-03-01T12:00:00.123456789Z".parse().unwrap();
        assert_eq!(instant(nanos(at)), at);
        assert_eq!(nanos(Timestamp::MAX), i64::MAX);
    }
}

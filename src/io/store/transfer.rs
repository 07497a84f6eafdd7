//! Moving a whole store: into an SQLite file, and out of one. Tables and columns have the same names in both, so that a
//! table is copied as it stands; what the file says is there, the database must have.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::types::Value as Cell;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row};

use super::form::nanos;
use super::{postgres, sqlite};
use crate::ports::{Event, StoreError};

/// Rows that are copied at a time.
const ROWS: usize = 1000;
/// Rows of many events each at a time.
const BUNDLES: usize = 10;
/// Sequences of the database, and whose numbers they give out.
const SEQUENCES: &[(&str, &str, &str)] = &[
    ("message_id", "message", "id"),
    ("entity_num", "entity", "num"),
    ("fact_n", "fact", "n"),
    ("waiting_n", "waiting", "n"),
    ("intent_n", "intent", "n"),
    ("exception_id", "exception", "id"),
    ("event_ordinal", "event", "ordinal"),
];

/// How many rows of a table were copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// The table.
    pub table: String,
    /// How many.
    pub rows: u64,
}

/// Which form a store has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// Where it is, without a password.
    pub place: String,
    /// What it has; 0 when it is empty.
    pub present: i64,
    /// What this program would bring it to.
    pub newest: i64,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn sql(error: &tokio_postgres::Error) -> StoreError {
    failed(postgres::words(error))
}

/// The form of a file.
///
/// # Errors
/// When it cannot be read.
pub fn sqlite_form(path: &Path) -> Result<Form, StoreError> {
    let present = if path.is_file() {
        let db = Connection::open(path).map_err(failed)?;
        db.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(failed)?
    } else {
        0
    };
    Ok(Form { place: path.display().to_string(), present, newest: sqlite::newest_form() })
}

/// The form of a database.
///
/// # Errors
/// When it cannot be reached.
pub async fn postgres_form(options: &postgres::Options) -> Result<Form, StoreError> {
    let (client, place) = postgres::single(options).await?;
    let present = postgres::form(&client).await?;
    Ok(Form { place, present: present.into(), newest: postgres::newest_form().into() })
}

/// Copies a file as it stands at one moment, even while it is in use.
///
/// # Errors
/// When one cannot be read or the other not be written.
pub async fn copy_file(from: &Path, to: &Path) -> Result<Vec<Copied>, StoreError> {
    let (from, to) = (from.to_owned(), to.to_owned());
    let copy = move || {
        let db = Connection::open(&from).map_err(failed)?;
        db.execute("VACUUM INTO ?1", [to.to_string_lossy()]).map_err(failed)?;
        sqlite::make_private(&to)?;
        tables(&db)?
            .into_keys()
            .map(|table| {
                let rows: i64 = db
                    .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
                    .map_err(failed)?;
                Ok(Copied { table, rows: u64::try_from(rows).unwrap_or_default() })
            })
            .collect()
    };
    tokio::task::spawn_blocking(copy).await.map_err(failed)?
}

/// The tables of a file, and their columns.
fn tables(db: &Connection) -> Result<BTreeMap<String, Vec<String>>, StoreError> {
    let read = || {
        let mut names = db.prepare(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'refinery%'",
        )?;
        let names: Vec<String> = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        let mut out = BTreeMap::new();
        for name in names {
            let mut columns = db.prepare("SELECT name FROM pragma_table_info(?1) ORDER BY cid")?;
            let columns = columns.query_map([&name], |row| row.get(0))?.collect::<Result<_, _>>()?;
            out.insert(name, columns);
        }
        Ok::<_, rusqlite::Error>(out)
    };
    read().map_err(failed)
}

/// What a column of the database takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Big,
    Small,
    Text,
    /// A text that is compared: it goes into indexes.
    Key,
    Bytes,
}

impl Kind {
    fn array(self) -> &'static str {
        match self {
            Self::Big => "int8[]",
            Self::Small => "int2[]",
            Self::Text | Self::Key => "text[]",
            Self::Bytes => "bytea[]",
        }
    }
}

/// The columns of a table of the database, in the order of the file's.
async fn kinds(client: &Client, table: &str, columns: &[String]) -> Result<Vec<Kind>, StoreError> {
    let rows = client
        .query(
            "SELECT column_name::text, udt_name::text, collation_name::text FROM information_schema.columns
                WHERE table_schema = current_schema() AND table_name = $1",
            &[&table],
        )
        .await
        .map_err(|error| sql(&error))?;
    let mut known = BTreeMap::new();
    for row in rows {
        let (name, kind, collation): (String, String, Option<String>) = (row.get(0), row.get(1), row.get(2));
        let kind = match (kind.as_str(), collation) {
            ("int8", _) => Kind::Big,
            ("int2", _) => Kind::Small,
            ("bytea", _) => Kind::Bytes,
            ("text", Some(_)) => Kind::Key,
            _ => Kind::Text,
        };
        known.insert(name, kind);
    }
    let kind = |column: &String| {
        known.get(column).copied().ok_or_else(|| {
            StoreError::Corrupt(format!(
                "the database has no column `{column}` in `{table}`: bring both to one form"
            ))
        })
    };
    columns.iter().map(kind).collect()
}

// --------------------------------------------------------------------------------------------------- into the database

/// Copies everything of a file into an empty database, all or nothing.
///
/// # Errors
/// When the database is not empty, or one of them cannot be used.
pub async fn from_file(from: &Path, options: &postgres::Options) -> Result<Vec<Copied>, StoreError> {
    // Both in the newest form; the file's leases are nobody's.
    let sole = sqlite::Options { sole: true, ..sqlite::Options::default() };
    crate::ports::Store::close(sqlite::SqliteStore::open(from, sole)?.as_ref()).await?;
    let options = postgres::Options { migrate: true, ..options.clone() };
    crate::ports::Store::close(postgres::PostgresStore::open(options.clone()).await?.as_ref()).await?;

    let (mut client, place) = postgres::single(&options).await?;
    let (batches, mut incoming) = tokio::sync::mpsc::channel(4);
    let path = from.to_owned();
    let reading = tokio::task::spawn_blocking(move || read_file(&path, &batches));
    let transaction = client.transaction().await.map_err(|error| sql(&error))?;
    for table in ["message", "entity", "intent", "cursor", "lease", "waiting"] {
        let found = transaction.query_opt(&format!("SELECT 1 FROM {table} LIMIT 1"), &[]).await;
        if found.map_err(|error| sql(&error))?.is_some() {
            return Err(StoreError::Corrupt(format!(
                "{place}: it is not empty (`{table}`); expected a new database"
            )));
        }
    }
    transaction.batch_execute("DELETE FROM kept; DELETE FROM tally").await.map_err(|error| sql(&error))?;
    let mut copied: Vec<Copied> = Vec::new();
    let mut known: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
    while let Some(Read { table, columns, rows }) = incoming.recv().await {
        if !known.contains_key(&table) {
            known.insert(table.clone(), kinds(transaction.client(), &table, &columns).await?);
            copied.push(Copied { table: table.clone(), rows: 0 });
        }
        let kinds = known.get(&table).map(Vec::as_slice).unwrap_or_default();
        let many = u64::try_from(rows.len()).unwrap_or_default();
        insert(&transaction, &table, &columns, kinds, rows).await?;
        if let Some(last) = copied.last_mut() {
            last.rows += many;
        }
    }
    let ordinals = reading.await.map_err(failed)??;
    for (sequence, table, column) in SEQUENCES {
        // A number is never given out twice, even when its row has gone.
        let least = ordinals.get(*table).copied().unwrap_or(0);
        let next =
            format!("SELECT setval('{sequence}', greatest({least}, (SELECT max({column}) FROM {table}), 1))");
        transaction.batch_execute(&next).await.map_err(|error| sql(&error))?;
    }
    transaction.commit().await.map_err(|error| sql(&error))?;
    client.batch_execute("ANALYZE").await.map_err(|error| sql(&error))?;
    Ok(copied)
}

/// Rows of a table of the file.
struct Read {
    table: String,
    columns: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

/// Reads all tables under one snapshot; gives the largest numbers that were ever given out.
fn read_file(
    path: &Path,
    batches: &tokio::sync::mpsc::Sender<Read>,
) -> Result<BTreeMap<String, i64>, StoreError> {
    let db = Connection::open(path).map_err(failed)?;
    db.execute_batch("BEGIN").map_err(failed)?;
    for (table, columns) in tables(&db)? {
        let mut statement =
            db.prepare(&format!("SELECT {} FROM {table}", quoted(&columns))).map_err(failed)?;
        let mut found = statement.query([]).map_err(failed)?;
        let mut rows = Vec::new();
        loop {
            let row = found.next().map_err(failed)?;
            let last = row.is_none();
            if let Some(row) = row {
                let cells = (0..columns.len()).map(|at| row.get::<_, Cell>(at)).collect::<Result<_, _>>();
                rows.push(cells.map_err(failed)?);
            }
            if rows.len() >= ROWS || last {
                let rows = std::mem::take(&mut rows);
                let read = Read { table: table.clone(), columns: columns.clone(), rows };
                batches.blocking_send(read).map_err(|_| failed("the database did not take it"))?;
            }
            if last {
                break;
            }
        }
    }
    let mut given = db.prepare("SELECT name, seq FROM sqlite_sequence").map_err(failed)?;
    let given = given.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
    given.collect::<Result<_, _>>().map_err(failed)
}

fn quoted(columns: &[String]) -> String {
    columns.iter().map(|column| format!("\"{column}\"")).collect::<Vec<_>>().join(", ")
}

async fn insert(
    transaction: &tokio_postgres::Transaction<'_>,
    table: &str,
    columns: &[String],
    kinds: &[Kind],
    rows: Vec<Vec<Cell>>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let arrays: Vec<String> =
        kinds.iter().enumerate().map(|(at, kind)| format!("${}::{}", at + 1, kind.array())).collect();
    let statement =
        format!("INSERT INTO {table} ({}) SELECT * FROM unnest({})", quoted(columns), arrays.join(", "));
    let mut by_column: Vec<Vec<Cell>> = columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, cell) in by_column.iter_mut().zip(row) {
            column.push(cell);
        }
    }
    let wrong = |at: usize| {
        let name = columns.get(at).map(String::as_str).unwrap_or_default();
        StoreError::Corrupt(format!("`{table}.{name}` of the file holds something of another type"))
    };
    let mut values: Vec<Box<dyn ToSql + Sync + Send>> = Vec::with_capacity(kinds.len());
    for (at, (kind, cells)) in kinds.iter().zip(by_column).enumerate() {
        values.push(column(*kind, cells).ok_or_else(|| wrong(at))?);
    }
    let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(postgres::as_sql).collect();
    transaction.execute(&statement, &values).await.map_err(|error| sql(&error))?;
    Ok(())
}

/// Cells as an array of the database.
fn column(kind: Kind, cells: Vec<Cell>) -> Option<Box<dyn ToSql + Sync + Send>> {
    fn all<T>(cells: Vec<Cell>, read: impl Fn(Cell) -> Option<T>) -> Option<Vec<Option<T>>> {
        cells
            .into_iter()
            .map(|cell| if cell == Cell::Null { Some(None) } else { read(cell).map(Some) })
            .collect()
    }
    Some(match kind {
        Kind::Big => Box::new(all(cells, |cell| match cell {
            Cell::Integer(number) => Some(number),
            _ => None,
        })?),
        Kind::Small => Box::new(all(cells, |cell| match cell {
            Cell::Integer(number) => i16::try_from(number).ok(),
            _ => None,
        })?),
        Kind::Text => Box::new(all(cells, |cell| match cell {
            Cell::Text(text) => Some(postgres::clean(&text)),
            _ => None,
        })?),
        Kind::Key => Box::new(all(cells, |cell| match cell {
            Cell::Text(text) => Some(postgres::key(&text)),
            _ => None,
        })?),
        Kind::Bytes => Box::new(all(cells, |cell| match cell {
            Cell::Blob(bytes) => Some(bytes),
            _ => None,
        })?),
    })
}

// --------------------------------------------------------------------------------------------------- out of the database

/// Copies everything of a database, as it stands at one moment, into a new file.
///
/// # Errors
/// When one of them cannot be used.
pub async fn to_file(options: &postgres::Options, to: &Path) -> Result<Vec<Copied>, StoreError> {
    let form = postgres_form(options).await?;
    if form.present != form.newest {
        return Err(StoreError::Corrupt(format!(
            "{}: the database has form {}, and this program reads form {}: run `crossdock store migrate`",
            form.place, form.present, form.newest
        )));
    }
    crate::ports::Store::close(sqlite::SqliteStore::open(to, sqlite::Options::default())?.as_ref()).await?;
    let (mut client, _) = postgres::single(options).await?;
    let (batches, incoming) = tokio::sync::mpsc::channel(4);
    let path = to.to_owned();
    let writing = tokio::task::spawn_blocking(move || write_file(&path, incoming));
    let snapshot = client
        .build_transaction()
        .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await
        .map_err(|error| sql(&error))?;
    let file = Connection::open(to).map_err(failed)?;
    let tables = tables(&file)?;
    drop(file);
    for (table, columns) in tables {
        let kinds = kinds(snapshot.client(), &table, &columns).await?;
        let select = match table.as_str() {
            // Changes of counts are added up; names without an owner are of the database alone.
            "tally" => "SELECT area, a, b, sum(n)::int8 AS n FROM tally GROUP BY area, a, b".to_owned(),
            "ref" => "SELECT scope, kind, id, entity FROM ref WHERE entity IS NOT NULL".to_owned(),
            _ => format!("SELECT {} FROM {table}", quoted(&columns)),
        };
        let target = (table.as_str(), columns.as_slice());
        let row = |row: &Row| Ok(vec![row_of(row, &columns, &kinds).map_err(|error| sql(&error))?]);
        copy(&snapshot, (&select, ROWS), target, &batches, row).await?;
        if table == "event" {
            // Those that the database keeps together, one by one.
            let select = "SELECT open, data FROM bundle ORDER BY first";
            copy(&snapshot, (select, BUNDLES), target, &batches, |row| events_of(row, &columns)).await?;
        }
    }
    drop(batches);
    let copied = writing.await.map_err(failed)??;
    for (sequence, table) in [("exception_id", "exception"), ("event_ordinal", "event")] {
        let last: i64 = snapshot
            .query_one(&format!("SELECT last_value FROM {sequence}"), &[])
            .await
            .map_err(|error| sql(&error))?
            .get(0);
        let file = Connection::open(to).map_err(failed)?;
        file.execute("DELETE FROM sqlite_sequence WHERE name = ?1", [table]).map_err(failed)?;
        file.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)", (table, last))
            .map_err(failed)?;
    }
    Ok(copied)
}

/// Sends the rows that come of what is selected, so many of that at a time.
async fn copy(
    snapshot: &tokio_postgres::Transaction<'_>,
    (select, page): (&str, usize),
    (table, columns): (&str, &[String]),
    batches: &tokio::sync::mpsc::Sender<Read>,
    cells: impl Fn(&Row) -> Result<Vec<Vec<Cell>>, StoreError>,
) -> Result<(), StoreError> {
    let declare = format!("DECLARE c NO SCROLL CURSOR FOR {select}");
    snapshot.batch_execute(&declare).await.map_err(|error| sql(&error))?;
    loop {
        let found =
            snapshot.query(&format!("FETCH {page} FROM c"), &[]).await.map_err(|error| sql(&error))?;
        let mut rows = Vec::with_capacity(found.len());
        for row in &found {
            rows.extend(cells(row)?);
        }
        let read = Read { table: table.to_owned(), columns: columns.to_vec(), rows };
        if batches.send(read).await.is_err() || found.len() < page {
            break;
        }
    }
    snapshot.batch_execute("CLOSE c").await.map_err(|error| sql(&error))
}

/// Rows of `event` for the events of a bundle.
fn events_of(row: &Row, columns: &[String]) -> Result<Vec<Vec<Cell>>, StoreError> {
    let cells = |event: &Event| {
        let cell = |column: &String| match column.as_str() {
            "ordinal" => Cell::Integer(event.ordinal),
            "client" => Cell::Text(event.client.0.clone()),
            "entity" => Cell::Text(event.entity.0.clone()),
            "version" => Cell::Integer(event.version),
            "name" => Cell::Text(event.name.clone()),
            "data" => Cell::Text(String::from_utf8_lossy(event.data.text()).into_owned()),
            "at" => Cell::Integer(nanos(event.at)),
            _ => Cell::Null,
        };
        columns.iter().map(cell).collect()
    };
    Ok(postgres::bundled(row)?.iter().map(cells).collect())
}

fn row_of(row: &Row, columns: &[String], kinds: &[Kind]) -> Result<Vec<Cell>, tokio_postgres::Error> {
    let cell = |(column, kind): (&String, &Kind)| {
        let column = column.as_str();
        Ok(match kind {
            Kind::Big => row.try_get::<_, Option<i64>>(column)?.map_or(Cell::Null, Cell::Integer),
            Kind::Small => {
                row.try_get::<_, Option<i16>>(column)?.map_or(Cell::Null, |small| Cell::Integer(small.into()))
            }
            Kind::Text | Kind::Key => {
                row.try_get::<_, Option<String>>(column)?.map_or(Cell::Null, Cell::Text)
            }
            Kind::Bytes => row.try_get::<_, Option<Vec<u8>>>(column)?.map_or(Cell::Null, Cell::Blob),
        })
    };
    columns.iter().zip(kinds).map(cell).collect()
}

/// Writes what comes, in one transaction.
fn write_file(
    path: &Path,
    mut incoming: tokio::sync::mpsc::Receiver<Read>,
) -> Result<Vec<Copied>, StoreError> {
    let db = Connection::open(path).map_err(failed)?;
    db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE")
        .map_err(failed)?;
    let mut copied: Vec<Copied> = Vec::new();
    while let Some(Read { table, columns, rows }) = incoming.blocking_recv() {
        if copied.last().map(|last| &last.table) != Some(&table) {
            copied.push(Copied { table: table.clone(), rows: 0 });
        }
        let marks = vec!["?"; columns.len()].join(", ");
        let insert = format!("INSERT INTO {table} ({}) VALUES ({marks})", quoted(&columns));
        let mut statement = db.prepare_cached(&insert).map_err(failed)?;
        for row in rows {
            statement.execute(rusqlite::params_from_iter(&row)).map_err(failed)?;
            if let Some(last) = copied.last_mut() {
                last.rows += 1;
            }
        }
    }
    db.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)").map_err(failed)?;
    Ok(copied)
}

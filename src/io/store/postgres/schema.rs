//! The form of the database: bringing it to the newest, and telling which it has.

use std::time::Duration;

use refinery::Migration;
use tokio_postgres::Client;

use super::codec::{Fault, get, statements, words};
use super::connect::Target;
use crate::ports::StoreError;

mod embedded {
    refinery::embed_migrations!("src/io/store/postgres/migrations");
}

statements! {
    LOCK = "SELECT pg_advisory_lock(7215230311)";
    ENCODING = "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int4";
    FORM = "SELECT to_regclass('refinery_schema_history') IS NOT NULL";
}

/// Read only once there is a history.
const VERSION: &str = "SELECT coalesce(max(version), 0)::int4 FROM refinery_schema_history";
/// The oldest server that is known to work: 13.
const OLDEST: i32 = 130_000;

/// The newest form that this program knows.
pub(super) fn newest() -> i32 {
    embedded::migrations::runner().get_migrations().iter().map(Migration::version).max().unwrap_or(0)
}

/// The form that the database has; 0 when it is empty.
pub(super) async fn form(client: &Client) -> Result<i32, Fault> {
    let known: bool = get(&client.query_one(FORM, &[]).await?, 0)?;
    if known { get(&client.query_one(VERSION, &[]).await?, 0) } else { Ok(0) }
}

/// Brings the database to the newest form, if `migrate` says so; nodes that start together take turns. A database that
/// is newer than this program is refused.
pub(super) async fn prepare(target: &Target, migrate: bool, patience: Duration) -> Result<(), StoreError> {
    let mut client = target.patiently(patience).await?;
    let at = |fault: Fault| target.at(fault);
    let row = client.query_one(ENCODING, &[]).await.map_err(|error| target.at(words(&error)))?;
    let encoding: String = get(&row, 0).map_err(at)?;
    let server: i32 = get(&row, 1).map_err(at)?;
    if encoding != "UTF8" {
        return Err(StoreError::Corrupt(format!(
            "{}: its encoding is {encoding}; expected UTF8 (CREATE DATABASE … ENCODING 'UTF8')",
            target.place
        )));
    }
    if server < OLDEST {
        return Err(StoreError::Corrupt(format!(
            "{}: the server is version {}; expected 13 or newer",
            target.place,
            server / 10_000
        )));
    }
    client.execute(LOCK, &[]).await.map_err(|error| target.at(words(&error)))?;
    let (present, newest) = (form(&client).await.map_err(at)?, newest());
    if present > newest {
        return Err(StoreError::Corrupt(format!(
            "{}: the database has form {present}, and this program knows forms up to {newest}: a newer one wrote it",
            target.place
        )));
    }
    if present < newest {
        if !migrate {
            return Err(StoreError::Corrupt(format!(
                "{}: the database has form {present}, and this program wants form {newest}: run `crossdock store migrate`",
                target.place
            )));
        }
        // Grouped: all of them or none.
        let runner = embedded::migrations::runner().set_grouped(true);
        let done = runner.run_async(&mut client).await;
        done.map_err(|error| StoreError::Corrupt(format!("{}: migration: {error}", target.place)))?;
        tracing::info!(
            database = target.place,
            from = present,
            to = newest,
            "the database was brought to a newer form"
        );
    }
    Ok(())
}

/// Brings an empty database to an earlier form, as an earlier program would have.
#[cfg(test)]
pub(super) async fn to_form(client: &mut Client, form: i32) -> Result<(), refinery::Error> {
    let target = refinery::Target::Version(form);
    embedded::migrations::runner().set_grouped(true).set_target(target).run_async(client).await.map(|_| ())
}

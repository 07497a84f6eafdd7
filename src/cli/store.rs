//! `crossdock store`: the form of the store, and moving it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Done, Failure, Globals, block_on, complain, files, say};
use crate::app::storage::{self, Copied};
use crate::config::model::StoreConfig;
use crate::telemetry;

/// Bring the store to the newest form, look at it, copy it out, or move another one into it.
#[derive(Debug, Args)]
pub struct Store {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Bring the configured store to the newest form. `crossdock run` does it too, unless `[store] migrate = false`.
    Migrate,
    /// Say where the store is, which form it has, and what it holds.
    Status {
        /// Print it as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Copy everything, as it stands at one moment, into a new SQLite file: a backup, or the way to another store.
    Export {
        /// The file to write.
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Copy everything of an SQLite store (a `crossdock.db`, or what `export` wrote) into the configured one, which must
    /// be empty. Stop the daemon that works on the file first.
    Import {
        /// The file to read.
        #[arg(value_name = "FILE")]
        from: PathBuf,
    },
}

impl Store {
    /// Runs the command.
    ///
    /// # Errors
    /// When the store cannot be reached, or what is asked for cannot be done.
    pub fn run(self, globals: &Globals) -> Done {
        let loaded = files::load(&globals.config);
        let Some(world) = loaded.world else {
            loaded.problems.iter().for_each(complain);
            return Err(Failure(format!("{} is not fit to run with", globals.config.display())));
        };
        telemetry::start_logs("warn", false)?;
        let store = world.config.store;
        block_on(async move {
            match self.what {
                What::Migrate => migrate(&store).await,
                What::Status { json } => status(&store, json).await,
                What::Export { to } => {
                    list(&storage::export(&store, &to).await?);
                    say(format_args!("written to {}", to.display()));
                    Ok(ExitCode::SUCCESS)
                }
                What::Import { from } => {
                    list(&storage::import(&store, &from).await?);
                    say(format_args!("{} is in the configured store now", from.display()));
                    if matches!(store, StoreConfig::Postgres(_)) {
                        say("copy the key file that lies beside it (crossdock.key) to every node too");
                    }
                    Ok(ExitCode::SUCCESS)
                }
            }
        })?
    }
}

async fn migrate(store: &StoreConfig) -> Done {
    let before = storage::migrate(store).await?;
    if before.present == before.newest {
        say(format_args!("{}: has form {}, the newest", before.place, before.newest));
    } else {
        say(format_args!("{}: from form {} to {}", before.place, before.present, before.newest));
    }
    Ok(ExitCode::SUCCESS)
}

async fn status(config: &StoreConfig, json: bool) -> Done {
    let form = storage::form(config).await?;
    let kind = match config {
        StoreConfig::Sqlite { .. } => "sqlite",
        StoreConfig::Postgres(_) => "postgres",
    };
    if form.present != form.newest {
        if json {
            say(
                serde_json::json!({ "kind": kind, "place": form.place, "form": form.present, "newest": form.newest }),
            );
        } else {
            say(format_args!("{kind}, {}", form.place));
            say(format_args!(
                "form {}; `crossdock store migrate` brings it to {}",
                form.present, form.newest
            ));
        }
        return Ok(ExitCode::FAILURE);
    }
    let store = storage::look(config).await?;
    let counts = store.counts().await?;
    let backlog = store.backlog().await?;
    let next = store.next_due().await?;
    store.close().await?;
    if json {
        say(serde_json::json!({
            "kind": kind, "place": form.place, "form": form.present, "newest": form.newest,
            "counts": counts, "backlog": backlog, "next_due": next,
        }));
        return Ok(ExitCode::SUCCESS);
    }
    let sum = |rows: &[(String, u64)]| rows.iter().map(|(_, many)| many).sum::<u64>();
    say(format_args!("{kind}, {}", form.place));
    say(format_args!("form        {}, the newest", form.present));
    say(format_args!("orders      {}", sum(&counts.phases)));
    say(format_args!(
        "messages    {}, {} pending",
        sum(&counts.messages),
        backlog.iter().map(|(_, many)| many).sum::<u64>()
    ));
    say(format_args!("facts       {}, {} waiting for their order", sum(&counts.facts), counts.waiting));
    say(format_args!("commands    {}", counts.intents.iter().map(|(.., many)| many).sum::<u64>()));
    say(format_args!("exceptions  {} open", sum(&counts.exceptions)));
    if let Some(next) = next {
        say(format_args!("next due    {next}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(copied: &[Copied]) {
    for Copied { table, rows } in copied.iter().filter(|copied| copied.rows > 0) {
        say(format_args!("  {table:<14} {rows:>10}"));
    }
}

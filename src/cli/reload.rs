//! `crossdock reload` and `crossdock generations`: changed files into force, and what was in force when.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{self, Asking, query, step, table, time};
use super::{Done, Failure, Globals, block_on, complain, say};
use crate::generation::history::Entry;
use crate::generation::{Answer, Outcome};

/// Have the daemon read its files again now. It also does so by itself a moment after they changed.
#[derive(Debug, Args)]
pub struct Reload {
    /// Who asks, for the history.
    #[arg(long, env = "USER", value_name = "NAME")]
    by: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

impl Reload {
    /// Runs the command: 0 when the files are in force, 1 when they were refused.
    ///
    /// # Errors
    /// When the daemon cannot be reached.
    pub fn run(self, globals: &Globals) -> Done {
        block_on(async {
            let client = self.asking.client(globals)?;
            let answer: Answer =
                client.change("/api/v1/generations/reload", &json!({ "by": self.by })).await?;
            if self.asking.json {
                client::json(&answer)?;
            } else {
                told(&answer);
            }
            Ok(if answer.outcome == Outcome::Refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
        })?
    }
}

/// Says what became of changed files.
pub fn told(answer: &Answer) {
    answer.problems.iter().for_each(complain);
    let generation = &answer.generation;
    match answer.outcome {
        Outcome::Activated => {
            say(format_args!("generation {generation} is in force: {}", answer.changed.join(", ")));
        }
        Outcome::Unchanged => say(format_args!("nothing has changed: generation {generation} is in force")),
        Outcome::Checked => say(format_args!("in order; generation {generation} is still in force")),
        Outcome::Refused => complain(format_args!("refused: generation {generation} stays in force")),
    }
}

/// List what was in force when, or show files as they were. Asks the running daemon.
#[derive(Debug, Args)]
pub struct Generations {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List generations, newest first.
    List {
        #[command(flatten)]
        asking: Asking,
    },
    /// Show the files of one, or one of its files.
    Show {
        /// The generation; `active` for the one in force.
        generation: String,
        /// Print this file as it was.
        path: Option<String>,
        #[command(flatten)]
        asking: Asking,
    },
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    active: String,
    generations: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct One {
    generation: Entry,
    files: Vec<File>,
}

#[derive(Debug, Serialize, Deserialize)]
struct File {
    path: String,
    digest: String,
}

impl Generations {
    /// Runs the command.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or there is no such generation or file.
    pub fn run(self, globals: &Globals) -> Done {
        block_on(async {
            match self.what {
                What::List { asking } => list(&asking, globals).await,
                What::Show { generation, path, asking } => {
                    show(&asking, globals, &generation, path.as_deref()).await
                }
            }
        })?
    }
}

async fn list(asking: &Asking, globals: &Globals) -> Result<ExitCode, Failure> {
    let page: Page = asking.client(globals)?.get("/api/v1/generations").await?;
    if asking.json {
        client::json(&page)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<[String; 4]> = page
        .generations
        .into_iter()
        .map(|entry| {
            let changed = match entry.changed.len() {
                0..=3 => entry.changed.join(", "),
                many => format!("{many} files"),
            };
            let at = time(Some(entry.at));
            [
                entry.generation,
                at,
                entry.by,
                entry.note.map_or(changed.clone(), |note| format!("{changed}: {note}")),
            ]
        })
        .collect();
    table(["GENERATION", "SINCE", "BY", "CHANGED"], &rows);
    Ok(ExitCode::SUCCESS)
}

async fn show(
    asking: &Asking,
    globals: &Globals,
    generation: &str,
    path: Option<&str>,
) -> Result<ExitCode, Failure> {
    let client = asking.client(globals)?;
    let at = format!("/api/v1/generations/{}", step(generation));
    if let Some(path) = path {
        let text = client.text(&format!("{at}/file{}", query(&[("path", Some(path.to_owned()))]))).await?;
        say(text.trim_end_matches('\n'));
        return Ok(ExitCode::SUCCESS);
    }
    let one: One = client.get(&at).await?;
    if asking.json {
        client::json(&one)?;
        return Ok(ExitCode::SUCCESS);
    }
    say(one.generation.words());
    for file in one.files {
        say(format_args!("  {}  {}", &file.digest.get(..12).unwrap_or(&file.digest), file.path));
    }
    Ok(ExitCode::SUCCESS)
}

//! `crossdock map diff`: what a changed mapping would have made of recorded messages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use crate::canonical::AccountId;
use crate::cli::client::Asking;
use crate::cli::{Failure, Globals, block_on, complain, say};
use crate::cli::{check, files};
use crate::config::{Sources, embedded};
use crate::connector;
use crate::diagnostic::Severity;
use crate::generation::history;
use crate::map::diff::{Change, Report, Sides};
use crate::ports::Store;
use crate::web::mapping::{self, Files};
use crate::{app, map};

/// See [`super::Map`].
#[derive(Debug, Args)]
pub struct Diff {
    /// Only this connector.
    connector: Option<String>,
    /// Only this mapping of it.
    mapping: Option<String>,
    /// Messages of so long ago, or since then: `7d`, `24h`, `2026-01-15T00:00:00Z`.
    #[arg(long, default_value = "7d")]
    since: String,
    /// Only messages of this account.
    #[arg(long)]
    account: Option<String>,
    /// Compare with the files in this folder (an older copy of the config's) instead of with what is in force.
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    #[command(flatten)]
    asking: Asking,
}

impl Diff {
    /// 0 when nothing would come out differently, 1 when something would, 2 after an error.
    pub(super) fn run(self, globals: &Globals) -> ExitCode {
        match self.report(globals) {
            Ok(report) => {
                if self.asking.json {
                    say(serde_json::to_string_pretty(&report).unwrap_or_default());
                } else {
                    print(&report, &self.since);
                }
                ExitCode::from(u8::from(report.differs()))
            }
            Err(Failure(message)) => {
                complain(format_args!("crossdock: {message}"));
                ExitCode::from(2)
            }
        }
    }

    fn report(&self, globals: &Globals) -> Result<Report, Failure> {
        let after = super::sources(globals);
        if let Some(connector) = &self.connector {
            match &self.mapping {
                Some(mapping) => super::known(&after, connector, mapping)?,
                None if !map::test::mappings(&after).iter().any(|(name, _)| name == connector) => {
                    return Err(Failure(format!("there is no mapping of `{connector}`")));
                }
                None => {}
            }
        }
        let (_, problems) = connector::load(&after);
        let errors: Vec<_> = problems.iter().filter(|found| found.severity == Severity::Error).collect();
        if !errors.is_empty() {
            for found in errors {
                check::print(found);
            }
            return Err(Failure("the files have errors".to_owned()));
        }
        let before = match &self.against {
            Some(folder) => Some(older(globals, folder)?),
            None => None,
        };
        block_on(async {
            let client = self.asking.client(globals)?;
            match client.get::<Value>("/healthz").await {
                Ok(_) => {
                    let body = json!({
                        "files": own(globals, &after),
                        "whole": true,
                        "against": before.as_ref().map(|before| own(globals, before)),
                        "since": self.since,
                        "connector": self.connector,
                        "mapping": self.mapping,
                        "account": self.account,
                    });
                    client.post("/api/v1/mappings/diff", &body).await
                }
                Err(unreached) if self.asking.is_elsewhere() => Err(unreached),
                Err(_) => self.read_store(globals, before, &after).await,
            }
        })?
    }

    /// With the daemon down the store is read here.
    async fn read_store(
        &self,
        globals: &Globals,
        before: Option<Sources>,
        after: &Sources,
    ) -> Result<Report, Failure> {
        let loaded = files::load(&globals.config);
        let Some(world) = loaded.world else {
            loaded.problems.iter().for_each(check::print);
            return Err(Failure("no daemon runs, and the config is wrong".to_owned()));
        };
        let store = app::storage::look(&world.config.store).await?;
        let before = match before {
            Some(before) => before,
            None => last_in_force(store.as_ref()).await?,
        };
        let (old, new) = (connector::load(&before).0, connector::load(after).0);
        let sides = Sides { before: &old, after: &new, config: &world.config };
        let since = mapping::since(&self.since, app::clock().now()).map_err(|error| Failure(error.error))?;
        let account = self.account.as_deref().map(AccountId::from);
        if let Some(account) = &account
            && !world.config.accounts.contains_key(account)
        {
            let known: Vec<&str> = world.config.accounts.keys().map(AccountId::as_str).collect();
            return Err(super::unknown("account", account.as_str(), &known));
        }
        let only = (self.connector.as_deref(), self.mapping.as_deref(), account.as_ref());
        let report = mapping::compare(store.as_ref(), sides, only, since).await?;
        store.close().await?;
        Ok(report)
    }
}

/// The files of the generation that was in force when the daemon went down.
async fn last_in_force(store: &dyn Store) -> Result<Sources, Failure> {
    let known = match history::active(store).await? {
        Some(entry) => history::sources(store, &entry.generation).await?,
        None => None,
    };
    known.ok_or_else(|| {
        Failure(
            "no daemon runs, and the store knows of no generation: name an older copy of the folder with --against"
                .to_owned(),
        )
    })
}

/// The files of a folder over the shipped ones.
fn older(globals: &Globals, folder: &std::path::Path) -> Result<Sources, Failure> {
    if !folder.is_dir() {
        return Err(Failure(format!("there is no folder {}", folder.display())));
    }
    let config = folder.join(globals.config.file_name().unwrap_or_default());
    Ok(files::read_dir_over(embedded(), &config).0)
}

/// The files that are not shipped, without the config: it may hold what is nobody else's business.
fn own(globals: &Globals, sources: &Sources) -> Files {
    let shipped = embedded();
    let config = globals.config.file_name().map(|name| name.to_string_lossy().into_owned());
    let other = |(path, text): &(&String, &String)| {
        Some(*path) != config.as_ref() && shipped.get(path) != Some(text.as_str())
    };
    let files = sources.files.iter().filter(other);
    files.map(|(path, text)| (path.clone(), Some(text.clone()))).collect()
}

fn print(report: &Report, since: &str) {
    if report.messages == 0 {
        say(format_args!("no mapping differs, or no message since {since} is read by one that does"));
        return;
    }
    say(format_args!(
        "{} of {} recorded messages would say something else; with exceptions: {} before, {} after{}",
        report.different,
        report.messages,
        report.exceptions_before,
        report.exceptions_after,
        if report.stopped { "; more were not looked at" } else { "" },
    ));
    for (field, count) in &report.fields {
        say(format_args!("  {field}: {count}"));
    }
    for subject in &report.subjects {
        say(format_args!("\n{} ({})", subject.subject, subject.account));
        for message in &subject.messages {
            say(format_args!("  message {}", message.message));
            message.changes.iter().for_each(|change| say(format_args!("    {}", line(change))));
        }
    }
    if report.more > 0 {
        say(format_args!("\nand {} others", report.more));
    }
}

fn line(change: &Change) -> String {
    let shown = |value: &Option<Value>| match value {
        None => "–".to_owned(),
        Some(_) if change.field.is_empty() => "the fact".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    let name = match (change.fact.as_str(), change.field.as_str()) {
        (fact, "") => fact.to_owned(),
        ("", field) => field.to_owned(),
        (fact, field) => format!("{fact}.{field}"),
    };
    format!("{name}: {} → {}", shown(&change.before), shown(&change.after))
}

//! `crossdock exceptions`: what needs a person, by cause, and back to work.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::client::{self, Asking, query, table, time};
use super::{Done, Failure, Globals, block_on, complain, say};
use crate::canonical::Exception;
use crate::web::api::Titled;

/// List what needs a person, show one exception, try them again. Asks the running daemon.
#[derive(Debug, Args)]
pub struct Exceptions {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// List open exceptions by cause; with --cause, one by one.
    List(List),
    /// Show one exception.
    Show(Show),
    /// Put exceptions back to work: by number, or all of a cause.
    Retry(Retry),
    /// Print what is unmapped as rows of a list to fill in (CSV).
    Export(Export),
    /// Say that nothing is to be done about exceptions on messages or accounts.
    Dismiss(Dismiss),
}

#[derive(Debug, Args)]
struct List {
    /// Only this cause, one by one.
    #[arg(long)]
    cause: Option<String>,
    /// Only this kind.
    #[arg(long)]
    kind: Option<String>,
    /// Only this client.
    #[arg(long)]
    client: Option<String>,
    /// Only this account.
    #[arg(long)]
    account: Option<String>,
    /// Resolved ones too.
    #[arg(long)]
    resolved: bool,
    /// At most this many.
    #[arg(long, default_value_t = 100)]
    limit: u32,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Export {
    /// `unknown_sku` (the default) or `unknown_word`.
    #[arg(long)]
    kind: Option<String>,
    /// Only this cause.
    #[arg(long)]
    cause: Option<String>,
    /// Only this client.
    #[arg(long)]
    client: Option<String>,
    /// Only this account.
    #[arg(long)]
    account: Option<String>,
    #[command(flatten)]
    asking: Asking,
}

impl Export {
    async fn run(self, globals: &Globals) -> Done {
        let pairs =
            [("kind", self.kind), ("cause", self.cause), ("client", self.client), ("account", self.account)];
        let path = format!("/api/v1/exceptions/export{}", query(&pairs));
        say(self.asking.client(globals)?.text(&path).await?.trim_end());
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Debug, Args)]
struct Show {
    /// Its number.
    id: i64,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true, args = ["ids", "cause"])]
struct RetryWhich {
    /// Numbers of exceptions.
    ids: Vec<i64>,
    /// All open ones of this cause.
    #[arg(long)]
    cause: Option<String>,
}

#[derive(Debug, Args)]
struct Retry {
    #[command(flatten)]
    which: RetryWhich,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Args)]
struct Dismiss {
    /// Numbers of exceptions.
    #[arg(required = true)]
    ids: Vec<i64>,
    #[command(flatten)]
    asking: Asking,
}

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    causes: Vec<Titled>,
    exceptions: Vec<Exception>,
    next: Option<i64>,
}

impl Exceptions {
    /// Runs the command.
    ///
    /// # Errors
    /// When the daemon cannot be reached or says no.
    pub fn run(self, globals: &Globals) -> Done {
        block_on(async {
            match self.what {
                What::List(list) => list.run(globals).await,
                What::Show(show) => show.run(globals).await,
                What::Retry(retry) => retry.run(globals).await,
                What::Export(export) => export.run(globals).await,
                What::Dismiss(dismiss) => dismiss.run(globals).await,
            }
        })?
    }
}

impl List {
    async fn run(self, globals: &Globals) -> Done {
        let client = self.asking.client(globals)?;
        let pairs = [
            ("cause", self.cause.clone()),
            ("kind", self.kind),
            ("client", self.client),
            ("account", self.account),
            ("resolved", self.resolved.then(|| "true".to_owned())),
            ("limit", Some(self.limit.to_string())),
        ];
        let page: Page = client.get(&format!("/api/v1/exceptions{}", query(&pairs))).await?;
        if self.asking.json {
            client::json(&page)?;
        } else if self.cause.is_some() || self.resolved {
            one_by_one(&page.exceptions);
        } else {
            by_cause(&page.causes);
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn by_cause(causes: &[Titled]) {
    if causes.is_empty() {
        complain("nothing needs a person");
        return;
    }
    for Titled { title, row: cause } in causes {
        say(format_args!("{:>5}  {}  since {}", cause.count, cause.cause, time(Some(cause.since))));
        say(format_args!("       {title}"));
        if let Some(help) = &cause.help {
            say(format_args!("       {help}"));
        }
    }
}

fn one_by_one(exceptions: &[Exception]) {
    if exceptions.is_empty() {
        complain("no exception fits");
        return;
    }
    let rows: Vec<[String; 5]> = exceptions
        .iter()
        .map(|exception| {
            let entity = exception.entity.as_ref().map_or("-", |entity| entity.as_str());
            let state = if exception.resolved.is_some() { "resolved" } else { "open" };
            [
                exception.id.to_string(),
                state.to_owned(),
                time(Some(exception.raised)),
                entity.to_owned(),
                exception.message.clone(),
            ]
        })
        .collect();
    table(["NUMBER", "STATE", "RAISED", "CONCERNS", "MESSAGE"], &rows);
}

impl Show {
    async fn run(self, globals: &Globals) -> Done {
        let client = self.asking.client(globals)?;
        let exception: Exception = client.get(&format!("/api/v1/exceptions/{}", self.id)).await?;
        if self.asking.json {
            client::json(&exception)?;
            return Ok(ExitCode::SUCCESS);
        }
        say(format_args!("{}  {}: {}", exception.id, exception.kind, exception.message));
        let mut rows: Vec<[String; 2]> = Vec::new();
        let mut row = |name: &str, value: Option<String>| {
            rows.extend(value.map(|value| [format!("  {name}"), value]));
        };
        row("do", exception.help);
        row("cause", Some(exception.cause));
        row("raised", Some(time(Some(exception.raised))));
        row("resolved", exception.resolved.map(|at| time(Some(at))));
        row("resolved by", exception.resolution);
        row("client", exception.client.map(|client| client.0));
        row("account", exception.account.map(|account| account.0));
        row("concerns", exception.entity.map(|entity| entity.0));
        row("message", exception.message_id.map(|message| message.to_string()));
        row("command", exception.intent.map(|intent| intent.to_string()));
        for [name, value] in rows {
            say(format_args!("{name:<10}  {value}"));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Retry {
    async fn run(self, globals: &Globals) -> Done {
        let body = json!({ "ids": self.which.ids, "cause": self.which.cause });
        change(&self.asking, globals, "retry", &body, "retried", "being tried again").await
    }
}

impl Dismiss {
    async fn run(self, globals: &Globals) -> Done {
        let body = json!({ "ids": self.ids });
        change(&self.asking, globals, "dismiss", &body, "dismissed", "dismissed").await
    }
}

async fn change(
    asking: &Asking,
    globals: &Globals,
    what: &str,
    body: &Value,
    field: &str,
    done: &str,
) -> Result<ExitCode, Failure> {
    let client = asking.client(globals)?;
    let answer: Value = client.post(&format!("/api/v1/exceptions/{what}"), body).await?;
    if asking.json {
        client::json(&answer)?;
    } else {
        say(format_args!("{} {done}", answer[field]));
    }
    Ok(if answer[field] == 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

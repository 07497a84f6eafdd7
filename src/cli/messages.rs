//! `crossdock messages`: what partners said, and mapping it anew.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::client::{self, Asking};
use super::{Done, Failure, Globals, block_on, say};

/// Show a recorded message, or map messages anew under the mappings in force. Asks the running daemon.
#[derive(Debug, Args)]
pub struct Messages {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show one message.
    Show {
        /// Its number.
        id: i64,
        #[command(flatten)]
        asking: Asking,
    },
    /// Map messages anew: what they state now takes the place of what they stated, and their orders are planned again.
    Remap(Remap),
}

#[derive(Debug, Args)]
struct Remap {
    /// Numbers of messages.
    #[arg(required = true)]
    ids: Vec<i64>,
    /// Only tell what would come of it.
    #[arg(long)]
    dry_run: bool,
    /// Also when commands were sent for something that the orders would not have any more: these stand for themselves.
    #[arg(long, conflicts_with = "dry_run")]
    force: bool,
    #[command(flatten)]
    asking: Asking,
}

impl Messages {
    /// Runs the command.
    ///
    /// # Errors
    /// When the daemon cannot be reached, or there is no such message.
    pub fn run(self, globals: &Globals) -> Done {
        block_on(async {
            match self.what {
                What::Show { id, asking } => {
                    let message: Value =
                        asking.client(globals)?.get(&format!("/api/v1/messages/{id}")).await?;
                    client::json(&message)?;
                    Ok(ExitCode::SUCCESS)
                }
                What::Remap(remap) => remap.run(globals).await,
            }
        })?
    }
}

impl Remap {
    async fn run(self, globals: &Globals) -> Result<ExitCode, Failure> {
        let body = json!({ "ids": self.ids, "dry_run": self.dry_run, "force": self.force });
        let answer: Value = self.asking.client(globals)?.post("/api/v1/messages/remap", &body).await?;
        if self.asking.json {
            client::json(&answer)?;
        } else if self.dry_run {
            answer["would"].as_array().into_iter().flatten().for_each(told);
        } else {
            say(format_args!("{} mapped anew", answer["remapped"]));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What would come of one message.
fn told(would: &Value) {
    let list = |name: &str| would[name].as_array().map(Vec::as_slice).unwrap_or_default();
    let lines: Vec<String> = [("new", "+"), ("gone", "-")]
        .into_iter()
        .flat_map(|(name, sign)| {
            list(name)
                .iter()
                .map(move |fact| format!("  {sign} fact {} {}", fact["body"]["is"], fact["body"]))
        })
        .chain(
            list("commands").iter().map(|text| format!("  + command {}", text.as_str().unwrap_or_default())),
        )
        .chain(
            list("withdrawn").iter().map(|text| format!("  - command {}", text.as_str().unwrap_or_default())),
        )
        .chain(
            list("strays")
                .iter()
                .chain(list("problems"))
                .map(|text| format!("  ! {}", text.as_str().unwrap_or_default())),
        )
        .collect();
    say(format_args!(
        "message {}{}",
        would["message"],
        if lines.is_empty() { ": nothing differs" } else { "" }
    ));
    lines.iter().for_each(say);
}

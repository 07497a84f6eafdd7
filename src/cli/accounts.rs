//! `crossdock accounts`: how each lane goes.

use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use super::client::{self, Asking, table, time};
use super::{Done, Globals, block_on, say};

/// Show the accounts: lane, limits, last contact. Asks the running daemon.
#[derive(Debug, Args)]
pub struct Accounts {
    #[command(flatten)]
    asking: Asking,
}

impl Accounts {
    /// Runs the command.
    ///
    /// # Errors
    /// When the daemon cannot be reached or says no.
    pub fn run(self, globals: &Globals) -> Done {
        block_on(self.show(globals))?
    }

    async fn show(self, globals: &Globals) -> Done {
        let answer: Value = self.asking.client(globals)?.get("/api/v1/accounts").await?;
        let accounts = answer["accounts"].as_array().cloned().unwrap_or_default();
        if self.asking.json {
            client::json(&accounts)?;
            return Ok(ExitCode::SUCCESS);
        }
        let rows: Vec<[String; 7]> = accounts.iter().map(row).collect();
        table(["ACCOUNT", "CONNECTOR", "LANE", "WAITING", "LAST CONTACT", "LIMITS", "EXCEPTIONS"], &rows);
        for account in &accounts {
            let lane = &account["lane"];
            if let Some(why) = lane["reason"].as_str().or_else(|| lane["last_error"].as_str()) {
                say(format_args!("{}: {why}", text(&account["id"])));
            }
            if let Some(count) = account["counted"]["bad_signature"].as_u64() {
                say(format_args!("{}: {count} webhooks refused, bad signature", text(&account["id"])));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn row(account: &Value) -> [String; 7] {
    let lane = &account["lane"];
    let state = if account["enabled"] == false { "off" } else { lane["state"].as_str().unwrap_or("new") };
    let limits: Vec<String> = lane["limits"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|limit| format!("{} {}/{}", text(&limit["name"]), limit["left"], limit["size"]))
        .collect();
    let contact = lane["last_contact"].as_str().and_then(|at| at.parse().ok());
    [
        text(&account["id"]).to_owned(),
        text(&account["connector"]).to_owned(),
        state.to_owned(),
        lane["waiting"].as_u64().unwrap_or_default().to_string(),
        time(contact),
        if limits.is_empty() { "-".to_owned() } else { limits.join(", ") },
        account["exceptions"].to_string(),
    ]
}

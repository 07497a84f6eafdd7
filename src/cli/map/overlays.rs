//! `crossdock map show|remember`: whose rule is in force.

use std::process::ExitCode;

use clap::Args;

use super::unknown;
use crate::canonical::{AccountId, ClientId};
use crate::cli::{Done, Failure, Globals, check, client, files, say};
use crate::config::Sources;
use crate::map::show;

/// See [`super::Map`].
#[derive(Debug, Args)]
pub struct Show {
    /// The connector.
    connector: String,
    /// The mapping: `order`.
    mapping: String,
    /// As it holds for this account: with its client's overlay and its own.
    #[arg(long)]
    account: Option<String>,
    /// As it holds for this client, at any account.
    #[arg(long)]
    client: Option<String>,
    /// Print a JSON object.
    #[arg(long)]
    json: bool,
}

impl Show {
    /// 0 when it could be shown, 1 otherwise.
    pub(super) fn run(self, globals: &Globals) -> Done {
        let (connector, mapping) = (self.connector.as_str(), self.mapping.as_str());
        let sources = super::sources(globals);
        super::known(&sources, connector, mapping)?;
        let account = self.account.as_deref().map(AccountId::from);
        let mut owner = self.client.as_deref().map(ClientId::from);
        if let (Some(account), None) = (&account, &owner) {
            owner = client_of(globals, account, connector)?;
        }
        let overlays = show::overlays(&sources, connector, mapping, owner.as_ref(), account.as_ref());
        match show::show(&sources, &crate::config::embedded(), connector, mapping, &overlays) {
            Ok(shown) if self.json => client::json(&shown)?,
            Ok(shown) => say(shown.to_string().trim_end()),
            Err(problems) => {
                problems.iter().for_each(check::print);
                return Ok(ExitCode::FAILURE);
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The client of an account; the account must be one of this connector.
fn client_of(globals: &Globals, account: &AccountId, connector: &str) -> Result<Option<ClientId>, Failure> {
    let loaded = files::load(&globals.config);
    let Some(world) = loaded.world else {
        loaded.problems.iter().for_each(check::print);
        return Err(Failure("the config is wrong, so there is no account to show it for".to_owned()));
    };
    let Some(found) = world.config.accounts.get(account) else {
        let known: Vec<&str> = world.config.accounts.keys().map(AccountId::as_str).collect();
        return Err(unknown("account", account.as_str(), &known));
    };
    if found.connector != connector {
        return Err(Failure(format!(
            "the account `{account}` is one of {}, not of {connector}",
            found.connector
        )));
    }
    Ok(found.client.clone())
}

pub(super) fn remember(sources: &Sources, overlay: &str) -> Done {
    let steps: Vec<&str> = overlay.strip_suffix(".toml").unwrap_or(overlay).split('/').collect();
    let ["mappings", "clients" | "accounts", _, connector, name] = steps.as_slice() else {
        return Err(Failure(format!(
            "`{overlay}` is no overlay: expected mappings/clients/<client>/<connector>/<mapping>.toml"
        )));
    };
    match crate::map::replaced_by(sources, connector, name, overlay) {
        Ok(replaced) => {
            let rules: Vec<String> =
                replaced.iter().map(|(rule, digest)| format!("\"{rule}\" = \"{digest}\"")).collect();
            say(format_args!("was = {{ {} }}", rules.join(", ")));
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            problems.iter().for_each(check::print);
            Ok(ExitCode::FAILURE)
        }
    }
}

//! Reads `config.toml` into a [`Config`], against the connectors that are there.

mod account;
mod bus;
mod calendar;
mod flow;
mod server;
mod skus;
mod split;

use secrecy::SecretString;

use super::model::{Config, Paths};
use super::sources::Sources;
use crate::connector::Registry;
use crate::diagnostic::{Diagnostic, Severity};
use crate::tables::{File, Table, Value};

/// What a config is checked against.
struct Scope<'s> {
    sources: &'s Sources,
    registry: &'s Registry,
    environment: &'s dyn Fn(&str) -> Option<String>,
    read_secret: &'s dyn Fn(&str) -> Result<String, String>,
}

/// Reads the file called `config_path`. `env` gives variables of the environment, `read_secret` the text of a file with
/// a secret.
///
/// # Errors
/// Every problem at once, each with its place.
pub fn load(
    sources: &Sources,
    config_path: &str,
    registry: &Registry,
    env: &dyn Fn(&str) -> Option<String>,
    read_secret: &dyn Fn(&str) -> Result<String, String>,
) -> Result<Config, Vec<Diagnostic>> {
    let Some(text) = sources.get(config_path) else {
        return Err(vec![Diagnostic::whole(config_path, "there is no such file")]);
    };
    let file = File::new(config_path, text);
    let scope = Scope { sources, registry, environment: env, read_secret };
    let mut lists = Vec::new();
    let config = file.parse().and_then(|parsed| scope.config(&Table::root(&file, &parsed), &mut lists));
    let mut problems = file.finish();
    problems.extend(lists);
    let broken = problems.iter().any(|found| found.severity == Severity::Error);
    match config {
        Some(config) if !broken => Ok(Config { warnings: problems, ..config }),
        _ => Err(problems),
    }
}

impl Scope<'_> {
    fn config(&self, root: &Table<'_>, lists: &mut Vec<Diagnostic>) -> Option<Config> {
        let server = self.server(root);
        let store = self.store(root);
        let bus = self.bus(root);
        let intake = server::intake(root);
        let delivery = server::delivery(root);
        let log = server::log(root);
        let paths = paths(root);
        let accounts = self.accounts(root);
        let flows = self.flows(root, &accounts, lists);
        self.check_together(root, &accounts, &flows);
        self.check_messages(root, &accounts, bus.as_ref());
        root.finish();
        let generation = self.sources.digest();
        let warnings = Vec::new();
        Some(Config {
            generation,
            server: server?,
            store: store?,
            bus: bus?,
            intake,
            delivery,
            log,
            paths,
            accounts,
            flows,
            warnings,
        })
    }

    /// A secret: `{ env = "NAME" }` or `{ file = "path" }`. One that stands in the file itself is refused.
    fn secret(&self, value: &Value<'_>) -> Option<SecretString> {
        const FORMS: &str = "expected { env = \"NAME\" } or { file = \"path\" }";
        if !value.is_table() {
            value.wrong("a secret must not stand in this file", FORMS);
            return None;
        }
        let table = value.table()?;
        let text = match (table.get("env"), table.get("file")) {
            (Some(env), None) => {
                let name = env.text()?;
                let found = (self.environment)(name);
                if found.is_none() {
                    env.wrong(
                        format!("the environment has no variable {name}"),
                        "set it where Crossdock runs",
                    );
                }
                found
            }
            (None, Some(file)) => {
                let path = file.text()?;
                match (self.read_secret)(path) {
                    Ok(text) => Some(text),
                    Err(error) => {
                        file.wrong(
                            format!("{path} cannot be read: {error}"),
                            "expected a file with the secret alone",
                        );
                        None
                    }
                }
            }
            _ => {
                value.wrong("it is no secret", FORMS);
                None
            }
        };
        table.finish();
        let text = text?;
        if text.trim().is_empty() {
            value.wrong("the secret is empty", "expected its text");
            return None;
        }
        Some(SecretString::from(text))
    }
}

fn paths(root: &Table<'_>) -> Paths {
    let table = root.table("paths");
    let path = |key: &str| {
        let text = table.as_ref().and_then(|table| table.text(key));
        text.unwrap_or_else(|| key.to_owned()).into()
    };
    let paths = Paths { root: ".".into(), connectors: path("connectors"), mappings: path("mappings") };
    if let Some(table) = &table {
        table.finish();
    }
    paths
}

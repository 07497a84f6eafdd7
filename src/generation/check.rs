//! Whether a set of files may come into force: all of it is read and compiled, and the tests of the mappings that it
//! changes are run.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use secrecy::ExposeSecret as _;
use toml::de::DeTable;

use super::files;
use super::history::changed;
use crate::config::model::{BusConfig, Config, StoreConfig};
use crate::config::{Sources, World};
use crate::diagnostic::{Diagnostic, Severity};
use crate::map::test;

/// What came of a check.
#[derive(Debug)]
pub struct Checked {
    /// The generation; none when something is wrong.
    pub world: Option<World>,
    /// Errors and warnings, by file and place.
    pub problems: Vec<Diagnostic>,
}

/// Checks `sources`, of which `config` is the config file, before they take the place of `before`. Nothing with an
/// error passes: what runs is better than what is half right.
#[must_use]
pub fn check(sources: &Sources, config: &Path, before: (&Sources, &Config)) -> Checked {
    let (world, mut problems) = files::check(sources, config);
    let broken = |problems: &[Diagnostic]| problems.iter().any(|found| found.severity == Severity::Error);
    if !broken(&problems) {
        problems.extend(tests(sources, &changed(before.0, sources)));
    }
    if let Some(world) = &world {
        let name = files::file_name(config);
        problems.extend(fixed(&name, sources.get(&name).unwrap_or_default(), before.1, &world.config));
    }
    Checked { world: world.filter(|_| !broken(&problems)), problems }
}

/// The tests of all mappings that the changed paths may touch; what fails is an error at the test's place.
fn tests(sources: &Sources, changed: &[String]) -> Vec<Diagnostic> {
    let all = changed.iter().any(|path| touches(path) == Some(Touched::All));
    let mut found = Vec::new();
    for (connector, name) in test::mappings(sources) {
        let touched = |path: &String| touches(path) == Some(Touched::Connector(&connector));
        if !all && !changed.iter().any(touched) {
            continue;
        }
        for outcome in test::run_tests(sources, &connector, &name) {
            if !outcome.passed() {
                found.push(failed(&outcome));
            }
        }
    }
    found
}

#[derive(Debug, PartialEq, Eq)]
enum Touched<'p> {
    /// The mappings of one connector.
    Connector(&'p str),
    /// Perhaps any.
    All,
}

/// Whose mappings a changed file may change.
fn touches(path: &str) -> Option<Touched<'_>> {
    if path.starts_with("lists/") {
        return Some(Touched::All);
    }
    let steps: Vec<&str> = path.strip_prefix("mappings/")?.split('/').collect();
    match steps.as_slice() {
        ["clients" | "accounts", _, connector, ..] => Some(Touched::Connector(connector)),
        [_] | ["clients" | "accounts", ..] => Some(Touched::All),
        [connector, ..] => Some(Touched::Connector(connector)),
        [] => None,
    }
}

fn failed(outcome: &test::TestOutcome) -> Diagnostic {
    let mut parts = outcome.place.rsplitn(3, ':');
    let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(0);
    let (column, line) = (number(), number());
    let file = parts.next().unwrap_or(&outcome.place).to_owned();
    let message = format!("the test of {} fails: {}", outcome.mapping, outcome.differences.join("; "));
    Diagnostic { line, column, ..Diagnostic::whole(&file, message) }
        .help("correct the mapping, or the test if it is the test that is wrong")
}

/// What cannot change while the daemon runs: an error where the rest would be in force without it, a warning where
/// nothing depends on it.
fn fixed(file: &str, text: &str, before: &Config, after: &Config) -> Vec<Diagnostic> {
    let refused = [
        ("server", "listen", before.server.listen != after.server.listen),
        ("store", "kind", store(&before.store) != store(&after.store)),
        ("bus", "kind", bus(&before.bus) != bus(&after.bus)),
    ];
    let later = [
        ("server", "max_body", before.server.max_body != after.server.max_body),
        ("server", "drain", before.server.drain != after.server.drain),
        ("intake", "queue", before.intake.queue != after.intake.queue),
        ("intake", "workers", before.intake.workers != after.intake.workers),
        ("log", "filter", before.log.filter != after.log.filter),
        ("log", "json", before.log.json != after.log.json),
    ];
    let mut found = Vec::new();
    for (table, key, differs) in refused {
        if differs {
            found.push(
                at(file, text, table, key, format!("`{table}.{key}` cannot change while the daemon runs"))
                    .help("put it back, or restart the daemon with it"),
            );
        }
    }
    for (table, key, differs) in later {
        if differs {
            found.push(
                at(file, text, table, key, format!("`{table}.{key}` counts from the next start"))
                    .warning()
                    .help("everything else is in force"),
            );
        }
    }
    found
}

/// All that is said of the store.
fn store(config: &StoreConfig) -> String {
    match config {
        StoreConfig::Sqlite { path } => path.display().to_string(),
        StoreConfig::Postgres(database) => format!("{database:?} {}", database.url.expose_secret()),
    }
}

/// All that is said of the bus.
fn bus(config: &BusConfig) -> Option<(&str, &[String], Option<&Path>)> {
    match config {
        BusConfig::Embedded => None,
        BusConfig::RabbitMq { url, hosts, ca } => Some((url.expose_secret(), hosts, ca.as_deref())),
    }
}

/// The place of a setting; that of its table, or of the file, where it stands no more.
fn at(file: &str, text: &str, table: &str, key: &str, message: String) -> Diagnostic {
    match place(text, table, key) {
        Some(span) => Diagnostic::error(file, text, span, message),
        None => Diagnostic::whole(file, message),
    }
}

fn place(text: &str, table: &str, key: &str) -> Option<Range<usize>> {
    let (root, _) = DeTable::parse_recoverable(text);
    let (name, value) = root.get_ref().get_key_value(table)?;
    let inner = value.get_ref().as_table().and_then(|inner| inner.get_key_value(key));
    Some(inner.map_or_else(|| name.span(), |(name, _)| name.span()))
}

/// What the accounts' secrets are, so that a rotated one is noticed although no text has changed.
pub(super) fn secrets(config: &Config) -> BTreeMap<(String, String), Vec<String>> {
    let mut all = BTreeMap::new();
    for account in config.accounts.values() {
        for (name, values) in &account.secrets {
            let values = values.iter().map(|value| value.expose_secret().to_owned()).collect();
            all.insert((account.id.0.clone(), name.clone()), values);
        }
    }
    let token = config.server.token.iter().map(|token| token.expose_secret().to_owned()).collect();
    all.insert((String::new(), "token".to_owned()), token);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_touches_the_mappings_that_may_read_it() {
        assert_eq!(touches("mappings/shopify/order.in.toml"), Some(Touched::Connector("shopify")));
        assert_eq!(touches("mappings/clients/acme/shopify/order.toml"), Some(Touched::Connector("shopify")));
        assert_eq!(touches("lists/reasons.csv"), Some(Touched::All));
        assert_eq!(touches("config.toml"), None);
        assert_eq!(touches("connectors/shopify/connector.toml"), None);
    }

    #[test]
    fn a_setting_is_found_in_its_table() {
        let text = "[server]\nlisten = \"127.0.0.1:1\"\n";
        let found = at("config.toml", text, "server", "listen", "no".to_owned());
        assert_eq!(found.to_string(), "config.toml:2:1: no");
        assert_eq!(at("config.toml", "", "server", "listen", "no".to_owned()).line, 0);
    }
}

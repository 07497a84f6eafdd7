//! `crossdock map test|lint`: whether mappings do what they should.

use std::process::ExitCode;

use clap::Args;

use super::unknown;
use crate::cli::{Done, Failure, Globals, check, client, say};
use crate::config::Sources;
use crate::diagnostic::Severity;
use crate::map::{lint, test, update};

/// See [`super::Map`].
#[derive(Debug, Args)]
pub struct Test {
    /// One connector, or one of its mappings: `shopify`, `shopify/order`.
    which: Option<String>,
    /// Write what is found into the tests that fail, in the files beside the config: look at the difference afterwards.
    #[arg(long)]
    update: bool,
}

impl Test {
    /// 0 when all tests pass, 1 otherwise.
    pub(super) fn run(self, globals: &Globals) -> Done {
        let mut sources = super::sources(globals);
        let chosen = chosen(&sources, self.which.as_deref())?;
        if self.update {
            for (connector, mapping) in &chosen {
                bring_up_to_date(globals, &mut sources, connector, mapping)?;
            }
        }
        let (mut passed, mut failed) = (0_usize, 0_usize);
        for (connector, mapping) in &chosen {
            for outcome in test::run_tests(&sources, connector, mapping) {
                if outcome.passed() {
                    passed += 1;
                    continue;
                }
                failed += 1;
                say(format_args!("{} {}: {}", outcome.place, outcome.mapping, outcome.input));
                outcome.differences.iter().for_each(|line| say(format_args!("    {line}")));
            }
        }
        say(format_args!("{passed} passed, {failed} failed"));
        Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Connector and name of the mappings that are meant.
fn chosen(sources: &Sources, which: Option<&str>) -> Result<Vec<(String, String)>, Failure> {
    let (connector, mapping) = match which.map(|which| which.split_once('/').unwrap_or((which, ""))) {
        Some((connector, "")) => (Some(connector), None),
        Some((connector, mapping)) => (Some(connector), Some(mapping)),
        None => (None, None),
    };
    let all = test::mappings(sources);
    let fits = |(c, m): &&(String, String)| {
        connector.is_none_or(|name| name == c) && mapping.is_none_or(|name| name == m)
    };
    let chosen: Vec<_> = all.iter().filter(fits).cloned().collect();
    if let (true, Some(which)) = (chosen.is_empty(), which) {
        let known: Vec<String> = all.iter().map(|(c, m)| format!("{c}/{m}")).collect();
        return Err(unknown("mapping", which, &known.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    Ok(chosen)
}

/// Writes what the tests of a mapping find into its files on disk.
fn bring_up_to_date(
    globals: &Globals,
    sources: &mut Sources,
    connector: &str,
    mapping: &str,
) -> Result<(), Failure> {
    let updated = match update::update(sources, connector, mapping) {
        Ok(updated) => updated,
        Err(problems) => {
            problems.iter().for_each(check::print);
            return Err(Failure(format!("the mapping `{connector}/{mapping}` is wrong")));
        }
    };
    let folder = globals.config.parent().unwrap_or_else(|| std::path::Path::new("."));
    for one in updated {
        let path = folder.join(&one.path);
        // A shipped mapping is part of the binary, and its tests pass.
        if !path.is_file() {
            return Err(Failure(format!(
                "there is no file {}: shipped mappings are not written",
                path.display()
            )));
        }
        std::fs::write(&path, &one.text).map_err(|error| Failure(format!("{}: {error}", path.display())))?;
        say(format_args!("{}: {} changed", one.path, one.tests));
        sources.insert(one.path, one.text);
    }
    Ok(())
}

/// See [`super::Map`].
#[derive(Debug, Args)]
pub struct Lint {
    /// One connector, or one of its mappings: `shopify`, `shopify/order`.
    which: Option<String>,
    /// Leave out findings of this name.
    #[arg(long, value_name = "NAME")]
    skip: Vec<String>,
    /// Hints too: what need not be mended, such as paths that no test shows.
    #[arg(long)]
    hints: bool,
    /// Print a JSON array.
    #[arg(long)]
    json: bool,
}

impl Lint {
    /// 0 when there are neither errors nor warnings, 1 otherwise.
    pub(super) fn run(self, globals: &Globals) -> Done {
        let known: Vec<&str> = lint::FINDINGS.iter().map(|(name, _)| *name).collect();
        if let Some(wrong) = self.skip.iter().find(|name| !known.contains(&name.as_str())) {
            return Err(unknown("finding", wrong, &known));
        }
        let sources = super::sources(globals);
        let mut found = Vec::new();
        let mut errors = 0;
        for (connector, mapping) in chosen(&sources, self.which.as_deref())? {
            match lint::lint(&sources, &connector, &mapping) {
                Ok(more) => found.extend(more),
                Err(problems) => {
                    errors += problems.len();
                    problems.iter().for_each(check::print);
                }
            }
        }
        found.retain(|one| !self.skip.iter().any(|name| name == one.name));
        // What is shared is found with each mapping that shares it.
        let mut seen = std::collections::BTreeSet::new();
        found.retain(|one| seen.insert(one.found.to_string()));
        let (hints, warnings): (Vec<_>, Vec<_>) =
            found.iter().cloned().partition(|one| one.found.severity == Severity::Hint);
        if !self.hints {
            found.clone_from(&warnings);
        }
        if self.json {
            client::json(&found)?;
        } else {
            for one in &found {
                say(format_args!("{} [{}]", one.found, one.name));
            }
            let more = match hints.len() {
                0 => String::new(),
                _ if self.hints => String::new(),
                1 => "; --hints shows a hint".to_owned(),
                many => format!("; --hints shows {many} hints"),
            };
            let counted =
                |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
            say(format_args!("{}, {}{more}", counted(errors, "error"), counted(warnings.len(), "warning")));
        }
        Ok(if errors == 0 && warnings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

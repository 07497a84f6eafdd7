//! `crossdock check`: everything that is wrong, at once.

use std::process::ExitCode;

use clap::Args;

use super::files;
use super::{Done, Globals, complain, say};
use crate::diagnostic::{Diagnostic, Severity};

/// See [`super::Cli`].
#[derive(Debug, Args)]
pub struct Check {
    /// Print the problems as a JSON array.
    #[arg(long)]
    json: bool,
}

impl Check {
    /// 0 when there is no error, 1 otherwise; warnings do not count.
    ///
    /// # Errors
    /// When the result cannot be printed as JSON.
    pub fn run(self, globals: &Globals) -> Done {
        let loaded = files::load(&globals.config);
        let errors = loaded.problems.iter().filter(|found| found.severity == Severity::Error).count();
        if self.json {
            say(serde_json::to_string_pretty(&loaded.problems)?);
        } else {
            loaded.problems.iter().for_each(print);
            let warnings = loaded.problems.len() - errors;
            match loaded.world.as_ref().filter(|_| errors == 0) {
                Some(world) => say(format_args!(
                    "{}: in order: {}, {}, {}{}",
                    globals.config.display(),
                    count(world.config.accounts.len(), "account"),
                    count(world.config.flows.len(), "flow"),
                    count(world.registry.names().count(), "connector"),
                    if warnings > 0 { format!("; {}", count(warnings, "warning")) } else { String::new() },
                )),
                None => complain(format_args!("{}: {}", globals.config.display(), count(errors, "error"))),
            }
        }
        Ok(if errors == 0 && loaded.world.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Prints a finding as people (and editors) read it.
pub fn print(found: &Diagnostic) {
    complain(found);
}

fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

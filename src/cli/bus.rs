//! `crossdock bus topology`: what stands on the broker.

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{Done, Failure, Globals, block_on, complain, files, say};
use crate::app;

/// Print what the daemon declares on a broker, or compare it with what stands there.
#[derive(Debug, Args)]
pub struct Bus {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print the exchanges, queues and bindings that the daemon declares; with --check, compare them with the broker.
    Topology(Topology),
}

#[derive(Debug, Args)]
struct Topology {
    /// Compare with the broker of [bus] in the config: exit code 1 when anything is missing or differs. Changes nothing.
    #[arg(long)]
    check: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Bus {
    /// Runs the command.
    ///
    /// # Errors
    /// When the broker cannot be reached, or the config names none.
    pub fn run(self, globals: &Globals) -> Done {
        let What::Topology(Topology { check, json }) = self.what;
        let topology = app::bus::topology();
        if !check {
            if json {
                say(serde_json::to_string_pretty(&topology)?);
            } else {
                say(topology.to_string().trim_end());
            }
            return Ok(ExitCode::SUCCESS);
        }
        let Some(world) = files::load(&globals.config).world else {
            return Err(Failure(format!(
                "{} is not in order: see `crossdock check`",
                globals.config.display()
            )));
        };
        let Some(differences) = block_on(app::bus::compare(&world.config))?? else {
            return Err(Failure("the config names no broker: [bus] kind is \"embedded\"".to_owned()));
        };
        if json {
            say(serde_json::to_string_pretty(&differences)?);
        } else {
            for difference in &differences {
                complain(format_args!("{}: {}", difference.what, difference.found));
            }
            if differences.is_empty() {
                let (exchanges, queues) = (topology.exchanges.len(), topology.queues.len());
                say(format_args!("{exchanges} exchanges and {queues} queues stand as they should"));
            }
        }
        Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

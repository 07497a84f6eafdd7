//! The command line: one file a subcommand.
//!
//! A subcommand is a struct that derives [`clap::Args`] and has `run(self, &Globals) -> Done`. Results go to stdout (with
//! `--json` where people script), everything else to stderr. Exit codes: 0 done, 1 not (a check failed, nothing found,
//! an error), 2 wrong usage.

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::diagnostic::meant;

pub mod accounts;
pub mod bench;
pub mod bus;
pub mod check;
pub mod client;
pub mod connector;
pub mod exceptions;
pub mod demo;
pub mod folder;
pub mod node;
pub mod messages;
pub mod orders;
pub mod run;
pub mod sandbox;
pub mod map;
pub mod store;
pub mod nodes;
pub mod reload;
pub mod webhook;

pub use crate::generation::files;

/// Links storefronts, warehouses, carriers and payment gateways, and keeps every order in step.
#[derive(Debug, Parser)]
#[command(name = "crossdock", version, about, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Command,
}

/// Options of every subcommand.
#[derive(Debug, Clone, Args)]
pub struct Globals {
    /// The config file; connectors, mappings and lists lie beside it.
    #[arg(long, global = true, default_value = "config.toml", env = "CROSSDOCK_CONFIG", value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the daemon until SIGTERM or SIGINT. A second signal ends it at once.
    Run(run::Run),
    /// Start daemon and simulated partners, place orders of all kinds, and check both sides at the end.
    Demo(demo::Demo),
    /// Post signed webhooks of orders to a daemon, follow them to the warehouse, and say how fast that went.
    Bench(bench::Bench),
    /// Check config, connectors and mappings; report every problem with its place.
    Check(check::Check),
    /// List connectors, or show what one of them says.
    Connector(connector::Connector),
    /// Serve simulated partners on loopback.
    Sandbox(sandbox::Sandbox),
    /// Try mappings: run one over a payload, run their tests, explain where each field comes from.
    Map(map::Map),
    /// List orders, show one, or decide about one.
    Orders(orders::Orders),
    /// List what needs a person, show one exception, try them again.
    Exceptions(exceptions::Exceptions),
    /// Show a recorded message, or map messages anew.
    Messages(messages::Messages),
    /// Show the accounts: lane, limits, last contact.
    Accounts(accounts::Accounts),
    /// Show what stands on the message broker, or compare it with what should.
    Bus(bus::Bus),
    /// Have the daemon read its files again now.
    Reload(reload::Reload),
    /// List what was in force when, or show files as they were.
    Generations(reload::Generations),
    /// Try a webhook's signature.
    Webhook(webhook::Webhook),
    /// Bring the store to the newest form, look at it, copy it out, or move another one into it.
    Store(store::Store),
    /// Show the nodes that run on the configured store, and which shards and accounts each of them has.
    Nodes(nodes::Nodes),
}

/// How a subcommand ended: an exit code, or an error in words.
pub type Done = Result<ExitCode, Failure>;

/// That there is no such thing, and what was probably meant.
fn unknown(what: &str, given: &str, known: &[&str]) -> Failure {
    let help = meant(given, known.iter().copied()).map(|help| format!("; {help}")).unwrap_or_default();
    Failure(format!("there is no {what} `{given}`{help}"))
}

/// An error in words for stderr.
#[derive(Debug)]
pub struct Failure(pub String);

impl<E: Display> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Runs the command line `args` (with the program's name first).
pub fn run(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let Cli { globals, command } = match Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; clap knows where each goes.
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let done = match command {
        Command::Run(command) => command.run(&globals),
        Command::Demo(command) => command.run(&globals),
        Command::Bench(command) => command.run(&globals),
        Command::Check(command) => command.run(&globals),
        Command::Connector(command) => command.run(&globals),
        Command::Sandbox(command) => command.run(&globals),
        Command::Map(command) => command.run(&globals),
        Command::Orders(command) => command.run(&globals),
        Command::Exceptions(command) => command.run(&globals),
        Command::Messages(command) => command.run(&globals),
        Command::Accounts(command) => command.run(&globals),
        Command::Bus(command) => command.run(&globals),
        Command::Reload(command) => command.run(&globals),
        Command::Generations(command) => command.run(&globals),
        Command::Webhook(command) => command.run(&globals),
        Command::Store(command) => command.run(&globals),
        Command::Nodes(command) => command.run(&globals),
    };
    done.unwrap_or_else(|Failure(message)| {
        complain(format_args!("crossdock: {message}"));
        ExitCode::FAILURE
    })
}

/// Writes a line to stdout. That nobody reads any more (`| head`) is no error.
pub fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Writes a line to stderr.
pub fn complain(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Runs a future to its end on a runtime with all cores.
///
/// # Errors
/// When the runtime cannot be built.
pub fn block_on<T>(future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    Ok(runtime.block_on(future))
}

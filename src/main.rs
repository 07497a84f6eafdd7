//! The `crossdock` binary: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    crossdock::cli::run(std::env::args_os())
}

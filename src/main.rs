//! The `crossdock` binary: arguments in, exit code out.

use std::process::ExitCode;

/// Work goes from thread to thread in many small pieces, and SQLite allocates too: a quarter of the time went there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    crossdock::cli::run(std::env::args_os())
}

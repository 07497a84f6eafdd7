//! `crossdock run`: the daemon.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Done, Failure, Globals, block_on, complain, files};
use crate::app::Prepared;
use crate::telemetry;

/// Run the daemon until SIGTERM or SIGINT. A second signal ends it at once.
#[derive(Debug, Args)]
pub struct Run {
    /// Listen here instead of at `server.listen`: nodes on one machine then share one config.
    #[arg(long, value_name = "ADDRESS", env = "CROSSDOCK_LISTEN")]
    listen: Option<SocketAddr>,
}

impl Run {
    /// Runs the command.
    ///
    /// # Errors
    /// When the config is wrong or the daemon cannot start.
    pub fn run(self, globals: &Globals) -> Done {
        let loaded = files::load(&globals.config);
        for problem in &loaded.problems {
            complain(problem);
        }
        let Some(mut prepared) = Prepared::of(loaded) else {
            return Err(Failure(format!("{} is not fit to run with", globals.config.display())));
        };
        prepared.listen = self.listen;
        let log = &prepared.world.config.log;
        telemetry::start_logs(&log.filter, log.json)?;
        block_on(serve(prepared))?
    }
}

async fn serve(prepared: Prepared) -> Done {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let running = prepared.start().await?;
    complain(format_args!("crossdock listens on http://{}", running.address));
    loop {
        tokio::select! {
            () = either(&mut terminate, &mut interrupt) => break,
            Some(()) = hang_up.recv() => {
                if let Err(error) = running.generations.reload("signal").await {
                    complain(format_args!("the files cannot be read again now: {error}"));
                }
            }
        }
    }
    tokio::select! {
        () = running.stop() => Ok(ExitCode::SUCCESS),
        () = either(&mut terminate, &mut interrupt) => {
            complain("a second signal: ending at once");
            std::process::exit(130)
        }
    }
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}

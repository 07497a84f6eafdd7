//! Daemons in processes of their own, for commands that start some.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use super::Failure;

/// How long a daemon may take to start, or to stop.
const PATIENCE: Duration = Duration::from_mins(1);
/// Lines that are kept of what it says.
const KEPT: usize = 50;

/// A daemon in a process of its own, which ends with this value.
#[derive(Debug)]
pub struct Node {
    child: Child,
    number: usize,
    /// Where it listens.
    pub address: SocketAddr,
    said: Arc<Mutex<VecDeque<String>>>,
}

impl Node {
    /// Starts this program as the daemon `number` with the config, listening there instead of where that says, and waits
    /// until it listens. `hear` is given each line that it says from then on.
    ///
    /// # Errors
    /// When it does not start; with what it said.
    pub async fn start(
        number: usize,
        config: &Path,
        listen: Option<SocketAddr>,
        hear: impl FnMut(&str) + Send + 'static,
    ) -> Result<Self, Failure> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("run").arg("--config").arg(config);
        if let Some(listen) = listen {
            command.arg("--listen").arg(listen.to_string());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stderr = child.stderr.take().ok_or("the daemon's messages cannot be read")?;
        let mut lines = BufReader::new(stderr).lines();
        let said = Arc::default();
        let begin = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix("crossdock listens on http://") {
                    return Ok(address.parse()?);
                }
                keep(&said, line);
            }
            Err(Failure(format!("node {number} does not start:\n{}", told(&said))))
        };
        let address = timeout(PATIENCE, begin).await.unwrap_or_else(|_| {
            let told = told(&said);
            Err(Failure(format!("node {number} does not start within {PATIENCE:?}:\n{told}")))
        })?;
        tokio::spawn(listen_to(lines, said.clone(), hear));
        Ok(Self { child, number, address, said })
    }

    /// Its process; none once it has ended.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Makes sure that it runs.
    ///
    /// # Errors
    /// When it ended by itself; with what it said last.
    pub fn check(&mut self) -> Result<(), Failure> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => {
                let told = told(&self.said);
                Err(Failure(format!("node {} ended by itself ({status}):\n{told}", self.number)))
            }
        }
    }

    /// SIGKILL: no handler runs, nothing is drained.
    ///
    /// # Errors
    /// When it cannot be killed.
    pub async fn kill(&mut self) -> Result<(), Failure> {
        Ok(self.child.kill().await?)
    }

    /// Ends it in good order.
    ///
    /// # Errors
    /// When it does not end by itself and cannot be killed.
    pub async fn stop(mut self) -> Result<(), Failure> {
        let Some(pid) = self.pid() else { return Ok(()) };
        let asked = Command::new("kill").arg("-TERM").arg(pid.to_string()).status().await?;
        if !asked.success() || timeout(PATIENCE, self.child.wait()).await.is_err() {
            self.kill().await?;
        }
        Ok(())
    }
}

fn lock(said: &Mutex<VecDeque<String>>) -> MutexGuard<'_, VecDeque<String>> {
    said.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(said: &Mutex<VecDeque<String>>, line: String) {
    let mut said = lock(said);
    said.push_back(line);
    if said.len() > KEPT {
        said.pop_front();
    }
}

fn told(said: &Mutex<VecDeque<String>>) -> String {
    lock(said).iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

async fn listen_to(
    mut lines: Lines<BufReader<ChildStderr>>,
    said: Arc<Mutex<VecDeque<String>>>,
    mut hear: impl FnMut(&str) + Send,
) {
    while let Ok(Some(line)) = lines.next_line().await {
        hear(&line);
        keep(&said, line);
    }
}

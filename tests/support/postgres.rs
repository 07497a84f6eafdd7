//! A private PostgreSQL server: started, stopped, killed and started again by a test.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio_postgres::{Client, NoTls};

/// A server with a data folder of its own. It ends with this value, or with the process.
pub struct Server {
    folder: TempDir,
    bin: PathBuf,
    pub port: u16,
    process: Option<Process>,
    databases: AtomicU32,
}

/// The server's process, and the thread whose end would end it.
struct Process {
    id: u32,
    commands: mpsc::Sender<()>,
    ended: mpsc::Receiver<()>,
}

impl Server {
    /// Makes a cluster and starts a server on it. `settings` are lines of `postgresql.conf`.
    pub async fn start(settings: &str) -> Self {
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::start_in(memory, settings).await
        } else {
            Self::start_in(&std::env::temp_dir(), settings).await
        }
    }

    /// The same, with the cluster below `parent`.
    pub async fn start_in(parent: &Path, settings: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("crossdock-pg-").tempdir_in(parent).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let bin = bin();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        if root() {
            run(Command::new("chown").arg("postgres").arg(&data));
        }
        let mut init = as_postgres(&bin.join("initdb"));
        run(init.arg("-D").arg(&data).args([
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]));
        let port = free_port();
        let mut conf = fs::read_to_string(data.join("postgresql.conf")).unwrap();
        conf += "\nlisten_addresses='127.0.0.1'\nunix_socket_directories=''\nshared_buffers=64MB\nmax_connections=100\n\
            deadlock_timeout=200ms\nlogging_collector=off\n";
        fs::write(data.join("postgresql.conf"), format!("{conf}port={port}\n{settings}\n")).unwrap();
        let mut server = Self { folder, bin, port, process: None, databases: AtomicU32::new(0) };
        server.go_on().await;
        server
    }

    /// Starts the server again after [`Self::stop`] or [`Self::kill`], and waits until it answers.
    pub async fn go_on(&mut self) {
        assert!(self.process.is_none(), "it runs");
        let begun = Instant::now();
        let mut process = self.spawn();
        while self.connect("postgres").await.is_err() {
            assert!(begun.elapsed() < Duration::from_mins(1), "the server does not start: {}", self.log());
            // After a kill the first start may find that the old server's children are not gone yet.
            if process.ended.try_recv().is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
                process = self.spawn();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.process = Some(process);
    }

    fn spawn(&self) -> Process {
        let (data, log) = (self.data(), self.folder.path().join("log"));
        let (bin, (commands, told), (end, ended)) =
            (self.bin.join("postgres"), mpsc::channel(), mpsc::channel());
        let (started, id) = mpsc::channel();
        // The kernel ends the server when the thread ends that has started it: this one lives as long as the process.
        thread::spawn(move || {
            let log = fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
            let mut child: Child = as_postgres(&bin)
                .arg("-D")
                .arg(data)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .spawn()
                .unwrap();
            started.send(child.id()).unwrap();
            let _status = child.wait();
            let _nobody_asks = end.send(());
            let _the_end = told.recv();
        });
        Process { id: id.recv().unwrap(), commands, ended }
    }

    /// Stops the server as an operator would (`fast`): connections are cut.
    pub fn stop(&mut self) {
        self.signal("INT");
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.signal("KILL");
    }

    fn signal(&mut self, signal: &str) {
        let process = self.process.take().expect("it runs");
        run(Command::new("kill").arg(format!("-{signal}")).arg(process.id.to_string()));
        process.ended.recv_timeout(Duration::from_secs(30)).expect("the server ends");
        drop(process.commands);
    }

    /// A new, empty database; gives its URL.
    pub async fn database(&self) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = self.connect("postgres").await.unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        self.url(&name)
    }

    /// A copy of a database that nobody uses; gives its URL.
    pub async fn copy(&self, of: &str) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let client = self.connect("postgres").await.unwrap();
        let of = of.rsplit('/').next().unwrap();
        client.batch_execute(&format!("CREATE DATABASE {name} TEMPLATE {of}")).await.unwrap();
        self.url(&name)
    }

    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A plain connection, for looking and for mischief.
    pub async fn connect(&self, database: &str) -> Result<Client, tokio_postgres::Error> {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls).await?;
        drop(tokio::spawn(connection));
        Ok(client)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            let _gone = Command::new("kill").arg("-KILL").arg(process.id.to_string()).status();
            let _late = process.ended.recv_timeout(Duration::from_secs(10));
            drop(process.commands);
        }
    }
}

/// Where the newest server's programs lie.
fn bin() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let bin = entry.path().join("bin");
            let version = entry.file_name().to_str()?.parse().ok()?;
            bin.join("initdb").exists().then_some((version, bin))
        })
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL is not installed: run scripts/setup").1
}

fn root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

/// The program, as the user `postgres` when we are root: the server refuses to run as root.
fn as_postgres(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=KILL");
    if root() {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    }
    command.arg(program).env("LC_ALL", "C").current_dir("/");
    command
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error: io::Error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

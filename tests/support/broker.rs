//! A private `RabbitMQ`: own ports, own folder, own port mapper, all children of the test, all ended by their process id.

#![allow(dead_code, reason = "each test uses its part")]

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PROGRAMS: &str = "/usr/lib/rabbitmq/bin";

/// A broker of the test's own.
pub struct Broker {
    folder: tempfile::TempDir,
    port: u16,
    mapper_port: u16,
    node_port: u16,
    mapper: Child,
    server: Option<Child>,
    tls_port: u16,
}

const SETTINGS: &str =
    "loopback_users.guest = true\ndisk_free_limit.absolute = 50MB\nlog.file.level = warning\n";

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Broker {
    /// Starts it and waits until it takes connections.
    pub fn start() -> Self {
        let mut broker = Self::prepared();
        broker.begin();
        broker
    }

    /// The same, which takes connections under TLS at [`Broker::tls_port`], too.
    pub fn start_with_tls(authority: &Path, certificate: &Path, key: &Path) -> Self {
        let mut broker = Self::prepared();
        broker.use_tls(authority, certificate, key);
        broker.begin();
        broker
    }

    /// What it shows under TLS from its next start on.
    pub fn use_tls(&self, authority: &Path, certificate: &Path, key: &Path) {
        let (port, authority) = (self.tls_port, authority.display());
        let (certificate, key) = (certificate.display(), key.display());
        let text = format!(
            "{SETTINGS}listeners.ssl.1 = 127.0.0.1:{port}\nssl_options.cacertfile = {authority}\n\
             ssl_options.certfile = {certificate}\nssl_options.keyfile = {key}\n\
             ssl_options.verify = verify_none\nssl_options.fail_if_no_peer_cert = false\n"
        );
        std::fs::write(self.folder.path().join("rabbitmq.conf"), text).unwrap();
    }

    /// Where it takes connections under TLS.
    pub fn tls_port(&self) -> u16 {
        self.tls_port
    }

    fn prepared() -> Self {
        assert!(
            Path::new(PROGRAMS).join("rabbitmq-server").exists(),
            "RabbitMQ is not installed: run scripts/setup"
        );
        let folder = tempfile::tempdir().unwrap();
        let (port, mapper_port, node_port) = (free_port(), free_port(), free_port());
        std::fs::write(folder.path().join("rabbitmq.conf"), SETTINGS).unwrap();
        std::fs::write(folder.path().join("enabled_plugins"), "[].\n").unwrap();
        let mapper = Command::new("epmd")
            .args(["-port", &mapper_port.to_string(), "-address", "127.0.0.1"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self { folder, port, mapper_port, node_port, mapper, server: None, tls_port: free_port() }
    }

    /// `amqp://…` of the broker itself.
    pub fn url(&self) -> String {
        Self::url_at(self.port)
    }

    /// `amqp://…` through a proxy at another port.
    pub fn url_at(port: u16) -> String {
        format!("amqp://guest:guest@127.0.0.1:{port}/%2f")
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts the server, after a stop or a kill too.
    pub fn begin(&mut self) {
        assert!(self.server.is_none(), "it runs already");
        let out = std::fs::File::create(self.folder.path().join("out")).unwrap();
        // A group of its own: the start script has children, and all of them go together.
        let child = self
            .command("rabbitmq-server")
            .stdin(Stdio::null())
            .stdout(out.try_clone().unwrap())
            .stderr(out)
            .process_group(0)
            .spawn()
            .unwrap();
        self.server = Some(child);
        let started = Instant::now();
        loop {
            if self.answers() {
                return;
            }
            if let Some(status) = self.server.as_mut().unwrap().try_wait().unwrap() {
                panic!("RabbitMQ ended at its start ({status}): {}", self.output());
            }
            assert!(started.elapsed() < Duration::from_mins(2), "RabbitMQ does not start: {}", self.output());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Whether it greets a client: it says its version when it hears something that is no AMQP.
    fn answers(&self) -> bool {
        use std::io::{Read as _, Write as _};
        let Ok(mut stream) = std::net::TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let _set = stream.set_read_timeout(Some(Duration::from_secs(2)));
        let mut answer = [0_u8; 4];
        stream.write_all(b"NOT AMQP").is_ok() && stream.read_exact(&mut answer).is_ok() && &answer == b"AMQP"
    }

    fn output(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("out")).unwrap_or_default()
    }

    fn server_pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.folder.path().join("pid")).ok()?.trim().parse().ok()
    }

    /// Power off: no time for anything.
    pub fn kill(&mut self) {
        self.end("-KILL");
    }

    /// In good order.
    pub fn stop(&mut self) {
        self.end("-TERM");
    }

    /// Halts it without ending it: connections stay and nothing answers.
    pub fn halt(&self) {
        signal("-STOP", &self.server_pid().unwrap().to_string());
    }

    /// Lets it go on after [`Broker::halt`].
    pub fn go_on(&self) {
        signal("-CONT", &self.server_pid().unwrap().to_string());
    }

    fn end(&mut self, how: &str) {
        let Some(mut child) = self.server.take() else { return };
        if let Some(pid) = self.server_pid() {
            signal(how, &pid.to_string());
        }
        let asked = Instant::now();
        while child.try_wait().unwrap().is_none() {
            if asked.elapsed() > Duration::from_mins(1) {
                signal("-KILL", &format!("-{}", child.id()));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _gone = std::fs::remove_file(self.folder.path().join("pid"));
    }

    /// `rabbitmqctl`: what it printed.
    pub fn control(&self, arguments: &[&str]) -> String {
        let output = self.command("rabbitmqctl").args(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {text} {error}");
        text
    }

    fn command(&self, program: &str) -> Command {
        let folder = self.folder.path();
        let at = |name: &str| -> PathBuf { folder.join(name) };
        let mut command = Command::new(Path::new(PROGRAMS).join(program));
        command
            .env("HOME", folder)
            .env("RABBITMQ_NODENAME", format!("crossdock{}@localhost", self.port))
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODE_PORT", self.port.to_string())
            .env("RABBITMQ_DIST_PORT", self.node_port.to_string())
            .env("ERL_EPMD_PORT", self.mapper_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", at("mnesia"))
            .env("RABBITMQ_LOG_BASE", at("log"))
            .env("RABBITMQ_PID_FILE", at("pid"))
            .env("RABBITMQ_CONFIG_FILE", at("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", at("enabled_plugins"))
            .env("RABBITMQ_CONF_ENV_FILE", "/dev/null");
        command
    }
}

fn signal(which: &str, whom: &str) {
    let _sent = Command::new("kill").args([which, "--", whom]).stderr(Stdio::null()).status();
}

impl Drop for Broker {
    fn drop(&mut self) {
        if let (Some(child), Some(pid)) = (self.server.as_ref(), self.server_pid()) {
            signal("-CONT", &pid.to_string());
            signal("-KILL", &pid.to_string());
            signal("-KILL", &format!("-{}", child.id()));
        }
        if let Some(mut child) = self.server.take() {
            let _killed = child.kill();
            let _waited = child.wait();
        }
        let _killed = self.mapper.kill();
        let _waited = self.mapper.wait();
    }
}

//! A private authority and certificates that it signs, made by the program `openssl`.

#![allow(dead_code, reason = "each test uses its part")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The authority; its files end with it.
pub struct Authority {
    folder: tempfile::TempDir,
}

/// A server's certificate and key.
pub struct Certificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    pub fn new() -> Self {
        let authority = Self { folder: tempfile::tempdir().unwrap() };
        // Whoever the server runs as must be able to look inside.
        openssl(Command::new("chmod").arg("755").arg(authority.folder.path()));
        let subject = ["-subj", "/CN=An authority of the test"];
        openssl(
            authority
                .command()
                .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"])
                .args(["-keyout", "authority.key", "-out", "authority.pem"])
                .args(subject),
        );
        authority
    }

    /// Its own certificate, by which others are judged.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(self.file()).unwrap()
    }

    /// A certificate for a server of these names: `DNS:localhost,IP:127.0.0.1`.
    pub fn sign(&self, file: &str, names: &str) -> Certificate {
        let at = |end: &str| self.folder.path().join(format!("{file}.{end}"));
        std::fs::write(at("names"), format!("subjectAltName={names}\n")).unwrap();
        openssl(
            self.command()
                .args(["req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=A server of the test"])
                .arg("-keyout")
                .arg(at("key"))
                .arg("-out")
                .arg(at("request")),
        );
        openssl(
            self.command()
                .args(["x509", "-req", "-days", "2", "-CA", "authority.pem", "-CAkey", "authority.key"])
                .arg("-CAcreateserial")
                .arg("-in")
                .arg(at("request"))
                .arg("-extfile")
                .arg(at("names"))
                .arg("-out")
                .arg(at("pem")),
        );
        Certificate { certificate: at("pem"), key: at("key") }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("openssl");
        command.current_dir(self.folder.path());
        command
    }
}

fn openssl(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}: run scripts/setup"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// For a server's settings.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

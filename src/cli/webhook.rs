//! `crossdock webhook verify`: does this signature fit?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

use super::{Done, Failure, Globals, complain, files, say};
use crate::connector::manifest::Signature;
use crate::connector::signature;

/// See [`super::Cli`].
#[derive(Debug, Args)]
pub struct Webhook {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Verify the signature of a recorded webhook: exit 0 when it is valid, 1 when it is not.
    Verify(Verify),
}

/// `crossdock webhook verify`.
#[derive(Debug, Args)]
struct Verify {
    /// The connector whose scheme is used.
    connector: String,
    /// A secret that may have signed it; several while one is rotated.
    #[arg(
        long = "secret",
        value_name = "S",
        required = true,
        env = "CROSSDOCK_WEBHOOK_SECRET",
        hide_env_values = true
    )]
    secrets: Vec<String>,
    /// The request's headers: a JSON object, the values of which are texts or lists of texts.
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,
    /// The raw body, byte for byte.
    #[arg(long, value_name = "FILE")]
    body: PathBuf,
    /// The moment at which it is judged, in Unix seconds; now when left out.
    #[arg(long, value_name = "UNIX")]
    now: Option<i64>,
    /// The address that the partner called, where the signature covers it.
    #[arg(long, value_name = "URL", default_value = "")]
    url: String,
}

impl Webhook {
    /// 0 when it is valid, 1 when it is not.
    ///
    /// # Errors
    /// When a file or the connector cannot be read.
    pub fn run(self, globals: &Globals) -> Done {
        let What::Verify(verify) = self.what;
        verify.run(globals)
    }
}

impl Verify {
    fn run(self, globals: &Globals) -> Done {
        let (sources, _) = files::read_dir_over(crate::config::embedded(), &globals.config);
        let (registry, problems) = crate::connector::load(&sources);
        let Some(connector) = registry.get(&self.connector) else {
            problems
                .iter()
                .filter(|found| found.file.contains(&self.connector))
                .for_each(super::check::print);
            return Err(Failure(format!("there is no connector `{}`", self.connector)));
        };
        let Some(webhook) = &connector.manifest.webhook else {
            return Err(Failure(format!("the connector `{}` takes no webhooks", self.connector)));
        };
        let headers = headers(&self.headers)?;
        let body = fs::read(&self.body).map_err(|error| named(&self.body, &error))?;
        let now = match self.now {
            Some(seconds) => Timestamp::from_second(seconds)?,
            None => machine_time(),
        };
        let secrets: Vec<SecretString> = self.secrets.into_iter().map(SecretString::from).collect();
        if let Signature::None { why } = &webhook.signature {
            complain(format_args!("not signed: {why}"));
            return Ok(ExitCode::FAILURE);
        }
        match signature::verify(&webhook.signature, &secrets, &headers, &body, &self.url, now) {
            Ok(()) => {
                say("valid");
                Ok(ExitCode::SUCCESS)
            }
            Err(error) => {
                say(format_args!("not valid: {error}"));
                Ok(ExitCode::FAILURE)
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the person who types the command means the time of this machine"
)]
fn machine_time() -> Timestamp {
    Timestamp::now()
}

fn headers(path: &Path) -> Result<Vec<(String, String)>, Failure> {
    let bytes = fs::read(path).map_err(|error| named(path, &error))?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|error| named(path, &error))?;
    let Value::Object(fields) = value else {
        return Err(named(path, &"expected a JSON object of header names and values"));
    };
    let mut all = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Array(values) => {
                all.extend(values.iter().map(|value| (name.clone(), text(value))));
            }
            value => all.push((name, text(&value))),
        }
    }
    Ok(all)
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure(format!("{}: {error}", path.display()))
}

//! Talks to the running daemon through its API.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Failure, Globals, files, say};
use crate::app;
use crate::ports::{Http, HttpError, HttpRequest, HttpResponse};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the daemon listens when nothing says otherwise.
const USUAL: &str = "http://127.0.0.1:7070";

/// Which daemon to ask, and how to print what it says.
#[derive(Debug, Clone, Args)]
pub struct Asking {
    /// Where the daemon is; without it, where the config says that it listens.
    #[arg(long, env = "CROSSDOCK_URL", value_name = "URL")]
    url: Option<String>,
    /// Its token; without it, and without --url, the config's.
    #[arg(long, env = "CROSSDOCK_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Print the answer as JSON.
    #[arg(long)]
    pub json: bool,
}

/// A daemon that can be asked.
pub struct Client {
    http: Arc<dyn Http>,
    base: String,
    token: Option<SecretString>,
}

impl Asking {
    /// Whether a daemon was named that may be on another machine.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.url.is_some()
    }

    /// The daemon that is meant.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn client(&self, globals: &Globals) -> Result<Client, Failure> {
        let mut token = self.token.as_deref().map(SecretString::from);
        let base = if let Some(url) = &self.url {
            url.trim_end_matches('/').to_owned()
        } else {
            // A config that is wrong elsewhere still tells where the daemon listens.
            let listen = match files::load(&globals.config).world {
                Some(world) => {
                    token = token.or(world.config.server.token);
                    Some(world.config.server.listen)
                }
                None => files::listens(&globals.config),
            };
            match listen {
                Some(mut listen) => {
                    if listen.ip().is_unspecified() {
                        listen.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
                    }
                    format!("http://{listen}")
                }
                None => USUAL.to_owned(),
            }
        };
        Ok(Client { http: app::http()?, base, token })
    }
}

impl Client {
    /// The daemon at `base`.
    ///
    /// # Errors
    /// When no HTTP client can be made.
    pub fn at(base: &str, token: Option<SecretString>) -> Result<Self, Failure> {
        Ok(Self { http: app::http()?, base: base.trim_end_matches('/').to_owned(), token })
    }

    /// Where the daemon is.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The answer to a question.
    ///
    /// # Errors
    /// When the daemon cannot be reached or says no; the text tells what to do.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        self.ask("GET", path, None).await
    }

    /// The answer to a request that changes something.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn post<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        self.ask("POST", path, Some(body)).await
    }

    /// The answer to a request that changes something and whose refusal is an answer of the same form.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn change<T: DeserializeOwned>(&self, path: &str, body: &Value) -> Result<T, Failure> {
        let answer = self.send("POST", path, Some(body)).await?;
        if answer.status == 422
            && let Ok(refused) = serde_json::from_slice(&answer.body)
        {
            return Ok(refused);
        }
        self.read(&answer)
    }

    /// The answer to a question as text.
    ///
    /// # Errors
    /// As for [`Client::get`].
    pub async fn text(&self, path: &str) -> Result<String, Failure> {
        let answer = self.send("GET", path, None).await?;
        if (200..300).contains(&answer.status) {
            return Ok(String::from_utf8_lossy(&answer.body).into_owned());
        }
        Err(self.refused(answer.status, &answer.body))
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let answer = self.send(method, path, body).await?;
        self.read(&answer)
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Result<HttpResponse, Failure> {
        let mut headers = vec![("accept".to_owned(), "application/json".to_owned())];
        if let Some(token) = &self.token {
            headers.push(("authorization".to_owned(), format!("Bearer {}", token.expose_secret())));
        }
        if body.is_some() {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        let request = HttpRequest {
            method: method.to_owned(),
            url: format!("{}{path}", self.base),
            headers,
            body: body.map(|body| Bytes::from(body.to_string())).unwrap_or_default(),
        };
        self.http.send(request, PATIENCE).await.map_err(|error| self.unreached(&error))
    }

    fn read<T: DeserializeOwned>(&self, answer: &HttpResponse) -> Result<T, Failure> {
        if (200..300).contains(&answer.status) {
            return serde_json::from_slice(&answer.body).map_err(|error| {
                Failure(format!("{} does not answer like a Crossdock: {error}", self.base))
            });
        }
        Err(self.refused(answer.status, &answer.body))
    }

    fn unreached(&self, error: &HttpError) -> Failure {
        match error {
            HttpError::NotSent(why) => Failure(format!(
                "no daemon at {} ({why})\n  start it with `crossdock run`, or name another with --url",
                self.base
            )),
            HttpError::NoAnswer(why) => {
                Failure(format!("{} does not answer ({why})\n  its log may tell why", self.base))
            }
        }
    }

    fn refused(&self, status: u16, body: &[u8]) -> Failure {
        if status == 401 {
            let how = "give the daemon's token with --token or in CROSSDOCK_TOKEN";
            let what = if self.token.is_some() { "that is not its token" } else { "it wants a token" };
            return Failure(format!("{}: {what}\n  {how}", self.base));
        }
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let error = said["error"].as_str().map_or_else(|| format!("HTTP status {status}"), str::to_owned);
        match said["help"].as_str() {
            Some(help) => Failure(format!("{error}\n  {help}")),
            None => Failure(error),
        }
    }
}

/// A query string of the pairs that have a value, with `?` before it.
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let given: Vec<(&str, &String)> =
        pairs.iter().filter_map(|(name, value)| Some((*name, value.as_ref()?))).collect();
    let text = serde_urlencoded::to_string(given).unwrap_or_default();
    if text.is_empty() { text } else { format!("?{text}") }
}

/// `text` as one step of a path.
pub fn step(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    out
}

/// An instant to the second, in UTC; a dash for none.
pub fn time(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

/// `value` as JSON, laid out, to stdout.
///
/// # Errors
/// When it is no JSON.
pub fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    say(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Rows under a head, in columns as wide as they need to be.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) {
    let mut widths = head.map(|name| name.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    say(line(&head, &widths));
    for row in rows {
        say(line(row, &widths));
    }
}

fn line(cells: &[impl Display], widths: &[usize]) -> String {
    let cells = cells.iter().zip(widths).map(|(cell, width)| format!("{:<width$}", cell.to_string()));
    let cells: Vec<String> = cells.collect();
    cells.join("  ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_in_a_path() {
        assert_eq!(step("#1001/a b"), "%231001%2Fa%20b");
        assert_eq!(step("ord_abc"), "ord_abc");
        assert_eq!(query(&[("phase", Some("on_hold".into())), ("limit", None)]), "?phase=on_hold");
        assert_eq!(line(&["a", "bc"], &[3, 2]), "a    bc");
    }
}

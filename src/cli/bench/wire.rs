//! A connection that costs as little as it can: it stays open, and requests are written as they are. Addresses under TLS go
//! through the ordinary HTTP client.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::ports::{Http, HttpRequest};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// An answer of a daemon is small.
const MOST: usize = 1 << 20;

/// Where webhooks are posted.
#[derive(Clone)]
pub struct Target {
    base: String,
    /// Host and port, unless it is under TLS.
    plain: Option<String>,
    http: Arc<dyn Http>,
}

impl Target {
    /// Reads an address such as `http://127.0.0.1:7070`.
    ///
    /// # Errors
    /// When it is none.
    pub fn new(url: &str, http: Arc<dyn Http>) -> Result<Self, String> {
        let wrong =
            |why: String| format!("`{url}` is no address of a daemon: {why}; expected http://host:port");
        let parsed = url::Url::parse(url).map_err(|error| wrong(error.to_string()))?;
        let base = url.trim_end_matches('/').to_owned();
        let host = parsed.host_str().ok_or_else(|| wrong("it has no host".to_owned()))?;
        let plain = match parsed.scheme() {
            "http" => Some(format!("{host}:{}", parsed.port_or_known_default().unwrap_or(80))),
            "https" => None,
            other => return Err(wrong(format!("it begins with {other}"))),
        };
        Ok(Self { base, plain, http })
    }

    /// The port, when it is on this machine.
    pub fn local_port(&self) -> Option<u16> {
        let (host, port) = self.plain.as_ref()?.rsplit_once(':')?;
        matches!(host, "localhost" | "[::1]")
            .then_some(())
            .or_else(|| host.starts_with("127.").then_some(()))?;
        port.parse().ok()
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// The body, for messages.
    pub body: String,
}

/// One connection to a target; opened when it is needed, and again when it broke.
pub struct Line {
    target: Target,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl Line {
    /// A connection that is not open yet.
    pub fn new(target: Target) -> Self {
        Self { target, stream: None, buffer: Vec::with_capacity(4096) }
    }

    /// Posts and waits for the answer.
    ///
    /// # Errors
    /// In words, when there is none.
    pub async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let Some(address) = self.target.plain.clone() else {
            return self.through_client(path, headers, body).await;
        };
        let mut request =
            format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {}\r\n", body.len());
        for (name, value) in headers {
            request.extend([name, ": ", value.as_str(), "\r\n"]);
        }
        request.push_str("\r\n");
        let mut request = request.into_bytes();
        request.extend_from_slice(body);
        let answer = match timeout(PATIENCE, self.exchange(&address, &request)).await {
            Ok(answer) => answer,
            Err(_) => Err(format!("no answer within {PATIENCE:?}")),
        };
        if answer.is_err() {
            self.stream = None;
        }
        answer
    }

    async fn exchange(&mut self, address: &str, request: &[u8]) -> Result<Answer, String> {
        let words = |error: std::io::Error| error.to_string();
        let stream = if let Some(stream) = &mut self.stream {
            stream
        } else {
            let stream = TcpStream::connect(address).await.map_err(words)?;
            stream.set_nodelay(true).map_err(words)?;
            self.stream.insert(stream)
        };
        stream.write_all(request).await.map_err(words)?;
        self.buffer.clear();
        loop {
            let read = stream.read_buf(&mut self.buffer).await.map_err(words)?;
            if read == 0 {
                return Err("the connection was closed before the answer".to_owned());
            }
            if self.buffer.len() > MOST {
                return Err("the answer has no end".to_owned());
            }
            if let Some((answer, keep)) = parse(&self.buffer)? {
                if !keep {
                    self.stream = None;
                }
                return Ok(answer);
            }
        }
    }

    async fn through_client(
        &self,
        path: &str,
        headers: &[(&str, String)],
        body: &[u8],
    ) -> Result<Answer, String> {
        let request = HttpRequest {
            method: "POST".to_owned(),
            url: format!("{}{path}", self.target.base),
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
            body: body.to_vec().into(),
        };
        let answer = self.target.http.send(request, PATIENCE).await.map_err(|error| error.to_string())?;
        Ok(Answer { status: answer.status, body: String::from_utf8_lossy(&answer.body).into_owned() })
    }
}

/// Reads an answer and whether the connection stays; `None` while it is not whole.
fn parse(buffer: &[u8]) -> Result<Option<(Answer, bool)>, String> {
    let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&buffer[..end]);
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| "the answer is no HTTP".to_owned())?;
    let header = |wanted: &str| {
        head.lines().skip(1).find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_ascii_lowercase())
        })
    };
    if header("transfer-encoding").is_some() {
        return Err("the answer comes in chunks, which a daemon's does not".to_owned());
    }
    let length: usize = header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let body = &buffer[end + 4..];
    if body.len() < length {
        return Ok(None);
    }
    let keep = header("connection").is_none_or(|value| value != "close");
    Ok(Some((Answer { status, body: String::from_utf8_lossy(&body[..length]).into_owned() }, keep)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_when_they_are_whole() {
        let whole = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbusy";
        for cut in 0..whole.len() {
            assert_eq!(parse(&whole[..cut]).unwrap(), None);
        }
        let (answer, keep) = parse(whole).unwrap().unwrap();
        assert_eq!((answer.status, answer.body.as_str(), keep), (503, "busy", false));
        assert!(parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}

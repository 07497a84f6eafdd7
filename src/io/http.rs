//! Calls partners over HTTP/1.1, with TLS by rustls and ring.
//!
//! The one thing that callers build on is the difference between [`HttpError::NotSent`] and [`HttpError::NoAnswer`]:
//! only what fails before a connection stands is surely not sent. Nothing is repeated and no redirect is followed here:
//! whether a request may go again is for the stages to decide.

use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Client, ClientBuilder, Method, Request, Url, redirect, retry};

use crate::ports::{Http, HttpError, HttpRequest, HttpResponse};

/// Largest answer that is read, after decompression.
const MAX_ANSWER: usize = 16 << 20;
/// How long name resolution, connection and TLS handshake may take together.
const CONNECT: Duration = Duration::from_secs(5);
/// How long an unused connection is kept. Shorter than the usual 60 s of servers, so that few are found closed.
const IDLE: Duration = Duration::from_secs(30);

/// [`Http`] over reqwest.
#[derive(Debug, Clone)]
pub struct ReqwestHttp {
    outside: Client,
    loopback: Client,
}

impl ReqwestHttp {
    /// A client with its own pool of connections. Proxies of the environment are used, except for loopback addresses.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, HttpError> {
        // A second call finds the provider installed already, which is as good.
        let _installed_before = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: reqwest::Error| HttpError::NotSent(words(&error));
        // A machine without root certificates can still reach the sandbox; calls by TLS then fail one by one.
        let outside = base().build().or_else(|_| base().tls_certs_only([]).build()).map_err(failed)?;
        let loopback = base().tls_certs_only([]).no_proxy().build().map_err(failed)?;
        Ok(Self { outside, loopback })
    }

    async fn exchange(&self, request: Request) -> Result<HttpResponse, HttpError> {
        let here = matches!(request.url().host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
            && request.url().scheme() == "http";
        let client = if here { &self.loopback } else { &self.outside };
        let mut response = client.execute(request).await.map_err(|error| sort(&error))?;
        let status = response.status().as_u16();
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| HttpError::NoAnswer(words(&error)))? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(HttpError::NoAnswer(format!(
                    "the answer (status {status}) is larger than 16 MiB"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse { status, headers, body: body.freeze() })
    }
}

#[async_trait]
impl Http for ReqwestHttp {
    async fn send(&self, request: HttpRequest, timeout: Duration) -> Result<HttpResponse, HttpError> {
        let request = build(request)?;
        match tokio::time::timeout(timeout, self.exchange(request)).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => Err(HttpError::NoAnswer(format!("no answer within {timeout:?}"))),
        }
    }
}

fn base() -> ClientBuilder {
    Client::builder()
        .tls_backend_rustls()
        .user_agent(concat!("crossdock/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .connect_timeout(CONNECT)
        .pool_idle_timeout(IDLE)
        .tcp_nodelay(true)
}

/// The request in reqwest's terms; what cannot be one is not sent.
fn build(request: HttpRequest) -> Result<Request, HttpError> {
    let refuse = |what: &str| HttpError::NotSent(what.to_owned());
    let method =
        Method::from_bytes(request.method.as_bytes()).map_err(|_| refuse("the method is no HTTP method"))?;
    let url =
        Url::parse(&request.url).map_err(|error| HttpError::NotSent(format!("the URL is bad: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(HttpError::NotSent(format!("the URL is bad: scheme `{}`", url.scheme())));
    }
    let mut built = Request::new(method, url);
    for (name, value) in &request.headers {
        let (Ok(key), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value))
        else {
            // The value may be a secret: only the name is told.
            return Err(HttpError::NotSent(format!("the header `{name}` is bad")));
        };
        built.headers_mut().append(key, value);
    }
    if !request.body.is_empty() || !matches!(request.method.as_str(), "GET" | "HEAD" | "DELETE") {
        *built.body_mut() = Some(Bytes::into(request.body));
    }
    Ok(built)
}

/// Only failures before the connection stood are surely not sent.
fn sort(error: &reqwest::Error) -> HttpError {
    if error.is_connect() || error.is_builder() {
        HttpError::NotSent(words(error))
    } else {
        HttpError::NoAnswer(words(error))
    }
}

/// The error and its causes in one line, without the URL (it may hold credentials).
fn words(error: &reqwest::Error) -> String {
    use std::error::Error as _;
    let mut parts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(next) = cause {
        let text = next.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        cause = next.source();
    }
    if parts.is_empty() { "the call failed".to_owned() } else { parts.join(": ") }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    fn request(url: &str) -> HttpRequest {
        HttpRequest {
            method: "POST".into(),
            url: url.into(),
            headers: vec![("X-One".into(), "1".into())],
            body: Bytes::from_static(b"{}"),
        }
    }

    /// Answers one connection with `reply`, after reading what came.
    fn serve(reply: Vec<u8>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0_u8; 4096];
            let _read = stream.read(&mut buffer).unwrap();
            let _written = stream.write_all(&reply);
        });
        format!("http://{address}/x")
    }

    #[tokio::test]
    async fn reads_an_answer() {
        let url = serve(b"HTTP/1.1 201 Created\r\nX-Two: b\r\ncontent-length: 2\r\n\r\nok".to_vec());
        let answer = ReqwestHttp::new().unwrap().send(request(&url), Duration::from_secs(5)).await.unwrap();
        assert_eq!(answer.status, 201);
        assert_eq!(answer.header("x-two"), Some("b"));
        assert_eq!(&answer.body[..], b"ok");
    }

    #[tokio::test]
    async fn what_cannot_connect_is_not_sent() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let http = ReqwestHttp::new().unwrap();
        for url in [format!("http://{free}/"), "nonsense".into(), "ftp://127.0.0.1/".into()] {
            let outcome = http.send(request(&url), Duration::from_secs(5)).await;
            assert!(matches!(outcome, Err(HttpError::NotSent(_))), "{url}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn what_is_cut_after_the_connection_has_no_answer() {
        let http = ReqwestHttp::new().unwrap();
        for reply in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"] {
            let outcome = http.send(request(&serve(reply.to_vec())), Duration::from_secs(5)).await;
            assert!(matches!(outcome, Err(HttpError::NoAnswer(_))), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_deadline_and_a_bound_hold() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let http = ReqwestHttp::new().unwrap();
        let outcome = http.send(request(&url), Duration::from_millis(50)).await;
        assert!(matches!(outcome, Err(HttpError::NoAnswer(_))), "{outcome:?}");

        let mut large = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
        large.resize(large.len() + MAX_ANSWER + 1, b'x');
        let outcome = http.send(request(&serve(large)), Duration::from_secs(20)).await;
        assert!(matches!(&outcome, Err(HttpError::NoAnswer(why)) if why.contains("16 MiB")), "{outcome:?}");
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let url = serve(
            b"HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_vec(),
        );
        let answer = ReqwestHttp::new().unwrap().send(request(&url), Duration::from_secs(5)).await.unwrap();
        assert_eq!(answer.status, 302);
    }
}

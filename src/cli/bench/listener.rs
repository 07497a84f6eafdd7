//! Somebody who hears the events of a daemon while it is measured: without anybody a daemon that works alone keeps none.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use memchr::memmem::{Finder, find};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// What stands in each event that tells of a new order.
const PLACED: &[u8] = br#""name":"order.placed""#;
/// What stands at the beginning of a stream that is open.
const HELLO: &[u8] = b"event: hello";

/// How many new orders were told, and when the last.
#[derive(Debug, Clone, Copy, Default)]
pub struct Told {
    /// Orders.
    pub orders: u64,
    /// The last of them.
    pub last: Option<Instant>,
}

/// Hears server-sent events.
#[derive(Debug, Clone, Default)]
pub struct Listener {
    told: Arc<Mutex<Told>>,
}

impl Listener {
    /// Begins to listen at `url`, a daemon's plain HTTP address, and waits until it is heard.
    ///
    /// # Errors
    /// When there is no daemon, or it does not let us listen.
    pub async fn at(url: &str) -> std::io::Result<Self> {
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET /api/v1/events HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut text = Vec::new();
        while find(&text, HELLO).is_none() {
            if stream.read_buf(&mut text).await? == 0 {
                let answer = String::from_utf8_lossy(&text).lines().next().unwrap_or_default().to_owned();
                return Err(std::io::Error::other(format!(
                    "the daemon lets nobody hear its events: {answer}"
                )));
            }
        }
        let listener = Self::default();
        let told = Arc::clone(&listener.told);
        tokio::spawn(async move {
            let placed = Finder::new(PLACED);
            text.clear();
            while matches!(stream.read_buf(&mut text).await, Ok(1..)) {
                let found = placed.find_iter(&text).count();
                let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
                if found > 0 {
                    told.orders += u64::try_from(found).unwrap_or_default();
                    told.last = Some(Instant::now());
                }
                // What may be the beginning of another one stays.
                let seen = text.len().saturating_sub(PLACED.len() - 1);
                text.drain(..seen);
            }
        });
        Ok(listener)
    }

    /// What was told so far.
    pub fn told(&self) -> Told {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers with these parts, each sent by itself.
    async fn answering(parts: Vec<&'static [u8]>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            // All that was asked is read: an end with something unread would break the connection.
            let mut asked = Vec::new();
            while find(&asked, b"\r\n\r\n").is_none() {
                stream.read_buf(&mut asked).await.unwrap();
            }
            for part in parts {
                stream.write_all(part).await.unwrap();
                stream.flush().await.unwrap();
                tokio::task::yield_now().await;
            }
        });
        format!("http://{address}")
    }

    #[tokio::test]
    async fn orders_are_counted_however_the_stream_is_cut() {
        let url = answering(vec![
            b"HTTP/1.1 200 OK\r\n\r\nevent: hel",
            b"lo\ndata: {}\n\n",
            b"data: {\"name\":\"order.placed\",\"v\":1}\n\ndata: {\"name\":\"order.pla",
            b"ced\"}\n\ndata: {\"name\":\"order.phase\"}\n\n",
            b"data: {\"name\":\"order.placed\"}\n\n",
        ])
        .await;
        let listener = Listener::at(&url).await.unwrap();
        while listener.told().orders < 3 {
            tokio::task::yield_now().await;
        }
        assert!(listener.told().last.is_some());
        assert_eq!(listener.told().orders, 3);
    }

    #[tokio::test]
    async fn a_refusal_is_told() {
        let url = answering(vec![b"HTTP/1.1 503 Service Unavailable\r\n\r\n"]).await;
        let error = Listener::at(&url).await.unwrap_err().to_string();
        assert!(error.contains("HTTP/1.1 503"), "{error}");
    }
}

//! A client that costs as little as it can: requests that were made before, over connections that stay open.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// One connection.
pub struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buffer: Vec::with_capacity(4096) }
    }

    /// Sends a request again and again until it is answered with 200; 503 asks for patience.
    pub async fn post(&mut self, request: &[u8]) {
        loop {
            self.stream.write_all(request).await.unwrap();
            match self.answer().await {
                200 => return,
                503 => tokio::time::sleep(Duration::from_millis(20)).await,
                other => panic!("answered {other}: {}", String::from_utf8_lossy(&self.buffer)),
            }
        }
    }

    /// Reads one answer to its end; gives its status.
    async fn answer(&mut self) -> u16 {
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await.unwrap();
            assert!(read > 0, "the server closed the connection");
            let Some(end) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = std::str::from_utf8(&self.buffer[..end]).unwrap();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().unwrap())
            });
            if self.buffer.len() >= end + 4 + length.unwrap_or(0) {
                return head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
            }
        }
    }
}

/// Posts all `requests` over so many connections as fast as they are answered. Gives the time of each answer.
pub async fn flood(address: &str, connections: usize, requests: &Arc<Vec<Vec<u8>>>) -> Vec<Duration> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut tasks = Vec::new();
    for _ in 0..connections {
        let (next, requests) = (next.clone(), requests.clone());
        let mut client = Client::connect(address).await;
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let begun = Instant::now();
                client.post(request).await;
                times.push(begun.elapsed());
            }
            times
        }));
    }
    let mut times = Vec::with_capacity(requests.len());
    for task in tasks {
        times.extend(task.await.unwrap());
    }
    times
}

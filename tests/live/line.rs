//! A line to the gateway that can be cut: what is asked is passed on, and the answer gets lost.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What becomes of the first answer to a capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// It arrives.
    Nothing,
    /// The connection closes without a word.
    Whole,
    /// The connection closes in the middle of it.
    Half,
}

/// One exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// `POST /v1/payment_intents/pi_1/capture`.
    pub what: String,
    /// The `Idempotency-Key`.
    pub key: Option<String>,
    pub body: String,
    /// What the gateway answered.
    pub status: u16,
    /// Whether the answer was lost.
    pub lost: bool,
}

/// The line.
pub struct Line {
    pub address: SocketAddr,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Line {
    pub async fn to(port: u16, cut: Cut) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = heard.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(exchange(client, port, cut, notes.clone()));
            }
        });
        Self { address, heard }
    }

    /// All exchanges so far.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// One request a connection.
async fn exchange(mut client: TcpStream, port: u16, cut: Cut, notes: Arc<Mutex<Vec<Heard>>>) {
    let Some((head, body)) = request(&mut client).await else { return };
    let (first, rest) = head.split_once("\r\n").unwrap();
    let what = first.rsplit_once(' ').unwrap().0.to_owned();
    let mut gateway = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    gateway.write_all(format!("{first}\r\nConnection: close\r\n{rest}").as_bytes()).await.unwrap();
    gateway.write_all(&body).await.unwrap();
    let mut answer = Vec::new();
    gateway.read_to_end(&mut answer).await.unwrap();
    let status = String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap().parse().unwrap();
    let lost = {
        let mut notes = notes.lock().unwrap();
        let lost = cut != Cut::Nothing
            && what.ends_with("/capture")
            && !notes.iter().any(|note: &Heard| note.what == what);
        let key = header(&head, "idempotency-key");
        notes.push(Heard { what, key, body: String::from_utf8(body).unwrap(), status, lost });
        lost
    };
    let passed = match (lost, cut) {
        (false, _) => answer.len(),
        (true, Cut::Half) => answer.len() / 2,
        (true, _) => 0,
    };
    // The client may have gone away meanwhile.
    let _gone = client.write_all(&answer[..passed]).await;
}

async fn request(client: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|part| part == b"\r\n\r\n") {
            break end + 4;
        }
        if client.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let length: usize = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        if client.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
            return None;
        }
    }
    Some((head, bytes[end..].to_vec()))
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim().to_owned())
}

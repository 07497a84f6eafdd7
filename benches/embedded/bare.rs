//! What the daemon is measured against: the same HTTP server with nothing behind it, and one with the least that a
//! durable inbox, an entity and an outbox cost: three rows in one SQLite transaction, in groups.

use std::path::Path;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use rusqlite::{Connection, params};
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Rows of one transaction at most.
const GROUP: usize = 256;
/// What an entity and an outbox row have besides the key.
const STATE: [u8; 1024] = [7; 1024];
const COMMAND: [u8; 512] = [7; 512];

type Row = (Bytes, oneshot::Sender<()>);

/// Serves a handler that reads the body and answers. Gives its address.
pub async fn handler() -> String {
    serve(Router::new().route("/hooks/shop", post(|body: Bytes| async move { body.len().to_string() }))).await
}

/// Serves a handler that answers when its three rows are on the disk.
pub async fn with_store(folder: &Path) -> String {
    let (rows, incoming) = mpsc::channel::<Row>(4096);
    let db = Connection::open(folder.join("bare.db")).unwrap();
    std::thread::spawn(move || write(&db, incoming));
    let take = |State(rows): State<mpsc::Sender<Row>>, body: Bytes| async move {
        let (done, written) = oneshot::channel();
        rows.send((body, done)).await.unwrap();
        written.await.unwrap();
        "ok"
    };
    serve(Router::new().route("/hooks/shop", post(take)).with_state(rows)).await
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

fn write(db: &Connection, mut incoming: mpsc::Receiver<Row>) {
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE inbox (key BLOB PRIMARY KEY, body BLOB) WITHOUT ROWID;
         CREATE TABLE entity (key BLOB PRIMARY KEY, version INTEGER, state BLOB) WITHOUT ROWID;
         CREATE TABLE outbox (key BLOB PRIMARY KEY, command BLOB) WITHOUT ROWID;",
    )
    .unwrap();
    let mut inbox = db.prepare("INSERT OR IGNORE INTO inbox VALUES (?1, ?2)").unwrap();
    let mut entity = db.prepare("INSERT OR IGNORE INTO entity VALUES (?1, 1, ?2)").unwrap();
    let mut outbox = db.prepare("INSERT OR IGNORE INTO outbox VALUES (?1, ?2)").unwrap();
    let mut group = Vec::with_capacity(GROUP);
    while incoming.blocking_recv_many(&mut group, GROUP) > 0 {
        db.execute_batch("BEGIN IMMEDIATE").unwrap();
        for (body, _) in &group {
            let key = &Sha256::digest(body)[..16];
            inbox.execute(params![key, lz4_flex::compress_prepend_size(body)]).unwrap();
            entity.execute(params![key, STATE]).unwrap();
            outbox.execute(params![key, COMMAND]).unwrap();
        }
        db.execute_batch("COMMIT").unwrap();
        for (_, done) in group.drain(..) {
            done.send(()).unwrap();
        }
    }
}

//! `kill -9` while it commits: what was answered is there.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crossdock::io::store::sqlite::{Options, SqliteStore};
use crossdock::ports::{Accepted, Store};

use crate::make::{commit, message, name, order_id, unit, write};

const FOLDER: &str = "CROSSDOCK_KILLED_STORE";

fn open(folder: &Path) -> std::sync::Arc<SqliteStore> {
    SqliteStore::open(folder.join("store.db"), Options::default()).unwrap()
}

/// Runs in a process of its own, until it is killed: says on its output what the store has answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started by what_was_answered_survives_a_kill alone"]
async fn victim() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let store = open(&folder);
    let run = std::process::id();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let store = store.clone();
        writers.spawn(async move {
            for n in 0.. {
                let key = format!("{run}/{writer}/{n}");
                store.accept(vec![message(Some(&key), "raw")], None).await.unwrap();
                let linked =
                    crossdock::ports::EntityWrite { refs: vec![name("order", &key)], ..write(&key, 0) };
                commit(&*store, unit(vec![linked])).await;
                println!("done {key}");
            }
        });
    }
    writers.join_next().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_a_kill() {
    let folder = crate::folder();
    let mut answered: Vec<String> = Vec::new();
    for round in 0..4_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["kill::victim", "--exact", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let reader = std::thread::spawn(move || {
            let lines = output.lines().map_while(Result::ok);
            lines.filter_map(|line| line.strip_prefix("done ").map(str::to_owned)).collect::<Vec<_>>()
        });
        let started = Instant::now();
        while started.elapsed() < Duration::from_millis(400 + round * 130) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        answered.extend(reader.join().unwrap());

        let store = open(folder.path());
        for key in &answered {
            let known = store.accept(vec![message(Some(key), "raw")], None).await.unwrap();
            assert!(matches!(known[..], [Accepted::Duplicate(_)]), "{key} was answered and is lost");
            assert_eq!(store.resolve(&[name("order", key)]).await.unwrap(), [Some(order_id(key))], "{key}");
        }
        store.close().await.unwrap();
    }
    assert!(answered.len() > 100, "only {} were answered", answered.len());
}

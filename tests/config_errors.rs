//! The texts that people get for broken configs and manifests: a case a folder under `tests/config`, laid over
//! `tests/config/base`; `expected.txt` holds every problem. `UPDATE_EXPECTED=1` writes what came out.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};

use crossdock::config::{self, Sources};
use crossdock::connector;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config")
}

fn add(sources: &mut Sources, folder: &Path, below: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add(sources, &path, below);
        } else {
            let name = path.strip_prefix(below).unwrap().to_string_lossy().replace('\\', "/");
            sources.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Every problem of a case, one a line.
fn problems(case: &Path) -> String {
    let base = folder().join("base");
    let mut sources = Sources::default();
    add(&mut sources, &base, &base);
    if case != base {
        add(&mut sources, case, case);
    }
    sources.files.remove("expected.txt");
    let env = |name: &str| match name {
        "TOKEN" | "HOOK_NEW" => Some("secret".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    };
    let texts = sources.clone();
    let read_secret =
        |path: &str| texts.get(path).map(str::to_owned).ok_or_else(|| "no such file".to_owned());
    let (registry, mut found) = connector::load(&sources);
    match config::load(&sources, "config.toml", &registry, &env, &read_secret) {
        Ok(config) => found.extend(config.warnings),
        Err(problems) => found.extend(problems),
    }
    found.iter().map(|problem| problem.to_string() + "\n").collect()
}

#[test]
fn every_problem_is_told_at_once_with_its_place() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let mut wrong = Vec::new();
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() > 10);
    for case in cases {
        let found = problems(&case);
        let golden = case.join("expected.txt");
        if update {
            fs::write(&golden, &found).unwrap();
        }
        let expected = fs::read_to_string(&golden).unwrap_or_default();
        if found != expected {
            println!("--- {}\nexpected:\n{expected}\nfound:\n{found}", case.display());
            wrong.push(case);
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    let found = problems(&folder().join("secrets"));
    assert!(found.contains("a secret must not stand in this file"), "{found}");
    assert!(!found.contains("hunter2") && !found.contains("sk_live_123"), "{found}");
}

#[test]
fn the_base_has_no_problems() {
    assert_eq!(problems(&folder().join("base")), "");
}

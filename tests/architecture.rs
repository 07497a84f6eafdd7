//! The rules of the house, read from the paths that the sources name:
//!
//! 1. `canonical` imports nothing of ours; pure modules import only pure modules and crates of data: no runtime, network,
//!    database, file, environment or clock.
//! 2. Stages talk to the edges through `ports`; only `app` names anything of `io`, and `io` imports no stage.
//! 3. Quirks do not import each other. The crate `backoff` is known to `retry` alone.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PURE: &[&str] =
    &["canonical", "diagnostic", "tables", "config", "connector", "map", "apply", "plan", "retry"];
/// `ports` is traits and plain types: pure modules may know the types.
const SHARED: &[&str] = &["ports"];
const STAGES: &[&str] = &["generation", "ingest", "inbox", "process", "outbox", "deliver", "reconcile"];
/// Crates that compute and do nothing else.
const DATA: &[&str] = &[
    "std",
    "core",
    "alloc",
    "backoff",
    "base64",
    "bytes",
    "celes",
    "csv",
    "graphql_parser",
    "hex",
    "hmac",
    "iso_currency",
    "jiff",
    "quick_xml",
    "rhai",
    "ring",
    "rust_decimal",
    "rust_embed",
    "secrecy",
    "serde",
    "serde_json",
    "serde_urlencoded",
    "sha2",
    "strsim",
    "thiserror",
    "toml",
    "unicode_normalization",
    "url",
];
/// Parts of the standard library that reach outside.
const OUTSIDE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::io",
    "std::process",
    "std::thread",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::time::SystemTime",
    "std::time::Instant",
    "std::os",
    "std::path::Path::exists",
];
/// Calls that ask the machine for the time or for chance.
const CLOCKS: &[&str] =
    &["Timestamp::now", "Zoned::now", "SystemTime::now", "Instant::now", "rand::random", "OsRng"];
/// Crates of the edges, which stages do not name either.
const EDGES: &[&str] = &[
    "axum",
    "reqwest",
    "rusqlite",
    "refinery",
    "hyper",
    "lapin",
    "tokio_postgres",
    "deadpool_postgres",
    "rustls",
];

/// What a file names: absolute paths such as `crate::map::Node` or `tokio::sync`.
struct Named {
    /// `connector::quirks::shopify` for `src/connector/quirks/shopify.rs`.
    module: Vec<String>,
    paths: BTreeSet<String>,
    text: String,
}

/// The source without comments, texts and what is compiled for tests alone.
fn bare(source: &str) -> String {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut out = String::new();
    let mut rest = source;
    while let Some(at) = rest.find(['/', '"', '\'']) {
        out.push_str(&rest[..at]);
        let here = &rest[at..];
        if here.starts_with("//") {
            rest = here.find('\n').map_or("", |end| &here[end..]);
        } else if here.starts_with("/*") {
            rest = here.find("*/").map_or("", |end| &here[end + 2..]);
        } else if here.starts_with('"') {
            let raw = out.ends_with("r#");
            let inner = here.get(1..).unwrap_or_default();
            let end = if raw {
                inner.find("\"#").map(|end| end + 2)
            } else {
                let mut escaped = false;
                inner.find(|sign| {
                    let ends = sign == '"' && !escaped;
                    escaped = sign == '\\' && !escaped;
                    ends
                })
            };
            rest = end.map_or("", |end| &here[end + 2..]);
            out.push(' ');
        } else if let Some(end) = character(here) {
            rest = &here[end..];
            out.push(' ');
        } else {
            out.push_str(&here[..1]);
            rest = &here[1..];
        }
    }
    out + rest
}

/// The length of a character literal such as `'"'`; none for a lifetime.
fn character(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('\'')?;
    let length = if inner.starts_with('\\') {
        inner[2..].find('\'')? + 3
    } else {
        inner.chars().next()?.len_utf8() + 1
    };
    inner[..length].ends_with('\'').then_some(length + 1)
}

fn named(file: &str, source: &str) -> Named {
    let inside = file.trim_start_matches("src/").trim_end_matches(".rs");
    let mut module: Vec<String> = inside.split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod" || last == "lib") {
        module.pop();
    }
    let text = bare(source);
    let mut paths = BTreeSet::new();
    let mut rest = text.as_str();
    while let Some(at) = rest.find("use ") {
        let starts =
            rest[..at].chars().last().is_none_or(|sign| sign.is_whitespace() || sign == ';' || sign == '}');
        let after = &rest[at + 4..];
        let end = after.find(';').unwrap_or(after.len());
        if starts {
            let tree: String = after[..end].split_whitespace().collect::<Vec<_>>().join(" ");
            spread("", &tree, &mut paths);
        }
        rest = &after[end.min(after.len())..];
    }
    // Paths within the code.
    let word = |sign: char| sign.is_alphanumeric() || sign == '_' || sign == ':';
    for token in text.split(|sign| !word(sign)).filter(|token| token.contains("::")) {
        paths.insert(token.trim_matches(':').to_owned());
    }
    let paths = paths.into_iter().map(|path| absolute(&module, &path)).collect();
    Named { module, paths, text }
}

/// `a::{b, c::d}` to `a::b` and `a::c::d`.
fn spread(before: &str, tree: &str, found: &mut BTreeSet<String>) {
    let tree = tree.trim();
    if let Some((head, group)) = tree.split_once('{') {
        let group = group.strip_suffix('}').unwrap_or(group);
        let head = format!("{before}{}", head.trim());
        let (mut depth, mut start) = (0_i32, 0);
        for (at, sign) in group.char_indices() {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    spread(&head, &group[start..at], found);
                    start = at + 1;
                }
                _ => {}
            }
        }
        spread(&head, &group[start..], found);
    } else if !tree.is_empty() {
        let name = tree.split(" as ").next().unwrap_or_default();
        found.insert(format!("{before}{name}").trim_end_matches("::self").to_owned());
    }
}

fn absolute(module: &[String], path: &str) -> String {
    let mut steps: Vec<&str> = path.split("::").collect();
    let mut at: Vec<&str> = module.iter().map(String::as_str).collect();
    if steps.first() == Some(&"self") {
        steps.remove(0);
    } else if steps.first() == Some(&"super") {
        while steps.first() == Some(&"super") {
            steps.remove(0);
            at.pop();
        }
    } else {
        return path.to_owned();
    }
    ["crate"].into_iter().chain(at).chain(steps).collect::<Vec<_>>().join("::")
}

/// The crate's own modules that a path may start with.
fn ours(path: &str) -> Option<&str> {
    path.strip_prefix("crate::")?.split("::").next()
}

/// Every breach of the rules in `files` (path and source).
fn breaches(files: &[(String, String)]) -> Vec<String> {
    let tops: BTreeSet<String> = files
        .iter()
        .filter_map(|(file, _)| file.strip_prefix("src/")?.split(['/', '.']).next().map(str::to_owned))
        .collect();
    let mut found = Vec::new();
    for (file, source) in files {
        let Named { module, paths, text } = named(file, source);
        let Some(top) = module.first().map(String::as_str) else { continue };
        let mut breach = |rule: &str, what: &str| found.push(format!("{file}: {rule}: {what}"));
        let pure = PURE.contains(&top);
        for path in &paths {
            let used = ours(path);
            let external = path.split("::").next().unwrap_or_default();
            // A path such as `Money::new` starts with a type, and one such as `fact::Placed` with something imported.
            let a_crate = used.is_none()
                && external.chars().next().is_some_and(char::is_lowercase)
                && (DATA.contains(&external) || KNOWN_CRATES.contains(&external));
            if top == "canonical" && used.is_some_and(|used| used != "canonical") {
                breach("canonical imports nothing of ours", path);
            }
            if pure
                && used.is_some_and(|used| {
                    tops.contains(used) && !PURE.contains(&used) && !SHARED.contains(&used)
                })
            {
                breach("a pure module imports only pure modules", path);
            }
            if pure && a_crate && !DATA.contains(&external) {
                breach("a pure module imports only crates of data", path);
            }
            if pure
                && OUTSIDE.iter().any(|outside| path == outside || path.starts_with(&format!("{outside}::")))
            {
                breach("a pure module does not reach outside", path);
            }
            if STAGES.contains(&top) && EDGES.contains(&external) && a_crate {
                breach("a stage talks to the edges through ports", path);
            }
            if !matches!(top, "io" | "app") && used == Some("io") {
                breach("only app names anything of io", path);
            }
            if top == "io" && used.is_some_and(|used| STAGES.contains(&used)) {
                breach("io imports no stage", path);
            }
            if external == "backoff" && top != "retry" {
                breach("the crate backoff is known to retry alone", path);
            }
            let quirk = module.len() == 3 && module[0] == "connector" && module[1] == "quirks";
            let other =
                path.strip_prefix("crate::connector::quirks::").and_then(|rest| rest.split("::").next());
            if quirk && other.is_some_and(|other| other != module[2]) {
                breach("quirks do not import each other", path);
            }
        }
        if pure {
            for clock in CLOCKS.iter().filter(|clock| text.contains(**clock)) {
                breach("a pure module does not ask for the time", clock);
            }
        }
    }
    found
}

/// Crates that are not of data, as far as pure modules might be tempted.
const KNOWN_CRATES: &[&str] = &[
    "tokio",
    "tokio_util",
    "reqwest",
    "axum",
    "tower",
    "tower_http",
    "hyper",
    "http",
    "rusqlite",
    "refinery",
    "tokio_postgres",
    "deadpool_postgres",
    "lapin",
    "rand",
    "governor",
    "metrics",
    "metrics_exporter_prometheus",
    "tracing",
    "tracing_subscriber",
    "clap",
    "indicatif",
    "arc_swap",
    "futures",
    "async_trait",
    "rustls",
    "lz4_flex",
    "notify",
    "askama",
];

fn sources(folder: &Path, below: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, below, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(below).unwrap().to_string_lossy().replace('\\', "/");
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_house_keeps_its_rules() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), root, &mut files);
    assert!(files.len() > 50);
    let found = breaches(&files);
    for breach in &found {
        println!("{breach}");
    }
    assert!(found.is_empty(), "{} breaches", found.len());
}

#[test]
fn each_rule_can_fail() {
    let cases = [
        ("src/canonical/order.rs", "use crate::config::model::Config;", "canonical imports nothing"),
        ("src/canonical/fact.rs", "use super::super::map::Node;", "canonical imports nothing"),
        ("src/map/node.rs", "use crate::process::step;", "only pure modules"),
        ("src/plan/mod.rs", "fn f() { crate::deliver::lane() }", "only pure modules"),
        ("src/plan/mod.rs", "use tokio::sync::mpsc;", "only crates of data"),
        (
            "src/connector/request.rs",
            "use {serde::Serialize, reqwest::{Client, header}};",
            "only crates of data",
        ),
        ("src/apply/mod.rs", "fn f() { rusqlite::Connection::open(\"x\"); }", "only crates of data"),
        ("src/config/load/mod.rs", "use std::{collections::BTreeMap, env};", "does not reach outside"),
        ("src/config/load/mod.rs", "fn f() { std::fs::read(\"x\"); }", "does not reach outside"),
        ("src/retry.rs", "fn f() { let now = jiff::Timestamp::now(); }", "does not ask for the time"),
        ("src/deliver/lane.rs", "use reqwest::Client;", "through ports"),
        ("src/ingest/webhook.rs", "use axum::Router;", "through ports"),
        ("src/deliver/lane.rs", "use crate::io::http::ReqwestHttp;", "only app names"),
        ("src/web/mod.rs", "fn f(store: super::io::store::SqliteStore) {}", "only app names"),
        ("src/io/store/mod.rs", "use crate::{canonical::Money, process::Worker};", "io imports no stage"),
        ("src/deliver/lane.rs", "use backoff::ExponentialBackoff;", "retry alone"),
        (
            "src/connector/quirks/shopify.rs",
            "use super::shiphero::change;",
            "quirks do not import each other",
        ),
    ];
    let house =
        ["config", "process", "deliver", "io", "map"].map(|top| (format!("src/{top}/mod.rs"), String::new()));
    for (file, source, rule) in cases {
        let mut files = house.to_vec();
        files.push((file.to_owned(), source.to_owned()));
        let found = breaches(&files);
        assert!(found.iter().any(|breach| breach.contains(rule)), "{file}: {source}: {found:?}");
    }
    let fine = [
        (
            "src/map/node.rs",
            "// use tokio::sync;\nconst A: &str = \"crate::io\"; use crate::canonical::Money;",
        ),
        ("src/map/node.rs", "fn f<'a>(x: &'a str) -> char { '\"' } /* crate::io::x */"),
        ("src/map/node.rs", "use crate::canonical::Money;\n#[cfg(test)]\nmod tests { use std::fs; }"),
        ("src/app.rs", "use crate::io::http::ReqwestHttp;"),
        ("src/connector/request.rs", "use crate::ports::HttpRequest; use serde_json::{Map, Value};"),
        ("src/connector/quirks/shopify.rs", "use serde_json::Value;"),
        ("src/retry.rs", "use backoff::ExponentialBackoff;"),
    ];
    for (file, source) in fine {
        let mut files = house.to_vec();
        files.push((file.to_owned(), source.to_owned()));
        assert_eq!(breaches(&files), Vec::<String>::new(), "{file}: {source}");
    }
}

#[test]
fn every_file_is_read_to_its_end() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), root, &mut files);
    for (file, source) in files {
        let code =
            source.split("#[cfg(test)]").next().unwrap().to_owned() + "\nfn f() { crate::marker::f(); }\n";
        assert!(named(&file, &code).paths.contains("crate::marker::f"), "{file}");
    }
}

/// What a statement of a migration does that a program of the form before it cannot live with; `None`: it only adds.
fn takes_away(statement: &str) -> Option<String> {
    let words: Vec<String> = statement.split_whitespace().map(str::to_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        // How values are laid on the disk is nothing that a program sees.
        []
        | ["create", "table" | "index" | "sequence", ..]
        | ["alter", "table", _, "alter", "column", _, "set", "storage", _] => None,
        ["alter", "table", _, "add", "column", rest @ ..] => {
            let must_be_given = rest.contains(&"not") && !rest.contains(&"default");
            must_be_given.then(|| "an older program does not fill this column".to_owned())
        }
        _ => Some("it changes what an older program works with".to_owned()),
    }
}

/// Nodes are upgraded one after the other: those that still run the program before go on with the newer form. So a
/// migration adds tables, indexes, and columns that may stay empty; what nobody uses any more goes a release later.
#[test]
fn migrations_only_add() {
    for kind in ["sqlite", "postgres"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/io/store").join(kind).join("migrations");
        let mut seen = 0;
        for file in fs::read_dir(&folder).unwrap() {
            let path = file.unwrap().path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("V1__")) {
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let plain: Vec<&str> =
                text.lines().map(|line| line.split("--").next().unwrap_or_default()).collect();
            for statement in plain.join("\n").split(';') {
                let found = takes_away(statement);
                assert_eq!(found, None, "{}: {}", path.display(), statement.trim());
            }
            seen += 1;
        }
        assert!(seen > 0, "{kind} has no migrations after the first");
    }
    for bad in [
        "DROP TABLE x",
        "ALTER TABLE x ADD COLUMN y text NOT NULL",
        "ALTER TABLE x RENAME COLUMN a TO b",
        "UPDATE x SET a = 1",
        "ALTER TABLE x ALTER COLUMN a SET NOT NULL",
    ] {
        assert!(takes_away(bad).is_some(), "{bad}");
    }
    assert_eq!(takes_away("ALTER TABLE x ADD COLUMN y integer NOT NULL DEFAULT 0"), None);
}

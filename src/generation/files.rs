//! Reads from disk what people edit, lays it over what the binary carries, and checks it as one.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::config::model::StoreConfig;
use crate::config::{self, Sources, World, embedded};
use crate::connector;
use crate::diagnostic::{Diagnostic, place};

/// Files larger than this are left alone: nobody edits them.
const MOST_BYTES: u64 = 16 * 1024 * 1024;
/// Folders deeper than this are left alone.
const MOST_DEPTH: usize = 8;

/// What came of loading.
#[derive(Debug)]
pub struct Loaded {
    /// The config file.
    pub config: PathBuf,
    /// The generation; none when `config.toml` itself is wrong. A connector or mapping with an error is left out of it:
    /// what needs it waits as an exception, and the daemon goes on.
    pub world: Option<World>,
    /// All that was read, for tests of mappings and for messages.
    pub sources: Sources,
    /// Errors and warnings, by file and place.
    pub problems: Vec<Diagnostic>,
}

/// Reads and checks `config` (the file) and everything beside it.
#[must_use]
pub fn load(config: &Path) -> Loaded {
    let (sources, mut problems) = read_dir_over(embedded(), config);
    let (world, found) = check(&sources, config);
    problems.extend(found);
    sort(&mut problems);
    Loaded { config: config.to_owned(), world, sources, problems }
}

/// Checks `sources`, of which `config` is the config file. A connector or mapping with an error is left out.
#[must_use]
pub fn check(sources: &Sources, config: &Path) -> (Option<World>, Vec<Diagnostic>) {
    let (registry, mut problems) = connector::load(sources);
    let name = file_name(config);
    let mut world = None;
    if sources.get(&name).is_some() {
        let read_secret = |path: &str| read_secret(config, path);
        match config::load(sources, &name, &registry, &environment, &read_secret) {
            Ok(mut config_read) => {
                config_read.paths.root = root(config);
                let root = root(config);
                match &mut config_read.store {
                    StoreConfig::Sqlite { path } => *path = root.join(&*path),
                    StoreConfig::Postgres(postgres) => {
                        postgres.key = root.join(&postgres.key);
                        postgres.ca = postgres.ca.as_ref().map(|ca| root.join(ca));
                    }
                }
                problems.append(&mut config_read.warnings);
                world = Some(World { config: config_read, registry });
            }
            Err(found) => problems.extend(found),
        }
    }
    sort(&mut problems);
    (world, problems)
}

/// By file and place.
pub(super) fn sort(problems: &mut [Diagnostic]) {
    problems.sort_by(|one, other| {
        (&one.file, one.line, one.column).cmp(&(&other.file, other.line, other.column))
    });
}

/// The environment, which may hold secrets.
#[expect(clippy::disallowed_methods, reason = "this is where the environment is read")]
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A secret's file; one line end at its end is not part of it.
fn read_secret(config: &Path, path: &str) -> Result<String, String> {
    let path = root(config).join(path);
    let text = fs::read_to_string(&path).map_err(|error| error.to_string())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// The folder in which `config` lies.
#[must_use]
pub fn root(config: &Path) -> PathBuf {
    match config.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// How `config` is called among the files of its generation.
#[must_use]
pub fn file_name(config: &Path) -> String {
    config.file_name().map_or_else(|| "config.toml".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Reads `config`, and the connectors, mappings and lists beside it, over `sources`: file by file, those on disk win.
#[must_use]
pub fn read_dir_over(mut sources: Sources, config: &Path) -> (Sources, Vec<Diagnostic>) {
    let mut problems = Vec::new();
    let root = root(config);
    let name = file_name(config);
    match read_text(config) {
        Ok(text) => sources.insert(name.clone(), text),
        Err(error) => problems.push(
            Diagnostic::whole(&config.display().to_string(), format!("cannot be read: {error}"))
                .help("name the file with --config"),
        ),
    }
    let named = sources.get(&name).map(Named::in_config).unwrap_or_default();
    let connectors = named.connectors.as_deref().unwrap_or("connectors");
    let mappings = named.mappings.as_deref().unwrap_or("mappings");
    let mut reader = Reader { sources: &mut sources, problems: &mut problems };
    reader.folder(&root.join(connectors), "connectors", 0);
    reader.folder(&root.join(mappings), "mappings", 0);
    reader.folder(&root.join("lists"), "lists", 0);
    for list in named.lists {
        // One that is not there is reported where it is named.
        let path = root.join(&list);
        if path.is_file() {
            reader.file(&path, &list);
        }
    }
    (sources, problems)
}

/// Where the file that is called `path` among the files of a generation lies on disk; none for a name that no such file
/// can have.
pub(super) fn on_disk(sources: &Sources, config: &Path, path: &str) -> Option<PathBuf> {
    let root = root(config);
    let plain = |step: &str| {
        !step.is_empty()
            && !step.starts_with('.')
            && !step.ends_with('~')
            && !step.contains(['\\', '\0', ':'])
    };
    if !path.split('/').all(plain) {
        return None;
    }
    let name = file_name(config);
    if path == name {
        return Some(config.to_owned());
    }
    let named = sources.get(&name).map(Named::in_config).unwrap_or_default();
    let (top, rest) = path.split_once('/')?;
    match top {
        "connectors" => Some(root.join(named.connectors.as_deref().unwrap_or(top)).join(rest)),
        "mappings" => Some(root.join(named.mappings.as_deref().unwrap_or(top)).join(rest)),
        "lists" => Some(root.join(path)),
        _ => named.lists.iter().any(|list| list == path).then(|| root.join(path)),
    }
}

/// Files and folders that a generation is made of, and files with secrets.
pub(super) fn places(sources: &Sources, config: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let root = root(config);
    let named = sources.get(&file_name(config)).map(Named::in_config).unwrap_or_default();
    let mut places = vec![config.to_owned()];
    places.push(root.join(named.connectors.as_deref().unwrap_or("connectors")));
    places.push(root.join(named.mappings.as_deref().unwrap_or("mappings")));
    places.push(root.join("lists"));
    places.extend(named.lists.iter().map(|list| root.join(list)));
    (places, named.secrets.iter().map(|secret| root.join(secret)).collect())
}

/// Where the daemon of `config` listens, as far as the file can be read.
#[must_use]
pub fn listens(config: &Path) -> Option<SocketAddr> {
    let text = read_text(config).ok()?;
    let (root, _) = DeTable::parse_recoverable(&text);
    let server =
        root.get_ref().get("server")?.get_ref().as_table()?.get("listen")?.get_ref().as_str()?.parse();
    server.ok()
}

/// What `config.toml` says of where other files lie, as far as it can be read.
#[derive(Debug, Default)]
struct Named {
    connectors: Option<String>,
    mappings: Option<String>,
    lists: Vec<String>,
    /// Files of secrets: `{ file = "…" }`.
    secrets: Vec<String>,
}

impl Named {
    fn in_config(text: &str) -> Self {
        let (root, _) = DeTable::parse_recoverable(text);
        let mut named = Self::default();
        if let Some(paths) = root.get_ref().get("paths").and_then(|paths| paths.get_ref().as_table()) {
            let text = |key: &str| paths.get(key)?.get_ref().as_str().map(str::to_owned);
            (named.connectors, named.mappings) = (text("connectors"), text("mappings"));
        }
        named.look(root.get_ref());
        named
    }
}

impl Named {
    fn look(&mut self, table: &DeTable<'_>) {
        for (key, value) in table {
            self.value(key.get_ref(), value.get_ref());
        }
    }

    fn value(&mut self, key: &str, value: &DeValue<'_>) {
        match value {
            DeValue::String(text) if text.ends_with(".csv") => self.lists.push(text.to_string()),
            DeValue::String(text) if key == "file" => self.secrets.push(text.to_string()),
            DeValue::Table(inner) => self.look(inner),
            DeValue::Array(items) => items.iter().for_each(|item| self.value("", item.get_ref())),
            _ => {}
        }
    }
}

struct Reader<'r> {
    sources: &'r mut Sources,
    problems: &'r mut Vec<Diagnostic>,
}

impl Reader<'_> {
    fn folder(&mut self, folder: &Path, name: &str, depth: usize) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        let mut entries: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for path in entries {
            let Some(step) = path.file_name().map(|step| step.to_string_lossy().into_owned()) else {
                continue;
            };
            if step.starts_with('.') || step.ends_with('~') {
                continue;
            }
            let name = format!("{name}/{step}");
            if path.is_dir() && depth < MOST_DEPTH {
                self.folder(&path, &name, depth + 1);
            } else if path.is_file() {
                self.file(&path, &name);
            }
        }
    }

    fn file(&mut self, path: &Path, name: &str) {
        match read_text(path) {
            Ok(text) => self.sources.insert(name, text),
            Err(error) => {
                let edited = [".toml", ".csv", ".graphql"].iter().any(|ending| name.ends_with(ending));
                if edited {
                    self.problems.push(Diagnostic::whole(name, format!("cannot be read: {error}")));
                }
            }
        }
    }
}

fn read_text(path: &Path) -> Result<String, String> {
    let size = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MOST_BYTES {
        return Err(format!("it has {size} bytes; at most {MOST_BYTES} are read"));
    }
    let bytes = fs::read(path).map_err(|error| error.to_string())?;
    // What spreadsheets call "Unicode text".
    if let Some(text) = utf16(&bytes) {
        return Ok(text);
    }
    String::from_utf8(bytes).map_err(|error| {
        let (line, _) = place(&String::from_utf8_lossy(error.as_bytes()), error.utf8_error().valid_up_to());
        format!("it is not UTF-8 (line {line}): save it as UTF-8")
    })
}

/// The text of bytes that begin with the mark of UTF-16.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (pairs, big) = match bytes {
        [0xFF, 0xFE, rest @ ..] => (rest, false),
        [0xFE, 0xFF, rest @ ..] => (rest, true),
        _ => return None,
    };
    let (pairs, []) = pairs.as_chunks::<2>() else { return None };
    let units =
        pairs.iter().map(|pair| if big { u16::from_be_bytes(*pair) } else { u16::from_le_bytes(*pair) });
    char::decode_utf16(units).collect::<Result<String, _>>().ok()
}

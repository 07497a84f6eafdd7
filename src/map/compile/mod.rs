//! From TOML to a [`Program`]: every mistake is reported with its place.

mod block;
mod outbound;
mod overlay;
mod rule;
mod syntax;

#[cfg(test)]
pub(super) use outbound::AS;
pub(super) use rule::SOURCES;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use crate::config::sources::Sources;
use crate::diagnostic::{Diagnostic, Severity};

use super::condition::Cond;
use super::lookup::Lookup;
use super::path::{Path, Start};
use super::program::{CurrencyFrom, Program, Unit};
use super::time;
use super::tree::{Files, Kind, Place, Reader, Table, Tree};
use super::wanted::Keys;

pub(super) use block::{CONTROL, is_unset};
pub(super) use overlay::is_rule;

/// A mapping file with its overlays laid over it.
pub(super) struct Loaded {
    pub files: Files,
    /// The merged file.
    pub table: Table,
    /// `[[test]]` blocks: those of the last file that has any.
    pub tests: Vec<(String, Tree)>,
    /// Rules that overlays replaced, with the digests of what they were.
    pub replaced: Vec<(String, String)>,
    pub name: String,
    pub version: String,
    pub fragments: Table,
    lookups: BTreeMap<String, Arc<Lookup>>,
}

/// The parts of [`Program`] and what was found on the way.
pub(super) struct Compiled {
    pub program: Program,
    pub version: String,
    pub warnings: Vec<Diagnostic>,
}

/// What rules inherit from the tables around them.
#[derive(Debug, Clone, Default)]
pub(super) struct Env {
    /// So many rows lie between the record and here.
    pub depth: usize,
    /// Currency sources, and the depth at which their paths start.
    pub currency: Vec<(CurrencyFrom, usize)>,
    pub unit: Option<Unit>,
    /// The sign before decimals.
    pub decimal: Option<char>,
    pub zone: Option<TimeZone>,
    /// Names around: `placed.lines`.
    pub names: String,
}

impl Env {
    /// Where a currency path that was written further out starts from here.
    pub fn currency_here(&self) -> Vec<CurrencyFrom> {
        self.currency
            .iter()
            .map(|(from, depth)| match from {
                CurrencyFrom::Fixed(code) => CurrencyFrom::Fixed(*code),
                CurrencyFrom::Path(path) => {
                    CurrencyFrom::Path(lifted(path, self.depth - depth.min(&self.depth)))
                }
            })
            .collect()
    }
}

/// The path as it must be written so many rows further in.
fn lifted(path: &Path, levels: usize) -> Path {
    match (path.start(), levels) {
        (_, 0) | (Start::Root | Start::Record | Start::Group | Start::Asked, _) => path.clone(),
        (Start::Row, levels) => path.started_at(Start::Up(levels)),
        (Start::Up(up), levels) => path.started_at(Start::Up(up + levels)),
    }
}

/// Reads `mappings/<connector>/<name><suffix>` and its overlays.
pub(super) fn load(
    sources: &Sources,
    connector: &str,
    name: &str,
    suffix: &str,
    overlays: &[String],
) -> Result<Loaded, Vec<Diagnostic>> {
    let full = format!("{connector}/{name}");
    let main = format!("mappings/{full}{suffix}");
    let shared = format!("mappings/{connector}/shared.toml");
    let mut files = Files::default();
    let mut hash = Sha256::new();
    let mut table = None;
    let mut tests = Vec::new();
    let mut replaced = Vec::new();
    for (index, path) in std::iter::once(&main).chain(overlays).enumerate() {
        let Some(text) = sources.get(path) else {
            let known = sources.under("mappings/").map(|(path, _)| path);
            files.report(Diagnostic::whole(path, "there is no such file").nearest(path, known));
            continue;
        };
        hash.update(text.as_bytes());
        let Some(mut parsed) = files.parse(path, text) else { continue };
        let own = take_tests(&files, path, &mut parsed);
        if !own.is_empty() {
            tests = own;
        }
        if index == 0 {
            table = Some(parsed);
        } else if let Some(base) = table.as_mut() {
            replaced.extend(overlay::lay_over(&files, &full, base, parsed));
        }
    }
    let mut fragments = Table::default();
    let mut lookups = BTreeMap::new();
    if let Some(text) = sources.get(&shared) {
        hash.update(text.as_bytes());
        if let Some(parsed) = files.parse(&shared, text) {
            let reader = Reader::new(&files, &parsed);
            collect(&files, sources, &reader, &mut fragments, &mut lookups);
            reader.finish("a shared file");
        }
    }
    let Some(table) = table else { return Err(files.take()) };
    {
        let reader = Reader::new(&files, &table);
        collect(&files, sources, &reader, &mut fragments, &mut lookups);
    }
    for lookup in lookups.values() {
        lookup.digest(&mut hash);
    }
    let version = format!("{full}@{}", hex::encode(&hash.finalize()[..4]));
    Ok(Loaded { files, table, tests, replaced, name: full, version, fragments, lookups })
}

fn take_tests(files: &Files, path: &str, table: &mut Table) -> Vec<(String, Tree)> {
    let Some(tests) = table.remove("test") else { return Vec::new() };
    if let Some(items) = tests.list() {
        return items.iter().map(|item| (path.to_owned(), item.clone())).collect();
    }
    files.report(files.error(tests.place, "tests are a list").help("write [[test]] with two brackets"));
    Vec::new()
}

fn collect(
    files: &Files,
    sources: &Sources,
    reader: &Reader<'_>,
    fragments: &mut Table,
    lookups: &mut BTreeMap<String, Arc<Lookup>>,
) {
    for (key, tree) in reader.sub("fragment").map(|table| table.entries.as_slice()).unwrap_or_default() {
        if tree.table().is_some() {
            fragments.set(key.clone(), tree.clone());
        } else {
            files.report(
                files
                    .error(tree.place, format!("the fragment `{}` is {}", key.name, tree.what()))
                    .help(format!("write [fragment.{}] and its fields below", key.name)),
            );
        }
    }
    for (key, tree) in reader.sub("lookup").map(|table| table.entries.as_slice()).unwrap_or_default() {
        if let Some(table) = tree.table() {
            let lookup = Lookup::compile(files, sources, &key.name, key.place, table);
            lookups.insert(key.name.clone(), Arc::new(lookup));
        } else {
            files.report(
                files
                    .error(tree.place, format!("the look-up table `{}` is {}", key.name, tree.what()))
                    .help(format!("write [lookup.{}.rows] and theirs = \"ours\" below", key.name)),
            );
        }
    }
}

impl Loaded {
    pub fn error(&self, at: Place, message: impl Into<String>) -> Diagnostic {
        self.files.error(at, message)
    }

    pub fn report(&self, found: Diagnostic) {
        self.files.report(found);
    }

    /// Reads a path; a mistake is reported.
    pub fn path(&self, text: &str, at: Place) -> Option<Path> {
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                self.report(self.error(at, error.to_string()));
                None
            }
        }
    }

    fn paths(&self, reader: &Reader<'_>, name: &'static str) -> Vec<Path> {
        let found = reader.texts(name).unwrap_or_default();
        found.into_iter().filter_map(|(text, at)| self.path(text, at)).collect()
    }

    fn cond(&self, reader: &Reader<'_>, name: &'static str) -> Option<Cond> {
        reader.get(name).map(|tree| Cond::compile(&self.files, tree))
    }

    /// `exponents = { ISK = 2 }`: how many decimal places the partner's minor units have.
    fn exponents(&self, reader: &Reader<'_>) -> BTreeMap<String, u32> {
        let mut exponents = BTreeMap::new();
        for (key, tree) in reader.sub("exponents").map(|table| table.entries.as_slice()).unwrap_or_default() {
            match (
                self.fixed_currency(&key.name, key.place),
                tree.scalar().and_then(|text| text.parse().ok()),
            ) {
                (Some(_), Some(places @ 0..=6)) => {
                    exponents.insert(key.name.to_uppercase(), places);
                }
                (None, _) => {}
                _ => {
                    self.report(
                        self.error(tree.place, "no number of decimal places").help("expected 0 to 6"),
                    );
                }
            }
        }
        exponents
    }

    /// A list of paths; `{ first = [ … ] }` means the same.
    fn currency_paths(&self, reader: &Reader<'_>) -> Vec<Path> {
        match reader.table.get("currency_from").and_then(Tree::table) {
            Some(table) => {
                reader.get("currency_from");
                let inner = Reader::new(&self.files, table);
                let paths = self.paths(&inner, "first");
                inner.finish("`currency_from`");
                paths
            }
            None => self.paths(reader, "currency_from"),
        }
    }

    /// `zone = "America/New_York"`.
    fn zone(&self, reader: &Reader<'_>) -> Option<TimeZone> {
        let (text, at) = reader.text("zone")?;
        let zone = time::zone(text);
        if zone.is_none() {
            self.report(
                self.error(at, format!("`{text}` is no time zone"))
                    .help("expected a name such as America/New_York, or an offset such as +08:00"),
            );
        }
        zone
    }

    /// `unit` for money, from a table around the rules.
    fn money_unit(&self, reader: &Reader<'_>) -> Option<Unit> {
        match reader.text("unit")? {
            ("major", _) => Some(Unit::Major),
            ("minor", _) => Some(Unit::Minor),
            (text, at) => {
                self.report(
                    self.error(at, format!("`{text}` is no unit of money"))
                        .help("expected \"major\" or \"minor\""),
                );
                None
            }
        }
    }

    /// `decimal = ","`: the sign before decimals.
    fn decimal_mark(&self, reader: &Reader<'_>) -> Option<char> {
        match reader.text("decimal")? {
            (",", _) => Some(','),
            (".", _) => Some('.'),
            (_, at) => {
                let found = self.error(at, "the sign before decimals is a comma or a point");
                self.report(found.help("expected \",\" or \".\""));
                None
            }
        }
    }

    /// `zones = { EST = "-05:00" }`: what the partner's words for zones mean.
    fn zones(&self, reader: &Reader<'_>) -> BTreeMap<String, TimeZone> {
        let mut zones = BTreeMap::new();
        for (key, tree) in reader.sub("zones").map(|table| table.entries.as_slice()).unwrap_or_default() {
            match tree.text().and_then(time::zone) {
                Some(zone) => {
                    zones.insert(key.name.clone(), zone);
                }
                None => self.report(
                    self.error(tree.place, format!("`{}` is no time zone", key.name))
                        .help("expected zones = { EST = \"-05:00\", CT = \"America/Chicago\" }"),
                ),
            }
        }
        zones
    }

    /// Reads what the tables around rules may set for them: `currency_from`, `unit`, `decimal`, `zone`.
    fn settings(&self, reader: &Reader<'_>, env: &mut Env) {
        let paths = self.currency_paths(reader);
        if !paths.is_empty() {
            env.currency = paths.into_iter().map(|path| (CurrencyFrom::Path(path), env.depth)).collect();
        }
        if let Some(unit) = self.money_unit(reader) {
            env.unit = Some(unit);
        }
        if let Some(mark) = self.decimal_mark(reader) {
            env.decimal = Some(mark);
        }
        if let Some(zone) = self.zone(reader) {
            env.zone = Some(zone);
        }
    }

    /// Compiles the inbound program.
    pub fn inbound(&self) -> Result<Compiled, Vec<Diagnostic>> {
        let root = Reader::new(&self.files, &self.table);
        let mut program = Program { name: self.name.clone(), ..Program::default() };
        let mut env = Env::default();
        if let Some(table) = root.sub("mapping") {
            let reader = Reader::new(&self.files, table);
            program.records = self.records(&reader);
            program.reject = self.cond(&reader, "reject");
            program.reason = self.paths(&reader, "reason");
            program.empty = reader
                .texts("empty")
                .unwrap_or_default()
                .into_iter()
                .map(|(text, _)| text.to_owned())
                .collect();
            self.settings(&reader, &mut env);
            program.exponents = self.exponents(&reader);
            program.zones = self.zones(&reader);
            if let Some((code, at)) = reader.text("currency") {
                env.currency.extend(self.fixed_currency(code, at).map(|from| (from, 0)));
            }
            program.syntax = self.syntax(&reader);
            reader.get("doc");
            reader.finish("[mapping]");
        }
        if let Some(table) = root.sub("nothing") {
            let reader = Reader::new(&self.files, table);
            program.nothing = Some(self.cond(&reader, "when").unwrap_or_default());
            reader.get("doc");
            reader.finish("[nothing]");
        }
        program.syntax.loops = self.loops(&root, &program.syntax);
        if program.records.is_empty() {
            program.records.extend(Path::parse(program.syntax.kind.records()).map(|path| (path, None)));
        }
        for (key, tree) in root.sub("fact").map(|table| table.entries.as_slice()).unwrap_or_default() {
            program.facts.extend(self.fact(key, tree, &env));
        }
        if program.facts.is_empty() && self.table.get("fact").is_none() && program.nothing.is_none() {
            self.report(
                Diagnostic::whole(&format!("mappings/{}.in.toml", self.name), "it makes no fact")
                    .help("expected at least one [fact.NAME] with `is`"),
            );
        }
        for known in ["fragment", "lookup", "overlay"] {
            root.get(known);
        }
        root.finish("a mapping");
        program.reads = Keys::of(&program);
        self.finish(program)
    }

    /// `records`: paths, or `{ path = …, when = … }`, of which the first that fits counts.
    fn records(&self, reader: &Reader<'_>) -> Vec<(Path, Option<Cond>)> {
        let Some(tree) = reader.get("records") else { return Vec::new() };
        let items: &[Tree] = match &tree.kind {
            Kind::List(items) => items,
            _ => std::slice::from_ref(tree),
        };
        let one = |item: &Tree| match &item.kind {
            Kind::Text(text) => self.path(text, item.place).map(|path| (path, None)),
            Kind::Table(table) => {
                let inner = Reader::new(&self.files, table);
                let path = inner.text("path").and_then(|(text, at)| self.path(text, at));
                let when = self.cond(&inner, "when");
                inner.finish("an entry of `records`");
                if table.get("path").is_none() {
                    let help = "write { path = \"items[*]\", when = { … } }";
                    self.report(self.error(item.place, "the entry has no `path`").help(help));
                }
                path.map(|path| (path, when))
            }
            _ => {
                let found = self.error(item.place, format!("an entry of `records` is {}", item.what()));
                self.report(found.help("expected a path, or { path = …, when = { … } }"));
                None
            }
        };
        items.iter().filter_map(one).collect()
    }

    fn fixed_currency(&self, code: &str, at: Place) -> Option<CurrencyFrom> {
        match crate::canonical::Currency::parse(code) {
            Ok(code) => Some(CurrencyFrom::Fixed(code)),
            Err(error) => {
                self.report(
                    self.error(at, error.to_string())
                        .help("a path goes into `currency_from`, a code such as USD into `currency`"),
                );
                None
            }
        }
    }

    fn finish(&self, program: Program) -> Result<Compiled, Vec<Diagnostic>> {
        let found = self.files.take();
        if found.iter().any(|found| found.severity == Severity::Error) {
            return Err(found);
        }
        Ok(Compiled { program, version: self.version.clone(), warnings: found })
    }
}

//! Mapping files as trees whose every key and value knows its place, so that several files can be laid over each other
//! and an error still names the right one.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, place};
use crate::tables::File;

/// Where something stands: file and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub file: usize,
    pub start: usize,
    pub end: usize,
}

impl Place {
    /// In no file.
    pub const NOWHERE: Self = Self { file: usize::MAX, start: 0, end: 0 };
}

/// A place for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loc {
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
}

impl fmt::Display for Loc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// The files of one mapping and what was found wrong in them.
#[derive(Debug, Default)]
pub(super) struct Files {
    list: Vec<(Arc<str>, String)>,
    problems: RefCell<Vec<Diagnostic>>,
}

impl Files {
    /// Parses `text` of the file called `name`; `None` after syntax errors.
    pub fn parse(&mut self, name: &str, text: &str) -> Option<Table> {
        let file = File::new(name, text);
        let parsed = file.parse();
        let tree = parsed.as_ref().map(|table| Table::of(table.get_ref(), self.list.len()));
        self.list.push((name.into(), text.to_owned()));
        drop(parsed);
        self.problems.borrow_mut().extend(file.finish());
        tree
    }

    pub fn loc(&self, at: Place) -> Loc {
        let Some((file, text)) = self.list.get(at.file) else {
            return Loc { file: "".into(), line: 0, column: 0 };
        };
        let (line, column) = place(text, at.start);
        Loc { file: Arc::clone(file), line, column }
    }

    /// The text between the bytes of a place.
    pub fn raw(&self, at: Place) -> &str {
        self.list.get(at.file).and_then(|(_, text)| text.get(at.start..at.end)).unwrap_or_default()
    }

    pub fn error(&self, at: Place, message: impl Into<String>) -> Diagnostic {
        match self.list.get(at.file) {
            Some((file, text)) => Diagnostic::error(file, text, at.start..at.end, message),
            None => Diagnostic::whole("", message),
        }
    }

    pub fn report(&self, found: Diagnostic) {
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&found) {
            problems.push(found);
        }
    }

    /// All findings, by place.
    pub fn take(&self) -> Vec<Diagnostic> {
        let mut found = self.problems.take();
        found.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        found
    }
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub name: String,
    pub place: Place,
}

#[derive(Debug, Clone)]
pub(super) struct Tree {
    pub place: Place,
    pub kind: Kind,
}

#[derive(Debug, Clone)]
pub(super) enum Kind {
    Text(String),
    /// As written, without underscores.
    Number(String),
    Bool(bool),
    Time(String),
    List(Vec<Tree>),
    Table(Table),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Table {
    /// In the order of the file.
    pub entries: Vec<(Key, Tree)>,
}

impl Table {
    fn of(table: &DeTable<'_>, file: usize) -> Self {
        let mut entries: Vec<(Key, Tree)> = table
            .iter()
            .map(|(key, value)| {
                let span = key.span();
                let place = Place { file, start: span.start, end: span.end };
                (Key { name: key.get_ref().to_string(), place }, Tree::of(value, file, place))
            })
            .collect();
        entries.sort_by_key(|(key, _)| key.place.start);
        Self { entries }
    }

    pub fn get(&self, name: &str) -> Option<&Tree> {
        self.entry(name).map(|(_, tree)| tree)
    }

    pub fn entry(&self, name: &str) -> Option<&(Key, Tree)> {
        self.entries.iter().find(|(key, _)| key.name == name)
    }

    pub fn get_mut(&mut self, name: &str) -> Option<&mut Tree> {
        self.entries.iter_mut().find(|(key, _)| key.name == name).map(|(_, tree)| tree)
    }

    pub fn set(&mut self, key: Key, tree: Tree) {
        match self.entries.iter_mut().find(|(known, _)| known.name == key.name) {
            Some(entry) => *entry = (key, tree),
            None => self.entries.push((key, tree)),
        }
    }

    pub fn remove(&mut self, name: &str) -> Option<Tree> {
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        Some(self.entries.remove(at).1)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(key, _)| key.name.as_str())
    }
}

impl Tree {
    fn of(value: &Spanned<DeValue<'_>>, file: usize, key: Place) -> Self {
        let span = value.span();
        // A table made by a header or a dotted key has no place of its own: it is shown at its key.
        let place = if span.is_empty() { key } else { Place { file, start: span.start, end: span.end } };
        let kind = match value.get_ref() {
            DeValue::String(text) => Kind::Text(text.to_string()),
            DeValue::Integer(number) => match number.radix() {
                10 => Kind::Number(number.as_str().replace('_', "")),
                radix => Kind::Number(
                    i64::from_str_radix(&number.as_str().replace('_', ""), radix)
                        .map_or_else(|_| number.to_string(), |number| number.to_string()),
                ),
            },
            DeValue::Float(number) => Kind::Number(number.as_str().replace('_', "")),
            DeValue::Boolean(yes) => Kind::Bool(*yes),
            DeValue::Datetime(time) => Kind::Time(time.to_string()),
            DeValue::Array(items) => Kind::List(items.iter().map(|item| Self::of(item, file, key)).collect()),
            DeValue::Table(table) => {
                let place =
                    if matches!(place, Place { start, end, .. } if start == end) { key } else { place };
                return Self { place, kind: Kind::Table(Table::of(table, file)) };
            }
        };
        Self { place, kind }
    }

    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    pub fn table(&self) -> Option<&Table> {
        match &self.kind {
            Kind::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn list(&self) -> Option<&[Tree]> {
        match &self.kind {
            Kind::List(items) => Some(items),
            _ => None,
        }
    }

    /// A scalar as text.
    pub fn scalar(&self) -> Option<String> {
        match &self.kind {
            Kind::Text(text) | Kind::Number(text) | Kind::Time(text) => Some(text.clone()),
            Kind::Bool(yes) => Some(yes.to_string()),
            Kind::List(_) | Kind::Table(_) => None,
        }
    }

    pub fn is_true(&self) -> bool {
        matches!(self.kind, Kind::Bool(true))
    }

    pub fn what(&self) -> &'static str {
        match self.kind {
            Kind::Text(_) => "a text",
            Kind::Number(_) => "a number",
            Kind::Bool(_) => "true or false",
            Kind::Time(_) => "a date or time",
            Kind::List(_) => "a list",
            Kind::Table(_) => "a table",
        }
    }

    /// The same content, wherever it stands.
    pub fn same(&self, other: &Self) -> bool {
        self.plain() == other.plain()
    }

    /// The content as one text, the same for the same content.
    pub fn plain(&self) -> String {
        match &self.kind {
            Kind::Text(text) => format!("{text:?}"),
            Kind::Number(text) | Kind::Time(text) => text.clone(),
            Kind::Bool(yes) => yes.to_string(),
            Kind::List(items) => {
                format!("[{}]", items.iter().map(Self::plain).collect::<Vec<_>>().join(", "))
            }
            Kind::Table(table) => {
                let mut entries: Vec<String> = table
                    .entries
                    .iter()
                    .map(|(key, tree)| format!("{} = {}", key.name, tree.plain()))
                    .collect();
                entries.sort();
                format!("{{ {} }}", entries.join(", "))
            }
        }
    }
}

/// Reads one table: remembers which keys were asked for, and reports wrong types.
pub(super) struct Reader<'t> {
    pub files: &'t Files,
    pub table: &'t Table,
    asked: RefCell<Vec<&'static str>>,
}

impl<'t> Reader<'t> {
    pub fn new(files: &'t Files, table: &'t Table) -> Self {
        Self { files, table, asked: RefCell::default() }
    }

    pub fn get(&self, name: &'static str) -> Option<&'t Tree> {
        self.asked.borrow_mut().push(name);
        self.table.get(name)
    }

    pub fn wrong(&self, tree: &Tree, message: impl Into<String>, help: impl Into<String>) {
        self.files.report(self.files.error(tree.place, message).help(help));
    }

    fn expected(&self, name: &str, tree: &Tree, what: &str) {
        self.wrong(tree, format!("`{name}` is {}", tree.what()), format!("expected {what}"));
    }

    pub fn text(&self, name: &'static str) -> Option<(&'t str, Place)> {
        let tree = self.get(name)?;
        let text = tree.text();
        if text.is_none() {
            self.expected(name, tree, "a text in quotes");
        }
        text.map(|text| (text, tree.place))
    }

    pub fn flag(&self, name: &'static str) -> Option<bool> {
        let tree = self.get(name)?;
        let Kind::Bool(yes) = tree.kind else {
            self.expected(name, tree, "true or false");
            return None;
        };
        Some(yes)
    }

    pub fn whole(&self, name: &'static str) -> Option<i64> {
        let tree = self.get(name)?;
        let number = match &tree.kind {
            Kind::Number(text) => text.parse().ok(),
            _ => None,
        };
        if number.is_none() {
            self.expected(name, tree, "a whole number");
        }
        number
    }

    pub fn sub(&self, name: &'static str) -> Option<&'t Table> {
        let tree = self.get(name)?;
        let table = tree.table();
        if table.is_none() {
            self.expected(name, tree, "a table");
        }
        table
    }

    /// A text, or a list of texts.
    pub fn texts(&self, name: &'static str) -> Option<Vec<(&'t str, Place)>> {
        let tree = self.get(name)?;
        let found: Option<Vec<_>> = match &tree.kind {
            Kind::Text(text) => Some(vec![(text.as_str(), tree.place)]),
            Kind::List(items) => items.iter().map(|item| Some((item.text()?, item.place))).collect(),
            _ => None,
        };
        if found.is_none() {
            self.expected(name, tree, "a text or a list of texts");
        }
        found
    }

    /// Reports the keys that nobody asked for.
    pub fn finish(&self, place: &str) {
        let asked = self.asked.borrow();
        #[cfg(test)]
        asked::note(place, &asked);
        for (key, _) in &self.table.entries {
            if !asked.contains(&key.name.as_str()) {
                let mut known = asked.clone();
                known.sort_unstable();
                known.dedup();
                self.files.report(
                    self.files
                        .error(key.place, format!("unknown key `{}` in {place}", key.name))
                        .nearest(&key.name, known),
                );
            }
        }
    }
}

/// Which keys the compiler reads where: for the reference.
#[cfg(test)]
pub(super) mod asked {
    use std::cell::RefCell;
    use std::collections::{BTreeMap, BTreeSet};

    type Asked = BTreeMap<String, BTreeSet<&'static str>>;

    thread_local! {
        static ASKED: RefCell<Asked> = RefCell::default();
    }

    pub fn note(place: &str, names: &[&'static str]) {
        ASKED.with_borrow_mut(|all| all.entry(place.to_owned()).or_default().extend(names));
    }

    pub fn take() -> Asked {
        ASKED.take()
    }
}

//! Reads TOML that people write: every wrong key and every wrong value becomes a [`Diagnostic`] with its place, and
//! reading goes on.

mod slips;

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, nearest};

/// A file under way: its name, its text and what was found wrong so far.
#[derive(Debug)]
pub struct File<'a> {
    name: &'a str,
    text: &'a str,
    problems: RefCell<Vec<Diagnostic>>,
}

impl<'a> File<'a> {
    /// The file called `name` with this text.
    #[must_use]
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, problems: RefCell::default() }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Parses it; `None` after syntax errors, all of which are reported.
    #[must_use]
    pub fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        let text = self.text;
        let (table, errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            return Some(table);
        }
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            let said = error.message().lines().collect::<Vec<_>>().join(", ");
            let found = slips::explained(self.name, text, span, &said);
            self.report(found);
        }
        None
    }

    /// Adds a finding.
    pub fn report(&self, found: Diagnostic) {
        let mut problems = self.problems.borrow_mut();
        if !problems.contains(&found) {
            problems.push(found);
        }
    }

    /// An error at `span`, not yet added.
    #[must_use]
    pub fn error(&self, span: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::error(self.name, self.text, span, message)
    }

    /// All findings, by place.
    #[must_use]
    pub fn finish(self) -> Vec<Diagnostic> {
        let mut problems = self.problems.into_inner();
        problems.sort_by_key(|found| (found.line, found.column));
        problems
    }
}

/// A table under way. It remembers which keys were asked for; [`Table::finish`] reports all others.
#[derive(Debug)]
pub struct Table<'f> {
    file: &'f File<'f>,
    path: String,
    span: Range<usize>,
    entries: &'f DeTable<'f>,
    asked: RefCell<Vec<String>>,
}

impl<'f> Table<'f> {
    /// The root of a file.
    #[must_use]
    pub fn root(file: &'f File<'f>, entries: &'f Spanned<DeTable<'f>>) -> Self {
        Self { file, path: String::new(), span: 0..0, entries: entries.get_ref(), asked: RefCell::default() }
    }

    /// Where its header, or the table itself, stands.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// The dotted name of the table, empty for the root.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &'f File<'f> {
        self.file
    }

    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<Value<'f>> {
        self.asked.borrow_mut().push(key.to_owned());
        self.entries.get_key_value(key).map(|(name, value)| self.value(name, value))
    }

    /// The value of `key`, which must be there.
    pub fn need(&self, key: &str, what: &str) -> Option<Value<'f>> {
        let value = self.get(key);
        if value.is_none() {
            let place = if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) };
            self.file.report(
                self.file
                    .error(self.span(), format!("`{key}` is missing{place}"))
                    .help(format!("expected {what}")),
            );
        }
        value
    }

    /// All keys and values, in the order of the file; none of them counts as unknown any more.
    pub fn all(&self) -> Vec<(Key<'f>, Value<'f>)> {
        let mut found: Vec<_> = self
            .entries
            .iter()
            .map(|(name, value)| {
                self.asked.borrow_mut().push(name.get_ref().to_string());
                (Key { text: name.get_ref(), span: name.span() }, self.value(name, value))
            })
            .collect();
        found.sort_by_key(|(key, _)| key.span.start);
        found
    }

    /// The keys, in the order of the file.
    pub fn keys(&self) -> Vec<Key<'f>> {
        let mut found: Vec<_> =
            self.entries.keys().map(|name| Key { text: name.get_ref(), span: name.span() }).collect();
        found.sort_by_key(|key| key.span.start);
        found
    }

    /// The table at `key`; absent is `None`, another type is reported.
    pub fn table(&self, key: &str) -> Option<Table<'f>> {
        self.get(key)?.table()
    }

    /// The tables `[path.KEY.NAME]`, in the order of the file.
    pub fn tables(&self, key: &str) -> Vec<(Key<'f>, Table<'f>)> {
        let Some(table) = self.table(key) else { return Vec::new() };
        table.all().into_iter().filter_map(|(name, value)| Some((name, value.table()?))).collect()
    }

    /// The text at `key`.
    pub fn text(&self, key: &str) -> Option<String> {
        Some(self.get(key)?.text()?.to_owned())
    }

    /// The truth at `key`.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.flag()
    }

    /// The whole number at `key`, from `least` to `most`.
    pub fn whole(&self, key: &str, least: u64, most: u64) -> Option<u64> {
        self.get(key)?.whole(least, most)
    }

    /// The duration at `key`.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        self.get(key)?.duration()
    }

    /// The list of texts at `key`; a single text is a list of one.
    pub fn texts(&self, key: &str) -> Option<Vec<String>> {
        Some(self.get(key)?.texts()?.into_iter().map(|(text, _)| text.to_owned()).collect())
    }

    /// The texts by key of the table at `key`.
    pub fn text_map(&self, key: &str) -> Vec<(Key<'f>, Value<'f>)> {
        self.table(key).map(|table| table.all()).unwrap_or_default()
    }

    /// Reports every key that nobody asked for.
    pub fn finish(&self) {
        self.finish_with(&[]);
    }

    /// Reports every key that nobody asked for; `more` are known names besides.
    pub fn finish_with(&self, more: &[&str]) {
        let asked = self.asked.borrow();
        let known = || asked.iter().map(String::as_str).chain(more.iter().copied());
        for key in self.keys() {
            if !known().any(|name| name == key.text) {
                let place = if self.path.is_empty() { String::new() } else { format!(" in [{}]", self.path) };
                let mut names: Vec<&str> = known().collect();
                names.sort_unstable();
                names.dedup();
                self.file.report(
                    self.file
                        .error(key.span.clone(), format!("unknown key `{}`{place}", key.text))
                        .nearest(key.text, names),
                );
            }
        }
    }

    /// Adds a finding about the table as a whole.
    pub fn wrong(&self, message: impl Into<String>, help: impl Into<String>) {
        self.file.report(self.file.error(self.span(), message).help(help));
    }

    fn value(
        &self,
        name: &'f Spanned<std::borrow::Cow<'f, str>>,
        value: &'f Spanned<DeValue<'f>>,
    ) -> Value<'f> {
        let path = match self.path.as_str() {
            "" => name.get_ref().to_string(),
            path => format!("{path}.{}", name.get_ref()),
        };
        let key = name.span();
        Value { file: self.file, path, key, held: value }
    }
}

/// A key with its place.
#[derive(Debug, Clone)]
pub struct Key<'f> {
    /// The key.
    pub text: &'f str,
    /// Where it stands.
    pub span: Range<usize>,
}

/// A value under way. Each conversion reports a wrong type and gives `None`.
#[derive(Debug, Clone)]
pub struct Value<'f> {
    file: &'f File<'f>,
    path: String,
    key: Range<usize>,
    held: &'f Spanned<DeValue<'f>>,
}

impl<'f> Value<'f> {
    /// Where it stands.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.held.span()
    }

    /// Where its key stands.
    #[must_use]
    pub fn key_span(&self) -> Range<usize> {
        self.key.clone()
    }

    /// Its dotted name.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The parsed value.
    #[must_use]
    pub fn raw(&self) -> &'f DeValue<'f> {
        self.held.get_ref()
    }

    /// Adds a finding of another file to which it leads.
    pub fn report(&self, found: Diagnostic) {
        self.file.report(found);
    }

    /// Adds the finding that this is not `expected`.
    pub fn wrong(&self, message: impl Display, help: impl Into<String>) {
        self.file.report(self.file.error(self.span(), format!("`{}`: {message}", self.path)).help(help));
    }

    /// Adds the finding `message` with the nearest of `known`.
    pub fn unknown<'n>(&self, message: impl Display, given: &str, known: impl IntoIterator<Item = &'n str>) {
        let found = self.file.error(self.span(), format!("`{}`: {message}", self.path));
        self.file.report(found.nearest(given, known));
    }

    /// Adds the finding that another type was expected.
    pub fn expected(&self, what: &str) {
        self.wrong(format!("found {}", article(self.raw())), format!("expected {what}"));
    }

    /// As text.
    pub fn text(&self) -> Option<&'f str> {
        let text = self.raw().as_str();
        if text.is_none() {
            self.expected("a text in quotes");
        }
        text
    }

    /// As a text that is one of `words`.
    pub fn word(&self, words: &[&'static str]) -> Option<&'static str> {
        let given = self.text()?;
        let found = words.iter().copied().find(|word| *word == given);
        if found.is_none() {
            let near = nearest(given, words.iter().copied());
            let help = near.map_or_else(
                || format!("expected {}", list(words)),
                |word| format!("did you mean `{word}`?"),
            );
            self.wrong(format!("`{given}` is not known here"), help);
        }
        found
    }

    /// As true or false.
    pub fn flag(&self) -> Option<bool> {
        let flag = self.raw().as_bool();
        if flag.is_none() {
            self.expected("true or false");
        }
        flag
    }

    /// As a whole number from `least` to `most`.
    pub fn whole(&self, least: u64, most: u64) -> Option<u64> {
        let Some(number) = self.integer() else {
            self.expected("a whole number");
            return None;
        };
        match u64::try_from(number) {
            Ok(number) if (least..=most).contains(&number) => Some(number),
            _ => {
                let range = if most == u64::MAX {
                    format!("expected at least {least}")
                } else {
                    format!("expected {least} to {most}")
                };
                self.wrong(format!("{number} is out of range"), range);
                None
            }
        }
    }

    /// The integer, if it is one; reports nothing.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        let integer = self.raw().as_integer()?;
        i64::from_str_radix(&integer.as_str().replace('_', ""), integer.radix()).ok()
    }

    /// A text, number or truth as text; reports other types.
    pub fn scalar(&self) -> Option<String> {
        let found = match self.raw() {
            DeValue::String(text) => Some(text.to_string()),
            DeValue::Integer(_) => self.integer().map(|number| number.to_string()),
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            DeValue::Datetime(time) => Some(time.to_string()),
            DeValue::Array(_) | DeValue::Table(_) => None,
        };
        if found.is_none() {
            self.expected("a text");
        }
        found
    }

    /// As a duration such as `"10s"`.
    pub fn duration(&self) -> Option<Duration> {
        let found = self.raw().as_str().and_then(duration);
        if found.is_none() {
            let what = "a duration such as \"250ms\", \"10s\", \"5m\", \"2h\" or \"1d\"";
            match self.raw().as_str() {
                Some(text) => self.wrong(format!("`{text}` is no duration"), format!("expected {what}")),
                None => self.expected(what),
            }
        }
        found
    }

    /// As a size in bytes such as `"2 MiB"`, or a number of bytes.
    pub fn size(&self) -> Option<u64> {
        let found = match self.raw() {
            DeValue::String(text) => size(text),
            DeValue::Integer(_) => self.integer().and_then(|number| u64::try_from(number).ok()),
            _ => None,
        };
        if found.is_none() {
            let what = "a size such as \"64 KiB\", \"2 MiB\" or \"1 GiB\"";
            match self.raw().as_str() {
                Some(text) => self.wrong(format!("`{text}` is no size"), format!("expected {what}")),
                None => self.expected(what),
            }
        }
        found
    }

    /// As a list of texts with their places; a single text is a list of one.
    pub fn texts(&self) -> Option<Vec<(&'f str, Range<usize>)>> {
        match self.raw() {
            DeValue::String(text) => Some(vec![(text.as_ref(), self.span())]),
            DeValue::Array(_) => {
                self.items()?.into_iter().map(|item| item.text().map(|text| (text, item.span()))).collect()
            }
            _ => {
                self.expected("a text or a list of texts");
                None
            }
        }
    }

    /// As a list.
    pub fn items(&self) -> Option<Vec<Value<'f>>> {
        let Some(array) = self.raw().as_array() else {
            self.expected("a list");
            return None;
        };
        let item = |(index, value): (usize, &'f Spanned<DeValue<'f>>)| Value {
            file: self.file,
            path: format!("{}[{index}]", self.path),
            key: self.key.clone(),
            held: value,
        };
        Some(array.iter().enumerate().map(item).collect())
    }

    /// As a table.
    pub fn table(&self) -> Option<Table<'f>> {
        let Some(entries) = self.raw().as_table() else {
            self.expected("a table");
            return None;
        };
        // An inline table knows its own place; a table made by a header or a dotted key is shown at its key.
        let span = if self.span().is_empty() { self.key.clone() } else { self.span() };
        let path = self.path.clone();
        Some(Table { file: self.file, path, span, entries, asked: RefCell::default() })
    }

    /// Whether it is a table; reports nothing.
    #[must_use]
    pub fn is_table(&self) -> bool {
        self.raw().is_table()
    }

    /// Whether it is a list; reports nothing.
    #[must_use]
    pub fn is_list(&self) -> bool {
        self.raw().is_array()
    }
}

fn article(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// `a, b or c`.
#[must_use]
pub fn list(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [rest @ .., last] => {
            let rest: Vec<_> = rest.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", rest.join(", "))
        }
    }
}

/// Reads `250ms`, `10s`, `5m`, `2h`, `1d`, or several in a row (`1h 30m`).
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|sign: char| !sign.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let tail = rest[digits..].trim_start();
        let letters = tail.find(|sign: char| !sign.is_ascii_alphabetic()).unwrap_or(tail.len());
        let seconds = match &tail[..letters] {
            "ms" => {
                sum = sum.checked_add(Duration::from_millis(number))?;
                0
            }
            "s" => 1,
            "m" | "min" => 60,
            "h" => 3600,
            "d" => 86_400,
            _ => return None,
        };
        sum = sum.checked_add(Duration::from_secs(number.checked_mul(seconds)?))?;
        rest = tail[letters..].trim_start();
    }
    Some(sum)
}

/// Reads `512`, `64 KiB`, `2 MiB`, `1 GiB`, and `kB`, `MB`, `GB` with powers of ten.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|sign: char| !sign.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" | "B" => 1,
        "kB" | "KB" => 1000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "KiB" => 1024,
        "MiB" => 1024 * 1024,
        "GiB" => 1024 * 1024 * 1024,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_durations_and_sizes() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("1h 30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("1d"), Some(Duration::from_hours(24)));
        for wrong in ["", "10", "s", "5 weeks", "-1s", "1.5h", "99999999999999999999s", "999999999999999999d"]
        {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        assert_eq!(size("2 MiB"), Some(2 * 1024 * 1024));
        assert_eq!(size("1kB"), Some(1000));
        assert_eq!(size("1 TiB"), None);
        assert_eq!(size("MiB"), None);
    }

    fn findings(text: &str, read: impl Fn(&Table<'_>)) -> Vec<String> {
        let file = File::new("t.toml", text);
        if let Some(parsed) = file.parse() {
            read(&Table::root(&file, &parsed));
        }
        file.finish().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn reports_every_problem_with_its_place() {
        let found = findings("a = 1\nb = \"x\"\nlisen = 3\n[t]\nc = \"5 weeks\"\n", |root| {
            root.text("a");
            root.flag("b");
            root.text("listen");
            if let Some(table) = root.table("t") {
                table.duration("c");
                table.need("d", "a text");
                table.finish();
            }
            root.finish();
        });
        insta::assert_snapshot!(found.join("\n"));
    }
}

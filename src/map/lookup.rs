//! Look-up tables: rows in the mapping, or a CSV beside it. A word that no row has is reported, never guessed.

use std::collections::HashMap;

use crate::config::sources::Sources;
use crate::diagnostic::Diagnostic;

use super::tree::{Files, Kind, Loc, Place, Reader, Table, Tree};

/// What is done with a word that no row has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// The fact is refused.
    Report,
    /// The word stays as it is.
    Keep,
    /// The field stays empty.
    Drop,
}

#[derive(Debug, Clone)]
pub(super) struct Lookup {
    pub name: String,
    rows: HashMap<String, String>,
    pub missing: Missing,
    /// The CSV and the line of each key of it, to explain what was missed.
    file: Option<(String, HashMap<String, usize>)>,
    pub loc: Loc,
}

impl Lookup {
    /// Reads `[lookup.NAME]`, or a table of rows written in a rule.
    pub fn compile(files: &Files, sources: &Sources, name: &str, place: Place, table: &Table) -> Self {
        let mut lookup = Self {
            name: name.to_owned(),
            rows: HashMap::new(),
            missing: Missing::Report,
            file: None,
            loc: files.loc(place),
        };
        let reader = Reader::new(files, table);
        if let Some((word, place)) = reader.text("missing") {
            lookup.missing = match word {
                "report" => Missing::Report,
                "keep" => Missing::Keep,
                "drop" => Missing::Drop,
                _ => {
                    files.report(
                        files
                            .error(place, format!("`{word}` is no way to treat what is missing"))
                            .help("expected \"report\" (the default), \"keep\" or \"drop\""),
                    );
                    Missing::Report
                }
            };
        }
        let (key, value) = (reader.text("key"), reader.text("value"));
        if let Some((path, place)) = reader.text("file") {
            match sources.get(path) {
                Some(text) => {
                    let columns = (key.map(|(name, _)| name), value.map(|(name, _)| name));
                    lookup.read_csv(files, path, text, columns);
                }
                None => {
                    files.report(files.error(place, format!("there is no file `{path}`")).nearest(
                        path,
                        sources.files.keys().map(String::as_str).filter(|p| p.starts_with("lists/")),
                    ));
                }
            }
        } else if let Some((_, place)) = key.or(value) {
            files.report(files.error(place, "`key` and `value` name columns of a `file`, and there is none"));
        }
        if let Some(rows) = reader.sub("rows") {
            lookup.add_rows(files, rows);
        } else if reader.table.get("file").is_none() {
            files.report(files.error(place, format!("the look-up table `{name}` has no rows")).help(
                "expected `rows = { theirs = \"ours\" }` or `file = \"lists/….csv\"` with `key` and `value`",
            ));
        }
        reader.finish(&format!("[lookup.{name}]"));
        lookup
    }

    /// Reads `lookup = { theirs = "ours" }`.
    pub fn inline(files: &Files, name: &str, tree: &Tree, rows: &Table) -> Self {
        let mut lookup = Self {
            name: name.to_owned(),
            rows: HashMap::new(),
            missing: Missing::Report,
            file: None,
            loc: files.loc(tree.place),
        };
        lookup.add_rows(files, rows);
        lookup
    }

    fn add_rows(&mut self, files: &Files, rows: &Table) {
        for (key, tree) in &rows.entries {
            match (&tree.kind, tree.scalar()) {
                (Kind::Text(_) | Kind::Number(_) | Kind::Bool(_), Some(text)) => {
                    self.rows.insert(key.name.clone(), text);
                }
                _ => files.report(
                    files
                        .error(tree.place, format!("`{}` is {}", key.name, tree.what()))
                        .help("expected theirs = \"ours\""),
                ),
            }
        }
    }

    fn read_csv(&mut self, files: &Files, path: &str, text: &str, columns: (Option<&str>, Option<&str>)) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let head = text.lines().next().unwrap_or_default();
        // Spreadsheets of half the world write semicolons.
        let delimiter = match [',', ';', '\t'].into_iter().find(|sign| head.contains(*sign)) {
            Some(';') => b';',
            Some('\t') => b'\t',
            _ => b',',
        };
        let wrong = |line: usize, message: String, help: String| {
            files.report(Diagnostic { line, column: 1, ..Diagnostic::whole(path, message) }.help(help));
        };
        let mut csv = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let Some(headers) = csv.headers().ok().filter(|names| !names.is_empty()).cloned() else {
            wrong(
                1,
                "no CSV with a line of column names".to_owned(),
                "expected names such as theirs,ours".to_owned(),
            );
            return;
        };
        let column = |name: Option<&str>, fallback: usize| match name {
            None => Some(fallback),
            Some(name) => {
                let at = headers.iter().position(|header| header == name);
                if at.is_none() {
                    let known = headers.iter().collect::<Vec<_>>().join(", ");
                    wrong(1, format!("there is no column `{name}`"), format!("the columns are: {known}"));
                }
                at
            }
        };
        let (Some(key), Some(value)) = (column(columns.0, 0), column(columns.1, 1)) else { return };
        let mut lines = HashMap::new();
        let spoilt = |cell: &str| {
            let parts = cell.split_once("E+").or_else(|| cell.split_once("e+"));
            parts.is_some_and(|(digits, power)| {
                let number = |text: &str, point: bool| {
                    !text.is_empty()
                        && text.chars().all(|c| c.is_ascii_digit() || (point && c == '.' || c == ','))
                };
                number(digits, true) && number(power, false)
            })
        };
        let (mut line, mut counted) = (1, 0);
        for record in csv.records() {
            let record = match record {
                Ok(record) => record,
                Err(error) => {
                    let line = error.position().and_then(|at| usize::try_from(at.line()).ok()).unwrap_or(1);
                    wrong(line, format!("no CSV: {error}"), "save it as CSV in UTF-8".to_owned());
                    return;
                }
            };
            // The reader's own count is one short after `\r\n`: count from where the record's first letter stands.
            let start = record.position().and_then(|at| usize::try_from(at.byte()).ok()).unwrap_or(counted);
            let blank = text
                .get(start..)
                .unwrap_or_default()
                .bytes()
                .take_while(|byte| matches!(byte, b'\r' | b'\n'))
                .count();
            line += text.get(counted..start + blank).unwrap_or_default().matches('\n').count();
            counted = start + blank;
            let theirs = record.get(key).unwrap_or_default();
            let ours = record.get(value).unwrap_or_default();
            if theirs.is_empty() && ours.is_empty() {
                continue;
            }
            if theirs.is_empty() || ours.is_empty() {
                let name = headers.get(if theirs.is_empty() { key } else { value }).unwrap_or_default();
                wrong(line, format!("the column `{name}` is empty"), "fill it, or remove the row".to_owned());
                continue;
            }
            if let Some(cell) = [theirs, ours].into_iter().find(|cell| spoilt(cell)) {
                let message = format!("`{cell}` looks like a long number that a spreadsheet has shortened");
                let help = "make the column a text before you paste the numbers into it";
                let found = Diagnostic { line, column: 1, ..Diagnostic::whole(path, message) }.help(help);
                files.report(found.warning());
            }
            if let Some(before) = lines.get(theirs)
                && self.rows.get(theirs).is_some_and(|known| known != ours)
            {
                let known = self.rows.get(theirs).cloned().unwrap_or_default();
                wrong(
                    line,
                    format!("`{theirs}` is `{ours}` here and `{known}` in row {before}"),
                    "keep one of the two".to_owned(),
                );
                continue;
            }
            lines.insert(theirs.to_owned(), line);
            self.rows.insert(theirs.to_owned(), ours.to_owned());
        }
        self.file = Some((path.to_owned(), lines));
    }

    /// Feeds everything that it says into the mapping's version.
    pub fn digest(&self, hash: &mut sha2::Sha256) {
        let mut rows: Vec<_> = self.rows.iter().collect();
        rows.sort();
        for (theirs, ours) in rows {
            sha2::Digest::update(hash, format!("{}{theirs:?}={ours:?};", self.name));
        }
    }

    pub fn get(&self, word: &str) -> Option<&str> {
        self.rows.get(word).map(String::as_str)
    }

    /// Where to add `word`, and what may have happened to it.
    pub fn help(&self, word: &str) -> String {
        let add = match &self.file {
            _ if self.name.is_empty() => {
                return format!("add `{word}` to the rows of `lookup` at {}: {word:?} = \"…\"", self.loc);
            }
            Some((path, _)) => {
                format!("add a row to {path}, or to `[lookup.{}.rows]`: {word:?} = \"…\"", self.name)
            }
            None => format!("add to `[lookup.{}.rows]` ({}): {word:?} = \"…\"", self.name, self.loc),
        };
        let bare = word.trim_start_matches('0');
        if let Some((path, lines)) = &self.file
            && bare != word
            && let Some(line) = lines.get(bare)
        {
            return format!(
                "{path} row {line} has `{bare}`; messages say `{word}`: leading zeros lost? Or {add}"
            );
        }
        let near = crate::diagnostic::nearest(word, self.rows.keys().map(String::as_str));
        match near {
            Some(near) => format!("{add} (there is `{near}`)"),
            None => add,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(toml: &str, csv: &str) -> (Lookup, Vec<String>) {
        let mut files = Files::default();
        let table = files.parse("m.toml", toml).unwrap();
        let mut sources = Sources::default();
        sources.insert("lists/a.csv", csv);
        let (key, tree) = &table.entries[0];
        let lookup = Lookup::compile(&files, &sources, "reason", key.place, tree.table().unwrap());
        (lookup, files.take().iter().map(ToString::to_string).collect())
    }

    const FILE: &str =
        "[lookup]\nfile = \"lists/a.csv\"\nkey = \"theirs\"\nvalue = \"ours\"\nrows = { b = \"row\" }\n";

    #[test]
    fn rows_beat_the_file_and_spreadsheets_are_understood() {
        for csv in ["theirs,ours\na,1\nb,2\n", "\u{feff}ours;theirs\r\n1;a\r\n2;b\r\n"] {
            let (lookup, problems) = read(FILE, csv);
            assert_eq!(problems, Vec::<String>::new());
            assert_eq!((lookup.get("a"), lookup.get("b"), lookup.get("c")), (Some("1"), Some("row"), None));
        }
    }

    #[test]
    fn lost_leading_zeros_are_suspected() {
        let (lookup, _) = read(FILE, "theirs,ours\nx,1\ny,3\n123,2\n");
        assert!(
            lookup
                .help("00123")
                .starts_with("lists/a.csv row 4 has `123`; messages say `00123`: leading zeros")
        );
        assert!(
            lookup.help("zz").starts_with("add a row to lists/a.csv, or to `[lookup.reason.rows]`: \"zz\"")
        );
    }

    #[test]
    fn contradictions_and_gaps_are_errors_with_their_row() {
        let (_, problems) = read(FILE, "theirs,ours\na,1\na,2\nc,\n");
        assert_eq!(problems[0], "lists/a.csv:3:1: `a` is `2` here and `1` in row 2; keep one of the two");
        assert!(problems[1].starts_with("lists/a.csv:4:1: the column `ours` is empty"));
        let (_, problems) = read(FILE, "their,ours\na,1\n");
        assert!(problems[0].contains("no column `theirs`; the columns are: their, ours"));
        let (_, problems) = read("[lookup]\nfile = \"lists/b.csv\"\n", "a,b\n");
        assert!(problems[0].contains("did you mean `lists/a.csv`?"), "{problems:?}");
    }
}

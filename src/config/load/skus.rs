//! SKU aliases: a CSV with the columns account, theirs, ours, each. Spreadsheets damage such files in known ways, each of
//! which is named with its row.

use std::collections::BTreeMap;

use crate::canonical::AccountId;
use crate::config::model::SkuTable;
use crate::diagnostic::Diagnostic;

const COLUMNS: [&str; 4] = ["account", "theirs", "ours", "each"];

/// Reads the table in `text`; `accounts` are those of the flow.
pub(super) fn read(file: &str, text: &str, accounts: &[&str]) -> (SkuTable, Vec<Diagnostic>) {
    let mut table = SkuTable { file: Some(file.to_owned()), rows: BTreeMap::new() };
    let mut reader = Reader { file, text, problems: Vec::new() };
    let plain = text.strip_prefix('\u{feff}').unwrap_or(text);
    let head = plain.lines().next().unwrap_or_default();
    let delimiter = if head.contains(';') && !head.contains(',') { b';' } else { b',' };
    let mut csv = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(plain.as_bytes());
    let places = match csv.headers() {
        Ok(headers) => reader.columns(headers),
        Err(error) => {
            reader.report(1, format!("it is no CSV: {error}"), "");
            None
        }
    };
    let Some(places) = places else { return (table, reader.problems) };
    let mut first_rows: BTreeMap<(AccountId, String), u64> = BTreeMap::new();
    let mut all = Vec::new();
    for record in csv.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, |at| line_of(plain, at));
                reader.report(line, format!("it is no CSV row: {error}"), "");
                continue;
            }
        };
        let line = record.position().map_or(0, |at| line_of(plain, at));
        let field = |column: usize| places[column].and_then(|at| record.get(at)).unwrap_or_default().trim();
        if record.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        let row = Row { line, account: field(0), theirs: field(1), ours: field(2), each: field(3) };
        let Some((account, each)) = reader.row(&row, accounts) else { continue };
        let key = (account, row.theirs.to_owned());
        if let Some(first) = first_rows.get(&key) {
            let message =
                format!("`{}` of the account `{}` stands in row {first} already", row.theirs, row.account);
            reader.report(line, message, "keep one of the two rows");
            continue;
        }
        first_rows.insert(key.clone(), line);
        all.push((line, row.account.to_owned(), row.theirs.to_owned(), row.ours.to_owned()));
        table.rows.insert(key, (row.ours.to_owned(), each));
    }
    reader.lost_zeros(&all);
    (table, reader.problems)
}

struct Row<'r> {
    line: u64,
    account: &'r str,
    theirs: &'r str,
    ours: &'r str,
    each: &'r str,
}

struct Reader<'r> {
    file: &'r str,
    text: &'r str,
    problems: Vec<Diagnostic>,
}

impl Reader<'_> {
    fn report(&mut self, line: u64, message: impl Into<String>, help: &str) {
        let found = self.at(line, message, help);
        self.problems.push(found);
    }

    fn at(&self, line: u64, message: impl Into<String>, help: &str) -> Diagnostic {
        let skipped = usize::try_from(line.saturating_sub(1)).unwrap_or(0);
        let start: usize = self.text.split_inclusive('\n').take(skipped).map(str::len).sum();
        let found =
            Diagnostic::error(self.file, self.text, start..start, format!("row {line}: {}", message.into()));
        if help.is_empty() { found } else { found.help(help) }
    }

    /// Where each column stands; `each` may be left out.
    fn columns(&mut self, headers: &csv::StringRecord) -> Option<[Option<usize>; 4]> {
        let mut places = [None; 4];
        for (at, name) in headers.iter().enumerate() {
            if let Some(column) = COLUMNS.iter().position(|column| column.eq_ignore_ascii_case(name.trim())) {
                places[column] = Some(at);
            } else {
                let found = self.at(1, format!("unknown column `{}`", name.trim()), "");
                self.problems.push(found.nearest(name.trim(), COLUMNS));
            }
        }
        let missing: Vec<&str> = (0..3).filter(|at| places[*at].is_none()).map(|at| COLUMNS[at]).collect();
        if missing.is_empty() {
            return Some(places);
        }
        let message = format!("there is no column {}", missing.join(", "));
        self.report(1, message, "expected the columns account,theirs,ours,each");
        None
    }

    fn row(&mut self, row: &Row<'_>, accounts: &[&str]) -> Option<(AccountId, u64)> {
        let before = self.problems.len();
        if !accounts.contains(&row.account) {
            let found = self.at(row.line, format!("the flow has no account `{}`", row.account), "");
            self.problems.push(found.nearest(row.account, accounts.iter().copied()));
        }
        for (name, value) in [("theirs", row.theirs), ("ours", row.ours)] {
            if value.is_empty() {
                self.report(row.line, format!("`{name}` is empty"), "expected a SKU");
            } else if scientific(value) {
                let message = format!("`{value}` at `{name}` was rewritten by a spreadsheet");
                self.report(row.line, message, "format the column as text, and enter the whole number again");
            }
        }
        let each = match row.each {
            "" => Some(1),
            text => text.parse().ok().filter(|each| *each > 0),
        };
        if each.is_none() {
            let message = format!("`{}` at `each` is no number of units", row.each);
            self.report(row.line, message, "expected a whole number from 1");
        }
        if self.problems.len() > before {
            return None;
        }
        Some((AccountId::from(row.account), each?))
    }

    /// Warns of SKUs that look as if a spreadsheet had taken their leading zeros.
    fn lost_zeros(&mut self, rows: &[(u64, String, String, String)]) {
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        for (line, account, theirs, ours) in
            rows.iter().filter(|row| digits(&row.2) && !row.2.starts_with('0'))
        {
            // Our own SKU, or one of the same account, of the same digits with zeros before them.
            let longer = |other: &str| {
                digits(other)
                    && other.len() > theirs.len()
                    && other.trim_start_matches('0') == theirs.as_str()
            };
            let widths =
                rows.iter().filter(|row| row.1 == *account && digits(&row.2) && row.2.starts_with('0'));
            let width = widths.map(|row| row.2.len()).max().unwrap_or(0);
            let meant = if longer(ours) {
                ours.clone()
            } else if width > theirs.len() {
                format!("{theirs:0>width$}")
            } else {
                continue;
            };
            let message = format!("`{theirs}`: did a spreadsheet take its leading zeros?");
            let found = self.at(
                *line,
                message,
                &format!("if it is `{meant}`, write it so, and format the column as text"),
            );
            self.problems.push(found.warning());
        }
    }
}

/// The line of a record; its position may still be at the end of the line before.
fn line_of(text: &str, at: &csv::Position) -> u64 {
    let start = usize::try_from(at.byte()).unwrap_or(usize::MAX).min(text.len());
    let rest = &text.as_bytes()[start..];
    let skipped = rest.iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
    let before = &text.as_bytes()[..start + skipped];
    u64::try_from(before.split(|byte| *byte == b'\n').count()).unwrap_or(u64::MAX)
}

/// `1.23E+12`.
fn scientific(text: &str) -> bool {
    let Some((number, power)) = text.split_once(['E', 'e']) else { return false };
    let plain =
        |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    plain(number) && power.strip_prefix('+').is_some_and(plain)
}

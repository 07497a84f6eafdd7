//! Rows of cells. With a header the rows are objects in `rows`; without one columns are `01`, `02` …, and [loops] may
//! nest the rows by what their first cell says.

use std::borrow::Cow;
use std::collections::HashMap;

use super::loops::nest;
use super::segment::{Segment, element_name};
use super::{FAULT, LINE, Syntax, put};
use crate::map::json::problem;
use crate::map::node::{Node, ParseError};

/// Columns that a row may have.
const MAX_COLUMNS: usize = 2_000;

pub(super) fn parse<'a>(text: &'a str, syntax: &Syntax) -> Result<Node<'a>, ParseError> {
    let delimiter = syntax.delimiter.unwrap_or_else(|| usual(text));
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    let mut names: Option<Vec<String>> =
        if syntax.header { None } else { Some(syntax.columns.clone()).filter(|names| !names.is_empty()) };
    let mut rows: Vec<(usize, usize, Vec<String>)> = Vec::new();
    let (mut line, mut counted) = (1, 0);
    let mut record = csv::StringRecord::new();
    loop {
        let start = usize::try_from(reader.position().byte()).unwrap_or(counted);
        match reader.read_record(&mut record) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => return Err(problem(text.as_bytes(), start, format!("no CSV: {error}"))),
        }
        let blank = text.get(start..).unwrap_or_default();
        let start = start + (blank.len() - blank.trim_start_matches(['\r', '\n']).len());
        line += text.get(counted..start).unwrap_or_default().matches('\n').count();
        counted = start;
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        if record.len() > MAX_COLUMNS {
            return Err(problem(
                text.as_bytes(),
                start,
                format!("a row of {} cells; at most {MAX_COLUMNS} are read", record.len()),
            ));
        }
        let cells: Vec<String> = record.iter().map(|cell| cell.trim().to_owned()).collect();
        if names.is_none() && syntax.header {
            names = Some(cells);
        } else {
            rows.push((line, start, cells));
        }
    }
    if syntax.header && names.is_none() {
        return Err(problem(
            text.as_bytes(),
            0,
            "expected a row of column names, and the payload is empty".to_owned(),
        ));
    }
    if !syntax.loops.0.is_empty() {
        return nested(text, rows, syntax);
    }
    let rows = rows.into_iter().map(|(line, _, cells)| match &names {
        Some(names) => row(names, line, cells),
        None => numbered(line, cells),
    });
    Ok(Node::Map(vec![(Cow::Borrowed("rows"), Node::List(rows.collect()))]))
}

/// The delimiter that the first line has most of.
fn usual(text: &str) -> u8 {
    let head = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let mut quoted = false;
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0), (b'|', 0)];
    for byte in head.bytes() {
        if byte == b'"' {
            quoted = !quoted;
        } else if let Some((_, count)) = counts.iter_mut().find(|(sign, _)| *sign == byte && !quoted) {
            *count += 1;
        }
    }
    // Of equals the first.
    counts.iter().rev().max_by_key(|(_, count)| *count).map_or(b',', |(sign, _)| *sign)
}

fn number(line: usize) -> (Cow<'static, str>, Node<'static>) {
    (Cow::Borrowed(LINE), Node::Num(Cow::Owned(line.to_string())))
}

fn numbered(line: usize, cells: Vec<String>) -> Node<'static> {
    let cells = cells.into_iter().enumerate();
    let cells = cells.map(|(at, cell)| (element_name(at + 1), Node::Str(Cow::Owned(cell))));
    Node::Map(std::iter::once(number(line)).chain(cells).collect())
}

/// A row by the names of the columns. More cells than names cannot be told apart: the row is not used.
fn row(names: &[String], line: usize, cells: Vec<String>) -> Node<'static> {
    let mut entries = vec![number(line)];
    let mut places = HashMap::new();
    let too_many = cells.iter().skip(names.len()).any(|cell| !cell.is_empty());
    if too_many || cells.len() < names.len() {
        let why = format!(
            "the row has {} cells, and the header {}: a quote or a delimiter is amiss",
            cells.len(),
            names.len()
        );
        entries.push((Cow::Borrowed(FAULT), Node::Str(Cow::Owned(why))));
        return Node::Map(entries);
    }
    for (name, cell) in names.iter().zip(cells) {
        if !name.is_empty() {
            put(&mut entries, &mut places, Cow::Owned(name.clone()), Node::Str(Cow::Owned(cell)));
        }
    }
    Node::Map(entries)
}

/// Rows of several kinds, told by their first cell: `H,…` with the `D,…` that follow it.
fn nested(
    text: &str,
    rows: Vec<(usize, usize, Vec<String>)>,
    syntax: &Syntax,
) -> Result<Node<'static>, ParseError> {
    let segments = rows.into_iter().map(|(line, byte, cells)| {
        let tag = Cow::Owned(cells.first().cloned().unwrap_or_default());
        let cells = cells.into_iter().enumerate();
        let cells = cells.map(|(at, cell)| (element_name(at + 1), Node::Str(Cow::Owned(cell))));
        let elements = std::iter::once(number(line)).chain(cells).collect();
        Segment { tag, elements, number: line, byte }
    });
    let entries = nest(segments, &syntax.loops).map_err(|why| problem(text.as_bytes(), 0, why))?;
    Ok(Node::Map(entries))
}

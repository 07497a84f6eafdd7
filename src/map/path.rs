//! Paths into a payload: `a.b`, `a[0]`, `a[-1]`, `a[*].b`, `a[name='x y'].b`, `a['key.with.dots']`, `*` for any key,
//! `**` for any depth, `$` for the whole message, `$record` for the record, `$group` for the rows of the present group,
//! `$asked` for what was asked, `^` for the row around, `.` for the row itself and `[#]` for the item at the row's own number (lists that run side by
//! side).

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use thiserror::Error;

use super::node::Node;
use super::path_text::{Steps, start_of};

/// A path, read once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    text: Arc<str>,
    start: Start,
    steps: Vec<Step>,
    /// Whether it leads to one value at most: through keys and numbered items alone.
    plain: bool,
    hints: Hints,
}

/// Where each key of a path stood in its object the last time: payloads of one partner have one shape.
#[derive(Debug)]
struct Hints(Box<[AtomicUsize]>);

impl Hints {
    fn of(steps: &[Step]) -> Self {
        Self(steps.iter().map(|_| AtomicUsize::new(0)).collect())
    }

    /// The value of `key`: first where it was last.
    fn get<'n>(
        &self,
        step: usize,
        entries: &'n [(Cow<'n, str>, Node<'n>)],
        key: &str,
    ) -> Option<&'n Node<'n>> {
        let hint = self.0.get(step);
        if let Some((name, node)) = hint.and_then(|hint| entries.get(hint.load(Ordering::Relaxed)))
            && name == key
        {
            return Some(node);
        }
        let at = entries.iter().position(|(name, _)| name == key)?;
        if let Some(hint) = hint {
            hint.store(at, Ordering::Relaxed);
        }
        entries.get(at).map(|(_, node)| node)
    }
}

impl Clone for Hints {
    fn clone(&self) -> Self {
        Self(self.0.iter().map(|_| AtomicUsize::new(0)).collect())
    }
}

impl PartialEq for Hints {
    /// What was seen is no part of the path.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Hints {}

/// Where a path starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The row (outside of rows: the record).
    Row,
    /// So many rows around it.
    Up(usize),
    /// The record.
    Record,
    /// The rows of the present group: only for `each`.
    Group,
    /// What was asked for, of which the message is the answer.
    Asked,
    /// The whole message.
    Root,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    AnyKey,
    /// `**`: the value itself, and every object in it at any depth.
    AnyDepth,
    Index(i64),
    RowNumber,
    All,
    Only {
        steps: Vec<Step>,
        value: Wanted,
    },
}

/// What a selector compares with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This text.
    Text(String),
    /// What stands there: `[id=$record.address_id]`.
    At(Box<Path>),
}

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{path}` is no path: {message}")]
pub struct PathError {
    /// The text.
    pub path: String,
    /// What is wrong, and what to write.
    pub message: String,
}

/// Why a path could not be followed in a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A list was met where the path names a key.
    Through {
        /// The path up to the list.
        list: String,
        /// How many items it has.
        items: usize,
    },
    /// More steps than a message may take.
    TooMuch,
}

/// Where a path is followed: the message, the record, and the rows from the outermost to the present one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot<'s, 'n> {
    pub root: &'n Node<'n>,
    pub asked: &'n Node<'n>,
    pub record: &'n Node<'n>,
    pub rows: &'s [&'n Node<'n>],
    pub number: usize,
    pub budget: &'s Cell<u64>,
}

impl<'n> Spot<'_, 'n> {
    /// The row, or so many rows around it; beyond the outermost row stands the record.
    pub fn row(&self, up: usize) -> &'n Node<'n> {
        self.rows.len().checked_sub(up + 1).map_or(self.record, |at| self.rows[at])
    }
}

/// A row found by [`Path::rows`].
#[derive(Debug, Clone)]
pub(crate) struct Row<'n> {
    /// Items of bracketed lists on the way, the outermost first.
    pub around: Vec<&'n Node<'n>>,
    pub node: &'n Node<'n>,
    /// Its number in its list, from 0.
    pub number: usize,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// In words, with what to write instead.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let fail = |message: String| PathError { path: text.to_owned(), message };
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(fail("it is empty".to_owned()));
        }
        let (start, rest) = start_of(trimmed);
        let steps =
            Steps { rest, first: start == Start::Row && rest.len() == trimmed.len() }.read().map_err(fail)?;
        if start == Start::Group && !matches!(steps.as_slice(), [] | [Step::All]) {
            return Err(fail("`$group` stands alone, as `each = \"$group\"`".to_owned()));
        }
        let plain = steps.iter().all(|step| matches!(step, Step::Key(_) | Step::Index(_) | Step::RowNumber));
        let hints = Hints::of(&steps);
        Ok(Self { text: trimmed.into(), start, steps, plain, hints })
    }

    /// Where it starts.
    pub(crate) fn start(&self) -> Start {
        self.start
    }

    /// Its steps.
    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Its text, shared.
    pub(crate) fn shared(&self) -> Arc<str> {
        Arc::clone(&self.text)
    }

    /// Whether it leads to one value at most: then [`Path::lone`] finds it.
    pub(crate) fn is_plain(&self) -> bool {
        self.plain
    }

    /// The one value to which a plain path leads from `spot`.
    pub(crate) fn lone<'n>(&self, spot: &Spot<'_, 'n>) -> Result<Option<&'n Node<'n>>, Fault> {
        let mut node = self.base(spot);
        charge(spot)?;
        for (number, step) in self.steps.iter().enumerate() {
            let next = match step {
                Step::Key(key) => match node {
                    Node::Map(entries) => self.hints.get(number, entries, key),
                    Node::List(items) => {
                        let list = self.up_to(self.steps.get(number..).unwrap_or_default());
                        return Err(Fault::Through { list, items: items.len() });
                    }
                    Node::Str(_) if key == "1" => Some(node),
                    _ => None,
                },
                Step::Index(at) => item(node, *at),
                Step::RowNumber => node.items().and_then(|items| items.get(spot.number)),
                Step::AnyKey | Step::AnyDepth | Step::All | Step::Only { .. } => None,
            };
            let Some(next) = next else { return Ok(None) };
            node = next;
            charge(spot)?;
        }
        Ok(Some(node))
    }

    /// Whether it may give several values (`[*]`).
    pub(crate) fn several(&self) -> bool {
        self.steps.contains(&Step::All)
    }

    /// How many rows [`Path::rows`] adds: the bracketed lists on the way, and the list itself.
    pub(crate) fn brackets(&self) -> usize {
        let (last, rest) = match self.steps.split_last() {
            Some((Step::All | Step::Only { .. }, rest)) => (1, rest),
            _ => (1, self.steps.as_slice()),
        };
        last + rest.iter().filter(|step| matches!(step, Step::All | Step::Only { .. })).count()
    }

    /// Whether it is one plain word, which may have been meant as a text.
    pub(crate) fn is_one_word(&self) -> bool {
        self.start == Start::Row && matches!(self.steps.as_slice(), [Step::Key(_)])
    }

    /// The same path, started elsewhere.
    pub(crate) fn started_at(&self, start: Start) -> Self {
        Self { start, ..self.clone() }
    }

    /// The path of `key` beside what this one leads to; `None` where it ends at no key.
    pub(crate) fn beside(&self, key: &str) -> Option<Self> {
        let mut steps = self.steps.clone();
        let last = steps.iter().rposition(|step| matches!(step, Step::Key(_)))?;
        steps.truncate(last);
        steps.push(Step::Key(key.to_owned()));
        let hints = Hints::of(&steps);
        Some(Self { steps, hints, ..self.clone() })
    }

    /// All values in `root` to which the path leads; nothing where it meets a list without brackets.
    #[must_use]
    pub fn all<'n>(&self, root: &'n Node<'n>) -> Vec<&'n Node<'n>> {
        let budget = Cell::new(u64::MAX);
        let spot = Spot { root, asked: &Node::Null, record: root, rows: &[], number: 0, budget: &budget };
        self.find(&spot).unwrap_or_default()
    }

    /// The first value in `root` to which the path leads.
    #[must_use]
    pub fn first<'n>(&self, root: &'n Node<'n>) -> Option<&'n Node<'n>> {
        self.all(root).into_iter().next()
    }

    /// All values to which the path leads from `spot`.
    pub(crate) fn find<'n>(&self, spot: &Spot<'_, 'n>) -> Result<Vec<&'n Node<'n>>, Fault> {
        if self.plain {
            return Ok(self.lone(spot)?.into_iter().collect());
        }
        let mut found = Vec::new();
        let mut trail = Vec::new();
        let mut walk = Walk { path: self, spot, visit: &mut |node, _: &[&'n Node<'n>]| found.push(node) };
        walk.step(self.base(spot), &self.steps, &mut trail)?;
        Ok(found)
    }

    /// The items of the list to which the path leads from `spot`; a lone value counts as a list of one, null as none.
    pub(crate) fn rows<'n>(&self, spot: &Spot<'_, 'n>) -> Result<Vec<Row<'n>>, Fault> {
        let mut found: Vec<(&'n Node<'n>, Vec<&'n Node<'n>>)> = Vec::new();
        let mut trail = Vec::new();
        let steps = self.steps.strip_suffix(&[Step::All]).unwrap_or(&self.steps);
        let only = matches!(steps.last(), Some(Step::Only { .. }));
        let mut walk = Walk {
            path: self,
            spot,
            visit: &mut |node, trail: &[&'n Node<'n>]| {
                let around = if only { &trail[..trail.len().saturating_sub(1)] } else { trail };
                found.push((node, around.to_vec()));
            },
        };
        walk.step(self.base(spot), steps, &mut trail)?;
        let mut rows = Vec::new();
        for (node, around) in found {
            let items = node.items().unwrap_or_else(|| std::slice::from_ref(node));
            for (number, item) in items.iter().enumerate() {
                charge(spot)?;
                if *item != Node::Null {
                    rows.push(Row { around: around.clone(), node: item, number });
                }
            }
        }
        Ok(rows)
    }

    /// Whether the list that the path names (without a trailing `[*]`) is there and not null.
    pub(crate) fn names_something(&self, spot: &Spot<'_, '_>) -> bool {
        let steps = self.steps.strip_suffix(&[Step::All]).unwrap_or(&self.steps);
        let mut there = false;
        let mut walk =
            Walk { path: self, spot, visit: &mut |node, _: &[&Node<'_>]| there |= *node != Node::Null };
        let walked = walk.step(self.base(spot), steps, &mut Vec::new());
        there || walked.is_err()
    }

    fn base<'n>(&self, spot: &Spot<'_, 'n>) -> &'n Node<'n> {
        match self.start {
            Start::Row => spot.row(0),
            Start::Up(levels) => spot.row(levels),
            Start::Record | Start::Group => spot.record,
            Start::Asked => spot.asked,
            Start::Root => spot.root,
        }
    }

    /// The deepest value on the way, and the key that it lacks: for messages.
    pub(crate) fn breaks_at<'n, 'p>(&'p self, spot: &Spot<'_, 'n>) -> Option<(&'n Node<'n>, &'p str)> {
        let mut here = self.base(spot);
        for step in &self.steps {
            let next = match step {
                Step::Key(key) => match here.get(key) {
                    Some(next) => Some(next),
                    None if key == "1" && matches!(here, Node::Str(_)) => Some(here),
                    None => return Some((here, key)),
                },
                Step::Index(at) => item(here, *at),
                Step::RowNumber => here.items().and_then(|items| items.get(spot.number)),
                Step::All => here.items().and_then(|items| items.first()),
                Step::AnyKey | Step::AnyDepth | Step::Only { .. } => None,
            };
            here = next?;
        }
        None
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn charge(spot: &Spot<'_, '_>) -> Result<(), Fault> {
    let left = spot.budget.get();
    if left == 0 {
        return Err(Fault::TooMuch);
    }
    spot.budget.set(left - 1);
    Ok(())
}

fn item<'n>(node: &'n Node<'n>, at: i64) -> Option<&'n Node<'n>> {
    match node {
        Node::List(items) => {
            let index = if at < 0 {
                items.len().checked_sub(usize::try_from(at.unsigned_abs()).ok()?)?
            } else {
                usize::try_from(at).ok()?
            };
            items.get(index)
        }
        // A lone value counts as a list of one.
        Node::Null => None,
        _ => (at == 0 || at == -1).then_some(node),
    }
}

struct Walk<'w, 'n> {
    path: &'w Path,
    spot: &'w Spot<'w, 'n>,
    visit: &'w mut dyn FnMut(&'n Node<'n>, &[&'n Node<'n>]),
}

impl<'n> Walk<'_, 'n> {
    fn step(
        &mut self,
        node: &'n Node<'n>,
        steps: &[Step],
        trail: &mut Vec<&'n Node<'n>>,
    ) -> Result<(), Fault> {
        charge(self.spot)?;
        let Some((step, rest)) = steps.split_first() else {
            (self.visit)(node, trail);
            return Ok(());
        };
        match step {
            Step::Key(key) => match node {
                Node::List(items) => {
                    let list = self.path.up_to(steps);
                    return Err(Fault::Through { list, items: items.len() });
                }
                // An element of a segment that has no components is its own first component.
                Node::Str(_) if key == "1" => self.step(node, rest, trail)?,
                _ => {
                    if let Some(next) = node.get(key) {
                        self.step(next, rest, trail)?;
                    }
                }
            },
            Step::AnyDepth => match node {
                Node::Map(entries) => {
                    self.step(node, rest, trail)?;
                    for (_, value) in entries {
                        self.step(value, steps, trail)?;
                    }
                }
                Node::List(items) => {
                    for item in items {
                        self.step(item, steps, trail)?;
                    }
                }
                _ => {}
            },
            Step::AnyKey => {
                if let Node::Map(entries) = node {
                    for (_, value) in entries {
                        self.step(value, rest, trail)?;
                    }
                }
            }
            Step::Index(at) => {
                if let Some(next) = item(node, *at) {
                    self.step(next, rest, trail)?;
                }
            }
            Step::RowNumber => {
                if let Some(next) = node.items().and_then(|items| items.get(self.spot.number)) {
                    self.step(next, rest, trail)?;
                }
            }
            Step::All | Step::Only { .. } => {
                if *node == Node::Null {
                    return Ok(());
                }
                for next in node.items().unwrap_or_else(|| std::slice::from_ref(node)) {
                    if let Step::Only { steps, value } = step
                        && !self.fits(next, steps, value)?
                    {
                        continue;
                    }
                    trail.push(next);
                    let walked = self.step(next, rest, trail);
                    trail.pop();
                    walked?;
                }
            }
        }
        Ok(())
    }

    fn fits(&self, node: &'n Node<'n>, steps: &[Step], value: &Wanted) -> Result<bool, Fault> {
        let mut fits = false;
        let at;
        let wanted: &[Cow<'_, str>] = match value {
            Wanted::Text(text) => {
                at = vec![Cow::Borrowed(text.as_str())];
                &at
            }
            Wanted::At(path) => {
                at = path.find(self.spot)?.into_iter().filter_map(Node::text).collect();
                &at
            }
        };
        let mut visit = |found: &'n Node<'n>, _: &[&'n Node<'n>]| {
            fits |= found.text().is_some_and(|text| wanted.contains(&text));
        };
        Walk { path: self.path, spot: self.spot, visit: &mut visit }.step(node, steps, &mut Vec::new())?;
        Ok(fits)
    }
}

impl Path {
    /// The text of the path without `left`, its last steps.
    fn up_to(&self, left: &[Step]) -> String {
        let text = match self.start {
            Start::Row => String::new(),
            Start::Up(levels) => vec!["^"; levels].join("."),
            Start::Record => "$record".to_owned(),
            Start::Group => "$group".to_owned(),
            Start::Asked => "$asked".to_owned(),
            Start::Root => "$".to_owned(),
        };
        // Within a filter the steps are not the path's own: then its whole text must do.
        let Some(taken) = self.steps.len().checked_sub(left.len()).filter(|at| self.steps[*at..] == *left)
        else {
            return self.text.to_string();
        };
        let text = written(text, &self.steps[..taken]);
        if text.is_empty() { ".".to_owned() } else { text }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) if key.contains(['.', '[', ']']) => write!(f, "['{key}']"),
            Self::Key(key) => f.write_str(key),
            Self::AnyKey => f.write_str("*"),
            Self::AnyDepth => f.write_str("**"),
            Self::Index(at) => write!(f, "[{at}]"),
            Self::RowNumber => f.write_str("[#]"),
            Self::All => f.write_str("[*]"),
            Self::Only { steps, value: Wanted::Text(text) } => {
                write!(f, "[{}='{text}']", written(String::new(), steps))
            }
            Self::Only { steps, value: Wanted::At(path) } => {
                write!(f, "[{}={path}]", written(String::new(), steps))
            }
        }
    }
}

/// `text` with `steps` after it.
fn written(mut text: String, steps: &[Step]) -> String {
    for step in steps {
        let step = step.to_string();
        if !text.is_empty() && !step.starts_with('[') {
            text.push('.');
        }
        text.push_str(&step);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAYLOAD: &str = r#"{"id":1,"a":{"b":[{"c":"x","n":1,"d":[10,11]},{"c":"y z","n":2,"d":[20]},null]},
        "k.e":"dotted","data":{"one":{"errors":[1]},"two":{"errors":[2,3]}},"lone":{"v":5}}"#;

    fn texts(path: &str) -> Vec<String> {
        let node = Node::parse_json(PAYLOAD.as_bytes()).unwrap();
        let path = Path::parse(path).unwrap_or_else(|error| panic!("{error}"));
        path.all(&node).into_iter().map(Node::to_json).collect()
    }

    #[test]
    fn steps_lead_to_values() {
        assert_eq!(texts("id"), ["1"]);
        assert_eq!(texts("$.id"), ["1"]);
        assert_eq!(texts("$record.id"), ["1"]);
        assert_eq!(texts("a.b[0].c"), ["\"x\""]);
        assert_eq!(texts("a.b[-2].c"), ["\"y z\""]);
        assert_eq!(texts("a.b[*].c"), ["\"x\"", "\"y z\""]);
        assert_eq!(texts("a.b[c='y z'].n"), ["2"]);
        assert_eq!(texts("a.b[n=1].d[-1]"), ["11"]);
        assert_eq!(texts("a.b[*].d[*]"), ["10", "11", "20"]);
        assert_eq!(texts("['k.e']"), ["\"dotted\""]);
        assert_eq!(texts("data.*.errors[*]"), ["1", "2", "3"]);
        assert_eq!(texts("lone[*].v"), ["5"]);
        assert_eq!(texts("lone[0].v"), ["5"]);
        assert!(texts("a.b[9]").is_empty() && texts("a.b[-9]").is_empty() && texts("x.y").is_empty());
        assert!(texts("a.b.c").is_empty());
    }

    #[test]
    fn a_list_without_brackets_is_a_fault() {
        let node = Node::parse_json(PAYLOAD.as_bytes()).unwrap();
        let budget = Cell::new(1000);
        let spot =
            Spot { root: &node, asked: &Node::Null, record: &node, rows: &[], number: 0, budget: &budget };
        let fault = Path::parse("a.b.c").unwrap().find(&spot).unwrap_err();
        assert_eq!(fault, Fault::Through { list: "a.b".to_owned(), items: 3 });
        let spent = Cell::new(2);
        let spot = Spot { budget: &spent, ..spot };
        assert_eq!(Path::parse("a.b[*].c").unwrap().find(&spot), Err(Fault::TooMuch));
    }

    #[test]
    fn rows_know_the_rows_around_them() {
        let node = Node::parse_json(PAYLOAD.as_bytes()).unwrap();
        let budget = Cell::new(1000);
        let spot =
            Spot { root: &node, asked: &Node::Null, record: &node, rows: &[], number: 0, budget: &budget };
        for text in ["a.b[*].d[*]", "a.b[*].d"] {
            let rows = Path::parse(text).unwrap().rows(&spot).unwrap();
            let seen: Vec<(String, usize, String)> = rows
                .iter()
                .map(|row| (row.node.to_json(), row.number, row.around[0].get("n").unwrap().to_json()))
                .collect();
            assert_eq!(
                seen,
                [("10", 0, "1"), ("11", 1, "1"), ("20", 0, "2")].map(|(a, b, c)| (
                    a.to_owned(),
                    b,
                    c.to_owned()
                ))
            );
        }
        let plain = Path::parse("a.b").unwrap().rows(&spot).unwrap();
        assert_eq!((plain.len(), plain[0].around.len()), (2, 0));
        let only = Path::parse("a.b[n=2]").unwrap().rows(&spot).unwrap();
        assert_eq!((only.len(), only[0].around.len()), (1, 0));
    }

    #[test]
    fn up_record_and_row_number() {
        let node = Node::parse_json(PAYLOAD.as_bytes()).unwrap();
        let budget = Cell::new(1000);
        let outer = Path::parse("a.b[0]").unwrap().first(&node).unwrap();
        let inner = Path::parse("a.b[0].d[1]").unwrap().first(&node).unwrap();
        let rows = [outer, inner];
        let spot =
            Spot { root: &node, asked: &Node::Null, record: &node, rows: &rows, number: 1, budget: &budget };
        let get = |path: &str| Path::parse(path).unwrap().find(&spot).unwrap()[0].to_json();
        assert_eq!(get("."), "11");
        assert_eq!(get("^.n"), "1");
        assert_eq!(get("^.^.id"), "1");
        assert_eq!(get("^.d[#]"), "11");
        assert_eq!(get("$record.id"), "1");
    }

    #[test]
    fn what_is_no_path_says_why() {
        for (text, part) in [
            ("", "empty"),
            ("a..b", "no name"),
            ("a.", "no name"),
            ("a[", "`[` without `]`"),
            ("a[x]", "neither"),
            ("a[0]b", "expected `.`"),
            ("a.^.b", "only at the start"),
            ("a[='x']", "no name before"),
        ] {
            let error = Path::parse(text).unwrap_err();
            assert!(error.message.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,40}") {
            let _ = Path::parse(&text);
        }

        #[test]
        fn a_path_prints_as_it_was_written(text in "[a-z]{1,3}(\\.[a-z]{1,3}|\\[\\*\\]|\\[(0|-?[1-9])\\]){0,4}") {
            let path = Path::parse(&text).unwrap();
            proptest::prop_assert_eq!(path.up_to(&[]), text);
        }
    }
}

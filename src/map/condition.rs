//! Conditions: path = value, a list = any of, `{ not, exists, gt, ge, lt, le, contains }`, `any = [ … ]`, `all = [ … ]`.
//! Compared as text; a number in the file is compared as a number, a time as an instant. A date in the file is compared with
//! the date that stands in the payload, whatever its zone.

use std::cmp::Ordering;
use std::str::FromStr;

use jiff::civil::DateTime;
use rust_decimal::Decimal;

use crate::canonical::{Money, When};

use super::node::Node;
use super::path::{Fault, Path, Spot};
use super::tree::{Files, Kind, Place, Table, Tree};

/// All clauses must hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Cond {
    clauses: Vec<Clause>,
}

#[derive(Debug, Clone)]
enum Clause {
    Test(Path, Test),
    Any(Vec<Cond>),
    All(Vec<Cond>),
}

#[derive(Debug, Clone)]
enum Test {
    Is(Vec<Literal>),
    Not(Vec<Literal>),
    Exists(bool),
    Compare(&'static str, Literal),
    Contains(Vec<String>),
    Both(Vec<Test>),
}

#[derive(Debug, Clone)]
struct Literal {
    text: String,
    number: Option<Decimal>,
    time: Option<When>,
    /// How it is ordered, of one with which is compared.
    scale: Option<Scale>,
}

/// What has an order: a thing is before or after another one of its kind.
#[derive(Debug, Clone, Copy)]
enum Scale {
    Number(Decimal),
    Money(Money),
    Time(When),
    /// A date or time without a zone.
    Wall(DateTime),
}

/// What people write for tests who know other languages, and what to write here.
const OTHERS: [(&str, &str); 14] = [
    ("in", "{ status = [\"a\", \"b\"] }"),
    ("any", "{ status = [\"a\", \"b\"] }"),
    ("one_of", "{ status = [\"a\", \"b\"] }"),
    ("eq", "{ status = \"a\" }"),
    ("is", "{ status = \"a\" }"),
    ("equals", "{ status = \"a\" }"),
    ("ne", "{ status = { not = \"a\" } }"),
    ("gte", "{ total = { ge = 5 } }"),
    ("lte", "{ total = { le = 5 } }"),
    ("greater", "{ total = { gt = 5 } }"),
    ("less", "{ total = { lt = 5 } }"),
    ("like", "{ note = { contains = \"a\" } }"),
    ("matches", "{ note = { contains = \"a\" } }"),
    ("regex", "{ note = { contains = \"a\" } }"),
];

pub(super) const TESTS: [&str; 7] = ["not", "exists", "gt", "ge", "lt", "le", "contains"];

impl Cond {
    /// Reads the condition; problems are reported to `files`.
    pub fn compile(files: &Files, tree: &Tree) -> Self {
        let Some(table) = tree.table() else {
            files.report(
                files
                    .error(tree.place, format!("a condition is {}", tree.what()))
                    .help("expected a table such as { status = \"paid\" }"),
            );
            return Self::default();
        };
        let mut clauses = Vec::new();
        for (key, tree) in &table.entries {
            match key.name.as_str() {
                "any" | "all" => {
                    let Some(items) = tree.list() else {
                        files.report(
                            files
                                .error(tree.place, format!("`{}` is {}", key.name, tree.what()))
                                .help("expected a list of conditions: any = [{ a = \"x\" }, { b = \"y\" }]"),
                        );
                        continue;
                    };
                    let conds = items.iter().map(|item| Self::compile(files, item)).collect();
                    clauses.push(if key.name == "any" { Clause::Any(conds) } else { Clause::All(conds) });
                }
                word @ ("not" | "exists") => files.report(
                    files.error(key.place, format!("`{word}` stands where a path is expected")).help(format!(
                        "it comes after the path: {{ status = {{ {word} = … }} }}; for a key of the payload that is called so, write \
                         \"$record.{word}\""
                    )),
                ),
                name => path_clause(files, name, key.place, tree, &mut clauses),
            }
        }
        Self { clauses }
    }

    /// Both.
    pub fn and(mut self, other: Self) -> Self {
        self.clauses.extend(other.clauses);
        self
    }

    /// The paths that it looks at.
    pub fn paths(&self) -> Vec<&Path> {
        let mut paths = Vec::new();
        for clause in &self.clauses {
            match clause {
                Clause::Test(path, _) => paths.push(path),
                Clause::Any(conds) | Clause::All(conds) => paths.extend(conds.iter().flat_map(Self::paths)),
            }
        }
        paths
    }

    /// Whether it holds at `spot`; `empty` are texts that count as absent.
    pub fn holds(
        &self,
        spot: &Spot<'_, '_>,
        empty: &[String],
        read: &dyn Fn(&Node<'_>),
    ) -> Result<bool, Fault> {
        for clause in &self.clauses {
            let holds = match clause {
                Clause::Test(path, test) if path.is_plain() => match path.lone(spot)? {
                    Some(node @ Node::List(_)) => {
                        read(node);
                        let mut values = Vec::new();
                        values_of(node, &mut values);
                        values.retain(|node| said(node, empty));
                        test.holds(&values)
                    }
                    Some(node) => {
                        read(node);
                        let values = [node];
                        test.holds(if said(node, empty) { &values } else { &[] })
                    }
                    None => test.holds(&[]),
                },
                Clause::Test(path, test) => {
                    let found = path.find(spot)?;
                    for node in &found {
                        read(node);
                    }
                    let mut values = Vec::new();
                    for node in found {
                        values_of(node, &mut values);
                    }
                    values.retain(|node| said(node, empty));
                    test.holds(&values)
                }
                Clause::Any(conds) => any(conds, |cond| cond.holds(spot, empty, read))?,
                Clause::All(conds) => !any(conds, |cond| cond.holds(spot, empty, read).map(|holds| !holds))?,
            };
            if !holds {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether it is there and is none of the words that count as absent.
fn said(node: &Node<'_>, empty: &[String]) -> bool {
    !node.is_absent() && node.text().is_none_or(|text| !empty.iter().any(|word| *word == text))
}

fn any(conds: &[Cond], mut holds: impl FnMut(&Cond) -> Result<bool, Fault>) -> Result<bool, Fault> {
    for cond in conds {
        if holds(cond)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A list at the end of a path stands for its items; an object for itself (it can only exist).
fn values_of<'n>(node: &'n Node<'n>, values: &mut Vec<&'n Node<'n>>) {
    match node {
        Node::List(items) => values.extend(items),
        other => values.push(other),
    }
}

fn path_clause(files: &Files, name: &str, place: Place, tree: &Tree, clauses: &mut Vec<Clause>) {
    // `a.b = 1` without quotes is a table in a table.
    if let Kind::Table(table) = &tree.kind
        && !table.entries.is_empty()
        && !table.names().any(|name| TESTS.contains(&name))
    {
        let wrong = table.entries.iter().find(|(_, inner)| inner.table().is_none());
        if let Some((key, _)) = wrong
            && crate::diagnostic::nearest(&key.name, TESTS).is_some()
        {
            files.report(
                files.error(key.place, format!("`{}` is no test", key.name)).nearest(&key.name, TESTS),
            );
            return;
        }
        if let [(key, _)] = &table.entries[..]
            && let Some((word, instead)) = OTHERS.iter().find(|(word, _)| *word == key.name)
        {
            let found = files.error(key.place, format!("`{word}` is no test")).help(format!(
                "write {instead}; if `{word}` is a key of the payload, put the whole path in quotes: \"{name}.{word}\""
            ));
            return files.report(found);
        }
        for (key, inner) in &table.entries {
            path_clause(files, &format!("{name}.{}", key.name), key.place, inner, clauses);
        }
        return;
    }
    match Path::parse(name) {
        Ok(path) => {
            if let Some(test) = test(files, tree) {
                clauses.push(Clause::Test(path, test));
            }
        }
        Err(error) => files.report(files.error(place, error.to_string())),
    }
}

fn test(files: &Files, tree: &Tree) -> Option<Test> {
    match &tree.kind {
        Kind::Table(table) => table_test(files, tree, table),
        _ => literals(files, tree).map(Test::Is),
    }
}

fn table_test(files: &Files, tree: &Tree, table: &Table) -> Option<Test> {
    let mut tests = Vec::new();
    for (key, value) in &table.entries {
        let one = || literals(files, value).and_then(|all| all.into_iter().next());
        tests.push(match TESTS.into_iter().find(|known| *known == key.name) {
            Some("not") => Test::Not(literals(files, value)?),
            Some("exists") => {
                let Kind::Bool(yes) = value.kind else {
                    files.report(
                        files
                            .error(value.place, format!("`exists` is {}", value.what()))
                            .help("expected true or false"),
                    );
                    return None;
                };
                Test::Exists(yes)
            }
            Some("contains") => Test::Contains(
                literals(files, value)?.into_iter().map(|lit| lit.text.to_lowercase()).collect(),
            ),
            Some(word) => {
                let literal = one()?;
                if literal.scale.is_none() {
                    files.report(
                        files
                            .error(value.place, format!("`{}` is neither before nor after anything", literal.text))
                            .help(format!(
                                "`{word}` compares with a number (5), an amount (\"5.00 EUR\"), a date (2026-01-31) or a time \
                                 (2026-01-31T08:00:00Z)"
                            )),
                    );
                    return None;
                }
                Test::Compare(word, literal)
            }
            None => {
                files.report(
                    files.error(key.place, format!("`{}` is no test", key.name)).nearest(&key.name, TESTS),
                );
                return None;
            }
        });
    }
    if tests.is_empty() {
        files.report(
            files.error(tree.place, "an empty test").help("expected { exists = true } or { not = \"…\" }"),
        );
        return None;
    }
    Some(if tests.len() == 1 { tests.remove(0) } else { Test::Both(tests) })
}

fn literals(files: &Files, tree: &Tree) -> Option<Vec<Literal>> {
    let found = match &tree.kind {
        Kind::List(items) => items.iter().map(literal).collect(),
        _ => literal(tree).map(|lit| vec![lit]),
    };
    if found.as_ref().is_some_and(Vec::is_empty) {
        files.report(
            files
                .error(tree.place, "a condition of no values never holds")
                .help("write the words in the list, or { exists = false }"),
        );
        return None;
    }
    if found.is_none() {
        files.report(
            files
                .error(tree.place, format!("a condition compares with {}", tree.what()))
                .help("expected a text, a number, true, false, or a list of those"),
        );
    }
    found
}

fn literal(tree: &Tree) -> Option<Literal> {
    let text = tree.scalar()?;
    let number = if matches!(tree.kind, Kind::Number(_)) { number(&text) } else { None };
    let time = if matches!(tree.kind, Kind::Time(_)) { When::from_str(&text).ok() } else { None };
    let scale = Scale::of(&text);
    Some(Literal { text, number, time, scale })
}

impl Scale {
    fn of(text: &str) -> Option<Self> {
        if let Some(number) = number(text) {
            return Some(Self::Number(number));
        }
        // Shorter than a date is none, and looking for an error costs.
        if !text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+')) {
            return None;
        }
        let time = || Some(Self::Time(When::from_str(text).ok()?));
        let wall = || Some(Self::Wall(text.parse().ok()?));
        let money = || Some(Self::Money(text.parse().ok()?));
        time().or_else(wall).or_else(money)
    }

    /// How `self`, of a payload, stands to what the file says.
    fn cmp(self, file: Self) -> Option<Ordering> {
        match (self, file) {
            (Self::Number(a), Self::Number(b)) => Some(a.cmp(&b)),
            (Self::Money(a), Self::Money(b)) if a.currency() == b.currency() => {
                Some(a.amount().cmp(&b.amount()))
            }
            (Self::Money(a), Self::Number(b)) => Some(a.amount().cmp(&b)),
            (Self::Time(a), Self::Time(b)) => Some(a.cmp(&b)),
            (Self::Time(a), Self::Wall(b)) => Some(a.offset().to_datetime(a.instant()).cmp(&b)),
            (Self::Wall(a), Self::Wall(b)) => Some(a.cmp(&b)),
            _ => None,
        }
    }
}

/// A number of at most 18 digits, perhaps with a sign and a point: nearly all are.
pub(super) fn plain(text: &str) -> Option<Decimal> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        all => (false, all),
    };
    if digits.len() > 18 || !digits.first()?.is_ascii_digit() || !digits.last()?.is_ascii_digit() {
        return None;
    }
    let (mut value, mut scale, mut point) = (0_i64, 0_u32, false);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                value = value * 10 + i64::from(byte - b'0');
                scale += u32::from(point);
            }
            b'.' if !point => point = true,
            _ => return None,
        }
    }
    // A zero with a sign keeps it: not here.
    if negative && value == 0 {
        return None;
    }
    Some(Decimal::new(if negative { -value } else { value }, scale))
}

/// An exact number, with or without an exponent.
pub(super) fn number(text: &str) -> Option<Decimal> {
    let text = text.trim();
    if let Some(found) = plain(text) {
        return Some(found);
    }
    let text = text.strip_prefix('+').unwrap_or(text);
    if text.contains(['e', 'E']) {
        return Decimal::from_scientific(text).ok();
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if plain { Decimal::from_str_exact(text).ok() } else { None }
}

impl Literal {
    fn equals(&self, node: &Node<'_>) -> bool {
        let Some(text) = node.text() else { return false };
        text == self.text
            || self.number.is_some_and(|want| number(&text) == Some(want))
            || self.time.is_some_and(|want| When::from_str(&text).is_ok_and(|when| when == want))
    }

    fn order(&self, node: &Node<'_>) -> Option<Ordering> {
        Scale::of(node.text()?.trim())?.cmp(self.scale?)
    }
}

impl Test {
    /// `values` are those that are there.
    fn holds(&self, values: &[&Node<'_>]) -> bool {
        let is = |literals: &[Literal]| {
            literals.iter().any(|lit| {
                (lit.text.is_empty() && values.is_empty()) || values.iter().any(|node| lit.equals(node))
            })
        };
        match self {
            Self::Is(literals) => is(literals),
            Self::Not(literals) => !is(literals),
            Self::Exists(yes) => values.is_empty() != *yes,
            Self::Contains(parts) => values.iter().any(|node| {
                node.text().is_some_and(|text| {
                    let text = text.to_lowercase();
                    parts.iter().any(|part| text.contains(part.as_str()))
                })
            }),
            Self::Compare(word, literal) => values.iter().any(|node| {
                literal.order(node).is_some_and(|order| match *word {
                    "gt" => order.is_gt(),
                    "ge" => order.is_ge(),
                    "lt" => order.is_lt(),
                    _ => order.is_le(),
                })
            }),
            Self::Both(tests) => tests.iter().all(|test| test.holds(values)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const PAYLOAD: &str = r#"{"status":"paid","test":false,"ok":"true","n":3,"total":"10.50","at":"2025-01-02T00:00:00Z",
        "rows":[{"kind":"a","q":0},{"kind":"b","q":2}],"tags":["Red","blue"],"none":null,"a":{"b":"c"},
        "late":"2025-01-02T23:00:00-05:00","paid":"12.50 EUR"}"#;

    fn holds(text: &str) -> bool {
        let mut files = Files::default();
        let table = files.parse("t.toml", &format!("c = {text}")).unwrap();
        let cond = Cond::compile(&files, table.get("c").unwrap());
        assert_eq!(files.take(), [], "{text}");
        let node = Node::parse_json(PAYLOAD.as_bytes()).unwrap();
        let budget = Cell::new(1000);
        let spot =
            Spot { root: &node, asked: &Node::Null, record: &node, rows: &[], number: 0, budget: &budget };
        cond.holds(&spot, &["N/A".to_owned()], &|_| ()).unwrap()
    }

    #[test]
    fn all_forms() {
        for yes in [
            r#"{ status = "paid", test = false }"#,
            r"{ test = { not = true } }",
            r"{ missing = { not = true } }",
            r"{ ok = true }",
            r#"{ status = ["open", "paid"] }"#,
            r#"{ n = 3.0, total = { gt = 10, le = "10.5" } }"#,
            r#"{ at = { ge = 2025-01-01T00:00:00Z, lt = "2025-01-03T00:00:00Z" } }"#,
            r"{ at = 2025-01-02T01:00:00+01:00 }",
            r#"{ at = { ge = 2025-01-02, lt = "2025-01-03" } }"#,
            r#"{ at = { gt = "2025-01-01 23:59", le = 2025-01-02T00:00:00 } }"#,
            r"{ late = { ge = 2025-01-02, lt = 2025-01-03 } }",
            r#"{ paid = { ge = "12.50 EUR", lt = 13 } }"#,
            r#"{ "rows[*].kind" = "b", "rows[*].q" = { gt = 1 } }"#,
            r#"{ tags = "blue" }"#,
            r#"{ tags = { contains = "RED" } }"#,
            r"{ none = { exists = false }, a = { exists = true } }",
            r#"{ none = "" }"#,
            r#"{ a.b = "c" }"#,
            r#"{ any = [{ status = "x" }, { n = 3 }] }"#,
            r#"{ all = [{ status = "paid" }, { n = 3 }] }"#,
            "{}",
        ] {
            assert!(holds(yes), "{yes}");
        }
        for no in [
            r#"{ status = "Paid" }"#,
            r#"{ status = { not = ["paid", "x"] } }"#,
            r#"{ "rows[*].kind" = { not = "b" } }"#,
            r"{ missing = { gt = 0 } }",
            r"{ status = { gt = 1 } }",
            r#"{ any = [{ status = "x" }] }"#,
            r"{ none = { exists = true } }",
            r#"{ paid = { ge = "1 USD" } }"#,
            r#"{ total = { ge = "1 USD" } }"#,
        ] {
            assert!(!holds(no), "{no}");
        }
    }

    #[test]
    fn mistakes_name_the_known_tests() {
        let mut files = Files::default();
        let table = files.parse("t.toml", "c = { n = { gth = 1 } }\nd = { n = { exists = 1 } }").unwrap();
        Cond::compile(&files, table.get("c").unwrap());
        Cond::compile(&files, table.get("d").unwrap());
        let found: Vec<String> = files.take().iter().map(ToString::to_string).collect();
        assert_eq!(found[0], "t.toml:1:13: `gth` is no test; did you mean `gt`?");
        assert!(found[1].starts_with("t.toml:2:22: `exists` is a number; expected true or false"));
        for (cond, said) in [
            (
                "{ n = { gt = \"soon\" } }",
                "1:18: `soon` is neither before nor after anything; `gt` compares with a number (5)",
            ),
            (
                "{ n = { in = [1, 2] } }",
                "1:13: `in` is no test; write { status = [\"a\", \"b\"] }; if `in` is a key of the payload",
            ),
            ("{ n = { eq = 1 } }", "1:13: `eq` is no test; write { status = \"a\" }"),
            ("{ not = { n = 1 } }", "1:7: `not` stands where a path is expected; it comes after the path"),
            ("{ exists = \"n\" }", "1:7: `exists` stands where a path is expected"),
            ("{ n = [] }", "1:11: a condition of no values never holds"),
        ] {
            let table = files.parse("t.toml", &format!("c = {cond}")).unwrap();
            Cond::compile(&files, table.get("c").unwrap());
            let found = files.take().remove(0).to_string();
            assert!(found.contains(said), "{cond}: {found}");
        }
    }
}

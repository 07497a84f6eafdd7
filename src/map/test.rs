//! Runs the `[[test]]` blocks of mappings: input, and the facts or the body expected. Only what a test names is
//! compared; a fact that no test expects is a difference, unless the test says `others = true`.

use serde_json::Value;

use crate::config::sources::Sources;
use crate::diagnostic::{Diagnostic, Severity};

use super::compare::{compare, compare_table};
use super::compile::{self, Loaded};
use super::inbound::Inbound;
use super::node::Node;
use super::outbound::Outbound;
use super::program::{Block, Plan, Program};
use super::trace::{Trace, address};
use super::tree::{Kind, Reader, Table, Tree};
use super::{Context, Mapped};

/// How one `[[test]]` block ended, or one mapping that does not compile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// `shopify/order.in`, `shiphero/order.create.out`.
    pub mapping: String,
    /// File, line and column of the test.
    pub place: String,
    /// The input's path, or `inline`.
    pub input: String,
    /// One line a difference; none when the test passed.
    pub differences: Vec<String>,
}

impl TestOutcome {
    /// Whether it passed.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.differences.is_empty()
    }
}

/// All mappings in `sources` as connector and name, sorted.
#[must_use]
pub fn mappings(sources: &Sources) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = sources
        .under("mappings/")
        .filter_map(|(path, _)| {
            let (connector, file) = path.strip_prefix("mappings/")?.split_once('/')?;
            let name = file.strip_suffix(".in.toml").or_else(|| file.strip_suffix(".out.toml"))?;
            (!name.contains('/')).then(|| (connector.to_owned(), name.to_owned()))
        })
        .collect();
    found.sort();
    found.dedup();
    found
}

/// Runs the tests of the mappings called `name` (`.in.toml` and `.out.toml`), and those of every overlay of them.
#[must_use]
pub fn run_tests(sources: &Sources, connector: &str, name: &str) -> Vec<TestOutcome> {
    let mut outcomes = Vec::new();
    let overlays = overlays_of(sources, connector, name);
    let exists = |suffix: &str| sources.get(&format!("mappings/{connector}/{name}{suffix}")).is_some();
    for suffix in [".in.toml", ".out.toml"] {
        if !exists(suffix) {
            continue;
        }
        // Where both sides have the name, an overlay is of what the partner says.
        let of_this_side = suffix == ".in.toml" || !exists(".in.toml");
        let sets = std::iter::once(Vec::new()).chain(overlays.iter().map(|path| vec![path.clone()]));
        for overlay in sets {
            if overlay.is_empty() || of_this_side {
                let run = Run { sources, connector, name, suffix, overlays: &overlay };
                run.all(&mut outcomes);
            }
        }
    }
    outcomes
}

/// What the tests of an inbound mapping never show: facts that never fire and fields that are always empty. A path
/// that was meant as a text is found so.
#[must_use]
pub fn lint(sources: &Sources, connector: &str, name: &str) -> Vec<Diagnostic> {
    let run = Run { sources, connector, name, suffix: ".in.toml", overlays: &[] };
    let (Ok(loaded), Ok(inbound)) = (run.load(), Inbound::compile(sources, connector, name, &[])) else {
        return Vec::new();
    };
    let trace = Trace::default();
    let mut bodies = Vec::new();
    for (_, tree) in &loaded.tests {
        if let Some(table) = tree.table() {
            let reader = Reader::new(&loaded.files, table);
            if let Ok((_, text)) = run.input(&reader) {
                bodies.push((text, context(&reader)));
            }
        }
    }
    let nodes: Vec<(Node<'_>, &Context)> = bodies
        .iter()
        .filter_map(|(text, context)| Some((inbound.read(text.as_bytes()).ok()?, context)))
        .collect();
    if nodes.is_empty() {
        return Vec::new();
    }
    for (node, context) in &nodes {
        let _ = inbound.run_traced(node, context, Some(&trace));
    }
    never_shown(&inbound.program, &trace)
}

fn never_shown(program: &Program, trace: &Trace) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let fired: Vec<String> = trace
        .facts
        .borrow()
        .iter()
        .filter(|fact| fact.silent.is_none())
        .map(|fact| fact.rule.clone())
        .collect();
    for fact in &program.facts {
        if fired.contains(&fact.name) {
            empty_fields(&fact.block, trace, &mut found);
        } else {
            found.push(warning(&fact.loc, format!("the fact `{}` fires in no test", fact.name)));
        }
    }
    found
}

fn empty_fields(block: &Block, trace: &Trace, found: &mut Vec<Diagnostic>) {
    for field in &block.fields {
        let key = address(field);
        let filled = trace.filled.borrow().contains(&key);
        match &field.plan {
            Plan::Record(plan) if filled => empty_fields(&plan.block, trace, found),
            Plan::Rows(parts) if filled => {
                for part in parts {
                    empty_fields(&part.block, trace, found);
                }
            }
            Plan::Scalar(rule) | Plan::Texts(rule) if !filled => {
                let why = trace.empty.borrow().get(&key).cloned().unwrap_or_default();
                let mut finding =
                    warning(&field.loc, format!("`{}` is empty in every test: {why}", field.full));
                if let super::program::Source::Path(path) = &rule.source
                    && path.is_one_word()
                {
                    finding = finding.help(format!(
                        "`{path}` is read as a path; for the text itself: {{ const = \"{path}\" }}"
                    ));
                }
                found.push(finding);
            }
            _ => {}
        }
    }
}

fn warning(loc: &super::tree::Loc, message: String) -> Diagnostic {
    Diagnostic {
        severity: Severity::Warning,
        file: loc.file.to_string(),
        line: loc.line,
        column: loc.column,
        message,
        help: None,
    }
}

fn overlays_of(sources: &Sources, connector: &str, name: &str) -> Vec<String> {
    let tail = format!("/{connector}/{name}.toml");
    ["mappings/clients/", "mappings/accounts/"]
        .iter()
        .flat_map(|prefix| sources.under(prefix))
        .filter(|(path, _)| path.ends_with(&tail))
        .map(|(path, _)| path.to_owned())
        .collect()
}

/// Compares what a mapping gives for an input with what the test expects.
type Check = dyn Fn(&Reader<'_>, &str) -> Vec<String>;

struct Run<'r> {
    sources: &'r Sources,
    connector: &'r str,
    name: &'r str,
    suffix: &'r str,
    overlays: &'r [String],
}

impl Run<'_> {
    fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
        compile::load(self.sources, self.connector, self.name, self.suffix, self.overlays)
    }

    fn title(&self) -> String {
        let side = self.suffix.trim_end_matches(".toml");
        match self.overlays.first() {
            Some(overlay) => format!("{}/{}{side} with {overlay}", self.connector, self.name),
            None => format!("{}/{}{side}", self.connector, self.name),
        }
    }

    fn all(&self, outcomes: &mut Vec<TestOutcome>) {
        let broken = |problems: Vec<Diagnostic>| TestOutcome {
            mapping: self.title(),
            place: format!("mappings/{}/{}{}", self.connector, self.name, self.suffix),
            input: "compile".to_owned(),
            differences: problems.iter().map(ToString::to_string).collect(),
        };
        let (sources, connector, name, overlays) = (self.sources, self.connector, self.name, self.overlays);
        let loaded = match self.load() {
            Ok(loaded) => loaded,
            Err(problems) => return outcomes.push(broken(problems)),
        };
        let check: Box<Check> = if self.suffix == ".in.toml" {
            match Inbound::compile(sources, connector, name, overlays) {
                Ok(inbound) => Box::new(move |reader, text| check_inbound(&inbound, reader, text)),
                Err(problems) => return outcomes.push(broken(problems)),
            }
        } else {
            match Outbound::compile(sources, connector, name, overlays) {
                Ok(outbound) => Box::new(move |reader, text| check_outbound(&outbound, reader, text)),
                Err(problems) => return outcomes.push(broken(problems)),
            }
        };
        for (_, tree) in &loaded.tests {
            let place = loaded.files.loc(tree.place).to_string();
            let empty = Table::default();
            let reader = Reader::new(&loaded.files, tree.table().unwrap_or(&empty));
            let (input, mut differences) = match self.input(&reader) {
                Ok((input, text)) => {
                    let differences = check(&reader, &text);
                    (input, differences)
                }
                Err(problem) => ("?".to_owned(), vec![problem]),
            };
            for known in [
                "doc", "input", "body", "expect", "errors", "error", "nothing", "others", "exact", "zone",
                "currency", "asked",
            ] {
                reader.get(known);
            }
            reader.finish("[[test]]");
            differences.extend(
                loaded.files.take().iter().filter(|d| d.severity == Severity::Error).map(ToString::to_string),
            );
            outcomes.push(TestOutcome { mapping: self.title(), place, input, differences });
        }
    }

    fn input(&self, reader: &Reader<'_>) -> Result<(String, String), String> {
        if let Some((text, _)) = reader.text("body") {
            return Ok(("inline".to_owned(), text.to_owned()));
        }
        let Some((path, _)) = reader.text("input") else {
            return Err("the test has no input: write input = \"tests/….json\" beside the mapping, or body = '''{ … }'''".to_owned());
        };
        let beside = format!("mappings/{}/{path}", self.connector);
        let near_overlay =
            self.overlays.first().and_then(|overlay| Some(format!("{}/{path}", overlay.rsplit_once('/')?.0)));
        let places = near_overlay.into_iter().chain([beside.clone(), path.to_owned()]);
        let text = places.into_iter().find_map(|place| self.sources.get(&place));
        match text {
            Some(text) => Ok((path.to_owned(), text.to_owned())),
            None => Err(format!("there is no file `{beside}`")),
        }
    }
}

/// What the test says that the account says.
fn context(reader: &Reader<'_>) -> Context {
    let text = |name: &'static str| reader.text(name).map(|(text, _)| text.to_owned());
    let asked = reader.sub("asked").map(|table| table.entries.as_slice()).unwrap_or_default();
    Context {
        zone: text("zone"),
        currency: text("currency"),
        asked: asked.iter().filter_map(|(key, tree)| Some((key.name.clone(), tree.scalar()?))).collect(),
        ..Context::default()
    }
}

fn check_inbound(inbound: &Inbound, reader: &Reader<'_>, text: &str) -> Vec<String> {
    let node = match inbound.read(text.as_bytes()) {
        Ok(node) => node,
        Err(error) => return vec![format!("the input is no {}: {error}", inbound.syntax().kind.title())],
    };
    let mapped = inbound.run(&node, &context(reader));
    let mut differences = Vec::new();
    expected_errors(reader, &mapped, &mut differences);
    if reader.flag("nothing") == Some(true) && !mapped.nothing {
        differences.push(format!("expected nothing, found {} facts", mapped.facts.len()));
    }
    let exact = reader.flag("exact").unwrap_or_default();
    let mut left: Vec<(String, Value)> =
        mapped.facts.iter().map(|fact| (fact.rule.clone(), fact.to_json())).collect();
    let expected = match reader.get("expect").map(|tree| &tree.kind) {
        Some(Kind::List(items)) => items.as_slice(),
        Some(_) => {
            differences.push("`expect` is no list: write expect = [{ fact = \"…\" }, …]".to_owned());
            &[]
        }
        None => &[],
    };
    for (number, tree) in expected.iter().enumerate() {
        let Some(table) = tree.table() else { continue };
        let Some(rule) = table.get("fact").and_then(Tree::text) else {
            differences.push(format!("expectation {} does not say which fact: fact = \"…\"", number + 1));
            continue;
        };
        let Some(at) = left.iter().position(|(name, _)| name == rule) else {
            differences.push(format!("{rule}: expected a fact, found none (found: {})", names(&mapped)));
            continue;
        };
        let (_, fact) = left.remove(at);
        compare_table(rule, table, &fact, exact, &mut differences);
    }
    if reader.flag("others") != Some(true) {
        for (rule, fact) in left {
            differences.push(format!("{rule}: not expected: {}", super::convert::short(&fact.to_string())));
        }
    }
    differences
}

fn names(mapped: &Mapped) -> String {
    let names: Vec<&str> = mapped.facts.iter().map(|fact| fact.rule.as_str()).collect();
    if names.is_empty() { "no fact".to_owned() } else { names.join(", ") }
}

fn expected_errors(reader: &Reader<'_>, mapped: &Mapped, differences: &mut Vec<String>) {
    let mut wanted: Vec<&str> =
        reader.texts("errors").unwrap_or_default().into_iter().map(|(cause, _)| cause).collect();
    for error in &mapped.errors {
        if let Some(at) = wanted.iter().position(|cause| error.cause.starts_with(*cause)) {
            wanted.remove(at);
        } else {
            let help = error.help.as_ref().map(|help| format!("; {help}")).unwrap_or_default();
            differences.push(format!("error {}: {}{help}", error.cause, error.message));
        }
    }
    differences.extend(wanted.into_iter().map(|cause| format!("expected the error {cause}, found none")));
}

fn check_outbound(outbound: &Outbound, reader: &Reader<'_>, text: &str) -> Vec<String> {
    let source: Value = match serde_json::from_str(text) {
        Ok(source) => source,
        Err(error) => return vec![format!("the input is no JSON: {error}")],
    };
    let mut differences = Vec::new();
    let wanted = reader.text("error").map(|(cause, _)| cause);
    if let (Some((expected, _)), None) =
        (reader.get("expect").and_then(|tree| Some((tree.text()?, tree.place))), wanted)
    {
        match outbound.bytes(&source, &context(reader)) {
            Ok(bytes) => lines_differ(expected, &String::from_utf8_lossy(&bytes), &mut differences),
            Err(error) => differences.push(format!("error {}: {}", error.cause, error.message)),
        }
        return differences;
    }
    match (outbound.encode_with(&source, &context(reader)), wanted) {
        (Ok(body), None) => match reader.get("expect").map(|tree| (tree, &tree.kind)) {
            Some((_, Kind::Table(table))) => {
                compare_table("", table, &body, reader.flag("exact").unwrap_or_default(), &mut differences);
            }
            Some((tree, _)) => compare("", tree, Some(&body), false, &mut differences),
            None => {}
        },
        (Ok(_), Some(cause)) => differences.push(format!("expected the error {cause}, found none")),
        (Err(error), Some(cause)) if error.cause.starts_with(cause) => {}
        (Err(error), _) => differences.push(format!("error {}: {}", error.cause, error.message)),
    }
    differences
}

/// Compares a body of text line by line.
fn lines_differ(expected: &str, found: &str, differences: &mut Vec<String>) {
    let (mut expected, mut found) = (expected.trim().lines(), found.trim().lines());
    for number in 1.. {
        match (expected.next(), found.next()) {
            (None, None) => return,
            (a, b) if a.map(str::trim_end) == b.map(str::trim_end) => {}
            (a, b) => differences.push(format!(
                "line {number}: expected `{}`, found `{}`",
                a.unwrap_or("(no line)"),
                b.unwrap_or("(no line)")
            )),
        }
        if differences.len() > 20 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: &str = r#"
[fact.placed]
is = "order.placed"
order = "id"
channel = "web"
total = { path = "total", currency = "USD" }
lines = { each = "items", ref = "id", quantity = "n", title = "currency" }
[fact.closed]
is = "order.closed"
when = { closed = true }
order = "id"
"#;

    fn run(test: &str) -> Vec<String> {
        let mut sources = Sources::default();
        sources.insert("mappings/shop/order.in.toml", format!("{MAPPING}{test}"));
        sources.insert(
            "mappings/shop/tests/1.json",
            r#"{"id":1,"total":"5.00","currency":"x","items":[{"id":7,"n":2},{"id":8,"n":3}]}"#,
        );
        run_tests(&sources, "shop", "order").into_iter().flat_map(|outcome| outcome.differences).collect()
    }

    #[test]
    fn only_what_is_named_is_compared() {
        let none: Vec<String> = Vec::new();
        assert_eq!(run("[[test]]\ninput = \"tests/1.json\"\nexpect = [{ fact = \"placed\" }]\n"), none);
        assert_eq!(
            run(
                "[[test]]\ninput = \"tests/1.json\"\nexpect = [{ fact = \"placed\", total = \"5 USD\", order = \"1\", \
                 channel = { exists = false }, lines = [{ quantity = 2 }, { ref = \"8\" }] }]\n"
            ),
            none
        );
        assert_eq!(run("[[test]]\nbody = '{\"id\":1}'\nexpect = [{ fact = \"placed\" }]\n"), none);
        assert_eq!(run("[[test]]\nbody = '[]'\nerrors = [\"list:shop/order\"]\n"), none);
    }

    #[test]
    fn differences_read_well() {
        assert_eq!(
            run(
                "[[test]]\ninput = \"tests/1.json\"\nexpect = [{ fact = \"placed\", total = \"6.00 USD\", email = \"a\", \
                 lines = [{ quantity = 3 }] }, { fact = \"closed\" }]\n"
            ),
            [
                "placed.total: expected \"6.00 USD\", found \"5.00 USD\"",
                "placed.email: expected \"a\", found nothing",
                "placed.lines: expected 1 items, found 2",
                "placed.lines[0].quantity: expected 3, found 2",
                "closed: expected a fact, found none (found: placed)",
            ]
        );
        assert!(run("[[test]]\ninput = \"tests/1.json\"\n")[0].starts_with("placed: not expected: {"));
        assert_eq!(
            run("[[test]]\ninput = \"tests/2.json\"\n"),
            ["there is no file `mappings/shop/tests/2.json`"]
        );
        assert!(
            run("[[test]]\ninput = \"tests/1.json\"\nexpected = []\n")[1].contains("did you mean `expect`?")
        );
    }

    #[test]
    fn what_no_test_shows_is_told() {
        let mut sources = Sources::default();
        let test = "[[test]]\nbody = '{\"id\":1,\"total\":\"1.00\",\"currency\":\"x\",\"items\":[{\"id\":7,\"n\":2}]}'\n";
        sources.insert("mappings/shop/order.in.toml", format!("{MAPPING}{test}"));
        let found: Vec<String> = lint(&sources, "shop", "order").iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            [
                "mappings/shop/order.in.toml:5:1: warning: `channel` is empty in every test: `web` is not there; `web` is \
                 read as a path; for the text itself: { const = \"web\" }",
                "mappings/shop/order.in.toml:7:55: warning: `lines.title` is empty in every test: `currency` is not in the \
                 row; paths start at the row: `$record.currency` exists; `currency` is read as a path; for the text \
                 itself: { const = \"currency\" }",
                "mappings/shop/order.in.toml:8:7: warning: the fact `closed` fires in no test",
            ]
        );
    }
}

//! Runs the `[[test]]` blocks of mappings: input, and the facts or the body expected. Only what a test names is
//! compared; a fact that no test expects is a difference, unless the test says `others = true`.

use serde_json::Value;

use crate::config::sources::Sources;
use crate::diagnostic::{Diagnostic, Severity};

use super::compare::{compare, compare_table};
use super::compile::{self, Loaded};
use super::inbound::Inbound;
use super::outbound::Outbound;
use super::tree::{Kind, Reader, Table, Tree};
use super::{Context, Mapped};

/// The keys of a `[[test]]` block.
pub(super) const KEYS: [&str; 12] = [
    "doc", "input", "body", "expect", "errors", "error", "nothing", "others", "exact", "zone", "currency",
    "asked",
];

/// How one `[[test]]` block ended, or one mapping that does not compile.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
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
    for suffix in [".in.toml", ".out.toml"] {
        if sources.get(&format!("mappings/{connector}/{name}{suffix}")).is_none() {
            continue;
        }
        for overlays in overlay_sets(sources, connector, name, suffix) {
            let run = Run { sources, connector, name, suffix, overlays: &overlays };
            run.all(&mut outcomes);
        }
    }
    outcomes
}

/// The inputs of the mapping's tests: what they are called, and their texts.
#[must_use]
pub fn samples(sources: &Sources, connector: &str, name: &str) -> Vec<(String, String)> {
    let inbound = sources.get(&format!("mappings/{connector}/{name}.in.toml")).is_some();
    let suffix = if inbound { ".in.toml" } else { ".out.toml" };
    let run = Run { sources, connector, name, suffix, overlays: &[] };
    let Ok(loaded) = run.load() else { return Vec::new() };
    let input = |tree: &Tree| run.input(&Reader::new(&loaded.files, tree.table()?)).ok();
    let mut found: Vec<(String, String)> = loaded.tests.iter().filter_map(|(_, tree)| input(tree)).collect();
    found.dedup_by(|a, b| a.1 == b.1);
    found
}

/// The overlays with which the tests of a mapping are run: none, then each one alone.
pub(super) fn overlay_sets(sources: &Sources, connector: &str, name: &str, suffix: &str) -> Vec<Vec<String>> {
    let inbound = sources.get(&format!("mappings/{connector}/{name}.in.toml")).is_some();
    // Where both sides have the name, an overlay is of what the partner says.
    let overlays =
        if suffix == ".in.toml" || !inbound { overlays_of(sources, connector, name) } else { Vec::new() };
    std::iter::once(Vec::new()).chain(overlays.into_iter().map(|path| vec![path])).collect()
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

/// One mapping with the overlays of one run.
pub(super) struct Run<'r> {
    pub sources: &'r Sources,
    pub connector: &'r str,
    pub name: &'r str,
    pub suffix: &'r str,
    pub overlays: &'r [String],
}

impl Run<'_> {
    pub fn load(&self) -> Result<Loaded, Vec<Diagnostic>> {
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
        let inherited = self.inherits(&loaded);
        let check: Box<Check> = if inherited {
            match self.still_maps() {
                Ok(check) => check,
                Err(problems) => return outcomes.push(broken(problems)),
            }
        } else if self.suffix == ".in.toml" {
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
            for known in KEYS {
                reader.get(known);
            }
            reader.finish("[[test]]");
            differences.extend(
                loaded.files.take().iter().filter(|d| d.severity == Severity::Error).map(ToString::to_string),
            );
            outcomes.push(TestOutcome { mapping: self.title(), place, input, differences });
        }
    }

    /// Whether the tests are those of the mapping, and an overlay that has none lies over it.
    pub fn inherits(&self, loaded: &Loaded) -> bool {
        !self.overlays.is_empty() && loaded.tests.iter().all(|(path, _)| !self.overlays.contains(path))
    }

    /// What an overlay is for is that something else comes of a payload: of the mapping's own tests it must only keep that
    /// the payloads can be mapped.
    fn still_maps(&self) -> Result<Box<Check>, Vec<Diagnostic>> {
        let (sources, connector, name, overlays) = (self.sources, self.connector, self.name, self.overlays);
        let told = |cause: &str, message: &str| {
            format!("error {cause}, which is not there without the overlay: {message}")
        };
        if self.suffix == ".in.toml" {
            let plain = Inbound::compile(sources, connector, name, &[])?;
            let laid = Inbound::compile(sources, connector, name, overlays)?;
            return Ok(Box::new(move |reader, text| {
                let (ctx, bytes) = (context(reader), text.as_bytes());
                let before: Vec<String> =
                    plain.run_bytes(bytes, &ctx).errors.into_iter().map(|error| error.cause).collect();
                let after = laid.run_bytes(bytes, &ctx).errors.into_iter();
                let new = after.filter(|error| !before.contains(&error.cause));
                new.map(|error| told(&error.cause, &error.message)).collect()
            }));
        }
        let plain = Outbound::compile(sources, connector, name, &[])?;
        let laid = Outbound::compile(sources, connector, name, overlays)?;
        Ok(Box::new(move |reader, text| {
            let Ok(source) = serde_json::from_str::<Value>(text) else { return Vec::new() };
            let ctx = context(reader);
            match (plain.encode_with(&source, &ctx), laid.encode_with(&source, &ctx)) {
                (Ok(_), Err(error)) => vec![told(&error.cause, &error.message)],
                _ => Vec::new(),
            }
        }))
    }

    pub fn input(&self, reader: &Reader<'_>) -> Result<(String, String), String> {
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
/// What the account of a test is like.
pub(super) fn context(reader: &Reader<'_>) -> Context {
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
    fn an_overlay_may_change_what_the_mapping_s_tests_show_and_must_map_their_payloads() {
        let base = "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\nnote = \"a\"\n\
            [[test]]\nbody = '{\"id\":1,\"a\":\"x\",\"b\":\"y\"}'\nexpect = [{ fact = \"placed\", note = \"x\" }]\n";
        let path = "mappings/clients/acme/shop/order.toml";
        let with = |overlay: &str| {
            let mut sources = Sources::default();
            sources.insert("mappings/shop/order.in.toml", base);
            sources.insert(path, format!("[overlay]\nof = \"shop/order\"\n{overlay}"));
            let outcomes = run_tests(&sources, "shop", "order");
            assert_eq!(outcomes.len(), 2);
            assert!(super::super::update::update(&sources, "shop", "order").unwrap().len() < 2);
            outcomes.into_iter().flat_map(|outcome| outcome.differences).collect::<Vec<_>>()
        };
        assert_eq!(with("[fact.placed]\nnote = \"b\"\n"), Vec::<String>::new());
        assert_eq!(with("[fact.placed]\nnote = { unset = true }\n"), Vec::<String>::new());
        let found = with("[fact.placed]\nnote = { path = \"c\", required = true }\n");
        assert!(
            found[0]
                .starts_with("error missing:shop/order:placed.note, which is not there without the overlay"),
            "{found:?}"
        );
        // Its own tests are compared.
        let own =
            "[[test]]\nbody = '{\"id\":1,\"b\":\"y\"}'\nexpect = [{ fact = \"placed\", note = \"z\" }]\n";
        let found = with(&format!("[fact.placed]\nnote = \"b\"\n{own}"));
        assert_eq!(found, ["placed.note: expected \"z\", found \"y\""]);
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
}

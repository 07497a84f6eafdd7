//! `map lint`: what works, but probably not as meant. Each finding has a name, by which it can be left out. Warnings should be
//! mended; hints are for whoever asks: many a good mapping has paths that no test shows.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::canonical::fact::FactKind;
use crate::canonical::schema::Ty;
use crate::config::sources::Sources;
use crate::diagnostic::{Diagnostic, Severity};

use super::compile::Loaded;
use super::lookup::Missing;
use super::node::Node;
use super::program::{Block, FactRule, FieldPlan, Plan, Program, Rule, Source};
use super::test::{Run, context};
use super::time::Format;
use super::trace::{Trace, address};
use super::tree::{Key, Kind, Loc, Reader, Table, Tree};
use super::{Context, Inbound};

/// The names of all findings, with what they mean.
pub const FINDINGS: [(&str, &str); 10] = [
    ("warning", "what the compiler warns of; also a rule that changed since an overlay replaced it"),
    ("exclusive", "facts that exclude each other come from one message"),
    ("unreachable", "an alternative that is never reached"),
    ("kept-word", "a look-up lets unknown status words pass, or drops them"),
    ("zone", "a time without an offset, no zone here, and no test that gives the account one"),
    ("unit", "money that is a bare whole number has no unit"),
    ("unused", "a fragment or look-up table that nothing uses"),
    ("untested", "a fact or a field that no test shows"),
    ("path", "one of several paths of a field that no test shows"),
    ("forgetful", "an overlay does not remember the rules that it replaces"),
];

/// Those that are hints only.
pub const HINTS: [&str; 1] = ["path"];

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its name, one of [`FINDINGS`].
    pub name: &'static str,
    /// Place, message and help.
    #[serde(flatten)]
    pub found: Diagnostic,
}

/// Everything that strikes in the mapping called `name` and in each of its overlays.
///
/// # Errors
/// What keeps it, or one of its overlays, from being compiled.
pub fn lint(sources: &Sources, connector: &str, name: &str) -> Result<Vec<Finding>, Vec<Diagnostic>> {
    let mut found: Vec<Finding> = Vec::new();
    let mut errors = Vec::new();
    for suffix in [".in.toml", ".out.toml"] {
        if sources.get(&format!("mappings/{connector}/{name}{suffix}")).is_none() {
            continue;
        }
        for overlays in super::test::overlay_sets(sources, connector, name, suffix) {
            let run = Run { sources, connector, name, suffix, overlays: &overlays };
            match one(&run) {
                Ok(more) => {
                    // Findings of the mapping itself are told once.
                    let new: Vec<Finding> = more.into_iter().filter(|one| !found.contains(one)).collect();
                    let own = |one: &Finding| overlays.last().is_none_or(|path| *path == one.found.file);
                    found.extend(new.into_iter().filter(own));
                }
                Err(problems) => errors.extend(problems),
            }
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

fn one(run: &Run<'_>) -> Result<Vec<Finding>, Vec<Diagnostic>> {
    let loaded = run.load()?;
    let mut lint = Lint { found: Vec::new(), zones: true };
    lint.unused(run, &loaded);
    lint.forgetful(run, &loaded);
    if run.suffix == ".in.toml" {
        let inbound = Inbound::compile(run.sources, run.connector, run.name, run.overlays)?;
        for warning in inbound.warnings() {
            lint.found.push(Finding { name: "warning", found: warning.clone() });
        }
        lint.exclusive(&loaded, &inbound.program);
        let tests = tests(run, &loaded);
        // A test that says the account's zone says with it that the account must have one.
        lint.zones = tests.iter().all(|(_, ctx)| ctx.zone.is_none());
        for fact in &inbound.program.facts {
            lint.block(&fact.block);
        }
        lint.units(&inbound.program);
        lint.untested(run, &loaded, &inbound, &tests);
    } else {
        let outbound = super::Outbound::compile(run.sources, run.connector, run.name, run.overlays)?;
        for warning in outbound.warnings() {
            lint.found.push(Finding { name: "warning", found: warning.clone() });
        }
    }
    lint.found.sort_by(|a, b| {
        (&a.found.file, a.found.line, a.found.column).cmp(&(&b.found.file, b.found.line, b.found.column))
    });
    Ok(lint.found)
}

/// The bodies of the tests, each with what it says of the account.
fn tests(run: &Run<'_>, loaded: &Loaded) -> Vec<(String, Context)> {
    let mut bodies = Vec::new();
    for (_, tree) in &loaded.tests {
        if let Some(table) = tree.table() {
            let reader = Reader::new(&loaded.files, table);
            bodies.extend(run.input(&reader).ok().map(|(_, text)| (text, context(&reader))));
        }
    }
    bodies
}

struct Lint {
    found: Vec<Finding>,
    /// Whether times without a zone are told.
    zones: bool,
}

impl Lint {
    fn add(&mut self, name: &'static str, loc: &Loc, message: String, help: impl Into<String>) {
        let severity = if HINTS.contains(&name) { Severity::Hint } else { Severity::Warning };
        let found = Diagnostic {
            severity,
            file: loc.file.to_string(),
            line: loc.line,
            column: loc.column,
            message,
            help: Some(help.into()).filter(|help| !help.is_empty()),
        };
        self.found.push(Finding { name, found });
    }

    // ------------------------------------------------------------------------------------------------------- facts

    /// Pairs of facts that cannot both be true, where no condition tells them apart.
    fn exclusive(&mut self, loaded: &Loaded, program: &Program) {
        let facts = loaded.table.get("fact").and_then(Tree::table);
        let table = |rule: &FactRule| facts?.get(&rule.name)?.table();
        for (number, one) in program.facts.iter().enumerate() {
            for other in &program.facts[number + 1..] {
                let (Some(a), Some(b)) = (table(one), table(other)) else { continue };
                if !exclude(one.kind.kind.0, other.kind.kind.0) || !same_rows(a, b) {
                    continue;
                }
                let apart = ["when", "where"].iter().any(|name| match (a.get(name), b.get(name)) {
                    (Some(a), Some(b)) => apart(a, b),
                    _ => false,
                });
                // A snapshot of a cancelled order says both; what must not be is that every order is cancelled.
                let snapshot = one.kind.kind.0 == "order.placed" || other.kind.kind.0 == "order.placed";
                let ends = if one.kind.kind.0 == "order.placed" { b } else { a };
                let conditioned = ends.get("when").is_some() || ends.get("where").is_some();
                if apart || (snapshot && conditioned) {
                    continue;
                }
                self.add(
                    "exclusive",
                    &other.loc,
                    format!(
                        "`{}` ({}) and `{}` ({}, line {}) can both come from one message, and they exclude each other",
                        other.name, other.kind.kind.0, one.name, one.kind.kind.0, one.loc.line
                    ),
                    "give each a `when` that tells them apart: when = { status = \"cancelled\" } here, \
                     when = { status = { not = \"cancelled\" } } there",
                );
            }
        }
    }

    // ------------------------------------------------------------------------------------------------------- rules

    fn block(&mut self, block: &Block) {
        for field in &block.fields {
            match &field.plan {
                Plan::Unset => {}
                Plan::Scalar(rule) | Plan::Texts(rule) => self.rule(rule, field, true),
                Plan::Record(plan) => self.block(&plan.block),
                Plan::Rows(parts) => parts.iter().for_each(|part| self.block(&part.block)),
                Plan::Extra(rules) => rules.iter().for_each(|(_, rule)| self.rule(rule, field, true)),
            }
        }
    }

    /// `last`: no alternative comes after it.
    fn rule(&mut self, rule: &Rule, field: &FieldPlan, last: bool) {
        self.unreachable(rule, field);
        self.kept(rule, field, last);
        if field.ty == Ty::Time && self.zones {
            self.zone(rule, field);
        }
        if let Source::First(rules) = &rule.source {
            for (number, one) in rules.iter().enumerate() {
                self.rule(one, field, last && number + 1 == rules.len());
            }
        }
    }

    fn unreachable(&mut self, rule: &Rule, field: &FieldPlan) {
        let Source::First(rules) = &rule.source else { return };
        let mut seen: Vec<(String, &[String])> = Vec::new();
        let mut certain: Option<&Rule> = None;
        for one in rules {
            if let Some(before) = certain {
                let message = format!("this alternative of `{}` is never reached", field.full);
                let why = format!(
                    "the one at line {} always gives something; move this before it",
                    before.loc.line
                );
                self.add("unreachable", &one.loc, message, why);
                continue;
            }
            if let (Source::Path(path), None) = (&one.source, &one.when) {
                let key = (path.to_string(), &one.mods.after[..]);
                if seen.contains(&key) {
                    let message = format!("`{path}` stands twice among the alternatives of `{}`", field.full);
                    self.add("unreachable", &one.loc, message, "take the second one out");
                }
                seen.push(key);
            }
            if always(one) {
                certain = Some(one);
            }
        }
        if let (Some(before), Some(_)) = (certain, &rule.mods.default) {
            let message = format!("the `default` of `{}` is never used", field.full);
            let why = format!("the alternative at line {} always gives something", before.loc.line);
            self.add("unreachable", &rule.loc, message, why);
        }
    }

    fn kept(&mut self, rule: &Rule, field: &FieldPlan, last: bool) {
        let status = matches!(field.ty, Ty::Word(_)) || field.name == "status";
        let Some(lookup) = rule.mods.lookup.as_ref().filter(|_| status) else { return };
        let what = match lookup.missing {
            Missing::Report => return,
            // What one alternative drops the next one may know.
            Missing::Drop if !last => return,
            Missing::Keep => "keeps",
            Missing::Drop => "drops",
        };
        let name =
            if lookup.name.is_empty() { "its table".to_owned() } else { format!("[lookup.{}]", lookup.name) };
        self.add(
            "kept-word",
            &rule.loc,
            format!("`{}` is a status, and {name} {what} words that it does not know", field.full),
            "write missing = \"report\": a new word of the partner then waits for you instead of passing unseen",
        );
    }

    fn zone(&mut self, rule: &Rule, field: &FieldPlan) {
        if rule.mods.zone.is_some()
            || rule.mods.zone_from.is_some()
            || !matches!(rule.source, Source::Path(_))
        {
            return;
        }
        let without = |format: &'_ Format| match format {
            Format::Pattern { letters, pattern } => {
                let tells = ["%z", "%:z", "%s"].iter().any(|part| pattern.contains(part));
                (!tells).then(|| letters.clone())
            }
            _ => None,
        };
        if let Some(format) = rule.mods.formats.iter().find_map(without) {
            self.add(
                "zone",
                &rule.loc,
                format!("`{}` is read as {format}, which has no offset, and no zone is set", field.full),
                "add `zone = \"Europe/Berlin\"` here or in [mapping]; if each account has its own, a test that says `zone` tells so",
            );
        }
    }

    fn units(&mut self, program: &Program) {
        let mut without: Vec<(Loc, String)> = Vec::new();
        for fact in &program.facts {
            money(&fact.block, &mut without);
        }
        without.sort_by_key(|(loc, _)| (loc.file.to_string(), loc.line, loc.column));
        if let Some((loc, field)) = without.first() {
            let more = match without.len() {
                1 => String::new(),
                many => format!(" (nor do {} other fields)", many - 1),
            };
            self.add(
                "unit",
                loc,
                format!("`{field}` does not say what a bare whole number means{more}: 1000 is refused"),
                "write unit = \"major\" (1000 is 1000.00) or unit = \"minor\" (1000 is 10.00) in [mapping]",
            );
        }
    }

    // -------------------------------------------------------------------------------------------------- whole files

    /// Fragments and look-up tables that nothing names.
    fn unused(&mut self, run: &Run<'_>, loaded: &Loaded) {
        let mut used = BTreeSet::new();
        names(&loaded.table, &mut used);
        for (_, fragment) in &loaded.fragments.entries {
            names_in(fragment, &mut used);
        }
        for section in ["fragment", "lookup"] {
            let own = loaded.table.get(section).and_then(Tree::table);
            for (key, _) in own.map(|table| table.entries.as_slice()).unwrap_or_default() {
                self.unused_one(loaded, section, key, &used);
            }
        }
        // What is shared is used if any mapping of the connector uses it.
        let shared = format!("mappings/{}/shared.toml", run.connector);
        let mut files = super::tree::Files::default();
        let Some(table) = run.sources.get(&shared).and_then(|text| files.parse(&shared, text)) else {
            return;
        };
        let folder = format!("mappings/{}/", run.connector);
        for (path, text) in run.sources.under(&folder).filter(|(path, _)| is_toml(path)) {
            if let Some(table) = files.parse(path, text) {
                names(&table, &mut used);
            }
        }
        for section in ["fragment", "lookup"] {
            let own = table.get(section).and_then(Tree::table);
            for (key, _) in own.map(|table| table.entries.as_slice()).unwrap_or_default() {
                if !used.contains(&key.name) {
                    let loc = Loc { file: shared.as_str().into(), ..files.loc(key.place) };
                    let message = format!("no mapping of {} uses [{section}.{}]", run.connector, key.name);
                    self.add("unused", &loc, message, "take it out");
                }
            }
        }
    }

    fn unused_one(&mut self, loaded: &Loaded, section: &str, key: &Key, used: &BTreeSet<String>) {
        if !used.contains(&key.name) {
            let message = format!("nothing uses [{section}.{}]", key.name);
            self.add("unused", &loaded.files.loc(key.place), message, "take it out");
        }
    }

    /// An overlay that replaces rules and would not notice when they change.
    fn forgetful(&mut self, run: &Run<'_>, loaded: &Loaded) {
        let Some(path) = run.overlays.last() else { return };
        let mut files = super::tree::Files::default();
        let Some(table) = run.sources.get(path).and_then(|text| files.parse(path, text)) else { return };
        let header = table.entry("overlay").and_then(|(key, tree)| Some((key, tree.table()?)));
        let Some((key, header)) = header else { return };
        let was = header.get("was").and_then(Tree::table);
        let remembers = |name: &str| was.is_some_and(|was| was.get(name).is_some());
        let forgotten: Vec<&str> =
            loaded.replaced.iter().map(|(name, _)| name.as_str()).filter(|name| !remembers(name)).collect();
        if !forgotten.is_empty() {
            let message = format!(
                "the overlay replaces {}, and will not notice when they change",
                forgotten.join(", ")
            );
            let help = format!("paste below [overlay] what `crossdock map remember {path}` prints");
            self.add("forgetful", &files.loc(key.place), message, help);
        }
    }

    // ------------------------------------------------------------------------------------------------------- tests

    /// Facts that never fire in the tests, fields that are always empty, and paths that lead nowhere.
    fn untested(&mut self, run: &Run<'_>, loaded: &Loaded, inbound: &Inbound, bodies: &[(String, Context)]) {
        let nodes: Vec<(Node<'_>, &Context)> = bodies
            .iter()
            .filter_map(|(text, ctx)| Some((inbound.read(text.as_bytes()).ok()?, ctx)))
            .collect();
        if nodes.is_empty() {
            let loc =
                Loc { file: format!("mappings/{}{}", loaded.name, run.suffix).into(), line: 1, column: 1 };
            let help =
                "add [[test]] with input = \"tests/….json\"; `crossdock map test --update` fills in `expect`";
            return self.add("untested", &loc, "the mapping has no test".to_owned(), help);
        }
        let trace = Trace::default();
        for (node, ctx) in &nodes {
            let _ = inbound.run_traced(node, ctx, Some(&trace));
        }
        let fired: Vec<String> = trace
            .facts
            .borrow()
            .iter()
            .filter(|fact| fact.silent.is_none())
            .map(|fact| fact.rule.clone())
            .collect();
        for fact in &inbound.program.facts {
            if fired.contains(&fact.name) {
                self.empty_fields(&fact.block, &trace);
            } else {
                self.add("untested", &fact.loc, format!("the fact `{}` fires in no test", fact.name), "");
            }
        }
    }

    fn empty_fields(&mut self, block: &Block, trace: &Trace) {
        for field in &block.fields {
            let key = address(field);
            let filled = trace.filled.borrow().contains(&key);
            match &field.plan {
                Plan::Record(plan) if filled => self.empty_fields(&plan.block, trace),
                Plan::Rows(parts) if filled => {
                    for part in parts {
                        self.empty_fields(&part.block, trace);
                    }
                }
                Plan::Scalar(rule) | Plan::Texts(rule) if filled => self.lost_paths(rule, field, trace),
                Plan::Scalar(rule) | Plan::Texts(rule) => {
                    let why = trace.empty.borrow().get(&key).cloned().unwrap_or_default();
                    let why = if why.is_empty() { why } else { format!(": {why}") };
                    let message = format!("`{}` is empty in every test{why}", field.full);
                    let help = match &rule.source {
                        Source::Path(path) if path.is_one_word() => format!(
                            "`{path}` is read as a path; for the text itself: {{ const = \"{path}\" }}"
                        ),
                        _ => String::new(),
                    };
                    self.add("untested", &field.loc, message, help);
                }
                _ => {}
            }
        }
    }

    /// Paths of a rule that gives something in the tests, which themselves lead nowhere in any of them.
    fn lost_paths(&mut self, rule: &Rule, field: &FieldPlan, trace: &Trace) {
        match &rule.source {
            Source::Path(path) => {
                if !trace.found(path) {
                    let message =
                        format!("`{path}`, one of the paths of `{}`, is found in no test", field.full);
                    self.add(
                        "path",
                        &rule.loc,
                        message,
                        "mistyped? If it is right, add a test that shows it",
                    );
                }
            }
            Source::First(rules) | Source::Join(rules, _) => {
                for rule in rules {
                    self.lost_paths(rule, field, trace);
                }
            }
            Source::List(gather) | Source::Sum(gather) | Source::Count(gather) => {
                gather.values.iter().for_each(|rule| self.lost_paths(rule, field, trace));
            }
            Source::Expr(formula) => {
                formula.with.iter().for_each(|(_, rule)| self.lost_paths(rule, field, trace));
            }
            Source::Const(_) => {}
        }
    }
}

/// Whether facts of these kinds about one subject exclude each other.
fn exclude(a: &str, b: &str) -> bool {
    const PAIRS: [(&str, &str); 10] = [
        ("order.placed", "order.cancelled"),
        ("fulfilment.accepted", "fulfilment.cancelled"),
        ("fulfilment.accepted", "fulfilment.rejected"),
        ("fulfilment.shipped", "fulfilment.shipment_voided"),
        ("fulfilment.shipped", "fulfilment.cancelled"),
        ("payment.authorised", "payment.failed"),
        ("payment.authorised", "payment.voided"),
        ("payment.captured", "payment.failed"),
        ("payment.captured", "payment.voided"),
        ("label.bought", "label.refunded"),
    ];
    debug_assert!(PAIRS.iter().all(|(a, b)| FactKind::parse(a).is_some() && FactKind::parse(b).is_some()));
    PAIRS.contains(&(a, b)) || PAIRS.contains(&(b, a))
}

/// Whether two facts are made of the same rows: of the record both, or of the same list.
fn same_rows(a: &Table, b: &Table) -> bool {
    let each = |table: &Table| table.get("each").map(Tree::plain);
    each(a) == each(b)
}

/// Whether two conditions never hold together, as far as one can tell from one entry of each.
fn apart(a: &Tree, b: &Tree) -> bool {
    let (Some(one), Some(other)) = (a.table(), b.table()) else { return false };
    let same_path =
        |(key, tree): &(Key, Tree)| other.get(&key.name).is_some_and(|found| tests_apart(tree, found));
    let alternatives = |table: &Table, against: &Tree| {
        let any = table.get("any").and_then(Tree::list);
        any.is_some_and(|all| !all.is_empty() && all.iter().all(|one| apart(one, against)))
    };
    let parts = |table: &Table, against: &Tree| {
        table.get("all").and_then(Tree::list).is_some_and(|all| all.iter().any(|one| apart(one, against)))
    };
    let paths = one.entries.iter().filter(|(key, _)| !matches!(key.name.as_str(), "any" | "all"));
    paths.into_iter().any(same_path)
        || alternatives(one, b)
        || alternatives(other, a)
        || parts(one, b)
        || parts(other, a)
}

fn tests_apart(a: &Tree, b: &Tree) -> bool {
    let words = |tree: &Tree| -> Option<Vec<String>> {
        match &tree.kind {
            Kind::List(items) => items.iter().map(Tree::scalar).collect(),
            _ => tree.scalar().map(|word| vec![word]),
        }
    };
    let not = |tree: &Tree| words(tree.table()?.get("not")?);
    let exists = |tree: &Tree| tree.table()?.get("exists").map(Tree::is_true);
    match (words(a), words(b)) {
        (Some(a), Some(b)) => !a.iter().any(|word| b.contains(word)),
        (Some(a), None) => {
            not(b).is_some_and(|not| a.iter().all(|word| not.contains(word))) || exists(b) == Some(false)
        }
        (None, Some(_)) => tests_apart(b, a),
        (None, None) => matches!((exists(a), exists(b)), (Some(a), Some(b)) if a != b),
    }
}

/// Whether a rule gives something whatever the payload says.
fn always(rule: &Rule) -> bool {
    let sure = match &rule.source {
        Source::Const(_) | Source::Count(_) => true,
        Source::First(rules) => rules.iter().any(always),
        _ => false,
    };
    rule.when.is_none() && rule.mods.lookup.is_none() && (sure || rule.mods.default.is_some())
}

/// Fields of money whose rule has no unit.
fn money(block: &Block, without: &mut Vec<(Loc, String)>) {
    for field in &block.fields {
        match &field.plan {
            Plan::Scalar(rule) if field.ty == Ty::Money && needs_unit(rule) => {
                without.push((rule.loc.clone(), field.full.to_string()));
            }
            Plan::Record(plan) => money(&plan.block, without),
            Plan::Rows(parts) => parts.iter().for_each(|part| money(&part.block, without)),
            _ => {}
        }
    }
}

fn needs_unit(rule: &Rule) -> bool {
    match &rule.source {
        Source::First(rules) => rules.iter().any(needs_unit),
        // What an expression gives is exact as it stands, and a literal was written by a person.
        Source::Const(_) | Source::Expr(_) => false,
        _ => rule.mods.unit.is_none(),
    }
}

/// Names of fragments and look-up tables that a table uses.
fn names(table: &Table, used: &mut BTreeSet<String>) {
    for (key, tree) in &table.entries {
        if matches!(key.name.as_str(), "use" | "lookup")
            && let Some(name) = tree.text()
        {
            used.insert(name.to_owned());
        }
        names_in(tree, used);
    }
}

fn names_in(tree: &Tree, used: &mut BTreeSet<String>) {
    match &tree.kind {
        Kind::Table(table) => names(table, used),
        Kind::List(items) => items.iter().for_each(|item| names_in(item, used)),
        _ => {}
    }
}

/// Whether it is a file that the readers take: they know `.toml` in small letters alone.
fn is_toml(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|extension| extension == "toml")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(files: &[(&str, &str)]) -> Vec<String> {
        let mut sources = Sources::default();
        for (path, text) in files {
            sources.insert(*path, *text);
        }
        let found = lint(&sources, "shop", "order").unwrap();
        found.iter().map(|one| format!("{} {}", one.name, one.found)).collect()
    }

    fn of(name: &str, text: &str) -> Vec<String> {
        let all = findings(&[("mappings/shop/order.in.toml", text)]);
        let prefix = format!("{name} mappings/shop/order.in.toml:");
        all.iter().filter_map(|one| Some(one.strip_prefix(&prefix)?.to_owned())).collect()
    }

    #[test]
    fn exclusive_facts_of_one_message_are_found() {
        let two = |a: &str, b: &str| {
            of(
                "exclusive",
                &format!(
                    "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\n{a}\n[fact.gone]\nis = \"order.cancelled\"\norder = \"id\"\n{b}\n"
                ),
            )
        };
        let found = two("", "");
        assert_eq!(found.len(), 1);
        assert!(
            found[0].starts_with(
                "5:7: warning: `gone` (order.cancelled) and `placed` (order.placed, line 1) can both come from one message"
            ),
            "{found:?}"
        );
        assert_eq!(two("when = { a = 1 }", "").len(), 1);
        assert_eq!(two("", "when = { cancelled_at = { exists = true } }"), Vec::<String>::new());
        let pair = |a: &str, b: &str| {
            of(
                "exclusive",
                &format!(
                    "[fact.a]\nis = \"fulfilment.accepted\"\norder = \"id\"\nwhen = {{ {a} }}\n[fact.b]\nis = \"fulfilment.cancelled\"\norder = \"id\"\nwhen = {{ {b} }}\n"
                ),
            )
            .len()
        };
        assert_eq!(pair("s = \"open\"", "s = [\"open\", \"x\"]"), 1);
        assert_eq!(pair("s = \"open\"", "t = \"x\""), 1);
        assert_eq!(pair("s = \"open\"", "s = [\"gone\", \"x\"]"), 0);
        assert_eq!(pair("s = { not = [\"gone\", \"x\"] }", "s = [\"gone\", \"x\"]"), 0);
        assert_eq!(pair("s = { not = \"gone\" }", "s = [\"gone\", \"x\"]"), 1);
        assert_eq!(pair("s = { exists = true }", "s = { exists = false }"), 0);
        assert_eq!(pair("any = [{ s = \"a\" }, { t = 1 }]", "s = \"b\", t = 2"), 0);
        assert_eq!(pair("any = [{ s = \"a\" }, { u = 1 }]", "s = \"b\", t = 2"), 1);
    }

    #[test]
    fn alternatives_that_are_never_reached_are_found() {
        let found = of(
            "unreachable",
            "[fact.placed]\nis = \"order.placed\"\norder = { first = [\"id\", \"id\"] }\n\
             channel = { first = [{ const = \"web\" }, \"source\"], default = \"x\" }\n\
             note = { first = [{ when = { a = 1 }, const = \"web\" }, \"source\"], default = \"x\" }\n",
        );
        assert_eq!(found.len(), 3, "{found:?}");
        assert!(found[0].starts_with("3:26: warning: `id` stands twice"), "{found:?}");
        assert!(found[1].starts_with("4:11: warning: the `default` of `channel` is never used"), "{found:?}");
        assert!(
            found[2].starts_with("4:41: warning: this alternative of `channel` is never reached"),
            "{found:?}"
        );
    }

    #[test]
    fn words_zones_and_units_are_looked_at() {
        let text = "[fact.event]\nis = \"tracking.event\"\ntracking = \"t\"\n\
            status = { path = \"s\", lookup = \"status\" }\nat = { path = \"at\", formats = [\"DD.MM.YYYY HH:mm\"] }\n\
            [lookup.status]\nmissing = \"keep\"\n[lookup.status.rows]\na = \"delivered\"\n[lookup.other.rows]\na = \"b\"\n\
            [fragment.address]\ncity = \"x\"\n";
        assert!(
            of("kept-word", text)[0]
                .starts_with("4:10: warning: `status` is a status, and [lookup.status] keeps")
        );
        assert!(
            of("zone", text)[0]
                .starts_with("5:6: warning: `at` is read as DD.MM.YYYY HH:mm, which has no offset")
        );
        assert_eq!(of("zone", &text.replace("HH:mm\"]", "HH:mm\"], zone = \"UTC\"")), Vec::<String>::new());
        let unused = of("unused", text);
        assert_eq!(unused.len(), 2, "{unused:?}");
        assert!(
            unused[0].contains("nothing uses [lookup.other]") && unused[1].contains("[fragment.address]")
        );
        let money = "[mapping]\ncurrency = \"USD\"\n[fact.placed]\nis = \"order.placed\"\norder = \"id\"\ntotal = \"total\"\n\
            [fact.placed.lines]\neach = \"lines\"\nref = \"id\"\nquantity = \"n\"\nunit_price = \"price\"\n";
        let found = of("unit", money);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("nor do 1 other fields"), "{found:?}");
        assert_eq!(of("unit", &money.replace("\"USD\"", "\"USD\"\nunit = \"major\"")), Vec::<String>::new());
    }

    #[test]
    fn what_no_test_shows_is_told() {
        let text = "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\nchannel = \"web\"\n\
            phone = { first = [\"phone\", \"mobile\"] }\n[fact.closed]\nis = \"order.closed\"\nwhen = { closed = true }\norder = \"id\"\n";
        assert!(of("untested", text)[0].starts_with("1:1: warning: the mapping has no test"));
        let tested = format!(
            "{text}[[test]]\nbody = '{{\"id\":1,\"phone\":\"7\"}}'\nexpect = [{{ fact = \"placed\" }}]\n"
        );
        assert_eq!(
            of("untested", &tested),
            [
                "4:1: warning: `channel` is empty in every test: `web` is not there; `web` is read as a path; for the text \
                 itself: { const = \"web\" }",
                "6:7: warning: the fact `closed` fires in no test",
            ]
        );
        assert_eq!(
            of("path", &tested),
            [
                "5:29: hint: `mobile`, one of the paths of `phone`, is found in no test; mistyped? If it is right, add a \
              test that shows it"
            ]
        );
    }

    #[test]
    fn overlays_that_remember_nothing_and_rules_that_changed_are_told() {
        let main = "[fact.placed]\nis = \"order.placed\"\norder = \"id\"\nnote = \"note\"\n";
        let overlay = "[overlay]\nof = \"shop/order\"\n[fact.placed]\nnote = \"remark\"\n";
        let path = "mappings/clients/acme/shop/order.toml";
        let found = findings(&[("mappings/shop/order.in.toml", main), (path, overlay)]);
        let forgetful: Vec<&String> = found.iter().filter(|one| one.starts_with("forgetful")).collect();
        assert_eq!(forgetful.len(), 1, "{found:?}");
        assert!(
            forgetful[0].contains(&format!("{path}:1:2: warning: the overlay replaces fact.placed.note"))
        );
        let remembers = overlay.replace("\n[fact", "\nwas = { \"fact.placed.note\" = \"00000000\" }\n[fact");
        let found = findings(&[("mappings/shop/order.in.toml", main), (path, &remembers)]);
        assert!(!found.iter().any(|one| one.starts_with("forgetful")), "{found:?}");
        assert!(found.iter().any(|one| one.starts_with("warning") && one.contains("which this overlay replaces, changed")));
    }
}

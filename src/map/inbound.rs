//! A compiled `.in.toml`, and how a message runs through it.

use std::sync::Arc;

use crate::canonical::fact::Header;
use crate::canonical::{Body, Canon};
use crate::config::sources::Sources;
use crate::diagnostic::Diagnostic;

use super::compile;
use super::convert::Trouble;
use super::eval::{Eval, Here, Label, Settings};
use super::node::{Node, ParseError};
use super::path::Path;
use super::program::{FactRule, Program};
use super::syntax::{LINE, Syntax, SyntaxKind};
use super::trace::Trace;
use super::tree::Loc;
use super::{Context, Mapped, MappedFact, RecordError};

/// Facts that one message may give.
pub(super) const MAX_FACTS: usize = 10_000;

/// An inbound mapping with its overlays, compiled.
#[derive(Debug, Clone)]
pub struct Inbound {
    pub(super) program: Arc<Program>,
    version: String,
    warnings: Vec<Diagnostic>,
}

impl Inbound {
    /// Compiles `mappings/<connector>/<name>.in.toml` with `overlays` (paths of files) over it, in order.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn compile(
        sources: &Sources,
        connector: &str,
        name: &str,
        overlays: &[String],
    ) -> Result<Self, Vec<Diagnostic>> {
        let compiled = compile::load(sources, connector, name, ".in.toml", overlays)?.inbound()?;
        let compile::Compiled { program, version, warnings } = compiled;
        Ok(Self { program: Arc::new(program), version, warnings })
    }

    /// How the partner writes such a message.
    #[must_use]
    pub fn syntax(&self) -> &Syntax {
        &self.program.syntax
    }

    /// Reads a payload as the mapping says that it is written.
    ///
    /// # Errors
    /// When the bytes are no such payload, with the place.
    pub fn read<'a>(&self, bytes: &'a [u8]) -> Result<Node<'a>, ParseError> {
        self.program.syntax.read(bytes)
    }

    /// Reads of a payload what the mapping and the paths `also` read, and leaves out the rest: enough for what runs
    /// without an error. `None` where the whole must be read, or cannot be.
    #[must_use]
    pub fn read_wanted<'a>(&self, bytes: &'a [u8], also: &[&Path]) -> Option<Node<'a>> {
        let Program { syntax, reads, .. } = self.program.as_ref();
        let keys = reads.as_ref()?;
        if also.is_empty() {
            return syntax.read_wanted(bytes, keys);
        }
        syntax.read_wanted(bytes, &keys.with(also.iter().copied())?)
    }

    /// What `root` says. Never panics and never runs without bounds.
    #[must_use]
    pub fn run(&self, root: &Node<'_>, ctx: &Context) -> Mapped {
        self.run_traced(root, ctx, None)
    }

    /// What the bytes of a message say; that they cannot be read is an error of the message.
    #[must_use]
    pub fn run_bytes(&self, bytes: &[u8], ctx: &Context) -> Mapped {
        if let Some(node) = self.read_wanted(bytes, &[]) {
            let mapped = self.run(&node, ctx);
            // What is wrong is told by what else there is.
            if mapped.errors.is_empty() {
                return mapped;
            }
        }
        match self.read(bytes) {
            Ok(node) => self.run(&node, ctx),
            Err(error) => {
                let (name, title) = (&self.program.name, self.syntax().kind.title());
                let error = RecordError {
                    kind: "invalid_payload".to_owned(),
                    cause: format!("invalid_payload:{name}"),
                    message: format!("the body is no valid {title}: {error}"),
                    help: None,
                };
                Mapped { errors: vec![error], ..Mapped::default() }
            }
        }
    }

    /// The same, and notes on the way.
    pub(super) fn run_traced(&self, root: &Node<'_>, ctx: &Context, trace: Option<&Trace>) -> Mapped {
        let asked = ctx.asked();
        let Program { name, empty, exponents, zones, .. } = self.program.as_ref();
        let eval = Eval::new(name, (root, &asked), ctx, Settings { empty, exponents, zones }, trace);
        let mut facts = Vec::new();
        self.message(&eval, &mut facts);
        let errors = eval.errors.take();
        Mapped { nothing: facts.is_empty() && errors.is_empty(), facts, errors }
    }

    /// Connector, name and a digest of everything that was compiled: `shopify/order@1a2b3c4d`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What works, but probably not as meant.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }

    fn whole(&self) -> Loc {
        Loc { file: format!("mappings/{}.in.toml", self.program.name).into(), line: 1, column: 1 }
    }

    fn message<'p>(&'p self, eval: &Eval<'p, '_>, facts: &mut Vec<MappedFact>) {
        let root = Here { record: eval.root, rows: &[], number: 0, group: &[] };
        match self.records(eval, &root) {
            Err(trouble) => {
                eval.fail("", &self.whole(), trouble);
            }
            Ok(None) => self.no_record(eval, &root),
            Ok(Some((path, records))) => {
                for (number, record) in records.into_iter().enumerate() {
                    let label =
                        path.several().then(|| eval.put_label(Label::Text(self.label(path, number, record))));
                    self.record(eval, record, facts);
                    if let Some(label) = label {
                        eval.labels.borrow_mut().truncate(label);
                    }
                    if facts.len() > MAX_FACTS {
                        facts.truncate(MAX_FACTS);
                        let trouble = Trouble::new(
                            "too_large",
                            format!("the message gives more than {MAX_FACTS} facts"),
                        );
                        eval.fail("", &self.whole(), trouble);
                        return;
                    }
                }
            }
        }
    }

    /// What a record is called in messages: where it stands in the payload.
    fn label(&self, path: &Path, number: usize, record: &Node<'_>) -> String {
        let text = |key: &str, element: &str| {
            record.get(key)?.get(element).and_then(Node::text).map(std::borrow::Cow::into_owned)
        };
        let told = match self.program.syntax.kind {
            SyntaxKind::Csv => record.get(LINE).and_then(Node::text).map(|line| format!("line {line}")),
            SyntaxKind::X12 => text("ST", "02").map(|control| format!("message {control}")),
            SyntaxKind::Edifact => text("UNH", "01").map(|control| format!("message {control}")),
            _ => None,
        };
        told.unwrap_or_else(|| format!("{path} item {}", number + 1))
    }

    /// The records of the first path of `records` that exists.
    fn records<'n>(
        &self,
        eval: &Eval<'_, 'n>,
        root: &Here<'_, 'n>,
    ) -> Result<Option<(&Path, Vec<&'n Node<'n>>)>, Trouble> {
        for (path, when) in &self.program.records {
            if path.names_something(&eval.spot(root)) && eval.holds(when.as_ref(), root)? {
                let found = eval.find(path, root)?;
                return Ok(Some((path, found.into_iter().filter(|node| **node != Node::Null).collect())));
            }
        }
        Ok(None)
    }

    fn no_record(&self, eval: &Eval<'_, '_>, root: &Here<'_, '_>) {
        let _ = root;
        let here = Here { record: eval.root, rows: &[], number: 0, group: &[] };
        if self.rejected(eval, &here) || matches!(self.means_nothing(eval, &here), Ok(true)) {
            return;
        }
        let paths: Vec<String> = self.program.records.iter().map(|(path, _)| format!("`{path}`")).collect();
        let trouble = Trouble::new("no_fact", format!("there is no record: nothing at {}", paths.join(", ")))
            .help("add its path to `records`, or say with [nothing] that such a message means nothing");
        eval.fail("", &self.whole(), trouble);
    }

    /// Reports a record that is an error dressed as a payload.
    fn rejected<'n>(&self, eval: &Eval<'_, 'n>, here: &Here<'_, 'n>) -> bool {
        let Some(reject) = &self.program.reject else { return false };
        match eval.holds(Some(reject), here) {
            Ok(false) => false,
            Ok(true) => {
                let usual = ["message", "error.message", "error", "errors[0].message", "errors[0]", "detail"];
                let usual = usual.into_iter().filter_map(|path| Path::parse(path).ok());
                let said = self.program.reason.iter().cloned().chain(usual).find_map(|path| {
                    let text = path.first(here.record)?.text()?.into_owned();
                    Some(format!(": {}", super::convert::short(&text)))
                });
                let message = format!("the partner sent an error as a payload{}", said.unwrap_or_default());
                eval.fail("", &self.whole(), Trouble::new("rejected", message));
                true
            }
            Err(trouble) => {
                eval.fail("", &self.whole(), trouble);
                true
            }
        }
    }

    fn means_nothing<'n>(&self, eval: &Eval<'_, 'n>, here: &Here<'_, 'n>) -> Result<bool, Trouble> {
        match &self.program.nothing {
            Some(cond) => eval.holds(Some(cond), here),
            None => Ok(false),
        }
    }

    fn record<'p, 'n>(&'p self, eval: &Eval<'p, 'n>, record: &'n Node<'n>, facts: &mut Vec<MappedFact>) {
        let here = Here { record, rows: &[], number: 0, group: &[] };
        if let Node::List(items) = record {
            let trouble = Trouble::new("list", format!("the record is a list of {}", items.len()));
            eval.fail("", &self.whole(), trouble.help("write `records = [\"$[*]\", \"$\"]` in [mapping]"));
            return;
        }
        if let Some(why) = super::syntax::fault(record) {
            let trouble = Trouble::new("invalid", why.to_owned());
            eval.fail("", &self.whole(), trouble.help("ask the partner to send it again"));
            return;
        }
        if self.rejected(eval, &here) {
            return;
        }
        let (facts_before, errors_before) = (facts.len(), eval.errors.borrow().len());
        for rule in &self.program.facts {
            eval.rule.set(&rule.name);
            fact(eval, rule, &here, facts);
            eval.rule.set("");
        }
        if facts.len() > facts_before || eval.errors.borrow().len() > errors_before {
            return;
        }
        match self.means_nothing(eval, &here) {
            Ok(true) => {}
            Ok(false) => {
                let rules: Vec<&str> = self.program.facts.iter().map(|rule| rule.name.as_str()).collect();
                let trouble = Trouble::new("no_fact", format!("no fact fires, of {}", rules.join(", ")))
                    .help("if such a message means nothing, say so: [nothing] with a `when`");
                eval.fail("", &self.whole(), trouble);
            }
            Err(trouble) => {
                eval.fail("", &self.whole(), trouble);
            }
        }
    }
}

fn fact<'n>(eval: &Eval<'_, 'n>, rule: &FactRule, here: &Here<'_, 'n>, facts: &mut Vec<MappedFact>) {
    let fail = |trouble| {
        eval.fail("", &rule.loc, trouble);
    };
    let silent = |why: &str| {
        if let Some(trace) = eval.trace {
            trace.fact(&rule.name, &rule.loc, Some(why.to_owned()));
        }
    };
    match eval.holds(rule.when.as_ref(), here) {
        Ok(true) => {}
        Ok(false) => return silent("its `when` does not hold"),
        Err(trouble) => return fail(trouble),
    }
    let groups = match eval.stacks(&rule.rows, here).and_then(|stacks| eval.groups(&rule.rows, stacks, here))
    {
        Ok(groups) => groups,
        Err(trouble) => return fail(trouble),
    };
    if groups.is_empty() {
        silent("there is no row for which it holds");
    }
    for group in groups.iter() {
        let Some(first) = group.first() else { continue };
        if facts.len() > MAX_FACTS {
            return;
        }
        let inner = Here { record: here.record, rows: &first.rows, number: first.number, group };
        let label = eval.label(rule.rows.each.as_ref(), first.number);
        if let Some(trace) = eval.trace {
            trace.fact(&rule.name, &rule.loc, None);
        }
        if let Ok(filled) = eval.block(&rule.block, &inner, false) {
            match assemble(rule, filled.values) {
                Ok(fact) => facts.push(fact),
                Err(message) => fail(Trouble::new("internal", message)),
            }
        }
        if let Some(label) = label {
            eval.labels.borrow_mut().truncate(label);
        }
    }
}

fn assemble(rule: &FactRule, values: Vec<Option<Canon<'_>>>) -> Result<MappedFact, String> {
    let mut slots = values.into_iter();
    let wrong = |field: &str| format!("`{field}` is of another type than its field");
    // The fields of the kind come before those of the header.
    let body = Body::assemble(rule.kind.kind, &mut slots).map_err(wrong)?;
    let header = Header::assemble(&mut slots).map_err(wrong)?;
    Ok(MappedFact { rule: rule.name.clone(), header, body })
}

//! Runs a compiled mapping over a payload. Bounded: every step over a value of the payload is charged to a budget.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::canonical::schema::Ty;
use crate::canonical::{Canon, Currency, When};

use super::condition::{Cond, number};
use super::convert::{Details, Trouble};
use super::node::Node;
use super::path::{Fault, Path, Spot, Start};
use super::program::{Block, FieldPlan, Plan, RecordPlan, RowSource, RowsPlan, Rule, Source};
use super::trace::Trace;
use super::tree::Loc;
use super::{Context, RecordError};

/// Steps that one message may take.
pub(super) const BUDGET: u64 = 4_000_000;
/// Errors that one message may give; the rest is left out.
pub(super) const MAX_ERRORS: usize = 50;

/// Where evaluation stands: the rows around, and the rows of the present group.
#[derive(Clone, Copy)]
pub(super) struct Here<'s, 'n> {
    pub record: &'n Node<'n>,
    pub rows: &'s [&'n Node<'n>],
    pub number: usize,
    pub group: &'s [Stack<'n>],
}

/// A row with the rows around it.
#[derive(Debug, Clone)]
pub(super) struct Stack<'n> {
    pub rows: Rows<'n>,
    pub number: usize,
}

/// Rows from the outermost to the present one; most stand alone.
#[derive(Debug, Clone)]
pub(super) enum Rows<'n> {
    One([&'n Node<'n>; 1]),
    Several(Vec<&'n Node<'n>>),
}

impl<'n> Rows<'n> {
    fn of(outer: &[&'n Node<'n>], around: &[&'n Node<'n>], row: &'n Node<'n>) -> Self {
        if outer.is_empty() && around.is_empty() {
            return Self::One([row]);
        }
        let mut rows = Vec::with_capacity(outer.len() + around.len() + 1);
        rows.extend_from_slice(outer);
        rows.extend_from_slice(around);
        rows.push(row);
        Self::Several(rows)
    }
}

impl<'n> Deref for Rows<'n> {
    type Target = [&'n Node<'n>];
    fn deref(&self) -> &Self::Target {
        match self {
            Self::One(row) => row,
            Self::Several(rows) => rows,
        }
    }
}

/// Rows, of which each group is a run.
pub(super) struct Groups<'n> {
    stacks: Vec<Stack<'n>>,
    /// Where each group ends; without, every row is a group of its own.
    ends: Option<Vec<usize>>,
}

impl<'n> Groups<'n> {
    pub fn is_empty(&self) -> bool {
        self.stacks.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[Stack<'n>]> {
        let count = self.ends.as_ref().map_or(self.stacks.len(), Vec::len);
        (0..count).map(|at| match &self.ends {
            None => &self.stacks[at..=at],
            Some(ends) => &self.stacks[at.checked_sub(1).map_or(0, |before| ends[before])..ends[at]],
        })
    }
}

pub(super) struct Eval<'p, 'n> {
    /// `shopify/order`.
    pub name: &'p str,
    pub root: &'n Node<'n>,
    pub asked: &'n Node<'n>,
    pub ctx: &'p Context,
    pub ctx_zone: Option<TimeZone>,
    pub empty: &'p [String],
    pub exponents: &'p BTreeMap<String, u32>,
    /// What the partner's words for zones mean.
    pub zones: &'p BTreeMap<String, TimeZone>,
    pub budget: Cell<u64>,
    pub errors: RefCell<Vec<RecordError>>,
    /// Where in the payload we are, for messages: path and number of each row.
    pub labels: RefCell<Vec<Label>>,
    /// The fact's rule.
    pub rule: Cell<&'p str>,
    pub trace: Option<&'p Trace>,
}

/// What the mapping says for all of its rules.
#[derive(Clone, Copy)]
pub(super) struct Settings<'p> {
    pub empty: &'p [String],
    pub exponents: &'p BTreeMap<String, u32>,
    pub zones: &'p BTreeMap<String, TimeZone>,
}

/// Where in the payload we are: put to words only when there is something to say.
#[derive(Debug, Clone)]
pub(super) enum Label {
    Text(String),
    /// The path's value.
    At(Arc<str>),
    /// An item of the path's list, from 1.
    Item(Arc<str>, usize),
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::At(path) => f.write_str(path),
            Self::Item(path, number) => write!(f, "{path} item {number}"),
        }
    }
}

/// Marks that an error was reported.
#[derive(Debug)]
pub(super) struct Failed;

/// What a block of fields gives.
pub(super) struct Filled<'n> {
    /// By the slots of the block's fields.
    pub values: Vec<Option<Canon<'n>>>,
    /// Whether any value came from the payload, not from the mapping alone.
    pub told: bool,
}

impl<'p, 'n> Eval<'p, 'n> {
    pub fn new(
        name: &'p str,
        (root, asked): (&'n Node<'n>, &'n Node<'n>),
        ctx: &'p Context,
        settings: Settings<'p>,
        trace: Option<&'p Trace>,
    ) -> Self {
        let Settings { empty, exponents, zones } = settings;
        Self {
            name,
            exponents,
            zones,
            root,
            asked,
            ctx,
            ctx_zone: ctx.zone.as_deref().and_then(super::time::zone),
            empty,
            budget: Cell::new(BUDGET),
            errors: RefCell::default(),
            labels: RefCell::default(),
            rule: Cell::new(""),
            trace,
        }
    }

    /// How many decimal places make the minor unit: as the mapping says, else the manifest, else ISO 4217.
    pub fn exponent(&self, currency: Currency) -> u32 {
        let of = |table: &BTreeMap<String, u32>| table.get(currency.code()).copied();
        of(self.exponents).or_else(|| of(&self.ctx.exponents)).unwrap_or_else(|| currency.exponent())
    }

    pub fn spot<'a>(&'a self, here: &Here<'a, 'n>) -> Spot<'a, 'n> {
        Spot {
            root: self.root,
            asked: self.asked,
            record: here.record,
            rows: here.rows,
            number: here.number,
            budget: &self.budget,
        }
    }

    pub fn find(&self, path: &Path, here: &Here<'_, 'n>) -> Result<Vec<&'n Node<'n>>, Trouble> {
        let found = path.find(&self.spot(here)).map_err(|fault| trouble_of(path, fault))?;
        if let Some(trace) = self.trace {
            if !found.is_empty() {
                trace.follow(path);
            }
            for node in &found {
                trace.read(node);
            }
        }
        Ok(found)
    }

    /// The first value at the path that is not absent.
    pub fn said(&self, path: &Path, here: &Here<'_, 'n>) -> Result<Option<&'n Node<'n>>, Trouble> {
        if path.is_plain() && self.trace.is_none() {
            let found = path.lone(&self.spot(here)).map_err(|fault| trouble_of(path, fault))?;
            return Ok(found.filter(|node| !node.is_absent()));
        }
        Ok(self.find(path, here)?.into_iter().find(|node| !node.is_absent()))
    }

    /// The first text at the path that is not absent.
    pub fn text_said(&self, path: &Path, here: &Here<'_, 'n>) -> Result<Option<Cow<'n, str>>, Trouble> {
        if path.is_plain() {
            return Ok(self.said(path, here)?.and_then(Node::text));
        }
        Ok(self.find(path, here)?.into_iter().filter(|node| !node.is_absent()).find_map(Node::text))
    }

    /// The first text at the path.
    pub fn text_at(&self, path: &Path, here: &Here<'_, 'n>) -> Result<Option<Cow<'n, str>>, Trouble> {
        if path.is_plain() && self.trace.is_none() {
            let found = path.lone(&self.spot(here)).map_err(|fault| trouble_of(path, fault))?;
            return Ok(found.and_then(Node::text));
        }
        Ok(self.find(path, here)?.into_iter().find_map(Node::text))
    }

    pub fn holds(&self, cond: Option<&Cond>, here: &Here<'_, 'n>) -> Result<bool, Trouble> {
        let Some(cond) = cond else { return Ok(true) };
        let read = |node: &Node<'_>| {
            if let Some(trace) = self.trace {
                trace.read(node);
            }
        };
        cond.holds(&self.spot(here), self.empty, &read).map_err(|fault| match fault {
            Fault::Through { ref list, .. } => {
                let list = list.clone();
                trouble_of_list(&list, fault)
            }
            Fault::TooMuch => too_much(),
        })
    }

    /// Reports `trouble` with `field` (`lines.sku`) at `loc`.
    pub fn fail(&self, field: &str, loc: &Loc, trouble: Trouble) -> Failed {
        let dotted = |a: &str, b: &str| match (a, b) {
            ("", b) => b.to_owned(),
            (a, "") => a.to_owned(),
            (a, b) => format!("{a}.{b}"),
        };
        let name = dotted(self.rule.get(), field);
        let Details { kind, message, help, word } = *trouble.0;
        let cause = match &word {
            Some(word) => format!("{kind}:{}:{field}:{}", self.name, super::convert::short(word)),
            None if name.is_empty() => format!("{kind}:{}", self.name),
            None => format!("{kind}:{}:{name}", self.name),
        };
        let labels = self.labels.borrow();
        let around: Vec<String> = labels.iter().map(Label::to_string).collect();
        let at = if labels.is_empty() { String::new() } else { format!(" (at {})", around.join(", ")) };
        let name = if name.is_empty() { String::new() } else { format!(" {name}:") };
        let mut errors = self.errors.borrow_mut();
        if errors.len() < MAX_ERRORS {
            errors.push(RecordError {
                kind: kind.to_owned(),
                cause,
                message: format!("{loc}:{name} {message}{at}"),
                help,
            });
        }
        Failed
    }

    /// The rows that `source` names, each with those around it; without `each` the present place itself.
    pub fn stacks(&self, source: &RowSource, here: &Here<'_, 'n>) -> Result<Vec<Stack<'n>>, Trouble> {
        let Some(each) = &source.each else {
            return Ok(vec![Stack { rows: Rows::Several(here.rows.to_vec()), number: here.number }]);
        };
        let mut stacks = if each.start() == Start::Group {
            let mut rows = Vec::new();
            for stack in here.group {
                let inner = Here { rows: &stack.rows, number: stack.number, group: &[], ..*here };
                if self.holds(source.only.as_ref(), &inner)? {
                    rows.push(stack.clone());
                }
            }
            rows
        } else {
            self.each(each, source.only.as_ref(), here)?
        };
        if let Some(sort) = &source.sort {
            let mut keyed = Vec::with_capacity(stacks.len());
            for stack in stacks {
                let inner = Here { rows: &stack.rows, number: stack.number, group: &[], ..*here };
                let key = self.text_at(&sort.by, &inner)?.map(Cow::into_owned);
                keyed.push((key, stack));
            }
            keyed.sort_by(|(a, _), (b, _)| {
                let order = compare(a.as_deref(), b.as_deref());
                if sort.descending { order.reverse() } else { order }
            });
            stacks = keyed.into_iter().map(|(_, stack)| stack).collect();
        }
        Ok(stacks)
    }

    /// The rows of a list for which the condition holds.
    pub fn each(
        &self,
        each: &Path,
        only: Option<&Cond>,
        here: &Here<'_, 'n>,
    ) -> Result<Vec<Stack<'n>>, Trouble> {
        let rows = each.rows(&self.spot(here)).map_err(|fault| trouble_of(each, fault))?;
        let mut stacks = Vec::with_capacity(rows.len());
        for row in rows {
            if let Some(why) = super::syntax::fault(row.node) {
                let line = row.node.get(super::syntax::LINE).and_then(Node::text);
                let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
                return Err(Trouble::new("invalid", format!("{at}{why}")));
            }
            let stack = Rows::of(here.rows, &row.around, row.node);
            let inner = Here { rows: &stack, number: row.number, group: &[], ..*here };
            if self.holds(only, &inner)? {
                stacks.push(Stack { rows: stack, number: row.number });
            }
        }
        Ok(stacks)
    }

    /// Rows grouped by the texts at the paths, in the order in which each group first comes.
    pub fn groups(
        &self,
        source: &RowSource,
        stacks: Vec<Stack<'n>>,
        here: &Here<'_, 'n>,
    ) -> Result<Groups<'n>, Trouble> {
        if source.group.is_empty() {
            return Ok(Groups { stacks, ends: None });
        }
        let mut places: std::collections::HashMap<Vec<Option<String>>, usize> =
            std::collections::HashMap::new();
        let mut groups: Vec<Vec<Stack<'n>>> = Vec::new();
        for stack in stacks {
            let inner = Here { rows: &stack.rows, number: stack.number, group: &[], ..*here };
            let mut key = Vec::new();
            for path in &source.group {
                key.push(self.text_at(path, &inner)?.map(Cow::into_owned));
            }
            let at = *places.entry(key).or_insert(groups.len());
            match groups.get_mut(at) {
                Some(group) => group.push(stack),
                None => groups.push(vec![stack]),
            }
        }
        let ends = groups.iter().scan(0, |end, group| {
            *end += group.len();
            Some(*end)
        });
        let ends = Some(ends.collect());
        Ok(Groups { stacks: groups.into_iter().flatten().collect(), ends })
    }

    /// The fields of a block at `here`. All mistakes of it are reported, not only the first.
    pub fn block(&self, block: &Block, here: &Here<'_, 'n>, alone: bool) -> Result<Filled<'n>, Failed> {
        let mut filled = Filled { values: vec![None; block.size], told: false };
        let mut missing = Vec::new();
        let mut failed = false;
        for field in &block.fields {
            match self.field(field, here) {
                Ok(Some(value)) => {
                    filled.told |= !is_const(&field.plan);
                    if let Some(slot) = filled.values.get_mut(field.slot) {
                        *slot = Some(value);
                    }
                }
                Ok(None) => {
                    if field.required {
                        missing.push(field);
                    }
                }
                Err(Failed) => failed = true,
            }
        }
        // A row that is made without `each` and says nothing is no row.
        if !alone || filled.told {
            for field in missing {
                failed = true;
                self.fail(&field.full, &field.loc, self.missing(field, here));
            }
        }
        if failed { Err(Failed) } else { Ok(filled) }
    }

    fn missing(&self, field: &FieldPlan, here: &Here<'_, 'n>) -> Trouble {
        let trouble = Trouble::new("missing", format!("`{}` is missing", field.name));
        match &field.plan {
            Plan::Unset => {
                trouble.help(format!("the mapping has no rule for `{}`, which is required", field.name))
            }
            Plan::Scalar(rule) | Plan::Texts(rule) => {
                let why: Vec<String> = self.why_empty(rule, here);
                let mut trouble = trouble;
                if !why.is_empty() {
                    trouble.message = format!("{}: {}", trouble.message, why.join("; "));
                }
                trouble.help("give another path with `first`, or a `default`")
            }
            Plan::Rows(_) => {
                Trouble::new("missing", format!("`{}` has no row, and must have one", field.name))
            }
            _ => trouble,
        }
    }

    fn field(&self, field: &FieldPlan, here: &Here<'_, 'n>) -> Result<Option<Canon<'n>>, Failed> {
        if let Some(trace) = self.trace {
            trace.begin_field();
        }
        let value = match &field.plan {
            Plan::Unset => Ok(None),
            Plan::Scalar(rule) => {
                self.scalar(rule, field.ty, here).map_err(|t| self.fail(&field.full, &rule.loc, t))
            }
            Plan::Texts(rule) => {
                self.texts(rule, field.ty, here).map_err(|t| self.fail(&field.full, &rule.loc, t))
            }
            Plan::Record(plan) => self.record(field, plan, here),
            Plan::Rows(parts) => self.rows(field, parts, here),
            Plan::Extra(rules) => self.extra(field, rules, here),
        };
        if let Some(trace) = self.trace {
            trace.field(self, field, here, &value);
        }
        value
    }

    fn record(
        &self,
        field: &FieldPlan,
        plan: &RecordPlan,
        here: &Here<'_, 'n>,
    ) -> Result<Option<Canon<'n>>, Failed> {
        let fail = |trouble| self.fail(&field.full, &field.loc, trouble);
        if !self.holds(plan.when.as_ref(), here).map_err(fail)? {
            return Ok(None);
        }
        let mut rows = here.rows.to_vec();
        let mut from = None;
        if !plan.from.is_empty() {
            let mut base = None;
            for path in &plan.from {
                from = Some(path);
                base = self.said(path, here).map_err(fail)?;
                if base.is_some() {
                    break;
                }
            }
            let Some(base) = base else { return Ok(None) };
            rows.push(base);
        }
        let inner = Here { rows: &rows, ..*here };
        let row_label = from.map(|path| self.put_label(Label::At(path.shared())));
        if let Some(trace) = self.trace {
            trace.enter(field.name.to_owned());
        }
        let filled = self.block(&plan.block, &inner, true);
        if let Some(trace) = self.trace {
            trace.leave();
        }
        if let Some(label) = row_label {
            self.labels.borrow_mut().truncate(label);
        }
        let filled = filled?;
        Ok(filled.told.then_some(Canon::Record(filled.values)))
    }

    fn rows(
        &self,
        field: &FieldPlan,
        parts: &[RowsPlan],
        here: &Here<'_, 'n>,
    ) -> Result<Option<Canon<'n>>, Failed> {
        let mut out = Vec::new();
        let mut failed = false;
        for part in parts {
            let fail = |trouble| self.fail(&field.full, &part.loc, trouble);
            if !self.holds(part.when.as_ref(), here).map_err(fail)? {
                continue;
            }
            let stacks = self.stacks(&part.rows, here).map_err(fail)?;
            let alone = part.rows.each.is_none();
            for group in self.groups(&part.rows, stacks, here).map_err(fail)?.iter() {
                let Some(first) = group.first() else { continue };
                let inner = Here { record: here.record, rows: &first.rows, number: first.number, group };
                let row_label = self.label(part.rows.each.as_ref(), first.number);
                if let Some(trace) = self.trace {
                    trace.enter(format!("{}[{}]", field.name, out.len()));
                }
                match self.block(&part.block, &inner, alone) {
                    Ok(filled) if filled.told || !alone => out.push(Canon::Record(filled.values)),
                    Ok(_) => {}
                    Err(Failed) => failed = true,
                }
                if let Some(trace) = self.trace {
                    trace.leave();
                }
                if let Some(label) = row_label {
                    self.labels.borrow_mut().truncate(label);
                }
            }
        }
        if failed { Err(Failed) } else { Ok((!out.is_empty()).then_some(Canon::List(out))) }
    }

    /// Notes the row for messages; gives what to truncate the labels to afterwards.
    pub fn label(&self, each: Option<&Path>, number: usize) -> Option<usize> {
        Some(self.put_label(Label::Item(each?.shared(), number + 1)))
    }

    /// The same with a label of its own.
    pub fn put_label(&self, label: Label) -> usize {
        let mut labels = self.labels.borrow_mut();
        let before = labels.len();
        labels.push(label);
        before
    }

    fn extra(
        &self,
        field: &FieldPlan,
        rules: &[(String, Rule)],
        here: &Here<'_, 'n>,
    ) -> Result<Option<Canon<'n>>, Failed> {
        let mut out = Vec::new();
        let mut failed = false;
        for (name, rule) in rules {
            match self.scalar(rule, Ty::Text, here) {
                Ok(Some(value)) => {
                    out.push((name.clone(), value));
                }
                Ok(None) => {}
                Err(trouble) => {
                    failed = true;
                    self.fail(&format!("{}.{name}", field.full), &rule.loc, trouble);
                }
            }
        }
        if failed { Err(Failed) } else { Ok((!out.is_empty()).then_some(Canon::Extra(out))) }
    }
}

fn is_const(plan: &Plan) -> bool {
    match plan {
        Plan::Scalar(rule) | Plan::Texts(rule) => matches!(rule.source, Source::Const(_)),
        _ => false,
    }
}

/// By instant, by number, or by text; what is absent comes last.
fn compare(a: Option<&str>, b: Option<&str>) -> Ordering {
    let (Some(a), Some(b)) = (a, b) else { return b.is_some().cmp(&a.is_some()) };
    if let (Some(a), Some(b)) = (number(a), number(b)) {
        return Decimal::cmp(&a, &b);
    }
    match (a.parse::<When>(), b.parse::<When>()) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

pub(super) fn trouble_of(path: &Path, fault: Fault) -> Trouble {
    match fault {
        Fault::TooMuch => too_much(),
        Fault::Through { .. } => {
            let mut trouble = trouble_of_list(&path.to_string(), fault);
            trouble.message = format!("`{path}`: {}", trouble.message);
            trouble
        }
    }
}

fn trouble_of_list(fallback: &str, fault: Fault) -> Trouble {
    let (list, items) = match fault {
        Fault::Through { list, items } => (list, items),
        Fault::TooMuch => (fallback.to_owned(), 0),
    };
    Trouble::new("list", format!("`{list}` is a list of {items}")).help(format!(
        "write `{list}[0]` for the first, `{list}[-1]` for the last, or `{list}[*]` with each, list or sum"
    ))
}

fn too_much() -> Trouble {
    Trouble::new("too_large", format!("the message takes more than {BUDGET} steps"))
        .help("split it, or read fewer lists within lists")
}

//! What a mapping is compiled to.

use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;

use crate::canonical::Currency;
use crate::canonical::fact::KindInfo;
use crate::canonical::schema::Ty;

use super::condition::Cond;
use super::expr::Expr;
use super::lookup::Lookup;
use super::path::Path;
use super::syntax::Syntax;
use super::time::Format;
use super::tree::Loc;
use super::wanted::Keys;

/// An inbound mapping.
#[derive(Debug, Clone, Default)]
pub(super) struct Program {
    /// `shopify/order`.
    pub name: String,
    pub syntax: Syntax,
    /// Where the records are, and on what condition there.
    pub records: Vec<(Path, Option<Cond>)>,
    pub reject: Option<Cond>,
    /// Where a rejected record says why.
    pub reason: Vec<Path>,
    pub nothing: Option<Cond>,
    /// Texts that count as absent.
    pub empty: Vec<String>,
    /// Minor-unit exponents that differ from ISO 4217; the manifest's besides.
    pub exponents: std::collections::BTreeMap<String, u32>,
    /// What the partner's words for zones mean.
    pub zones: std::collections::BTreeMap<String, TimeZone>,
    pub facts: Vec<FactRule>,
    /// What of a JSON payload is read, if not anything.
    pub reads: Option<Keys>,
}

#[derive(Debug, Clone)]
pub(super) struct FactRule {
    pub name: String,
    pub kind: &'static KindInfo,
    pub loc: Loc,
    pub when: Option<Cond>,
    pub rows: RowSource,
    pub block: Block,
}

/// Fields of a fact, a row or a nested record.
#[derive(Debug, Clone, Default)]
pub(super) struct Block {
    pub fields: Vec<FieldPlan>,
    /// How many fields the record has: those of the kind, then those of the header.
    pub size: usize,
}

#[derive(Debug, Clone)]
pub(super) struct FieldPlan {
    pub name: &'static str,
    /// The field's number in its record.
    pub slot: usize,
    /// With the names around it: `lines.sku`.
    pub full: Arc<str>,
    pub ty: Ty,
    pub required: bool,
    pub loc: Loc,
    pub plan: Plan,
}

#[derive(Debug, Clone)]
pub(super) enum Plan {
    /// The canonical field has no rule: for `explain`, and for required fields.
    Unset,
    Scalar(Box<Rule>),
    Texts(Box<Rule>),
    Record(Box<RecordPlan>),
    Rows(Vec<RowsPlan>),
    Extra(Vec<(String, Rule)>),
}

#[derive(Debug, Clone)]
pub(super) struct RecordPlan {
    pub when: Option<Cond>,
    pub from: Vec<Path>,
    pub block: Block,
}

#[derive(Debug, Clone)]
pub(super) struct RowsPlan {
    pub loc: Loc,
    pub when: Option<Cond>,
    /// Without a single row there is no fact.
    pub required: bool,
    pub rows: RowSource,
    pub block: Block,
}

/// Which rows.
#[derive(Debug, Clone, Default)]
pub(super) struct RowSource {
    pub each: Option<Path>,
    pub only: Option<Cond>,
    pub sort: Option<Sort>,
    pub group: Vec<Path>,
}

#[derive(Debug, Clone)]
pub(super) struct Sort {
    pub by: Path,
    pub descending: bool,
}

/// One rule: where a value comes from and what is done with it.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub loc: Loc,
    pub when: Option<Cond>,
    pub source: Source,
    pub mods: Mods,
}

#[derive(Debug, Clone)]
pub(super) enum Source {
    Path(Path),
    First(Vec<Rule>),
    Const(String),
    Join(Vec<Rule>, String),
    List(Gather),
    Sum(Gather),
    Count(Gather),
    Expr(Box<Formula>),
}

/// An expression, what it sees, and where each of its lines begins in the file.
#[derive(Debug, Clone)]
pub(super) struct Formula {
    pub expr: Expr,
    pub with: Vec<(String, Rule)>,
    pub lines: Vec<Loc>,
}

/// Values of several rows.
#[derive(Debug, Clone)]
pub(super) struct Gather {
    pub each: Option<Path>,
    pub only: Option<Cond>,
    pub values: Vec<Rule>,
}

/// What is done with a value.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key of the rule, and any may stand with any")]
pub(super) struct Mods {
    pub empty: Vec<String>,
    /// Of the values of the path, the one that follows the first of these words that is there.
    pub after: Vec<String>,
    pub split: Option<String>,
    pub take: Option<i64>,
    pub prefix: Option<String>,
    pub suffix: Option<String>,
    pub lower: bool,
    pub upper: bool,
    pub lookup: Option<Arc<Lookup>>,
    pub default: Option<String>,
    /// Whether the literals of `default` and `const` stand in quotes.
    pub default_is_text: bool,
    pub const_is_text: bool,
    pub required: bool,
    pub abs: bool,
    pub negate: bool,
    pub unit: Option<Unit>,
    pub unit_from: Option<Path>,
    /// The sign before decimals.
    pub decimal: Option<char>,
    pub currency: Vec<CurrencyFrom>,
    pub formats: Vec<Format>,
    pub zone: Option<TimeZone>,
    pub zone_from: Option<Path>,
}

impl Mods {
    /// Whether the text stays as it is until its conversion.
    pub fn is_plain(&self) -> bool {
        self.split.is_none()
            && !(self.lower || self.upper)
            && self.prefix.is_none()
            && self.suffix.is_none()
            && self.lookup.is_none()
    }
}

/// Of what a bare number counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Money in units: 10.00.
    Major,
    /// Money in cents: 1000.
    Minor,
    /// Weight: so many grams each.
    Grams(Decimal),
}

#[derive(Debug, Clone)]
pub(super) enum CurrencyFrom {
    Fixed(Currency),
    Path(Path),
}

/// Units of weight by what partners call them, and the grams of one.
pub(super) const WEIGHTS: [(&[&str], &str); 6] = [
    (&["mg", "mgm", "milligram", "milligrams"], "0.001"),
    (&["g", "gr", "grm", "gram", "grams", "gm", "gms"], "1"),
    (&["kg", "kgs", "kgm", "kilo", "kilos", "kilogram", "kilograms"], "1000"),
    (&["t", "tne", "tonne", "tonnes"], "1000000"),
    (&["oz", "ozs", "onz", "ounce", "ounces"], "28.349523125"),
    (&["lb", "lbs", "lbr", "pound", "pounds"], "453.59237"),
];

/// Grams of one unit of weight.
pub(super) fn grams(unit: &str) -> Option<Decimal> {
    let unit = unit.trim().to_lowercase();
    let unit = unit.trim_end_matches('.');
    WEIGHTS.iter().find(|(names, _)| names.contains(&unit)).and_then(|(_, grams)| grams.parse().ok())
}

/// An outbound mapping.
#[derive(Debug, Clone, Default)]
pub(super) struct OutProgram {
    /// `shopify/fulfilment.create`.
    pub name: String,
    /// Texts that count as absent.
    pub empty: Vec<String>,
    /// Minor-unit exponents of the partner that differ from ISO 4217.
    pub exponents: std::collections::BTreeMap<String, u32>,
    pub syntax: Syntax,
    /// The columns of a CSV, in order.
    pub columns: Vec<String>,
    pub body: Option<OutPlan>,
}

#[derive(Debug, Clone)]
pub(super) enum OutPlan {
    Rule { rule: Box<Rule>, way: As, several: bool },
    Object(OutObject),
    Rows(Vec<OutRows>),
}

#[derive(Debug, Clone, Default)]
pub(super) struct OutObject {
    pub when: Option<Cond>,
    pub from: Vec<Path>,
    /// Written even when it is empty.
    pub keep: bool,
    pub fields: Vec<OutField>,
}

#[derive(Debug, Clone)]
pub(super) struct OutField {
    pub name: String,
    /// `body.order.line_items.sku`.
    pub full: String,
    pub loc: Loc,
    pub required: bool,
    pub plan: OutPlan,
}

#[derive(Debug, Clone)]
pub(super) struct OutRows {
    pub loc: Loc,
    pub when: Option<Cond>,
    pub rows: RowSource,
    pub object: OutObject,
}

/// How a value is written for the partner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum As {
    /// As it stands in our document.
    Kept,
    Text,
    /// A JSON integer.
    Integer,
    /// A JSON number that has the same digits.
    Number,
    /// A decimal as text.
    Decimal,
    Boolean,
    /// Money as an integer of minor units.
    Minor,
    /// The amount of money as text.
    Major,
    /// The currency of money.
    Currency,
    Time(Format),
    Weight(Unit),
    Alpha3,
    /// A region's code; the path leads to its country, which otherwise stands beside it.
    Region(Option<Path>),
    /// A telephone number as E.164, likewise.
    Phone(Option<Path>),
    /// Nine digits derived from the text: the same for the same text.
    Control,
    FirstName,
    LastName,
}

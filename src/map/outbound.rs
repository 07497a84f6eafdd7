//! A compiled `.out.toml`: our document in, the partner's body out.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

use crate::canonical::{Money, When};
use crate::config::sources::Sources;
use crate::diagnostic::Diagnostic;

use super::compile;
use super::convert::{self, Trouble, short};
use super::eval::{Eval, Failed, Here, Settings};
use super::node::Node;
use super::path::Path;
use super::places;
use super::program::{As, OutField, OutObject, OutPlan, OutProgram, OutRows, Rule, Source, Unit};
use super::syntax::Syntax;
use super::syntax::write::Written;
use super::values::Val;
use super::{Context, RecordError};

/// An outbound mapping with its overlays, compiled.
#[derive(Debug, Clone)]
pub struct Outbound {
    program: Arc<OutProgram>,
    version: String,
    warnings: Vec<Diagnostic>,
}

impl Outbound {
    /// Compiles `mappings/<connector>/<name>.out.toml` with `overlays` (paths of files) over it, in order.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn compile(
        sources: &Sources,
        connector: &str,
        name: &str,
        overlays: &[String],
    ) -> Result<Self, Vec<Diagnostic>> {
        let loaded = compile::load(sources, connector, name, ".out.toml", overlays)?;
        let (program, warnings) = loaded.outbound()?;
        Ok(Self { program: Arc::new(program), version: loaded.version, warnings })
    }

    /// The partner's body for `source`, our document. What is absent is left out.
    ///
    /// # Errors
    /// When a required field is missing or a value does not fit.
    pub fn encode(&self, source: &Value) -> Result<Value, RecordError> {
        self.encode_with(source, &Context::default())
    }

    /// The same, with the manifest's exponents and the account's zone.
    ///
    /// # Errors
    /// When a required field is missing or a value does not fit.
    pub fn encode_with(&self, source: &Value, ctx: &Context) -> Result<Value, RecordError> {
        self.make(source, ctx).map(Written::into_value)
    }

    /// How the partner reads such a body.
    #[must_use]
    pub fn syntax(&self) -> &Syntax {
        &self.program.syntax
    }

    /// The body in the partner's syntax.
    ///
    /// # Errors
    /// As [`Self::encode`], and when the syntax cannot say what the mapping made.
    pub fn bytes(&self, source: &Value, ctx: &Context) -> Result<Vec<u8>, RecordError> {
        let body = self.make(source, ctx)?;
        self.program.syntax.write(body, &self.program.columns).map_err(|trouble| RecordError {
            kind: trouble.kind.to_owned(),
            cause: format!("{}:{}", trouble.kind, self.program.name),
            message: format!("mappings/{}.out.toml:1:1: {}", self.program.name, trouble.message),
            help: trouble.0.help,
        })
    }

    fn make(&self, source: &Value, ctx: &Context) -> Result<Written, RecordError> {
        let root = Node::from_value(source);
        let zones = BTreeMap::new();
        let OutProgram { empty, exponents, .. } = self.program.as_ref();
        let settings = Settings { empty, exponents, zones: &zones };
        let asked = ctx.asked();
        let eval = Eval::new(&self.program.name, (&root, &asked), ctx, settings, None);
        let writer = Writer { eval: &eval };
        let here = Here { record: &root, rows: &[], number: 0, group: &[] };
        let body = match &self.program.body {
            Some(plan) => writer.plan("body", plan, &here),
            None => Ok(None),
        };
        match body {
            Ok(body) => Ok(body.unwrap_or_else(|| Written::Object(Vec::new()))),
            Err(Failed) => Err(eval.errors.take().into_iter().next().unwrap_or(RecordError {
                kind: "internal".to_owned(),
                cause: format!("internal:{}", self.program.name),
                message: "the body could not be made".to_owned(),
                help: None,
            })),
        }
    }

    /// Connector, name and a digest of everything that was compiled.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What works, but probably not as meant.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

struct Writer<'e, 'p, 'n> {
    eval: &'e Eval<'p, 'n>,
}

impl<'n> Writer<'_, '_, 'n> {
    fn plan(&self, full: &str, plan: &OutPlan, here: &Here<'_, 'n>) -> Result<Option<Written>, Failed> {
        match plan {
            OutPlan::Rule { rule, way, several } => self
                .value(rule, way, *several, here)
                .map(|value| value.map(Written::Value))
                .map_err(|trouble| self.eval.fail(full, &rule.loc, trouble)),
            OutPlan::Object(object) => self.object(object, here),
            OutPlan::Rows(parts) => self.rows(full, parts, here),
        }
    }

    fn object(&self, object: &OutObject, here: &Here<'_, 'n>) -> Result<Option<Written>, Failed> {
        let loc = object.fields.first().map(|field| &field.loc);
        let fail = |trouble| match loc {
            Some(loc) => self.eval.fail("", loc, trouble),
            None => Failed,
        };
        if !self.eval.holds(object.when.as_ref(), here).map_err(fail)? {
            return Ok(None);
        }
        let mut rows = here.rows.to_vec();
        if !object.from.is_empty() {
            let mut base = None;
            for path in &object.from {
                base = self.eval.find(path, here).map_err(fail)?.into_iter().find(|node| !node.is_absent());
                if base.is_some() {
                    break;
                }
            }
            let Some(base) = base else { return Ok(None) };
            rows.push(base);
        }
        let inner = Here { rows: &rows, ..*here };
        let mut out = Vec::new();
        for field in &object.fields {
            if let Some(value) = self.field(field, &inner)? {
                out.push((field.name.clone(), value));
            }
        }
        Ok((object.keep || !out.is_empty()).then_some(Written::Object(out)))
    }

    fn field(&self, field: &OutField, here: &Here<'_, 'n>) -> Result<Option<Written>, Failed> {
        let value = self.plan(&field.full, &field.plan, here)?;
        if value.is_none() && field.required {
            let mut message = format!("`{}` is missing", field.name);
            if let OutPlan::Rule { rule, .. } = &field.plan {
                for why in self.eval.why_empty(rule, here) {
                    message = format!("{message}: {why}");
                }
            }
            return Err(self.eval.fail(&field.full, &field.loc, Trouble::new("missing", message)));
        }
        Ok(value)
    }

    fn rows(&self, full: &str, parts: &[OutRows], here: &Here<'_, 'n>) -> Result<Option<Written>, Failed> {
        let mut out = Vec::new();
        let mut keep = false;
        for part in parts {
            keep |= part.object.keep;
            let fail = |trouble| self.eval.fail(full, &part.loc, trouble);
            if !self.eval.holds(part.when.as_ref(), here).map_err(fail)? {
                continue;
            }
            let stacks = self.eval.stacks(&part.rows, here).map_err(fail)?;
            for group in self.eval.groups(&part.rows, stacks, here).map_err(fail)?.iter() {
                let Some(first) = group.first() else { continue };
                let inner = Here { record: here.record, rows: &first.rows, number: first.number, group };
                let label = self.eval.label(part.rows.each.as_ref(), first.number);
                out.extend(self.object(&part.object, &inner)?);
                if let Some(label) = label {
                    self.eval.labels.borrow_mut().truncate(label);
                }
            }
        }
        Ok((keep || !out.is_empty()).then_some(Written::List(out)))
    }

    fn value(
        &self,
        rule: &Rule,
        way: &As,
        several: bool,
        here: &Here<'_, 'n>,
    ) -> Result<Option<Value>, Trouble> {
        if several {
            let mut out = Vec::new();
            for val in self.eval.many(rule, here)? {
                out.extend(self.write(&val, way, rule, here)?);
            }
            return if out.is_empty() { self.default(rule, way, here) } else { Ok(Some(Value::Array(out))) };
        }
        // The literal of a rule keeps its kind: `{ const = true }` is no text.
        if let (Source::Const(text), As::Kept) = (&rule.source, way) {
            return Ok(self.eval.holds(rule.when.as_ref(), here)?.then(|| literal(rule, text)));
        }
        if let (Source::First(rules), true) = (&rule.source, self.eval.holds(rule.when.as_ref(), here)?) {
            for rule in rules {
                if let Some(value) = self.value(rule, way, false, here)? {
                    return Ok(Some(value));
                }
            }
            return self.default(rule, way, here);
        }
        match self.eval.one(rule, here)? {
            Some(val) => match self.write(&val, way, rule, here)? {
                Some(value) => Ok(Some(value)),
                None => self.default(rule, way, here),
            },
            None => self.default(rule, way, here),
        }
    }

    fn default(&self, rule: &Rule, way: &As, here: &Here<'_, 'n>) -> Result<Option<Value>, Trouble> {
        let Some(text) = &rule.mods.default else { return Ok(None) };
        if *way == As::Kept || text.is_empty() {
            return Ok(Some(if rule.mods.default_is_text {
                Value::String(text.clone())
            } else {
                bare(text)
            }));
        }
        self.write(&Val::Text(text.clone().into()), way, rule, here)
    }

    fn write(
        &self,
        val: &Val<'n>,
        way: &As,
        rule: &Rule,
        here: &Here<'_, 'n>,
    ) -> Result<Option<Value>, Trouble> {
        if *way == As::Kept {
            return Ok(Some(match val {
                Val::Text(text) => Value::String(text.to_string()),
                Val::Num(text) => bare(text),
                Val::Bool(yes) => Value::Bool(*yes),
                Val::Node(node) => whole(node),
            }));
        }
        let Some(text) = val.text() else {
            return Err(Trouble::new("bad_value", "an object or a list has no one value")
                .help("go on to one of its fields, or leave `as` out to send it whole"));
        };
        let money = || text.parse::<Money>().map_err(|error| Trouble::new("bad_value", error.to_string()));
        // Of money the amount.
        let amount = || match (convert::decimal(text, None), text.parse::<Money>()) {
            (Err(_), Ok(money)) => Ok(money.amount()),
            (number, _) => number,
        };
        let time = || {
            text.parse::<When>()
                .map_err(|_| Trouble::new("bad_value", format!("`{}` is no time", short(text))))
        };
        Ok(Some(match way {
            As::Kept | As::Text => Value::String(text.to_owned()),
            As::Integer => Value::from(convert::integer(text, None)?),
            As::Decimal => Value::String(amount()?.to_string()),
            As::Number => json_number(amount()?)?,
            As::Boolean => Value::Bool(convert::boolean(text)?),
            As::Minor => {
                let money = money()?;
                let code = money.currency();
                let exponent = self.eval.exponent(code);
                let minor = money.minor(exponent).and_then(|minor| minor.to_i64()).ok_or_else(|| {
                    Trouble::new(
                        "bad_value",
                        format!("{money} is no whole number of minor units of {exponent} places"),
                    )
                })?;
                Value::from(minor)
            }
            As::Major => {
                let printed = match convert::decimal(text, None) {
                    Ok(amount) => amount.to_string(),
                    Err(_) => money()?.to_string(),
                };
                Value::String(printed.split(' ').next().unwrap_or_default().to_owned())
            }
            As::Currency => match money() {
                Ok(money) => Value::String(money.currency().to_string()),
                Err(_) => Value::String(convert::currency(text)?.to_string()),
            },
            As::Time(format) => {
                let when = time()?;
                let written =
                    super::time::write(&when, format, rule.mods.zone.as_ref().or(utc_of(format)))
                        .ok_or_else(|| Trouble::new("bad_value", format!("{when} cannot be written so")))?;
                match format {
                    super::time::Format::Unix | super::time::Format::UnixMs | super::time::Format::UnixUs => {
                        bare(&written)
                    }
                    _ => Value::String(written),
                }
            }
            As::Weight(unit) => {
                let Unit::Grams(factor) = unit else { return Ok(None) };
                let grams = convert::decimal(text, None)?;
                let value = grams.checked_div(*factor).unwrap_or_default().round_dp(4).normalize();
                json_number(value)?
            }
            As::Alpha3 => {
                let code = convert::country(text)?;
                let country = celes::Country::from_alpha2(code)
                    .map_err(|_| Trouble::new("bad_value", format!("`{code}` has no three-letter code")))?;
                Value::String(country.alpha3.to_owned())
            }
            As::Region(from) => {
                Value::String(places::region(text, self.country(from.as_ref(), rule, here)?.as_deref()))
            }
            As::Phone(from) => {
                Value::String(places::phone(text, self.country(from.as_ref(), rule, here)?.as_deref()))
            }
            As::Control => {
                let digest = Sha256::digest(text.as_bytes());
                let number =
                    digest.iter().take(4).fold(0_u64, |number, byte| number * 256 + u64::from(*byte));
                Value::String(format!("{:09}", number % 999_999_999 + 1))
            }
            As::FirstName => match text.trim().rsplit_once(' ') {
                Some((first, _)) => Value::String(first.trim().to_owned()),
                None => Value::String(text.trim().to_owned()),
            },
            As::LastName => match text.trim().rsplit_once(' ') {
                Some((_, last)) => Value::String(last.to_owned()),
                None => return Ok(None),
            },
        }))
    }

    /// The country of a region or a telephone number: at the path that the rule names, else beside the value.
    fn country(
        &self,
        from: Option<&Path>,
        rule: &Rule,
        here: &Here<'_, 'n>,
    ) -> Result<Option<String>, Trouble> {
        let beside = match (from, &rule.source) {
            (None, Source::Path(path)) => path.beside("country"),
            _ => None,
        };
        let Some(path) = from.or(beside.as_ref()) else { return Ok(None) };
        Ok(self.eval.text_at(path, here)?.map(Into::into))
    }
}

/// Times without an offset of their own are written in UTC unless a zone is set.
fn utc_of(format: &super::time::Format) -> Option<&'static TimeZone> {
    const UTC: TimeZone = TimeZone::UTC;
    static ZONE: TimeZone = UTC;
    match format {
        super::time::Format::Pattern { letters, .. } if !letters.contains('Z') => Some(&ZONE),
        _ => None,
    }
}

fn literal(rule: &Rule, text: &str) -> Value {
    if rule.mods.const_is_text { Value::String(text.to_owned()) } else { bare(text) }
}

/// A bare word of the mapping or a number of our document: true, false, or a number.
fn bare(text: &str) -> Value {
    match text {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        _ => super::condition::number(text)
            .and_then(|number| json_number(number).ok())
            .unwrap_or_else(|| Value::String(text.to_owned())),
    }
}

/// A JSON number that says exactly this; never one that was rounded.
fn json_number(value: Decimal) -> Result<Value, Trouble> {
    let text = value.normalize().to_string();
    let same = |number: &Number| {
        let printed = number.to_string();
        let again = Decimal::from_str_exact(&printed).or_else(|_| Decimal::from_scientific(&printed));
        again.is_ok_and(|again| again == value)
    };
    text.parse().ok().filter(same).map(Value::Number).ok_or_else(|| {
        Trouble::new("bad_value", format!("{text} has too many digits for a JSON number"))
            .help("send it as text: as = \"decimal\"")
    })
}

fn whole(node: &Node<'_>) -> Value {
    match node {
        Node::Null => Value::Null,
        Node::Bool(yes) => Value::Bool(*yes),
        Node::Num(text) => bare(text),
        Node::Str(text) => Value::String(text.to_string()),
        Node::List(items) => Value::Array(items.iter().map(whole).collect()),
        Node::Map(entries) => {
            Value::Object(entries.iter().map(|(key, value)| (key.to_string(), whole(value))).collect())
        }
    }
}

//! Runs one rule: from its source to a converted value.

use std::borrow::Cow;

use rust_decimal::Decimal;

use crate::canonical::Canon;
use crate::canonical::schema::Ty;

use super::amount;
use super::condition::number;
use super::convert::{Trouble, short};
use super::eval::{Eval, Here};
use super::expr;
use super::lookup::Missing;
use super::node::Node;
use super::path::{Path, Start};
use super::program::{Formula, Gather, Mods, Rule, Source};
use super::trace::shown;

/// A value on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Val<'n> {
    /// A scalar as text.
    Text(Cow<'n, str>),
    /// A bare number.
    Num(Cow<'n, str>),
    Bool(bool),
    /// A list or an object.
    Node(&'n Node<'n>),
}

impl<'n> Val<'n> {
    pub fn of(node: &'n Node<'n>) -> Option<Self> {
        Some(match node {
            Node::Null => return None,
            Node::Bool(yes) => Self::Bool(*yes),
            Node::Num(text) => Self::Num(Cow::Borrowed(text)),
            Node::Str(text) => Self::Text(Cow::Borrowed(text)),
            Node::List(_) | Node::Map(_) => Self::Node(node),
        })
    }

    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Num(text) => Some(text),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Node(node) => match node.text()? {
                Cow::Borrowed(text) => Some(text),
                Cow::Owned(_) => None,
            },
        }
    }
}

impl<'n> Eval<'_, 'n> {
    /// The value of a rule for one value, converted; the default if there is none.
    pub fn scalar(&self, rule: &Rule, ty: Ty, here: &Here<'_, 'n>) -> Result<Option<Canon<'n>>, Trouble> {
        if let Source::First(rules) = &rule.source {
            if self.holds(rule.when.as_ref(), here)? {
                for rule in rules {
                    if let Some(value) = self.scalar(rule, ty, here)? {
                        return Ok(Some(value));
                    }
                }
            }
            return self.default(rule, ty, here);
        }
        match self.one(rule, here)? {
            Some(val) => match self.convert(val, ty, &rule.mods, here)? {
                Some(value) => Ok(Some(value)),
                None => self.default(rule, ty, here),
            },
            None => self.default(rule, ty, here),
        }
    }

    fn default(&self, rule: &Rule, ty: Ty, here: &Here<'_, 'n>) -> Result<Option<Canon<'n>>, Trouble> {
        let Some(text) = &rule.mods.default else { return Ok(None) };
        if text.is_empty() {
            return Ok(matches!(ty, Ty::Text).then_some(Canon::Text(Cow::Borrowed(""))));
        }
        self.convert(literal(Cow::Owned(text.clone()), &rule.mods), ty, &rule.mods, here)
    }

    /// A list of texts.
    pub fn texts(&self, rule: &Rule, ty: Ty, here: &Here<'_, 'n>) -> Result<Option<Canon<'n>>, Trouble> {
        let item_ty = if let Ty::List(item) = ty { *item } else { Ty::Text };
        if let Source::First(rules) = &rule.source {
            if self.holds(rule.when.as_ref(), here)? {
                for rule in rules {
                    if let Some(value) = self.texts(rule, ty, here)? {
                        return Ok(Some(value));
                    }
                }
            }
        } else {
            let mut out = Vec::new();
            for val in self.many(rule, here)? {
                out.extend(self.convert(val, item_ty, &rule.mods, here)?);
            }
            if !out.is_empty() {
                return Ok(Some(Canon::List(out)));
            }
        }
        let default = rule.mods.default.as_ref().filter(|text| !text.is_empty());
        Ok(default.map(|text| Canon::List(vec![Canon::Text(Cow::Owned(text.clone()))])))
    }

    /// The one value of a rule, before conversion.
    pub fn one(&self, rule: &Rule, here: &Here<'_, 'n>) -> Result<Option<Val<'n>>, Trouble> {
        if !self.holds(rule.when.as_ref(), here)? {
            return Ok(None);
        }
        let raw = match &rule.source {
            Source::Path(path) => {
                let found = if rule.mods.after.is_empty() {
                    self.said(path, here)?.and_then(Val::of)
                } else {
                    let nodes = chosen(self.find(path, here)?, &rule.mods.after);
                    nodes.into_iter().filter(|node| !node.is_absent()).find_map(Val::of)
                };
                found.filter(|val| !self.blank(val, &rule.mods)).inspect(|val| self.note(path, val))
            }
            Source::Const(text) => return Ok(Some(literal(Cow::Owned(text.clone()), &rule.mods))),
            Source::First(rules) => {
                for rule in rules {
                    if let Some(val) = self.one(rule, here)? {
                        return Ok(Some(val));
                    }
                }
                None
            }
            Source::Join(..) | Source::List(_) => {
                let (by, vals) = match &rule.source {
                    Source::Join(rules, by) => {
                        let mut vals = Vec::new();
                        for rule in rules {
                            vals.extend(self.many(rule, here)?);
                        }
                        (by.as_str(), vals)
                    }
                    Source::List(gather) => (", ", self.gathered(gather, here)?),
                    _ => ("", Vec::new()),
                };
                let texts: Vec<&str> =
                    vals.iter().filter_map(Val::text).map(str::trim).filter(|t| !t.is_empty()).collect();
                (!texts.is_empty()).then(|| Val::Text(Cow::Owned(texts.join(by))))
            }
            Source::Sum(gather) => self.sum(gather, &rule.mods, here)?,
            Source::Count(gather) => Some(Val::Num(Cow::Owned(self.count(gather, here)?.to_string()))),
            Source::Expr(formula) => self.expression(formula, here)?.into_iter().next(),
        };
        let Some(val) = raw else { return Ok(None) };
        if rule.mods.is_plain() {
            return Ok(Some(val));
        }
        Ok(Self::treated(val, &rule.mods)?.into_iter().next())
    }

    /// All values of a rule, before conversion.
    pub fn many(&self, rule: &Rule, here: &Here<'_, 'n>) -> Result<Vec<Val<'n>>, Trouble> {
        if !self.holds(rule.when.as_ref(), here)? {
            return Ok(Vec::new());
        }
        let raw = match &rule.source {
            Source::Path(path) => {
                let mut vals = Vec::new();
                for node in chosen(self.find(path, here)?, &rule.mods.after) {
                    match node {
                        Node::List(items) => {
                            vals.extend(items.iter().filter(|n| !n.is_absent()).filter_map(Val::of));
                        }
                        node if node.is_absent() => {}
                        node => vals.extend(Val::of(node)),
                    }
                }
                vals.retain(|val| !self.blank(val, &rule.mods));
                for val in &vals {
                    self.note(path, val);
                }
                vals
            }
            Source::List(gather) => self.gathered(gather, here)?,
            Source::Expr(formula) => self.expression(formula, here)?,
            Source::First(rules) => {
                for rule in rules {
                    let vals = self.many(rule, here)?;
                    if !vals.is_empty() {
                        return Ok(vals);
                    }
                }
                return Ok(Vec::new());
            }
            _ => {
                let one = self.one(rule, here)?;
                return Ok(one.into_iter().collect());
            }
        };
        if rule.mods.is_plain() {
            return Ok(raw);
        }
        let mut out = Vec::new();
        for val in raw {
            out.extend(Self::treated(val, &rule.mods)?);
        }
        Ok(out)
    }

    /// For `explain`: the path gave this.
    fn note(&self, path: &Path, val: &Val<'_>) {
        if let Some(trace) = self.trace {
            let text = match val {
                Val::Text(text) => shown(text),
                Val::Num(text) => text.to_string(),
                Val::Bool(yes) => yes.to_string(),
                Val::Node(node) => {
                    trace.read_whole(node);
                    short(&node.to_json())
                }
            };
            let labels = self.labels.borrow();
            let inside = path.start() == Start::Row && !labels.is_empty();
            let of = labels.last().filter(|_| inside).map(|row| format!(" of {row}")).unwrap_or_default();
            trace.source(format!("`{path}`{of}"), text);
        }
    }

    fn blank(&self, val: &Val<'_>, mods: &Mods) -> bool {
        val.text().is_some_and(|text| {
            let text = text.trim();
            self.empty.iter().chain(&mods.empty).any(|word| word == text)
        })
    }

    /// `split`, `take`, case, `prefix`, `suffix`, `lookup`.
    fn treated(val: Val<'n>, mods: &Mods) -> Result<Vec<Val<'n>>, Trouble> {
        let Some(text) = val.text().filter(|_| !mods.is_plain()) else { return Ok(vec![val]) };
        let mut texts: Vec<String> = match &mods.split {
            Some(by) if !by.is_empty() => {
                text.split(by.as_str()).map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect()
            }
            _ => vec![text.to_owned()],
        };
        if let Some(take) = mods.take {
            let at = if take < 0 {
                usize::try_from(take.unsigned_abs()).ok().and_then(|back| texts.len().checked_sub(back))
            } else {
                usize::try_from(take).ok()
            };
            texts = at.and_then(|at| texts.into_iter().nth(at)).into_iter().collect();
        }
        let mut out = Vec::with_capacity(texts.len());
        for mut text in texts {
            if mods.lower {
                text = text.to_lowercase();
            }
            if mods.upper {
                text = text.to_uppercase();
            }
            if let Some(prefix) = &mods.prefix {
                text.insert_str(0, prefix);
            }
            if let Some(suffix) = &mods.suffix {
                text.push_str(suffix);
            }
            if let Some(lookup) = &mods.lookup {
                match (lookup.get(text.trim()), lookup.missing) {
                    (Some(found), _) => found.clone_into(&mut text),
                    (None, Missing::Keep) => {}
                    (None, Missing::Drop) => continue,
                    (None, Missing::Report) => {
                        let word = text.trim();
                        let table = if lookup.name.is_empty() {
                            String::new()
                        } else {
                            format!(" in [lookup.{}]", lookup.name)
                        };
                        let mut trouble = Trouble::new(
                            "unknown_word",
                            format!("the word `{}` is not known{table}", short(word)),
                        )
                        .help(lookup.help(word));
                        trouble.word = Some(word.to_owned());
                        return Err(trouble);
                    }
                }
            }
            out.push(Val::Text(Cow::Owned(text)));
        }
        Ok(out)
    }

    /// Values over the rows of `each`, of the present group, or here.
    fn gathered(&self, gather: &Gather, here: &Here<'_, 'n>) -> Result<Vec<Val<'n>>, Trouble> {
        let mut out = Vec::new();
        let mut take = |here: &Here<'_, 'n>| -> Result<(), Trouble> {
            for rule in &gather.values {
                out.extend(self.many(rule, here)?);
            }
            Ok(())
        };
        if let Some(each) = &gather.each {
            for stack in self.each(each, gather.only.as_ref(), here)? {
                take(&Here { rows: &stack.rows, number: stack.number, group: &[], ..*here })?;
            }
        } else if here.group.len() > 1 {
            for stack in here.group {
                let inner = Here { rows: &stack.rows, number: stack.number, group: &[], ..*here };
                if self.holds(gather.only.as_ref(), &inner)? {
                    take(&inner)?;
                }
            }
        } else if self.holds(gather.only.as_ref(), here)? {
            take(here)?;
        }
        Ok(out)
    }

    fn sum(&self, gather: &Gather, mods: &Mods, here: &Here<'_, 'n>) -> Result<Option<Val<'n>>, Trouble> {
        let mut sum: Option<Decimal> = None;
        for val in self.gathered(gather, here)? {
            let text = val
                .text()
                .ok_or_else(|| Trouble::new("bad_value", "an object or a list cannot be summed up"))?;
            let mark = mods.decimal.filter(|_| !matches!(val, Val::Num(_)));
            let value = amount::amount(text, mark)?.value;
            let total = sum.unwrap_or_default().checked_add(value);
            sum = Some(total.ok_or_else(|| Trouble::new("bad_value", "the sum is too large"))?);
        }
        Ok(sum.map(|sum| Val::Num(Cow::Owned(sum.to_string()))))
    }

    fn count(&self, gather: &Gather, here: &Here<'_, 'n>) -> Result<usize, Trouble> {
        if !gather.values.is_empty() {
            return Ok(self.gathered(gather, here)?.len());
        }
        match &gather.each {
            Some(each) => Ok(self.each(each, gather.only.as_ref(), here)?.len()),
            None if here.group.is_empty() => Ok(usize::from(self.holds(gather.only.as_ref(), here)?)),
            None => {
                let mut count = 0;
                for stack in here.group {
                    let inner = Here { rows: &stack.rows, number: stack.number, group: &[], ..*here };
                    count += usize::from(self.holds(gather.only.as_ref(), &inner)?);
                }
                Ok(count)
            }
        }
    }

    fn expression(&self, formula: &Formula, here: &Here<'_, 'n>) -> Result<Vec<Val<'n>>, Trouble> {
        let Formula { expr, with, lines } = formula;
        let mut variables = Vec::with_capacity(with.len());
        let mut absent = Vec::new();
        for (name, rule) in with {
            let mut vals = self.many(rule, here)?;
            let list = matches!(rule.source, Source::List(_));
            let value = match vals.len() {
                0 if list => expr::Value::List(Vec::new()),
                0 => {
                    let default =
                        rule.mods.default.as_ref().map(|text| variable(&Val::Num(Cow::Borrowed(text))));
                    if default.is_none() {
                        absent.push(name.as_str());
                    }
                    default.unwrap_or(expr::Value::Absent)
                }
                1 if !list => variable(&vals.remove(0)),
                _ => expr::Value::List(vals.iter().map(variable).collect()),
            };
            variables.push((name.as_str(), value));
        }
        if !with.is_empty() && absent.len() == with.len() {
            return Ok(Vec::new());
        }
        let result = expr.eval(&variables).map_err(|error| {
            let at = lines.get(error.line.saturating_sub(1)).map(|loc| {
                let mut loc = loc.clone();
                loc.column += error.column.saturating_sub(1);
                format!(" at {loc}")
            });
            let at = at.unwrap_or_default();
            let trouble = Trouble::new("expr", format!("in `expr`{at}: {}", error.message));
            match absent.as_slice() {
                [] => trouble,
                names => trouble.help(format!(
                    "{} is absent: give it a default, {} = {{ path = …, default = 0 }}, or test it with `== ()`",
                    names.join(", "),
                    names[0]
                )),
            }
        })?;
        let mut out = Vec::new();
        let mut push = |value: expr::Value| match value {
            expr::Value::Absent | expr::Value::List(_) => {}
            expr::Value::Bool(yes) => out.push(Val::Bool(yes)),
            expr::Value::Number(number) => out.push(Val::Num(Cow::Owned(number.to_string()))),
            expr::Value::Text(text) if text.trim().is_empty() => {}
            expr::Value::Text(text) => out.push(Val::Text(Cow::Owned(text))),
        };
        match result {
            expr::Value::List(items) => items.into_iter().for_each(&mut push),
            one => push(one),
        }
        Ok(out)
    }

    /// Why a rule gives nothing here, one sentence a path.
    pub fn why_empty(&self, rule: &Rule, here: &Here<'_, 'n>) -> Vec<String> {
        if let Some(cond) = &rule.when
            && matches!(self.holds(Some(cond), here), Ok(false))
        {
            return vec!["its `when` does not hold".to_owned()];
        }
        match &rule.source {
            Source::Path(path) => vec![self.why_absent(path, here)],
            Source::First(rules) => rules.iter().flat_map(|rule| self.why_empty(rule, here)).collect(),
            Source::Join(rules, _) | Source::List(Gather { values: rules, each: None, .. }) => {
                rules.iter().flat_map(|rule| self.why_empty(rule, here)).collect()
            }
            Source::Sum(gather) | Source::List(gather) => {
                let named = gather.each.as_ref().map(|path| format!("`{path}` has no row that counts"));
                named.into_iter().collect()
            }
            Source::Expr(formula) => {
                formula.with.iter().flat_map(|(_, rule)| self.why_empty(rule, here)).collect()
            }
            Source::Const(_) | Source::Count(_) => Vec::new(),
        }
    }

    /// Why a path leads to nothing here, and what is near.
    pub fn why_absent(&self, path: &Path, here: &Here<'_, 'n>) -> String {
        let spot = self.spot(here);
        let Some((node, key)) = path.breaks_at(&spot) else {
            return match path.find(&spot).ok().and_then(|found| found.first().copied()) {
                Some(Node::Null) => format!("`{path}` is null"),
                Some(_) => format!("`{path}` is blank"),
                None => format!("`{path}` leads to nothing"),
            };
        };
        if path.start() == Start::Row && !here.rows.is_empty() {
            let at = |start| !path.started_at(start).find(&spot).unwrap_or_default().is_empty();
            if at(Start::Record) {
                return format!(
                    "`{path}` is not in the row; paths start at the row: `$record.{path}` exists"
                );
            }
            if at(Start::Up(1)) {
                return format!("`{path}` is not in the row; paths start at the row: `^.{path}` exists");
            }
        }
        let keys: Vec<&str> = match node {
            Node::Map(entries) => entries.iter().map(|(key, _)| key.as_ref()).collect(),
            _ => return format!("`{path}`: there is {} where `{key}` was looked for", node.kind()),
        };
        match crate::diagnostic::nearest(key, keys) {
            Some(near) => format!("`{path}` is not there; did you mean `{near}`?"),
            None => format!("`{path}` is not there"),
        }
    }
}

/// A variable of an expression: a number where the text is one as it would be printed again.
fn variable(val: &Val<'_>) -> expr::Value {
    match val {
        Val::Bool(yes) => expr::Value::Bool(*yes),
        Val::Text(text) | Val::Num(text) => match number(text) {
            Some(value) if matches!(val, Val::Num(_)) || value.to_string() == **text => {
                expr::Value::Number(value)
            }
            _ => expr::Value::Text(text.to_string()),
        },
        Val::Node(node) => expr::Value::Text(node.to_json()),
    }
}

/// A literal of the mapping: its numbers are written as TOML writes them, whatever the partner does.
fn literal<'n>(text: Cow<'n, str>, mods: &Mods) -> Val<'n> {
    if mods.decimal.is_some() && number(&text).is_some() { Val::Num(text) } else { Val::Text(text) }
}

/// Without `after` all; else the one that follows the first of the words that is there.
fn chosen<'n>(found: Vec<&'n Node<'n>>, after: &[String]) -> Vec<&'n Node<'n>> {
    if after.is_empty() {
        return found;
    }
    let follows = |word: &String| {
        let pairs = found.iter().zip(found.iter().skip(1));
        let mut fit =
            pairs.filter(|(name, value)| name.text().is_some_and(|text| text == *word) && !value.is_absent());
        fit.next().map(|(_, value)| *value)
    };
    after.iter().find_map(follows).into_iter().collect()
}

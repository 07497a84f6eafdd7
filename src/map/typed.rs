//! Converts a value on its way to a canonical type, with what the rule says of units, currencies and zones.

use std::borrow::Cow;

use rust_decimal::Decimal;

use crate::canonical::schema::Ty;
use crate::canonical::{Canon, Currency, Money, When};

use super::convert::{self, MoneyForm, Trouble, short};
use super::eval::{Eval, Here};
use super::node::Node;
use super::program::{CurrencyFrom, Mods, Unit};
use super::values::Val;

impl<'n> Eval<'_, 'n> {
    /// The value as the canonical type `ty`; `None` where the text stands for nothing.
    pub fn convert(
        &self,
        val: Val<'n>,
        ty: Ty,
        mods: &Mods,
        here: &Here<'_, 'n>,
    ) -> Result<Option<Canon<'n>>, Trouble> {
        if ty == Ty::Money {
            return Ok(Some(Canon::Money(signed(self.money(&val, mods, here)?, mods))));
        }
        if ty == Ty::Text && !(mods.abs || mods.negate) {
            match val {
                Val::Text(text) | Val::Num(text) => return Ok(Some(Canon::Text(text))),
                Val::Bool(yes) => {
                    return Ok(Some(Canon::Text(Cow::Borrowed(if yes { "true" } else { "false" }))));
                }
                Val::Node(_) => {}
            }
        }
        let Some(text) = val.text() else {
            let Val::Node(node) = &val else { return Ok(None) };
            if let (Ty::Time, Some((text, format))) = (ty, convert::edifact_time(node)?) {
                let mods = Mods { formats: vec![format], ..mods.clone() };
                return Ok(self.instant(&text, &mods, here)?.map(Canon::Time));
            }
            return Err(no_scalar(node));
        };
        // Numbers of JSON, sums and results are written in one way only.
        let decimal = mods.decimal.filter(|_| !matches!(val, Val::Num(_)));
        let flip = |value: Decimal| {
            let value = if mods.abs { value.abs() } else { value };
            if mods.negate { -value } else { value }
        };
        let flipped = if mods.abs || mods.negate {
            Some(flip(convert::decimal(text, decimal)?).to_string())
        } else {
            None
        };
        // What was flipped is written as we write numbers.
        let mark = if flipped.is_some() { None } else { decimal };
        let text = flipped.as_deref().unwrap_or(text);
        Ok(Some(match ty {
            Ty::Integer => Canon::Integer(convert::integer(text, mark)?),
            Ty::Quantity => Canon::Quantity(convert::quantity(text, mark)?),
            Ty::Decimal => Canon::Decimal(convert::decimal(text, mark)?.normalize()),
            Ty::Bool => Canon::Bool(convert::boolean(text)?),
            Ty::Country => Canon::Text(Cow::Borrowed(convert::country(text)?)),
            Ty::Currency => Canon::Currency(convert::currency(text)?),
            Ty::Word(words) => Canon::Text(Cow::Borrowed(convert::word(text.trim(), words)?)),
            Ty::Weight => Canon::Decimal(convert::weight(text, self.weight_unit(mods, here)?, mark)?),
            Ty::Time => match self.instant(text, mods, here)? {
                Some(when) => Canon::Time(when),
                None => return Ok(None),
            },
            _ => Canon::Text(Cow::Owned(text.to_owned())),
        }))
    }

    /// The instant that the text tells.
    pub fn instant(&self, text: &str, mods: &Mods, here: &Here<'_, 'n>) -> Result<Option<When>, Trouble> {
        let mut from = None;
        if let Some(path) = &mods.zone_from
            && let Some(name) = self.text_at(path, here)?
        {
            from = self.zones.get(name.trim()).cloned().or_else(|| super::time::zone(&name));
            if from.is_none() {
                return Err(Trouble::new("bad_value", format!("`{}` is no time zone", short(&name)))
                    .help("say in [mapping] what the word means: zones = { EST = \"-05:00\" }"));
            }
        }
        // A zone's word at the end of the text.
        let mut text = text.trim();
        if let Some((before, word)) = text.rsplit_once(' ')
            && let Some(zone) = self.zones.get(word)
        {
            (text, from) = (before.trim(), Some(zone.clone()));
        }
        let zone = from.as_ref().or(mods.zone.as_ref()).or(self.ctx_zone.as_ref());
        convert::instant(text, &mods.formats, zone).map_err(|mut trouble| {
            if let (Some(account), "no_zone") = (&self.ctx.account, trouble.kind) {
                trouble.help = Some(format!(
                    "set `zone` in the rule or in [mapping], or on the account: `zone` in [account.{account}]"
                ));
            }
            trouble
        })
    }

    fn weight_unit(&self, mods: &Mods, here: &Here<'_, 'n>) -> Result<Option<Unit>, Trouble> {
        if let Some(path) = &mods.unit_from
            && let Some(name) = self.text_at(path, here)?
        {
            let factor = super::program::grams(&name).ok_or_else(|| {
                Trouble::new("bad_value", format!("`{}` is no unit of weight", short(&name)))
                    .help("known: mg, g, kg, t, oz, lb")
            })?;
            return Ok(Some(Unit::Grams(factor)));
        }
        Ok(mods.unit)
    }

    /// The money that a text, a number or an object `{ amount, currency }` tells.
    pub fn money(&self, val: &Val<'n>, mods: &Mods, here: &Here<'_, 'n>) -> Result<Money, Trouble> {
        let exponent = |currency: Currency| self.exponent(currency);
        let form =
            MoneyForm { unit: mods.unit, decimal: mods.decimal.filter(|_| !matches!(val, Val::Num(_))) };
        if let Val::Node(node) = val {
            let get = |names: &[&str]| names.iter().find_map(|name| node.get(name)?.text());
            let amount = get(&["amount", "value"]).or_else(|| node.text());
            let code = get(&["currency_code", "currencyCode", "currency"]);
            let Some(amount) = amount else {
                return Err(Trouble::new(
                    "bad_value",
                    format!("it is {}, and no amount of money", node.kind()),
                )
                .help("go on to the amount, and name its currency with `currency_from`"));
            };
            let besides = || match &code {
                Some(code) => convert::currency(code).map(Some),
                None => self.currency(mods, here),
            };
            return convert::money(&amount, form, &besides, &exponent);
        }
        let text = val.text().unwrap_or_default();
        convert::money(text, form, &|| self.currency(mods, here), &exponent)
    }

    fn currency(&self, mods: &Mods, here: &Here<'_, 'n>) -> Result<Option<Currency>, Trouble> {
        for from in &mods.currency {
            match from {
                CurrencyFrom::Fixed(code) => return Ok(Some(*code)),
                CurrencyFrom::Path(path) => {
                    if let Some(code) = self.text_said(path, here)? {
                        return convert::currency(&code).map(Some);
                    }
                }
            }
        }
        if let Some(code) = &self.ctx.currency {
            return convert::currency(code).map(Some);
        }
        let why: Vec<String> = mods
            .currency
            .iter()
            .filter_map(|from| match from {
                CurrencyFrom::Path(path) => Some(self.why_absent(path, here)),
                CurrencyFrom::Fixed(_) => None,
            })
            .collect();
        if why.is_empty() {
            return Ok(None);
        }
        Err(Trouble::new("no_currency", "the amount has no currency").help(why.join("; ")))
    }
}

/// A list or an object where one value is wanted.
fn no_scalar(node: &Node<'_>) -> Trouble {
    if let Node::List(items) = node {
        return Trouble::new("list", format!("it is a list of {}", items.len()))
            .help("write `[0]` for the first, `[-1]` for the last, or use list, join or sum with `[*]`");
    }
    let keys: Vec<&str> = match node {
        Node::Map(entries) => entries.iter().map(|(key, _)| key.as_ref()).take(8).collect(),
        _ => Vec::new(),
    };
    Trouble::new("bad_value", format!("it is {}", node.kind()))
        .help(format!("go on to one of its keys: {}", keys.join(", ")))
}

fn signed(money: Money, mods: &Mods) -> Money {
    let amount = if mods.abs { money.amount().abs() } else { money.amount() };
    Money::new(if mods.negate { -amount } else { amount }, money.currency())
}

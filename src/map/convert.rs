//! From a value of the payload to a value of a canonical type.

use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use jiff::tz::TimeZone;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::canonical::{Currency, Money};

use super::amount::{self, Told};
use super::node::Node;
use super::program::{Unit, grams};
use super::time::{self, Format, TimeFault};

/// Why a value could not be made. Small, so that values cost no more for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble(pub Box<Details>);

/// What there is to say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Details {
    pub kind: &'static str,
    pub message: String,
    pub help: Option<String>,
    /// What tells this cause from others of the kind, besides the field.
    pub word: Option<String>,
}

impl Trouble {
    pub fn new(kind: &'static str, message: impl Into<String>) -> Self {
        Self(Box::new(Details { kind, message: message.into(), help: None, word: None }))
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }
}

impl Deref for Trouble {
    type Target = Details;
    fn deref(&self) -> &Details {
        &self.0
    }
}

impl DerefMut for Trouble {
    fn deref_mut(&mut self) -> &mut Details {
        &mut self.0
    }
}

fn bad(text: &str, what: &str) -> Trouble {
    Trouble::new("bad_value", format!("`{}` is no {what}", short(text)))
}

/// The text, cut for messages.
pub(super) fn short(text: &str) -> String {
    if text.chars().count() <= 60 {
        text.to_owned()
    } else {
        text.chars().take(57).chain("...".chars()).collect()
    }
}

/// A number; `mark` is the sign before its decimals, if the mapping says so.
pub(super) fn decimal(text: &str, mark: Option<char>) -> Result<Decimal, Trouble> {
    amount::decimal(text, mark)
}

pub(super) fn integer(text: &str, mark: Option<char>) -> Result<i64, Trouble> {
    let value = decimal(text, mark)?;
    if !value.is_integer() {
        return Err(bad(text, "whole number"));
    }
    value.to_i64().ok_or_else(|| bad(text, "whole number of at most 18 digits"))
}

pub(super) fn quantity(text: &str, mark: Option<char>) -> Result<u64, Trouble> {
    let value = integer(text, mark)?;
    u64::try_from(value).map_err(|_| {
        bad(text, "quantity: it is negative")
            .help("if the sign only tells the direction, write `abs = true`, or `negate = true`")
    })
}

pub(super) fn boolean(text: &str) -> Result<bool, Trouble> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "yes" | "y" | "1" | "on" => Ok(true),
        "false" | "no" | "n" | "0" | "off" => Ok(false),
        _ => {
            Err(bad(text, "yes-or-no value").help("expected true, false, yes, no, 1 or 0; or use a look-up"))
        }
    }
}

/// The number of a code of two capital letters.
fn code_number(code: &str) -> Option<usize> {
    match code.as_bytes() {
        [a @ b'A'..=b'Z', b @ b'A'..=b'Z'] => Some(usize::from(a - b'A') * 26 + usize::from(b - b'A')),
        _ => None,
    }
}

/// Two-letter code of a country told by code or English name.
pub(super) fn country(text: &str) -> Result<&'static str, Trouble> {
    static CODES: LazyLock<Vec<Option<&'static str>>> = LazyLock::new(|| {
        let mut codes = vec![None; 26 * 26];
        for country in celes::Country::get_countries() {
            if let Some(slot) = code_number(country.alpha2).and_then(|at| codes.get_mut(at)) {
                *slot = Some(country.alpha2);
            }
        }
        codes
    });
    let text = text.trim();
    if let Some(code) = code_number(text).and_then(|at| *CODES.get(at)?)
        && code != "UK"
    {
        return Ok(code);
    }
    let upper = text.to_ascii_uppercase();
    match upper.as_str() {
        "UK" => return Ok("GB"),
        "XK" => return Ok("XK"),
        _ => {}
    }
    let found = match text.len() {
        2 => celes::Country::from_alpha2(&upper).ok(),
        3 => celes::Country::from_alpha3(&upper).ok(),
        _ => None,
    };
    found
        .or_else(|| {
            let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
            let is_name = squeezed.chars().count() > 3 && !squeezed.bytes().all(|byte| byte.is_ascii_digit());
            if is_name { squeezed.parse::<celes::Country>().ok() } else { None }
        })
        .or_else(|| {
            celes::Country::get_countries()
                .into_iter()
                .find(|country| country.long_name.eq_ignore_ascii_case(text))
        })
        .map(|country| country.alpha2)
        .ok_or_else(|| {
            bad(text, "country").help("expected an ISO 3166 code such as US, or a name; or use a look-up")
        })
}

pub(super) fn currency(text: &str) -> Result<Currency, Trouble> {
    Currency::parse(text).map_err(|error| Trouble::new("bad_value", error.to_string()))
}

/// Grams; a text may name its units itself: `1.5 kg`, `2 lb 3 oz`.
pub(super) fn weight(text: &str, unit: Option<Unit>, mark: Option<char>) -> Result<Decimal, Trouble> {
    let whole = text.trim();
    let mut rest = whole;
    let mut sum = Decimal::ZERO;
    loop {
        let digits = rest.find(|c: char| c.is_alphabetic()).unwrap_or(rest.len());
        let value = decimal(rest[..digits].trim(), mark)?;
        let named = &rest[digits..];
        let end = named.find(|c: char| c.is_ascii_digit()).unwrap_or(named.len());
        let name = named[..end].trim().trim_end_matches([',', '.']);
        let factor = if name.is_empty() {
            match unit {
                Some(Unit::Grams(factor)) => factor,
                _ if value.is_zero() => Decimal::ONE,
                _ => {
                    return Err(Trouble::new(
                        "ambiguous",
                        format!("a weight of {text}, and no unit is said"),
                    )
                    .help("write `unit = \"g\"` (or kg, oz, lb), or `unit_from` with the path of the unit"));
                }
            }
        } else {
            grams(name).ok_or_else(|| bad(name, "unit of weight").help("known: mg, g, kg, t, oz, lb"))?
        };
        sum = value
            .checked_mul(factor)
            .and_then(|grams| sum.checked_add(grams))
            .ok_or_else(|| bad(whole, "weight: it is too large"))?;
        rest = &named[end..];
        if rest.is_empty() {
            return Ok(sum.normalize());
        }
    }
}

/// What a rule says of amounts.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MoneyForm {
    pub unit: Option<Unit>,
    /// The sign before decimals.
    pub decimal: Option<char>,
}

/// An amount with the currency in the text (`12.50 USD`, `€ 5`) or besides.
pub(super) fn money(
    text: &str,
    form: MoneyForm,
    currency_besides: &dyn Fn() -> Result<Option<Currency>, Trouble>,
    exponent: &dyn Fn(Currency) -> u32,
) -> Result<Money, Trouble> {
    let text = text.trim();
    let amount = amount::amount(text, form.decimal)?;
    let named = amount.told != Told::Nothing;
    let currency = match amount.told {
        Told::Is(code) => code,
        Told::Nothing => currency_besides()?.ok_or_else(|| {
            Trouble::new("no_currency", format!("{text} of which currency?"))
                .help("set `currency_from` in [mapping] or in the rule, or `currency = \"USD\"`")
        })?,
        Told::OneOf(sign, codes) => {
            let code = currency_besides()?.ok_or_else(|| {
                Trouble::new("no_currency", format!("{text}: `{sign}` may be {}", codes.join(", ")))
                    .help("set `currency_from` in [mapping] or in the rule, or `currency = \"USD\"`")
            })?;
            if !codes.contains(&code.code()) {
                return Err(Trouble::new("bad_value", format!("{text} is no amount of {code}")));
            }
            code
        }
    };
    let (value, places) = (amount.value, exponent(currency));
    match form.unit {
        // With a currency in the text the amount is in units: nobody writes `1250 USD` for 12.50.
        _ if named => Ok(Money::new(value, currency)),
        Some(Unit::Minor) => {
            if !value.is_integer() {
                return Err(Trouble::new("bad_value", format!("{text} is no whole number of minor units"))
                    .help("`unit = \"minor\"` is for cents; write `unit = \"major\"`"));
            }
            Ok(Money::from_minor(value, currency, places))
        }
        Some(_) => Ok(Money::new(value, currency)),
        None if value.is_zero() || places == 0 || amount.exact => Ok(Money::new(value, currency)),
        None => {
            let minor = Money::from_minor(value, currency, places);
            let major = Money::new(value, currency);
            Err(Trouble::new("ambiguous", format!("{text}: {minor} or {major}?"))
                .help("write `unit = \"minor\"` or `unit = \"major\"` in [mapping] or in the rule"))
        }
    }
}

/// An instant; `None` for a text that stands for no time.
pub(super) fn instant(
    text: &str,
    formats: &[Format],
    zone: Option<&TimeZone>,
) -> Result<Option<crate::canonical::When>, Trouble> {
    if time::is_blank(text) {
        return Ok(None);
    }
    time::read(text, formats, zone).map(Some).map_err(|fault| match fault {
        TimeFault::NoZone => Trouble::new("no_zone", format!("{} has no zone", short(text)))
            .help("set `zone` in the rule or in [mapping], or `zone` on the account"),
        TimeFault::Bare => Trouble::new("ambiguous", format!("{}: seconds or milliseconds?", short(text)))
            .help("write `formats = [\"unix\"]` or `formats = [\"unix_ms\"]`"),
        TimeFault::Form => bad(text, "time in the expected format").help(
            "expected 2015-06-29T08:46:27-04:00; for others write `formats = [\"unix\"]`, `[\"rfc2822\"]` or a pattern \
             such as `[\"YYYY-MM-DD HH:mm\"]`",
        ),
    })
}

/// The text of an EDIFACT date (C507: qualifier, text, code of its format) and its format.
pub(super) fn edifact_time(node: &Node<'_>) -> Result<Option<(String, Format)>, Trouble> {
    let part = |key: &str| node.get(key).and_then(Node::text).filter(|text| !text.is_empty());
    let (Some(text), Some(code)) = (part("2"), part("3")) else { return Ok(None) };
    let pattern = match code.as_ref() {
        "101" => "YYMMDD",
        "102" => "YYYYMMDD",
        "201" => "YYMMDDHHmm",
        "202" => "YYMMDDHHmmss",
        "203" => "YYYYMMDDHHmm",
        "204" => "YYYYMMDDHHmmss",
        "301" => "YYMMDDHHmmZZ",
        "205" | "303" => "YYYYMMDDHHmmZZ",
        "304" => "YYYYMMDDHHmmssZZ",
        other => {
            return Err(Trouble::new("bad_value", format!("the format {} of the time {text} is not known", short(other)))
                .help("known: 101, 102, 201 to 205, 301, 303, 304; read its text alone (component 2), with `formats`"));
        }
    };
    Format::parse(pattern)
        .map(|format| Some((text.into_owned(), format)))
        .map_err(|message| Trouble::new("internal", message))
}

/// One of `words`.
pub(super) fn word(text: &str, words: &[&'static str]) -> Result<&'static str, Trouble> {
    if let Some(word) = words.iter().find(|word| **word == text) {
        return Ok(word);
    }
    let mut trouble =
        Trouble::new("unknown_word", format!("`{}` is none of {}", short(text), words.join(", ")));
    trouble.word = Some(text.to_owned());
    let write = format!("lookup = {{ {text:?} = \"…\" }}");
    Err(match crate::diagnostic::nearest(text, words.iter().copied()) {
        Some(near) => trouble.help(format!("translate it with a look-up: {write} (there is `{near}`)")),
        None => trouble.help(format!("translate it with a look-up: {write}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn as_money(text: &str, unit: Option<Unit>, code: &str) -> Result<String, Trouble> {
        let besides = || if code.is_empty() { Ok(None) } else { currency(code).map(Some) };
        let form = MoneyForm { unit, decimal: None };
        money(text, form, &besides, &|currency| currency.exponent()).map(|money| money.to_string())
    }

    #[test]
    fn money_in_all_its_forms() {
        for (text, unit, code, expected) in [
            ("598.94", None, "USD", "598.94 USD"),
            ("598.9400", Some(Unit::Major), "usd", "598.94 USD"),
            ("1000", Some(Unit::Major), "USD", "1000.00 USD"),
            ("1000", Some(Unit::Minor), "USD", "10.00 USD"),
            ("1000", Some(Unit::Minor), "JPY", "1000 JPY"),
            ("1000", None, "JPY", "1000 JPY"),
            ("1000", Some(Unit::Minor), "KWD", "1.000 KWD"),
            ("12.50 USD", None, "", "12.50 USD"),
            ("EUR 12", Some(Unit::Minor), "", "12.00 EUR"),
            ("-3.20", None, "EUR", "-3.20 EUR"),
            ("0", None, "EUR", "0.00 EUR"),
            ("1.50e2", None, "EUR", "150.00 EUR"),
            ("1.234,56", None, "EUR", "1234.56 EUR"),
            ("$1,234.56", None, "USD", "1234.56 USD"),
            ("$5", None, "CAD", "5.00 CAD"),
            ("€ 5", None, "", "5.00 EUR"),
            ("(3.20)", None, "EUR", "-3.20 EUR"),
            ("3.200", None, "KWD", "3.200 KWD"),
        ] {
            assert_eq!(as_money(text, unit, code), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn money_that_is_not_clear_is_refused() {
        let error = as_money("1000", None, "USD").unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), ("ambiguous", "1000: 10.00 USD or 1000.00 USD?"));
        assert_eq!(as_money("5.00", None, "").unwrap_err().kind, "no_currency");
        for (text, unit) in [
            ("1,000.00.0", None),
            ("12.5", Some(Unit::Minor)),
            ("", None),
            ("5 XQZ", None),
            ("zł", None),
            ("¥5", None),
        ] {
            assert_eq!(as_money(text, unit, "USD").unwrap_err().kind, "bad_value", "{text}");
        }
    }

    #[test]
    fn countries_by_code_and_name() {
        for (text, code) in [
            ("us", "US"),
            ("USA", "US"),
            ("UK", "GB"),
            ("Germany", "DE"),
            ("United States of America", "US"),
            ("united states", "US"),
            ("CAN", "CA"),
            ("Canada", "CA"),
            ("XK", "XK"),
        ] {
            assert_eq!(country(text), Ok(code), "{text}");
        }
        assert!(country("Atlantis").is_err() && country("ZZ").is_err());
    }

    #[test]
    fn weights_numbers_and_truth() {
        let kg = Some(Unit::Grams(grams("kg").unwrap()));
        assert_eq!(weight("1.5", kg, None).map(|w| w.to_string()), Ok("1500".to_owned()));
        assert_eq!(weight("2 oz", kg, None).map(|w| w.to_string()), Ok("56.69904625".to_owned()));
        assert_eq!(weight("3", None, None).unwrap_err().kind, "ambiguous");
        assert_eq!(weight("2 lb 3 oz", None, None).map(|w| w.to_string()), Ok("992.233309375".to_owned()));
        assert_eq!(weight("1,5 KGM", None, None).map(|w| w.to_string()), Ok("1500".to_owned()));
        assert!(weight("3 stone", kg, None).is_err());
        assert_eq!(integer("2.000", None), Ok(2));
        assert!(
            integer("2.5", None).is_err() && integer("1e30", None).is_err() && quantity("-1", None).is_err()
        );
        assert_eq!((boolean("Yes"), boolean("0")), (Ok(true), Ok(false)));
        assert!(boolean("maybe").is_err());
        assert_eq!(word("in_transitt", &["in_transit"]).unwrap_err().kind, "unknown_word");
    }
}

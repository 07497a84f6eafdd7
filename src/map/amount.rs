//! Numbers and amounts as people write them: `1,234.56`, `1.234,56`, `1 234,56`, `(12.50)`, `12.50-`, `$5`, `5 EUR`.
//! Where a text may mean two numbers, it is an error, unless the mapping says which sign stands before the decimals.

use rust_decimal::Decimal;

use super::condition::{number, plain};
use super::convert::{Trouble, short};
use crate::canonical::Currency;

/// What partners write for a currency besides its code, and which currencies that may be.
pub(super) const SYMBOLS: [(&str, &[&str]); 30] = [
    ("€", &["EUR"]),
    ("£", &["GBP"]),
    (
        "$",
        &["USD", "CAD", "AUD", "NZD", "SGD", "HKD", "MXN", "TWD", "ARS", "CLP", "COP", "UYU", "JMD", "BBD"],
    ),
    ("US$", &["USD"]),
    ("U$S", &["USD", "ARS", "UYU"]),
    ("C$", &["CAD"]),
    ("CA$", &["CAD"]),
    ("A$", &["AUD"]),
    ("AU$", &["AUD"]),
    ("NZ$", &["NZD"]),
    ("HK$", &["HKD"]),
    ("S$", &["SGD"]),
    ("MX$", &["MXN"]),
    ("NT$", &["TWD"]),
    ("R$", &["BRL"]),
    ("¥", &["JPY", "CNY"]),
    ("₹", &["INR"]),
    ("Rs", &["INR", "PKR", "LKR", "NPR", "MUR"]),
    ("₩", &["KRW"]),
    ("₺", &["TRY"]),
    ("₫", &["VND"]),
    ("₴", &["UAH"]),
    ("₪", &["ILS"]),
    ("฿", &["THB"]),
    ("₱", &["PHP"]),
    ("zł", &["PLN"]),
    ("Kč", &["CZK"]),
    ("Ft", &["HUF"]),
    ("kr", &["SEK", "NOK", "DKK", "ISK"]),
    ("R", &["ZAR"]),
];

/// A number; `mark` is the sign before its decimals, if the mapping says so.
pub(super) fn decimal(text: &str, mark: Option<char>) -> Result<Decimal, Trouble> {
    let none = || Trouble::new("bad_value", format!("`{}` is no number such as 12.50", short(text)));
    let plain = text.trim();
    if mark != Some(',')
        && let Some(found) = number(plain)
    {
        return Ok(found);
    }
    let (negative, digits) = sign(plain);
    let spaced = digits.contains([' ', '\u{a0}', '\u{202f}', '\'', '’']);
    let parts: Vec<&str> = digits.split([' ', '\u{a0}', '\u{202f}', '\'', '’']).collect();
    if !digits.contains(|c: char| c.is_ascii_digit()) {
        return Err(none());
    }
    let only = |c: char| c.is_ascii_digit() || c == '.' || c == ',';
    if digits.is_empty() || !digits.starts_with(only) || !parts.iter().all(|part| part.chars().all(only)) {
        return Err(none());
    }
    if spaced
        && !grouped(&parts.iter().map(|part| part.split(['.', ',']).next().unwrap_or("")).collect::<Vec<_>>())
    {
        return Err(none());
    }
    let joined = parts.concat();
    let comma = joined.matches(',').count();
    let point = joined.matches('.').count();
    let mark = match (mark, comma, point) {
        (Some(mark), _, _) => Some(mark),
        (None, 0, 0) => None,
        (None, 0, 1) => Some('.'),
        (None, 1, 0) => {
            let (whole, part) = joined.split_once(',').unwrap_or_default();
            if part.len() == 3 && (1..=3).contains(&whole.len()) && whole != "0" && !spaced {
                let with = |help: &str| help.to_owned();
                return Err(Trouble::new("ambiguous", format!("{plain}: {whole}{part} or {whole}.{part}?")).help(with(
                    "write `decimal = \",\"` or `decimal = \".\"` in [mapping] or in the rule: the sign before the decimals",
                )));
            }
            Some(',')
        }
        (None, 0, _) => Some(','),
        (None, _, 0) => Some('.'),
        (None, _, _) => {
            if joined.rfind(',') > joined.rfind('.') {
                Some(',')
            } else {
                Some('.')
            }
        }
    };
    let (whole, part) = match mark.and_then(|mark| joined.split_once(mark)) {
        Some((whole, part)) => (whole, part),
        None => (joined.as_str(), ""),
    };
    let between = if mark == Some(',') { '.' } else { ',' };
    let groups: Vec<&str> = whole.split(between).collect();
    if !part.chars().all(|c| c.is_ascii_digit()) || (groups.len() > 1 && !grouped(&groups)) {
        return Err(none());
    }
    let text = format!("{}{}.{part}", if negative { "-" } else { "" }, groups.concat());
    number(text.trim_end_matches('.')).or_else(|| number(&text.replace('.', "0."))).ok_or_else(none)
}

/// Takes off the sign: `-5`, `5-`, `(5)`, `+5`.
fn sign(text: &str) -> (bool, &str) {
    let text = text.trim();
    if let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        return (true, inner.trim());
    }
    if let Some(rest) = text.strip_prefix(['-', '−']).or_else(|| text.strip_suffix(['-', '−'])) {
        return (true, rest.trim());
    }
    (false, text.strip_prefix('+').unwrap_or(text).trim())
}

/// Thousands: groups of three, the first shorter; in India all but the last may be of two.
fn grouped(groups: &[&str]) -> bool {
    let digits = |group: &&str| group.chars().all(|c| c.is_ascii_digit());
    let [first, middle @ .., last] = groups else { return true };
    groups.iter().all(digits)
        && (1..=3).contains(&first.len())
        && last.len() == 3
        && (middle.iter().all(|group| group.len() == 3) || middle.iter().all(|group| group.len() == 2))
}

/// An amount, and what its text says of the currency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Amount {
    pub value: Decimal,
    /// Whether decimals are written.
    pub exact: bool,
    pub told: Told,
}

/// What a text says of the currency of its amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    Is(Currency),
    /// A sign that several have.
    OneOf(String, &'static [&'static str]),
}

/// Reads an amount with or without a currency's code or sign before or after it.
pub(super) fn amount(text: &str, mark: Option<char>) -> Result<Amount, Trouble> {
    if mark != Some(',')
        && let Some(value) = plain(text.trim())
    {
        return Ok(Amount { value, exact: value.scale() > 0, told: Told::Nothing });
    }
    let (outer, inner) = sign(text);
    let named = |c: char| c.is_alphabetic() || (!c.is_ascii() && !c.is_whitespace() && c != '−') || c == '$';
    let after_name = inner.trim_start_matches(named);
    let before = inner[..inner.len() - after_name.len()].trim();
    let digits = after_name.trim_start_matches('.').trim();
    // `Rs.5`: the full stop belongs to the sign.
    let digits = if before.is_empty() { after_name.trim() } else { digits };
    let written = digits.trim_end_matches(named);
    let after = digits[written.len()..].trim();
    let value = decimal(written.trim(), mark).map_err(|trouble| {
        if trouble.kind == "ambiguous" {
            return trouble;
        }
        Trouble::new("bad_value", format!("`{}` is no number such as 12.50", short(text.trim())))
    })?;
    let told = match (before, after) {
        ("", "") => Told::Nothing,
        (word, "") | ("", word) => told(word)?,
        (sign, code) => match (told(sign)?, told(code)?) {
            (Told::OneOf(_, codes), Told::Is(code)) if codes.contains(&code.code()) => Told::Is(code),
            (Told::Is(a), Told::Is(b)) if a == b => Told::Is(a),
            _ => return Err(Trouble::new("bad_value", format!("`{}` names two currencies", short(text)))),
        },
    };
    Ok(Amount {
        value: if outer { -value } else { value },
        exact: value.scale() > 0 || (written.contains('.') && written.contains(['e', 'E'])),
        told,
    })
}

fn told(word: &str) -> Result<Told, Trouble> {
    let fits = |known: &&(&str, &'static [&'static str])| known.0.eq_ignore_ascii_case(word);
    match SYMBOLS.iter().find(fits) {
        Some((_, [one])) => super::convert::currency(one).map(Told::Is),
        Some((sign, codes)) => Ok(Told::OneOf((*sign).to_owned(), codes)),
        None => super::convert::currency(word).map(Told::Is),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_all_their_forms() {
        for (text, mark, expected) in [
            ("12.50", None, "12.50"),
            ("-3", None, "-3"),
            ("1.5e2", None, "150"),
            ("1,234.56", None, "1234.56"),
            ("1.234,56", None, "1234.56"),
            ("1.234.567", None, "1234567"),
            ("1,234,567", None, "1234567"),
            ("1,23,456.00", None, "123456.00"),
            ("1 234,56", None, "1234.56"),
            ("1\u{a0}234", None, "1234"),
            ("1'234.50", None, "1234.50"),
            ("12,5", None, "12.5"),
            ("0,125", None, "0.125"),
            ("(12.50)", None, "-12.50"),
            ("12.50-", None, "-12.50"),
            ("−7,00", None, "-7.00"),
            ("+5", None, "5"),
            ("1,234", Some('.'), "1234"),
            ("1,234", Some(','), "1.234"),
            ("1.234", Some(','), "1234"),
            ("1.234", None, "1.234"),
            ("1 234,567", None, "1234.567"),
        ] {
            assert_eq!(decimal(text, mark).map(|found| found.to_string()), Ok(expected.to_owned()), "{text}");
        }
        let error = decimal("1,234", None).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), ("ambiguous", "1,234: 1234 or 1.234?"));
        for bad in [
            "",
            "-",
            "1,2,3",
            "1.23.4",
            "12 34",
            "abc",
            "1,234.5.6",
            "()",
            "1..2",
            "12,34,5",
            "0x10",
            ",",
            ".",
        ] {
            assert!(decimal(bad, None).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_with_signs_and_codes() {
        let read = |text: &str| match amount(text, None) {
            Ok(Amount { value, told: Told::Is(code), .. }) => format!("{value} {code}"),
            Ok(Amount { value, told: Told::OneOf(sign, _), .. }) => format!("{value} {sign}?"),
            Ok(Amount { value, .. }) => value.to_string(),
            Err(trouble) => trouble.kind.to_owned(),
        };
        for (text, expected) in [
            ("12.50", "12.50"),
            ("$1,234.56", "1234.56 $?"),
            ("-$5.00", "-5.00 $?"),
            ("$-5.00", "-5.00 $?"),
            ("($5.00)", "-5.00 $?"),
            ("US$ 5.00", "5.00 USD"),
            ("$12.50 USD", "12.50 USD"),
            ("12.50USD", "12.50 USD"),
            ("EUR 1.234,56", "1234.56 EUR"),
            ("1.234,56 €", "1234.56 EUR"),
            ("10,00 zł", "10.00 PLN"),
            ("Rs.500", "500 Rs?"),
            ("€5 USD", "bad_value"),
            ("5 XQZ", "bad_value"),
            ("free", "bad_value"),
            ("", "bad_value"),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }
}

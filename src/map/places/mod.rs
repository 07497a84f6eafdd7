//! What is written differently in each country: names of regions, telephone numbers. Only what is certain is changed; all
//! else stays as it was written, because neither is a reason to lose an order.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use unicode_normalization::UnicodeNormalization as _;

use super::convert;

/// The rows of a list that is part of the program; a test reads each.
fn rows<T: DeserializeOwned>(list: &str) -> Vec<T> {
    csv::Reader::from_reader(list.as_bytes()).into_deserialize().filter_map(Result::ok).collect()
}

/// A country's subdivision: its code of ISO 3166-2 without the country, its name, and other names after `|`.
#[derive(Deserialize)]
struct Region {
    country: String,
    code: String,
    name: String,
    also: String,
}

const REGIONS: &str = include_str!("regions.csv");

/// Small letters and digits alone, without accents: `N.S.W.` and `nsw` are the same.
fn plain(text: &str) -> String {
    text.nfd().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The code of a region told by code or name (`California`, `N.S.W.`, `US-CA`), where its country is known; any other
/// text as it is.
pub(super) fn region(text: &str, country: Option<&str>) -> String {
    static CODES: LazyLock<BTreeMap<(String, String), String>> = LazyLock::new(|| {
        let mut codes = BTreeMap::new();
        for Region { country, code, name, also } in rows(REGIONS) {
            for name in also.split('|').chain([code.as_str(), name.as_str()]).filter(|name| !name.is_empty())
            {
                codes.insert((country.clone(), plain(name)), code.clone());
            }
        }
        codes
    });
    let text = text.trim();
    let Some(country) = country.and_then(|country| convert::country(country).ok()) else {
        return text.to_owned();
    };
    // `US-CA`, as ISO 3166-2 writes it.
    let code = text.split_at_checked(2).and_then(|(before, code)| {
        let code = code.strip_prefix('-')?;
        let fits = (1..=3).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (fits && before.eq_ignore_ascii_case(country)).then(|| code.to_ascii_uppercase())
    });
    let known = || CODES.get(&(country.to_owned(), plain(text))).cloned();
    code.or_else(known).unwrap_or_else(|| text.to_owned())
}

/// A country's telephone numbers: what stands before them from abroad, what before those of the country itself, what is
/// dialled to reach another country, and how many digits the number itself has.
#[derive(Deserialize)]
struct Dialling {
    country: String,
    code: String,
    trunk: String,
    abroad: String,
    shortest: usize,
    longest: usize,
}

const PHONES: &str = include_str!("phones.csv");

/// The telephone number as E.164 (`+4930123456`), where it is certain: with `+`, with what the country dials for abroad, or
/// whole as it is dialled in the country. Any other text as it is.
pub(super) fn phone(text: &str, country: Option<&str>) -> String {
    static COUNTRIES: LazyLock<Vec<Dialling>> = LazyLock::new(|| rows(PHONES));
    let text = text.trim();
    let country = country.and_then(|country| convert::country(country).ok());
    let dialling = COUNTRIES.iter().find(|one| Some(one.country.as_str()) == country);
    dialled(text, dialling).map_or_else(|| text.to_owned(), |digits| format!("+{digits}"))
}

/// The digits after `+`.
fn dialled(text: &str, dialling: Option<&Dialling>) -> Option<String> {
    // `+44 (0)20 …`: the zero in brackets is dialled in the country alone.
    let text = text.replacen("(0)", "", usize::from(text.starts_with('+') || text.starts_with("00")));
    let (plus, rest) = text.strip_prefix('+').map_or((false, text.as_str()), |rest| (true, rest));
    let separator =
        |c: char| c.is_whitespace() || matches!(c, '-' | '.' | '/' | '(' | ')' | '\u{2010}'..='\u{2015}');
    let digits: String = rest.chars().filter(|c| !separator(*c)).collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Of an international number 8 to 15 digits, of which the first is none of 0.
    let international = |digits: &str| {
        ((8..=15).contains(&digits.len()) && !digits.starts_with('0')).then(|| digits.to_owned())
    };
    if plus {
        return international(&digits);
    }
    let abroad = dialling.map_or("00", |country| country.abroad.as_str());
    if let Some(rest) = digits.strip_prefix(abroad).filter(|_| !abroad.is_empty()) {
        return international(rest);
    }
    let Dialling { code, trunk, shortest, longest, .. } = dialling?;
    let own = match digits.strip_prefix(trunk.as_str()) {
        Some(own) => own,
        // Of North America's numbers the trunk prefix is mostly left out; none begins with 1.
        None if code == "1" => &digits,
        None => return None,
    };
    let whole = (*shortest..=*longest).contains(&own.len()) && !own.starts_with('0');
    let area = code != "1" || !own.starts_with('1');
    (whole && area).then(|| format!("{code}{own}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_read() {
        assert_eq!(rows::<Region>(REGIONS).len(), REGIONS.lines().count() - 1);
        assert_eq!(rows::<Dialling>(PHONES).len(), PHONES.lines().count() - 1);
        for Region { country, code, name, .. } in rows(REGIONS) {
            assert_eq!(region(&name, Some(&country)), code, "{country} {name}");
            assert_eq!(region(&code.to_lowercase(), Some(&country)), code);
        }
        for one in rows::<Dialling>(PHONES) {
            assert_eq!(convert::country(&one.country).unwrap(), one.country);
            assert!(one.shortest <= one.longest && one.code.len() + one.longest <= 15, "{}", one.country);
        }
    }

    #[test]
    fn regions() {
        for (text, country, code) in [
            ("California", "US", "CA"),
            (" california ", "United States", "CA"),
            ("US-CA", "US", "CA"),
            ("ca", "US", "CA"),
            ("D.C.", "US", "DC"),
            ("District of Columbia", "USA", "DC"),
            ("Puerto Rico", "US", "PR"),
            ("N.S.W.", "AU", "NSW"),
            ("Vic", "AU", "VIC"),
            ("Western Australia", "AU", "WA"),
            ("Washington", "US", "WA"),
            ("Québec", "CA", "QC"),
            ("Newfoundland", "CA", "NL"),
            ("de-by", "DE", "BY"),
            ("DK-83", "DK", "83"),
        ] {
            assert_eq!(region(text, Some(country)), code, "{text} {country}");
        }
        // What is not known stays: another country's, an unknown one, one without its country.
        for (text, country) in [
            ("California", Some("DE")),
            ("US-CA", Some("MX")),
            ("Californication", Some("US")),
            ("Île-de-France", Some("FR")),
            ("California", None),
            ("California", Some("Atlantis")),
            ("DE-Bayern", Some("DE")),
            ("", Some("US")),
            ("é", Some("US")),
        ] {
            assert_eq!(region(text, country), text);
        }
    }

    #[test]
    fn phones() {
        for (text, country, number) in [
            ("+45 20 30 40 50", None, "+4520304050"),
            ("+44 (0)20 7946 0018", None, "+442079460018"),
            ("0049 30/123 456", None, "+4930123456"),
            ("030 123 456", Some("DE"), "+4930123456"),
            ("(212) 555-0100", Some("US"), "+12125550100"),
            ("1-212-555-0100", Some("US"), "+12125550100"),
            ("212.555.0100", Some("CA"), "+12125550100"),
            ("011 44 20 7946 0018", Some("US"), "+442079460018"),
            ("0011 1 212 555 0100", Some("AU"), "+12125550100"),
            ("02 5550 1234", Some("AU"), "+61255501234"),
            ("20304050", Some("Denmark"), "+4520304050"),
        ] {
            assert_eq!(phone(text, country), number, "{text} {country:?}");
        }
        // What is not certain stays as it is written.
        for (text, country) in [
            ("030 123 456", None),
            ("123 456", Some("DE")),
            ("4930123456", Some("DE")),
            ("555-0100", Some("US")),
            ("155-501-0000", Some("US")),
            ("+1 212 555 0100 x12", Some("US")),
            ("+0 123", None),
            ("n/a", Some("US")),
            ("06 1234 5678", Some("IT")),
            ("2030405", Some("DK")),
            ("", None),
        ] {
            assert_eq!(phone(text, country), text);
        }
    }
}

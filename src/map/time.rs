//! Times as partners write them.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::{Offset, TimeZone};
use jiff::{SignedDuration, Timestamp, fmt::rfc2822, fmt::strtime};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::canonical::When;

use super::condition::number;

/// One way to write a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Format {
    /// `2015-06-29T08:46:27-04:00`; the offset may be missing, then a zone is needed; so may the time.
    Rfc3339,
    /// `Mon, 29 Jun 2015 08:46:27 -0400`.
    Rfc2822,
    /// Seconds since 1970.
    Unix,
    /// Milliseconds since 1970.
    UnixMs,
    /// Microseconds since 1970.
    UnixUs,
    /// Letters such as `YYYY-MM-DD HH:mm`, turned to the pattern of the time library.
    Pattern { letters: String, pattern: String },
}

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TimeFault {
    /// It fits no format.
    Form,
    /// It has no offset, and no zone is set.
    NoZone,
    /// A bare number, and no format says what it counts.
    Bare,
}

/// The letters of patterns, longest first, and what the library calls them.
pub(super) const LETTERS: [(&str, &str); 24] = [
    ("YYYY", "%Y"),
    ("MMMM", "%B"),
    ("dddd", "%A"),
    ("MMM", "%b"),
    ("ddd", "%a"),
    ("SSSSSSSSS", "%f"),
    ("SSSSSS", "%f"),
    ("SSS", "%f"),
    ("ZZ", "%z"),
    ("YY", "%y"),
    ("MM", "%m"),
    ("DD", "%d"),
    ("HH", "%H"),
    ("hh", "%I"),
    ("mm", "%M"),
    ("ss", "%S"),
    ("Z", "%:z"),
    ("M", "%m"),
    ("D", "%d"),
    ("H", "%H"),
    ("h", "%I"),
    ("A", "%p"),
    ("a", "%p"),
    ("X", "%s"),
];

impl Format {
    /// Reads a format's name or pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "rfc3339" => Self::Rfc3339,
            "rfc2822" => Self::Rfc2822,
            "unix" => Self::Unix,
            "unix_ms" => Self::UnixMs,
            "unix_us" => Self::UnixUs,
            _ => Self::Pattern { letters: text.to_owned(), pattern: pattern(text)? },
        })
    }

    fn read(&self, text: &str, zone: Option<&TimeZone>) -> Result<When, TimeFault> {
        match self {
            Self::Rfc3339 => rfc3339(text, zone),
            Self::Rfc2822 => {
                let zoned = rfc2822::DateTimeParser::new().parse_zoned(text).map_err(|_| TimeFault::Form)?;
                Ok(When::new(zoned.timestamp(), zoned.offset()))
            }
            Self::Unix => counted(text, Decimal::from(1_000_000_000)),
            Self::UnixMs => counted(text, Decimal::from(1_000_000)),
            Self::UnixUs => counted(text, Decimal::from(1_000)),
            Self::Pattern { pattern, .. } => {
                let parsed = strtime::parse(pattern, text).map_err(|_| TimeFault::Form)?;
                if let (Some(offset), Ok(instant)) = (parsed.offset(), parsed.to_timestamp()) {
                    return Ok(When::new(instant, offset));
                }
                if let Some(instant) = parsed.timestamp() {
                    return Ok(When::utc(instant));
                }
                let date = parsed.to_date().map_err(|_| TimeFault::Form)?;
                at(date, parsed.to_time().unwrap_or(Time::midnight()), zone)
            }
        }
    }
}

/// Reads `text` in the first of `formats` that fits; without any, RFC 3339.
pub(super) fn read(text: &str, formats: &[Format], zone: Option<&TimeZone>) -> Result<When, TimeFault> {
    let text = text.trim();
    if formats.is_empty() {
        return match Format::Rfc3339.read(text, zone) {
            Err(TimeFault::Form) if number(text).is_some() => Err(TimeFault::Bare),
            read => read,
        };
    }
    let mut fault = TimeFault::Form;
    for format in formats {
        match format.read(text, zone) {
            Ok(when) => return Ok(when),
            Err(TimeFault::NoZone) => fault = TimeFault::NoZone,
            Err(_) => {}
        }
    }
    Err(fault)
}

/// Whether the text stands for no time at all: `0000-00-00`, `0000-00-00 00:00:00`, `0001-01-01T00:00:00`.
pub(super) fn is_blank(text: &str) -> bool {
    let text = text.trim();
    text.is_empty() || text.starts_with("0000-00-00") || text.starts_with("0001-01-01T00:00:00")
}

/// A zone by name (`America/New_York`) or offset (`+08:00`, `UTC`, `Z`).
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    let name = name.trim();
    if matches!(name, "Z" | "UTC" | "GMT") {
        return Some(TimeZone::UTC);
    }
    if let Some(rest) = name.strip_prefix(['+', '-']) {
        let digits: String = rest.chars().filter(|c| *c != ':').collect();
        if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let minutes: i32 = digits[..2].parse::<i32>().ok()? * 60 + digits[2..].parse::<i32>().ok()?;
        let sign = if name.starts_with('-') { -1 } else { 1 };
        return Offset::from_seconds(sign * minutes * 60).ok().map(TimeZone::fixed);
    }
    TimeZone::get(name).ok()
}

/// Writes a time in a format.
pub(super) fn write(when: &When, format: &Format, zone: Option<&TimeZone>) -> Option<String> {
    let zone = zone.cloned().unwrap_or_else(|| TimeZone::fixed(when.offset()));
    let zoned = when.instant().to_zoned(zone);
    Some(match format {
        Format::Rfc3339 => When::new(when.instant(), zoned.offset()).to_string(),
        Format::Rfc2822 => rfc2822::to_string(&zoned).ok()?,
        Format::Unix => when.instant().as_second().to_string(),
        Format::UnixMs => when.instant().as_millisecond().to_string(),
        Format::UnixUs => when.instant().as_microsecond().to_string(),
        Format::Pattern { pattern, letters } => {
            let pattern = match letters.matches('S').count() {
                digits @ 1.. => pattern.replace("%f", &format!("%{digits}f")),
                0 => pattern.clone(),
            };
            strtime::format(pattern, &zoned).ok()?
        }
    })
}

fn rfc3339(text: &str, zone: Option<&TimeZone>) -> Result<When, TimeFault> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    if let Some(when) = When::plain(text) {
        return Ok(when);
    }
    if let Some(inner) = text.strip_prefix("/Date(").and_then(|rest| rest.strip_suffix(")/")) {
        return json_date(inner);
    }
    // `2023-04-05 18:56:00 UTC`
    if let Some(before) = [" UTC", " GMT", " utc", " Z"].iter().find_map(|word| text.strip_suffix(word)) {
        return rfc3339(&format!("{}Z", before.trim_end()), zone);
    }
    let pieces = PARSER.parse_pieces(text).map_err(|_| TimeFault::Form)?;
    let time = pieces.time().unwrap_or(Time::midnight());
    match pieces.to_numeric_offset() {
        Some(offset) => {
            let instant = offset.to_timestamp(DateTime::from_parts(pieces.date(), time));
            Ok(When::new(instant.map_err(|_| TimeFault::Form)?, offset))
        }
        None => at(pieces.date(), time, zone),
    }
}

/// `1435567587000-0400`: milliseconds, and perhaps the offset that was meant.
fn json_date(inner: &str) -> Result<When, TimeFault> {
    let end =
        inner.char_indices().skip(1).find(|(_, c)| matches!(c, '+' | '-')).map_or(inner.len(), |(at, _)| at);
    let when = counted(&inner[..end], Decimal::from(1_000_000))?;
    match zone(&inner[end..]).and_then(|zone| zone.to_fixed_offset().ok()) {
        Some(offset) => Ok(When::new(when.instant(), offset)),
        None if end == inner.len() => Ok(when),
        None => Err(TimeFault::Form),
    }
}

fn at(date: Date, time: Time, zone: Option<&TimeZone>) -> Result<When, TimeFault> {
    let zone = zone.ok_or(TimeFault::NoZone)?;
    let zoned = DateTime::from_parts(date, time).to_zoned(zone.clone()).map_err(|_| TimeFault::Form)?;
    Ok(When::new(zoned.timestamp(), zoned.offset()))
}

fn counted(text: &str, nanos: Decimal) -> Result<When, TimeFault> {
    let count = number(text).ok_or(TimeFault::Form)?;
    let nanos = count.checked_mul(nanos).and_then(|nanos| nanos.trunc().to_i128()).ok_or(TimeFault::Form)?;
    let instant = SignedDuration::try_from_nanos_i128(nanos)
        .and_then(|duration| Timestamp::from_duration(duration).ok())
        .ok_or(TimeFault::Form)?;
    Ok(When::utc(instant))
}

fn pattern(text: &str) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some(c) = rest.chars().next() {
        if let Some(quoted) = rest.strip_prefix('[') {
            let end = quoted.find(']').ok_or_else(|| format!("`[` without `]` in the pattern `{text}`"))?;
            out.push_str(&quoted[..end].replace('%', "%%"));
            rest = &quoted[end + 1..];
        } else if let Some((letters, directive)) =
            LETTERS.iter().find(|(letters, _)| rest.starts_with(letters))
        {
            out.push_str(directive);
            rest = &rest[letters.len()..];
            any = true;
        } else if c.is_ascii_alphabetic() && c != 'T' {
            return Err(format!("`{c}` means nothing in the pattern `{text}`"));
        } else {
            out.push_str(if c == '%' { "%%" } else { &rest[..c.len_utf8()] });
            rest = &rest[c.len_utf8()..];
        }
    }
    if any { Ok(out) } else { Err(format!("`{text}` is no format")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_as(text: &str, format: &str, zone_name: &str) -> Result<String, TimeFault> {
        let format = Format::parse(format).unwrap_or_else(|error| panic!("{error}"));
        read(text, &[format], zone(zone_name).as_ref()).map(|when| when.to_string())
    }

    #[test]
    fn forms_seen_in_the_field() {
        for (text, format, zone, expected) in [
            ("2015-06-29T08:46:27-04:00", "rfc3339", "", "2015-06-29T08:46:27-04:00"),
            ("2015-06-29 08:46:27.123456789Z", "rfc3339", "", "2015-06-29T08:46:27.123456789Z"),
            ("2015-06-29T08:46:27-00:00", "rfc3339", "", "2015-06-29T08:46:27Z"),
            ("2015-06-29T08:46:27", "rfc3339", "America/New_York", "2015-06-29T08:46:27-04:00"),
            ("2015-12-29T08:46", "rfc3339", "America/New_York", "2015-12-29T08:46:00-05:00"),
            ("2015-06-29", "rfc3339", "+08:00", "2015-06-29T00:00:00+08:00"),
            ("2015-06-29 08:46", "YYYY-MM-DD HH:mm", "Asia/Shanghai", "2015-06-29T08:46:00+08:00"),
            ("20150629084627", "YYYYMMDDHHmmss", "UTC", "2015-06-29T08:46:27Z"),
            ("6/9/2015 8:46 PM", "M/D/YYYY h:mm A", "UTC", "2015-06-09T20:46:00Z"),
            (
                "29 Jun 2015 08:46:27.250 +0200",
                "DD MMM YYYY HH:mm:ss.SSS ZZ",
                "",
                "2015-06-29T08:46:27.25+02:00",
            ),
            ("2015-06-29T08:46:27+02:00", "YYYY-MM-DD[T]HH:mm:ssZ", "", "2015-06-29T08:46:27+02:00"),
            ("Mon, 29 Jun 2015 08:46:27 -0400", "rfc2822", "", "2015-06-29T08:46:27-04:00"),
            ("1435567587", "unix", "", "2015-06-29T08:46:27Z"),
            ("1435567587.5", "unix", "", "2015-06-29T08:46:27.5Z"),
            ("1435567587500", "unix_ms", "", "2015-06-29T08:46:27.5Z"),
            ("1435567587500000", "unix_us", "", "2015-06-29T08:46:27.5Z"),
            ("1.4355675875E12", "unix_ms", "", "2015-06-29T08:46:27.5Z"),
            ("/Date(1435567587500)/", "rfc3339", "", "2015-06-29T08:46:27.5Z"),
            ("/Date(1435567587500-0400)/", "rfc3339", "", "2015-06-29T04:46:27.5-04:00"),
            ("2015-06-29 08:46:27 UTC", "rfc3339", "+08:00", "2015-06-29T08:46:27Z"),
            ("1506290846", "YYMMDDHHmm", "UTC", "2015-06-29T08:46:00Z"),
            ("150629", "YYMMDD", "UTC", "2015-06-29T00:00:00Z"),
            ("29.06.2015 08:46", "DD.MM.YYYY HH:mm", "Europe/Berlin", "2015-06-29T08:46:00+02:00"),
            ("June 29, 2015 8:46 am", "MMMM D, YYYY h:mm a", "America/Toronto", "2015-06-29T08:46:00-04:00"),
        ] {
            assert_eq!(read_as(text, format, zone), Ok(expected.to_owned()), "{text} {format}");
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        assert_eq!(read_as("2015-06-29T08:46:27", "rfc3339", ""), Err(TimeFault::NoZone));
        assert_eq!(read_as("2015-06-29 08:46", "YYYY-MM-DD HH:mm", ""), Err(TimeFault::NoZone));
        assert_eq!(read("1435567587", &[], None), Err(TimeFault::Bare));
        assert_eq!(read("yesterday", &[], None), Err(TimeFault::Form));
        assert_eq!(read_as("99999999999999999999999", "unix", ""), Err(TimeFault::Form));
        assert!(is_blank("0000-00-00 00:00:00") && !is_blank("2000-00-00"));
        assert!(zone("Mars/Olympus").is_none() && zone("+99:00").is_none() && zone("-05:00").is_some());
    }

    #[test]
    fn patterns_that_mean_nothing_are_refused() {
        assert!(Format::parse("yyyy-MM-dd").unwrap_err().contains('y'));
        assert!(Format::parse("iso").is_err());
        assert!(Format::parse("[x").is_err());
    }

    #[test]
    fn times_are_written_too() {
        let when: When = "2015-06-29T08:46:27.25-04:00".parse().unwrap();
        let as_text = |format: &str, zone_name: &str| {
            write(&when, &Format::parse(format).unwrap(), zone(zone_name).as_ref()).unwrap()
        };
        assert_eq!(as_text("rfc3339", "UTC"), "2015-06-29T12:46:27.25Z");
        assert_eq!(as_text("unix", ""), "1435581987");
        assert_eq!(as_text("unix_ms", ""), "1435581987250");
        assert_eq!(as_text("YYYY-MM-DD HH:mm:ss", ""), "2015-06-29 08:46:27");
        assert_eq!(as_text("YYYY-MM-DD HH:mm:ss.SSS", "UTC"), "2015-06-29 12:46:27.250");
        assert_eq!(as_text("rfc2822", ""), "Mon, 29 Jun 2015 08:46:27 -0400");
    }
}

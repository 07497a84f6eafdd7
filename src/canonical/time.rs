//! A moment, and the offset in which the partner told it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::{Deserialize, Serialize};

/// An instant in UTC plus the offset that the partner gave. Ordered and compared by the instant alone.
#[derive(Clone, Copy)]
pub struct When {
    instant: Timestamp,
    offset: Offset,
}

impl When {
    /// `instant` as told at `offset`.
    #[must_use]
    pub fn new(instant: Timestamp, offset: Offset) -> Self {
        Self { instant, offset }
    }

    /// `instant`, told in UTC.
    #[must_use]
    pub fn utc(instant: Timestamp) -> Self {
        Self { instant, offset: Offset::UTC }
    }

    /// The instant.
    #[must_use]
    pub fn instant(&self) -> Timestamp {
        self.instant
    }

    /// The offset from UTC that the partner gave.
    #[must_use]
    pub fn offset(&self) -> Offset {
        self.offset
    }
}

impl When {
    /// As people read it, on the clock of the offset: `2015-06-29 08:46 -04:00`.
    #[must_use]
    pub fn local(&self) -> String {
        self.instant.to_zoned(self.offset.to_time_zone()).strftime("%Y-%m-%d %H:%M %:z").to_string()
    }
}

impl Default for When {
    /// The Unix epoch.
    fn default() -> Self {
        Self::utc(Timestamp::UNIX_EPOCH)
    }
}

impl PartialEq for When {
    fn eq(&self, other: &Self) -> bool {
        self.instant == other.instant
    }
}
impl Eq for When {}
impl PartialOrd for When {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for When {
    fn cmp(&self, other: &Self) -> Ordering {
        self.instant.cmp(&other.instant)
    }
}
impl std::hash::Hash for When {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.instant.hash(state);
    }
}

impl fmt::Display for When {
    /// RFC 3339: `2015-06-29T08:46:27-04:00`, or with `Z` in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.offset == Offset::UTC {
            self.instant.fmt(f)
        } else {
            self.instant.display_with_offset(self.offset).fmt(f)
        }
    }
}

impl fmt::Debug for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for When {
    type Err = jiff::Error;
    /// Reads RFC 3339 with an offset or `Z`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(when) = Self::plain(text) {
            return Ok(when);
        }
        let pieces = jiff::fmt::temporal::DateTimeParser::new().parse_pieces(text)?;
        let instant: Timestamp = text.parse()?;
        let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
        Ok(Self { instant, offset })
    }
}

/// `2015-06-29T08:46:27-04:00`.
type Buffer = [u8; 25];

impl When {
    /// As it is printed, put into `buffer`; none for times with parts of a second and for offsets with seconds.
    fn printed<'a>(&self, buffer: &'a mut Buffer) -> Option<&'a str> {
        let told = self.offset.to_datetime(self.instant);
        let offset = self.offset.seconds();
        if told.subsec_nanosecond() != 0 || !(0..=9999).contains(&told.year()) || offset % 60 != 0 {
            return None;
        }
        let mut at = 0;
        let mut put = |number: u32, digits: usize, after: &[u8]| -> Option<()> {
            let mut number = number;
            for place in (at..at + digits).rev() {
                *buffer.get_mut(place)? = b'0' + u8::try_from(number % 10).ok()?;
                number /= 10;
            }
            at += digits;
            buffer.get_mut(at..at + after.len())?.copy_from_slice(after);
            at += after.len();
            Some(())
        };
        let part = |number: i8| u32::try_from(number).ok();
        put(u32::try_from(told.year()).ok()?, 4, b"-")?;
        put(part(told.month())?, 2, b"-")?;
        put(part(told.day())?, 2, b"T")?;
        put(part(told.hour())?, 2, b":")?;
        put(part(told.minute())?, 2, b":")?;
        if offset == 0 {
            put(part(told.second())?, 2, b"Z")?;
        } else {
            put(part(told.second())?, 2, if offset < 0 { b"-" } else { b"+" })?;
            let minutes = offset.unsigned_abs() / 60;
            put(minutes / 60, 2, b":")?;
            put(minutes % 60, 2, b"")?;
        }
        std::str::from_utf8(buffer.get(..at)?).ok()
    }

    /// Reads `2015-06-29T08:46:27-04:00` or `2015-06-29T12:46:27Z`; none for every other form.
    #[must_use]
    pub fn plain(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let digits = |from: usize, to: usize| {
            bytes.get(from..to)?.iter().try_fold(0_i16, |number, byte| {
                byte.is_ascii_digit().then(|| number * 10 + i16::from(byte - b'0'))
            })
        };
        let two = |at: usize| i8::try_from(digits(at, at + 2)?).ok();
        for (at, mark) in [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')] {
            if bytes.get(at) != Some(&mark) {
                return None;
            }
        }
        let offset = match bytes.get(19..)? {
            b"Z" => Offset::UTC,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) = (i32::from(two(20)?), i32::from(two(23)?));
                let seconds = hours * 3600 + minutes * 60;
                if minutes > 59 || seconds == 0 {
                    return None;
                }
                Offset::from_seconds(if *sign == b'-' { -seconds } else { seconds }).ok()?
            }
            _ => return None,
        };
        let told = DateTime::new(digits(0, 4)?, two(5)?, two(8)?, two(11)?, two(14)?, two(17)?, 0).ok()?;
        Some(Self { instant: offset.to_timestamp(told).ok()?, offset })
    }
}

impl Serialize for When {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.printed(&mut Buffer::default()) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(self),
        }
    }
}
impl<'de> Deserialize<'de> for When {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_offset_and_orders_by_the_instant() {
        let there: When = "2015-06-29T08:46:27-04:00".parse().unwrap();
        let here: When = "2015-06-29T12:46:27Z".parse().unwrap();
        assert_eq!(there, here);
        assert_eq!(there.to_string(), "2015-06-29T08:46:27-04:00");
        assert_eq!(here.to_string(), "2015-06-29T12:46:27Z");
        assert!("2015-06-29T12:46:27".parse::<When>().is_err());
    }

    #[test]
    fn the_plain_form_is_read_and_written_as_the_library_does() {
        let slowly = |text: &str| {
            let pieces = jiff::fmt::temporal::DateTimeParser::new().parse_pieces(text).unwrap();
            When::new(text.parse().unwrap(), pieces.to_numeric_offset().unwrap_or(Offset::UTC))
        };
        for text in [
            "2015-06-29T08:46:27-04:00",
            "2015-06-29T12:46:27Z",
            "2016-02-29T23:59:59+14:00",
            "0001-01-02T00:00:00+05:45",
            "9999-12-29T00:00:00-12:00",
            "2015-06-29T12:46:27+00:00",
            "2015-06-29T12:46:27-00:00",
            "2015-06-29T12:46:60Z",
            "2015-06-29T12:46:27.5Z",
            "2015-06-29T12:46:27.000000001+02:00",
            "2015-06-29t12:46:27z",
            "2015-06-29 12:46:27+02",
        ] {
            let (when, slow) = (text.parse::<When>().unwrap(), slowly(text));
            assert_eq!((when.instant, when.offset), (slow.instant, slow.offset), "{text}");
            assert_eq!(serde_json::to_string(&when).unwrap(), format!("\"{slow}\""), "{text}");
        }
        for bad in [
            "2015-02-29T00:00:00Z",
            "2015-06-29T24:00:01Z",
            "2015-06-29T12:46:27+02:60",
            "2015-06-2aT12:46:27Z",
        ] {
            assert!(When::plain(bad).is_none() && bad.parse::<When>().is_err(), "{bad}");
        }
    }
}

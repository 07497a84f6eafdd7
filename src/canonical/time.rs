//! A moment, and the offset in which the partner told it.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
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
        let pieces = jiff::fmt::temporal::DateTimeParser::new().parse_pieces(text)?;
        let instant: Timestamp = text.parse()?;
        let offset = pieces.to_numeric_offset().unwrap_or(Offset::UTC);
        Ok(Self { instant, offset })
    }
}

impl Serialize for When {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
}

//! The facts of an order as a set: duplicates dropped, in an order that does not depend on how they came.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use jiff::Timestamp;
use rust_decimal::Decimal;

use crate::canonical::{AccountId, Body, Fact, FactId, When};

/// A partner's version of a subject, compared as what it looks like: as a time, else as a number, else as a text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Version {
    /// None was told: older than any.
    None,
    /// Neither a number nor a time.
    Text(String),
    /// A counter, or seconds since an epoch.
    Number(Decimal),
    /// An RFC 3339 time.
    Time(Timestamp),
}

impl Version {
    pub(super) fn read(text: Option<&str>) -> Self {
        let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Self::None };
        if let Ok(number) = Decimal::from_str_exact(text) {
            return Self::Number(number);
        }
        text.parse::<When>().map_or_else(|_| Self::Text(text.to_owned()), |when| Self::Time(when.instant()))
    }

    /// How the two compare, if they are of one kind.
    pub(super) fn against(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Text(one), Self::Text(two)) => Some(one.cmp(two)),
            (Self::Number(one), Self::Number(two)) => Some(one.cmp(two)),
            (Self::Time(one), Self::Time(two)) => Some(one.cmp(two)),
            _ => None,
        }
    }
}

/// The newest of some versions, as told.
#[must_use]
pub fn newest_version<'a>(versions: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    versions.max_by_key(|version| Version::read(Some(version)))
}

/// How new a fact is among those of its subject: version, then instant, then when it was told by a finer clock, then
/// identity. When we heard it counts only for facts that carry none of these, for then nothing else can tell.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Age {
    version: Version,
    at: Option<Timestamp>,
    told: Option<Timestamp>,
    heard: Option<Timestamp>,
    id: FactId,
}

impl Age {
    pub(super) fn of(fact: &Fact) -> Self {
        let version = Version::read(fact.header.version.as_deref());
        // The instant of an order is when it was placed, the same in all its snapshots.
        let at = match fact.body {
            Body::Placed(_) => None,
            _ => fact.header.at.map(|at| at.instant()),
        };
        let told = fact.header.told.map(|told| told.instant());
        let heard = (version == Version::None && at.is_none() && told.is_none()).then_some(fact.heard);
        Self { version, at, told, heard, id: fact.id }
    }
}

/// The facts, each once, in canonical order.
pub(super) struct Ledger<'a> {
    facts: Vec<&'a Fact>,
}

impl<'a> Ledger<'a> {
    pub(super) fn new(facts: &'a [Fact]) -> Self {
        let mut facts: Vec<&Fact> = facts.iter().collect();
        facts.sort_by_cached_key(|fact| (fact.id, fact.heard, fact.message));
        facts.dedup_by_key(|fact| fact.id);
        facts.sort_by_cached_key(|fact| {
            let at = fact.header.at.map(|at| at.instant());
            (at, Version::read(fact.header.version.as_deref()), fact.body.kind(), fact.id)
        });
        Self { facts }
    }

    /// All of them: by instant, version, kind and identity.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a Fact> + '_ {
        self.facts.iter().copied()
    }

    /// Facts for which `pick` gives something, with what it gives.
    pub(super) fn pick<'s, T>(
        &'s self,
        pick: impl Fn(&'a Body) -> Option<T> + 's,
    ) -> impl Iterator<Item = (&'a Fact, T)> + 's {
        self.facts.iter().filter_map(move |fact| pick(&fact.body).map(|told| (*fact, told)))
    }

    /// The newest fact of each subject, by account and by the name that `name` gives it.
    pub(super) fn newest<T>(
        &self,
        pick: impl Fn(&'a Body) -> Option<T>,
        name: impl Fn(&Fact) -> String,
    ) -> BTreeMap<(AccountId, String), (&'a Fact, T)> {
        let mut newest: BTreeMap<(AccountId, String), (Age, &'a Fact, T)> = BTreeMap::new();
        for (fact, told) in self.pick(pick) {
            let age = Age::of(fact);
            let key = (fact.account.clone(), name(fact));
            if newest.get(&key).is_none_or(|(known, ..)| *known < age) {
                newest.insert(key, (age, fact, told));
            }
        }
        newest.into_iter().map(|(key, (_, fact, told))| (key, (fact, told))).collect()
    }
}

/// The first of these names that was told, else the fact's identity.
pub(super) fn name_of(fact: &Fact, names: &[&Option<String>]) -> String {
    names
        .iter()
        .filter_map(|name| name.as_deref())
        .find(|name| !name.is_empty())
        .map_or_else(|| fact.id.to_string(), ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_what_they_look_like() {
        let read = |text| Version::read(Some(text));
        assert!(read("9") < read("10"));
        assert!(read("2025-01-01T00:00:00Z") > read("2025-01-01T00:00:00+01:00"));
        assert!(read("rev-a") < read("rev-b"));
        assert!(Version::None < read("rev-a"));
        assert_eq!(read("9").against(&read("rev-a")), None);
    }
}

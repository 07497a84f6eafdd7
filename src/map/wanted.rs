//! Which parts of a JSON payload a mapping reads: what it does not read is checked, but not kept.
//!
//! Kept are all values of keys that stand in any path of the mapping, wherever in the payload they come. What a rule
//! may take as a whole (an object with amount and currency) is kept whole.

use super::condition::Cond;
use super::path::{Path, Step, Wanted};
use super::program::{Block, CurrencyFrom, Gather, Mods, Plan, Program, RowSource, Rule, Source};

/// What is kept of the value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// Of objects in it what is wanted.
    Wanted,
    /// All of it.
    Whole,
}

/// The keys that are read.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    /// Places by the keys' marks; a key whose place is taken stands at the next one that is free.
    places: Vec<Option<(Box<str>, Keep)>>,
    count: usize,
}

impl Keys {
    /// What the program reads; `None` if it may read anything.
    pub fn of(program: &Program) -> Option<Self> {
        let mut reads = Reads { keys: Self::default(), anything: false };
        reads.program(program);
        (!reads.anything).then_some(reads.keys)
    }

    /// What is kept of the value of `key`.
    pub fn get(&self, key: &str) -> Option<Keep> {
        let last = self.places.len().checked_sub(1)?;
        let mut at = usize::from(mark(key.as_bytes())) & last;
        while let Some((known, keep)) = self.places.get(at)? {
            if **known == *key {
                return Some(*keep);
            }
            at = (at + 1) & last;
        }
        None
    }

    fn add(&mut self, key: &str, keep: Keep) {
        if let Some((_, known)) = self.places.iter_mut().flatten().find(|(known, _)| **known == *key) {
            *known = keep.max(*known);
            return;
        }
        self.count += 1;
        // A power of two, so that a mark is cut to a place; at most a quarter is taken.
        let size = (self.count * 4).next_power_of_two().max(16);
        if size > self.places.len() {
            let before = std::mem::replace(&mut self.places, vec![None; size]);
            before.into_iter().flatten().for_each(|(key, keep)| self.put(key, keep));
        }
        self.put(key.into(), keep);
    }

    fn put(&mut self, key: Box<str>, keep: Keep) {
        let last = self.places.len().saturating_sub(1);
        let mut at = usize::from(mark(key.as_bytes())) & last;
        while matches!(self.places.get(at), Some(Some(_))) {
            at = (at + 1) & last;
        }
        if let Some(place) = self.places.get_mut(at) {
            *place = Some((key, keep));
        }
    }

    /// The same keys, and those of other paths whose values are read as texts.
    pub fn with<'t>(&self, paths: impl IntoIterator<Item = &'t Path>) -> Option<Self> {
        let mut reads = Reads { keys: self.clone(), anything: false };
        paths.into_iter().for_each(|path| reads.on_the_way(path));
        (!reads.anything).then_some(reads.keys)
    }
}

/// Twelve bits that differ for most keys of one object.
pub(super) fn mark(key: &[u8]) -> u16 {
    let mixed = match (key.first_chunk::<8>(), key.last_chunk::<8>()) {
        (Some(first), Some(last)) => u64::from_le_bytes(*first) ^ u64::from_le_bytes(*last).rotate_left(29),
        _ => match (key.first_chunk::<4>(), key.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                u64::from(u32::from_le_bytes(*first)) << 32 | u64::from(u32::from_le_bytes(*last))
            }
            _ => key.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte)),
        },
    };
    let length = u64::try_from(key.len()).unwrap_or_default();
    let spread = (mixed ^ length.rotate_left(50)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
    u16::try_from(spread).unwrap_or_default()
}

struct Reads {
    keys: Keys,
    /// A path goes through any key, or takes a row as a whole.
    anything: bool,
}

impl Reads {
    fn program(&mut self, program: &Program) {
        let Program { records, reject, reason, nothing, facts, .. } = program;
        for (path, when) in records {
            self.on_the_way(path);
            self.cond(when.as_ref());
        }
        self.cond(reject.as_ref());
        self.cond(nothing.as_ref());
        for path in reason {
            self.on_the_way(path);
        }
        for fact in facts {
            self.cond(fact.when.as_ref());
            self.rows(&fact.rows);
            self.block(&fact.block);
        }
    }

    fn block(&mut self, block: &Block) {
        for field in &block.fields {
            match &field.plan {
                Plan::Unset => {}
                Plan::Scalar(rule) | Plan::Texts(rule) => self.rule(rule),
                Plan::Record(plan) => {
                    self.cond(plan.when.as_ref());
                    plan.from.iter().for_each(|path| self.on_the_way(path));
                    self.block(&plan.block);
                }
                Plan::Rows(parts) => {
                    for part in parts {
                        self.cond(part.when.as_ref());
                        self.rows(&part.rows);
                        self.block(&part.block);
                    }
                }
                Plan::Extra(rules) => rules.iter().for_each(|(_, rule)| self.rule(rule)),
            }
        }
    }

    fn rows(&mut self, rows: &RowSource) {
        let RowSource { each, only, sort, group } = rows;
        each.iter()
            .chain(sort.as_ref().map(|sort| &sort.by))
            .chain(group)
            .for_each(|path| self.on_the_way(path));
        self.cond(only.as_ref());
    }

    fn rule(&mut self, rule: &Rule) {
        self.cond(rule.when.as_ref());
        match &rule.source {
            Source::Path(path) => self.path(path, Keep::Whole),
            Source::Const(_) => {}
            Source::First(rules) | Source::Join(rules, _) => rules.iter().for_each(|rule| self.rule(rule)),
            Source::List(gather) | Source::Sum(gather) | Source::Count(gather) => self.gather(gather),
            Source::Expr(formula) => formula.with.iter().for_each(|(_, rule)| self.rule(rule)),
        }
        let Mods { unit_from, currency, zone_from, .. } = &rule.mods;
        unit_from.iter().chain(zone_from).for_each(|path| self.on_the_way(path));
        for from in currency {
            if let CurrencyFrom::Path(path) = from {
                self.on_the_way(path);
            }
        }
    }

    fn gather(&mut self, gather: &Gather) {
        let Gather { each, only, values } = gather;
        if let Some(each) = each {
            self.on_the_way(each);
        }
        self.cond(only.as_ref());
        for rule in values {
            self.rule(rule);
        }
    }

    fn cond(&mut self, cond: Option<&Cond>) {
        for path in cond.into_iter().flat_map(Cond::paths) {
            self.on_the_way(path);
        }
    }

    /// A path to lists, to rows, or to texts.
    fn on_the_way(&mut self, path: &Path) {
        self.path(path, Keep::Wanted);
    }

    fn path(&mut self, path: &Path, last: Keep) {
        let steps = path.steps();
        let end = steps.iter().rposition(|step| matches!(step, Step::Key(_)));
        // `.` takes the row as it is.
        self.anything |= end.is_none() && last == Keep::Whole;
        for (at, step) in steps.iter().enumerate() {
            self.step(step, if Some(at) == end { last } else { Keep::Wanted });
        }
    }

    fn step(&mut self, step: &Step, keep: Keep) {
        match step {
            Step::Key(key) => self.keys.add(key, keep),
            Step::AnyKey | Step::AnyDepth => self.anything = true,
            Step::Index(_) | Step::RowNumber | Step::All => {}
            Step::Only { steps, value } => {
                for step in steps {
                    self.step(step, Keep::Wanted);
                }
                if let Wanted::At(path) = value {
                    self.on_the_way(path);
                }
            }
        }
    }
}

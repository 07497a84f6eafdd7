//! How many accepted messages of each account wait to be worked on: the quota that keeps one account's flood from filling
//! the intake of all. What this process accepts and works on counts at once; what other nodes do, and what an earlier
//! process left, comes in with the store's own count, every few seconds.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::canonical::AccountId;

/// Counts by account.
#[derive(Debug, Default)]
pub struct Backlog {
    waiting: Mutex<HashMap<AccountId, usize>>,
}

impl Backlog {
    /// One more waits.
    pub fn add(&self, account: &AccountId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        match waiting.get_mut(account) {
            Some(count) => *count += 1,
            None => {
                waiting.insert(account.clone(), 1);
            }
        }
    }

    /// What the store counts, of all nodes.
    pub fn set(&self, counted: impl IntoIterator<Item = (AccountId, u64)>) {
        let counted = counted.into_iter();
        let counted = counted.map(|(account, count)| (account, usize::try_from(count).unwrap_or(usize::MAX)));
        *self.waiting.lock().unwrap_or_else(PoisonError::into_inner) = counted.collect();
    }

    /// One was worked on, which another node may have accepted: the count stops at 0.
    pub fn remove(&self, account: &AccountId) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = waiting.get_mut(account) {
            *count = count.saturating_sub(1);
        }
    }

    /// How many wait.
    #[must_use]
    pub fn of(&self, account: &AccountId) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).get(account).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_by_account_and_never_below_nothing() {
        let backlog = Backlog::default();
        let (one, other) = (AccountId::from("one"), AccountId::from("other"));
        backlog.add(&one);
        backlog.add(&one);
        backlog.remove(&other);
        assert_eq!((backlog.of(&one), backlog.of(&other)), (2, 0));
        backlog.remove(&one);
        assert_eq!(backlog.of(&one), 1);
    }

    /// One node accepts and another does the work: the count follows the store's, and does not grow for ever.
    #[test]
    fn follows_what_the_store_counts() {
        let backlog = Backlog::default();
        let (one, other) = (AccountId::from("one"), AccountId::from("other"));
        for _ in 0..5 {
            backlog.add(&one);
        }
        backlog.set([(other.clone(), 3)]);
        assert_eq!((backlog.of(&one), backlog.of(&other)), (0, 3));
        backlog.remove(&other);
        assert_eq!(backlog.of(&other), 2);
    }
}

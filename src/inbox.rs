//! The inbox: which shard works on a message.

use crate::canonical::AccountId;
use crate::ports;

/// The shard of a message of `account` about `reference` (the partner's name of the subject where it is cheaply known,
/// else anything that spreads, such as the event id). Messages about one thing share a shard, so that two workers
/// seldom meet at one entity; shards only lower contention, they are no lock.
#[must_use]
pub fn shard(account: &AccountId, reference: &str) -> u16 {
    ports::shard(account, reference)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::INBOUND_SHARDS;

    #[test]
    fn the_same_subject_has_the_same_shard_and_subjects_spread() {
        let account = AccountId::from("shop");
        assert_eq!(shard(&account, "1001"), shard(&account, "1001"));
        let mut seen: Vec<u16> = (0..400).map(|n| shard(&account, &n.to_string())).collect();
        assert!(seen.iter().all(|shard| *shard < INBOUND_SHARDS));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), usize::from(INBOUND_SHARDS));
    }
}

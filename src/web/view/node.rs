//! The nodes that run on the store: when each last told of itself, which accounts, polls and shards it has.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::canonical::AccountId;
use crate::ports::{Holder, LANES, LaneState, NODES, NodeState, Store, StoreError};

/// A node that has been silent for longer is taken to be gone.
const SILENT: SignedDuration = SignedDuration::from_secs(20);

/// All nodes, and leases that none of them holds.
#[derive(Debug, Serialize)]
pub struct NodesView {
    /// By name.
    pub nodes: Vec<NodeView>,
    /// Leases in force, by account.
    pub leases: Vec<Holder>,
}

/// One node.
#[derive(Debug, Serialize)]
pub struct NodeView {
    /// Process and a word: the beginning of the names under which its lanes take leases.
    pub name: String,
    /// What it last told of itself.
    #[serde(flatten)]
    pub state: NodeState,
    /// It has not told of itself for a while: it died, or cannot reach the store.
    pub silent: bool,
    /// The accounts whose lanes it runs, with the polls that run there.
    pub accounts: BTreeMap<AccountId, Vec<String>>,
    /// The inbound shards that it was the last to get work from.
    pub shards: Vec<u16>,
}

/// All of them, as the store knows.
///
/// # Errors
/// When the store does not answer.
pub async fn all(store: &dyn Store, now: Timestamp) -> Result<NodesView, StoreError> {
    let mut states: Vec<(String, NodeState)> = Vec::new();
    for (name, state) in store.all(NODES).await? {
        // What a later form of the program says is not for us.
        states.extend(serde_json::from_value(state).ok().map(|state| (name, state)));
    }
    let leases = store.leases().await?.into_iter();
    let leases: Vec<Holder> = leases.filter(|lease| lease.until > now && !lease.owner.is_empty()).collect();
    let mut polls: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (account, lane) in store.all(LANES).await? {
        let lane: LaneState = serde_json::from_value(lane).unwrap_or_default();
        polls.insert(account, lane.polls.into_iter().map(|poll| poll.name).collect());
    }
    Ok(NodesView { nodes: views(states, &leases, &polls, now), leases })
}

fn views(
    states: Vec<(String, NodeState)>,
    leases: &[Holder],
    polls: &BTreeMap<String, Vec<String>>,
    now: Timestamp,
) -> Vec<NodeView> {
    let mut last: BTreeMap<u16, (Timestamp, String)> = BTreeMap::new();
    for (name, state) in states.iter().filter(|(_, state)| now.duration_since(state.seen) <= SILENT) {
        for (shard, at) in &state.heard {
            if last.get(shard).is_none_or(|(before, _)| before < at) {
                last.insert(*shard, (*at, name.clone()));
            }
        }
    }
    let view = |(name, state): (String, NodeState)| {
        let held = leases.iter().filter(|lease| lease.is_of(&name));
        let polls = |account: &AccountId| polls.get(account.as_str()).cloned().unwrap_or_default();
        NodeView {
            accounts: held.map(|lease| (lease.account.clone(), polls(&lease.account))).collect(),
            shards: last.iter().filter(|(_, (_, of))| *of == name).map(|(shard, _)| *shard).collect(),
            silent: now.duration_since(state.seen) > SILENT,
            name,
            state,
        }
    };
    states.into_iter().map(view).collect()
}

/// Shards as people read them: `0–3, 7`.
#[must_use]
pub fn ranges(shards: &[u16]) -> String {
    let mut ranges: Vec<(u16, u16)> = Vec::new();
    for shard in shards {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *shard => *last = *shard,
            _ => ranges.push((*shard, *shard)),
        }
    }
    let words = ranges
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}–{last}") });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(seen: i64, heard: &[(u16, i64)]) -> NodeState {
        let at = |second| Timestamp::from_second(second).unwrap();
        NodeState {
            address: "127.0.0.1:7070".into(),
            version: "1".into(),
            generation: "g".into(),
            started: at(0),
            seen: at(seen),
            heard: heard.iter().map(|(shard, second)| (*shard, at(*second))).collect(),
        }
    }

    #[test]
    fn a_shard_is_with_the_living_node_that_heard_of_it_last() {
        let lease = |owner: &str, account: &str| Holder {
            account: account.into(),
            owner: owner.into(),
            epoch: 1,
            until: Timestamp::MAX,
        };
        let leases = [lease("1-aa-0f", "east"), lease("2-bb-0f", "shop"), lease("1-aab-0f", "west")];
        let polls = BTreeMap::from([("east".to_owned(), vec!["orders".to_owned()])]);
        let states = vec![
            ("1-aa".to_owned(), state(100, &[(0, 90), (1, 95), (3, 9)])),
            ("2-bb".to_owned(), state(99, &[(1, 91), (2, 98)])),
            ("3-cc".to_owned(), state(50, &[(2, 99)])),
        ];
        let found = views(states, &leases, &polls, Timestamp::from_second(101).unwrap());
        let shards: Vec<&[u16]> = found.iter().map(|node| &*node.shards).collect();
        assert_eq!(shards, [&[0, 1, 3][..], &[2], &[]]);
        assert_eq!(found.iter().map(|node| node.silent).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(found[0].accounts, BTreeMap::from([("east".into(), vec!["orders".to_owned()])]));
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0–2, 5, 7–8");
    }
}

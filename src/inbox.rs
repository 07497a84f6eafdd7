//! Accepts messages durably and de-duplicated; chooses their shard.

//! What holds truth, order and retry state.

pub mod sqlite;

//! What holds truth, order and retry state.

mod form;
pub mod sqlite;

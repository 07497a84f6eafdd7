//! What holds truth, order and retry state.

mod form;
pub mod postgres;
pub mod sqlite;
pub mod transfer;

//! What routes and pages show, made once from the store's records.

pub mod account;
pub mod node;
pub mod order;

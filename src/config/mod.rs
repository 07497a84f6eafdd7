//! `config.toml`, checked.
pub mod model;

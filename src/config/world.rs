//! One generation of everything that people edit: swapped whole, or not at all.

use super::model::Config;
use crate::connector::Registry;

/// A checked config with the connectors and mappings that it was checked against.
#[derive(Debug, Clone)]
pub struct World {
    /// `config.toml`.
    pub config: Config,
    /// Connectors and compiled mappings.
    pub registry: Registry,
}

//! All connectors that loaded, by name.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::manifest::Manifest;

/// A connector: its manifest and its compiled mappings.
#[derive(Debug, Clone)]
pub struct Connector {
    /// What the partner's API is like.
    pub manifest: Manifest,
}

/// The connectors that loaded; one whose manifest is broken is not among them.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    connectors: BTreeMap<String, Arc<Connector>>,
}

impl Registry {
    /// The connector called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Connector>> {
        self.connectors.get(name)
    }

    /// The names of all connectors.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.connectors.keys().map(String::as_str)
    }
}

//! Reads `connector.toml`.

use super::manifest::Manifest;
use crate::config::sources::Sources;
use crate::diagnostic::Diagnostic;

/// Reads the manifest of the connector called `name`.
pub(super) fn manifest(_sources: &Sources, _name: &str) -> (Option<Manifest>, Vec<Diagnostic>) {
    (None, Vec::new())
}

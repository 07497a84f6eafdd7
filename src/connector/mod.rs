//! Connectors as data: manifests and the interpreter that runs them.
//!
//! [`load`] reads manifests and mappings. The rest interprets a manifest: [`signature`] and [`webhook`] for what comes
//! in; [`request`], [`auth`] and [`quirks`] for what goes out; [`page`], [`classify`](mod@classify) and [`limits`] for
//! the answers.

pub mod auth;
pub mod classify;
pub mod limits;
pub mod manifest;
pub mod page;
pub mod quirks;
pub mod registry;
pub mod request;
pub mod signature;
pub mod template;
pub mod webhook;

mod answer;
mod glance;
mod read;

pub use registry::{Connector, Registry, load};

//! What carries hints between nodes and events to others.

pub mod embedded;

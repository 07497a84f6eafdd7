//! The bus: one suite over every implementation, several nodes on one broker, and a broker that fails.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

#[path = "../support"]
mod support {
    pub mod authority;
    pub mod broker;
    pub mod proxy;
}

#[path = "../../examples/events/listen.rs"]
mod listen;

mod conformance;
mod faults;
mod node;
mod nodes;
mod tls;

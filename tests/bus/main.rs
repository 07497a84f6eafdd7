//! The bus: one suite over every implementation, several nodes on one broker, and a broker that fails.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]
#![expect(clippy::print_stdout, reason = "figures for whoever runs them")]

#[path = "../support"]
mod support {
    pub mod authority;
    pub mod broker;
    pub mod faults;
    pub mod proxy;
}

#[path = "../../examples/events/listen.rs"]
mod listen;

mod conformance;
mod faults;
mod node;
mod nodes;
mod tls;

//! Many nodes, each a process of the program, on a private RabbitMQ and PostgreSQL, with simulated partners: nodes are killed
//! at each step and stopped past their leases, servers fail, and neighbours behave badly. Both sides are compared after each.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![expect(clippy::print_stdout, reason = "figures for whoever runs them")]

#[path = "../support/broker.rs"]
mod broker;
mod change;
mod cluster;
#[path = "../support/daemon.rs"]
mod daemon;
#[path = "../support/faults.rs"]
mod faults;
mod messages;
mod neighbour;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "this test needs only a part")]
mod server;
mod soak;
mod steps;

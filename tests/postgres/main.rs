//! The store and the daemon on a private PostgreSQL: faults of the real server, moving from a file, many nodes.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![expect(clippy::print_stdout, reason = "figures for whoever runs them")]

#[path = "../support/authority.rs"]
mod authority;
#[path = "../support/daemon.rs"]
#[expect(dead_code, reason = "this test needs only a part")]
mod daemon;
mod faults;
#[path = "../support/faults.rs"]
mod table;
mod moving;
#[path = "../support/proxy.rs"]
mod proxy;
#[path = "../support/postgres.rs"]
#[expect(dead_code, reason = "this test needs only a part")]
mod server;
mod tls;

//! The delivery lane on a bench: the real store, a clock that stands until it is moved, and a partner that does what
//! the test tells it to.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::needless_pass_by_value, reason = "bodies are written where they are used")]

#[path = "delivery/account.rs"]
mod account;
#[path = "delivery/flaky.rs"]
mod flaky;
#[path = "delivery/lab.rs"]
mod lab;
#[path = "delivery/limits.rs"]
mod limits;
#[path = "delivery/once.rs"]
mod once;
#[path = "delivery/reading.rs"]
mod reading;
#[path = "delivery/tokens.rs"]
mod tokens;

//! A seeded simulator: the real stages, SQLite and the simulated partners in one process on virtual time, with a crash
//! before or after any call of a port, power loss, cut answers, lost and doubled hints and webhooks; judged by what the
//! partners have at the end (P1 to P4).
//!
//! `CROSSDOCK_HISTORIES` sets how many histories are lived (500 by default; `scripts/test` lives 10,000),
//! `CROSSDOCK_SEED` is the first of them; without a number it is lived alone, and tells what the partners and the store
//! have at its end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::similar_names,
    reason = "a test: it stops at the first surprise"
)]

mod clock;
mod crash;
mod depot;
mod disk;
mod edits;
mod histories;
mod late;
mod permutations;
mod stage;
mod town;
mod two_warehouses;

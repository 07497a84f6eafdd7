//! Delivery: one lane an account, under the account's lease. Limit, encode, freeze, send, classify, settle.
//!
//! [`Lane`] takes the lease and starts what is due; `send` brings one intent on its way; `action` decides, purely, what
//! to do with an intent and what became of it. Polls, re-reads and the comparison of both sides call the partner too,
//! so they run inside the lane (see [`crate::ingest::poll`], [`crate::ingest::reread`], [`crate::reconcile`]).

pub mod action;
pub mod breaker;
pub mod bucket;
pub mod call;
mod demand;
pub mod find;
mod lane;
mod lanes;
mod lease;
pub mod limiter;
mod message;
pub mod seal;
mod send;
mod settle;
mod share;
mod shared;
mod status;
pub mod token;
pub mod turns;

pub use lane::{Lane, LaneStep, Waker, run_lane};
pub use lanes::Lanes;
pub use seal::Seal;
pub use send::digest_of;
pub use share::Asked;
pub use shared::{Deps, Shared, View};

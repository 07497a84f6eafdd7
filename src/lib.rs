//! Crossdock links the systems that an order passes through and keeps them in step.
//!
//! Modules stand in the order in which data passes them:
//!
//! ```text
//! partner ─▶ ingest ─▶ verify ─▶ inbox ─▶ 2xx
//!                                  │ a hint on the bus
//!                                  ▼
//!                       map ─▶ apply ─▶ plan            pure: no clock, no IO
//!                                  │
//!                one transaction: inbox done + facts + state + outbox
//!                                  │ a hint on the bus, under the account's lease
//!                                  ▼
//!               rate limit ─▶ encode ─▶ send ─▶ classify ─▶ done │ retry │ look up │ exception
//!                                                            └─▶ the answer is a message: back to map
//! ```
//!
//! The store owns truth, order and retry state. What travels on the bus between nodes is a hint that may be lost,
//! doubled or reordered.

pub mod canonical;
pub mod diagnostic;
pub mod tables;
pub mod config;
pub mod connector;
pub mod map;
pub mod ports;
pub mod generation;
pub mod ingest;
pub mod inbox;
pub mod apply;
pub mod plan;
pub mod process;
pub mod outbox;
pub mod deliver;
pub mod retry;
pub mod reconcile;
pub mod io;
pub mod web;
pub mod sandbox;
pub mod telemetry;
pub mod app;
pub mod cli;

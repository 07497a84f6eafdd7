//! The simulated partners: strict as the real ones, the same for the same seed, and right about what they hold.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that fails should say where")]

mod client;
mod easypost;
mod faults;
mod mapped;
mod round;
mod server;
mod shiphero;
mod shopify;
mod stripe;

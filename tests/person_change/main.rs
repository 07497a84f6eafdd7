//! A person changes files of a running daemon: what is wrong is refused with its place, what is right comes into force
//! whole and without a restart, and what waited for it goes on by itself.
#![expect(clippy::unwrap_used, reason = "a test: it stops at the first surprise")]

mod many;
mod nodes;
mod release;
mod reload;
mod workshop;

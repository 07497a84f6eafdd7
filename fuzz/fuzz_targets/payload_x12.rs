//! Any bytes as a payload: read, mapped, explained; no panic, bounded time and memory.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| crossdock_fuzz::payload(crossdock::map::SyntaxKind::X12, bytes));

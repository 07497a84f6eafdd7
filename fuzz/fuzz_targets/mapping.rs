//! Any text as a mapping, inbound and outbound: compiled and run, or refused with its place; no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| crossdock_fuzz::mapping(text));

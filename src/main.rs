//! The `crossdock` binary.
fn main() {}

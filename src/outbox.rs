//! Relays canonical events from the store to the bus.

//! The edges behind the ports: stores, buses, HTTP, the clock of the machine.

pub mod bus;
pub mod clock;
pub mod http;
pub mod store;

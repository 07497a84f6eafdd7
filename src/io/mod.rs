//! The edges behind the ports: stores, buses, HTTP, the clock of the machine.

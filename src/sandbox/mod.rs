//! Simulated partners that speak the real wire formats.
mod graphql;

//! `config.toml`, checked.

pub mod calendar;
pub mod embedded;
pub mod load;
pub mod model;
pub mod sources;
pub mod world;

pub use embedded::embedded;
pub use load::load;
pub use sources::Sources;
pub use world::World;

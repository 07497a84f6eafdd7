//! Simulated partners that speak the real wire formats: Shopify, ShipHero, EasyPost and Stripe.
//!
//! [`World`] is pure and deterministic: time and requests go in, answers and webhooks come out. A simulator drives it on
//! a virtual clock; `crossdock sandbox` puts it behind HTTP on loopback. What the real API would refuse is refused. What the
//! partners hold in the end is told by [`World::ledger`], and [`Ledger::check`] says what is wrong with it.

mod bucket;
mod control;
mod cut;
mod dice;
mod easypost;
mod graphql;
mod hooks;
mod http;
mod ledger;
mod server;
mod settings;
mod shiphero;
mod shopify;
mod spec;
mod stripe;
mod world;

pub use hooks::Delivery;
pub use ledger::{
    FulfilmentEntry, GatewayEntry, Ledger, OrderEntry, ShipmentEntry, StockEntry, WarehouseEntry,
    WebhookCounts,
};
pub use server::{Server, targets};
pub use settings::{Fault, Limits, Product, Secrets, Settings, Timing};
pub use shopify::Placed;
pub use spec::{AddressSpec, Expect, LineSpec, OrderSpec, Payment};
pub use world::{Injection, PARTNERS, Reply, Seen, World};

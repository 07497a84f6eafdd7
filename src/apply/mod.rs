//! (state, facts) to state: the fact ledger and its projections. Pure.
//!
//! An order's state is a function of the *set* of its facts and of its intents; the state of stock is a join of its
//! facts. In both, neither order nor duplicates matter. The precedence among facts stands in `docs/model.md`.

mod axes;
mod cancel;
mod ledger;
mod payment;
mod project;
mod returns;
mod sale;
mod shipment;
mod stock;
mod subject;
mod tracking;
mod warehouse;

pub use axes::{classify, phase};
pub(crate) use axes::{peak_in, total_in};
pub use ledger::newest_version;
pub(crate) use payment::open_promise;
pub use project::project_order;
pub use stock::{StockKey, apply_stock, quantity_age, stock_each, stock_key};
pub use subject::{Subject, plain_number, plain_tracking, subject};

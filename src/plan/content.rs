//! What is sent: the canonical document that an outbound mapping turns into a partner's words.

use serde_json::Value;

use crate::canonical::{Exception, Intent, Order, Stock};
use crate::config::model::Flow;

/// Why nothing is to be sent.
#[derive(Debug, Clone, PartialEq)]
pub enum NoContent {
    /// It is no longer wanted, and why: withdraw the intent.
    Unwanted(String),
    /// It cannot be said: raise this exception and reject the intent.
    Trouble(Box<Exception>),
}

/// The document that `intent` sends, made from the order as it is now (contact details merged in).
///
/// # Errors
/// When it is no longer wanted, or when something that it needs is missing.
pub fn content(intent: &Intent, order: &Order, flow: &Flow) -> Result<Value, NoContent> {
    let _ = (intent, order, flow);
    Err(NoContent::Unwanted("not planned".to_owned()))
}

/// The document that `intent` sends, made from the stock as it is now.
///
/// # Errors
/// When it is no longer wanted.
pub fn stock_content(intent: &Intent, stock: &Stock, flow: &Flow) -> Result<Value, NoContent> {
    let _ = (intent, stock, flow);
    Err(NoContent::Unwanted("not planned".to_owned()))
}

//! What TOML cannot say of a partner, in Rust: one file a quirk, none of which knows another. A quirk prepares the source
//! document of an outbound mapping; it sees what the command's `needs` read beforehand.

mod shiphero;
mod shopify;

use serde_json::{Map, Value};

/// The names of all quirks.
pub const NAMES: &[&str] = &["shiphero_change", "split_fulfilment_orders"];

/// Puts `needs` (key to the items that were read) into `source`, then runs the quirk called `name` on it.
///
/// # Errors
/// In words for a person, when the command cannot be carried out with what was read.
pub fn prepare(name: &str, source: &mut Value, needs: &Map<String, Value>) -> Result<(), String> {
    if let Value::Object(fields) = source {
        fields.insert("needs".to_owned(), Value::Object(needs.clone()));
    }
    match name {
        "shiphero_change" => shiphero::change(source, needs),
        "split_fulfilment_orders" => shopify::split_fulfilment_orders(source, needs),
        other => Err(format!("there is no quirk `{other}`")),
    }
}

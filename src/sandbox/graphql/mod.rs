//! A strict GraphQL service over JSON values: a document is checked against the schema as the real partner would, and
//! the answer contains the selected fields and nothing else.

mod arguments;
mod coerce;
mod execute;
mod prepare;
mod schema;

pub(crate) use execute::{FieldError, Resolver, execute};
pub(crate) use prepare::{OperationKind, Selected, prepare};
pub(crate) use schema::Schema;

use serde_json::{Value, json};

/// Why a document or its variables are refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Problem {
    /// In words.
    pub message: String,
    /// The word of the partner for this class (`undefinedField`, `missingRequiredArguments`, …).
    pub code: &'static str,
    /// Where in the document.
    pub line: usize,
    /// Where in the line.
    pub column: usize,
    /// More about it, for `extensions`.
    pub more: Value,
}

impl Problem {
    fn new(code: &'static str, message: String, at: graphql_parser::Pos) -> Self {
        Self { message, code, line: at.line, column: at.column, more: json!({}) }
    }
    fn with(mut self, more: Value) -> Self {
        self.more = more;
        self
    }
}

#[cfg(test)]
mod tests;

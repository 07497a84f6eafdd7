//! A value of a canonical type on its way into its record: converted, not yet owned, never turned to text and back.

use std::borrow::Cow;

use rust_decimal::Decimal;
use serde_json::Value;

use super::{Currency, Money, When};

/// One value of a canonical type; texts are borrowed from the payload where they can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Canon<'a> {
    /// Any text, a word, a country.
    Text(Cow<'a, str>),
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A whole number of units.
    Quantity(u64),
    /// An exact number; a weight in grams.
    Decimal(Decimal),
    /// An amount and a currency.
    Money(Money),
    /// An instant.
    Time(When),
    /// A currency.
    Currency(Currency),
    /// Several of one type.
    List(Vec<Canon<'a>>),
    /// The values of a record, one for each of its fields, in the order of their declaration.
    Record(Vec<Option<Canon<'a>>>),
    /// Free fields of text.
    Extra(Vec<(String, Canon<'a>)>),
}

/// The values of a record, taken one by one as its fields are declared.
pub type Slots<'a> = std::vec::IntoIter<Option<Canon<'a>>>;

impl Canon<'_> {
    /// As it stands in JSON. A record stands as the list of its values, for it does not know their names.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone().into_owned()),
            Self::Bool(yes) => Value::Bool(*yes),
            Self::Integer(number) => Value::from(*number),
            Self::Quantity(number) => Value::from(*number),
            Self::Decimal(number) => Value::String(number.to_string()),
            Self::Money(money) => Value::String(money.to_string()),
            Self::Time(when) => Value::String(when.to_string()),
            Self::Currency(code) => Value::String(code.to_string()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Record(values) => values.iter().flatten().map(Self::to_json).collect(),
            Self::Extra(entries) => {
                entries.iter().map(|(name, value)| (name.clone(), value.to_json())).collect()
            }
        }
    }
}

//! Money: an exact decimal amount and an ISO 4217 currency. Never a float; text in JSON (`"598.94 USD"`).

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An ISO 4217 currency code.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// Why a text or a sum is no money.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MoneyError {
    /// Not an ISO 4217 code.
    #[error("`{0}` is no ISO 4217 currency code such as USD")]
    Currency(String),
    /// Not a decimal number.
    #[error("`{0}` is no decimal amount such as 12.50")]
    Amount(String),
    /// Not an amount, a blank and a code.
    #[error("`{0}` is no money: expected an amount, a blank and a currency, such as 12.50 USD")]
    Form(String),
    /// Two currencies never add up.
    #[error("{0} and {1} do not add up")]
    Mixed(Currency, Currency),
    /// The sum leaves the range of a decimal.
    #[error("the amount is too large")]
    TooLarge,
}

impl Currency {
    /// The currency with this code, in any letter case.
    ///
    /// # Errors
    /// When ISO 4217 knows no such code.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let upper = code.trim().to_ascii_uppercase();
        let bytes: [u8; 3] =
            upper.as_bytes().try_into().map_err(|_| MoneyError::Currency(code.to_owned()))?;
        iso_currency::Currency::from_code(&upper).ok_or_else(|| MoneyError::Currency(code.to_owned()))?;
        Ok(Self(bytes))
    }

    /// The code, three capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal places the minor unit has (ISO 4217): USD 2, JPY 0, KWD 3.
    #[must_use]
    pub fn exponent(&self) -> u32 {
        iso_currency::Currency::from_code(self.code())
            .and_then(iso_currency::Currency::exponent)
            .map_or(2, u32::from)
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Currency {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        Self::parse(text)
    }
}

/// An amount in one currency. Two that are equal in value are equal and print the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    amount: Decimal,
    currency: Currency,
}

impl Money {
    /// `amount` units (not minor units) of `currency`.
    #[must_use]
    pub fn new(amount: Decimal, currency: Currency) -> Self {
        Self { amount: amount.normalize(), currency }
    }

    /// `minor` minor units (cents) of `currency`, of which `exponent` decimal places make one unit.
    #[must_use]
    pub fn from_minor(minor: Decimal, currency: Currency, exponent: u32) -> Self {
        let scale = Decimal::new(1, exponent.min(28));
        Self::new(minor * scale, currency)
    }

    /// Nothing, in `currency`.
    #[must_use]
    pub fn zero(currency: Currency) -> Self {
        Self::new(Decimal::ZERO, currency)
    }

    /// The amount in units.
    #[must_use]
    pub fn amount(&self) -> Decimal {
        self.amount
    }

    /// The amount in minor units of `exponent` decimal places, or `None` if it is no whole number of them.
    #[must_use]
    pub fn minor(&self, exponent: u32) -> Option<Decimal> {
        let factor = Decimal::from(10_u64.checked_pow(exponent)?);
        let minor = self.amount.checked_mul(factor)?;
        minor.is_integer().then(|| minor.normalize())
    }

    /// The currency.
    #[must_use]
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// Whether nothing.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.amount.is_zero()
    }

    /// The sum.
    ///
    /// # Errors
    /// When the currencies differ or the sum leaves the range.
    pub fn plus(self, other: Self) -> Result<Self, MoneyError> {
        self.same(other)?;
        let sum = self.amount.checked_add(other.amount).ok_or(MoneyError::TooLarge)?;
        Ok(Self::new(sum, self.currency))
    }

    /// The difference.
    ///
    /// # Errors
    /// When the currencies differ or the difference leaves the range.
    pub fn minus(self, other: Self) -> Result<Self, MoneyError> {
        self.plus(Self::new(-other.amount, other.currency))
    }

    /// Which of two amounts of one currency is larger.
    ///
    /// # Errors
    /// When the currencies differ.
    pub fn compare(self, other: Self) -> Result<std::cmp::Ordering, MoneyError> {
        self.same(other)?;
        Ok(self.amount.cmp(&other.amount))
    }

    fn same(self, other: Self) -> Result<(), MoneyError> {
        if self.currency == other.currency {
            Ok(())
        } else {
            Err(MoneyError::Mixed(self.currency, other.currency))
        }
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.amount.scale().max(self.currency.exponent());
        let places = usize::try_from(places).unwrap_or(2);
        write!(f, "{:.places$} {}", self.amount, self.currency)
    }
}

impl fmt::Debug for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Money {
    type Err = MoneyError;
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (amount, code) = text.trim().rsplit_once(' ').ok_or_else(|| MoneyError::Form(text.to_owned()))?;
        let amount =
            Decimal::from_str_exact(amount.trim()).map_err(|_| MoneyError::Amount(amount.to_owned()))?;
        Ok(Self::new(amount, Currency::parse(code)?))
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
as_text!(Currency);
as_text!(Money);

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn prints_at_least_the_places_of_the_currency() {
        assert_eq!(money("10 USD").to_string(), "10.00 USD");
        assert_eq!(money("10.5000 USD").to_string(), "10.50 USD");
        assert_eq!(money("0.1234 USD").to_string(), "0.1234 USD");
        assert_eq!(money("1000 JPY").to_string(), "1000 JPY");
        assert_eq!(money("1.5 KWD").to_string(), "1.500 KWD");
        assert_eq!(money("10.00 USD"), money("10 USD"));
    }

    #[test]
    fn minor_units_follow_the_currency() {
        let yen = Currency::parse("jpy").unwrap();
        assert_eq!(Money::from_minor(Decimal::from(1250), yen, yen.exponent()).to_string(), "1250 JPY");
        assert_eq!(money("12.50 EUR").minor(2), Some(Decimal::from(1250)));
        assert_eq!(money("12.505 EUR").minor(2), None);
    }

    #[test]
    fn two_currencies_never_add_up() {
        assert!(matches!(money("1 USD").plus(money("1 EUR")), Err(MoneyError::Mixed(..))));
        assert!(money("0.1 USD").plus(money("0.2 USD")).is_ok_and(|sum| sum == money("0.3 USD")));
        assert!("1.00 XQZ".parse::<Money>().is_err());
        assert!("1,00 USD".parse::<Money>().is_err());
    }
}

//! Money: an exact decimal amount and an ISO 4217 currency. Never a float; text in JSON (`"598.94 USD"`).

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

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
        let mut bytes: [u8; 3] =
            code.trim().as_bytes().try_into().map_err(|_| MoneyError::Currency(code.to_owned()))?;
        bytes.make_ascii_uppercase();
        match places(bytes) {
            Some(_) => Ok(Self(bytes)),
            None => Err(MoneyError::Currency(code.to_owned())),
        }
    }

    /// The code, three capital letters.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// How many decimal places the minor unit has (ISO 4217): USD 2, JPY 0, KWD 3.
    #[must_use]
    pub fn exponent(&self) -> u32 {
        places(self.0).map_or(2, u32::from)
    }
}

/// The decimal places of the currency with this code, if ISO 4217 knows it.
fn places(code: [u8; 3]) -> Option<u8> {
    static PLACES: LazyLock<Vec<Option<u8>>> = LazyLock::new(|| {
        let letters = || b'A'..=b'Z';
        let codes = letters().flat_map(|a| letters().flat_map(move |b| letters().map(move |c| [a, b, c])));
        let known = |code: [u8; 3]| iso_currency::Currency::from_code(std::str::from_utf8(&code).ok()?);
        codes
            .map(|code| {
                known(code)
                    .map(|known| known.exponent().and_then(|places| u8::try_from(places).ok()).unwrap_or(2))
            })
            .collect()
    });
    let number = code.iter().try_fold(0, |number, letter| {
        letter.is_ascii_uppercase().then(|| number * 26 + usize::from(letter - b'A'))
    })?;
    PLACES.get(number).copied().flatten()
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

/// Room for any amount of at most 19 digits and 18 places, its sign, its point, a blank and a code.
type Buffer = [u8; 32];

impl Money {
    /// As it is printed, put into `buffer`; none for amounts of so many digits that nobody sees them.
    fn printed<'a>(&self, buffer: &'a mut Buffer) -> Option<&'a str> {
        let places = self.amount.scale().max(self.currency.exponent());
        let digits = u64::try_from(self.amount.mantissa().unsigned_abs()).ok()?;
        let mut digits = digits.checked_mul(10_u64.checked_pow(places - self.amount.scale())?)?;
        let mut at = buffer.len() - 4;
        buffer[at] = b' ';
        buffer[at + 1..].copy_from_slice(&self.currency.0);
        let mut written = 0;
        while digits > 0 || written <= places {
            if written == places && places > 0 {
                at = at.checked_sub(1)?;
                *buffer.get_mut(at)? = b'.';
            }
            at = at.checked_sub(1)?;
            *buffer.get_mut(at)? = b'0' + u8::try_from(digits % 10).ok()?;
            digits /= 10;
            written += 1;
        }
        if self.amount.is_sign_negative() {
            at = at.checked_sub(1)?;
            *buffer.get_mut(at)? = b'-';
        }
        std::str::from_utf8(buffer.get(at..)?).ok()
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The zeros are written here: with a precision the library panics at amounts of 29 digits.
        write!(f, "{}", self.amount)?;
        let (scale, places) = (self.amount.scale(), self.currency.exponent());
        if scale == 0 && places > 0 {
            f.write_str(".")?;
        }
        for _ in scale..places {
            f.write_str("0")?;
        }
        write!(f, " {}", self.currency)
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

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.printed(&mut Buffer::default()) {
            Some(text) => serializer.serialize_str(text),
            None => serializer.collect_str(self),
        }
    }
}

macro_rules! from_text {
    ($name:ident) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
from_text!(Currency);
from_text!(Money);

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
    fn in_json_it_stands_as_it_is_printed() {
        for amount in [
            "0",
            "0.1",
            "-0.05",
            "10",
            "10.5000",
            "-1234567.891",
            "0.1234",
            "18446744073709551615",
            "184467440737095516.15",
            "18446744073709551616",
            "-79228162514264337593543950335",
            "0.0000000000000000000000000001",
            "123.4567890123456789",
        ] {
            for code in ["USD", "JPY", "KWD", "CLF"] {
                let money = money(&format!("{amount} {code}"));
                assert_eq!(serde_json::to_string(&money).unwrap(), format!("\"{money}\""));
            }
        }
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

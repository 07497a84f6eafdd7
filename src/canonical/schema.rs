//! What fields a fact has and of which type: read by the mapping compiler, the documentation and the editors' schema.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

use super::canon::Canon;
use super::{Currency, Money, When};

/// The type of a canonical field. The target field fixes the type of a mapping rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ty {
    /// Any text.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A whole number.
    Integer,
    /// A whole number of units, never negative.
    Quantity,
    /// An exact decimal number.
    Decimal,
    /// An amount and a currency.
    Money,
    /// An instant and the offset that the partner gave.
    Time,
    /// Yes or no.
    Bool,
    /// A weight; kept in grams.
    Weight,
    /// An ISO 3166-1 alpha-2 code.
    Country,
    /// An ISO 4217 code.
    Currency,
    /// A nested table of fields.
    Record(&'static [Field]),
    /// A list.
    List(&'static Ty),
    /// Free fields of text, carried along (`extra.po`).
    Extra,
}

/// One field of a fact or of a nested record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The name, as in mapping files and in JSON.
    pub name: &'static str,
    /// The type.
    pub ty: Ty,
    /// Whether a fact without it is refused.
    pub required: bool,
    /// What it means.
    pub doc: &'static str,
}

/// A Rust type that stands for a field type.
pub trait Typed: Sized {
    /// The field type.
    const TY: Ty;
    /// Whether this value says nothing and is left out of the JSON form.
    fn absent(&self) -> bool {
        false
    }
    /// From a converted value; `None` where it is of another type.
    fn from_canon(value: Canon<'_>) -> Option<Self>;
    /// What stands in a record that says nothing of the field; `None` where the field is required.
    fn unsaid() -> Option<Self> {
        None
    }
    /// The field's value, from its slot.
    fn fill(slot: Option<Canon<'_>>) -> Option<Self> {
        match slot {
            Some(value) => Self::from_canon(value),
            None => Self::unsaid(),
        }
    }
}

macro_rules! typed {
    ($($rust:ty => $ty:expr, $canon:pat => $value:expr;)*) => {
        $(impl Typed for $rust {
            const TY: Ty = $ty;
            fn from_canon(value: Canon<'_>) -> Option<Self> {
                match value {
                    $canon => Some($value),
                    _ => None,
                }
            }
        })*
    };
}
pub(crate) use typed;
typed! {
    String => Ty::Text, Canon::Text(text) => text.into_owned();
    i64 => Ty::Integer, Canon::Integer(number) => number;
    u64 => Ty::Quantity, Canon::Quantity(number) => number;
    Decimal => Ty::Decimal, Canon::Decimal(number) => number;
    Money => Ty::Money, Canon::Money(money) => money;
    When => Ty::Time, Canon::Time(when) => when;
    Currency => Ty::Currency, Canon::Currency(code) => code;
    Weight => Ty::Weight, Canon::Decimal(grams) => Self(grams);
    Country => Ty::Country, Canon::Text(code) => Self(code.into_owned());
}
impl Typed for bool {
    const TY: Ty = Ty::Bool;
    fn absent(&self) -> bool {
        !*self
    }
    fn from_canon(value: Canon<'_>) -> Option<Self> {
        if let Canon::Bool(yes) = value { Some(yes) } else { None }
    }
    fn unsaid() -> Option<Self> {
        Some(false)
    }
}
impl<T: Typed> Typed for Option<T> {
    const TY: Ty = T::TY;
    fn absent(&self) -> bool {
        self.is_none()
    }
    fn from_canon(value: Canon<'_>) -> Option<Self> {
        T::from_canon(value).map(Some)
    }
    fn unsaid() -> Option<Self> {
        Some(None)
    }
}
impl<T: Typed> Typed for Vec<T> {
    const TY: Ty = Ty::List(&T::TY);
    fn absent(&self) -> bool {
        self.is_empty()
    }
    fn from_canon(value: Canon<'_>) -> Option<Self> {
        let Canon::List(items) = value else { return None };
        items.into_iter().map(T::from_canon).collect()
    }
    fn unsaid() -> Option<Self> {
        Some(Self::new())
    }
}
impl Typed for BTreeMap<String, String> {
    const TY: Ty = Ty::Extra;
    fn absent(&self) -> bool {
        self.is_empty()
    }
    fn from_canon(value: Canon<'_>) -> Option<Self> {
        let Canon::Extra(entries) = value else { return None };
        entries.into_iter().map(|(name, value)| Some((name, String::from_canon(value)?))).collect()
    }
    fn unsaid() -> Option<Self> {
        Some(Self::new())
    }
}

/// A weight in grams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Weight(#[serde(with = "rust_decimal::serde::str")] pub Decimal);

/// An ISO 3166-1 alpha-2 country code.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Country(pub String);

/// Declares a record of canonical fields: the struct, its JSON form and its [`Field`] table from one source.
macro_rules! record {
    (
        $(#[$meta:meta])*
        $name:ident {
            $(required { $( $(#[doc = $rdoc:literal])* $rfield:ident : $rty:ty ),* $(,)? })?
            $(optional { $( $(#[doc = $odoc:literal])* $ofield:ident : $oty:ty ),* $(,)? })?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($( $(#[doc = $rdoc])* pub $rfield: $rty, )*)?
            $($( $(#[doc = $odoc])*
                #[serde(default, skip_serializing_if = "crate::canonical::schema::Typed::absent")]
                pub $ofield: $oty, )*)?
        }
        impl $name {
            /// The fields, in the order of their declaration.
            pub const FIELDS: &'static [$crate::canonical::schema::Field] = &[
                $($( $crate::canonical::schema::Field {
                    name: $crate::canonical::schema::plain(stringify!($rfield)),
                    ty: <$rty as $crate::canonical::schema::Typed>::TY,
                    required: true,
                    doc: concat!($($rdoc),*),
                }, )*)?
                $($( $crate::canonical::schema::Field {
                    name: $crate::canonical::schema::plain(stringify!($ofield)),
                    ty: <$oty as $crate::canonical::schema::Typed>::TY,
                    required: false,
                    doc: concat!($($odoc),*),
                }, )*)?
            ];

            /// The record of these values, one for each of [`Self::FIELDS`].
            ///
            /// # Errors
            /// The name of the first field that is required and missing, or whose value is of another type.
            pub fn assemble(slots: &mut $crate::canonical::canon::Slots<'_>) -> Result<Self, &'static str> {
                use $crate::canonical::schema::{Typed, plain};
                Ok(Self {
                    $($( $rfield: Typed::fill(slots.next().flatten()).ok_or(plain(stringify!($rfield)))?, )*)?
                    $($( $ofield: Typed::fill(slots.next().flatten()).ok_or(plain(stringify!($ofield)))?, )*)?
                })
            }
        }
        impl $crate::canonical::schema::Typed for $name {
            const TY: $crate::canonical::schema::Ty = $crate::canonical::schema::Ty::Record($name::FIELDS);
            fn from_canon(value: $crate::canonical::canon::Canon<'_>) -> Option<Self> {
                let $crate::canonical::canon::Canon::Record(values) = value else { return None };
                Self::assemble(&mut values.into_iter()).ok()
            }
        }
    };
}
pub(crate) use record;

/// The name without the `r#` that Rust wants before its own words.
#[must_use]
pub const fn plain(name: &'static str) -> &'static str {
    match name.as_bytes() {
        [b'r', b'#', ..] => name.split_at(2).1,
        _ => name,
    }
}

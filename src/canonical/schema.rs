//! What fields a fact has and of which type: read by the mapping compiler, the documentation and the editors' schema.

use std::collections::BTreeMap;

use rust_decimal::Decimal;

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
pub trait Typed {
    /// The field type.
    const TY: Ty;
    /// Whether this value says nothing and is left out of the JSON form.
    fn absent(&self) -> bool {
        false
    }
}

macro_rules! typed {
    ($($rust:ty => $ty:expr),* $(,)?) => {
        $(impl Typed for $rust { const TY: Ty = $ty; })*
    };
}
typed! {
    String => Ty::Text,
    i64 => Ty::Integer,
    u64 => Ty::Quantity,
    Decimal => Ty::Decimal,
    Money => Ty::Money,
    When => Ty::Time,
    Currency => Ty::Currency,
    Weight => Ty::Weight,
    Country => Ty::Country,
}
impl Typed for bool {
    const TY: Ty = Ty::Bool;
    fn absent(&self) -> bool {
        !*self
    }
}
impl<T: Typed> Typed for Option<T> {
    const TY: Ty = T::TY;
    fn absent(&self) -> bool {
        self.is_none()
    }
}
impl<T: Typed> Typed for Vec<T> {
    const TY: Ty = Ty::List(&T::TY);
    fn absent(&self) -> bool {
        self.is_empty()
    }
}
impl Typed for BTreeMap<String, String> {
    const TY: Ty = Ty::Extra;
    fn absent(&self) -> bool {
        self.is_empty()
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
        }
        impl $crate::canonical::schema::Typed for $name {
            const TY: $crate::canonical::schema::Ty = $crate::canonical::schema::Ty::Record($name::FIELDS);
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

//! Names of things. Partner ids are strings, always: some pass 2^53. Our own ids are derived from the source
//! reference, so that after a restore from a backup the same things have the same names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

text_id! {
    /// The merchant whose orders these are; named in `config.toml`.
    ClientId
}
text_id! {
    /// One connection to one partner system; the name of an `[account.…]` table in `config.toml`.
    AccountId
}

macro_rules! hash_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub [u8; 16]);

        impl $name {
            /// The id derived from `parts`: the same parts give the same id, and no two lists of parts are confused.
            #[must_use]
            pub fn derive(parts: &[&str]) -> Self {
                let digest = digest(parts);
                let mut bytes = [0_u8; 16];
                bytes.copy_from_slice(&digest[..16]);
                Self(bytes)
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }
        impl FromStr for $name {
            type Err = hex::FromHexError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let mut bytes = [0_u8; 16];
                hex::decode_to_slice(text, &mut bytes)?;
                Ok(Self(bytes))
            }
        }
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

hash_id! {
    /// Identity of a fact (see [`crate::canonical::Fact`]); 32 hexadecimal digits as text.
    FactId
}
hash_id! {
    /// Identity of an intent: entity, slot and generation; 32 hexadecimal digits as text.
    IntentId
}

/// Number of an accepted message in the inbox, in the order of acceptance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct MessageId(pub i64);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What kind of thing an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntityKind {
    /// A sales order with its payments, shipments and returns.
    Order,
    /// The stock of one SKU of one client at one warehouse.
    Stock,
}

/// Name of an entity: a prefix that tells the kind (`ord_`, `stk_`) and 20 letters of a hash.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityId(pub String);

impl EntityId {
    /// The order that `account` (a storefront of `client`) calls `id`.
    #[must_use]
    pub fn order(client: &ClientId, account: &AccountId, id: &str) -> Self {
        Self(format!("ord_{}", base32(&digest(&["order", client.as_str(), account.as_str(), id]))))
    }

    /// The stock of `sku` (our name of it) of `client` at the warehouse account `warehouse`.
    #[must_use]
    pub fn stock(client: &ClientId, warehouse: &AccountId, sku: &str) -> Self {
        Self(format!("stk_{}", base32(&digest(&["stock", client.as_str(), warehouse.as_str(), sku]))))
    }

    /// The kind, read off the prefix.
    #[must_use]
    pub fn kind(&self) -> EntityKind {
        if self.0.starts_with("stk_") { EntityKind::Stock } else { EntityKind::Order }
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for EntityId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

/// What a partner calls a thing.
///
/// `scope` is the account that uses the name, or `client:<client>` for names that are shared by all accounts of a
/// client (tracking numbers, the store's order number).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExternalRef {
    /// Account id, or `client:<client>`.
    pub scope: String,
    /// What kind of name: `order`, `number`, `payment`, `shipment`, `warehouse_order`, `tracking`, `tracker`, `return`, `our`.
    pub kind: String,
    /// The name itself.
    pub id: String,
}

impl ExternalRef {
    /// A name that `account` uses.
    #[must_use]
    pub fn of_account(account: &AccountId, kind: &str, id: &str) -> Self {
        Self { scope: account.0.clone(), kind: kind.to_owned(), id: id.to_owned() }
    }

    /// A name that all accounts of `client` share.
    #[must_use]
    pub fn of_client(client: &ClientId, kind: &str, id: &str) -> Self {
        Self { scope: format!("client:{client}"), kind: kind.to_owned(), id: id.to_owned() }
    }
}

impl fmt::Display for ExternalRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.scope, self.kind, self.id)
    }
}

/// SHA-256 over `parts`, each led by its length.
#[must_use]
pub fn digest(parts: &[&str]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().into()
}

/// The first 100 bits of `bytes` as 20 letters of Crockford's alphabet (no i, l, o, u), lower case.
fn base32(bytes: &[u8; 32]) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut out = String::with_capacity(20);
    let (mut buffer, mut bits) = (0_u32, 0_u32);
    for byte in bytes {
        buffer = (buffer << 8) | u32::from(*byte);
        bits += 8;
        while bits >= 5 && out.len() < 20 {
            bits -= 5;
            let index = usize::try_from((buffer >> bits) & 31).unwrap_or_default();
            out.push(char::from(ALPHABET[index]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_ids_are_stable_and_do_not_run_together() {
        let one = EntityId::order(&"acme".into(), &"shop".into(), "1001");
        assert_eq!(one, EntityId::order(&"acme".into(), &"shop".into(), "1001"));
        assert_ne!(one, EntityId::order(&"acmes".into(), &"hop".into(), "1001"));
        assert_eq!(one.as_str().len(), 24);
        assert_eq!(one.kind(), EntityKind::Order);
        assert_eq!(EntityId::stock(&"acme".into(), &"east".into(), "A").kind(), EntityKind::Stock);
    }

    #[test]
    fn hash_ids_round_trip_as_text() {
        let id = FactId::derive(&["a", "b"]);
        assert_eq!(id.to_string().parse::<FactId>(), Ok(id));
        assert_ne!(id, FactId::derive(&["ab"]));
    }
}

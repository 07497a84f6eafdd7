//! JSON as text.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// A JSON value as text, parsed only into what it is needed as. Where an object has a name twice, the later counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Json(Vec<u8>);

impl Default for Json {
    fn default() -> Self {
        Self(b"null".to_vec())
    }
}

impl Json {
    /// The text of a value; `null` for one that has none.
    #[must_use]
    pub fn of(value: &impl Serialize) -> Self {
        serde_json::to_vec(value).map_or_else(|_| Self::default(), Self)
    }

    /// A text that is JSON.
    #[must_use]
    pub fn from_text(text: Vec<u8>) -> Self {
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0 == b"null"
    }

    /// What it says, as a `T`.
    ///
    /// # Errors
    /// When it is none.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        match serde_json::from_slice(&self.0) {
            Ok(read) => Ok(read),
            // A name that stands twice is no error in a value.
            Err(error) => serde_json::from_slice(&self.0)
                .and_then(|value: Value| serde_json::from_value(value))
                .map_err(|_| error),
        }
    }

    /// What it says; `null` when that cannot be read.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.0).unwrap_or_default()
    }

    /// The fields of an object whose names need no escapes; none of what is no such object.
    #[must_use]
    pub fn fields(&self) -> BTreeMap<&str, &RawValue> {
        serde_json::from_slice(&self.0).unwrap_or_default()
    }

    /// Adds the fields of another object behind its own.
    #[must_use]
    pub fn with(mut self, fields: &[u8]) -> Self {
        let added = fields.trim_ascii().strip_prefix(b"{").and_then(|inner| inner.strip_suffix(b"}"));
        let added = added.map(<[u8]>::trim_ascii).filter(|added| !added.is_empty());
        let whole = self.0.trim_ascii_end().len();
        if let Some(added) = added
            && self.0.starts_with(b"{")
            && self.0[..whole].ends_with(b"}")
        {
            self.0.truncate(whole - 1);
            if self.0.trim_ascii_end().len() > 1 {
                self.0.push(b',');
            }
            self.0.extend_from_slice(added);
            self.0.push(b'}');
        }
        self
    }

    /// Without the field `name` of its object, which has the value `value`, as this very code writes them.
    #[must_use]
    pub fn without(mut self, name: &str, value: &Self) -> Self {
        let mut field = Self::of(&name).0;
        field.push(b':');
        field.extend_from_slice(&value.0);
        if let Some(at) = self.0.windows(field.len()).position(|part| part == field) {
            let end = at + field.len();
            // With the comma behind it, or else the one before.
            let behind = self.0.get(end) == Some(&b',');
            let before = at > 0 && self.0[at - 1] == b',';
            let (from, to) = if behind { (at, end + 1) } else { (at - usize::from(before), end) };
            self.0.drain(from..to);
        }
        self
    }
}

/// The value itself, not its text.
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_slice(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        Ok(Self(Box::<str>::from(raw).into_boxed_bytes().into_vec()))
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self::of(&value)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_taken_out_and_put_back() {
        let part = json!({ "email": "x\",\"contact\":{}" });
        for (whole, rest) in [
            (json!({ "contact": part, "id": 1 }), json!({ "id": 1 })),
            (json!({ "a": [1], "contact": part, "id": 1 }), json!({ "a": [1], "id": 1 })),
            (json!({ "a": [1], "contact": part }), json!({ "a": [1] })),
            (json!({ "contact": part }), json!({})),
            (json!({ "a": "\"contact\":{}" }), json!({ "a": "\"contact\":{}" })),
        ] {
            let without = Json::of(&whole).without("contact", &Json::of(&part));
            assert_eq!(without.value(), rest);
            if whole.get("contact").is_some() {
                let with = without.with(Json::of(&json!({ "contact": part })).text());
                assert_eq!(with.value(), whole);
            }
        }
        assert_eq!(Json::of(&json!({ "a": 1 })).with(b" { } ").value(), json!({ "a": 1 }));
        assert_eq!(Json::default().with(b"{\"a\":1}"), Json::default());
    }

    #[test]
    fn it_stands_in_other_values_as_it_is() {
        let inner = json!({ "a": [1, "x\"", null], "n": 1.50 });
        let whole = json!({ "in": Json::of(&inner) });
        assert_eq!(whole, json!({ "in": inner }));
        let back: BTreeMap<String, Json> = serde_json::from_value(whole).unwrap();
        assert_eq!(back["in"].value(), inner);
        let text = serde_json::to_string(&back).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({ "in": inner }));
        assert!(serde_json::to_string(&Json::from_text(b"{".to_vec())).is_err());
    }

    #[test]
    fn the_later_of_two_counts() {
        #[derive(serde::Deserialize)]
        struct One {
            a: u8,
        }
        let twice = Json::of(&json!({ "a": 1 })).with(b"{\"a\":2}");
        assert_eq!((twice.value(), twice.read::<One>().unwrap().a), (json!({ "a": 2 }), 2));
        assert!(Json::of(&json!({})).read::<One>().is_err());
    }
}

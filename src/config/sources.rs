//! The texts of all files that people edit, as one value: what is read from disk or embedded is handed in as this,
//! so that checking needs no disk.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// Files by path. Paths are relative to the folder of `config.toml` and use `/`:
/// `connectors/shopify/connector.toml`, `mappings/clients/acme/shopify/order.toml`, `lists/acme-skus.csv`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sources {
    /// Path to text.
    pub files: BTreeMap<String, String>,
}

impl Sources {
    /// The text of the file at `path`.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Paths and texts of all files whose path begins with `prefix`, in the order of their paths.
    pub fn under<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.files
            .range(prefix.to_owned()..)
            .take_while(move |(path, _)| path.starts_with(prefix))
            .map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// Adds a file, or replaces the one that is there.
    pub fn insert(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.files.insert(path.into(), text.into());
    }

    /// Lays `other` over these files: file by file, its own win.
    pub fn overlay(&mut self, other: Self) {
        self.files.extend(other.files);
    }

    /// Twelve hexadecimal digits that change when any path or text changes.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, text) in &self.files {
            for part in [path, text] {
                hash.update(part.len().to_string().as_bytes());
                hash.update(b":");
                hash.update(part.as_bytes());
            }
        }
        hex::encode(&hash.finalize()[..6])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_lies_under_a_prefix() {
        let mut sources = Sources::default();
        sources.insert("connectors/a/connector.toml", "1");
        sources.insert("connectors/b/connector.toml", "2");
        sources.insert("mappings/a/order.in.toml", "3");
        assert_eq!(sources.under("connectors/").count(), 2);
        assert_eq!(sources.under("connectors/b/").next(), Some(("connectors/b/connector.toml", "2")));
        assert_eq!(sources.get("mappings/a/order.in.toml"), Some("3"));
        let before = sources.digest();
        sources.insert("mappings/a/order.in.toml", "4");
        assert_ne!(before, sources.digest());
    }
}

//! What was in force when: an entry a generation, which files it was made of, and their texts, so that an old version
//! can be looked at and a message's facts can be told apart by what made them.
//!
//! Texts stand once each, under their digest; writing an entry twice changes nothing, so a crash in between is mended by
//! the next start.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::config::Sources;
use crate::ports::{Store, StoreError};

/// Entries, by the time at which they came into force.
const ENTRIES: &str = "generation";
/// The files of a generation: path to digest.
const FILES: &str = "generation_files";
/// Texts by digest, lz4 and base64.
const TEXTS: &str = "generation_text";
/// The space and key of the entry in force.
const ACTIVE: (&str, &str) = ("config", "active");

/// A generation as it came into force. The same files have the same name, so one may come more than once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its name: a digest of all files.
    pub generation: String,
    /// The generation in whose place it came, on the node that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// When it came into force.
    pub at: Timestamp,
    /// Who or what brought it: `start`, `files`, `signal`, a person's name.
    #[serde(default)]
    pub by: String,
    /// Why, where a person said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Paths that differ from the one before, in order.
    #[serde(default)]
    pub changed: Vec<String>,
}

impl Entry {
    /// `generation 1a2b3c4d5e6f (lists/acme-skus.csv, by maria)`: what fixed something.
    #[must_use]
    pub fn words(&self) -> String {
        let files = match self.changed.as_slice() {
            [] => String::new(),
            [one] => format!("{one}, "),
            [one, other] => format!("{one}, {other}, "),
            [one, rest @ ..] => format!("{one} and {} more, ", rest.len()),
        };
        format!("generation {} ({files}by {})", self.generation, self.by)
    }
}

/// The entry in force.
///
/// # Errors
/// When the store cannot be read.
pub async fn active(store: &dyn Store) -> Result<Option<Entry>, StoreError> {
    let value = store.get(ACTIVE.0, ACTIVE.1).await?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// All entries, newest first.
///
/// # Errors
/// When the store cannot be read.
pub async fn entries(store: &dyn Store) -> Result<Vec<Entry>, StoreError> {
    let all = store.all(ENTRIES).await?;
    Ok(all.into_iter().rev().filter_map(|(_, value)| serde_json::from_value(value).ok()).collect())
}

/// The paths of a generation's files, with the digest of each text.
///
/// # Errors
/// When the store cannot be read.
pub async fn files(
    store: &dyn Store,
    generation: &str,
) -> Result<Option<BTreeMap<String, String>>, StoreError> {
    let value = store.get(FILES, generation).await?;
    Ok(value.and_then(|value| serde_json::from_value(value).ok()))
}

/// The text with this digest.
///
/// # Errors
/// When the store cannot be read.
pub async fn text(store: &dyn Store, digest: &str) -> Result<Option<String>, StoreError> {
    let Some(Value::String(packed)) = store.get(TEXTS, digest).await? else { return Ok(None) };
    let bytes =
        STANDARD.decode(packed).ok().and_then(|bytes| lz4_flex::decompress_size_prepended(&bytes).ok());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .map(Some)
        .ok_or_else(|| StoreError::Corrupt(format!("the text {digest} of a generation")))
}

/// All files of a generation.
///
/// # Errors
/// When the store cannot be read.
pub async fn sources(store: &dyn Store, generation: &str) -> Result<Option<Sources>, StoreError> {
    let Some(files) = files(store, generation).await? else { return Ok(None) };
    let digests: Vec<&String> = files.values().collect::<BTreeSet<_>>().into_iter().collect();
    let texts = futures::future::try_join_all(digests.iter().map(|digest| text(store, digest))).await?;
    let known: BTreeMap<&String, String> =
        digests.into_iter().zip(texts).filter_map(|(digest, text)| Some((digest, text?))).collect();
    let mut sources = Sources::default();
    for (path, digest) in &files {
        let Some(text) = known.get(digest) else { return Ok(None) };
        sources.insert(path.clone(), text.clone());
    }
    Ok(Some(sources))
}

/// Writes `entry`, whose files are `sources`, into the history, and makes it the one in force.
///
/// # Errors
/// When the store cannot be written; the one before is in force then.
pub async fn record(store: &dyn Store, entry: &Entry, sources: &Sources) -> Result<(), StoreError> {
    let files: BTreeMap<&str, String> =
        sources.files.iter().map(|(path, text)| (path.as_str(), digest(text))).collect();
    if store.get(FILES, &entry.generation).await?.is_none() {
        let texts: BTreeMap<&String, &String> = files.values().zip(sources.files.values()).collect();
        let known =
            futures::future::try_join_all(texts.keys().map(|digest| store.get(TEXTS, digest))).await?;
        let new = texts.into_iter().zip(known).filter(|(_, known)| known.is_none());
        let writes = new.map(|((digest, text), _)| {
            let packed = STANDARD.encode(lz4_flex::compress_prepend_size(text.as_bytes()));
            store.put(TEXTS, digest, Value::String(packed), None)
        });
        // Side by side: the store makes one group of them.
        futures::future::try_join_all(writes.collect::<Vec<_>>()).await?;
        store.put(FILES, &entry.generation, json!(files), None).await?;
    }
    let value = serde_json::to_value(entry).unwrap_or_default();
    store.put(ENTRIES, &format!("{:020}", entry.at.as_nanosecond()), value.clone(), None).await?;
    store.put(ACTIVE.0, ACTIVE.1, value, None).await?;
    Ok(())
}

/// The paths at which two sets of files differ.
#[must_use]
pub fn changed(before: &Sources, after: &Sources) -> Vec<String> {
    let paths: BTreeSet<&String> = before.files.keys().chain(after.files.keys()).collect();
    paths.into_iter().filter(|path| before.get(path) != after.get(path)).cloned().collect()
}

fn digest(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..16])
}

//! Signatures of webhooks: checked in constant time, on the raw body, with every live secret.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Sha256, Sha512};
use thiserror::Error;
use unicode_normalization::UnicodeNormalization as _;

use super::manifest::{Digest, Encoding, KeyForm, Signature};
use super::template::Part;

/// Why a webhook is not believed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// The account has no secret that could verify it.
    #[error("the account has no secret to verify it with")]
    NoSecret,
    /// The header is not there.
    #[error("there is no header {0}")]
    NoHeader(String),
    /// The header is not of the form that the manifest says.
    #[error("the header {0} is malformed: {1}")]
    Malformed(String, String),
    /// It was signed too long ago, or in the future.
    #[error("it was signed {0} s away from now; at most {1} s are tolerated")]
    Stale(u64, u64),
    /// No live secret gives this signature.
    #[error("no live secret gives this signature")]
    Mismatch,
}

/// Checks the signature of a webhook. `url` is the address that the partner called.
///
/// # Errors
/// When it does not verify; see [`SignatureError`].
pub fn verify(
    signature: &Signature,
    secrets: &[SecretString],
    headers: &[(String, String)],
    body: &[u8],
    url: &str,
    now: Timestamp,
) -> Result<(), SignatureError> {
    let Signature::Hmac(scheme) = signature else { return Ok(()) };
    let keys: Vec<Vec<u8>> =
        secrets.iter().filter_map(|secret| key_bytes(scheme.key, secret.expose_secret())).collect();
    if keys.is_empty() {
        return Err(SignatureError::NoSecret);
    }
    let (name, value) = scheme
        .headers
        .iter()
        .find_map(|name| header(headers, name).map(|value| (name, value)))
        .ok_or_else(|| SignatureError::NoHeader(scheme.headers.join(" or ")))?;
    let malformed = |what: &str| SignatureError::Malformed(name.clone(), what.to_owned());

    let (mut time, given) = match &scheme.form {
        Some((time_key, signature_key)) => fields(value, time_key, signature_key),
        None => (None, vec![value]),
    };
    if let Some(name) = &scheme.time {
        time = header(headers, name);
        if time.is_none() {
            return Err(SignatureError::NoHeader(name.clone()));
        }
    }
    if given.is_empty() {
        return Err(malformed("it carries no signature"));
    }
    if let Some(tolerance) = scheme.tolerance {
        let signed: i64 =
            time.and_then(|text| text.parse().ok()).ok_or_else(|| malformed("it carries no time"))?;
        let away = now.as_second().abs_diff(signed);
        if away > tolerance.as_secs() {
            return Err(SignatureError::Stale(away, tolerance.as_secs()));
        }
    }
    let given: Vec<Vec<u8>> = given
        .into_iter()
        .filter_map(|text| text.trim().strip_prefix(scheme.prefix.as_str()))
        .filter_map(|text| decode(scheme.encoding, text.trim()))
        .collect();
    if given.is_empty() {
        let encoding = match scheme.encoding {
            Encoding::Base64 => "base64",
            Encoding::Hex => "hexadecimal",
        };
        return Err(malformed(&format!("expected `{}` and {encoding}", scheme.prefix)));
    }

    let message = scheme.signed.parts().map(|part| piece(&part, body, time.unwrap_or_default(), url));
    let message: Vec<u8> = message.collect::<Vec<_>>().concat();
    // Every pair is tried, whatever came before, so that the time taken does not tell which one was near.
    let mut fits = false;
    for key in &keys {
        for tag in &given {
            fits |= verify_one(scheme.digest, key, &message, tag);
        }
    }
    if fits { Ok(()) } else { Err(SignatureError::Mismatch) }
}

/// The headers that a partner would send with `body`, signed with `secret`: for simulated partners and tests. Empty when
/// the secret cannot be a key, or nothing is signed.
#[must_use]
pub fn sign(
    signature: &Signature,
    secret: &SecretString,
    body: &[u8],
    url: &str,
    now: Timestamp,
) -> Vec<(String, String)> {
    let Signature::Hmac(scheme) = signature else { return Vec::new() };
    let (Some(key), Some(name)) = (key_bytes(scheme.key, secret.expose_secret()), scheme.headers.first())
    else {
        return Vec::new();
    };
    let time = now.as_second().to_string();
    let message = scheme.signed.parts().map(|part| piece(&part, body, &time, url));
    let tag = tag(scheme.digest, &key, &message.collect::<Vec<_>>().concat());
    let tag = match scheme.encoding {
        Encoding::Base64 => STANDARD.encode(tag),
        Encoding::Hex => hex::encode(tag),
    };
    let tag = format!("{}{tag}", scheme.prefix);
    let value = match &scheme.form {
        Some((time_key, signature_key)) => format!("{time_key}={time},{signature_key}={tag}"),
        None => tag,
    };
    let mut headers = vec![(name.clone(), value)];
    headers.extend(scheme.time.clone().map(|name| (name, time)));
    headers
}

fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// Time and signatures of a header such as `t=1,v1=ab,v1=cd,v0=ef`.
fn fields<'h>(value: &'h str, time_key: &str, signature_key: &str) -> (Option<&'h str>, Vec<&'h str>) {
    let mut time = None;
    let mut given = Vec::new();
    for (key, value) in value.split(',').filter_map(|field| field.split_once('=')) {
        if key.trim() == time_key {
            time = time.or(Some(value.trim()));
        } else if key.trim() == signature_key {
            given.push(value.trim());
        }
    }
    (time, given)
}

fn piece<'p>(part: &Part<'p>, body: &'p [u8], time: &'p str, url: &'p str) -> &'p [u8] {
    match part {
        Part::Text(text) => text.as_bytes(),
        Part::Hole("body") => body,
        Part::Hole("time") => time.as_bytes(),
        Part::Hole("url") => url.as_bytes(),
        Part::Hole(_) => &[],
    }
}

/// The key that a secret stands for; `None` for an empty or undecodable one, which must never verify anything.
fn key_bytes(form: KeyForm, secret: &str) -> Option<Vec<u8>> {
    let key = match form {
        KeyForm::Text => secret.as_bytes().to_vec(),
        KeyForm::Nfkd => secret.nfkd().collect::<String>().into_bytes(),
        KeyForm::Hex => hex::decode(secret.trim()).ok()?,
        KeyForm::Base64 => STANDARD.decode(secret.trim()).ok()?,
    };
    (!key.is_empty()).then_some(key)
}

fn decode(encoding: Encoding, text: &str) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Hex => hex::decode(text).ok(),
    }
}

fn verify_one(digest: Digest, key: &[u8], message: &[u8], given: &[u8]) -> bool {
    match digest {
        Digest::Sha256 => Hmac::<Sha256>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(message).verify_slice(given).is_ok()),
        Digest::Sha512 => Hmac::<Sha512>::new_from_slice(key)
            .is_ok_and(|mac| mac.chain_update(message).verify_slice(given).is_ok()),
        Digest::Sha1 => ring::hmac::verify(&sha1_key(key), message, given).is_ok(),
    }
}

fn tag(digest: Digest, key: &[u8], message: &[u8]) -> Vec<u8> {
    match digest {
        Digest::Sha256 => Hmac::<Sha256>::new_from_slice(key)
            .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
            .unwrap_or_default(),
        Digest::Sha512 => Hmac::<Sha512>::new_from_slice(key)
            .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
            .unwrap_or_default(),
        Digest::Sha1 => ring::hmac::sign(&sha1_key(key), message).as_ref().to_vec(),
    }
}

fn sha1_key(key: &[u8]) -> ring::hmac::Key {
    ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key)
}

//! Published test vectors of signatures, and every way in which a signature may be wrong.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::fs;
use std::path::PathBuf;

use crossdock::config::{Sources, embedded};
use crossdock::connector::manifest::Signature;
use crossdock::connector::signature::{SignatureError, sign, verify};
use crossdock::connector::{self};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::Value;

type Headers = Vec<(String, String)>;

/// The scheme of `[webhook.signature]` in `toml`.
fn scheme(toml: &str) -> Signature {
    let mut sources = Sources::default();
    let manifest = format!(
        "[connector]\nserves = [\"storefront\"]\n[secret.webhook]\nseveral = true\n[http]\nbase = \"https://x.example\"\n\
         [webhook]\ntopic = \"type\"\n[webhook.topics]\n\"*\" = \"ignore\"\n[webhook.signature]\n{toml}\n"
    );
    sources.insert("connectors/x/connector.toml", manifest);
    let (registry, problems) = connector::load(&sources);
    assert!(problems.is_empty(), "{problems:?}");
    registry.get("x").unwrap().manifest.webhook.clone().unwrap().signature
}

fn shipped(name: &str) -> Signature {
    let (registry, _) = connector::load(&embedded());
    let connector = registry.get(name).unwrap_or_else(|| panic!("{name} did not load"));
    connector.manifest.webhook.clone().unwrap().signature
}

fn secret(text: &str) -> SecretString {
    SecretString::from(text.to_owned())
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

const SQUARE: &str = "scheme = \"hmac-sha256\"\nheader = \"x-square-hmacsha256-signature\"\nencoding = \"base64\"\n\
                      signed = \"{url}{body}\"\nsecret = \"webhook\"";

#[expect(clippy::disallowed_methods, reason = "where the vectors lie is told by the environment")]
#[test]
fn published_vectors_come_out_as_expected() {
    let folder = std::env::var("CROSSDOCK_FIXTURES").map_or_else(
        |_| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/fixtures")),
        PathBuf::from,
    );
    let Ok(text) = fs::read_to_string(folder.join("signatures.json")) else {
        println!("{}: not there: no vector could run", folder.display());
        return;
    };
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let mut run = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let name = vector["scheme"].as_str().unwrap();
        let scheme = match name {
            "stripe" => shipped("stripe"),
            "shopify-webhook" => shipped("shopify"),
            "easypost-hmac" => shipped("easypost"),
            "square" => scheme(SQUARE),
            other => {
                println!("{other}: no scheme of ours, skipped");
                continue;
            }
        };
        let mut headers: Headers = vector["header"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
            .collect();
        if let (true, Some(expected), Signature::Hmac(hmac)) =
            (headers.is_empty(), vector["expected_signature"].as_str(), &scheme)
        {
            // As some partners' own libraries write it: with a line end.
            headers.push((hmac.headers[0].clone(), format!("{expected}\n")));
        }
        let body = vector["body"].as_str().unwrap().as_bytes();
        let now = at(vector["now"].as_i64().unwrap_or(0));
        let secrets = [secret(vector["secret"].as_str().unwrap())];
        let url = vector["url"].as_str().unwrap_or_default();
        let found = verify(&scheme, &secrets, &headers, body, url, now);
        let expected = vector["expected"].as_str().unwrap();
        assert_eq!(found.is_ok(), expected == "valid", "{name}: {expected}: {found:?}");
        run += 1;
    }
    println!("{run} vectors");
    assert!(run >= 5);
}

/// The same outcome for every shipped scheme: its own signature fits, and nothing else does.
#[test]
fn shipped_schemes_take_their_own_signature_and_no_other() {
    let body = "{\"id\":1,\"name\":\"Zoë\"}".as_bytes();
    let (now, url) = (at(1_700_000_000), "https://crossdock.example.com/hooks/a");
    for name in ["shopify", "shiphero", "easypost", "stripe"] {
        let scheme = shipped(name);
        let (old, new, other) = (secret("old"), secret("new"), secret("other"));
        let headers = sign(&scheme, &old, body, url, now);
        let both = [new, old];
        assert_eq!(verify(&scheme, &both, &headers, body, url, now), Ok(()), "{name}");
        // Header names in any letter case.
        let upper: Headers = headers.iter().map(|(key, value)| (key.to_uppercase(), value.clone())).collect();
        assert_eq!(verify(&scheme, &both, &upper, body, url, now), Ok(()), "{name}");
        // Another body, another secret, no secret, no header.
        let mut changed = body.to_vec();
        changed.push(b' ');
        assert_eq!(
            verify(&scheme, &both, &headers, &changed, url, now),
            Err(SignatureError::Mismatch),
            "{name}"
        );
        assert_eq!(
            verify(&scheme, &[other], &headers, body, url, now),
            Err(SignatureError::Mismatch),
            "{name}"
        );
        assert_eq!(verify(&scheme, &[], &headers, body, url, now), Err(SignatureError::NoSecret), "{name}");
        assert_eq!(
            verify(&scheme, &[secret("")], &headers, body, url, now),
            Err(SignatureError::NoSecret),
            "{name}"
        );
        let none = verify(&scheme, &both, &Headers::new(), body, url, now);
        assert!(matches!(none, Err(SignatureError::NoHeader(_))), "{name}: {none:?}");
        // Each byte of the signature counts, and a part of it is not enough.
        for (index, (key, value)) in headers.iter().enumerate() {
            for at in 0..value.len() {
                let mut wrong = value.clone().into_bytes();
                wrong[at] = if wrong[at] == b'0' { b'1' } else { b'0' };
                let mut forged = headers.clone();
                forged[index] = (key.clone(), String::from_utf8(wrong).unwrap());
                assert!(
                    verify(&scheme, &both, &forged, body, url, now).is_err(),
                    "{name}: byte {at} of {value}"
                );
            }
            for length in 0..value.len() {
                let mut cut = headers.clone();
                cut[index] = (key.clone(), value[..length].to_owned());
                assert!(
                    verify(&scheme, &both, &cut, body, url, now).is_err(),
                    "{name}: {length} bytes of {value}"
                );
            }
        }
    }
}

#[test]
fn stripe_tolerates_five_minutes_and_several_signatures() {
    let scheme = shipped("stripe");
    let (key, body) = (secret("whsec_1"), b"{}");
    let headers = sign(&scheme, &key, body, "", at(1000));
    let judge =
        |headers: &Headers, now: i64| verify(&scheme, &[secret("whsec_1")], headers, body, "", at(now));
    assert_eq!(judge(&headers, 1300), Ok(()));
    assert_eq!(judge(&headers, 700), Ok(()));
    assert_eq!(judge(&headers, 1301), Err(SignatureError::Stale(301, 300)));
    assert_eq!(judge(&headers, 699), Err(SignatureError::Stale(301, 300)));
    let right = headers[0].1.rsplit("v1=").next().unwrap().to_owned();
    let with = |value: String| vec![("Stripe-Signature".to_owned(), value)];
    let wrong = "0".repeat(64);
    assert_eq!(judge(&with(format!("t=1000,v1={wrong},v1={right}")), 1000), Ok(()));
    assert_eq!(judge(&with(format!("t=1000, v1={right}, v0={wrong}")), 1000), Ok(()));
    // The old scheme alone is not believed, and a time that was not signed does not help.
    assert!(judge(&with(format!("t=1000,v0={right}")), 1000).is_err());
    assert!(judge(&with(format!("t=1001,v1={right}")), 1000).is_err());
    assert!(judge(&with(format!("t=1001,t=1000,v1={right}")), 1000).is_err());
    assert!(judge(&with(format!("v1={right}")), 1000).is_err());
    assert!(judge(&with(format!("t=soon,v1={right}")), 1000).is_err());
}

#[test]
fn easypost_normalises_the_secret_and_takes_either_letter_case() {
    let scheme = shipped("easypost");
    // One sign, and the same as letter and accent.
    let (composed, decomposed) = (secret("s\u{e9}cret"), secret("se\u{301}cret"));
    let headers = sign(&scheme, &composed, b"{}", "", at(0));
    assert_eq!(verify(&scheme, &[decomposed], &headers, b"{}", "", at(0)), Ok(()));
    let (prefix, digits) = headers[0].1.rsplit_once('=').unwrap();
    let upper = vec![(headers[0].0.clone(), format!("{prefix}={}", digits.to_uppercase()))];
    assert_eq!(verify(&scheme, &[composed], &upper, b"{}", "", at(0)), Ok(()));
    let bare = vec![(headers[0].0.clone(), digits.to_owned())];
    assert!(verify(&scheme, &[secret("s\u{e9}cret")], &bare, b"{}", "", at(0)).is_err());
}

#[test]
fn shopify_takes_the_header_without_its_prefix() {
    let scheme = shipped("shopify");
    let headers = sign(&scheme, &secret("k"), b"{}", "", at(0));
    let other = vec![("shopify-hmac-sha256".to_owned(), headers[0].1.clone())];
    assert_eq!(verify(&scheme, &[secret("k")], &other, b"{}", "", at(0)), Ok(()));
}

#[test]
fn digests_keys_and_encodings_are_those_of_rfc_4231() {
    // RFC 4231, test case 2; RFC 2202, test case 2.
    let (key, body) = ("4a656665", b"what do ya want for nothing?");
    for (digest, expected) in [
        ("sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (
            "sha512",
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
        ),
        ("sha1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
    ] {
        let toml = format!(
            "scheme = \"hmac-{digest}\"\nheader = \"Sig\"\nencoding = \"hex\"\nsecret = \"webhook\"\nkey = \"hex\"\nprefix = \"{digest}=\""
        );
        let headers = vec![("sig".to_owned(), format!("{digest}={expected}"))];
        assert_eq!(verify(&scheme(&toml), &[secret(key)], &headers, body, "", at(0)), Ok(()), "{digest}");
        assert_eq!(
            sign(&scheme(&toml), &secret(key), body, "", at(0)),
            [("Sig".to_owned(), format!("{digest}={expected}"))]
        );
        // A key that cannot be decoded verifies nothing.
        let found = verify(&scheme(&toml), &[secret("no hex")], &headers, body, "", at(0));
        assert_eq!(found, Err(SignatureError::NoSecret), "{digest}");
    }
}

#[test]
fn the_time_may_stand_in_a_header_of_its_own() {
    let toml = "scheme = \"hmac-sha256\"\nheader = \"X-Sig\"\nencoding = \"hex\"\nsecret = \"webhook\"\n\
                time = \"X-Time\"\nsigned = \"v0:{time}:{body}\"\ntolerance = \"5m\"";
    let scheme = scheme(toml);
    let headers = sign(&scheme, &secret("k"), b"body", "", at(5000));
    assert_eq!(headers[1], ("X-Time".to_owned(), "5000".to_owned()));
    assert_eq!(verify(&scheme, &[secret("k")], &headers, b"body", "", at(5000)), Ok(()));
    let mut moved = headers.clone();
    moved[1].1 = "5001".to_owned();
    assert_eq!(verify(&scheme, &[secret("k")], &moved, b"body", "", at(5000)), Err(SignatureError::Mismatch));
    assert!(verify(&scheme, &[secret("k")], &headers[..1], b"body", "", at(5000)).is_err());
}

#[test]
fn the_body_is_signed_byte_for_byte() {
    let scheme = scheme(SQUARE);
    let body = [0xff, 0x00, b'{', b'u', b'r', b'l', b'}'];
    let headers = sign(&scheme, &secret("k"), &body, "https://a/b", at(0));
    assert_eq!(verify(&scheme, &[secret("k")], &headers, &body, "https://a/b", at(0)), Ok(()));
    assert!(verify(&scheme, &[secret("k")], &headers, &body, "https://a/c", at(0)).is_err());
}

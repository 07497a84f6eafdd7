//! Tokens at rest: sealed with ChaCha20-Poly1305, bound to the account that they are of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{SHA256, digest};

/// Seals and opens small texts.
pub struct Seal {
    key: LessSafeKey,
}

impl std::fmt::Debug for Seal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    /// A seal with the key that `secret` gives, whatever its length.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, digest(&SHA256, secret).as_ref()).ok()?;
        Some(Self { key: LessSafeKey::new(key) })
    }

    /// `plain`, sealed for `whose`. `chance` must be new each time: 96 of its bits are the nonce.
    #[must_use]
    pub fn close(&self, whose: &str, plain: &str, chance: [u64; 2]) -> Option<String> {
        let mut nonce = [0_u8; NONCE_LEN];
        nonce[..8].copy_from_slice(&chance[0].to_le_bytes());
        nonce[8..].copy_from_slice(&chance[1].to_le_bytes()[..4]);
        let mut sealed = plain.as_bytes().to_vec();
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(whose.as_bytes()),
                &mut sealed,
            )
            .ok()?;
        let mut out = nonce.to_vec();
        out.append(&mut sealed);
        Some(STANDARD.encode(out))
    }

    /// What was sealed for `whose`; none when it was sealed with another key, for another, or was changed.
    #[must_use]
    pub fn open(&self, whose: &str, sealed: &str) -> Option<String> {
        let mut bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, body) = bytes.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.key.open_in_place(nonce, Aad::from(whose.as_bytes()), body).ok()?;
        String::from_utf8(plain.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_key_and_account_open_it() {
        let seal = Seal::new(b"a secret").unwrap();
        let sealed = seal.close("east", "token", [1, 2]).unwrap();
        assert!(!sealed.contains("token"));
        assert_eq!(seal.open("east", &sealed).as_deref(), Some("token"));
        assert_eq!(seal.open("west", &sealed), None);
        assert_eq!(Seal::new(b"another").unwrap().open("east", &sealed), None);
        assert_eq!(seal.open("east", "AAAA"), None);
        assert_ne!(seal.close("east", "token", [1, 3]).unwrap(), sealed);
    }
}

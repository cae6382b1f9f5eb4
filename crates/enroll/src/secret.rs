//! One-time enrollment secrets: bound to one record, expiring, and never stored. The server derives each from a sealed
//! key whenever it needs it; what the log has is only that it was given out, and that it was used.
//!
//! A secret reads `<id>-<mac>`: the id says which one it is (CMP's reference, ACME's EAB key id), the whole text is what
//! proves it (EST password, SCEP challenge, CMP and EAB MAC key).

use std::fmt;

use aws_lc_rs::{constant_time, hmac};
use data_encoding::BASE32_NOPAD;
use lanyard_domain::id::StreamId;
pub use lanyard_domain::id::{BadSecretId, SecretId};
use lanyard_domain::time::Timestamp;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// 192 bits of a MAC: no one guesses it, it still fits a line that a person types, and the whole text is a multiple of 16
/// octets, without which dehydrated breaks keys of external account binding.
const MAC_BYTES: usize = 24;
/// Longest text that can be a secret: 8 + 1 + 39 characters.
pub const SECRET_CHARS: usize = 48;

/// The sealed key that all secrets are derived from.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl SecretKey {
    /// From the sealed key's bytes.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret of this id, for this record, until then. Other arguments, another secret.
    pub fn derive(&self, id: SecretId, subject: StreamId, expires: Timestamp) -> Secret {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        mac.update(b"lanyard enrollment secret v1\0");
        mac.update(id.as_bytes());
        mac.update(subject.as_bytes());
        mac.update(&expires.as_micros().to_be_bytes());
        let tag = mac.sign();
        let proof = BASE32_NOPAD.encode(tag.as_ref().get(..MAC_BYTES).unwrap_or_default());
        Secret { id, text: format!("{id}-{}", proof.to_ascii_lowercase()) }
    }

    /// 32 bytes for another use of the same key: `label` says which, each part is told from the next by its length.
    pub fn tag(&self, label: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &self.0));
        for part in [label].iter().chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        let mut out = [0; 32];
        for (to, from) in out.iter_mut().zip(mac.sign().as_ref()) {
            *to = *from;
        }
        out
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// A secret's text.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret {
    #[zeroize(skip)]
    id: SecretId,
    text: String,
}

/// That a sender knew a secret. Made only by [`Secret::prove`] and [`Secret::prove_mac`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretProven {
    id: SecretId,
}

impl SecretProven {
    /// Which.
    pub fn id(&self) -> SecretId {
        self.id
    }
}

impl Secret {
    /// Which.
    pub fn id(&self) -> SecretId {
        self.id
    }

    /// To show to the person who asked for it, once.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether `presented` is this secret. Case and surrounding space are forgiven: people type it.
    pub fn prove(&self, presented: &str) -> Option<SecretProven> {
        let typed = presented.trim().to_ascii_lowercase();
        constant_time::verify_slices_are_equal(typed.as_bytes(), self.text.as_bytes())
            .ok()
            .map(|()| SecretProven { id: self.id })
    }

    /// Whether the sender's MAC was made with this secret; `check` gets the key and must compare in constant time.
    pub fn prove_mac(&self, check: impl FnOnce(&[u8]) -> bool) -> Option<SecretProven> {
        check(self.text.as_bytes()).then_some(SecretProven { id: self.id })
    }
}

#[cfg(test)]
impl Secret {
    /// As secrets were when the messages under `cmp/vectors` were recorded: 160 bits of MAC, 41 characters.
    pub(crate) fn into_recorded(mut self) -> Self {
        self.text.truncate(41);
        self
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({}, [redacted])", self.id)
    }
}

/// The id in a presented text, to look the secret up by. Says nothing about the rest.
pub fn id_of(presented: &str) -> Result<SecretId, BadSecretId> {
    let text = presented.trim();
    if text.len() > SECRET_CHARS {
        return Err(BadSecretId);
    }
    text.split_once('-').ok_or(BadSecretId)?.0.to_ascii_lowercase().parse()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> Secret {
        let key = SecretKey::new([7; 32]);
        key.derive(SecretId::from_random([1; 5]), StreamId::from_bytes([2; 16]), Timestamp::from_seconds(3))
    }

    #[test]
    fn only_the_whole_text_proves_a_secret() {
        let secret = secret();
        let text = secret.reveal().to_owned();
        assert_eq!(text.len(), SECRET_CHARS);
        assert_eq!(id_of(&text), Ok(secret.id()));
        assert!(secret.prove(&format!(" {} ", text.to_uppercase())).is_some());
        for at in 0..text.len() {
            assert!(secret.prove(text.get(..at).unwrap()).is_none(), "{at}");
        }
        assert!(secret.prove(&format!("{text}a")).is_none());
        assert!(id_of(&format!("{text}a")).is_err());
    }

    // R36: a secret is good for one record and one time.
    #[test]
    fn another_record_or_another_end_is_another_secret() {
        let key = SecretKey::new([7; 32]);
        let (id, at) = (SecretId::from_random([1; 5]), Timestamp::from_seconds(3));
        let other = key.derive(id, StreamId::from_bytes([9; 16]), at);
        assert!(other.prove(secret().reveal()).is_none());
        let later = key.derive(id, StreamId::from_bytes([2; 16]), at.plus_seconds(1));
        assert!(later.prove(secret().reveal()).is_none());
    }

    // I10
    #[test]
    fn nothing_secret_is_printed() {
        assert!(!format!("{:?}", secret()).contains(secret().reveal().split_once('-').unwrap().1));
    }
}

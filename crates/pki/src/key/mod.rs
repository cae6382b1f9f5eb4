//! Keys that sign: the [`KeyBackend`] seam, and the sealed software backend behind it.
//!
//! A key is generated in its backend and never leaves it (I10); callers hold a [`KeyLabel`]. In scope: P-256
//! and P-384 signing keys, sealing of other secrets at rest ([`seal`]), where the passphrase comes from
//! ([`passphrase`]). Out of scope: which key signs what (the caller's), hardware modules (they implement
//! [`KeyBackend`] elsewhere and run [`contract::check`]).
//!
//! To add a backend: implement [`KeyBackend`], run [`contract::check`] in its tests.
//!
//! | state | lost | rolled back | written by an attacker |
//! |---|---|---|---|
//! | a sealed key file | the CA key is gone: new CA generation, renew the fleet; restore it from a backup together with the passphrase | an older file under the same label holds another key: [`crate::authority::Issuer::new`] and every signature compare it with the CA certificate and refuse | without the passphrase no file that opens can be written; any changed byte, or a file moved to another label, is refused; he can delete or restore old files, see left |
//! | the passphrase | all sealed files are lost with it | the old passphrase opens the old files only | he can read every key of a copied directory: new CA generation |

pub mod contract;
mod directory;
mod memory;
pub mod passphrase;
pub mod seal;
mod software;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use aws_lc_rs::signature::{self, EcdsaKeyPair};
use der::asn1::ObjectIdentifier;

pub use directory::SealedDirectory;
pub use memory::MemoryKeys;
pub use software::SoftwareKeys;

use crate::oid;
use seal::SealError;

/// What kinds of keys a backend makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// ECDSA P-256, signatures over SHA-256.
    P256,
    /// ECDSA P-384, signatures over SHA-384.
    P384,
}

impl KeyKind {
    pub(crate) fn signature_oid(self) -> ObjectIdentifier {
        match self {
            KeyKind::P256 => oid::ECDSA_WITH_SHA256,
            KeyKind::P384 => oid::ECDSA_WITH_SHA384,
        }
    }

    fn signing(self) -> &'static signature::EcdsaSigningAlgorithm {
        match self {
            KeyKind::P256 => &signature::ECDSA_P256_SHA256_ASN1_SIGNING,
            KeyKind::P384 => &signature::ECDSA_P384_SHA384_ASN1_SIGNING,
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            KeyKind::P256 => "p256",
            KeyKind::P384 => "p384",
        }
    }
}

/// The name of a key or secret in its backend; also its file name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyLabel(String);

impl KeyLabel {
    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is not a label.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a key label: use 1 to 64 lower-case letters, digits and hyphens, a letter first")]
pub struct BadLabel(String);

impl FromStr for KeyLabel {
    type Err = BadLabel;

    fn from_str(text: &str) -> Result<Self, BadLabel> {
        // No dot and no slash: a label can be a file name and cannot leave its directory.
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && text.starts_with(|c: char| c.is_ascii_lowercase());
        if fits { Ok(Self(text.to_owned())) } else { Err(BadLabel(text.chars().take(80).collect())) }
    }
}

impl fmt::Display for KeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One key of a backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyEntry {
    /// Its name.
    pub label: KeyLabel,
    /// What it is.
    pub kind: KeyKind,
}

/// Why a backend did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// No key under that label.
    #[error("no key `{0}` in the key store")]
    NotFound(KeyLabel),
    /// Labels are used once; a key is never overwritten.
    #[error("key `{0}` exists already: keys are never overwritten, choose another label")]
    Exists(KeyLabel),
    /// The key under the label is not the one that the caller's certificate speaks of.
    #[error(
        "key `{0}` is not the key of its CA certificate: the key store was restored from another state, restore the matching one"
    )]
    NotTheCertifiedKey(KeyLabel),
    /// The file or directory can be read or written by others.
    #[error(
        "`{}` has mode {mode:04o} and can be read by others: run `chmod {fix:o} {}`", .path.display(), .path.display()
    )]
    Exposed {
        /// The file or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The permission bits it should have.
        fix: u32,
    },
    /// The sealed file does not open.
    #[error("sealed file `{}`: {source}", .path.display())]
    Sealed {
        /// The file.
        path: PathBuf,
        /// Why.
        source: SealError,
    },
    /// Reading or writing failed.
    #[error("`{}`: {source}", .path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The cryptographic module refused.
    #[error("the cryptographic module failed to {0}")]
    Crypto(&'static str),
    /// The backend is not reachable now (hardware module, network).
    #[error("the key backend is unavailable: {0}")]
    Unavailable(String),
}

/// A place where signing keys live. Keys are made inside and never come out.
pub trait KeyBackend: Send + Sync {
    /// Makes a key under a new label and returns its SubjectPublicKeyInfo. Durable when it returns.
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError>;

    /// The SubjectPublicKeyInfo of a key.
    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError>;

    /// A DER ECDSA signature over `message`, hashed as the key's kind says.
    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// All keys, ordered by label.
    fn list(&self) -> Result<Vec<KeyEntry>, KeyError>;
}

impl<T: KeyBackend + ?Sized> KeyBackend for Arc<T> {
    fn generate(&self, label: &KeyLabel, kind: KeyKind) -> Result<Vec<u8>, KeyError> {
        (**self).generate(label, kind)
    }
    fn public_spki(&self, label: &KeyLabel) -> Result<Vec<u8>, KeyError> {
        (**self).public_spki(label)
    }
    fn sign(&self, label: &KeyLabel, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        (**self).sign(label, message)
    }
    fn list(&self) -> Result<Vec<KeyEntry>, KeyError> {
        (**self).list()
    }
}

/// A key pair in this process's memory; aws-lc cleanses the private part when it is freed.
struct LoadedKey {
    kind: KeyKind,
    pair: EcdsaKeyPair,
    spki: Vec<u8>,
}

impl LoadedKey {
    fn generate(kind: KeyKind) -> Result<Self, KeyError> {
        let pair =
            EcdsaKeyPair::generate(kind.signing()).map_err(|_| KeyError::Crypto("generate a key pair"))?;
        Self::of(kind, pair)
    }

    fn from_pkcs8(kind: KeyKind, pkcs8: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(kind.signing(), pkcs8)
            .map_err(|_| KeyError::Crypto("load a key pair"))?;
        Self::of(kind, pair)
    }

    fn of(kind: KeyKind, pair: EcdsaKeyPair) -> Result<Self, KeyError> {
        use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
        use signature::KeyPair;
        let spki: PublicKeyX509Der<'_> =
            pair.public_key().as_der().map_err(|_| KeyError::Crypto("encode a public key"))?;
        let spki = spki.as_ref().to_vec();
        Ok(Self { kind, pair, spki })
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let rng = aws_lc_rs::rand::SystemRandom::new();
        let signature = self.pair.sign(&rng, message).map_err(|_| KeyError::Crypto("sign"))?;
        Ok(signature.as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_cannot_leave_its_directory() {
        for text in ["", "../x", "a/b", "a.b", "A", "1a", "-a", &"a".repeat(65)] {
            assert!(text.parse::<KeyLabel>().is_err(), "{text}");
        }
        assert!("issuing-g1".parse::<KeyLabel>().is_ok());
    }
}

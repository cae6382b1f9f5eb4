//! What kinds of signing keys there are, and what each may be used for.
//!
//! To add a kind: a variant and its line in [`KeyKind::ALL`], what each function here says of it, how
//! [`super::pair`] makes and uses it, how [`crate::spki`] reads its public key, and its line in
//! [`super::contract`]. The name in [`KeyKind::as_str`] stands in sealed files: it never changes.

use std::fmt;
use std::str::FromStr;

use der::asn1::ObjectIdentifier;

use crate::oid;
use crate::spki::PublicKeyKind;
use crate::tbs;

/// What kinds of keys a backend makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyKind {
    /// ECDSA P-256, signatures over SHA-256.
    P256,
    /// ECDSA P-384, signatures over SHA-384.
    P384,
    /// Ed25519 (RFC 8032), pure.
    Ed25519,
    /// RSA of 2048 bits, PKCS#1 v1.5 signatures over SHA-256: for peers that read nothing else (SCEP).
    Rsa2048,
    /// RSA of 3072 bits, as [`KeyKind::Rsa2048`].
    Rsa3072,
    /// RSA of 4096 bits, as [`KeyKind::Rsa2048`].
    Rsa4096,
    /// ML-DSA-65 (FIPS 204), pure, with an empty context (RFC 9881 3). Opt-in: few peers read it.
    MlDsa65,
}

/// What a key may be used for. It is fixed when the key is made: one key that does two things is one more way to
/// have it do the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyUse {
    /// Signatures only: every authority, every TLS key.
    Sign,
    /// Signatures and RSA key transport: a SCEP RA, whose one certificate signs answers and receives requests
    /// (RFC 8894 2.1.1). Never an authority.
    SignAndDecrypt,
}

impl KeyKind {
    /// Every kind.
    pub const ALL: [KeyKind; 7] = [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
        KeyKind::Rsa3072,
        KeyKind::Rsa4096,
        KeyKind::MlDsa65,
    ];

    /// The kind that makes keys like this one; `None` for an RSA key of another length.
    pub fn of(public: PublicKeyKind) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.public() == public)
    }

    /// What its public keys are.
    pub fn public(self) -> PublicKeyKind {
        match self {
            KeyKind::P256 => PublicKeyKind::P256,
            KeyKind::P384 => PublicKeyKind::P384,
            KeyKind::Ed25519 => PublicKeyKind::Ed25519,
            KeyKind::Rsa2048 => PublicKeyKind::Rsa(2048),
            KeyKind::Rsa3072 => PublicKeyKind::Rsa(3072),
            KeyKind::Rsa4096 => PublicKeyKind::Rsa(4096),
            KeyKind::MlDsa65 => PublicKeyKind::MlDsa65,
        }
    }

    /// The algorithm of its signatures.
    pub fn signature_oid(self) -> ObjectIdentifier {
        match self {
            KeyKind::P256 => oid::ECDSA_WITH_SHA256,
            KeyKind::P384 => oid::ECDSA_WITH_SHA384,
            KeyKind::Ed25519 => oid::ED25519,
            KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => oid::SHA256_WITH_RSA,
            KeyKind::MlDsa65 => oid::ML_DSA_65,
        }
    }

    /// DER of the AlgorithmIdentifier of its signatures, as it stands in certificates, lists and CMS.
    pub fn signature_algorithm(self) -> Vec<u8> {
        tbs::algorithm_identifier(&self.signature_oid())
    }

    /// Whether such a key can do what `usage` says: only RSA transports keys.
    pub fn fits(self, usage: KeyUse) -> bool {
        match usage {
            KeyUse::Sign => true,
            KeyUse::SignAndDecrypt => matches!(self.public(), PublicKeyKind::Rsa(_)),
        }
    }

    /// Its name in files, configuration and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            KeyKind::P256 => "p256",
            KeyKind::P384 => "p384",
            KeyKind::Ed25519 => "ed25519",
            KeyKind::Rsa2048 => "rsa2048",
            KeyKind::Rsa3072 => "rsa3072",
            KeyKind::Rsa4096 => "rsa4096",
            KeyKind::MlDsa65 => "ml-dsa-65",
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text names no kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind of key: use p256, p384, ed25519, rsa2048, rsa3072, rsa4096 or ml-dsa-65")]
pub struct BadKind(String);

impl FromStr for KeyKind {
    type Err = BadKind;

    fn from_str(text: &str) -> Result<Self, BadKind> {
        let known = Self::ALL.into_iter().find(|kind| kind.as_str() == text);
        known.ok_or_else(|| BadKind(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_found_by_its_name_and_by_its_public_key() {
        for kind in KeyKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
            assert_eq!(KeyKind::of(kind.public()), Some(kind));
        }
        assert_eq!(KeyKind::of(PublicKeyKind::Rsa(2056)), None);
        for text in ["", "P256", "rsa", "rsa1024", "ml-dsa-44", "mldsa65", "p256 "] {
            assert!(text.parse::<KeyKind>().is_err(), "{text}");
        }
    }

    // RFC 4055 5, RFC 5758 3.2, RFC 8410 3, RFC 9881 2
    #[test]
    fn only_rsa_algorithm_identifiers_carry_null() {
        for kind in KeyKind::ALL {
            let der = kind.signature_algorithm();
            let is_rsa = matches!(kind.public(), PublicKeyKind::Rsa(_));
            assert_eq!(der.ends_with(&[5, 0]), is_rsa, "{kind}");
            assert_eq!(kind.fits(KeyUse::SignAndDecrypt), is_rsa, "{kind}");
        }
    }
}

//! The key types that a profile may certify, by the names that templates use.
//!
//! In scope: names, what a public key counts as, how a request for one is described (RFC 9908). Out of scope: reading
//! keys ([`crate::spki`]), making them ([`crate::key`]). To add one: a variant, its line in each `match`.

use std::fmt;
use std::str::FromStr;

use der::asn1::ObjectIdentifier;

use crate::oid;
use crate::spki::PublicKeyKind;

/// A type of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// ECDSA on NIST P-256.
    P256,
    /// ECDSA on NIST P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA from 2048 bits on; the upper bound is that of [`crate::spki`].
    Rsa2048,
    /// ML-DSA-65 (FIPS 204).
    MlDsa65,
}

impl KeyType {
    /// All of them.
    pub const ALL: [KeyType; 5] =
        [KeyType::P256, KeyType::P384, KeyType::Ed25519, KeyType::Rsa2048, KeyType::MlDsa65];
    /// Those that peers of today verify.
    pub const CLASSICAL: [KeyType; 4] = [KeyType::P256, KeyType::P384, KeyType::Ed25519, KeyType::Rsa2048];

    /// Its name in templates.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyType::P256 => "p256",
            KeyType::P384 => "p384",
            KeyType::Ed25519 => "ed25519",
            KeyType::Rsa2048 => "rsa2048+",
            KeyType::MlDsa65 => "ml-dsa-65",
        }
    }

    /// What a public key counts as.
    pub const fn of(kind: PublicKeyKind) -> KeyType {
        match kind {
            PublicKeyKind::P256 => KeyType::P256,
            PublicKeyKind::P384 => KeyType::P384,
            PublicKeyKind::Ed25519 => KeyType::Ed25519,
            PublicKeyKind::Rsa(_) => KeyType::Rsa2048,
            PublicKeyKind::MlDsa65 => KeyType::MlDsa65,
        }
    }

    /// The algorithm in its SubjectPublicKeyInfo.
    pub const fn algorithm(self) -> ObjectIdentifier {
        match self {
            KeyType::P256 | KeyType::P384 => oid::EC_PUBLIC_KEY,
            KeyType::Ed25519 => oid::ED25519,
            KeyType::Rsa2048 => oid::RSA_ENCRYPTION,
            KeyType::MlDsa65 => oid::ML_DSA_65,
        }
    }

    /// The named curve beside the algorithm, where there is one (RFC 5480 2.1.1).
    pub const fn curve(self) -> Option<ObjectIdentifier> {
        match self {
            KeyType::P256 => Some(oid::P256),
            KeyType::P384 => Some(oid::P384),
            KeyType::Ed25519 | KeyType::Rsa2048 | KeyType::MlDsa65 => None,
        }
    }

    /// The shortest modulus, for RSA.
    pub const fn least_bits(self) -> Option<u32> {
        match self {
            KeyType::Rsa2048 => Some(2048),
            KeyType::P256 | KeyType::P384 | KeyType::Ed25519 | KeyType::MlDsa65 => None,
        }
    }

    /// Whether the key can carry keyEncipherment: RSA alone (RFC 8813 3, RFC 9295 3 and RFC 9881 5 forbid it to the
    /// others).
    pub const fn can_encipher(self) -> bool {
        matches!(self, KeyType::Rsa2048)
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a text is not a key type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key type: use p256, p384, ed25519, rsa2048+ or ml-dsa-65")]
pub struct BadKeyType(String);

impl FromStr for KeyType {
    type Err = BadKeyType;

    fn from_str(text: &str) -> Result<Self, BadKeyType> {
        let found = KeyType::ALL.into_iter().find(|t| t.as_str() == text);
        found.ok_or_else(|| BadKeyType(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_reads_back_and_others_are_refused() {
        for kind in KeyType::ALL {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        for text in ["", "P256", "rsa", "rsa1024", "p521", "dsa"] {
            assert!(text.parse::<KeyType>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_rsa_enciphers() {
        assert!(KeyType::ALL.iter().all(|t| t.can_encipher() == (*t == KeyType::Rsa2048)));
    }
}

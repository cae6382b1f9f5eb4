//! The TPM 2.0 structures (Library specification part 2) that evidence consists of, parsed and encoded.
//!
//! Parsing keeps what the TPM wrote (short integers, select sizes, exponent 0), so that encoding gives the
//! same bytes back and names and signatures stay right. Algorithms outside the list below are refused.
//! To add an algorithm: a variant in its enum, its id in `parse` and `id`, a round-trip case in the tests.

mod attestation;
mod pcr;
mod public;
mod signature;
#[cfg(test)]
mod tests;

pub use attestation::{Attest, Body, ClockInfo, TPM_GENERATED, TYPE_CERTIFY, TYPE_QUOTE};
pub use pcr::{PcrBank, PcrSelection};
pub use public::{Attributes, Curve, Key, Public, Scheme, Symmetric, spki_der};
pub(crate) use public::{key_bits, padded};
pub use signature::Signature;

use crate::wire::Malformed;

/// A hash algorithm of the TPM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HashAlg {
    /// SHA-1: only ever the bank of an event log or of a selection, never trusted.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlg {
    /// From its `TPM_ALG_ID`.
    pub const fn from_id(field: &'static str, id: u16) -> Result<Self, Malformed> {
        match id {
            0x0004 => Ok(Self::Sha1),
            0x000B => Ok(Self::Sha256),
            0x000C => Ok(Self::Sha384),
            0x000D => Ok(Self::Sha512),
            _ => Err(Malformed::Unsupported { field, found: id as u64 }),
        }
    }

    /// Its `TPM_ALG_ID`.
    pub const fn id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000B,
            Self::Sha384 => 0x000C,
            Self::Sha512 => 0x000D,
        }
    }

    /// Length of a digest in bytes.
    pub const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of `bytes`.
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        aws_lc_rs::digest::digest(self.algorithm(), bytes).as_ref().to_vec()
    }

    /// The provider's algorithm.
    pub fn algorithm(self) -> &'static aws_lc_rs::digest::Algorithm {
        match self {
            Self::Sha1 => &aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &aws_lc_rs::digest::SHA256,
            Self::Sha384 => &aws_lc_rs::digest::SHA384,
            Self::Sha512 => &aws_lc_rs::digest::SHA512,
        }
    }
}

/// A collision-resistant algorithm, or a refusal: names, schemes and signatures never rest on SHA-1.
const fn strong(field: &'static str, id: u16) -> Result<HashAlg, Malformed> {
    match HashAlg::from_id(field, id) {
        Ok(HashAlg::Sha1) => Err(Malformed::Unsupported { field, found: id as u64 }),
        other => other,
    }
}

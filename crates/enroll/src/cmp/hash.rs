//! The hashes of CMP: of certificates in certConf, and inside of MACs.
//!
//! To add one: a variant of [`Hash`], its lines in [`Hash`] and [`Hmac`].

use aws_lc_rs::{digest, hmac, pbkdf2};
use der::asn1::ObjectIdentifier;

use super::oid;

/// A hash function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hash {
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub fn of(id: &ObjectIdentifier) -> Option<Self> {
        match *id {
            oid::SHA1 => Some(Hash::Sha1),
            oid::SHA256 => Some(Hash::Sha256),
            oid::SHA384 => Some(Hash::Sha384),
            oid::SHA512 => Some(Hash::Sha512),
            _ => None,
        }
    }

    pub fn id(self) -> ObjectIdentifier {
        match self {
            Hash::Sha1 => oid::SHA1,
            Hash::Sha256 => oid::SHA256,
            Hash::Sha384 => oid::SHA384,
            Hash::Sha512 => oid::SHA512,
        }
    }

    pub fn digest(self, data: &[u8]) -> digest::Digest {
        digest::digest(
            match self {
                // Only as one-way function under a secret of 160 bits, where collisions do not help.
                Hash::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
                Hash::Sha256 => &digest::SHA256,
                Hash::Sha384 => &digest::SHA384,
                Hash::Sha512 => &digest::SHA512,
            },
            data,
        )
    }
}

/// An HMAC, under the name that the peer gave it: hmacWithSHA1 has two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hmac {
    hash: Hash,
    id: ObjectIdentifier,
}

impl Hmac {
    pub const SHA256: Self = Self { hash: Hash::Sha256, id: oid::HMAC_SHA256 };
    pub const WITH_SHA1: Self = Self { hash: Hash::Sha1, id: oid::HMAC_WITH_SHA1 };

    pub fn of(id: ObjectIdentifier) -> Option<Self> {
        let hash = match id {
            oid::HMAC_SHA1 | oid::HMAC_WITH_SHA1 => Hash::Sha1,
            oid::HMAC_SHA256 => Hash::Sha256,
            oid::HMAC_SHA384 => Hash::Sha384,
            oid::HMAC_SHA512 => Hash::Sha512,
            _ => return None,
        };
        Some(Self { hash, id })
    }

    pub fn id(self) -> ObjectIdentifier {
        self.id
    }

    pub fn output_bytes(self) -> usize {
        self.hash.digest(b"").as_ref().len()
    }

    pub fn key(self, key: &[u8]) -> hmac::Key {
        let algorithm = match self.hash {
            Hash::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Hash::Sha256 => hmac::HMAC_SHA256,
            Hash::Sha384 => hmac::HMAC_SHA384,
            Hash::Sha512 => hmac::HMAC_SHA512,
        };
        hmac::Key::new(algorithm, key)
    }

    /// SHA-1 is for PBM, where clients cannot do otherwise; PBMAC1 is new enough to know better.
    pub fn pbkdf2(self) -> Option<pbkdf2::Algorithm> {
        match self.hash {
            Hash::Sha1 => None,
            Hash::Sha256 => Some(pbkdf2::PBKDF2_HMAC_SHA256),
            Hash::Sha384 => Some(pbkdf2::PBKDF2_HMAC_SHA384),
            Hash::Sha512 => Some(pbkdf2::PBKDF2_HMAC_SHA512),
        }
    }
}

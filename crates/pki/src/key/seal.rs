//! Sealing of secrets at rest: AES-256-GCM under a key that Argon2id derives from a passphrase, or under a key that
//! people's shares make ([`super::shares`]).
//!
//! In scope: CA keys, and every other secret of a role (log signing seed, token key, HMAC key). Out of scope:
//! where the sealed bytes are kept ([`super::SealedDirectory`] for files).
//!
//! Layout, all integers big-endian; everything before the ciphertext is authenticated as associated data. The first
//! line is the version, and says under what it is sealed; what is written once opens for ever:
//! ```text
//! "lanyard-sealed-1\n" | memory KiB u32 | passes u32 | lanes u32 | salt 16 | check 16
//!   | purpose length u8 | purpose | nonce 12 | ciphertext | tag 16         under a passphrase
//! "lanyard-sealed-2\n" | set 4 | threshold u8 | salt 16 | check 16
//!   | purpose length u8 | purpose | nonce 12 | ciphertext | tag 16         under a key from shares
//! ```
//! `check` is a MAC under the derived key: it tells a wrong passphrase (or wrong shares) from a changed file, and gives
//! an attacker no faster guess than the tag already does. `purpose` binds a secret to its place: a file that is moved
//! to another label does not open there. `set` and `threshold` say whose shares are needed, before anybody types one.
//!
//! Lost: the secret is lost. Rolled back: an older secret of the same purpose opens; who uses it must notice
//! (a CA key is compared with its certificate). Written by an attacker: refused unless he has the passphrase.

mod header;

use std::fmt;
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

use super::passphrase::Passphrase;
use super::shares::{SetId, UnsealKey};

pub use header::{SealedUnder, sealed_under};

const SALT: usize = 16;
const CHECK: usize = 16;
/// A sealed secret is a key or a seed: 64 KiB is far above an RSA-8192 key (about 5 KiB).
const MAX_SEALED: usize = 64 * 1024;

/// What a guess of the passphrase costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

impl Cost {
    /// RFC 9106 4, second recommended option: 64 MiB, 3 passes, 4 lanes. About 0.1 s once per start.
    pub const STANDARD: Cost = Cost { memory_kib: 64 * 1024, passes: 3, lanes: 4 };
    /// The least that is accepted in any file: 19 MiB, 2 passes, 1 lane. For tests and small machines.
    pub const LEAST: Cost = Cost { memory_kib: 19 * 1024, passes: 2, lanes: 1 };
    /// The most: 1 GiB. A changed header must not be able to take the machine's memory.
    const MOST: Cost = Cost { memory_kib: 1024 * 1024, passes: 64, lanes: 16 };

    /// A cost between [`Cost::LEAST`] and 1 GiB, 64 passes, 16 lanes.
    pub fn new(memory_kib: u32, passes: u32, lanes: u32) -> Result<Self, SealError> {
        let fits = (Self::LEAST.memory_kib..=Self::MOST.memory_kib).contains(&memory_kib)
            && (Self::LEAST.passes..=Self::MOST.passes).contains(&passes)
            && (Self::LEAST.lanes..=Self::MOST.lanes).contains(&lanes);
        if fits { Ok(Self { memory_kib, passes, lanes }) } else { Err(SealError::Cost) }
    }
}

/// Why bytes were not sealed or unsealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The derived key is not the one the bytes were sealed under.
    #[error("wrong passphrase (or the header of the sealed bytes was changed)")]
    WrongPassphrase,
    /// Sealed under a key from shares, and a passphrase was given.
    #[error("sealed under {threshold} shares of set {set}, not under a passphrase")]
    NeedsShares {
        /// The dealing.
        set: SetId,
        /// As many are needed.
        threshold: u8,
    },
    /// Sealed under a passphrase, and shares were given.
    #[error("sealed under a passphrase, not under shares")]
    NeedsPassphrase,
    /// Shares of another dealing.
    #[error("sealed under shares of set {expected}, given were shares of set {found}")]
    OtherShares {
        /// The dealing that is needed.
        expected: SetId,
        /// The dealing of the shares.
        found: SetId,
    },
    /// The set's name fits and the key does not.
    #[error("the shares do not make the key that this was sealed under (or the header was changed)")]
    WrongShares,
    /// Right passphrase, but the bytes were changed.
    #[error("sealed bytes were changed: restore them from a backup and look for who wrote them")]
    Tampered,
    /// Sealed for something else.
    #[error("sealed for `{found}`, not for `{expected}`: the file was moved or renamed")]
    OtherPurpose {
        /// What the caller wanted.
        expected: String,
        /// What the bytes say.
        found: String,
    },
    /// Not our format.
    #[error("not sealed bytes of this version: {0}")]
    Malformed(&'static str),
    /// Cost outside of the accepted range.
    #[error("cost of the passphrase is out of range: 19 MiB to 1 GiB, 2 to 64 passes, 1 to 16 lanes")]
    Cost,
    /// Longer than we seal.
    #[error("secret or purpose is too long to be sealed")]
    TooLong,
    /// The cryptographic module failed.
    #[error("the cryptographic module failed to {0}")]
    Crypto(&'static str),
}

/// Seals and unseals under one passphrase, or under one key from shares.
pub struct Sealer {
    secret: Secret,
    // One derivation per salt: a start with many files pays Argon2 once. Newest last.
    derived: Mutex<Vec<Derived>>,
}

enum Secret {
    Passphrase(Passphrase, Cost),
    Shares(UnsealKey),
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

#[derive(Clone)]
struct Derived {
    under: SealedUnder,
    salt: [u8; SALT],
    encryption: Zeroizing<[u8; 32]>,
    check: [u8; CHECK],
}

/// What was sealed, and for what.
pub(super) struct Opened {
    pub purpose: String,
    pub secret: Zeroizing<Vec<u8>>,
}

impl Sealer {
    /// A sealer whose new secrets get this cost; it opens what was sealed at any accepted cost.
    pub fn new(passphrase: Passphrase, cost: Cost) -> Self {
        Self { secret: Secret::Passphrase(passphrase, cost), derived: Mutex::new(Vec::new()) }
    }

    /// A sealer under the key that people's shares made, for a root's directory.
    pub fn of_shares(key: UnsealKey) -> Self {
        Self { secret: Secret::Shares(key), derived: Mutex::new(Vec::new()) }
    }

    /// Seals `secret` for `purpose`.
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, SealError> {
        let purpose_length = u8::try_from(purpose.len()).map_err(|_| SealError::TooLong)?;
        if secret.len() > MAX_SEALED / 2 {
            return Err(SealError::TooLong);
        }
        let derived = self.key_for_new()?;
        let mut nonce = [0; NONCE_LEN];
        // 96 random bits: a role seals some tens of secrets, 2^32 would be the limit (SP 800-38D 8.3).
        rand::fill(&mut nonce).map_err(|_| SealError::Crypto("make a nonce"))?;
        let mut out = header::begin(derived.under);
        out.extend(derived.salt);
        out.extend(derived.check);
        out.push(purpose_length);
        out.extend(purpose.as_bytes());
        out.extend(nonce);
        let mut body = Zeroizing::new(secret.to_vec());
        derived
            .aead()?
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&out), &mut *body)
            .map_err(|_| SealError::Crypto("seal"))?;
        out.extend(body.iter());
        Ok(out)
    }

    /// Opens what [`Sealer::seal`] made for the same purpose.
    pub fn unseal(&self, purpose: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let opened = self.unseal_any(sealed)?;
        if opened.purpose != purpose {
            let expected = purpose.to_owned();
            return Err(SealError::OtherPurpose { expected, found: opened.purpose });
        }
        Ok(opened.secret)
    }

    /// Opens it and says for what it was sealed; the caller judges that.
    pub(super) fn unseal_any(&self, sealed: &[u8]) -> Result<Opened, SealError> {
        let parsed = header::parse(sealed)?;
        let wrong = self.fits(parsed.under)?;
        let derived = self.key_of(parsed.under, parsed.salt)?;
        if constant_time::verify_slices_are_equal(&derived.check, &parsed.check).is_err() {
            return Err(wrong);
        }
        let mut body = Zeroizing::new(parsed.ciphertext.to_vec());
        let length = derived
            .aead()?
            .open_in_place(
                Nonce::assume_unique_for_key(parsed.nonce),
                Aad::from(parsed.header),
                body.as_mut_slice(),
            )
            .map_err(|_| SealError::Tampered)?
            .len();
        body.truncate(length);
        // After the tag: only an authentic header is worth a precise message.
        Ok(Opened { purpose: String::from_utf8_lossy(parsed.purpose).into_owned(), secret: body })
    }

    /// Whether what we hold is of the kind that is needed, and what to say when it is the wrong one of that kind.
    fn fits(&self, under: SealedUnder) -> Result<SealError, SealError> {
        match (&self.secret, under) {
            (Secret::Passphrase(..), SealedUnder::Passphrase(_)) => Ok(SealError::WrongPassphrase),
            (Secret::Passphrase(..), SealedUnder::Shares { set, threshold }) => {
                Err(SealError::NeedsShares { set, threshold })
            }
            (Secret::Shares(_), SealedUnder::Passphrase(_)) => Err(SealError::NeedsPassphrase),
            (Secret::Shares(key), SealedUnder::Shares { set, .. }) if key.set() != set => {
                Err(SealError::OtherShares { expected: set, found: key.set() })
            }
            (Secret::Shares(_), SealedUnder::Shares { .. }) => Ok(SealError::WrongShares),
        }
    }

    fn key_for_new(&self) -> Result<Derived, SealError> {
        let under = match &self.secret {
            Secret::Passphrase(_, cost) => SealedUnder::Passphrase(*cost),
            Secret::Shares(key) => SealedUnder::Shares { set: key.set(), threshold: key.threshold() },
        };
        let known = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(derived) = known.iter().rev().find(|d| d.under == under) {
            return Ok(derived.clone());
        }
        drop(known);
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| SealError::Crypto("make a salt"))?;
        self.key_of(under, salt)
    }

    fn key_of(&self, under: SealedUnder, salt: [u8; SALT]) -> Result<Derived, SealError> {
        let known = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(derived) = known.iter().find(|d| d.under == under && d.salt == salt) {
            return Ok(derived.clone());
        }
        drop(known);
        let derived = self.derive(under, salt)?;
        let mut known = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded: changed files in a directory must not fill the memory with keys of no use.
        if known.len() >= 16 {
            known.remove(0);
        }
        known.push(derived.clone());
        Ok(derived)
    }

    fn derive(&self, under: SealedUnder, salt: [u8; SALT]) -> Result<Derived, SealError> {
        let root = match (&self.secret, under) {
            (Secret::Passphrase(passphrase, _), SealedUnder::Passphrase(cost)) => {
                stretch(passphrase, cost, salt)?
            }
            // 256 random bits need no stretching; the salt makes each directory's key its own (RFC 5869 3.1).
            (Secret::Shares(key), SealedUnder::Shares { set, threshold }) => {
                let mut message = b"lanyard seal: shares".to_vec();
                message.extend(set.bytes());
                message.push(threshold);
                message.extend(salt);
                let mut root = Zeroizing::new([0; 32]);
                let key = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
                copy(&mut *root, hmac::sign(&key, &message).as_ref());
                root
            }
            (Secret::Passphrase(..) | Secret::Shares(_), _) => return Err(self.fits(under)?),
        };
        // Two keys from one: the check value stands in the clear and must say nothing about the encryption key.
        let root = hmac::Key::new(hmac::HMAC_SHA256, root.as_slice());
        let mut encryption = Zeroizing::new([0; 32]);
        copy(&mut *encryption, hmac::sign(&root, b"lanyard seal: encryption").as_ref());
        let mut check = [0; CHECK];
        copy(&mut check, hmac::sign(&root, b"lanyard seal: passphrase check").as_ref());
        Ok(Derived { under, salt, encryption, check })
    }
}

impl Derived {
    fn aead(&self) -> Result<LessSafeKey, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, self.encryption.as_slice())
            .map_err(|_| SealError::Crypto("load a key"))?;
        Ok(LessSafeKey::new(key))
    }
}

fn stretch(passphrase: &Passphrase, cost: Cost, salt: [u8; SALT]) -> Result<Zeroizing<[u8; 32]>, SealError> {
    let failed = |_| SealError::Crypto("derive a key");
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(failed)?;
    let mut root = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), &salt, root.as_mut_slice())
        .map_err(failed)?;
    Ok(root)
}

fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests;

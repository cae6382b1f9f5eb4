//! Sealing of secrets at rest: AES-256-GCM under a key that Argon2id derives from a passphrase.
//!
//! In scope: CA keys, and every other secret of a role (log signing seed, token key, HMAC key). Out of scope:
//! where the sealed bytes are kept ([`super::SealedDirectory`] for files).
//!
//! Layout, all integers big-endian; everything before the ciphertext is authenticated as associated data:
//! ```text
//! "lanyard-sealed-1\n" | memory KiB u32 | passes u32 | lanes u32 | salt 16 | check 16
//!   | purpose length u8 | purpose | nonce 12 | ciphertext | tag 16
//! ```
//! `check` is a MAC of the cost and salt under the derived key: it tells a wrong passphrase from a changed file,
//! and gives an attacker no faster guess than the tag already does. `purpose` binds a secret to its place: a
//! file that is moved to another label does not open there.
//!
//! Lost: the secret is lost. Rolled back: an older secret of the same purpose opens; who uses it must notice
//! (a CA key is compared with its certificate). Written by an attacker: refused unless he has the passphrase.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

use super::passphrase::Passphrase;

const MAGIC: &[u8] = b"lanyard-sealed-1\n";
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

/// Seals and unseals under one passphrase.
pub struct Sealer {
    passphrase: Passphrase,
    cost: Cost,
    // One derivation per salt: a start with many files pays Argon2 once. Newest last.
    derived: Mutex<Vec<Derived>>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer([redacted])")
    }
}

#[derive(Clone)]
struct Derived {
    cost: Cost,
    salt: [u8; SALT],
    encryption: Zeroizing<[u8; 32]>,
    check: [u8; CHECK],
}

struct Parsed<'a> {
    cost: Cost,
    salt: [u8; SALT],
    check: [u8; CHECK],
    purpose: &'a [u8],
    nonce: [u8; NONCE_LEN],
    header: &'a [u8],
    ciphertext: &'a [u8],
}

impl Sealer {
    /// A sealer whose new secrets get this cost; it opens what was sealed at any accepted cost.
    pub fn new(passphrase: Passphrase, cost: Cost) -> Self {
        Self { passphrase, cost, derived: Mutex::new(Vec::new()) }
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
        let mut out = MAGIC.to_vec();
        for number in [derived.cost.memory_kib, derived.cost.passes, derived.cost.lanes] {
            out.extend(number.to_be_bytes());
        }
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
        let parsed = parse(sealed)?;
        let derived = self.key_of(parsed.cost, parsed.salt)?;
        if constant_time::verify_slices_are_equal(&derived.check, &parsed.check).is_err() {
            return Err(SealError::WrongPassphrase);
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
        if parsed.purpose != purpose.as_bytes() {
            return Err(SealError::OtherPurpose {
                expected: purpose.to_owned(),
                found: String::from_utf8_lossy(parsed.purpose).into_owned(),
            });
        }
        Ok(body)
    }

    fn key_for_new(&self) -> Result<Derived, SealError> {
        let known = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(derived) = known.iter().rev().find(|d| d.cost == self.cost) {
            return Ok(derived.clone());
        }
        drop(known);
        let mut salt = [0; SALT];
        rand::fill(&mut salt).map_err(|_| SealError::Crypto("make a salt"))?;
        self.key_of(self.cost, salt)
    }

    fn key_of(&self, cost: Cost, salt: [u8; SALT]) -> Result<Derived, SealError> {
        let known = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(derived) = known.iter().find(|d| d.cost == cost && d.salt == salt) {
            return Ok(derived.clone());
        }
        drop(known);
        let derived = derive(&self.passphrase, cost, salt)?;
        let mut known = self.derived.lock().unwrap_or_else(PoisonError::into_inner);
        // Bounded: changed files in a directory must not fill the memory with keys of no use.
        if known.len() >= 16 {
            known.remove(0);
        }
        known.push(derived.clone());
        Ok(derived)
    }
}

impl Derived {
    fn aead(&self) -> Result<LessSafeKey, SealError> {
        let key = UnboundKey::new(&AES_256_GCM, self.encryption.as_slice())
            .map_err(|_| SealError::Crypto("load a key"))?;
        Ok(LessSafeKey::new(key))
    }
}

fn derive(passphrase: &Passphrase, cost: Cost, salt: [u8; SALT]) -> Result<Derived, SealError> {
    let failed = |_| SealError::Crypto("derive a key");
    let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(failed)?;
    let mut root = Zeroizing::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), &salt, root.as_mut_slice())
        .map_err(failed)?;
    // Two keys from one: the check value stands in the clear and must say nothing about the encryption key.
    let root = hmac::Key::new(hmac::HMAC_SHA256, root.as_slice());
    let mut encryption = Zeroizing::new([0; 32]);
    copy(&mut *encryption, hmac::sign(&root, b"lanyard seal: encryption").as_ref());
    let mut check = [0; CHECK];
    copy(&mut check, hmac::sign(&root, b"lanyard seal: passphrase check").as_ref());
    Ok(Derived { cost, salt, encryption, check })
}

fn copy(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
}

fn parse(sealed: &[u8]) -> Result<Parsed<'_>, SealError> {
    const SHORT: SealError = SealError::Malformed("too short");
    if sealed.len() > MAX_SEALED {
        return Err(SealError::Malformed("longer than 64 KiB"));
    }
    let rest = sealed.strip_prefix(MAGIC).ok_or(SealError::Malformed("unknown first line"))?;
    let (memory_kib, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let (passes, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let (lanes, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
    let cost =
        Cost::new(u32::from_be_bytes(*memory_kib), u32::from_be_bytes(*passes), u32::from_be_bytes(*lanes))?;
    let (salt, rest) = rest.split_first_chunk::<SALT>().ok_or(SHORT)?;
    let (check, rest) = rest.split_first_chunk::<CHECK>().ok_or(SHORT)?;
    let (length, rest) = rest.split_first().ok_or(SHORT)?;
    let (purpose, rest) = rest.split_at_checked(usize::from(*length)).ok_or(SHORT)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SHORT)?;
    if ciphertext.len() < AES_256_GCM.tag_len() {
        return Err(SHORT);
    }
    let (header, _) = sealed.split_at_checked(sealed.len() - ciphertext.len()).ok_or(SHORT)?;
    Ok(Parsed { cost, salt: *salt, check: *check, purpose, nonce: *nonce, header, ciphertext })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealer(passphrase: &str) -> Sealer {
        Sealer::new(Passphrase::from_bytes(passphrase.into(), "test").unwrap(), Cost::LEAST)
    }

    #[test]
    fn a_secret_comes_back_under_the_same_passphrase_only() {
        let sealed = sealer("correct horse battery").seal("token-key", b"secret").unwrap();
        assert!(!sealed.windows(6).any(|w| w == b"secret"));
        let opened = sealer("correct horse battery").unseal("token-key", &sealed).unwrap();
        assert_eq!(opened.as_slice(), b"secret");
        assert_eq!(
            sealer("correct horse batterz").unseal("token-key", &sealed).unwrap_err(),
            SealError::WrongPassphrase
        );
    }

    #[test]
    fn a_secret_does_not_open_in_another_place() {
        let s = sealer("correct horse battery");
        let sealed = s.seal("key p256 root", b"secret").unwrap();
        assert!(matches!(s.unseal("key p256 issuing", &sealed), Err(SealError::OtherPurpose { .. })));
    }

    // I10, I12
    #[test]
    fn a_flip_of_any_bit_and_a_cut_at_any_byte_are_refused() {
        let s = sealer("correct horse battery");
        let sealed = s.seal("token-key", b"secret").unwrap();
        for at in 0..sealed.len() {
            assert!(s.unseal("token-key", &sealed[..at]).is_err(), "cut at {at}");
            // Each flip in cost or salt costs an Argon2 run; one bit per byte keeps this under some seconds.
            let mut changed = sealed.clone();
            changed[at] ^= 1 << (at % 8);
            assert!(s.unseal("token-key", &changed).is_err(), "flip at {at}");
        }
        let longer = [sealed.as_slice(), &[0]].concat();
        assert_eq!(s.unseal("token-key", &longer).unwrap_err(), SealError::Tampered);
    }

    #[test]
    fn a_header_cannot_ask_for_endless_memory_or_for_none() {
        for (memory, passes, lanes) in
            [(u32::MAX, 3, 1), (8, 2, 1), (64 * 1024, 1, 1), (64 * 1024, 1000, 1), (64 * 1024, 3, 0)]
        {
            assert_eq!(Cost::new(memory, passes, lanes), Err(SealError::Cost));
            let mut sealed = MAGIC.to_vec();
            for n in [memory, passes, lanes] {
                sealed.extend(n.to_be_bytes());
            }
            sealed.extend([0; 200]);
            assert_eq!(sealer("correct horse battery").unseal("x", &sealed).unwrap_err(), SealError::Cost);
        }
    }

    #[test]
    fn many_secrets_cost_one_derivation() {
        let s = sealer("correct horse battery");
        let sealed: Vec<_> = (0..20).map(|n| s.seal("x", &[n]).unwrap()).collect();
        assert_eq!(s.derived.lock().unwrap().len(), 1);
        let fresh = sealer("correct horse battery");
        for (n, bytes) in sealed.iter().enumerate() {
            assert_eq!(fresh.unseal("x", bytes).unwrap().as_slice(), &[n as u8]);
        }
        assert_eq!(fresh.derived.lock().unwrap().len(), 1);
    }
}

//! SHA-256 values and their one spelling (64 lower-case hex digits).
//!
//! In scope: the value type and the digest. Out of scope: what is hashed with which prefix (`leaf`, `tree`).

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;

/// Length of a hash in bytes.
pub const HASH_LEN: usize = 32;

/// A SHA-256 value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hash(pub [u8; HASH_LEN]);

impl Hash {
    /// All zero: stands for "no hash" where a layout has a fixed place for one.
    pub const ZERO: Hash = Hash([0; HASH_LEN]);

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; HASH_LEN] {
        &self.0
    }

    /// From exactly 32 bytes.
    pub fn from_slice(bytes: &[u8]) -> Option<Hash> {
        bytes.try_into().ok().map(Hash)
    }
}

/// SHA-256 of the parts in sequence.
pub fn sha256(parts: &[&[u8]]) -> Hash {
    // Tree nodes (65 bytes) and leaves (165) take the one-shot path: no context to set up per hash.
    let mut short = [0u8; 192];
    let mut used = 0usize;
    for part in parts {
        match short.get_mut(used..used + part.len()) {
            Some(room) => room.copy_from_slice(part),
            None => return sha256_long(parts),
        }
        used += part.len();
    }
    let (filled, _) = short.split_at(used);
    to_hash(&digest::digest(&digest::SHA256, filled))
}

fn sha256_long(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    to_hash(&context.finish())
}

fn to_hash(digest: &digest::Digest) -> Hash {
    let mut out = [0u8; HASH_LEN];
    // SHA-256 yields exactly 32 bytes.
    out.copy_from_slice(digest.as_ref());
    Hash(out)
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a string is not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash: expected 64 lower-case hex digits")]
pub struct BadHash(String);

impl FromStr for Hash {
    type Err = BadHash;

    fn from_str(text: &str) -> Result<Self, BadHash> {
        let bad = || BadHash(text.chars().take(80).collect());
        if text.len() != 2 * HASH_LEN {
            return Err(bad());
        }
        HEXLOWER.decode(text.as_bytes()).ok().and_then(|b| Hash::from_slice(&b)).ok_or_else(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_inputs_agree_with_fips_180() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(&[b"a", b"bc"]).to_string(), abc);
        let million = vec![b'a'; 1_000_000];
        let expected = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(sha256(&[&million]).to_string(), expected);
        for cut in [0, 1, 191, 192, 193, 400] {
            let data = vec![7u8; 400];
            let (a, b) = data.split_at(cut);
            assert_eq!(sha256(&[a, b]), sha256_long(&[&data]), "cut {cut}");
            assert_eq!(sha256(&[a]), sha256_long(&[a]), "cut {cut}");
        }
    }

    #[test]
    fn a_hash_reads_back_and_other_spellings_are_refused() {
        let h = sha256(&[b"x"]);
        assert_eq!(h.to_string().parse::<Hash>(), Ok(h));
        for bad in ["", "00", &h.to_string().to_uppercase(), &format!("{h}0"), &format!(" {h}")] {
            assert!(bad.parse::<Hash>().is_err(), "{bad}");
        }
    }
}

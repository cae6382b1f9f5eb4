//! A sealing key split into shares: any `threshold` of `count` people open the root's key file, fewer learn nothing.
//!
//! Shamir's scheme, byte by byte over GF(2^8). In scope: dealing a fresh key, the text of a share for paper and how
//! its mistakes are found, putting a key together and knowing that it is the right one. Out of scope: who the people
//! are and how the day goes (docs/pki-ceremony.md, which also specifies the bytes), sealing itself ([`super::seal`]).
//!
//! A share is 42 bytes, then the text form of `text`:
//! ```text
//! version 4 bits = 1 | threshold-1 4 bits | count-1 4 bits | number-1 4 bits | set 4 | check 4 | value 32
//! ```
//! `set` is random for each dealing: shares of two dealings are told apart before they are mixed. `check` is a MAC under
//! the key over the set's facts: it tells a wrong key at once, and gives who guesses a 256-bit key nothing to work
//! with. The polynomial's other coefficients are uniform, zero included: to leave zero out would tell something.
//!
//! Lost, rolled back, written by an attacker: see [`super`].

mod gf256;
mod text;

use std::fmt;

use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

pub use text::TextError;

const KEY: usize = 32;
const CHECK: usize = 4;
const VERSION: u8 = 1;
/// Two nibbles for version and threshold, two for count and number, set, check, value.
const SHARE_BYTES: usize = 2 + 4 + CHECK + KEY;
/// A ceremony has a handful of people; a number of a share is four bits.
const MOST: u8 = 16;

/// Which dealing of shares: random, no secret, stands on each share and in the files sealed under the key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId([u8; 4]);

impl SetId {
    pub(super) fn from_bytes(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }
    pub(super) fn bytes(self) -> [u8; 4] {
        self.0
    }
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXUPPER.encode(&self.0))
    }
}

impl fmt::Debug for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Why shares were not dealt or do not make a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SharesError {
    /// Not a number of people that makes sense.
    #[error(
        "{threshold} of {count} shares: use at least 2, and no more than {MOST}, and a threshold up to the count"
    )]
    Numbers {
        /// As many make the key.
        threshold: u8,
        /// As many there are.
        count: u8,
    },
    /// The text is no share.
    #[error(transparent)]
    Text(#[from] TextError),
    /// The text is a share that contradicts itself, or of a later version.
    #[error("not a share of this version: {0}")]
    Malformed(&'static str),
    /// Shares of two dealings.
    #[error(
        "share {number} is of set {found}, the others are of set {expected}: shares of two dealings make no key"
    )]
    OtherSet {
        /// The number on it.
        number: u8,
        /// Its set.
        found: SetId,
        /// The set of the first share.
        expected: SetId,
    },
    /// One share twice.
    #[error("share {0} was given twice: each person gives another one")]
    Twice(u8),
    /// Not yet enough.
    #[error("{given} of {needed} shares given")]
    TooFew {
        /// As many are there.
        given: usize,
        /// As many are needed.
        needed: u8,
    },
    /// A share was made up, or written down wrong on the day.
    #[error(
        "the shares do not make the key of their set: try other people's, one of these was made up or is of another key"
    )]
    WrongKey,
    /// The cryptographic module failed.
    #[error("the cryptographic module failed to {0}")]
    Crypto(&'static str),
}

/// One person's share. Wiped when dropped, never printed by `Debug`.
#[derive(Clone)]
pub struct Share {
    set: SetId,
    threshold: u8,
    count: u8,
    number: u8,
    check: [u8; CHECK],
    value: Zeroizing<[u8; KEY]>,
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Share({} of {}, set {}, [redacted])", self.number, self.count, self.set)
    }
}

/// The key that shares make: what a root's key file is sealed under in place of a passphrase. Wiped when dropped.
#[derive(Clone)]
pub struct UnsealKey {
    set: SetId,
    threshold: u8,
    key: Zeroizing<[u8; KEY]>,
}

impl fmt::Debug for UnsealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UnsealKey(set {}, [redacted])", self.set)
    }
}

impl UnsealKey {
    /// The dealing that it came from.
    pub fn set(&self) -> SetId {
        self.set
    }
    /// As many shares make it.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }
    pub(super) fn bytes(&self) -> &[u8] {
        self.key.as_slice()
    }
}

/// Makes a fresh key and its shares, of which any `threshold` make it again.
pub fn deal(threshold: u8, count: u8) -> Result<(UnsealKey, Vec<Share>), SharesError> {
    let mut key = Zeroizing::new([0; KEY]);
    fill(key.as_mut_slice())?;
    let mut set = [0; 4];
    fill(&mut set)?;
    let shares = split(&key, SetId(set), threshold, count, fill)?;
    Ok((UnsealKey { set: SetId(set), threshold, key }, shares))
}

fn fill(bytes: &mut [u8]) -> Result<(), SharesError> {
    rand::fill(bytes).map_err(|_| SharesError::Crypto("make random bytes"))
}

fn split(
    key: &Zeroizing<[u8; KEY]>,
    set: SetId,
    threshold: u8,
    count: u8,
    mut random: impl FnMut(&mut [u8]) -> Result<(), SharesError>,
) -> Result<Vec<Share>, SharesError> {
    if threshold < 2 || threshold > count || count > MOST {
        return Err(SharesError::Numbers { threshold, count });
    }
    let check = check_value(key, set, threshold, count);
    let blank = |number| Share { set, threshold, count, number, check, value: Zeroizing::new([0; KEY]) };
    let mut shares: Vec<Share> = (1..=count).map(blank).collect();
    let mut coefficients = Zeroizing::new(vec![0; usize::from(threshold) - 1]);
    for (place, secret) in key.iter().enumerate() {
        random(&mut coefficients)?;
        for share in &mut shares {
            let value = gf256::evaluate(coefficients.iter().chain([secret]).copied(), share.number);
            if let Some(byte) = share.value.get_mut(place) {
                *byte = value;
            }
        }
    }
    Ok(shares)
}

/// Puts the key together. More shares than needed are checked against the others.
pub fn combine(shares: &[Share]) -> Result<UnsealKey, SharesError> {
    let Some(first) = shares.first() else {
        return Err(SharesError::TooFew { given: 0, needed: 2 });
    };
    for (place, share) in shares.iter().enumerate() {
        if share.facts() != first.facts() {
            let (number, found, expected) = (share.number, share.set, first.set);
            return Err(SharesError::OtherSet { number, found, expected });
        }
        if shares.iter().take(place).any(|earlier| earlier.number == share.number) {
            return Err(SharesError::Twice(share.number));
        }
    }
    let needed = usize::from(first.threshold);
    let (used, extra) = shares
        .split_at_checked(needed)
        .ok_or(SharesError::TooFew { given: shares.len(), needed: first.threshold })?;
    let key = interpolate(used, 0);
    let expected = check_value(&key, first.set, first.threshold, first.count);
    let mut fits = constant_time::verify_slices_are_equal(&expected, &first.check).is_ok();
    for share in extra {
        let value = interpolate(used, share.number);
        fits &= constant_time::verify_slices_are_equal(value.as_slice(), share.value.as_slice()).is_ok();
    }
    if !fits {
        return Err(SharesError::WrongKey);
    }
    Ok(UnsealKey { set: first.set, threshold: first.threshold, key })
}

/// The values at `at` of the 32 polynomials through these shares.
fn interpolate(shares: &[Share], at: u8) -> Zeroizing<[u8; KEY]> {
    let mut out = Zeroizing::new([0; KEY]);
    for share in shares {
        let others = shares.iter().map(|s| s.number).filter(|n| *n != share.number);
        let weight = gf256::weight(at, share.number, others);
        for (sum, value) in out.iter_mut().zip(share.value.iter()) {
            *sum ^= gf256::multiply(*value, weight);
        }
    }
    out
}

fn check_value(key: &Zeroizing<[u8; KEY]>, set: SetId, threshold: u8, count: u8) -> [u8; CHECK] {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_slice());
    let mut message = b"lanyard shares 1: check".to_vec();
    message.extend(set.0);
    message.extend([threshold, count]);
    let mut check = [0; CHECK];
    for (to, from) in check.iter_mut().zip(hmac::sign(&key, &message).as_ref()) {
        *to = *from;
    }
    check
}

impl Share {
    /// The dealing that it belongs to.
    pub fn set(&self) -> SetId {
        self.set
    }
    /// As many make the key.
    pub fn threshold(&self) -> u8 {
        self.threshold
    }
    /// As many were dealt.
    pub fn count(&self) -> u8 {
        self.count
    }
    /// Which one it is, from 1.
    pub fn number(&self) -> u8 {
        self.number
    }

    fn facts(&self) -> (SetId, u8, u8, [u8; CHECK]) {
        (self.set, self.threshold, self.count, self.check)
    }

    /// Its text for paper. A secret: show it to one person, once.
    pub fn to_text(&self) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SHARE_BYTES));
        bytes.push(VERSION << 4 | (self.threshold - 1));
        bytes.push((self.count - 1) << 4 | (self.number - 1));
        bytes.extend(self.set.0);
        bytes.extend(self.check);
        bytes.extend(self.value.iter());
        text::write(&bytes)
    }

    /// Reads the text as a person typed it. Fuzz entry point.
    pub fn parse(typed: &str) -> Result<Self, SharesError> {
        let bytes = text::read(typed, SHARE_BYTES)?;
        let short = SharesError::Malformed("too short");
        let ([first, second], rest) = bytes.split_first_chunk().ok_or(short)?;
        let (set, rest) = rest.split_first_chunk().ok_or(short)?;
        let (check, rest) = rest.split_first_chunk().ok_or(short)?;
        let value = Zeroizing::new(<[u8; KEY]>::try_from(rest).map_err(|_| short)?);
        if first >> 4 != VERSION {
            return Err(SharesError::Malformed("its version is unknown"));
        }
        let (threshold, count, number) = ((first & 15) + 1, (second >> 4) + 1, (second & 15) + 1);
        if threshold < 2 || threshold > count || number > count {
            return Err(SharesError::Malformed("its numbers contradict each other"));
        }
        Ok(Self { set: SetId(*set), threshold, count, number, check: *check, value })
    }
}

#[cfg(test)]
mod tests;

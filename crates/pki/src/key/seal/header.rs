//! The part of sealed bytes that stands in the clear: under what they are sealed, and for what.

use aws_lc_rs::aead::{AES_256_GCM, NONCE_LEN};

use super::super::shares::SetId;
use super::{CHECK, Cost, MAX_SEALED, SALT, SealError};

const UNDER_PASSPHRASE: &[u8] = b"lanyard-sealed-1\n";
const UNDER_SHARES: &[u8] = b"lanyard-sealed-2\n";

/// What opens sealed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SealedUnder {
    /// A passphrase, stretched at this cost.
    Passphrase(Cost),
    /// A key from people's shares.
    Shares {
        /// The dealing.
        set: SetId,
        /// As many are needed.
        threshold: u8,
    },
}

/// What opens these bytes. Read from the header, which nobody has authenticated yet: good for asking the right people.
pub fn sealed_under(sealed: &[u8]) -> Result<SealedUnder, SealError> {
    Ok(parse(sealed)?.under)
}

pub(super) struct Parsed<'a> {
    pub under: SealedUnder,
    pub salt: [u8; SALT],
    pub check: [u8; CHECK],
    pub purpose: &'a [u8],
    pub nonce: [u8; NONCE_LEN],
    pub header: &'a [u8],
    pub ciphertext: &'a [u8],
}

/// The header's beginning, up to the salt.
pub(super) fn begin(under: SealedUnder) -> Vec<u8> {
    match under {
        SealedUnder::Passphrase(cost) => {
            let mut out = UNDER_PASSPHRASE.to_vec();
            for number in [cost.memory_kib, cost.passes, cost.lanes] {
                out.extend(number.to_be_bytes());
            }
            out
        }
        SealedUnder::Shares { set, threshold } => {
            let mut out = UNDER_SHARES.to_vec();
            out.extend(set.bytes());
            out.push(threshold);
            out
        }
    }
}

pub(super) fn parse(sealed: &[u8]) -> Result<Parsed<'_>, SealError> {
    const SHORT: SealError = SealError::Malformed("too short");
    if sealed.len() > MAX_SEALED {
        return Err(SealError::Malformed("longer than 64 KiB"));
    }
    let (under, rest) = if let Some(rest) = sealed.strip_prefix(UNDER_PASSPHRASE) {
        let (memory_kib, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (passes, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (lanes, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let number = |bytes: &[u8; 4]| u32::from_be_bytes(*bytes);
        let cost = Cost::new(number(memory_kib), number(passes), number(lanes))?;
        (SealedUnder::Passphrase(cost), rest)
    } else if let Some(rest) = sealed.strip_prefix(UNDER_SHARES) {
        let (set, rest) = rest.split_first_chunk::<4>().ok_or(SHORT)?;
        let (threshold, rest) = rest.split_first().ok_or(SHORT)?;
        (SealedUnder::Shares { set: SetId::from_bytes(*set), threshold: *threshold }, rest)
    } else {
        return Err(SealError::Malformed("unknown first line"));
    };
    let (salt, rest) = rest.split_first_chunk::<SALT>().ok_or(SHORT)?;
    let (check, rest) = rest.split_first_chunk::<CHECK>().ok_or(SHORT)?;
    let (length, rest) = rest.split_first().ok_or(SHORT)?;
    let (purpose, rest) = rest.split_at_checked(usize::from(*length)).ok_or(SHORT)?;
    let (nonce, ciphertext) = rest.split_first_chunk::<NONCE_LEN>().ok_or(SHORT)?;
    if ciphertext.len() < AES_256_GCM.tag_len() {
        return Err(SHORT);
    }
    let (header, _) = sealed.split_at_checked(sealed.len() - ciphertext.len()).ok_or(SHORT)?;
    Ok(Parsed { under, salt: *salt, check: *check, purpose, nonce: *nonce, header, ciphertext })
}

//! TPMT_SIGNATURE: ECDSA and RSASSA.

use super::public::padded;
use super::{HashAlg, strong};
use crate::wire::{Malformed, Reader, put_tpm2b, within};

/// A signature as the TPM returns it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Signature {
    /// ECDSA. TPMs may leave out leading zeros of either value.
    Ecdsa {
        /// Hash.
        hash: HashAlg,
        /// r.
        r: Vec<u8>,
        /// s.
        s: Vec<u8>,
    },
    /// RSASSA-PKCS1-v1_5.
    Rsassa {
        /// Hash.
        hash: HashAlg,
        /// The signature, as long as the modulus.
        signature: Vec<u8>,
    },
}

impl Signature {
    /// RSA-3072 gives 384 bytes and 6 of numbers.
    pub const LIMIT: usize = 512;

    /// Parses a TPMT_SIGNATURE.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        within("signature", bytes.len(), Self::LIMIT)?;
        let mut reader = Reader::new(bytes);
        let alg = reader.u16("signature algorithm")?;
        let hash = strong("signature hash", reader.u16("signature hash")?)?;
        let out = match alg {
            0x0018 => {
                Self::Ecdsa { hash, r: reader.tpm2b("r", 48)?.to_vec(), s: reader.tpm2b("s", 48)?.to_vec() }
            }
            0x0014 => Self::Rsassa { hash, signature: reader.tpm2b("RSA signature", 384)?.to_vec() },
            found => {
                return Err(Malformed::Unsupported { field: "signature algorithm", found: found.into() });
            }
        };
        reader.finish("signature")?;
        Ok(out)
    }

    /// The TPMT_SIGNATURE bytes.
    pub fn encode(&self) -> Vec<u8> {
        let (alg, hash) = match self {
            Self::Ecdsa { hash, .. } => (0x0018u16, hash),
            Self::Rsassa { hash, .. } => (0x0014, hash),
        };
        let mut out = alg.to_be_bytes().to_vec();
        out.extend_from_slice(&hash.id().to_be_bytes());
        match self {
            Self::Ecdsa { r, s, .. } => {
                put_tpm2b(&mut out, r);
                put_tpm2b(&mut out, s);
            }
            Self::Rsassa { signature, .. } => put_tpm2b(&mut out, signature),
        }
        out
    }

    /// An ECDSA signature from the fixed form r || s, both of equal length.
    pub fn ecdsa_from_fixed(hash: HashAlg, fixed: &[u8]) -> Option<Self> {
        let half = fixed.len() / 2;
        let (r, s) = fixed.split_at_checked(half)?;
        (half > 0 && r.len() == s.len()).then(|| Self::Ecdsa { hash, r: r.to_vec(), s: s.to_vec() })
    }

    /// An ECDSA signature as r || s, each padded to `size` bytes.
    pub fn to_fixed(&self, size: usize) -> Option<Vec<u8>> {
        let Self::Ecdsa { r, s, .. } = self else { return None };
        let mut out = padded(r, size)?;
        out.extend(padded(s, size)?);
        Some(out)
    }
}

//! TPML_PCR_SELECTION: which PCRs of which bank a quote covers.

use super::HashAlg;
use crate::wire::{Malformed, Reader};

/// A TPM has at most 16 banks (HASH_COUNT of the PC profile is far below).
const BANKS: u32 = 16;
/// 24 PCRs need three bytes; the structure allows four.
const SELECT: usize = 4;

/// The PCRs of one bank.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PcrBank {
    /// The bank.
    pub hash: HashAlg,
    /// Bit i of byte j selects PCR 8j+i. The TPM's own length is kept.
    pub select: Vec<u8>,
}

impl PcrBank {
    /// The selected PCRs, ascending.
    pub fn pcrs(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for (base, byte) in (0u8..).step_by(8).zip(&self.select) {
            out.extend((0..8u8).filter(|bit| byte & (1 << bit) != 0).map(|bit| base.saturating_add(bit)));
        }
        out
    }
}

/// A list of banks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PcrSelection {
    /// In the TPM's order, which the PCR digest follows.
    pub banks: Vec<PcrBank>,
}

impl PcrSelection {
    /// One bank with these PCRs (0 to 23; others are left out).
    pub fn of(hash: HashAlg, pcrs: &[u8]) -> Self {
        let mut select = vec![0u8; 3];
        for pcr in pcrs {
            if let Some(byte) = select.get_mut(usize::from(pcr / 8)) {
                *byte |= 1 << (pcr % 8);
            }
        }
        Self { banks: vec![PcrBank { hash, select }] }
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Result<Self, Malformed> {
        let count = r.u32("bank count")?;
        if count > BANKS {
            return Err(Malformed::TooLong {
                field: "bank count",
                found: usize::try_from(count).unwrap_or(usize::MAX),
                limit: 16,
            });
        }
        let mut banks = Vec::new();
        for _ in 0..count {
            let hash = HashAlg::from_id("bank", r.u16("bank")?)?;
            let size = usize::from(r.u8("select size")?);
            crate::wire::within("select size", size, SELECT)?;
            banks.push(PcrBank { hash, select: r.take("select", size)?.to_vec() });
        }
        Ok(Self { banks })
    }

    /// Parses a whole TPML_PCR_SELECTION.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut r = Reader::new(bytes);
        let out = Self::read(&mut r)?;
        r.finish("PCR selection")?;
        Ok(out)
    }

    /// The TPML_PCR_SELECTION bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = u32::try_from(self.banks.len()).unwrap_or(u32::MAX).to_be_bytes().to_vec();
        for bank in &self.banks {
            out.extend_from_slice(&bank.hash.id().to_be_bytes());
            out.push(u8::try_from(bank.select.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(&bank.select);
        }
        out
    }
}

//! The wire form of evidence: one compact, deterministic binary value whose SHA-256 the ledger keeps.
//!
//! Layout, version 1, integers big-endian: `LNYE`, version u8 = 1, format u8 = 1 (TPM); quote and signature
//! each as u16 length and bytes; PCR count u8, then per PCR its index u8 and 32 bytes, ascending; event log
//! as u32 length and bytes. Nothing may follow. The same evidence has exactly one encoding.
//! What is in the quote and the log is not looked at here. To add a format: a number and its own struct.

use crate::freshness::sha256;
use crate::tcg::{MAX_LOG, PCRS};
use crate::tpm::structures::{Attest, Signature};
use crate::wire::{Malformed, Reader, put_long, put_tpm2b, within};

const MAGIC: [u8; 4] = *b"LNYE";
const VERSION: u8 = 1;
const FORMAT_TPM: u8 = 1;

/// The largest evidence: the log, and below 2 KiB of quote, signature, PCR values and lengths.
pub const MAX_EVIDENCE: usize = MAX_LOG + 2048;

/// What a TPM device proves itself with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TpmEvidence {
    /// TPMS_ATTEST of a quote.
    pub quote: Vec<u8>,
    /// TPMT_SIGNATURE over it.
    pub signature: Vec<u8>,
    /// SHA-256 PCR values, ascending by index.
    pub pcrs: Vec<(u8, [u8; 32])>,
    /// TCG event log, models included.
    pub event_log: Vec<u8>,
}

impl TpmEvidence {
    /// The bytes to send and to hash.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.event_log.len() + 1024);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&[VERSION, FORMAT_TPM]);
        put_tpm2b(&mut out, &self.quote);
        put_tpm2b(&mut out, &self.signature);
        out.push(u8::try_from(self.pcrs.len()).unwrap_or(u8::MAX));
        for (index, value) in &self.pcrs {
            out.push(*index);
            out.extend_from_slice(value);
        }
        put_long(&mut out, &self.event_log);
        out
    }

    /// Reads evidence from the wire.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        within("evidence", bytes.len(), MAX_EVIDENCE)?;
        let mut r = Reader::new(bytes);
        if r.array::<4>("evidence magic")? != MAGIC {
            return Err(Malformed::Invalid { field: "evidence magic", rule: "starts with LNYE" });
        }
        for (field, known) in [("evidence version", VERSION), ("evidence format", FORMAT_TPM)] {
            let found = r.u8(field)?;
            if found != known {
                return Err(Malformed::Unsupported { field, found: found.into() });
            }
        }
        let quote = r.tpm2b("quote", Attest::LIMIT)?.to_vec();
        let signature = r.tpm2b("quote signature", Signature::LIMIT)?.to_vec();
        let pcrs = read_pcrs(&mut r)?;
        let event_log = r.long("event log", MAX_LOG)?.to_vec();
        r.finish("evidence")?;
        Ok(Self { quote, signature, pcrs, event_log })
    }

    /// SHA-256 of the encoding.
    pub fn digest(&self) -> [u8; 32] {
        sha256(&self.encode())
    }
}

/// The evidence digest of bytes that came from the wire: parsing accepts one encoding only, so this equals
/// [`TpmEvidence::digest`] of what they parse to.
pub fn digest_of(bytes: &[u8]) -> [u8; 32] {
    sha256(bytes)
}

fn read_pcrs(r: &mut Reader<'_>) -> Result<Vec<(u8, [u8; 32])>, Malformed> {
    let count = usize::from(r.u8("PCR count")?);
    within("PCR count", count, PCRS)?;
    let mut pcrs: Vec<(u8, [u8; 32])> = Vec::with_capacity(count);
    for _ in 0..count {
        let index = r.u8("PCR index")?;
        if usize::from(index) >= PCRS || pcrs.last().is_some_and(|(last, _)| *last >= index) {
            return Err(Malformed::Invalid { field: "PCR index", rule: "0 to 23, ascending, each once" });
        }
        pcrs.push((index, r.array("PCR value")?));
    }
    Ok(pcrs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testkit::truncations;

    fn sample() -> TpmEvidence {
        TpmEvidence {
            quote: vec![1; 145],
            signature: vec![2; 72],
            pcrs: vec![(0, [3; 32]), (7, [4; 32]), (12, [5; 32])],
            event_log: vec![6; 700],
        }
    }

    // I12
    #[test]
    fn evidence_reads_back_as_written_and_truncated_evidence_is_refused() {
        let bytes = sample().encode();
        assert_eq!(TpmEvidence::parse(&bytes), Ok(sample()));
        truncations(&bytes, |b| TpmEvidence::parse(b).is_ok());
        assert_eq!(digest_of(&bytes), sample().digest());
    }

    #[test]
    fn whatever_parses_has_exactly_one_encoding() {
        let bytes = sample().encode();
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(e) = TpmEvidence::parse(&flipped) {
                assert_eq!(e.encode(), flipped, "bit {bit}");
                assert_ne!(e.digest(), sample().digest());
            }
        }
    }

    #[test]
    fn evidence_outside_its_limits_is_refused() {
        let refuse = |change: fn(&mut TpmEvidence)| {
            let mut e = sample();
            change(&mut e);
            TpmEvidence::parse(&e.encode()).unwrap_err()
        };
        let big = refuse(|e| e.event_log = vec![0; MAX_LOG + 1]);
        assert!(matches!(big, Malformed::TooLong { field: "event log", .. }));
        let quote = refuse(|e| e.quote = vec![0; 513]);
        assert!(matches!(quote, Malformed::TooLong { field: "quote", .. }));
        let many = refuse(|e| e.pcrs = vec![(0, [0; 32]); 25]);
        assert!(matches!(many, Malformed::TooLong { field: "PCR count", .. }));
        for pcrs in [vec![(7, [0; 32]), (0, [0; 32])], vec![(7, [0; 32]), (7, [0; 32])], vec![(24, [0; 32])]]
        {
            let e = TpmEvidence { pcrs, ..sample() };
            let refused = TpmEvidence::parse(&e.encode());
            assert!(matches!(refused, Err(Malformed::Invalid { field: "PCR index", .. })));
        }
        let mut version = sample().encode();
        version[4] = 2;
        let refused = TpmEvidence::parse(&version);
        assert!(matches!(refused, Err(Malformed::Unsupported { field: "evidence version", .. })));
        assert!(TpmEvidence::parse(&vec![0; MAX_EVIDENCE + 1]).is_err());
    }
}

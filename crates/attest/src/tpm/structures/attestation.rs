//! TPMS_ATTEST for quotes and certified keys: what the attestation key signs.

use super::PcrSelection;
use crate::wire::{Malformed, Reader, put_tpm2b, within};

/// The TPM puts this in front of everything that it made itself, so that a restricted key cannot be
/// tricked into signing a look-alike from outside (part 2, 6.2).
pub const TPM_GENERATED: u32 = 0xFF54_4347;
/// TPM_ST_ATTEST_CERTIFY.
pub const TYPE_CERTIFY: u16 = 0x8017;
/// TPM_ST_ATTEST_QUOTE.
pub const TYPE_QUOTE: u16 = 0x8018;

/// A name is two bytes of algorithm and at most a SHA-512 digest.
const NAME: usize = 66;

/// TPMS_CLOCK_INFO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClockInfo {
    /// Milliseconds that the TPM was powered.
    pub clock: u64,
    /// Counts TPM resets (power cycles).
    pub reset_count: u32,
    /// Counts resumes and restarts since the last reset.
    pub restart_count: u32,
    /// False while the clock may be lower than a value reported before: the power went away unannounced.
    pub safe: bool,
}

/// What is attested.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Body {
    /// TPM2_Quote.
    Quote {
        /// Which PCRs.
        selection: PcrSelection,
        /// Digest over their values.
        pcr_digest: Vec<u8>,
    },
    /// TPM2_Certify.
    Certify {
        /// Name of the certified key.
        name: Vec<u8>,
        /// Its name qualified by its parents.
        qualified_name: Vec<u8>,
    },
}

/// TPMS_ATTEST.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Attest {
    /// Qualified name of the signing key.
    pub qualified_signer: Vec<u8>,
    /// Qualifying data: the nonce.
    pub extra_data: Vec<u8>,
    /// Clock and counters.
    pub clock: ClockInfo,
    /// The TPM's own firmware version.
    pub firmware_version: u64,
    /// What is attested.
    pub body: Body,
}

impl Attest {
    /// A certify has two names (134), a quote 16 banks of 7 bytes and a digest (180); common part 165.
    pub const LIMIT: usize = 512;

    /// Parses a TPMS_ATTEST.
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        within("attestation", bytes.len(), Self::LIMIT)?;
        let mut r = Reader::new(bytes);
        if r.u32("magic")? != TPM_GENERATED {
            return Err(Malformed::Invalid { field: "magic", rule: "made by a TPM: 0xff544347" });
        }
        let kind = r.u16("attestation type")?;
        let qualified_signer = r.tpm2b("qualified signer", NAME)?.to_vec();
        let extra_data = r.tpm2b("qualifying data", 64)?.to_vec();
        let clock = ClockInfo {
            clock: r.u64("clock")?,
            reset_count: r.u32("reset count")?,
            restart_count: r.u32("restart count")?,
            safe: read_safe(&mut r)?,
        };
        let firmware_version = r.u64("TPM firmware version")?;
        let body = match kind {
            TYPE_QUOTE => Body::Quote {
                selection: PcrSelection::read(&mut r)?,
                pcr_digest: r.tpm2b("PCR digest", 64)?.to_vec(),
            },
            TYPE_CERTIFY => Body::Certify {
                name: r.tpm2b("certified name", NAME)?.to_vec(),
                qualified_name: r.tpm2b("certified qualified name", NAME)?.to_vec(),
            },
            found => return Err(Malformed::Unsupported { field: "attestation type", found: found.into() }),
        };
        r.finish("attestation")?;
        Ok(Self { qualified_signer, extra_data, clock, firmware_version, body })
    }

    /// The TPMS_ATTEST bytes: what is signed.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = TPM_GENERATED.to_be_bytes().to_vec();
        let kind = match self.body {
            Body::Quote { .. } => TYPE_QUOTE,
            Body::Certify { .. } => TYPE_CERTIFY,
        };
        out.extend_from_slice(&kind.to_be_bytes());
        put_tpm2b(&mut out, &self.qualified_signer);
        put_tpm2b(&mut out, &self.extra_data);
        out.extend_from_slice(&self.clock.clock.to_be_bytes());
        out.extend_from_slice(&self.clock.reset_count.to_be_bytes());
        out.extend_from_slice(&self.clock.restart_count.to_be_bytes());
        out.push(u8::from(self.clock.safe));
        out.extend_from_slice(&self.firmware_version.to_be_bytes());
        match &self.body {
            Body::Quote { selection, pcr_digest } => {
                out.extend_from_slice(&selection.encode());
                put_tpm2b(&mut out, pcr_digest);
            }
            Body::Certify { name, qualified_name } => {
                put_tpm2b(&mut out, name);
                put_tpm2b(&mut out, qualified_name);
            }
        }
        out
    }
}

fn read_safe(r: &mut Reader<'_>) -> Result<bool, Malformed> {
    match r.u8("safe")? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::Invalid { field: "safe", rule: "yes or no is 1 or 0" }),
    }
}

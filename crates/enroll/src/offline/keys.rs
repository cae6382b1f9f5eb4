//! The keys of a device that has not enrolled: who it says it is, and what only its TPM can answer for.
//!
//! Nothing signs this file: an attestation key signs quotes and nothing else, an endorsement key does not sign. Whoever
//! changes it gets a challenge that no TPM opens.

use lanyard_attest::wire::put_tpm2b;

use super::read::{chain, open, put_chain, put_head, text};
use super::{FileError, Kind};

/// TPMT_PUBLIC of an RSA-4096 key is below 600 bytes.
const MAX_PUBLIC: usize = 1024;

/// A device's label and the public keys of its TPM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// Maker.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Serial number.
    pub serial: String,
    /// EK certificate and intermediates, DER.
    pub ek_certificates: Vec<Vec<u8>>,
    /// TPMT_PUBLIC of the EK.
    pub ek_public: Vec<u8>,
    /// TPMT_PUBLIC of the AK.
    pub ak_public: Vec<u8>,
}

impl Keys {
    /// The file.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2048);
        put_head(&mut out, Kind::Keys);
        for text in [&self.vendor, &self.model, &self.serial] {
            put_tpm2b(&mut out, text.as_bytes());
        }
        put_chain(&mut out, &self.ek_certificates);
        put_tpm2b(&mut out, &self.ek_public);
        put_tpm2b(&mut out, &self.ak_public);
        out
    }

    /// Reads a file.
    pub fn parse(bytes: &[u8]) -> Result<Self, FileError> {
        let mut r = open(bytes, Kind::Keys)?;
        let keys = Self {
            vendor: text(&mut r, "vendor")?,
            model: text(&mut r, "model")?,
            serial: text(&mut r, "serial")?,
            ek_certificates: chain(&mut r, "EK certificates")?,
            ek_public: r.tpm2b("EK", MAX_PUBLIC)?.to_vec(),
            ak_public: r.tpm2b("AK", MAX_PUBLIC)?.to_vec(),
        };
        r.finish("keys")?;
        Ok(keys)
    }
}

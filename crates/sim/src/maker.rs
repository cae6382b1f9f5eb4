//! Makers of security chips: each a certification authority whose root certificate the hospital's security officer
//! registers before a chip of that maker may enroll. Simulated, and named so.
//!
//! In scope: making chips in files or in memory. Out of scope: what a chip does (`lanyard_agent::tpm::soft`).

use std::path::Path;

use lanyard_agent::tpm::TpmError;
use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_domain::time::Timestamp;

/// A simulated maker.
pub struct Maker {
    ca: MakerCa,
}

impl Maker {
    /// A maker with a new root.
    pub fn new(name: &str, now: Timestamp) -> Result<Self, TpmError> {
        Ok(Self { ca: MakerCa::new(name, now)? })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.ca.name()
    }

    /// What the hospital registers: the root certificate, DER.
    pub fn root_der(&self) -> &[u8] {
        self.ca.root_der()
    }

    /// The certificate of an attestation key (TPMT_PUBLIC) that went into this device, DER.
    pub fn certify_attestation_key(&self, ak: &[u8], device: &str) -> Result<Vec<u8>, TpmError> {
        self.ca.certify_attestation_key(ak, "Simulated TPM", device)
    }

    /// A chip that lives as long as the process.
    pub fn chip_in_memory(&self, model: &str, serial: &str) -> Result<SoftTpm, TpmError> {
        SoftTpm::in_memory(&self.ca, model, serial)
    }

    /// A chip whose state is kept in `dir`.
    pub fn chip_in(&self, dir: &Path, model: &str, serial: &str) -> Result<SoftTpm, TpmError> {
        SoftTpm::manufacture(dir, &self.ca, model, serial)
    }
}

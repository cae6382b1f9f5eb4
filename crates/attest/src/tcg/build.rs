//! Writes event logs: for the software TPM of the agent and the simulator, and for tests.
//!
//! One SHA-256 bank, the layout of real firmware. A software TPM starts at locality 0, so there is no
//! StartupLocality event unless a test asks for one.

use super::log::SPEC_ID_03;
use super::{
    EV_COMPACT_HASH, EV_EFI_BOOT_SERVICES_APPLICATION, EV_EFI_PLATFORM_FIRMWARE_BLOB,
    EV_EFI_VARIABLE_DRIVER_CONFIG, EV_IPL, EV_NO_ACTION, EV_S_CRTM_VERSION, EV_SEPARATOR, MODEL_EVENT_PREFIX,
    MODEL_PCR,
};
use crate::freshness::sha256;
use crate::tpm::structures::HashAlg;

/// What a TPM must extend for the log to be true, in order.
pub type Extends = Vec<(u8, [u8; 32])>;

/// A log being written.
#[derive(Debug, Clone)]
pub struct LogBuilder {
    bytes: Vec<u8>,
    extends: Extends,
}

impl Default for LogBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl LogBuilder {
    /// A log with its Spec ID header.
    pub fn new() -> Self {
        let mut spec = SPEC_ID_03.to_vec();
        // Platform class client (u32), specification version 2.0 errata 0, UINTN of 8 bytes (2 = 64 bit).
        spec.extend_from_slice(&[0, 0, 0, 0, 0, 2, 0, 2]);
        spec.extend_from_slice(&1u32.to_le_bytes());
        spec.extend_from_slice(&HashAlg::Sha256.id().to_le_bytes());
        spec.extend_from_slice(&32u16.to_le_bytes());
        spec.push(0);
        let mut bytes = Vec::with_capacity(4096);
        bytes.extend_from_slice(&0u32.to_le_bytes());
        bytes.extend_from_slice(&EV_NO_ACTION.to_le_bytes());
        bytes.extend_from_slice(&[0; 20]);
        put_data(&mut bytes, &spec);
        Self { bytes, extends: Vec::new() }
    }

    /// Any event with its digest.
    pub fn event(mut self, pcr: u8, kind: u32, digest: [u8; 32], data: &[u8]) -> Self {
        put_event(&mut self.bytes, pcr, kind, &digest, data);
        if kind != EV_NO_ACTION {
            self.extends.push((pcr, digest));
        }
        self
    }

    /// An event whose digest is the hash of its data.
    pub fn measured(self, pcr: u8, kind: u32, data: &[u8]) -> Self {
        self.event(pcr, kind, sha256(data), data)
    }

    /// Version of the static root of trust, in PCR 0, as UTF-16 like firmware writes it.
    pub fn s_crtm_version(self, version: &str) -> Self {
        let data: Vec<u8> = version.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
        self.measured(0, EV_S_CRTM_VERSION, &data)
    }

    /// A firmware volume, in PCR 0 or an option ROM in PCR 2: the digest is of the content, the data only
    /// says where it lay.
    pub fn firmware_blob(self, pcr: u8, base: u64, content: &[u8]) -> Self {
        let length = u64::try_from(content.len()).unwrap_or(u64::MAX);
        let data = [base.to_le_bytes(), length.to_le_bytes()].concat();
        self.event(pcr, EV_EFI_PLATFORM_FIRMWARE_BLOB, sha256(content), &data)
    }

    /// A Secure Boot variable, in PCR 7.
    pub fn secure_boot_variable(self, content: &[u8]) -> Self {
        self.measured(7, EV_EFI_VARIABLE_DRIVER_CONFIG, content)
    }

    /// A boot application, in PCR 4: digest of the image, the path as data.
    pub fn boot_application(self, path: &str, image: &[u8]) -> Self {
        self.event(4, EV_EFI_BOOT_SERVICES_APPLICATION, sha256(image), path.as_bytes())
    }

    /// What the boot loader loaded, in PCR 9: digest of the file, its name as data.
    pub fn ipl(self, name: &str, content: &[u8]) -> Self {
        self.event(9, EV_IPL, sha256(content), name.as_bytes())
    }

    /// Separators that end the firmware phase in PCRs 0 to 7.
    pub fn separators(mut self) -> Self {
        for pcr in 0..8 {
            self = self.measured(pcr, EV_SEPARATOR, &[0; 4]);
        }
        self
    }

    /// An AI model that was loaded: digest of its manifest, in [`MODEL_PCR`].
    pub fn model(self, name: &str, manifest_digest: [u8; 32]) -> Self {
        let data = [MODEL_EVENT_PREFIX, name.as_bytes()].concat();
        self.event(MODEL_PCR, EV_COMPACT_HASH, manifest_digest, &data)
    }

    /// The log's bytes and what to extend.
    pub fn finish(self) -> (Vec<u8>, Extends) {
        (self.bytes, self.extends)
    }
}

/// Appends a model event to a crypto-agile log that firmware wrote: a real TPM's agent extends the digest
/// and keeps the record here. The caller has cut off any padding.
pub fn append_model(log: &mut Vec<u8>, name: &str, manifest_digest: [u8; 32]) {
    let data = [MODEL_EVENT_PREFIX, name.as_bytes()].concat();
    put_event(log, MODEL_PCR, EV_COMPACT_HASH, &manifest_digest, &data);
}

fn put_event(out: &mut Vec<u8>, pcr: u8, kind: u32, digest: &[u8; 32], data: &[u8]) {
    out.extend_from_slice(&u32::from(pcr).to_le_bytes());
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&1u32.to_le_bytes());
    out.extend_from_slice(&HashAlg::Sha256.id().to_le_bytes());
    out.extend_from_slice(digest);
    put_data(out, data);
}

fn put_data(out: &mut Vec<u8>, data: &[u8]) {
    out.extend_from_slice(&u32::try_from(data.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(data);
}

/// The value of a PCR after these extends, from zero: what a software TPM computes.
pub fn pcr_after(extends: &[(u8, [u8; 32])], pcr: u8) -> [u8; 32] {
    let mine = extends.iter().filter(|(index, _)| *index == pcr);
    mine.fold([0; 32], |value, (_, digest)| sha256(&[value, *digest].concat()))
}

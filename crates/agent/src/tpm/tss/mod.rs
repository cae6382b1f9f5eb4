//! A real TPM 2.0 through the TSS (cargo feature `tpm`): discrete and firmware TPMs, and swtpm in tests.
//!
//! What: [`HardwareTpm`], an implementation of [`RootOfTrust`] on a TCTI string such as `device:/dev/tpmrm0`
//! or `swtpm:host=127.0.0.1,port=2321`. The chip is not changed: no persistent handle, no NV index is
//! written, so that nothing needs the owner's or platform's password. Key blobs, wrapped by the chip, lie in
//! a state directory.
//!
//! State (`ak.lyrt`, `tls-a.lyrt`, `tls-b.lyrt`, mode 0600):
//! - lost: the device has a new attestation key and TLS key and must enrol again;
//! - rolled back: an older TLS key serves again; the control plane sees a certificate that it replaced;
//! - written by an attacker: the chip refuses blobs it did not make, a checksum shows the rest.
//!
//! libtss2 writes its own warnings to standard error, also for refusals that are expected here;
//! `TSS2_LOG=all+none` in the environment silences it.
//!
//! libtss2 also opens the TPM without close-on-exec: a program that is started while the TPM is open inherits the
//! connection, and a TPM without resource manager then stays busy for as long as that program runs.
//!
//! In scope: commands, sessions, handles. Out of scope: provisioning of a chip (endorsement certificate,
//! passwords). One file per concern: `worker` (the thread and its deadline), `device` (connection, parents,
//! handles), `errors`.
//! To add a command: a method in `device.rs`, one line here, one test in the contract suite.

mod device;
mod errors;
mod parents;
#[cfg(test)]
mod tests;
mod worker;

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{
    AkHandle, Certified, KeySlot, PcrValue, Quote, RootOfTrust, TpmError, checked_extendable, checked_pcrs,
    checked_qualifying_data,
};
use device::Device;
use worker::Worker;

/// Making an RSA-2048 endorsement key takes a discrete TPM up to 40 s; any other command less than 2 s.
const DEADLINE: Duration = Duration::from_secs(60);

/// Where the TPM is, where its key blobs go, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct HardwareOptions {
    /// TCTI string, as in `TPM2TOOLS_TCTI`.
    pub tcti: String,
    /// Directory of the key blobs; made when absent.
    pub state_dir: PathBuf,
    /// How long one call may take.
    pub deadline: Duration,
}

impl HardwareOptions {
    /// With the default deadline of a minute.
    pub fn new(tcti: impl Into<String>, state_dir: impl AsRef<Path>) -> Self {
        Self { tcti: tcti.into(), state_dir: state_dir.as_ref().to_path_buf(), deadline: DEADLINE }
    }
}

/// A TPM 2.0 behind the TSS.
pub struct HardwareTpm {
    worker: Worker,
}

impl HardwareTpm {
    /// Connects, and reads the endorsement key to see that the TPM answers.
    pub fn open(options: HardwareOptions) -> Result<Self, TpmError> {
        std::fs::create_dir_all(&options.state_dir).map_err(TpmError::io(&options.state_dir))?;
        let device = Device::new(&options.tcti, options.state_dir)?;
        let worker = Worker::spawn(device, options.deadline)?;
        worker.run(Device::ek_public)?;
        Ok(Self { worker })
    }
}

impl RootOfTrust for HardwareTpm {
    fn ek_certificate_chain(&self) -> Result<Vec<Vec<u8>>, TpmError> {
        self.worker.run(Device::ek_certificate_chain)
    }

    fn ek_public(&self) -> Result<Vec<u8>, TpmError> {
        self.worker.run(Device::ek_public)
    }

    fn ensure_ak(&self) -> Result<AkHandle, TpmError> {
        self.worker.run(Device::ensure_ak)
    }

    fn create_tls_key(&self, slot: KeySlot) -> Result<Vec<u8>, TpmError> {
        self.worker.run(move |device| device.create_tls_key(slot))
    }

    fn load_tls_key(&self, slot: KeySlot) -> Result<Vec<u8>, TpmError> {
        self.worker.run(move |device| device.load_tls_key(slot))
    }

    fn certify_tls_key(&self, slot: KeySlot, qualifying_data: &[u8]) -> Result<Certified, TpmError> {
        checked_qualifying_data(qualifying_data)?;
        let nonce = qualifying_data.to_vec();
        self.worker.run(move |device| device.certify(slot, nonce))
    }

    fn activate_credential(&self, blob: &[u8], encrypted_secret: &[u8]) -> Result<Vec<u8>, TpmError> {
        let (blob, secret) = (blob.to_vec(), encrypted_secret.to_vec());
        self.worker.run(move |device| device.activate_credential(blob, secret))
    }

    fn pcr_extend(&self, pcr: u8, sha256: &[u8; 32]) -> Result<(), TpmError> {
        checked_extendable(pcr)?;
        let digest = *sha256;
        self.worker.run(move |device| device.pcr_extend(pcr, digest))
    }

    fn pcr_read(&self, pcrs: &[u8]) -> Result<Vec<PcrValue>, TpmError> {
        let pcrs = checked_pcrs(pcrs)?;
        self.worker.run(move |device| device.pcr_read(&pcrs))
    }

    fn quote(&self, qualifying_data: &[u8], pcrs: &[u8]) -> Result<Quote, TpmError> {
        checked_qualifying_data(qualifying_data)?;
        let (pcrs, nonce) = (checked_pcrs(pcrs)?, qualifying_data.to_vec());
        self.worker.run(move |device| device.quote(nonce, &pcrs))
    }

    fn sign_tls(&self, slot: KeySlot, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, message).as_ref().to_vec();
        self.worker.run(move |device| device.sign(slot, digest))
    }

    fn forget_tls_key(&self, slot: KeySlot) -> Result<(), TpmError> {
        self.worker.run(move |device| device.forget_tls_key(slot))
    }
}

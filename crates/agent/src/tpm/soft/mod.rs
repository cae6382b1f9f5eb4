//! A TPM 2.0 in software: the structures, signatures and refusals of a chip, without one.
//!
//! What: [`SoftTpm`], an implementation of [`RootOfTrust`] in files or in memory; [`MakerCa`], its simulated
//! maker.
//! Why: the demo and the simulated fleets run the real agent code on it, and a device without a chip gets at
//! least the same protocol. It protects keys from being copied by accident, not from an attacker who is root
//! on the device: a hospital knows it by its maker's certificate and grades it as such.
//!
//! State, three files of mode 0600 in one directory:
//! - `chip.lyrt`: seed, endorsement key, certificate; written once. Lost: make a new chip, and the device is
//!   registered anew. Written or read by an attacker: the attacker has the device's identity.
//! - `measurements.lyrt`: PCRs, counters, clock, bound to the chip. Lost: the next start counts as a power cycle
//!   that nobody announced, with the reset counter starting over. Rolled back: so are the PCRs.
//! - `keys.lyrt`: wrapped keys. Lost: enrol again. Copied to another chip: refused as not of this TPM.
//!
//! In scope: what an Attester needs of a TPM. Out of scope: sessions, policies, hierarchies' passwords, NV
//! indices.
//! To add a command: a method here, on the state in `chip`, `keys` or `measurements`, and a case in the
//! contract suite.

mod chip;
mod keys;
mod maker;
mod measurements;
mod storage;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lanyard_attest::tpm::credential::{Credential, CredentialError, activate};
use lanyard_attest::tpm::structures::{Attest, Body, HashAlg, PcrSelection, Public};

use super::{
    AkHandle, Certified, DRTM_PCRS, KeySlot, PCR_COUNT, PcrValue, Quote, RootOfTrust, TpmError,
    checked_extendable, checked_pcrs, checked_qualifying_data, pcr_digest,
};
use chip::Chip;
pub use chip::EkKind;
use keys::{KeyFile, KeyName, Loaded};
pub use maker::MakerCa;
pub use measurements::Shutdown;
use measurements::{Measurements, Save};
use storage::{File, Storage};

/// TPM_RH_OWNER and TPM_RH_ENDORSEMENT: the roots that qualified names start from.
const OWNER: u32 = 0x4000_0001;
const ENDORSEMENT: u32 = 0x4000_000b;
/// Firmware version 1.0, in the two halves of TPM_PT_FIRMWARE_VERSION_1.
const FIRMWARE_VERSION: u64 = 0x0001_0000_0000_0000;

/// A software TPM 2.0.
pub struct SoftTpm {
    chip: Chip,
    storage: Storage,
    state: Mutex<State>,
}

struct State {
    measurements: Measurements,
    keys: KeyFile,
    loaded: Vec<Loaded>,
}

impl SoftTpm {
    /// Makes a chip with a P-256 endorsement key in `dir`, certified by `maker`. Refused where a chip is
    /// already.
    pub fn manufacture(dir: &Path, maker: &MakerCa, model: &str, serial: &str) -> Result<Self, TpmError> {
        Self::manufacture_with(dir, maker, model, serial, EkKind::P256)
    }

    /// As [`SoftTpm::manufacture`], with a choice of endorsement key.
    pub fn manufacture_with(
        dir: &Path,
        maker: &MakerCa,
        model: &str,
        serial: &str,
        kind: EkKind,
    ) -> Result<Self, TpmError> {
        let chip = Chip::manufacture(maker, model, serial, kind)?;
        Storage::manufacture(dir, &chip.encode()?)?;
        let tpm = Self::assemble(chip, Storage::open(dir)?, Measurements::new(), KeyFile::default());
        tpm.save_measurements(&tpm.state())?;
        Ok(tpm)
    }

    /// Opens the chip in `dir`. That is no power cycle: PCRs are as they were.
    pub fn open(dir: &Path) -> Result<Self, TpmError> {
        let storage = Storage::open(dir)?;
        let chip = storage.read(File::Chip)?.ok_or_else(|| TpmError::NotFound("chip".to_owned()))?;
        let chip = Chip::decode(&zeroize::Zeroizing::new(chip))?;
        let measurements = match storage.read(File::Measurements)? {
            Some(bytes) => Measurements::decode(&chip, &bytes)?,
            None => Measurements::new(),
        };
        let keys =
            storage.read(File::Keys)?.map_or_else(|| Ok(KeyFile::default()), |b| KeyFile::decode(&b))?;
        Ok(Self::assemble(chip, storage, measurements, keys))
    }

    /// A chip that lives as long as this value, for simulated fleets.
    pub fn in_memory(maker: &MakerCa, model: &str, serial: &str) -> Result<Self, TpmError> {
        Self::in_memory_with(maker, model, serial, EkKind::P256)
    }

    /// As [`SoftTpm::in_memory`], with a choice of endorsement key.
    pub fn in_memory_with(
        maker: &MakerCa,
        model: &str,
        serial: &str,
        kind: EkKind,
    ) -> Result<Self, TpmError> {
        let chip = Chip::manufacture(maker, model, serial, kind)?;
        Ok(Self::assemble(chip, Storage::Memory, Measurements::new(), KeyFile::default()))
    }

    fn assemble(chip: Chip, storage: Storage, measurements: Measurements, keys: KeyFile) -> Self {
        Self { chip, storage, state: Mutex::new(State { measurements, keys, loaded: Vec::new() }) }
    }

    /// Power off and on: PCRs start over, the reset counter goes up, loaded keys are gone from the chip.
    pub fn reset(&self, shutdown: Shutdown) -> Result<(), TpmError> {
        let mut state = self.state();
        state.measurements.power_cycle(shutdown);
        state.loaded.clear();
        self.save_measurements(&state)
    }

    /// The key file as bytes: what someone who copies the device's disk gets.
    pub fn key_file(&self) -> Vec<u8> {
        self.state().keys.encode()
    }

    /// Puts another key file in the place of this TPM's.
    pub fn replace_key_file(&self, bytes: &[u8]) -> Result<(), TpmError> {
        let keys = KeyFile::decode(bytes)?;
        let mut state = self.state();
        self.storage.write(File::Keys, &keys.encode())?;
        state.loaded.clear();
        state.keys = keys;
        Ok(())
    }

    /// TPM2_Hash and TPM2_Sign with the attestation key, for bytes from outside. No part of the product uses
    /// it; it is how an attacker on the device would try to forge a quote, and what it does not sign is the
    /// point.
    pub fn sign_with_ak(&self, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        self.with_key(KeyName::Ak, |_, ak| ak.sign_external(message))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change below ends with an assignment that cannot fail, so a panic elsewhere leaves the state
        // whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save_measurements(&self, state: &State) -> Result<(), TpmError> {
        match self.storage {
            Storage::Memory => Ok(()),
            Storage::Files { .. } => {
                self.storage.write(File::Measurements, &state.measurements.encode(&self.chip)?)
            }
        }
    }

    fn create(&self, state: &mut State, name: KeyName) -> Result<Public, TpmError> {
        let (key, blob) = Loaded::create(&self.chip, name)?;
        let keys = state.keys.with(blob);
        self.storage.write(File::Keys, &keys.encode())?;
        let public = key.public.clone();
        state.keys = keys;
        state.loaded.retain(|loaded| loaded.name != name);
        state.loaded.push(key);
        Ok(public)
    }

    fn load(&self, state: &mut State, name: KeyName) -> Result<(), TpmError> {
        if state.loaded.iter().any(|loaded| loaded.name == name) {
            return Ok(());
        }
        let blob = state.keys.find(name).ok_or_else(|| TpmError::NotFound(name.text().to_owned()))?;
        let key = Loaded::load(&self.chip, blob)?;
        state.loaded.push(key);
        Ok(())
    }

    fn with_key<T>(
        &self,
        name: KeyName,
        f: impl FnOnce(&mut Measurements, &Loaded) -> Result<T, TpmError>,
    ) -> Result<T, TpmError> {
        let mut state = self.state();
        self.load(&mut state, name)?;
        let State { measurements, loaded, .. } = &mut *state;
        let key = loaded
            .iter()
            .find(|key| key.name == name)
            .ok_or_else(|| TpmError::NotFound(name.text().to_owned()))?;
        f(measurements, key)
    }

    fn attest(
        &self,
        state: &mut State,
        qualifying_data: &[u8],
        body: Body,
    ) -> Result<(Vec<u8>, Vec<u8>), TpmError> {
        let (clock, save) = state.measurements.clock();
        if save == Save::Needed {
            self.save_measurements(state)?;
        }
        let ak = find(&state.loaded, KeyName::Ak)?;
        let attest = Attest {
            qualified_signer: qualified(&primary(ENDORSEMENT, &self.chip.ek_public), &ak.public),
            extra_data: qualifying_data.to_vec(),
            clock,
            firmware_version: FIRMWARE_VERSION,
            body,
        }
        .encode();
        let signature = ak.sign_own(&attest)?.encode();
        Ok((attest, signature))
    }
}

impl RootOfTrust for SoftTpm {
    fn ek_certificate_chain(&self) -> Result<Vec<Vec<u8>>, TpmError> {
        Ok(self.chip.certificates.clone())
    }

    fn ek_public(&self) -> Result<Vec<u8>, TpmError> {
        Ok(self.chip.ek_public.encode())
    }

    fn ensure_ak(&self) -> Result<AkHandle, TpmError> {
        let mut state = self.state();
        if state.keys.find(KeyName::Ak).is_none() {
            self.create(&mut state, KeyName::Ak)?;
        }
        self.load(&mut state, KeyName::Ak)?;
        let ak = find(&state.loaded, KeyName::Ak)?;
        Ok(AkHandle { public: ak.public.encode(), name: ak.public.name() })
    }

    fn create_tls_key(&self, slot: KeySlot) -> Result<Vec<u8>, TpmError> {
        Ok(self.create(&mut self.state(), KeyName::Tls(slot))?.encode())
    }

    fn load_tls_key(&self, slot: KeySlot) -> Result<Vec<u8>, TpmError> {
        self.with_key(KeyName::Tls(slot), |_, key| Ok(key.public.encode()))
    }

    fn certify_tls_key(&self, slot: KeySlot, qualifying_data: &[u8]) -> Result<Certified, TpmError> {
        checked_qualifying_data(qualifying_data)?;
        let mut state = self.state();
        self.load(&mut state, KeyName::Tls(slot))?;
        self.load(&mut state, KeyName::Ak)?;
        let key = &find(&state.loaded, KeyName::Tls(slot))?.public;
        let qualified_name = qualified(&primary(OWNER, &self.chip.srk_public), key);
        let body = Body::Certify { name: key.name(), qualified_name };
        let (attest, signature) = self.attest(&mut state, qualifying_data, body)?;
        Ok(Certified { attest, signature })
    }

    fn activate_credential(&self, blob: &[u8], encrypted_secret: &[u8]) -> Result<Vec<u8>, TpmError> {
        let name = self.with_key(KeyName::Ak, |_, ak| Ok(ak.public.name()))?;
        let credential = Credential { blob: blob.to_vec(), encrypted_secret: encrypted_secret.to_vec() };
        match activate(&self.chip.ek_public, self.chip.ek_private(), &name, &credential) {
            Ok(secret) => Ok(secret.to_vec()),
            Err(CredentialError::WrongEndorsementKey | CredentialError::Integrity) => {
                Err(TpmError::CredentialMismatch)
            }
            Err(CredentialError::Malformed(e)) => Err(TpmError::malformed("credential", e.to_string())),
            Err(
                CredentialError::Key(_)
                | CredentialError::UnusableKey
                | CredentialError::SecretTooLong { .. },
            ) => Err(TpmError::Crypto("credential activation")),
        }
    }

    fn pcr_extend(&self, pcr: u8, sha256: &[u8; 32]) -> Result<(), TpmError> {
        checked_extendable(pcr)?;
        let mut state = self.state();
        state.measurements.extend(pcr, sha256);
        self.save_measurements(&state)
    }

    fn pcr_read(&self, pcrs: &[u8]) -> Result<Vec<PcrValue>, TpmError> {
        Ok(self.state().measurements.read(&checked_pcrs(pcrs)?))
    }

    fn quote(&self, qualifying_data: &[u8], pcrs: &[u8]) -> Result<Quote, TpmError> {
        checked_qualifying_data(qualifying_data)?;
        let numbers = checked_pcrs(pcrs)?;
        let mut state = self.state();
        self.load(&mut state, KeyName::Ak)?;
        let pcrs = state.measurements.read(&numbers);
        let selection = PcrSelection::of(HashAlg::Sha256, &numbers);
        let body = Body::Quote { selection, pcr_digest: pcr_digest(&pcrs) };
        let (attest, signature) = self.attest(&mut state, qualifying_data, body)?;
        Ok(Quote { attest, signature, pcrs })
    }

    fn sign_tls(&self, slot: KeySlot, message: &[u8]) -> Result<Vec<u8>, TpmError> {
        self.with_key(KeyName::Tls(slot), |_, key| key.sign_external(message))
    }

    fn forget_tls_key(&self, slot: KeySlot) -> Result<(), TpmError> {
        let mut state = self.state();
        let name = KeyName::Tls(slot);
        if state.keys.find(name).is_some() {
            let keys = state.keys.without(name);
            self.storage.write(File::Keys, &keys.encode())?;
            state.keys = keys;
            state.loaded.retain(|loaded| loaded.name != name);
        }
        Ok(())
    }
}

fn find(loaded: &[Loaded], name: KeyName) -> Result<&Loaded, TpmError> {
    loaded.iter().find(|key| key.name == name).ok_or_else(|| TpmError::NotFound(name.text().to_owned()))
}

/// Qualified name of a primary key: part 1, 16, with the handle as the name of its hierarchy.
fn primary(hierarchy: u32, key: &Public) -> Vec<u8> {
    qualified(&hierarchy.to_be_bytes(), key)
}

fn qualified(parent: &[u8], key: &Public) -> Vec<u8> {
    let mut out = key.name_alg.id().to_be_bytes().to_vec();
    out.extend_from_slice(&key.name_alg.digest(&[parent, &key.name()].concat()));
    out
}

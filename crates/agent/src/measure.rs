//! What was measured on this device: firmware's event log, and the AI models that it loads.
//!
//! A real device reads the log that firmware left ([`MeasuredFiles`]); a simulated one brings its own. The log explains
//! the PCRs, the quote proves them: a log that says something else is found out by the verifier, not here.
//!
//! In scope: bytes of the log, extending model manifests once per boot. Out of scope: what an approved state is.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use lanyard_attest::tcg::build::append_model;
use lanyard_attest::tcg::{EventLog, MAX_LOG, MODEL_PCR, replay};
use lanyard_attest::tpm::structures::HashAlg;
use lanyard_attest::wire::Malformed;
use lanyard_domain::text::Digest;
use serde::{Deserialize, Serialize};

use crate::error::AgentError;
use crate::state;
use crate::tpm::{RootOfTrust, TpmError};

/// Where Linux shows the log of the first TPM.
pub const BIOS_LOG: &str = "/sys/kernel/security/tpm0/binary_bios_measurements";
/// A manifest lists files with their digests; 64 MiB is half a million of them.
const MAX_MANIFEST: u64 = 64 << 20;

/// Why the measurements cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// A file.
    #[error("cannot read `{path}`: {source}; check `event_log` and `models` in the configuration")]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Too large.
    #[error("`{path}` has more than {limit} bytes")]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Limit.
        limit: u64,
    },
    /// The log cannot be understood.
    #[error("event log cannot be read: {0}")]
    Log(#[from] Malformed),
    /// The root of trust.
    #[error(transparent)]
    Root(#[from] TpmError),
    /// The record of what was extended.
    #[error("{0}")]
    Record(String),
}

/// What was measured. Called before each quote, off the async threads; may extend what is not extended yet.
pub trait Measurements: Send + Sync {
    /// The TCG event log that explains the PCRs of `root`.
    fn event_log(&self, root: &dyn RootOfTrust) -> Result<Vec<u8>, MeasureError>;
}

impl<F> Measurements for F
where
    F: Fn(&dyn RootOfTrust) -> Result<Vec<u8>, MeasureError> + Send + Sync,
{
    fn event_log(&self, root: &dyn RootOfTrust) -> Result<Vec<u8>, MeasureError> {
        self(root)
    }
}

/// A model to measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelFile {
    /// Its name, as shown in findings.
    pub name: String,
    /// Its manifest: a file that lists the digests of the model's files.
    pub manifest: PathBuf,
}

/// One extension of [`MODEL_PCR`] by this agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extension {
    name: String,
    manifest_sha256: Digest,
}

/// Measurements of a device with files.
#[derive(Debug)]
pub struct MeasuredFiles {
    log: PathBuf,
    models: Vec<ModelFile>,
    /// Where the extensions since boot are remembered; in memory without it.
    record: Option<PathBuf>,
    memory: std::sync::Mutex<Vec<Extension>>,
}

impl MeasuredFiles {
    /// Firmware's log and the models' manifests; `state_dir` remembers what was extended.
    pub fn new(log: PathBuf, models: Vec<ModelFile>, state_dir: Option<&Path>) -> Self {
        let record = state_dir.map(|d| d.join("models.json"));
        Self { log, models, record, memory: std::sync::Mutex::default() }
    }

    fn recorded(&self, memory: &[Extension]) -> Result<Vec<Extension>, MeasureError> {
        match &self.record {
            None => Ok(memory.to_vec()),
            Some(path) => state::read(path).map(Option::unwrap_or_default).map_err(record_error),
        }
    }

    /// Recorded before extended: a crash in between leaves a record that [`still_extended`] drops.
    fn extend(
        &self,
        root: &dyn RootOfTrust,
        memory: &mut Vec<Extension>,
        extensions: Vec<Extension>,
        digest: &[u8; 32],
    ) -> Result<Vec<Extension>, MeasureError> {
        if let Some(path) = &self.record {
            state::write(path, &extensions).map_err(record_error)?;
        }
        root.pcr_extend(MODEL_PCR, digest)?;
        memory.clone_from(&extensions);
        Ok(extensions)
    }
}

impl Measurements for MeasuredFiles {
    fn event_log(&self, root: &dyn RootOfTrust) -> Result<Vec<u8>, MeasureError> {
        let mut log = read_limited(&self.log, MAX_LOG as u64)?;
        if self.models.is_empty() {
            return Ok(log);
        }
        // One at a time: two tasks that measure at once would extend twice.
        let mut memory = self.memory.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let firmware = model_pcr_after(&log)?;
        let mut extensions = still_extended(firmware, read_model_pcr(root)?, self.recorded(&memory)?);
        for model in &self.models {
            let manifest = sha256(&read_limited(&model.manifest, MAX_MANIFEST)?);
            let latest = extensions.iter().rev().find(|e| e.name == model.name);
            if latest.is_some_and(|e| e.manifest_sha256.0 == manifest) {
                continue;
            }
            extensions.push(Extension { name: model.name.clone(), manifest_sha256: Digest(manifest) });
            extensions = self.extend(root, &mut memory, extensions, &manifest)?;
        }
        for e in &extensions {
            append_model(&mut log, &e.name, e.manifest_sha256.0);
        }
        Ok(log)
    }
}

/// The extensions that the PCR holds: all of them after a restart of the agent, none after a boot, all but the last
/// after a crash between record and extension. A PCR that fits none was extended by somebody else: nothing is dropped,
/// and the verifier will say that the log does not explain it.
fn still_extended(firmware: [u8; 32], pcr: [u8; 32], mut recorded: Vec<Extension>) -> Vec<Extension> {
    let mut value = firmware;
    let mut holds = (value == pcr).then_some(0);
    for (index, e) in recorded.iter().enumerate() {
        value = sha256(&[value, e.manifest_sha256.0].concat());
        if value == pcr {
            holds = Some(index + 1);
        }
    }
    if let Some(count) = holds {
        recorded.truncate(count);
    }
    recorded
}

fn model_pcr_after(log: &[u8]) -> Result<[u8; 32], MeasureError> {
    let replayed = replay(&EventLog::parse(log)?, HashAlg::Sha256)?;
    Ok(replayed.value(MODEL_PCR).and_then(|v| v.try_into().ok()).unwrap_or_default())
}

fn read_model_pcr(root: &dyn RootOfTrust) -> Result<[u8; 32], MeasureError> {
    let values = root.pcr_read(&[MODEL_PCR])?;
    Ok(values.first().map(|(_, value)| *value).unwrap_or_default())
}

fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>, MeasureError> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(limit + 1).read_to_end(&mut bytes))
        .map_err(|source| MeasureError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > limit {
        return Err(MeasureError::TooLarge { path: path.to_owned(), limit });
    }
    Ok(bytes)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    // SHA-256 has 32 bytes.
    digest(&SHA256, bytes).as_ref().try_into().unwrap_or_default()
}

fn record_error(error: AgentError) -> MeasureError {
    MeasureError::Record(error.to_string())
}

#[cfg(test)]
mod tests {
    use lanyard_attest::tcg::build::LogBuilder;

    use super::*;
    use crate::testkit::soft_tpm;
    use crate::tpm::soft::{Shutdown, SoftTpm};

    struct World {
        dir: tempfile::TempDir,
        tpm: SoftTpm,
    }

    fn world() -> World {
        let dir = tempfile::tempdir().unwrap();
        let (log, extends) = LogBuilder::new().s_crtm_version("1.0").separators().finish();
        std::fs::write(dir.path().join("log"), log).unwrap();
        std::fs::write(dir.path().join("manifest"), "weights v1").unwrap();
        let tpm = soft_tpm();
        for (pcr, value) in extends {
            tpm.pcr_extend(pcr, &value).unwrap();
        }
        World { dir, tpm }
    }

    impl World {
        fn measurements(&self) -> MeasuredFiles {
            let model = ModelFile { name: "triage".into(), manifest: self.dir.path().join("manifest") };
            MeasuredFiles::new(self.dir.path().join("log"), vec![model], Some(self.dir.path()))
        }
        fn explains(&self, log: &[u8]) -> bool {
            model_pcr_after(log).unwrap() == read_model_pcr(&self.tpm).unwrap()
        }
    }

    // R33: what runs is what was measured; a restart of the agent changes nothing.
    #[test]
    fn a_model_is_extended_once_per_boot_and_again_when_it_changes() {
        let world = world();
        let first = world.measurements().event_log(&world.tpm).unwrap();
        assert!(world.explains(&first));
        assert_eq!(world.measurements().event_log(&world.tpm).unwrap(), first);
        let same = world.measurements();
        assert_eq!(
            (same.event_log(&world.tpm).unwrap(), same.event_log(&world.tpm).unwrap()),
            (first.clone(), first.clone())
        );

        std::fs::write(world.dir.path().join("manifest"), "weights v2").unwrap();
        let changed = world.measurements().event_log(&world.tpm).unwrap();
        assert!(world.explains(&changed) && changed.len() > first.len());

        world.tpm.reset(Shutdown::Orderly).unwrap();
        let booted = world.measurements().event_log(&world.tpm).unwrap();
        assert!(world.explains(&booted));
        assert_eq!(booted.len(), first.len());
    }

    #[test]
    fn a_crash_between_record_and_extension_is_made_good() {
        let world = world();
        let planned =
            vec![Extension { name: "triage".into(), manifest_sha256: Digest(sha256(b"weights v1")) }];
        state::write(&world.dir.path().join("models.json"), &planned).unwrap();
        assert!(world.explains(&world.measurements().event_log(&world.tpm).unwrap()));
    }

    #[test]
    fn an_extension_by_somebody_else_is_not_hidden() {
        let world = world();
        world.measurements().event_log(&world.tpm).unwrap();
        world.tpm.pcr_extend(MODEL_PCR, &[9; 32]).unwrap();
        assert!(!world.explains(&world.measurements().event_log(&world.tpm).unwrap()));
    }

    #[test]
    fn missing_large_and_malformed_files_are_told_by_name() {
        let world = world();
        let gone = MeasuredFiles::new(world.dir.path().join("gone"), vec![], None);
        assert!(gone.event_log(&world.tpm).unwrap_err().to_string().contains("gone"));
        std::fs::write(world.dir.path().join("log"), "no log").unwrap();
        assert!(matches!(world.measurements().event_log(&world.tpm), Err(MeasureError::Log(_))));
        std::fs::write(world.dir.path().join("log"), vec![0; MAX_LOG + 1]).unwrap();
        assert!(matches!(world.measurements().event_log(&world.tpm), Err(MeasureError::TooLarge { .. })));
    }
}

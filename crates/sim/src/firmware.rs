//! Firmware releases and AI models as what they do to a security chip: the event log of a boot, the PCR values that
//! follow, and the release record that two people approve.
//!
//! A release is a list of [`Component`]s. Its golden boot gives the reference values, so what a healthy device measures
//! and what was approved come from one place, as with a maker's build system. Variants: [`Firmware::tampered`] (one
//! component changed) and an older release with a lower security version.
//! To add a component: a line in [`Firmware::new`].

use lanyard_agent::tpm::soft::{Shutdown, SoftTpm};
use lanyard_agent::tpm::{RootOfTrust, TpmError};
use lanyard_attest::tcg::build::{LogBuilder, pcr_after};
use lanyard_attest::tcg::{BASELINE_PCRS, EventLog};
use lanyard_attest::tpm::structures::HashAlg;
use lanyard_domain::release::{ReferenceEvent, ReferencePcr, ReleaseContent, ReleaseRecord};
use lanyard_domain::text::Digest;

/// At which place of the boot a component is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Version of the static root of trust, PCR 0.
    RootVersion,
    /// Firmware volume, PCR 0.
    Volume,
    /// Option ROM, PCR 2.
    OptionRom,
    /// Secure Boot variable, PCR 7.
    SecureBoot,
    /// End of the firmware phase, PCRs 0 to 7.
    Separators,
    /// Boot application, PCR 4.
    BootApplication,
    /// Loaded by the boot loader, PCR 9.
    Loaded,
}

/// One measured part of a firmware.
#[derive(Debug, Clone)]
struct Component {
    stage: Stage,
    label: &'static str,
    content: String,
}

/// A firmware release of one model of device.
#[derive(Debug, Clone)]
pub struct Firmware {
    vendor: String,
    model: String,
    version: String,
    security_version: u32,
    components: Vec<Component>,
}

/// An AI model that runs beside the firmware.
#[derive(Debug, Clone)]
pub struct AiModel {
    /// Its name in the event log.
    pub name: String,
    /// Version.
    pub version: String,
}

/// What one boot leaves behind.
#[derive(Debug, Clone)]
pub struct Boot {
    /// TCG event log.
    pub log: Vec<u8>,
    /// What was extended, in order.
    pub extends: Vec<(u8, [u8; 32])>,
}

/// The part that a tampering changes: the program that drives the device's therapy or measurement.
pub const APPLICATION: &str = "device application";

impl Firmware {
    /// A release whose own security version is the least that may run once it is approved.
    pub fn new(vendor: &str, model: &str, version: &str, security_version: u32) -> Self {
        let part = |stage, label, changes_with_version: bool| Component {
            stage,
            label,
            content: if changes_with_version {
                format!("{vendor} {model} {label} {version}")
            } else {
                format!("{vendor} {model} {label}")
            },
        };
        let components = vec![
            part(Stage::RootVersion, "boot ROM version", false),
            part(Stage::Volume, "firmware volume", true),
            part(Stage::OptionRom, "sensor board ROM", false),
            part(Stage::SecureBoot, "Secure Boot state", false),
            part(Stage::SecureBoot, "Secure Boot keys", false),
            part(Stage::Separators, "end of firmware phase", false),
            part(Stage::BootApplication, "boot loader", true),
            part(Stage::Loaded, "kernel", true),
            part(Stage::Loaded, "kernel command line", false),
            part(Stage::Loaded, APPLICATION, true),
        ];
        Self {
            vendor: vendor.to_owned(),
            model: model.to_owned(),
            version: version.to_owned(),
            security_version,
            components,
        }
    }

    /// Version as its maker prints it.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The same release with one component changed, as by someone with a screwdriver and a flash programmer.
    pub fn tampered(&self, label: &str) -> Self {
        let mut changed = self.clone();
        for component in changed.components.iter_mut().filter(|c| c.label == label) {
            component.content.push_str(" (patched)");
        }
        changed
    }

    /// What booting it leaves in log and chip.
    pub fn boot(&self, ai: Option<&AiModel>) -> Boot {
        let mut log = self.components.iter().fold(LogBuilder::new(), |log, c| c.measure(log));
        if let Some(model) = ai {
            log = log.model(&model.name, model.manifest_digest().0);
        }
        let (log, extends) = log.finish();
        Boot { log, extends }
    }

    /// What two people approve: the values of the golden boot and its events with their names.
    pub fn record(&self) -> ReleaseRecord {
        let golden = self.boot(None);
        ReleaseRecord {
            vendor: self.vendor.clone(),
            model: self.model.clone(),
            version: self.version.clone(),
            security_version: self.security_version,
            minimum_security_version: self.security_version,
            not_after: None,
            content: ReleaseContent::Firmware {
                pcrs: BASELINE_PCRS
                    .into_iter()
                    .map(|pcr| ReferencePcr { pcr, value: Digest(pcr_after(&golden.extends, pcr)) })
                    .collect(),
                events: self.reference_events(&golden),
            },
        }
    }

    fn reference_events(&self, golden: &Boot) -> Vec<ReferenceEvent> {
        // A component of the separators is eight events, every other one is one.
        let labels = self
            .components
            .iter()
            .flat_map(|c| std::iter::repeat_n(c.label, if c.stage == Stage::Separators { 8 } else { 1 }));
        let events = golden.extends.iter().zip(labels);
        events
            .filter(|((pcr, _), _)| BASELINE_PCRS.contains(pcr))
            .map(|((pcr, digest), label)| ReferenceEvent {
                pcr: *pcr,
                digest: Digest(*digest),
                label: label.to_owned(),
            })
            .collect()
    }
}

impl Component {
    fn measure(&self, log: LogBuilder) -> LogBuilder {
        let content = self.content.as_bytes();
        match self.stage {
            Stage::RootVersion => log.s_crtm_version(&self.content),
            Stage::Volume => log.firmware_blob(0, 0xffe0_0000, content),
            Stage::OptionRom => log.firmware_blob(2, 0xc000_0000, content),
            Stage::SecureBoot => log.secure_boot_variable(content),
            Stage::Separators => log.separators(),
            Stage::BootApplication => log.boot_application("\\EFI\\BOOT\\BOOTX64.EFI", content),
            Stage::Loaded => log.ipl(self.label, content),
        }
    }
}

impl AiModel {
    /// A model.
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned() }
    }

    /// SHA-256 of the manifest of its files.
    pub fn manifest_digest(&self) -> Digest {
        let manifest = format!("{} {}\nweights.onnx\nthresholds.json\n", self.name, self.version);
        sha256(manifest.as_bytes())
    }

    /// What two people approve.
    pub fn record(&self, vendor: &str, model: &str) -> ReleaseRecord {
        ReleaseRecord {
            vendor: vendor.to_owned(),
            model: model.to_owned(),
            version: self.version.clone(),
            security_version: 1,
            minimum_security_version: 1,
            not_after: None,
            content: ReleaseContent::Model { manifest_digest: self.manifest_digest() },
        }
    }
}

impl Boot {
    /// Power off and on with this boot: the chip's PCRs start over and are extended as the log says.
    pub fn run(&self, tpm: &SoftTpm) -> Result<(), TpmError> {
        tpm.reset(Shutdown::Orderly)?;
        self.extends.iter().try_for_each(|(pcr, digest)| tpm.pcr_extend(*pcr, digest))
    }

    /// How many events the log has.
    pub fn events(&self) -> usize {
        EventLog::parse(&self.log)
            .map_or(0, |log| log.events.iter().filter(|e| e.digest(HashAlg::Sha256).is_some()).count())
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    let mut out = [0; 32];
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    out.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
    Digest(out)
}

#[cfg(test)]
mod tests {
    use lanyard_attest::tcg::{MODEL_PCR, QUOTED_PCRS, replay};
    use lanyard_domain::time::Timestamp;

    use super::*;
    use crate::maker::Maker;

    fn firmware() -> Firmware {
        Firmware::new("Meridian", "Infusor 4", "4.2.0", 2)
    }

    fn reference(record: &ReleaseRecord) -> (Vec<ReferencePcr>, Vec<ReferenceEvent>) {
        match &record.content {
            ReleaseContent::Firmware { pcrs, events } => (pcrs.clone(), events.clone()),
            ReleaseContent::Model { .. } => panic!("not a firmware"),
        }
    }

    // R58: what the chip holds after a boot is what the log replays to and what the release says.
    #[test]
    fn a_booted_chip_holds_what_log_and_release_say() {
        let maker = Maker::new("Chips", Timestamp::from_seconds(1_790_000_000)).unwrap();
        let tpm = maker.chip_in_memory("C1", "1").unwrap();
        let model = AiModel::new("triage", "7");
        let boot = firmware().boot(Some(&model));
        for _ in 0..2 {
            boot.run(&tpm).unwrap();
            let log = EventLog::parse(&boot.log).unwrap();
            let replayed = replay(&log, HashAlg::Sha256).unwrap();
            for (pcr, value) in tpm.pcr_read(&QUOTED_PCRS).unwrap() {
                assert_eq!(replayed.value(pcr), Some(value.as_slice()), "PCR {pcr}");
            }
            for expected in reference(&firmware().record()).0 {
                let (_, value) = tpm.pcr_read(&[expected.pcr]).unwrap()[0];
                assert_eq!(Digest(value), expected.value, "PCR {}", expected.pcr);
            }
            assert_ne!(tpm.pcr_read(&[MODEL_PCR]).unwrap()[0].1, [0; 32]);
        }
    }

    #[test]
    fn the_release_names_each_of_its_events() {
        let record = firmware().record();
        record.check().unwrap();
        let (pcrs, events) = reference(&record);
        for expected in pcrs {
            let extends: Vec<(u8, [u8; 32])> = events.iter().map(|e| (e.pcr, e.digest.0)).collect();
            assert_eq!(Digest(pcr_after(&extends, expected.pcr)), expected.value, "PCR {}", expected.pcr);
        }
        let named = events.iter().find(|e| e.label == APPLICATION).unwrap();
        assert_eq!(
            (named.pcr, named.digest),
            (9, { sha256(b"Meridian Infusor 4 device application 4.2.0") })
        );
    }

    #[test]
    fn tampering_changes_one_pcr_and_another_version_changes_several() {
        let values = |f: &Firmware| {
            let extends = f.boot(None).extends;
            BASELINE_PCRS.map(|pcr| pcr_after(&extends, pcr))
        };
        let differing = |other: &Firmware| {
            let (good, other) = (values(&firmware()), values(other));
            good.iter().zip(other).filter(|(a, b)| **a != *b).count()
        };
        assert_eq!(differing(&firmware()), 0);
        assert_eq!(differing(&firmware().tampered(APPLICATION)), 1);
        assert_eq!(differing(&firmware().tampered("no such part")), 0);
        assert_eq!(differing(&Firmware::new("Meridian", "Infusor 4", "4.1.9", 1)), 3);
    }
}

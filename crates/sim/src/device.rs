//! A virtual device: a software TPM, a firmware that booted on it, the real agent, and a source of readings.
//!
//! In scope: manufacture, power cycles with one firmware or another, sending. Out of scope: everything that the agent
//! does; nothing of it is imitated here.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use lanyard_agent::fhir::{DataPath, Reply};
use lanyard_agent::measure::MeasureError;
use lanyard_agent::protocol::Enrollment;
use lanyard_agent::tpm::soft::SoftTpm;
use lanyard_agent::tpm::{RootOfTrust, TpmError};
use lanyard_agent::{Agent, AgentConfig, AgentError};
use lanyard_api::client::{CallError, Server};
use lanyard_api::clock::Clock;
use lanyard_attest::tpm::structures::{Public, spki_der};
use lanyard_domain::id::DeviceId;
use lanyard_domain::text::Digest;

use crate::catalogue::{Class, Delivered, patient_of, serial};
use crate::clinical::ClinicalSource;
use crate::firmware::{AiModel, Boot, Firmware};
use crate::maker::Maker;
use crate::rng::SeededRng;

/// Why a virtual device could not be made or did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The chip.
    #[error(transparent)]
    Chip(#[from] TpmError),
    /// The way to the gateway.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The chip's endorsement key cannot be read.
    #[error("endorsement key of `{0}` cannot be read")]
    Endorsement(String),
    /// Asked to send before it has an identity.
    #[error("`{0}` has no identity yet")]
    NotEnrolled(String),
    /// A task ended early.
    #[error("the simulation is stopping")]
    Stopping,
}

/// Where the hospital's servers are.
#[derive(Debug, Clone)]
pub struct Network {
    /// Control planes.
    pub control: Vec<Server>,
    /// Gateways.
    pub gateways: Vec<Server>,
    /// What devices trust.
    pub anchors_pem: String,
}

/// Where chips and agents keep their state.
#[derive(Debug, Clone)]
pub enum Storage {
    /// In memory: fleets for measurements.
    Memory,
    /// Below this directory, one folder per serial number.
    Under(PathBuf),
}

/// A device as it leaves the maker's factory: a chip, and the firmware that belongs on it.
pub struct Manufactured {
    /// What it is.
    pub class: Class,
    /// Serial number.
    pub serial: String,
    /// Its chip.
    pub tpm: Arc<SoftTpm>,
    /// Where its agent will keep its state.
    pub state_dir: Option<PathBuf>,
}

impl Manufactured {
    /// The `index`th device of a fleet.
    pub fn new(index: usize, maker: &Maker, storage: &Storage) -> Result<Self, TpmError> {
        Self::with_serial(Class::of(index), serial(index), maker, storage)
    }

    /// A device of this class and serial number.
    pub fn with_serial(
        class: Class,
        serial: String,
        maker: &Maker,
        storage: &Storage,
    ) -> Result<Self, TpmError> {
        let (tpm, state_dir) = match storage {
            Storage::Memory => (maker.chip_in_memory("Simulated TPM", &serial)?, None),
            Storage::Under(dir) => {
                let home = dir.join(&serial);
                (maker.chip_in(&home.join("tpm"), "Simulated TPM", &serial)?, Some(home.join("agent")))
            }
        };
        class.firmware().boot(class.ai_model().as_ref()).run(&tpm)?;
        Ok(Self { class, serial, tpm: Arc::new(tpm), state_dir })
    }

    /// Its line on the delivery note.
    pub fn delivered(&self) -> Result<Delivered, DeviceError> {
        let unreadable = || DeviceError::Endorsement(self.serial.clone());
        let public = Public::parse(&self.tpm.ek_public()?).map_err(|_| unreadable())?;
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &spki_der(&public));
        let ek_sha256 = Digest(hash.as_ref().try_into().map_err(|_| unreadable())?);
        Ok(Delivered { class: self.class, serial: self.serial.clone(), ek_sha256 })
    }

    /// Connects it to the hospital's network. Nothing is sent yet.
    pub fn install(
        self,
        network: &Network,
        clock: &Clock,
        rng: &SeededRng,
    ) -> Result<VirtualDevice, DeviceError> {
        self.install_by(network, Enrollment::default(), clock, rng)
    }

    /// The same; it enrolls in this way.
    pub fn install_by(
        self,
        network: &Network,
        enrollment: Enrollment,
        clock: &Clock,
        rng: &SeededRng,
    ) -> Result<VirtualDevice, DeviceError> {
        let class = self.class;
        let boot = Arc::new(RwLock::new(class.firmware().boot(class.ai_model().as_ref())));
        let config = AgentConfig {
            servers: network.control.iter().map(ToString::to_string).collect(),
            anchors_pem: network.anchors_pem.clone(),
            state_dir: self.state_dir.clone(),
            vendor: class.vendor().to_owned(),
            model: class.model().to_owned(),
            serial: self.serial.clone(),
            event_log: PathBuf::new(),
            models: Vec::new(),
            gateways: network.gateways.iter().map(ToString::to_string).collect(),
            enrollment,
        };
        let log = boot.clone();
        let measurements = move |_: &dyn RootOfTrust| -> Result<Vec<u8>, MeasureError> {
            Ok(log.read().unwrap_or_else(PoisonError::into_inner).log.clone())
        };
        let agent = Agent::new(config, self.tpm.clone(), Arc::new(measurements), clock.clone())?;
        let path = agent.configured_data_path()?;
        Ok(VirtualDevice {
            class,
            rng: rng.fork(&self.serial),
            serial: self.serial,
            tpm: self.tpm,
            boot,
            agent,
            path,
            source: Mutex::new(None),
            clock: clock.clone(),
            state_dir: self.state_dir,
        })
    }
}

/// A device that is connected.
pub struct VirtualDevice {
    /// What it is.
    pub class: Class,
    /// Serial number.
    pub serial: String,
    /// The real agent.
    pub agent: Agent,
    /// Its own way to the gateway, kept open.
    pub path: DataPath,
    /// Where its agent keeps its state.
    pub state_dir: Option<PathBuf>,
    pub(crate) tpm: Arc<SoftTpm>,
    pub(crate) boot: Arc<RwLock<Boot>>,
    source: Mutex<Option<ClinicalSource>>,
    rng: SeededRng,
    clock: Clock,
}

impl VirtualDevice {
    /// Its id, once it has enrolled.
    pub fn id(&self) -> Result<DeviceId, DeviceError> {
        let identity = self.agent.identities().current();
        identity.map(|i| i.device).ok_or_else(|| DeviceError::NotEnrolled(self.serial.clone()))
    }

    /// Power off, another firmware, power on.
    pub async fn boot(&self, firmware: &Firmware, ai: Option<&AiModel>) -> Result<(), DeviceError> {
        let (boot, tpm) = (firmware.boot(ai), self.tpm.clone());
        let ran = boot.clone();
        tokio::task::spawn_blocking(move || ran.run(&tpm)).await.map_err(|_| DeviceError::Stopping)??;
        *self.boot.write().unwrap_or_else(PoisonError::into_inner) = boot;
        Ok(())
    }

    /// Back to what was approved.
    pub async fn boot_approved(&self) -> Result<(), DeviceError> {
        self.boot(&self.class.firmware(), self.class.ai_model().as_ref()).await
    }

    /// Its next reading, as FHIR JSON.
    pub fn reading(&self) -> Result<String, DeviceError> {
        let id = self.id()?;
        let mut source = self.source.lock().unwrap_or_else(PoisonError::into_inner);
        let source = source.get_or_insert_with(|| {
            ClinicalSource::new(self.class.readings(), &patient_of(id), self.rng.clone())
        });
        Ok(source.next(id, self.clock.now()).to_string())
    }

    /// Sends its next reading over its kept connection.
    pub async fn send(&self) -> Result<Reply, DeviceError> {
        self.send_over(&self.path, None).await
    }

    /// Sends its next reading over `path`, with a token beside the certificate when given.
    pub async fn send_over(&self, path: &DataPath, token: Option<&str>) -> Result<Reply, DeviceError> {
        let reading = self.reading()?;
        Ok(path.post("/fhir/Observation", reading, token).await?)
    }

    /// Another way to the gateway: a new connection with the newest certificate.
    pub fn another_path(&self) -> Result<DataPath, DeviceError> {
        Ok(self.agent.configured_data_path()?)
    }
}

/// `Observation/1` out of `/fhir/Observation/1/_history/1`.
pub fn location_of(reply: &Reply) -> Option<String> {
    let location = reply.location.as_deref()?;
    let mut parts = location.trim_start_matches('/').split('/').skip_while(|p| *p != "Observation");
    Some(format!("{}/{}", parts.next()?, parts.next()?))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;
    use lanyard_attest::tcg::QUOTED_PCRS;
    use lanyard_domain::time::Timestamp;

    use super::*;
    use crate::firmware::APPLICATION;
    use crate::tls::tests::anchor;

    fn device(storage: &Storage) -> VirtualDevice {
        let maker = Maker::new("Chips", Timestamp::from_seconds(1_790_000_000)).unwrap();
        let network = Network {
            control: vec!["127.0.0.1:1".parse().unwrap()],
            gateways: vec!["127.0.0.1:2".parse().unwrap()],
            anchors_pem: anchor(),
        };
        let made = Manufactured::new(0, &maker, storage).unwrap();
        made.install(&network, &Clock::system(), &SeededRng::new(1)).unwrap()
    }

    #[tokio::test]
    async fn power_cycles_with_other_firmware_change_what_the_chip_holds() {
        let dir = tempfile::tempdir().unwrap();
        for storage in [Storage::Memory, Storage::Under(dir.path().to_owned())] {
            let device = device(&storage);
            let good = device.tpm.pcr_read(&QUOTED_PCRS).unwrap();
            device.boot(&device.class.firmware().tampered(APPLICATION), None).await.unwrap();
            assert_ne!(device.tpm.pcr_read(&QUOTED_PCRS).unwrap(), good);
            device.boot_approved().await.unwrap();
            assert_eq!(device.tpm.pcr_read(&QUOTED_PCRS).unwrap(), good);
            assert!(matches!(device.reading(), Err(DeviceError::NotEnrolled(_))));
        }
    }

    #[test]
    fn a_location_is_cut_to_type_and_id() {
        for (location, expected) in [
            (Some("/fhir/Observation/7/_history/1"), Some("Observation/7")),
            (Some("Observation/7"), Some("Observation/7")),
            (Some("/fhir/Patient/7"), None),
            (Some("/fhir/Observation"), None),
            (None, None),
        ] {
            let reply = Reply {
                status: StatusCode::CREATED,
                location: location.map(str::to_owned),
                body: Bytes::new(),
            };
            assert_eq!(location_of(&reply).as_deref(), expected);
        }
    }
}

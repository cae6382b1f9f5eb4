//! What goes wrong on purpose: tampering, copying, replaying, downgrading, and strangers.
//!
//! Attackers here have what real ones would have: a device's disk, a place on its operating system, another chip of the
//! same maker. They use the agent where an attacker would, and their own tools ([`Recorder`]) where the agent would not
//! help them. To add a fault: a function here and a stage of the demo that expects its refusal.

use std::path::Path;
use std::sync::PoisonError;

use http::Method;
use lanyard_agent::tpm::RootOfTrust;
use lanyard_agent::{Agent, AgentError};
use lanyard_api::client::{CallError, Client};
use lanyard_api::clock::Clock;
use lanyard_api::device::{AttestRequest, CheckpointReply, Standing};
use lanyard_attest::evidence::TpmEvidence;
use lanyard_attest::freshness::{CheckpointRef, Purpose, qualifying_data};
use lanyard_domain::text::Blob;

use crate::catalogue::Class;
use crate::device::{DeviceError, Manufactured, Network, Storage, VirtualDevice};
use crate::firmware::APPLICATION;
use crate::maker::Maker;
use crate::rng::SeededRng;
use crate::tls::{TlsError, as_device};

/// Why an attack could not even be tried.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A call.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The attacker's TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Files to copy.
    #[error("cannot copy `{path}`: {source}")]
    Copy {
        /// Which.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A rule of the simulation.
    #[error("{0}")]
    Setup(String),
}

/// The device is opened, its application is patched, and it is started again.
pub async fn tamper(device: &VirtualDevice) -> Result<(), DeviceError> {
    let patched = device.class.firmware().tampered(APPLICATION);
    device.boot(&patched, device.class.ai_model().as_ref()).await
}

/// Somebody installs the release before, which has a known hole.
pub async fn downgrade(device: &VirtualDevice) -> Result<(), DeviceError> {
    device.boot(&device.class.older_firmware(), device.class.ai_model().as_ref()).await
}

/// A device that nobody registered, of a known maker.
pub fn stranger(maker: &Maker, network: &Network, clock: &Clock) -> Result<VirtualDevice, DeviceError> {
    let made = Manufactured::with_serial(Class::Pump, "IP-66666".to_owned(), maker, &Storage::Memory)?;
    made.install(network, clock, &SeededRng::new(6))
}

/// What came of a clone.
pub struct Clone {
    /// What the other chip said to the copied keys.
    pub copied_keys: Result<(), AgentError>,
    /// The same label on other hardware, starting afresh.
    pub impostor: VirtualDevice,
}

/// Copies a device's disk (key file and agent's state) to a device with another chip of the same maker, in `dir`.
pub fn clone_disk(
    original: &VirtualDevice,
    maker: &Maker,
    network: &Network,
    clock: &Clock,
    dir: &Path,
) -> Result<Clone, FaultError> {
    let home = Storage::Under(dir.to_owned());
    let other = Manufactured::with_serial(original.class, original.serial.clone(), maker, &home)
        .map_err(DeviceError::from)?;
    other.tpm.replace_key_file(&original.tpm.key_file()).map_err(DeviceError::from)?;
    let (Some(from), Some(to)) = (&original.state_dir, &other.state_dir) else {
        return Err(FaultError::Setup("a device in memory has no disk to copy".to_owned()));
    };
    copy_files(from, to)?;
    // The agent of the clone starts on the copied disk, as the original's would.
    let mut config = original.agent.config().clone();
    config.state_dir = Some(to.clone());
    let log = original.boot.read().unwrap_or_else(PoisonError::into_inner).log.clone();
    let measurements = move |_: &dyn RootOfTrust| Ok(log.clone());
    let started = Agent::new(config, other.tpm.clone(), std::sync::Arc::new(measurements), clock.clone());
    let copied_keys = started.map(|_| ());
    // With the copied keys useless, the attacker wipes them and lets the other chip make its own.
    let fresh = Manufactured::with_serial(original.class, original.serial.clone(), maker, &Storage::Memory)
        .map_err(DeviceError::from)?;
    let impostor = fresh.install(network, clock, &SeededRng::new(5))?;
    Ok(Clone { copied_keys, impostor })
}

fn copy_files(from: &Path, to: &Path) -> Result<(), FaultError> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |source| FaultError::Copy { path, source }
    };
    std::fs::create_dir_all(to).map_err(failed(to))?;
    for entry in std::fs::read_dir(from).map_err(failed(from))? {
        let path = entry.map_err(failed(from))?.path();
        if let (true, Some(name)) = (path.is_file(), path.file_name()) {
            std::fs::copy(&path, to.join(name)).map_err(failed(&path))?;
        }
    }
    Ok(())
}

/// An attacker on the device's operating system: has its chip at hand, records what it proves, and sends it again.
pub struct Recorder {
    client: Client,
}

/// Evidence that was accepted once.
pub struct Recording {
    request: AttestRequest,
    /// What it led to the first time.
    pub standing: Standing,
}

impl Recorder {
    /// On `device`.
    pub fn on(device: &VirtualDevice, network: &Network, clock: &Clock) -> Result<Self, FaultError> {
        let tls = as_device(&network.anchors_pem, clock, device.agent.identities().clone())?;
        Ok(Self { client: Client::new(network.control.clone(), tls) })
    }

    /// Lets the device prove itself and keeps what it sent.
    pub async fn record(&self, device: &VirtualDevice) -> Result<Recording, FaultError> {
        let identity = device.agent.identities().current();
        let identity = identity.ok_or_else(|| DeviceError::NotEnrolled(device.serial.clone()))?;
        let mut channel = self.client.connect().await?;
        let exporter = channel.exporter().map_err(CallError::from)?;
        let newest: CheckpointReply = channel.call(Method::GET, "/v1/checkpoint", None::<&()>).await?;
        let checkpoint = CheckpointRef { size: newest.size, root: newest.root.0 };
        let nonce = qualifying_data(Purpose::Attest, &checkpoint, *identity.device.as_bytes(), exporter);
        let event_log = device.boot.read().unwrap_or_else(PoisonError::into_inner).log.clone();
        let quote = device.tpm.quote(&nonce, &identity.pcrs).map_err(DeviceError::from)?;
        let evidence =
            TpmEvidence { quote: quote.attest, signature: quote.signature, pcrs: quote.pcrs, event_log };
        let request = AttestRequest { checkpoint_size: newest.size, evidence: Blob(evidence.encode()) };
        let standing = channel.call(Method::POST, "/v1/attest", Some(&request)).await?;
        Ok(Recording { request, standing })
    }

    /// Sends it again, over a new connection.
    pub async fn replay(&self, recording: &Recording) -> Result<Standing, CallError> {
        self.client.connect().await?.call(Method::POST, "/v1/attest", Some(&recording.request)).await
    }
}

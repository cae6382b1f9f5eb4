//! What a gateway is started with, and its keys.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lanyard_api::client::Server;
use lanyard_api::clock::Clock;
use lanyard_api::listen::Limits;
use lanyard_domain::id::GatewayId;
use lanyard_domain::text::Digest;
use lanyard_ledger::note::{NoteError, NoteSigner};
use lanyard_pki::key::{BadLabel, KeyBackend, KeyError, KeyKind, KeyLabel, SoftwareKeys};
use zeroize::Zeroizing;

/// Configuration.
#[derive(Debug, Clone)]
pub struct GatewayConfig {
    /// Id, from registration.
    pub id: GatewayId,
    /// Site slug, from registration.
    pub site: String,
    /// Origin of the main log; the decision log is `<origin>/gateway/<id>`.
    pub log_origin: String,
    /// Where devices connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Control planes, asked in this order.
    pub control: Vec<Server>,
    /// Trust anchors, PEM; the feed brings later generations.
    pub anchors_pem: String,
    /// State, decision log, certificate.
    pub data_dir: PathBuf,
    /// Where the decision log's checkpoints are kept a second time, best on another disk; default: in `data_dir`.
    pub anchor_dir: Option<PathBuf>,
    /// EHR, for example `https://ehr.hospital.example/fhir/r4`.
    pub ehr_base_url: String,
    /// Our credential at the EHR.
    pub ehr_bearer: Option<String>,
    /// The EHR's authorities, PEM, when it is https.
    pub ehr_ca_pem: Option<String>,
    /// Longest wait for the EHR.
    pub ehr_timeout: Duration,
    /// Largest request body in bytes.
    pub max_body: usize,
    /// Limits on connections.
    pub limits: Limits,
    /// Time.
    pub clock: Clock,
}

impl GatewayConfig {
    /// The file that the decision log's key, TLS key and state key are named after in the key store.
    pub(crate) fn log_name(&self) -> String {
        log_name(&self.log_origin, self.id)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }
}

/// Origin of a gateway's decision log.
pub fn log_name(main_origin: &str, gateway: GatewayId) -> String {
    format!("{main_origin}/gateway/{gateway}")
}

/// The EHR's answer within this is 201, otherwise 504: a device waits 30 s and more.
pub const EHR_TIMEOUT: Duration = Duration::from_secs(15);

/// The gateway's keys. Lost: register a new gateway. Rolled back: as lost. Written by an attacker: they do not open
/// (sealed), or are not the registered ones.
#[derive(Clone)]
pub struct GatewayKeys {
    pub(crate) backend: Arc<dyn KeyBackend>,
    pub(crate) tls: KeyLabel,
    pub(crate) log_seed: Zeroizing<[u8; 32]>,
    pub(crate) state_key: Zeroizing<[u8; 32]>,
}

impl std::fmt::Debug for GatewayKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GatewayKeys({}, [redacted])", self.tls)
    }
}

/// Why keys were not opened.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The key store.
    #[error(transparent)]
    Store(#[from] KeyError),
    /// A label of ours.
    #[error(transparent)]
    Label(#[from] BadLabel),
    /// A secret that is not 32 bytes.
    #[error("the secret `{0}` in the gateway's key store has not 32 bytes")]
    Length(&'static str),
    /// The log's key.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// No randomness.
    #[error("the system gives no randomness")]
    Randomness,
}

impl GatewayKeys {
    /// Opens the gateway's keys in a sealed store, making those that are not there yet.
    pub fn open(store: Arc<SoftwareKeys>) -> Result<GatewayKeys, KeysError> {
        let tls: KeyLabel = "gateway-tls".parse()?;
        match store.public_spki(&tls) {
            Ok(_) => {}
            Err(KeyError::NotFound(_)) => {
                store.generate(&tls, KeyKind::P256)?;
            }
            Err(error) => return Err(error.into()),
        }
        let log_seed = secret(&store, "gateway-log-seed")?;
        let state_key = secret(&store, "gateway-state-key")?;
        Ok(GatewayKeys { backend: store, tls, log_seed, state_key })
    }

    /// What an operator registers: SHA-256 of the TLS key's SubjectPublicKeyInfo.
    pub fn spki_sha256(&self) -> Result<Digest, KeysError> {
        Ok(Digest(lanyard_ledger::hash::sha256(&[&self.backend.public_spki(&self.tls)?]).0))
    }

    /// What an operator registers: the verifier key of the decision log.
    pub fn vkey(&self, main_origin: &str, gateway: GatewayId) -> Result<String, KeysError> {
        Ok(self.signer(&log_name(main_origin, gateway))?.verifier().vkey())
    }

    /// Signs the checkpoints of the decision log of that name.
    pub fn signer(&self, log_name: &str) -> Result<NoteSigner, KeysError> {
        Ok(NoteSigner::from_seed(log_name, &self.log_seed)?)
    }
}

fn secret(store: &SoftwareKeys, name: &'static str) -> Result<Zeroizing<[u8; 32]>, KeysError> {
    let label: KeyLabel = name.parse()?;
    let bytes = match store.secrets().secret(&label)? {
        Some(bytes) => bytes,
        None => {
            let mut fresh = Zeroizing::new(vec![0u8; 32]);
            aws_lc_rs::rand::fill(&mut fresh).map_err(|_| KeysError::Randomness)?;
            store.secrets().put_secret(&label, &fresh)?;
            fresh
        }
    };
    let array: [u8; 32] = bytes.as_slice().try_into().map_err(|_| KeysError::Length(name))?;
    Ok(Zeroizing::new(array))
}

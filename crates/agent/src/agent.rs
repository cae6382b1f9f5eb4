//! The agent itself: its parts, put together once; all tasks share it.

use std::sync::Arc;
use std::time::Duration;

use lanyard_api::client::{Client, Server};
use lanyard_api::clock::Clock;
use lanyard_api::device::Standing;
use rustls::client::Resumption;
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::UnixTime;
use tokio::sync::{Notify, watch};

use crate::config::{AgentConfig, ConfigError};
use crate::error::AgentError;
use crate::fhir::DataPath;
use crate::identity::Identities;
use crate::measure::Measurements;
use crate::status::Status;
use crate::tpm::RootOfTrust;

/// The Attester of one device. Cheap to clone.
#[derive(Clone)]
pub struct Agent {
    pub(crate) parts: Arc<Parts>,
}

pub(crate) struct Parts {
    pub(crate) config: AgentConfig,
    pub(crate) root: Arc<dyn RootOfTrust>,
    pub(crate) measurements: Arc<dyn Measurements>,
    pub(crate) clock: Clock,
    pub(crate) identities: Arc<Identities>,
    /// Shows no certificate: enrollment.
    pub(crate) anonymous: Client,
    /// Shows the newest certificate.
    pub(crate) mutual: Client,
    pub(crate) status: watch::Sender<Status>,
    pub(crate) nudge: Notify,
    mutual_tls: Arc<ClientConfig>,
}

impl Agent {
    /// An agent that resumes what its state directory holds. Blocks (root of trust, files).
    pub fn new(
        config: AgentConfig,
        root: Arc<dyn RootOfTrust>,
        measurements: Arc<dyn Measurements>,
        clock: Clock,
    ) -> Result<Self, AgentError> {
        config.check()?;
        let servers = config.servers()?;
        let identities = Arc::new(Identities::open(root.clone(), config.state_dir.as_deref())?);
        let anonymous_tls = Arc::new(tls(&config, &clock, None)?);
        let mutual_tls = Arc::new(tls(&config, &clock, Some(identities.clone()))?);
        let kept = match &config.state_dir {
            Some(dir) => Status::read(dir)?.unwrap_or_default(),
            None => Status::default(),
        };
        let parts = Parts {
            root,
            measurements,
            clock,
            identities,
            anonymous: Client::new(servers.clone(), anonymous_tls),
            mutual: Client::new(servers, mutual_tls.clone()),
            status: watch::Sender::new(kept),
            nudge: Notify::new(),
            mutual_tls,
            config,
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The device's identities.
    pub fn identities(&self) -> &Arc<Identities> {
        &self.parts.identities
    }

    /// The root of trust.
    pub fn root(&self) -> &Arc<dyn RootOfTrust> {
        &self.parts.root
    }

    /// The configuration.
    pub fn config(&self) -> &AgentConfig {
        &self.parts.config
    }

    /// How the device stands; changes are published here.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.parts.status.subscribe()
    }

    /// Makes [`Agent::run`] attest now: after an update, or when somebody wants to know.
    pub fn nudge(&self) {
        self.parts.nudge.notify_one();
    }

    /// A way for data to `gateways`, with this device's identity.
    pub fn data_path(&self, gateways: Vec<Server>) -> DataPath {
        let client = Client::new(gateways, self.parts.mutual_tls.clone());
        DataPath::new(client, self.parts.identities.clone())
    }

    /// A way for data to the configured gateways.
    pub fn configured_data_path(&self) -> Result<DataPath, AgentError> {
        Ok(self.data_path(self.parts.config.gateways()?))
    }

    /// Runs what blocks (root of trust, files) off the async threads.
    pub(crate) async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Parts) -> Result<R, AgentError> + Send + 'static,
    ) -> Result<R, AgentError> {
        let parts = self.parts.clone();
        tokio::task::spawn_blocking(move || work(&parts)).await.map_err(|_| AgentError::Stopping)?
    }

    /// A call with the current certificate was answered: it works, and this is how the device stands.
    pub(crate) async fn heard(&self, standing: &Standing) -> Result<(), AgentError> {
        let now = self.parts.clock.now();
        self.parts.status.send_modify(|status| {
            status.standing = Some(standing.clone());
            status.heard_at = Some(now);
        });
        self.blocking(|parts| parts.identities.confirm()).await
    }
}

fn tls(
    config: &AgentConfig,
    clock: &Clock,
    identity: Option<Arc<Identities>>,
) -> Result<ClientConfig, AgentError> {
    let refused = |e: rustls::Error| ConfigError::Anchors(e.to_string());
    let mut roots = RootCertStore::empty();
    for anchor in config.anchors()? {
        roots.add(anchor).map_err(refused)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_details(provider, Arc::new(TlsClock(clock.clone())))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(refused)?
        .with_root_certificates(roots);
    let mut tls = match identity {
        Some(identity) => builder.with_client_cert_resolver(identity),
        None => builder.with_no_client_auth(),
    };
    // A resumed session would carry the certificate of the session that it resumes, not the newest.
    tls.resumption = Resumption::disabled();
    Ok(tls)
}

/// rustls asks our clock, so that simulated time is one time.
#[derive(Debug)]
struct TlsClock(Clock);

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        let micros = u64::try_from(self.0.now().as_micros()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_micros(micros)))
    }
}

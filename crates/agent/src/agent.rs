//! The agent itself: its parts, put together once; all tasks share it.

use std::sync::{Arc, Mutex};

use lanyard_api::client::{Client, Server};
use lanyard_api::clock::Clock;
use lanyard_api::device::Standing;
use lanyard_pki::certificate::PeerIdentity;
use lanyard_pki::tls::{AnchorStore, Gate, IdentityStore, Peers, Refusal, client_config};
use rustls::ClientConfig;
use tokio::sync::{Notify, watch};

use crate::config::{AgentConfig, ConfigError};
use crate::error::AgentError;
use crate::fhir::DataPath;
use crate::identity::Identities;
use crate::measure::Measurements;
use crate::protocol::pending::PendingStore;
use crate::protocol::{Fronts, HeldAccount};
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
    /// Where EST, ACME and CMP are served, if that is configured.
    pub(crate) fronts: Option<Fronts>,
    /// A certificate that was asked for there.
    pub(crate) pending: PendingStore,
    /// The ACME account of an agent without a state directory.
    pub(crate) account: Mutex<Option<HeldAccount>>,
    data_tls: Arc<ClientConfig>,
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
        let anonymous_tls = tls(&config, &clock, Whom::Control, None)?;
        let mutual_tls = tls(&config, &clock, Whom::Control, Some(identities.clone()))?;
        let data_tls = tls(&config, &clock, Whom::Any, Some(identities.clone()))?;
        let kept = match &config.state_dir {
            Some(dir) => Status::read(dir)?.unwrap_or_default(),
            None => Status::default(),
        };
        let addresses = config.enrollment.addresses().map_err(ConfigError::from)?;
        let fronts = (!addresses.is_empty()).then(|| Fronts {
            anonymous: Client::new(addresses.clone(), anonymous_tls.clone()),
            mutual: Client::new(addresses, mutual_tls.clone()),
        });
        let pending = PendingStore::open(config.state_dir.as_deref())?;
        let parts = Parts {
            root,
            fronts,
            pending,
            account: Mutex::default(),
            measurements,
            clock,
            identities,
            anonymous: Client::new(servers.clone(), anonymous_tls),
            mutual: Client::new(servers, mutual_tls),
            status: watch::Sender::new(kept),
            nudge: Notify::new(),
            data_tls,
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
        let client = Client::new(gateways, self.parts.data_tls.clone());
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

/// Whom a connection may lead to.
#[derive(Clone, Copy, PartialEq)]
enum Whom {
    /// The control plane and nobody else: not even a gateway of the same hospital may hand out checkpoints.
    Control,
    /// A gateway or the control plane; a small site has both in one. A device that is a server (DICOM, SDC) or an
    /// application is neither, whatever its certificate allows it elsewhere.
    Any,
}

fn tls(
    config: &AgentConfig,
    clock: &Clock,
    whom: Whom,
    identity: Option<Arc<Identities>>,
) -> Result<Arc<ClientConfig>, AgentError> {
    let gate = Gate::new(move |chain| match chain.identity() {
        PeerIdentity::Control => Ok(()),
        PeerIdentity::Gateway(_) if whom == Whom::Any => Ok(()),
        other if whom == Whom::Any => Err(Refusal(format!("`{other}` is no gateway"))),
        other => Err(Refusal(format!("`{other}` is not the control plane"))),
    });
    let clock = clock.clone();
    let mut tls = client_config(
        IdentityStore::empty(),
        Peers { anchors: AnchorStore::new(config.anchors()?), gate },
        // rustls asks our clock, so that simulated time is one time.
        lanyard_pki::tls::Clock::new(move || clock.now()),
    )
    .map_err(|e| ConfigError::Anchors(e.to_string()))?;
    // Every proof is bound to the channel; with TLS 1.2 only this makes the binding unique (RFC 9266 4.2).
    tls.require_ems = true;
    if let Some(identity) = identity {
        tls.client_auth_cert_resolver = identity;
    }
    Ok(Arc::new(tls))
}

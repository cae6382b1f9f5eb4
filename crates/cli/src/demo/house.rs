//! The house that the demo stands in: control plane, gateway and the stand-in EHR, on free ports of 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use data_encoding::BASE32_NOPAD;
use lanyard_api::client::{Client, Server};
use lanyard_api::clock::Clock;
use lanyard_api::listen::Limits;
use lanyard_control::carry_out::NewGateway;
use lanyard_domain::id::GatewayId;
use lanyard_gateway::config::EHR_TIMEOUT;
use lanyard_gateway::fhir::Guard;
use lanyard_gateway::{Gateway, GatewayConfig, GatewayKeys, RunningGateway};
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_pki::key::seal::{Cost, Sealer};
use lanyard_pki::key::{SealedDirectory, SoftwareKeys};
use lanyard_server::{Config, ControlPlane, Running};
use lanyard_sim::catalogue::SITE;
use lanyard_sim::device::Network;
use lanyard_sim::ehr::StandInEhr;
use lanyard_sim::operators::Desk;
use lanyard_sim::rng::fresh;
use lanyard_sim::tls;

/// Name of the demo's log.
const ORIGIN: &str = "demo.hospital.example/lanyard";
/// A gateway that is not ready by then will not be: certificate and snapshot take milliseconds on loopback.
const READY: Duration = Duration::from_secs(20);

/// Everything that runs.
pub(super) struct House {
    /// The control plane.
    pub(super) control: Running,
    /// The site's gateway.
    pub(super) gateway: RunningGateway,
    /// The stand-in.
    pub(super) ehr: StandInEhr,
    /// Where devices find them.
    pub(super) network: Network,
    /// The people's way in.
    pub(super) desk: Desk,
    /// The first operator's secret.
    pub(super) bootstrap_secret: String,
}

impl House {
    /// Starts all three.
    pub(super) async fn start(data_dir: &Path, clock: &Clock) -> anyhow::Result<Self> {
        let ehr = StandInEhr::start().await.context("cannot start the stand-in EHR")?;
        let passphrase = BASE32_NOPAD.encode(&fresh::<32>()?);
        let mut control =
            ControlPlane::start(config(data_dir), sealed_by(&passphrase)?, clock.clone()).await?;
        let bootstrap_secret =
            control.bootstrap_secret.take().context("the first start gave no bootstrap secret")?;
        let server: Server = control.address.to_string().parse()?;
        let gateway = gateway(data_dir, &passphrase, &control, &server, &ehr, clock).await?;
        tokio::time::timeout(READY, gateway.ready()).await.context("the gateway did not become ready")?;
        let network = Network {
            control: vec![server.clone()],
            gateways: vec![gateway.fhir_addr.to_string().parse()?],
            anchors_pem: control.anchors_pem.clone(),
        };
        let client = Client::new(vec![server], tls::anonymous(&control.anchors_pem, clock)?);
        let desk = Desk::new(client, clock.clone(), &control.origin);
        Ok(Self { control, gateway, ehr, network, desk, bootstrap_secret })
    }

    /// Stops all: the gateway first, it still has a log to anchor.
    pub(super) async fn stop(self) {
        self.gateway.shutdown().await;
        self.control.shutdown().await;
    }
}

fn config(data_dir: &Path) -> Config {
    Config {
        data_dir: data_dir.join("control"),
        anchor_dir: Some(data_dir.join("anchor")),
        listen: loopback(),
        enroll: lanyard_server::Enroll::default(),
        watch: lanyard_server::watch::Bounds::default(),
        names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        organization: "Demo Hospital".to_owned(),
        domain: "demo.hospital.example".to_owned(),
        origin: ORIGIN.to_owned(),
        keys: lanyard_server::KeyPlaces::default(),
    }
}

/// A free port.
fn loopback() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn sealed_by(passphrase: &str) -> anyhow::Result<Passphrase> {
    Ok(Passphrase::from_bytes(passphrase.as_bytes().to_vec(), "the demo's own random passphrase")?)
}

/// The gateway beside the control plane, admitted as `lanyard up` admits its own.
async fn gateway(
    data_dir: &Path,
    passphrase: &str,
    control: &Running,
    server: &Server,
    ehr: &StandInEhr,
    clock: &Clock,
) -> anyhow::Result<RunningGateway> {
    let home = data_dir.join("gateway");
    std::fs::create_dir_all(&home).with_context(|| format!("cannot make `{}`", home.display()))?;
    let sealer = Sealer::new(sealed_by(passphrase)?, Cost::STANDARD);
    let keys = SoftwareKeys::open(SealedDirectory::open(&home.join("keys"), sealer)?)?;
    let keys = GatewayKeys::open(Arc::new(keys))?;
    let id = GatewayId::from_random(fresh()?);
    let admission = NewGateway {
        id,
        site: SITE.to_owned(),
        spki_sha256: keys.spki_sha256()?,
        vkey: keys.vkey(&control.origin, id)?,
        names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
    };
    control.state.control.admit_own_gateway(admission, clock.now()).await?;
    let config = GatewayConfig {
        id,
        site: SITE.to_owned(),
        log_origin: control.origin.clone(),
        listen: loopback(),
        control: vec![server.clone()],
        anchors_pem: control.anchors_pem.clone(),
        data_dir: home,
        anchor_dir: Some(data_dir.join("gateway-anchor")),
        ehr_base_url: ehr.base_url(),
        ehr_bearer: None,
        ehr_ca_pem: None,
        ehr_timeout: EHR_TIMEOUT,
        max_body: Guard::MAX_BODY,
        limits: Limits::default(),
        clock: clock.clone(),
    };
    Ok(Gateway::start(config, keys).await?)
}

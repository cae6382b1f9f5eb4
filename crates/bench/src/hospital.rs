//! The hospital that the end-to-end benches run in: the real control plane and gateway of this process, a fleet of
//! devices that run the real agent on software TPMs, and the bench's own upstream as EHR.
//!
//! Server, gateway, devices and upstream share this machine's cores: every figure is of all of them together. In scope:
//! starting, enrolling (with the clock running, see `enrollment`), bringing the fleet into service. Out of scope: load.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lanyard_api::client::{Client, Server};
use lanyard_api::clock::Clock;
use lanyard_api::listen::Limits;
use lanyard_control::carry_out::NewGateway;
use lanyard_domain::id::{GatewayId, ReleaseId};
use lanyard_domain::operator::Role;
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use lanyard_domain::trust::Verdict;
use lanyard_gateway::config::EHR_TIMEOUT;
use lanyard_gateway::fhir::Guard;
use lanyard_gateway::{Gateway, GatewayConfig, GatewayKeys, RunningGateway};
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_pki::key::seal::{Cost, Sealer};
use lanyard_pki::key::{SealedDirectory, SoftwareKeys};
use lanyard_server::{Config, ControlPlane, Enroll, KeyPlaces, Running};
use lanyard_sim::catalogue::{Class, SITE};
use lanyard_sim::device::{Network, Storage, VirtualDevice};
use lanyard_sim::fleet::{self, Admission, concurrently};
use lanyard_sim::maker::Maker;
use lanyard_sim::operators::{Desk, VirtualOperator};
use lanyard_sim::rng::{SeededRng, fresh};
use lanyard_sim::tls;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::nginx::free_port;
use crate::{Settings, disk, upstream};

const ORIGIN: &str = "bench.example/lanyard";
/// Calls under way at a time while the fleet is admitted, enrolled and attested.
pub const AT_ONCE: usize = 64;

/// How one kind of call went for the whole fleet.
pub struct Pass {
    /// Calls per second.
    pub rate: f64,
    /// Time of each.
    pub times: Vec<Duration>,
}

/// A running hospital.
pub struct Hospital {
    /// Runs all of it.
    pub runtime: Runtime,
    /// The control plane.
    pub control: Running,
    /// Where the upstream listens.
    pub upstream: SocketAddr,
    /// The fleet, enrolled and in service.
    pub devices: Vec<Arc<VirtualDevice>>,
    /// Time.
    pub clock: Clock,
    /// The people who admit devices.
    pub staff: Admission,
    /// Who admits people, and agrees to authorities.
    pub admin: Arc<VirtualOperator>,
    /// How enrolling the fleet went.
    pub enrolled: Pass,
    /// How its first attestation went.
    pub attested: Pass,
    /// Where dns-01 asks; nobody listens there yet.
    pub dns: SocketAddr,
    gateway: RunningGateway,
    _folder: TempDir,
}

impl Hospital {
    /// Starts everything and brings the fleet into service.
    pub fn open(settings: &Settings) -> Result<Hospital> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let folder = disk::folder()?;
        let dns = free_port()?;
        let parts = runtime.block_on(open(&folder, settings.devices, dns))?;
        let (control, gateway, upstream, devices, clock, (staff, admin), enrolled, attested) = parts;
        Ok(Hospital {
            runtime,
            control,
            upstream,
            devices,
            clock,
            staff,
            admin,
            enrolled,
            attested,
            dns,
            gateway,
            _folder: folder,
        })
    }

    /// Where devices send data.
    pub fn gateway(&self) -> SocketAddr {
        self.gateway.fhir_addr
    }

    /// Connections that are open at the gateway.
    pub fn connected(&self) -> usize {
        self.gateway.status().open_connections
    }

    /// Stops all: the gateway first, it still has a log to anchor.
    pub fn close(self) {
        let Hospital { runtime, control, gateway, devices, .. } = self;
        drop(devices);
        runtime.block_on(async {
            gateway.shutdown().await;
            control.shutdown().await;
        });
    }
}

type People = (Admission, Arc<VirtualOperator>);
type Parts = (Running, RunningGateway, SocketAddr, Vec<Arc<VirtualDevice>>, Clock, People, Pass, Pass);

async fn open(folder: &TempDir, devices: usize, dns: SocketAddr) -> Result<Parts> {
    let clock = Clock::system();
    let upstream = upstream::start().await?;
    let config = Config {
        data_dir: folder.path().join("control"),
        anchor_dir: Some(folder.path().join("anchor")),
        listen: "127.0.0.1:0".parse()?,
        enroll: front_ends(dns)?,
        watch: lanyard_server::watch::Bounds::default(),
        names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        organization: "Bench Hospital".to_owned(),
        domain: "bench.example".to_owned(),
        origin: ORIGIN.to_owned(),
        keys: KeyPlaces::default(),
    };
    let mut control = ControlPlane::start(config, passphrase()?, clock.clone()).await?;
    let secret = control.bootstrap_secret.take().context("the first start gave no bootstrap secret")?;
    let server: Server = control.address.to_string().parse()?;
    let gateway = gateway(folder, &control, &server, upstream, &clock).await?;
    tokio::time::timeout(Duration::from_secs(20), gateway.ready())
        .await
        .context("the gateway did not become ready")?;
    let client = Client::new(vec![server.clone()], tls::anonymous(&control.anchors_pem, &clock)?);
    let desk = Desk::new(client, clock.clone(), &control.origin);
    let network = Network {
        control: vec![server],
        gateways: vec![gateway.fhir_addr.to_string().parse()?],
        anchors_pem: control.anchors_pem.clone(),
    };
    let maker = Arc::new(Maker::new("Bench Chips", clock.now())?);
    let (admission, admin) = staff(desk, &secret, &maker).await?;

    let made = fleet::manufacture(0, devices, maker, Storage::Memory).await?;
    for admitted in admission.admit(&made, AT_ONCE).await {
        admitted.context("a device was not admitted")?;
    }
    let rng = SeededRng::new(1);
    let devices: Vec<Arc<VirtualDevice>> = made
        .into_iter()
        .map(|made| Ok(Arc::new(made.install(&network, &clock, &rng)?)))
        .collect::<Result<_>>()?;
    let enrolled = pass(&devices, |device| async move {
        device.agent.enroll().await?;
        Ok(())
    });
    let enrolled = enrolled.await.context("a device did not enroll")?;
    let attested = pass(&devices, |device| async move {
        let standing = device.agent.attest().await?;
        ensure!(standing.verdict == Verdict::Trusted, "{} is {}", device.serial, standing.verdict);
        Ok(())
    });
    let attested = attested.await.context("a device did not attest")?;
    Ok((control, gateway, upstream, devices, clock, (admission, admin), enrolled, attested))
}

/// Every protocol; certificates say where their revocation is served.
fn front_ends(dns: SocketAddr) -> Result<Enroll> {
    let http = free_port()?;
    Ok(Enroll {
        listen: Some("127.0.0.1:0".parse()?),
        http_listen: Some(http),
        names: vec!["localhost".to_owned(), "127.0.0.1".to_owned()],
        http_url: Some(format!("http://{http}")),
        acme_challenges: vec!["device-attest-01".to_owned(), "dns-01".to_owned()],
        dns_servers: vec![dns],
        ..Enroll::default()
    })
}

/// Does `work` once with every device, [`AT_ONCE`] at a time.
async fn pass<F>(devices: &[Arc<VirtualDevice>], work: impl Fn(Arc<VirtualDevice>) -> F) -> Result<Pass>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let start = Instant::now();
    let outcomes = concurrently(devices.to_vec(), AT_ONCE, |device| {
        let doing = work(device);
        async move {
            let begun = Instant::now();
            doing.await.map(|()| begun.elapsed())
        }
    });
    let times = outcomes.await.into_iter().collect::<Result<Vec<Duration>>>()?;
    ensure!(times.len() == devices.len(), "{} of {} came through", times.len(), devices.len());
    Ok(Pass { rate: times.len() as f64 / start.elapsed().as_secs_f64(), times })
}

/// The people, the maker and the releases that the fleet needs.
async fn staff(desk: Desk, secret: &str, maker: &Maker) -> Result<People> {
    let person = |name, role| VirtualOperator::new(name, &[role]).map(Arc::new);
    let admin = person("Admin", Role::Admin)?;
    let admission = Admission {
        registrar: person("Registrar", Role::Registrar)?,
        security: person("Security", Role::Security)?,
        biomedical: person("Biomedical", Role::Biomedical)?,
        desk,
    };
    let desk = &admission.desk;
    desk.bootstrap(&admin, secret).await?;
    for person in [&admission.registrar, &admission.security, &admission.biomedical] {
        desk.decide(&admin, person.admission(), "hired").await?;
    }
    let root = Blob(maker.root_der().to_vec());
    let accept = Action::AddEndorsement { certificate: root, grade: None, uses: Vec::new() };
    desk.decide(&admission.security, accept, "maker of the chips").await?;
    for record in Class::ALL.into_iter().flat_map(Class::releases) {
        let release = ReleaseId::from_random(fresh()?);
        let propose = Action::ProposeRelease { release, record };
        desk.decide(&admission.biomedical, propose, "as published").await?;
        desk.decide(&admission.security, Action::ApproveRelease { release }, "compared").await?;
    }
    Ok((admission, admin))
}

async fn gateway(
    folder: &TempDir,
    control: &Running,
    server: &Server,
    upstream: SocketAddr,
    clock: &Clock,
) -> Result<RunningGateway> {
    let home = folder.path().join("gateway");
    std::fs::create_dir_all(&home)?;
    let sealer = Sealer::new(passphrase()?, Cost::STANDARD);
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
        listen: "127.0.0.1:0".parse()?,
        control: vec![server.clone()],
        anchors_pem: control.anchors_pem.clone(),
        data_dir: home,
        anchor_dir: Some(folder.path().join("gateway-anchor")),
        ehr_base_url: format!("http://{upstream}/fhir"),
        ehr_bearer: None,
        ehr_ca_pem: None,
        ehr_timeout: EHR_TIMEOUT,
        max_body: Guard::MAX_BODY,
        limits: Limits::default(),
        clock: clock.clone(),
    };
    Ok(Gateway::start(config, keys).await?)
}

/// Seals keys that live as long as the bench.
fn passphrase() -> Result<Passphrase> {
    Ok(Passphrase::from_bytes(b"keys of a bench, gone in minutes".to_vec(), "the bench's own")?)
}

//! Start and stop. A first start makes authorities and log; every later start resumes from the log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Context as _;
use hyper_util::service::TowerToHyperService;
use lanyard_api::clock::Clock;
use lanyard_api::listen::{Limits, serve, serve_plain};
use lanyard_control::authority::Authority;
use lanyard_control::generation::FirstKeys;
use lanyard_control::journal::{Entry, Journal};
use lanyard_control::plane::Control;
use lanyard_control::profiles::Installation;
use lanyard_control::stores::{KeyStores, Token};
use lanyard_control::upkeep::ITSELF;
use lanyard_control::world::{Touched, World};
use lanyard_domain::event::{Event, StreamKind};
use lanyard_domain::id::StreamId;
use lanyard_enroll::scep::Algorithms;
use lanyard_pki::key::KeyBackend;
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_pki::name::Naming;
use lanyard_pki::path::Anchors;
use lanyard_pki::profile::RevocationUris;
use lanyard_pki::tls::{self, AnchorStore, ClientCertificates, Gate, IdentityStore, Peers};
use lanyard_store::{Options, Store, Unclean};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::bootstrap::BootstrapSecret;
use crate::feed::Feeds;
use crate::front;
use crate::front::acme::Acme;
use crate::front::acme::look::Places;
use crate::front::acme::resolve::Resolver;
use crate::hardware::{Hardware, Pkcs11};
use crate::http::router;
use crate::journal::LedgerJournal;
use crate::keys::Keys;
use crate::snapshot::{Cache, Restored};
use crate::state::State;
use crate::watch::Bounds;
use crate::worker;

/// What a control plane is started with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything lies.
    pub data_dir: PathBuf,
    /// Where signed checkpoints are anchored; should be another disk. `anchor` below the data directory without it.
    pub anchor_dir: Option<PathBuf>,
    /// Where to listen.
    pub listen: SocketAddr,
    /// Enrollment protocols and revocation.
    pub enroll: Enroll,
    /// Where looks at others' servers may go.
    pub watch: Bounds,
    /// DNS names and addresses that clients dial.
    pub names: Vec<String>,
    /// Organisation in certificates.
    pub organization: String,
    /// Domain under which machine names are made.
    pub domain: String,
    /// Name of the log; never change it.
    pub origin: String,
    /// Where keys of authorities are made.
    pub keys: KeyPlaces,
}

/// Where keys of authorities are made.
#[derive(Debug, Clone, Default)]
pub struct KeyPlaces {
    /// Those of the first start.
    pub first: FirstKeys,
    /// The hardware module, if there is one.
    pub pkcs11: Option<Pkcs11>,
}

/// Where devices and relying parties find the front ends.
#[derive(Debug, Clone, Default)]
pub struct Enroll {
    /// With TLS: EST, ACME, CMP.
    pub listen: Option<SocketAddr>,
    /// Without: CMP, SCEP, OCSP, CRLs.
    pub http_listen: Option<SocketAddr>,
    /// DNS names and addresses that clients of the TLS listener dial.
    pub names: Vec<String>,
    /// The plain listener's address as it stands in certificates.
    pub http_url: Option<String>,
    /// Revocation lists with at least so many entries have differences; none with 0.
    pub delta_entries: usize,
    /// Challenges of ACME that are offered; without any, ACME is off.
    pub acme_challenges: Vec<String>,
    /// Where http-01 looks.
    pub http01_port: u16,
    /// Where tls-alpn-01 looks.
    pub tls_alpn01_port: u16,
    /// DNS servers that dns-01 asks, in this order.
    pub dns_servers: Vec<SocketAddr>,
    /// Zones that an alias at `_acme-challenge` may lead to.
    pub dns01_delegates: Vec<String>,
    /// What SCEP clients may be so old as to use.
    pub scep_algorithms: Algorithms,
}

/// Why the control plane did not start.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
pub struct StartError(#[from] anyhow::Error);

/// The control plane.
pub struct ControlPlane;

/// A running control plane.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where the enrollment protocols listen, if they do.
    pub enroll_address: Option<SocketAddr>,
    /// Where revocation listens, if it does.
    pub http_address: Option<SocketAddr>,
    /// Name of the log.
    pub origin: String,
    /// Verifier key of the log.
    pub log_vkey: String,
    /// Trust anchors, PEM.
    pub anchors_pem: String,
    /// The first operator's secret; only right after the first start.
    pub bootstrap_secret: Option<String>,
    /// From which position on the log was folded at this start: what lies before came from the snapshot.
    pub resumed_at: u64,
    /// Shared state, for those who run in the same process.
    pub state: State,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

impl ControlPlane {
    /// Opens or makes everything in the data directory and serves until [`Running::shutdown`].
    pub async fn start(config: Config, passphrase: Passphrase, clock: Clock) -> Result<Running, StartError> {
        Ok(start(config, passphrase, clock).await?)
    }
}

impl Running {
    /// Cancelled when the log cannot go on: the process must exit and be started again.
    pub fn broken(&self) -> CancellationToken {
        self.state.control.journal.broken()
    }

    /// Writes a snapshot of the folded log now; a worker does it by itself when enough was recorded. Says up to where.
    pub async fn keep_snapshot(&self) -> anyhow::Result<u64> {
        Ok(worker::keep_snapshot(&self.state).await?)
    }

    /// Ends listening, lets answers finish, seals what is left, closes the log.
    pub async fn shutdown(self) {
        self.shutdown.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.state.control.journal.store().clone().close().await {
            tracing::warn!(%error, "the log did not close cleanly; the next start will check it");
        }
    }
}

async fn start(config: Config, passphrase: Passphrase, clock: Clock) -> anyhow::Result<Running> {
    let data = &config.data_dir;
    std::fs::create_dir_all(data)
        .with_context(|| format!("cannot make data directory `{}`", data.display()))?;
    let naming = Naming::new(&config.organization, &config.domain)?;
    let keys =
        Keys::open(&data.join("keys"), passphrase, &config.origin).context("cannot open the sealed keys")?;
    let log_vkey = keys.log.verifier().vkey();
    let anchor = config.anchor_dir.clone().unwrap_or_else(|| data.join("anchor"));
    // The worker `audit` reads the rest while we serve.
    let options = Options { unclean: Unclean::Tail, ..Options::new(keys.log, anchor) };
    let store = Store::open(&data.join("log"), options).context("cannot open the log")?;

    let snapshot = Arc::new(Cache::new(data, &keys.snapshot));
    let restored = snapshot.restore(&store).await.context("cannot fold the log")?;
    let kept_until = snapshot.keep_first(&store, &restored).await;
    let Restored { world, resumed_at } = restored;
    let world = Arc::new(RwLock::new(world));
    let feeds = Arc::new(Feeds::default());
    let journal = LedgerJournal::new(store, Arc::clone(&world), tell(&world, &feeds, &clock));
    let kept = Arc::clone(&snapshot);
    journal.on_erasure(move || kept.forget());
    let bootstrap = first_start(&config, &journal, &world, &log_vkey, &clock).await?;
    let installation = Installation { naming: naming.clone(), revocation: revocation_uris(&config.enroll)? };
    // The first connection may take as long as the module does; nothing is served yet.
    let hardware = config.keys.pkcs11.clone().map(|module| Arc::new(Hardware::open(module)));
    let authority = authority(&world, installation, &keys.backend, hardware.as_ref())?;
    let control = Control::new(world, journal, authority, keys.enrollment)?;
    control
        .make_first_authorities(config.keys.first, clock.now())
        .await
        .context("cannot make the first authorities")?;

    let roots = control.authority.issuers().roots().to_vec();
    let anchors_pem = control.authority.anchors_pem();
    let peers = Peers { anchors: AnchorStore::new(Anchors::new(roots)?), gate: Gate::any_valid() };
    let state = State {
        control: Arc::new(control),
        feeds,
        peers: peers.clone(),
        tokens: Arc::new(keys.token),
        log_vkey: log_vkey.as_str().into(),
        nonces: Arc::default(),
        serves_revocation: config.enroll.http_listen.is_some(),
        revocation: Arc::default(),
        scep: Arc::new(front::scep::Desk::new(config.enroll.scep_algorithms)),
        bootstrap: Arc::new(Mutex::new(BootstrapSecret::load(data)?)),
        cmp: Arc::default(),
        files: Arc::default(),
        watch: Arc::default(),
        snapshot,
        clock: clock.clone(),
    };
    let abandoned = state.control.recover(clock.now()).await?;
    if abandoned > 0 {
        tracing::warn!(
            abandoned,
            "issuances that the last stop cut short were given up; their devices will ask again"
        );
    }
    let troubles = worker::say_troubles(&state, Vec::new());
    worker::complete_planned(&state).await;
    for name in state.control.planned_authorities() {
        tracing::warn!(%name, "an authority that was ordered could not be made yet: the root's key is away; trying again");
    }
    worker::seal_once(&state).await.context("cannot seal the log")?;

    let identity = IdentityStore::empty();
    let names = all_names(&config);
    let due_in = worker::certify_self(&state, &keys.backend, &identity, &names).await?;
    let tls_for = |clients: ClientCertificates| {
        let ask = clock.clone();
        let clock = tls::Clock::new(move || ask.now());
        tls::server_config(Arc::clone(&identity), peers.clone(), clients, clock).map(Arc::new)
    };
    let tls = tls_for(ClientCertificates::Optional)?;
    let listener = bind(config.listen).await?;
    let address = listener.local_addr()?;

    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let service = TowerToHyperService::new(router(state.clone()));
    let stop = shutdown.clone();
    tasks.spawn(serve(listener, move || Arc::clone(&tls), Limits::default(), stop, service));
    let mut enroll_address = None;
    if let Some(listen) = config.enroll.listen {
        let listener = bind(listen).await?;
        enroll_address = Some(listener.local_addr()?);
        let tls = tls_for(ClientCertificates::OptionalAnyChain)?;
        let port = enroll_address.map_or(0, |a| a.port());
        let name = config.enroll.names.first().map_or("localhost", String::as_str);
        let places = Places {
            http01_port: config.enroll.http01_port,
            tls_alpn01_port: config.enroll.tls_alpn01_port,
            resolver: Resolver::new(config.enroll.dns_servers.clone(), config.enroll.dns01_delegates.clone()),
        };
        let acme = Acme::new(name, port, &config.enroll.acme_challenges, places)?;
        let service = TowerToHyperService::new(front::tls_router(state.clone(), acme));
        tasks.spawn(serve(listener, move || Arc::clone(&tls), Limits::default(), shutdown.clone(), service));
    }
    let mut http_address = None;
    if let Some(listen) = config.enroll.http_listen {
        worker::certify_responders(&state).await;
        let listener = bind(listen).await?;
        http_address = Some(listener.local_addr()?);
        let service = TowerToHyperService::new(front::plain_router(state.clone()));
        tasks.spawn(serve_plain(listener, Limits::default(), shutdown.clone(), service));
    }
    worker::spawn(
        &tasks,
        &shutdown,
        &state,
        (troubles, hardware),
        worker::OwnCertificate { keys: Arc::clone(&keys.backend), identity, names, due_in },
        kept_until,
    );
    worker::watch_others(&tasks, &shutdown, &state, config.watch.clone());
    tracing::info!(%address, origin = %config.origin, "control plane is serving");
    Ok(Running {
        address,
        enroll_address,
        http_address,
        origin: config.origin,
        log_vkey,
        anchors_pem,
        bootstrap_secret: bootstrap,
        resumed_at,
        state,
        shutdown,
        tasks,
    })
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; is another process using it?"))
}

/// 32 lists for each authority: of five million certificates, one in a hundred revoked, some 1,600 entries (60 kB) each.
const SHARDS: u32 = 32;

/// Where certificates say that their revocation is served.
fn revocation_uris(enroll: &Enroll) -> anyhow::Result<Option<RevocationUris>> {
    let uris = |base: &String| {
        RevocationUris::below(base, SHARDS).map(|uris| uris.with_deltas_from(enroll.delta_entries))
    };
    Ok(enroll.http_url.as_ref().map(uris).transpose()?)
}

/// One certificate for both TLS listeners: names of either, each once.
fn all_names(config: &Config) -> Vec<String> {
    let mut names = config.names.clone();
    if config.enroll.listen.is_some() {
        names.extend(config.enroll.names.iter().filter(|n| !config.names.contains(n)).cloned());
    }
    names
}

/// What the journal tells of every fold: the gateways of the sites of all devices that it concerns hear of it at once.
fn tell(
    world: &Arc<RwLock<World>>,
    feeds: &Arc<Feeds>,
    clock: &Clock,
) -> impl Fn(u64, Touched) + Send + Sync + 'static {
    let (world, feeds, clock) = (Arc::clone(world), Arc::clone(feeds), clock.clone());
    move |pos, touched| {
        let world = world.read().unwrap_or_else(PoisonError::into_inner);
        let touched = match touched {
            Touched::Device(id) => vec![id],
            // A withdrawal ends the trust of all that run it now (I6); that their chains say so follows.
            Touched::Release(id) => world.running(id),
            Touched::Gateway(id) => {
                if world.gateways.get(&id).is_some_and(|g| g.removed) {
                    feeds.end(id);
                }
                return;
            }
            // Whoever has a view takes it anew, which costs a moment and forgets nothing.
            Touched::Everyone => return feeds.end_all(),
            Touched::Nothing => return,
        };
        let now = clock.now();
        for device in touched.iter().filter_map(|id| world.devices.get(id)) {
            feeds.changed(pos, world.view(device, now));
        }
    }
}

/// The first start's own event: the log begins. A start that was cut short goes on where it stopped.
async fn first_start(
    config: &Config,
    journal: &LedgerJournal,
    world: &Arc<RwLock<World>>,
    log_vkey: &str,
    clock: &Clock,
) -> anyhow::Result<Option<String>> {
    let now = clock.now();
    let read = || world.read().unwrap_or_else(PoisonError::into_inner);
    let started = read().origin.clone();
    match started {
        Some(origin) if origin == config.origin => {}
        Some(origin) => anyhow::bail!(
            "this data directory holds log `{origin}`, the configuration says `{}`",
            config.origin
        ),
        None => {
            let event = Event::LedgerStarted {
                origin: config.origin.clone(),
                vkey: log_vkey.to_owned(),
                policy: lanyard_domain::access::POLICY.to_owned(),
            };
            let seq = read().system_seq;
            system(journal, seq, event, now).await?;
        }
    }
    // Until the first operator is there, each start may print a new secret: the old one may have been lost.
    if read().operators.is_empty() {
        let (_, secret) = BootstrapSecret::create(&config.data_dir)?;
        return Ok(Some(secret));
    }
    Ok(None)
}

async fn system(
    journal: &LedgerJournal,
    expected_seq: u64,
    event: Event,
    now: lanyard_domain::time::Timestamp,
) -> anyhow::Result<()> {
    let entry = Entry::new((StreamId::SYSTEM, StreamKind::System), expected_seq, ITSELF, vec![event]);
    journal.append(vec![entry], now).await?;
    Ok(())
}

/// The authorities as the log has them, with their keys.
fn authority(
    world: &Arc<RwLock<World>>,
    installation: Installation,
    backend: &Arc<lanyard_pki::key::SoftwareKeys>,
    hardware: Option<&Arc<Hardware>>,
) -> anyhow::Result<Authority> {
    let world = world.read().unwrap_or_else(PoisonError::into_inner);
    let backend: Arc<dyn KeyBackend> = Arc::clone(backend) as Arc<dyn KeyBackend>;
    let token = hardware.map(|hardware| Arc::clone(hardware) as Arc<dyn Token>);
    Ok(Authority::new(&world, Arc::new(KeyStores::new(backend, token)), installation)?)
}

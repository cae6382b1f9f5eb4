//! Start and stop: puts the parts together and owns their tasks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lanyard_api::client::Client;
use lanyard_api::clock::Clock;
use lanyard_api::device::TOKEN_AUDIENCE;
use lanyard_api::listen;
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::path::Anchors;
use lanyard_pki::tls::{self, AnchorStore, ClientCertificates, Gate, IdentityStore, Peers};
use rustls_pki_types::CertificateDer;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::certificate::Keeper;
use crate::config::{GatewayConfig, GatewayKeys, KeysError};
use crate::cut::{Connections, Cut};
use crate::feed::{self, Follower, Reporter};
use crate::fhir::Guard;
use crate::gate;
use crate::log::{DecisionLog, LogError};
use crate::relay::upstream::{BadEhr, Ehr};
use crate::relay::{Relay, Service};
use crate::state::journal::{Journal, JournalError};
use crate::state::{Saver, State};

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Its log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The EHR's address.
    #[error(transparent)]
    Ehr(#[from] BadEhr),
    /// Its trust anchors.
    #[error("trust anchors cannot be used: {0}")]
    Anchors(String),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
    /// Its saved state was changed by someone else.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Directory or socket.
    #[error("cannot start the gateway: {0}")]
    Io(#[from] std::io::Error),
}

/// The gateway.
#[derive(Debug)]
pub struct Gateway;

/// A gateway at work. Dropping it stops it without waiting; [`RunningGateway::shutdown`] waits.
#[derive(Debug)]
pub struct RunningGateway {
    /// Where devices connect.
    pub fhir_addr: SocketAddr,
    state: Arc<State>,
    connections: Arc<Connections>,
    log: DecisionLog,
    clock: Clock,
    certified: watch::Receiver<bool>,
    saved: watch::Receiver<bool>,
    tasks: TaskTracker,
    stop: CancellationToken,
    stop_feed: CancellationToken,
}

/// How a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// It has a certificate.
    pub certified: bool,
    /// Seconds since it last heard from the control plane; `None`: never.
    pub state_age_seconds: Option<i64>,
    /// Position in the main log up to which it has heard.
    pub heard_pos: u64,
    /// Devices of its site.
    pub devices: usize,
    /// Devices that it would accept data from now.
    pub open_connections: usize,
    /// Leaves in its decision log.
    pub decisions: u64,
    /// Whether its state is being saved.
    pub state_saved: bool,
}

impl Gateway {
    /// Starts; returns as soon as it listens. Until it is [`RunningGateway::ready`] it refuses everyone.
    pub async fn start(config: GatewayConfig, keys: GatewayKeys) -> Result<RunningGateway, StartError> {
        std::fs::create_dir_all(&config.data_dir)?;
        let ehr = ehr(&config)?;
        let clock = config.clock.clone();
        let state = Arc::new(State::new(config.id, &config.site, &config.log_origin));
        let anchors = AnchorStore::new(anchors(&config.anchors_pem)?);
        let journal = Journal::new(&config.path("state.journal"), &keys.state_key);
        load(&journal, &state, &anchors, &clock)?;
        let saver = Saver::start(journal, state.clone())?;
        let saved = saver.watch();

        let signer = keys.signer(&config.log_name())?;
        let anchor_dir = config.anchor_dir.clone().unwrap_or_else(|| config.path("log-anchor"));
        let (log_dir, id) = (config.path("log"), config.id);
        let log = DecisionLog::open(&log_dir, &anchor_dir, signer, id)?;

        let identity = IdentityStore::empty();
        let rustls_clock = {
            let clock = clock.clone();
            tls::Clock::new(move || clock.now())
        };
        let control = Peers { anchors: anchors.clone(), gate: Gate::control_plane() };
        let with = |identity| tls::client_config(identity, control.clone(), rustls_clock.clone());
        let client = Client::new(config.control.clone(), Arc::new(with(identity.clone())?));
        let keeper = Keeper {
            gateway: config.id,
            keys,
            client: Client::new(config.control.clone(), Arc::new(with(IdentityStore::empty())?)),
            identity: identity.clone(),
            file: config.path("certificate.pem"),
            state: state.clone(),
            clock: clock.clone(),
        };
        let devices = Peers { anchors: anchors.clone(), gate: gate::gate(state.clone(), clock.clone()) };
        let server =
            Arc::new(tls::server_config(identity, devices, ClientCertificates::Required, rustls_clock)?);
        let listener = TcpListener::bind(config.listen).await?;
        let fhir_addr = listener.local_addr()?;

        let connections = Arc::new(Connections::default());
        let (stop, stop_feed, tasks) =
            (CancellationToken::new(), CancellationToken::new(), TaskTracker::new());
        let relay = Arc::new(Relay {
            guard: Guard::new(config.id, &config.site, &config.log_origin, config.max_body),
            state: state.clone(),
            log: log.clone(),
            ehr,
            connections: connections.clone(),
            clock: clock.clone(),
            audience: TOKEN_AUDIENCE.to_owned(),
            tasks: tasks.clone(),
        });
        let service = Service::new(relay);
        let tls = move || server.clone();
        tasks.spawn(listen::serve(listener, tls, config.limits.clone(), stop.clone(), service));
        tasks.spawn(sweep(state.clone(), connections.clone(), clock.clone(), stop.clone()));

        let kept = keeper.load();
        let (certified, certified_seen) = watch::channel(kept.is_some());
        tasks.spawn(keeper.run(kept, certified, stop_feed.clone()));
        // 256: questions come one by one from people and retirements.
        let (questions, asked) = mpsc::channel(256);
        let follower = Follower {
            client: client.clone(),
            state: state.clone(),
            saver,
            connections: connections.clone(),
            anchors,
            clock: clock.clone(),
            questions,
        };
        let file = config.path("anchored");
        let reporter = Reporter::new(client, state.clone(), log.clone(), clock.clone(), file);
        let (ready, stopping) = (certified_seen.clone(), stop_feed.clone());
        tasks.spawn(async move {
            if has_certificate(ready, &stopping).await {
                tokio::join!(
                    feed::follow(follower, stopping.clone()),
                    feed::report(reporter, asked, stopping)
                );
            }
        });
        Ok(RunningGateway {
            fhir_addr,
            state,
            connections,
            log,
            clock,
            certified: certified_seen,
            saved,
            tasks,
            stop,
            stop_feed,
        })
    }
}

impl RunningGateway {
    /// Completes when it has a certificate and knows its site's devices.
    pub async fn ready(&self) {
        let mut certified = self.certified.clone();
        let mut changes = self.state.changes();
        // Both senders live as long as the gateway; if they are gone there is nothing to wait for.
        let _ = certified.wait_for(|is| *is).await;
        while self.state.facts().is_none() {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    /// How it is.
    pub fn status(&self) -> Status {
        Status {
            certified: *self.certified.borrow(),
            state_age_seconds: self.state.heard_at().map(|at| self.clock.now().seconds_since(at)),
            heard_pos: self.state.heard_pos(),
            devices: self.state.devices(),
            open_connections: self.connections.count(),
            decisions: self.log.size(),
            state_saved: *self.saved.borrow(),
        }
    }

    /// What it knows.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Its decision log.
    pub fn log(&self) -> &DecisionLog {
        &self.log
    }

    /// Connections that were cut, oldest first, with the times.
    pub fn cuts(&self) -> Vec<Cut> {
        self.connections.cuts()
    }

    /// Takes no new connection, lets answers finish, anchors and closes the log.
    pub async fn shutdown(self) {
        self.stop.cancel();
        self.stop_feed.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        self.log.clone().close().await;
    }
}

impl Drop for RunningGateway {
    fn drop(&mut self) {
        self.stop.cancel();
        self.stop_feed.cancel();
    }
}

async fn has_certificate(mut ready: watch::Receiver<bool>, stop: &CancellationToken) -> bool {
    tokio::select! {
        () = stop.cancelled() => false,
        got = ready.wait_for(|is| *is) => got.is_ok(),
    }
}

/// Time alone lowers verdicts: looks each second at the devices that are connected.
async fn sweep(state: Arc<State>, connections: Arc<Connections>, clock: Clock, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! { () = stop.cancelled() => return, _ = tick.tick() => {} }
        let now = clock.now();
        connections.judge(&connections.devices(), now, &clock, |device| is_cut(&state, device, now));
    }
}

fn is_cut(state: &State, device: DeviceId, now: Timestamp) -> bool {
    state.view(device).is_none_or(|view| view.verdict_at(now) == Verdict::Untrusted)
}

fn load(journal: &Journal, state: &State, anchors: &AnchorStore, clock: &Clock) -> Result<(), StartError> {
    let mut refused = 0usize;
    let entries = journal.load(|entry| {
        if let lanyard_api::gateway::FeedItem::Snapshot(snapshot) = &entry.item {
            feed::adopt_anchors(snapshot, anchors);
        }
        if state.apply(&entry.item, entry.at).is_err() {
            refused += 1;
        }
    })?;
    match state.heard_at() {
        Some(at) => tracing::info!(
            age_seconds = clock.now().seconds_since(at),
            devices = state.devices(),
            entries,
            refused,
            "going on with the state of the last run until the control plane answers"
        ),
        None => tracing::info!("no saved state: everyone is refused until the control plane answers"),
    }
    Ok(())
}

fn anchors(pem: &str) -> Result<Anchors, StartError> {
    let certificates = chain_from_pem(pem.as_bytes()).map_err(|e| StartError::Anchors(e.to_string()))?;
    Anchors::new(certificates).map_err(|e| StartError::Anchors(e.to_string()))
}

fn ehr(config: &GatewayConfig) -> Result<Ehr, StartError> {
    let ca: Vec<CertificateDer<'static>> = match &config.ehr_ca_pem {
        None => Vec::new(),
        Some(pem) => chain_from_pem(pem.as_bytes())
            .map_err(|e| BadEhr::Ca(e.to_string()))?
            .iter()
            .map(|certificate| certificate.der().clone())
            .collect(),
    };
    Ok(Ehr::new(&config.ehr_base_url, config.ehr_bearer.as_deref(), &ca, config.ehr_timeout)?)
}

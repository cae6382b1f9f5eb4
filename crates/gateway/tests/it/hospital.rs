//! A small hospital on loopback: a certificate authority, a control plane that only speaks the gateway's calls, and an
//! EHR that does as it is told. Everything between them is the real gateway.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use lanyard_api::client::Client;
use lanyard_api::clock::Clock;
use lanyard_api::gateway::*;
use lanyard_api::listen::{self, Limits, Peer};
use lanyard_domain::access::{DeviceView, ReleaseName};
use lanyard_domain::id::{DeviceId, GatewayId, ReleaseId};
use lanyard_domain::text::Digest;
use lanyard_domain::tier::Tier;
use lanyard_domain::time::Timestamp;
use lanyard_domain::trust::Verdict;
use lanyard_gateway::{Gateway, GatewayConfig, GatewayKeys, RunningGateway};
use lanyard_ledger::checkpoint::Checkpoint;
use lanyard_ledger::note::NoteVerifier;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::Certificate;
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_pki::key::seal::{Cost, Sealer};
use lanyard_pki::key::{KeyBackend, KeyKind, KeyLabel, MemoryKeys, SealedDirectory, SoftwareKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::path::Anchors;
use lanyard_pki::profile::template::Template;
use lanyard_pki::profile::{Addresses, Profile, ProfileName, RevocationUris, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_pki::tls::{self, AnchorStore, ClientCertificates, Gate, IdentityStore, Peers};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub const ORIGIN: &str = "hospital.example/log";
type ReplyBody = BoxBody<Bytes, Infallible>;

pub struct Ca {
    pub naming: Naming,
    pub keys: Arc<MemoryKeys>,
    pub authority: Authority,
}

pub struct Identity {
    pub certificate: Certificate,
    pub store: Arc<IdentityStore>,
}

pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).unwrap();
    bytes
}

impl Ca {
    pub fn new(now: Timestamp) -> Ca {
        let naming = Naming::new("General Hospital", "hospital.example").unwrap();
        let keys = Arc::new(MemoryKeys::default());
        let generation = |label: &str| Generation {
            number: 1,
            label: label.parse().unwrap(),
            serial: Serial::from_random(random()),
        };
        let authority =
            Authority::create(&naming, &*keys, &generation("root"), &generation("issuing"), now).unwrap();
        Ca { naming, keys, authority }
    }

    pub fn anchors_pem(&self) -> String {
        self.authority.root.certificate().to_pem()
    }

    pub fn anchors(&self) -> Arc<AnchorStore> {
        AnchorStore::new(Anchors::new(vec![self.authority.root.certificate().clone()]).unwrap())
    }

    pub fn sign(
        &self,
        csr_der: &[u8],
        profile: &Profile,
        subject: &SubjectFacts,
        now: Timestamp,
    ) -> Certificate {
        let csr = csr::verify(csr_der).unwrap();
        let serial = Serial::from_random(random());
        let issuer = &self.authority.issuing;
        issue::prepare(profile, &csr, subject, issuer, Lifetime::Default, serial, now)
            .unwrap()
            .sign(&*self.keys)
            .unwrap()
    }

    pub fn chain_pem(&self, leaf: &Certificate) -> String {
        leaf.to_pem() + &self.authority.issuing.certificate().to_pem()
    }

    pub fn built_in(&self, name: ProfileName) -> Profile {
        Profile::new(name, self.naming.clone())
    }

    fn identity(&self, profile: &Profile, subject: &SubjectFacts, now: Timestamp) -> Identity {
        let label: KeyLabel = format!("k{}", Serial::from_random(random())).parse().unwrap();
        let spki = self.keys.generate(&label, KeyKind::P256).unwrap();
        let csr = csr::build(&spki, "test", |m| self.keys.sign(&label, m)).unwrap();
        let certificate = self.sign(&csr, profile, subject, now);
        let store = IdentityStore::empty();
        let chain = [certificate.clone(), self.authority.issuing.certificate().clone()];
        store.replace(&chain, self.keys.clone(), label).unwrap();
        Identity { certificate, store }
    }

    pub fn device(&self, id: DeviceId, now: Timestamp) -> Identity {
        self.identity(&self.built_in(ProfileName::DeviceLdevid), &SubjectFacts::Device { id }, now)
    }

    /// A device whose certificate stands on a revocation list when it is revoked.
    pub fn listed_device(&self, id: DeviceId, now: Timestamp) -> Identity {
        let text = "name = 'listed'\ndescription = 'd'\nsubject = 'device'\n\
            usage.purposes = ['clientAuth']\nrevocation.mode = 'crl-ocsp'\n";
        let base = "http://pki.hospital.example";
        let uris = RevocationUris::new(base, base, base, 8).unwrap();
        let template = Template::parse(text).unwrap();
        let profile = template.profile(None, self.naming.clone(), Some(&uris)).unwrap();
        self.identity(&profile, &SubjectFacts::Device { id }, now)
    }

    fn control(&self, now: Timestamp) -> Identity {
        self.identity(
            &self.built_in(ProfileName::ControlServer),
            &SubjectFacts::Control { addresses: loopback() },
            now,
        )
    }
}

fn loopback() -> Addresses {
    Addresses::new(vec!["localhost".parse().unwrap()], vec!["127.0.0.1".parse().unwrap()]).unwrap()
}

pub fn tls_clock(clock: &Clock) -> tls::Clock {
    let clock = clock.clone();
    tls::Clock::new(move || clock.now())
}

/// What the EHR does with the next requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    Well,
    Slow,
    Garbled,
    HalfDone,
    Refuses,
    RefusesUs,
    BreaksOff,
}

pub struct Ehr {
    pub address: SocketAddr,
    pub mood: Arc<Mutex<Mood>>,
    pub received: Arc<Mutex<Vec<serde_json::Value>>>,
    stop: CancellationToken,
}

impl Ehr {
    pub async fn start() -> Ehr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (mood, received) = (Arc::new(Mutex::new(Mood::Well)), Arc::new(Mutex::new(Vec::new())));
        let stop = CancellationToken::new();
        let (m, r, s) = (mood.clone(), received.clone(), stop.clone());
        tokio::spawn(async move {
            loop {
                let (socket, _) = tokio::select! {
                    () = s.cancelled() => return,
                    accepted = listener.accept() => accepted.unwrap(),
                };
                let (mood, received, stop) = (m.clone(), r.clone(), s.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| ehr(request, mood.clone(), received.clone()));
                    let http = hyper::server::conn::http1::Builder::new();
                    tokio::select! {
                        _ = http.serve_connection(TokioIo::new(socket), service) => {}
                        () = stop.cancelled() => {}
                    }
                });
            }
        });
        Ehr { address, mood, received, stop }
    }

    pub fn feels(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    pub fn stop(&self) {
        self.stop.cancel();
    }
}

async fn ehr(
    request: Request<Incoming>,
    mood: Arc<Mutex<Mood>>,
    received: Arc<Mutex<Vec<serde_json::Value>>>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let mood = *mood.lock().unwrap();
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.map_err(std::io::Error::other)?.to_bytes();
    let respond = |status: u16, body: String| {
        Ok(Response::builder().status(status).body(Full::new(Bytes::from(body))).unwrap())
    };
    if path == "/r4/Patient/p1" {
        return respond(200, r#"{"resourceType":"Patient","id":"p1"}"#.into());
    }
    if path != "/r4" {
        return respond(404, "{}".into());
    }
    let count = {
        let mut received = received.lock().unwrap();
        received.push(serde_json::from_slice(&body).unwrap());
        received.len()
    };
    let entry = |kind: &str| {
        format!(
            r#"{{"response":{{"status":"201 Created","location":"http://ehr/r4/{kind}/r{count}/_history/1"}}}}"#
        )
    };
    let done = |entries: &str| {
        format!(r#"{{"resourceType":"Bundle","type":"transaction-response","entry":[{entries}]}}"#)
    };
    match mood {
        Mood::Well => respond(200, done(&format!("{},{}", entry("Observation"), entry("Provenance")))),
        Mood::HalfDone => respond(200, done(&entry("Observation"))),
        Mood::Garbled => respond(200, "<html>".into()),
        Mood::Refuses => respond(
            422,
            r#"{"resourceType":"OperationOutcome","issue":[{"diagnostics":"Patient/p1 unknown"}]}"#.into(),
        ),
        Mood::RefusesUs => respond(401, String::new()),
        Mood::BreaksOff => Err(std::io::Error::other("gone")),
        Mood::Slow => {
            tokio::time::sleep(Duration::from_secs(30)).await;
            respond(200, String::new())
        }
    }
}

/// The control plane's side of the gateway's calls.
pub struct Control {
    pub address: SocketAddr,
    pub shared: Arc<Shared>,
    stop: CancellationToken,
}

pub struct Shared {
    pub ca: Arc<Ca>,
    pub clock: Clock,
    pub snapshot: Mutex<Snapshot>,
    pub feeds: Mutex<Vec<mpsc::UnboundedSender<FeedItem>>>,
    pub answers: Mutex<Vec<(u64, oneshot::Sender<Answer>)>>,
    pub vkey: Mutex<String>,
    /// Size, root, note.
    pub anchored: Mutex<Option<Checkpoint>>,
    pub anchors: Mutex<Vec<String>>,
}

impl Control {
    pub async fn start(shared: Arc<Shared>, listen: SocketAddr) -> Control {
        let identity = shared.ca.control(shared.clock.now());
        let peers = Peers { anchors: shared.ca.anchors(), gate: Gate::any_valid() };
        let config =
            tls::server_config(identity.store, peers, ClientCertificates::Optional, tls_clock(&shared.clock))
                .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind(listen).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let s = shared.clone();
        let service = service_fn(move |request| control(request, s.clone()));
        let limits = Limits { drain: Duration::from_millis(10), ..Limits::default() };
        tokio::spawn(listen::serve(listener, move || config.clone(), limits, stop.clone(), service));
        Control { address, shared, stop }
    }

    pub fn stop(&self) {
        self.stop.cancel();
        self.shared.feeds.lock().unwrap().clear();
    }

    /// Tells the gateway, and remembers for the next snapshot.
    pub fn change(&self, view: &DeviceView) -> u64 {
        let mut snapshot = self.shared.snapshot.lock().unwrap();
        snapshot.pos += 1;
        let mut view = view.clone();
        view.as_of = snapshot.pos;
        snapshot.devices.retain(|v| v.device != view.device);
        snapshot.devices.push(view.clone());
        self.send(FeedItem::Changed { pos: snapshot.pos, view: Box::new(view) });
        snapshot.pos
    }

    fn send(&self, item: FeedItem) {
        self.shared.feeds.lock().unwrap().retain(|feed| feed.send(item.clone()).is_ok());
    }

    pub async fn ask(&self, what: Question) -> Answer {
        let question = u64::from_be_bytes(random());
        let (sender, receiver) = oneshot::channel();
        self.shared.answers.lock().unwrap().push((question, sender));
        self.send(FeedItem::Ask { question, what });
        tokio::time::timeout(Duration::from_secs(10), receiver).await.unwrap().unwrap()
    }
}

async fn control(request: Request<Incoming>, shared: Arc<Shared>) -> Result<Response<ReplyBody>, Infallible> {
    let path = request.uri().path().to_owned();
    let is_gateway = request.extensions().get::<Peer>().is_some_and(|p| p.leaf().is_some());
    if path == "/v1/gateway/feed" {
        assert!(is_gateway);
        let (sender, receiver) = mpsc::unbounded_channel();
        let snapshot = shared.snapshot.lock().unwrap().clone();
        sender.send(FeedItem::Snapshot(Box::new(snapshot))).unwrap();
        shared.feeds.lock().unwrap().push(sender);
        let lines = stream::unfold((receiver, shared), |(mut receiver, shared)| async move {
            let item = match tokio::time::timeout(Duration::from_secs(1), receiver.recv()).await {
                Ok(item) => item?,
                Err(_) => {
                    let pos = shared.snapshot.lock().unwrap().pos;
                    FeedItem::Heartbeat { pos, time: shared.clock.now() }
                }
            };
            let mut line = serde_json::to_vec(&item).unwrap();
            line.push(b'\n');
            Some((Ok(Frame::data(Bytes::from(line))), (receiver, shared)))
        });
        return Ok(Response::new(BodyExt::boxed(StreamBody::new(SyncStream(Box::pin(lines).into())))));
    }
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let reply = match path.as_str() {
        "/v1/gateway/certificate" => {
            let asked: GatewayCertificateRequest = serde_json::from_slice(&body).unwrap();
            let subject = SubjectFacts::Gateway { id: asked.gateway, addresses: loopback() };
            let profile = shared.ca.built_in(ProfileName::GatewayServer);
            let leaf = shared.ca.sign(&asked.csr.0, &profile, &subject, shared.clock.now());
            let (chain_pem, not_after) = (shared.ca.chain_pem(&leaf), leaf.not_after());
            serde_json::to_vec(&GatewayCertificateReply { chain_pem, not_after }).unwrap()
        }
        "/v1/gateway/answer" => {
            let answer: AnswerRequest = serde_json::from_slice(&body).unwrap();
            let mut open = shared.answers.lock().unwrap();
            let at = open.iter().position(|(n, _)| *n == answer.question).unwrap();
            let _ = open.swap_remove(at).1.send(answer.answer);
            Vec::new()
        }
        "/v1/gateway/anchor" => {
            let request: AnchorRequest = serde_json::from_slice(&body).unwrap();
            match anchor(&shared, &request) {
                Ok(reply) => serde_json::to_vec(&reply).unwrap(),
                Err(detail) => {
                    let problem =
                        lanyard_api::problem::Problem::new(409, "gateway_log_forked", "forked", detail);
                    let body = Full::new(Bytes::from(serde_json::to_vec(&problem).unwrap())).boxed();
                    let response =
                        Response::builder().status(409).header("content-type", "application/problem+json");
                    return Ok(response.body(body).unwrap());
                }
            }
        }
        other => panic!("{other}"),
    };
    Ok(Response::builder()
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(reply)).boxed())
        .unwrap())
}

/// As the real control plane does it: the new checkpoint must extend the one before.
fn anchor(shared: &Shared, request: &AnchorRequest) -> Result<AnchorReply, String> {
    let verifier = NoteVerifier::parse(&shared.vkey.lock().unwrap()).unwrap();
    let (new, _) = Checkpoint::open(request.checkpoint.as_bytes(), &verifier).map_err(|e| e.to_string())?;
    let mut anchored = shared.anchored.lock().unwrap();
    let mut before = 0;
    if let Some(old) = anchored.as_ref() {
        let proof: Vec<_> = request.consistency.iter().map(|d| lanyard_ledger::Hash(d.0)).collect();
        lanyard_ledger::tree::verify_consistency(old.size, new.size, &proof, &old.root, &new.root)
            .map_err(|e| e.to_string())?;
        before = old.size;
    }
    *anchored = Some(new);
    shared.anchors.lock().unwrap().push(request.checkpoint.clone());
    Ok(AnchorReply { pos: 7, anchored_size: before })
}

/// A boxed body must be `Sync`; the stream is only ever polled by one task.
struct SyncStream<S>(Mutex<S>);

impl<S: stream::Stream + Unpin> stream::Stream for SyncStream<S> {
    type Item = S::Item;
    fn poll_next(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let mut inner = self.0.lock().unwrap();
        std::pin::Pin::new(&mut *inner).poll_next(cx)
    }
}

pub struct Hospital {
    pub ca: Arc<Ca>,
    pub clock: Clock,
    pub control: Control,
    pub ehr: Ehr,
    pub gateway: RunningGateway,
    pub config: GatewayConfig,
    pub keys: GatewayKeys,
    pub dir: tempfile::TempDir,
}

pub fn keys(dir: &Path) -> GatewayKeys {
    let passphrase = Passphrase::from_bytes(b"correct horse battery staple".to_vec(), "test").unwrap();
    let sealed = SealedDirectory::open(&dir.join("keys"), Sealer::new(passphrase, Cost::LEAST)).unwrap();
    GatewayKeys::open(Arc::new(SoftwareKeys::open(sealed).unwrap())).unwrap()
}

impl Hospital {
    pub async fn start() -> Hospital {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::shifted();
        let now = clock.now();
        let ca = Arc::new(Ca::new(now.plus_seconds(-3 * 86_400)));
        let id = GatewayId::from_random(random());
        let keys = keys(dir.path());
        let shared = Arc::new(Shared {
            ca: ca.clone(),
            clock: clock.clone(),
            snapshot: Mutex::new(Snapshot {
                compromised_issuers: Vec::new(),
                distrusted_issuers: Vec::new(),
                gateway: id,
                site: "north".into(),
                pos: 100,
                time: now,
                log_vkey: format!("{ORIGIN}+00000000+AA"),
                anchors_pem: ca.anchors_pem(),
                jwks: String::new(),
                token_issuer: "urn:lanyard:log:hospital.example/log".into(),
                devices: vec![],
            }),
            feeds: Mutex::default(),
            answers: Mutex::default(),
            vkey: Mutex::new(keys.vkey(ORIGIN, id).unwrap()),
            anchored: Mutex::default(),
            anchors: Mutex::default(),
        });
        let control = Control::start(shared, "127.0.0.1:0".parse().unwrap()).await;
        let ehr = Ehr::start().await;
        let config = GatewayConfig {
            id,
            site: "north".into(),
            log_origin: ORIGIN.into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            control: vec![control.address.to_string().parse().unwrap()],
            anchors_pem: ca.anchors_pem(),
            data_dir: dir.path().join("gateway"),
            anchor_dir: None,
            ehr_base_url: format!("http://{}/r4", ehr.address),
            ehr_bearer: Some("ehr-secret".into()),
            ehr_ca_pem: None,
            ehr_timeout: Duration::from_millis(500),
            max_body: 1 << 20,
            limits: Limits { drain: Duration::from_millis(100), ..Limits::default() },
            clock: clock.clone(),
        };
        let gateway = Gateway::start(config.clone(), keys.clone()).await.unwrap();
        tokio::time::timeout(Duration::from_secs(10), gateway.ready()).await.unwrap();
        Hospital { ca, clock, control, ehr, gateway, config, keys, dir }
    }

    pub fn view(&self, identity: &Identity, device: DeviceId) -> DeviceView {
        let now = self.clock.now();
        DeviceView {
            device,
            site: "north".into(),
            vendor: "Acme".into(),
            model: "Pump".into(),
            serial: "1".into(),
            tier: Tier::Critical,
            ai: false,
            scopes: vec!["system/Observation.c".parse().unwrap(), "system/Patient.r".parse().unwrap()],
            verdict: Verdict::Trusted,
            reasons: vec![],
            fresh_until: Some(now.plus_seconds(300)),
            untrusted_after: Some(now.plus_seconds(3600)),
            certificates: vec![Digest(identity.certificate.thumbprint())],
            firmware: Some(ReleaseName { id: ReleaseId::from_random([2; 16]), version: "1.0".into() }),
            ai_model: None,
            evidence_pos: Some(90),
            evidence_sha256: Some(Digest([9; 32])),
            as_of: 1,
        }
    }

    /// A registered, trusted device that the gateway knows.
    pub async fn device(&self) -> (DeviceId, Identity, DeviceView) {
        let id = DeviceId::from_random(random());
        let identity = self.ca.device(id, self.clock.now());
        let view = self.view(&identity, id);
        self.tell(&view).await;
        (id, identity, view)
    }

    /// Changes a device and waits until the gateway has heard.
    pub async fn tell(&self, view: &DeviceView) {
        let pos = self.control.change(view);
        let mut changes = self.gateway.state().changes();
        while self.gateway.state().heard_pos() < pos {
            tokio::time::timeout(Duration::from_secs(5), changes.changed()).await.unwrap().unwrap();
        }
    }

    pub fn client(&self, identity: &Identity) -> Client {
        client(&self.ca, identity.store.clone(), &self.clock, self.gateway.fhir_addr)
    }
}

pub fn client(ca: &Ca, identity: Arc<IdentityStore>, clock: &Clock, address: SocketAddr) -> Client {
    let peers = Peers { anchors: ca.anchors(), gate: Gate::any_valid() };
    let config = tls::client_config(identity, peers, tls_clock(clock)).unwrap();
    Client::new(vec![address.to_string().parse().unwrap()], Arc::new(config))
}

pub const OBSERVATION: &str = r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"Patient/p1"},"valueQuantity":{"value":72.50}}"#;

pub fn post(body: &str, token: Option<&str>) -> Request<Bytes> {
    let mut request = Request::post("/fhir/Observation").header("content-type", "application/fhir+json");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    request.body(Bytes::from(body.to_owned())).unwrap()
}

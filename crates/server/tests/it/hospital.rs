//! A hospital of one control plane, four operators, a maker, and devices.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use lanyard_agent::measure::{MeasureError, Measurements};
use lanyard_agent::protocol::Enrollment;
use lanyard_agent::tpm::RootOfTrust;
use lanyard_agent::tpm::soft::{MakerCa, Shutdown, SoftTpm};
use lanyard_agent::{Agent, AgentConfig};
use lanyard_api::client::{CallError, Channel, Client, Server};
use lanyard_api::clock::Clock;
use lanyard_api::operator::{About, Bootstrap, DeviceDetail, Recorded, StatementRequest};
use lanyard_api::problem::Problem;
use lanyard_api::signing::{OperatorKey, sign_request, sign_statement};
use lanyard_attest::tcg::BASELINE_PCRS;
use lanyard_attest::tcg::build::{LogBuilder, pcr_after};
use lanyard_domain::id::{DeviceId, OperatorId, ReleaseId};
use lanyard_domain::operator::Role;
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::release::{ReferenceEvent, ReferencePcr, ReleaseContent, ReleaseRecord};
use lanyard_domain::statement::{Action, Statement};
use lanyard_domain::text::{Blob, Digest};
use lanyard_domain::tier::Tier;
use lanyard_enroll::scep::Algorithms;
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_pki::path::Anchors;
use lanyard_pki::tls::{AnchorStore, Gate, IdentityStore, Peers, client_config};
use lanyard_server::watch::Bounds;
use lanyard_server::{Config, ControlPlane, Enroll, KeyPlaces, Running};

pub struct Person {
    pub id: OperatorId,
    pub key: OperatorKey,
}

pub struct Hospital {
    /// State directories of agents: a new agent for the same serial resumes its identity.
    pub devices: tempfile::TempDir,
    pub running: Running,
    pub clock: Clock,
    pub client: Client,
    pub admin: Person,
    pub registrar: Person,
    pub security: Person,
    pub biomed: Person,
}

pub fn random() -> [u8; 16] {
    lanyard_control::digest::random().unwrap()
}

pub fn person() -> Person {
    Person { id: OperatorId::from_random(random()), key: OperatorKey::generate().unwrap() }
}

pub async fn start(dir: &Path, clock: &Clock) -> Running {
    start_with(dir, clock, KeyPlaces::default()).await
}

pub async fn start_with(dir: &Path, clock: &Clock, keys: KeyPlaces) -> Running {
    let config = Config {
        data_dir: dir.to_owned(),
        anchor_dir: None,
        listen: "127.0.0.1:0".parse().unwrap(),
        enroll: Enroll {
            listen: Some("127.0.0.1:0".parse().unwrap()),
            http_listen: Some("127.0.0.1:0".parse().unwrap()),
            names: vec!["127.0.0.1".into(), "localhost".into()],
            http_url: Some("http://pki.lanyard.test".into()),
            delta_entries: 1,
            acme_challenges: vec!["device-attest-01".into()],
            http01_port: 80,
            tls_alpn01_port: 443,
            dns_servers: vec![],
            dns01_delegates: vec![],
            scep_algorithms: Algorithms::Current,
        },
        watch: Bounds {
            networks: vec!["127.0.0.0/8".parse().unwrap()],
            // Free ones of the system's are above; the peers of these tests listen here.
            ports: (21_000..22_000).collect(),
        },
        names: vec!["127.0.0.1".into(), "localhost".into()],
        organization: "Test Hospital".into(),
        domain: "lanyard.test".into(),
        origin: "test.hospital/main".into(),
        keys,
    };
    let passphrase = Passphrase::from_bytes(b"correct horse battery staple".to_vec(), "test").unwrap();
    ControlPlane::start(config, passphrase, clock.clone()).await.unwrap()
}

pub fn client(running: &Running, clock: &Clock) -> Client {
    client_of(running.address, &running.anchors_pem, clock)
}

/// The same for a control plane in another process.
pub fn client_of(address: SocketAddr, anchors_pem: &str, clock: &Clock) -> Client {
    let anchors = Anchors::new(chain_from_pem(anchors_pem.as_bytes()).unwrap()).unwrap();
    let peers = Peers { anchors: AnchorStore::new(anchors), gate: Gate::any_valid() };
    let ask = clock.clone();
    let tls = client_config(IdentityStore::empty(), peers, lanyard_pki::tls::Clock::new(move || ask.now()))
        .unwrap();
    let server: Server = address.to_string().parse().unwrap();
    Client::new(vec![server], Arc::new(tls))
}

impl Hospital {
    /// A started control plane with an admin (by bootstrap), a registrar, a security and a biomedical operator.
    pub async fn open(dir: &Path) -> Self {
        let clock = Clock::shifted();
        let running = start(dir, &clock).await;
        Self::of(running, clock).await
    }

    /// The same for one that runs already.
    pub async fn of(running: Running, clock: Clock) -> Self {
        let client = client(&running, &clock);
        let (admin, registrar, security, biomed) = (person(), person(), person(), person());
        let devices = tempfile::tempdir().unwrap();
        let hospital = Self { devices, running, clock, client, admin, registrar, security, biomed };
        hospital.bootstrap().await;
        hospital
    }

    /// Admits the admin by the bootstrap secret, and the others by the admin.
    pub async fn bootstrap(&self) {
        let request = Bootstrap {
            secret: self.running.bootstrap_secret.clone().unwrap_or_default(),
            operator: self.admin.id,
            name: "Ada Admin".into(),
            roles: vec![Role::Admin],
            public_key: self.admin.key.public_key(),
        };
        let known = |who: &Person| self.running.state.control.world().operators.contains_key(&who.id);
        if !known(&self.admin) {
            let mut channel = self.channel().await;
            let _: Recorded =
                channel.call(http::Method::POST, "/v1/bootstrap", Some(&request)).await.unwrap();
        }
        for (who, role) in [
            (&self.registrar, Role::Registrar),
            (&self.security, Role::Security),
            (&self.biomed, Role::Biomedical),
        ] {
            // A crash test may have been killed half way through.
            if known(who) {
                continue;
            }
            let action = Action::AddOperator {
                operator: who.id,
                name: format!("{role} person"),
                roles: vec![role],
                public_key: who.key.public_key(),
            };
            self.decide(&self.admin, action).await.unwrap();
        }
    }

    pub async fn about(&self) -> About {
        let mut channel = self.client.connect().await.unwrap();
        channel.call(http::Method::GET, "/v1/about", None::<&()>).await.unwrap()
    }

    pub fn statement(&self, who: &Person, action: Action) -> Statement {
        Statement {
            log: self.running.origin.clone(),
            operator: who.id,
            at: self.clock.now(),
            nonce: Digest(lanyard_control::digest::random().unwrap()),
            reason: "test".into(),
            action,
        }
    }

    /// Signs and sends a decision.
    pub async fn decide(&self, who: &Person, action: Action) -> Result<Recorded, Problem> {
        let statement = sign_statement(&self.statement(who, action), &who.key).unwrap();
        self.send(&StatementRequest { statement }).await
    }

    pub async fn send(&self, request: &StatementRequest) -> Result<Recorded, Problem> {
        let mut channel = self.client.connect().await.unwrap();
        refusal(channel.call(http::Method::POST, "/v1/statements", Some(request)).await)
    }

    /// A signed read.
    pub async fn look<T: serde::de::DeserializeOwned>(&self, who: &Person, path: &str) -> Result<T, Problem> {
        let mut channel = self.client.connect().await.unwrap();
        let headers = self.signed(who, path);
        refusal(channel.call_with(http::Method::GET, path, &headers, None::<&()>).await)
    }

    pub fn signed(&self, who: &Person, path: &str) -> http::HeaderMap {
        let target: http::Uri = path.parse().unwrap();
        sign_request(who.id, &who.key, &http::Method::GET, &target, self.clock.now(), random(), &[])
    }

    pub async fn channel(&self) -> Channel {
        self.client.connect().await.unwrap()
    }

    pub async fn device(&self, id: DeviceId) -> DeviceDetail {
        self.look(&self.security, &format!("/v1/devices/{id}")).await.unwrap()
    }

    pub async fn register(&self, record: DeviceRecord) -> Result<DeviceId, Problem> {
        let device = DeviceId::from_random(random());
        self.decide(&self.registrar, Action::RegisterDevice { device, record }).await.map(|_| device)
    }

    pub async fn approve(&self, device: DeviceId) {
        for (who, role) in [(&self.security, Role::Security), (&self.biomed, Role::Biomedical)] {
            self.decide(who, Action::ApproveDevice { device, role }).await.unwrap();
        }
    }

    /// Registered and approved.
    pub async fn admitted(&self, serial: &str) -> DeviceId {
        let device = self.register(record(serial)).await.unwrap();
        self.approve(device).await;
        device
    }

    /// A maker whose chips are accepted, and a release of its firmware.
    pub async fn supplied(&self) -> (MakerCa, Firmware) {
        let maker = MakerCa::new("Acme Silicon", self.clock.now()).unwrap();
        self.accept_maker(&maker).await;
        let firmware = Firmware::new("2.1", 2);
        self.release(&firmware).await;
        (maker, firmware)
    }

    pub async fn accept_maker(&self, maker: &MakerCa) {
        let certificate = Blob(maker.root_der().to_vec());
        self.decide(&self.security, Action::AddEndorsement { certificate, grade: None, uses: Vec::new() })
            .await
            .unwrap();
    }

    /// Proposed by one, approved by another.
    pub async fn release(&self, firmware: &Firmware) -> ReleaseId {
        let release = ReleaseId::from_random(random());
        let action = Action::ProposeRelease { release, record: firmware.record() };
        self.decide(&self.registrar, action).await.unwrap();
        self.decide(&self.security, Action::ApproveRelease { release }).await.unwrap();
        release
    }

    /// An agent for a device with this TPM and firmware.
    pub fn agent(&self, serial: &str, tpm: &Arc<SoftTpm>, firmware: &Firmware) -> Agent {
        self.agent_with(serial, tpm, firmware, Enrollment::default())
    }

    /// The same, which enrolls in another way.
    pub fn agent_with(
        &self,
        serial: &str,
        tpm: &Arc<SoftTpm>,
        firmware: &Firmware,
        enrollment: Enrollment,
    ) -> Agent {
        self.agent_by(serial, tpm, firmware, enrollment, self.clock.clone())
    }

    /// The same by a clock of its own.
    pub fn agent_by(
        &self,
        serial: &str,
        tpm: &Arc<SoftTpm>,
        firmware: &Firmware,
        enrollment: Enrollment,
        clock: Clock,
    ) -> Agent {
        let config = AgentConfig {
            servers: vec![self.running.address.to_string()],
            anchors_pem: self.running.anchors_pem.clone(),
            state_dir: Some(self.devices.path().join(serial)),
            vendor: "Acme".into(),
            model: "Pump X".into(),
            serial: serial.into(),
            event_log: "/nonexistent".into(),
            models: vec![],
            gateways: vec![],
            enrollment,
        };
        let measured = Arc::new(Measured(firmware.log.clone()));
        Agent::new(config, Arc::clone(tpm) as Arc<dyn RootOfTrust>, measured, clock).unwrap()
    }
}

pub fn refusal<T>(answer: Result<T, CallError>) -> Result<T, Problem> {
    match answer {
        Ok(value) => Ok(value),
        Err(CallError::Refused(problem)) => Err(problem),
        Err(other) => panic!("expected an answer or a problem: {other}"),
    }
}

pub fn record(serial: &str) -> DeviceRecord {
    DeviceRecord {
        vendor: "Acme".into(),
        model: "Pump X".into(),
        serial: serial.into(),
        site: "north".into(),
        owner: "biomed-team".into(),
        department: "ICU".into(),
        purpose: "infusion of critical drugs".into(),
        class: "infusion-pump".into(),
        tier: Tier::Critical,
        ai: false,
        scopes: vec!["system/Observation.c".parse().unwrap()],
        ae_title: None,
        zone: "icu-pumps".into(),
        ek_sha256: None,
    }
}

/// A firmware image as its boot leaves it: the log and the PCRs.
pub struct Firmware {
    pub version: String,
    pub security_version: u32,
    pub log: Vec<u8>,
    pub events: Vec<(u8, [u8; 32])>,
    pcrs: Vec<(u8, [u8; 32])>,
}

impl Firmware {
    pub fn new(version: &str, security_version: u32) -> Self {
        let builder = LogBuilder::new()
            .s_crtm_version("acme 1")
            .firmware_blob(0, 0x1000, version.as_bytes())
            .separators()
            .boot_application("loader.efi", b"loader")
            .ipl("kernel", version.as_bytes());
        let (log, events) = builder.finish();
        let pcrs = BASELINE_PCRS.map(|pcr| (pcr, pcr_after(&events, pcr))).to_vec();
        Self { version: version.into(), security_version, log, events, pcrs }
    }

    pub fn record(&self) -> ReleaseRecord {
        ReleaseRecord {
            vendor: "Acme".into(),
            model: "Pump X".into(),
            version: self.version.clone(),
            security_version: self.security_version,
            minimum_security_version: self.security_version,
            not_after: None,
            content: ReleaseContent::Firmware {
                pcrs: self
                    .pcrs
                    .iter()
                    .map(|(pcr, value)| ReferencePcr { pcr: *pcr, value: Digest(*value) })
                    .collect(),
                events: self
                    .events
                    .iter()
                    .filter(|(pcr, _)| BASELINE_PCRS.contains(pcr))
                    .map(|(pcr, digest)| ReferenceEvent {
                        pcr: *pcr,
                        digest: Digest(*digest),
                        label: "boot".into(),
                    })
                    .collect(),
            },
        }
    }

    /// Powers the TPM up and measures this firmware.
    pub fn boot(&self, tpm: &SoftTpm) {
        tpm.reset(Shutdown::Orderly).unwrap();
        for (pcr, digest) in &self.events {
            tpm.pcr_extend(*pcr, digest).unwrap();
        }
    }
}

pub struct Measured(pub Vec<u8>);

impl Measurements for Measured {
    fn event_log(&self, _root: &dyn RootOfTrust) -> Result<Vec<u8>, MeasureError> {
        Ok(self.0.clone())
    }
}

//! Revocation that is felt: control plane, gateway, agent and EHR together. A device sends over an open connection when a person
//! revokes it; the connection is cut, and nothing that it shows afterwards is taken.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lanyard_agent::Agent;
use lanyard_agent::fhir::DataPath;
use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_api::clock::Clock;
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, Deadlines};
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{DeviceId, GatewayId};
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_gateway::{Gateway, GatewayConfig, GatewayKeys, RunningGateway};
use lanyard_pki::key::passphrase::Passphrase;
use lanyard_pki::key::seal::{Cost, Sealer};
use lanyard_pki::key::{SealedDirectory, SoftwareKeys};
use lanyard_sim::distrust::cut_after;
use lanyard_sim::ehr::StandInEhr;

use crate::hospital::{Firmware, Hospital, random, record};
use crate::restart::until;

pub const OBSERVATION: &str = r#"{"resourceType":"Observation","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"Patient/p1"},"valueQuantity":{"value":72.50}}"#;

pub struct Ward {
    _dir: tempfile::TempDir,
    _ehr: StandInEhr,
    pub hospital: Hospital,
    gateway: RunningGateway,
    maker: MakerCa,
    firmware: Firmware,
}

impl Ward {
    pub async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hospital = Hospital::open(&dir.path().join("plane")).await;
        let (maker, firmware) = hospital.supplied().await;
        let ehr = StandInEhr::start().await.unwrap();
        let gateway = gateway(&hospital, dir.path(), &ehr).await;
        Self { _dir: dir, _ehr: ehr, hospital, gateway, maker, firmware }
    }

    /// A device in service, its connection to the gateway open.
    async fn sending(&self, serial: &str) -> (DeviceId, Agent, Arc<DataPath>) {
        self.sending_as(record(serial)).await
    }

    pub async fn sending_as(&self, record: DeviceRecord) -> (DeviceId, Agent, Arc<DataPath>) {
        let serial = &record.serial.clone();
        let device = self.hospital.register(record).await.unwrap();
        self.hospital.approve(device).await;
        let chip = Arc::new(SoftTpm::in_memory(&self.maker, "Chip 2", serial).unwrap());
        self.firmware.boot(&chip);
        let agent = self.hospital.agent(serial, &chip, &self.firmware);
        agent.enroll().await.unwrap();
        let path = Arc::new(self.path(&agent));
        until(async || self.sends(&path).await).await;
        (device, agent, path)
    }

    /// Its first request makes a connection of its own.
    pub fn path(&self, agent: &Agent) -> DataPath {
        agent.data_path(vec![self.gateway.fhir_addr.to_string().parse().unwrap()])
    }

    pub async fn sends(&self, path: &DataPath) -> bool {
        path.post("/fhir/Observation", OBSERVATION, None).await.is_ok_and(|reply| reply.status == 201)
    }

    pub async fn end(self) {
        self.gateway.shutdown().await;
        self.hospital.running.shutdown().await;
    }
}

pub async fn gateway(hospital: &Hospital, dir: &Path, ehr: &StandInEhr) -> RunningGateway {
    gateway_with(hospital, dir, ehr, hospital.clock.clone()).await
}

/// The same by a clock of its own.
pub async fn gateway_with(hospital: &Hospital, dir: &Path, ehr: &StandInEhr, clock: Clock) -> RunningGateway {
    let passphrase = Passphrase::from_bytes(b"correct horse battery staple".to_vec(), "test").unwrap();
    let sealed = SealedDirectory::open(&dir.join("keys"), Sealer::new(passphrase, Cost::LEAST)).unwrap();
    let keys = GatewayKeys::open(Arc::new(SoftwareKeys::open(sealed).unwrap())).unwrap();
    let id = GatewayId::from_random(random());
    let origin = hospital.running.origin.clone();
    let add = Action::AddGateway {
        gateway: id,
        site: "north".into(),
        spki_sha256: keys.spki_sha256().unwrap(),
        vkey: keys.vkey(&origin, id).unwrap(),
        names: vec!["127.0.0.1".into()],
    };
    hospital.decide(&hospital.admin, add).await.unwrap();
    let config = GatewayConfig {
        id,
        site: "north".into(),
        log_origin: origin,
        listen: "127.0.0.1:0".parse().unwrap(),
        control: vec![hospital.running.address.to_string().parse().unwrap()],
        anchors_pem: hospital.running.anchors_pem.clone(),
        data_dir: dir.join("gateway"),
        anchor_dir: None,
        ehr_base_url: ehr.base_url(),
        ehr_bearer: None,
        ehr_ca_pem: None,
        ehr_timeout: Duration::from_secs(15),
        max_body: 1 << 20,
        limits: Default::default(),
        clock,
    };
    let gateway = Gateway::start(config, keys).await.unwrap();
    gateway.ready().await;
    gateway
}

// R49, I6, I11: by each reason, the open connection and everything after it. How long it took is printed, not judged: the bench does.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_device_is_cut_at_the_gateway_by_every_reason() {
    let ward = Ward::new().await;
    let (_, _, neighbour) = ward.sending("N-1").await;
    let reasons = [
        RevocationReason::Retired,
        RevocationReason::Transferred,
        RevocationReason::Recalled,
        RevocationReason::Lost,
        RevocationReason::Stolen,
        RevocationReason::Compromised,
    ];
    let revoked = reasons.map(Some).into_iter().chain([None]);
    for (n, reason) in revoked.enumerate() {
        let (device, agent, path) = ward.sending(&format!("P-{n}")).await;
        let order = match reason {
            Some(reason) => Action::RevokeDevice { device, reason },
            // The end of a device's life is a statement of its own.
            None => Action::RetireDevice { device },
        };
        let decided = ward.hospital.decide(&ward.hospital.biomed, order);
        let (done, after) = cut_after(path.clone(), decided).await.unwrap();
        done.unwrap();
        let name = reason.map_or("retirement".to_owned(), |reason| reason.to_string());
        println!("{name}: its open connection was cut {after:?} after the order was sent");
        assert!(!ward.sends(&path).await, "{name}: the next request is refused");
        assert!(!ward.sends(&ward.path(&agent)).await, "{name}: and so is a new connection");
        assert!(agent.token(None).await.is_err(), "{name}: no token");
    }
    // I7: nobody else noticed.
    assert!(neighbour.is_open().await && ward.sends(&neighbour).await);
    ward.end().await;
}

// R49, I6: a compromised authority is dropped by the gateway, which gets another certificate by itself; devices come back by their
// hardware.
#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_drops_a_compromised_authority_and_goes_over_to_the_next() {
    let ward = Ward::new().await;
    let hospital = &ward.hospital;
    let (_, agent, path) = ward.sending("P-1").await;
    let create = Action::CreateAuthority {
        name: "issuing-2".into(),
        purpose: AuthorityPurpose::Devices,
        site: None,
        keys: KeyStore::Sealed,
    };
    hospital.decide(&hospital.security, create).await.unwrap();
    hospital.decide(&hospital.admin, Action::ActivateAuthority { name: "issuing-2".into() }).await.unwrap();
    let plan = CompromisePlan {
        mode: CompromiseMode::DistrustNow,
        per_minute: 600,
        deadlines: Deadlines::all(3_600),
    };
    let (name, successor) = ("issuing-1".to_owned(), "issuing-2".to_owned());
    let declare = Action::DeclareCompromise { name: name.clone(), successor: successor.clone(), plan };
    hospital.decide(&hospital.security, declare).await.unwrap();
    let confirm = hospital.decide(&hospital.admin, Action::ConfirmCompromise { name, successor, plan });
    let (done, after) = cut_after(path.clone(), confirm).await.unwrap();
    done.unwrap();
    println!(
        "an authority's compromise: a device's open connection was cut {after:?} after the order was sent"
    );
    assert!(!ward.sends(&path).await);
    assert!(!ward.sends(&ward.path(&agent)).await, "no handshake with a certificate by that authority");
    // The gateway's own certificate follows within seconds, and nothing by the old authority is left.
    until(async || {
        let world = hospital.running.state.control.world();
        let gateway = world.gateways.values().next().unwrap();
        let known = &world.authorities.iter().find(|a| a.name == "issuing-1").unwrap();
        gateway.certificates.len() == 1
            && world.authority_state(known) == lanyard_domain::authority::AuthorityState::Revoked
    })
    .await;
    agent.enroll().await.unwrap();
    let again = ward.path(&agent);
    until(async || ward.sends(&again).await).await;
    ward.end().await;
}

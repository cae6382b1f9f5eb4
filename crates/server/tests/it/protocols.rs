//! The agent by EST, ACME and CMP: enrolled, renewed, kept waiting, refused; and stopped dead at any point of it.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lanyard_agent::protocol::{Enrollment, OneTimeSecret, Patience, Protocol};
use lanyard_agent::tpm::RootOfTrust;
use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_agent::{Agent, AgentError};
use lanyard_api::clock::Clock;
use lanyard_api::device::Standing;
use lanyard_api::operator::EventLine;
use lanyard_control::certify::NotTaken;
use lanyard_domain::endorsement::EndorsementUse;
use lanyard_domain::event::RevocationReason;
use lanyard_domain::id::{DeviceId, SecretId};
use lanyard_domain::record::DeviceRecord;
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use lanyard_domain::tier::Tier;
use lanyard_pki::certificate::{Certificate, chain_from_pem};

use crate::hospital::{Firmware, Hospital, random, record};

const STANDARD: [Protocol; 3] = [Protocol::Est, Protocol::Acme, Protocol::Cmp];

/// A hospital that serves the protocols, and a maker that certifies attestation keys.
pub struct Ward {
    pub dir: tempfile::TempDir,
    pub hospital: Hospital,
    pub maker: MakerCa,
    pub firmware: Firmware,
}

/// A device on a chip of its own.
pub struct Pump {
    pub id: DeviceId,
    pub serial: String,
    pub tpm: Arc<SoftTpm>,
    pub secret: Option<OneTimeSecret>,
}

pub async fn ward() -> Ward {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    ward_in(dir, hospital).await
}

/// The same for a hospital that is there.
pub async fn ward_in(dir: tempfile::TempDir, hospital: Hospital) -> Ward {
    let maker = MakerCa::new("Acme Silicon", hospital.clock.now()).unwrap();
    let certificate = Blob(maker.root_der().to_vec());
    let uses = vec![EndorsementUse::Ek, EndorsementUse::Tpm];
    let accept = Action::AddEndorsement { certificate, grade: None, uses };
    hospital.decide(&hospital.security, accept).await.unwrap();
    Ward { dir, hospital, maker, firmware: Firmware::new("2.1", 2) }
}

pub fn standard(serial: &str) -> DeviceRecord {
    DeviceRecord { tier: Tier::Standard, ..record(serial) }
}

impl Ward {
    pub async fn pump(&self, serial: &str, protocol: Protocol) -> Pump {
        self.pump_of(standard(serial), protocol).await
    }

    /// The same for another record.
    pub async fn pump_of(&self, record: DeviceRecord, protocol: Protocol) -> Pump {
        let serial = &record.serial.clone();
        let id = self.hospital.register(record).await.unwrap();
        let tpm = Arc::new(SoftTpm::in_memory(&self.maker, "Chip 2", serial).unwrap());
        let mut pump = Pump { id, serial: serial.to_owned(), tpm, secret: None };
        if matches!(protocol, Protocol::Est | Protocol::Cmp) {
            pump.secret = Some(self.secret(id).await);
        }
        self.certify(&pump, &self.maker, &pump.serial);
        pump
    }

    pub async fn admitted(&self, serial: &str, protocol: Protocol) -> Pump {
        let pump = self.pump(serial, protocol).await;
        self.hospital.approve(pump.id).await;
        pump
    }

    async fn secret(&self, device: DeviceId) -> OneTimeSecret {
        let mut bytes = [0; 5];
        bytes.copy_from_slice(&random()[..5]);
        let secret = SecretId::from_random(bytes);
        let expires = self.hospital.clock.now().plus_seconds(3 * 86_400);
        self.hospital
            .decide(&self.hospital.registrar, Action::IssueSecret { device, secret, expires })
            .await
            .unwrap();
        let control = &self.hospital.running.state.control;
        let secret = control.enrollment_secret(secret, self.hospital.clock.now()).unwrap();
        OneTimeSecret::parse(secret.reveal()).unwrap()
    }

    /// A maker's certificate for the attestation key, in the pump's folder.
    pub fn certify(&self, pump: &Pump, maker: &MakerCa, device: &str) {
        let ak = pump.tpm.ensure_ak().unwrap().public;
        let leaf = maker.certify_attestation_key(&ak, "Chip 2", device).unwrap();
        let pem = Certificate::parse(&leaf).unwrap().to_pem();
        std::fs::write(self.hospital.devices.path().join(format!("{}.pem", pump.serial)), pem).unwrap();
    }

    /// The pump's agent, as it is after each start.
    pub fn agent(&self, pump: &Pump) -> Agent {
        self.agent_by(pump, self.hospital.clock.clone())
    }

    /// The same by a clock of its own.
    pub fn agent_by(&self, pump: &Pump, clock: Clock) -> Agent {
        let address = self.hospital.running.enroll_address.unwrap();
        let enrollment = Enrollment {
            servers: vec![address.to_string()],
            attestation_certificates: Some(self.hospital.devices.path().join(format!("{}.pem", pump.serial))),
            ..Enrollment::default()
        };
        self.hospital.agent_by(&pump.serial, &pump.tpm, &self.firmware, enrollment, clock)
    }

    pub async fn events(&self, device: DeviceId) -> Vec<serde_json::Value> {
        let path = format!("/v1/devices/{device}/events?limit=1000");
        let lines: Vec<EventLine> = self.hospital.look(&self.hospital.security, &path).await.unwrap();
        lines.into_iter().map(|line| serde_json::to_value(line.event).unwrap()).collect()
    }

    pub async fn issued(&self, device: DeviceId) -> usize {
        self.events(device).await.iter().filter(|e| e["event"] == "certificate_issued").count()
    }
}

pub fn seconds(n: u64) -> Patience {
    Patience::of(Duration::from_secs(n))
}

pub async fn enroll(agent: &Agent, pump: &Pump, protocol: Protocol) -> Result<Standing, AgentError> {
    agent.enroll_by(protocol, pump.secret.clone(), seconds(60)).await
}

// R34, R36, R44, I7, I10: the key is made in the chip each time, and the one before goes when the new one was used.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_enrolls_and_renews_by_each_protocol() {
    let ward = ward().await;
    for protocol in STANDARD {
        let pump = ward.admitted(&format!("SN-{protocol}"), protocol).await;
        let agent = ward.agent(&pump);
        enroll(&agent, &pump, protocol).await.unwrap_or_else(|e| panic!("{protocol}: {e}"));
        let first = agent.identities().current().unwrap();
        assert_eq!((first.device, first.protocol), (pump.id, protocol));
        assert!(chain_from_pem(first.chain_pem.as_bytes()).unwrap().len() >= 2, "issuers come along");

        // As a restarted process.
        let agent = ward.agent(&pump);
        assert_eq!(agent.identities().current(), Some(first.clone()));
        agent.renew_by(seconds(60)).await.unwrap_or_else(|e| panic!("{protocol}: {e}"));
        let second = agent.identities().current().unwrap();
        assert_ne!(second.chain_pem, first.chain_pem);
        assert!(pump.tpm.load_tls_key(first.slot.into()).is_err(), "{protocol}: the old key is gone");
        agent.renew_by(seconds(60)).await.unwrap_or_else(|e| panic!("{protocol}: {e}"));
        agent.show().await.unwrap();

        let events = ward.events(pump.id).await;
        let by: Vec<&str> = events
            .iter()
            .filter(|e| e["event"] == "issuance_intended")
            .map(|e| e["protocol"].as_str().unwrap())
            .collect();
        assert_eq!(by, [protocol.as_str(); 3]);
        let seen = events.iter().filter(|e| e["event"] == "certificate_seen").count();
        assert!(seen >= 2, "{protocol}: the first use of each is noted: {seen}");
    }
}

// R35: people decide; whoever waited too long goes on later, with the same key.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_waits_for_approval_goes_on_where_it_stopped() {
    let ward = ward().await;
    for protocol in STANDARD {
        let pump = ward.pump(&format!("SN-{protocol}"), protocol).await;
        let agent = ward.agent(&pump);
        let waiting = agent.enroll_by(protocol, pump.secret.clone(), seconds(1)).await.unwrap_err();
        assert!(matches!(waiting, AgentError::Pending { .. }), "{protocol}: {waiting}");
        let key = pump.tpm.load_tls_key(agent.identities().next_slot()).unwrap();

        let agent = ward.agent(&pump);
        let waiting = agent.enroll_by(protocol, pump.secret.clone(), seconds(1)).await.unwrap_err();
        assert!(waiting.retry_after_seconds().is_some(), "{protocol}: {waiting}");
        assert_eq!(pump.tpm.load_tls_key(agent.identities().next_slot()).unwrap(), key, "the same key");

        ward.hospital.approve(pump.id).await;
        enroll(&ward.agent(&pump), &pump, protocol).await.unwrap_or_else(|e| panic!("{protocol}: {e}"));
        let slot = ward.agent(&pump).identities().current().unwrap().slot;
        assert_eq!(pump.tpm.load_tls_key(slot.into()).unwrap(), key, "{protocol}");
        assert_eq!(ward.issued(pump.id).await, 1, "{protocol}");
    }
}

// R35, R40: what the server said is what the person reads.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_told_in_the_servers_words_and_takes_nothing_away() {
    let ward = ward().await;
    for protocol in [Protocol::Est, Protocol::Cmp] {
        let pump = ward.admitted(&format!("SN-{protocol}"), protocol).await;
        let agent = ward.agent(&pump);
        let nobodys = OneTimeSecret::parse("aeaqcaib-00000000-00000000-00000000").unwrap();
        let refused = agent.enroll_by(protocol, Some(nobodys), seconds(5)).await.unwrap_err();
        assert!(refused.is_refusal() && refused.to_string().contains("secret"), "{protocol}: {refused}");
        let none = agent.enroll_by(protocol, None, seconds(5)).await.unwrap_err();
        assert!(matches!(none, AgentError::Secret(_)), "{none}");
        enroll(&agent, &pump, protocol).await.unwrap();
    }
    for protocol in STANDARD {
        let pump = ward.admitted(&format!("SN-lost-{protocol}"), protocol).await;
        let agent = ward.agent(&pump);
        enroll(&agent, &pump, protocol).await.unwrap();
        let before = agent.identities().current();
        let (device, reason) = (pump.id, RevocationReason::Stolen);
        ward.hospital.decide(&ward.hospital.security, Action::RevokeDevice { device, reason }).await.unwrap();
        let refused = agent.renew_by(seconds(5)).await.unwrap_err();
        assert!(refused.is_refusal(), "{protocol}: {refused}");
        assert_eq!(agent.identities().current(), before, "{protocol}");
        assert_eq!(ward.issued(pump.id).await, 1, "{protocol}");
    }
}

// R34, R38, I2: the statement is the chip's, for this key, this challenge, this device; and it is kept.
#[tokio::test(flavor = "multi_thread")]
async fn acme_takes_the_chips_word_and_no_other() {
    let ward = ward().await;
    let pump = ward.admitted("SN-1", Protocol::Acme).await;
    enroll(&ward.agent(&pump), &pump, Protocol::Acme).await.unwrap();
    let events = ward.events(pump.id).await;
    let bound = events.iter().find(|e| e["event"] == "maker_key_bound").unwrap();
    assert_eq!(bound["format"], "tpm");
    let intent = events.iter().find(|e| e["event"] == "issuance_intended").unwrap();
    assert_ne!(intent["evidence_sha256"].as_str().unwrap().trim_matches('0'), "");

    // A maker that nobody accepted; a certificate for another device; none; another chip's.
    let stranger = MakerCa::new("Elsewhere", ward.hospital.clock.now()).unwrap();
    let second = ward.admitted("SN-2", Protocol::Acme).await;
    ward.certify(&second, &stranger, "SN-2");
    let refused = enroll(&ward.agent(&second), &second, Protocol::Acme).await.unwrap_err();
    assert!(refused.is_refusal() && refused.to_string().contains("badAttestationStatement"), "{refused}");
    ward.certify(&second, &ward.maker, "SN-1");
    let refused = enroll(&ward.agent(&second), &second, Protocol::Acme).await.unwrap_err();
    assert!(refused.to_string().contains("another device"), "{refused}");
    let file = |serial: &str| ward.hospital.devices.path().join(format!("{serial}.pem"));
    std::fs::copy(file("SN-1"), file("SN-2")).unwrap();
    let refused = enroll(&ward.agent(&second), &second, Protocol::Acme).await.unwrap_err();
    assert!(matches!(&refused, AgentError::Attestation(why) if why.contains("attestation-key")), "{refused}");
    std::fs::remove_file(file("SN-2")).unwrap();
    let refused = enroll(&ward.agent(&second), &second, Protocol::Acme).await.unwrap_err();
    assert!(matches!(refused, AgentError::Attestation(_)), "{refused}");
    assert_eq!(ward.issued(second.id).await, 0);

    // Another chip under a device's name, by the right maker's word: the record has its hardware already.
    let copy = Pump {
        tpm: Arc::new(SoftTpm::in_memory(&ward.maker, "Chip 2", "other").unwrap()),
        serial: "SN-1".into(),
        id: pump.id,
        secret: None,
    };
    ward.certify(&copy, &ward.maker, "SN-1");
    std::fs::remove_dir_all(ward.hospital.devices.path().join("SN-1")).unwrap();
    let refused = enroll(&ward.agent(&copy), &copy, Protocol::Acme).await.unwrap_err();
    assert!(refused.is_refusal() && refused.to_string().contains("hardware"), "{refused}");
}

// R44: the server steers.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_asks_when_to_renew() {
    let ward = ward().await;
    let pump = ward.admitted("SN-1", Protocol::Acme).await;
    let agent = ward.agent(&pump);
    enroll(&agent, &pump, Protocol::Acme).await.unwrap();
    let window = agent.renewal_window().await.unwrap();
    let identity = agent.identities().current().unwrap();
    assert!(window.start >= identity.renew_at.plus_seconds(-60) && window.end < identity.not_after);
}

/// Carries work out until it has been polled so often, in a process of its own as far as one can have that here: with its
/// end everything that was begun ends too.
fn killed_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut left = polls;
    runtime.block_on(async {
        let mut work = pin!(work);
        std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            work.as_mut().poll(context).map(Some)
        })
        .await
    })
}

// R44, I7: kill -9 between any two steps leaves an identity that works, or a device that can go on with its secret.
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_stopped_dead_anywhere_goes_on_by_est() {
    stopped_dead_anywhere(Protocol::Est).await;
}

// R44, I7
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_stopped_dead_anywhere_goes_on_by_acme() {
    stopped_dead_anywhere(Protocol::Acme).await;
}

// R44, I7
#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_stopped_dead_anywhere_goes_on_by_cmp() {
    stopped_dead_anywhere(Protocol::Cmp).await;
}

async fn stopped_dead_anywhere(protocol: Protocol) {
    let ward = Arc::new(ward().await);
    // A handful of messages has some thirty points at which it waits.
    for polls in 1..200 {
        let pump = Arc::new(ward.admitted(&format!("SN-{protocol}-{polls}"), protocol).await);
        let stopped = {
            let (ward, pump) = (ward.clone(), pump.clone());
            let agent = ward.agent(&pump);
            tokio::task::spawn_blocking(move || {
                killed_after(polls, agent.enroll_by(protocol, pump.secret.clone(), seconds(60)))
            })
        };
        let by_itself = stopped.await.unwrap().is_some();
        let agent = ward.agent(&pump);
        if agent.identities().current().is_none() {
            assert!(!by_itself);
            enroll(&agent, &pump, protocol)
                .await
                .unwrap_or_else(|e| panic!("{protocol}, stopped after {polls} polls: {e}"));
        }
        agent.show().await.unwrap_or_else(|e| panic!("{protocol}, stopped after {polls} polls: {e}"));

        // The same for a renewal.
        let before = agent.identities().current().unwrap();
        let stopped = {
            let agent = ward.agent(&pump);
            tokio::task::spawn_blocking(move || killed_after(polls, agent.renew_by(seconds(60))).map(drop))
        };
        let renewed_by_itself = stopped.await.unwrap().is_some();
        let agent = ward.agent(&pump);
        agent.show().await.unwrap_or_else(|e| panic!("{protocol}, renewal after {polls} polls: {e}"));
        if agent.identities().current().unwrap() == before {
            agent.renew_by(seconds(60)).await.unwrap_or_else(|e| panic!("{protocol}, {polls}: {e}"));
        }
        assert_ne!(agent.identities().current().unwrap(), before, "{protocol}, {polls}");
        if by_itself && renewed_by_itself {
            assert!(polls > 10, "{protocol}: it was never stopped");
            return;
        }
    }
    panic!("{protocol}: it never ends by itself");
}

// R44, I7, R36: a device that got its certificate, and whose confirmation nobody heard before it was given up, needs no person: its
// secret gives the same key another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_first_certificate_that_was_given_up_unheard_is_followed_by_another_for_the_same_key() {
    let ward = Arc::new(ward().await);
    for polls in 1..200 {
        let pump = Arc::new(ward.admitted(&format!("SN-unheard-{polls}"), Protocol::Cmp).await);
        let stopped = {
            let (agent, pump) = (ward.agent(&pump), pump.clone());
            tokio::task::spawn_blocking(move || {
                killed_after(polls, agent.enroll_by(Protocol::Cmp, pump.secret.clone(), seconds(60)))
                    .map(drop)
            })
        };
        let done = stopped.await.unwrap().is_some();
        assert!(!done, "it was never stopped between the certificate and its confirmation");
        let agent = ward.agent(&pump);
        let Some(identity) = agent.identities().current() else { continue };
        let leaf = |pem: &str| chain_from_pem(pem.as_bytes()).unwrap().remove(0);
        let first = leaf(&identity.chain_pem);
        let control = &ward.hospital.running.state.control;
        let now = ward.hospital.clock.now();
        assert!(control.take_back(&first, NotTaken::Silent, now).await.unwrap());
        agent.show().await.unwrap_err();
        enroll(&agent, &pump, Protocol::Cmp).await.unwrap();
        let second = leaf(&agent.identities().current().unwrap().chain_pem);
        assert_eq!(second.spki_sha256(), first.spki_sha256());
        assert_ne!(second.serial(), first.serial());
        agent.show().await.unwrap();
        return;
    }
    panic!("no certificate came");
}

//! An issuing authority is compromised, end to end: real agents, two people, the worker, lists and bundles.

use std::sync::Arc;

use lanyard_agent::AgentError;
use lanyard_agent::tpm::soft::{MakerCa, SoftTpm};
use lanyard_api::compromise::CompromiseReport;
use lanyard_api::pki::AuthorityLine;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::compromise::{CompromiseMode, CompromisePlan, Deadlines};
use lanyard_domain::id::DeviceId;
use lanyard_domain::statement::Action;
use lanyard_domain::trust::Verdict;
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::crl::Crl;
use lanyard_pki::crl::shard::{Place, Shards};
use lanyard_pki::ocsp::Standing;
use lanyard_pki::revocation::{Freshness, Reason, Status};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::hospital::{Firmware, Hospital, client, start};
use crate::restart::until;

const PLAN: CompromisePlan = CompromisePlan {
    mode: CompromiseMode::ReplaceFirst,
    per_minute: 60_000,
    deadlines: Deadlines::all(4 * 3_600),
};

struct Scene {
    dir: tempfile::TempDir,
    hospital: Hospital,
    firmware: Firmware,
    maker: MakerCa,
}

impl Scene {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hospital = Hospital::open(dir.path()).await;
        let (maker, firmware) = hospital.supplied().await;
        Self { dir, hospital, firmware, maker }
    }

    /// A device that has its first certificate: who it is, its hardware, the certificate.
    async fn enrolled(&self, serial: &str) -> (DeviceId, Arc<SoftTpm>, Certificate) {
        let device = self.hospital.admitted(serial).await;
        let chip = Arc::new(SoftTpm::in_memory(&self.maker, "Chip 2", serial).unwrap());
        self.firmware.boot(&chip);
        let issued = self.hospital.agent(serial, &chip, &self.firmware).enroll().await.unwrap();
        (device, chip, leaf(&issued.chain_pem))
    }

    async fn second_generation(&self) {
        let create = Action::CreateAuthority {
            name: "issuing-2".into(),
            purpose: AuthorityPurpose::Devices,
            site: None,
            keys: KeyStore::Sealed,
        };
        self.hospital.decide(&self.hospital.security, create).await.unwrap();
        let activate = Action::ActivateAuthority { name: "issuing-2".into() };
        self.hospital.decide(&self.hospital.admin, activate).await.unwrap();
    }

    async fn compromise(&self, plan: CompromisePlan) {
        self.hospital.decide(&self.hospital.security, declare("issuing-1", "issuing-2", plan)).await.unwrap();
        self.hospital.decide(&self.hospital.admin, confirm("issuing-1", "issuing-2", plan)).await.unwrap();
    }

    async fn report(&self) -> CompromiseReport {
        let reports: Vec<CompromiseReport> =
            self.hospital.look(&self.hospital.security, "/v1/compromises").await.unwrap();
        reports.into_iter().next_back().unwrap()
    }

    async fn authority(&self, name: &str) -> AuthorityLine {
        let lines: Vec<AuthorityLine> =
            self.hospital.look(&self.hospital.security, "/v1/authorities").await.unwrap();
        lines.into_iter().find(|line| line.name == name).unwrap()
    }

    async fn get(&self, path: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.hospital.running.http_address.unwrap()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: pki\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200 "), "{path}: {}", String::from_utf8_lossy(&answer));
        let head = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        answer.split_off(head + 4)
    }

    async fn bundle(&self) -> String {
        String::from_utf8(self.get("/pki/bundle.pem").await).unwrap()
    }

    /// The list of `issuer` in which `certificate` would stand.
    async fn list(&self, issuer: &Certificate, shards: u32, certificate: &Certificate) -> Vec<u8> {
        let key_id = issuer.subject_key_id().unwrap();
        let place = Place::of(key_id, Shards::new(shards).unwrap(), &certificate.serial());
        self.get(&format!("/crl/{place}")).await
    }

    fn standing(&self, certificate: &Certificate) -> Standing {
        self.hospital.running.state.control.standing_of(certificate.issuer_der(), &certificate.serial())
    }

    fn is_revoked_with_its_issuer(&self, certificate: &Certificate) -> bool {
        matches!(self.standing(certificate), Standing::Revoked(r) if r.reason == Reason::CaCompromise)
    }
}

fn leaf(pem: &str) -> Certificate {
    chain_from_pem(pem.as_bytes()).unwrap().remove(0)
}

fn declare(name: &str, successor: &str, plan: CompromisePlan) -> Action {
    Action::DeclareCompromise { name: name.into(), successor: successor.into(), plan }
}

fn confirm(name: &str, successor: &str, plan: CompromisePlan) -> Action {
    Action::ConfirmCompromise { name: name.into(), successor: successor.into(), plan }
}

// R33, R50
#[tokio::test(flavor = "multi_thread")]
async fn a_compromise_takes_two_people_and_a_successor_that_issues() {
    let scene = Scene::new().await;
    let hospital = &scene.hospital;
    let refused = async |who, action| hospital.decide(who, action).await.unwrap_err();
    let only = refused(&hospital.security, declare("issuing-1", "issuing-2", PLAN)).await;
    assert_eq!(only.code(), "successor_unknown");
    assert!(only.detail.contains("lanyard ca create issuing-2 --purpose devices"), "{}", only.detail);
    let itself = refused(&hospital.security, declare("issuing-1", "issuing-1", PLAN)).await;
    assert_eq!(itself.code(), "successor_unknown");
    let root = refused(&hospital.security, declare("root-1", "issuing-1", PLAN)).await;
    assert_eq!(root.code(), "root_not_replaced_here");

    let create = |name: &str, purpose| Action::CreateAuthority {
        name: name.into(),
        purpose,
        site: None,
        keys: KeyStore::Sealed,
    };
    hospital.decide(&hospital.security, create("issuing-2", AuthorityPurpose::Devices)).await.unwrap();
    let idle = refused(&hospital.security, declare("issuing-1", "issuing-2", PLAN)).await;
    assert_eq!(idle.code(), "successor_not_active");
    hospital.decide(&hospital.security, create("legacy-2", AuthorityPurpose::Legacy)).await.unwrap();
    for name in ["issuing-2", "legacy-2"] {
        hospital.decide(&hospital.admin, Action::ActivateAuthority { name: name.into() }).await.unwrap();
    }
    let other = refused(&hospital.security, declare("issuing-1", "legacy-2", PLAN)).await;
    assert_eq!(other.code(), "successor_elsewhere");
    let pace = CompromisePlan { per_minute: 0, ..PLAN };
    assert_eq!(
        refused(&hospital.security, declare("issuing-1", "issuing-2", pace)).await.code(),
        "malformed"
    );
    let registrar = refused(&hospital.registrar, declare("issuing-1", "issuing-2", PLAN)).await;
    assert_eq!(registrar.code(), "role_missing");

    let early = refused(&hospital.admin, confirm("issuing-1", "issuing-2", PLAN)).await;
    assert_eq!(early.code(), "not_declared");
    hospital.decide(&hospital.security, declare("issuing-1", "issuing-2", PLAN)).await.unwrap();
    assert_eq!(scene.authority("issuing-1").await.state, AuthorityState::Draining, "one person ends nothing");
    let alone = refused(&hospital.security, confirm("issuing-1", "issuing-2", PLAN)).await;
    assert_eq!(alone.code(), "requester_cannot_approve");
    let harder = CompromisePlan { mode: CompromiseMode::DistrustNow, ..PLAN };
    let changed = refused(&hospital.admin, confirm("issuing-1", "issuing-2", harder)).await;
    assert_eq!(changed.code(), "not_as_declared");
    hospital.decide(&hospital.admin, confirm("issuing-1", "issuing-2", PLAN)).await.unwrap();
    let again = refused(&hospital.security, declare("issuing-1", "issuing-2", PLAN)).await;
    assert_eq!(again.code(), "wrong_stage");
    let back = refused(&hospital.admin, Action::ActivateAuthority { name: "issuing-1".into() }).await;
    assert_eq!(back.code(), "wrong_stage");
    let away = refused(&hospital.admin, Action::RetireAuthority { name: "issuing-1".into() }).await;
    assert_eq!(away.code(), "wrong_stage");
    scene.hospital.running.shutdown().await;
}

// R44, R49, R50, I7
#[tokio::test(flavor = "multi_thread")]
async fn a_compromised_authority_is_replaced_without_cutting_anyone_and_revoked_at_the_end() {
    let mut scene = Scene::new().await;
    let (first, chip, old) = scene.enrolled("P-1").await;
    let (_, _, slept) = scene.enrolled("P-2").await;
    scene.second_generation().await;
    scene.compromise(PLAN).await;

    // What it issued counts until its successor is in use, and the answer to an attestation says when to renew.
    let agent = scene.hospital.agent("P-1", &chip, &scene.firmware);
    let standing = agent.attest().await.unwrap();
    assert_eq!(standing.verdict, Verdict::Trusted);
    let told = standing.renew_at.expect("it is told");
    assert!(told <= scene.hospital.clock.now(), "at 60,000 a minute nobody waits");
    let renewed = leaf(&agent.renew().await.unwrap().chain_pem);
    assert_ne!(renewed.issuer_der(), old.issuer_der());
    assert_eq!(scene.standing(&old), Standing::Good);
    let report = scene.report().await;
    let critical = &report.classes[0];
    assert_eq!((critical.total, critical.settling, critical.told), (2, 1, 1), "{report:?}");

    // A stop and a start in the middle: the same numbers, from the log.
    scene.hospital.running.shutdown().await;
    scene.hospital.running = start(scene.dir.path(), &scene.hospital.clock).await;
    scene.hospital.client = client(&scene.hospital.running, &scene.hospital.clock);
    assert_eq!(scene.report().await.classes[0].settling, 1);
    let agent = scene.hospital.agent("P-1", &chip, &scene.firmware);
    assert_eq!(agent.attest().await.unwrap().renew_at, None, "the new one is by the successor");
    until(async || scene.is_revoked_with_its_issuer(&old)).await;
    assert_eq!(scene.hospital.device(first).await.certificates.len(), 1);
    assert_eq!(scene.standing(&slept), Standing::Good, "the other device may still wait");
    assert_eq!(scene.authority("issuing-1").await.state, AuthorityState::Compromised);
    assert!(scene.bundle().await.contains(&scene.authority("issuing-1").await.certificate_pem));

    // At the deadline the one that never came is off the air, its owner is named, and the authority is revoked.
    scene.hospital.clock.advance(4 * 3_600);
    until(async || scene.authority("issuing-1").await.state == AuthorityState::Revoked).await;
    assert!(scene.is_revoked_with_its_issuer(&slept));
    let report = scene.report().await;
    assert!(report.ended_at.is_some());
    let [stuck] = report.stuck.as_slice() else { panic!("{report:?}") };
    assert_eq!((stuck.off_the_air, stuck.owner.as_str()), (true, "biomed-team"), "{stuck:?}");
    agent.attest().await.unwrap();

    // Relying parties: the bundle has the successor alone, the root's list has the authority, its own list says why.
    let (gone, kept) = (scene.authority("issuing-1").await, scene.authority("issuing-2").await);
    let bundle = scene.bundle().await;
    assert!(!bundle.contains(&gone.certificate_pem) && bundle.contains(&kept.certificate_pem));
    let root = scene.hospital.running.state.control.authority.issuers().roots()[0].clone();
    let revoked = leaf(&gone.certificate_pem);
    let list = Crl::parse(&scene.list(&root, 1, &revoked).await).unwrap().verify(&root).unwrap();
    let freshness = Freshness::at(scene.hospital.clock.now());
    let of_ca = list.status(&revoked, &freshness);
    assert!(matches!(of_ca, Status::Revoked(r) if r.reason == Reason::CaCompromise), "{of_ca:?}");
    // A short-lived certificate names no list; it stands in its authority's all the same.
    let list = scene.list(&revoked, 32, &slept).await;
    Crl::parse(&list).unwrap().verify(&revoked).unwrap();
    let serial = data_encoding::HEXLOWER.decode(slept.serial().to_string().as_bytes()).unwrap();
    assert!(list.windows(serial.len()).any(|found| found == serial));
    scene.hospital.running.shutdown().await;
}

// R44, R49, I7: whose renewal was answered, and who did not hear it, has nothing new: it is told as long as it shows the old one.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_answer_was_lost_in_a_compromise_is_told_again() {
    let scene = Scene::new().await;
    let (device, chip, old) = scene.enrolled("P-1").await;
    scene.second_generation().await;
    scene.compromise(PLAN).await;
    let state = scene.hospital.devices.path().join("P-1");
    let kept: Vec<_> = std::fs::read_dir(&state)
        .unwrap()
        .map(|file| file.unwrap().path())
        .map(|file| (file.clone(), std::fs::read(file).unwrap()))
        .collect();
    scene.hospital.agent("P-1", &chip, &scene.firmware).renew().await.unwrap();
    // Cut off before it wrote down what it was given.
    for (file, bytes) in kept {
        std::fs::write(file, bytes).unwrap();
    }
    let agent = scene.hospital.agent("P-1", &chip, &scene.firmware);
    assert_eq!(agent.identities().leaf().unwrap(), *old.der());
    let told = agent.attest().await.unwrap().renew_at;
    assert!(told.is_some_and(|at| at <= scene.hospital.clock.now()), "{told:?}");
    assert_eq!(agent.standing().await.unwrap().renew_at, told);
    let renewed = leaf(&agent.renew().await.unwrap().chain_pem);
    assert_ne!(renewed.issuer_der(), old.issuer_der());
    assert_eq!(agent.attest().await.unwrap().renew_at, None);
    until(async || scene.is_revoked_with_its_issuer(&old)).await;
    assert!(
        scene.hospital.device(device).await.certificates.iter().all(|c| c.serial != old.serial().to_string())
    );
    scene.hospital.running.shutdown().await;
}

// R49, I6: with a key in other hands nothing counts, and the hardware speaks again.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_other_hands_ends_all_trust_at_once_and_devices_enroll_anew() {
    let scene = Scene::new().await;
    let (device, chip, old) = scene.enrolled("P-1").await;
    let agent = scene.hospital.agent("P-1", &chip, &scene.firmware);
    scene.second_generation().await;
    scene.compromise(CompromisePlan { mode: CompromiseMode::DistrustNow, ..PLAN }).await;
    assert!(scene.is_revoked_with_its_issuer(&old), "with the very event");
    let code = |error: &AgentError| error.code().map(str::to_owned);
    for refused in [agent.attest().await.map(|_| ()), agent.renew().await.map(|_| ())] {
        assert_eq!(code(&refused.unwrap_err()).as_deref(), Some("issuer_compromised"));
    }
    assert!(agent.token(None).await.is_err());
    let renewed = leaf(&agent.enroll().await.unwrap().chain_pem);
    assert_ne!(renewed.issuer_der(), old.issuer_der());
    assert_eq!(agent.attest().await.unwrap().verdict, Verdict::Trusted);
    until(async || scene.authority("issuing-1").await.state == AuthorityState::Revoked).await;
    assert_eq!(scene.hospital.device(device).await.certificates.len(), 1);
    assert_eq!(scene.report().await.classes[0].replaced, 1);
    scene.hospital.running.shutdown().await;
}

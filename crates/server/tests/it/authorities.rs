//! Authorities that people order while the server runs, and those that end.

use std::sync::Arc;

use lanyard_agent::tpm::soft::SoftTpm;
use lanyard_api::pki::{AuthorityLine, AuthorityRequest};
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::statement::Action;
use lanyard_domain::text::Blob;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Generation, Issuer, prepare_requested, prepare_root};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::csr;
use lanyard_pki::key::{KeyBackend as _, KeyKind, KeyLabel, MemoryKeys};
use lanyard_pki::name::Naming;
use lanyard_pki::serial::Serial;
use lanyard_pki::spki::PublicKeyKind;
use rustls_pki_types::CertificateSigningRequestDer;
use rustls_pki_types::pem::PemObject as _;

use crate::hospital::{Hospital, client, random, start};
use crate::restart::until;

async fn authority(hospital: &Hospital, name: &str) -> Option<AuthorityLine> {
    let lines: Vec<AuthorityLine> = hospital.look(&hospital.security, "/v1/authorities").await.unwrap();
    lines.into_iter().find(|line| line.name == name)
}

// R40, R50: for devices that verify RSA alone there is an authority apart, and no single person makes it issue.
#[tokio::test(flavor = "multi_thread")]
async fn an_authority_for_legacy_devices_signs_with_rsa_and_takes_two_people() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let name = || "legacy-g1".to_owned();
    let create = Action::CreateAuthority {
        name: name(),
        purpose: AuthorityPurpose::Legacy,
        site: None,
        keys: KeyStore::Sealed,
    };
    let by_registrar = hospital.decide(&hospital.registrar, create.clone()).await;
    assert_eq!(by_registrar.unwrap_err().code(), "role_missing");
    assert!(authority(&hospital, "legacy-g1").await.is_none());

    hospital.decide(&hospital.security, create.clone()).await.unwrap();
    let made = authority(&hospital, "legacy-g1").await.unwrap();
    assert_eq!((made.purpose, made.state), (AuthorityPurpose::Legacy, AuthorityState::Created));
    let certificate = chain_from_pem(made.certificate_pem.as_bytes()).unwrap().remove(0);
    assert!(certificate.is_ca());
    assert_eq!(certificate.public_key().unwrap().kind(), PublicKeyKind::Rsa(3072));
    let again = hospital.decide(&hospital.admin, create).await;
    assert_eq!(again.unwrap_err().code(), "authority_exists");

    let activate = Action::ActivateAuthority { name: name() };
    let alone = hospital.decide(&hospital.security, activate.clone()).await;
    assert_eq!(alone.unwrap_err().code(), "requester_cannot_approve");
    hospital.decide(&hospital.admin, activate).await.unwrap();
    assert_eq!(authority(&hospital, "legacy-g1").await.unwrap().state, AuthorityState::Active);
    hospital.running.shutdown().await;
}

/// A root that a hospital has already, with its own key.
fn elsewhere(now: Timestamp) -> (MemoryKeys, Certificate) {
    let keys = MemoryKeys::default();
    let label: KeyLabel = "their-root".parse().unwrap();
    keys.generate(&label, KeyKind::P384).unwrap();
    let generation = Generation { number: 1, label, serial: Serial::from_random(random()) };
    let naming = Naming::new("Regional Trust", "trust.example").unwrap();
    let root = prepare_root(&naming, &generation, &keys, now).unwrap().sign(&keys).unwrap();
    (keys, root)
}

// R50, I7: a hospital goes over to a root of its own; when nothing hangs on ours any more it is retired, and whoever works goes on.
#[tokio::test(flavor = "multi_thread")]
async fn our_root_is_retired_when_the_hospitals_own_has_taken_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut hospital = Hospital::open(dir.path()).await;
    let (maker, firmware) = hospital.supplied().await;
    hospital.admitted("P-1").await;
    let chip = Arc::new(SoftTpm::in_memory(&maker, "Chip 2", "P-1").unwrap());
    firmware.boot(&chip);
    hospital.agent("P-1", &chip, &firmware).enroll().await.unwrap();
    let retire = |name: &str| Action::RetireAuthority { name: name.to_owned() };
    let first = hospital.decide(&hospital.admin, retire("root-1")).await.unwrap_err();
    assert_eq!(first.code(), "authority_in_use");

    let (keys, root) = elsewhere(hospital.clock.now());
    let order = Action::RequestAuthority {
        name: "issuing-h1".into(),
        purpose: AuthorityPurpose::Devices,
        site: None,
        keys: KeyStore::Sealed,
        under: Blob(root.der().to_vec()),
    };
    hospital.decide(&hospital.security, order).await.unwrap();
    let asked: AuthorityRequest =
        hospital.look(&hospital.security, "/v1/authorities/issuing-h1/request").await.unwrap();
    let der = CertificateSigningRequestDer::from_pem_slice(asked.pem.as_bytes()).unwrap();
    let request = csr::verify(der.as_ref()).unwrap();
    let theirs = Issuer::new(root.clone(), "their-root".parse().unwrap(), &keys).unwrap();
    let naming = Naming::new("Test Hospital", "lanyard.test").unwrap();
    let serial = Serial::from_random(random());
    let made = prepare_requested(&naming, &request, &theirs, None, serial, hospital.clock.now()).unwrap();
    let certificate = made.sign(&keys).unwrap();
    let import = Action::ImportAuthority {
        name: "issuing-h1".into(),
        certificate: Blob(certificate.der().to_vec()),
        above: vec![Blob(root.der().to_vec())],
    };
    hospital.decide(&hospital.admin, import).await.unwrap();
    // The bundle goes round before anything is issued below it.
    hospital.running.anchors_pem = hospital.running.state.control.authority.anchors_pem();
    hospital.client = client(&hospital.running, &hospital.clock);
    let agent = hospital.agent("P-1", &chip, &firmware);
    hospital.decide(&hospital.admin, Action::ActivateAuthority { name: "issuing-h1".into() }).await.unwrap();
    let renewed = agent.renew().await.unwrap();
    let leaf = chain_from_pem(renewed.chain_pem.as_bytes()).unwrap().remove(0);
    assert_eq!(leaf.issuer_der(), certificate.subject_der());
    agent.attest().await.unwrap();

    // The old one is superseded an hour after; our own listeners go over in their time.
    let control = Arc::clone(&hospital.running.state.control);
    for _ in 0..9 {
        hospital.clock.advance(6 * 3_600);
        agent.renew().await.unwrap();
        agent.attest().await.unwrap();
        let now = hospital.clock.now();
        for device in control.superseded(&control.device_ids(), now) {
            control.supersede(device, now).await.unwrap();
        }
        let next = now.plus_seconds(7 * 3_600);
        until(async || {
            let own = control.world().own.certificate().map(|der| Certificate::parse(der).unwrap());
            own.is_some_and(|own| own.not_after() > next)
        })
        .await;
    }
    for name in ["issuing-1", "root-1"] {
        hospital.decide(&hospital.security, retire(name)).await.unwrap();
        assert_eq!(authority(&hospital, name).await.unwrap().state, AuthorityState::Retired);
    }
    let trusted = control.authority.issuers();
    assert_eq!(trusted.roots().iter().map(Certificate::der).collect::<Vec<_>>(), [root.der()]);
    agent.renew().await.unwrap();
    agent.attest().await.unwrap();

    // And a start without it.
    drop((trusted, control));
    hospital.running.shutdown().await;
    hospital.running = start(dir.path(), &hospital.clock).await;
    let agent = hospital.agent("P-1", &chip, &firmware);
    agent.renew().await.unwrap();
    hospital.running.shutdown().await;
}

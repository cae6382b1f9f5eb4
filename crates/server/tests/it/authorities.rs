//! Authorities that people order while the server runs.

use lanyard_api::pki::AuthorityLine;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::statement::Action;
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::spki::PublicKeyKind;

use crate::hospital::Hospital;

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

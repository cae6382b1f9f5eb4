//! A site's maintenance windows, from a person's decision to what agents and ACME clients are told.

use std::sync::Arc;

use lanyard_agent::tpm::soft::SoftTpm;
use lanyard_api::pki::SiteLine;
use lanyard_domain::authority::{AuthorityPurpose, KeyStore};
use lanyard_domain::maintenance::Window;
use lanyard_domain::statement::Action;
use lanyard_enroll::acme::CertId;
use lanyard_pki::certificate::chain_from_pem;

use crate::hospital::Hospital;

// R44
#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_renewed_inside_their_sites_window() {
    let dir = tempfile::tempdir().unwrap();
    let hospital = Hospital::open(dir.path()).await;
    let (maker, firmware) = hospital.supplied().await;
    hospital.admitted("P-1").await;
    let chip = Arc::new(SoftTpm::in_memory(&maker, "Chip 2", "P-1").unwrap());
    firmware.boot(&chip);
    let agent = hospital.agent("P-1", &chip, &firmware);
    let before = agent.enroll().await.unwrap();
    let leaf = |pem: &str| chain_from_pem(pem.as_bytes()).unwrap().remove(0);
    let usual = leaf(&before.chain_pem);
    assert_eq!(before.renew_at, usual.renew_at());

    // Certificates live a day: two thirds are in 16 hours, four fifths in 19. The window begins in between.
    let (.., hour, _, _) = hospital.clock.now().plus_seconds(17 * 3_600).civil();
    let window: Window = format!("daily {hour:02}:00-{:02}:00 Z", (hour + 2) % 24).parse().unwrap();
    let set = |windows: Vec<Window>| Action::SetMaintenance { site: "north".into(), windows };
    let refused = hospital.decide(&hospital.registrar, set(vec![window])).await.unwrap_err();
    assert_eq!(refused.code(), "role_missing");
    let many = hospital.decide(&hospital.biomed, set(vec![window; 9])).await.unwrap_err();
    assert_eq!(many.code(), "malformed");
    hospital.decide(&hospital.biomed, set(vec![window])).await.unwrap();
    let lines: Vec<SiteLine> = hospital.look(&hospital.security, "/v1/sites").await.unwrap();
    assert_eq!(lines, [SiteLine { site: "north".into(), windows: vec![window] }]);

    let renewed = agent.renew().await.unwrap();
    let certificate = leaf(&renewed.chain_pem);
    let id = CertId::of(certificate.der()).unwrap();
    let control = &hospital.running.state.control;
    let info = control.renewal_info(&id, hospital.clock.now()).unwrap();
    let in_window = |at: lanyard_domain::time::Timestamp| {
        let (.., at_hour, _, _) = at.civil();
        at_hour == hour || at_hour == (hour + 1) % 24
    };
    assert!(in_window(info.start) && in_window(info.end.plus_seconds(-1)), "{info:?}");
    // An agent spreads its renewal over a tenth of what is left then: there is room for it.
    let told = renewed.renew_at;
    let jitter = certificate.not_after().seconds_since(told) / 10;
    assert!(in_window(told) && in_window(told.plus_seconds(jitter - 1)), "{told}");
    assert!(info.start > hospital.clock.now() && info.end < certificate.not_after());

    // A new generation issues from now on: nobody is called before their time, for the one that drains outlives what it issued.
    let create = Action::CreateAuthority {
        name: "issuing-2".into(),
        purpose: AuthorityPurpose::Devices,
        site: None,
        keys: KeyStore::Sealed,
    };
    hospital.decide(&hospital.security, create).await.unwrap();
    let activate = Action::ActivateAuthority { name: "issuing-2".into() };
    hospital.decide(&hospital.admin, activate).await.unwrap();
    assert_eq!(control.renewal_info(&id, hospital.clock.now()).unwrap(), info);

    // Without windows as ever.
    hospital.decide(&hospital.admin, set(Vec::new())).await.unwrap();
    let again = agent.renew().await.unwrap();
    assert_eq!(again.renew_at, leaf(&again.chain_pem).renew_at());
    hospital.running.shutdown().await;
}

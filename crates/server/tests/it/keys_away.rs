//! Keys of authorities that are missing or damaged: that authority alone stops, people are told, and it goes on when the key
//! is back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use lanyard_agent::tpm::soft::SoftTpm;
use lanyard_api::pki::AuthorityLine;
use lanyard_domain::authority::{AuthorityPurpose, AuthorityState, KeyStore};
use lanyard_domain::id::StreamId;
use lanyard_domain::statement::Action;

use crate::hospital::{Hospital, client, start};
use crate::restart::until;

fn key_file(dir: &Path, authority: &str) -> PathBuf {
    dir.join("keys").join(format!("{authority}.key"))
}

async fn authorities(hospital: &Hospital) -> Vec<AuthorityLine> {
    hospital.look(&hospital.security, "/v1/authorities").await.unwrap()
}

async fn trouble(hospital: &Hospital, name: &str) -> Option<String> {
    authorities(hospital).await.into_iter().find(|a| a.name == name).unwrap().trouble
}

async fn active(hospital: &Hospital, name: &str, site: Option<&str>) {
    let (name, site) = (name.to_owned(), site.map(str::to_owned));
    let create = Action::CreateAuthority {
        name: name.clone(),
        purpose: AuthorityPurpose::Devices,
        site,
        keys: KeyStore::Sealed,
    };
    hospital.decide(&hospital.security, create).await.unwrap();
    hospital.decide(&hospital.admin, Action::ActivateAuthority { name }).await.unwrap();
}

// I7, R51
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_missing_stops_its_own_authority_only_and_is_used_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut hospital = Hospital::open(dir.path()).await;
    let (maker, firmware) = hospital.supplied().await;
    // What the devices of the tests' site get theirs from.
    active(&hospital, "issuing-north", Some("north")).await;
    let device = hospital.admitted("P-1").await;
    let chip = Arc::new(SoftTpm::in_memory(&maker, "Chip 2", "P-1").unwrap());
    firmware.boot(&chip);
    hospital.running.shutdown().await;

    let (file, away) = (key_file(dir.path(), "issuing-north"), dir.path().join("away"));
    std::fs::rename(&file, &away).unwrap();
    hospital.running = start(dir.path(), &hospital.clock).await;
    hospital.client = client(&hospital.running, &hospital.clock);
    let told = trouble(&hospital, "issuing-north").await.unwrap();
    assert!(told.contains("no key `issuing-north`") && told.contains("backup"), "{told}");
    assert_eq!(trouble(&hospital, "issuing-1").await, None);
    let pending = |h: &Hospital| h.running.state.control.world().devices[&device].pending.len();
    let refused = hospital.agent("P-1", &chip, &firmware).enroll().await.unwrap_err().to_string();
    assert!(refused.contains("cannot sign now"), "{refused}");
    assert!(!refused.contains("no key"), "strangers are not told why: {refused}");
    assert_eq!(pending(&hospital), 0, "nothing was begun");
    // Its certificate is trusted as before.
    let state = authorities(&hospital).await.into_iter().find(|a| a.name == "issuing-north").unwrap().state;
    assert_eq!(state, AuthorityState::Active);

    std::fs::rename(&away, &file).unwrap();
    until(async || trouble(&hospital, "issuing-north").await.is_none()).await;
    hospital.agent("P-1", &chip, &firmware).enroll().await.unwrap();
    hospital.running.shutdown().await;
}

// F7: no byte of a key file is believed that was not sealed.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_exposed_key_of_the_only_authority_does_not_keep_people_from_mending_it() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let mut hospital = Hospital::open(dir.path()).await;
    hospital.running.shutdown().await;
    let file = key_file(dir.path(), "issuing-1");
    let whole = std::fs::read(&file).unwrap();
    for cut in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&file, &whole[..cut]).unwrap();
        // The certificate of our own listener is the last one.
        hospital.running = start(dir.path(), &hospital.clock).await;
        hospital.client = client(&hospital.running, &hospital.clock);
        assert!(trouble(&hospital, "issuing-1").await.unwrap().contains("issuing-1.key"), "cut at {cut}");
        hospital.running.shutdown().await;
    }
    std::fs::write(&file, &whole).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
    hospital.running = start(dir.path(), &hospital.clock).await;
    hospital.client = client(&hospital.running, &hospital.clock);
    let told = trouble(&hospital, "issuing-1").await.unwrap();
    assert!(told.contains("chmod 600"), "{told}");
    // Another one takes its place, and certifies us.
    std::fs::write(&file, b"").unwrap();
    active(&hospital, "issuing-2", None).await;
    hospital.running.shutdown().await;
    hospital.running = start(dir.path(), &hospital.clock).await;
    hospital.client = client(&hospital.running, &hospital.clock);
    assert_eq!(trouble(&hospital, "issuing-2").await, None);
    assert!(hospital.running.state.control.world().open_intents.is_empty());
    hospital.running.shutdown().await;
    lanyard_store::check(&dir.path().join("log"), &lanyard_store::Trust::default()).unwrap();
}

// I10: the key of another time signs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn another_key_under_an_authoritys_label_is_refused_and_named() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut hospital = Hospital::open(one.path()).await;
    hospital.running.shutdown().await;
    let other = Hospital::open(two.path()).await;
    other.running.shutdown().await;
    std::fs::copy(key_file(two.path(), "issuing-1"), key_file(one.path(), "issuing-1")).unwrap();
    hospital.running = start(one.path(), &hospital.clock).await;
    hospital.client = client(&hospital.running, &hospital.clock);
    let told = trouble(&hospital, "issuing-1").await.unwrap();
    assert!(told.contains("not the key of its CA certificate"), "{told}");
    // Not one event more than the start's: nothing was intended that could not be signed.
    let store = hospital.running.state.control.journal.store();
    let before = store.stream(*StreamId::SYSTEM.as_bytes(), 0, 4_096).await.unwrap().len();
    let refused = hospital.running.state.control.certify_responder("issuing-1", hospital.clock.now()).await;
    assert!(refused.is_err());
    assert_eq!(store.stream(*StreamId::SYSTEM.as_bytes(), 0, 4_096).await.unwrap().len(), before);
    hospital.running.shutdown().await;
}

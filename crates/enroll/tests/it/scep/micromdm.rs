//! micromdm's `scepclient` 2.1.0: signs with SHA-1, encrypts with DES, sends its request again instead of polling.

use std::path::Path;
use std::process::Command;

use lanyard_enroll::scep::Algorithms;

use super::client::{has, pem, run};
use super::hospital::Hospital;

const SCEPCLIENT: &str = "/usr/bin/scepclient";

fn scepclient(hospital: &Hospital, dir: &Path, challenge: &str) -> (bool, String) {
    let url = format!("{}/pkiclient.exe", hospital.url());
    run(Command::new(SCEPCLIENT)
        .args(["-server-url", &url, "-private-key", "key.pem", "-challenge", challenge])
        .current_dir(dir))
}

// R36, R42: enroll and renew.
#[test]
fn micromdm_enrolls_with_a_secret_and_renews_with_its_certificate() {
    if !has(SCEPCLIENT) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Legacy), tempfile::tempdir().unwrap());
    let (enrolled, text) = scepclient(&hospital, dir.path(), hospital.secret());
    assert!(enrolled, "{text}");
    assert_eq!(pem(&dir.path().join("client.pem")), hospital.last_issued());
    let first = hospital.last_issued();
    let (renewed, text) = scepclient(&hospital, dir.path(), "");
    assert!(renewed, "{text}");
    assert_eq!(hospital.diary(), ["by secret: issued", "by certificate: issued"]);
    assert_ne!(hospital.last_issued(), first);
    assert_eq!(pem(&dir.path().join("client.pem")), hospital.last_issued());
}

// R36: kept pending until approved. The client itself waits half a minute before it asks again.
#[test]
fn micromdm_sends_its_request_again_until_it_is_approved() {
    if !has(SCEPCLIENT) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Legacy), tempfile::tempdir().unwrap());
    hospital.leave_pending(1);
    let (enrolled, text) = scepclient(&hospital, dir.path(), hospital.secret());
    assert!(enrolled, "{text}");
    assert_eq!(hospital.diary(), ["by secret: pending", "by secret: issued"]);
    assert_eq!(pem(&dir.path().join("client.pem")), hospital.last_issued());
}

#[test]
fn micromdm_with_a_wrong_challenge_gets_no_certificate() {
    if !has(SCEPCLIENT) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Legacy), tempfile::tempdir().unwrap());
    let mut wrong = hospital.secret().to_owned();
    wrong.replace_range(40.., if wrong.ends_with('a') { "b" } else { "a" });
    let (enrolled, text) = scepclient(&hospital, dir.path(), &wrong);
    assert!(!enrolled && text.contains("badRequest (2)"), "{text}");
    assert!(!dir.path().join("client.pem").exists());
}

// R36: SHA-1 and DES only where a site allows them.
#[test]
fn micromdm_is_refused_where_legacy_algorithms_are_not_allowed() {
    if !has(SCEPCLIENT) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Current), tempfile::tempdir().unwrap());
    let (enrolled, text) = scepclient(&hospital, dir.path(), hospital.secret());
    assert!(!enrolled && text.contains("badAlg (0)"), "{text}");
    assert!(hospital.diary()[0].contains("SHA-256"), "{:?}", hospital.diary());
}

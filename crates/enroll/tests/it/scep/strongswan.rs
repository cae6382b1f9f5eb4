//! strongSwan's `pki --scep` and `--scepca` 5.9.8: SHA-256 and AES-128, POST, CertPoll while pending.

use std::path::Path;
use std::process::Command;

use lanyard_enroll::scep::Algorithms;

use super::client::{has, run};
use super::hospital::Hospital;

const PKI: &str = "/usr/bin/pki";

fn pki(dir: &Path, arguments: &str) -> (bool, Vec<u8>, String) {
    let out = Command::new(PKI).args(arguments.split_whitespace()).current_dir(dir).output().unwrap();
    (out.status.success(), out.stdout, String::from_utf8_lossy(&out.stderr).into_owned())
}

fn new_key(dir: &Path, name: &str) {
    let (made, key, text) = pki(dir, "--gen --type rsa --size 2048");
    assert!(made, "{text}");
    std::fs::write(dir.join(name), key).unwrap();
}

fn scep(hospital: &Hospital, dir: &Path, more: &str) -> (bool, Vec<u8>, String) {
    hospital.write_certificates(dir);
    let to = "--cacert-enc ra.der --cacert-sig ra.der --cacert ca.der --interval 1";
    pki(dir, &format!("--scep --url {} --dn CN=device {to} {more}", hospital.url()))
}

// R36: a client learns the CA from the service and checks its fingerprint by hand.
#[test]
fn strongswan_reads_our_ca_certificates() {
    if !has(PKI) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Current), tempfile::tempdir().unwrap());
    let arguments = format!("--scepca --url {} --caout ca-%d.der --raout ra-%d.der", hospital.url());
    let (read, text) = run(Command::new(PKI).args(arguments.split_whitespace()).current_dir(dir.path()));
    assert!(read, "{text}");
    hospital.write_certificates(dir.path());
    let written: Vec<Vec<u8>> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().contains("-"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    for name in ["ca.der", "ra.der"] {
        let own = std::fs::read(dir.path().join(name)).unwrap();
        assert!(written.contains(&own), "{name}: {text}");
    }
}

// R36, R42
#[test]
fn strongswan_enrolls_waits_for_approval_and_renews_with_a_new_key() {
    if !has(PKI) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Current), tempfile::tempdir().unwrap());
    new_key(dir.path(), "key.der");
    hospital.leave_pending(2);
    let enroll = format!("--in key.der --password {}", hospital.secret());
    let (enrolled, certificate, text) = scep(&hospital, dir.path(), &enroll);
    assert!(enrolled, "{text}");
    assert_eq!(certificate, hospital.last_issued());
    assert_eq!(hospital.diary(), ["by secret: pending", "by secret: pending", "by secret: issued"]);

    new_key(dir.path(), "new.der");
    std::fs::write(dir.path().join("old.crt"), &certificate).unwrap();
    hospital.leave_pending(1);
    let renew = "--in new.der --cert old.crt --key key.der";
    let (renewed, certificate, text) = scep(&hospital, dir.path(), renew);
    assert!(renewed, "{text}");
    assert_eq!(certificate, hospital.last_issued());
    assert_eq!(hospital.diary()[3..], ["by certificate: pending", "by certificate: issued"]);
}

#[test]
fn strongswan_is_told_why_it_gets_nothing() {
    if !has(PKI) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Current), tempfile::tempdir().unwrap());
    new_key(dir.path(), "key.der");
    let (enrolled, _, text) = scep(&hospital, dir.path(), "--in key.der --password guessed");
    assert!(!enrolled && text.contains("badRequest"), "{text}");
    let (enrolled, _, text) = scep(&hospital, dir.path(), "--in key.der");
    assert!(!enrolled && text.contains("badRequest"), "{text}");
    // Algorithms that are read only where legacy is allowed are refused by the client itself: they are not offered.
    for weaker in ["--digest sha1", "--cipher des3"] {
        let more = format!("--in key.der --password {} {weaker}", hospital.secret());
        let (enrolled, _, text) = scep(&hospital, dir.path(), &more);
        assert!(!enrolled, "{weaker}: {text}");
    }
    assert!(hospital.diary().iter().all(|line| line.starts_with("refused")), "{:?}", hospital.diary());
}

#[test]
fn strongswan_polls_for_a_transaction_that_is_not_known_any_more() {
    if !has(PKI) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Current), tempfile::tempdir().unwrap());
    new_key(dir.path(), "key.der");
    hospital.leave_pending(usize::MAX);
    std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            let more = format!("--in key.der --password {}", hospital.secret());
            scep(&hospital, dir.path(), &more)
        });
        // As soon as the request waits, the list is lost.
        while hospital.diary().is_empty() && !client.is_finished() {
            std::thread::yield_now();
        }
        hospital.forget_transactions();
        let (enrolled, _, text) = client.join().unwrap();
        assert!(!enrolled && text.contains("badCertId"), "{text}");
    });
}

#[test]
fn strongswan_with_old_and_with_longer_algorithms() {
    if !has(PKI) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Legacy), tempfile::tempdir().unwrap());
    new_key(dir.path(), "key.der");
    for more in ["--digest sha1 --cipher des3", "--digest sha384", "--digest sha512"] {
        let enroll = format!("--in key.der --password {} {more}", hospital.secret());
        let (enrolled, certificate, text) = scep(&hospital, dir.path(), &enroll);
        assert!(enrolled, "{more}: {text}");
        assert_eq!(certificate, hospital.last_issued(), "{more}");
    }
}

//! OpenSSL reads what we sign without being asked: the next CA certificate.

use std::process::Command;

use lanyard_enroll::scep::Algorithms;

use super::client::{has, run};
use super::hospital::Hospital;
use super::http;

const OPENSSL: &str = "/usr/bin/openssl";

// R44
#[test]
fn openssl_verifies_the_next_ca_certificate_under_the_current_one() {
    if !has(OPENSSL) {
        return;
    }
    let (hospital, dir) = (Hospital::open(Algorithms::Current), tempfile::tempdir().unwrap());
    hospital.write_certificates(dir.path());
    let (head, body) = http::get(hospital.address(), "/scep?operation=GetNextCACert");
    assert!(head.contains("200") && head.contains("application/x-x509-next-ca-cert"), "{head}");
    std::fs::write(dir.path().join("next.p7"), &body).unwrap();
    let openssl = |arguments: &str| {
        run(Command::new(OPENSSL).args(arguments.split_whitespace()).current_dir(dir.path()))
    };
    let verify = "cms -verify -inform der -in next.p7 -CAfile ca.pem -purpose any -binary -out bag.p7";
    let (verified, text) = openssl(verify);
    assert!(verified, "{text}");
    let (printed, text) = openssl("pkcs7 -inform der -in bag.p7 -print_certs -noout");
    assert!(printed && text.contains("SCEP Issuing CA G2"), "{text}");
    // A byte of the content changed.
    let mut changed = body;
    let middle = changed.len() / 3;
    changed[middle] ^= 1;
    std::fs::write(dir.path().join("next.p7"), &changed).unwrap();
    assert!(!openssl(verify).0);
}

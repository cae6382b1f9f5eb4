//! acme-tiny 5.0 (Python, RSA account) and dehydrated 0.7 (shell), by files for http-01.

use std::process::Command;

use lanyard_enroll::acme::BindingPolicy;

use super::host::{Host, openssl};
use super::succeeds;

#[test]
fn acme_tiny_enrolls_with_an_rsa_account() {
    let host = Host::start(BindingPolicy::Optional);
    let name = "ris.hospital.example";
    let file = |name: &str| host.path(name).to_str().unwrap().to_owned();
    let openssl_does = |arguments: &[&str]| succeeds(Command::new("openssl").args(arguments));
    openssl_does(&["genrsa", "-out", &file("account.key"), "2048"]);
    openssl_does(&[
        "genpkey",
        "-algorithm",
        "EC",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-out",
        &file("ris.key"),
    ]);
    openssl_does(&[
        "req",
        "-new",
        "-key",
        &file("ris.key"),
        "-subj",
        &format!("/CN={name}"),
        "-out",
        &file("ris.csr"),
    ]);
    let chain = succeeds(
        Command::new("acme-tiny")
            .env("SSL_CERT_FILE", host.root())
            .args(["--account-key", &file("account.key"), "--csr", &file("ris.csr")])
            .args(["--acme-dir", host.places.folder.to_str().unwrap(), "--directory-url", &host.directory])
            .args(["--disable-check", "--quiet", "--contact", "mailto:pki@hospital.example"]),
    );
    std::fs::write(host.path("ris.pem"), chain).unwrap();
    assert!(openssl(&host, &host.path("ris.pem")).contains(name));
}

// Without a binding: dehydrated 0.7.0 writes wrong hexadecimals of keys whose length is no multiple of 16, and ours
// have 41 bytes.
#[test]
fn dehydrated_enrolls_and_revokes() {
    let host = Host::start(BindingPolicy::Optional);
    let name = "lis.hospital.example";
    let base = host.path("dehydrated");
    std::fs::create_dir(&base).unwrap();
    let config = format!(
        "CA=\"{}\"\nWELLKNOWN=\"{}\"\nBASEDIR=\"{}\"\nKEY_ALGO=prime256v1\n",
        host.directory,
        host.places.folder.display(),
        base.display(),
    );
    std::fs::write(base.join("config"), config).unwrap();
    let dehydrated = |arguments: &[&str]| {
        let mut command = Command::new("dehydrated");
        command.env("CURL_CA_BUNDLE", host.root()).arg("--config").arg(base.join("config")).args(arguments);
        command
    };
    succeeds(&mut dehydrated(&["--register", "--accept-terms"]));
    succeeds(&mut dehydrated(&["--cron", "--domain", name]));
    assert!(openssl(&host, &base.join("certs").join(name).join("fullchain.pem")).contains(name));
    let certificate = base.join("certs").join(name).join("cert.pem");
    succeeds(&mut dehydrated(&["--revoke", certificate.to_str().unwrap()]));
    assert_eq!(host.revoked(), 1);
}

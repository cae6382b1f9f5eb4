//! A device certificate as it would have been issued at another time, with the authority key of a sealed directory.
//!
//! For tests against foreign TLS stacks: an expired certificate of the right authority, or one that no ledger knows. It
//! needs the sealed keys and their passphrase, and whoever has those can sign anything; that such a certificate opens
//! no door is what tests/interop/openssl shows.
//!
//! `issue_as_of KEYS_DIR PASSPHRASE_FILE ISSUER.pem CSR.der DEVICE_ID ORGANIZATION DOMAIN UNIX_SECONDS [LIFETIME]`

#![expect(clippy::unwrap_used, reason = "a test tool; a failure should stop it loudly")]

use std::path::PathBuf;

use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::Issuer;
use lanyard_pki::certificate::chain_from_pem;
use lanyard_pki::csr;
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::seal::{Cost, Sealer};
use lanyard_pki::key::{SealedDirectory, SoftwareKeys, passphrase};
use lanyard_pki::name::Naming;
use lanyard_pki::profile::{Profile, ProfileName, SubjectFacts};
use lanyard_pki::serial::Serial;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [keys, secret, issuer, request, device, organization, domain, at, lifetime @ ..] =
        arguments.as_slice()
    else {
        eprintln!(
            "usage: issue_as_of KEYS_DIR PASSPHRASE_FILE ISSUER.pem CSR.der DEVICE_ID ORGANIZATION DOMAIN UNIX_SECONDS [LIFETIME]"
        );
        std::process::exit(2);
    };
    let sealer = Sealer::new(passphrase::from_file(&PathBuf::from(secret)).unwrap(), Cost::STANDARD);
    let backend = SoftwareKeys::open(SealedDirectory::open(&PathBuf::from(keys), sealer).unwrap()).unwrap();
    let certificate = chain_from_pem(&std::fs::read(issuer).unwrap()).unwrap().remove(0);
    let issuer = Issuer::new(certificate, "issuing-1".parse().unwrap(), &backend).unwrap();
    let request = csr::verify(&std::fs::read(request).unwrap()).unwrap();
    let naming = Naming::new(organization, domain).unwrap();
    let subject = SubjectFacts::Device { id: device.parse().unwrap() };
    let lifetime = match lifetime.first() {
        Some(seconds) => Lifetime::Seconds(seconds.parse().unwrap()),
        None => Lifetime::Default,
    };
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    let prepared = issue::prepare(
        &Profile::new(ProfileName::DeviceLdevid, naming),
        &request,
        &subject,
        &issuer,
        lifetime,
        Serial::from_random(random),
        Timestamp::from_seconds(at.parse().unwrap()),
    )
    .unwrap();
    print!("{}", prepared.sign(&backend).unwrap().to_pem());
}

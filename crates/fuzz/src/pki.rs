//! Requests, keys and certificates, as peers send them; profile templates, as hospitals write them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::key::MemoryKeys;
use lanyard_pki::name::Naming;
use lanyard_pki::profile::template::Template;
use lanyard_pki::profile::{HardwareNames, RevocationUris, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_pki::spki::PublicKey;
use lanyard_pki::{csr, issue};

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "pki_csr", run: request, seeds: requests },
    Target { name: "pki_spki", run: spki, seeds: spkis },
    Target { name: "pki_certificate", run: certificate, seeds: certificates },
    Target { name: "pki_pem_chain", run: pem_chain, seeds: pem_chains },
    Target { name: "pki_serial", run: serial, seeds: serials },
    Target { name: "pki_template", run: template, seeds: templates },
];

/// SubjectPublicKeyInfo of a P-256 key in front of its point (RFC 5480 2.1.1).
const P256_SPKI: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x02, 0x01, 0x06, 0x08, 0x2A, 0x86,
    0x48, 0xCE, 0x3D, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

fn request(data: &[u8]) {
    if let Ok(request) = csr::verify(data) {
        assert!(PublicKey::parse(request.spki_der()).is_ok(), "an accepted request holds an accepted key");
    }
}

fn requests() -> Vec<Vec<u8>> {
    let Ok(pair) = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING) else { return Vec::new() };
    let spki = [P256_SPKI, pair.public_key().as_ref()].concat();
    let sign = |message: &[u8]| {
        pair.sign(&SystemRandom::new(), message).map(|signature| signature.as_ref().to_vec())
    };
    csr::build(&spki, "infusor 17", sign).into_iter().collect()
}

fn spki(data: &[u8]) {
    if let Ok(key) = PublicKey::parse(data) {
        assert_eq!(key.der(), data, "a key keeps its bytes");
        let _id = key.key_id();
    }
}

fn spkis() -> Vec<Vec<u8>> {
    requests().iter().filter_map(|der| csr::verify(der).ok()).map(|csr| csr.spki_der().to_vec()).collect()
}

fn certificate(data: &[u8]) {
    let Ok(certificate) = Certificate::parse(data) else { return };
    assert_eq!(certificate.der().as_ref(), data, "a certificate keeps its bytes");
    let _identity = certificate.identity();
    let _renewal = certificate.renew_at();
    let _key = certificate.public_key();
}

fn certificates() -> Vec<Vec<u8>> {
    authority().iter().chain(&listed_device()).map(|certificate| certificate.der().to_vec()).collect()
}

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

/// A new installation.
fn installation() -> Option<(Naming, MemoryKeys, Authority)> {
    let generation = |label: &str, serial| {
        let serial = Serial::from_random([serial; 16]);
        label.parse().ok().map(|label| Generation { number: 1, label, serial })
    };
    let naming = Naming::new("General Hospital", "hospital.example").ok()?;
    let (keys, root, issuing) =
        (MemoryKeys::default(), generation("root-g1", 1)?, generation("issuing-g1", 2)?);
    let authority = Authority::create(&naming, &keys, &root, &issuing, NOW).ok()?;
    Some((naming, keys, authority))
}

/// The root and the issuing CA of a new installation.
fn authority() -> Vec<Certificate> {
    installation()
        .map(|(_, _, made)| vec![made.root.certificate().clone(), made.issuing.certificate().clone()])
        .unwrap_or_default()
}

/// A device certificate with every form of name, distribution point and access.
fn listed_device() -> Option<Certificate> {
    let (naming, keys, authority) = installation()?;
    let base = "http://pki.hospital.example";
    let uris = RevocationUris::new(base, base, base, 8).ok()?;
    let profile = Template::parse(MODALITY).ok()?.profile(None, naming, Some(&uris)).ok()?;
    let names = HardwareNames::new(Some("SN 42"), Some(b"module 7")).ok()?;
    let facts = SubjectFacts::DeviceHardware { id: DeviceId::from_random([7; 16]), names };
    let csr = csr::verify(requests().first()?).ok()?;
    let serial = Serial::from_random([3; 16]);
    let lifetime = issue::Lifetime::Default;
    let prepared = issue::prepare(&profile, &csr, &facts, &authority.issuing, lifetime, serial, NOW).ok()?;
    prepared.sign(&keys).ok()
}

const MODALITY: &str = include_str!("../../../docs/profiles/imaging-modality.toml");
const PUMP: &str = include_str!("../../../docs/profiles/infusion-pump.toml");
const SERVER: &str = include_str!("../../../docs/profiles/application-server.toml");

fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Template::parse(text) {
        Ok(template) => assert!(
            template.validity(None).default_seconds <= template.validity(None).longest_seconds,
            "what was judged is what is compiled"
        ),
        Err(problems) => {
            assert!(!problems.is_empty(), "a refusal has a reason");
            let lines = text.split('\n').count();
            for problem in problems {
                assert!((1..=lines).contains(&problem.line), "a place lies in the text");
                assert!(!problem.help.starts_with("bug"), "a rule knows why a value does not compile");
            }
        }
    }
}

fn templates() -> Vec<Vec<u8>> {
    [MODALITY, PUMP, SERVER].map(|text| text.as_bytes().to_vec()).to_vec()
}

fn pem_chain(data: &[u8]) {
    if let Ok(chain) = chain_from_pem(data) {
        for certificate in chain {
            assert!(chain_from_pem(certificate.to_pem().as_bytes()).is_ok(), "what we write we read");
        }
    }
}

fn pem_chains() -> Vec<Vec<u8>> {
    let pems: Vec<String> = authority().iter().map(Certificate::to_pem).collect();
    vec![pems.concat().into_bytes()]
}

fn serial(data: &[u8]) {
    if let Ok(serial) = Serial::from_der_content(data) {
        assert_eq!(serial.der_content(), data, "one serial number, one encoding");
    }
}

fn serials() -> Vec<Vec<u8>> {
    vec![Serial::from_random([0x5A; 16]).der_content(), vec![1]]
}

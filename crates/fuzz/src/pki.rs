//! Requests, keys and certificates, as peers send them.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::csr;
use lanyard_pki::key::MemoryKeys;
use lanyard_pki::key::seal::{self, Sealer};
use lanyard_pki::key::shares::{self, Share};
use lanyard_pki::name::Naming;
use lanyard_pki::serial::Serial;
use lanyard_pki::spki::{PublicKey, PublicKeyKind};

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "pki_csr", run: request, seeds: requests },
    Target { name: "pki_spki", run: spki, seeds: spkis },
    Target { name: "pki_certificate", run: certificate, seeds: certificates },
    Target { name: "pki_pem_chain", run: pem_chain, seeds: pem_chains },
    Target { name: "pki_serial", run: serial, seeds: serials },
    Target { name: "pki_share", run: share, seeds: shares },
    Target { name: "pki_sealed", run: sealed, seeds: sealeds },
    Target { name: "pki_ec_point", run: ec_point, seeds: ec_points },
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
    authority().iter().map(|certificate| certificate.der().to_vec()).collect()
}

/// The root and the issuing CA of a new installation.
fn authority() -> Vec<Certificate> {
    let generation = |label: &str, serial| {
        let serial = Serial::from_random([serial; 16]);
        label.parse().ok().map(|label| Generation { number: 1, label, serial })
    };
    let made = Naming::new("General Hospital", "hospital.example").ok().and_then(|naming| {
        let (root, issuing) = (generation("root-g1", 1)?, generation("issuing-g1", 2)?);
        let now = Timestamp::from_seconds(1_795_305_600);
        Authority::create(&naming, &MemoryKeys::default(), &root, &issuing, now).ok()
    });
    made.map(|authority| vec![authority.root.certificate().clone(), authority.issuing.certificate().clone()])
        .unwrap_or_default()
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

/// What a person typed.
fn share(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(share) = Share::parse(text) {
        let again = Share::parse(&share.to_text()).map(|again| *again.to_text() == *share.to_text());
        assert_eq!(again, Ok(true), "one share, one text");
    }
}

fn shares() -> Vec<Vec<u8>> {
    let dealt = shares::deal(2, 3).map(|(_, dealt)| dealt).unwrap_or_default();
    dealt.iter().map(|share| share.to_text().as_bytes().to_vec()).collect()
}

/// A key file that somebody else may have written.
fn sealed(data: &[u8]) {
    let _under = seal::sealed_under(data);
}

fn sealeds() -> Vec<Vec<u8>> {
    let Ok((key, _)) = shares::deal(2, 3) else { return Vec::new() };
    let mut seeds: Vec<Vec<u8>> =
        Sealer::of_shares(key).seal("key p384 root-g1", b"secret").into_iter().collect();
    // The first version: 19 MiB, 2 passes, 1 lane.
    let cost = [0, 0, 0x4c, 0, 0, 0, 0, 2, 0, 0, 0, 1];
    seeds.push([b"lanyard-sealed-1\n".as_slice(), &cost, &[7; 32], b"\x01x", &[7; 40]].concat());
    seeds
}

/// What a hardware module says of a key; the first byte chooses the kind.
fn ec_point(data: &[u8]) {
    let Some((kind, attribute)) = data.split_first() else { return };
    let kind = match kind % 3 {
        0 => PublicKeyKind::P256,
        1 => PublicKeyKind::P384,
        _ => PublicKeyKind::Ed25519,
    };
    if let Ok(key) = PublicKey::from_ec_point(kind, attribute) {
        assert_eq!(key.kind(), kind);
        assert_eq!(PublicKey::parse(key.der()), Ok(key), "what we write we read");
    }
    let (modulus, exponent) = attribute.split_at(attribute.len() / 2);
    if let Ok(key) = PublicKey::from_rsa(modulus, exponent) {
        assert_eq!(PublicKey::parse(key.der()), Ok(key), "what we write we read");
    }
}

fn ec_points() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for spki in spkis() {
        let point = spki.get(P256_SPKI.len()..).unwrap_or_default();
        seeds.push([&[0], point].concat());
        seeds.push([&[0, 4, 65], point].concat());
    }
    seeds
}

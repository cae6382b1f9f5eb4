//! Requests, keys and certificates, as peers send them; profile templates, as hospitals write them.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use lanyard_domain::id::DeviceId;
use lanyard_domain::time::Timestamp;
use lanyard_pki::authority::{Authority, Generation};
use lanyard_pki::certificate::{Certificate, chain_from_pem};
use lanyard_pki::issue::{self, Lifetime};
use lanyard_pki::key::MemoryKeys;
use lanyard_pki::key::seal::{self, Sealer};
use lanyard_pki::key::shares::{self, Share};
use lanyard_pki::name::Naming;
use lanyard_pki::path::generic::{self, Policy, Strictness, Usage};
use lanyard_pki::path::import::{self, Wanted};
use lanyard_pki::path::revocation::Revocation;
use lanyard_pki::path::{Anchors, Purpose, validate_recorded};
use lanyard_pki::pkcs7;
use lanyard_pki::profile::template::Template;
use lanyard_pki::profile::{HardwareNames, Profile, ProfileName, RevocationUris, SubjectFacts};
use lanyard_pki::serial::Serial;
use lanyard_pki::spki::{PublicKey, PublicKeyKind};
use lanyard_pki::{csr, idevid};
use rustls_pki_types::CertificateDer;

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "pki_csr", run: request, seeds: requests },
    Target { name: "pki_spki", run: spki, seeds: spkis },
    Target { name: "pki_certificate", run: certificate, seeds: certificates },
    Target { name: "pki_shown", run: shown, seeds: certificates },
    Target { name: "pki_pem_chain", run: pem_chain, seeds: pem_chains },
    Target { name: "pki_pkcs7", run: bag, seeds: bags },
    Target { name: "pki_serial", run: serial, seeds: serials },
    Target { name: "pki_path", run: path, seeds: paths },
    Target { name: "pki_template", run: template, seeds: templates },
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

pub(crate) fn requests() -> Vec<Vec<u8>> {
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
    import(&certificate);
}

/// As an authority's that somebody else certified: below a root of ours, and as the root itself.
fn import(certificate: &Certificate) {
    let now = certificate.not_before();
    let _root = import::check_root(certificate, now);
    let Ok(naming) = Naming::new("Fuzz Hospital", "hospital.example") else { return };
    let Ok(key) = certificate.public_key() else { return };
    let addresses = [std::net::IpAddr::from([127, 0, 0, 1])];
    let roots = authority();
    for root in roots.iter().chain([certificate]) {
        let wanted = Wanted {
            spki: key.der(),
            below: 1,
            root,
            naming: &naming,
            addresses: &addresses,
            taken: &[],
            now,
        };
        if let Ok(imported) = import::check(std::slice::from_ref(certificate), &wanted) {
            assert_eq!(imported.above().last(), Some(root), "it ends in the root that was named");
        }
    }
}

/// A certificate of anybody, as a watched server shows it.
fn shown(data: &[u8]) {
    if let Some(described) = lanyard_pki::tls::describe(data) {
        for text in [&described.subject, &described.issuer] {
            assert!(text.chars().count() <= 200 && !text.chars().any(char::is_control), "{text:?}");
        }
        assert!(described.serial.len() <= 40);
    }
}

fn certificates() -> Vec<Vec<u8>> {
    let devices = device().into_iter().chain(listed_device());
    authorities().into_iter().chain(devices.map(|certificate| certificate.der().to_vec())).collect()
}

/// A root and its issuing CA.
pub(crate) fn authorities() -> Vec<Vec<u8>> {
    authority().iter().map(|certificate| certificate.der().to_vec()).collect()
}

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

/// One installation for all runs: making its keys takes longer than a run.
struct Installation {
    naming: Naming,
    keys: MemoryKeys,
    authority: Authority,
}

fn installation() -> Option<&'static Installation> {
    static MADE: OnceLock<Option<Installation>> = OnceLock::new();
    let generation = |label: &str, serial| {
        let serial = Serial::from_random([serial; 16]);
        label.parse().ok().map(|label| Generation { number: 1, label, serial })
    };
    let make = || {
        let naming = Naming::new("General Hospital", "hospital.example").ok()?;
        let keys = MemoryKeys::default();
        let (root, issuing) = (generation("root-g1", 1)?, generation("issuing-g1", 2)?);
        let authority = Authority::create(&naming, &keys, &root, &issuing, NOW).ok()?;
        Some(Installation { naming, keys, authority })
    };
    MADE.get_or_init(make).as_ref()
}

/// Its root and its issuing CA.
fn authority() -> Vec<Certificate> {
    installation()
        .map(|made| [&made.authority.root, &made.authority.issuing].map(|i| i.certificate().clone()).to_vec())
        .unwrap_or_default()
}

/// A device's certificate of its issuing CA.
fn device() -> Option<Certificate> {
    let made = installation()?;
    let csr = csr::verify(requests().first()?).ok()?;
    let profile = Profile::new(ProfileName::DeviceLdevid, made.naming.clone());
    let subject = SubjectFacts::Device { id: DeviceId::from_random([7; 16]) };
    let serial = Serial::from_random([3; 16]);
    let issuer = &made.authority.issuing;
    let prepared = issue::prepare(&profile, &csr, &subject, issuer, Lifetime::Default, serial, NOW).ok()?;
    prepared.sign(&made.keys).ok()
}

/// A chain: each certificate behind its length in two octets.
fn path(data: &[u8]) {
    let Some(made) = installation() else { return };
    let Ok(anchors) = Anchors::new(vec![made.authority.root.certificate().clone()]) else { return };
    let mut rest = data;
    let mut chain = Vec::new();
    while let Some((length, more)) = rest.split_first_chunk::<2>() {
        let (der, more) = more.split_at(usize::from(u16::from_be_bytes(*length)).min(more.len()));
        chain.push(CertificateDer::from(der));
        rest = more;
    }
    let validate = |strictness, usage| {
        let policy = Policy { strictness, revocation: Revocation::NotAsked, ..Policy::strict(usage, NOW) };
        generic::validate(&chain, &anchors, &policy).is_ok()
    };
    let tls = Usage::Tls(Purpose::Client);
    let ours = lanyard_pki::path::validate(&chain, &anchors, Purpose::Client, NOW).is_ok();
    let strict = validate(Strictness::Rfc5280, tls);
    assert!(!ours || strict, "what is ours keeps RFC 5280");
    assert!(!strict || validate(Strictness::Maker, tls), "what keeps more keeps less");
    assert!(!strict || validate(Strictness::Rfc5280, Usage::TlsIfNamed(Purpose::Client)));
    assert!(!strict || validate(Strictness::Rfc5280, Usage::Any));
    recorded(&chain);
    let _expired = lanyard_pki::path::validate_expired(&chain, &anchors, Purpose::Client, NOW);
    let _device = idevid::verify(&chain, &anchors, Revocation::NotAsked, NOW);
}

/// A certificate on record directly below the authority that comes next in the chain: what a whole validation with that one as its
/// anchor says, wherever the signature is good.
fn recorded(chain: &[CertificateDer<'_>]) {
    let mut read = chain.iter().map(|der| Certificate::parse(der));
    let (Some(Ok(leaf)), Some(Ok(issuer))) = (read.next(), read.next()) else { return };
    let on_record = validate_recorded(&leaf, &issuer, Purpose::Client, NOW, |_, _| true);
    let Ok(anchor) = Anchors::new(vec![issuer.clone()]) else { return };
    let whole = lanyard_pki::path::validate(&[leaf.der().clone()], &anchor, Purpose::Client, NOW);
    let whole = whole.ok().map(|path| path.identity());
    match whole {
        Some(_) => {
            assert!(issuer.is_constrained() || on_record == whole, "what is valid is believed on record")
        }
        None => assert!(
            on_record.is_none() || !leaf.is_signed_by(&issuer),
            "on record the signature alone is spared"
        ),
    }
}

fn paths() -> Vec<Vec<u8>> {
    let ders: Vec<Certificate> = device().into_iter().chain(authority().into_iter().skip(1)).collect();
    let framed = ders.iter().flat_map(|c| {
        let length = u16::try_from(c.der().len()).unwrap_or_default();
        [&length.to_be_bytes(), c.der().as_ref()].concat()
    });
    vec![framed.collect()]
}

/// A device certificate with every form of name, distribution point and access.
fn listed_device() -> Option<Certificate> {
    let made = installation()?;
    let base = "http://pki.hospital.example";
    let uris = RevocationUris::new(base, base, base, 8).ok()?;
    let profile = Template::parse(MODALITY).ok()?.profile(None, made.naming.clone(), Some(&uris)).ok()?;
    let names = HardwareNames::new(Some("SN 42"), Some(b"module 7")).ok()?;
    let facts = SubjectFacts::DeviceHardware { id: DeviceId::from_random([7; 16]), names };
    let csr = csr::verify(requests().first()?).ok()?;
    let serial = Serial::from_random([3; 16]);
    let issuer = &made.authority.issuing;
    let prepared = issue::prepare(&profile, &csr, &facts, issuer, Lifetime::Default, serial, NOW).ok()?;
    prepared.sign(&made.keys).ok()
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

fn bag(data: &[u8]) {
    if let Ok(mut certificates) = pkcs7::read(data) {
        certificates.sort_unstable();
        assert_eq!(
            pkcs7::read(&pkcs7::certs_only(&certificates)),
            Ok(certificates),
            "a bag keeps what is in it"
        );
    }
}

fn bags() -> Vec<Vec<u8>> {
    let certificates = certificates();
    let slices: Vec<&[u8]> = certificates.iter().map(Vec::as_slice).collect();
    vec![pkcs7::certs_only(&slices), pkcs7::certs_only(&[])]
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

#[cfg(test)]
mod tests {
    use super::*;

    // A target that begins with what is refused at once would test little.
    #[test]
    fn the_seeds_are_good() {
        let seed = paths().remove(0);
        let length = usize::from(u16::from_be_bytes([seed[0], seed[1]]));
        let chain = [CertificateDer::from(&seed[2..2 + length]), CertificateDer::from(&seed[4 + length..])];
        let anchors = Anchors::new(vec![authority().remove(0)]).unwrap();
        assert!(lanyard_pki::path::validate(&chain, &anchors, Purpose::Client, NOW).is_ok());
    }
}

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

use super::*;
use crate::tpm::keys::{ek_template_p256, ek_template_rsa2048};

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);
const VALID: (&str, &str) = ("20200101000000Z", "99991231235959Z");

fn tlv(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag, 0x82];
    out.extend_from_slice(&u16::try_from(body.len()).unwrap().to_be_bytes());
    if body.len() < 128 {
        out = vec![tag, u8::try_from(body.len()).unwrap()];
    } else if body.len() < 256 {
        out = vec![tag, 0x81, u8::try_from(body.len()).unwrap()];
    }
    out.extend_from_slice(body);
    out
}

fn oid(text: &str) -> Vec<u8> {
    ObjectIdentifier::new_unwrap(text).to_der().unwrap()
}

fn name(parts: &[(&str, &str)]) -> Vec<u8> {
    let rdns = parts
        .iter()
        .flat_map(|(id, value)| tlv(0x31, &tlv(0x30, &[oid(id), tlv(0x0c, value.as_bytes())].concat())));
    tlv(0x30, &rdns.collect::<Vec<u8>>())
}

fn cn(text: &str) -> Vec<u8> {
    name(&[("2.5.4.3", text)])
}

fn extension(id: &str, critical: bool, value: &[u8]) -> Vec<u8> {
    let flag: &[u8] = if critical { &[1, 1, 0xff] } else { &[] };
    tlv(0x30, &[oid(id), flag.to_vec(), tlv(0x04, value)].concat())
}

/// A maker's CA with a fresh key.
struct Ca {
    key: EcdsaKeyPair,
    name: &'static str,
}

struct Leaf<'a> {
    spki: Vec<u8>,
    valid: (&'a str, &'a str),
    eku: Option<&'a str>,
    authority: bool,
}

impl Ca {
    fn new(name: &'static str) -> Self {
        Self { key: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap(), name }
    }

    fn spki(&self) -> Vec<u8> {
        let point = self.key.public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let mut public = ek_template_p256();
        if let Key::Ecc { x: px, y: py, .. } = &mut public.key {
            *px = x.to_vec();
            *py = y.to_vec();
        }
        spki_der(&public)
    }

    fn root(&self) -> EndorsementCa {
        let leaf = Leaf { spki: self.spki(), valid: VALID, eku: None, authority: true };
        EndorsementCa {
            name: format!("{} (registered)", self.name),
            certificate: self.issue(self.name, &leaf),
        }
    }

    fn issue(&self, subject: &str, leaf: &Leaf<'_>) -> Vec<u8> {
        let mut extensions = Vec::new();
        let basic: &[u8] = if leaf.authority { &[1, 1, 0xff] } else { &[] };
        extensions.extend(extension("2.5.29.19", true, &tlv(0x30, basic)));
        if let Some(eku) = leaf.eku {
            extensions.extend(extension("2.5.29.37", false, &tlv(0x30, &oid(eku))));
        }
        let directory =
            name(&[("2.23.133.2.1", "id:41434D45"), ("2.23.133.2.2", "AM-1"), ("2.23.133.2.3", "id:0001")]);
        extensions.extend(extension("2.5.29.17", true, &tlv(0x30, &tlv(0xa4, &directory))));
        let algorithm = tlv(0x30, &oid("1.2.840.10045.4.3.2"));
        let time = [tlv(0x18, leaf.valid.0.as_bytes()), tlv(0x18, leaf.valid.1.as_bytes())].concat();
        let tbs = tlv(
            0x30,
            &[
                tlv(0xa0, &[2, 1, 2]),
                tlv(0x02, &[1]),
                algorithm.clone(),
                cn(self.name),
                tlv(0x30, &time),
                cn(subject),
                leaf.spki.clone(),
                tlv(0xa3, &tlv(0x30, &extensions)),
            ]
            .concat(),
        );
        let signature = self.key.sign(&SystemRandom::new(), &tbs).unwrap();
        let bits = tlv(0x03, &[&[0], signature.as_ref()].concat());
        tlv(0x30, &[tbs, algorithm, bits].concat())
    }
}

fn ek() -> Public {
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
    let mut public = ek_template_p256();
    if let Key::Ecc { x, y, .. } = &mut public.key {
        let (px, py) = key.public_key().as_ref()[1..].split_at(32);
        *x = px.to_vec();
        *y = py.to_vec();
    }
    public
}

fn leaf(ek: &Public) -> Leaf<'static> {
    Leaf { spki: spki_der(ek), valid: VALID, eku: Some("2.23.133.8.1"), authority: false }
}

#[test]
fn a_registered_maker_endorses_its_chip() {
    let (ca, other, ek) = (Ca::new("Acme TPM CA"), Ca::new("Other TPM CA"), ek());
    let certificate = ca.issue("chip 1", &leaf(&ek));
    let proof = verify(&ek, &certificate, &[], &[other.root(), ca.root()], NOW).unwrap();
    assert_eq!(proof.authority(), "Acme TPM CA (registered)");
    assert_eq!(proof.chip().manufacturer.as_deref(), Some("id:41434D45"));
    assert_eq!(proof.chip().model.as_deref(), Some("AM-1"));
    assert_eq!(proof.chip().version.as_deref(), Some("id:0001"));
    assert_eq!(proof.key_sha256(), key_sha256(&ek));
}

#[test]
fn a_chain_over_an_intermediate_is_followed() {
    let (root, middle, ek) = (Ca::new("Acme Root"), Ca::new("Acme Issuing"), ek());
    let cross = Leaf { spki: middle.spki(), valid: VALID, eku: None, authority: true };
    let cross = root.issue("Acme Issuing", &cross);
    let certificate = middle.issue("chip 1", &leaf(&ek));
    assert!(verify(&ek, &certificate, std::slice::from_ref(&cross), &[root.root()], NOW).is_ok());
    let without = verify(&ek, &certificate, &[], &[root.root()], NOW).unwrap_err();
    assert_eq!(without.code(), "ek_unknown_ca");
    let many = verify(&ek, &certificate, &vec![cross; 5], &[root.root()], NOW).unwrap_err();
    assert_eq!(many.code(), "ek_certificate_malformed");
}

// R38
#[test]
fn each_rule_of_endorsement_says_no() {
    let (ca, ek_key) = (Ca::new("Acme TPM CA"), ek());
    let roots = [ca.root()];
    let code = |ek: &Public, leaf: &Leaf<'_>| {
        verify(ek, &ca.issue("chip 1", leaf), &[], &roots, NOW).unwrap_err().code()
    };
    let good = || leaf(&ek_key);
    assert_eq!(code(&ek(), &good()), "ek_certificate_other_key");
    assert_eq!(code(&ek_template_rsa2048(), &good()), "ek_certificate_other_key");
    assert_eq!(code(&ek_key, &Leaf { eku: Some("1.3.6.1.5.5.7.3.2"), ..good() }), "ek_certificate_purpose");
    assert_eq!(code(&ek_key, &Leaf { eku: Some("2.23.133.8.3"), ..good() }), "ek_certificate_purpose");
    assert_eq!(code(&ek_key, &Leaf { eku: None, ..good() }), "ek_certificate_purpose");
    let old = ("20200101000000Z", "20210101000000Z");
    assert_eq!(code(&ek_key, &Leaf { valid: old, ..good() }), "ek_certificate_expired");
    let future = ("20900101000000Z", "99991231235959Z");
    assert_eq!(code(&ek_key, &Leaf { valid: future, ..good() }), "ek_certificate_not_yet_valid");
    assert_eq!(code(&ek_key, &Leaf { authority: true, ..good() }), "ek_certificate_is_ca");
    let mut signing = ek_key.clone();
    signing.attributes = crate::tpm::keys::AK_ATTRIBUTES;
    assert_eq!(code(&signing, &good()), "ek_unfit");

    let certificate = ca.issue("chip 1", &good());
    let refused =
        |certificate: &[u8], cas: &[EndorsementCa]| verify(&ek_key, certificate, &[], cas, NOW).unwrap_err();
    assert_eq!(refused(&certificate, &[]).code(), "ek_unknown_ca");
    let stranger = refused(&certificate, &[Ca::new("Other TPM CA").root()]);
    assert!(stranger.to_string().contains("Acme TPM CA"), "{stranger}");
    // A CA of the same name with another key.
    let impostor = refused(&certificate, &[Ca::new("Acme TPM CA").root()]);
    assert_eq!(impostor.code(), "ek_certificate_signature");
    assert_eq!(refused(&vec![0x30; 9000], &roots).code(), "ek_certificate_malformed");
    let broken = EndorsementCa { name: "broken".to_owned(), certificate: vec![1, 2, 3] };
    assert_eq!(refused(&certificate, &[broken]).code(), "ek_ca_unusable");
}

// I12
#[test]
fn a_cut_or_flipped_certificate_is_never_accepted() {
    let (ca, ek) = (Ca::new("Acme TPM CA"), ek());
    let roots = [ca.root()];
    let certificate = ca.issue("chip 1", &leaf(&ek));
    for n in 0..certificate.len() {
        assert!(verify(&ek, &certificate[..n], &[], &roots, NOW).is_err(), "cut to {n}");
    }
    for i in 0..certificate.len() {
        let mut bad = certificate.clone();
        bad[i] ^= 1;
        assert!(verify(&ek, &bad, &[], &roots, NOW).is_err(), "byte {i}");
    }
}

#[test]
fn an_rsa_key_marked_for_oaep_is_the_same_key() {
    let ca = Ca::new("Acme TPM CA");
    let swtpm = Public::parse_sized(include_bytes!("../../../tests/data/swtpm/ek.pub")).unwrap();
    let algorithm = tlv(0x30, &oid("1.2.840.113549.1.1.7"));
    let bits = tlv(0x03, &[&[0], key_bits(&swtpm).as_slice()].concat());
    let spki = tlv(0x30, &[algorithm, bits].concat());
    let certificate = ca.issue("chip 1", &Leaf { spki, ..leaf(&swtpm) });
    assert!(verify(&swtpm, &certificate, &[], &[ca.root()], NOW).is_ok());
    let mut other = swtpm.clone();
    if let Key::Rsa { modulus, .. } = &mut other.key {
        modulus[9] ^= 1;
    }
    let refused = verify(&other, &certificate, &[], &[ca.root()], NOW).unwrap_err();
    assert_eq!(refused.code(), "ek_certificate_other_key");
}

#[test]
fn the_certificate_of_swtpm_is_accepted_with_its_own_ca_only() {
    let ek = Public::parse_sized(include_bytes!("../../../tests/data/swtpm/ek.pub")).unwrap();
    let certificate = include_bytes!("../../../tests/data/swtpm/ek.der");
    let issuer = include_bytes!("../../../tests/data/swtpm/issuer.der").to_vec();
    let root = include_bytes!("../../../tests/data/swtpm/root.der").to_vec();
    let register = |certificate: Vec<u8>| [EndorsementCa { name: "swtpm".to_owned(), certificate }];
    let now = Timestamp::from_seconds(1_800_000_000);

    let proof = verify(&ek, certificate, &[], &register(issuer.clone()), now).unwrap();
    assert_eq!(proof.chip().manufacturer.as_deref(), Some("id:00001014"));
    assert_eq!(proof.chip().model.as_deref(), Some("swtpm"));
    assert!(verify(&ek, certificate, &[issuer], &register(root), now).is_ok());
    let other = verify(&ek, certificate, &[], &[Ca::new("Acme TPM CA").root()], now).unwrap_err();
    assert_eq!(other.code(), "ek_unknown_ca");
}

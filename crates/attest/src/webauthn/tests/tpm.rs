//! Format `tpm`: a software TPM's statement, good, and broken by one rule at a time.

use super::*;

const EKU: &str = "2.5.29.37";
const SAN: &str = "2.5.29.17";

/// An attestation key with its certificate, and a key of the same TPM.
struct Tpm {
    ak: SoftAk,
    maker: Maker,
    key: Public,
}

fn directory(parts: &[(&str, &str)]) -> Vec<u8> {
    tlv(0xa4, &name(parts))
}

fn chip() -> Vec<u8> {
    directory(&[("2.23.133.2.1", "id:41434D45"), ("2.23.133.2.2", "AM-1"), ("2.23.133.2.3", "id:0001")])
}

fn permanent(value: &str, assigner: Option<&str>) -> Vec<u8> {
    let assigner = assigner.map(oid).unwrap_or_default();
    let value = sequence(&[tlv(0x0c, value.as_bytes()), assigner]);
    tlv(0xa0, &[oid("1.3.6.1.5.5.7.8.3"), tlv(0xa0, &value)].concat())
}

fn module(kind: &str, serial: &[u8]) -> Vec<u8> {
    let value = sequence(&[oid(kind), tlv(0x04, serial)]);
    tlv(0xa0, &[oid("1.3.6.1.5.5.7.8.4"), tlv(0xa0, &value)].concat())
}

fn names(list: &[Vec<u8>]) -> Vec<u8> {
    extension(SAN, true, &sequence(list))
}

fn purpose(id: &str) -> Vec<u8> {
    extension(EKU, false, &sequence(&[oid(id)]))
}

impl Tpm {
    fn new() -> Self {
        let key = Public { attributes: TLS_ATTRIBUTES, ..SoftAk::new().public };
        Self { ak: SoftAk::new(), maker: Maker::new("Acme Attestation CA"), key }
    }

    fn draft(&self) -> Draft {
        let spki = crate::tpm::structures::spki_der(&self.ak.public);
        let san = names(&[chip(), permanent("SN-1", Some("1.3.6.1.4.1.99")), module("1.2.3.4", b"M-7")]);
        Draft::new(spki, sequence(&[]), vec![constraints(false), purpose("2.23.133.8.3"), san])
    }

    fn attest(&self, edit: impl FnOnce(&mut Attest)) -> Vec<u8> {
        let body = Body::Certify { name: self.key.name(), qualified_name: vec![1; 34] };
        let mut attest = self.ak.attest(&HashAlg::Sha256.digest(AUTHORIZATION.as_bytes()), body);
        edit(&mut attest);
        attest.encode()
    }

    fn statement(&self) -> Statement {
        let cert_info = self.attest(|_| {});
        Statement {
            version: Some("2.0".into()),
            algorithm: Some(-7),
            signature: Some(self.ak.sign(&cert_info)),
            certificates: Some(vec![self.maker.issue(&self.draft())]),
            cert_info: Some(cert_info),
            pub_area: Some(self.key.encode()),
        }
    }

    fn trust(&self) -> Trust {
        trust(Format::Tpm, self.maker.root())
    }

    fn code(&self, edit: impl FnOnce(&mut Statement)) -> &'static str {
        let mut statement = self.statement();
        edit(&mut statement);
        code("tpm", &statement, &self.trust())
    }

    fn code_of_certificate(&self, edit: impl FnOnce(&mut Draft)) -> &'static str {
        let mut draft = self.draft();
        edit(&mut draft);
        self.code(|s| s.certificates = Some(vec![self.maker.issue(&draft)]))
    }

    fn code_of_attest(&self, edit: impl FnOnce(&mut Attest)) -> &'static str {
        let cert_info = self.attest(edit);
        self.code(|s| {
            s.signature = Some(self.ak.sign(&cert_info));
            s.cert_info = Some(cert_info);
        })
    }
}

// R34, R36
#[test]
fn a_key_certified_by_a_certified_attestation_key_is_attested() {
    let tpm = Tpm::new();
    let key = check("tpm", &tpm.statement(), &tpm.trust()).unwrap();
    assert_eq!(key.spki_der(), crate::tpm::structures::spki_der(&tpm.key));
    assert_eq!((key.format(), key.anchor(), key.chain().len()), (Format::Tpm, "maker", 2));
    assert_eq!(key.chip().model.as_deref(), Some("AM-1"));
    let ak = lanyard_pki::spki::PublicKey::parse(&tpm.draft().spki).unwrap().sha256();
    assert_eq!(key.attestation_key_sha256(), Some(ak));

    let (assigner, other) = (
        der::asn1::ObjectIdentifier::new_unwrap("1.3.6.1.4.1.99"),
        der::asn1::ObjectIdentifier::new_unwrap("1.2.3.4"),
    );
    let claims = key.claims();
    assert!(claims.has_permanent("SN-1", None) && claims.has_permanent("SN-1", Some(&assigner)));
    assert!(!claims.has_permanent("SN-1", Some(&other)) && !claims.has_permanent("sn-1", None));
    assert!(claims.has_module("M-7", &other));
    assert!(!claims.has_module("M-7", &assigner) && !claims.has_module("M-8", &other));
}

#[test]
fn the_bare_signature_that_windows_sends_is_taken_too() {
    let tpm = Tpm::new();
    let maker = Maker::new("Acme Attestation CA");
    let ak = Key::new();
    let mut statement = tpm.statement();
    statement.certificates = Some(vec![maker.issue(&Draft { spki: ak.spki(), ..tpm.draft() })]);
    statement.signature = Some(ak.sign(statement.cert_info.as_ref().unwrap()));
    assert!(check("tpm", &statement, &trust(Format::Tpm, maker.root())).is_ok());
}

#[test]
fn p384_attestation_keys_answer_with_sha_384() {
    let mut tpm = Tpm::new();
    tpm.ak = SoftAk::with(crate::tpm::structures::Curve::P384);
    let cert_info = tpm.attest(|a| a.extra_data = HashAlg::Sha384.digest(AUTHORIZATION.as_bytes()));
    let mut statement = tpm.statement();
    statement.algorithm = Some(-35);
    statement.signature = Some(tpm.ak.sign(&cert_info));
    statement.cert_info = Some(cert_info);
    assert!(check("tpm", &statement, &tpm.trust()).is_ok());
}

// R38
#[test]
fn each_field_must_be_there_and_fit() {
    let tpm = Tpm::new();
    for edit in [
        (|s: &mut Statement| s.version = None) as fn(&mut Statement),
        |s| s.algorithm = None,
        |s| s.signature = None,
        |s| s.cert_info = None,
        |s| s.pub_area = None,
        |s| s.certificates = None,
        |s| s.certificates = Some(vec![]),
    ] {
        assert_eq!(tpm.code(edit), "attestation_field_missing");
    }
    assert_eq!(tpm.code(|s| s.version = Some("1.2".into())), "attestation_malformed");
    // RS1, a number of no algorithm, and ES384 over a P-256 key.
    for algorithm in [-65535, 0, -35, -257] {
        assert_eq!(tpm.code(|s| s.algorithm = Some(algorithm)), "attestation_algorithm");
    }
}

// R38: WebAuthn 8.3.1, rule by rule.
#[test]
fn each_rule_for_the_certificate_says_no() {
    let tpm = Tpm::new();
    let replace = |tpm: &Tpm, at: usize, with: Vec<u8>| tpm.code_of_certificate(|d| d.extensions[at] = with);
    // webpki reads certificates of version 3 only.
    assert_eq!(tpm.code_of_certificate(|d| d.version_three = false), "attestation_path");
    let subject = name(&[("2.5.4.3", "AK")]);
    assert_eq!(tpm.code_of_certificate(|d| d.subject = subject), "attestation_certificate_profile");
    assert_eq!(replace(&tpm, 0, constraints(true)), "attestation_certificate_profile");
    assert_eq!(tpm.code_of_certificate(|d| drop(d.extensions.remove(0))), "attestation_certificate_profile");
    assert_eq!(tpm.code_of_certificate(|d| drop(d.extensions.remove(1))), "attestation_certificate_profile");
    assert_eq!(tpm.code_of_certificate(|d| drop(d.extensions.remove(2))), "attestation_certificate_profile");
    // A certificate for an endorsement key, and for TLS.
    for id in ["2.23.133.8.1", "1.3.6.1.5.5.7.3.2"] {
        assert_eq!(replace(&tpm, 1, purpose(id)), "attestation_path");
    }
    let without_model = directory(&[("2.23.133.2.1", "id:41434D45"), ("2.23.133.2.3", "id:0001")]);
    assert_eq!(replace(&tpm, 2, names(&[without_model])), "attestation_certificate_profile");
    assert_eq!(replace(&tpm, 2, names(&[permanent("SN-1", None)])), "attestation_certificate_profile");
    let twice = purpose("2.23.133.8.3");
    assert_eq!(tpm.code_of_certificate(|d| d.extensions.push(twice)), "attestation_certificate_profile");
}

// R38
#[test]
fn each_rule_for_what_was_certified_says_no() {
    let tpm = Tpm::new();
    let other = HashAlg::Sha256.digest(b"another key authorization");
    assert_eq!(tpm.code_of_attest(|a| a.extra_data = other), "attestation_challenge");
    // The key authorization itself, and its other digest.
    let raw = AUTHORIZATION.as_bytes()[..64].to_vec();
    assert_eq!(tpm.code_of_attest(|a| a.extra_data = raw), "attestation_challenge");
    let sha384 = HashAlg::Sha384.digest(AUTHORIZATION.as_bytes());
    assert_eq!(tpm.code_of_attest(|a| a.extra_data = sha384), "attestation_challenge");
    let quote = Body::Quote { selection: PcrSelection::of(HashAlg::Sha256, &[0]), pcr_digest: vec![0; 32] };
    assert_eq!(tpm.code_of_attest(|a| a.body = quote), "attestation_other_key");
    let name = SoftAk::new().public.name();
    let another = Body::Certify { name, qualified_name: vec![] };
    assert_eq!(tpm.code_of_attest(|a| a.body = another), "attestation_other_key");

    let stranger = Public { attributes: TLS_ATTRIBUTES, ..SoftAk::new().public };
    assert_eq!(tpm.code(|s| s.pub_area = Some(stranger.encode())), "attestation_other_key");
    let signature = SoftAk::new().sign(tpm.statement().cert_info.as_ref().unwrap());
    assert_eq!(tpm.code(|s| s.signature = Some(signature)), "attestation_signature");

    // Not made by a TPM: a restricted key refuses to sign it, another key does not.
    let mut forged = tpm.attest(|_| {});
    forged[0] = 0;
    assert_eq!(
        tpm.code(|s| {
            s.signature = Some(tpm.ak.sign(&forged));
            s.cert_info = Some(forged.clone());
        }),
        "attestation_malformed"
    );
}

// R34: made in the chip, bound to it, and no other use.
#[test]
fn a_key_that_may_leave_its_chip_is_not_attested() {
    let without = |bit: Attributes| Attributes(TLS_ATTRIBUTES.0 & !bit.0);
    for attributes in [
        without(Attributes::FIXED_TPM),
        without(Attributes::FIXED_PARENT),
        without(Attributes::SENSITIVE_DATA_ORIGIN),
        without(Attributes::SIGN),
        TLS_ATTRIBUTES.with(Attributes::DECRYPT),
        TLS_ATTRIBUTES.with(Attributes::RESTRICTED),
    ] {
        let mut tpm = Tpm::new();
        tpm.key.attributes = attributes;
        assert_eq!(tpm.code(|_| {}), "attestation_key_attributes", "{attributes:?}");
    }
}

// I12
#[test]
fn every_flipped_bit_of_a_statement_is_noticed() {
    let tpm = Tpm::new();
    let (trust, good) = (tpm.trust(), encode("tpm", &tpm.statement(), None));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let accepted =
            AttestationObject::parse(&bad).is_ok_and(|o| verify(&o, &expected(), &trust, NOW).is_ok());
        assert!(!accepted, "bit {bit}");
    }
}

use der::Encode as _;

use super::*;
use crate::authority::{self, Generation};
use crate::csr;
use crate::key::{KeyBackend, KeyKind, KeyLabel};
use crate::profile::ProfileName;
use crate::tbs;
use crate::testing::{self, Draft, Installation, NOW};
use crate::write::{self, Critical};

const YEAR: i64 = 31_557_600;

/// The hospital is an installation with its root; ours is another one with the key of a request.
struct Scene {
    hospital: Installation,
    naming: Naming,
    spki: Vec<u8>,
    subject: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let hospital = Installation::new();
        let naming = Naming::new("Our Ward", "ward.hospital.example").unwrap();
        let label: KeyLabel = "issuing-h1".parse().unwrap();
        hospital.keys.generate(&label, KeyKind::P256).unwrap();
        let generation = Generation { number: 3, label, serial: testing::serial(1) };
        let request =
            authority::request(ProfileName::IssuingCa, &naming, &generation, &*hospital.keys).unwrap();
        let verified = csr::verify(&request).unwrap();
        let info = x509_cert::request::CertReq::try_from(request.as_slice()).unwrap();
        let subject = info.info.subject.to_der().unwrap();
        Self { hospital, naming, spki: verified.spki_der().to_vec(), subject }
    }

    fn root(&self) -> &Certificate {
        self.hospital.authority.root.certificate()
    }

    fn signed(&self, edit: impl FnOnce(&mut Draft)) -> Certificate {
        let root = self.root();
        let mut draft = Draft {
            serial: testing::random_serial(),
            not_before: NOW.plus_seconds(-300),
            not_after: NOW.plus_seconds(YEAR),
            subject: self.subject.clone(),
            spki: self.spki.clone(),
            extensions: vec![
                ("basic", ca(Some(0), Critical::Yes)),
                ("key_usage", testing::key_usage(&[1, 0x06])),
                ("key_id", tbs::subject_key_id(&[7; 20])),
                ("authority_key_id", tbs::authority_key_id(root.subject_key_id().unwrap())),
            ],
        };
        edit(&mut draft);
        self.hospital.sign_draft(&draft, &self.hospital.authority.root)
    }

    fn check(
        &self,
        certificate: Certificate,
        edit: impl FnOnce(&mut Wanted<'_>),
    ) -> Result<Imported, ImportError> {
        let addresses = ["127.0.0.1".parse().unwrap()];
        let mut wanted = Wanted {
            spki: &self.spki,
            below: 0,
            root: self.root(),
            naming: &self.naming,
            addresses: &addresses,
            taken: &[],
            now: NOW,
        };
        edit(&mut wanted);
        check(&[certificate], &wanted)
    }
}

fn ca(path_len: Option<u8>, critical: Critical) -> Vec<u8> {
    let mut out = Vec::new();
    write::extension(&mut out, &oid::BASIC_CONSTRAINTS, critical, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            write::bytes(o, write::BOOLEAN, &[0xff]);
            if let Some(most) = path_len {
                write::bytes(o, write::INTEGER, &[most]);
            }
        });
    });
    out
}

/// nameConstraints with one GeneralName, permitted (0) or excluded (1).
fn constrained(which: u8, tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write::extension(&mut out, &oid::NAME_CONSTRAINTS, Critical::Yes, |o| {
        write::tlv(o, write::SEQUENCE, |o| {
            write::tlv(o, write::context_constructed(which), |o| {
                write::tlv(o, write::SEQUENCE, |o| write::bytes(o, tag, content));
            });
        });
    });
    out
}

// R50
#[test]
fn a_request_that_the_hospital_signs_is_taken_with_what_stands_above() {
    let s = Scene::new();
    for edit in [
        (|_| {}) as fn(&mut Draft),
        |d| d.set("basic", ca(None, Critical::Yes)),
        |d| d.set("purposes", testing::purposes(&[oid::CLIENT_AUTH, oid::SERVER_AUTH])),
        |d| d.set("names", constrained(0, write::context(2), b"hospital.example")),
        |d| d.set("names", constrained(0, write::context(2), b".ward.hospital.example")),
        |d| d.set("names", constrained(1, write::context(2), b"other.example")),
        |d| d.set("names", constrained(0, write::context(7), &[127, 0, 0, 0, 255, 0, 0, 0])),
        |d| d.set("names", constrained(0, write::context(1), b"hospital.example")),
    ] {
        let imported = s.check(s.signed(edit), |_| {}).unwrap();
        assert_eq!(imported.above(), [s.root().clone()]);
        assert_eq!(imported.certificate().subject_der(), s.subject);
    }
    // With the root in the file too.
    let wanted = |certificate: &Certificate| {
        let addresses = [];
        let shown = [s.root().clone(), certificate.clone()];
        let wanted = Wanted {
            spki: &s.spki,
            below: 0,
            root: s.root(),
            naming: &s.naming,
            addresses: &addresses,
            taken: &[],
            now: NOW,
        };
        check(&shown, &wanted).map(|i| i.above().len())
    };
    assert_eq!(wanted(&s.signed(|_| {})), Ok(1));
}

// R50: each answer names certificate, field and rule.
#[test]
fn every_rule_refuses() {
    let s = Scene::new();
    let cases: Vec<(Field, &str, Certificate)> = vec![
        (Field::BasicConstraints, "cA", s.signed(|d| d.remove("basic"))),
        (Field::BasicConstraints, "critical", s.signed(|d| d.set("basic", ca(Some(0), Critical::No)))),
        (Field::KeyUsage, "keyCertSign and cRLSign", s.signed(|d| d.remove("key_usage"))),
        (Field::KeyUsage, "cRLSign", s.signed(|d| d.set("key_usage", testing::key_usage(&[2, 0x04])))),
        (Field::SubjectKeyIdentifier, "missing", s.signed(|d| d.remove("key_id"))),
        (Field::AuthorityKeyIdentifier, "missing", s.signed(|d| d.remove("authority_key_id"))),
        (
            Field::AuthorityKeyIdentifier,
            "another key",
            s.signed(|d| d.set("authority_key_id", tbs::authority_key_id(&[9; 20]))),
        ),
        (Field::Validity, "30 days", s.signed(|d| d.not_after = NOW.plus_seconds(29 * 86_400))),
        (Field::Validity, "later than now", s.signed(|d| d.not_before = NOW.plus_seconds(60))),
        (Field::Validity, "later than its issuer", s.signed(|d| d.not_after = NOW.plus_seconds(11 * YEAR))),
        (Field::Issuer, "not by itself", s.signed(|d| d.subject = s.root().subject_der().to_vec())),
        (
            Field::ExtendedKeyUsage,
            "clientAuth and serverAuth",
            s.signed(|d| d.set("purposes", testing::purposes(&[oid::SERVER_AUTH]))),
        ),
        (
            Field::Extensions,
            "1.2.3.4",
            s.signed(|d| d.set("unknown", testing::extension("1.2.3.4", Critical::Yes, &[5, 0]))),
        ),
        (
            Field::NameConstraints,
            "must permit `ward.hospital.example`",
            s.signed(|d| d.set("names", constrained(0, write::context(2), b"other.example"))),
        ),
        (
            Field::NameConstraints,
            "must not exclude",
            s.signed(|d| d.set("names", constrained(1, write::context(2), b"device.ward.hospital.example"))),
        ),
        (
            Field::NameConstraints,
            "uniformResourceIdentifier",
            s.signed(|d| d.set("names", constrained(0, write::context(6), b"hospital.example"))),
        ),
        (
            Field::NameConstraints,
            "directoryName",
            s.signed(|d| {
                let inside = s.subject.clone();
                d.set("names", constrained(0, write::context_constructed(4), &inside));
            }),
        ),
        (
            Field::NameConstraints,
            "must permit 127.0.0.1",
            s.signed(|d| d.set("names", constrained(0, write::context(7), &[10, 0, 0, 0, 255, 0, 0, 0]))),
        ),
        (
            Field::NameConstraints,
            "must not exclude 127.0.0.1",
            s.signed(|d| d.set("names", constrained(1, write::context(7), &[0; 8]))),
        ),
    ];
    for (field, rule, certificate) in cases {
        let refused = s.check(certificate, |_| {}).map(drop).unwrap_err();
        let ImportError::Refused { field: found, .. } = &refused else { panic!("{field}: {refused}") };
        assert_eq!(*found, field, "{rule}: {refused}");
        assert!(refused.to_string().contains(rule), "{rule}: {refused}");
    }
}

#[test]
fn the_place_in_the_hierarchy_is_part_of_what_is_wanted() {
    let s = Scene::new();
    let good = || s.signed(|_| {});
    let field = |refused: ImportError| match refused {
        ImportError::Refused { field, .. } => Some(field),
        _ => None,
    };
    // An intermediate root needs room for an issuing authority below it.
    let refused = s.check(good(), |w| w.below = 1).map(drop).unwrap_err();
    assert_eq!(field(refused), Some(Field::PathLenConstraint));
    assert!(s.check(s.signed(|d| d.set("basic", ca(Some(1), Critical::Yes))), |w| w.below = 1).is_ok());
    let taken = [s.subject.clone()];
    let refused = s.check(good(), |w| w.taken = Box::leak(Box::new(taken.clone()))).map(drop).unwrap_err();
    assert_eq!(field(refused), Some(Field::Subject));
    // Another key, another root, something that does not belong.
    assert_eq!(s.check(s.root().clone(), |_| {}).map(drop), Err(ImportError::NotOurs));
    let other = Installation::new();
    let refused = s
        .check(good(), |w| w.root = Box::leak(Box::new(other.authority.root.certificate().clone())))
        .map(drop)
        .unwrap_err();
    assert!(matches!(refused, ImportError::Gap { .. }), "{refused}");
    let issuing = s.hospital.authority.issuing.certificate();
    let refused = check_root(issuing, NOW).unwrap_err();
    assert_eq!(field(refused), Some(Field::Issuer));
    let refused = check_root(s.root(), NOW.plus_seconds(11 * YEAR)).unwrap_err();
    assert_eq!(field(refused), Some(Field::Validity));
}

// A root of the same name with another key signed it.
#[test]
fn a_signature_by_another_key_is_refused() {
    let s = Scene::new();
    let good = s.signed(|_| {});
    let mut der = good.der().to_vec();
    let last = der.len() - 1;
    der[last] ^= 1;
    let Ok(forged) = Certificate::parse(&der) else { panic!("the signature is still DER") };
    let refused = s.check(forged, |_| {}).map(drop).unwrap_err();
    assert!(matches!(refused, ImportError::Refused { field: Field::Signature, .. }), "{refused}");
}

#[test]
fn names_and_addresses_are_compared_as_rfc_5280_has_it() {
    for (name, base, inside) in [
        ("a.example", "a.example", true),
        ("x.a.example", "a.example", true),
        ("x.a.example", ".A.example", true),
        ("xa.example", "a.example", false),
        ("example", "a.example", false),
        ("a.example", "", true),
    ] {
        assert_eq!(within(name, base), inside, "{name} in {base}");
    }
    let v4 = "10.1.2.3".parse().unwrap();
    assert!(covers(&[10, 0, 0, 0, 255, 0, 0, 0], v4));
    assert!(!covers(&[11, 0, 0, 0, 255, 0, 0, 0], v4));
    assert!(!covers(&[10, 0, 0, 0, 255, 0, 0], v4) && !covers(&[], v4) && !covers(&[0; 32], v4));
    assert!(covers(&[0; 32], "::1".parse().unwrap()));
}

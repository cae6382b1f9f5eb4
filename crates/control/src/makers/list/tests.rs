use lanyard_domain::maker::MakerReason;
use lanyard_pki::authority::{Authority, Generation, Issuer};
use lanyard_pki::crl::{self, Kind, Scope};
use lanyard_pki::key::MemoryKeys;
use lanyard_pki::name::Naming;
use lanyard_pki::revocation::Revocation;

use super::*;

const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

/// A maker with a root and an authority below it.
struct Maker {
    keys: MemoryKeys,
    authority: Authority,
}

fn serial(n: u8) -> Serial {
    Serial::from_random([n; 16])
}

impl Maker {
    fn new() -> Self {
        let keys = MemoryKeys::default();
        let generation =
            |label: &str, n| Generation { number: 1, label: label.parse().unwrap(), serial: serial(n) };
        let naming = Naming::new("Acme Silicon", "acme.example").unwrap();
        let (root, issuing) = (generation("root-g1", 1), generation("issuing-g1", 2));
        let authority =
            Authority::create(&naming, &keys, &root, &issuing, NOW.plus_seconds(-86_400)).unwrap();
        Self { keys, authority }
    }

    fn list(&self, issuer: &Issuer, kind: &Kind, entries: &[(u8, Reason)]) -> Vec<u8> {
        let entry = |(n, reason): &(u8, Reason)| crl::Entry {
            serial: serial(*n),
            revocation: Revocation { at: NOW.plus_seconds(-3_600), reason: *reason },
        };
        let entries: Vec<crl::Entry> = entries.iter().map(entry).collect();
        let contents = crl::Contents {
            number: 7,
            scope: &Scope::All,
            kind,
            this_update: NOW.plus_seconds(-300),
            next_update: NOW.plus_seconds(86_400),
            entries: &entries,
        };
        crl::prepare(issuer, &contents).unwrap().sign(&self.keys).unwrap().der
    }

    fn root(&self) -> &[u8] {
        self.authority.root.certificate().der()
    }

    fn issuing(&self) -> &[u8] {
        self.authority.issuing.certificate().der()
    }
}

const COMPLETE: Kind = Kind::Complete { freshest: None };

// R49, R35
#[test]
fn a_list_is_read_when_the_authority_or_one_below_it_signed_it() {
    let maker = Maker::new();
    let entries = [(9, Reason::KeyCompromise), (8, Reason::Superseded)];
    let own = verify(&maker.list(&maker.authority.root, &COMPLETE, &entries), &[], maker.root()).unwrap();
    assert_eq!((own.form, own.number), (Form::Crl, Some(Number::from(7))));
    assert_eq!(own.entries.len(), 2);
    assert_eq!(
        own.entries[&serial(9)],
        Listed { at: Some(NOW.plus_seconds(-3_600)), reason: MakerReason::KeyCompromise }
    );
    let below = maker.list(&maker.authority.issuing, &COMPLETE, &entries);
    let read = verify(&below, &[maker.issuing()], maker.root()).unwrap();
    assert_ne!(read.issuer, own.issuer);
    assert_eq!(read.issuer, issuer_sha256(maker.authority.issuing.certificate()));
    assert_ne!(read.key(), own.key());
    // An authority in the middle may be what was accepted.
    assert_eq!(verify(&below, &[], maker.issuing()).unwrap().issuer, read.issuer);
}

// R49, I12
#[test]
fn a_list_of_anybody_else_is_refused() {
    let (maker, other) = (Maker::new(), Maker::new());
    let words = |result: Result<Contents, ListRefused>, words: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let foreign = other.list(&other.authority.root, &COMPLETE, &[]);
    words(verify(&foreign, &[], maker.root()), "list is not by");
    let below = maker.list(&maker.authority.issuing, &COMPLETE, &[]);
    words(verify(&below, &[], maker.root()), "list is not by");
    words(verify(&below, &[other.issuing()], maker.root()), "issuer 1");
    words(verify(&below, &[maker.root(), maker.issuing()], maker.root()), "issuer 1");
    words(verify(&below, &[maker.issuing(); 4], maker.root()), "at most 3");
    words(verify(&below, &[b"x"], maker.root()), "issuer 1");
    let delta = maker.list(&maker.authority.root, &Kind::Delta { base: 3 }, &[]);
    words(verify(&delta, &[], maker.root()), "complete one");
    words(verify(&vec![0x30; MAX_LIST_BYTES + 1], &[], maker.root()), "at most 655360");
    words(verify(b"-----BEGIN X509 CRL-----", &[], maker.root()), "neither a CRL in DER");
}

// I12
#[test]
fn every_cut_and_every_flipped_byte_of_a_list_is_refused() {
    let maker = Maker::new();
    let list = maker.list(&maker.authority.root, &COMPLETE, &[(9, Reason::KeyCompromise)]);
    for length in 0..list.len() {
        assert!(verify(&list[..length], &[], maker.root()).is_err(), "{length}");
    }
    assert!(verify(&[list.as_slice(), &[0]].concat(), &[], maker.root()).is_err());
    for at in 0..list.len() {
        let mut flipped = list.clone();
        flipped[at] ^= 1;
        assert!(verify(&flipped, &[], maker.root()).is_err(), "{at}");
    }
}

// R49: Android's list of the attestation keys that were revoked.
#[test]
fn a_status_list_names_certificates_of_a_whole_authority() {
    let maker = Maker::new();
    let json = br#"{"entries":{
        "2c8cdddfd5e03bfc":{"status":"REVOKED","expires":"2027-11-13","reason":"KEY_COMPROMISE","comment":"x"},
        "00C8966FCB2FBB0D7A":{"status":"SUSPENDED","reason":"SOFTWARE_FLAW"},
        "8":{"status":"REVOKED","reason":"SOFTWARE_FLAW"},
        "9":{"status":"REVOKED"}}}"#;
    let read = verify(json, &[], maker.root()).unwrap();
    assert_eq!((read.form, read.number, read.next_update), (Form::Status, None, None));
    assert_eq!(read.issuer, sha256(maker.root()));
    let reason = |serial: &str| read.entries[&serial.parse::<Serial>().unwrap()].reason;
    assert_eq!(reason("2c8cdddfd5e03bfc"), MakerReason::KeyCompromise);
    assert_eq!(reason("c8966fcb2fbb0d7a"), MakerReason::CertificateHold);
    assert_eq!(reason("8"), MakerReason::SoftwareFlaw);
    assert_eq!(reason("9"), MakerReason::Unspecified);
    for length in 0..json.len() {
        assert!(verify(&json[..length], &[], maker.root()).is_err(), "{length}");
    }
    let bad = |json: &str, words: &str| {
        let error = verify(json.as_bytes(), &[], maker.root()).unwrap_err().to_string();
        assert!(error.contains(words), "{json}: {error}");
    };
    bad(r#"{"entries":{"9":{"status":"GOOD"}}}"#, "neither REVOKED nor SUSPENDED");
    bad(r#"{"entries":{"xyz":{"status":"REVOKED"}}}"#, "not a serial number in hex");
    bad(r#"{"entries":{"0":{"status":"REVOKED"}}}"#, "not a serial number in hex");
    bad(r#"{"entries":{"9":{"status":"REVOKED"},"09":{"status":"REVOKED"}}}"#, "twice");
    bad(&format!(r#"{{"entries":{{"{}":{{"status":"REVOKED"}}}}}}"#, "1".repeat(65)), "too long");
    bad(r#"{"revoked":[]}"#, "neither a CRL");
    assert_eq!(verify(json, &[maker.issuing()], maker.root()), Err(ListRefused::NoIssuers));
}

//! Lists as others would see them: made, read back, broken, combined.

use lanyard_domain::time::Timestamp;

use super::*;
use crate::certificate::Certificate;
use crate::oid;
use crate::revocation::{Freshness, Reason, Revocation, Status};
use crate::testing::{Installation, NOW, random_serial, serial};
use crate::uri::HttpUri;
use crate::write::{self, Critical};

pub(super) fn shard() -> HttpUri {
    "http://pki.hospital.example/crl/0011223344556677/32/5.crl".parse().unwrap()
}

pub(super) fn entry(n: u8, reason: Reason) -> Entry {
    Entry { serial: serial(n), revocation: Revocation { at: NOW.plus_seconds(-3600), reason } }
}

pub(super) fn contents_of<'a>(scope: &'a Scope, kind: &'a Kind, entries: &'a [Entry]) -> Contents<'a> {
    Contents {
        number: 7,
        scope,
        kind,
        this_update: NOW.plus_seconds(-BACKDATE_SECONDS),
        next_update: NOW.plus_seconds(86_400),
        entries,
    }
}

const COMPLETE: Kind = Kind::Complete { freshest: None };

fn signed(a: &Installation, contents: &Contents<'_>) -> Vec<u8> {
    prepare(&a.authority.issuing, contents).unwrap().sign(&*a.keys).unwrap().der
}

fn verified(a: &Installation, der: &[u8]) -> VerifiedCrl {
    Crl::parse(der).unwrap().verify(a.authority.issuing.certificate()).unwrap()
}

fn now() -> Freshness {
    Freshness::at(NOW)
}

/// A device certificate that names this list.
fn pointing(a: &Installation, uri: &str) -> Certificate {
    let point = crate::testing::distribution_point(uri);
    a.forge(|draft| {
        draft.remove("no_rev_avail");
        draft.set("point", point);
    })
    .certificate
}

fn revoked(certificate: &Certificate, reason: Reason) -> Entry {
    Entry { serial: certificate.serial(), revocation: Revocation { at: NOW.plus_seconds(-60), reason } }
}

// R49
#[test]
fn a_revoked_certificate_is_revoked_and_another_is_good() {
    let a = Installation::new();
    let (bad, good) = (a.device().certificate, a.gateway().certificate);
    let entries = [entry(9, Reason::Superseded), revoked(&bad, Reason::CessationOfOperation)];
    let list = verified(&a, &signed(&a, &contents_of(&Scope::All, &COMPLETE, &entries)));
    assert_eq!(list.status(&bad, &now()), Status::Revoked(entries[1].revocation));
    assert_eq!(list.status(&good, &now()), Status::Good);
    assert_eq!(list.revoked().count(), 2);
    assert_eq!((list.number(), list.is_delta()), (Some(Number::from(7)), false));
}

#[test]
fn an_empty_list_is_a_list() {
    let a = Installation::new();
    let der = signed(&a, &contents_of(&Scope::All, &COMPLETE, &[]));
    assert_eq!(verified(&a, &der).status(&a.device().certificate, &now()), Status::Good);
}

#[test]
fn an_old_list_says_nothing_good_and_still_says_revoked() {
    let a = Installation::new();
    let (bad, good) = (a.device().certificate, a.device().certificate);
    let list = verified(
        &a,
        &signed(&a, &contents_of(&Scope::All, &COMPLETE, &[revoked(&bad, Reason::KeyCompromise)])),
    );
    let skew = now().skew_seconds;
    for (at, status) in [
        (86_400 + skew, Status::Good),
        (86_401 + skew, Status::Stale),
        (-BACKDATE_SECONDS - skew, Status::Good),
        (-BACKDATE_SECONDS - skew - 1, Status::Stale),
    ] {
        let freshness = Freshness::at(NOW.plus_seconds(at));
        assert_eq!(list.status(&good, &freshness), status, "{at}");
        assert!(matches!(list.status(&bad, &freshness), Status::Revoked(_)), "{at}");
    }
}

#[test]
fn a_shard_speaks_only_of_certificates_that_name_it() {
    let a = Installation::new();
    let (mine, elsewhere) =
        (pointing(&a, shard().as_str()), pointing(&a, "http://pki.hospital.example/other.crl"));
    let nowhere = a.device().certificate;
    let authority = a.authority.issuing.certificate();
    let entries =
        [&mine, &elsewhere, &nowhere].map(|certificate| revoked(certificate, Reason::CessationOfOperation));
    let scope = Scope::Users(shard());
    let list = verified(&a, &signed(&a, &contents_of(&scope, &COMPLETE, &entries)));
    assert!(matches!(list.status(&mine, &now()), Status::Revoked(_)));
    for other in [&elsewhere, &nowhere, authority] {
        assert_eq!(list.status(other, &now()), Status::Unknown);
    }
    let empty = verified(&a, &signed(&a, &contents_of(&scope, &COMPLETE, &[])));
    assert_eq!(empty.status(&mine, &now()), Status::Good);
    assert_eq!(empty.status(&nowhere, &now()), Status::Unknown);
}

#[test]
fn a_list_of_another_issuer_or_generation_is_not_the_issuers() {
    let (a, b) = (Installation::new(), Installation::new());
    let der = signed(&a, &contents_of(&Scope::All, &COMPLETE, &[]));
    let parse = || Crl::parse(&der).unwrap();
    let verify = |issuer: &Certificate| parse().verify(issuer).unwrap_err();
    assert_eq!(verify(b.authority.issuing.certificate()), VerifyError::OtherIssuer);
    assert_eq!(verify(a.authority.root.certificate()), VerifyError::OtherIssuer);
    // The same name on another key: a CA that was made again, or an impostor.
    let same_name = |extensions: &dyn Fn(&mut crate::testing::Draft)| {
        a.forge(|draft| {
            draft.subject = a.authority.issuing.certificate().subject_der().to_vec();
            draft.set("constraints", crate::testing::authority(Critical::Yes));
            extensions(draft);
        })
        .certificate
    };
    let signs_lists = crate::testing::key_usage(&[1, 0x06]);
    let impostor = same_name(&|draft| {
        draft.set("key_usage", signs_lists.clone());
        draft.set("subject_key_id", crate::tbs::subject_key_id(&[9; 20]));
    });
    assert_eq!(verify(&impostor), VerifyError::OtherKey);
    let without_id = same_name(&|draft| draft.set("key_usage", signs_lists.clone()));
    assert!(matches!(verify(&without_id), VerifyError::Signature(_)));
    let may_not = same_name(&|_| {});
    assert_eq!(verify(&may_not), VerifyError::MayNotSign);
    // And a certificate of another issuer is none of this list's business.
    let list = verified(&a, &der);
    assert_eq!(list.status(&b.device().certificate, &now()), Status::Unknown);
}

#[test]
fn a_label_that_holds_another_key_does_not_sign_a_list() {
    use crate::key::{KeyBackend, KeyError, KeyKind, MemoryKeys};
    let a = Installation::new();
    let prepared = prepare(&a.authority.issuing, &contents_of(&Scope::All, &COMPLETE, &[])).unwrap();
    let other = MemoryKeys::default();
    other.generate(a.authority.issuing.label(), KeyKind::P256).unwrap();
    assert!(matches!(prepared.sign(&other), Err(KeyError::NotTheCertifiedKey(_))));
}

fn at(number: u64, kind: &Kind, entries: &[Entry], a: &Installation, this_update: Timestamp) -> VerifiedCrl {
    let contents = Contents { number, this_update, ..contents_of(&Scope::All, kind, entries) };
    verified(a, &signed(a, &contents))
}

#[test]
fn a_delta_turns_the_complete_list_into_the_next_one() {
    let a = Installation::new();
    let [held, gone, new] = [0, 1, 2].map(|_| a.device().certificate);
    let hold = revoked(&held, Reason::CertificateHold);
    let complete = at(4, &COMPLETE, &[hold, revoked(&gone, Reason::Superseded)], &a, NOW);
    let later = NOW.plus_seconds(600);
    let released =
        Entry { revocation: Revocation { reason: Reason::RemoveFromCrl, ..hold.revocation }, ..hold };
    let changes = [released, revoked(&new, Reason::KeyCompromise)];
    let delta = at(6, &Kind::Delta { base: 4 }, &changes, &a, later);
    // Alone it says what is revoked, and of all others nothing.
    assert!(matches!(delta.status(&new, &now()), Status::Revoked(_)));
    assert_eq!(delta.status(&held, &now()), Status::Unknown);
    assert_eq!(delta.status(&gone, &now()), Status::Unknown);
    let combined = complete.apply(&delta).unwrap();
    assert_eq!(combined.status(&held, &Freshness::at(later)), Status::Good);
    assert!(matches!(combined.status(&gone, &now()), Status::Revoked(_)));
    assert!(matches!(combined.status(&new, &now()), Status::Revoked(_)));
    assert_eq!((combined.number(), combined.this_update()), (Some(Number::from(6)), later));
}

#[test]
fn a_delta_that_does_not_belong_to_the_list_is_refused() {
    let a = Installation::new();
    let complete = |number| at(number, &COMPLETE, &[], &a, NOW);
    let delta = |number, base| at(number, &Kind::Delta { base }, &[], &a, NOW);
    assert_eq!(complete(4).apply(&complete(5)).unwrap_err(), DeltaRefused::NotADelta);
    assert_eq!(delta(5, 4).apply(&delta(6, 4)).unwrap_err(), DeltaRefused::NotADelta);
    assert!(matches!(complete(4).apply(&delta(6, 5)), Err(DeltaRefused::Gap { .. })));
    assert_eq!(complete(6).apply(&delta(6, 5)).unwrap_err(), DeltaRefused::NotNewer);
    let b = Installation::new();
    let foreign = at(6, &Kind::Delta { base: 4 }, &[], &b, NOW);
    assert_eq!(complete(4).apply(&foreign).unwrap_err(), DeltaRefused::OtherScope);
    let (scope, kind) = (Scope::Users(shard()), Kind::Delta { base: 4 });
    let sharded = verified(&a, &signed(&a, &contents_of(&scope, &kind, &[])));
    assert_eq!(complete(4).apply(&sharded).unwrap_err(), DeltaRefused::OtherScope);
}

// I12
#[test]
fn a_list_cut_at_any_byte_or_longer_by_one_is_refused() {
    let a = Installation::new();
    let entries = [entry(1, Reason::KeyCompromise), entry(2, Reason::Unspecified)];
    let scope = Scope::Users(shard());
    let der = signed(&a, &contents_of(&scope, &COMPLETE, &entries));
    for length in 0..der.len() {
        assert!(Crl::parse(&der[..length]).is_err(), "cut at {length}");
    }
    assert!(Crl::parse(&[der.as_slice(), &[0]].concat()).is_err());
}

// I12
#[test]
fn a_flip_of_any_bit_is_refused() {
    let a = Installation::new();
    let der = signed(&a, &contents_of(&Scope::All, &COMPLETE, &[entry(1, Reason::KeyCompromise)]));
    let issuer = a.authority.issuing.certificate();
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut flipped = der.clone();
            flipped[at] ^= 1 << bit;
            let trusted = Crl::parse(&flipped).is_ok_and(|list| list.verify(issuer).is_ok());
            assert!(!trusted, "bit {bit} of byte {at}");
        }
    }
}

// I12
#[test]
fn a_list_beyond_the_limits_is_not_read_and_not_made() {
    let der = vec![0x30; MAX_CRL_BYTES + 1];
    assert!(matches!(Crl::parse(&der), Err(CrlError::TooLarge(n)) if n == der.len()));
    let a = Installation::new();
    let many = vec![entry(1, Reason::Superseded); MAX_ENTRIES + 1];
    let refused = prepare(&a.authority.issuing, &contents_of(&Scope::All, &COMPLETE, &many)).unwrap_err();
    assert_eq!(refused, PrepareError::TooManyEntries(MAX_ENTRIES + 1));
}

/// A list with whatever stands in `body`, signed by the issuing CA.
fn forged(a: &Installation, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let side = a.authority.issuing.side();
    let mut tbs = Vec::new();
    write::tlv(&mut tbs, write::SEQUENCE, |o| {
        write::bytes(o, write::INTEGER, &[1]);
        o.extend_from_slice(side.signature_algorithm);
        o.extend_from_slice(side.view.subject);
        body(o);
    });
    use crate::key::KeyBackend;
    let signature = a.keys.sign(a.authority.issuing.label(), &tbs).unwrap();
    let mut der = Vec::new();
    write::tlv(&mut der, write::SEQUENCE, |o| {
        o.extend_from_slice(&tbs);
        o.extend_from_slice(side.signature_algorithm);
        write::bit_string(o, &signature);
    });
    der
}

fn with_extensions(a: &Installation, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    forged(a, |o| {
        write::time(o, NOW);
        write::time(o, NOW.plus_seconds(60));
        write::tlv(o, write::context_constructed(0), |o| write::tlv(o, write::SEQUENCE, body));
    })
}

// RFC 5280 5.2: what one does not understand and is critical must not be passed over.
#[test]
fn a_list_with_an_unknown_critical_extension_is_not_used() {
    let a = Installation::new();
    let unknown = der::asn1::ObjectIdentifier::new_unwrap("1.2.3.4");
    let add = |critical| {
        with_extensions(&a, |o| write::extension(o, &unknown, critical, |o| o.extend_from_slice(&[5, 0])))
    };
    assert!(Crl::parse(&add(Critical::No)).is_ok());
    assert!(matches!(Crl::parse(&add(Critical::Yes)), Err(CrlError::UnknownCritical(id)) if id == "1.2.3.4"));
    let in_entry = forged(&a, |o| {
        write::time(o, NOW);
        write::tlv(o, write::SEQUENCE, |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::bytes(o, write::INTEGER, &[5]);
                write::time(o, NOW);
                write::tlv(o, write::SEQUENCE, |o| {
                    write::extension(o, &unknown, Critical::Yes, |o| o.extend_from_slice(&[5, 0]));
                });
            });
        });
    });
    assert!(matches!(Crl::parse(&in_entry), Err(CrlError::UnknownCritical(_))));
}

#[test]
fn an_extension_with_the_wrong_criticality_is_refused() {
    let a = Installation::new();
    let point = [write::SEQUENCE, 3, 0x81, 1, 0xff];
    for (id, critical, value) in [
        (oid::CRL_NUMBER, Critical::Yes, &[write::INTEGER, 1, 7][..]),
        (oid::DELTA_CRL_INDICATOR, Critical::No, &[write::INTEGER, 1, 7]),
        (oid::ISSUING_DISTRIBUTION_POINT, Critical::No, &point),
        (oid::FRESHEST_CRL, Critical::Yes, &[write::SEQUENCE, 0]),
    ] {
        let with = |critical| {
            Crl::parse(&with_extensions(&a, |o| {
                write::extension(o, &id, critical, |o| o.extend_from_slice(value))
            }))
        };
        let other = if critical == Critical::Yes { Critical::No } else { Critical::Yes };
        assert_eq!(with(critical).map(drop), Err(CrlError::Criticality(id.to_string())));
        assert!(with(other).is_ok(), "{id}");
    }
}

fn restricted(a: &Installation, flag: u8, content: &[u8]) -> Result<Crl, CrlError> {
    Crl::parse(&with_extensions(a, |o| {
        write::extension(o, &oid::ISSUING_DISTRIBUTION_POINT, Critical::Yes, |o| {
            write::tlv(o, write::SEQUENCE, |o| write::bytes(o, write::context(flag), content));
        });
    }))
}

#[test]
fn a_list_restricted_to_others_says_nothing_of_a_device() {
    let a = Installation::new();
    let device = a.device().certificate;
    // only CAs, only some reasons (keyCompromise), only attribute certificates
    for (flag, content) in [(2, &[0xff][..]), (3, &[6, 0x40]), (5, &[0xff])] {
        let list = restricted(&a, flag, content).unwrap().verify(a.authority.issuing.certificate()).unwrap();
        assert_eq!(list.status(&device, &now()), Status::Unknown, "{flag}");
    }
    assert!(matches!(restricted(&a, 4, &[0xff]), Err(CrlError::Indirect)));
    assert!(matches!(restricted(&a, 1, &[1]), Err(CrlError::Malformed(_))));
}

#[test]
fn a_list_without_next_update_is_believed_for_a_day() {
    let a = Installation::new();
    let der = forged(&a, |o| write::time(o, NOW));
    let list = verified(&a, &der);
    let device = a.device().certificate;
    let day = 86_400 + now().skew_seconds;
    assert_eq!(list.status(&device, &Freshness::at(NOW.plus_seconds(day))), Status::Good);
    assert_eq!(list.status(&device, &Freshness::at(NOW.plus_seconds(day + 1))), Status::Stale);
}

#[test]
fn an_entry_that_no_certificate_can_have_does_not_spoil_the_list() {
    let a = Installation::new();
    let device = a.device().certificate;
    let der = forged(&a, |o| {
        write::time(o, NOW);
        write::tlv(o, write::SEQUENCE, |o| {
            for serial in
                [&[0][..], &[0x80], &[1; 21], &device.serial().der_content(), &device.serial().der_content()]
            {
                write::tlv(o, write::SEQUENCE, |o| {
                    write::bytes(o, write::INTEGER, serial);
                    write::time(o, NOW);
                });
            }
        });
    });
    let list = verified(&a, &der);
    let expected = Revocation { at: NOW, reason: Reason::Unspecified };
    assert_eq!(list.status(&device, &now()), Status::Revoked(expected));
    assert_eq!(list.revoked().count(), 2);
}

#[test]
fn two_different_signature_algorithms_are_refused() {
    let a = Installation::new();
    let der = signed(&a, &contents_of(&Scope::All, &COMPLETE, &[]));
    let sha256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
    let last = der.windows(8).rposition(|w| w == sha256).unwrap();
    let mut changed = der;
    changed[last + 7] = 3;
    assert!(matches!(Crl::parse(&changed), Err(CrlError::AlgorithmMismatch)));
}

#[test]
fn the_largest_entry_has_the_size_that_the_limit_counts_with() {
    let longest = Entry {
        serial: "7f".repeat(20).parse().unwrap(),
        revocation: Revocation { at: "2050-01-01T00:00:00Z".parse().unwrap(), reason: Reason::Superseded },
    };
    let mut out = Vec::new();
    entry::write_entry(&mut out, &longest);
    assert!(out.len() <= 56, "{}", out.len());
}

// What we write is also what x509-cert, by other hands, reads.
#[test]
fn x509_cert_reads_our_lists() {
    use der::Decode;
    let a = Installation::new();
    let entries: Vec<Entry> = (0..50)
        .map(|n| Entry {
            serial: random_serial(),
            revocation: Revocation { at: NOW.plus_seconds(-n), reason: Reason::ALL[(n % 7) as usize] },
        })
        .collect();
    let scope = Scope::Users(shard());
    let der = signed(&a, &contents_of(&scope, &Kind::Complete { freshest: Some(shard()) }, &entries));
    let list = x509_cert::crl::CertificateList::<x509_cert::certificate::Rfc5280>::from_der(&der).unwrap();
    assert_eq!(list.tbs_cert_list.revoked_certificates.unwrap().len(), entries.len());
    assert_eq!(list.tbs_cert_list.crl_extensions.unwrap().len(), 4);
}

//! Requests and answers against each other, and broken. A hospital with one good and one revoked certificate.

mod asking;
mod judging;
mod keeping;
mod over_http;

use std::convert::Infallible;

use lanyard_domain::time::Timestamp;

use super::*;
use crate::certificate::Certificate;
use crate::key::{KeyBackend, KeyError, KeyKind, KeyLabel, MemoryKeys};
use crate::oid;
use crate::revocation::{Freshness, Reason, Revocation, Status};
use crate::serial::Serial;
use crate::testing::{Installation, Issued, NOW, random_serial};

const REVOKED: Revocation =
    Revocation { at: Timestamp::from_seconds(1_795_348_800 - 60), reason: Reason::KeyCompromise };

struct Hospital {
    a: Installation,
    responder: Responder,
    good: Serial,
    bad: Serial,
}

impl Hospital {
    fn new() -> Self {
        Self::with(Policy::DEFAULT)
    }

    fn with(policy: Policy) -> Self {
        let a = Installation::new();
        let Issued { certificate, label } = a.ocsp_responder();
        let issuer = a.authority.issuing.certificate();
        let responder = Responder::new(certificate, issuer, label, &*a.keys, policy).unwrap();
        let (good, bad) = (a.device().certificate.serial(), a.device().certificate.serial());
        Self { a, responder, good, bad }
    }

    fn issuer(&self) -> &Certificate {
        self.a.authority.issuing.certificate()
    }

    fn standing(&self, serial: &Serial) -> Result<Standing, Infallible> {
        Ok(match serial {
            s if *s == self.good => Standing::Good,
            s if *s == self.bad => Standing::Revoked(REVOKED),
            _ => Standing::NeverIssued,
        })
    }

    fn respond(&self, request: &[u8], now: Timestamp) -> Response {
        let request = Request::parse(request).unwrap();
        self.responder.respond(&request, |s| self.standing(s), &*self.a.keys, now).unwrap()
    }

    fn ask(&self, serial: &Serial) -> Ask {
        Ask::new(self.issuer(), serial, HashKind::Sha256, None).unwrap()
    }

    fn status(&self, ask: &Ask) -> Answer {
        let response = self.respond(&ask.request(), NOW);
        verify(response.der(), ask, self.issuer(), &Freshness::at(NOW)).unwrap()
    }
}

fn nonce(octets: usize) -> Option<Nonce> {
    Nonce::from_octets(&vec![7; octets])
}

// R49
#[test]
fn good_and_revoked_are_answered_in_both_digests_with_and_without_nonce() {
    let h = Hospital::new();
    for hash in [HashKind::Sha1, HashKind::Sha256] {
        for nonce in [None, nonce(1), nonce(16), nonce(32), nonce(128)] {
            for (serial, status) in [(h.good, Status::Good), (h.bad, Status::Revoked(REVOKED))] {
                let ask = Ask::new(h.issuer(), &serial, hash, nonce.clone()).unwrap();
                let answer = h.status(&ask);
                assert_eq!(answer.status(), status);
                assert_eq!(answer.repeats_nonce(), nonce.is_some());
                assert_eq!(answer.answered_by(), AnsweredBy::Delegate);
            }
        }
    }
}

// A certificate that is not in the ledger is not taken for a good one, whoever signed it.
#[test]
fn a_serial_that_was_never_issued_is_revoked_or_unknown_as_the_policy_says() {
    let strict = Hospital::new();
    let status = strict.status(&strict.ask(&random_serial())).status();
    let on_hold = Revocation { at: Timestamp::from_seconds(0), reason: Reason::CertificateHold };
    assert_eq!(status, Status::Revoked(on_hold));
    let lax = Hospital::with(Policy { never_issued: NeverIssued::Unknown, ..Policy::DEFAULT });
    assert_eq!(lax.status(&lax.ask(&random_serial())).status(), Status::Unknown);
    // RFC 6960 4.4.8: the extension stands in such an answer, and only there.
    let marker = oid::OCSP_EXTENDED_REVOKE;
    let has = |h: &Hospital, serial: &Serial| {
        let der = h.respond(&h.ask(serial).request(), NOW).der().to_vec();
        der.windows(marker.as_bytes().len()).any(|w| w == marker.as_bytes())
    };
    assert!(has(&strict, &random_serial()) && !has(&strict, &strict.bad) && !has(&lax, &random_serial()));
}

#[test]
fn another_cas_certificate_is_nobodys_business_here() {
    let (h, other) = (Hospital::new(), Hospital::new());
    let foreign = Request::parse(&other.ask(&other.good).request()).unwrap();
    assert_eq!(h.responder.plan(&foreign), Plan::Error(ErrorStatus::Unauthorized));
    // Asked about together with one of ours, it is unknown.
    let both = [h.ask(&h.good), other.ask(&other.good)];
    let ids: Vec<CertId> =
        both.iter().map(|ask| Request::parse(&ask.request()).unwrap().asked()[0].clone()).collect();
    let request = request::write_request(&ids, None);
    assert_eq!(h.responder.plan(&Request::parse(&request).unwrap()), Plan::Fresh);
    let response = h.respond(&request, NOW);
    let read = |ask| verify(response.der(), ask, h.issuer(), &Freshness::at(NOW)).unwrap().status();
    assert_eq!(read(&both[0]), Status::Good);
    assert_eq!(read(&both[1]), Status::Unknown);
    assert!(!response.shareable);
}

#[test]
fn an_answer_says_from_when_until_when_it_holds() {
    let h = Hospital::new();
    let (good, bad) = (h.status(&h.ask(&h.good)), h.status(&h.ask(&h.bad)));
    let hour = NOW.plus_seconds(3600);
    assert_eq!((good.this_update(), good.next_update()), (NOW.plus_seconds(-300), Some(hour)));
    // Nobody is told that it was revoked before it was.
    assert_eq!((bad.this_update(), bad.next_update()), (REVOKED.at, Some(hour)));
    let response = h.respond(&h.ask(&h.good).request(), NOW);
    assert_eq!(response.refresh_at(), NOW.plus_seconds(-300 + 1950));
    let later = h.respond(&h.ask(&h.good).request(), NOW.plus_seconds(1000));
    for (response, at, status) in [
        (&response, 3600 + 300, Status::Good),
        (&response, 3600 + 301, Status::Stale),
        (&later, 400, Status::Good),
        (&later, 399, Status::Stale),
    ] {
        let freshness = Freshness::at(NOW.plus_seconds(at));
        let answer = verify(response.der(), &h.ask(&h.good), h.issuer(), &freshness).unwrap();
        assert_eq!(answer.status(), status, "{at}");
    }
}

#[test]
fn no_answer_outlives_the_responder() {
    let h = Hospital::new();
    let end = h.responder.certificate().not_after();
    let request = h.ask(&h.good).request();
    assert_eq!(h.respond(&request, end.plus_seconds(-60)).next_update(), end);
    let request = Request::parse(&request).unwrap();
    let late = h.responder.respond(&request, |s| h.standing(s), &*h.a.keys, end);
    assert!(matches!(late, Err(RespondError::Expired { .. })));
    // And a client does not believe it afterwards.
    let response = h.respond(&h.ask(&h.bad).request(), end.plus_seconds(-60));
    let freshness = Freshness::at(end.plus_seconds(301));
    let refused = verify(response.der(), &h.ask(&h.bad), h.issuer(), &freshness).unwrap_err();
    assert!(matches!(refused, OcspError::Signer(_)), "{refused}");
}

#[test]
fn records_that_cannot_be_read_are_no_answer() {
    let h = Hospital::new();
    let request = Request::parse(&h.ask(&h.good).request()).unwrap();
    let broken = |_: &Serial| Err(std::io::Error::other("disk"));
    let refused = h.responder.respond(&request, broken, &*h.a.keys, NOW);
    assert!(matches!(refused, Err(RespondError::Standing(_))));
}

// I10
#[test]
fn a_responder_is_its_certificate_its_ca_and_its_key_together() {
    let a = Installation::new();
    let Issued { certificate, label } = a.ocsp_responder();
    let issuer = a.authority.issuing.certificate();
    let make = |certificate: &Certificate, issuer: &Certificate, keys: &dyn KeyBackend| {
        Responder::new(certificate.clone(), issuer, label.clone(), keys, Policy::DEFAULT).map(drop)
    };
    assert!(make(&certificate, issuer, &*a.keys).is_ok());
    let other = MemoryKeys::default();
    assert!(matches!(make(&certificate, issuer, &other), Err(ResponderError::Key(KeyError::NotFound(_)))));
    other.generate(&label, KeyKind::P256).unwrap();
    let refused = make(&certificate, issuer, &other);
    assert!(matches!(refused, Err(ResponderError::Key(KeyError::NotTheCertifiedKey(_)))));
    let root = a.authority.root.certificate();
    assert!(matches!(make(&certificate, root, &*a.keys), Err(ResponderError::NotAResponder { .. })));
    let device = a.device();
    let refused = make(&device.certificate, issuer, &*a.keys);
    assert!(matches!(refused, Err(ResponderError::NotAResponder { .. })));
}

#[test]
fn a_responders_certificate_is_prepared_from_the_key_in_the_backend() {
    let a = Installation::new();
    let label: KeyLabel = "ocsp-g1".parse().unwrap();
    a.keys.generate(&label, KeyKind::P256).unwrap();
    let prepare = |label: &KeyLabel, now| {
        prepare_responder(&a.naming, label, &a.authority.issuing, random_serial(), &*a.keys, now)
    };
    let certificate = prepare(&label, NOW).unwrap().sign(&*a.keys).unwrap();
    assert!(certificate.identity().is_err(), "a responder is no peer");
    assert_eq!(certificate.not_after().seconds_since(certificate.not_before()), 7 * 86_400);
    let issuer = a.authority.issuing.certificate();
    assert!(Responder::new(certificate, issuer, label, &*a.keys, Policy::DEFAULT).is_ok());
    let refused = prepare(a.authority.issuing.label(), NOW).unwrap_err();
    assert!(matches!(refused, PrepareResponderError::Prepare(_)), "{refused}");
}

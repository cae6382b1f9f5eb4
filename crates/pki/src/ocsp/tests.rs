//! Requests and answers against each other, and broken.

use std::convert::Infallible;
use std::sync::Arc;

use lanyard_domain::time::Timestamp;

use super::cert_id::{Form, Parameters};
use super::*;
use crate::certificate::Certificate;
use crate::key::{KeyBackend, KeyError, KeyKind, KeyLabel, MemoryKeys};
use crate::oid;
use crate::revocation::{Freshness, Reason, Revocation, Status};
use crate::serial::Serial;
use crate::testing::{Installation, Issued, NOW, random_serial};
use crate::write::{self, Critical};

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

/// An answer signed by whatever certificate.
fn signed_by(h: &Hospital, signer: &Issued, ask: &Ask) -> Vec<u8> {
    let key = signer.certificate.public_key().unwrap();
    let request = Request::parse(&ask.request()).unwrap();
    let tbs = response::encode(&response::Data {
        responder: &cert_id::sha1(key.bits()),
        produced_at: NOW,
        singles: &[response::Single {
            cert_id: request.asked()[0].whole(),
            status: response::CertStatus::Good,
            this_update: NOW,
            next_update: NOW.plus_seconds(60),
        }],
        nonce: None,
        extended_revoke: false,
    });
    let signature = h.a.keys.sign(&signer.label, &tbs).unwrap();
    let algorithm = crate::tbs::algorithm_identifier(&oid::ECDSA_WITH_SHA256);
    response::assemble(&tbs, &algorithm, &signature, signer.certificate.der())
}

/// Each row is a signer to whom the CA did not delegate.
#[test]
fn an_answer_of_somebody_without_the_right_is_refused() {
    let h = Hospital::new();
    let ask = h.ask(&h.bad);
    let judge = |signer: &Issued| {
        verify(&signed_by(&h, signer, &ask), &ask, h.issuer(), &Freshness::at(NOW)).map(|a| a.status())
    };
    let no_check = crate::tbs::ocsp_no_check();
    let purpose = crate::testing::purposes(&[oid::OCSP_SIGNING]);
    let delegate = |edit: &dyn Fn(&mut crate::testing::Draft)| {
        h.a.forge(|draft| {
            draft.set("purposes", purpose.clone());
            draft.set("no_check", no_check.clone());
            edit(draft);
        })
    };
    // The draft itself is good, so each refusal below is for its own reason.
    assert_eq!(judge(&delegate(&|_| {})), Ok(Status::Good));
    let foreign = Installation::new();
    let rows: [(&str, Issued); 7] = [
        ("name OCSPSigning", h.a.device()),
        (
            "name OCSPSigning",
            delegate(&|d| {
                d.set("purposes", crate::testing::purposes(&[oid::ANY_EXTENDED_KEY_USAGE]));
            }),
        ),
        ("nocheck", delegate(&|d| d.remove("no_check"))),
        ("is a CA", delegate(&|d| d.set("constraints", crate::testing::authority(Critical::Yes)))),
        ("digitalSignature", delegate(&|d| d.set("key_usage", crate::testing::key_usage(&[1, 0x06])))),
        ("validity", delegate(&|d| d.not_after = NOW.plus_seconds(-301))),
        ("validity", delegate(&|d| d.not_before = NOW.plus_seconds(301))),
    ];
    for (why, signer) in &rows {
        let Err(OcspError::Signer(rule)) = judge(signer) else { panic!("{why}: {:?}", judge(signer)) };
        assert!(rule.contains(why), "{why}: {rule}");
    }
    // A responder of another CA, and one that only claims to be of ours.
    let theirs = foreign.ocsp_responder();
    let key = theirs.certificate.public_key().unwrap();
    let impostor = foreign.draft_der(key, |draft| {
        draft.set("purposes", purpose.clone());
        draft.set("no_check", no_check.clone());
    });
    let mut der = impostor;
    let (from, to) = (foreign.authority.issuing.certificate().subject_der(), h.issuer().subject_der());
    let at = der.windows(from.len()).position(|w| w == from).unwrap();
    der[at..at + to.len()].copy_from_slice(to);
    let impostor = Certificate::parse(&der).unwrap();
    for (certificate, why) in [(theirs.certificate.clone(), "another CA"), (impostor, "did not sign it")] {
        let rule = delegate::may_answer_for(&certificate, h.issuer()).unwrap_err();
        assert!(rule.contains(why), "{rule}");
    }
}

#[test]
fn the_ca_itself_may_answer() {
    let h = Hospital::new();
    let ask = h.ask(&h.good);
    let ca = Issued { certificate: h.issuer().clone(), label: h.a.authority.issuing.label().clone() };
    let answer = verify(&signed_by(&h, &ca, &ask), &ask, h.issuer(), &Freshness::at(NOW)).unwrap();
    assert_eq!((answer.status(), answer.answered_by()), (Status::Good, AnsweredBy::Issuer));
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let h = Hospital::new();
    let response = h.respond(&h.ask(&h.good).request(), NOW);
    let judge = |der: &[u8], ask: &Ask| verify(der, ask, h.issuer(), &Freshness::at(NOW)).unwrap_err();
    assert_eq!(judge(response.der(), &h.ask(&h.bad)), OcspError::OtherCertificate);
    let sha1 = Ask::new(h.issuer(), &h.good, HashKind::Sha1, None).unwrap();
    assert_eq!(judge(response.der(), &sha1), OcspError::OtherCertificate);
    let [mine, theirs] = [[1; 32], [2; 32]].map(|bytes| {
        Ask::new(h.issuer(), &h.good, HashKind::Sha256, Some(Nonce::from_random(bytes))).unwrap()
    });
    let response = h.respond(&theirs.request(), NOW);
    assert_eq!(judge(response.der(), &mine), OcspError::OtherNonce);
    for status in [
        ErrorStatus::MalformedRequest,
        ErrorStatus::InternalError,
        ErrorStatus::TryLater,
        ErrorStatus::Unauthorized,
    ] {
        assert!(matches!(judge(&status.der(), &mine), OcspError::NotSuccessful(_)), "{status:?}");
    }
}

// I12
#[test]
fn an_answer_cut_at_any_byte_or_with_any_bit_flipped_is_refused() {
    let h = Hospital::new();
    let ask = h.ask(&h.bad);
    let der = h.respond(&ask.request(), NOW).der().to_vec();
    let judge = |der: &[u8]| verify(der, &ask, h.issuer(), &Freshness::at(NOW));
    assert!(judge(&der).is_ok());
    for length in 0..der.len() {
        assert!(judge(&der[..length]).is_err(), "cut at {length}");
    }
    assert!(judge(&[der.as_slice(), &[0]].concat()).is_err());
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut flipped = der.clone();
            flipped[at] ^= 1 << bit;
            assert!(judge(&flipped).is_err(), "bit {bit} of byte {at}");
        }
    }
    let large = vec![0x30; MAX_RESPONSE_BYTES + 1];
    assert_eq!(judge(&large), Err(OcspError::TooLarge(large.len())));
}

/// A request with whatever stands in its TBSRequest.
fn request(body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    write::tlv(&mut out, write::SEQUENCE, |o| write::tlv(o, write::SEQUENCE, body));
    out
}

fn list(o: &mut Vec<u8>, id: &[u8], times: usize) {
    write::tlv(o, write::SEQUENCE, |o| {
        for _ in 0..times {
            write::tlv(o, write::SEQUENCE, |o| o.extend_from_slice(id));
        }
    });
}

fn with_extension(
    id: &[u8],
    extension: &der::asn1::ObjectIdentifier,
    critical: Critical,
    value: &[u8],
) -> Vec<u8> {
    request(|o| {
        list(o, id, 1);
        write::tlv(o, write::context_constructed(2), |o| {
            write::tlv(o, write::SEQUENCE, |o| {
                write::extension(o, extension, critical, |o| o.extend_from_slice(value));
            });
        });
    })
}

// I12
#[test]
fn requests_beyond_the_limits_are_refused() {
    let h = Hospital::new();
    let id =
        h.responder.issuer().cert_id(Form { hash: HashKind::Sha1, parameters: Parameters::Null }, &h.good);
    let count = |n| Request::parse(&request(|o| list(o, id.whole(), n))).map(|r| r.asked().len());
    assert_eq!(count(MAX_ASKED), Ok(MAX_ASKED));
    assert_eq!(count(MAX_ASKED + 1), Err(BadRequest::Count(MAX_ASKED + 1)));
    assert_eq!(count(0), Err(BadRequest::Count(0)));
    let large = vec![0x30; MAX_REQUEST_BYTES + 1];
    assert_eq!(Request::parse(&large), Err(BadRequest::TooLarge(large.len())));
    let unknown = der::asn1::ObjectIdentifier::new_unwrap("1.2.3.4");
    let extension = |critical| Request::parse(&with_extension(id.whole(), &unknown, critical, &[5, 0]));
    assert!(extension(Critical::No).is_ok());
    assert!(matches!(extension(Critical::Yes), Err(BadRequest::UnknownCritical(_))));
}

// RFC 9654 2.1
#[test]
fn a_nonce_of_no_octet_or_more_than_128_makes_the_request_malformed() {
    let h = Hospital::new();
    let id =
        h.responder.issuer().cert_id(Form { hash: HashKind::Sha1, parameters: Parameters::Null }, &h.good);
    let parse = |octets: usize| {
        let mut value = Vec::new();
        write::bytes(&mut value, write::OCTET_STRING, &vec![9; octets]);
        Request::parse(&with_extension(id.whole(), &oid::OCSP_NONCE, Critical::No, &value))
    };
    for octets in [1, 8, 32, 33, 128] {
        assert_eq!(parse(octets).unwrap().nonce().unwrap().octets().len(), octets);
    }
    for octets in [0, 129, 1000] {
        assert!(matches!(parse(octets), Err(BadRequest::Malformed(_))), "{octets}");
    }
    // Octets that are no OCTET STRING.
    let bare = with_extension(id.whole(), &oid::OCSP_NONCE, Critical::No, &[9; 16]);
    assert!(matches!(Request::parse(&bare), Err(BadRequest::Malformed(_))));
    assert!(nonce(0).is_none() && nonce(129).is_none());
}

#[test]
fn what_a_request_says_of_its_sender_is_passed_over() {
    let h = Hospital::new();
    let id =
        h.responder.issuer().cert_id(Form { hash: HashKind::Sha1, parameters: Parameters::Null }, &h.good);
    let mut tbs = Vec::new();
    write::tlv(&mut tbs, write::SEQUENCE, |o| {
        // version [0] v1, written out; requestorName [1]
        o.extend_from_slice(&[0xa0, 3, write::INTEGER, 1, 0]);
        write::tlv(o, write::context_constructed(1), |o| write::bytes(o, write::context(2), b"a.example"));
        list(o, id.whole(), 1);
    });
    let mut signed = Vec::new();
    write::tlv(&mut signed, write::SEQUENCE, |o| {
        o.extend_from_slice(&tbs);
        write::tlv(o, write::context_constructed(0), |o| write::bytes(o, write::SEQUENCE, b"anything"));
    });
    assert_eq!(Request::parse(&signed).unwrap().asked(), std::slice::from_ref(&id));
    let second_version = request(|o| {
        o.extend_from_slice(&[0xa0, 3, write::INTEGER, 1, 1]);
        list(o, id.whole(), 1);
    });
    assert!(matches!(Request::parse(&second_version), Err(BadRequest::Malformed(_))));
}

// I12
#[test]
fn a_request_cut_at_any_byte_is_refused() {
    let h = Hospital::new();
    let ask = Ask::new(h.issuer(), &h.good, HashKind::Sha256, nonce(32)).unwrap();
    let der = ask.request();
    assert_eq!(Request::parse(&der).unwrap().nonce(), nonce(32).as_ref());
    for length in 0..der.len() {
        assert!(Request::parse(&der[..length]).is_err(), "cut at {length}");
    }
    assert!(Request::parse(&[der.as_slice(), &[0]].concat()).is_err());
}

#[test]
fn odd_cert_ids_are_answered_as_they_were_written() {
    let h = Hospital::new();
    let plan = |id: &CertId| {
        let der = request::write_request(std::slice::from_ref(id), None);
        let request = Request::parse(&der).unwrap();
        (h.responder.plan(&request), request)
    };
    // All four forms have their own place in the cache, and each answer repeats the form of its request.
    let mut keys = std::collections::HashSet::new();
    for form in Form::ALL {
        let id = h.responder.issuer().cert_id(form, &h.good);
        let (Plan::Cacheable(key), request) = plan(&id) else { panic!("{form:?}") };
        keys.insert(key);
        let response = h.responder.respond(&request, |s| h.standing(s), &*h.a.keys, NOW).unwrap();
        assert!(response.der().windows(id.whole().len()).any(|w| w == id.whole()));
        let ahead = h.responder.respond_ahead(&key, |s| h.standing(s), &*h.a.keys, NOW).unwrap().unwrap();
        assert!(ahead.der().windows(id.whole().len()).any(|w| w == id.whole()));
    }
    assert_eq!(keys.len(), 4);
    // SHA-512, and a serial number that no certificate has.
    let good = h
        .responder
        .issuer()
        .cert_id(Form { hash: HashKind::Sha256, parameters: Parameters::Absent }, &h.good);
    let read = |der: &[u8]| CertId::read(&mut crate::read::Reader::new(der)).unwrap();
    let mut other_hash = good.whole().to_vec();
    let at = other_hash.windows(9).position(|w| w == oid::SHA256.as_bytes()).unwrap();
    other_hash[at + 8] = 3;
    assert_eq!(plan(&read(&other_hash)).0, Plan::Error(ErrorStatus::Unauthorized));
    let mut negative = good.whole().to_vec();
    let at = negative.len() - 16;
    negative[at] |= 0x80;
    let (where_from, request) = plan(&read(&negative));
    assert_eq!(where_from, Plan::Fresh);
    let response = h.responder.respond(&request, |s| h.standing(s), &*h.a.keys, NOW).unwrap();
    let marker = oid::OCSP_EXTENDED_REVOKE;
    assert!(response.der().windows(9).any(|w| w == marker.as_bytes()));
}

fn key_of(h: &Hospital, serial: &Serial) -> CacheKey {
    match h.responder.plan(&Request::parse(&h.ask(serial).request()).unwrap()) {
        Plan::Cacheable(key) => key,
        other => panic!("{other:?}"),
    }
}

fn made(h: &Hospital, serial: &Serial, now: Timestamp) -> Arc<Response> {
    Arc::new(h.respond(&h.ask(serial).request(), now))
}

#[test]
fn a_kept_answer_is_given_until_it_is_over() {
    let h = Hospital::new();
    let mut cache = ResponseCache::new(1 << 20);
    let (key, response) = (key_of(&h, &h.good), made(&h, &h.good, NOW));
    assert!(cache.get(&key, NOW).is_none());
    assert_eq!(cache.put(cache.ticket(), key, response.clone()), Kept::Yes);
    assert_eq!(cache.get(&key, NOW), Some(&response));
    assert!(cache.get(&key, NOW.plus_seconds(3599)).is_some());
    assert!(cache.get(&key, NOW.plus_seconds(3600)).is_none());
    // Another digest is another answer.
    let sha1 = Ask::new(h.issuer(), &h.good, HashKind::Sha1, None).unwrap().request();
    let Plan::Cacheable(other) = h.responder.plan(&Request::parse(&sha1).unwrap()) else { panic!() };
    assert!(cache.get(&other, NOW).is_none());
}

// R49, I6: a revocation does not wait for an answer's end.
#[test]
fn a_revocation_takes_the_kept_answers_and_those_in_the_making() {
    let h = Hospital::new();
    let mut cache = ResponseCache::new(1 << 20);
    let (key, response) = (key_of(&h, &h.good), made(&h, &h.good, NOW));
    assert_eq!(cache.put(cache.ticket(), key, response.clone()), Kept::Yes);
    let before = cache.ticket();
    cache.revoked(h.responder.issuer(), &h.good);
    assert!(cache.get(&key, NOW).is_none() && cache.is_empty() && cache.bytes() == 0);
    // Signed as good before, offered after.
    assert_eq!(cache.put(before, key, response.clone()), Kept::Outdated);
    assert!(cache.get(&key, NOW).is_none());
    assert_eq!(cache.put(cache.ticket(), key, response.clone()), Kept::Yes);
    let before = cache.ticket();
    cache.clear();
    assert_eq!(cache.put(before, key, response), Kept::Outdated);
    assert!(cache.is_empty() && cache.bytes() == 0);
}

#[test]
fn an_answer_for_one_asker_is_not_kept_for_others() {
    let h = Hospital::new();
    let mut cache = ResponseCache::new(1 << 20);
    let ask = Ask::new(h.issuer(), &h.good, HashKind::Sha256, nonce(32)).unwrap();
    let request = Request::parse(&ask.request()).unwrap();
    assert_eq!(h.responder.plan(&request), Plan::Fresh);
    let response = Arc::new(h.respond(&ask.request(), NOW));
    assert_eq!(cache.put(cache.ticket(), key_of(&h, &h.good), response.clone()), Kept::NotShareable);
    assert_eq!(
        ResponseCache::new(100).put(cache.ticket(), key_of(&h, &h.good), response),
        Kept::NotShareable
    );
}

// I12: strangers choose what is asked.
#[test]
fn a_full_cache_lets_go_of_the_oldest() {
    let h = Hospital::new();
    let serials: Vec<Serial> = (0..10).map(|_| random_serial()).collect();
    let mut cache = ResponseCache::new(5 * (made(&h, &serials[0], NOW).der().len() + 600));
    for serial in &serials {
        assert_eq!(cache.put(cache.ticket(), key_of(&h, serial), made(&h, serial, NOW)), Kept::Yes);
        assert!(cache.bytes() <= 5 * (cache.bytes() / cache.len() + 600));
    }
    let kept: Vec<bool> = serials.iter().map(|s| cache.get(&key_of(&h, s), NOW).is_some()).collect();
    assert_eq!(cache.len(), 5);
    assert_eq!(kept, [[false; 5], [true; 5]].concat());
    // The same answer again takes no more room.
    let before = cache.bytes();
    for _ in 0..20 {
        let _ = cache.put(cache.ticket(), key_of(&h, &serials[9]), made(&h, &serials[9], NOW));
    }
    assert!(cache.len() == 5 && cache.bytes().abs_diff(before) < 40);
}

#[test]
fn what_has_lived_for_half_of_its_time_is_due() {
    let h = Hospital::new();
    let mut cache = ResponseCache::new(1 << 20);
    let late = NOW.plus_seconds(1000);
    for (serial, at) in [(h.good, NOW), (h.bad, late)] {
        let _ = cache.put(cache.ticket(), key_of(&h, &serial), made(&h, &serial, at));
    }
    assert!(cache.due(NOW.plus_seconds(1649), 10).is_empty());
    assert_eq!(cache.due(NOW.plus_seconds(1650), 10), [key_of(&h, &h.good)]);
    let both = [key_of(&h, &h.good), key_of(&h, &h.bad)];
    assert_eq!(cache.due(NOW.plus_seconds(3000), 10), both);
    assert_eq!(cache.due(NOW.plus_seconds(3000), 1), both[..1]);
    // What is over goes; nobody was served from it meanwhile.
    assert_eq!(cache.due(NOW.plus_seconds(3600), 10), both[1..]);
    assert_eq!(cache.len(), 1);
    // Made again, it is young.
    let again = NOW.plus_seconds(3600);
    let response =
        h.responder.respond_ahead(&both[1], |s| h.standing(s), &*h.a.keys, again).unwrap().unwrap();
    assert_eq!(cache.put(cache.ticket(), both[1], Arc::new(response)), Kept::Yes);
    assert!(cache.due(again, 10).is_empty());
    let other = Hospital::new();
    assert!(other.responder.respond_ahead(&both[1], |s| h.standing(s), &*h.a.keys, again).is_none());
}

#[test]
fn a_get_is_cut_out_of_the_path_as_clients_write_it() {
    let h = Hospital::new();
    for n in 0..40u8 {
        let ask = Ask::new(h.issuer(), &random_serial(), HashKind::Sha1, nonce(usize::from(n) + 1)).unwrap();
        let der = ask.request();
        let plain = data_encoding::BASE64.encode(&der);
        let escaped = plain.replace('+', "%2B").replace('/', "%2f").replace('=', "%3D");
        let unpadded = plain.trim_end_matches('=').to_owned();
        for path in [plain.clone(), format!("/{plain}"), escaped, unpadded] {
            assert_eq!(http::from_get(&path).as_ref(), Ok(&der), "{path}");
        }
    }
    let short = Ask::new(h.issuer(), &h.good, HashKind::Sha1, None).unwrap().request();
    assert_eq!(http::from_get(&http::get_path(&short).unwrap()), Ok(short));
    assert_eq!(http::get_path(&[0xff; 200]), None);
    for bad in ["", "/", "%", "%2", "%zz", "a b c", "====", "MEUw=Q==", "MEUwQ===", "M\u{e9}Uw", "-_-_"] {
        assert_eq!(http::from_get(bad), Err(http::NoRequest::NotBase64), "{bad}");
    }
    let long = "A".repeat(MAX_REQUEST_BYTES * 4 + 1);
    assert_eq!(http::from_get(&long), Err(http::NoRequest::TooLarge(long.len())));
}

#[test]
fn a_post_says_what_it_is() {
    let body = vec![1; 100];
    for kind in ["application/ocsp-request", "Application/OCSP-Request; charset=binary"] {
        assert_eq!(http::from_post(Some(kind), &body), Ok(body.as_slice()));
    }
    for kind in [None, Some(""), Some("application/json"), Some("application/ocsp-response")] {
        let refused = http::from_post(kind, &body).unwrap_err();
        assert_eq!((refused.clone(), refused.reply().status), (http::NoRequest::ContentType, 415));
    }
    let refused = http::from_post(Some(http::REQUEST_TYPE), &vec![1; MAX_REQUEST_BYTES + 1]).unwrap_err();
    assert_eq!(refused.reply().status, 413);
    let malformed = http::NoRequest::NotBase64.reply();
    assert_eq!((malformed.status, malformed.body.to_vec()), (200, vec![0x30, 3, 0x0a, 1, 1]));
}

#[test]
fn a_get_tells_proxies_how_long_to_keep_it_and_a_post_that_they_shall_not() {
    let h = Hospital::new();
    let response = h.respond(&h.ask(&h.good).request(), NOW);
    let header = |reply: &http::Reply, name: &str| {
        reply.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.clone())
    };
    let policy = h.responder.policy();
    let reply = http::get(&response, policy, http::Has(None), NOW);
    assert_eq!((reply.status, &reply.body), (200, response.der()));
    let etag = header(&reply, "etag").unwrap();
    assert_eq!(etag.len(), 66);
    for (name, value) in [
        ("content-type", "application/ocsp-response"),
        ("last-modified", "Sun, 22 Nov 2026 11:55:00 GMT"),
        ("expires", "Sun, 22 Nov 2026 13:00:00 GMT"),
        ("date", "Sun, 22 Nov 2026 12:00:00 GMT"),
        ("cache-control", "max-age=60, public, no-transform, must-revalidate"),
    ] {
        assert_eq!(header(&reply, name).as_deref(), Some(value));
    }
    // Never longer than it is good.
    let late = http::get(&response, policy, http::Has(None), NOW.plus_seconds(3570));
    assert!(header(&late, "cache-control").unwrap().starts_with("max-age=30,"));
    for tags in [etag.clone(), format!("\"x\", W/{etag}"), "*".into()] {
        let same = http::get(&response, policy, http::Has(Some(&tags)), NOW);
        assert_eq!((same.status, same.body.len()), (304, 0), "{tags}");
        assert!(header(&same, "etag").is_some() && header(&same, "content-type").is_none());
    }
    assert_eq!(http::get(&response, policy, http::Has(Some("\"x\"")), NOW).status, 200);
    assert_eq!(header(&http::post(&response), "cache-control").as_deref(), Some("no-store"));
    let for_one =
        h.respond(&Ask::new(h.issuer(), &h.good, HashKind::Sha1, nonce(16)).unwrap().request(), NOW);
    let reply = http::get(&for_one, policy, http::Has(None), NOW);
    assert_eq!(header(&reply, "cache-control").as_deref(), Some("no-store"));
    let error = http::error(ErrorStatus::TryLater);
    assert_eq!((error.status, error.body.to_vec()), (200, vec![0x30, 3, 0x0a, 1, 3]));
}

#[test]
fn dates_of_http_have_the_right_weekday() {
    for (at, text) in [
        ("1970-01-01T00:00:00Z", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("1994-11-06T08:49:37Z", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("2024-02-29T23:59:59Z", "Thu, 29 Feb 2024 23:59:59 GMT"),
        ("2026-12-31T00:00:00Z", "Thu, 31 Dec 2026 00:00:00 GMT"),
    ] {
        assert_eq!(http::date(at.parse().unwrap()), text);
    }
}

//! Requests of strangers.

use super::super::cert_id::{Form, Parameters};
use super::super::request;
use super::*;
use crate::write::{self, Critical};

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

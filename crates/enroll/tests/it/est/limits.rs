//! What both halves do with bytes that are too many, too few or of another kind.

use lanyard_enroll::est::client::{
    self, Answer, Answered, BadAnswer, MAX_ANSWER_BODY, read_ca_certificates, read_csr_attributes,
    read_issued, read_server_key,
};
use lanyard_enroll::est::{EstError, Incoming, MAX_REQUEST_BODY, parse, render};
use lanyard_pki::csr::{CsrError, MAX_CSR_BYTES};
use lanyard_pki::key::KeyKind;

use super::hospital::{Hospital, answer, incoming, post, template, wrapped};

const ENROLL: &str = "/.well-known/est/simpleenroll";
const BASIC: &str = "Basic cHVtcDphYmNkZWZnaC14";

fn with_secret<'a>(path: &'a str, body: &'a [u8]) -> Incoming<'a> {
    Incoming { authorization: Some(BASIC), ..post(path, body) }
}

// I12
#[test]
fn a_request_cut_at_any_byte_or_with_any_bit_flipped_is_refused() {
    let csr = Hospital::new().make(KeyKind::P256).csr;
    let body = wrapped(&csr, 64);
    assert!(parse(&with_secret(ENROLL, &body)).is_ok());
    for at in 0..body.len() - 1 {
        let refused = parse(&with_secret(ENROLL, &body[..at])).unwrap_err();
        assert_eq!(refused.status(), 400, "cut at {at}");
    }
    for at in 0..csr.len() {
        for bit in 0..8 {
            let mut changed = csr.clone();
            changed[at] ^= 1 << bit;
            let body = wrapped(&changed, 76);
            assert!(parse(&with_secret(ENROLL, &body)).is_err(), "flip of bit {bit} at {at}");
        }
    }
}

// I12
#[test]
fn a_request_beyond_the_limits_is_not_read() {
    let long = vec![b'A'; MAX_REQUEST_BODY + 1];
    let refused = parse(&with_secret(ENROLL, &long)).unwrap_err();
    assert_eq!((refused.status(), refused), (413, EstError::BodyTooLarge(MAX_REQUEST_BODY + 1)));
    let refused = parse(&with_secret(ENROLL, &long[..MAX_REQUEST_BODY])).unwrap_err();
    assert_eq!(
        (refused.status(), refused),
        (413, EstError::Csr(CsrError::TooLarge(MAX_REQUEST_BODY / 4 * 3)))
    );
    let fits = wrapped(&vec![0x30; MAX_CSR_BYTES], 64);
    assert!(fits.len() < MAX_REQUEST_BODY, "the body's limit leaves room for the request's");
    assert_eq!(parse(&with_secret(ENROLL, &fits)).unwrap_err().status(), 400);
}

// I12
#[test]
fn requests_of_another_kind_get_the_status_that_says_so() {
    let csr = Hospital::new().make(KeyKind::P256).csr;
    let body = wrapped(&csr, 64);
    let good = with_secret(ENROLL, &body);
    for (request, status) in [
        (Incoming { path: "/.well-known/est/enroll", ..good }, 404),
        (Incoming { path: "/.well-known/est/_/simpleenroll", ..good }, 404),
        (Incoming { path: "/.well-known/est/fullcmc", ..good }, 501),
        (Incoming { method: "GET", ..good }, 405),
        (Incoming { path: "/.well-known/est/cacerts", ..good }, 405),
        (Incoming { content_type: None, ..good }, 415),
        (Incoming { content_type: Some("application/x-www-form-urlencoded"), ..good }, 415),
        (Incoming { content_type: Some("application/pkcs10x"), ..good }, 415),
        (Incoming { body: b"", ..good }, 400),
        (Incoming { body: &csr, ..good }, 400),
        (Incoming { body: b"-----BEGIN CERTIFICATE REQUEST-----\n", ..good }, 400),
        (Incoming { authorization: Some("Basic ="), ..good }, 401),
    ] {
        let refused = parse(&request).unwrap_err();
        assert_eq!(refused.status(), status, "{refused}");
        let reply = refused.reply();
        assert_eq!(
            reply.body,
            format!("{refused}\n").into_bytes(),
            "the person who reads it gets the reason"
        );
    }
    let refused = parse(&Incoming { method: "PUT", ..good }).unwrap_err().reply();
    assert!(refused.headers.contains(&("allow", "POST".to_owned())));
    for good in [
        Incoming { content_type: Some("Application/PKCS10; charset=utf-8"), ..good },
        Incoming { method: "HEAD", path: "/.well-known/est/cacerts", body: b"", ..good },
    ] {
        assert!(parse(&good).is_ok());
    }
}

/// Every reader over one answer.
fn all_refuse(answer: &Answer<'_>, key: &lanyard_pki::spki::PublicKey) -> bool {
    read_ca_certificates(answer).is_err()
        && read_csr_attributes(answer).is_err()
        && read_issued(answer, key).is_err()
        && read_server_key(answer).is_err()
}

// I12
#[test]
fn answers_that_are_cut_or_of_another_kind_are_refused() {
    let hospital = Hospital::new();
    let made = hospital.make(KeyKind::P256);
    let shown = [hospital.issued().der().to_vec()];
    let request = client::reenroll(None, &made.csr);
    let issued = hospital.answer(&incoming(&request, &shown), |request| hospital.issue(request));
    let bundle = hospital.answer(&incoming(&client::ca_certificates(None), &[]), |_| unreachable!());
    let attributes = render::csr_attributes(Some(&template()), Default::default());
    for reply in [&issued, &bundle, &attributes] {
        for at in 0..reply.body.len() {
            let cut = Answer { body: &reply.body[..at], ..answer(reply) };
            assert!(all_refuse(&cut, &made.key), "cut at {at}");
        }
        for content_type in [None, Some("text/html"), Some("application/pkcs7-signature")] {
            assert!(all_refuse(&Answer { content_type, ..answer(reply) }, &made.key), "{content_type:?}");
        }
    }
    let page = Answer {
        status: 200,
        content_type: Some("text/html; charset=utf-8"),
        retry_after: None,
        reason: None,
        body: b"<html>Please log in to the guest network",
    };
    let refused = read_ca_certificates(&page).unwrap_err().to_string();
    assert!(refused.contains("text/html") && refused.contains("is this address an EST server"), "{refused}");
}

// I12
#[test]
fn answers_beyond_the_limits_are_not_read() {
    let key = Hospital::new().make(KeyKind::P256).key;
    let body = vec![b'A'; MAX_ANSWER_BODY + 1];
    for status in [200, 202, 403, 503] {
        let long = Answer { status, content_type: None, retry_after: None, reason: None, body: &body };
        assert_eq!(read_ca_certificates(&long), Err(BadAnswer::TooLarge(body.len())));
        assert!(all_refuse(&long, &key));
    }
    let chatty =
        Answer { status: 403, content_type: None, retry_after: None, reason: None, body: &body[1..] };
    let Ok(Answered::Refused { why, .. }) = read_issued(&chatty, &key) else { panic!("not refused") };
    assert_eq!(why.len(), 500);
}

#[test]
fn every_status_has_one_meaning_for_the_client() {
    let of = |status, retry_after| {
        let answer = Answer { status, content_type: None, retry_after, reason: None, body: b"so it is\n" };
        read_ca_certificates(&answer)
    };
    let why = || "so it is".to_owned();
    for (status, retry_after, seconds) in [
        (202, Some("120"), 120),
        (202, Some("0"), 1),
        (202, None, 60),
        (202, Some("Wed, 25 Nov 2026 07:28:00 GMT"), 60),
        (202, Some("99999999999999"), 86_400),
        (503, Some("5"), 5),
        (429, None, 60),
        (500, None, 60),
    ] {
        let expected = if status == 202 {
            Answered::Pending { retry_after_seconds: seconds, why: why() }
        } else {
            Answered::Unavailable { retry_after_seconds: seconds, why: why() }
        };
        assert_eq!(of(status, retry_after), Ok(expected), "{status} {retry_after:?}");
    }
    for status in [400, 401, 403, 404, 415, 501] {
        assert_eq!(of(status, None), Ok(Answered::Refused { status, why: why() }));
    }
    for status in [100, 201, 204, 301, 302, 600] {
        assert_eq!(of(status, None), Err(BadAnswer::Status(status)));
    }
}

//! The client's half against the server's half, over every outcome.

use lanyard_enroll::est::client::{self, Answer, Answered, BadAnswer, SecretLogin};
use lanyard_enroll::est::{CsrTemplate, Incoming, Label, render};
use lanyard_enroll::{Authentication, EnrollmentRequest, Outcome, Protocol};
use lanyard_pki::key::KeyKind;
use lanyard_pki::pkcs7;
use zeroize::Zeroizing;

use super::hospital::{Hospital, STYLES, answer, header, incoming, longest_line, post, template, wrapped};

const ENROLL: &str = "/.well-known/est/simpleenroll";
const REENROLL: &str = "/.well-known/est/simplereenroll";

fn login() -> SecretLogin {
    login_with(Hospital::secret().reveal())
}

fn login_with(secret: &str) -> SecretLogin {
    SecretLogin { user: "pump".into(), secret: Zeroizing::new(secret.to_owned()) }
}

fn label() -> Label {
    "infusion".parse().unwrap()
}

// R36, R42
#[test]
fn a_device_enrolls_with_a_one_time_secret_and_later_with_its_certificate_and_a_new_key() {
    let hospital = Hospital::new();
    let first = hospital.make(KeyKind::P256);
    let request = client::enroll(Some(&label()), &first.csr, Some(&login()));
    let reply = hospital.answer(&incoming(&request, &[]), |request| {
        assert_eq!((request.protocol, request.profile.as_deref()), (Protocol::Est, Some("infusion")));
        assert!(matches!(request.authentication, Authentication::Secret(_)));
        assert_eq!(request.csr.spki_der(), first.key.der());
        hospital.issue(request)
    });
    let Answered::Granted(issued) = client::read_issued(&answer(&reply), &first.key).unwrap() else {
        panic!("{reply:?}")
    };
    // RFC 7030 4.2.3: only the certificate that was issued.
    assert_eq!(issued.others, []);

    let shown = [issued.certificate.der().to_vec()];
    let second = hospital.make(KeyKind::P384);
    let request = client::reenroll(None, &second.csr);
    let reply = hospital.answer(&incoming(&request, &shown), |request| {
        let Authentication::Certificate(chain) = &request.authentication else { panic!("no certificate") };
        assert_eq!((chain.as_slice(), request.profile.as_deref()), (shown.as_slice(), None));
        hospital.issue(request)
    });
    let answered = client::read_issued(&answer(&reply), &second.key).unwrap();
    assert!(matches!(answered, Answered::Granted(_)));
    // The first key's certificate is not in it.
    assert_eq!(client::read_issued(&answer(&reply), &first.key), Err(BadAnswer::NotOurKey));
}

// R36
#[test]
fn a_pending_request_is_asked_again_with_the_same_bytes_until_it_is_granted() {
    let hospital = Hospital::new();
    let made = hospital.make(KeyKind::P256);
    let request = client::enroll(None, &made.csr, Some(&login()));
    let wait =
        Outcome::Pending { retry_after_seconds: 300, why: "two people\nmust approve `pümp 7`".into() };
    let reply = hospital.answer(&incoming(&request, &[]), |_| wait.clone());
    assert_eq!((reply.status, header(&reply, "retry-after")), (202, Some("300")));
    assert!(reply.body.is_empty(), "Bouncy Castle gives up when it has a body");
    let expected =
        Answered::Pending { retry_after_seconds: 300, why: "two people must approve `p?mp 7`".into() };
    assert_eq!(client::read_issued(&answer(&reply), &made.key), Ok(expected));
    let reply = hospital.answer(&incoming(&request, &[]), |request| hospital.issue(request));
    assert!(matches!(client::read_issued(&answer(&reply), &made.key), Ok(Answered::Granted(_))));
}

#[test]
fn a_refusal_and_an_outage_reach_the_client_with_their_reason() {
    let hospital = Hospital::new();
    let made = hospital.make(KeyKind::P256);
    let request = client::enroll(None, &made.csr, Some(&login()));
    let refused = Outcome::Refused { code: "retired".into(), why: "the device\r\nis retired".into() };
    let reply = hospital.answer(&incoming(&request, &[]), |_| refused.clone());
    let expected = Answered::Refused { status: 403, why: "the device  is retired (retired)".into() };
    assert_eq!(client::read_issued(&answer(&reply), &made.key), Ok(expected));
    let away = Outcome::Unavailable { why: "the key store is away".into() };
    let reply = hospital.answer(&incoming(&request, &[]), |_| away.clone());
    let expected = Answered::Unavailable { retry_after_seconds: 60, why: "the key store is away".into() };
    assert_eq!(client::read_issued(&answer(&reply), &made.key), Ok(expected));
    // Zero would be a busy loop.
    let now = Outcome::Pending { retry_after_seconds: 0, why: "soon".into() };
    let reply = hospital.answer(&incoming(&request, &[]), |_| now.clone());
    assert_eq!(header(&reply, "retry-after"), Some("1"));
}

fn never(_: &EnrollmentRequest) -> Outcome {
    panic!("must not be asked")
}

// R36, I12
#[test]
fn who_does_not_say_who_it_is_gets_no_further() {
    let hospital = Hospital::new();
    let made = hospital.make(KeyKind::P256);
    let body = wrapped(&made.csr, 64);
    for path in [ENROLL, REENROLL, "/.well-known/est/serverkeygen"] {
        let reply = hospital.answer(&post(path, &body), never);
        assert_eq!(reply.status, 401, "{path}");
        let challenge = header(&reply, "www-authenticate").unwrap();
        assert!(challenge.starts_with("Basic realm=") && challenge.contains("enrollment secret"), "{path}");
        assert!(reply.body.is_empty(), "Bouncy Castle gives up when a challenge has a body");
        assert!(header(&reply, client::REASON).unwrap().contains("who asks?"), "{path}");
        let bearer = Incoming { authorization: Some("Bearer x"), ..post(path, &body) };
        let expected = if path == REENROLL { 403 } else { 401 };
        assert_eq!(hospital.answer(&bearer, never).status, expected, "{path}");
    }
    let request = client::enroll(None, &made.csr, Some(&login_with("abcdefgh-wrong")));
    assert_eq!(hospital.answer(&incoming(&request, &[]), never).status, 403);
}

// R42
#[test]
fn a_secret_does_not_renew_and_a_used_secret_does_not_stand_in_the_way() {
    let hospital = Hospital::new();
    let made = hospital.make(KeyKind::P256);
    let with_secret = client::enroll(None, &made.csr, Some(&login()));
    let by_secret = Incoming { path: REENROLL, ..incoming(&with_secret, &[]) };
    let reply = hospital.answer(&by_secret, never);
    assert_eq!(reply.status, 403);
    assert!(String::from_utf8_lossy(&reply.body).contains("use simpleenroll"));
    let shown = [hospital.issued().der().to_vec()];
    let used = client::enroll(None, &made.csr, Some(&login_with("abcdefgh-used-up")));
    let by_certificate = Incoming { path: REENROLL, ..incoming(&used, &shown) };
    assert_eq!(hospital.answer(&by_certificate, |request| hospital.issue(request)).status, 200);
}

// R35
#[test]
fn a_first_enrollment_goes_by_secret_before_certificate_and_by_certificate_without_one() {
    let hospital = Hospital::new();
    let made = hospital.make(KeyKind::P256);
    let maker = [hospital.issued().der().to_vec()];
    let request = client::enroll(None, &made.csr, Some(&login()));
    let reply = hospital.answer(&incoming(&request, &maker), |request| {
        assert!(matches!(request.authentication, Authentication::Secret(_)));
        hospital.issue(request)
    });
    assert_eq!(reply.status, 200);
    let request = client::enroll(None, &made.csr, None);
    let reply = hospital.answer(&incoming(&request, &maker), |request| {
        assert!(matches!(&request.authentication, Authentication::Certificate(chain) if *chain == maker));
        hospital.issue(request)
    });
    assert_eq!(reply.status, 200);
}

#[test]
fn ca_certificates_travel_and_an_empty_answer_is_none() {
    let hospital = Hospital::new();
    let reply = hospital.answer(&incoming(&client::ca_certificates(None), &[]), never);
    let Answered::Granted(found) = client::read_ca_certificates(&answer(&reply)).unwrap() else {
        panic!("{reply:?}")
    };
    let mut found: Vec<Vec<u8>> = found.iter().map(|c| c.der().to_vec()).collect();
    let mut expected = hospital.bundle();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    let empty = render::ca_certificates(&[], Default::default());
    assert_eq!(client::read_ca_certificates(&answer(&empty)), Err(BadAnswer::NoCertificate));
}

// R47
#[test]
fn csr_attributes_travel_and_their_absence_means_nothing_is_asked() {
    let hospital = Hospital::new();
    let reply = hospital.answer(&incoming(&client::csr_attributes(Some(&label())), &[]), never);
    assert_eq!(client::read_csr_attributes(&answer(&reply)), Ok(Answered::Granted(template())));
    let reply = hospital.answer(&incoming(&client::csr_attributes(None), &[]), never);
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    let nothing = Answered::Granted(CsrTemplate::default());
    assert_eq!(client::read_csr_attributes(&answer(&reply)), Ok(nothing.clone()));
    let not_found = Answer { status: 404, ..answer(&reply) };
    assert_eq!(client::read_csr_attributes(&not_found), Ok(nothing));
}

#[test]
fn a_key_made_by_the_server_travels_with_its_certificate() {
    let hospital = Hospital::new();
    for kind in [KeyKind::P256, KeyKind::P384] {
        let made = hospital.make(kind);
        let request = client::server_keygen(None, &made.csr, Some(&login()));
        let reply = hospital.answer(&incoming(&request, &[]), |request| {
            assert_ne!(request.csr.spki_der(), made.key.der(), "not the key of the request");
            hospital.issue(request)
        });
        assert_eq!(header(&reply, "cache-control"), Some("no-store"));
        let Answered::Granted(issued) = client::read_server_key(&answer(&reply)).unwrap() else {
            panic!("{reply:?}")
        };
        assert_eq!(issued.certificate.public_key().unwrap().kind(), made.key.kind());
        assert!(!format!("{issued:?}").contains(&format!("{:?}", issued.pkcs8)));
    }
    // RFC 7030 4.4.1: the signature of the request is nothing here.
    let mut unsigned = hospital.make(KeyKind::P256).csr;
    *unsigned.last_mut().unwrap() ^= 1;
    let request = client::server_keygen(None, &unsigned, Some(&login()));
    assert_eq!(hospital.answer(&incoming(&request, &[]), |request| hospital.issue(request)).status, 200);
    let request = client::enroll(None, &unsigned, Some(&login()));
    assert_eq!(hospital.answer(&incoming(&request, &[]), never).status, 400);
}

#[test]
fn each_client_is_answered_in_the_style_that_it_writes() {
    let hospital = Hospital::new();
    let made = hospital.make(KeyKind::P256);
    let shown = [hospital.issued().der().to_vec()];
    for (width, style) in STYLES {
        let body = wrapped(&made.csr, width);
        let request = Incoming { certificates: &shown, ..post(REENROLL, &body) };
        let reply = hospital.answer(&request, |request| hospital.issue(request));
        assert_eq!(longest_line(&reply.body), width, "{style}");
        assert!(matches!(client::read_issued(&answer(&reply), &made.key), Ok(Answered::Granted(_))));
    }
    let body = data_encoding::BASE64.encode(&made.csr).into_bytes();
    let reply = hospital.answer(&Incoming { certificates: &shown, ..post(REENROLL, &body) }, |request| {
        hospital.issue(request)
    });
    assert!(!reply.body.contains(&b'\n'));
}

#[test]
fn a_server_that_sends_the_issuers_too_is_understood() {
    let hospital = Hospital::new();
    let made = hospital.make(KeyKind::P256);
    let request = client::enroll(None, &made.csr, Some(&login()));
    let chain = std::cell::RefCell::new(Vec::new());
    hospital.answer(&incoming(&request, &[]), |request| {
        let outcome = hospital.issue(request);
        if let Outcome::Issued { chain: issued } = &outcome {
            chain.replace(issued.clone());
        }
        outcome
    });
    let chain = chain.into_inner();
    let bag = pkcs7::certs_only(&chain.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let body = wrapped(&bag, 76);
    let reply = Answer {
        status: 200,
        content_type: Some("application/pkcs7-mime"),
        retry_after: None,
        reason: None,
        body: &body,
    };
    let Ok(Answered::Granted(issued)) = client::read_issued(&reply, &made.key) else { panic!("{reply:?}") };
    assert_eq!(issued.certificate.der().to_vec(), chain[0]);
    assert_eq!(issued.others.len(), 1);
}

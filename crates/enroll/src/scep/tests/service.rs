//! What needs no message: capabilities and CA certificates; and what a responder is made of.

use super::super::testing::*;
use super::super::*;

fn get(responder: &Responder, query: &str) -> Done {
    let incoming = Incoming { method: "GET", path: "/scep", query, body: b"" };
    done(responder.receive(&incoming, decrypt, sign, || true, (&Transactions::default(), NOW, &fresh())))
}

#[test]
fn capabilities_name_what_is_read_and_nothing_else() {
    let current = get(&responder(Algorithms::Current), "operation=GetCACaps").reply;
    let text = String::from_utf8(current.body).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for needed in
        ["AES", "SHA-256", "SHA-512", "POSTPKIOperation", "Renewal", "SCEPStandard", "GetNextCACert"]
    {
        assert!(lines.contains(&needed), "{needed}");
    }
    assert!(!lines.contains(&"SHA-1") && !lines.contains(&"DES3"));
    assert!(text.ends_with('\n') && !text.contains("\n\n"));
    let legacy = get(&responder(Algorithms::Legacy), "operation=GetCACaps").reply;
    let text = String::from_utf8(legacy.body).unwrap();
    assert!(text.contains("\nSHA-1\n") && text.contains("\nDES3\n"));
}

#[test]
fn ca_certificates_come_alone_or_in_a_bag() {
    let reply = get(&responder(Algorithms::Current), "operation=GetCACert&message=0").reply;
    assert_eq!(reply.headers, [("content-type", "application/x-x509-ca-ra-cert".to_owned())]);
    let fields = signed::content_info(&reply.body, &oid::SIGNED_DATA, "").unwrap().parts("").unwrap();
    let certificates = asn1::list(fields[3].content, "").unwrap();
    assert_eq!(certificates.len(), 2);
    assert_eq!(certificates[1].whole, issuing());
    let alone = Responder::new(&issuing(), &[], Algorithms::Current).unwrap();
    let reply = get(&alone, "operation=GetCACert").reply;
    assert_eq!(reply.headers, [("content-type", "application/x-x509-ca-cert".to_owned())]);
    assert_eq!(reply.body, issuing());
}

// R44: the next generation is known before it is used.
#[test]
fn the_next_ca_is_given_out_signed_or_not_at_all() {
    let none = get(&responder(Algorithms::Current), "operation=GetNextCACert");
    assert_eq!((none.reply.status, none.refusal), (404, Some(Refusal::NoNextCertificate)));
    let with_next = responder(Algorithms::Current).with_next(vec![DEVICE.certificate.clone()]).unwrap();
    let reply = get(&with_next, "operation=GetNextCACert").reply;
    assert_eq!(reply.headers, [("content-type", "application/x-x509-next-ca-cert".to_owned())]);
    let signed = signed::read(&reply.body).unwrap();
    let signer = signed.certificate().unwrap();
    signed.verify(&peer::Peer::read(&signer).unwrap().key, Algorithms::Current).unwrap();
    let bag = signed.content.unwrap();
    let fields = signed::content_info(bag, &oid::SIGNED_DATA, "").unwrap().parts("").unwrap();
    assert_eq!(fields[3].content, DEVICE.certificate);
}

#[test]
fn a_responder_needs_certificates_and_an_rsa_key() {
    let bad = Responder::new(b"", &[], Algorithms::Current);
    assert!(matches!(bad, Err(SetupError::Certificate { number: 1, .. })));
    let bad = Responder::new(&issuing(), &[vec![1]], Algorithms::Current);
    assert!(matches!(bad, Err(SetupError::Certificate { number: 2, .. })));
    let many = vec![issuing(); 8];
    assert_eq!(Responder::new(&issuing(), &many, Algorithms::Current).err(), Some(SetupError::TooMany(9)));
    let responder = responder(Algorithms::Current);
    assert_eq!(responder.clone().with_next(Vec::new()).err(), Some(SetupError::NoNext));
    assert!(responder.with_next(vec![vec![0]]).is_err());
    let ec = data_encoding::BASE64.decode(EC_CERTIFICATE.as_bytes()).unwrap();
    assert_eq!(Responder::new(&ec, &[], Algorithms::Current).err(), Some(SetupError::NotRsa));
}

/// Self-signed, P-256.
const EC_CERTIFICATE: &str = "MIIBbjCCARWgAwIBAgIUSYKSEI6p4o2aKhULySb/wM8I6sQwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCZWMwHhcNMjYxMTI3MDQ0NDAzWhcNMzYxMTI0MDQ0NDAzWjANMQswCQYDVQQDDAJlYzBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABBhJnOwqjcrjBV6YViUdR13T3wEsfRnK45xVErASx0lJQANldVrzLBWUueSehDmUhVY3Kka+pY4HW7g+WkAFgQ6jUzBRMB0GA1UdDgQWBBS0k7WzRpQjKy5s6tKwSn/z9s4R3jAfBgNVHSMEGDAWgBS0k7WzRpQjKy5s6tKwSn/z9s4R3jAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0cAMEQCIGk3lgYbIDeKLf77dBzm+4T9bn2Z1zpfS78BfIXgIH2wAiBuKL2Ate7uUgLLcqwUvqIAcDizFMODyde4mnYHEhEFbw==";

// I12: who floods with what is no message, or asks what is public, uses nothing up; every use of the key is asked for, once.
#[test]
fn only_what_takes_the_key_has_to_be_admitted() {
    let message = Draft::pkcs_req(&DEVICE).make();
    let admitted = |method: &str, query: &str, body: &[u8], may: bool| {
        let asked = std::cell::Cell::new(0);
        let admit = || {
            asked.set(asked.get() + 1);
            may
        };
        let incoming = Incoming { method, path: "/scep", query, body };
        let none = Transactions::default();
        let responder = responder(Algorithms::Current);
        let received = responder.receive(&incoming, decrypt, sign, admit, (&none, NOW, &fresh()));
        (asked.get(), matches!(received, Received::Later))
    };
    let operation = "operation=PKIOperation";
    for (what, method, query, body) in [
        ("capabilities", "GET", "operation=GetCACaps", &b""[..]),
        ("capabilities in other letters", "GET", "operation=getcacert&message=0", b""),
        ("nothing", "POST", operation, b""),
        ("a byte", "POST", operation, b"x"),
        ("half a message", "POST", operation, &message[..message.len() / 2]),
        ("another method", "PUT", operation, &message),
    ] {
        assert_eq!(admitted(method, query, body, false), (0, false), "{what}");
    }
    assert_eq!(admitted("POST", operation, &message, true), (1, false));
    assert_eq!(admitted("POST", operation, &message, false), (1, true));
    assert_eq!(admitted("GET", "operation=GetNextCACert", b"", false), (1, true));
}

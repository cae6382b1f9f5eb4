//! Every check where it says no.

use super::super::testing::*;
use super::super::*;
use lanyard_pki::key::{KeyBackend, KeyKind, MemoryKeys};
use lanyard_pki::write;

fn refusal(draft: &Draft<'_>) -> Refusal {
    let responder = responder(Algorithms::Current);
    let done = done(receive(&responder, &draft.make(), &Transactions::default()));
    let refusal = done.refusal.unwrap();
    match refusal.fail_info() {
        Some(code) => {
            let opened = draft.device.open(&done.reply.body);
            assert_eq!((opened.status.as_str(), opened.content), ("2", None));
            assert_eq!(opened.fail_info.as_deref(), Some(code.as_str()));
            assert_eq!(opened.recipient_nonce, NONCE);
        }
        None => assert_eq!(done.reply.status, 400),
    }
    refusal
}

// R36, I1: who holds another key, or nobody's certificate, gets nothing.
#[test]
fn a_request_must_be_signed_by_who_asks() {
    let other_key = Draft::new(&DEVICE, "19", OTHER.csr(Some(CHALLENGE)));
    assert_eq!(refusal(&other_key), Refusal::OtherKey);
    assert_eq!(refusal(&Draft::pkcs_req(&PRETENDER)), Refusal::NotSelfSigned);
    let self_signed = Draft::new(&DEVICE, "17", DEVICE.csr(None));
    assert_eq!(refusal(&self_signed), Refusal::RenewalSelfSigned);
    let without_secret = Draft::new(&DEVICE, "19", DEVICE.csr(None));
    assert_eq!(refusal(&without_secret), Refusal::NoChallenge);
    assert_eq!(Refusal::NoChallenge.fail_info(), Some(FailInfo::BadRequest));
}

// R36: a wrong secret is refused.
#[test]
fn a_wrong_challenge_is_refused() {
    let responder = responder(Algorithms::Current);
    let mut transactions = Transactions::default();
    let asked = asked(receive(&responder, &Draft::pkcs_req(&DEVICE).make(), &transactions));
    let done =
        responder.answer(&asked.exchange, Answer::WrongChallenge, sign, &mut transactions, NOW, &fresh());
    let opened = DEVICE.open(&done.reply.body);
    assert_eq!((opened.status.as_str(), opened.fail_info.as_deref()), ("2", Some("2")));
    assert!(transactions.is_empty());
}

#[test]
fn a_message_of_another_type_or_for_another_ca_is_refused() {
    let csr = DEVICE.csr(Some(CHALLENGE));
    assert_eq!(refusal(&Draft::new(&DEVICE, "18", csr)), Refusal::MessageType("18".into()));
    let elsewhere = Draft { to: &OTHER.certificate, ..Draft::pkcs_req(&DEVICE) };
    assert_eq!(refusal(&elsewhere), Refusal::NotForUs);
    assert_eq!(Refusal::NotForUs.fail_info(), Some(FailInfo::BadCertId));
    let des = Draft { cipher: cipher::Cipher::Des, ..Draft::pkcs_req(&DEVICE) };
    assert_eq!(refusal(&des), Refusal::ContentCipher);
    assert_eq!(Refusal::ContentCipher.fail_info(), Some(FailInfo::BadAlg));
}

/// SubjectPublicKeyInfo of a P-256 key, and of an RSA key with 1024 bits.
fn unusable_keys() -> [Vec<u8>; 2] {
    let label = "device".parse().unwrap();
    let p256 = MemoryKeys::default().generate(&label, KeyKind::P256).unwrap();
    let mut rsa = Vec::new();
    write::tlv(&mut rsa, write::SEQUENCE, |o| {
        write::bytes(o, write::INTEGER, &[&[0], [0xc1; 128].as_slice()].concat());
        write::bytes(o, write::INTEGER, &[1, 0, 1]);
    });
    let mut spki = Vec::new();
    write::tlv(&mut spki, write::SEQUENCE, |o| {
        signed::algorithm_identifier(o, &oid::RSA_ENCRYPTION);
        write::bit_string(o, &rsa);
    });
    [p256, spki]
}

#[test]
fn a_key_that_is_weak_or_cannot_be_encrypted_to_is_refused() {
    let [p256, short] = unusable_keys().map(|spki| Device::with_key(&spki));
    assert_eq!(refusal(&Draft::pkcs_req(&p256)), Refusal::SignerKeyNotRsa);
    assert_eq!(Refusal::SignerKeyNotRsa.fail_info(), Some(FailInfo::BadAlg));
    let refused = refusal(&Draft::pkcs_req(&short));
    assert!(refused.to_string().contains("1024 bits"), "{refused}");
}

#[test]
fn a_key_transport_other_than_pkcs1_is_refused() {
    let oaep = |sealed: &mut Vec<u8>| {
        let rsa = oid::RSA_ENCRYPTION.as_bytes().to_vec();
        let at = sealed.windows(rsa.len()).position(|window| window == rsa).unwrap();
        sealed[at + rsa.len() - 1] = 7;
    };
    assert_eq!(refusal(&Draft { spoil: oaep, ..Draft::pkcs_req(&DEVICE) }), Refusal::KeyTransport);
}

#[test]
fn a_certificate_that_no_ca_may_issue_renews_nothing() {
    let zero = Device::new(Issuer::Another, &[0]);
    let refused = refusal(&Draft::new(&zero, "17", zero.csr(None)));
    assert!(matches!(refused, Refusal::RenewalCertificate(_)), "{refused:?}");
    // As a container for a key of one's own it will do.
    let zero = Device::new(Issuer::Itself, &[0]);
    let made = Draft::pkcs_req(&zero).make();
    asked(receive(&responder(Algorithms::Current), &made, &Transactions::default()));
}

// I12
#[test]
fn attributes_are_needed_once_each_and_bounded() {
    let csr = || Draft::pkcs_req(&DEVICE);
    let long = "t".repeat(129);
    for (what, draft) in [
        ("no transaction", Draft { attributes: |a| drop(a.remove(1)), ..csr() }),
        ("no nonce", Draft { attributes: |a| drop(a.remove(2)), ..csr() }),
        ("no type", Draft { attributes: |a| drop(a.remove(0)), ..csr() }),
        ("a second type", Draft { attributes: |a| a.push(a[0].clone()), ..csr() }),
        ("a transaction of 129 characters", Draft { transaction: &long, ..csr() }),
        ("an empty transaction", Draft { transaction: "", ..csr() }),
        ("a transaction with a line break", Draft { transaction: "a\nb", ..csr() }),
        (
            "a nonce of 65 octets",
            Draft { attributes: |a| a[2].1 = [&[write::OCTET_STRING, 65][..], &[1; 65]].concat(), ..csr() },
        ),
        (
            "a nonce that is a string",
            Draft { attributes: |a| a[2].1 = vec![write::UTF8_STRING, 1, b'a'], ..csr() },
        ),
        ("two values", Draft { attributes: |a| a[2].1 = [a[2].1.as_slice(), &a[2].1].concat(), ..csr() }),
    ] {
        assert!(matches!(refusal(&draft), Refusal::Unreadable(_)), "{what}");
    }
    let longest = "t".repeat(128);
    let made = Draft { transaction: &longest, ..csr() }.make();
    let received = receive(&responder(Algorithms::Current), &made, &Transactions::default());
    assert_eq!(asked(received).exchange.transaction().to_string(), longest);
}

#[test]
fn what_no_reply_can_be_made_for_is_an_http_error() {
    let responder = responder(Algorithms::Current);
    let none = Transactions::default();
    for (body, status) in [(vec![], 400), (b"hello".to_vec(), 400), (vec![0x30, 0], 400), (issuing(), 400)] {
        assert_eq!(done(receive(&responder, &body, &none)).reply.status, status);
    }
    let large = vec![0x30; MAX_MESSAGE_BYTES + 1];
    assert_eq!(done(receive(&responder, &large, &none)).reply.status, 413);
}

// The signature, the digest and the certificate, each broken alone.
#[test]
fn a_broken_signature_is_told_apart_from_a_broken_digest() {
    let responder = responder(Algorithms::Current);
    let none = Transactions::default();
    let message = Draft::pkcs_req(&DEVICE).make();
    let last = message.len() - 1;
    let mut changed = message.clone();
    changed[last] ^= 1;
    assert_eq!(done(receive(&responder, &changed, &none)).refusal, Some(Refusal::Signature));
    let envelope = message.windows(11).position(|w| w == [6, 9, 42, 134, 72, 134, 247, 13, 1, 7, 3]).unwrap();
    let mut changed = message.clone();
    changed[envelope + 200] ^= 1;
    assert_eq!(done(receive(&responder, &changed, &none)).refusal, Some(Refusal::MessageDigest));
    // The serial number in the SignerInfo names a certificate that is not there.
    let serial = message.windows(4).rposition(|w| w == [2, 2, 0x41, 7]).unwrap();
    let mut changed = message;
    changed[serial + 3] ^= 1;
    assert_eq!(done(receive(&responder, &changed, &none)).refusal, Some(Refusal::NoSignerCertificate));
}

// R56: clients keep the certificate that they got for longer than it is good.
#[test]
fn what_was_encrypted_to_a_former_certificate_still_opens_and_to_others_not() {
    let (message, none) = (Draft::pkcs_req(&DEVICE).make(), Transactions::default());
    let renewed = Responder::new(&issuing(), &[], Algorithms::Current).unwrap();
    assert_eq!(done(receive(&renewed, &message, &none)).refusal, Some(Refusal::NotForUs));
    let knows = renewed.clone().with_former(&[RESPONDER.to_vec()]).unwrap();
    assert!(matches!(asked(receive(&knows, &message, &none)).wish, Wish::Enroll(_)));
    assert!(matches!(renewed.with_former(&[vec![0x30]]), Err(SetupError::Certificate { number: 1, .. })));
}

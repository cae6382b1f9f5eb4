//! Every check where it says no.

use super::super::testing::*;
use super::super::*;
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
    let mut made = Draft { transaction: &long[..127], ..csr() }.make();
    assert!(matches!(
        receive(&responder(Algorithms::Current), &made, &Transactions::default()),
        Received::Asked(_)
    ));
    // 129 characters need a length in two octets, which the draft's helper does not write: patched in place.
    let at = made.windows(127).position(|window| window == &long.as_bytes()[..127]).unwrap();
    made[at - 1] = 126;
    assert_eq!(
        done(receive(&responder(Algorithms::Current), &made, &Transactions::default())).reply.status,
        400
    );
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

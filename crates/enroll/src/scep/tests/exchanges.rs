//! Requests and their replies.

use super::super::cipher::Cipher;
use super::super::testing::*;
use super::super::*;
use crate::request::{Authentication, EnrollmentRequest, Outcome, Protocol};

const CHAIN: [&[u8]; 2] = [&[0x30, 3, 2, 1, 1], &[0x30, 3, 2, 1, 2]];

fn issued() -> Outcome {
    Outcome::Issued { chain: CHAIN.map(<[u8]>::to_vec).to_vec() }
}

fn pending() -> Outcome {
    Outcome::Pending { retry_after_seconds: 60, why: "two people must approve".into() }
}

fn answer(exchange: &Exchange, answer: Answer, transactions: &mut Transactions) -> Done {
    responder(Algorithms::Legacy).answer(exchange, answer, sign, transactions, NOW, &fresh())
}

fn decided(asked: Asked, outcome: Outcome, transactions: &mut Transactions) -> Done {
    let request = match asked.wish {
        Wish::Enroll(enrollment) => {
            let Authentication::Secret(proven) = request().authentication else { panic!("a secret") };
            enrollment.proven(proven)
        }
        Wish::Decide(request) => request,
    };
    answer(&asked.exchange, Answer::Decided { request: Box::new(request), outcome }, transactions)
}

fn ask(draft: &Draft<'_>, transactions: &Transactions) -> Asked {
    asked(receive(&responder(Algorithms::Legacy), &draft.make(), transactions))
}

fn certificates(content: &[u8]) -> Vec<Vec<u8>> {
    let fields = signed::content_info(content, &oid::SIGNED_DATA, "").unwrap().parts("").unwrap();
    assert_eq!(fields[3].tag, 0xa0);
    asn1::list(fields[3].content, "").unwrap().iter().map(|element| element.whole.to_vec()).collect()
}

// R36: a device that speaks SCEP gets its certificate.
#[test]
fn a_certificate_comes_back_in_the_cipher_of_the_request_with_its_nonce_and_transaction() {
    for cipher in [Cipher::Aes128, Cipher::Aes192, Cipher::Aes256, Cipher::TripleDes, Cipher::Des] {
        let mut transactions = Transactions::default();
        let asked = ask(&Draft { cipher, ..Draft::pkcs_req(&DEVICE) }, &transactions);
        let done = decided(asked, issued(), &mut transactions);
        assert_eq!((done.reply.status, done.refusal), (200, None));
        assert_eq!(done.reply.headers, [("content-type", "application/x-pki-message".to_owned())]);
        let opened = DEVICE.open(&done.reply.body);
        assert_eq!((opened.status.as_str(), opened.fail_info), ("0", None));
        assert_eq!((opened.transaction.as_str(), opened.cipher), ("transaction-1", Some(cipher)));
        assert_eq!(opened.recipient_nonce, NONCE);
        assert_eq!(certificates(&opened.content.unwrap()), CHAIN);
        assert!(transactions.is_empty());
    }
}

#[test]
fn a_request_names_protocol_profile_key_and_secret() {
    let asked = ask(&Draft::pkcs_req(&DEVICE), &Transactions::default());
    let Wish::Enroll(enrollment) = asked.wish else { panic!("{:?}", asked.wish) };
    assert_eq!(enrollment.challenge(), CHALLENGE);
    assert!(!format!("{enrollment:?}").contains(CHALLENGE), "I10: nothing secret is printed");
    let Authentication::Secret(proven) = request().authentication else { panic!("a secret") };
    let request = enrollment.proven(proven);
    assert_eq!((request.protocol, request.profile.as_deref()), (Protocol::Scep, Some("pump")));
    assert_eq!(request.csr.spki_der(), DEVICE.spki);
    assert!(matches!(request.authentication, Authentication::Secret(secret) if secret == proven));
}

// R36
#[test]
fn a_renewal_is_signed_with_the_certificate_that_it_renews_and_may_be_for_another_key() {
    // The second is how certmonger renews; its old challenge, still in there, does not count.
    for draft in
        [Draft::new(&ENROLLED, "17", OTHER.csr(None)), Draft::new(&ENROLLED, "19", OTHER.csr(Some("old")))]
    {
        let asked = ask(&draft, &Transactions::default());
        let Wish::Decide(EnrollmentRequest { csr, authentication, .. }) = &asked.wish else {
            panic!("{:?}", asked.wish)
        };
        assert_eq!(csr.spki_der(), OTHER.spki);
        let Authentication::Certificate(chain) = authentication else { panic!("{authentication:?}") };
        assert_eq!(*chain, [ENROLLED.certificate.as_slice()]);
        let done = decided(asked, issued(), &mut Transactions::default());
        // To the certificate that asked, not to the new key.
        let opened = ENROLLED.open(&done.reply.body);
        assert_eq!(certificates(&opened.content.unwrap()), CHAIN);
    }
}

// R36: kept pending until approved.
#[test]
fn a_pending_request_is_found_by_a_poll_until_its_certificate_has_arrived() {
    let mut transactions = Transactions::default();
    let done = decided(ask(&Draft::pkcs_req(&DEVICE), &transactions), pending(), &mut transactions);
    let opened = DEVICE.open(&done.reply.body);
    assert_eq!((opened.status.as_str(), opened.content, opened.fail_info), ("3", None, None));
    assert_eq!(transactions.len(), 1);

    // Still waiting; then issued; then the reply got lost.
    let poll = Draft::cert_poll(&DEVICE);
    let asked_again = ask(&poll, &transactions);
    assert!(matches!(&asked_again.wish, Wish::Decide(r) if r.csr.spki_der() == DEVICE.spki));
    assert_eq!(DEVICE.open(&decided(asked_again, pending(), &mut transactions).reply.body).status, "3");
    let done = decided(ask(&poll, &transactions), issued(), &mut transactions);
    assert_eq!(certificates(&DEVICE.open(&done.reply.body).content.unwrap()), CHAIN);
    let again = testing::done(receive(&responder(Algorithms::Legacy), &poll.make(), &transactions));
    assert_eq!(certificates(&DEVICE.open(&again.reply.body).content.unwrap()), CHAIN);
}

#[test]
fn a_client_that_sends_its_request_again_instead_of_polling_is_understood() {
    let mut transactions = Transactions::default();
    for device in [&DEVICE, &OTHER] {
        let draft = Draft::pkcs_req(device);
        decided(ask(&draft, &transactions), pending(), &mut transactions);
        // No secret is asked for again: the key is the same, and it was good when the request came first.
        let asked = ask(&draft, &transactions);
        assert!(matches!(&asked.wish, Wish::Decide(r) if r.csr.spki_der() == device.spki));
    }
    let renewal = Draft::new(&ENROLLED, "17", OTHER.csr(None));
    decided(ask(&renewal, &transactions), pending(), &mut transactions);
    assert!(matches!(ask(&renewal, &transactions).wish, Wish::Decide(_)));
    assert_eq!(transactions.len(), 3);
}

#[test]
fn a_renewal_soon_after_the_first_certificate_is_decided_anew() {
    let mut transactions = Transactions::default();
    let renewal = Draft::new(&ENROLLED, "17", ENROLLED.csr(None));
    for _ in 0..2 {
        decided(ask(&renewal, &transactions), pending(), &mut transactions);
        let done = decided(ask(&renewal, &transactions), issued(), &mut transactions);
        assert_eq!(ENROLLED.open(&done.reply.body).status, "0");
    }
    assert!(matches!(ask(&renewal, &transactions).wish, Wish::Decide(_)));
    // And with another new key while the first one waits.
    decided(ask(&renewal, &transactions), pending(), &mut transactions);
    let rekey = Draft::new(&ENROLLED, "17", OTHER.csr(None));
    assert!(matches!(ask(&rekey, &transactions).wish, Wish::Decide(r) if r.csr.spki_der() == OTHER.spki));
}

#[test]
fn a_poll_with_another_key_or_of_another_transaction_finds_nothing() {
    let mut transactions = Transactions::default();
    decided(ask(&Draft::pkcs_req(&DEVICE), &transactions), pending(), &mut transactions);
    let stranger = Draft::cert_poll(&OTHER);
    let elsewhere = Draft { transaction: "transaction-2", ..Draft::cert_poll(&DEVICE) };
    for (device, draft) in [(&OTHER, stranger), (&DEVICE, elsewhere)] {
        let done = done(receive(&responder(Algorithms::Legacy), &draft.make(), &transactions));
        assert_eq!(done.refusal, Some(Refusal::UnknownTransaction));
        let opened = device.open(&done.reply.body);
        assert_eq!((opened.status.as_str(), opened.fail_info.as_deref()), ("2", Some("4")));
    }
}

#[test]
fn a_refusal_carries_its_reason_and_ends_the_waiting() {
    let mut transactions = Transactions::default();
    decided(ask(&Draft::pkcs_req(&DEVICE), &transactions), pending(), &mut transactions);
    let refused = Outcome::Refused { code: "retired".into(), why: "the device is retired".into() };
    let done = decided(ask(&Draft::cert_poll(&DEVICE), &transactions), refused, &mut transactions);
    let opened = DEVICE.open(&done.reply.body);
    assert_eq!((opened.status.as_str(), opened.fail_info.as_deref()), ("2", Some("2")));
    assert_eq!((opened.text.as_deref(), opened.content), (Some("the device is retired"), None));
    assert!(transactions.is_empty());
}

#[test]
fn our_own_failure_is_an_http_error_that_asks_to_come_again() {
    let mut transactions = Transactions::default();
    let unavailable = Outcome::Unavailable { why: "the log is away".into() };
    let done = decided(ask(&Draft::pkcs_req(&DEVICE), &transactions), unavailable, &mut transactions);
    assert_eq!(done.reply.status, 503);
    assert!(done.reply.headers.contains(&("retry-after", "60".to_owned())));
    let asked = ask(&Draft::pkcs_req(&DEVICE), &transactions);
    let answer = Answer::Decided { request: Box::new(request()), outcome: issued() };
    let no_key = |_: &[u8]| Err("the key store is away");
    let done = responder(Algorithms::Legacy).answer(
        &asked.exchange,
        answer,
        no_key,
        &mut transactions,
        NOW,
        &fresh(),
    );
    assert_eq!(done.reply.status, 503);
    assert!(matches!(done.refusal, Some(Refusal::Answer(why)) if why.contains("key store")));
}

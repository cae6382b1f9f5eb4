//! What must not be told apart (Bleichenbacher 1998, Vaudenay 2002): whoever sends somebody else's envelope, changed,
//! learns nothing but that it does not open.

use super::super::testing::*;
use super::super::*;

/// The reply without what is random in it.
fn reply(draft: &Draft<'_>) -> (Option<String>, Option<String>) {
    let done = done(receive(&responder(Algorithms::Current), &draft.make(), &Transactions::default()));
    assert_eq!(done.refusal, Some(Refusal::Sealed));
    let opened = draft.device.open(&done.reply.body);
    (opened.fail_info, opened.text)
}

/// Where the OCTET STRING of the transported key begins: 256 octets.
fn wrapped_key(sealed: &[u8]) -> usize {
    sealed.windows(4).position(|window| window == [4, 0x82, 1, 0]).unwrap() + 4
}

#[test]
fn every_reason_for_not_opening_gets_the_same_answer() {
    let csr = || Draft::pkcs_req(&DEVICE);
    let foreign_signature = {
        let mut csr = DEVICE.csr(Some(CHALLENGE));
        let last = csr.len() - 1;
        csr[last] ^= 1;
        csr
    };
    let answers: Vec<_> = [
        // RSA: no padding of PKCS #1 v1.5 comes out.
        Draft {
            spoil: |sealed| {
                let at = wrapped_key(sealed);
                sealed[at + 100] ^= 1;
            },
            ..csr()
        },
        // RSA: a number above the modulus.
        Draft {
            spoil: |sealed| {
                let at = wrapped_key(sealed);
                sealed[at..at + 256].fill(0xff);
            },
            ..csr()
        },
        // RSA: a good padding around a key of another length, as if for AES-256.
        Draft {
            spoil: |sealed| {
                let at =
                    sealed.windows(9).position(|w| w == [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 1, 2]).unwrap();
                sealed[at + 8] = 42;
            },
            ..csr()
        },
        // CBC: the last block, and so the padding.
        Draft {
            spoil: |sealed| {
                let at = sealed.len() - 1;
                sealed[at] ^= 1;
            },
            ..csr()
        },
        // CBC: the block before it, which changes the padding only.
        Draft {
            spoil: |sealed| {
                let at = sealed.len() - 17;
                sealed[at] ^= 0x40;
            },
            ..csr()
        },
        // CBC: a block in the middle.
        Draft {
            spoil: |sealed| {
                let at = sealed.len() - 200;
                sealed[at] ^= 1;
            },
            ..csr()
        },
        // The content is something else, nothing, a request that its key did not sign.
        Draft::new(&DEVICE, "19", vec![0x30, 0]),
        Draft::new(&DEVICE, "19", Vec::new()),
        Draft::new(&DEVICE, "19", foreign_signature),
    ]
    .iter()
    .map(reply)
    .collect();
    assert_eq!(answers[0].0.as_deref(), Some("1"), "badMessageCheck");
    for answer in &answers {
        assert_eq!(answer, &answers[0]);
    }
}

#[test]
fn a_key_store_that_fails_looks_like_a_wrong_key() {
    let body = Draft::pkcs_req(&DEVICE).make();
    let incoming = Incoming { method: "POST", path: "/scep", query: "operation=PKIOperation", body: &body };
    let responder = responder(Algorithms::Current);
    let no_key = |_: &[u8]| Err::<Vec<u8>, _>("away");
    let received =
        responder.receive(&incoming, no_key, sign, || true, (&Transactions::default(), NOW, &fresh()));
    assert_eq!(done(received).refusal, Some(Refusal::Sealed));
    // Then it cannot sign either, and the client is asked to come again.
    let received =
        responder.receive(&incoming, no_key, no_key, || true, (&Transactions::default(), NOW, &fresh()));
    assert_eq!(done(received).reply.status, 503);
}

// Their content is not signed with a key of its own: who could ask about it could shape it, block by block.
#[test]
fn only_requests_for_certificates_are_opened() {
    let refusal = |message_type: &str| {
        let body = Draft::new(&DEVICE, message_type, DEVICE.csr(Some(CHALLENGE))).make();
        let never = |_: &[u8]| -> Result<Vec<u8>, &str> { panic!("messageType {message_type} was opened") };
        let none = Transactions::default();
        let received = responder(Algorithms::Current).receive(
            &post(&body),
            never,
            sign,
            || true,
            (&none, NOW, &fresh()),
        );
        done(received).refusal
    };
    assert_eq!(refusal("20"), Some(Refusal::UnknownTransaction));
    assert_eq!(refusal("21"), Some(Refusal::NotServed));
    assert_eq!(refusal("22"), Some(Refusal::NotServed));
    assert_eq!(Refusal::NotServed.fail_info(), Some(FailInfo::BadRequest));
}

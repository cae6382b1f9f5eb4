//! What real clients sent.

use aws_lc_rs::digest;

use super::super::testing::*;
use super::super::*;

/// What a message asks, in a form that can be compared.
fn wish(received: Received) -> Option<(Vec<u8>, String, String, Vec<u8>)> {
    let Received::Asked(asked) = received else { return None };
    let transaction = asked.exchange.transaction().to_string();
    let nonce = asked.exchange.head.sender_nonce.clone();
    let enrollment = match asked.wish {
        Wish::Enroll(enrollment) => enrollment,
        // The subject of the client's own certificate was changed: it looks issued then, and the rules find no CA for it.
        Wish::Decide(request) => {
            assert!(matches!(request.authentication, crate::Authentication::Certificate(_)));
            return None;
        }
    };
    let challenge = enrollment.challenge().to_owned();
    Some((enrollment.proven(proven()).csr.spki_der().to_vec(), challenge, transaction, nonce))
}

fn proven() -> crate::secret::SecretProven {
    match request().authentication {
        crate::Authentication::Secret(proven) => proven,
        _ => panic!("a secret"),
    }
}

// R36
#[test]
fn requests_of_real_clients_are_understood() {
    for (name, message) in recorded() {
        let (spki, challenge, transaction, nonce) =
            wish(receive(&responder(Algorithms::Legacy), &message, &Transactions::default())).unwrap();
        assert_eq!(challenge, CHALLENGE, "{name}");
        assert_eq!(nonce.len(), 16, "{name}");
        assert!(!spki.is_empty() && !transaction.is_empty(), "{name}");
        if name.starts_with("strongSwan") {
            let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &spki);
            assert_eq!(transaction, data_encoding::HEXUPPER.encode(sha1.as_ref()));
        }
    }
}

#[test]
fn the_same_requests_in_ber_are_the_same() {
    for (name, message) in recorded() {
        let responder = responder(Algorithms::Legacy);
        let read = |message: &[u8]| wish(receive(&responder, message, &Transactions::default()));
        assert_eq!(read(&to_ber(&message)), read(&message), "{name}");
    }
}

#[test]
fn a_client_that_signs_with_sha1_is_refused_where_legacy_is_not_allowed() {
    for (name, message) in recorded() {
        let received = receive(&responder(Algorithms::Current), &message, &Transactions::default());
        if name.starts_with("micromdm") {
            let refusal = done(received).refusal;
            assert_eq!(refusal, Some(Refusal::SignatureAlgorithm));
            assert_eq!(refusal.unwrap().fail_info(), Some(FailInfo::BadAlg));
        } else {
            assert!(wish(received).is_some(), "{name}");
        }
    }
}

// I12
#[test]
fn a_cut_at_any_byte_is_refused() {
    let responder = responder(Algorithms::Legacy);
    for (name, message) in recorded() {
        for at in 0..message.len() {
            let done = done(receive(&responder, &message[..at], &Transactions::default()));
            assert_eq!(done.reply.status, 400, "{name} at {at}");
        }
        let longer = [message.as_slice(), &[0]].concat();
        assert_eq!(done(receive(&responder, &longer, &Transactions::default())).reply.status, 400, "{name}");
    }
}

// I12: what is not covered by the signature does not change what is asked. Every bit of strongSwan's message; of the
// others, which have the same shape, one bit of every byte.
#[test]
fn a_flipped_bit_changes_nothing_or_is_refused() {
    let (responder, none, fresh) = (responder(Algorithms::Legacy), Transactions::default(), fresh());
    // Refusals are not signed here: twenty thousand RSA signatures would be most of the time.
    let unsigned = |_: &[u8]| Err("no signature");
    let read = |message: &[u8]| {
        wish(responder.receive(&post(message), decrypt, unsigned, || true, (&none, NOW, &fresh)))
    };
    for (name, message) in recorded() {
        let expected = read(&message).unwrap();
        let (mut flips, mut without_effect) = (0, 0);
        for at in 0..message.len() {
            for bit in 0..8 {
                if !name.starts_with("strongSwan") && bit != at % 8 {
                    continue;
                }
                let mut changed = message.clone();
                changed[at] ^= 1 << bit;
                flips += 1;
                if let Some(wish) = read(&changed) {
                    assert_eq!(wish, expected, "{name}: bit {bit} at {at}");
                    without_effect += 1;
                }
            }
        }
        // Versions, the list of digest algorithms, NULL parameters: few bytes of more than two thousand.
        assert!(without_effect * 50 < flips, "{name}: {without_effect} of {flips} have no effect");
    }
}

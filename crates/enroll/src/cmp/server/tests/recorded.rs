//! Messages that OpenSSL 3.0.19 sent, recorded with `-reqout`: byte for byte what a client that nobody here wrote sends.
//! `vectors/README.md` has the commands.

use lanyard_domain::time::Timestamp;

use super::*;

/// A recorded message, when it was sent, and the bench that goes by the name to which it was sent.
fn recorded(bytes: &'static [u8]) -> (Parts<'static>, Timestamp, Bench) {
    let parts = Parts::of(bytes).unwrap();
    let header = parts.header().unwrap();
    let policy = Policy { former_names: vec![header.recipient.unwrap()], ..Policy::default() };
    (parts, header.time.unwrap(), Bench::with(policy, TransactionLimits::default()))
}

#[test]
fn first_messages_of_openssl_are_served_and_changed_ones_are_not() {
    let vectors: [(&'static [u8], Kind); 7] = [
        (include_bytes!("../vectors/ir-pbm-sha1.der"), Kind::Ir),
        (include_bytes!("../vectors/ir-pbm-sha256.der"), Kind::Ir),
        (include_bytes!("../vectors/p10cr-pbm-sha1.der"), Kind::P10cr),
        (include_bytes!("../vectors/cr-signed.der"), Kind::Cr),
        (include_bytes!("../vectors/kur-signed.der"), Kind::Kur),
        (include_bytes!("../vectors/rr-signed.der"), Kind::Rr),
        (include_bytes!("../vectors/genm-signed.der"), Kind::Genm),
    ];
    for (message, kind) in vectors {
        let (parts, sent, bench) = recorded(message);
        assert_eq!(parts.kind(), Some(kind));
        let serve = |message: &[u8]| {
            let mut transactions = Transactions::new(TransactionLimits::default());
            let received = bench.server.receive(message, Some(CONTENT_TYPE), &Endpoint::default(), sent);
            let Ok(received) = received else { return None };
            received
                .verify(Some(&secret(1).into_recorded()))
                .ok()?
                .accept(&bench.server, &mut transactions, sent)
                .ok()
        };
        match (kind, serve(message).unwrap()) {
            (Kind::Rr, Request::Revoke(revoke)) => {
                assert!(revoke.request.is_own);
                assert_eq!(revoke.request.reason, Reason::Superseded);
            }
            (Kind::Genm, Request::Inform(inform)) => {
                assert_eq!(inform.questions, [Question::CaCertificates]);
            }
            (_, Request::Enroll(enroll)) => assert_eq!(enroll.kind().request(), kind),
            (_, other) => panic!("{other:?}"),
        }
        // extraCerts stand last and are not protected.
        let extra: usize = parts.extra_certificates().unwrap().iter().map(|c| c.len()).sum();
        for at in 0..message.len() - extra - 8 {
            let mut changed = message.to_vec();
            changed[at] ^= 1 << (at % 8);
            assert!(serve(&changed).is_none(), "{kind:?}, byte {at}");
            assert!(serve(&message[..at]).is_none(), "{kind:?}, cut at {at}");
        }
    }
}

#[test]
fn later_messages_of_openssl_verify_and_belong_to_no_transaction_of_ours() {
    let vectors: [(&'static [u8], Kind); 3] = [
        (include_bytes!("../vectors/pollreq-pbm-sha1.der"), Kind::PollReq),
        (include_bytes!("../vectors/certconf-pbm-sha256.der"), Kind::CertConf),
        (include_bytes!("../vectors/certconf-signed.der"), Kind::CertConf),
    ];
    for (message, kind) in vectors {
        let (parts, sent, bench) = recorded(message);
        assert_eq!(parts.kind(), Some(kind));
        let mut transactions = Transactions::new(TransactionLimits::default());
        let asked = ask(&bench.server, &mut transactions, message, Some(&secret(1).into_recorded()), sent);
        assert_eq!(refusal_of(asked), Refusal::UnknownTransaction);
    }
}

//! Answers of others, and of those who have no right to answer.

use super::super::{cert_id, delegate, response};
use super::*;
use crate::write::Critical;

/// An answer signed by whatever certificate.
fn signed_by(h: &Hospital, signer: &Issued, ask: &Ask) -> Vec<u8> {
    let key = signer.certificate.public_key().unwrap();
    let request = Request::parse(&ask.request()).unwrap();
    let tbs = response::encode(&response::Data {
        responder: &cert_id::sha1(key.bits()),
        produced_at: NOW,
        singles: &[response::Single {
            cert_id: request.asked()[0].whole(),
            status: response::CertStatus::Good,
            this_update: NOW,
            next_update: NOW.plus_seconds(60),
        }],
        nonce: None,
        extended_revoke: false,
    });
    let signature = h.a.keys.sign(&signer.label, &tbs).unwrap();
    let algorithm = crate::tbs::algorithm_identifier(&oid::ECDSA_WITH_SHA256);
    response::assemble(&tbs, &algorithm, &signature, signer.certificate.der())
}

/// Each row is a signer to whom the CA did not delegate.
#[test]
fn an_answer_of_somebody_without_the_right_is_refused() {
    let h = Hospital::new();
    let ask = h.ask(&h.bad);
    let judge = |signer: &Issued| {
        verify(&signed_by(&h, signer, &ask), &ask, h.issuer(), &Freshness::at(NOW)).map(|a| a.status())
    };
    let no_check = crate::tbs::ocsp_no_check();
    let purpose = crate::testing::purposes(&[oid::OCSP_SIGNING]);
    let delegate = |edit: &dyn Fn(&mut crate::testing::Draft)| {
        h.a.forge(|draft| {
            draft.set("purposes", purpose.clone());
            draft.set("no_check", no_check.clone());
            edit(draft);
        })
    };
    // The draft itself is good, so each refusal below is for its own reason.
    assert_eq!(judge(&delegate(&|_| {})), Ok(Status::Good));
    let foreign = Installation::new();
    let rows: [(&str, Issued); 7] = [
        ("name OCSPSigning", h.a.device()),
        (
            "name OCSPSigning",
            delegate(&|d| {
                d.set("purposes", crate::testing::purposes(&[oid::ANY_EXTENDED_KEY_USAGE]));
            }),
        ),
        ("nocheck", delegate(&|d| d.remove("no_check"))),
        ("is a CA", delegate(&|d| d.set("constraints", crate::testing::authority(Critical::Yes)))),
        ("digitalSignature", delegate(&|d| d.set("key_usage", crate::testing::key_usage(&[1, 0x06])))),
        ("validity", delegate(&|d| d.not_after = NOW.plus_seconds(-301))),
        ("validity", delegate(&|d| d.not_before = NOW.plus_seconds(301))),
    ];
    for (why, signer) in &rows {
        let Err(OcspError::Signer(rule)) = judge(signer) else { panic!("{why}: {:?}", judge(signer)) };
        assert!(rule.contains(why), "{why}: {rule}");
    }
    // A responder of another CA, and one that only claims to be of ours.
    let theirs = foreign.ocsp_responder();
    let key = theirs.certificate.public_key().unwrap();
    let impostor = foreign.draft_der(key, |draft| {
        draft.set("purposes", purpose.clone());
        draft.set("no_check", no_check.clone());
    });
    let mut der = impostor;
    let (from, to) = (foreign.authority.issuing.certificate().subject_der(), h.issuer().subject_der());
    let at = der.windows(from.len()).position(|w| w == from).unwrap();
    der[at..at + to.len()].copy_from_slice(to);
    let impostor = Certificate::parse(&der).unwrap();
    for (certificate, why) in [(theirs.certificate.clone(), "another CA"), (impostor, "did not sign it")] {
        let rule = delegate::may_answer_for(&certificate, h.issuer()).unwrap_err();
        assert!(rule.contains(why), "{rule}");
    }
}

#[test]
fn the_ca_itself_may_answer() {
    let h = Hospital::new();
    let ask = h.ask(&h.good);
    let ca = Issued { certificate: h.issuer().clone(), label: h.a.authority.issuing.label().clone() };
    let answer = verify(&signed_by(&h, &ca, &ask), &ask, h.issuer(), &Freshness::at(NOW)).unwrap();
    assert_eq!((answer.status(), answer.answered_by()), (Status::Good, AnsweredBy::Issuer));
}

#[test]
fn an_answer_to_another_question_is_refused() {
    let h = Hospital::new();
    let response = h.respond(&h.ask(&h.good).request(), NOW);
    let judge = |der: &[u8], ask: &Ask| verify(der, ask, h.issuer(), &Freshness::at(NOW)).unwrap_err();
    assert_eq!(judge(response.der(), &h.ask(&h.bad)), OcspError::OtherCertificate);
    let sha1 = Ask::new(h.issuer(), &h.good, HashKind::Sha1, None).unwrap();
    assert_eq!(judge(response.der(), &sha1), OcspError::OtherCertificate);
    let [mine, theirs] = [[1; 32], [2; 32]].map(|bytes| {
        Ask::new(h.issuer(), &h.good, HashKind::Sha256, Some(Nonce::from_random(bytes))).unwrap()
    });
    let response = h.respond(&theirs.request(), NOW);
    assert_eq!(judge(response.der(), &mine), OcspError::OtherNonce);
    for status in [
        ErrorStatus::MalformedRequest,
        ErrorStatus::InternalError,
        ErrorStatus::TryLater,
        ErrorStatus::Unauthorized,
    ] {
        assert!(matches!(judge(&status.der(), &mine), OcspError::NotSuccessful(_)), "{status:?}");
    }
}

// I12
#[test]
fn an_answer_cut_at_any_byte_or_with_any_bit_flipped_is_refused() {
    let h = Hospital::new();
    let ask = h.ask(&h.bad);
    let der = h.respond(&ask.request(), NOW).der().to_vec();
    let judge = |der: &[u8]| verify(der, &ask, h.issuer(), &Freshness::at(NOW));
    assert!(judge(&der).is_ok());
    for length in 0..der.len() {
        assert!(judge(&der[..length]).is_err(), "cut at {length}");
    }
    assert!(judge(&[der.as_slice(), &[0]].concat()).is_err());
    for at in 0..der.len() {
        for bit in 0..8 {
            let mut flipped = der.clone();
            flipped[at] ^= 1 << bit;
            assert!(judge(&flipped).is_err(), "bit {bit} of byte {at}");
        }
    }
    let large = vec![0x30; MAX_RESPONSE_BYTES + 1];
    assert_eq!(judge(&large), Err(OcspError::TooLarge(large.len())));
}

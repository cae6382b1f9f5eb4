//! Headers, paths and kinds of messages.

use super::*;

const MAX: usize = crate::cmp::MAX_MESSAGE_BYTES;

#[test]
fn bytes_without_a_header_are_answered_by_http_alone() {
    let bench = Bench::new();
    let good = bench.ir().mac(&secret(1));
    let large = vec![0x30; MAX + 1];
    for (body, content_type, status) in [
        (good.as_slice(), None, 415),
        (&good, Some("application/pkcs10"), 415),
        (&large, Some(CONTENT_TYPE), 413),
        (b"".as_slice(), Some(CONTENT_TYPE), 400),
        (b"hello", Some(CONTENT_TYPE), 400),
        (&good[..good.len() - 1], Some(CONTENT_TYPE), 400),
    ] {
        match bench.server.receive(body, content_type, &Endpoint::default(), NOW) {
            Err(NotReceived::Rejected(rejected)) => assert_eq!(rejected.reply().status, status),
            other => panic!("{other:?}"),
        }
    }
    for content_type in [CONTENT_TYPE, "Application/PKIXCMP; charset=x"] {
        assert!(bench.server.receive(&good, Some(content_type), &Endpoint::default(), NOW).is_ok());
    }
}

// RFC 9483 3.1 and 3.5, rule by rule.
#[test]
fn every_rule_for_headers_refuses() {
    let mut bench = Bench::new();
    type Edit = fn(&mut Header);
    let cases: [(Edit, Refusal, FailInfo); 14] = [
        (|h| h.version = 1, Refusal::Version(1), FailInfo::UnsupportedVersion),
        (|h| h.version = 4, Refusal::Version(4), FailInfo::UnsupportedVersion),
        (|h| h.transaction = None, Refusal::TransactionId, FailInfo::BadRequest),
        (|h| h.transaction = Some(vec![1; 15]), Refusal::TransactionId, FailInfo::BadRequest),
        (|h| h.sender_nonce = None, Refusal::SenderNonce, FailInfo::BadSenderNonce),
        (|h| h.sender_nonce = Some(vec![1; 15]), Refusal::SenderNonce, FailInfo::BadSenderNonce),
        (|h| h.recipient_nonce = Some(vec![1; 16]), Refusal::UnexpectedNonce, FailInfo::BadRecipientNonce),
        (|h| h.recipient = Some(common_name("other")), Refusal::Recipient, FailInfo::WrongAuthority),
        (
            |h| h.time = Some(NOW.plus_seconds(901)),
            Refusal::Clock {
                theirs: NOW.plus_seconds(901),
                ours: NOW,
                apart_seconds: 901,
                tolerated_seconds: 900,
            },
            FailInfo::BadTime,
        ),
        (
            |h| h.time = Some(NOW.plus_seconds(-901)),
            Refusal::Clock {
                theirs: NOW.plus_seconds(-901),
                ours: NOW,
                apart_seconds: 901,
                tolerated_seconds: 900,
            },
            FailInfo::BadTime,
        ),
        (|h| h.sender_key_id = Some(b"aibaeaqc".to_vec()), Refusal::Mac, FailInfo::BadMessageCheck),
        (|h| h.sender_key_id = Some(vec![0xff; 8]), Refusal::Mac, FailInfo::BadMessageCheck),
        (
            |h| h.protection = Some(MacAlgorithm::pbm(&[1; 7]).to_der()),
            Refusal::Algorithm(crate::cmp::AlgorithmRefused::Salt(7)),
            FailInfo::BadAlg,
        ),
        (
            |h| {
                let mut other = Vec::new();
                crate::cmp::tlv::write_plain_algorithm(&mut other, &oid::SHA256);
                h.protection = Some(other);
            },
            Refusal::Algorithm(crate::cmp::AlgorithmRefused::Unknown(oid::SHA256)),
            FailInfo::BadAlg,
        ),
    ];
    for (edit, refusal, fail) in cases {
        let message = bench.ir().edit(edit).mac(&secret(1));
        assert_eq!(refusal_of(bench.ask(&message)), refusal);
        assert_eq!(refusal.fail_info(), fail, "{refusal}");
    }
    assert_eq!(bench.transactions.open(), 0, "a refused message leaves nothing");
}

// The failure drill: a clock ten minutes off on either side is served, as is a device without one.
#[test]
fn a_clock_ten_minutes_off_is_tolerated_and_told_beyond_fifteen() {
    let mut bench = Bench::new();
    for (time, served) in
        [(Some(600), true), (Some(-600), true), (Some(900), true), (None, true), (Some(1200), false)]
    {
        let message = bench.ir().edit(|h| h.time = time.map(|s| NOW.plus_seconds(s))).mac(&secret(1));
        let asked = bench.ask(&message);
        assert_eq!(asked.is_ok(), served, "{time:?}");
        if let Err(refusal) = asked {
            let text = refusal.to_string();
            assert!(
                text.contains("12:20:00") && text.contains("12:00:00") && text.contains("1200"),
                "{text}"
            );
        }
    }
}

#[test]
fn messages_that_no_client_sends_are_refused() {
    let mut bench = Bench::new();
    for kind in [Kind::Ip, Kind::Cp, Kind::Kup, Kind::Rp, Kind::PkiConf, Kind::Genp, Kind::PollRep] {
        let message = Letter::new(kind, vec![0x30, 0]).mac(&secret(1));
        assert_eq!(refusal_of(bench.ask(&message)), Refusal::Kind, "{kind:?}");
    }
    // nested [20], as a registration authority sends it.
    let mut nested = bench.ir().mac(&secret(1));
    let at = nested.windows(2).position(|w| w[0] == 0xa0 && w[1] == 0x81).unwrap();
    nested[at] = 0xa0 | 20;
    assert_eq!(refusal_of(bench.ask(&nested)), Refusal::Kind);
    let unprotected = Letter::new(Kind::Genm, vec![0x30, 0]).signed(&bench.hospital, &bench.hospital.device);
    let parts = Parts::of(&unprotected).unwrap();
    let bare = {
        let protected = parts.protected();
        let content = only(&protected, write::SEQUENCE, "part").unwrap().content.to_vec();
        let mut out = Vec::new();
        write::bytes(&mut out, write::SEQUENCE, &content);
        out
    };
    assert_eq!(refusal_of(bench.ask(&bare)), Refusal::Unprotected);
}

#[test]
fn path_and_header_must_ask_for_the_same_profile() {
    let bench = Bench::new();
    let endpoint = Endpoint::from_path("/.well-known/cmp/p/infusion").unwrap();
    for (asked, fits) in [(None, true), (Some("infusion"), true), (Some("imaging"), false)] {
        let letter = bench.ir().edit(|h| h.profile = asked.map(str::to_owned));
        let received = bench.server.receive(&letter.mac(&secret(1)), Some(CONTENT_TYPE), &endpoint, NOW);
        match received {
            Ok(received) => assert!(fits && received.profile() == Some("infusion")),
            Err(NotReceived::Refused(refused)) => {
                assert!(!fits && *refused.refusal() == Refusal::TwoProfiles);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    // In the header alone.
    let letter = bench.ir().edit(|h| h.profile = Some("imaging".into()));
    let received =
        bench.server.receive(&letter.mac(&secret(1)), Some(CONTENT_TYPE), &Endpoint::default(), NOW);
    assert_eq!(received.unwrap().profile(), Some("imaging"));
}

// R47: names of an earlier CA generation are still ours.
#[test]
fn a_former_name_is_answered_for() {
    let policy = Policy { former_names: vec![common_name("old ca")], ..Policy::default() };
    let mut bench = Bench::with(policy, TransactionLimits::default());
    for (name, served) in [
        (common_name("old ca"), true),
        (bench.hospital.issuing().subject_der().to_vec(), true),
        (bench.hospital.signer.certificate.subject_der().to_vec(), true),
        (common_name("older ca"), false),
    ] {
        let message = bench.ir().edit(|h| h.recipient = Some(name)).mac(&secret(1));
        assert_eq!(bench.ask(&message).is_ok(), served);
    }
}

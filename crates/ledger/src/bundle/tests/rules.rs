//! What a verified bundle says, and which part each bad one is refused for.

use super::cases::{Case, bad, builder_without_closing, good};
use super::fixture::*;
use crate::bundle::{
    BuildError, Flaw, Level, LogKey, Opening, Part, Segment, TrustPolicy, decode, encode, limit, verify,
};
use crate::hash::sha256;
use crate::note::NoteSigner;

/// Outcome words, or the part's code.
pub fn judge(bytes: &[u8], trust: &TrustPolicy) -> &'static str {
    match verify(bytes, trust) {
        Ok(verified) => verified.outcome().words(),
        Err(flaw) => flaw.part.code(),
    }
}

#[test]
// R114, R115
fn good_bundles_have_their_outcome_and_encode_to_the_same_bytes() {
    let trust = Ledger::new(Story::Full).trust();
    for Case { name, expected, bytes } in good() {
        assert_eq!(judge(&bytes, &trust), expected, "{name}: {:?}", verify(&bytes, &trust).err());
        assert_eq!(encode(&decode(&bytes).unwrap()), bytes, "{name}");
    }
}

#[test]
// R115
fn bad_bundles_are_refused_for_the_part_that_is_bad() {
    let trust = Ledger::new(Story::Full).trust();
    let cases = bad();
    assert!(cases.len() >= 50, "{} cases", cases.len());
    for Case { name, expected, bytes } in cases {
        let flaw = verify(&bytes, &trust).err();
        assert_eq!(flaw.as_ref().map(|flaw| flaw.part.code()), Some(expected), "{name}: {flaw:?}");
    }
}

#[test]
fn a_verified_bundle_exposes_what_the_upper_layer_needs() {
    let ledger = Ledger::new(Story::Full);
    let bytes = ledger.bundle(2, &[]);
    let verified = verify(&bytes, &ledger.trust()).unwrap();
    assert_eq!(verified.claim, CLAIM);
    assert_eq!((verified.log_key.clone(), verified.level), (LogKey::Pinned, Level::Witnessed { count: 2 }));
    let places: Vec<_> = verified.leaves.iter().map(|leaf| (leaf.log, leaf.header.pos)).collect();
    assert_eq!(places, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 5), (0, 6), (0, 7), (1, 1)]);
    assert_eq!(verified.leaves[verified.closing].header.pos, 7);
    assert_eq!(verified.leaves[1].payload, Some(&br#"{"event":"registered"}"#[..]));
    let segment =
        |log, (stream_kind, stream), from_seq, to_seq| Segment { log, stream_kind, stream, from_seq, to_seq };
    let expected = [
        segment(0, RELEASE, 0, 1),
        segment(0, DEVICE, 0, 2),
        segment(0, GATEWAY, 0, 1),
        segment(1, DEVICE, 0, 0),
    ];
    assert_eq!(verified.segments, expected);
    let file = &verified.attachments[&sha256(&[QUOTE])];
    assert_eq!((file.bytes, file.named_by), (QUOTE, 3));
    let [anchor] = verified.anchors[..] else { panic!("one sub-log") };
    assert_eq!((anchor.log, anchor.vkey_leaf, anchor.note_leaf), (1, 2, 5));
    let times: Vec<_> = verified.cosignatures.iter().map(|line| (line.time_seconds, line.trusted)).collect();
    assert_eq!(times, [(1_900_000_010, true), (1_900_000_011, true)]);
}

#[test]
fn what_is_not_proven_is_said_in_words() {
    let ledger = Ledger::new(Story::Small);
    let says = |bytes: &[u8], trust: &TrustPolicy, word: &str| {
        verify(bytes, trust).unwrap().not_proven.iter().any(|sentence| sentence.contains(word))
    };
    let (sealed, witnessed) = (ledger.bundle(0, &[]), ledger.bundle(1, &[]));
    let full = Ledger::new(Story::Full).bundle(1, &[0]);
    for (bytes, trust, word, said) in [
        (&witnessed, ledger.trust(), "epoch map", true),
        (&witnessed, ledger.trust(), "witnesses", false),
        (&sealed, ledger.trust(), "witnesses", true),
        (&witnessed, ledger.trust(), "fingerprint", false),
        (&witnessed, TrustPolicy::default(), "fingerprint", true),
        (&witnessed, ledger.trust(), "erased", false),
        (&full, ledger.trust(), "content of 1 leaves was erased", true),
        (&full, ledger.trust(), "gateway", true),
        (&witnessed, ledger.trust(), "before its first leaf", false),
        (&encode(&ledger.by_hand(CLAIM, &[3, 7])), ledger.trust(), "before its first leaf", true),
    ] {
        assert_eq!(says(bytes, &trust, word), said, "{word}");
    }
}

#[test]
fn being_witnessed_needs_the_readers_witnesses_and_quorum() {
    let ledger = Ledger::new(Story::Small);
    let one = ledger.witness_vkeys()[..1].to_vec();
    for (cosigned, trusted, quorum, level) in [
        (0, ledger.witness_vkeys(), 0, Level::Sealed),
        (2, vec![], 0, Level::Sealed),
        (1, ledger.witness_vkeys(), 2, Level::Sealed),
        (2, one.clone(), 2, Level::Sealed),
        (2, one, 1, Level::Witnessed { count: 1 }),
        (2, ledger.witness_vkeys(), 2, Level::Witnessed { count: 2 }),
    ] {
        let trust = TrustPolicy { main_log_vkeys: None, witness_vkeys: trusted, quorum };
        let bytes = ledger.bundle(cosigned, &[]);
        assert_eq!(verify(&bytes, &trust).unwrap().level, level, "{cosigned} cosigned, {trust:?}");
    }
}

#[test]
fn an_unpinned_key_shows_its_fingerprint_and_a_pinned_one_must_match() {
    let ledger = Ledger::new(Story::Small);
    let bytes = ledger.bundle(0, &[]);
    let fingerprint = sha256(&[ledger.main.vkey().as_bytes()]).to_string();
    let verified = verify(&bytes, &TrustPolicy::default()).unwrap();
    assert_eq!(verified.log_key, LogKey::SelfAsserted { fingerprint });
    let other = NoteSigner::from_seed("hospital.example/ledger", &STRANGER_SEED).unwrap().verifier().vkey();
    for (pins, passes) in
        [(vec![], false), (vec![other.clone()], false), (vec![other, ledger.main.vkey()], true)]
    {
        let trust = TrustPolicy { main_log_vkeys: Some(pins), ..TrustPolicy::default() };
        let refused = verify(&bytes, &trust).err().map(|flaw| flaw.part);
        assert_eq!(refused, (!passes).then_some(Part::Pin));
    }
}

#[test]
fn an_erased_payload_keeps_every_proof_valid() {
    let ledger = Ledger::new(Story::Full);
    for erased in [vec![0], vec![1, 5], vec![0, 1, 5]] {
        let bytes = ledger.bundle(1, &erased);
        let verified = verify(&bytes, &ledger.trust()).unwrap();
        assert_eq!(verified.outcome().words(), "payload erased");
        let closed = verified.leaves.iter().filter(|leaf| leaf.payload.is_none()).map(|leaf| leaf.header.pos);
        assert_eq!(closed.collect::<Vec<_>>(), erased);
    }
}

#[test]
fn limits_are_exact() {
    let ledger = Ledger::new(Story::Small);
    let fits = ledger.by_hand(leak(vec![b'x'; limit::CLAIM]), &[1, 3, 7]);
    assert_eq!(judge(&encode(&fits), &ledger.trust()), "claim");
    let over = ledger.by_hand(leak(vec![b'x'; limit::CLAIM + 1]), &[1, 3, 7]);
    assert_eq!(judge(&encode(&over), &ledger.trust()), "structure");
    let huge = vec![0; limit::FILE + 1];
    assert_eq!(decode(&huge).unwrap_err().part, Part::Structure { offset: limit::FILE });
    // A promised length that the file does not have costs nothing.
    assert!(decode(b"\xa6\x01\x72lanyard-evidence/1\x02\x5b\xff\xff\xff\xff\xff\xff\xff\xff").is_err());
    assert!(
        decode(b"\xa6\x01\x72lanyard-evidence/1\x02\x40\x03\x9b\xff\xff\xff\xff\xff\xff\xff\xff").is_err()
    );
}

#[test]
fn the_builder_refuses_what_would_not_verify() {
    let invalid = builder_without_closing().build();
    assert!(matches!(invalid, Err(BuildError::Invalid(Flaw { part: Part::Claim, .. }))), "{invalid:?}");
    let ledger = Ledger::new(Story::Small);
    let mut builder = ledger.builder(0, &[]);
    let entry = &ledger.main.entries[1];
    let (salt, payload) = &ledger.main.openings[1];
    let opening = Some(Opening { salt, payload });
    assert_eq!(builder.leaf(0, entry, opening, vec![]), Err(BuildError::Twice { log: 0, pos: 1 }));
    assert_eq!(builder.leaf(0, &entry[1..], None, vec![]), Err(BuildError::Entry { index: 3, log: 0 }));
    assert_eq!(builder.leaf(1, entry, None, vec![]), Err(BuildError::Entry { index: 3, log: 1 }));
}

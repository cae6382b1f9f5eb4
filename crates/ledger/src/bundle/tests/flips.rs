//! The one rule: any flipped bit is found, and the part it hit is named.

use super::fixture::*;
use super::rules::judge;
use crate::bundle::{Part, TrustPolicy, verify};

#[test]
// R115, I12
fn every_flipped_bit_of_a_bundle_is_refused() {
    for story in [Story::Small, Story::Full] {
        // The reader pins nothing: the bundle has to defend itself.
        let ledger = Ledger::new(story);
        let mut bytes = ledger.bundle(1, &[]);
        assert!(verify(&bytes, &TrustPolicy::default()).is_ok());
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            let accepted = verify(&bytes, &TrustPolicy::default()).is_ok();
            assert!(!accepted, "bit {bit} of {} bytes", bytes.len());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}

#[test]
// I12
fn every_truncation_is_refused_as_structure() {
    let bytes = Ledger::new(Story::Full).bundle(2, &[]);
    for length in 0..bytes.len() {
        assert_eq!(judge(&bytes[..length], &TrustPolicy::default()), "structure", "{length} bytes");
    }
}

#[test]
fn a_flip_is_named_by_the_part_that_it_hits() {
    let ledger = Ledger::new(Story::Full);
    let bytes = ledger.bundle(2, &[]);
    let main = &ledger.main;
    let log_note = ledger.cosigned(2).to_string();
    let (log, pos) = (0, 7);
    let closing_proof = main.proof(7)[0].0;
    for (needle, offset, part) in [
        (&b"lanyard-evidence/1"[..], 3, Part::Structure { offset: 2 }),
        (CLAIM, 5, Part::Claim),
        (main.vkey().as_bytes(), 0, Part::LogKey { log: 0 }),
        (ledger.gateway.vkey().as_bytes(), 40, Part::LogKey { log: 1 }),
        (ledger.witness_vkeys()[1].as_bytes(), 9, Part::WitnessKey { witness: 1 }),
        (log_note.as_bytes(), 0, Part::Checkpoint { log: 0 }),
        (log_note.as_bytes(), log_note.find("\n9\n").unwrap() + 1, Part::Signature { log: 0, line: 0 }),
        (log_note.as_bytes(), log_note.rfind("witness1").unwrap() + 30, Part::Signature { log: 0, line: 2 }),
        (&main.entries[7], 0, Part::Entry { leaf: 6 }),
        (&main.entries[7], 140, Part::Commitment { log, pos }),
        (&main.entries[7], 2, Part::Proof { log, pos }),
        (&main.entries[7], 60, Part::Chain { log, pos }),
        (&main.entries[3], 90, Part::Chain { log, pos }),
        (&main.openings[3].0, 31, Part::Commitment { log, pos: 3 }),
        (&main.openings[3].1, 4, Part::Commitment { log, pos: 3 }),
        (&closing_proof, 8, Part::Proof { log, pos }),
        (QUOTE, 4, Part::Attachment { attachment: 0 }),
        (&ledger.gateway.entries[1], 100, Part::Proof { log: 1, pos: 1 }),
    ] {
        let at = bytes.windows(needle.len()).position(|window| window == needle).expect("part of the file");
        let mut bent = bytes.clone();
        bent[at + offset] ^= 1;
        let flaw = verify(&bent, &TrustPolicy::default()).unwrap_err();
        let same_structure = matches!((&flaw.part, &part), (Part::Structure { .. }, Part::Structure { .. }));
        assert!(flaw.part == part || same_structure, "{part:?}: {flaw:?}");
    }
}

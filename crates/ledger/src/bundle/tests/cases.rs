//! Good and bad bundles by name, each with the outcome, or the part that must be named.

use super::fixture::*;
use crate::bundle::{Builder, Bundle, Leaf, Log, Opening, decode, encode};
use crate::checkpoint::Checkpoint;
use crate::cosign::Cosigner;
use crate::hash::{Hash, sha256};
use crate::leaf::{self, LeafHeader, Prev};
use crate::note::{Note, Signature};

pub struct Case {
    pub name: &'static str,
    /// Outcome words, or the code of the part of a flaw.
    pub expected: &'static str,
    pub bytes: Vec<u8>,
}

pub fn good() -> Vec<Case> {
    let (full, small) = (Ledger::new(Story::Full), Ledger::new(Story::Small));
    let case = |name, expected, bytes| Case { name, expected, bytes };
    vec![
        case("small", "proved", small.bundle(1, &[])),
        case("small-unwitnessed", "proved but unwitnessed", small.bundle(0, &[])),
        case("full-one-witness", "proved", full.bundle(1, &[])),
        case("full-two-witnesses", "proved", full.bundle(2, &[])),
        case("full-unwitnessed", "proved but unwitnessed", full.bundle(0, &[])),
        case("full-erased", "payload erased", full.bundle(2, &[0])),
        case("foreign-witness", "proved but unwitnessed", foreign_witness(&small)),
        case("exported-twice", "proved but unwitnessed", exported_twice()),
        case("gap-before-chain", "proved", gap_in_another_stream()),
    ]
}

pub fn bad() -> Vec<Case> {
    let full = Ledger::new(Story::Full);
    let bytes = full.bundle(2, &[]);
    let mut cases = Vec::new();
    let mut raw = |name, expected, bytes| cases.push(Case { name, expected, bytes });
    raw("structure-empty-file", "structure", vec![]);
    raw("structure-trailing-byte", "structure", [&bytes[..], &[0]].concat());
    raw("structure-truncated", "structure", bytes[..bytes.len() - 1].to_vec());
    raw("structure-tagged", "structure", [&[0xd9, 0xd9, 0xf7], &bytes[..]].concat());
    raw("structure-long-map-head", "structure", [&[0xb8, 6], &bytes[1..]].concat());
    raw("structure-long-key", "structure", [&[0xa6, 0x18, 1], &bytes[2..]].concat());
    raw("structure-indefinite-map", "structure", [&[0xbf], &bytes[1..], &[0xff]].concat());
    raw("structure-key-7", "structure", [&[0xa7], &bytes[1..], &[7, 0x80]].concat());
    raw("structure-other-format", "structure", replace(&bytes, b"lanyard-evidence/1", b"lanyard-evidence/2"));
    let salt = [&[0x58, 0x20][..], &full.main.openings[0].0].concat();
    raw("structure-payload-without-salt", "structure", replace(&bytes, &salt, &[0xf6]));
    raw("pin-another-log", "pin", another_log());
    raw("checkpoint-of-another-log", "checkpoint", checkpoint_of_another_origin(&full));
    raw("leaf-beyond-checkpoint", "leaf", beyond_checkpoint());
    raw("chain-gap-before-closing", "chain", encode(&full.by_hand(CLAIM, &[1, 7])));
    raw("chain-second-history", "chain", dishonest(|header| header.seq += 1));
    raw(
        "chain-another-hash",
        "chain",
        dishonest(|header| header.prev.as_mut().unwrap().leaf = Hash([7; 32])),
    );
    raw("chain-of-another-stream", "chain", dishonest(|header| header.stream = OTHER_DEVICE.1));
    raw("chain-restarted", "chain", dishonest(|header| (header.seq, header.prev) = (0, None)));
    raw("chain-after-closing", "chain", after_closing());
    raw("anchor-key-after-checkpoint", "anchor", key_after_checkpoint());
    let table: Vec<(&str, &str, Bend)> = table();
    for (name, expected, bend) in table {
        let mut bundle = decode(leak(bytes.clone())).unwrap();
        bend(&mut bundle, &full);
        cases.push(Case { name, expected, bytes: encode(&bundle) });
    }
    cases
}

type Bend = fn(&mut Bundle<'static>, &Ledger);

/// Leaves of the full bundle: main log 0 release, 1 device, 2 gateway, 3 attested, 5 approved, 6 anchor, 7 closing;
/// then the gateway's leaf 1, at index 7.
fn table() -> Vec<(&'static str, &'static str, Bend)> {
    vec![
        ("structure-log-index", "structure", |b, _| b.leaves[7].log = 2),
        ("structure-long-claim", "structure", |b, _| b.claim = leak(vec![b'c'; (1 << 20) + 1])),
        ("structure-long-proof", "structure", |b, _| b.leaves[6].proof = Some(vec![Hash::ZERO; 65])),
        ("structure-no-leaves", "structure", |b, _| b.leaves.clear()),
        ("key-wrong-id", "key", |b, _| b.logs[0].vkey = leak_text(b.logs[0].vkey.replacen('+', "+0", 1))),
        ("key-upper-case-id", "key", |b, _| b.logs[0].vkey = leak_text(upper_id(b.logs[0].vkey))),
        ("key-of-a-witness-as-log", "key", |b, _| b.logs[0].vkey = b.witnesses[0]),
        ("key-twice", "key", |b, _| b.logs.push(b.logs[1].clone())),
        ("key-witness-order", "key", |b, _| b.witnesses.reverse()),
        ("key-unused-witness", "key", |b, _| {
            let stranger = Cosigner::from_seed("zz.example", &STRANGER_SEED).unwrap();
            b.witnesses.push(leak_text(stranger.verifier().vkey()));
        }),
        ("key-one-witness-by-two-names", "key", |b, ledger| {
            let twin = Cosigner::from_seed("witness9.example", &WITNESS_SEEDS[0]).unwrap();
            cosign(b, &twin, ledger);
            b.witnesses.push(leak_text(twin.verifier().vkey()));
        }),
        ("checkpoint-extension-line", "checkpoint", |b, ledger| {
            let text = format!("{}extension\n", ledger.main.note().text());
            b.logs[0].note = leak_text(ledger.main.signer.sign(&text).unwrap().to_string());
        }),
        ("checkpoint-leading-zero", "checkpoint", |b, ledger| {
            let text = ledger.main.note().text().replace("\n9\n", "\n09\n");
            b.logs[0].note = leak_text(ledger.main.signer.sign(&text).unwrap().to_string());
        }),
        ("checkpoint-no-signature", "checkpoint", |b, ledger| {
            b.logs[0].note = leak_text(format!("{}\n", ledger.main.note().text()));
        }),
        ("checkpoint-base64-spare-bits", "checkpoint", |b, _| {
            // A root of 32 bytes ends in one padding digit: the digit before it has two spare bits.
            let at = b.logs[0].note.find("=\n\n").unwrap() - 1;
            let mut note = b.logs[0].note.as_bytes().to_vec();
            note[at] += 1;
            b.logs[0].note = leak_text(String::from_utf8(note).unwrap());
        }),
        ("checkpoint-beyond-ascii", "checkpoint", |b, _| {
            b.logs[0].note = leak_text(b.logs[0].note.replacen("hospital", "hospitäl", 1));
        }),
        ("signature-unknown-line", "signature", |b, ledger| {
            cosign(b, &Cosigner::from_seed("zz.example", &STRANGER_SEED).unwrap(), ledger);
        }),
        ("signature-witness-not-listed", "signature", |b, _| b.witnesses.truncate(1)),
        ("signature-twice", "signature", |b, ledger| cosign(b, &ledger.witnesses[0], ledger)),
        ("signature-log-twice", "signature", |b, ledger| {
            let mut note = Note::parse(b.logs[0].note.as_bytes()).unwrap();
            note.push(ledger.main.note().signatures()[0].clone()).unwrap();
            b.logs[0].note = leak_text(note.to_string());
        }),
        ("signature-of-log-missing", "signature", |b, _| {
            let note = Note::parse(b.logs[0].note.as_bytes()).unwrap();
            let lines = note.signatures()[1..].to_vec();
            b.logs[0].note = leak_text(Note::new(note.text().to_owned(), lines).unwrap().to_string());
        }),
        ("signature-other-root", "signature", |b, ledger| {
            let lines = Note::parse(b.logs[0].note.as_bytes()).unwrap().signatures().to_vec();
            let other = ledger.main.note_with_root(Hash([7; 32]));
            b.logs[0].note = leak_text(Note::new(other.text().to_owned(), lines).unwrap().to_string());
        }),
        ("signature-cosigned-at-another-time", "signature", |b, _| {
            let note = Note::parse(b.logs[0].note.as_bytes()).unwrap();
            let mut lines: Vec<Signature> = note.signatures().to_vec();
            lines[1].bytes[7] ^= 1;
            b.logs[0].note = leak_text(Note::new(note.text().to_owned(), lines).unwrap().to_string());
        }),
        ("leaf-order", "leaf", |b, _| b.leaves.swap(0, 1)),
        ("leaf-twice", "leaf", |b, _| b.leaves.insert(0, b.leaves[0].clone())),
        ("leaf-short", "leaf", |b, _| b.leaves[0].entry = &b.leaves[0].entry[..163]),
        ("leaf-other-version", "leaf", |b, _| {
            let mut entry = b.leaves[0].entry.to_vec();
            entry[0] = 2;
            b.leaves[0].entry = leak(entry);
        }),
        ("commitment-other-payload", "commitment", |b, _| b.leaves[1].opening = b.leaves[3].opening),
        ("commitment-other-salt", "commitment", |b, _| {
            let salt = b.leaves[3].opening.unwrap().salt;
            b.leaves[1].opening.as_mut().unwrap().salt = salt;
        }),
        ("proof-of-another-root", "proof", |b, ledger| {
            b.logs[0].note = leak_text(ledger.main.note_with_root(Hash([7; 32])).to_string());
            b.witnesses.clear();
        }),
        ("proof-missing", "proof", |b, _| b.leaves[6].proof = None),
        ("proof-not-needed", "proof", |b, ledger| b.leaves[0].proof = Some(ledger.main.proof(0))),
        ("proof-too-long", "proof", |b, _| b.leaves[6].proof.as_mut().unwrap().push(Hash::ZERO)),
        ("proof-too-short", "proof", |b, _| b.leaves[6].proof.as_mut().unwrap().truncate(1)),
        ("proof-reordered", "proof", |b, _| b.leaves[6].proof.as_mut().unwrap().reverse()),
        ("proof-other-stream-swapped-in", "proof", |b, ledger| {
            b.leaves[7] = Ledger::leaf(1, &ledger.gateway, 2);
            b.leaves[7].proof = Some(ledger.gateway.proof(1));
        }),
        ("anchor-missing", "anchor", |b, ledger| {
            b.leaves.remove(5);
            b.leaves[2].proof = Some(ledger.main.proof(2));
        }),
        ("anchor-erased", "anchor", |b, _| b.leaves[5].opening = None),
        ("anchor-key-erased", "anchor", |b, _| b.leaves[2].opening = None),
        ("anchor-without-leaf", "anchor", |b, _| drop(b.leaves.pop())),
        ("anchor-of-another-checkpoint", "anchor", |b, ledger| {
            let mut other = Ledger::new(Story::Full).gateway;
            other.append(90, OTHER_DEVICE, "{}");
            b.logs[1].note = leak_text(other.note().to_string());
            b.leaves[7].proof = Some(other.proof(1));
            assert_ne!(other.note().text(), ledger.gateway.note().text());
        }),
        ("anchor-cosigned-later", "anchor", |b, ledger| {
            let mut note = ledger.gateway.note();
            note.push(ledger.witnesses[0].cosign(&note, 1_900_000_100).unwrap()).unwrap();
            b.logs[1].note = leak_text(note.to_string());
        }),
        ("attachment-changed", "attachment", |b, _| b.attachments[0] = b"other"),
        ("attachment-not-named", "attachment", |b, _| {
            b.attachments.push(POLICY_TEXT);
            b.attachments.sort_by_key(|file| sha256(&[file]));
        }),
        ("attachment-twice", "attachment", |b, _| b.attachments.push(QUOTE)),
        ("attachment-of-an-erased-payload", "attachment", |b, _| b.leaves[3].opening = None),
        ("claim-changed", "claim", |b, _| b.claim = br#"{"device":"d0d0d0d0","state":"degraded"}"#),
        ("claim-empty", "claim", |b, _| b.claim = b""),
        ("claim-closing-erased", "claim", |b, _| b.leaves[6].opening = None),
    ]
}

fn cosign(bundle: &mut Bundle<'static>, witness: &Cosigner, ledger: &Ledger) {
    let mut note = Note::parse(bundle.logs[0].note.as_bytes()).unwrap();
    note.push(witness.cosign(&ledger.main.note(), 1_900_000_020).unwrap()).unwrap();
    bundle.logs[0].note = leak_text(note.to_string());
}

fn upper_id(vkey: &str) -> String {
    let mut parts: Vec<String> = vkey.splitn(3, '+').map(str::to_owned).collect();
    parts[1] = parts[1].to_uppercase();
    assert_ne!(parts.join("+"), vkey, "the fixed key's id has a letter");
    parts.join("+")
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).expect("bytes to replace");
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

/// Cosigned by a witness that the reader does not know.
fn foreign_witness(ledger: &Ledger) -> Vec<u8> {
    let mut bundle = ledger.by_hand(CLAIM, &[1, 3, 7]);
    let stranger = Cosigner::from_seed("zz.example", &STRANGER_SEED).unwrap();
    cosign(&mut bundle, &stranger, ledger);
    bundle.witnesses.push(leak_text(stranger.verifier().vkey()));
    encode(&bundle)
}

/// A stream beside the closing one may have gaps: each of its runs has a proof.
fn gap_in_another_stream() -> Vec<u8> {
    let mut ledger = Ledger::new(Story::Small);
    for _ in 0..3 {
        ledger.main.append(22, RELEASE, r#"{"event":"revised"}"#);
    }
    let mut bundle = ledger.by_hand(CLAIM, &[0, 1, 3, 5, 7, 11]);
    bundle.logs[0].note = leak_text(ledger.cosigned(1).to_string());
    bundle.witnesses.push(leak_text(ledger.witness_vkeys()[0].clone()));
    encode(&bundle)
}

fn another_log() -> Vec<u8> {
    let mut ledger = Ledger::new(Story::Small);
    ledger.main.signer =
        crate::note::NoteSigner::from_seed("hospital.example/ledger", &STRANGER_SEED).unwrap();
    ledger.bundle(0, &[])
}

fn checkpoint_of_another_origin(ledger: &Ledger) -> Vec<u8> {
    let mut bundle = ledger.by_hand(CLAIM, &[1, 3, 7]);
    let honest = Checkpoint::parse(ledger.main.note().text()).unwrap();
    let text = Checkpoint { origin: "hospital.example/other".into(), ..honest }.to_string();
    bundle.logs[0].note = leak_text(ledger.main.signer.sign(&text).unwrap().to_string());
    encode(&bundle)
}

/// A checkpoint from before the export.
fn beyond_checkpoint() -> Vec<u8> {
    let mut ledger = Ledger::new(Story::Small);
    let mut bundle = ledger.by_hand(CLAIM, &[1, 3, 7]);
    ledger.main.entries.truncate(7);
    bundle.logs[0].note = leak_text(ledger.main.note().to_string());
    encode(&bundle)
}

/// A log that signs a closing leaf with a bent header: every signature and proof holds, the chain does not.
fn dishonest(bend: impl Fn(&mut LeafHeader)) -> Vec<u8> {
    let mut log = TestLog::new("hospital.example/ledger", &LOG_SEED);
    log.append(1, OTHER_DEVICE, "{}");
    log.append(1, DEVICE, "{}");
    log.append(1, DEVICE, "{}");
    let leaf = leaf::leaf_hash(&log.entries[2]);
    let mut header = leaf::decode(&log.entries[2]).unwrap().0;
    (header.pos, header.seq, header.prev) = (3, 2, Some(Prev { pos: 2, leaf }));
    bend(&mut header);
    log.append_raw(header, &format!(r#"{{"claim_sha256":"{}"}}"#, sha256(&[CLAIM])));
    let named_by_closing = header.prev.is_some_and(|prev| prev.pos == 2);
    encode(&whole_log(&log, &[1, 2, 3], if named_by_closing { &[1, 2] } else { &[1] }))
}

/// Leaves of one log with proofs but for those that are named.
fn whole_log(log: &TestLog, positions: &[u64], named: &[u64]) -> Bundle<'static> {
    let leaf = |pos: &u64| {
        let leaf = Ledger::leaf(0, log, *pos);
        if named.contains(pos) { Leaf { proof: None, ..leaf } } else { leaf }
    };
    let leaves = positions.iter().map(leaf).collect();
    let logs = vec![Log { vkey: leak_text(log.vkey()), note: leak_text(log.note().to_string()) }];
    Bundle { claim: CLAIM, logs, leaves, attachments: vec![], witnesses: vec![] }
}

fn after_closing() -> Vec<u8> {
    let mut ledger = Ledger::new(Story::Small);
    let pos = ledger.main.append(50, DEVICE, r#"{"event":"quarantined"}"#);
    encode(&ledger.by_hand(CLAIM, &[1, 3, 7, pos]))
}

/// The second export of the same claim has the first one in its chain.
fn exported_twice() -> Vec<u8> {
    let mut ledger = Ledger::new(Story::Small);
    let payload = format!(r#"{{"claim_sha256":"{}"}}"#, sha256(&[CLAIM]));
    let pos = ledger.main.append(99, DEVICE, &payload);
    encode(&ledger.by_hand(CLAIM, &[1, 3, 7, pos]))
}

/// A gateway's key that the main log names only after it anchored the checkpoint.
fn key_after_checkpoint() -> Vec<u8> {
    let gateway = Ledger::new(Story::Full).gateway;
    let mut log = TestLog::new("hospital.example/ledger", &LOG_SEED);
    let note = gateway.note().to_string();
    log.append(31, GATEWAY, &format!(r#"{{"note_sha256":"{}"}}"#, sha256(&[note.as_bytes()])));
    log.append(30, GATEWAY, &format!(r#"{{"vkey":"{}"}}"#, gateway.vkey()));
    log.append(99, DEVICE, &format!(r#"{{"claim_sha256":"{}"}}"#, sha256(&[CLAIM])));
    let mut bundle = whole_log(&log, &[0, 1, 2], &[0]);
    bundle.logs.push(Log { vkey: leak_text(gateway.vkey()), note: leak_text(note) });
    bundle.leaves.push(Ledger::leaf(1, &gateway, 1));
    encode(&bundle)
}

/// The builder refuses what would not verify; used by the builder's own test.
pub fn builder_without_closing() -> Builder {
    let ledger = Ledger::new(Story::Small);
    let mut builder = Builder::new(CLAIM.to_vec(), &ledger.main.vkey(), &ledger.main.note(), &[]).unwrap();
    let (salt, payload) = &ledger.main.openings[1];
    builder.leaf(0, &ledger.main.entries[1], Some(Opening { salt, payload }), ledger.main.proof(1)).unwrap();
    builder
}

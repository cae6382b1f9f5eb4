//! The log's formats: what comes from other logs, witnesses, tile servers and bundle files.

use lanyard_ledger::bundle::{self, TrustPolicy};
use lanyard_ledger::checkpoint::Checkpoint;
use lanyard_ledger::hash::Hash;
use lanyard_ledger::leaf::{self, LeafHeader, Prev};
use lanyard_ledger::note::{Note, NoteSigner, NoteVerifier};
use lanyard_ledger::proof::TlogProof;
use lanyard_ledger::tile;
use lanyard_ledger::tree::Frontier;

use crate::Target;

/// The targets of this area.
pub const TARGETS: &[Target] = &[
    Target { name: "ledger_leaf", run: leaf_entry, seeds: leaves },
    Target { name: "ledger_note", run: note, seeds: notes },
    Target { name: "ledger_vkey", run: vkey, seeds: vkeys },
    Target { name: "ledger_checkpoint", run: checkpoint, seeds: checkpoints },
    Target { name: "ledger_tlog_proof", run: tlog_proof, seeds: tlog_proofs },
    Target { name: "ledger_entries", run: entries, seeds: entry_bundles },
    Target { name: "ledger_frontier", run: frontier, seeds: frontiers },
    Target { name: "ledger_bundle", run: evidence_bundle, seeds: bundles },
];

fn leaf_entry(data: &[u8]) {
    if let Ok((header, commitment)) = leaf::decode(data) {
        assert_eq!(leaf::encode(&header, &commitment).as_slice(), data, "one entry, one encoding");
    }
}

fn leaves() -> Vec<Vec<u8>> {
    let first = LeafHeader {
        kind: 20,
        pos: 7,
        time_micros: 1_795_305_600_000_000,
        stream_kind: 1,
        stream: [7; 16],
        seq: 0,
        prev: None,
        actor: [9; 16],
        policy: Hash([1; 32]),
    };
    let second = LeafHeader { pos: 8, seq: 1, prev: Some(Prev { pos: 7, leaf: Hash([2; 32]) }), ..first };
    [first, second].iter().map(|header| leaf::encode(header, &Hash([3; 32])).to_vec()).collect()
}

fn note(data: &[u8]) {
    if let Ok(note) = Note::parse(data) {
        assert_eq!(note.to_string().as_bytes(), data, "one note, one spelling");
    }
}

fn signer() -> Option<NoteSigner> {
    NoteSigner::from_seed("lanyard.example/fuzz", &[5; 32]).ok()
}

fn head() -> Checkpoint {
    Checkpoint { origin: "lanyard.example/fuzz".to_owned(), size: 8, root: Hash([4; 32]) }
}

fn notes() -> Vec<Vec<u8>> {
    let signed = signer().and_then(|signer| head().sign(&signer).ok()).map(|note| note.to_string());
    signed.into_iter().map(String::into_bytes).collect()
}

fn vkey(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(verifier) = NoteVerifier::parse(text) {
        assert_eq!(verifier.vkey(), text, "one key, one spelling");
    }
}

fn vkeys() -> Vec<Vec<u8>> {
    signer().iter().map(|signer| signer.verifier().vkey().into_bytes()).collect()
}

fn checkpoint(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(checkpoint) = Checkpoint::parse(text) {
        assert_eq!(checkpoint.to_string(), text, "one checkpoint, one spelling");
    }
}

fn checkpoints() -> Vec<Vec<u8>> {
    let empty = Checkpoint { size: 0, ..head() };
    vec![head().to_string().into_bytes(), empty.to_string().into_bytes()]
}

fn tlog_proof(data: &[u8]) {
    if let Ok(proof) = TlogProof::parse(data) {
        assert_eq!(proof.to_string().as_bytes(), data, "one proof, one spelling");
        if let Some(signer) = signer() {
            // Any outcome but a panic.
            let _outcome = proof.verify(&Hash([8; 32]), signer.verifier());
        }
    }
}

fn tlog_proofs() -> Vec<Vec<u8>> {
    let note = signer().and_then(|signer| head().sign(&signer).ok());
    let proof = note.map(|checkpoint| TlogProof {
        extra: Some(b"extra".to_vec()),
        index: 3,
        hashes: vec![Hash([1; 32]), Hash([2; 32]), Hash([3; 32])],
        checkpoint,
    });
    proof.iter().map(|proof| proof.to_string().into_bytes()).collect()
}

fn entries(data: &[u8]) {
    if let Some(entries) = tile::decode_entries(data) {
        assert_eq!(tile::encode_entries(&entries).as_deref(), Some(data), "one list, one encoding");
    }
    if let Some(hashes) = tile::decode_tile(data) {
        assert_eq!(tile::encode_tile(&hashes), data, "one tile, one encoding");
    }
}

fn entry_bundles() -> Vec<Vec<u8>> {
    let leaves = leaves();
    let views: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
    tile::encode_entries(&views)
        .into_iter()
        .chain([tile::encode_tile(&[Hash([1; 32]), Hash([2; 32])])])
        .collect()
}

fn frontier(data: &[u8]) {
    if let Ok(frontier) = Frontier::from_bytes(data) {
        assert_eq!(frontier.to_bytes(), data, "one frontier, one encoding");
        let _root = frontier.root();
    }
}

fn frontiers() -> Vec<Vec<u8>> {
    let frontier = Frontier::from_peaks(7, vec![Hash([1; 32]), Hash([2; 32]), Hash([3; 32])]);
    frontier.iter().map(Frontier::to_bytes).collect()
}

fn evidence_bundle(data: &[u8]) {
    if let Ok(decoded) = bundle::decode(data) {
        assert_eq!(bundle::encode(&decoded), data, "one bundle, one encoding");
        // Any outcome but a panic: signatures, proofs and chains of whatever decodes.
        let _outcome = bundle::verify(data, &TrustPolicy::default());
    }
}

/// The vectors of the published format.
fn bundles() -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/evidence-bundle-vectors");
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "evidence")).collect();
    // The order of a folder is not the same on every machine; a run must repeat.
    files.sort();
    files.iter().filter_map(|path| std::fs::read(path).ok()).collect()
}

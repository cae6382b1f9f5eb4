//! Proofs, cosignatures and erasure.

use crate::support::{Log, append, at, event, id, verifier};
use lanyard_ledger::checkpoint::Checkpoint;
use lanyard_ledger::cosign::Cosigner;
use lanyard_ledger::note::Note;
use lanyard_ledger::proof::TlogProof;
use lanyard_ledger::tree::{verify_consistency, verify_inclusion};
use lanyard_store::{Append, Level, Options, SealError, Store};

#[tokio::test(flavor = "multi_thread")]
async fn proofs_verify_at_every_kind_of_size() {
    let log = Log::new();
    let store = log.open();
    let mut roots = Vec::new();
    // 255, 256, 257 and 512 lie on both sides of tile borders.
    for (n, count) in [(0, 1), (1, 254), (2, 1), (3, 1), (4, 255), (5, 188)] {
        store.append(append(n, 0, count)).await.unwrap();
        roots.push(store.head());
    }
    let events = store.range(0, 1000).await.unwrap();
    for head in &roots {
        assert_eq!(store.root_at(head.size).await.unwrap(), head.root);
        for pos in [0, 1, 127, 254, 255, 256, 511, 699].into_iter().filter(|p| *p < head.size) {
            let proof = store.inclusion_proof(pos, head.size).await.unwrap();
            let leaf = &events[pos as usize].leaf;
            assert_eq!(verify_inclusion(leaf, pos, head.size, &proof, &head.root), Ok(()));
        }
        for old in roots.iter().filter(|o| o.size <= head.size) {
            let proof = store.consistency_proof(old.size, head.size).await.unwrap();
            assert_eq!(verify_consistency(old.size, head.size, &proof, &old.root, &head.root), Ok(()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sealed_event_exports_as_a_tlog_proof() {
    let log = Log::new();
    let store = log.open();
    let leaves = store.append(append(1, 0, 9)).await.unwrap().leaves;
    let sealed = store.seal(at(1)).await.unwrap().unwrap();
    let checkpoint = Note::parse(sealed.note.as_bytes()).unwrap();
    let hashes = store.inclusion_proof(4, sealed.size).await.unwrap();
    let proof = TlogProof { extra: None, index: 4, hashes, checkpoint };
    let read = TlogProof::parse(proof.to_string().as_bytes()).unwrap();
    assert_eq!(read.verify(&leaves[4], &verifier()).unwrap().size, 9);
    assert!(read.verify(&leaves[5], &verifier()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_payload_keeps_every_proof_and_leaves_no_trace_of_it_on_disk() {
    let log = Log::new();
    let store = log.open();
    let secret = "Erika Mustermann, bed 12".repeat(40);
    let first = store.append(Append { events: vec![event(&secret)], ..append(1, 0, 1) }).await.unwrap();
    store.append(append(2, 0, 300)).await.unwrap();
    let sealed = store.seal(at(1)).await.unwrap().unwrap();
    let before = store.event(0).await.unwrap().unwrap();
    assert_eq!(before.payload.as_deref(), Some(secret.as_bytes()));
    store.append(Append { erase: vec![0], ..append(1, 1, 1) }).await.unwrap();
    let after = store.event(0).await.unwrap().unwrap();
    assert_eq!((after.payload, after.salt), (None, None));
    assert_eq!((after.entry, after.leaf), (before.entry, first.leaves[0]));
    let proof = store.inclusion_proof(0, sealed.size).await.unwrap();
    assert_eq!(verify_inclusion(&after.leaf, 0, sealed.size, &proof, &sealed.root), Ok(()));
    // Once more is no error: whoever repeats an erasure gets what was asked for.
    store.append(Append { erase: vec![0], ..append(1, 2, 1) }).await.unwrap();
    store.close().await.unwrap();
    assert_eq!(log.check().erased, 1);
    for file in std::fs::read_dir(log.dir()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(16).any(|w| w == &secret.as_bytes()[..16]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cosignatures_make_a_checkpoint_witnessed_at_the_quorum() {
    let log = Log::new();
    let options = || Options { witness_quorum: 2, ..log.options() };
    let store = Store::open(&log.dir(), options()).unwrap();
    store.append(append(1, 0, 3)).await.unwrap();
    let sealed = store.seal(at(1)).await.unwrap().unwrap();
    let note = Note::parse(sealed.note.as_bytes()).unwrap();
    let witness = |n: u8| Cosigner::from_seed(&format!("w{n}.example"), &[n; 32]).unwrap();
    let (a, b) = (witness(1), witness(2));
    let line = a.cosign(&note, 100).unwrap();
    for _ in 0..2 {
        let cosigned = store.add_cosignature(3, line.clone(), a.verifier()).await.unwrap();
        assert_eq!(cosigned.cosigners, 1);
    }
    assert_eq!(store.level_of(2), Some(Level::Sealed));
    // A line by someone else than the witness it is said to be from.
    let wrong = store.add_cosignature(3, line, b.verifier()).await;
    assert!(matches!(wrong, Err(SealError::Cosignature(_))));
    let beyond = store.add_cosignature(4, b.cosign(&note, 100).unwrap(), b.verifier()).await;
    assert!(matches!(beyond, Err(SealError::NoCheckpoint(4))));
    store.add_cosignature(3, b.cosign(&note, 101).unwrap(), b.verifier()).await.unwrap();
    assert_eq!(store.level_of(2), Some(Level::Witnessed));
    store.append(append(1, 3, 1)).await.unwrap();
    assert_eq!(store.level_of(3), Some(Level::Durable));
    store.close().await.unwrap();
    let store = Store::open(&log.dir(), options()).unwrap();
    assert_eq!(store.level_of(2), Some(Level::Witnessed));
    let note = store.latest_checkpoint().unwrap().note;
    Checkpoint::open(note.as_bytes(), &verifier()).unwrap();
    assert_eq!(store.stream(id(1), 0, 9).await.unwrap().len(), 4);
    store.close().await.unwrap();
    log.check();
}

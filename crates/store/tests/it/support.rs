//! A log in a temporary directory, and short ways to append.

use std::path::PathBuf;

use lanyard_domain::time::Timestamp;
use lanyard_ledger::Hash;
use lanyard_ledger::note::{NoteSigner, NoteVerifier};
use lanyard_store::{Append, CheckReport, NewEvent, OpenError, Options, Store, StreamId, Trust, check};
use tempfile::TempDir;

pub const ORIGIN: &str = "log.example/ward";

pub struct Log {
    pub root: TempDir,
}

impl Log {
    pub fn new() -> Log {
        Log { root: tempfile::tempdir().unwrap() }
    }

    pub fn dir(&self) -> PathBuf {
        self.root.path().join("log")
    }

    pub fn anchor_dir(&self) -> PathBuf {
        self.root.path().join("anchor")
    }

    pub fn options(&self) -> Options {
        Options::new(signer(), self.anchor_dir())
    }

    pub fn open(&self) -> Store {
        Store::open(&self.dir(), self.options()).unwrap()
    }

    pub fn try_open(&self) -> Result<Store, OpenError> {
        Store::open(&self.dir(), self.options())
    }

    pub fn trust(&self) -> Trust {
        Trust { log: Some(verifier()), anchor_dir: Some(self.anchor_dir()) }
    }

    pub fn check(&self) -> CheckReport {
        check(&self.dir(), &self.trust()).unwrap_or_else(|e| panic!("{e}"))
    }
}

pub fn signer() -> NoteSigner {
    NoteSigner::from_seed(ORIGIN, &[7; 32]).unwrap()
}

pub fn verifier() -> NoteVerifier {
    signer().verifier().clone()
}

pub fn id(n: u64) -> StreamId {
    let mut id = [0; 16];
    // A spread-out id, like the random ones of real streams.
    id[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    id[8..].copy_from_slice(&n.to_be_bytes());
    id
}

pub fn at(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(1_795_000_000 + seconds)
}

pub fn event(text: &str) -> NewEvent {
    NewEvent { kind: 1, payload: text.as_bytes().to_vec(), actor: [3; 16], policy: Hash([4; 32]) }
}

/// `count` events for stream `n` that has `seq` already.
pub fn append(n: u64, seq: u64, count: u64) -> Append {
    let events = (seq..seq + count).map(|i| event(&format!("{n}/{i}"))).collect();
    Append::new(id(n), 1, seq, events, at(0))
}

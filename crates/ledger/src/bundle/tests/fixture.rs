//! A small hospital log with fixed keys, and owned parts of a bundle that tests may bend.

use std::collections::HashMap;

use crate::bundle::{Builder, Bundle, Leaf, Log, Opening, TrustPolicy};
use crate::checkpoint::Checkpoint;
use crate::cosign::Cosigner;
use crate::hash::{Hash, sha256};
use crate::leaf::{self, LeafHeader, Prev};
use crate::note::{Note, NoteSigner};
use crate::tree::node_hash;

pub const LOG_SEED: [u8; 32] = [1; 32];
pub const GATEWAY_SEED: [u8; 32] = [2; 32];
pub const WITNESS_SEEDS: [[u8; 32]; 2] = [[3; 32], [4; 32]];
pub const STRANGER_SEED: [u8; 32] = [9; 32];

pub const DEVICE: (u8, [u8; 16]) = (1, [0xd0; 16]);
pub const OTHER_DEVICE: (u8, [u8; 16]) = (1, [0xd1; 16]);
pub const RELEASE: (u8, [u8; 16]) = (2, [0xe0; 16]);
pub const GATEWAY: (u8, [u8; 16]) = (3, [0xf0; 16]);

pub const CLAIM: &[u8] = br#"{"device":"d0d0d0d0","state":"trusted"}"#;
pub const QUOTE: &[u8] = b"attestation evidence of the device";
pub const POLICY_TEXT: &[u8] = b"permit(principal, action, resource);";

/// Bytes that live as long as the test.
pub fn leak(bytes: impl Into<Vec<u8>>) -> &'static [u8] {
    Vec::leak(bytes.into())
}

/// Text that lives as long as the test.
pub fn leak_text(text: impl Into<String>) -> &'static str {
    String::leak(text.into())
}

pub struct TestLog {
    pub signer: NoteSigner,
    pub entries: Vec<Vec<u8>>,
    pub openings: Vec<([u8; 32], Vec<u8>)>,
    heads: HashMap<(u8, [u8; 16]), (u64, Prev)>,
}

impl TestLog {
    pub fn new(name: &str, seed: &[u8; 32]) -> Self {
        let signer = NoteSigner::from_seed(name, seed).unwrap();
        Self { signer, entries: vec![], openings: vec![], heads: HashMap::new() }
    }

    /// Appends an event and returns its position.
    pub fn append(&mut self, kind: u16, stream: (u8, [u8; 16]), payload: &str) -> u64 {
        let before = self.heads.get(&stream).copied();
        let header = LeafHeader {
            kind,
            pos: self.entries.len() as u64,
            time_micros: 1_900_000_000_000_000 + self.entries.len() as i64,
            stream_kind: stream.0,
            stream: stream.1,
            seq: before.map_or(0, |(seq, _)| seq + 1),
            prev: before.map(|(_, prev)| prev),
            actor: [0xac; 16],
            policy: sha256(&[POLICY_TEXT]),
        };
        self.append_raw(header, payload)
    }

    /// Appends whatever header a dishonest log might make.
    pub fn append_raw(&mut self, header: LeafHeader, payload: &str) -> u64 {
        let pos = self.entries.len() as u64;
        let salt = sha256(&[b"salt", self.signer.verifier().name().as_bytes(), &pos.to_be_bytes()]).0;
        let entry = leaf::encode(&header, &leaf::commit(&salt, payload.as_bytes()));
        let prev = Prev { pos, leaf: leaf::leaf_hash(&entry) };
        self.heads.insert((header.stream_kind, header.stream), (header.seq, prev));
        self.entries.push(entry.to_vec());
        self.openings.push((salt, payload.as_bytes().to_vec()));
        pos
    }

    pub fn vkey(&self) -> String {
        self.signer.verifier().vkey()
    }

    pub fn note(&self) -> Note {
        self.note_with_root(self.root(0..self.entries.len()))
    }

    pub fn note_with_root(&self, root: Hash) -> Note {
        let origin = self.signer.verifier().name().to_owned();
        Checkpoint { origin, size: self.entries.len() as u64, root }.sign(&self.signer).unwrap()
    }

    /// RFC 9162 section 2.1.1, by its recursive definition.
    fn root(&self, range: std::ops::Range<usize>) -> Hash {
        if range.len() == 1 {
            return leaf::leaf_hash(&self.entries[range.start]);
        }
        let middle = range.start + split(range.len());
        node_hash(&self.root(range.start..middle), &self.root(middle..range.end))
    }

    /// RFC 9162 section 2.1.3.1, by its recursive definition.
    pub fn proof(&self, pos: u64) -> Vec<Hash> {
        self.path(pos as usize, 0..self.entries.len())
    }

    fn path(&self, pos: usize, range: std::ops::Range<usize>) -> Vec<Hash> {
        if range.len() == 1 {
            return vec![];
        }
        let middle = range.start + split(range.len());
        let (inside, beside) = if pos < middle {
            (range.start..middle, middle..range.end)
        } else {
            (middle..range.end, range.start..middle)
        };
        let mut path = self.path(pos, inside);
        path.push(self.root(beside));
        path
    }
}

fn split(n: usize) -> usize {
    n.next_power_of_two() / 2
}

/// What a test bundle holds beside the device's own chain.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Story {
    /// The device's chain alone.
    Small,
    /// With a release, an attachment and a gateway's decision.
    Full,
}

pub struct Ledger {
    pub main: TestLog,
    pub gateway: TestLog,
    pub witnesses: Vec<Cosigner>,
    story: Story,
}

impl Ledger {
    pub fn new(story: Story) -> Self {
        let mut main = TestLog::new("hospital.example/ledger", &LOG_SEED);
        let mut gateway = TestLog::new("gateway.hospital.example/decisions", &GATEWAY_SEED);
        gateway.append(90, OTHER_DEVICE, r#"{"decision":"deny"}"#);
        gateway.append(90, DEVICE, r#"{"decision":"allow","reading":"r-1"}"#);
        gateway.append(90, OTHER_DEVICE, r#"{"decision":"allow","reading":"r-2"}"#);
        main.append(20, RELEASE, r#"{"release":"4.2.1"}"#);
        main.append(1, DEVICE, r#"{"event":"registered"}"#);
        main.append(30, GATEWAY, &format!(r#"{{"vkey":"{}"}}"#, gateway.vkey()));
        main.append(
            10,
            DEVICE,
            &format!(r#"{{"event":"attested","evidence_sha256":"{}"}}"#, sha256(&[QUOTE])),
        );
        main.append(1, OTHER_DEVICE, r#"{"event":"registered"}"#);
        main.append(21, RELEASE, r#"{"event":"approved"}"#);
        let note = sha256(&[gateway.note().to_string().as_bytes()]);
        main.append(31, GATEWAY, &format!(r#"{{"note_sha256":"{note}"}}"#));
        main.append(99, DEVICE, &format!(r#"{{"claim_sha256":"{}"}}"#, sha256(&[CLAIM])));
        main.append(10, OTHER_DEVICE, r#"{"event":"attested"}"#);
        let witnesses = WITNESS_SEEDS.iter().enumerate();
        let witnesses =
            witnesses.map(|(n, seed)| Cosigner::from_seed(&format!("witness{n}.example"), seed).unwrap());
        Self { main, gateway, witnesses: witnesses.collect(), story }
    }

    pub fn witness_vkeys(&self) -> Vec<String> {
        self.witnesses.iter().map(|witness| witness.verifier().vkey()).collect()
    }

    /// The main log's checkpoint with this many cosignatures.
    pub fn cosigned(&self, witnesses: usize) -> Note {
        let mut note = self.main.note();
        for (n, witness) in self.witnesses.iter().take(witnesses).enumerate() {
            note.push(witness.cosign(&note, 1_900_000_010 + n as u64).unwrap()).unwrap();
        }
        note
    }

    /// Reader's trust in both witnesses, any one of them.
    pub fn trust(&self) -> TrustPolicy {
        TrustPolicy {
            main_log_vkeys: Some(vec![self.main.vkey()]),
            witness_vkeys: self.witness_vkeys(),
            quorum: 1,
        }
    }

    /// The exporter's way to a bundle; the positions are of the main log and not opened.
    pub fn builder(&self, witnesses: usize, erased: &[u64]) -> Builder {
        let note = self.cosigned(witnesses);
        let mut builder =
            Builder::new(CLAIM.to_vec(), &self.main.vkey(), &note, &self.witness_vkeys()).unwrap();
        let positions: &[u64] = if self.story == Story::Full { &[7, 0, 1, 2, 3, 5, 6] } else { &[1, 3, 7] };
        for &pos in positions {
            let (salt, payload) = &self.main.openings[pos as usize];
            let opening = (!erased.contains(&pos)).then_some(Opening { salt, payload });
            builder.leaf(0, &self.main.entries[pos as usize], opening, self.main.proof(pos)).unwrap();
        }
        if self.story == Story::Full {
            let note = self.gateway.note().to_string();
            let log = builder.sub_log(&self.gateway.vkey(), &note, &self.witness_vkeys()).unwrap();
            let (salt, payload) = &self.gateway.openings[1];
            let opening = Some(Opening { salt, payload });
            builder.leaf(log, &self.gateway.entries[1], opening, self.gateway.proof(1)).unwrap();
            builder.attach(QUOTE.to_vec());
        }
        builder
    }

    pub fn bundle(&self, witnesses: usize, erased: &[u64]) -> Vec<u8> {
        self.builder(witnesses, erased).build().unwrap()
    }

    /// A leaf of a log as the format has it, opened and with its proof.
    pub fn leaf(log: usize, of: &TestLog, pos: u64) -> Leaf<'static> {
        let (salt, payload) = of.openings[pos as usize].clone();
        let salt: &'static [u8; 32] = Box::leak(Box::new(salt));
        Leaf {
            log,
            entry: leak(of.entries[pos as usize].clone()),
            opening: Some(Opening { salt, payload: leak(payload) }),
            proof: Some(of.proof(pos)),
        }
    }

    /// A bundle put together without the builder, of these positions of the main log, proofs as they should be.
    pub fn by_hand(&self, claim: &'static [u8], positions: &[u64]) -> Bundle<'static> {
        let mut leaves: Vec<_> = positions.iter().map(|pos| Self::leaf(0, &self.main, *pos)).collect();
        let named: Vec<u64> = leaves
            .iter()
            .filter_map(|leaf| leaf::decode(leaf.entry).unwrap().0.prev.map(|prev| prev.pos))
            .collect();
        for (leaf, pos) in leaves.iter_mut().zip(positions) {
            if named.contains(pos) {
                leaf.proof = None;
            }
        }
        let log = Log { vkey: leak_text(self.main.vkey()), note: leak_text(self.main.note().to_string()) };
        Bundle { claim, logs: vec![log], leaves, attachments: vec![], witnesses: vec![] }
    }
}

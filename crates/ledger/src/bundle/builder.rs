//! Writes a bundle: sorts, drops what the format refuses, and hands the file out only if it verifies.

use std::collections::{BTreeMap, BTreeSet};

use super::encode::encode;
use super::flaw::Flaw;
use super::format::{Bundle, Leaf, Log, Opening};
use super::verified::TrustPolicy;
use super::verify::verify;
use crate::hash::{Hash, sha256};
use crate::leaf;
use crate::note::{Note, NoteError, NoteVerifier, Signature};

/// Why no bundle was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A checkpoint or key that cannot be read.
    #[error("cannot take the checkpoint of log {log}")]
    Note {
        /// Index of the log.
        log: usize,
        /// Why.
        #[source]
        source: NoteError,
    },
    /// An entry that is no leaf.
    #[error("cannot take entry {index} of log {log}: it is not a leaf, or its log was not added")]
    Entry {
        /// How many entries were added before.
        index: usize,
        /// Index of the log.
        log: usize,
    },
    /// The same leaf was added twice.
    #[error("leaf (log {log}, position {pos}) was added twice")]
    Twice {
        /// Index of the log.
        log: usize,
        /// Position.
        pos: u64,
    },
    /// What was added does not make a valid bundle.
    #[error("the parts do not make a bundle that verifies")]
    Invalid(#[from] Flaw),
}

/// Collects the parts of a bundle.
#[derive(Debug)]
pub struct Builder {
    claim: Vec<u8>,
    logs: Vec<(String, String)>,
    witnesses: BTreeSet<String>,
    leaves: BTreeMap<(usize, u64), Pending>,
    attachments: BTreeMap<Hash, Vec<u8>>,
}

#[derive(Debug)]
struct Pending {
    entry: Vec<u8>,
    opening: Option<([u8; 32], Vec<u8>)>,
    proof: Vec<Hash>,
}

impl Builder {
    /// For a claim, whose SHA-256 the closing leaf holds, and the main log with its checkpoint, of which only the
    /// lines of the log's key and of these witnesses are kept.
    ///
    /// # Errors
    /// If a key or the note cannot be read.
    pub fn new(claim: Vec<u8>, vkey: &str, note: &Note, witnesses: &[String]) -> Result<Self, BuildError> {
        let failed = |source| BuildError::Note { log: 0, source };
        let key = NoteVerifier::parse(vkey).map_err(failed)?;
        let mut lines: Vec<Signature> =
            note.signatures().iter().filter(|line| is_by(line, &key)).take(1).cloned().collect();
        let cosigned = cosigners(note, witnesses).map_err(failed)?;
        // A witness may cosign again while it retries; the last line is the latest.
        let last = |(_, key): &(String, NoteVerifier)| {
            note.signatures().iter().rev().find(|line| is_by(line, key)).cloned()
        };
        lines.extend(cosigned.iter().filter_map(last));
        let kept = Note::new(note.text().to_owned(), lines).map_err(failed)?;
        Ok(Self {
            claim,
            logs: vec![(vkey.to_owned(), kept.to_string())],
            witnesses: cosigned.into_iter().map(|(vkey, _)| vkey).collect(),
            leaves: BTreeMap::new(),
            attachments: BTreeMap::new(),
        })
    }

    /// Adds a sub-log, whose checkpoint is taken exactly as the main log anchored it, and returns its log index.
    ///
    /// # Errors
    /// If a key or the note cannot be read.
    pub fn sub_log(&mut self, vkey: &str, anchored: &str, witnesses: &[String]) -> Result<usize, BuildError> {
        let log = self.logs.len();
        let failed = |source| BuildError::Note { log, source };
        let note = Note::parse(anchored.as_bytes()).map_err(failed)?;
        let cosigned = cosigners(&note, witnesses).map_err(failed)?;
        self.witnesses.extend(cosigned.into_iter().map(|(vkey, _)| vkey));
        self.logs.push((vkey.to_owned(), anchored.to_owned()));
        Ok(log)
    }

    /// Adds a leaf with its inclusion proof, which is left out if a later leaf of the bundle names this one.
    ///
    /// # Errors
    /// If the entry is no leaf, its log is unknown, or it is there already.
    pub fn leaf(
        &mut self,
        log: usize,
        entry: &[u8],
        opening: Option<Opening<'_>>,
        proof: Vec<Hash>,
    ) -> Result<(), BuildError> {
        let not_a_leaf = || BuildError::Entry { index: self.leaves.len(), log };
        let (header, _) = leaf::decode(entry).map_err(|_| not_a_leaf())?;
        if log >= self.logs.len() {
            return Err(not_a_leaf());
        }
        let opening = opening.map(|opening| (*opening.salt, opening.payload.to_vec()));
        let part = Pending { entry: entry.to_vec(), opening, proof };
        match self.leaves.insert((log, header.pos), part) {
            None => Ok(()),
            Some(_) => Err(BuildError::Twice { log, pos: header.pos }),
        }
    }

    /// Adds a file that an opened payload names by SHA-256; the same file twice is one.
    pub fn attach(&mut self, file: Vec<u8>) {
        self.attachments.insert(sha256(&[&file]), file);
    }

    /// The file.
    ///
    /// # Errors
    /// If what was added does not verify: a bundle that its own exporter refuses is never handed out.
    pub fn build(self) -> Result<Vec<u8>, BuildError> {
        let named = self.named();
        let leaves = self.leaves.iter().map(|(&(log, pos), part)| Leaf {
            log,
            entry: &part.entry,
            opening: part.opening.as_ref().map(|(salt, payload)| Opening { salt, payload }),
            proof: (!named.contains(&(log, pos))).then(|| part.proof.clone()),
        });
        let bundle = Bundle {
            claim: &self.claim,
            logs: self.logs.iter().map(|(vkey, note)| Log { vkey, note }).collect(),
            leaves: leaves.collect(),
            attachments: self.attachments.values().map(Vec::as_slice).collect(),
            witnesses: self.witnesses.iter().map(String::as_str).collect(),
        };
        let bytes = encode(&bundle);
        verify(&bytes, &TrustPolicy::default())?;
        Ok(bytes)
    }

    /// The leaves that another leaf of the bundle names as its predecessor.
    fn named(&self) -> BTreeSet<(usize, u64)> {
        let prev = |(&(log, _), part): (&(usize, u64), &Pending)| {
            let (header, _) = leaf::decode(&part.entry).ok()?;
            Some((log, header.prev?.pos))
        };
        self.leaves.iter().filter_map(prev).collect()
    }
}

/// The witnesses that signed this note.
fn cosigners(note: &Note, witnesses: &[String]) -> Result<Vec<(String, NoteVerifier)>, NoteError> {
    let parsed = witnesses.iter().map(|vkey| Ok((vkey.clone(), NoteVerifier::parse(vkey)?)));
    let parsed = parsed.collect::<Result<Vec<_>, NoteError>>()?;
    let signed = |key: &NoteVerifier| note.signatures().iter().any(|line| is_by(line, key));
    Ok(parsed.into_iter().filter(|(_, key)| signed(key)).collect())
}

fn is_by(line: &Signature, key: &NoteVerifier) -> bool {
    line.name == key.name() && line.key_id == key.key_id()
}

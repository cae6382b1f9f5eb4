//! What a verified bundle says, and against which trust it was verified.

use std::collections::BTreeMap;

use crate::checkpoint::Checkpoint;
use crate::hash::Hash;
use crate::leaf::LeafHeader;

/// Whom the reader trusts. Keys are C2SP verifier keys and are compared as text.
#[derive(Clone, Debug, Default)]
pub struct TrustPolicy {
    /// Keys that the main log may have; `None` accepts any key and says so.
    pub main_log_vkeys: Option<Vec<String>>,
    /// Witnesses that count.
    pub witness_vkeys: Vec<String>,
    /// How many of them must have cosigned; at least one always.
    pub quorum: usize,
}

/// A bundle whose every byte stands under a signature of its main log.
#[derive(Debug)]
pub struct Verified<'a> {
    /// The claim; the closing leaf holds its digest, its meaning is for an upper layer.
    pub claim: &'a [u8],
    /// The logs and their verified checkpoints; index 0 is the main log.
    pub logs: Vec<LogHead<'a>>,
    /// All leaves, by (log, position).
    pub leaves: Vec<OpenedLeaf<'a>>,
    /// Index in [`Self::leaves`] of the leaf that closes the claim, the last one of its stream here.
    pub closing: usize,
    /// Runs of each stream in which nothing is missing.
    pub segments: Vec<Segment>,
    /// Attached files by SHA-256.
    pub attachments: BTreeMap<Hash, Attachment<'a>>,
    /// Where the main log anchors each sub-log, by log index from 1.
    pub anchors: Vec<Anchor>,
    /// Cosignatures on the main log's checkpoint.
    pub cosignatures: Vec<Cosignature>,
    /// How far the main log's checkpoint is confirmed by others.
    pub level: Level,
    /// Why the main log's key was accepted.
    pub log_key: LogKey,
    /// What this bundle does not prove, in sentences.
    pub not_proven: Vec<String>,
}

impl Verified<'_> {
    /// The outcome in the words of the command line.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.level {
            _ if self.leaves.iter().any(|leaf| leaf.payload.is_none()) => Outcome::PayloadErased,
            Level::Witnessed { .. } => Outcome::Proved,
            Level::Sealed => Outcome::ProvedUnwitnessed,
        }
    }
}

/// The four words of a verification. `Contradicted` is what a [`super::Flaw`] means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every part holds and enough trusted witnesses cosigned.
    Proved,
    /// Every part holds, on the log operator's word alone.
    ProvedUnwitnessed,
    /// Every part holds, but at least one payload is not there to be read.
    PayloadErased,
    /// Some part does not hold.
    Contradicted,
}

impl Outcome {
    /// The words for people; they are part of the format.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Proved => "proved",
            Self::ProvedUnwitnessed => "proved but unwitnessed",
            Self::PayloadErased => "payload erased",
            Self::Contradicted => "contradicted",
        }
    }
}

/// A log of the bundle and the head that its signature covers.
#[derive(Debug, PartialEq, Eq)]
pub struct LogHead<'a> {
    /// The verifier key.
    pub vkey: &'a str,
    /// Origin (equal to the key's name), size and root.
    pub checkpoint: Checkpoint,
}

/// A leaf that is proven to stand in its log.
#[derive(Debug, PartialEq, Eq)]
pub struct OpenedLeaf<'a> {
    /// Index of the log.
    pub log: usize,
    /// The header.
    pub header: LeafHeader,
    /// Hash of the leaf.
    pub hash: Hash,
    /// The payload, unless it was erased or is withheld.
    pub payload: Option<&'a [u8]>,
}

/// A run of one stream's leaves in which each names the one before it: nothing lies between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Index of the log.
    pub log: usize,
    /// Kind of the stream.
    pub stream_kind: u8,
    /// The stream.
    pub stream: [u8; 16],
    /// Sequence number of the first leaf.
    pub from_seq: u64,
    /// Sequence number of the last leaf.
    pub to_seq: u64,
}

/// An attached file.
#[derive(Debug, PartialEq, Eq)]
pub struct Attachment<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Index of the first leaf whose payload names it.
    pub named_by: usize,
}

/// Where the main log vouches for a sub-log. Whether those events may do so is for an upper layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// Index of the sub-log.
    pub log: usize,
    /// Index of the first leaf that names its key.
    pub vkey_leaf: usize,
    /// Index of the first leaf that names its checkpoint note.
    pub note_leaf: usize,
}

/// A verified cosignature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cosignature {
    /// Verifier key of the witness.
    pub vkey: String,
    /// When the witness says it saw the checkpoint, seconds since 1970.
    pub time_seconds: u64,
    /// Whether the trust policy names this witness.
    pub trusted: bool,
}

/// How far others confirm the main log's checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Signed by the log; too few trusted witnesses.
    Sealed,
    /// Cosigned by a quorum of trusted witnesses.
    Witnessed {
        /// How many of them.
        count: usize,
    },
}

/// Why the main log's key was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogKey {
    /// The reader named it.
    Pinned,
    /// Only the bundle names it: compare this fingerprint with the operator's.
    SelfAsserted {
        /// Lowercase hexadecimal SHA-256 of the verifier key's text.
        fingerprint: String,
    },
}

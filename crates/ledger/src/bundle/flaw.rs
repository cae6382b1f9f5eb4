//! Why a bundle is refused: the part that failed and the rule that it breaks.

use std::fmt;

/// The part of a bundle that a flaw is about. The words of [`Part::code`] are part of the format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The encoding, at a byte offset.
    Structure {
        /// Offset of the first byte that cannot be right.
        offset: usize,
    },
    /// The verifier key of a log.
    LogKey {
        /// Index of the log.
        log: usize,
    },
    /// The verifier key of a witness.
    WitnessKey {
        /// Index in the list of witnesses.
        witness: usize,
    },
    /// The main log's key is not one that the reader pinned.
    Pin,
    /// The text of a checkpoint.
    Checkpoint {
        /// Index of the log.
        log: usize,
    },
    /// A signature line of a checkpoint.
    Signature {
        /// Index of the log.
        log: usize,
        /// Index of the signature line; the number of lines if one is missing.
        line: usize,
    },
    /// An entry that is no leaf of its log; the position is not known yet.
    Entry {
        /// Index in the list of leaves.
        leaf: usize,
    },
    /// A leaf's place in the order of the bundle or of its log.
    Leaf {
        /// Index of the log.
        log: usize,
        /// Position in that log.
        pos: u64,
    },
    /// Salt and payload do not open the leaf's commitment.
    Commitment {
        /// Index of the log.
        log: usize,
        /// Position in that log.
        pos: u64,
    },
    /// The chain of the leaf's stream.
    Chain {
        /// Index of the log.
        log: usize,
        /// Position in that log.
        pos: u64,
    },
    /// An inclusion proof that fails, is missing or is not needed.
    Proof {
        /// Index of the log.
        log: usize,
        /// Position in that log.
        pos: u64,
    },
    /// A sub-log that the main log does not anchor.
    Anchor {
        /// Index of the log.
        log: usize,
    },
    /// An attachment.
    Attachment {
        /// Index in the list of attachments.
        attachment: usize,
    },
    /// The claim or the leaf that closes it.
    Claim,
}

impl Part {
    /// One word for tables and other verifiers.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Structure { .. } => "structure",
            Self::LogKey { .. } | Self::WitnessKey { .. } => "key",
            Self::Pin => "pin",
            Self::Checkpoint { .. } => "checkpoint",
            Self::Signature { .. } => "signature",
            Self::Entry { .. } | Self::Leaf { .. } => "leaf",
            Self::Commitment { .. } => "commitment",
            Self::Chain { .. } => "chain",
            Self::Proof { .. } => "proof",
            Self::Anchor { .. } => "anchor",
            Self::Attachment { .. } => "attachment",
            Self::Claim => "claim",
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Structure { offset } => write!(f, "structure at byte {offset}"),
            Self::LogKey { log } => write!(f, "key of log {log}"),
            Self::WitnessKey { witness } => write!(f, "key of witness {witness}"),
            Self::Pin => write!(f, "pinned key of the main log"),
            Self::Checkpoint { log } => write!(f, "checkpoint of log {log}"),
            Self::Signature { log, line } => {
                write!(f, "signature line {line} on the checkpoint of log {log}")
            }
            Self::Entry { leaf } => write!(f, "entry {leaf} of the list of leaves"),
            Self::Leaf { log, pos } => write!(f, "leaf (log {log}, position {pos})"),
            Self::Commitment { log, pos } => write!(f, "payload of leaf (log {log}, position {pos})"),
            Self::Chain { log, pos } => write!(f, "chain at leaf (log {log}, position {pos})"),
            Self::Proof { log, pos } => write!(f, "inclusion proof of leaf (log {log}, position {pos})"),
            Self::Anchor { log } => write!(f, "anchor of log {log}"),
            Self::Attachment { attachment } => write!(f, "attachment {attachment}"),
            Self::Claim => write!(f, "claim"),
        }
    }
}

/// A bundle is contradicted: this part breaks this rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{part}: {rule}")]
pub struct Flaw {
    /// Which part.
    pub part: Part,
    /// The rule that it breaks, in words.
    pub rule: String,
}

impl Flaw {
    pub(super) fn new(part: Part, rule: impl Into<String>) -> Self {
        Self { part, rule: rule.into() }
    }
}

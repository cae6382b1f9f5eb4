//! The content of a bundle as borrowed values, and the limits that bound it.
//!
//! The integers in the docs of the fields are the CBOR map keys.

use crate::hash::Hash;

/// The format text under key 1. Another text is another format and is refused.
pub const FORMAT: &str = "lanyard-evidence/1";

/// Key 7 is the place of the epoch map proofs; this format refuses it (see "What is not proven" in the docs).
pub(super) const KEYS: u64 = 6;

/// Limits of a bundle. They bound what a verifier allocates and computes for a hostile file.
pub mod limit {
    /// Bytes of the file: 65,536 leaves of 500 bytes are 32 MiB, and as much is left for attachments.
    pub const FILE: usize = 64 << 20;
    /// Bytes of the claim.
    pub const CLAIM: usize = 1 << 20;
    /// Logs: the main log and the gateways that took part.
    pub const LOGS: usize = 64;
    /// Bytes of a verifier key: an Ed25519 key is 44 base64 digits beside its name.
    pub const VKEY: usize = 1024;
    /// Bytes of a checkpoint note: 33 Ed25519 lines are about 6 KiB.
    pub const NOTE: usize = 64 << 10;
    /// Witness keys; signed-note asks for at least 16 signatures.
    pub const WITNESSES: usize = 32;
    /// Leaves: one event every ten minutes for more than a year.
    pub const LEAVES: usize = 1 << 16;
    /// Bytes of a leaf entry: tlog-tiles stores its length in 16 bits.
    pub const ENTRY: usize = 65_535;
    /// Bytes of an opened payload; anything larger is an attachment.
    pub const PAYLOAD: usize = 1 << 20;
    /// Hashes of an inclusion proof: positions have 64 bits.
    pub const PROOF: usize = 64;
    /// Attachments.
    pub const ATTACHMENTS: usize = 4096;
}

/// A decoded bundle. Nothing in it is proven yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle<'a> {
    /// 2: what the bundle claims, JSON for an upper layer.
    pub claim: &'a [u8],
    /// 3: the logs; index 0 is the main log.
    pub logs: Vec<Log<'a>>,
    /// 4: the leaves, by (log, position).
    pub leaves: Vec<Leaf<'a>>,
    /// 5: files that opened payloads name by SHA-256, by that digest.
    pub attachments: Vec<&'a [u8]>,
    /// 6: the verifier keys of the witnesses that cosigned, by bytes.
    pub witnesses: Vec<&'a str>,
}

/// One log: its key and one signed checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log<'a> {
    /// 1: the log's C2SP verifier key.
    pub vkey: &'a str,
    /// 2: the checkpoint with all its signature lines.
    pub note: &'a str,
}

/// One leaf of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// 1: index of the log in [`Bundle::logs`].
    pub log: usize,
    /// 2: the entry, exactly the bytes that the tree hashes.
    pub entry: &'a [u8],
    /// 3 and 4: salt and payload, or nothing if the payload was erased or is withheld.
    pub opening: Option<Opening<'a>>,
    /// 5: inclusion proof, absent if a later leaf of the bundle names this one as its predecessor.
    pub proof: Option<Vec<Hash>>,
}

/// What opens the commitment of a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening<'a> {
    /// The salt.
    pub salt: &'a [u8; 32],
    /// The payload.
    pub payload: &'a [u8],
}

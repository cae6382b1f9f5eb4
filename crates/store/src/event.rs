//! An event as it is stored, and how far its evidence has come.

use lanyard_ledger::Hash;
use lanyard_ledger::leaf::{LeafHeader, SALT_LEN};

/// A recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its header.
    pub header: LeafHeader,
    /// The bytes that were hashed into the tree.
    pub entry: Vec<u8>,
    /// Hash of the entry.
    pub leaf: Hash,
    /// Salt of the commitment; none once erased.
    pub salt: Option<[u8; SALT_LEN]>,
    /// Content; none once erased.
    pub payload: Option<Vec<u8>>,
}

/// How far the evidence for an event has come; each level includes those before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Its transaction is on disk.
    Durable,
    /// A signed checkpoint over it lies in the anchor directory.
    Sealed,
    /// Enough witnesses cosigned such a checkpoint.
    Witnessed,
}

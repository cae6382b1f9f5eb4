//! RFC 6962/9162 Merkle tree: node hash, right edge, and the two proof verifiers.
//!
//! In scope: hashing and verifying without storage. Making proofs from stored tiles is in `tree_proof` and re-exported
//! here; tiles are in `tile`.

use crate::hash::{HASH_LEN, Hash, sha256};

pub use crate::tree_proof::{ProofError, consistency_proof, inclusion_proof, root_at};

/// A proof never has more hashes than a tree over 2^64 leaves has levels, twice for consistency at the fork.
pub const MAX_PROOF_LEN: usize = 64;

/// RFC 6962 2.1: SHA-256(0x01 || left || right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[0x01], &left.0, &right.0])
}

/// Root of the empty tree: SHA-256 of nothing.
pub fn empty_root() -> Hash {
    sha256(&[])
}

/// The right edge of a tree: roots of its maximal complete subtrees ("peaks"), largest first. Enough to append and to
/// compute the root.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    peaks: Vec<Hash>,
}

/// Why bytes are not a frontier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tree edge has {found} bytes, expected {expected} for its size")]
pub struct BadFrontier {
    found: usize,
    expected: usize,
}

impl Frontier {
    /// Of the empty tree.
    pub fn new() -> Frontier {
        Frontier::default()
    }

    /// From the size and as many peaks as the size has one bits.
    pub fn from_peaks(size: u64, peaks: Vec<Hash>) -> Option<Frontier> {
        (peaks.len() == size.count_ones() as usize).then_some(Frontier { size, peaks })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends one leaf hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut node = leaf;
        // Each trailing one bit of the old size is a complete subtree that the new node closes.
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
    }

    /// Root of the tree.
    pub fn root(&self) -> Hash {
        self.peaks
            .iter()
            .rev()
            .copied()
            .reduce(|right, left| node_hash(&left, &right))
            .unwrap_or_else(empty_root)
    }

    /// Size (8 bytes big-endian), then the peaks.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = self.size.to_be_bytes().to_vec();
        out.extend(self.peaks.iter().flat_map(|p| p.0));
        out
    }

    /// Inverse of [`Frontier::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Frontier, BadFrontier> {
        let Some((size, rest)) = bytes.split_first_chunk::<8>() else {
            return Err(BadFrontier { found: bytes.len(), expected: 8 });
        };
        let size = u64::from_be_bytes(*size);
        let expected = 8 + HASH_LEN * size.count_ones() as usize;
        if bytes.len() != expected {
            return Err(BadFrontier { found: bytes.len(), expected });
        }
        let peaks = rest.chunks_exact(HASH_LEN).filter_map(Hash::from_slice).collect();
        Ok(Frontier { size, peaks })
    }
}

/// Why a proof does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refuted {
    /// Index at or beyond the size, or sizes in the wrong order.
    #[error("index or size {index} lies outside a tree of {size} entries")]
    Range {
        /// Index of the leaf, or old size.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// Too many or too few hashes for these sizes.
    #[error("proof has {0} hashes, which does not fit the index and size")]
    Length(usize),
    /// The hashes lead to another root.
    #[error("proof leads to root {computed}, expected {expected}")]
    Root {
        /// What the proof gives.
        computed: Hash,
        /// What was claimed.
        expected: Hash,
    },
}

/// RFC 9162 2.1.3.2.
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    size: u64,
    proof: &[Hash],
    root: &Hash,
) -> Result<(), Refuted> {
    if index >= size {
        return Err(Refuted::Range { index, size });
    }
    let (mut fnode, mut snode, mut node) = (index, size - 1, *leaf);
    for sibling in proof {
        if snode == 0 {
            return Err(Refuted::Length(proof.len()));
        }
        if fnode & 1 == 1 || fnode == snode {
            node = node_hash(sibling, &node);
            // Skip the levels at which this node is the lone right edge.
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            node = node_hash(&node, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode != 0 {
        return Err(Refuted::Length(proof.len()));
    }
    same_root(node, root)
}

/// RFC 9162 2.1.4.2. An empty old tree is consistent with every tree, equal sizes need equal roots; both take an empty
/// proof.
pub fn verify_consistency(
    old_size: u64,
    new_size: u64,
    proof: &[Hash],
    old_root: &Hash,
    new_root: &Hash,
) -> Result<(), Refuted> {
    if old_size > new_size {
        return Err(Refuted::Range { index: old_size, size: new_size });
    }
    if old_size == 0 || old_size == new_size {
        if !proof.is_empty() {
            return Err(Refuted::Length(proof.len()));
        }
        return if old_size == 0 {
            same_root(empty_root(), old_root)
        } else {
            same_root(*old_root, new_root)
        };
    }
    // A complete old tree is itself the first node of the path, so the proof leaves it out.
    let (first, rest) = if old_size.is_power_of_two() {
        (*old_root, proof)
    } else {
        let Some((first, rest)) = proof.split_first() else { return Err(Refuted::Length(0)) };
        (*first, rest)
    };
    let (mut fnode, mut snode) = (old_size - 1, new_size - 1);
    let shift = fnode.trailing_ones();
    // `old_size` is below `new_size`, so the shift stays below 64.
    fnode >>= shift;
    snode >>= shift;
    let (mut old, mut new) = (first, first);
    for sibling in rest {
        if snode == 0 {
            return Err(Refuted::Length(proof.len()));
        }
        if fnode & 1 == 1 || fnode == snode {
            old = node_hash(sibling, &old);
            new = node_hash(sibling, &new);
            while fnode & 1 == 0 && fnode != 0 {
                fnode >>= 1;
                snode >>= 1;
            }
        } else {
            new = node_hash(&new, sibling);
        }
        fnode >>= 1;
        snode >>= 1;
    }
    if snode != 0 {
        return Err(Refuted::Length(proof.len()));
    }
    same_root(old, old_root)?;
    same_root(new, new_root)
}

fn same_root(computed: Hash, expected: &Hash) -> Result<(), Refuted> {
    if computed == *expected { Ok(()) } else { Err(Refuted::Root { computed, expected: *expected }) }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;

//! Inclusion and consistency proofs made from stored tiles.
//!
//! Every hash of a proof is the root of a run of leaves `[low, high)`. A run that is a complete aligned subtree is one
//! tile look-up; any other is split as RFC 6962 2.1 splits it.

use std::cell::RefCell;
use std::collections::HashMap;

use crate::hash::Hash;
use crate::tile::{TILE_HEIGHT, TileReader};
use crate::tree::{empty_root, node_hash};

/// Why no proof could be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProofError<E> {
    /// Asked for something outside the tree.
    #[error("index or size {index} lies outside a tree of {size} entries")]
    Range {
        /// Index of the leaf, or old size.
        index: u64,
        /// Size of the tree.
        size: u64,
    },
    /// A stored tile is shorter than the tree needs.
    #[error("tile {level}/{index} has {found} hashes, but hash {wanted} of it is needed")]
    Short {
        /// Tile level.
        level: u8,
        /// Tile index.
        index: u64,
        /// Hashes present.
        found: usize,
        /// Offset of the one that is missing.
        wanted: usize,
    },
    /// The storage failed.
    #[error("cannot read tiles")]
    Read(#[source] E),
}

/// RFC 9162 2.1.3.1: the hashes from the leaf's sibling up to the root's child.
pub fn inclusion_proof<R: TileReader>(
    reader: &R,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    if index >= size {
        return Err(ProofError::Range { index, size });
    }
    let nodes = Nodes::new(reader);
    let (mut low, mut high, mut proof) = (0, size, Vec::new());
    while high - low > 1 {
        let middle = low + split(high - low);
        if index < middle {
            proof.push(nodes.run(middle, high)?);
            high = middle;
        } else {
            proof.push(nodes.run(low, middle)?);
            low = middle;
        }
    }
    proof.reverse();
    Ok(proof)
}

/// RFC 9162 2.1.4.1; empty when the old tree is empty or of the same size.
pub fn consistency_proof<R: TileReader>(
    reader: &R,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProofError<R::Error>> {
    if old > new {
        return Err(ProofError::Range { index: old, size: new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let nodes = Nodes::new(reader);
    let (mut low, mut high, mut proof) = (0, new, Vec::new());
    // Descend to the subtree that ends where the old tree ends.
    while high != old {
        let middle = low + split(high - low);
        if old <= middle {
            proof.push(nodes.run(middle, high)?);
            high = middle;
        } else {
            proof.push(nodes.run(low, middle)?);
            low = middle;
        }
    }
    // That subtree starts at 0 only if it is the whole old tree, whose root the verifier knows.
    if low != 0 {
        proof.push(nodes.run(low, high)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Root of the first `size` leaves.
pub fn root_at<R: TileReader>(reader: &R, size: u64) -> Result<Hash, ProofError<R::Error>> {
    if size == 0 {
        return Ok(empty_root());
    }
    Nodes::new(reader).run(0, size)
}

/// Largest power of two below `n`, for `n` above 1.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

struct Nodes<'r, R: TileReader> {
    reader: &'r R,
    // One proof touches the same right-edge tile several times.
    seen: RefCell<HashMap<(u8, u64), Vec<Hash>>>,
}

impl<'r, R: TileReader> Nodes<'r, R> {
    fn new(reader: &'r R) -> Self {
        Nodes { reader, seen: RefCell::new(HashMap::new()) }
    }

    /// Root of leaves `[low, high)`; `low` is a multiple of the largest power of two not above the length.
    fn run(&self, low: u64, high: u64) -> Result<Hash, ProofError<R::Error>> {
        let length = high - low;
        if length.is_power_of_two() {
            return self.complete(low, length.trailing_zeros());
        }
        let middle = low + split(length);
        Ok(node_hash(&self.run(low, middle)?, &self.run(middle, high)?))
    }

    fn complete(&self, low: u64, height: u32) -> Result<Hash, ProofError<R::Error>> {
        let level = (height / u32::from(TILE_HEIGHT)) as u8;
        let bottom = u32::from(level) * u32::from(TILE_HEIGHT);
        let first = low >> bottom;
        let (index, offset) = (first >> TILE_HEIGHT, (first & 0xff) as usize);
        let count = 1usize << (height - bottom);
        let mut seen = self.seen.borrow_mut();
        let tile = match seen.entry((level, index)) {
            std::collections::hash_map::Entry::Occupied(tile) => tile.into_mut(),
            std::collections::hash_map::Entry::Vacant(slot) => {
                slot.insert(self.reader.tile(level, index).map_err(ProofError::Read)?)
            }
        };
        let hashes = tile.get(offset..offset + count).ok_or(ProofError::Short {
            level,
            index,
            found: tile.len(),
            wanted: offset + count - 1,
        })?;
        Ok(complete_root(hashes))
    }
}

/// Root over a power of two of hashes.
pub(crate) fn complete_root(hashes: &[Hash]) -> Hash {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row.chunks(2).map(pair).collect();
    }
    row.first().copied().unwrap_or_else(empty_root)
}

fn pair(nodes: &[Hash]) -> Hash {
    match nodes {
        [left, right] => node_hash(left, right),
        [lone] => *lone,
        _ => empty_root(),
    }
}

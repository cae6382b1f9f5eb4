//! C2SP tlog-tiles: tiles of height 8, their paths, entry bundles, and the writer that keeps the right edge.
//!
//! In scope: which hashes a tile holds and how it is named. Out of scope: where tiles are kept ([`TileReader`] is the
//! seam: SQLite, files and memory implement it).

use std::convert::Infallible;

use crate::hash::{HASH_LEN, Hash};
use crate::tree::Frontier;
use crate::tree_proof::complete_root;

/// Levels of the tree per tile.
pub const TILE_HEIGHT: u8 = 8;
/// Hashes in a full tile.
pub const TILE_WIDTH: usize = 1 << TILE_HEIGHT;
/// tlog-tiles: levels 0 to 5 are enough for 2^48 entries; 8 covers every u64 size.
pub const MAX_LEVELS: u8 = 8;
/// tlog-tiles: an entry has a two-byte length.
pub const MAX_ENTRY_LEN: usize = u16::MAX as usize;

/// Where tiles come from.
pub trait TileReader {
    /// Why a read failed.
    type Error;

    /// The hashes present in tile `index` of `level`: at most 256, none if the tile does not exist yet.
    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, Self::Error>;
}

/// A tile that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TileUpdate {
    /// Level, 0 at the leaves.
    pub level: u8,
    /// Index within the level.
    pub index: u64,
    /// All hashes of the tile as of now; 256 when full.
    pub hashes: Vec<Hash>,
}

/// Appends leaves and says which tiles changed. Cheap to clone (one tile per level), so a caller can try an append and
/// drop the result.
#[derive(Debug, Clone)]
pub struct TreeWriter {
    frontier: Frontier,
    // The unfinished tile of each level; never full.
    edge: Vec<Vec<Hash>>,
}

/// Why a tree could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError<E> {
    /// A tile at the right edge is missing or too short.
    #[error(
        "tile {level}/{index} has {found} hashes, expected at least {expected} in a tree of {size} entries"
    )]
    Short {
        /// Tile level.
        level: u8,
        /// Tile index.
        index: u64,
        /// Hashes present.
        found: usize,
        /// Hashes needed.
        expected: usize,
        /// Size of the tree.
        size: u64,
    },
    /// The storage failed.
    #[error("cannot read tiles")]
    Read(#[source] E),
}

impl TreeWriter {
    /// An empty tree.
    pub fn new() -> TreeWriter {
        TreeWriter { frontier: Frontier::new(), edge: Vec::new() }
    }

    /// Continues a tree of `size` leaves. The caller compares [`TreeWriter::root`] with the root it trusts.
    pub fn open<R: TileReader>(size: u64, reader: &R) -> Result<TreeWriter, OpenError<R::Error>> {
        let mut edge = Vec::new();
        let mut level = 0u8;
        while level < MAX_LEVELS && size >> (level * TILE_HEIGHT) > 0 {
            let hashes = size >> (level * TILE_HEIGHT);
            let (index, expected) = (hashes >> TILE_HEIGHT, (hashes & 0xff) as usize);
            let mut tile = Vec::new();
            if expected > 0 {
                tile = reader.tile(level, index).map_err(OpenError::Read)?;
                if tile.len() < expected {
                    return Err(OpenError::Short { level, index, found: tile.len(), expected, size });
                }
                tile.truncate(expected);
            }
            edge.push(tile);
            level += 1;
        }
        let peaks: Vec<Hash> = edge.iter().rev().flat_map(|tile| peaks(tile)).collect();
        // Each edge tile gives one peak per one bit of its length, so the counts agree.
        let frontier = Frontier::from_peaks(size, peaks).unwrap_or_default();
        Ok(TreeWriter { frontier, edge })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.frontier.size()
    }

    /// Root over all leaves.
    pub fn root(&self) -> Hash {
        self.frontier.root()
    }

    /// Appends leaf hashes; returns every tile that changed, full ones first, the partial ones of each level last.
    pub fn append(&mut self, leaves: &[Hash]) -> Vec<TileUpdate> {
        let mut updates = Vec::new();
        let mut touched = 0u8;
        for leaf in leaves {
            let index = self.frontier.size();
            self.frontier.append(*leaf);
            touched = touched.max(self.push(0, index, *leaf, &mut updates));
        }
        if !leaves.is_empty() {
            self.partial_tiles(touched, &mut updates);
        }
        updates
    }

    /// Adds hash number `index` of `level`; returns the highest level it reached.
    fn push(&mut self, level: u8, index: u64, hash: Hash, updates: &mut Vec<TileUpdate>) -> u8 {
        if self.edge.len() <= usize::from(level) {
            self.edge.push(Vec::with_capacity(TILE_WIDTH));
        }
        let Some(tile) = self.edge.get_mut(usize::from(level)) else { return level };
        tile.push(hash);
        if tile.len() < TILE_WIDTH {
            return level;
        }
        let hashes = std::mem::take(tile);
        let root = complete_root(&hashes);
        let index = index >> TILE_HEIGHT;
        updates.push(TileUpdate { level, index, hashes });
        self.push(level + 1, index, root, updates)
    }

    fn partial_tiles(&self, highest: u8, updates: &mut Vec<TileUpdate>) {
        for (level, tile) in (0u8..=highest).zip(&self.edge) {
            if !tile.is_empty() {
                let index = self.size() >> (level * TILE_HEIGHT) >> TILE_HEIGHT;
                updates.push(TileUpdate { level, index, hashes: tile.clone() });
            }
        }
    }
}

impl Default for TreeWriter {
    fn default() -> Self {
        Self::new()
    }
}

/// Roots of the maximal complete subtrees over fewer than 256 hashes, largest first.
fn peaks(hashes: &[Hash]) -> Vec<Hash> {
    let mut frontier_peaks = Vec::new();
    let mut rest = hashes;
    while !rest.is_empty() {
        let (run, after) = rest.split_at(1 << rest.len().ilog2());
        frontier_peaks.push(complete_root(run));
        rest = after;
    }
    frontier_peaks
}

/// Path of a tile: `tile/<level>/<index>`, with `.p/<width>` when it is not full. `None` for a width of 0 or above 256.
pub fn tile_path(level: u8, index: u64, width: usize) -> Option<String> {
    Some(format!("tile/{level}/{}", suffix(index, width)?))
}

/// Path of an entry bundle: `tile/entries/<index>`, with `.p/<width>` when it is not full.
pub fn entries_path(index: u64, width: usize) -> Option<String> {
    Some(format!("tile/entries/{}", suffix(index, width)?))
}

fn suffix(index: u64, width: usize) -> Option<String> {
    let number = index_path(index);
    match width {
        TILE_WIDTH => Some(number),
        1..TILE_WIDTH => Some(format!("{number}.p/{width}")),
        _ => None,
    }
}

/// tlog-tiles: three decimal digits per path element, all but the last with a leading `x`: 1234067 is `x001/x234/067`.
pub fn index_path(index: u64) -> String {
    let mut path = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        path = format!("x{:03}/{path}", rest % 1000);
        rest /= 1000;
    }
    path
}

/// Bytes of a tile: its hashes one after the other.
pub fn encode_tile(hashes: &[Hash]) -> Vec<u8> {
    hashes.iter().flat_map(|h| h.0).collect()
}

/// Inverse of [`encode_tile`]: 1 to 256 whole hashes.
pub fn decode_tile(bytes: &[u8]) -> Option<Vec<Hash>> {
    let count = bytes.len() / HASH_LEN;
    let whole = bytes.len().is_multiple_of(HASH_LEN) && (1..=TILE_WIDTH).contains(&count);
    whole.then(|| bytes.chunks_exact(HASH_LEN).filter_map(Hash::from_slice).collect())
}

/// An entry bundle: each entry after its two-byte length. `None` if an entry is longer than 65,535 bytes or there are
/// more than 256.
pub fn encode_entries(entries: &[&[u8]]) -> Option<Vec<u8>> {
    if entries.len() > TILE_WIDTH {
        return None;
    }
    let mut out = Vec::new();
    for entry in entries {
        out.extend(u16::try_from(entry.len()).ok()?.to_be_bytes());
        out.extend(*entry);
    }
    Some(out)
}

/// Inverse of [`encode_entries`]; no trailing bytes, at most 256 entries.
pub fn decode_entries(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut entries = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<2>()?;
        let (entry, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
        entries.push(entry);
        bytes = rest;
    }
    (entries.len() <= TILE_WIDTH).then_some(entries)
}

/// Tiles in memory, for tests, small logs and verifiers that hold all leaves.
#[derive(Debug, Clone, Default)]
pub struct MemoryTiles(std::collections::HashMap<(u8, u64), Vec<Hash>>);

impl MemoryTiles {
    /// Keeps the newest state of each tile.
    pub fn apply(&mut self, updates: Vec<TileUpdate>) {
        for update in updates {
            self.0.insert((update.level, update.index), update.hashes);
        }
    }
}

impl TileReader for MemoryTiles {
    type Error = Infallible;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, Infallible> {
        Ok(self.0.get(&(level, index)).cloned().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::sha256;

    fn leaf(i: u64) -> Hash {
        sha256(&[&i.to_be_bytes()])
    }

    #[test]
    fn paths_follow_the_specification() {
        assert_eq!(index_path(0), "000");
        assert_eq!(index_path(1_234_067), "x001/x234/067");
        assert_eq!(tile_path(0, 1067, 5).unwrap(), "tile/0/x001/067.p/5");
        assert_eq!(tile_path(3, 273, 256).unwrap(), "tile/3/273");
        assert_eq!(entries_path(999, 256).unwrap(), "tile/entries/999");
        assert_eq!(tile_path(0, 0, 0), None);
        assert_eq!(tile_path(0, 0, 257), None);
    }

    #[test]
    fn a_reopened_tree_continues_as_if_never_closed() {
        // 70,000 leaves reach level 2; the batch sizes cut tiles at every place.
        let (mut tiles, mut writer) = (MemoryTiles::default(), TreeWriter::new());
        let mut next = 0u64;
        for batch in [1u64, 1, 254, 1, 255, 256, 257, 1000, 65_000, 511, 2464] {
            let leaves: Vec<Hash> = (next..next + batch).map(leaf).collect();
            next += batch;
            tiles.apply(writer.append(&leaves));
            let reopened = TreeWriter::open(next, &tiles).unwrap();
            assert_eq!(reopened.size(), next);
            assert_eq!(reopened.root(), writer.root(), "size {next}");
            assert_eq!(reopened.edge.iter().map(Vec::len).collect::<Vec<_>>(), edge_lengths(next));
            writer = reopened;
        }
        assert_eq!(next, 70_000);
        let mut frontier = Frontier::new();
        (0..next).for_each(|i| frontier.append(leaf(i)));
        assert_eq!(writer.root(), frontier.root());
        assert_eq!(crate::tree::root_at(&tiles, next).unwrap(), frontier.root());
    }

    fn edge_lengths(size: u64) -> Vec<usize> {
        (0..8).map(|l| size >> (8 * l)).take_while(|n| *n > 0).map(|n| (n & 0xff) as usize).collect()
    }

    #[test]
    fn a_missing_or_short_edge_tile_is_named() {
        let (mut tiles, mut writer) = (MemoryTiles::default(), TreeWriter::new());
        tiles.apply(writer.append(&(0..300).map(leaf).collect::<Vec<_>>()));
        let short = TreeWriter::open(310, &tiles).unwrap_err();
        assert_eq!(short, OpenError::Short { level: 0, index: 1, found: 44, expected: 54, size: 310 });
    }

    #[test]
    fn updates_hold_each_changed_tile_once() {
        let mut writer = TreeWriter::new();
        let updates = writer.append(&(0..600).map(leaf).collect::<Vec<_>>());
        let shape: Vec<_> = updates.iter().map(|u| (u.level, u.index, u.hashes.len())).collect();
        assert_eq!(shape, [(0, 0, 256), (0, 1, 256), (0, 2, 88), (1, 0, 2)]);
        let updates = writer.append(&[leaf(600)]);
        assert_eq!(updates.iter().map(|u| (u.level, u.index)).collect::<Vec<_>>(), [(0, 2)]);
        assert!(writer.append(&[]).is_empty());
    }

    #[test]
    fn bundles_and_tiles_refuse_trailing_or_missing_bytes() {
        let bundle = encode_entries(&[b"one", b"", b"three"]).unwrap();
        assert_eq!(decode_entries(&bundle).unwrap(), [&b"one"[..], b"", b"three"]);
        for len in 0..bundle.len() {
            let whole = [0, 5, 7].contains(&len);
            assert_eq!(decode_entries(&bundle[..len]).is_some(), whole, "{len}");
        }
        assert!(encode_entries(&[&vec![0; 65_536]]).is_none());
        assert!(encode_entries(&vec![&b""[..]; 257]).is_none());
        assert!(decode_entries(&[0; 514]).is_none());
        let tile = encode_tile(&[leaf(1), leaf(2)]);
        assert_eq!(decode_tile(&tile).unwrap(), [leaf(1), leaf(2)]);
        assert!(decode_tile(&tile[..63]).is_none());
        assert!(decode_tile(&[]).is_none());
        assert!(decode_tile(&[0; 257 * 32]).is_none());
    }
}

//! Walks all events once: order, header, commitment, stream chain, tiles and the roots under checkpoints.

use std::collections::HashMap;

use lanyard_ledger::Hash;
use lanyard_ledger::checkpoint::Checkpoint;
use lanyard_ledger::leaf::{self, LeafHeader, Prev};
use lanyard_ledger::note::NoteVerifier;
use lanyard_ledger::tile::{TILE_WIDTH, TileUpdate, TreeWriter, decode_tile};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{CheckError, differs};
use crate::StreamId;
use crate::codec::{blob, int, unsigned};
use crate::read::MARK_EVERY;
use crate::seal::{self, SealedCheckpoint};

/// What the events say.
pub(super) struct Walked {
    pub(super) size: u64,
    pub(super) erased: u64,
    pub(super) time: i64,
    pub(super) tree: TreeWriter,
    /// Unfinished tiles of the levels above 0.
    pub(super) edge: HashMap<u8, TileUpdate>,
    pub(super) full_tiles: u64,
    pub(super) streams: HashMap<StreamId, StreamEnd>,
    /// Stream, block, position.
    pub(super) marks: Vec<(StreamId, u64, u64)>,
    pub(super) checkpoints: u64,
}

pub(super) struct StreamEnd {
    pub(super) kind: u8,
    pub(super) next_seq: u64,
    pub(super) last: Prev,
}

pub(super) fn walk(
    db: &Connection,
    log: &NoteVerifier,
    each: &mut dyn FnMut(&LeafHeader, Option<&[u8]>),
) -> Result<Walked, CheckError> {
    let mut walked = Walked {
        size: 0,
        erased: 0,
        time: i64::MIN,
        tree: TreeWriter::new(),
        edge: HashMap::new(),
        full_tiles: 0,
        streams: HashMap::new(),
        marks: Vec::new(),
        checkpoints: 0,
    };
    let mut checkpoints = all_checkpoints(db, log)?.into_iter().peekable();
    walked.checkpoints = checkpoints.len() as u64;
    let sql = "SELECT e.pos, e.entry, p.salt, p.body FROM event e LEFT JOIN payload p ON p.pos = e.pos
               ORDER BY e.pos";
    let mut query = db.prepare(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (header, leaf) = walked.event(row)?;
        each(&header, row.get_ref(3)?.as_blob_or_null().unwrap_or_default());
        walked.append(db, leaf)?;
        while let Some(checkpoint) = checkpoints.next_if(|c| c.size == walked.size) {
            let root = walked.tree.root();
            if root != checkpoint.root {
                return differs("root under a checkpoint", checkpoint.size, checkpoint.root, root);
            }
        }
    }
    match checkpoints.next() {
        Some(beyond) => {
            let expected = format!("at least {} events, as a checkpoint says", beyond.size);
            differs("size of the log", walked.size, expected, walked.size)
        }
        None => Ok(walked),
    }
}

/// Checkpoints by size, each with a good signature over what its row says.
fn all_checkpoints(db: &Connection, log: &NoteVerifier) -> Result<Vec<SealedCheckpoint>, CheckError> {
    let mut found = Vec::new();
    seal::all(db, |checkpoint| {
        found.push(checkpoint);
        Ok(true)
    })?;
    for row in &found {
        match Checkpoint::open(row.note.as_bytes(), log) {
            Err(error) => return differs("signed checkpoint", row.size, "a good signature", error),
            Ok((signed, _)) if (signed.size, signed.root) != (row.size, row.root) => {
                let expected = format!("size {} and root {}", row.size, row.root);
                return differs(
                    "signed checkpoint",
                    row.size,
                    expected,
                    format!("{} and {}", signed.size, signed.root),
                );
            }
            Ok(_) => {}
        }
    }
    Ok(found)
}

impl Walked {
    fn event(&mut self, row: &Row<'_>) -> Result<(LeafHeader, Hash), CheckError> {
        let (pos, entry) = (unsigned(row, 0)?, row.get_ref(1)?.as_blob().unwrap_or_default());
        if pos != self.size {
            return differs("position of the next event", self.size, self.size, pos);
        }
        let (header, commitment) = match leaf::decode(entry) {
            Ok(decoded) => decoded,
            Err(error) => return differs("entry", pos, "a well-formed entry", error),
        };
        if header.pos != pos {
            return differs("position in the entry", pos, pos, header.pos);
        }
        if header.time_micros < self.time {
            return differs("time", pos, format!("at least {}", self.time), header.time_micros);
        }
        self.time = header.time_micros;
        self.payload(pos, row, commitment)?;
        let leaf = leaf::leaf_hash(entry);
        self.chain(&header, leaf)?;
        self.size += 1;
        Ok((header, leaf))
    }

    fn payload(&mut self, pos: u64, row: &Row<'_>, commitment: Hash) -> Result<(), CheckError> {
        let ValueRef::Blob(body) = row.get_ref(3)? else {
            self.erased += 1;
            return Ok(());
        };
        let computed = leaf::commit(&blob(row, 2)?, body);
        if computed == commitment { Ok(()) } else { differs("payload commitment", pos, commitment, computed) }
    }

    fn chain(&mut self, header: &LeafHeader, leaf: Hash) -> Result<(), CheckError> {
        let pos = header.pos;
        let before = self.streams.get(&header.stream);
        let (seq, prev) = before.map_or((0, None), |end| (end.next_seq, Some(end.last)));
        if header.seq != seq {
            return differs("number in the stream", pos, seq, header.seq);
        }
        if header.prev != prev {
            let show = |p: Option<Prev>| p.map_or("none".to_owned(), |p| format!("{} {}", p.pos, p.leaf));
            return differs("link to the previous event of the stream", pos, show(prev), show(header.prev));
        }
        if let Some(end) = before.filter(|end| end.kind != header.stream_kind) {
            return differs("kind of the stream", pos, end.kind, header.stream_kind);
        }
        if seq > 0 && seq.is_multiple_of(MARK_EVERY) {
            self.marks.push((header.stream, seq / MARK_EVERY, pos));
        }
        let end = StreamEnd { kind: header.stream_kind, next_seq: seq + 1, last: Prev { pos, leaf } };
        self.streams.insert(header.stream, end);
        Ok(())
    }

    fn append(&mut self, db: &Connection, leaf: Hash) -> Result<(), CheckError> {
        for tile in self.tree.append(&[leaf]) {
            if tile.hashes.len() == TILE_WIDTH {
                self.full_tiles += 1;
                self.edge.remove(&tile.level);
                stored_tile(db, &tile)?;
            } else if tile.level > 0 {
                self.edge.insert(tile.level, tile);
            }
        }
        Ok(())
    }
}

/// Compares a tile with the stored one; `at` is the first position under it.
pub(super) fn stored_tile(db: &Connection, tile: &TileUpdate) -> Result<(), CheckError> {
    let first = tile.index << (8 * (u64::from(tile.level) + 1));
    let found = db
        .prepare_cached("SELECT hashes FROM tile WHERE level = ?1 AND idx = ?2")?
        .query_row(params![tile.level, int(tile.index)], |row| row.get::<_, Vec<u8>>(0))
        .optional()?;
    let name = |text: &str| format!("{text} in tile {}/{}", tile.level, tile.index);
    let Some(found) = found.as_deref().and_then(decode_tile) else {
        return differs("tile", first, name("all hashes"), "none");
    };
    let pairs = tile.hashes.iter().zip(&found);
    if let Some((expected, found)) = pairs.into_iter().find(|(a, b)| a != b) {
        return differs("tile", first, name(&expected.to_string()), found);
    }
    if tile.hashes.len() != found.len() {
        return differs("tile", first, name(&format!("{} hashes", tile.hashes.len())), found.len());
    }
    Ok(())
}

//! The tree's tiles in the database. The unfinished tile of level 0 is not stored: its hashes are those of the newest
//! entries, so a single append does not rewrite 8 KiB.

use lanyard_ledger::leaf::leaf_hash;
use lanyard_ledger::tile::{TILE_HEIGHT, TILE_WIDTH, TileReader, TileUpdate, decode_tile, encode_tile};
use lanyard_ledger::{Hash, hash};
use rusqlite::{Connection, Error, OptionalExtension, params};

use crate::codec::int;

pub(crate) struct SqlTiles<'a>(pub(crate) &'a Connection);

impl TileReader for SqlTiles<'_> {
    type Error = Error;

    fn tile(&self, level: u8, index: u64) -> Result<Vec<Hash>, Error> {
        let stored = self
            .0
            .prepare_cached("SELECT hashes FROM tile WHERE level = ?1 AND idx = ?2")?
            .query_row(params![level, int(index)], |row| row.get::<_, Vec<u8>>(0))
            .optional()?;
        match stored {
            Some(bytes) => decode_tile(&bytes).ok_or_else(|| wrong_length(bytes.len())),
            None if level == 0 => self.newest(index),
            None => Ok(Vec::new()),
        }
    }
}

impl SqlTiles<'_> {
    fn newest(&self, index: u64) -> Result<Vec<Hash>, Error> {
        let first = int(index << TILE_HEIGHT);
        let mut query =
            self.0.prepare_cached("SELECT entry FROM event WHERE pos >= ?1 AND pos < ?2 ORDER BY pos")?;
        let rows = query.query_map([first, first.saturating_add(TILE_WIDTH as i64)], |row| {
            Ok(leaf_hash(row.get_ref(0)?.as_blob()?))
        })?;
        rows.collect()
    }
}

fn wrong_length(length: usize) -> Error {
    Error::InvalidParameterName(format!(
        "a tile of {length} bytes, expected a multiple of {}",
        hash::HASH_LEN
    ))
}

/// Writes the tiles that are kept.
pub(crate) fn store(db: &Connection, updates: &[TileUpdate]) -> Result<(), Error> {
    let mut insert = db.prepare_cached(
        "INSERT INTO tile(level, idx, hashes) VALUES (?1, ?2, ?3)
         ON CONFLICT(level, idx) DO UPDATE SET hashes = excluded.hashes",
    )?;
    for update in updates.iter().filter(|u| u.level > 0 || u.hashes.len() == TILE_WIDTH) {
        insert.execute(params![update.level, int(update.index), encode_tile(&update.hashes)])?;
    }
    Ok(())
}

//! Compares the tables beside the events with what the events say.

use lanyard_ledger::Hash;
use lanyard_ledger::hash::sha256;
use lanyard_ledger::leaf::Prev;
use rusqlite::{Connection, OptionalExtension, params};

use super::events::{StreamEnd, Walked, stored_tile};
use super::{CheckError, differs};
use crate::StreamId;
use crate::codec::{blob, int, unsigned};
use crate::open::read_head;
use crate::read::entry_header;

pub(super) fn head(db: &Connection, walked: &Walked) -> Result<(), CheckError> {
    let head = read_head(db)?;
    if head.next != walked.size {
        return differs("events counted by the head", walked.size, walked.size, head.next);
    }
    if head.root != walked.tree.root() {
        return differs("root in the head", walked.size, walked.tree.root(), head.root);
    }
    if walked.size > 0 && head.time != walked.time {
        return differs("time in the head", walked.size, walked.time, head.time);
    }
    Ok(())
}

pub(super) fn tiles(db: &Connection, walked: &Walked) -> Result<(), CheckError> {
    for tile in walked.edge.values() {
        stored_tile(db, tile)?;
    }
    let expected = walked.full_tiles + walked.edge.len() as u64;
    let found = count(db, "SELECT count(*) FROM tile")?;
    if found == expected { Ok(()) } else { differs("number of tiles", walked.size, expected, found) }
}

pub(super) fn streams(db: &Connection, walked: &Walked) -> Result<u64, CheckError> {
    let mut query =
        db.prepare("SELECT no, id, kind, next_seq, last_pos, last_leaf FROM stream ORDER BY no")?;
    let mut rows = query.query([])?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let (no, id): (u64, StreamId) = (unsigned(row, 0)?, blob(row, 1)?);
        let last = Prev { pos: unsigned(row, 4)?, leaf: Hash(blob(row, 5)?) };
        let found = StreamEnd { kind: row.get(2)?, next_seq: unsigned(row, 3)?, last };
        let Some(expected) = walked.streams.get(&id) else {
            return differs("stream head", no, "no such stream", show(&found));
        };
        if show(expected) != show(&found) {
            return differs("stream head", no, show(expected), show(&found));
        }
        seen += 1;
    }
    let expected = walked.streams.len() as u64;
    if seen != expected {
        return differs("number of streams", walked.size, expected, seen);
    }
    marks(db, walked)?;
    Ok(seen)
}

fn show(end: &StreamEnd) -> String {
    format!("kind {} with {} events, last {} {}", end.kind, end.next_seq, end.last.pos, end.last.leaf)
}

fn marks(db: &Connection, walked: &Walked) -> Result<(), CheckError> {
    let sql = "SELECT m.pos FROM stream_mark m JOIN stream s ON s.no = m.stream_no WHERE s.id = ?1 AND m.block = ?2";
    let mut query = db.prepare(sql)?;
    for (stream, block, pos) in &walked.marks {
        let found = query.query_row(params![&stream[..], int(*block)], |row| unsigned(row, 0)).optional()?;
        if found != Some(*pos) {
            return differs(
                "mark of a stream",
                *pos,
                pos,
                found.map_or("none".to_owned(), |p| p.to_string()),
            );
        }
    }
    let (expected, found) = (walked.marks.len() as u64, count(db, "SELECT count(*) FROM stream_mark")?);
    if found == expected { Ok(()) } else { differs("number of stream marks", walked.size, expected, found) }
}

pub(super) fn claims(db: &Connection, walked: &Walked) -> Result<u64, CheckError> {
    let mut query = db.prepare("SELECT stream, pos FROM claim ORDER BY pos")?;
    let mut rows = query.query([])?;
    let mut seen = 0;
    while let Some(row) = rows.next()? {
        let (stream, pos): (StreamId, u64) = (blob(row, 0)?, unsigned(row, 1)?);
        let made_by = entry_header(db, pos).ok().flatten().map(|h| h.stream);
        if made_by != Some(stream) || !walked.streams.contains_key(&stream) {
            return differs("claim", pos, "an event of the stream that owns it", "none");
        }
        seen += 1;
    }
    Ok(seen)
}

/// Kept bytes lie under their own digest.
pub(super) fn blobs(db: &Connection) -> Result<(), CheckError> {
    let mut query = db.prepare("SELECT rowid, sha256, body FROM blob")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (expected, found) =
            (Hash(blob(row, 1)?), sha256(&[row.get_ref(2)?.as_blob().unwrap_or_default()]));
        if expected != found {
            return differs("digest of kept bytes", unsigned(row, 0)?, expected, found);
        }
    }
    Ok(())
}

/// Rows that belong to no event.
pub(super) fn no_strays(db: &Connection, walked: &Walked) -> Result<(), CheckError> {
    for (what, sql) in [
        ("payload without event", "SELECT pos FROM payload WHERE pos < 0 OR pos >= ?1 LIMIT 1"),
        ("idempotency key without event", "SELECT pos FROM idem WHERE pos < 0 OR pos >= ?1 LIMIT 1"),
        ("label without event", "SELECT pos FROM label WHERE pos < 0 OR pos >= ?1 LIMIT 1"),
        ("outbox row without event", "SELECT id >> 16 FROM outbox WHERE id < 0 OR id >> 16 >= ?1 LIMIT 1"),
    ] {
        let stray: Option<i64> = db.query_row(sql, [int(walked.size)], |row| row.get(0)).optional()?;
        if let Some(stray) = stray {
            return differs(what, walked.size, "none", stray);
        }
    }
    Ok(())
}

fn count(db: &Connection, sql: &str) -> Result<u64, rusqlite::Error> {
    db.query_row(sql, [], |row| unsigned(row, 0))
}

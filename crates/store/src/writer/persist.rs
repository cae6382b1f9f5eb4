//! The SQL of one batch. No rules here: what is staged is written.

use lanyard_ledger::hash::sha256;
use rusqlite::{Connection, Error, params};

use super::stage::Staged;
use super::{Head, StreamHead};
use crate::StreamId;
use crate::codec::int;
use crate::schema::SHARD;
use crate::seal;

/// How long an idempotency key is remembered at least.
const REMEMBER_MICROS: i64 = 7 * 86_400 * 1_000_000;

pub(super) fn rows(db: &Connection, staged: &Staged) -> Result<(), Error> {
    events(db, staged)?;
    for (id, head) in &staged.streams {
        stream(db, id, head)?;
    }
    claims_and_keys(db, staged)?;
    side_tables(db, staged)
}

fn events(db: &Connection, staged: &Staged) -> Result<(), Error> {
    let mut event = db.prepare_cached("INSERT INTO event(pos, entry) VALUES (?1, ?2)")?;
    let mut payload = db.prepare_cached("INSERT INTO payload(pos, salt, body) VALUES (?1, ?2, ?3)")?;
    for row in &staged.events {
        event.execute(params![int(row.pos), &row.entry[..]])?;
        payload.execute(params![int(row.pos), &row.salt[..], row.payload])?;
    }
    let mut mark = db.prepare_cached("INSERT INTO stream_mark(stream_no, block, pos) VALUES (?1, ?2, ?3)")?;
    for (no, block, pos) in &staged.marks {
        mark.execute(params![no, int(*block), int(*pos)])?;
    }
    let mut erase = db.prepare_cached("DELETE FROM payload WHERE pos = ?1")?;
    for pos in &staged.erase {
        erase.execute([int(*pos)])?;
    }
    Ok(())
}

fn stream(db: &Connection, id: &StreamId, head: &StreamHead) -> Result<(), Error> {
    let Some(last) = head.last else { return Ok(()) };
    db.prepare_cached(
        "INSERT INTO stream(no, id, kind, next_seq, last_pos, last_leaf) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
         ON CONFLICT(no) DO UPDATE SET next_seq = excluded.next_seq, last_pos = excluded.last_pos,
         last_leaf = excluded.last_leaf",
    )?
    .execute(params![
        head.no,
        &id[..],
        head.kind,
        int(head.next_seq),
        int(last.pos),
        &last.leaf.0[..]
    ])?;
    Ok(())
}

fn claims_and_keys(db: &Connection, staged: &Staged) -> Result<(), Error> {
    // A stream that claims its own key again changes nothing.
    let mut claim = db.prepare_cached(
        "INSERT INTO claim(space, key, stream, pos) VALUES (?1, ?2, ?3, ?4) ON CONFLICT(space, key) DO NOTHING",
    )?;
    for (space, key, stream, pos) in &staged.claims {
        claim.execute(params![space, &key[..], &stream[..], int(*pos)])?;
    }
    let mut key =
        db.prepare_cached("INSERT INTO idem(pos, key, events, next_seq, time) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (k, done) in &staged.idempotency {
        let (events, next_seq) = (int(done.leaves.len() as u64), int(done.next_seq));
        key.execute(params![int(done.first_pos), &k[..], events, next_seq, done.time.as_micros()])?;
    }
    Ok(())
}

fn side_tables(db: &Connection, staged: &Staged) -> Result<(), Error> {
    let mut outbox = db.prepare_cached("INSERT INTO outbox(topic, id, body) VALUES (?1, ?2, ?3)")?;
    for (topic, id, body) in &staged.outbox {
        outbox.execute(params![topic, int(*id), body])?;
    }
    let mut blob =
        db.prepare_cached("INSERT INTO blob(sha256, body) VALUES (?1, ?2) ON CONFLICT(sha256) DO NOTHING")?;
    for body in &staged.blobs {
        blob.execute(params![&sha256(&[body]).0[..], body])?;
    }
    // The same label twice in one append is one label.
    let mut label =
        db.prepare_cached("INSERT INTO label(key, pos) VALUES (?1, ?2) ON CONFLICT(key, pos) DO NOTHING")?;
    for (key, pos) in &staged.labels {
        label.execute(params![&key[..], int(*pos)])?;
    }
    let mut done = db.prepare_cached("DELETE FROM outbox WHERE topic = ?1 AND id = ?2")?;
    for (topic, id) in &staged.outbox_done {
        done.execute(params![topic, int(*id)])?;
    }
    let mut snapshot = db.prepare_cached(
        "INSERT INTO snapshot(name, pos, body) VALUES (?1, ?2, ?3)
         ON CONFLICT(name) DO UPDATE SET pos = excluded.pos, body = excluded.body",
    )?;
    for (name, s) in &staged.snapshots {
        snapshot.execute(params![name, int(s.pos), s.body])?;
    }
    staged.checkpoints.iter().try_for_each(|c| seal::record(db, c))
}

/// The fence: hits exactly one row, or another writer was here and this one must stop.
pub(super) fn move_head(db: &Connection, from: &Head, to: &Head) -> Result<(), Error> {
    let moved = db
        .prepare_cached(
            "UPDATE head SET batch = ?1, next = ?2, root = ?3, time = ?4
             WHERE shard = ?5 AND next = ?6 AND epoch = ?7 AND batch = ?8",
        )?
        .execute(params![
            to.batch,
            int(to.next),
            &to.root.0[..],
            to.time,
            SHARD,
            int(from.next),
            from.epoch,
            from.batch
        ])?;
    if moved == 1 { Ok(()) } else { Err(Error::StatementChangedRows(moved)) }
}

/// Removes old idempotency keys, some at a time; they lie in order of position and so of time.
pub(super) fn forget_idempotency(db: &Connection, now: i64) -> Result<(), Error> {
    let sql = "DELETE FROM idem WHERE time < ?1 AND pos IN (SELECT pos FROM idem ORDER BY pos LIMIT 10000)";
    db.execute(sql, [now.saturating_sub(REMEMBER_MICROS)])?;
    Ok(())
}

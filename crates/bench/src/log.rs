//! Durable events per second: the store, beside plain SQLite that commits the same rows in groups.
//!
//! The limit does what no log on SQLite can leave out: an entry, a payload, a stream's head and the log's head,
//! synchronous=FULL, one fsync for a group. It has no tree, no checks, no channel between threads, and it never
//! checkpoints its WAL: a bound from above, not a rival.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use lanyard_domain::time::Timestamp;
use lanyard_ledger::hash::Hash;
use lanyard_ledger::leaf::ENTRY_LEN;
use lanyard_ledger::note::NoteSigner;
use lanyard_store::{Append, NewEvent, Options, Store};
use rusqlite::{Connection, params};

use crate::table::{Row, quantile};
use crate::{Settings, disk};

/// Streams that append at the same time, one event each: also the size of the limit's groups.
const WRITERS: [u32; 3] = [1, 256, 2048];
/// An appraisal's event has about this size.
const PAYLOAD: [u8; 300] = [b'x'; 300];
const NOW: Timestamp = Timestamp::from_seconds(1_795_305_600);

pub fn run(settings: &Settings) -> Result<Vec<Row>> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rows = Vec::new();
    for writers in WRITERS {
        let folder = disk::folder()?;
        let limit = plain(folder.path(), writers, settings.time)?;
        let (ours, mut times) = runtime.block_on(store(folder.path(), writers, settings.time))?;
        let (p50, p99) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
        rows.push(Row {
            ours: Some(ours),
            limit: Some(limit),
            target: if writers == 2048 { ">= 20k" } else { "" },
            note: format!("ours p50 {p50:.1} ms p99 {p99:.1} ms; limit: plain SQLite, same groups"),
            ..Row::rate(format!("durable events, {writers} at once"))
        });
    }
    Ok(rows)
}

async fn store(folder: &Path, writers: u32, time: Duration) -> Result<(f64, Vec<Duration>)> {
    let signer = NoteSigner::from_seed("bench.example/log", &[7; 32])?;
    let store = Store::open(&folder.join("log"), Options::new(signer, folder.join("anchor")))?;
    let start = Instant::now();
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let store = store.clone();
        tasks.push(tokio::spawn(async move {
            let mut stream = [0; 16];
            for (to, from) in stream.iter_mut().zip(writer.to_be_bytes()) {
                *to = from;
            }
            let (mut seq, mut times) = (0, Vec::new());
            while start.elapsed() < time {
                let event =
                    NewEvent { kind: 30, payload: PAYLOAD.to_vec(), actor: [0; 16], policy: Hash([0; 32]) };
                let sent = Instant::now();
                let appended = store.append(Append::new(stream, 1, seq, vec![event], NOW)).await?;
                times.push(sent.elapsed());
                seq = appended.next_seq;
            }
            Ok::<_, lanyard_store::AppendError>(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let rate = times.len() as f64 / start.elapsed().as_secs_f64();
    store.close().await.context("the log did not close")?;
    Ok((rate, times))
}

fn plain(folder: &Path, group: u32, time: Duration) -> Result<f64> {
    let mut db = Connection::open(folder.join("plain.db"))?;
    db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0))?;
    db.pragma_update(None, "synchronous", "FULL")?;
    // The WAL is never copied back here, while the store does that in between: left on, its syncs fall into some
    // commits and made this "limit" slower than the store (462/s beside 1,021/s for single events).
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    db.execute_batch(
        "CREATE TABLE head(shard INTEGER PRIMARY KEY, next INTEGER NOT NULL) STRICT;
         CREATE TABLE event(pos INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
         CREATE TABLE payload(pos INTEGER PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL) STRICT;
         CREATE TABLE stream(no INTEGER PRIMARY KEY, next_seq INTEGER NOT NULL) STRICT;
         INSERT INTO head VALUES (0, 0);",
    )?;
    let start = Instant::now();
    let mut next = 0u32;
    while start.elapsed() < time {
        let transaction = db.transaction()?;
        {
            let mut event = transaction.prepare_cached("INSERT INTO event VALUES (?1, ?2)")?;
            let mut payload = transaction.prepare_cached("INSERT INTO payload VALUES (?1, ?2, ?3)")?;
            let mut stream = transaction.prepare_cached(
                "INSERT INTO stream VALUES (?1, 1) ON CONFLICT(no) DO UPDATE SET next_seq = next_seq + 1",
            )?;
            for number in 0..group {
                event.execute(params![next, [3u8; ENTRY_LEN]])?;
                payload.execute(params![next, [4u8; 32], PAYLOAD])?;
                stream.execute(params![number])?;
                next += 1;
            }
            transaction.execute("UPDATE head SET next = ?1 WHERE shard = 0", params![next])?;
        }
        transaction.commit()?;
    }
    Ok(f64::from(next) / start.elapsed().as_secs_f64())
}

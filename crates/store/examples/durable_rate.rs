//! Durable events per second through the store, beside the same rows in plain SQLite transactions.
//!
//! `cargo run --release -p lanyard-store --example durable_rate [-- DIR]`. The plain figure is the ceiling for this disk
//! and these rows: one thread, one prepared statement per table, no hashing, no tree, no version check, no answers.

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use lanyard_domain::time::Timestamp;
use lanyard_ledger::Hash;
use lanyard_ledger::leaf::ENTRY_LEN;
use lanyard_ledger::note::NoteSigner;
use lanyard_store::{Append, NewEvent, Options, Store};
use rusqlite::{Connection, params};

const RUN: Duration = Duration::from_secs(4);
const PAYLOAD: usize = 400;

fn main() -> Result<(), Box<dyn Error>> {
    let parent = std::env::args().nth(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("payload {PAYLOAD} bytes, {} s each, one event per append\n", RUN.as_secs());
    println!("{:>10} {:>14} {:>10} {:>10}", "submitters", "events/s", "p50 ms", "p99 ms");
    let mut best = 0.0f64;
    for submitters in [1, 16, 256, 4096] {
        let dir = directory(parent.as_deref())?;
        let (rate, p50, p99) = runtime.block_on(through_store(dir.path(), submitters))?;
        println!("{submitters:>10} {rate:>14.0} {p50:>10.2} {p99:>10.2}");
        best = best.max(rate);
    }
    println!("\n{:>10} {:>14}", "batch", "plain rows/s");
    let mut ceiling = 0.0f64;
    for batch in [1, 16, 256, 4096] {
        let dir = directory(parent.as_deref())?;
        let rate = plain(dir.path(), batch)?;
        println!("{batch:>10} {rate:>14.0}");
        ceiling = ceiling.max(rate);
    }
    println!("\nstore {best:.0} events/s, plain sqlite {ceiling:.0} rows/s, ratio {:.2}", best / ceiling);
    Ok(())
}

fn directory(parent: Option<&str>) -> std::io::Result<tempfile::TempDir> {
    parent.map_or_else(tempfile::tempdir, tempfile::tempdir_in)
}

async fn through_store(dir: &Path, submitters: u64) -> Result<(f64, f64, f64), Box<dyn Error>> {
    let signer = NoteSigner::from_seed("rate.example", &[1; 32])?;
    let store = Store::open(&dir.join("log"), Options::new(signer, dir.join("anchor")))?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..submitters).map(|n| tokio::spawn(submit(store.clone(), n, start))).collect();
    let mut waits = Vec::new();
    for task in tasks {
        waits.extend(task.await??);
    }
    let seconds = start.elapsed().as_secs_f64();
    store.close().await?;
    waits.sort_unstable();
    let at =
        |share: usize| waits.get(waits.len() * share / 100).map_or(0.0, |d: &Duration| d.as_secs_f64() * 1e3);
    Ok((waits.len() as f64 / seconds, at(50), at(99)))
}

async fn submit(store: Store, n: u64, start: Instant) -> Result<Vec<Duration>, lanyard_store::AppendError> {
    let mut waits = Vec::new();
    let mut stream = [0; 16];
    stream[..8].copy_from_slice(&n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    while start.elapsed() < RUN {
        let seq = waits.len() as u64;
        let event = NewEvent { kind: 1, payload: vec![7; PAYLOAD], actor: [0; 16], policy: Hash::ZERO };
        let append = Append::new(stream, 1, seq, vec![event], Timestamp::from_seconds(1_795_000_000));
        let sent = Instant::now();
        store.append(append).await?;
        waits.push(sent.elapsed());
    }
    Ok(waits)
}

fn plain(dir: &Path, batch: i64) -> Result<f64, Box<dyn Error>> {
    let mut db = Connection::open(dir.join("plain.db"))?;
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=4000;
         CREATE TABLE event(pos INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
         CREATE TABLE payload(pos INTEGER PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL) STRICT;",
    )?;
    let (entry, salt, body) = ([1u8; ENTRY_LEN], [2u8; 32], [7u8; PAYLOAD]);
    let start = Instant::now();
    let mut pos = 0i64;
    while start.elapsed() < RUN {
        let tx = db.transaction()?;
        {
            let mut event = tx.prepare_cached("INSERT INTO event VALUES (?1, ?2)")?;
            let mut payload = tx.prepare_cached("INSERT INTO payload VALUES (?1, ?2, ?3)")?;
            for _ in 0..batch {
                event.execute(params![pos, &entry[..]])?;
                payload.execute(params![pos, &salt[..], &body[..]])?;
                pos += 1;
            }
        }
        tx.commit()?;
    }
    Ok(pos as f64 / start.elapsed().as_secs_f64())
}

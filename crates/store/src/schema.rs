//! Connections with the settings that the log's safety rests on, and the tables.
//!
//! SQLite before 3.51.3 can corrupt a WAL database when two connections write or checkpoint at once, so the version is
//! asserted, exactly one connection writes and checkpoints, and no connection uses mmap.
//! To add a table: append a migration; never change one that was released.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Error, OpenFlags};

pub(crate) const FILE: &str = "log.db";
/// First version without the WAL reset bug.
const MIN_SQLITE: i32 = 3_051_003;

/// One shard per directory; the column stays so that a shared engine keeps several in one table.
pub(crate) const SHARD: i64 = 0;

const MIGRATIONS: &[&str] = &["
CREATE TABLE meta(name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
-- The fence: every batch moves this row by compare-and-swap and must hit exactly one. `batch` counts transactions, so
-- that one whose COMMIT reported an error can be recognised even if it appended nothing.
CREATE TABLE head(
    shard INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, batch INTEGER NOT NULL, next INTEGER NOT NULL,
    root BLOB NOT NULL, time INTEGER NOT NULL) STRICT;
CREATE TABLE event(pos INTEGER PRIMARY KEY, entry BLOB NOT NULL) STRICT;
CREATE TABLE payload(pos INTEGER PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL) STRICT;
CREATE TABLE stream(
    no INTEGER PRIMARY KEY, id BLOB NOT NULL UNIQUE, kind INTEGER NOT NULL, next_seq INTEGER NOT NULL,
    last_pos INTEGER NOT NULL, last_leaf BLOB NOT NULL) STRICT;
-- Every 64th event of a stream, so that a read in the middle walks at most that far along the chain.
CREATE TABLE stream_mark(
    stream_no INTEGER NOT NULL, block INTEGER NOT NULL, pos INTEGER NOT NULL,
    PRIMARY KEY(stream_no, block)) STRICT, WITHOUT ROWID;
CREATE TABLE claim(
    space INTEGER NOT NULL, key BLOB NOT NULL, stream BLOB NOT NULL, pos INTEGER NOT NULL,
    PRIMARY KEY(space, key)) STRICT, WITHOUT ROWID;
CREATE TABLE idem(
    pos INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, events INTEGER NOT NULL, next_seq INTEGER NOT NULL,
    time INTEGER NOT NULL) STRICT;
CREATE TABLE outbox(
    topic INTEGER NOT NULL, id INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY(topic, id)) STRICT, WITHOUT ROWID;
-- Full tiles, and the unfinished tile of each level above 0; the unfinished tile of level 0 is the newest entries.
CREATE TABLE tile(
    level INTEGER NOT NULL, idx INTEGER NOT NULL, hashes BLOB NOT NULL, PRIMARY KEY(level, idx)) STRICT;
CREATE TABLE ckpt(
    size INTEGER PRIMARY KEY, root BLOB NOT NULL, note TEXT NOT NULL, time INTEGER NOT NULL,
    cosigners INTEGER NOT NULL) STRICT;
CREATE INDEX ckpt_root ON ckpt(root);
CREATE INDEX ckpt_cosigned ON ckpt(cosigners, size) WHERE cosigners > 0;
CREATE TABLE snapshot(name TEXT PRIMARY KEY, pos INTEGER NOT NULL, body BLOB NOT NULL) STRICT;
-- Bytes that events name by digest.
CREATE TABLE blob(sha256 BLOB PRIMARY KEY, body BLOB NOT NULL) STRICT;
-- Digests by which callers find an event again.
CREATE TABLE label(key BLOB NOT NULL, pos INTEGER NOT NULL, PRIMARY KEY(key, pos)) STRICT, WITHOUT ROWID;
"];

/// Whether the linked SQLite is too old to be trusted with a log.
pub(crate) fn sqlite_too_old() -> Option<&'static str> {
    (rusqlite::version_number() < MIN_SQLITE).then(rusqlite::version)
}

/// The one connection that writes and checkpoints.
pub(crate) fn open_writer(dir: &Path) -> Result<Connection, Error> {
    let db = Connection::open(dir.join(FILE))?;
    // Checkpoints happen when the writer says so, never as a side effect of closing after an error.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.busy_timeout(Duration::from_millis(250))?;
    db.pragma_update(None, "mmap_size", 0)?;
    let mode: String = db.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(Error::InvalidParameterName(format!("journal mode is `{mode}` instead of `wal`")));
    }
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    // Erased payloads are overwritten, not only unlinked.
    db.pragma_update(None, "secure_delete", true)?;
    // 32 MiB, so that the right edge of every table stays in memory.
    db.pragma_update(None, "cache_size", -32_768)?;
    db.set_prepared_statement_cache_capacity(48);
    Ok(db)
}

/// A connection that can only read.
pub(crate) fn open_reader(dir: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(dir.join(FILE), flags)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    db.busy_timeout(Duration::from_secs(5))?;
    db.pragma_update(None, "query_only", true)?;
    db.pragma_update(None, "mmap_size", 0)?;
    db.set_prepared_statement_cache_capacity(32);
    Ok(db)
}

/// Brings the tables up to date, each migration in a transaction of its own.
pub(crate) fn migrate(db: &mut Connection) -> Result<(), Error> {
    db.execute_batch("CREATE TABLE IF NOT EXISTS migration(version INTEGER PRIMARY KEY) STRICT")?;
    let done: i64 = db.query_row("SELECT coalesce(max(version), 0) FROM migration", [], |row| row.get(0))?;
    for (version, sql) in (1i64..).zip(MIGRATIONS).filter(|(version, _)| *version > done) {
        let tx = db.transaction()?;
        tx.execute_batch(sql)?;
        tx.execute("INSERT INTO migration(version) VALUES (?1)", [version])?;
        tx.commit()?;
    }
    if done > MIGRATIONS.len() as i64 {
        return Err(Error::InvalidParameterName(format!(
            "the log has schema {done}, newer than this program"
        )));
    }
    Ok(())
}

/// First complaint of `PRAGMA quick_check`, if any.
pub(crate) fn quick_check(db: &Connection) -> Result<Option<String>, Error> {
    let answer: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    Ok((answer != "ok").then_some(answer))
}

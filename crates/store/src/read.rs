//! Reading events and making proofs, on connections that see only what is on disk.

use std::sync::Arc;

use lanyard_ledger::Hash;
use lanyard_ledger::leaf::{self, LeafHeader};
use lanyard_ledger::tree::{self, ProofError};
use rusqlite::{Connection, Error, OptionalExtension, Row, params};

use crate::StreamId;
use crate::codec::{blob, int, unsigned};
use crate::event::StoredEvent;
use crate::store::Store;
use crate::tiles::SqlTiles;

/// Events of one read at most; ask again from where it ended.
pub const MAX_READ: usize = 4096;
/// Every 64th event of a stream is marked, see `stream_mark`.
pub(crate) const MARK_EVERY: u64 = 64;

/// Why nothing could be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The database failed or the log was closed; retry.
    #[error("log cannot be read: {0}")]
    Unavailable(String),
    /// What is stored contradicts itself; run the check.
    #[error("log is damaged at position {pos}: {what}")]
    Damaged {
        /// Position.
        pos: u64,
        /// What is wrong.
        what: String,
    },
    /// The database's own pages are wrong; run the check.
    #[error("log is damaged: {0}")]
    Corrupt(String),
    /// Asked for a proof outside the log.
    #[error("index or size {index} lies outside a log of {size} events")]
    Range {
        /// Index or old size.
        index: u64,
        /// Size.
        size: u64,
    },
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let damaged = match &error {
            // A value that none of ours wrote, or a tile of half a hash.
            Error::FromSqlConversionFailure(..)
            | Error::IntegralValueOutOfRange(..)
            | Error::InvalidColumnType(..)
            | Error::InvalidParameterName(_) => true,
            other => matches!(other.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase)),
        };
        let what = error.to_string();
        if damaged { ReadError::Corrupt(what) } else { ReadError::Unavailable(what) }
    }
}

impl From<ProofError<Error>> for ReadError {
    fn from(error: ProofError<Error>) -> Self {
        match error {
            ProofError::Range { index, size } => ReadError::Range { index, size },
            ProofError::Read(e) => e.into(),
            // A size beyond the head: the tiles do not reach it.
            ProofError::Short { .. } => ReadError::Unavailable(error.to_string()),
        }
    }
}

impl Store {
    /// The event at a position; none beyond the head.
    pub async fn event(&self, pos: u64) -> Result<Option<StoredEvent>, ReadError> {
        self.read(move |db| load(db, pos)).await
    }

    /// Events in log order from a position, at most `limit` and at most [`MAX_READ`].
    pub async fn range(&self, from_pos: u64, limit: usize) -> Result<Vec<StoredEvent>, ReadError> {
        self.read(move |db| {
            let sql =
                "SELECT e.pos, e.entry, p.salt, p.body FROM event e LEFT JOIN payload p ON p.pos = e.pos
                       WHERE e.pos >= ?1 ORDER BY e.pos LIMIT ?2";
            let mut query = db.prepare_cached(sql)?;
            let mut rows = query.query(params![int(from_pos), limit.min(MAX_READ) as i64])?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(from_row(row)?);
            }
            Ok(events)
        })
        .await
    }

    /// Events of one stream in order from a number, at most `limit` and at most [`MAX_READ`].
    pub async fn stream(
        &self,
        stream: StreamId,
        from_seq: u64,
        limit: usize,
    ) -> Result<Vec<StoredEvent>, ReadError> {
        self.read(move |db| read_stream(db, &stream, from_seq, limit.min(MAX_READ))).await
    }

    /// Number of events in a stream and where its last one is; none if the stream is not there.
    pub async fn stream_head(&self, stream: StreamId) -> Result<Option<(u64, u64)>, ReadError> {
        self.read(move |db| {
            let sql = "SELECT next_seq, last_pos FROM stream WHERE id = ?1";
            let mut query = db.prepare_cached(sql)?;
            let found = query.query_row([&stream[..]], |row| Ok((unsigned(row, 0)?, unsigned(row, 1)?)));
            Ok(found.optional()?)
        })
        .await
    }

    /// The bytes that an append kept under their SHA-256.
    pub async fn blob(&self, sha256: [u8; 32]) -> Result<Option<Vec<u8>>, ReadError> {
        self.read(move |db| {
            let mut query = db.prepare_cached("SELECT body FROM blob WHERE sha256 = ?1")?;
            Ok(query.query_row([&sha256[..]], |row| row.get(0)).optional()?)
        })
        .await
    }

    /// Positions of the events that were appended under a label, newest first.
    pub async fn labelled(&self, key: [u8; 32], limit: usize) -> Result<Vec<u64>, ReadError> {
        self.read(move |db| {
            let sql = "SELECT pos FROM label WHERE key = ?1 ORDER BY pos DESC LIMIT ?2";
            let mut query = db.prepare_cached(sql)?;
            let mut rows = query.query(params![&key[..], limit.min(MAX_READ) as i64])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                found.push(unsigned(row, 0)?);
            }
            Ok(found)
        })
        .await
    }

    /// The stream that owns a key.
    pub async fn claim_owner(&self, space: u8, key: [u8; 32]) -> Result<Option<StreamId>, ReadError> {
        self.read(move |db| {
            let mut query = db.prepare_cached("SELECT stream FROM claim WHERE space = ?1 AND key = ?2")?;
            Ok(query.query_row(params![space, &key[..]], |row| blob(row, 0)).optional()?)
        })
        .await
    }

    /// Hashes that prove the position under the root at `size`.
    pub async fn inclusion_proof(&self, pos: u64, size: u64) -> Result<Vec<Hash>, ReadError> {
        self.within(size)?;
        self.read(move |db| Ok(tree::inclusion_proof(&SqlTiles(db), pos, size)?)).await
    }

    /// Hashes that prove that the log at `old` is a prefix of the log at `new`.
    pub async fn consistency_proof(&self, old: u64, new: u64) -> Result<Vec<Hash>, ReadError> {
        self.within(new)?;
        self.read(move |db| Ok(tree::consistency_proof(&SqlTiles(db), old, new)?)).await
    }

    /// Root over the first `size` events.
    pub async fn root_at(&self, size: u64) -> Result<Hash, ReadError> {
        self.within(size)?;
        self.read(move |db| Ok(tree::root_at(&SqlTiles(db), size)?)).await
    }

    fn within(&self, index: u64) -> Result<(), ReadError> {
        let size = self.head().size;
        if index > size { Err(ReadError::Range { index, size }) } else { Ok(()) }
    }

    /// Runs a read in one snapshot on a borrowed connection.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let pool = Arc::clone(&self.shared.pool);
        let task = tokio::task::spawn_blocking(move || {
            let db = pool.lend().map_err(|e| ReadError::Unavailable(e.to_string()))?;
            let snapshot = db.unchecked_transaction()?;
            let answer = read(&snapshot);
            snapshot.finish()?;
            answer
        });
        task.await.unwrap_or_else(|e| Err(ReadError::Unavailable(e.to_string())))
    }
}

fn load(db: &Connection, pos: u64) -> Result<Option<StoredEvent>, ReadError> {
    let sql = "SELECT e.pos, e.entry, p.salt, p.body FROM event e LEFT JOIN payload p ON p.pos = e.pos
               WHERE e.pos = ?1";
    let mut query = db.prepare_cached(sql)?;
    let mut rows = query.query([int(pos)])?;
    rows.next()?.map(from_row).transpose()
}

fn from_row(row: &Row<'_>) -> Result<StoredEvent, ReadError> {
    let pos = unsigned(row, 0)?;
    let entry: Vec<u8> = row.get(1)?;
    let header = decode(pos, &entry)?;
    let salt = if row.get_ref(2)? == rusqlite::types::ValueRef::Null { None } else { Some(blob(row, 2)?) };
    Ok(StoredEvent { header, leaf: leaf::leaf_hash(&entry), entry, salt, payload: row.get(3)? })
}

fn decode(pos: u64, entry: &[u8]) -> Result<LeafHeader, ReadError> {
    let damaged = |what: String| ReadError::Damaged { pos, what };
    let (header, _) = leaf::decode(entry).map_err(|e| damaged(e.to_string()))?;
    if header.pos != pos {
        return Err(damaged(format!("its entry says position {}", header.pos)));
    }
    Ok(header)
}

/// Finds the last wanted event by the nearest mark at or after it (or the head) and walks the chain back from there.
fn read_stream(
    db: &Connection,
    id: &StreamId,
    from_seq: u64,
    limit: usize,
) -> Result<Vec<StoredEvent>, ReadError> {
    let mut query = db.prepare_cached("SELECT no, next_seq, last_pos FROM stream WHERE id = ?1")?;
    let head = query.query_row([&id[..]], |row| Ok((row.get(0)?, unsigned(row, 1)?, unsigned(row, 2)?)));
    let Some((no, next_seq, last_pos)) = head.optional()? else { return Ok(Vec::new()) };
    let end = next_seq.min(from_seq.saturating_add(limit as u64));
    if from_seq >= end {
        return Ok(Vec::new());
    }
    let mut pos = mark_at_or_after(db, no, end - 1)?.unwrap_or(last_pos);
    let mut events = Vec::new();
    loop {
        // Beyond the wanted range only the link is needed, not the payload.
        let damaged = |what: &str| ReadError::Damaged { pos, what: what.to_owned() };
        let header = entry_header(db, pos)?.ok_or_else(|| damaged("the stream's chain leads to no event"))?;
        if header.stream != *id {
            return Err(damaged("the stream's chain leads into another stream"));
        }
        if header.seq < end {
            events.push(load(db, pos)?.ok_or_else(|| damaged("the event vanished"))?);
        }
        match header.prev {
            Some(prev) if header.seq > from_seq => pos = prev.pos,
            _ => break,
        }
    }
    events.reverse();
    Ok(events)
}

fn mark_at_or_after(db: &Connection, no: i64, seq: u64) -> Result<Option<u64>, Error> {
    let block = seq.div_ceil(MARK_EVERY);
    db.prepare_cached("SELECT pos FROM stream_mark WHERE stream_no = ?1 AND block = ?2")?
        .query_row(params![no, int(block)], |row| unsigned(row, 0))
        .optional()
}

pub(crate) fn entry_header(db: &Connection, pos: u64) -> Result<Option<LeafHeader>, ReadError> {
    let mut query = db.prepare_cached("SELECT entry FROM event WHERE pos = ?1")?;
    let entry: Option<Vec<u8>> = query.query_row([int(pos)], |row| row.get(0)).optional()?;
    entry.map(|entry| decode(pos, &entry)).transpose()
}

//! Work that follows a commit: rows written in the append's transaction, read in order, removed when done.
//!
//! A row is delivered at least once: a worker that dies between doing and [`Store::outbox_done`] sees it again.

use rusqlite::params;

use crate::codec::{int, unsigned};
use crate::read::{MAX_READ, ReadError};
use crate::store::Store;
use crate::writer::Request;

/// A row of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxRow {
    /// Grows with the log; never used twice.
    pub id: u64,
    /// What to do.
    pub body: Vec<u8>,
}

impl Store {
    /// Rows of a topic after an id (0: from the start), oldest first.
    pub async fn outbox_after(&self, topic: u8, id: u64, limit: usize) -> Result<Vec<OutboxRow>, ReadError> {
        self.read(move |db| {
            let sql = "SELECT id, body FROM outbox WHERE topic = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
            let mut query = db.prepare_cached(sql)?;
            let rows = query.query_map(params![topic, int(id), limit.min(MAX_READ) as i64], |row| {
                Ok(OutboxRow { id: unsigned(row, 0)?, body: row.get(1)? })
            })?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Removes the row.
    pub async fn outbox_done(&self, topic: u8, id: u64) -> Result<(), ReadError> {
        self.ask(|reply| Request::OutboxDone { topic, id, reply }).await.map_err(ReadError::Unavailable)
    }
}

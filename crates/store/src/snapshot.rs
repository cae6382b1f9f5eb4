//! Named snapshots of projections, so that a start does not fold the whole log. Only a cache: if one is lost or does not
//! fit the program, the projection is folded from position 0.

use rusqlite::OptionalExtension;

use crate::codec::unsigned;
use crate::read::ReadError;
use crate::store::Store;
use crate::writer::Request;

/// A projection's state after all events before `pos`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// First position that is not in it.
    pub pos: u64,
    /// The projection's own encoding.
    pub body: Vec<u8>,
}

impl Store {
    /// Keeps a snapshot under a name, replacing the one before.
    pub async fn snapshot_put(&self, name: &str, snapshot: Snapshot) -> Result<(), ReadError> {
        let name = name.to_owned();
        self.ask(|reply| Request::Snapshot { name, snapshot, reply }).await.map_err(ReadError::Unavailable)
    }

    /// The snapshot of that name.
    pub async fn snapshot_get(&self, name: &str) -> Result<Option<Snapshot>, ReadError> {
        let name = name.to_owned();
        self.read(move |db| {
            let mut query = db.prepare_cached("SELECT pos, body FROM snapshot WHERE name = ?1")?;
            let row =
                query.query_row([name], |row| Ok(Snapshot { pos: unsigned(row, 0)?, body: row.get(1)? }));
            Ok(row.optional()?)
        })
        .await
    }
}

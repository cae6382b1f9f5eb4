//! After a COMMIT that reported an error: find out whether it happened before anybody is told anything.
//!
//! Measured with injected fsync errors: the batch whose COMMIT failed was there after reopening. So neither answer may be
//! assumed. Every connection of this process is closed (otherwise the shared WAL index hides what is in the file), the
//! database is reopened, the WAL is read back and its pages moved into the database file and synced: a page that was
//! only in the page cache is written again by this, so what is then read is on disk. Only then the head row tells.

use std::sync::Arc;

use super::{Failure, Head, Writer, injected, truncate_wal};
use crate::fault::{Outcome, Step};
use crate::open::read_head;
use crate::schema;

impl Writer {
    /// `Ok` if the batch that leads to `next` is recorded.
    pub(super) fn recover(&mut self, next: &Head, why: &str) -> Result<(), Failure> {
        tracing::warn!(
            reason = why,
            "commit reported an error; reading the log back to see whether it happened"
        );
        let pool = Arc::clone(&self.pool);
        self.db = None;
        let found = self.read_back(pool.pause());
        pool.resume();
        match found {
            Ok(found) if found == *next => Ok(()),
            Ok(found) if found == self.head => {
                Err(Failure::NotRecorded(format!("the storage failed and nothing was recorded: {why}")))
            }
            Ok(_) => {
                self.give_up("another writer changed the log");
                Err(Failure::Unknown("another writer changed the log".to_owned()))
            }
            Err(error) => {
                let reason = format!("{why}; then the log could not be read back: {error}");
                self.give_up(&reason);
                Err(Failure::Unknown(reason))
            }
        }
    }

    fn read_back(&mut self, alone: bool) -> Result<Head, String> {
        if !alone {
            return Err("a reader did not finish".to_owned());
        }
        if self.faults.at(Step::Recover) != Outcome::Normal {
            return Err(injected().to_string());
        }
        let db = schema::open_writer(&self.dir).map_err(|e| e.to_string())?;
        if !truncate_wal(&db).map_err(|e| e.to_string())? {
            return Err("the WAL could not be moved into the database".to_owned());
        }
        let head = read_head(&db).map_err(|e| e.to_string())?;
        self.db = Some(db);
        Ok(head)
    }
}

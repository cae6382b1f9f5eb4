//! Read connections, lent one at a time. The pool can be emptied, because after a failed COMMIT the log is only
//! re-read from disk once no connection of this process holds the shared WAL index.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Error};

use crate::schema;

/// Readers at once: enough to keep a small machine busy, few enough that the page caches stay small.
const READERS: usize = 4;
/// How long a reader waits for a connection.
const WAIT: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub(crate) struct Pool {
    dir: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    idle: Vec<Connection>,
    lent: usize,
    gate: Gate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gate {
    Open,
    /// Readers wait: the writer is reading the log back.
    Paused,
    /// For good.
    Closed,
}

/// A lent connection.
pub(crate) struct Lent<'p> {
    pool: &'p Pool,
    db: Option<Connection>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum LendError {
    #[error("no read connection became free")]
    Timeout,
    #[error("the log was closed")]
    Closed,
    #[error(transparent)]
    Sqlite(#[from] Error),
}

impl Pool {
    pub(crate) fn new(dir: &Path) -> Pool {
        let state = State { idle: Vec::new(), lent: 0, gate: Gate::Open };
        Pool { dir: dir.to_owned(), state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Blocks until a connection is free.
    pub(crate) fn lend(&self) -> Result<Lent<'_>, LendError> {
        let wait = |s: &mut State| s.gate == Gate::Paused || (s.gate == Gate::Open && s.lent >= READERS);
        let (mut state, _) =
            self.changed.wait_timeout_while(self.lock(), WAIT, wait).unwrap_or_else(PoisonError::into_inner);
        match state.gate {
            Gate::Closed => return Err(LendError::Closed),
            Gate::Open if state.lent < READERS => {}
            Gate::Open | Gate::Paused => return Err(LendError::Timeout),
        }
        let idle = state.idle.pop();
        state.lent += 1;
        drop(state);
        // The slot is given back by `Lent`, also when opening fails.
        let mut lent = Lent { pool: self, db: idle };
        if lent.db.is_none() {
            lent.db = Some(schema::open_reader(&self.dir)?);
        }
        Ok(lent)
    }

    /// Closes every connection, waiting for those that are lent, and lends none until [`Pool::resume`]. False if a
    /// reader did not finish.
    pub(crate) fn pause(&self) -> bool {
        self.empty(Gate::Paused)
    }

    /// As [`Pool::pause`], for good.
    pub(crate) fn close(&self) -> bool {
        self.empty(Gate::Closed)
    }

    fn empty(&self, gate: Gate) -> bool {
        let mut state = self.lock();
        state.gate = gate;
        self.changed.notify_all();
        let (mut state, _) = self
            .changed
            .wait_timeout_while(state, WAIT, |s| s.lent > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.idle.clear();
        state.lent == 0
    }

    pub(crate) fn resume(&self) {
        self.lock().gate = Gate::Open;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Lent<'_> {
    type Target = Connection;

    #[expect(clippy::expect_used, reason = "`lend` hands out no value without a connection")]
    fn deref(&self) -> &Connection {
        self.db.as_ref().expect("lent connection is present until dropped")
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        state.lent -= 1;
        if state.gate == Gate::Open {
            state.idle.extend(self.db.take());
        } else {
            // Closed under the lock, so that whoever waits in `empty` sees it closed.
            self.db = None;
        }
        drop(state);
        self.pool.changed.notify_all();
    }
}

//! The handle: a queue to the writer thread, read connections, and what is published.

use std::fmt;
use std::sync::Arc;

use lanyard_ledger::Hash;
use lanyard_ledger::note::NoteSigner;
use tokio::sync::{Mutex, mpsc, oneshot, watch};

use crate::anchor::Anchor;
use crate::append::{Append, AppendError, Appended, MAX_REQUEST_BYTES, MAX_REQUEST_EVENTS};
use crate::audit::Audit;
use crate::fault::Hook;
use crate::pool::Pool;
use crate::seal::SealedCheckpoint;
use crate::writer::{Closed, Request};

/// Requests waiting for the writer: two full batches.
pub(crate) const QUEUE: usize = 8192;

/// Size and root of what is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DurableHead {
    /// Number of events.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
}

/// An open log. Clones share it; the last one to go closes it.
#[derive(Clone)]
pub struct Store {
    pub(crate) shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) queue: mpsc::Sender<Request>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) published: Arc<Published>,
    pub(crate) signer: NoteSigner,
    /// Taken away by `close`.
    pub(crate) anchor: Arc<Mutex<Option<Anchor>>>,
    pub(crate) witness_quorum: u32,
    pub(crate) audit: Arc<Audit>,
    pub(crate) faults: Hook,
}

/// What others may wait for.
pub(crate) struct Published {
    pub(crate) durable: watch::Sender<DurableHead>,
    pub(crate) sealed: watch::Sender<Option<SealedCheckpoint>>,
    /// Largest size that enough witnesses cosigned.
    pub(crate) witnessed: watch::Sender<u64>,
}

impl Store {
    /// Records one append; returns when it is on disk.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let mut done = self.append_many(vec![append]).await?;
        // One append gives one answer.
        done.pop().ok_or(AppendError::Empty)
    }

    /// Records several appends in one transaction, all or none, in the order given.
    pub async fn append_many(&self, appends: Vec<Append>) -> Result<Vec<Appended>, AppendError> {
        check_limits(&appends)?;
        let (reply, answer) = oneshot::channel();
        self.shared.queue.try_send(Request::Append { appends, reply }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => AppendError::Busy,
            mpsc::error::TrySendError::Closed(_) => AppendError::Unavailable("the log was closed".to_owned()),
        })?;
        // The writer answers everything it took; a lost answer means that it died in between.
        answer.await.unwrap_or_else(|_| Err(AppendError::Unknown("the writer stopped".to_owned())))
    }

    /// Size and root of what is on disk.
    pub fn head(&self) -> DurableHead {
        *self.shared.published.durable.borrow()
    }

    /// Changes whenever something became durable; wait on it, then read from the position you have.
    pub fn durable_head(&self) -> watch::Receiver<DurableHead> {
        self.shared.published.durable.subscribe()
    }

    /// Writes what is queued, brings the database file up to date and releases the directories. Clones of this store
    /// answer `Unavailable` from then on.
    pub async fn close(self) -> Result<(), Closed> {
        let (reply, answer) = oneshot::channel();
        if self.shared.queue.send(Request::Close { reply }).await.is_ok() {
            // A lost answer means that the writer is gone, and with it its lock.
            let _ = answer.await;
        }
        let pool = Arc::clone(&self.shared.pool);
        let _ = tokio::task::spawn_blocking(move || pool.close()).await;
        let anchor = self.shared.anchor.lock().await.take();
        anchor.map_or(Ok(()), Anchor::close_clean).map_err(Closed::from)
    }

    pub(crate) async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Request,
    ) -> Result<T, String> {
        let (reply, answer) = oneshot::channel();
        let gone = || "the log was closed".to_owned();
        self.shared.queue.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err("the writer stopped".to_owned()))
    }
}

fn check_limits(appends: &[Append]) -> Result<(), AppendError> {
    if appends.is_empty() || appends.iter().any(|a| a.events.is_empty()) {
        return Err(AppendError::Empty);
    }
    let events: usize = appends.iter().map(|a| a.events.len()).sum();
    // Ids of outbox rows leave 16 bits for the rows of one request.
    let rows: usize = appends.iter().map(|a| a.outbox.len()).sum();
    let bytes: usize = appends.iter().map(Append::bytes).sum();
    if events > MAX_REQUEST_EVENTS || rows > usize::from(u16::MAX) || bytes > MAX_REQUEST_BYTES {
        return Err(AppendError::TooLarge);
    }
    Ok(())
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("head", &self.head()).finish_non_exhaustive()
    }
}

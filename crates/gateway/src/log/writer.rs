//! One task between the requests and the store: it alone appends, so it knows every stream's number and nothing conflicts;
//! while one batch is on its way to the disk the next one gathers (group commit).

use std::collections::HashMap;

use lanyard_domain::time::Timestamp;
use lanyard_store::{Append, AppendError, NewEvent, Store};
use tokio::sync::{mpsc, oneshot};

/// Requests in one transaction at most; each is under 4 kB, the store takes 1 MiB.
const MAX_BATCH: usize = 200;
/// Requests that may wait: ten full batches.
const QUEUE: usize = 2048;

/// One event for one stream.
#[derive(Debug)]
pub(super) struct Entry {
    pub stream: [u8; 16],
    pub stream_kind: u8,
    pub event: NewEvent,
    pub now: Timestamp,
}

struct Job {
    entries: Vec<Entry>,
    reply: Option<oneshot::Sender<Result<(), AppendError>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Job>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Job({} entries)", self.entries.len())
    }
}

impl Writer {
    pub(super) fn start(store: Store) -> Writer {
        let (queue, jobs) = mpsc::channel(QUEUE);
        tokio::spawn(run(store, jobs));
        Writer { queue }
    }

    /// Returns when the entries are on disk, all or none of them.
    pub(super) async fn append(&self, entries: Vec<Entry>) -> Result<(), AppendError> {
        let (reply, answer) = oneshot::channel();
        self.queue.try_send(Job { entries, reply: Some(reply) }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => AppendError::Busy,
            mpsc::error::TrySendError::Closed(_) => closed(),
        })?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Queues an entry whose writer does not wait. Dropped when the queue is full: refusals must not stop decisions.
    pub(super) fn append_later(&self, entry: Entry) {
        if self.queue.try_send(Job { entries: vec![entry], reply: None }).is_err() {
            tracing::warn!("the decision log is busy: a refusal was not recorded");
        }
    }

    /// Waits until everything queued before was written.
    pub(super) async fn drain(&self) {
        let (reply, answer) = oneshot::channel();
        if self.queue.send(Job { entries: Vec::new(), reply: Some(reply) }).await.is_ok() {
            let _ = answer.await;
        }
    }
}

fn closed() -> AppendError {
    AppendError::Unavailable("the log was closed".to_owned())
}

async fn run(store: Store, mut jobs: mpsc::Receiver<Job>) {
    // 24 bytes a stream; a site has at most some 10,000 devices.
    let mut next: HashMap<[u8; 16], u64> = HashMap::new();
    let mut batch = Vec::with_capacity(MAX_BATCH);
    while jobs.recv_many(&mut batch, MAX_BATCH).await > 0 {
        let outcome = write(&store, &mut next, &mut batch).await;
        if let Err(error) = &outcome {
            tracing::error!(%error, "decisions could not be recorded; requests are refused until they can be");
        }
        for job in batch.drain(..) {
            if let Some(reply) = job.reply {
                // A requester that gave up needs no answer.
                let _ = reply.send(outcome.clone());
            }
        }
    }
}

/// One transaction for the batch. After any failure the numbers are read again: what happened may not be known.
async fn write(
    store: &Store,
    next: &mut HashMap<[u8; 16], u64>,
    batch: &mut [Job],
) -> Result<(), AppendError> {
    let mut appends = Vec::with_capacity(batch.len());
    for entry in batch.iter_mut().flat_map(|job| job.entries.drain(..)) {
        let seq = match next.get(&entry.stream) {
            Some(seq) => *seq,
            None => {
                let head = store.stream_head(entry.stream).await;
                let unavailable = |e: lanyard_store::ReadError| AppendError::Unavailable(e.to_string());
                head.map_err(unavailable)?.map_or(0, |(next_seq, _)| next_seq)
            }
        };
        next.insert(entry.stream, seq + 1);
        appends.push(Append::new(entry.stream, entry.stream_kind, seq, vec![entry.event], entry.now));
    }
    if appends.is_empty() {
        return Ok(());
    }
    match store.append_many(appends).await {
        Ok(_) => Ok(()),
        Err(error) => {
            next.clear();
            Err(error)
        }
    }
}

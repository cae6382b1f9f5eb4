//! The one thread that writes: takes what is queued, stages it, commits it in one transaction, then answers everybody.
//!
//! In scope: group commit, the fence, an unknown COMMIT, WAL checkpoints. Out of scope: rules of a single request
//! (`stage`), SQL of the rows (`persist`).
//! There is no linger: a batch is whatever queued up while the batch before was being written, or while every core had other work.
//! INVARIANT: an answer of success is sent only after COMMIT returned, and `Published::durable` is never ahead of disk.

mod persist;
mod recover;
mod stage;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lanyard_ledger::Hash;
use lanyard_ledger::leaf::Prev;
use lanyard_ledger::tile::{TileUpdate, TreeWriter};
use rusqlite::{Connection, TransactionBehavior};
use tokio::sync::{mpsc, oneshot};

use crate::append::{Append, AppendError, Appended};
use crate::audit::Audit;
use crate::fault::{Hook, Outcome, Step};
use crate::lock::DirLock;
use crate::pool::Pool;
use crate::seal::SealedCheckpoint;
use crate::snapshot::Snapshot;
use crate::store::{DurableHead, Published};
use crate::{StreamId, schema};
use stage::{StageError, Staged};

/// Requests per transaction.
const BATCH_REQUESTS: usize = 4096;
/// Bytes per transaction, give or take one request.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bytes of WAL after which the pages move into the database file.
const WAL_BYTES: u64 = 16 * 1024 * 1024;
/// How long to leave the WAL alone after a reader was in the way.
const WAL_RETRY: Duration = Duration::from_secs(5);
/// Stream heads kept in memory: about 100 MiB at 96 bytes each with the table around them.
const CACHED_STREAMS: usize = 1 << 20;

type Reply<T> = oneshot::Sender<Result<T, String>>;

/// What the writer can be asked.
pub(crate) enum Request {
    Append { appends: Vec<Append>, reply: oneshot::Sender<Result<Vec<Appended>, AppendError>> },
    Checkpoint { checkpoint: SealedCheckpoint, reply: Reply<()> },
    OutboxDone { topic: u8, id: u64, reply: Reply<()> },
    Snapshot { name: String, snapshot: Snapshot, reply: Reply<()> },
    Close { reply: oneshot::Sender<()> },
}

/// Why closing did not leave everything tidy. What was acknowledged is on disk all the same.
#[derive(Debug, thiserror::Error)]
#[error("log was not closed cleanly; the next start checks it")]
pub struct Closed(#[from] std::io::Error);

/// The head row, and what follows from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) epoch: i64,
    pub(crate) batch: i64,
    pub(crate) next: u64,
    pub(crate) root: Hash,
    pub(crate) time: i64,
    pub(crate) next_stream_no: i64,
}

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamHead {
    pub(crate) no: i64,
    pub(crate) kind: u8,
    pub(crate) next_seq: u64,
    pub(crate) last: Option<Prev>,
}

pub(crate) struct Writer {
    dir: PathBuf,
    /// Gone only while reopening and after a fatal error.
    db: Option<Connection>,
    head: Head,
    tree: TreeWriter,
    streams: HashMap<StreamId, StreamHead>,
    lock: DirLock,
    pool: Arc<Pool>,
    published: Arc<Published>,
    audit: Arc<Audit>,
    faults: Hook,
    /// When a reader was last in the way of moving the WAL's pages.
    wal_blocked: Option<Instant>,
    /// An erased payload is still in the WAL.
    erased: bool,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

/// A request that waits for the COMMIT, with what it will be answered then.
enum Waiting {
    Append(oneshot::Sender<Result<Vec<Appended>, AppendError>>, Result<Vec<Appended>, AppendError>),
    Other(Reply<()>),
}

/// How a batch ended when it did not succeed.
enum Failure {
    /// Nothing was recorded.
    NotRecorded(String),
    /// Nobody knows.
    Unknown(String),
}

impl Writer {
    #[expect(clippy::too_many_arguments, reason = "called once, from the place where all of them are made")]
    pub(crate) fn new(
        dir: &Path,
        db: Connection,
        head: Head,
        tree: TreeWriter,
        lock: DirLock,
        pool: &Arc<Pool>,
        published: &Arc<Published>,
        audit: &Arc<Audit>,
        faults: Hook,
    ) -> Writer {
        let (pool, published, streams) = (Arc::clone(pool), Arc::clone(published), HashMap::new());
        let audit = Arc::clone(audit);
        let (dir, db) = (dir.to_owned(), Some(db));
        let (wal_blocked, erased, broken) = (None, false, None);
        Writer {
            dir,
            db,
            head,
            tree,
            streams,
            lock,
            pool,
            published,
            audit,
            faults,
            wal_blocked,
            erased,
            broken,
        }
    }

    pub(crate) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        let (mut closing, mut in_company) = (None, false);
        while let Some(first) = requests.blocking_recv() {
            // With company last time, there is more to come: where every core has work, ours or others', it goes first, and what ours
            // brings shares this transaction. Whoever appends alone waits for nobody.
            if in_company {
                std::thread::yield_now();
            }
            let mut batch = vec![first];
            let mut bytes = 0;
            while batch.len() < BATCH_REQUESTS && bytes < BATCH_BYTES {
                let Ok(request) = requests.try_recv() else { break };
                bytes += request.bytes();
                batch.push(request);
            }
            in_company = batch.len() > 1;
            closing = self.write(batch);
            if closing.is_some() {
                break;
            }
            self.move_wal();
        }
        requests.close();
        while let Some(request) = requests.blocking_recv() {
            request.refuse("the log was closed");
        }
        self.finish();
        if let Some(reply) = closing {
            // Whoever asked may be gone.
            let _ = reply.send(());
        }
    }

    /// Writes one batch; returns whom to tell when it asked to close.
    fn write(&mut self, batch: Vec<Request>) -> Option<oneshot::Sender<()>> {
        let mut closing = None;
        let mut staged = Staged::new(&self.head);
        let mut waiting = Vec::with_capacity(batch.len());
        let mut broken = self.broken.clone();
        for request in batch {
            let request = match request {
                Request::Close { reply } => {
                    closing = Some(reply);
                    continue;
                }
                other => other,
            };
            match (&broken, &self.db) {
                (None, Some(db)) => match stage_one(&mut staged, db, &self.streams, request) {
                    Ok(answer) => waiting.push(answer),
                    Err(reason) => broken = Some(reason),
                },
                _ => request.refuse(broken.as_deref().unwrap_or("the database is closed")),
            }
        }
        let ended = match broken {
            Some(reason) => {
                self.broken = Some(reason.clone());
                Err(Failure::NotRecorded(reason))
            }
            None if staged.is_empty() => Ok(()),
            None => self.commit(&staged),
        };
        for one in waiting {
            one.answer(&ended);
        }
        closing
    }

    fn commit(&mut self, staged: &Staged) -> Result<(), Failure> {
        let mut tree = self.tree.clone();
        let tiles = tree.append(&staged.leaves);
        let next = Head {
            batch: self.head.batch + 1,
            next: staged.next,
            root: tree.root(),
            time: staged.time,
            next_stream_no: staged.next_stream_no,
            ..self.head
        };
        let written = match self.db.as_mut() {
            Some(db) => transaction(db, &self.faults, staged, &tiles, &self.head, &next),
            None => Err(Stopped::BeforeCommit(rusqlite::Error::InvalidQuery)),
        };
        match written {
            Ok(()) => {}
            // Without a COMMIT nothing can have been recorded.
            Err(Stopped::BeforeCommit(error)) => return Err(self.not_recorded(&error)),
            Err(Stopped::AtCommit(error)) => self.recover(&next, &error.to_string())?,
        }
        self.head = next;
        self.tree = tree;
        self.remember(staged);
        self.published.durable.send_if_modified(|head| {
            let now = DurableHead { size: next.next, root: next.root };
            let changed = *head != now;
            *head = now;
            changed
        });
        Ok(())
    }

    fn remember(&mut self, staged: &Staged) {
        if self.streams.len() + staged.streams.len() > CACHED_STREAMS {
            self.streams.clear();
        }
        self.streams.extend(staged.streams.iter().map(|(id, head)| (*id, *head)));
        self.erased |= !staged.erase.is_empty();
    }

    /// A full disk may get room again; every other error of the storage ends this writer.
    fn not_recorded(&mut self, error: &rusqlite::Error) -> Failure {
        let full = error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull);
        let tidy = self.db.as_ref().is_some_and(Connection::is_autocommit);
        if !(full && tidy) {
            self.give_up(&error.to_string());
        }
        Failure::NotRecorded(error.to_string())
    }

    fn give_up(&mut self, reason: &str) {
        tracing::error!(reason, "log can no longer write; restart after looking at the disk");
        self.broken = Some(reason.to_owned());
    }

    /// Moves the WAL's pages into the database file once it is large, or when an erased payload is still in it.
    fn move_wal(&mut self) {
        let wal = std::fs::metadata(self.dir.join(format!("{}-wal", schema::FILE))).map_or(0, |m| m.len());
        let blocked = self.wal_blocked.is_some_and(|since| since.elapsed() < WAL_RETRY);
        if blocked || (wal < WAL_BYTES && !self.erased) {
            return;
        }
        let Some(db) = self.db.as_ref().filter(|_| self.broken.is_none()) else { return };
        let moved = persist::forget_idempotency(db, self.head.time).and_then(|()| truncate_wal(db));
        match moved {
            Ok(true) => (self.wal_blocked, self.erased) = (None, false),
            // A long read is in the way, such as a check of the whole log; appends do not wait for it each time.
            Ok(false) => self.wal_blocked = Some(Instant::now()),
            Err(error) => self.give_up(&error.to_string()),
        }
    }

    fn finish(self) {
        self.pool.close();
        let clean = self.broken.is_none()
            && self.db.is_some_and(|db| matches!(truncate_wal(&db), Ok(true)) && db.close().is_ok());
        // What was not audited yet is audited by the next start.
        if clean
            && !self.audit.is_due()
            && let Err(error) = self.lock.close_clean()
        {
            tracing::warn!(%error, "log was not marked as closed; the next start checks it");
        }
    }
}

/// Where a transaction stopped.
enum Stopped {
    BeforeCommit(rusqlite::Error),
    AtCommit(rusqlite::Error),
}

fn transaction(
    db: &mut Connection,
    faults: &Hook,
    staged: &Staged,
    tiles: &[TileUpdate],
    from: &Head,
    to: &Head,
) -> Result<(), Stopped> {
    let written = db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(|tx| {
        persist::rows(&tx, staged)?;
        crate::tiles::store(&tx, tiles)?;
        persist::move_head(&tx, from, to)?;
        if faults.at(Step::Insert) == Outcome::Normal { Ok(tx) } else { Err(injected()) }
    });
    let tx = written.map_err(Stopped::BeforeCommit)?;
    match faults.at(Step::Commit) {
        Outcome::Normal => tx.commit(),
        Outcome::FailsWithoutEffect => tx.rollback().and(Err(injected())),
        Outcome::FailsWithEffect => tx.commit().and(Err(injected())),
    }
    .map_err(Stopped::AtCommit)
}

/// False if a reader was in the way.
fn truncate_wal(db: &Connection) -> Result<bool, rusqlite::Error> {
    let busy: i64 = db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    Ok(busy == 0)
}

fn injected() -> rusqlite::Error {
    rusqlite::Error::InvalidParameterName("fault injected by a test".to_owned())
}

/// Stages a request; an error is one of the storage and ends the batch.
fn stage_one(
    staged: &mut Staged,
    db: &Connection,
    streams: &HashMap<StreamId, StreamHead>,
    request: Request,
) -> Result<Waiting, String> {
    match request {
        Request::Append { appends, reply } => match staged.appends(db, streams, appends) {
            Ok(done) => Ok(Waiting::Append(reply, Ok(done))),
            Err(StageError::Refused(why)) => Ok(Waiting::Append(reply, Err(why))),
            Err(StageError::Storage(error)) => {
                let _ = reply.send(Err(AppendError::Unavailable(error.clone())));
                Err(error)
            }
        },
        Request::Checkpoint { checkpoint, reply } => {
            staged.checkpoints.push(checkpoint);
            Ok(Waiting::Other(reply))
        }
        Request::OutboxDone { topic, id, reply } => {
            staged.outbox_done.push((topic, id));
            Ok(Waiting::Other(reply))
        }
        Request::Snapshot { name, snapshot, reply } => {
            staged.snapshots.push((name, snapshot));
            Ok(Waiting::Other(reply))
        }
        Request::Close { .. } => Err("close is not staged".to_owned()),
    }
}

impl Waiting {
    fn answer(self, ended: &Result<(), Failure>) {
        // A caller that stopped waiting needs no answer.
        match (self, ended) {
            (Waiting::Append(reply, answer), Ok(())) => drop(reply.send(answer)),
            (Waiting::Append(reply, _), Err(Failure::NotRecorded(why))) => {
                drop(reply.send(Err(AppendError::Unavailable(why.clone()))));
            }
            // A duplicate may be one of a request in the same batch, so it shares its fate.
            (Waiting::Append(reply, Ok(_) | Err(AppendError::Duplicate(_))), Err(Failure::Unknown(why))) => {
                drop(reply.send(Err(AppendError::Unknown(why.clone()))));
            }
            // What was refused for another reason was not recorded in any case.
            (Waiting::Append(reply, Err(refused)), Err(Failure::Unknown(_))) => {
                drop(reply.send(Err(refused)))
            }
            (Waiting::Other(reply), Ok(())) => drop(reply.send(Ok(()))),
            (Waiting::Other(reply), Err(Failure::NotRecorded(why) | Failure::Unknown(why))) => {
                drop(reply.send(Err(why.clone())));
            }
        }
    }
}

impl Request {
    fn bytes(&self) -> usize {
        match self {
            Request::Append { appends, .. } => appends.iter().map(Append::bytes).sum(),
            Request::Checkpoint { checkpoint, .. } => checkpoint.note.len(),
            Request::Snapshot { snapshot, .. } => snapshot.body.len(),
            Request::OutboxDone { .. } | Request::Close { .. } => 0,
        }
    }

    fn refuse(self, why: &str) {
        match self {
            Request::Append { reply, .. } => drop(reply.send(Err(AppendError::Unavailable(why.to_owned())))),
            Request::Checkpoint { reply, .. }
            | Request::OutboxDone { reply, .. }
            | Request::Snapshot { reply, .. } => drop(reply.send(Err(why.to_owned()))),
            Request::Close { reply } => drop(reply.send(())),
        }
    }
}

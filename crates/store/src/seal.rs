//! Signed checkpoints: sign durable state, anchor it, record it, publish it, in this order; cosignatures later.
//!
//! In scope: one call seals once; the caller decides how often (a second is usual) and gives the time. Out of scope:
//! asking witnesses.
//! A step that fails is repeated by the next call: the signature is deterministic, the anchor accepts the same
//! checkpoint twice, and recording it twice changes nothing.

use lanyard_domain::time::Timestamp;
use lanyard_ledger::Hash;
use lanyard_ledger::checkpoint::{Checkpoint, CheckpointError};
use lanyard_ledger::cosign;
use lanyard_ledger::note::{Note, NoteError, NoteVerifier, Signature};
use rusqlite::{Connection, Error, OptionalExtension, Row, params};
use tokio::sync::watch;

use crate::anchor::{Anchor, AnchorError};
use crate::codec::{blob, int, unsigned};
use crate::event::Level;
use crate::fault::{Outcome, Step};
use crate::read::ReadError;
use crate::store::Store;
use crate::writer::Request;

/// A signed and anchored checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedCheckpoint {
    /// Number of events.
    pub size: u64,
    /// Root over them.
    pub root: Hash,
    /// The signed note, with the cosignatures so far.
    pub note: String,
    /// When it was sealed.
    pub time: Timestamp,
    /// How many witnesses cosigned it.
    pub cosigners: u32,
}

/// Why nothing was sealed or cosigned. The next call tries again.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The anchor failed or holds something else.
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The checkpoint could not be signed or read.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The cosignature is not accepted.
    #[error(transparent)]
    Cosignature(#[from] NoteError),
    /// No checkpoint of that size.
    #[error("there is no checkpoint over {0} events")]
    NoCheckpoint(u64),
    /// Its log could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The log cannot record now.
    #[error("log is not available: {0}")]
    Unavailable(String),
}

impl Store {
    /// Seals what is durable now. `None` if the newest checkpoint covers it already or the log is empty.
    pub async fn seal(&self, now: Timestamp) -> Result<Option<SealedCheckpoint>, SealError> {
        // One at a time: whoever holds the anchor seals.
        let mut guard = std::sync::Arc::clone(&self.shared.anchor).lock_owned().await;
        let head = self.head();
        let newest = self.latest_checkpoint();
        if head.size == 0 || newest.as_ref().is_some_and(|c| c.size >= head.size) {
            return Ok(None);
        }
        let origin = self.shared.signer.verifier().name().to_owned();
        let checkpoint = Checkpoint { origin, size: head.size, root: head.root };
        let note = checkpoint.sign(&self.shared.signer)?.to_string();
        let time = newest.map_or(now, |c| c.time.max(now));
        let sealed =
            SealedCheckpoint { size: head.size, root: head.root, note: note.clone(), time, cosigners: 0 };
        let guard = tokio::task::spawn_blocking(move || {
            let anchor: &mut Anchor = guard.as_mut().ok_or(closed())?;
            anchor.advance(&checkpoint, &note)?;
            Ok::<_, SealError>(guard)
        })
        .await
        .map_err(|e| SealError::Unavailable(e.to_string()))??;
        self.record(sealed.clone()).await?;
        self.shared.published.sealed.send_replace(Some(sealed.clone()));
        drop(guard);
        Ok(Some(sealed))
    }

    /// The newest checkpoint.
    pub fn latest_checkpoint(&self) -> Option<SealedCheckpoint> {
        self.shared.published.sealed.borrow().clone()
    }

    /// Changes with each new checkpoint and each cosignature of the newest.
    pub fn subscribe_checkpoints(&self) -> watch::Receiver<Option<SealedCheckpoint>> {
        self.shared.published.sealed.subscribe()
    }

    /// The checkpoint with this root, for nonces that quote it.
    pub async fn checkpoint_by_root(&self, root: Hash) -> Result<Option<SealedCheckpoint>, ReadError> {
        self.read(move |db| Ok(by_root(db, &root)?)).await
    }

    /// The smallest checkpoint over at least `size` events: the first one that seals position `size - 1`.
    pub async fn checkpoint_covering(&self, size: u64) -> Result<Option<SealedCheckpoint>, ReadError> {
        self.read(move |db| Ok(covering(db, size)?)).await
    }

    /// How far the evidence for a position has come; none beyond the head.
    pub fn level_of(&self, pos: u64) -> Option<Level> {
        let published = &self.shared.published;
        if pos < *published.witnessed.borrow() {
            return Some(Level::Witnessed);
        }
        if published.sealed.borrow().as_ref().is_some_and(|c| pos < c.size) {
            return Some(Level::Sealed);
        }
        (pos < self.head().size).then_some(Level::Durable)
    }

    /// Adds a witness's cosignature to the checkpoint of that size, after verifying it. The same witness counts once.
    pub async fn add_cosignature(
        &self,
        size: u64,
        line: Signature,
        witness: &NoteVerifier,
    ) -> Result<SealedCheckpoint, SealError> {
        // The anchor's lock also keeps two cosignatures from overwriting each other.
        let _guard = self.shared.anchor.lock().await;
        let found = self.read(move |db| Ok(covering(db, size)?)).await?.filter(|c| c.size == size);
        let mut checkpoint = found.ok_or(SealError::NoCheckpoint(size))?;
        let mut note = Note::parse(checkpoint.note.as_bytes())?;
        if cosign::verify(&note, witness).is_ok() {
            return Ok(checkpoint);
        }
        note.push(line)?;
        cosign::verify(&note, witness)?;
        checkpoint.note = note.to_string();
        checkpoint.cosigners += 1;
        self.record(checkpoint.clone()).await?;
        self.publish_cosigned(&checkpoint);
        Ok(checkpoint)
    }

    async fn record(&self, checkpoint: SealedCheckpoint) -> Result<(), SealError> {
        let outcome = self.shared.faults.at(Step::RecordCheckpoint);
        if outcome != Outcome::FailsWithoutEffect {
            let asked = self.ask(|reply| Request::Checkpoint { checkpoint, reply }).await;
            asked.map_err(SealError::Unavailable)?;
        }
        if outcome == Outcome::Normal {
            Ok(())
        } else {
            Err(SealError::Unavailable("fault injected".to_owned()))
        }
    }

    fn publish_cosigned(&self, checkpoint: &SealedCheckpoint) {
        let published = &self.shared.published;
        if checkpoint.cosigners >= self.shared.witness_quorum {
            published.witnessed.send_if_modified(|size| {
                let larger = checkpoint.size > *size;
                *size = checkpoint.size.max(*size);
                larger
            });
        }
        published.sealed.send_if_modified(|newest| match newest {
            Some(c) if c.size == checkpoint.size => {
                *c = checkpoint.clone();
                true
            }
            _ => false,
        });
    }
}

fn closed() -> SealError {
    SealError::Unavailable("the log was closed".to_owned())
}

const COLUMNS: &str = "SELECT size, root, note, time, cosigners FROM ckpt";

pub(crate) fn from_row(row: &Row<'_>) -> Result<SealedCheckpoint, Error> {
    Ok(SealedCheckpoint {
        size: unsigned(row, 0)?,
        root: Hash(blob(row, 1)?),
        note: row.get(2)?,
        time: Timestamp::from_micros(row.get(3)?),
        cosigners: row.get(4)?,
    })
}

pub(crate) fn latest(db: &Connection) -> Result<Option<SealedCheckpoint>, Error> {
    db.query_row(&format!("{COLUMNS} ORDER BY size DESC LIMIT 1"), [], from_row).optional()
}

pub(crate) fn all(
    db: &Connection,
    mut visit: impl FnMut(SealedCheckpoint) -> Result<bool, Error>,
) -> Result<(), Error> {
    let mut query = db.prepare(&format!("{COLUMNS} ORDER BY size"))?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        if !visit(from_row(row)?)? {
            break;
        }
    }
    Ok(())
}

fn by_root(db: &Connection, root: &Hash) -> Result<Option<SealedCheckpoint>, Error> {
    db.prepare_cached(&format!("{COLUMNS} WHERE root = ?1"))?
        .query_row([root.as_bytes()], from_row)
        .optional()
}

fn covering(db: &Connection, size: u64) -> Result<Option<SealedCheckpoint>, Error> {
    let sql = format!("{COLUMNS} WHERE size >= ?1 ORDER BY size LIMIT 1");
    db.prepare_cached(&sql)?.query_row([int(size)], from_row).optional()
}

pub(crate) fn largest_witnessed(db: &Connection, quorum: u32) -> Result<u64, Error> {
    // A quorum of zero would call everything witnessed.
    let quorum = quorum.max(1);
    let sql = "SELECT coalesce(max(size), 0) FROM ckpt WHERE cosigners > 0 AND cosigners >= ?1";
    db.query_row(sql, [quorum], |row| unsigned(row, 0))
}

pub(crate) fn record(db: &Connection, checkpoint: &SealedCheckpoint) -> Result<(), Error> {
    db.prepare_cached(
        "INSERT INTO ckpt(size, root, note, time, cosigners) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT(size) DO UPDATE SET note = excluded.note, cosigners = excluded.cosigners",
    )?
    .execute(params![
        int(checkpoint.size),
        checkpoint.root.as_bytes(),
        checkpoint.note,
        checkpoint.time.as_micros(),
        checkpoint.cosigners
    ])?;
    Ok(())
}

//! The second place that knows how long the log is: a directory (best on another disk) with the newest signed checkpoint.
//!
//! The checkpoint is written here before anyone sees it, by compare-and-swap under an exclusive lock. A log restored from
//! an old backup is shorter than its anchor, so it can be refused before it signs a second history.
//! In scope: one file, `checkpoint`. Out of scope: judging the log against it (`open`).

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use lanyard_ledger::checkpoint::{Checkpoint, CheckpointError};
use lanyard_ledger::note::{MAX_NOTE_LEN, NoteVerifier};

use crate::fault::{Hook, Outcome, Step};
use crate::lock::{DirLock, LockError};

const FILE: &str = "checkpoint";

/// The anchor directory, locked.
#[derive(Debug)]
pub(crate) struct Anchor {
    dir: PathBuf,
    log: NoteVerifier,
    /// What the file holds as far as this process knows.
    current: Option<Checkpoint>,
    /// A write that reported an error may have happened.
    attempted: Option<Checkpoint>,
    faults: Hook,
    lock: DirLock,
}

/// Why the anchor cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// Another process uses it.
    #[error("anchor `{0}` is used by another process")]
    Held(PathBuf),
    /// The file does not hold a checkpoint of this log signed by this key.
    #[error("anchor `{path}` does not hold a checkpoint of this log")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: CheckpointError,
    },
    /// The file changed although this process holds the lock, or holds a longer or different log.
    #[error("anchor `{path}` holds size {found}, expected {expected}: nothing will be signed")]
    Moved {
        /// The file.
        path: PathBuf,
        /// Size found.
        found: u64,
        /// Size expected.
        expected: u64,
    },
    /// The storage failed.
    #[error("cannot use anchor `{path}`")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// The error.
        #[source]
        source: std::io::Error,
    },
}

impl Anchor {
    /// Locks the directory (made if absent) and reads what it holds.
    pub(crate) fn open(dir: &Path, log: NoteVerifier, faults: Hook) -> Result<Anchor, AnchorError> {
        let io = |source| AnchorError::Io { path: dir.to_owned(), source };
        fs::create_dir_all(dir).map_err(io)?;
        let lock = match DirLock::take(dir) {
            Ok((lock, _)) => lock,
            Err(LockError::Held) => return Err(AnchorError::Held(dir.to_owned())),
            Err(LockError::Io(source)) => return Err(io(source)),
        };
        let current = read(dir, &log)?;
        Ok(Anchor { dir: dir.to_owned(), log, current, attempted: None, faults, lock })
    }

    pub(crate) fn current(&self) -> Option<&Checkpoint> {
        self.current.as_ref()
    }

    /// Replaces what it holds by a checkpoint that is not shorter; the caller proved that the log contains the old one.
    pub(crate) fn advance(&mut self, checkpoint: &Checkpoint, note: &str) -> Result<(), AnchorError> {
        let found = read(&self.dir, &self.log)?;
        let known = found == self.current || (found.is_some() && found == self.attempted);
        let fits = found.as_ref().is_none_or(|f| f.size < checkpoint.size || f == checkpoint);
        if !known || !fits {
            let (found, expected) = (size(found.as_ref()), size(self.current.as_ref()));
            return Err(AnchorError::Moved { path: self.dir.join(FILE), found, expected });
        }
        self.attempted = Some(checkpoint.clone());
        self.write(note)?;
        self.current = Some(checkpoint.clone());
        Ok(())
    }

    fn write(&self, note: &str) -> Result<(), AnchorError> {
        let io = |source| AnchorError::Io { path: self.dir.join(FILE), source };
        let outcome = self.faults.at(Step::Anchor);
        if outcome != Outcome::FailsWithoutEffect {
            write_file(&self.dir, note).map_err(io)?;
        }
        if outcome == Outcome::Normal { Ok(()) } else { Err(io(ErrorKind::Other.into())) }
    }

    pub(crate) fn close_clean(self) -> std::io::Result<()> {
        self.lock.close_clean()
    }
}

fn write_file(dir: &Path, note: &str) -> std::io::Result<()> {
    let temporary = dir.join("checkpoint.new");
    let mut file = File::create(&temporary)?;
    file.write_all(note.as_bytes())?;
    file.sync_all()?;
    fs::rename(&temporary, dir.join(FILE))?;
    File::open(dir)?.sync_all()
}

/// The signed checkpoint in a directory, if there is one.
pub(crate) fn read(dir: &Path, log: &NoteVerifier) -> Result<Option<Checkpoint>, AnchorError> {
    let path = dir.join(FILE);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(AnchorError::Io { path, source }),
    };
    let mut note = Vec::new();
    if let Err(source) = file.take(MAX_NOTE_LEN as u64 + 1).read_to_end(&mut note) {
        return Err(AnchorError::Io { path, source });
    }
    match Checkpoint::open(&note, log) {
        Ok((checkpoint, _)) => Ok(Some(checkpoint)),
        Err(source) => Err(AnchorError::Foreign { path, source }),
    }
}

fn size(checkpoint: Option<&Checkpoint>) -> u64 {
    checkpoint.map_or(0, |c| c.size)
}
